"""A pod's sandbox is where its oldest process outside of the host's network namespace is."""

import asyncio
from ipaddress import ip_address

import pytest
from msgspec.structs import replace

from capture_agent.processes import Process
from capture_agent.sandbox_finder import SCAN_LIFETIME, SandboxFinder
from capture_agent.sandboxes import Sandbox, find_sandboxes, sandbox_of
from capture_api.node_captures import DispatchedPod, NetnsIdentity
from capture_nri.pod_sandboxes import PodSandbox

HOST = NetnsIdentity(device=4, inode=1)
PODS = NetnsIdentity(device=4, inode=2)
UNSHARED = NetnsIdentity(device=4, inode=3)


def process(pid: int, start_time: int, netns: NetnsIdentity, pod_uid: str = "a") -> Process:
    """Make a process of a pod."""
    return Process(pid=pid, start_time=start_time, pod_uid=pod_uid, netns=netns)


def test_the_oldest_process_leads_to_the_sandbox() -> None:
    """A younger one may have moved itself elsewhere; a PID says nothing about age."""
    found = find_sandboxes([process(10, 200, UNSHARED), process(900, 100, PODS)], HOST)
    assert (found["a"].pid, found["a"].start_time, found["a"].netns) == (900, 100, PODS)


def test_of_two_processes_of_one_tick_the_lower_pid_counts() -> None:
    """PIDs are given out in order; a wrap within a hundredth of a second is not."""
    found = find_sandboxes([process(11, 100, UNSHARED), process(10, 100, PODS)], HOST)
    assert found["a"].pid == 10


def test_an_older_process_on_the_host_network_is_not_the_sandbox() -> None:
    """CRI-O's conmon is one when it lives in the pod's cgroup."""
    found = find_sandboxes([process(10, 50, HOST), process(11, 100, PODS)], HOST)
    assert found["a"].netns == PODS


def test_a_pod_with_processes_on_the_host_network_only_has_no_sandbox() -> None:
    """It may be a moment in a container's start, so it is looked for again."""
    assert find_sandboxes([process(10, 100, HOST)], HOST) == {}


def test_each_pod_has_its_own() -> None:
    """Processes are sorted by the pod they belong to."""
    found = find_sandboxes([process(1, 1, PODS, "a"), process(2, 2, UNSHARED, "b")], HOST)
    assert {uid: sandbox.netns for uid, sandbox in found.items()} == {"a": PODS, "b": UNSHARED}


def test_the_key_tells_sandboxes_of_one_pod_apart() -> None:
    """The journal of a replaced sandbox says nothing about its successor."""
    one = find_sandboxes([process(1, 1, PODS)], HOST)["a"]
    other = find_sandboxes([process(1, 1, UNSHARED)], HOST)["a"]
    assert one.key != other.key


class Node:
    """A node whose processes change, and which counts how often it is scanned."""

    def __init__(self) -> None:
        self.processes: list[Process] = []
        self.scans = 0
        self.seen: frozenset[str] = frozenset()
        self.now = 0.0
        self.opened: dict[int, Sandbox] = {}
        self.kept: dict[str, NetnsIdentity] = {}
        self.addressed: dict[NetnsIdentity, tuple[str, ...]] = {}
        self.finder = SandboxFinder(self, HOST, lambda: self.now, self.remember)

    async def pod_processes(self) -> tuple[Process, ...]:
        """List the processes."""
        self.scans += 1
        return tuple(self.processes)

    async def hold_told(self, told: PodSandbox) -> Sandbox | None:
        """Give what is opened when it is told."""
        return self.opened.get(told.pid)

    async def process(self, pid: int) -> Process | None:
        """Read one of them."""
        return next((each for each in self.processes if each.pid == pid), None)

    async def netns(self, path: str) -> NetnsIdentity | None:
        """Identify a namespace that is kept under a path."""
        return self.kept.get(path)

    async def addresses(self, sandbox: Sandbox) -> tuple[bytes, ...]:
        """List the addresses that are in a namespace."""
        await asyncio.sleep(0)
        return tuple(ip_address(each).packed for each in self.addressed[sandbox.netns])

    def remember(self, keys: frozenset[str]) -> None:
        """Take the keys of all sandboxes that a scan has seen."""
        self.seen = keys


