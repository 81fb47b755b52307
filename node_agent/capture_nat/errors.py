"""The root of what can go wrong in the nat domain."""


class NatError(Exception):
    """A program, a table or a plan that can't be worked with; the message says what to do."""
