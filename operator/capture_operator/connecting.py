"""One set of credentials for both clients: ours for writes and listings, and kopf's for watches."""

from pathlib import Path

import kopf
from kubernetes.aio.client import Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config


class NoCredentialsError(Exception):
    """There is no usable way to the API server; the message says what to do."""


async def load_configuration(kubeconfig: Path | None) -> Configuration:
    """Read how to reach the API server: the pod's service account, or a kubeconfig if given.

    Raises:
        NoCredentialsError: neither is usable.
    """
    configuration = Configuration()
    try:
        if kubeconfig is None:
            # Its token is read again every minute, since the kubelet renews it.
            load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        else:
            await load_kube_config(  # type: ignore[no-untyped-call]
                config_file=str(kubeconfig),
                client_configuration=configuration,
                persist_config=False,
            )
    except (ConfigException, OSError, ValueError) as error:
        remedy = "run it in a pod with a service account, or give --kubeconfig FILE"
        raise NoCredentialsError(f"cannot reach a cluster: {error}; {remedy}") from error
    return configuration


async def kopf_credentials(configuration: Configuration) -> kopf.ConnectionInfo:
    """Say the same to kopf, which asks again whenever the API server refuses its token."""
    header = await configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
    scheme, _, token = (header or "").rpartition(" ")
    return kopf.ConnectionInfo(
        server=configuration.host,
        ca_path=configuration.ssl_ca_cert,
        insecure=not configuration.verify_ssl,
        scheme=scheme or None,
        token=token or None,
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
    )
