"""The command line of the node agent."""

import argparse
import os
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path


def parse_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line, or `arguments`; exits with a usage message if it is wrong."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if not options.node_name:
        parser.error("--node-name or $NODE_NAME is required")
    return options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="traffic-capture-agent",
        description="Enforce the TrafficCaptures of the pods of one node. Runs in a pod of the "
        "chart's DaemonSet: it needs the host's PID namespace and NET_ADMIN, NET_RAW, SYS_ADMIN "
        "and SYS_PTRACE.",
    )
    parser.add_argument("--version", action="version", version=version("traffic-capture"))
    parser.add_argument(
        "--node-name",
        default=os.environ.get("NODE_NAME"),
        help="name of this node (default: $NODE_NAME)",
    )
    parser.add_argument(
        "--namespace",
        default=os.environ.get("POD_NAMESPACE", ""),
        help="the agent's own namespace, whose pods always start (default: $POD_NAMESPACE)",
    )
    parser.add_argument(
        "--state-dir",
        type=Path,
        default=Path("/run/traffic-capture"),
        help="directory on the node for what outlives the agent: journal, checkpoint and lock "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--poll-interval",
        type=float,
        default=10.0,
        metavar="SECONDS",
        help="time between looks at a quiet pod, plus or minus a fifth (default: %(default)s)",
    )
    parser.add_argument(
        "--health-port",
        type=int,
        default=8081,
        help="port of /healthz and /readyz (default: %(default)s)",
    )
    parser.add_argument(
        "--nri-socket",
        type=Path,
        default=None,
        metavar="PATH",
        help="socket of the container runtime's Node Resource Interface, by which it asks the "
        "agent before it starts a pod (default: the runtime is not asked for that)",
    )
    parser.add_argument(
        "--sandboxed-runtimes",
        default="kata*,gvisor*,runsc*,firecracker*",
        metavar="PATTERNS",
        help="runtime classes, or their handlers, whose pods have a network stack of their own: "
        "they are never captured (default: %(default)s)",
    )
    parser.add_argument(
        "--log-level",
        choices=["debug", "info", "warning", "error"],
        default="info",
        help="(default: %(default)s)",
    )
    return parser
