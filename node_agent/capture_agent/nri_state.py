"""Whether the runtime asks us, as the status has it. Pure."""

from capture_api.node_captures import NriConnection


def told(
    before: NriConnection, *, connected: bool, runtime: str, version: str, now: str
) -> NriConnection:
    """Take what the connection tells: it says again and again what is so already.

    Args:
        before: what was so.
        connected: whether the runtime asks us now.
        runtime: what it calls itself, "" if it did not say.
        version: of the runtime.
        now: RFC 3339, UTC.
    """
    return NriConnection(
        connected=connected,
        runtime=runtime or before.runtime,
        version=version or before.version,
        since=before.since if connected is before.connected else now,
    )
