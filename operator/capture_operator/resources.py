"""The kinds of objects the operator reads and writes, by where the API server serves them."""

from dataclasses import dataclass
from typing import Final, NamedTuple

from capture_api.names import CAPTURE_PROGRAMS, GROUP, NODE_CAPTURES, TRAFFIC_CAPTURES, VERSION


class ObjectKey(NamedTuple):
    """Where an object of one kind is; `namespace` is empty for cluster-scoped kinds."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


@dataclass(frozen=True, slots=True)
class Resource:
    """One served kind; `group` is empty for the core group."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """What objects of this kind carry as `apiVersion`."""
        return f"{self.group}/{self.version}" if self.group else self.version


CAPTURES: Final = Resource(GROUP, VERSION, TRAFFIC_CAPTURES, "TrafficCapture")
PROGRAMS: Final = Resource(GROUP, VERSION, CAPTURE_PROGRAMS, "CaptureProgram")
NODE_REPORTS: Final = Resource(GROUP, VERSION, NODE_CAPTURES, "NodeCapture", namespaced=False)
PODS: Final = Resource("", "v1", "pods", "Pod")
NODES: Final = Resource("", "v1", "nodes", "Node", namespaced=False)
EVENTS: Final = Resource("", "v1", "events", "Event")

WATCHED: Final = (CAPTURES, PROGRAMS, NODE_REPORTS, NODES, PODS)
