"""Failures are understood, whoever worded them."""

import json

import pytest

from capture_agent.kube_answers import WatchEvent, failure_from, failure_in


def test_a_status_says_reason_message_and_patience() -> None:
    """A `metav1.Status` carries everything we want to know."""
    status = {
        "kind": "Status",
        "code": 429,
        "reason": "TooManyRequests",
        "message": "later",
        "details": {"retryAfterSeconds": 3},
    }
    error = failure_from(429, json.dumps(status).encode(), None)
    assert (error.status, error.reason, error.message, error.retry_after) == (
        429,
        "TooManyRequests",
        "later",
        3,
    )


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        (None, None),
        ("", None),
        ("-1", None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
    ],
)
def test_the_retry_after_header_is_seconds(header: str | None, seconds: float | None) -> None:
    """The API server sends whole seconds; dates, as proxies may send, are left to the back-off."""
    assert failure_from(503, b"{}", header).retry_after == seconds


@pytest.mark.parametrize("body", [b"", b"<html>Bad gateway</html>", b"\xff\xfe", b'{"reason": 1}'])
def test_what_is_not_a_status_is_quoted(body: bytes) -> None:
    """The page of a proxy in between is a failure like others, and it is quoted briefly."""
    error = failure_from(502, body + b"x" * 10_000, "5")
    assert (error.status, error.reason, error.retry_after) == (502, "NotKubernetes", 5)
    assert len(error.message) < 1_100


def test_an_error_event_carries_a_failure() -> None:
    """The status is in the object, the HTTP status was 200 long ago."""
    error = failure_in(WatchEvent(type="ERROR", object={"code": 410, "reason": "Expired"}))
    assert (error.status, error.reason) == (410, "Expired")


def test_an_error_event_without_a_status_is_a_failure_too() -> None:
    """A malformed ERROR event names the field and breaks nothing."""
    error = failure_in(WatchEvent(type="ERROR", object={"code": "gone"}))
    assert (error.status, error.reason) == (0, "MalformedStatus")
    assert "$.code" in error.message
