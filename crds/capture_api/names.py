"""The names by which the API server, the kernel and a reader know our things."""

from typing import Final

GROUP: Final = "trafficcapture.io"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"

TRAFFIC_CAPTURES: Final = "trafficcaptures"
CAPTURE_PROGRAMS: Final = "captureprograms"
NODE_CAPTURES: Final = "nodecaptures"

FINALIZER: Final = f"{GROUP}/chains"
"""Holds a deleted TrafficCapture until no node agent reports its chains any more."""

SCHEMA_VERSION: Final = 2
"""The newest meaning of `CaptureProgram.spec.program`; an agent that knows only older ones keeps
what it has and reports `AgentTooOld`. A program says the oldest one that has all of its fields, so
that older agents go on with what they understand: 2 has `dns`, and interfaces and
senders in terms."""
