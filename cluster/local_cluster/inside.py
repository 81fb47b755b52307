"""Where things are as a node sees them, in its own mount namespace.

The paths don't depend on where the checkout is, so neither does any configuration, and no Unix
socket's path grows beyond what the kernel takes.
"""

from pathlib import Path

RUN = Path("/run/local-cluster")
BIN = RUN / "bin"
CONTROL_PLANE = RUN / "control-plane"
NODE = RUN / "node"
ETC = NODE / "etc"
STATIC_PODS = ETC / "manifests"
LOG = NODE / "log"

CONTAINERD_SOCKET = Path("/run/containerd/containerd.sock")
NRI_SOCKET = Path("/run/nri/nri.sock")
KUBELET_ROOT = Path("/var/lib/kubelet")
VOLUME_PLUGINS = KUBELET_ROOT / "volume-plugins"
"""The default is below /usr, which is the host's."""
CNI_PLUGINS = Path("/usr/lib/cni")
"""Where Debian's and Ubuntu's containernetworking-plugins puts them."""
