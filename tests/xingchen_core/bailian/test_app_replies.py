"""How the answers of an application are read, event by event and whole."""

import json
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app_events import REFERENCE, SESSION, USAGE, deltas, event, output, question, reasoning, texts
from xingchen_core import APIResponseError, RateLimitError, Usage
from xingchen_core._sse import ServerSentEvent
from xingchen_core.bailian import AppReader
from xingchen_core.bailian.app_replies import read_reply

INCREMENTAL = [output("我是"), output("小婉。"), output("", reason="stop", usage=USAGE)]
CUMULATIVE = [output("我是"), output("我是小婉。"), output("我是小婉。", reason="stop", usage=USAGE)]
METADATA = {
    "session_id": SESSION,
    "request_id": "r-1",
    "app_id": "demo",
    "model_name": "qwen-plus",
    "usage_models": USAGE["models"],
}
BOTH = pytest.mark.parametrize(
    ("bodies", "incremental"), [(INCREMENTAL, True), (CUMULATIVE, False)], ids=["incremental", "cumulative"]
)


@BOTH
def test_agent(bodies: list[Any], incremental: bool) -> None:
    """Traps 1 and 3: the text "null" ends nothing, nothing comes out twice; ids and usage are on the last delta."""
    found = deltas(bodies, incremental_output=incremental)
    assert texts(found) == ["我是", "小婉。"]
    assert [delta.last for delta in found] == [False, False, True]
    assert all(delta.metadata == {} and delta.usage is None for delta in found[:-1])
    last = found[-1]
    assert (last.usage, last.finish_reason, last.metadata) == (Usage(12, 5), "stop", METADATA)
    assert last.additional is None


def test_whole() -> None:
    """An answer that was not streamed."""
    reply = read_reply(output("我是小婉。", reason="stop", usage=USAGE), question())
    assert (reply.answers[0].text, reply.answers[0].finish_reason) == ("我是小婉。", "stop")
    assert (reply.usage, reply.metadata) == (Usage(12, 5), METADATA)


@pytest.mark.parametrize("reason", ["null", None])
def test_whole_without_a_reason(reason: str | None) -> None:
    """C10: a whole answer is whole even where the service names no reason."""
    assert read_reply(output("好", reason=reason), question()).answers[0].finish_reason is None


@pytest.mark.parametrize("body", [{"request_id": "r-1"}, {"output": None}])
def test_whole_without_output(body: dict[str, Any]) -> None:
    """A body without an answer is none: the client makes an error of this, and never an empty text."""
    with pytest.raises((KeyError, AttributeError)):
        read_reply(body, question())


@pytest.mark.parametrize("told", [{}, {"text": None, "finish_reason": "null"}, {"session_id": SESSION}], ids=str)
def test_whole_without_text_or_reason(told: dict[str, Any]) -> None:
    """Neither a text nor an end: no answer came, which is an error and no empty answer."""
    with pytest.raises(APIResponseError, match="without an answer") as caught:
        read_reply({"output": told}, question())
    assert caught.value.service == "bailian"


def test_null_members() -> None:
    """What the documents show as null is nothing."""
    nothing = {"thoughts": None, "doc_references": None, "workflow_message": None}
    body = {"output": {"text": None, "finish_reason": "null", **nothing}, "usage": None, "request_id": None}
    found = deltas([body, output("好", **nothing), output(reason="stop", **nothing)])
    assert (texts(found), found[-1].usage, found[-1].additional) == (["好"], None, None)
    assert found[-1].metadata == {"session_id": SESSION, "request_id": "r-1", "app_id": "demo", "model_name": "demo"}


