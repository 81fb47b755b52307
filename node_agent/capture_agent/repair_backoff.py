"""When a pod that keeps being tampered with may be repaired again. Pure."""

import msgspec

FIRST_DELAY = 0.1
LONGEST_DELAY = 30.0
QUIET = 60.0
"""Seconds without a repair after which tampering counts as new."""


class RepairBackoff(msgspec.Struct, frozen=True):
    """Repair at once, then after a delay that doubles from 100 ms to 30 s; times in seconds."""

    last_repair: float | None = None
    delay: float = 0.0

    def wait(self, now: float) -> float:
        """Seconds until the next repair may happen; 0 when it may happen now."""
        if self.last_repair is None or now - self.last_repair >= QUIET:
            return 0.0
        return max(0.0, self.last_repair + self.delay - now)

    def after_repair(self, now: float) -> "RepairBackoff":
        """Account for a repair that happens now."""
        if self.last_repair is None or now - self.last_repair >= QUIET:
            return RepairBackoff(last_repair=now, delay=FIRST_DELAY)
        return RepairBackoff(last_repair=now, delay=min(LONGEST_DELAY, self.delay * 2))
