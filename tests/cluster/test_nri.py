"""The node's own container runtime asks its plugins before a pod starts.

The plugin here is one of the tests' own, beside the agent's, and refuses only what a test started.
"""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from capture_agent.nri_connection import NriConnection
from capture_nri.pod_sandboxes import PodSandbox
from cluster.kube import Kube, eventually
from cluster.node_side import in_netns, only_local, pod_here, run, uid_of
from local_cluster.access import Cluster, node_pid
from local_cluster.inside import NRI_SOCKET

RUNNING = "jsonpath={.status.phase}=Running"


class Observer:
    """Notes what the runtime tells, and lets everything start but the one pod named here."""

    def __init__(self) -> None:
        self.runtime: tuple[str, str] | None = None
        self.runs: tuple[PodSandbox, ...] = ()
        self.heard: list[tuple[str, PodSandbox]] = []
        self.refused: str | None = None
        """A pod's UID."""
        self.refusal = "refused by a test: try again"

    def of(self, uid: str) -> list[str]:
        """What was told of a pod so far."""
        return [what for what, sandbox in list(self.heard) if sandbox.uid == uid]

    async def synchronize(self, sandboxes: tuple[PodSandbox, ...]) -> None:
        """Note what runs."""
        self.runs = sandboxes

    async def pod_starts(self, sandbox: PodSandbox) -> None:
        """Note it."""
        self.heard.append(("starts", sandbox))

    async def container_starts(self, sandbox: PodSandbox) -> str | None:
        """Note it, and refuse the one's."""
        self.heard.append(("container", sandbox))
        return self._answer(sandbox)

    async def pod_stopped(self, sandbox: PodSandbox) -> None:
        """Note it."""
        self.heard.append(("stopped", sandbox))

    async def pod_removed(self, sandbox: PodSandbox) -> None:
        """Note it."""
        self.heard.append(("removed", sandbox))

    def undecided(self, sandbox: PodSandbox) -> str | None:
        """Let it start: other pods are none of the test's business."""
        self.heard.append(("undecided", sandbox))
        return None

    def connected(self, runtime: str, version: str) -> None:
        """Note who this is."""
        self.runtime = (runtime, version)

    def disconnected(self, why: str) -> None:
        """Note that there is no runtime."""
        del why
        self.runtime = None

    def _answer(self, sandbox: PodSandbox) -> str | None:
        return self.refusal if sandbox.uid == self.refused else None


def is_2_0(observer: Observer) -> bool:
    """Tell containerd 2.0: it tells plugins no addresses, and says that its name were v2."""
    assert observer.runtime is not None
    return observer.runtime[1].startswith("v2.0.")


@pytest.fixture
def observer(cluster: Cluster) -> Iterator[Observer]:
    """A plugin of the first node's runtime, connected.

    In a thread: while a test waits for kubectl, no pod of the node waits for the test.
    """
    only_local(cluster)
    observer = Observer()
    with connected(observer):
        yield observer


@contextmanager
def connected(observer: Observer, index: str = "97") -> Iterator[None]:
    """Have an observer be a plugin for a while; plugins are called in the order of their index."""
    socket = Path(f"/proc/{node_pid()}/root{NRI_SOCKET}")
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    connection = NriConnection(observer, socket=socket, name="traffic-capture-test", index=index)
    running = asyncio.run_coroutine_threadsafe(connection.run(), loop)
    try:
        eventually(lambda: observer.runtime)
        yield
    finally:
        running.cancel()
        with suppress(CancelledError):
            asyncio.run_coroutine_threadsafe(_settled(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _settled() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.gather(*others, return_exceptions=True)


def addresses_of(kube: Kube) -> list[str]:
    """List the pod's addresses as the API server has them."""
    return [address["ip"] for address in kube.get("pod/web")["status"]["podIPs"]]


def test_a_plugin_is_told_what_runs(cluster: Cluster, kube: Kube) -> None:
    """Each pod's UID, where its network namespace can be opened, its addresses."""
    only_local(cluster)
    kube.apply(pod_here("web"))
    kube.run("wait", "pod/web", f"--for={RUNNING}", "--timeout=60s")
    observer = Observer()
    with connected(observer):
        assert observer.runtime is not None
        assert observer.runtime[0] == ("v2" if is_2_0(observer) else "containerd")
        addresses = [] if is_2_0(observer) else addresses_of(kube)
    (found,) = (sandbox for sandbox in observer.runs if sandbox.uid == uid_of(kube, "web"))
    assert (found.namespace, found.name) == (kube.namespace, "web")
    assert list(found.ips) == addresses
    assert found.labels["app"] == "web"
    assert found.netns_path is not None
    inode = ("stat", "--dereference", "--format=%i")
    assert run(*inode, found.netns_path) == in_netns(found.uid, *inode, "/proc/self/ns/net")


def test_a_plugin_is_asked_before_a_pods_first_container(observer: Observer, kube: Kube) -> None:
    """With all that programming it takes; and told of the end."""
    kube.apply(pod_here("web"))
    uid = uid_of(kube, "web")
    kube.run("wait", "pod/web", f"--for={RUNNING}", "--timeout=60s")
    addresses = [] if is_2_0(observer) else addresses_of(kube)
    assert observer.of(uid) == ["starts", "container"]
    starting = next(sandbox for _, sandbox in observer.heard if sandbox.uid == uid)
    assert list(starting.ips) == addresses
    assert starting.netns_path is not None
    assert starting.labels["app"] == "web"
    kube.run("delete", "pod/web")
    told = eventually(lambda: observer.of(uid), lambda told: "removed" in told)
    assert told[:2] == ["starts", "container"]
    assert told.index("stopped") < told.index("removed")


def test_a_refused_pod_says_why_and_starts_once_it_may(observer: Observer, kube: Kube) -> None:
    """The user reads our text in an Event on the pod; nothing of it ran before."""
    pod = pod_here("web")
    pod["spec"]["schedulingGates"] = [{"name": "example.com/wait"}]
    kube.apply(pod)
    observer.refused = uid = uid_of(kube, "web")
    kube.patch("pod/web", {"spec": {"schedulingGates": []}})
    event = eventually(lambda: _failure(kube), lambda message: message is not None)
    assert event is not None
    assert observer.refusal in event
    observer.refused = None
    kube.run("wait", "pod/web", f"--for={RUNNING}", "--timeout=60s")
    told = observer.of(uid)
    assert told.count("starts") == 1
    assert told.count("container") > 1


def _failure(kube: Kube) -> str | None:
    fields = "--field-selector=involvedObject.name=web,reason=Failed"
    events = kube.get("events", fields)["items"]
    return str(events[0]["message"]) if events else None
