"""The command line."""

import pytest

from capture_operator.options import parse_options


def test_the_defaults_are_those_of_the_design() -> None:
    """Five minutes until an unreachable node is given up."""
    options = parse_options([])
    assert options.release_unreachable_after == 300
    assert options.health_port == 8080
    assert options.kubeconfig is None
    assert options.excluded_namespaces == frozenset()
    assert (options.log_format, options.log_level) == ("json", "info")


def test_excluded_namespaces_are_given_with_commas() -> None:
    """As the chart does."""
    options = parse_options(["--excluded-namespaces", "kube-system,demo"])
    assert options.excluded_namespaces == {"kube-system", "demo"}
    assert parse_options(["--excluded-namespaces="]).excluded_namespaces == frozenset()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--health-port", "0"], "1-65535"),
        (["--health-port", "http"], "invalid"),
        (["--release-unreachable-after", "-1"], "0 or more"),
        (["--release-unreachable-after", "nan"], "0 or more"),
        (["--log-level", "loud"], "invalid choice"),
        (["--excluded-namespaces", "kube-system, demo"], "' demo' is not the name of a namespace"),
        (["--excluded-namespaces", "Demo"], "is not the name of a namespace"),
        (["--excluded-namespaces", "demo,"], "is not the name of a namespace"),
    ],
)
def test_a_wrong_option_is_explained(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a traceback."""
    with pytest.raises(SystemExit):
        parse_options(arguments)
    assert complaint in capsys.readouterr().err
