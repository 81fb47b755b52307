"""What PID 1 of a node does: make the namespaces a node, then start its parts in order.

Run by `start`, under `unshare`. It writes its PID, as the host sees it, to stdout, waits on stdin
for the word that its network is connected, and gives up if stdin closes without it. The first node
carries the control plane; the others end when it does.
"""

import http.client
import os
import select
import socket
import ssl
import sys
import threading
from pathlib import Path

from local_cluster import control_plane, inside, kubelet_sysctls, node_parts
from local_cluster.commands import run
from local_cluster.errors import LocalClusterError
from local_cluster.node import API_PORT, CONTROL_PLANE_NODE, Node
from local_cluster.parts import Part
from local_cluster.progress import say
from local_cluster.supervisor import Supervisor

CONNECTED = "connected"
FORWARDING = ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding")


def main(index: str, state: str, binaries: str, lock: str, leader: str | None = None) -> None:
    """Be the PID 1 of the node with this index, and end with `leader`, which is a pidfd."""
    os.set_inheritable(int(lock), False)  # noqa: FBT003 - we hold it, no part may
    if leader:
        end_with(int(leader))
    node = Node(int(index))
    pid = own_pid()
    isolate_mounts(Path(state), node, Path(binaries))
    hand_over(pid)
    forward()
    supervisor = Supervisor(inside.LOG, inside.NODE / "parts.json")
    os.environ["PATH"] = f"{inside.BIN}:{os.environ['PATH']}"
    os.chdir("/")
    try:
        start_parts(supervisor, node)
    except LocalClusterError as error:
        say(f"the node did not start: {error}")
        raise SystemExit(1) from error
    supervisor.watch()


def end_with(leader: int) -> None:
    """End this process, and with it the node, when the process of a pidfd has ended."""
    os.set_inheritable(leader, False)  # noqa: FBT003 - as the lock

    def wait() -> None:
        select.select([leader], [], [])
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def own_pid() -> str:
    """Return our PID as the host numbers it: /proc must still be the host's."""
    return str(Path("/proc/self").readlink())


def hand_over(pid: str) -> None:
    """Tell `start` our PID, and wait until it has connected our network."""
    os.write(1, f"{pid}\n".encode())
    os.dup2(2, 1)
    if sys.stdin.readline().strip() != CONNECTED:
        raise SystemExit("the command that starts the node ended early")


def isolate_mounts(state: Path, node: Node, binaries: Path) -> None:
    """Give the node a /proc, a /run and a /var of its own.

    Mounts made here stay here, but pods may share them among each other (`mountPropagation`), as
    on a machine that systemd booted.
    """
    run(["mount", "-t", "proc", "proc", "/proc"])
    here = {inside.BIN: binaries, inside.NODE: state / node.name}
    if node == CONTROL_PLANE_NODE:
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


def forward() -> None:
    """Let the node pass packets between its pods and eth0."""
    for name in FORWARDING:
        switch = Path("/proc/sys") / name
        if switch.exists():  # IPv6 may be off
            switch.write_text("1")


def start_parts(supervisor: Supervisor, node: Node) -> None:
    """Start the node's parts, each once what it needs answers."""
    leads = node == CONTROL_PLANE_NODE
    stores = (control_plane.etcd(), control_plane.api_server(node)) if leads else ()
    for part in (*stores, node_parts.containerd()):
        supervisor.start(part)
    supervisor.wait_for("containerd's socket", containerd_answers, 30)
    supervisor.run_to_end(import_image("pause.tar"))
    if leads:
        supervisor.wait_for("the API server", lambda: api_server_is_ready(node), 90)
    controllers = (control_plane.controller_manager(), control_plane.scheduler()) if leads else ()
    for part in (*controllers, node_parts.kubelet(node), node_parts.kube_proxy(node)):
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
