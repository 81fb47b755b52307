"""One table of a sandbox, read and written by itself through any backend."""

from capture_agent.nat_backends import TABLE_FAILURES, NatBackend, NatChange, NatView
from capture_agent.sandboxes import Sandbox
from capture_nat.families import Family
from capture_nat.planning import Plan


async def viewed(backend: NatBackend, sandbox: Sandbox, *, family: Family = Family.IPV4) -> NatView:
    """Read a table.

    Raises:
        BackendError: it can't be read; or another of `TABLE_FAILURES`.
    """
    view = (await backend.observe(sandbox, [family]))[family]
    if isinstance(view, TABLE_FAILURES):
        raise view
    return view


async def write(
    backend: NatBackend,
    sandbox: Sandbox,
    view: NatView,
    plan: Plan,
    *,
    family: Family = Family.IPV4,
) -> None:
    """Write a plan.

    Raises:
        BackendError: it was not written; or another of `TABLE_FAILURES`.
    """
    for failure in (await backend.apply(sandbox, {family: NatChange(view, plan)})).values():
        raise failure
