"""The decoder against https://html.spec.whatwg.org/multipage/server-sent-events.html and the services' own habits."""

import time
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xingchen_core._sse import ServerSentEvent, SSEDecoder


def decode(*chunks: bytes, dispatch_on_data: bool = False) -> list[ServerSentEvent]:
    """Return what a whole body gives: its chunks, then its end."""
    decoder = SSEDecoder(dispatch_on_data=dispatch_on_data)
    return [event for chunk in chunks for event in decoder.feed(chunk)] + decoder.flush()


def fed(body: bytes) -> list[ServerSentEvent]:
    """Return what is known before the end of the body."""
    return SSEDecoder().feed(body)


def datas(events: Iterable[ServerSentEvent]) -> list[bytes]:
    """Return only the data of events."""
    return [event.data for event in events]


def message(data: bytes, *, event: str = "message", id: str = "", comments: tuple[str, ...] = ()) -> ServerSentEvent:
    """Return the event a stream is expected to give."""
    return ServerSentEvent(event, data, id, comments)


# The examples of https://html.spec.whatwg.org/multipage/server-sent-events.html: "intro" are those of its section
# #server-sent-events-intro, the others those of #event-stream-interpretation.


def test_whatwg_intro_example_of_unnamed_events() -> None:
    """Data lines of one block are one event, joined by a newline."""
    body = b"data: This is the first message.\n\ndata: This is the second message, it\ndata: has two lines.\n\n"
    body += b"data: This is the third message.\n\n"
    assert fed(body) == [
        message(b"This is the first message."),
        message(b"This is the second message, it\nhas two lines."),
        message(b"This is the third message."),
    ]


def test_whatwg_intro_example_of_named_events() -> None:
    """The event field names the type."""
    body = b"event: add\ndata: 73857293\n\nevent: remove\ndata: 2153\n\nevent: add\ndata: 113411\n\n"
    assert fed(body) == [
        message(b"73857293", event="add"),
        message(b"2153", event="remove"),
        message(b"113411", event="add"),
    ]


def test_whatwg_example_of_a_stock_ticker() -> None:
    """Three data lines with a space after each colon make one event."""
    assert fed(b"data: YHOO\ndata: +2\ndata: 10\n\n") == [message(b"YHOO\n+2\n10")]


def test_whatwg_example_of_four_blocks() -> None:
    """A comment block gives no event, an empty id resets the id, one space is stripped of two, the last waits."""
    body = b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event"
    assert fed(body) == [
        message(b"first event", id="1", comments=("test stream",)),
        message(b"second event"),
    ]
    assert decode(body)[2:] == [message(b" third event")]


def test_whatwg_example_of_empty_data() -> None:
    """`data` without a colon is an empty line of data; the block without its blank line waits for the end."""
    body = b"data\n\ndata\ndata\n\ndata:"
    assert datas(fed(body)) == [b"", b"\n"]
    assert datas(decode(body)) == [b"", b"\n", b""]


def test_whatwg_example_of_the_optional_space() -> None:
    """`data:test` and `data: test` are the same event."""
    assert fed(b"data:test\n\ndata: test\n\n") == [message(b"test")] * 2


# Line ends


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_the_three_line_ends(end: bytes) -> None:
    """LF, CR and CRLF each end a line."""
    lines = [b"id:7", b"event:add", b"data:a", b"data:b", b"", b"data:c", b"", b""]
    assert fed(end.join(lines)) == [message(b"a\nb", event="add", id="7"), message(b"c", id="7")]


def test_mixed_line_ends() -> None:
    """One block may use all three."""
    assert fed(b"data:a\rdata:b\r\ndata:c\n\r\ndata:d\n\n") == [message(b"a\nb\nc"), message(b"d")]


def test_a_cr_at_the_end_of_a_chunk_does_not_hold_the_event_back() -> None:
    """The CR ends the blank line at once, and an LF in the next chunk is not a second blank line."""
    decoder = SSEDecoder()
    assert datas(decoder.feed(b"data:a\r\n\r")) == [b"a"]
    assert decoder.feed(b"\n") == []
    assert datas(decoder.feed(b"data:b\n\n")) == [b"b"]


def test_a_crlf_between_chunks_is_one_line_end() -> None:
    """Two data lines whose CRLF is torn apart stay one event."""
    assert datas(decode(b"data:a\r", b"\ndata:b\r", b"", b"\n\r", b"\n")) == [b"a\nb"]


