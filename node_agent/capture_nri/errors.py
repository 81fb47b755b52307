"""The one thing that can go wrong in talking to a runtime."""


class NriProtocolError(Exception):
    """The peer doesn't speak NRI, or not whole: the connection is of no more use."""
