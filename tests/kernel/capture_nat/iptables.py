"""The iptables tools of one variant and family, in a throw-away network namespace."""

from dataclasses import dataclass

from capture_nat.commands import restore_input
from capture_nat.families import Family
from capture_nat.planning import Plan, plan_changes
from capture_nat.rulesets import BUILTIN_CHAINS, Ruleset
from capture_nat.tables import NatTable, parse_table
from kernel.conftest import NetworkNamespace

VARIANTS = ("nft", "legacy")


@dataclass(frozen=True, slots=True)
class Iptables:
    """`variant` is `nft` or `legacy`."""

    netns: NetworkNamespace
    variant: str
    family: Family

    def tool(self, suffix: str = "") -> str:
        """The name of a tool: `iptables-nft`, or `ip6tables-legacy-save` with suffix `-save`."""
        command = "iptables" if self.family is Family.IPV4 else "ip6tables"
        return f"{command}-{self.variant}{suffix}"

    def nat(self, *arguments: str) -> str:
        """Run `iptables -t nat ...`."""
        return self.netns.run(self.tool(), "-t", "nat", *arguments)

    def observe(self) -> NatTable:
        """What the kernel holds."""
        return parse_table(self.netns.run(self.tool("-save"), "-t", "nat"))

    def apply(self, plan: Plan) -> None:
        """Do what a plan says: marks apart, as a backend does."""
        if plan.commands:
            self.netns.run(self.tool("-restore"), "--noflush", stdin=restore_input(plan.commands))

    def program(self, ruleset: Ruleset | None, owned: frozenset[str]) -> NatTable:
        """Observe, plan, apply, and observe again."""
        self.apply(plan_changes(ruleset, self.observe(), owned))
        return self.observe()

    def clear(self) -> None:
        """Empty the table: a restore without --noflush flushes and deletes everything."""
        chains = "".join(f":{name} ACCEPT [0:0]\n" for name in sorted(BUILTIN_CHAINS))
        self.netns.run(self.tool("-restore"), stdin=f"*nat\n{chains}COMMIT\n")
