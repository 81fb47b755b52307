"""`traffic-capture-uninstall`: what the chart runs before and after a release is deleted."""

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from kubernetes.aio.client import ApiClient

from capture_operator.api import ApiError
from capture_operator.connecting import NoCredentialsError, load_configuration
from capture_operator.kubernetes_api import KubernetesApi
from capture_operator.uninstalling import (
    Patience,
    Unconfirmed,
    remove_captures,
    remove_node_captures,
)

_LOOK_AGAIN = 0.5
"""Seconds between two looks at what is left."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Remove what was asked for; what could not be confirmed is told, and is no failure."""
    options = _parser().parse_args(arguments)
    try:
        print(asyncio.run(_run(options)))  # noqa: T201 - Helm shows it
    except (ApiError, NoCredentialsError) as error:
        remedy = "delete the TrafficCaptures yourself, and uninstall with --no-hooks"
        sys.exit(f"traffic-capture-uninstall: {error}; {remedy}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="traffic-capture-uninstall",
        description="Remove traffic-capture's rules and objects from the cluster.",
    )
    parser.add_argument(
        "what",
        choices=["captures", "node-captures"],
        help="captures: every TrafficCapture, while the operator and the agents still run; "
        "node-captures: every NodeCapture, when they don't any more",
    )
    parser.add_argument(
        "--timeout",
        type=float,
        default=120.0,
        metavar="SECONDS",
        help="wait so long for the nodes (default: %(default)s)",
    )
    parser.add_argument(
        "--kubeconfig", type=Path, metavar="FILE", help="default: the pod's service account"
    )
    return parser


async def _run(options: argparse.Namespace) -> str:
    async with ApiClient(await load_configuration(options.kubeconfig)) as client:
        api = KubernetesApi(client)
        if options.what == "node-captures":
            return f"{await remove_node_captures(api)} NodeCaptures deleted"
        pause = partial(asyncio.sleep, _LOOK_AGAIN)
        patience = Patience(options.timeout, time.monotonic, pause)
        return report(await remove_captures(api, patience), options.timeout)


def report(unconfirmed: Sequence[Unconfirmed], timeout: float) -> str:
    """Say what became of the captures."""
    if not unconfirmed:
        return "every TrafficCapture is deleted, and its rules are gone from the pods"
    lines = [f"  {left.key}: {'; '.join(left.why) or 'nothing is known'}" for left in unconfirmed]
    first = (
        f"Not confirmed within {timeout:.0f} s: pods on the nodes named here may still have the "
        "rules of these TrafficCaptures, until those pods are deleted:"
    )
    return "\n".join([first, *lines])