def test_only_the_first_lf_after_a_cr_belongs_to_it() -> None:
    """CR, then LF LF in the next chunk, is a line end and a blank line."""
    decoder = SSEDecoder()
    assert decoder.feed(b"data:a\r") == []
    assert datas(decoder.feed(b"\n\n")) == [b"a"]


def test_a_lone_cr_between_chunks_is_a_whole_line_end() -> None:
    """CR, CR makes a blank line although a chunk ends between them."""
    decoder = SSEDecoder()
    assert decoder.feed(b"data:a\r") == []
    assert datas(decoder.feed(b"\r")) == [b"a"]


@pytest.mark.parametrize("text", ["\u2028", "\u2029", "\u0085", "\v", "\f", "\x1c", "\x1d", "\x1e"])
def test_other_line_separators_are_text(text: str) -> None:
    """JSON may carry these unescaped; str.splitlines would cut there."""
    assert [event.text for event in fed(f"data:a{text}b\n\n".encode())] == [f"a{text}b"]


# Text


def test_utf8_may_be_cut_anywhere() -> None:
    """A Chinese answer arrives whole however its bytes are spread over chunks."""
    body = "event:回答\nid:号\n:注\ndata:你好,星尘😀\n\n".encode()
    expected = [message("你好,星尘😀".encode(), event="回答", id="号", comments=("注",))]
    for cut in range(len(body) + 1):
        assert decode(body[:cut], body[cut:]) == expected


def test_text_replaces_what_is_not_utf8() -> None:
    """Broken bytes stay in data and become U+FFFD in text."""
    (event,) = fed(b"data:a\xffb\n\n")
    assert (event.data, event.text) == (b"a\xffb", "a\ufffdb")


@pytest.mark.parametrize("cut", range(5))
def test_a_bom_at_the_start_is_dropped(cut: int) -> None:
    """It is no part of the first line, also when a chunk ends inside it."""
    body = b"\xef\xbb\xbfdata:a\n\n"
    assert datas(decode(body[:cut], body[cut:])) == [b"a"]


def test_a_bom_is_text_anywhere_else() -> None:
    """Only one is dropped, and only at the very start: later it spoils the field name or belongs to the data."""
    bom = b"\xef\xbb\xbf"
    assert fed(bom + bom + b"data:a\n\n") == []
    assert datas(fed(b"\n" + bom + b"data:a\n\ndata:" + bom + b"b\n\n")) == [bom + b"b"]
    assert datas(decode(b"data:a\n\n", bom + b"data:b\n\n")) == [b"a"]


# Fields


def test_only_one_space_after_the_colon_is_stripped() -> None:
    """Further spaces, tabs, and spaces at the end belong to the value."""
    assert datas(fed(b"data:  a \n\ndata:\tb\n\ndata: \n\n")) == [b" a ", b"\tb", b""]


def test_the_first_colon_separates() -> None:
    """A value may contain colons and the text `data:`."""
    assert datas(fed(b'data:{"a":"data:b"}\n\n')) == [b'{"a":"data:b"}']


@pytest.mark.parametrize("line", [b"Data:x", b" data:x", b"data :x", b"datax", b"foo:data:x", b"foo", b"status:400"])
def test_unknown_fields_are_ignored(line: bytes) -> None:
    """Field names are matched exactly; whatever else comes is skipped."""
    assert fed(line + b"\ndata:a\n\n") == [message(b"a")]


@pytest.mark.parametrize("line", [b"event:error", b"event: error"])
def test_event_with_or_without_a_space(line: bytes) -> None:
    """Xingchen documents `event:error`; some gateways add the space."""
    assert fed(line + b"\ndata:{}\n\n") == [message(b"{}", event="error")]


def test_a_block_without_data_is_no_event_and_forgets_its_type() -> None:
    """Its event type does not reach the next block, its id does."""
    assert fed(b"event:error\nid:5\n\ndata:a\n\n") == [message(b"a", id="5")]


def test_the_event_type_holds_for_one_event() -> None:
    """The next block without an event line is a message again."""
    assert fed(b"event:error\ndata:a\n\ndata:b\n\n") == [message(b"a", event="error"), message(b"b")]


def test_the_last_event_line_of_a_block_counts_and_an_empty_one_means_message() -> None:
    """As the WHATWG's event type buffer."""
    assert fed(b"event:a\nevent:b\ndata:1\n\nevent:a\nevent\ndata:2\n\n") == [message(b"1", event="b"), message(b"2")]


def test_the_id_holds_until_the_next_one() -> None:
    """Events without an id line carry the last one."""
    assert [event.id for event in fed(b"data:a\n\nid:1\ndata:b\n\ndata:c\n\nid: 2\ndata:d\n\n")] == ["", "1", "1", "2"]


