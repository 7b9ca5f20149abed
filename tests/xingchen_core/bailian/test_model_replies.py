"""Whole answers of the native endpoints, and what they cite."""

import json
from typing import Any

import pytest

from model_events import USAGE, fragment
from xingchen_core import APIResponseError, ChatReply
from xingchen_core.bailian import ModelMessage, ModelRequest, citations, generate
from xingchen_core.chat import ToolCall, Usage

MESSAGES = [ModelMessage(role="user", content="你好")]


def _reply(body: dict[str, Any], **fields: Any) -> ChatReply:
    return generate(ModelRequest(messages=MESSAGES, **fields)).parse(body)


def _body(*choices: dict[str, Any], usage: Any = None, **output: Any) -> dict[str, Any]:
    return {"output": {"choices": list(choices), **output}, "usage": usage or USAGE, "request_id": "r1"}


def _choice(content: Any, reason: str = "stop", index: int | None = None, **message: Any) -> dict[str, Any]:
    choice = {"finish_reason": reason, "message": {"role": "assistant", "content": content, **message}}
    return choice if index is None else {"index": index, **choice}


def test_a_plain_answer() -> None:
    """Text, reason, usage, ids: the captured shape."""
    body = json.loads(
        '{"output":{"choices":[{"finish_reason":"stop","message":{"role":"assistant","content":"1+1 = 2"}}]},'
        '"usage":{"total_tokens":47,"output_tokens":39,"input_tokens":8,"prompt_tokens_details":{"cached_tokens":0}},'
        '"request_id":"11111111-2222-3333-4444-555555555555"}'
    )
    reply = _reply(body)
    (answer,) = reply.answers
    assert (answer.text, answer.finish_reason, answer.tool_calls, answer.additional) == ("1+1 = 2", "stop", (), {})
    assert reply.usage == Usage(8, 39, {"cache_read": 0})
    assert reply.usage.total_tokens == 47
    assert reply.metadata == {"request_id": "11111111-2222-3333-4444-555555555555", "model_name": "qwen-plus"}


def test_the_older_format() -> None:
    """`output.text` without choices."""
    reply = _reply({"output": {"finish_reason": "stop", "text": "二"}, "usage": USAGE, "request_id": "r1"})
    assert (reply.answers[0].text, reply.answers[0].finish_reason) == ("二", "stop")


def test_nulls_of_the_older_format_beside_choices() -> None:
    """Documented samples hold both."""
    assert _reply(_body(_choice("二"), text=None, finish_reason=None)).answers[0].text == "二"


@pytest.mark.parametrize("output", [{"choices": []}, {"text": None}, {}])
def test_no_answer_is_an_error(output: dict[str, Any]) -> None:
    """An empty text would be taken for what the model said."""
    with pytest.raises(APIResponseError, match="without an answer"):
        _reply({"output": output, "request_id": "r1"})


def test_several_answers_by_their_index() -> None:
    """Ordered by `index`; without one by position, even where only some have it."""
    reply = _reply(_body(_choice("二", index=1), _choice("一", index=0)), n=2)
    assert [answer.text for answer in reply.answers] == ["一", "二"]
    assert [answer.text for answer in _reply(_body(_choice("一"), _choice("二")), n=2).answers] == ["一", "二"]


def test_parts_of_an_answer() -> None:
    """Text parts are the text; a picture is kept apart. An empty list is no text."""
    answer = _reply(_body(_choice([{"text": "看"}, {"image": "https://example.com/a.png"}, {"text": "图"}]))).answers[0]
    assert answer.text == "看图"
    assert answer.additional == {"parts": [{"image": "https://example.com/a.png"}]}
    assert _reply(_body(_choice([]))).answers[0].text == ""


def test_a_forced_call_says_stop() -> None:
    """The presence of calls decides, not the reason; but a cut answer stays one."""
    calls = [fragment(0, '{"location": "杭州"}', "get_weather", "call_a")]
    answer = _reply(_body(_choice("", tool_calls=calls))).answers[0]
    assert answer.tool_calls == (ToolCall("get_weather", {"location": "杭州"}, "call_a"),)
    assert answer.finish_reason == "tool_calls"
    assert _reply(_body(_choice("", "length", tool_calls=calls))).answers[0].finish_reason == "length"


