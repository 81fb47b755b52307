"""Which chains are ours, on record: for tables and moments in which a mark can't tell.

Legacy tables have no place for a mark, and somebody who restores a saved table drops them. The
journal is written before the chains are, and holds for one boot of the node: a network namespace's
inode number means nothing after it. It needs no fsync for the same reason.
"""

import contextlib
import logging
import os
from pathlib import Path

import msgspec

log = logging.getLogger(__name__)

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class _Record(msgspec.Struct):
    boot_id: str
    chains: dict[str, tuple[str, ...]]


class Journal:
    """The chains that we created or adopted, by sandbox key; kept in one file."""

    def __init__(self, path: Path, boot_id: str) -> None:
        self._path = path
        self._boot_id = boot_id
        self._chains = _read(path, boot_id)

    def chains(self, sandbox_key: str) -> frozenset[str]:
        """Tell which chains of a sandbox are ours."""
        return frozenset(self._chains.get(sandbox_key, ()))

    def record(self, sandbox_key: str, chains: frozenset[str]) -> None:
        """Put on record that these chains of a sandbox are ours; nothing is one of ours no more.

        Raises:
            OSError: the file can't be written.
        """
        if self.chains(sandbox_key) == chains:
            return
        others = {key: names for key, names in self._chains.items() if key != sandbox_key}
        self._write({**others, sandbox_key: tuple(sorted(chains))} if chains else others)

    def forget_all_but(self, sandbox_keys: frozenset[str]) -> None:
        """Drop the records of sandboxes that are gone."""
        if not self._chains.keys() <= sandbox_keys:
            self._write({key: self._chains[key] for key in self._chains.keys() & sandbox_keys})

    def _write(self, chains: dict[str, tuple[str, ...]]) -> None:
        # The file first: what could not be written must not look recorded to the next attempt.
        new = self._path.with_suffix(".new")
        new.write_bytes(msgspec.json.encode(_Record(self._boot_id, chains)))
        os.replace(new, self._path)  # noqa: PTH105 - its atomicity is the point
        self._chains = chains


def _read(path: Path, boot_id: str) -> dict[str, tuple[str, ...]]:
    with contextlib.suppress(FileNotFoundError):
        try:
            record = msgspec.json.decode(path.read_bytes(), type=_Record)
        except msgspec.DecodeError:
            log.warning("%s can't be read and is begun anew; the marks on chains remain", path)
            return {}
        if record.boot_id == boot_id:
            return record.chains
    return {}