def test_an_id_with_a_nul_is_ignored() -> None:
    """The id before it stays."""
    assert [event.id for event in fed(b"id:1\ndata:a\n\nid:2\x003\ndata:b\n\n")] == ["1", "1"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"retry:1500", 1500),
        (b"retry: 0", 0),
        (b"retry:1.5", None),
        (b"retry:-1", None),
        (b"retry:", None),
        (b"retry", None),
        ("retry:٣".encode(), None),
        (b"retry:" + b"9" * 5000, None),
    ],
)
def test_retry_is_kept_when_it_is_a_number(line: bytes, expected: int | None) -> None:
    """ASCII digits only; a number beyond all sense is ignored and does not raise."""
    decoder = SSEDecoder()
    assert decoder.feed(line + b"\n\n") == []
    assert decoder.retry == expected


def test_an_invalid_retry_leaves_the_valid_one() -> None:
    """The last valid number counts."""
    decoder = SSEDecoder()
    decoder.feed(b"retry:10\nretry:x\n")
    assert decoder.retry == 10


# Comments


def test_comments_reach_the_event_they_stand_in() -> None:
    """DashScope puts the status of an error event into a comment."""
    body = b'id:1\nevent:error\n:HTTP_STATUS/400\ndata:{"code":"InvalidParameter"}\n\n'
    assert fed(body) == [
        message(b'{"code":"InvalidParameter"}', event="error", id="1", comments=("HTTP_STATUS/400",)),
    ]


def test_comments_since_the_last_event_are_kept_in_order() -> None:
    """A block of comments makes no event, its comments are on the next one, and on that only."""
    body = b":keep-alive\n\n: HTTP_STATUS/200\n:\ndata:a\n\ndata:b\n\n"
    assert fed(body) == [message(b"a", comments=("keep-alive", "HTTP_STATUS/200", "")), message(b"b")]


# Events without blank lines between them


def test_dispatch_on_data_needs_no_blank_lines() -> None:
    """Each data line is an event with the id, type and comments before it."""
    body = b"id:1\nevent:result\n:HTTP_STATUS/200\ndata:{1}\nid:2\nevent:error\n:HTTP_STATUS/400\ndata:{2}\ndata:{3}\n"
    assert SSEDecoder(dispatch_on_data=True).feed(body) == [
        message(b"{1}", event="result", id="1", comments=("HTTP_STATUS/200",)),
        message(b"{2}", event="error", id="2", comments=("HTTP_STATUS/400",)),
        message(b"{3}", id="2"),
    ]


def test_dispatch_on_data_with_blank_lines_gives_no_event_twice() -> None:
    """The same stream with its blank lines gives the same events."""
    lines = [b"id:1", b"event:result", b"data:{1}", b"id:2", b"data:{2}"]
    spaced = [b"id:1", b"event:result", b"data:{1}", b"", b"id:2", b"data:{2}", b"", b""]
    expected = [message(b"{1}", event="result", id="1"), message(b"{2}", id="2")]
    for body in (b"\n".join(lines), b"\n".join(spaced)):
        assert decode(body, dispatch_on_data=True) == expected


# The end of the body


@pytest.mark.parametrize("end", [b"", b"\n", b"\r", b"\r\n", b"\n\n"])
def test_the_end_of_the_body_completes_the_last_event(end: bytes) -> None:
    """Whether its line end or its blank line is missing, it is returned once."""
    assert decode(b"event:stop\ndata:a" + end) == [message(b"a", event="stop")]


@pytest.mark.parametrize("body", [b"", b"\n", b":only a comment", b"id:1\nevent:stop", b"\xef\xbb\xbf", b"\xef\xbb"])
def test_the_end_of_a_body_without_open_data_gives_nothing(body: bytes) -> None:
    """There is no event without data."""
    assert decode(body) == []


def test_a_second_flush_gives_nothing() -> None:
    """An event is returned once."""
    decoder = SSEDecoder()
    assert decoder.feed(b"data:a") == []
    assert datas(decoder.flush()) == [b"a"]
    assert decoder.flush() == []


# Properties

patient = settings(deadline=None)  # a busy machine is no failure

