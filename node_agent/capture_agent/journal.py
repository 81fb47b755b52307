"""Which chains are ours, on record: for tables and moments in which a mark can't tell.

Legacy tables have no place for a mark, and somebody who restores a saved table drops them. The
journal is written before the chains are, and holds for one boot of the node: a network namespace's
inode number means nothing after it. It needs no fsync for the same reason.

The file begins with all that was known when it was written, in one line of JSON; each further line
is what was put on record of one sandbox since. A pod that starts waits for one line, not for the
records of all pods.
"""

import contextlib
import errno
import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from capture_nat.families import Family

log = logging.getLogger(__name__)

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

MAX_LINES = 1000
"""After the first; then the file is written anew."""

_Tables = dict[str, frozenset[str]]
"""Chains by the name of the family."""
_Chains = dict[str, _Tables]
"""By sandbox key."""
_NAMES: Final = {family: family.name for family in Family}


class _Record(msgspec.Struct):
    boot_id: str
    chains: _Chains


class Journal:
    """The chains that we created or adopted, by sandbox key and family; kept in one file."""

    def __init__(self, path: Path, boot_id: str) -> None:
        self._path = path
        self._new = os.fspath(path.with_suffix(".new"))
        self._boot_id = boot_id
        self._chains = _read(path, boot_id)
        self._lines: int | None = None
        """Those that the file can take yet; None if it has to be written anew."""

    def chains(self, sandbox_key: str, family: Family) -> frozenset[str]:
        """Tell which chains of a sandbox's table are ours."""
        return self._chains.get(sandbox_key, {}).get(_NAMES[family], frozenset())

    @property
    def is_empty(self) -> bool:
        """Whether no sandbox has chains of ours."""
        return not self._chains

    def families(self, sandbox_key: str) -> frozenset[Family]:
        """Tell in which families a sandbox has chains of ours."""
        recorded = self._chains.get(sandbox_key, {})
        return frozenset(family for family, name in _NAMES.items() if name in recorded)

    def record(self, sandbox_key: str, chains: Mapping[Family, frozenset[str]]) -> None:
        """Put on record that these chains of some of a sandbox's tables are ours, and no others.

        Raises:
            OSError: the file can't be written; what was on record stays.
        """
        if all(self.chains(sandbox_key, family) == names for family, names in chains.items()):
            return
        recorded = {_NAMES[family]: names for family, names in chains.items()}
        tables = {**self._chains.get(sandbox_key, {}), **recorded}
        self._note(sandbox_key, {name: names for name, names in tables.items() if names})

    def forget_all_but(self, sandbox_keys: frozenset[str]) -> None:
        """Drop the records of sandboxes that are gone."""
        if not self._chains.keys() <= sandbox_keys:
            self._write({key: self._chains[key] for key in self._chains.keys() & sandbox_keys})

    def remove(self) -> None:
        """Leave nothing behind."""
        self._path.unlink(missing_ok=True)

    def _note(self, sandbox_key: str, tables: _Tables) -> None:
        sandboxes = _noted(self._chains, {sandbox_key: tables})
        if not (self._lines and self._append({sandbox_key: tables})):
            self._write(sandboxes)
        self._chains = sandboxes

    def _append(self, noted: _Chains) -> bool:
        """Add a line, if the file is still there."""
        line = b"\n" + _encoded(noted)
        left, self._lines = self._lines, None  # whatever goes wrong
        try:
            file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            if os.write(file, line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
        finally:
            os.close(file)
        self._lines = left and left - 1
        return True

    def _write(self, chains: _Chains) -> None:
        # The file first: what could not be written must not look recorded to the next attempt.
        with open(self._new, "wb", buffering=0) as file:  # noqa: PTH123 - a starting pod waits
            file.write(_encoded(_Record(self._boot_id, chains)))
        os.replace(self._new, self._path)  # noqa: PTH105 - its atomicity is the point
        self._chains = chains
        self._lines = MAX_LINES


def _encoded(what: _Record | _Chains) -> bytes:
    return msgspec.json.encode(what, order="deterministic")


def _read(path: Path, boot_id: str) -> _Chains:
    with contextlib.suppress(FileNotFoundError):
        try:
            first, *lines = path.read_bytes().split(b"\n")
            record = msgspec.json.decode(first, type=_Record)
        except msgspec.DecodeError:
            log.warning("%s can't be read and is begun anew; the marks on chains remain", path)
            return {}
        if record.boot_id == boot_id:
            return _with_lines(record.chains, lines)
    return {}


def _with_lines(chains: _Chains, lines: Iterable[bytes]) -> _Chains:
    # The last one may be half a line: whoever was killed there had not written the chains yet.
    with contextlib.suppress(msgspec.DecodeError):
        for line in lines:
            chains = _noted(chains, msgspec.json.decode(line, type=_Chains))
    return chains


def _noted(chains: _Chains, noted: _Chains) -> _Chains:
    return {key: tables for key, tables in {**chains, **noted}.items() if tables}
