from itertools import accumulate

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from xingchen_core.chat import (
    Answer,
    ChatDelta,
    ChatReply,
    Message,
    Snapshots,
    StopCutter,
    ToolCall,
    ToolCallPiece,
    Usage,
    cut,
    estimate_tokens,
    gathered,
    joined_calls,
    one_delta,
    written_call,
)

FEW = st.text(alphabet="ab好", max_size=12)
"""Texts of few letters, so that they contain, begin and repeat each other often."""


@pytest.mark.parametrize(
    ("snapshots", "new", "rewritten"),
    [
        ([], [], False),
        (["你", "你好", "你好吗"], ["你", "好", "吗"], False),
        (["你好", "你好"], ["你好", ""], False),
        (["", "你"], ["", "你"], False),
        (["你好", "再见"], ["你好", ""], True),
        (["你好吗", "你"], ["你好吗", ""], True),
        (["你好吗", "你", "你好吗?"], ["你好吗", "", "?"], False),
        (["你好", "再见", "再见了"], ["你好", "", ""], True),
        (["你好", "再见", "你好"], ["你好", "", ""], False),
        (["你好", ""], ["你好", ""], True),
    ],
)
def test_snapshots(snapshots: list[str], new: list[str], rewritten: bool) -> None:
    """Only what is new is shown; a text that took something back shows nothing until it goes on from there."""
    reader = Snapshots()
    assert [reader.feed(snapshot) for snapshot in snapshots] == new
    assert reader.rewritten is rewritten
    assert reader.latest == (snapshots[-1] if snapshots else "")


@given(st.lists(FEW))
@example(["a", "ab", "abab", "abab"])
@example(["ab", "a", "abb"])
def test_what_snapshots_show_was_said(snapshots: list[str]) -> None:
    """What was shown is always one of the snapshots, the last one unless it was rewritten: no duplicates."""
    reader = Snapshots()
    shown = ""
    for snapshot in snapshots:
        shown += reader.feed(snapshot)
        assert shown == reader.shown
        assert shown in ["", *snapshots]
        assert reader.rewritten is (shown != snapshot)


@given(st.lists(FEW))
def test_growing_snapshots_show_all(pieces: list[str]) -> None:
    """The pieces of a text that only grows come out as they went in, repeated snapshots or not."""
    reader = Snapshots()
    grown = list(accumulate(pieces))
    assert [reader.feed(snapshot) for snapshot in grown] == pieces
    assert [reader.feed(snapshot) for snapshot in grown[-1:]] == [""] * bool(grown)
    assert not reader.rewritten


@pytest.mark.parametrize(
    ("chunks", "stop", "shown", "rest", "stopped"),
    [
        (["你好"], [], ["你好"], "", False),
        (["你好"], ["再见"], ["你好"], "", False),
        (["你好。再见"], ["。"], ["你好"], "", True),
        (["你好", "。再", "见"], ["。"], ["你好", "", ""], "", True),
        (["a#", "#b"], ["##"], ["a", ""], "", True),
        (["a#", "b"], ["##"], ["a", "#b"], "", False),
        (["a#"], ["##"], ["a"], "#", False),
        (["##"], ["##"], [""], "", True),
        (["a\nUs", "er", ":b"], ["\nUser:"], ["a", "", ""], "", True),
        (["a\n", "\nUser:"], ["\nUser:"], ["a", "\n"], "", True),
        (["aab"], ["ab"], ["a"], "", True),
        (["a", "a", "b"], ["ab"], ["", "a", ""], "", True),
        (["abc"], ["c", "b"], ["a"], "", True),
        (["xab"], ["ab", "xabc"], [""], "x", True),
        (["xab", "c"], ["ab", "xabc"], ["", ""], "", True),
        (["xab", "d"], ["ab", "xabc"], ["", "x"], "", True),
        (["abc"], [""], ["abc"], "", False),
    ],
)
def test_stop(chunks: list[str], stop: list[str], shown: list[str], rest: str, stopped: bool) -> None:
    """Text comes out as soon as it cannot be the beginning of a stop sequence any more."""
    cutter = StopCutter(stop)
    assert [cutter.feed(chunk) for chunk in chunks] == shown
    assert cutter.flush() == rest
    assert cutter.stopped is stopped
    assert cutter.flush() == ""


def before(text: str, stops: list[str]) -> str:
    """The part of a text before the first stop sequence."""
    return min((text.split(stop)[0] for stop in stops if stop), key=len, default=text)


@given(st.lists(FEW), st.lists(st.text(alphabet="ab好", max_size=4), max_size=3))
@example(["xab", "c"], ["ab", "xabc"])
@example(["abab", "ab", "c"], ["ababc", "bab"])
def test_stop_does_not_depend_on_chunks(chunks: list[str], stops: list[str]) -> None:
    """However a text is cut into chunks, what comes out is the text before its first stop sequence."""
    text = "".join(chunks)
    cutter = StopCutter(stops)
    shown = ""
    for chunk in chunks:
        shown += cutter.feed(chunk)
        assert before(text, stops).startswith(shown)
    shown += cutter.flush()
    assert shown == before(text, stops)
    assert cutter.stopped is any(stop in text for stop in stops if stop)


