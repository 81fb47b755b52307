"""The sandboxes that the runtime told of: of each pod the one that lives."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from capture_nri.pod_sandboxes import PodSandbox


class Finder(Protocol):
    """Knows where pods' sandboxes are."""

    def tell(self, described: PodSandbox) -> None:
        """Take note of a sandbox that the runtime describes: it is that of its pod from now on."""

    def ended(self, pod_uid: str) -> None:
        """Forget what the runtime said of a pod: its sandbox is gone."""


@dataclass(slots=True)
class ToldSandbox:
    """A sandbox that the runtime told of."""

    described: PodSandbox
    is_empty: bool = False
    """Whether it is known to have had no container yet."""
    is_ready: bool = False
    """Whether a container was let into it: others may follow."""


class ToldSandboxes:
    """What the runtime told, by pod; `closed` is given each sandbox that ended."""

    def __init__(self, finder: Finder, closed: Callable[[PodSandbox], None]) -> None:
        self._finder = finder
        self._closed = closed
        self._by_pod: dict[str, ToldSandbox] = {}

    def __iter__(self) -> Iterator[ToldSandbox]:
        return iter(self._by_pod.values())

    def of_pod(self, pod_uid: str) -> ToldSandbox | None:
        """Give a pod's sandbox."""
        return self._by_pod.get(pod_uid)

    def get(self, described: PodSandbox) -> ToldSandbox | None:
        """Give just this sandbox; the pod may have another one."""
        sandbox = self.of_pod(described.uid)
        is_same = sandbox is not None and sandbox.described.id == described.id
        return sandbox if is_same else None

    def tell(self, described: PodSandbox) -> ToldSandbox:
        """Take note of a sandbox, of whose pod no other one is known."""
        sandbox = self.get(described)
        if sandbox is None:
            sandbox = self._by_pod[described.uid] = ToldSandbox(described)
        elif sandbox.described == described:
            return sandbox
        sandbox.described = described
        self._finder.tell(described)
        return sandbox

    def let_go(self, sandbox: ToldSandbox) -> None:
        """Forget a sandbox that ended."""
        del self._by_pod[sandbox.described.uid]
        self._finder.ended(sandbox.described.uid)
        self._closed(sandbox.described)

    def living(self, listed: Iterable[PodSandbox]) -> tuple[PodSandbox, ...]:
        """Choose one sandbox a pod among all that a runtime lists, in whichever order.

        It keeps stopped ones for a while. Those have no process any more; where none has one
        (CRI-O without infra containers), that which is known already is the one.
        """
        ranked = sorted(listed, key=lambda each: (each.pid != 0, self.get(each) is not None))
        return tuple({each.uid: each for each in ranked}.values())
