"""`make bench`: measures everything, prints it, and writes `bench/results.json`."""

import figures
import hundred_pods
from cluster_pods import BenchCluster
from local_cluster import access


def main() -> None:
    """Measure, print, write."""
    found = [hundred_pods.measure(BenchCluster(access.cluster()))]
    for figure in found:
        print(figure, flush=True)
    figures.write(found)


main()