def test_usage() -> None:
    """Trap 7: usage grows in place and is summed over the calls of models, the same model twice too."""
    first = {"model_id": "qwen-plus", "input_tokens": 10, "output_tokens": 1}
    second = {"model_id": "qwen-plus", "input_tokens": 20, "output_tokens": 2}
    third = {"model_id": "qwen-vl", "input_tokens": 30, "output_tokens": None}
    bodies = [
        output("好", usage={"models": [first]}),
        output("的", usage={"models": [first, second, third]}),
        output("", reason="stop"),  # usage {}
    ]
    last = deltas(bodies)[-1]
    assert last.usage == Usage(60, 3)
    assert last.metadata["usage_models"] == [first, second, third]
    assert last.metadata["model_name"] == "qwen-plus,qwen-vl"


def test_references_are_replaced() -> None:
    """Trap 7: every event has all references so far."""
    other = REFERENCE | {"index_id": "2"}
    bodies = [
        output("好", doc_references=[REFERENCE]),
        output("的", doc_references=[REFERENCE, other]),
        output("", reason="stop"),
    ]
    assert deltas(bodies)[-1].metadata["doc_references"] == [REFERENCE, other]


def test_session_changed(caplog: pytest.LogCaptureFixture) -> None:
    """A session the service no longer knows is answered by another one: callers must hear of it."""
    with caplog.at_level(logging.WARNING, "xingchen_core"):
        last = deltas([output("好", reason="stop")], session_id="old-session")[-1]
    assert (last.metadata["session_changed"], last.metadata["session_id"]) == (True, SESSION)
    assert [record.name for record in caplog.records] == ["xingchen_core"]
    caplog.clear()
    assert "session_changed" not in deltas([output("好", reason="stop")], session_id=SESSION)[-1].metadata
    assert not caplog.records


REASONED = [
    reasoning("先"),
    reasoning("想想"),
    reasoning("", "答"),
    output("案", thoughts=[]),
    output("", reason="stop"),
]


def test_reasoning() -> None:
    """Reasoning comes in pieces, each told twice; it stays as an empty entry once the answer starts."""
    found = deltas(REASONED, enable_thinking=True)
    assert [delta.reasoning for delta in found if delta.reasoning] == ["先", "想想"]
    assert texts(found) == ["答", "案"]
    last = found[-1].additional
    assert last is not None
    assert last["thoughts"] == [
        {
            "action": "reasoning",
            "action_type": "reasoning",
            "action_name": "思考过程",
            "thought": "先想想",
            "response": "先想想",
        }
    ]


@pytest.mark.parametrize(
    "pieces",
    [["先", "先想想", "先想想", ""], ["先", "想想", "", ""]],
    ids=["cumulative", "new text"],
)
def test_reasoning_beside_whole_texts(pieces: list[str]) -> None:
    """UNVERIFIED which: reasoning may be whole each time, as the text is then, or not."""
    answers = ["", "", "答", "答案"]
    bodies = [reasoning(piece, text) for piece, text in zip(pieces, answers, strict=True)]
    found = deltas([*bodies, output("答案", reason="stop")], incremental_output=False)
    assert "".join(delta.reasoning for delta in found) == "先想想"
    assert (texts(found), (found[-1].additional or {})["thoughts"][0]["thought"]) == (["答", "案"], "先想想")


@pytest.mark.parametrize("key", ["reasoningContent", "reasoning_content"])
def test_spellings_of_reasoning(key: str) -> None:
    """C4: documents and clients name the reasoning differently; other words of such an entry stay its own."""
    entry = {"action_type": "LLM", "thought": "查一下", "response": '{"nodeType":"LLM"}'}
    bodies = [output("", thoughts=[entry | {key: piece}]) for piece in ("想", "一想")]
    found = deltas([*bodies, output("好", reason="stop")])
    assert [delta.reasoning for delta in found] == ["想", "一想", ""]
    assert found[-1].additional == {"thoughts": [entry | {key: "想一想"}]}


