"""Times as the API server writes them, and as we compute with them: seconds since the epoch."""

from datetime import UTC, datetime


def parse_time(text: str) -> float | None:
    """Read an RFC 3339 time; None if it is absent or none."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


def render_time(seconds: float) -> str:
    """Write a time as `metav1.Time` does: UTC, whole seconds."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
