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
from dataclasses import dataclass
from typing import Protocol

from capture_agent.candidates import Candidates
from capture_agent.claims import Claim, claim_to, unclaimed
from capture_agent.pod_loop import PodLoop
from capture_agent.records import PodRecord
from capture_agent.told_sandboxes import ToldSandbox, ToldSandboxes
from capture_api.node_captures import PodState
from capture_nri.pod_sandboxes import PodSandbox

log = logging.getLogger(__name__)

_MAY_START = frozenset({PodState.PROGRAMMED, PodState.NOT_APPLICABLE})


class Told(Protocol):
    """Hears whether the runtime asks us before it starts a pod."""

    def __call__(self, *, connected: bool, runtime: str, version: str) -> None:
        """Take what is so from now on."""


@dataclass(frozen=True, slots=True)
class StartGate:
    """Decides about starting pods.

    `never_refused` are namespaces whose pods start in any case; `told` hears whether the runtime
    asks us.
    """

    loop: PodLoop
    sandboxes: ToldSandboxes
    candidates: Candidates
    never_refused: frozenset[str]
    told: Told

    async def synchronize(self, sandboxes: tuple[PodSandbox, ...]) -> None:
        """Take over the sandboxes that are there: their containers may run."""
        living = self.sandboxes.living(sandboxes)
        pods = {described.uid for described in living}
        for gone in [each for each in self.sandboxes if each.described.uid not in pods]:
            self._let_go(gone)
        for described in living:
            self._take_over(described)
            claim = self._claim(described)
            if claim is not None:
                self.loop.add(claim.pod)

    async def pod_starts(self, described: PodSandbox) -> None:
        """Capture a pod that has no container yet; if that fails, its containers are refused."""
        sandbox = self._take_over(described)
        sandbox.is_empty = True
        self.loop.begins(described.uid)
        claim = self._claim(described)
        if claim is not None:
            await self.loop.look_now(claim.pod)

    async def container_starts(self, described: PodSandbox) -> str | None:
        """Capture a pod that is not captured yet; a text refuses the container."""
        sandbox = self._take_over(described)
        refusal = None if sandbox.is_ready else await self._refusal_of(sandbox)
        if refusal is None:
            self._begin(sandbox)
        return refusal

    async def pod_stopped(self, described: PodSandbox) -> None:
        """Let go of a sandbox that ends."""
        sandbox = self.sandboxes.get(described)
        if sandbox is not None:
            self._let_go(sandbox)

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
        """Pods start without us: any sandbox may have containers from now on."""
        del why  # which the connection has logged
        for sandbox in self.sandboxes:
            self._is_not_empty(sandbox)
        self.told(connected=False, runtime="", version="")

    def program_changed(self, namespace: str, name: str) -> None:
        """Decide anew about pods that nobody has dispatched yet."""
        self.candidates.changed(namespace, name)
        for described in (sandbox.described for sandbox in self.sandboxes):
            record = self._known(described)
            if described.namespace == namespace and record is not None and record.is_provisional:
                claim = self._claim(described)
                self.loop.reassign(claim.pod if claim else unclaimed(described))

    def _take_over(self, described: PodSandbox) -> ToldSandbox:
        before = self.sandboxes.of_pod(described.uid)
        if before is not None and before.described.id != described.id:
            self._let_go(before)  # whose end was not told
        return self.sandboxes.tell(described)

    def _let_go(self, sandbox: ToldSandbox) -> None:
        self.sandboxes.let_go(sandbox)
        self.loop.ended(sandbox.described.uid)

    def _begin(self, sandbox: ToldSandbox) -> None:
        sandbox.is_ready = True
        self._is_not_empty(sandbox)

    def _is_not_empty(self, sandbox: ToldSandbox) -> None:
        sandbox.is_empty = False
        self.loop.started(sandbox.described.uid)

    def _known(self, described: PodSandbox) -> PodRecord | None:
        uid, namespace, name = described.uid, described.namespace, described.name
        return self.loop.known(uid) or self.loop.mirror(uid, namespace, name)

    async def _refusal_of(self, sandbox: ToldSandbox) -> str | None:
        """Decide about a sandbox into which no container was let."""
        claim = self._claim(sandbox.described)
        if claim is None or self._is_captured(sandbox, claim):
            return None
        await self.loop.look_now(claim.pod)
        record = self._known(sandbox.described)  # a static pod's mirror may have taken it over
        why_not = None if record is None else _why_not(record)
        return None if why_not is None else self._refusal(claim, why_not)

    def _is_captured(self, sandbox: ToldSandbox, claim: Claim) -> bool:
        """Whether a look has found just this sandbox as it is to be.

        What is known of one that started unseen may have been found in the one before it.
        """
        record = self._known(sandbox.described) if sandbox.is_empty else None
        if record is None or record.finding.state is not PodState.PROGRAMMED:
            return False
        return record.held_hash == claim.program.hash

    def _claim(self, described: PodSandbox) -> Claim | None:
        return claim_to(described, self._known(described), self.candidates)

    def _refusal(self, claim: Claim, why: str) -> str | None:
        if not claim.guards_start or claim.pod.namespace in self.never_refused:
            log.warning("pod %s/%s starts although: %s", claim.pod.namespace, claim.pod.name, why)
            return None
        message = f"TrafficCapture {claim.capture} can't capture this pod: {why}"
        self.loop.refused(claim.pod.uid, message)
        log.warning("pod %s/%s may not start: %s", claim.pod.namespace, claim.pod.name, message)
        return message


def _why_not(record: PodRecord) -> str | None:
    finding = record.finding
    return None if finding.state in _MAY_START else f"{finding.reason}: {finding.message}"
