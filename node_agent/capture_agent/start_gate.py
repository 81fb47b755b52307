"""What the agent answers when the container runtime asks whether a pod may start.

The runtime waits for each answer, and no other pod of the node starts meanwhile. So everything is
decided from memory: by the dispatch where it has the pod already, or else by the CapturePrograms,
as the operator will. A pod that nothing captures costs a look-up.

A pod whose capture says `failurePolicy: Fail` does not start uncaptured: none of its containers is
created until the cause is gone; the kubelet tries again. The sandbox itself is never refused: after
that, containerd before 2.2.6 does not survive its next restart (containerd issue 13609). Pods of
namespaces that the cluster can't do without are never refused anything.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from capture_agent.candidates import Candidates
from capture_agent.pod_loop import PodLoop
from capture_agent.records import PodRecord
from capture_api.contests import Candidate
from capture_api.node_captures import DispatchedPod, PodState
from capture_nri.pod_sandboxes import PodSandbox

log = logging.getLogger(__name__)

_RUNTIME_LABELS = ("io.kubernetes.pod.", "io.cri-containerd.")
"""What the kubelet and the runtime add to a pod's labels."""

_MAY_START = frozenset({PodState.PROGRAMMED, PodState.NOT_APPLICABLE})


class Finder(Protocol):
    """Knows where pods' sandboxes are."""

    def tell(self, described: PodSandbox) -> None:
        """Take note of a sandbox that the runtime describes: it is that of its pod from now on."""

    def ended(self, pod_uid: str) -> None:
        """Forget what the runtime said of a pod: its sandbox is gone."""


class Told(Protocol):
    """Hears whether the runtime asks us before it starts a pod."""

    def __call__(self, *, connected: bool, runtime: str, version: str) -> None:
        """Take what is so from now on."""


@dataclass(frozen=True, slots=True)
class _Claim:
    """A capture's claim to a starting pod."""

    pod: DispatchedPod
    candidate: Candidate | None
    """None where the dispatch names a program that has not reached this node."""

    @property
    def guards_start(self) -> bool:
        return self.candidate is None or self.candidate.guards_start

    @property
    def capture(self) -> str:
        """The TrafficCapture that claims the pod."""
        name = self.pod.program.name if self.pod.program else ""
        return f"{self.pod.namespace}/{name}"


@dataclass(slots=True)
class _Sandbox:
    """A sandbox that the runtime told of."""

    described: PodSandbox
    is_empty: bool = False
    """Whether it is known to have had no container yet."""
    is_ready: bool = False
    """Whether its containers may be created."""


