"""What the agent does when a runtime tells of its pods."""

from typing import Protocol

from capture_nri.pod_sandboxes import PodSandbox


class NriHandler(Protocol):
    """Is called in the order in which the runtime tells, one call at a time.

    While it thinks, no other pod of the node starts: it answers from memory and programs, and never
    waits for anything else. A coroutine that raises or takes longer than its budget is cancelled;
    for a container `undecided` answers in its place. The plain methods only look up or note
    something.
    """

    async def synchronize(self, sandboxes: tuple[PodSandbox, ...]) -> None:
        """All sandboxes that exist; what isn't among them ended unseen. At least once a session."""

    async def pod_starts(self, sandbox: PodSandbox) -> None:
        """A sandbox has its network and no container yet; it starts, whatever becomes of this."""

    async def container_starts(self, sandbox: PodSandbox) -> str | None:
        """A container is about to be created, the first of its sandbox or a later one.

        None lets it be created; with a text the kubelet tries again, in the same sandbox.
        """

    async def pod_stopped(self, sandbox: PodSandbox) -> None:
        """The sandbox's processes have ended; its network may be gone already."""

    async def pod_removed(self, sandbox: PodSandbox) -> None:
        """The runtime has forgotten the sandbox; not always announced as stopped before."""

    def undecided(self, sandbox: PodSandbox) -> str | None:
        """Answer for `container_starts`, which raised or took too long."""

    def connected(self, runtime: str, version: str) -> None:
        """From now on no pod starts without us; `synchronize` has been called before."""

    def disconnected(self, why: str) -> None:
        """Pods start without us; at the end of each session, and when `why` changes without one."""
