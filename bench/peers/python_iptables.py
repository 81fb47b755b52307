# /// script
# requires-python = ">=3.11"
# dependencies = ["python-iptables==1.2.0"]
# ///
"""Writes rules to legacy tables with python-iptables: a peer that `bench/applies.py` measures.

Reads requests from standard input, one a line, `PID LINES`; a child enters the network namespace of
the process, and writes and commits the reference rules, or as many more as the lines say. It prints
the wall and CPU seconds that it took, the entering included.

A child for each, since the library's table cache is process-global and holds the last namespace's.
"""

import os
import sys
import time

import iptc

_SETNS_NET = 0x40000000
_REFERENCE_LINES = 14


def main() -> None:
    """Serve until the input ends."""
    print("ready", flush=True)
    for line in sys.stdin:
        pid, lines = map(int, line.split())
        child = os.fork()
        if not child:
            _measured(pid, lines)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if status:
            sys.exit("the child failed")


def _measured(pid: int, lines: int) -> None:
    wall, cpu = time.perf_counter(), time.process_time()
    _enter(pid)
    _write(lines)
    print(time.perf_counter() - wall, time.process_time() - cpu, flush=True)


def _enter(pid: int) -> None:
    import ctypes  # noqa: PLC0415 - os.setns is there from Python 3.12 on

    with open(f"/proc/{pid}/ns/net", "rb") as namespace:  # noqa: PTH123
        if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), _SETNS_NET):
            raise OSError(ctypes.get_errno(), "setns")


def _write(lines: int) -> None:
    table = iptc.Table(iptc.Table.NAT)
    table.autocommit = False
    inbound, redirected, outbound, redirect = (
        table.create_chain(f"ISTIO_{name}")
        for name in ("INBOUND", "IN_REDIRECT", "OUTPUT", "REDIRECT")
    )
    for base, to in (("PREROUTING", inbound), ("OUTPUT", outbound)):
        iptc.Chain(table, base).append_rule(_rule(to.name, protocol="tcp"))
    for port in range(80, 81 + lines - _REFERENCE_LINES):
        inbound.append_rule(_port_rule(port))
    outbound.append_rule(_rule("ISTIO_REDIRECT", dst="!127.0.0.1/32", out_interface="lo"))
    outbound.append_rule(_owner_rule("uid_owner"))
    outbound.append_rule(_owner_rule("gid_owner"))
    outbound.append_rule(_rule("RETURN", dst="127.0.0.1/32"))
    outbound.append_rule(_rule("ISTIO_REDIRECT"))
    for chain in (redirected, redirect):
        chain.append_rule(_redirect_rule())
    table.commit()


def _rule(target: str, **fields: str) -> iptc.Rule:
    rule = iptc.Rule()
    for name, value in fields.items():
        setattr(rule, name, value)
    rule.create_target(target)
    return rule


def _port_rule(port: int) -> iptc.Rule:
    rule = _rule("ISTIO_IN_REDIRECT", protocol="tcp")
    rule.create_match("tcp").dport = str(port)
    return rule


def _owner_rule(what: str) -> iptc.Rule:
    rule = _rule("RETURN")
    setattr(rule.create_match("owner"), what, "1337")
    return rule


def _redirect_rule() -> iptc.Rule:
    rule = iptc.Rule()
    rule.protocol = "tcp"
    rule.create_target("REDIRECT").to_ports = "15001"
    return rule


if __name__ == "__main__":
    main()