def test_arguments_need_not_be_json() -> None:
    """The vendor says so; they are kept as written."""
    answer = _reply(_body(_choice("", "tool_calls", tool_calls=[fragment(0, '{"a": ', "f", "call_a")]))).answers[0]
    assert answer.tool_calls == (ToolCall("f", {}, "call_a", written='{"a": '),)


def test_arguments_that_are_no_text() -> None:
    """Not documented, but an object where its JSON should be says the same."""
    call = fragment(0, "", "f", "call_a") | {"function": {"name": "f", "arguments": {"城市": "杭州"}}}
    assert _reply(_body(_choice("", tool_calls=[call]))).answers[0].tool_calls == (
        ToolCall("f", {"城市": "杭州"}, "call_a"),
    )


def test_thoughts_beside_calls() -> None:
    """Neither hides the other."""
    calls = [fragment(0, "{}", "f", "call_a")]
    answer = _reply(_body(_choice("", "tool_calls", reasoning_content="想", tool_calls=calls))).answers[0]
    assert (answer.reasoning, len(answer.tool_calls)) == ("想", 1)


def test_usage_in_detail() -> None:
    """Cached, media and reasoning tokens; what plug-ins did is metadata."""
    usage = {
        "input_tokens": 100,
        "output_tokens": 50,
        "prompt_tokens_details": {"cached_tokens": 40, "cache_creation_input_tokens": 20},
        "input_tokens_details": {"text_tokens": 10, "image_tokens": 80, "video_tokens": 5},
        "audio_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 30, "text_tokens": 20},
        "plugins": {"search": {"count": 1, "strategy": "turbo"}},
    }
    reply = _reply(_body(_choice("二"), usage=usage))
    assert reply.usage == Usage(
        100, 50, {"cache_read": 40, "cache_creation": 20, "image": 80, "video": 5, "audio": 5}, {"reasoning": 30}
    )
    assert reply.metadata["plugins"] == {"search": {"count": 1, "strategy": "turbo"}}
    assert _reply(_body(_choice("二"), usage={"input_tokens": 1, "image_tokens": 2})).usage == Usage(1, 0, {"image": 2})


def test_log_probabilities() -> None:
    """In OpenAI's shape, of each answer."""
    logprobs = {"content": [{"token": "二", "bytes": [228], "logprob": -0.1, "top_logprobs": []}]}
    reply = _reply(_body({**_choice("二"), "logprobs": logprobs}))
    assert reply.answers[0].metadata == {"logprobs": logprobs}


SOURCES = {
    "search_results": [
        {"index": 1, "title": "天气", "url": "https://example.com/1", "site_name": "无", "icon": ""},
        {"index": 2, "title": "地图", "url": "https://example.com/2", "site_name": "无", "icon": ""},
    ],
    "extra_tool_info": [],
}
EMPTY = {"search_results": [], "extra_tool_info": []}


def test_citations_slice_the_text() -> None:
    """Marks of known sources only; adjoining ones are two."""
    text = "晴[1][2],见[3]或a[0]"
    found = citations(text, SOURCES)
    assert [(text[each["start"] : each["end"]], each["number"], each["title"]) for each in found] == [
        ("[1]", 1, "天气"),
        ("[2]", 2, "地图"),
    ]
    assert citations(text, None) == citations(text, EMPTY) == ()
    assert citations("晴[1]", SOURCES, "[ref_<number>]") == ()


def test_brackets_are_no_citations_unless_asked_for() -> None:
    """A program's `a[1]` cites nothing."""
    body = _body(_choice("a[1]"), search_info=SOURCES)
    assert _reply(body, enable_search=True).answers[0].additional == {}
    cited = _reply(body, enable_search=True, search_options={"enable_citation": True}).answers[0].additional
    assert [each["number"] for each in cited["citations"]] == [1]
