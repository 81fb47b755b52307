"""What can go wrong, told to the person at the keyboard."""


class LocalClusterError(Exception):
    """Ends the command with its message, which says what was wrong and what to do about it."""


class ClusterNotRunningError(LocalClusterError):
    """There is no running cluster to use."""
