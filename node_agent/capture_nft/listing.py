"""A rule as `iptables-save` of 1.8.9 prints it."""

from capture_nft.rules import Rule


def text_of(rule: Rule, chain: str) -> str:
    """The rule as `-A CHAIN ...`."""
    return " ".join(filter(None, (f"-A {chain}", specification_of(rule))))


def specification_of(rule: Rule) -> str:
    """The rule without `-A CHAIN`; "" if it matches everything and does nothing."""
    return " ".join(
        [
            *([rule.source.words("-s")] if rule.source else []),
            *([rule.destination.words("-d")] if rule.destination else []),
            *([rule.in_interface.words("-i")] if rule.in_interface else []),
            *([rule.out_interface.words("-o")] if rule.out_interface else []),
            *([rule.protocol.words()] if rule.protocol else []),
            *(match.words() for match in rule.matches),
            *([rule.target.words()] if rule.target else []),
        ]
    )
