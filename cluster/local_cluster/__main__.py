"""The command line: `python3 -m local_cluster up|down|image|status`."""

import argparse
import sys
from pathlib import Path

from local_cluster.checkout import Checkout
from local_cluster.down import down, stop_as_root
from local_cluster.errors import LocalClusterError
from local_cluster.start import start
from local_cluster.status import status
from local_cluster.up import up


def main() -> int:
    """Run one command and return the process's exit status."""
    parser = argparse.ArgumentParser(prog="local_cluster", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="start the cluster, building what is missing")
    commands.add_parser("down", help="stop the cluster and remove every trace of it")
    commands.add_parser("status", help="say what runs")
    commands.add_parser("start", help="(as root) start the node").add_argument("binaries")
    commands.add_parser("stop", help="(as root) stop the node")
    arguments = parser.parse_args()
    try:
        run(arguments, Checkout.this())
    except LocalClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def run(arguments: argparse.Namespace, checkout: Checkout) -> None:
    """Do what the arguments ask for."""
    match arguments.command:
        case "up":
            up(checkout)
        case "down":
            down(checkout)
        case "status":
            status(checkout)
        case "start":
            start(checkout, Path(arguments.binaries))
        case "stop":
            stop_as_root(checkout)


if __name__ == "__main__":
    sys.exit(main())
