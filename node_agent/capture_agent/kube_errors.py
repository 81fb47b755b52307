"""What can go wrong between the agent and the API server: it refused, or it wasn't there."""


class KubeError(Exception):
    """No usable answer from the API server; what was known before stays true until there is one.

    `retry_after` is how long it asked to be left alone, in seconds.
    """

    retry_after: float | None = None


class ApiError(KubeError):
    """The API server answered with a failure: its HTTP `status`, `reason` and `message`."""

    def __init__(
        self, status: int, reason: str, message: str, retry_after: float | None = None
    ) -> None:
        super().__init__(f"the API server answered {status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = retry_after


class ApiUnavailableError(KubeError):
    """No answer, an answer that broke off, or one that isn't the API server's."""


class NotInClusterError(KubeError):
    """This process has no service account: it doesn't run in a pod, or the pod mounts none."""
