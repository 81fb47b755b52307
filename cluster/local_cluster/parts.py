"""A part of the cluster: a program that the node's supervisor starts and watches."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Part:
    """A long-running program; its log is named after it.

    `restarts` says that a node's service manager starts it again when it ends.
    """

    name: str
    argv: tuple[str, ...]
    restarts: bool = False


def flags(**values: object) -> tuple[str, ...]:
    """Render keyword arguments as `--long-flags=value`, booleans the way Go reads them."""
    return tuple(f"--{name.replace('_', '-')}={_text(value)}" for name, value in values.items())


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