lines = st.one_of(
    st.just(b""),
    st.sampled_from(
        [b"data", b"data:", b"data: a", b"id:1", b"id", b"event:error", b":c", b"retry:10", b"\xef\xbb\xbf"]
    ),
    st.text(st.characters(blacklist_characters="\r\n", blacklist_categories=("Cs",))).map(
        lambda t: b"data:" + t.encode()
    ),
    st.binary().map(lambda raw: raw.replace(b"\r", b"").replace(b"\n", b"")),
)
bodies = st.lists(st.tuples(lines, st.sampled_from([b"\n", b"\r", b"\r\n", b"\n\n", b"\r\n\r\n", b"\r\r"]))).map(
    lambda parts: b"".join(line + end for line, end in parts)
)


@patient
@given(body=bodies, tail=lines, cuts=st.lists(st.integers(min_value=0, max_value=400)), on_data=st.booleans())
def test_chunks_do_not_matter(body: bytes, tail: bytes, cuts: list[int], on_data: bool) -> None:
    """Any chunking of a body gives the events of the whole."""
    body += tail
    edges = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    chunks = [body[start:end] for start, end in pairwise(edges)]
    assert decode(*chunks, dispatch_on_data=on_data) == decode(body, dispatch_on_data=on_data)


@patient
@given(body=bodies)
def test_single_bytes_do_not_matter(body: bytes) -> None:
    """A body in chunks of one byte gives its events as early as they are complete."""
    decoder = SSEDecoder()
    assert [event for i in range(len(body)) for event in decoder.feed(body[i : i + 1])] == fed(body)


values = st.sampled_from([b"", b" ", b"1", b" 7", b"result", b" error", "好".encode(), b"\xff", b"a\0b", b"x: y", b":"])
fields = st.builds(
    lambda name, value: name + b":" + value + b"\n", st.sampled_from([b"id", b"event", b"", b"retry"]), values
)
blocks = st.builds(
    lambda head, data, end: b"".join(head) + b"data:" + data + end,
    st.lists(fields, max_size=4),
    st.one_of(values, st.just(b" {}\r"), st.just(b"1\ndata:2")),
    st.sampled_from([b"\n\n", b"\n\n", b"\n\n", b"\n", b"", b"\r\n\r\n", b"\n\n\n"]),
)
"""Events of one chunk each, as services send them, and some that are not quite that."""


@patient
@given(chunks=st.lists(blocks, min_size=2, max_size=6), on_data=st.booleans())
def test_an_event_per_chunk(chunks: list[bytes], on_data: bool) -> None:
    """The short way for a chunk that is just one event comes to what the long way comes to."""
    assert decode(*chunks, dispatch_on_data=on_data) == decode(b"".join(chunks), dispatch_on_data=on_data)


def test_the_short_way_is_taken() -> None:
    """Else the test above would compare the long way with itself."""
    decoder = SSEDecoder()
    decoder.feed(b":begin\n\n" + b"data:0\n\n")
    decoder._read = pytest.fail  # type: ignore[assignment,method-assign]
    chunk = b"id:1\nevent: error\n:HTTP_STATUS/429\ndata: {}\n\n"
    assert decoder.feed(chunk) == [message(b"{}", event="error", id="1", comments=("HTTP_STATUS/429",))]


@patient
@given(body_lines=st.lists(lines), on_data=st.booleans())
def test_line_ends_do_not_matter(body_lines: list[bytes], on_data: bool) -> None:
    """The same lines with LF, CR or CRLF give the same events."""
    by_lf, by_cr, by_crlf = (decode(end.join(body_lines), dispatch_on_data=on_data) for end in (b"\n", b"\r", b"\r\n"))
    assert by_lf == by_cr == by_crlf


# Cost


def cpu_seconds(body_size: int, chunk_size: int) -> float:
    """Return the CPU time of one event in many chunks, the least of several runs to shut out a busy machine."""
    body = b"data:" + b"x" * body_size + b"\n\n"
    chunks = [body[start : start + chunk_size] for start in range(0, len(body), chunk_size)]
    times = []
    for _ in range(3):
        decoder = SSEDecoder()
        start = time.process_time()
        events = [event for chunk in chunks for event in decoder.feed(chunk)]
        times.append(time.process_time() - start)
        assert [len(event.data) for event in events] == [body_size]
    return min(times)


@pytest.mark.parametrize(
    ("body_size", "chunk_size"), [pytest.param(50_000, 1, id="bytes"), pytest.param(2_500_000, 65_536, id="64-KiB")]
)
def test_time_is_linear_in_the_size_of_an_event(body_size: int, chunk_size: int) -> None:
    """Eight times the size costs about eight times the time; copying a growing buffer would take 64 times."""
    assert cpu_seconds(8 * body_size, chunk_size) < 20 * cpu_seconds(body_size, chunk_size)
