"""The watches: kopf streams every event of the five kinds into the intake.

Only `@kopf.on.event` handlers are used. With those alone kopf writes nothing to any object: no
annotation, no finalizer. Its own names for both are set to ours all the same, and differ from
`capture_api.names.FINALIZER`: kopf takes a finalizer of its configured name off every object.
"""

import random
from collections.abc import Iterator
from typing import Final

import kopf

from capture_api.names import GROUP
from capture_operator.intake import Intake
from capture_operator.resources import WATCHED, Resource

_KOPF_NAME: Final = f"kopf.{GROUP}"


class EndlessBackoff:
    """Delays between attempts, in seconds: doubling from 1 to 30, with jitter, for ever.

    kopf ends the operator when it runs out of delays; an API server that is away for long is
    nothing that a restart would help against.
    """

    def __iter__(self) -> Iterator[float]:
        delay = 1.0
        while True:
            yield delay * random.uniform(0.5, 1.5)  # noqa: S311 - jitter, not a secret
            delay = min(30.0, delay * 2)


def register_watches(registry: kopf.OperatorRegistry, intake: Intake) -> None:
    """Have every event of the kinds we depend on taken in."""
    for resource in WATCHED:
        _register(registry, resource, intake)


def _register(registry: kopf.OperatorRegistry, resource: Resource, intake: Intake) -> None:
    # A coroutine, although it never waits: kopf runs plain functions in threads.
    @kopf.on.event(
        resource.group, resource.version, resource.plural, registry=registry, id=resource.plural
    )
    async def take_in(event: kopf.RawEvent, **_: object) -> None:
        raw = dict(event["object"])
        if event["type"] == "DELETED":
            intake.remove(resource, raw)
        else:
            intake.put(resource, raw)


def kopf_settings() -> kopf.OperatorSettings:
    """Configure kopf to watch, and to do nothing else."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.watching.chunk_size = 500
    settings.networking.error_backoffs = EndlessBackoff()
    settings.process.ultimate_exiting_timeout = 20
    settings.persistence.finalizer = f"{_KOPF_NAME}/finalizer"
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=_KOPF_NAME)
    settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=_KOPF_NAME)
    return settings
