"""Where the API server is and who we are to it, as every pod is told (in-cluster configuration).

The kubelet replaces the token of a service account before it expires (after an hour by default), so
it is read again every minute, and at once when the API server refuses it.
https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/
"""

import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from capture_agent.kube_errors import ApiUnavailableError, NotInClusterError

SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TOKEN_LIFETIME: Final = 60.0
"""Seconds for which a token that was read is used without looking again."""


class TokenFile:
    """The bearer token in a file that somebody else replaces."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._token: str | None = None
        self._read_at = 0.0

    def current(self) -> str:
        """Give the token, at most a minute old.

        Raises:
            ApiUnavailableError: the file can't be read or is empty.
        """
        now = self._clock()
        if self._token is None or now - self._read_at >= TOKEN_LIFETIME:
            self._token, self._read_at = self._read(), now
        return self._token

    def refused(self) -> None:
        """Learn that the API server didn't accept the token: the next one is read anew."""
        self._token = None

    def _read(self) -> str:
        try:
            token = self._path.read_text(encoding="ascii").strip()
        except (OSError, ValueError) as error:
            raise ApiUnavailableError(
                f"the service account token can't be read from {self._path}: {error}"
            ) from error
        if not token:
            raise ApiUnavailableError(f"the service account token in {self._path} is empty")
        return token


@dataclass(frozen=True, slots=True)
class ApiServer:
    """An API server and how it is spoken to.

    Without `token` the client certificate in `tls`, if any, says who we are.
    """

    base_url: str
    tls: ssl.SSLContext | None = None
    token: TokenFile | None = None


def in_cluster(environ: Mapping[str, str], directory: Path = SERVICE_ACCOUNT) -> ApiServer:
    """Find the API server of the cluster that this process runs in.

    Raises:
        NotInClusterError: the environment or the service account's files are missing.
    """
    host = environ.get("KUBERNETES_SERVICE_HOST")
    port = environ.get("KUBERNETES_SERVICE_PORT")
    if not host or not port:
        raise NotInClusterError(
            "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set: run in a pod"
        )
    return ApiServer(
        base_url=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
        tls=cluster_tls(directory / "ca.crt"),
        token=TokenFile(directory / "token"),
    )


def cluster_tls(authorities: Path) -> ssl.SSLContext:
    """Trust the cluster's certificate authorities and nobody else.

    Raises:
        NotInClusterError: the file is missing or holds no certificate.
    """
    try:
        context = ssl.create_default_context(cafile=authorities)
    except OSError as error:
        raise NotInClusterError(
            f"the cluster's certificate authorities can't be read from {authorities}: {error}: "
            "the pod needs automountServiceAccountToken"
        ) from error
    # Python 3.13 demands X.509 extensions that the authorities of many clusters lack (EKS's have no
    # key identifier, MicroK8s's no key usage); chain, dates and host name are checked all the same.
    # https://github.com/kubernetes-client/python/issues/2394
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context
