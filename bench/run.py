"""`make bench`: measures, prints, and writes `bench/results.json` and the table in the docs.

python bench/run.py                       everything
python bench/run.py --only checks         some; what else was measured before stays
python bench/run.py --without-cluster     what needs root and no cluster
"""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import applies
import checks
import cluster_start
import documents
import figures
import footprint
import hundred_pods
import port_change
import repairs
import sandbox_starts
from cluster_pods import BenchCluster
from figures import Figure
from local_cluster import access
from local_cluster.errors import LocalClusterError

_ON_THIS_MACHINE: Final[Mapping[str, Callable[[], Awaitable[list[Figure]]]]] = {
    "checks": checks.measure,
    "applies": applies.measure,
    "repairs": repairs.measure,
    "port-change": port_change.measure,
    "sandbox-starts": sandbox_starts.measure,
    "footprint": footprint.measure,
}
_ON_A_CLUSTER: Final[Mapping[str, Callable[[BenchCluster], list[Figure]]]] = {
    "hundred-pods": hundred_pods.measure,
    "pod-start": cluster_start.measure,
}


def main() -> None:
    """Measure, print, write."""
    options = _options()
    chosen = options.only or [*_ON_THIS_MACHINE, *_ON_A_CLUSTER]
    if options.without_cluster:
        chosen = [name for name in chosen if name in _ON_THIS_MACHINE]
    try:
        for name in chosen:
            found = _measured(name)
            for figure in found:
                print(documents.line(figure.record()), flush=True)
            documents.write(figures.keep(found))
    except LocalClusterError as error:
        sys.exit(f"bench: {error}")


def _measured(name: str) -> list[Figure]:
    if name in _ON_THIS_MACHINE:
        return asyncio.run(_awaited(_ON_THIS_MACHINE[name]()))
    return _ON_A_CLUSTER[name](BenchCluster(access.cluster()))


async def _awaited(figures_to_be: Awaitable[list[Figure]]) -> list[Figure]:
    return await figures_to_be


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure traffic-capture beside its alternatives.")
    names = [*_ON_THIS_MACHINE, *_ON_A_CLUSTER]
    parser.add_argument("--only", action="append", choices=names, help="one measurement; repeat")
    parser.add_argument("--without-cluster", action="store_true", help="what needs no cluster")
    return parser.parse_args()


main()
