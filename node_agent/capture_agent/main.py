"""Wiring."""


def main() -> None:
    """Run."""
