"""What the API server is known to store of the node's NodeCapture, from informer and answers."""

from capture_api.node_captures import NodeCapture, NodeCaptureStatus


class StoredNodeCapture:
    """The newest NodeCapture we know, and which status we meant by the one in it.

    An answer to a write or a read is newer than what the informer has, until that changes. Should
    it change to something older than the answer, the next write conflicts and is read again.
    """

    def __init__(self) -> None:
        self._stored: NodeCapture | None = None
        self._informed = ""
        self._written: tuple[NodeCaptureStatus, NodeCaptureStatus] | None = None

    def informed(self, newest: NodeCapture | None) -> None:
        """Take what the informer has, if it is another than last time."""
        version = newest.metadata.resource_version if newest else ""
        if newest is None or version != self._informed:
            self._stored, self._informed = newest, version

    def answered(self, stored: NodeCapture) -> None:
        """Take the answer to a read."""
        self._stored = stored

    def accepted(self, sent: NodeCaptureStatus, stored: NodeCapture) -> None:
        """Take the answer to a write of `sent`."""
        self._stored = stored
        self._written = (sent, stored.status)

    @property
    def resource_version(self) -> str | None:
        """The version that a write builds on; None: there is no NodeCapture."""
        return self._stored.metadata.resource_version if self._stored else None

    @property
    def status(self) -> NodeCaptureStatus:
        """The status as whoever wrote it meant it.

        A CRD older than the agent (Helm doesn't upgrade CRDs) drops the fields that it doesn't
        know: what we sent and what is stored then never become equal, and must not be written
        over and over.
        """
        status = self._stored.status if self._stored else NodeCaptureStatus()
        sent, kept = self._written or (status, status)
        return sent if status == kept else status