def pod(uid: str) -> DispatchedPod:
    """Dispatch a pod."""
    return DispatchedPod(uid=uid, namespace="demo", name=uid, pod_ips=("10.0.0.1",))


async def test_a_found_sandbox_claims_the_dispatched_addresses() -> None:
    """The scan knows none."""
    node = Node()
    node.processes = [process(1, 1, PODS)]
    sandbox = await node.finder.find(pod("a"))
    assert sandbox is not None
    assert sandbox.pod_ips == ("10.0.0.1",)
    assert node.seen == {sandbox.key}


async def test_one_scan_answers_for_all_pods_of_a_moment() -> None:
    """Also for those that are not there."""
    node = Node()
    node.processes = [process(1, 1, PODS, "a"), process(2, 1, PODS, "b")]
    for uid in ("a", "b", "missing", "missing too"):
        await node.finder.find(pod(uid))
    assert node.scans == 1


async def test_a_pod_that_was_not_found_is_looked_for_again() -> None:
    """Once the scan is too old to answer."""
    node = Node()
    assert await node.finder.find(pod("a")) is None
    node.processes = [process(1, 1, PODS)]
    assert await node.finder.find(pod("a")) is None
    node.now = SCAN_LIFETIME
    assert await node.finder.find(pod("a")) is not None


async def test_a_forgotten_sandbox_is_looked_for_again() -> None:
    """The broker said that it is gone, or another one."""
    node = Node()
    node.processes = [process(1, 1, PODS)]
    await node.finder.find(pod("a"))
    node.processes = [process(2, 2, UNSHARED)]
    node.finder.forget("a")
    node.now = SCAN_LIFETIME
    sandbox = await node.finder.find(pod("a"))
    assert sandbox is not None
    assert sandbox.netns == UNSHARED


async def test_a_static_pod_is_found_by_the_uid_that_the_kubelet_gave_it() -> None:
    """The mirror's own UID is nobody's on the node; the addresses are the mirror's."""
    node = Node()
    node.processes = [process(1, 1, PODS, "manifest-hash")]
    assert await node.finder.find(pod("a")) is None
    sandbox = await node.finder.find(replace(pod("a"), static_pod_uid="manifest-hash"))
    assert sandbox is not None
    assert (sandbox.pod_uid, sandbox.pod_ips) == ("manifest-hash", ("10.0.0.1",))


def told(pid: int, uid: str = "a", path: str = "/run/netns/x", *ips: str) -> PodSandbox:
    """Describe a sandbox as a runtime does."""
    return PodSandbox(
        id="s", uid=uid, namespace="demo", name=uid, labels={}, annotations={},
        runtime_handler="", netns_path=path, pid=pid, ips=ips,
    )  # fmt: skip


def without_addresses(uid: str = "a") -> DispatchedPod:
    """Dispatch a pod of which the API server has no address yet."""
    return replace(pod(uid), pod_ips=())


async def test_what_the_runtime_told_needs_no_scan() -> None:
    """Its word leads to the process; start time and namespace are the process's own."""
    node = Node()
    node.processes = [process(7, 70, PODS)]
    node.finder.tell(told(7, "a", "/run/netns/x", "10.0.0.9"))
    sandbox = await node.finder.find(without_addresses())
    assert sandbox is not None
    assert (sandbox.pid, sandbox.start_time, sandbox.netns) == (7, 70, PODS)
    assert (sandbox.pod_ips, sandbox.addresses_unknown) == (("10.0.0.9",), False)
    assert node.scans == 0


async def test_what_the_runtime_told_is_opened_at_once() -> None:
    """With what the broker verified, nothing else is asked."""
    node = Node()
    opened = sandbox_of(process(7, 70, PODS), ("10.0.0.9",))
    node.opened = {7: opened}
    node.finder.tell(told(7, "a", "/run/netns/x", "10.0.0.9"))
    assert await node.finder.find(without_addresses()) == opened
    assert await node.finder.find(without_addresses()) == opened


