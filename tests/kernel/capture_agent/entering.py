"""Reads that happen in a pod's network namespace."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from capture_agent.linux_calls import CLONE_NEWNET, setns
from kernel.pods import Pod

T = TypeVar("T")


@contextmanager
def _in(pod: Pod) -> Iterator[None]:
    with Path(f"/proc/{pod.pid}/ns/net").open() as netns:
        setns(netns.fileno(), CLONE_NEWNET)
        yield


def there(pod: Pod, read: Callable[[], T]) -> T:
    """Read something in a pod's namespace, in a thread of its own that ends with it."""
    found: list[T] = []

    def enter() -> None:
        with _in(pod):
            found.append(read())

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    return found[0]
