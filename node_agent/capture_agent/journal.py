"""Which chains are ours, on record: for tables and moments in which a mark can't tell.

Legacy tables have no place for a mark, and somebody who restores a saved table drops them. The
journal is written before the chains are, and holds for one boot of the node: a network namespace's
inode number means nothing after it. It needs no fsync for the same reason.
"""

import contextlib
import logging
import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from capture_nat.families import Family

log = logging.getLogger(__name__)

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


_Chains = dict[str, dict[str, tuple[str, ...]]]
"""By sandbox key, then by name of the family."""


class _Record(msgspec.Struct):
    boot_id: str
    chains: _Chains


class Journal:
    """The chains that we created or adopted, by sandbox key and family; kept in one file."""

    def __init__(self, path: Path, boot_id: str) -> None:
        self._path = path
        self._boot_id = boot_id
        self._chains = _read(path, boot_id)

    def chains(self, sandbox_key: str, family: Family) -> frozenset[str]:
        """Tell which chains of a sandbox's table are ours."""
        return frozenset(self._chains.get(sandbox_key, {}).get(family.name, ()))

    @property
    def is_empty(self) -> bool:
        """Whether no sandbox has chains of ours."""
        return not self._chains

    def families(self, sandbox_key: str) -> frozenset[Family]:
        """Tell in which families a sandbox has chains of ours."""
        recorded = self._chains.get(sandbox_key, {})
        return frozenset(family for family in Family if family.name in recorded)

    def record(self, sandbox_key: str, chains: Mapping[Family, frozenset[str]]) -> None:
        """Put on record that these chains of some of a sandbox's tables are ours, and no others.

        Raises:
            OSError: the file can't be written; what was on record stays.
        """
        if all(self.chains(sandbox_key, family) == names for family, names in chains.items()):
            return
        recorded = {family.name: tuple(sorted(names)) for family, names in chains.items()}
        tables = {**self._chains.get(sandbox_key, {}), **recorded}
        tables = {name: names for name, names in tables.items() if names}
        sandboxes = {**self._chains, sandbox_key: tables}
        self._write({key: each for key, each in sandboxes.items() if each})

    def forget_all_but(self, sandbox_keys: frozenset[str]) -> None:
        """Drop the records of sandboxes that are gone."""
        if not self._chains.keys() <= sandbox_keys:
            self._write({key: self._chains[key] for key in self._chains.keys() & sandbox_keys})

    def remove(self) -> None:
        """Leave nothing behind."""
        self._path.unlink(missing_ok=True)

    def _write(self, chains: _Chains) -> None:
        # The file first: what could not be written must not look recorded to the next attempt.
        new = self._path.with_suffix(".new")
        new.write_bytes(msgspec.json.encode(_Record(self._boot_id, chains)))
        os.replace(new, self._path)  # noqa: PTH105 - its atomicity is the point
        self._chains = chains


def _read(path: Path, boot_id: str) -> _Chains:
    with contextlib.suppress(FileNotFoundError):
        try:
            record = msgspec.json.decode(path.read_bytes(), type=_Record)
        except msgspec.DecodeError:
            log.warning("%s can't be read and is begun anew; the marks on chains remain", path)
            return {}
        if record.boot_id == boot_id:
            return record.chains
    return {}
