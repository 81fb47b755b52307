"""The command line of the operator."""

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_SERVICE_ACCOUNT_NAMESPACE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_DEFAULT_NAMESPACE: Final = "traffic-capture-system"
_MAX_PORT: Final = 65535
_NAMESPACE: Final = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Options:
    """How one operator runs; `release_unreachable_after` is in seconds."""

    kubeconfig: Path | None
    agent_namespace: str
    excluded_namespaces: frozenset[str]
    release_unreachable_after: float
    health_port: int
    log_format: str
    log_level: str


def parse_options(arguments: Sequence[str] | None = None) -> Options:
    """Read the command line; exits with a usage message if it is wrong."""
    return Options(**vars(_parser().parse_args(arguments)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="traffic-capture-operator",
        description=(
            "Resolves TrafficCaptures of the whole cluster, tells each node's agent which pods "
            "to capture, and reports what the agents find in the captures' status."
        ),
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--kubeconfig",
        type=Path,
        metavar="FILE",
        help="reach the cluster as this file says, for development; without it as the service "
        "account of the pod",
    )
    parser.add_argument(
        "--agent-namespace",
        metavar="NAMESPACE",
        default=_own_namespace(),
        help="where the node agents run",
    )
    parser.add_argument(
        "--excluded-namespaces",
        type=_namespaces,
        metavar="NAMESPACE,...",
        default="",
        help="where nothing is ever captured; captures there are Stalled",
    )
    parser.add_argument(
        "--release-unreachable-after",
        type=_seconds,
        metavar="SECONDS",
        default=300.0,
        help="let a deleted capture go although a node that is not ready, or has no ready agent, "
        "has not confirmed the removal for so long; its agent removes the rest when it is back",
    )
    parser.add_argument(
        "--health-port",
        type=_port,
        metavar="PORT",
        default=8080,
        help="port of /healthz, 1-65535",
    )
    parser.add_argument("--log-format", choices=["json", "plain"], default="json", help="log lines")
    parser.add_argument(
        "--log-level",
        choices=["debug", "info", "warning", "error"],
        default="info",
        help="log from this level on",
    )
    return parser


def _own_namespace() -> str:
    try:
        return _SERVICE_ACCOUNT_NAMESPACE.read_text(encoding="utf-8").strip()
    except OSError:
        return _DEFAULT_NAMESPACE


def _namespaces(text: str) -> frozenset[str]:
    names = frozenset(text.split(",")) if text else frozenset()
    for name in names:
        if not _NAMESPACE.fullmatch(name):
            raise argparse.ArgumentTypeError(
                f"'{name}' is not the name of a namespace: give names with commas between them"
            )
    return names


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of seconds, 0 or more")
    return seconds


def _port(text: str) -> int:
    port = int(text)
    if not 1 <= port <= _MAX_PORT:
        raise argparse.ArgumentTypeError(f"'{text}' is not a port, 1-65535")
    return port