async def test_what_has_no_addresses_is_not_opened_when_it_is_told() -> None:
    """Nothing would tell whether the namespace is the pod's."""
    node = Node()
    node.processes = [process(7, 70, PODS)]
    node.opened = {7: sandbox_of(process(7, 71, UNSHARED))}
    node.finder.tell(told(7))
    sandbox = await node.finder.find(without_addresses())
    assert sandbox is not None
    assert sandbox.netns == PODS


async def test_a_runtime_that_tells_no_addresses() -> None:
    """They are unknown until the dispatch has some."""
    node = Node()
    node.processes = [process(7, 70, PODS)]
    node.finder.tell(told(7))
    starting = await node.finder.find(without_addresses())
    assert starting is not None
    assert (starting.pod_ips, starting.addresses_unknown) == ((), True)
    dispatched = await node.finder.find(pod("a"))
    assert dispatched is not None
    assert (dispatched.pod_ips, dispatched.addresses_unknown) == (("10.0.0.1",), False)


@pytest.mark.parametrize("pid", [7, 0])
async def test_addresses_that_nobody_told_are_read_where_the_pod_starts(pid: int) -> None:
    """With a process there or without; those of a pod, of all that a namespace has; once."""
    node = Node()
    node.processes, node.kept = [process(7, 70, PODS)], {"/run/netns/x": PODS}
    node.addressed = {PODS: ("127.0.0.1", "::1", "fe80::1", "fd00::9", "10.0.0.9")}
    node.finder.tell(told(pid))
    starting = await node.finder.find(without_addresses())
    assert starting is not None
    known = await node.finder.find_starting(without_addresses())
    assert known == replace(starting, pod_ips=("10.0.0.9", "fd00::9"), addresses_unknown=False)
    node.addressed.clear()
    assert await node.finder.find(without_addresses()) == known
    assert await node.finder.find_starting(without_addresses()) == known


async def test_addresses_that_nobody_told_are_read_though_the_api_server_has_some() -> None:
    """Those may be of the sandbox before, and stay so for as long as the API server is away."""
    node = Node()
    node.processes = [process(7, 70, PODS)]
    node.addressed = {PODS: ("127.0.0.1", "10.0.0.9")}
    node.finder.tell(told(7))
    starting = await node.finder.find_starting(pod("a"))
    assert starting is not None
    assert (starting.pod_ips, starting.addresses_unknown) == (("10.0.0.9",), False)
    later = await node.finder.find(pod("a"))
    assert later is not None
    assert later.pod_ips == ("10.0.0.9", "10.0.0.1")


async def test_a_namespace_without_an_address_of_a_pod_is_looked_at_again() -> None:
    """It may get one."""
    node = Node()
    node.processes = [process(7, 70, PODS)]
    node.addressed = {PODS: ("127.0.0.1", "fe80::1")}
    node.finder.tell(told(7))
    for dispatched in (without_addresses(), pod("a")):
        starting = await node.finder.find_starting(dispatched)
        assert starting is not None
        assert (starting.pod_ips, starting.addresses_unknown) == (dispatched.pod_ips, False)
    node.addressed = {PODS: ("10.0.0.9",)}
    after = await node.finder.find_starting(without_addresses())
    assert after is not None
    assert after.pod_ips == ("10.0.0.9",)


async def test_addresses_of_a_sandbox_that_is_gone_meanwhile_are_not_remembered() -> None:
    """The pod has another one by then."""
    node = Node()
    node.processes = [process(7, 70, PODS), process(8, 80, UNSHARED)]
    node.addressed = {PODS: ("10.0.0.9",)}
    node.finder.tell(told(7))
    await node.finder.find(without_addresses())
    reading = asyncio.create_task(node.finder.find_starting(without_addresses()))
    await asyncio.sleep(0)
    node.finder.tell(told(8))
    await node.finder.find(without_addresses())
    await reading
    after = await node.finder.find(without_addresses())
    assert after is not None
    assert (after.netns, after.pod_ips) == (UNSHARED, ())


