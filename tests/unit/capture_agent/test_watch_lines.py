"""Lines come out of a stream whole, whatever its chunks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture_agent.watch_lines import LineSplitter, LineTooLongError

LINE = st.binary(min_size=1).filter(lambda line: b"\n" not in line)


@given(st.lists(LINE), st.lists(st.integers(min_value=1, max_value=9)))
def test_lines_are_the_same_however_the_stream_is_cut(lines: list[bytes], sizes: list[int]) -> None:
    """Cutting a stream anywhere changes nothing about its lines."""
    stream = b"".join(line + b"\n" for line in lines)
    splitter = LineSplitter()
    found: list[bytes] = []
    for size in sizes:
        found += splitter.feed(stream[:size])
        stream = stream[size:]
    assert found + splitter.feed(stream) == lines


def test_empty_lines_are_no_events() -> None:
    """A blank line between events is skipped."""
    assert LineSplitter().feed(b"\na\n\n\nb\n") == [b"a", b"b"]


@pytest.mark.parametrize(
    ("before", "chunk"), [(b"", b"abcde"), (b"abc", b"de"), (b"abc", b"de\n"), (b"", b"abcde\n")]
)
def test_a_line_above_the_limit_is_refused(before: bytes, chunk: bytes) -> None:
    """A line is bounded, ended or not, so a stream can't fill the memory."""
    splitter = LineSplitter(limit=4)
    splitter.feed(before)
    with pytest.raises(LineTooLongError, match="more than 4 bytes"):
        splitter.feed(chunk)


def test_many_short_lines_in_one_chunk_are_within_the_limit() -> None:
    """The limit is a line's, not a chunk's."""
    assert LineSplitter(limit=4).feed(b"abcd\nefgh\nij") == [b"abcd", b"efgh"]
