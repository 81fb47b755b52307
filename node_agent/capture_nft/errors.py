"""What can go wrong between rules and bytes."""

from capture_nat.errors import NatError


class NftError(NatError):
    """Bytes or rules that can't be worked with."""


class MalformedDumpError(NftError):
    """Bytes that are no sequence of whole netlink messages and attributes."""


class DumpInterruptedError(NftError):
    """The ruleset changed while the kernel dumped it, so the dump may miss or repeat something."""


class KernelRefusalError(NftError):
    """The kernel answered a request with an error; `errno` says which."""

    def __init__(self, errno: int, message: str) -> None:
        super().__init__(message)
        self.errno = errno


class UnknownExpressionError(NftError):
    """An expression that no rule of iptables has, or none that is known here.

    Nothing is said about the rule: ask the tools.
    """


class UnknownExtensionError(UnknownExpressionError):
    """An extension of x_tables that is not known here, in a rule that else is one of iptables.

    The tools print all of it.
    """


class UnreadableRuleError(NftError):
    """A text that is no rule, or none of the grammar that is read here."""