def test_thoughts() -> None:
    """Trap 12, C3: other entries are replaced by later ones, JSON in texts stays as it is, whatever its shape.

    Two rounds of reasoning around two calls of one tool stay apart.
    """
    think: dict[str, Any] = {"action": "reasoning", "action_type": "reasoning"}
    rag = {"action_type": "agentRag", "action": "rag", "observation": "[]", "arguments": '{"q":"手机"}'}
    tool = {"action_type": "api", "action": "t", "action_input": {"a": 1}, "observation": "", "thought": "查一下"}
    again = {**tool, "action_input": "a=2"}
    bodies = [
        output("", thoughts=[rag]),
        output("", thoughts=[rag, think | {"thought": "一", "response": "一"}]),
        output("", thoughts=[rag, think | {"thought": "", "response": ""}, tool, again]),
        output(
            "",
            thoughts=[
                rag,
                think | {"thought": "", "response": ""},
                tool | {"observation": '{"content":[]}'},
                again,
                think | {"thought": "二", "response": "二"},
            ],
        ),
        output("好", reason="stop"),
    ]
    found = deltas(bodies, has_thoughts=True)
    assert [delta.reasoning for delta in found] == ["一", "二", ""]
    assert (found[-1].additional or {})["thoughts"] == [
        rag,
        think | {"thought": "一", "response": "一"},
        tool | {"observation": '{"content":[]}'},
        again,
        think | {"thought": "二", "response": "二"},
    ]


def test_finished_thoughts_keep_what_they_found() -> None:
    """A later event that lists an entry without its members, as it does with reasoning, takes nothing from it."""
    found = {"action_type": "agentRag", "observation": '[{"title":"手机"}]'}
    bodies = [output("", thoughts=[found]), output("好", thoughts=[found | {"observation": ""}], reason="stop")]
    assert deltas(bodies)[-1].additional == {"thoughts": [found]}


@BOTH
def test_readings_agree(bodies: list[Any], incremental: bool) -> None:
    """Streamed either way or whole, an answer is the same: text, reasoning, references, thoughts, usage, ids."""
    rag = {"action_type": "agentRag", "action": "rag", "observation": "[]"}
    think = {"action_type": "reasoning", "action": "reasoning", "thought": "想", "response": "想"}
    empty = think | {"thought": "", "response": ""}
    text = "我是<ref>[1]</ref>小婉。"
    common = {"doc_references": [REFERENCE]}
    pieces = [output("", thoughts=[rag, think]), output("我是<re", thoughts=[rag, empty if incremental else think])]
    tail = "f>[1]</ref>小婉。"
    final = {"reason": "stop", "usage": USAGE, **common}
    if incremental:
        pieces += [output(tail, **common), output("", **final)]
    else:
        pieces += [output(text, **common), output(text, thoughts=[rag, think], **final)]
    streamed = deltas(pieces, incremental_output=incremental)
    whole = read_reply(output(text, thoughts=[rag, think], **final), question())
    answer, last = whole.answers[0], streamed[-1]
    assert "".join(delta.text for delta in streamed) == answer.text == text
    assert "".join(delta.reasoning for delta in streamed) == answer.reasoning == "想"
    assert last.additional == answer.additional
    assert answer.additional["thoughts"] == [rag, think]
    assert answer.additional["citations"][0]["doc_id"] == "file_fake_1"
    assert (last.usage, last.metadata, last.finish_reason) == (whole.usage, whole.metadata, answer.finish_reason)


def test_repeated_at_the_end() -> None:
    """New text followed by the whole answer once more, as some gateways end: it comes out once."""
    assert texts(deltas([output("A"), output("B"), output("AB", reason="stop")])) == ["A", "B"]


def test_text_in_the_final_event() -> None:
    """New text may come with the end mark."""
    assert texts(deltas([output("A"), output("B", reason="stop")])) == ["A", "B"]


@pytest.mark.parametrize("incremental", [True, False])
def test_stop(incremental: bool) -> None:
    """The text is cut before a stop sequence, wherever it lies; what is left is read for its metadata."""
    bodies = [output("一二停"), output("止三"), output("", reason="stop", usage=USAGE)]
    whole = [output("一二停"), output("一二停止三"), output("一二停止三", reason="length", usage=USAGE)]
    found = deltas(bodies if incremental else whole, stop=["停止"], incremental_output=incremental)
    assert (texts(found), found[-1].finish_reason, found[-1].usage) == (["一二"], "stop", Usage(12, 5))
    assert "final_text" not in found[-1].metadata
    assert read_reply(output("一二停止三", reason="stop"), question(stop="停止")).answers[0].text == "一二"


