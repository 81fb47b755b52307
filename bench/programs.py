"""The programs that are measured: the reference rules, and longer ones like them."""

from capture_api.capture_programs import CaptureProgramSpec
from capture_api.captures import DriftPolicy, Mode
from capture_api.node_captures import ProgramRef
from capture_api.programs import Program, program_hash
from capture_api.resolution import decode_spec, resolve
from capture_api.selection import LabelSelector
from capture_nat.commands import restore_input
from capture_nat.compiling import compile_program
from capture_nat.families import Family
from capture_nat.planning import Plan, plan_changes
from capture_nat.tables import NatTable

PORT = 15001
"""Where the traffic is sent."""
REFERENCE_LINES = 14
"""Lines that `iptables -t nat -S` prints of the reference rules: four chains and ten rules."""


def program(lines: int = REFERENCE_LINES, port: int = PORT) -> Program:
    """Resolve a capture of which `iptables -t nat -S` prints so many lines."""
    ports = [str(each) for each in range(80, 81 + lines - REFERENCE_LINES)]
    spec = {
        "podSelector": {},
        "chainPrefix": "ISTIO",
        "proxy": {"uids": [1337], "gids": [1337]},
        "inbound": {"redirectPort": port, "include": [{"ports": ports}]},
        "outbound": {"redirectPort": port, "loopback": "Redirect"},
    }
    return resolve(decode_spec(spec))


def plan(lines: int = REFERENCE_LINES, port: int = PORT) -> Plan:
    """Plan it for an IPv4 table that holds nothing."""
    ruleset = compile_program(program(lines, port), Family.IPV4)
    return plan_changes(ruleset, NatTable(), frozenset())


def restored(lines: int = REFERENCE_LINES, port: int = PORT) -> str:
    """Say it to `iptables-restore`; with `--noflush` to a table that holds nothing of it."""
    return restore_input(plan(lines, port).commands)


def program_spec(what: Program, generation: int = 1) -> CaptureProgramSpec:
    """Give the program as the operator resolves it."""
    return CaptureProgramSpec(
        schema_version=1,
        capture_uid="00000000-0000-4000-8000-000000000001",
        capture_generation=generation,
        selector=LabelSelector(),
        priority=0,
        mode=Mode.ENFORCE,
        suspend=False,
        drift_policy=DriftPolicy.REPAIR,
        program=what,
        hash=program_hash(what),
    )


def ref(spec: CaptureProgramSpec, name: str) -> ProgramRef:
    """Refer to it as a dispatch does."""
    return ProgramRef(
        name=name, capture_uid=spec.capture_uid, generation=spec.capture_generation, hash=spec.hash
    )
