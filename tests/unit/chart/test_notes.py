"""What Helm prints after an installation."""

import textwrap

import yaml

from capture_api.captures import Mode
from capture_api.names import API_VERSION
from capture_api.resolution import decode_spec, resolve
from unit.chart.rendering import CHART


def test_the_example_in_the_notes_can_be_applied() -> None:
    """A user copies it as it stands."""
    notes = (CHART / "templates" / "NOTES.txt").read_text()
    example = notes.partition("<<END\n")[2].partition("END\n")[0]
    capture = yaml.safe_load(textwrap.dedent(example))
    assert (capture["apiVersion"], capture["kind"]) == (API_VERSION, "TrafficCapture")
    assert decode_spec(capture["spec"]).mode is Mode.ENFORCE
    assert resolve(decode_spec(capture["spec"])).inbound is not None
