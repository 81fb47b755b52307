"""python-iptables prints what `iptables-legacy-save` prints, and writes what it is told alone."""

import subprocess
import sys
from pathlib import Path

import pytest

from capture_agent.python_iptables_backend import LEGACY, PYTHON_IPTABLES, LegacyTools, legacy_tools
from capture_nat.families import Family
from kernel.pods import Pod

LOOPBACK = {Family.IPV4: "127.0.0.1/32", Family.IPV6: "::1/128"}
TOOL = {Family.IPV4: "iptables-legacy", Family.IPV6: "ip6tables-legacy"}
TOOLS = LegacyTools(PYTHON_IPTABLES)

THEIRS = """\
*nat
:THERE - [0:0]
-A OUTPUT -p udp -m comment --comment "fo \\"o" -m multiport --dports 1,2 -j ACCEPT
-A OUTPUT -m addrtype --dst-type LOCAL -g THERE
-A OUTPUT -o eth+ -m conntrack --ctstate NEW -j THERE
-A OUTPUT ! -p tcp -m mark --mark 0x1 -j DNAT --to-destination :99
-A POSTROUTING ! -o lo -j MASQUERADE
-A THERE
COMMIT
"""
OURS = """\
*nat
:ISTIO_OUTPUT - [0:0]
:ISTIO_REDIRECT - [0:0]
-A ISTIO_OUTPUT ! -d {loopback} -o lo -j ISTIO_REDIRECT
-A ISTIO_OUTPUT -i eth0 -j RETURN
-A ISTIO_OUTPUT ! -p tcp -j RETURN
-A ISTIO_OUTPUT -p udp -m udp --dport 53 -j REDIRECT --to-ports 15053
-A ISTIO_OUTPUT -p tcp -m tcp --dport 80:90 -m owner --uid-owner 1000-2000 -j RETURN
-A ISTIO_OUTPUT -m owner --gid-owner 1337 -j RETURN
-A ISTIO_OUTPUT -d {loopback} -j RETURN
-A ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports 15001
-I OUTPUT 1 -p tcp -j ISTIO_OUTPUT
COMMIT
"""


def saved(pod: Pod, family: Family) -> str:
    """Save the table by the tool, without counters."""
    printed = pod.run(f"{TOOL[family]}-save", "-t", "nat").splitlines()
    lines = (line for line in printed if not line.startswith("#"))
    return "".join(
        f"{line.split(' [')[0]} [0:0]\n" if line[0] == ":" else f"{line}\n" for line in lines
    )


@pytest.mark.parametrize("family", Family)
def test_what_is_written_and_printed_is_what_the_tool_prints(pod: Pod, family: Family) -> None:
    """Theirs and ours; and no other table comes to be."""
    pod.run(f"{TOOL[family]}-restore", stdin=THEIRS)
    pod.run(*TOOLS.restore(family), stdin=OURS.format(loopback=LOOPBACK[family]))
    printed = pod.run(*TOOLS.save(family))
    assert printed == saved(pod, family)
    rules = {line for line in printed.splitlines() if line.startswith("-A")}
    written = OURS.format(loopback=LOOPBACK[family]).replace("-I OUTPUT 1", "-A OUTPUT")
    assert {line for line in written.splitlines() if line.startswith("-A")} <= rules
    names = "ip_tables_names" if family is Family.IPV4 else "ip6_tables_names"
    assert pod.run("cat", f"/proc/thread-self/net/{names}") == "nat\n"


@pytest.mark.parametrize(
    "rule", ["-A OUTPUT -f -j ACCEPT", "-A OUTPUT -s 10.0.0.1/255.0.255.0 -j ACCEPT"]
)
def test_what_cannot_be_printed_exactly_is_an_error(pod: Pod, rule: str) -> None:
    """Nothing may be concluded from the rest."""
    pod.run("iptables-legacy", "-t", "nat", *rule.split())
    with pytest.raises(AssertionError, match="python-iptables: "):
        pod.run(*TOOLS.save(Family.IPV4))


def test_a_transaction_that_fails_changes_nothing(pod: Pod) -> None:
    """Here its last command deletes a rule that is not there."""
    pod.run("iptables-legacy-restore", stdin=THEIRS)
    before = saved(pod, Family.IPV4)
    failing = "-D OUTPUT -p tcp -j NOWHERE\nCOMMIT\n"
    stdin = OURS.format(loopback=LOOPBACK[Family.IPV4]).replace("COMMIT\n", failing)
    with pytest.raises(AssertionError, match="no such rule"):
        pod.run(*TOOLS.restore(Family.IPV4), stdin=stdin)
    assert saved(pod, Family.IPV4) == before


def test_it_serves_where_the_tools_are_absent(tmp_path: Path) -> None:
    """And only there."""
    assert legacy_tools().variant == LEGACY
    assert legacy_tools(str(tmp_path)).variant == PYTHON_IPTABLES


def test_it_runs_no_other_program(pod: Pod) -> None:
    """To look for its libraries it would run a compiler, in somebody's pod."""
    code = (
        "import sys; sys.argv = ['', 'save', '4']; started = [];"
        "sys.addaudithook(lambda event, _: started.append(event) if 'Popen' in event else None);"
        "from capture_agent import python_iptables_child;"
        "python_iptables_child.main(); sys.exit(str(started))"
    )
    pod.run("sh", "-c", f'{sys.executable} -I -c "$0" 2>&1 | grep -xF "[]"', code)


def test_the_agent_and_its_brokers_never_import_it() -> None:
    """Its tables are those of the namespace that its process was first in."""
    code = "import sys, capture_agent.main; sys.exit('iptc' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
