"""What the API server tells of objects, each with the moment at which it was told."""

import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any, Final

_PATIENCE: Final = 60.0
_WATCH: Final = (
    "watch=true&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan"
)
"""A bookmark follows what is there already."""

Object = dict[str, Any]


class Watch:
    """One kind's objects: those that were there, and each change of one."""

    def __init__(self) -> None:
        self._told: list[tuple[float, Object]] = []
        self._more = threading.Condition()
        self._has_begun = threading.Event()

    def read(self, stream: IO[bytes]) -> None:
        """Note what is told, to the end."""
        for line in stream:
            event = json.loads(line)
            if event["type"] == "BOOKMARK":
                self._has_begun.set()
                continue
            with self._more:
                self._told.append((time.perf_counter(), event["object"]))
                self._more.notify()

    def begin(self) -> None:
        """Wait until every change from now on will be told.

        Raises:
            TimeoutError: it is not so within a minute.
        """
        if not self._has_begun.wait(_PATIENCE):
            raise TimeoutError("the API server tells nothing")

    def until(self, is_so: Callable[[Object], bool]) -> float:
        """Wait for an object of which something is so, and tell when that was told first.

        Raises:
            TimeoutError: nothing is told for a minute.
        """
        number = 0
        while True:
            at, seen = self._get(number)
            if is_so(seen):
                return at
            number += 1

    def _get(self, number: int) -> tuple[float, Object]:
        with self._more:
            if not self._more.wait_for(lambda: len(self._told) > number, _PATIENCE):
                raise TimeoutError("the API server tells nothing more")
            return self._told[number]


@contextmanager
def watched(kubectl: Sequence[str], path: str) -> Iterator[Watch]:
    """Watch a kind for the block.

    Args:
        kubectl: how to call it, with the options that name the cluster.
        path: of the kind, in the API server's URLs.
    """
    argv = [*kubectl, "get", "--raw", f"{path}?{_WATCH}"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        if process.stdout is None:
            raise AssertionError("Popen made the pipe")
        watch = Watch()
        thread = threading.Thread(target=watch.read, args=[process.stdout])
        thread.start()
        try:
            watch.begin()
            yield watch
        finally:
            process.terminate()
            thread.join()