@pytest.mark.parametrize(
    "there", [process(7, 70, PODS, "another"), process(7, 70, HOST), process(8, 70, PODS, "b")]
)
async def test_a_runtime_whose_word_leads_elsewhere_is_not_followed(there: Process) -> None:
    """Another pod's process, the node's namespace, nobody."""
    node = Node()
    node.processes = [there]
    node.finder.tell(told(7))
    assert await node.finder.find(without_addresses()) is None


async def test_a_sandbox_without_a_process_is_where_the_runtime_keeps_it() -> None:
    """CRI-O keeps a namespace by its path alone; never the node's."""
    node = Node()
    node.kept = {"/run/netns/x": PODS, "/run/netns/host": HOST}
    node.finder.tell(told(0, "a", "/run/netns/x", "10.0.0.9"))
    node.finder.tell(told(0, "b", "/run/netns/host", "10.0.0.9"))
    sandbox = await node.finder.find(without_addresses())
    assert sandbox is not None
    assert (sandbox.pid, sandbox.path, sandbox.netns) == (0, "/run/netns/x", PODS)
    assert await node.finder.find(without_addresses("b")) is None


async def test_a_new_sandbox_of_a_pod_takes_the_place_of_the_old_one() -> None:
    """And once it is said to be gone, there is only the scan."""
    node = Node()
    node.processes = [process(7, 70, PODS), process(8, 80, UNSHARED)]
    node.finder.tell(told(7))
    await node.finder.find(pod("a"))
    node.finder.tell(told(8))
    sandbox = await node.finder.find(pod("a"))
    assert sandbox is not None
    assert sandbox.netns == UNSHARED
    node.finder.ended("a")
    node.processes = []
    assert await node.finder.find(pod("a")) is None


async def test_outdated_words_of_a_runtime_give_way_to_a_scan() -> None:
    """It does not talk to us any more, and the pod got another sandbox."""
    node = Node()
    node.finder.tell(told(7))
    node.processes = [process(9, 90, PODS)]
    sandbox = await node.finder.find(pod("a"))
    assert sandbox is not None
    assert sandbox.pid == 9


async def test_a_scan_from_before_a_runtimes_word_does_not_answer_after_it() -> None:
    """The runtime errs about a pod that was seen already, when others were looked for."""
    node = Node()
    node.processes = [process(1, 1, PODS, "a"), process(2, 1, UNSHARED, "b")]
    await node.finder.find(pod("b"))
    node.finder.tell(told(2))
    sandbox = await node.finder.find(pod("a"))
    assert sandbox is not None
    assert sandbox.netns == PODS


async def test_a_new_sandbox_has_addresses_that_only_the_runtime_knows() -> None:
    """The API server still has those of the old one."""
    node = Node()
    node.processes = [process(8, 80, PODS)]
    node.finder.tell(told(8, "a", "/run/netns/x", "10.0.0.9"))
    sandbox = await node.finder.find(pod("a"))
    assert sandbox is not None
    assert sandbox.pod_ips == ("10.0.0.9", "10.0.0.1")


@pytest.mark.parametrize("ips", [("10.0.0.9",), ()])
async def test_a_forged_mirror_does_not_get_the_addresses_of_the_pod_that_it_names(
    ips: tuple[str, ...],
) -> None:
    """Those are what tells that pod's namespace from its own."""
    node = Node()
    node.processes = [process(8, 80, PODS, "victim"), process(9, 90, UNSHARED, "forged")]
    node.addressed = {PODS: ("10.0.0.9",), UNSHARED: ("10.0.0.1",)}
    node.finder.tell(told(8, "victim", "/run/netns/x", *ips))
    node.finder.tell(told(9, "forged", "/run/netns/y"))
    forged = replace(pod("forged"), static_pod_uid="victim")
    for find in (node.finder.find, node.finder.find_starting):
        for claimed in (forged, replace(forged, pod_ips=())):
            sandbox = await find(claimed)
            assert sandbox is not None
            assert sandbox.netns == PODS
            assert (sandbox.pod_ips, sandbox.addresses_unknown) == (claimed.pod_ips, False)