@given(FEW, st.lists(st.text(alphabet="ab好", max_size=4), max_size=3))
def test_cut(text: str, stops: list[str]) -> None:
    """A whole answer is cut where a streamed one is."""
    assert cut(text, stops) == (before(text, stops), any(stop in text for stop in stops if stop))


def test_cut_by_nothing() -> None:
    """Without stop sequences the text is left alone."""
    assert cut("你好", None) == cut("你好", []) == ("你好", False)


def test_nothing_comes_after_a_stop() -> None:
    """A service that does not know the stop goes on talking: unheard."""
    cutter = StopCutter(["。"])
    assert [cutter.feed(text) for text in ("一。二", "三。", "四")] == ["一", "", ""]
    assert cutter.flush() == ""


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        ("你好", 2),
        ("a", 1),
        ("abcd", 1),
        ("abcde", 2),
        ("你好, world", 4),
        ("。!", 2),
        ("カナ한글", 4),
        ("😀", 1),
    ],
)
def test_estimate_tokens(text: str, tokens: int) -> None:
    """One for each character of East Asia, one for four others, rounded up."""
    assert estimate_tokens(text) == tokens


def test_total_tokens() -> None:
    """Details are parts of the two counts and not added."""
    usage = Usage(1336, 5, input_details={"user_tokens": 7}, output_details={"plugin_tokens": 1})
    assert usage.total_tokens == 1341


def test_message() -> None:
    """A message is immutable and knows its roles; calls may be given as plain dicts."""
    message = Message(role="assistant", tool_calls=[{"name": "f", "arguments": {"x": 1}}])
    assert message.tool_calls == (ToolCall("f", {"x": 1}),)
    assert message.content == ""
    with pytest.raises(ValidationError):
        Message(role="robot")
    with pytest.raises(ValidationError):
        Message(role="user", text="你好")
    with pytest.raises(ValidationError):
        message.content = "x"


def test_gathered() -> None:
    """A stream as one answer: texts joined, what the last delta says kept, a rewritten text taken as it ended."""
    call = ToolCall("f", {})
    deltas = [
        ChatDelta("你", reasoning="想"),
        ChatDelta("好", name="小婉", tool_calls=(call,)),
        ChatDelta(last=True, finish_reason="stop", usage=Usage(1, 2), metadata={"request_id": "r-1"}),
    ]
    answer = Answer("你好", name="小婉", reasoning="想", tool_calls=(call,), finish_reason="stop")
    assert gathered(deltas) == ChatReply((answer,), Usage(1, 2), {"request_id": "r-1"})
    deltas[-1].metadata = {"rewritten": True, "final_text": "不能说"}
    assert gathered(deltas).answers[0].text == "不能说"


def test_one_delta() -> None:
    """A whole answer as a stream of one, and back."""
    answer = Answer("你好", finish_reason="stop", metadata={"moderation": {"outcome": "passed"}})
    (delta,) = one_delta(ChatReply((answer,), Usage(1, 2), {"request_id": "r-1"}))
    assert (delta.text, delta.last, delta.finish_reason, delta.usage) == ("你好", True, "stop", Usage(1, 2))
    assert delta.metadata == {"request_id": "r-1", "moderation": {"outcome": "passed"}}


def test_pieces_of_calls_are_joined_by_index() -> None:
    """Interleaved pieces make two calls; spaces count, and an id or a name may come once only."""
    pieces = [
        ToolCallPiece(1, '{"city":', name="weather", id="call_b"),
        ToolCallPiece(0, '{"city": "New', name="weather", id="call_a"),
        ToolCallPiece(1, ' "杭州"}'),
        ToolCallPiece(0, ' York"}'),
    ]
    expected = (ToolCall("weather", {"city": "New York"}, "call_a"), ToolCall("weather", {"city": "杭州"}, "call_b"))
    assert joined_calls(pieces) == expected
    deltas = [ChatDelta(pieces=(piece,)) for piece in pieces]
    assert gathered([*deltas, ChatDelta(last=True)]).answers[0].tool_calls == expected


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ('{"x": 1}', ToolCall("f", {"x": 1}, "c")),
        ("", ToolCall("f", {}, "c")),
        (" ", ToolCall("f", {}, "c")),
        ('{"x": ', ToolCall("f", {}, "c", written='{"x": ')),
        ("[1]", ToolCall("f", {}, "c", written="[1]")),
    ],
)
def test_arguments_that_are_no_object_are_kept_as_written(text: str, call: ToolCall) -> None:
    """What a model wrote is never lost, whether it can be read or not."""
    assert written_call("f", text, "c") == call
