"""Times as the API writes them."""

import time


def rfc3339(seconds: float) -> str:
    """Write seconds since the epoch as a time in UTC, e.g. `2026-01-31T12:00:00Z`."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
