"""The programs of the cluster, built from their Go modules into one cached folder."""

import json
import platform
from pathlib import Path

from local_cluster import image_archive, runc, versions
from local_cluster.cache import built, key, key_of_files
from local_cluster.checkout import Checkout
from local_cluster.commands import run_long
from local_cluster.node_config import PAUSE_IMAGE
from local_cluster.progress import say, step
from local_cluster.toolchain import go

KUBERNETES_PARTS = (
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
    "kubelet",
    "kubectl",
)
CONTAINERD_COMMANDS = ("containerd", "containerd-shim-runc-v2", "ctr")
# The user's own GOFLAGS could ask for a vendor folder, and a go.work above us for other modules.
GO_ENVIRONMENT = {"GOFLAGS": "-buildvcs=false", "GOWORK": "off"}


def binaries(checkout: Checkout) -> Path:
    """Return the folder with every program of the cluster, building it if an input changed."""

    def build(folder: Path) -> None:
        say("building Kubernetes, containerd, runc and Helm (about 6 minutes once, then seconds)")
        build_all(go(), checkout.sources, folder)

    return built("bin", inputs_key(checkout.sources), build)


def inputs_key(sources: Path) -> str:
    """Return a key of everything that decides what the binaries are."""
    files = [path for name in ("control-plane", "pause") for path in (sources / name).iterdir()]
    pinned = (versions.KUBERNETES, versions.CONTAINERD, versions.RUNC, versions.HELM)
    machine = platform.machine()
    return key(key_of_files(sources, files), *pinned, machine, json.dumps(stamps()))


def build_all(compiler: Path, sources: Path, folder: Path) -> None:
    """Build everything into a folder; Go's own cache makes a second time quick."""
    environment = {**GO_ENVIRONMENT, "CGO_ENABLED": "0", "GOBIN": str(folder)}
    stamp = stamps()

    def local(module: str, name: str) -> None:
        with step(f"building {name}"):
            options = ["-v", "-trimpath", "-ldflags", stamp[module], "-o", str(folder / name)]
            run_long([compiler, "build", *options, "."], cwd=sources / module, env=environment)

    def remote(package: str, version: str, module: str) -> None:
        with step(f"building {package.rsplit('/', 1)[1]} {version}"):
            options = ["-v", "-trimpath", "-ldflags", stamp[module], f"{package}@{version}"]
            run_long([compiler, "install", *options], cwd=folder, env=environment)

    local("control-plane", "control-plane")
    for part in KUBERNETES_PARTS:
        (folder / part).symlink_to("control-plane")
    for command in CONTAINERD_COMMANDS:
        package = f"github.com/containerd/containerd/v2/cmd/{command}"
        remote(package, versions.CONTAINERD, "containerd")
    runc.build(compiler, folder, GO_ENVIRONMENT)
    remote("helm.sh/helm/v4/cmd/helm", versions.HELM, "helm")
    local("pause", "pause")
    image_archive.write(folder / "pause.tar", PAUSE_IMAGE, folder / "pause")


def stamps() -> dict[str, str]:
    """Return the linker flags of each module: the version that each program says it is.

    Without them kubectl can't parse the API server's version, and Helm refuses charts that name a
    minimum version of Kubernetes.
    """
    major, minor, _ = versions.KUBERNETES.removeprefix("v").split(".")
    kubernetes = {
        "k8s.io/component-base/version.gitVersion": versions.KUBERNETES,
        "k8s.io/component-base/version.gitMajor": major,
        "k8s.io/component-base/version.gitMinor": minor,
        "k8s.io/client-go/pkg/version.gitVersion": versions.KUBERNETES,
    }
    helm = {"helm.sh/helm/v4/internal/version.version": versions.HELM}
    containerd = {"github.com/containerd/containerd/v2/version.Version": versions.CONTAINERD}
    variables = {"control-plane": kubernetes, "helm": helm, "containerd": containerd, "pause": {}}
    return {module: _linker_flags(stamped) for module, stamped in variables.items()}


def _linker_flags(variables: dict[str, str]) -> str:
    return " ".join(["-s -w", *(f"-X {name}={value}" for name, value in variables.items())])
