"""Log lines."""

import json
import logging

from capture_operator.logs import JsonFormatter


def test_a_record_is_one_line_of_json() -> None:
    """Also with a traceback."""
    error = ValueError("two\nlines")
    info = (type(error), error, error.__traceback__)
    record = logging.LogRecord("here", logging.ERROR, "f", 1, "%s failed", ("it",), info)
    line = JsonFormatter().format(record)
    assert "\n" not in line
    entry = json.loads(line)
    assert (entry["level"], entry["logger"], entry["message"]) == ("error", "here", "it failed")
    assert "ValueError" in entry["exception"]
