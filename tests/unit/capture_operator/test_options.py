"""The command line."""

import pytest

from capture_operator.options import parse_options


def test_the_defaults_are_those_of_the_design() -> None:
    """Five minutes until an unreachable node is given up."""
    options = parse_options([])
    assert options.release_unreachable_after == 300
    assert options.health_port == 8080
    assert options.kubeconfig is None
    assert (options.log_format, options.log_level) == ("json", "info")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--health-port", "0"], "1-65535"),
        (["--health-port", "http"], "invalid"),
        (["--release-unreachable-after", "-1"], "0 or more"),
        (["--release-unreachable-after", "nan"], "0 or more"),
        (["--log-level", "loud"], "invalid choice"),
    ],
)
def test_a_wrong_option_is_explained(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a traceback."""
    with pytest.raises(SystemExit):
        parse_options(arguments)
    assert complaint in capsys.readouterr().err
