"""The command line: `python3 -m local_cluster up|down|status|image|wheels|install|uv`.

What a command found out goes to stdout, what it is doing to stderr.
"""

import argparse
import sys
from pathlib import Path

from local_cluster.checkout import Checkout
from local_cluster.down import down, stop_as_root
from local_cluster.errors import LocalClusterError
from local_cluster.images.deliver import image
from local_cluster.images.wheels import publish
from local_cluster.install import install
from local_cluster.joining import join
from local_cluster.node import MOST_NODES, Node
from local_cluster.privilege import complete_path
from local_cluster.start import start
from local_cluster.status import status
from local_cluster.up import up
from local_cluster.uv import uv


def main() -> int:
    """Run one command and return the process's exit status."""
    arguments = parser().parse_args()
    complete_path()
    try:
        run(arguments, Checkout.this())
    except LocalClusterError as error:
        return failed(str(error))
    except PermissionError as error:
        return failed(f"{error}. Is it root's from an earlier run? Run this as root, or remove it.")
    except KeyboardInterrupt:
        return failed("interrupted; run it again to go on")
    return 0


def failed(message: str) -> int:
    """Say why, and return the exit status that says so to others."""
    print(f"error: {message}", file=sys.stderr)
    return 1


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    root = argparse.ArgumentParser(prog="local_cluster", description=__doc__)
    commands = root.add_subparsers(dest="command", required=True)
    start = commands.add_parser("up", help="start the cluster, building what is missing")
    start.add_argument("nodes", type=node_count, nargs="?", default=1, help="how many, at least")
    commands.add_parser("down", help="stop the cluster and remove every trace of it")
    commands.add_parser("status", help="say what runs")
    commands.add_parser("image", help="build the images and load them into the cluster")
    wheels = commands.add_parser("wheels", help="write the Containerfile's context")
    wheels.add_argument("python_version", help="the version of the base's Python, such as 3.13")
    chart = commands.add_parser("install", help="install or upgrade the chart")
    chart.add_argument("image", help="the image's name without its tag")
    chart.add_argument("tag", help="the image's tag")
    commands.add_parser("uv", help="print the path of uv, installing it if need be")
    commands.add_parser("start", help="(as root) start the first node").add_argument("binaries")
    joining = commands.add_parser("join", help="(as root) start a further node")
    joining.add_argument("binaries")
    joining.add_argument("index", type=int)
    commands.add_parser("stop", help="(as root) stop the nodes")
    return root


def node_count(text: str) -> int:
    """Read a number of nodes."""
    if not (text.isdecimal() and 1 <= int(text) <= MOST_NODES):
        raise argparse.ArgumentTypeError(f"NODES is a number from 1 to {MOST_NODES}, not {text!r}")
    return int(text)


def run(arguments: argparse.Namespace, checkout: Checkout) -> None:
    """Do what the arguments ask for."""
    match arguments.command:
        case "up":
            up(checkout, arguments.nodes)
        case "down":
            down(checkout)
        case "status":
            status(checkout)
        case "image":
            image(checkout)
        case "wheels":
            publish(checkout, arguments.python_version)
        case "install":
            install(checkout, arguments.image, arguments.tag)
        case "uv":
            print(uv())
        case _:
            run_as_root(arguments, checkout)


def run_as_root(arguments: argparse.Namespace, checkout: Checkout) -> None:
    """Do what another command has asked root to do."""
    match arguments.command:
        case "start":
            start(checkout, Path(arguments.binaries))
        case "join":
            join(checkout, Path(arguments.binaries), Node(arguments.index))
        case "stop":
            stop_as_root(checkout)


if __name__ == "__main__":
    sys.exit(main())
