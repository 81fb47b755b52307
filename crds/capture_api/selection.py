"""Which pods a capture selects, and which capture wins a pod."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Annotated, Protocol, TypeVar

import msgspec

from capture_api.wire import WireStruct

LabelKey = Annotated[
    str,
    msgspec.Meta(
        max_length=317,
        pattern=r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?"
        r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?\Z",
    ),
]
LabelValue = Annotated[
    str,
    msgspec.Meta(max_length=63, pattern=r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?\Z"),
]


class SelectorOperator(StrEnum):
    """The operators of a label selector requirement."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


class LabelSelectorRequirement(WireStruct, frozen=True):
    """One row of `matchExpressions`."""

    key: LabelKey
    operator: SelectorOperator
    values: Annotated[tuple[LabelValue, ...], msgspec.Meta(max_length=32)] = ()

    def __post_init__(self) -> None:
        """Refuse a requirement that Kubernetes would refuse in a label selector."""
        if bool(self.values) != (self.operator in {SelectorOperator.IN, SelectorOperator.NOT_IN}):
            raise ValueError(
                "values: In and NotIn need at least one; Exists and DoesNotExist take none"
            )

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether the labels satisfy this requirement, as `metav1.LabelSelector` defines it."""
        match self.operator:
            case SelectorOperator.IN:
                return labels.get(self.key) in self.values
            case SelectorOperator.NOT_IN:
                return labels.get(self.key) not in self.values
            case SelectorOperator.EXISTS:
                return self.key in labels
            case SelectorOperator.DOES_NOT_EXIST:
                return self.key not in labels


class LabelSelector(WireStruct, frozen=True):
    """`metav1.LabelSelector`: every label and every expression must match; empty matches all."""

    match_labels: Annotated[dict[LabelKey, LabelValue], msgspec.Meta(max_length=16)] = (
        msgspec.field(default_factory=dict)
    )
    match_expressions: Annotated[
        tuple[LabelSelectorRequirement, ...], msgspec.Meta(max_length=16)
    ] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether a pod with these labels is selected."""
        return all(labels.get(key) == value for key, value in self.match_labels.items()) and all(
            requirement.matches(labels) for requirement in self.match_expressions
        )


class Selecting(Protocol):
    """What selection needs to know of a capture."""

    @property
    def selector(self) -> LabelSelector: ...  # noqa: D102
    @property
    def priority(self) -> int: ...  # noqa: D102
    @property
    def created(self) -> str: ...  # noqa: D102
    @property
    def name(self) -> str: ...  # noqa: D102


C = TypeVar("C", bound=Selecting)


def winner(captures: Iterable[C], labels: Mapping[str, str]) -> C | None:
    """Choose the capture of one namespace that has a pod with these labels.

    Highest priority wins, then the older (RFC 3339 creation time in UTC), then the name.
    """
    selecting = (capture for capture in captures if capture.selector.matches(labels))
    return min(selecting, key=precedence, default=None)


def precedence(capture: Selecting) -> tuple[int, str, str]:
    """Sort key of captures: the one that wins a pod comes first."""
    return (-capture.priority, capture.created, capture.name)
