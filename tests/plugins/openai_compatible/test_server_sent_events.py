import pytest
from hypothesis import given
from hypothesis import strategies as st

from iskra_plugins.openai_compatible.server_sent_events import EventSplitter, LineTooLongError

LINES = st.lists(st.binary(min_size=1, max_size=20).map(lambda data: data.translate(None, b"\r\n").strip() or b"x"))


@given(
    messages=st.lists(LINES.filter(bool), max_size=8),
    line_end=st.sampled_from([b"\n", b"\r\n"]),
    cuts=st.lists(st.integers(min_value=1, max_value=9), min_size=1),
    has_last_blank_line=st.booleans(),
)
def test_what_is_joined_comes_apart_again_wherever_it_is_cut(
    messages: list[list[bytes]], line_end: bytes, cuts: list[int], has_last_blank_line: bool
) -> None:
    encoded = b""
    for lines in messages:
        encoded += b": comment" + line_end + b"event: x" + line_end
        encoded += b"".join(b"data: " + line + line_end for line in lines) + line_end
    if not has_last_blank_line:
        encoded = encoded.removesuffix(line_end)
    splitter = EventSplitter(1_000_000)
    events: list[bytes] = []
    turn = 0
    while encoded:
        size = cuts[turn % len(cuts)]
        events += splitter.feed(encoded[:size])
        encoded = encoded[size:]
        turn += 1
    events += splitter.close()
    assert events == [b"\n".join(lines) for lines in messages]


def test_blank_lines_and_other_fields_are_no_events() -> None:
    splitter = EventSplitter(100)
    assert list(splitter.feed(b"\n\n: ping\n\nid: 3\nretry: 5\n\ndata:a\n\n")) == [b"a"]
    assert list(splitter.close()) == []


@pytest.mark.parametrize(
    "pieces",
    [[b"data: " + b"x" * 100], [b"x" * 20] * 6, [b"data: " + b"x" * 50 + b"\n"] * 2, [b"\n" + b"x" * 101]],
    ids=["one piece", "many pieces", "many lines of one event", "after a line"],
)
def test_too_much_is_refused(pieces: list[bytes]) -> None:
    splitter = EventSplitter(100)
    for piece in pieces[:-1]:
        splitter.feed(piece)
    with pytest.raises(LineTooLongError):
        splitter.feed(pieces[-1])