def test_held_back_text_is_flushed() -> None:
    """Text that only began a stop sequence is part of the answer."""
    assert "".join(texts(deltas([output("一停"), output("", reason="stop")], stop="停止"))) == "一停"


def test_rewritten() -> None:
    """Where whole texts are asked for and one does not extend the last, the final one is the answer."""
    found = deltas([output("坏话"), output("抱歉。"), output("抱歉。", reason="stop")], incremental_output=False)
    assert texts(found) == ["坏话"]
    assert (found[-1].metadata["rewritten"], found[-1].metadata["final_text"]) == (True, "抱歉。")


@pytest.mark.parametrize("text", ["", None])
def test_events_without_text(text: str | None) -> None:
    """Between whole texts, and at the end, an event without text takes nothing back."""
    thought = {"action_type": "api", "observation": "{}"}
    bodies = [output("好"), output(text, thoughts=[thought]), output(text), output(text, reason="stop")]
    found = deltas(bodies, incremental_output=False)
    assert (texts(found), "final_text" in found[-1].metadata) == (["好"], False)


def test_after_the_end() -> None:
    """Nothing follows the end mark; `[DONE]` and `done`, which gateways add, are ignored anywhere."""
    done = [ServerSentEvent("message", b"[DONE]", "", ()), ServerSentEvent("done", b"{}", "", ())]
    found = deltas([*done, output("好"), output("", reason="stop"), output("又", reason="stop"), *done])
    assert (texts(found), found[-1].last, len(found)) == (["好"], True, 2)


@pytest.mark.parametrize("reason", ["null", None, ""])
def test_truncated(reason: str | None) -> None:
    """C10: a stream without an end mark is cut; what was said survives on the exception. `[DONE]` is no end mark."""
    with pytest.raises(APIResponseError) as caught:
        deltas([output("好", reason=reason), ServerSentEvent("message", b"[DONE]", "", ())])
    assert (caught.value.partial_text, caught.value.request_id) == ("好", "r-1")


@pytest.mark.parametrize("kind", ["error", "result"])
def test_error_event(kind: str) -> None:
    """Trap 6: an error under HTTP 200, told by the event's name or only by its code; the status is in a comment."""
    told = {"code": "Throttling.RateQuota", "message": "too fast", "request_id": "r-2"}
    reader = AppReader(question())
    reader.read(event(output("好")))
    with pytest.raises(RateLimitError) as caught:
        reader.read(event(told, kind, "HTTP_STATUS/429"))
    assert (caught.value.status_code, caught.value.request_id, reader.text) == (429, "r-2", "好")


@given(st.text("ab停止", max_size=12), st.sets(st.integers(1, 11)), st.booleans())
def test_any_text(text: str, cuts: set[int], incremental: bool) -> None:
    """However a text is cut, all of it comes out once, up to the stop sequence."""
    ends = [*sorted(cut for cut in cuts if cut < len(text)), len(text)]
    starts = [0, *ends[:-1]] if incremental else [0] * len(ends)
    bodies = [output(text[start:end]) for start, end in zip(starts, ends, strict=True)]
    final = output("" if incremental else text, reason="stop")
    found = deltas([*bodies, final], incremental_output=incremental, stop="停止")
    assert "".join(texts(found)) == text.split("停止")[0]


def test_bodies_are_not_changed() -> None:
    """What the service sent stays as it was: callers may hold on to it."""
    body = output("好", thoughts=[{"action_type": "api", "observation": ""}], reason="stop", doc_references=[REFERENCE])
    before = json.dumps(body)
    read_reply(body, question())
    assert json.dumps(body) == before
