"""What PID 1 of a node does: make the namespaces a node, then start its parts in order.

Run by `start`, under `unshare`. It writes its PID, as the host sees it, to stdout, waits on stdin
for the word that its network is connected, and gives up if stdin closes without it.
"""

import http.client
import os
import socket
import ssl
import sys
from pathlib import Path

from local_cluster import control_plane, inside, kubelet_sysctls, node_parts
from local_cluster.commands import run
from local_cluster.errors import LocalClusterError
from local_cluster.node import API_PORT, HOST_INTERFACE, Node
from local_cluster.parts import Part
from local_cluster.progress import say
from local_cluster.supervisor import Supervisor

CONNECTED = "connected"
FORWARDING = ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding")


def main(index: str, lock: str, state: str, binaries: str) -> None:
    """Be the PID 1 of the node with this index."""
    os.set_inheritable(int(lock), False)  # noqa: FBT003 - we hold it, no part may
    node = Node(int(index))
    hand_over_pid()
    isolate_mounts(Path(state), node, Path(binaries))
    connect_network(node)
    supervisor = Supervisor(inside.LOG, inside.NODE / "parts.json")
    os.environ["PATH"] = f"{inside.BIN}:{os.environ['PATH']}"
    os.chdir("/")
    try:
        start_parts(supervisor, node)
    except LocalClusterError as error:
        say(f"the node did not start: {error}")
        raise SystemExit(1) from error
    supervisor.watch()


def hand_over_pid() -> None:
    """Tell `start` our PID: /proc is still the host's, so that is how it numbers us."""
    os.write(1, f"{Path('/proc/self').readlink()}\n".encode())
    os.dup2(2, 1)


def isolate_mounts(state: Path, node: Node, binaries: Path) -> None:
    """Give the node a /proc, a /run and a /var of its own.

    Mounts made here stay here, but pods may share them among each other (`mountPropagation`), as
    on a machine that systemd booted.
    """
    run(["mount", "-t", "proc", "proc", "/proc"])
    here = {inside.BIN: binaries, inside.NODE: state / node.name}
    here[inside.CONTROL_PLANE] = state / "control-plane"
    sources = {target: os.open(source, os.O_PATH) for target, source in here.items()}
    run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run"])
    for target, descriptor in sources.items():  # by descriptor: the source may lie below /run
        target.mkdir(parents=True)
        run(["mount", "--bind", f"/proc/{os.getpid()}/fd/{descriptor}", target])
        os.close(descriptor)
    run(["mount", "--bind", inside.NODE / "var", "/var"])
    Path("/run/lock").mkdir()
    kubelet_sysctls.write_files()
    run(["mount", "--make-rshared", "/"])


def connect_network(node: Node) -> None:
    """Wait until `eth0` is here and bring the network up."""
    if sys.stdin.readline().strip() != CONNECTED:
        raise SystemExit("the command that starts the node ended early")
    run(["ip", "link", "set", "lo", "up"])
    run(["ip", "address", "add", str(node.interface), "dev", "eth0"])
    run(["ip", "link", "set", "eth0", "up"])
    run(["ip", "route", "add", "default", "via", str(HOST_INTERFACE.ip)])
    for name in FORWARDING:
        switch = Path("/proc/sys") / name
        if switch.exists():  # IPv6 may be off
            switch.write_text("1")


def start_parts(supervisor: Supervisor, node: Node) -> None:
    """Start everything, each part once what it needs answers."""
    for part in (control_plane.etcd(), node_parts.containerd(), control_plane.api_server(node)):
        supervisor.start(part)
    supervisor.wait_for("containerd's socket", containerd_answers, 30)
    supervisor.run_to_end(import_image("pause.tar"))
    supervisor.wait_for("the API server", lambda: api_server_is_ready(node), 90)
    for part in (
        control_plane.controller_manager(),
        control_plane.scheduler(),
        node_parts.kubelet(node),
        node_parts.kube_proxy(node),
    ):
        supervisor.start(part)


def import_image(archive: str) -> Part:
    """Return the command that loads an image from the folder of binaries into containerd."""
    ctr = (f"{inside.BIN}/ctr", "--address", str(inside.CONTAINERD_SOCKET), "--namespace", "k8s.io")
    return Part(f"import-{archive}", (*ctr, "images", "import", f"{inside.BIN}/{archive}"))


def containerd_answers() -> bool:
    """Say whether something listens on containerd's socket."""
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(inside.CONTAINERD_SOCKET)) == 0


def api_server_is_ready(node: Node) -> bool:
    """Ask the API server's /readyz as the administrator."""
    folder = inside.CONTROL_PLANE
    tls = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    tls.load_cert_chain(folder / "admin.crt", folder / "admin.key")
    server = http.client.HTTPSConnection(str(node.address), API_PORT, timeout=5, context=tls)
    try:
        server.request("GET", "/readyz")
        return server.getresponse().status == http.client.OK
    except OSError:
        return False
    finally:
        server.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
