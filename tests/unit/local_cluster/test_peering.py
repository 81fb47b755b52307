"""Pods of different nodes reach each other as what they are."""

from pathlib import Path

from local_cluster import peering
from local_cluster.commands import run
from local_cluster.node import Node

NODE, OTHER, THIRD = Node(1), Node(2), Node(3)


def test_each_other_nodes_pods_are_behind_that_node() -> None:
    """One route per node, and none to oneself."""
    routes = [command for command in peering.ways_v4([OTHER, THIRD]) if command[0] == "ip"]

    assert [" ".join(route) for route in routes] == [
        "ip route replace 10.244.1.0/24 via 192.168.77.3",
        "ip route replace 10.244.2.0/24 via 192.168.77.4",
    ]


def test_ipv6_goes_by_addresses_that_the_nodes_give_themselves() -> None:
    """Each node's own address is the one that others route to."""
    here = [" ".join(command) for command in peering.ways_v6(NODE, [OTHER])]
    there = [" ".join(command) for command in peering.ways_v6(OTHER, [NODE])]

    assert "ip route replace fd00:10:244:1::/64 via fe80::77:2 dev eth0" in here
    assert "ip address replace fe80::77:2/64 dev eth0 nodad" in there


def test_what_is_there_already_is_not_written_twice(tmp_path: Path) -> None:
    """The rule that spares pods NAT is looked for before it is inserted ahead of the others."""
    tables, written = tmp_path / "tables", tmp_path / "written"
    tables.write_text(
        f'#!/bin/sh\ncase "$4" in -C) test -e {written};; -I) echo "$@" >>{written};; esac\n'
    )
    tables.chmod(0o755)

    for _ in range(2):
        run(peering.unmasqueraded(str(tables), "10.244.0.0/16"))

    assert written.read_text().splitlines() == [
        "-w -t nat -I POSTROUTING -s 10.244.0.0/16 -d 10.244.0.0/16 -j ACCEPT"
    ]
