"""The operator's process: from the command line to running tasks, and down again on SIGTERM."""

import asyncio
import contextlib
import logging
import platform
import sys

import kopf
from kopf._cogs.clients.errors import APINotFoundError
from kopf._core.engines.peering import Identity
from kubernetes.aio.client import ApiClient, Configuration

from capture_operator.assembly import Operator
from capture_operator.connecting import NoCredentialsError, kopf_credentials, load_configuration
from capture_operator.kubernetes_api import KubernetesApi
from capture_operator.logs import configure_logging
from capture_operator.options import Options, parse_options
from capture_operator.watching import kopf_settings, register_watches

_KIND_GONE = (
    "the API server does not know a kind any more that was watched: install the "
    "CustomResourceDefinitions again; until then agents go on with what they know"
)

_log = logging.getLogger(__name__)


def main() -> None:
    """Run the operator until SIGTERM or SIGINT."""
    options = parse_options()
    configure_logging(options.log_format, options.log_level)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(_run(options))
    except NoCredentialsError as error:
        sys.exit(f"traffic-capture-operator: {error}")
    except APINotFoundError:
        # kopf can't go on from here. Started again, the operator waits until the kind is back.
        sys.exit(f"traffic-capture-operator: {_KIND_GONE}")


async def _run(options: Options) -> None:
    configuration = await load_configuration(options.kubeconfig)
    async with ApiClient(configuration) as client:
        operator = Operator(
            api=KubernetesApi(client),
            agent_namespace=options.agent_namespace,
            excluded_namespaces=options.excluded_namespaces,
            give_up_after=options.release_unreachable_after,
            instance=platform.node(),
        )
        await operator.resync.fill()
        _log.info("listed everything; watching")
        await _work(operator, configuration, options.health_port)
    _log.info("stopped")


async def _work(operator: Operator, configuration: Configuration, health_port: int) -> None:
    """Watch and write until kopf is told to stop by a signal, or either fails."""
    stopping = asyncio.Event()
    writes = asyncio.create_task(operator.run())
    writes.add_done_callback(lambda _: stopping.set())
    registry = _registry(operator, configuration, writes)
    try:
        await kopf.operator(
            registry=registry,
            settings=kopf_settings(),
            clusterwide=True,
            standalone=True,
            # kopf would look for the name of the user, and an arbitrary UID has none.
            identity=Identity(platform.node()),
            liveness_endpoint=f"http://0.0.0.0:{health_port}/healthz",
            stop_flag=stopping,
        )
    finally:
        writes.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await writes


def _registry(
    operator: Operator, configuration: Configuration, writes: asyncio.Task[None]
) -> kopf.OperatorRegistry:
    registry = kopf.OperatorRegistry()
    register_watches(registry, operator.intake)

    @kopf.on.login(registry=registry)
    async def log_in(**_: object) -> kopf.ConnectionInfo:
        return await kopf_credentials(configuration)

    @kopf.on.cleanup(registry=registry)
    async def stop_writing(**_: object) -> None:
        # kopf waits for every task of the process before it ends; ours would go on for ever.
        writes.cancel()

    return registry
