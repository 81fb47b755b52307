"""The whole nf_tables ruleset of a held sandbox, read only where it is not known.

An unchanged generation means an unchanged ruleset, and a dump that equals one that was read before
is not read again, whichever pod it came from.
"""

import asyncio
from typing import Final

from capture_agent.held_sandboxes import HeldSandbox, Seen
from capture_agent.nat_backends import BackendError
from capture_nat.families import Family
from capture_nft.contents import Contents, content_of
from capture_nft.dump_cache import DumpCache
from capture_nft.masks import Pattern
from capture_nft.rule_texts import RuleTexts
from capture_nft.snapshots import decode

_ATTEMPTS: Final = 5
_LARGE: Final = 64 << 10
"""Bytes of a dump, some 200 rules; larger ones are read beside the event loop."""


class RestlessRulesError(BackendError):
    """Somebody writes whenever the rules are read."""

    def __init__(self) -> None:
        super().__init__("TableUnreadable", "the rules keep changing while they are read")


class NftRulesets:
    """Reads rulesets; `texts` remembers those of rules."""

    def __init__(self, texts: RuleTexts) -> None:
        self._texts = texts
        self._cache: DumpCache[Contents] = DumpCache()

    async def read(self, held: HeldSandbox) -> Seen:
        """Read the ruleset, unless it is known.

        Raises:
            NftError: it could not be read.
            RestlessRulesError: somebody wrote again and again while it was read.
        """
        channel = held.channel
        heard, held.heard = held.heard, None
        # Should the generation that was heard of be over, the dump tells.
        generation = heard if heard and held.seen is None else channel.generation()
        if held.seen is not None and held.seen.generation == generation:
            return held.seen
        for _ in range(_ATTEMPTS):
            dump = channel.dump(generation)
            if dump is not None:
                contents = await self._contents(dump)
                held.seen = seen = Seen(generation, dump, contents)
                return seen
            generation = channel.generation()
        raise RestlessRulesError

    async def _contents(self, dump: bytes) -> Contents:
        known = self._cache.find(dump)
        if known is not None:
            return known
        if len(dump) <= _LARGE:
            pattern, contents = _concluded(dump, self._texts)
        else:
            pattern, contents = await asyncio.to_thread(_concluded, dump, RuleTexts())
        self._cache.remember(pattern, contents)
        return contents


def _concluded(dump: bytes, texts: RuleTexts) -> tuple[Pattern, Contents]:
    """Read a dump: what equals it, and what it says."""
    snapshot = decode(dump)
    return Pattern.of(dump), {each: content_of(snapshot, each, texts) for each in Family}