@dataclass(frozen=True, slots=True)
class StartGate:
    """Decides about starting pods.

    `never_refused` are namespaces whose pods start in any case. `closed` is given the UID of each
    pod whose sandbox ended; `told` hears whether the runtime asks us.
    """

    loop: PodLoop
    finder: Finder
    candidates: Candidates
    never_refused: frozenset[str]
    closed: Callable[[str], None]
    told: Told
    _sandboxes: dict[str, _Sandbox] = field(default_factory=dict)
    """By the UID of their pod."""

    async def synchronize(self, sandboxes: tuple[PodSandbox, ...]) -> None:
        """Take over the sandboxes that are there: their containers may run."""
        for gone in self._sandboxes.keys() - {described.uid for described in sandboxes}:
            self._let_go(gone)
        for described in sandboxes:
            self._take_over(described)
            claim = self._claim(described)
            if claim is not None:
                self.loop.add(claim.pod)

    async def pod_starts(self, described: PodSandbox) -> None:
        """Capture a pod that has no container yet; if that fails, its containers are refused."""
        sandbox = self._take_over(described)
        sandbox.is_empty, sandbox.is_ready = True, False
        claim = self._claim(described)
        why_not = None if claim is None else await self._why_not(claim, is_starting=True)
        sandbox.is_ready = why_not is None

    async def container_starts(self, described: PodSandbox) -> str | None:
        """Capture a pod that is not captured yet; a text refuses the container."""
        is_ready = self._is_ready(described)
        sandbox = self._take_over(described)
        refusal = None if is_ready else await self._decide(sandbox)
        if refusal is None:
            sandbox.is_ready = True
            self._begin(sandbox)
        return refusal

    async def pod_stopped(self, described: PodSandbox) -> None:
        """Let go of a sandbox that ends."""
        if self._told_of(described) is not None:
            self._let_go(described.uid)

    async def pod_removed(self, described: PodSandbox) -> None:
        """Let go of a sandbox that was not stopped first."""
        await self.pod_stopped(described)

    def undecided(self, described: PodSandbox) -> str | None:
        """Answer for a container about which no decision was reached in time."""
        claim = self._claim(described)
        why = "it could not be captured in time"
        refusal = None if claim is None else self._refusal(claim, why)
        if refusal is None:
            self._begin(self._take_over(described))
        return refusal

    def connected(self, runtime: str, version: str) -> None:
        """From now on, no pod starts without us."""
        self.told(connected=True, runtime=runtime, version=version)

    def disconnected(self, why: str) -> None:
        """Pods start without us."""
        del why  # which the connection has logged
        self.told(connected=False, runtime="", version="")

    def program_changed(self, namespace: str, name: str) -> None:
        """Decide anew about pods that nobody has dispatched yet."""
        self.candidates.changed(namespace, name)
        for described in (sandbox.described for sandbox in self._sandboxes.values()):
            record = self._known(described)
            if described.namespace == namespace and record is not None and record.is_provisional:
                claim = self._claim(described)
                self.loop.reassign(claim.pod if claim else _pod(described, None))

    def _told_of(self, described: PodSandbox) -> _Sandbox | None:
        """Give what is known of a sandbox; the pod may have had another one before."""
        sandbox = self._sandboxes.get(described.uid)
        is_same = sandbox is not None and sandbox.described.id == described.id
        return sandbox if is_same else None

    def _take_over(self, described: PodSandbox) -> _Sandbox:
        sandbox = self._told_of(described)
        if sandbox is None:
            sandbox = self._sandboxes[described.uid] = _Sandbox(described)
        elif sandbox.described == described:
            return sandbox
        sandbox.described = described
        self.finder.tell(described)
        return sandbox

    def _let_go(self, pod_uid: str) -> None:
        del self._sandboxes[pod_uid]
        self.finder.ended(pod_uid)
        self.closed(pod_uid)
        self.loop.ended(pod_uid)

    def _known(self, described: PodSandbox) -> PodRecord | None:
        uid, namespace, name = described.uid, described.namespace, described.name
        return self.loop.known(uid) or self.loop.mirror(uid, namespace, name)

    def _is_ready(self, described: PodSandbox) -> bool:
        sandbox = self._told_of(described)
        if sandbox is None or sandbox.is_empty or sandbox.is_ready:
            return sandbox is not None and sandbox.is_ready
        # It started while the agent was away, and its containers may run.
        record = self._known(described)
        return record is None or record.captured is not None

    def _begin(self, sandbox: _Sandbox) -> None:
        if sandbox.is_empty:
            sandbox.is_empty = False
            record = self._known(sandbox.described)
            if record is not None:
                self.loop.started(record.pod.uid)

    async def _decide(self, sandbox: _Sandbox) -> str | None:
        claim = self._claim(sandbox.described)
        if claim is None:
            return None
        why_not = await self._why_not(claim, is_starting=sandbox.is_empty)
        return None if why_not is None else self._refusal(claim, why_not)

    async def _why_not(self, claim: _Claim, *, is_starting: bool) -> str | None:
        record = await self.loop.start(claim.pod, is_starting=is_starting)
        return None if record is None else _why_not(record)

    def _claim(self, described: PodSandbox) -> _Claim | None:
        if described.netns_path is None:
            return None  # it is on the node's network
        record = self._known(described)
        if record is not None and not record.is_provisional:
            pod = record.pod
            if pod.program is None:
                return None
            return _Claim(pod, self.candidates.named(pod.namespace, pod.program.name))
        candidate = self.candidates.winner(described.namespace, _own_labels(described))
        return None if candidate is None else _Claim(_pod(described, candidate), candidate)

    def _refusal(self, claim: _Claim, why: str) -> str | None:
        if not claim.guards_start or claim.pod.namespace in self.never_refused:
            log.warning("pod %s/%s starts although: %s", claim.pod.namespace, claim.pod.name, why)
            return None
        message = f"TrafficCapture {claim.capture} can't capture this pod: {why}"
        self.loop.refused(claim.pod.uid, message)
        log.warning("pod %s/%s may not start: %s", claim.pod.namespace, claim.pod.name, message)
        return message


def _own_labels(described: PodSandbox) -> dict[str, str]:
    labels = described.labels.items()
    return {key: value for key, value in labels if not key.startswith(_RUNTIME_LABELS)}


def _pod(described: PodSandbox, candidate: Candidate | None) -> DispatchedPod:
    return DispatchedPod(
        uid=described.uid,
        namespace=described.namespace,
        name=described.name,
        pod_ips=described.ips,
        runtime_class=described.runtime_handler,
        program=candidate.ref if candidate else None,
    )


def _why_not(record: PodRecord) -> str | None:
    finding = record.finding
    return None if finding.state in _MAY_START else f"{finding.reason}: {finding.message}"
