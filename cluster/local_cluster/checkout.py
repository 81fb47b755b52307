"""Where things are in one checkout of the project, as the host sees them."""

from dataclasses import dataclass
from pathlib import Path

from local_cluster.node import Node


@dataclass(frozen=True, slots=True)
class NodeFolder:
    """What one node keeps: its configuration, its `/var`, its logs. It goes when the node goes."""

    path: Path

    @property
    def etc(self) -> Path:
        """Certificates, kubeconfigs and configuration files."""
        return self.path / "etc"

    @property
    def static_pods(self) -> Path:
        """Manifests of pods that the kubelet runs by itself."""
        return self.etc / "manifests"

    @property
    def var(self) -> Path:
        """The node's `/var`."""
        return self.path / "var"

    @property
    def log(self) -> Path:
        """One file per part, and `node.log` of the supervisor."""
        return self.path / "log"

    @property
    def pid(self) -> Path:
        """The node's PID 1, as the host numbers it."""
        return self.path / "pid"

    @property
    def lock(self) -> Path:
        """Held by the PID 1 of a node other than the first, as long as it lives."""
        return self.path / "lock"

    @property
    def parts(self) -> Path:
        """What the supervisor knows about the parts, as JSON."""
        return self.path / "parts.json"


@dataclass(frozen=True, slots=True)
class Checkout:
    """The files that a checkout's cluster uses, all under `.cluster/`."""

    root: Path

    @classmethod
    def this(cls) -> "Checkout":
        """Return the checkout that this package lies in."""
        return cls(Path(__file__).resolve().parents[2])

    @property
    def sources(self) -> Path:
        """The folder of this package and of the Go sources."""
        return self.root / "cluster"

    @property
    def state(self) -> Path:
        """Everything of the running cluster."""
        return self.root / ".cluster"

    @property
    def kubeconfig(self) -> Path:
        """The cluster administrator's kubeconfig."""
        return self.state / "admin.kubeconfig"

    @property
    def bin(self) -> Path:
        """A link to the cached folder of binaries: kubectl, helm, ctr, ..."""
        return self.state / "bin"

    @property
    def control_plane(self) -> Path:
        """Certificates and kubeconfigs of the control plane."""
        return self.state / "control-plane"

    def nodes(self) -> list[Node]:
        """Return the nodes that have a folder here, whether they run or not, in order."""
        indices = (path.name.removeprefix("node") for path in self.state.glob("node*"))
        return sorted(Node(int(index)) for index in indices if index.isdecimal())

    def node(self, node: Node) -> NodeFolder:
        """Return a node's folder."""
        return NodeFolder(self.state / node.name)
