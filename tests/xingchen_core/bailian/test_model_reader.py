"""The events of a native stream, one trap at a time."""

from typing import Any

import pytest

from model_events import USAGE, deltas, fragment, framed, said
from xingchen_core import APIResponseError, ChatDelta, RateLimitError
from xingchen_core.bailian import ModelMessage, ModelRequest, stream_generate
from xingchen_core.chat import ToolCall, ToolCallPiece, Usage, gathered

MESSAGES = [ModelMessage(role="user", content="你好")]


def _stream(*bodies: dict[str, Any], **fields: Any) -> list[ChatDelta]:
    return deltas(stream_generate(ModelRequest(messages=MESSAGES, **fields)), framed(*bodies))


def test_increments() -> None:
    """The word "null" ends nothing, role repeats, usage is the latest and comes once, a final text is kept."""
    found = _stream(
        said("你", usage={"input_tokens": 26, "output_tokens": 1}),
        said("好", None, usage={"input_tokens": 26, "output_tokens": 2}),
        said("!", "stop", usage={"input_tokens": 26, "output_tokens": 3}),
    )
    assert [(delta.text, delta.last) for delta in found] == [("你", False), ("好", False), ("!", True)]
    assert [delta.usage for delta in found] == [None, None, Usage(26, 3)]
    assert [delta.metadata for delta in found] == [{}, {}, {"request_id": "r1", "model_name": "qwen-plus"}]
    assert found[-1].finish_reason == "stop"


def test_usage_of_an_earlier_event_counts() -> None:
    """The last non-empty one, where the final event has none."""
    found = _stream(said("你", usage=USAGE), said("", "stop", usage={}))
    assert [delta.usage for delta in found] == [None, Usage(26, 1)]
    assert [delta.last for delta in found] == [False, True]


def test_no_usage_is_none() -> None:
    """Nothing is made up."""
    assert _stream(said("你", "stop", usage={}))[-1].usage is None


@pytest.mark.parametrize("bodies", [[said("你")], [said("你"), said("好")], []])
def test_a_cut_stream_is_an_error(bodies: list[dict[str, Any]]) -> None:
    """Without a final reason the answer is not complete; what came is on the error."""
    with pytest.raises(APIResponseError, match="ended before") as caught:
        _stream(*bodies)
    assert caught.value.partial_text == "".join(body["output"]["choices"][0]["message"]["content"] for body in bodies)
    assert caught.value.request_id == ("r1" if bodies else None)


def test_a_gateways_done_is_no_end() -> None:
    """`[DONE]` is not of this protocol: it neither ends an answer nor disturbs one."""
    call = stream_generate(ModelRequest(messages=MESSAGES))
    with pytest.raises(APIResponseError, match="ended before"):
        deltas(call, framed(said("你")) + b"data: [DONE]\n\n")
    assert len(deltas(call, framed(said("你", "stop")) + b"data: [DONE]\n\n")) == 1


def test_events_without_blank_lines() -> None:
    """Some captures lack them."""
    call = stream_generate(ModelRequest(messages=MESSAGES))
    found = deltas(call, framed(said("你"), said("好", "stop"), blank=False))
    assert [delta.text for delta in found] == ["你", "好"]


def test_an_error_inside_the_stream() -> None:
    """HTTP 200, the status in the comment."""
    wire = framed(said("你")) + (
        b'id:2\nevent:error\n:HTTP_STATUS/429\ndata:{"code":"Throttling","message":"slow down","request_id":"r1"}\n\n'
    )
    with pytest.raises(RateLimitError) as caught:
        deltas(stream_generate(ModelRequest(messages=MESSAGES)), wire)
    assert caught.value.status_code == 429


def test_thinking() -> None:
    """Thoughts, then text; at the end both are empty."""
    found = _stream(
        said("", reasoning_content="一加"),
        said("", reasoning_content="一"),
        said("二", reasoning_content=""),
        said("", "stop", reasoning_content=""),
    )
    assert [(delta.reasoning, delta.text) for delta in found] == [("一加", ""), ("一", ""), ("", "二"), ("", "")]


def test_thinking_of_a_multimodal_model() -> None:
    """`content` is `[]` meanwhile, and `reasoning_content` goes away afterwards; the last event may have text."""
    found = _stream(
        said([], reasoning_content="看"),
        said([{"text": "一只"}]),
        said([{"text": "猫"}], "stop"),
        model="qwen3-vl-plus",
    )
    assert [(delta.reasoning, delta.text) for delta in found] == [("看", ""), ("", "一只"), ("", "猫")]


def test_parallel_calls() -> None:
    """The captured stream: keyed by index, later pieces nameless with an empty id, the last one in the final event."""
    found = _stream(
        said(tool_calls=[fragment(0, '{"location": "', "get_weather", "call_a")]),
        said(tool_calls=[fragment(0, '杭州"}')]),
        said(tool_calls=[fragment(1, '{"location":', "get_weather", "call_b")]),
        said("", "tool_calls", tool_calls=[fragment(1, ' "上海"}')]),
    )
    assert [delta.pieces for delta in found] == [
        (ToolCallPiece(0, '{"location": "', "get_weather", "call_a"),),
        (ToolCallPiece(0, '杭州"}', None, None),),
        (ToolCallPiece(1, '{"location":', "get_weather", "call_b"),),
        (ToolCallPiece(1, ' "上海"}', None, None),),
    ]
    assert gathered(found).answers[0].tool_calls == (
        ToolCall("get_weather", {"location": "杭州"}, "call_a"),
        ToolCall("get_weather", {"location": "上海"}, "call_b"),
    )
    assert found[-1].finish_reason == "tool_calls"


def test_two_calls_in_one_event() -> None:
    """One closes with nothing while the next opens: positions in the list mean nothing."""
    found = _stream(
        said([], tool_calls=[fragment(0, "{}", "f", "call_a")]),
        said([], tool_calls=[fragment(0, ""), fragment(1, '{"a":', "g", "call_b")]),
        said([], "stop", tool_calls=[fragment(1, " 1}")]),
        model="qwen3-vl-plus",
    )
    assert [delta.pieces for delta in found] == [
        (ToolCallPiece(0, "{}", "f", "call_a"),),
        (ToolCallPiece(1, '{"a":', "g", "call_b"),),
        (ToolCallPiece(1, " 1}", None, None),),
    ]
    assert found[-1].finish_reason == "tool_calls"


def test_spaces_of_arguments_count() -> None:
    """Joined as they are: "New" and " York" are "New York"."""
    found = _stream(
        said(tool_calls=[fragment(0, '{"city": "New', "f", "call_a")]),
        said("", "tool_calls", tool_calls=[fragment(0, ' York"}')]),
    )
    assert gathered(found).answers[0].tool_calls[0].arguments == {"city": "New York"}


def test_arguments_that_are_no_text() -> None:
    """An object in place of its JSON becomes the text that pieces hold, which frameworks join."""
    call = fragment(0, "", "f", "call_a") | {"function": {"name": "f", "arguments": {"城市": "杭州"}}}
    found = _stream(said("", "tool_calls", tool_calls=[call]))
    assert found[-1].pieces == (ToolCallPiece(0, '{"城市":"杭州"}', "f", "call_a"),)


def test_a_repeated_name_is_said_once() -> None:
    """A gateway that repeats id and name in every piece makes no "ff" of an "f"."""
    found = _stream(
        said(tool_calls=[fragment(0, '{"a":', "f", "call_a")]),
        said("", "tool_calls", tool_calls=[fragment(0, "1}", "f", "call_a")]),
    )
    assert gathered(found).answers[0].tool_calls == (ToolCall("f", {"a": 1}, "call_a"),)
    assert found[-1].pieces == (ToolCallPiece(0, "1}", None, None),)


def test_snapshots() -> None:
    """`incremental_output=False` repeats text, thoughts and calls; the deltas are the same. "ha" stays in "hahaha"."""
    found = _stream(
        said("", reasoning_content="想"),
        said("", reasoning_content="想一想"),
        said("ha", reasoning_content="想一想"),
        said("haha"),
        said("hahaha", tool_calls=[fragment(0, '{"a', "f", "call_a")]),
        said("hahaha", tool_calls=[fragment(0, '{"a":1}', "f", "call_a")]),
        said("hahaha", "tool_calls", tool_calls=[fragment(0, '{"a":1}', "f", "call_a")]),
        incremental_output=False,
    )
    assert [(delta.reasoning, delta.text, delta.pieces) for delta in found] == [
        ("想", "", ()),
        ("一想", "", ()),
        ("", "ha", ()),
        ("", "ha", ()),
        ("", "ha", (ToolCallPiece(0, '{"a', "f", "call_a"),)),
        ("", "", (ToolCallPiece(0, '":1}', None, None),)),
        ("", "", ()),
    ]


def test_a_snapshot_that_takes_back() -> None:
    """Moderation may replace the text: the last delta tells what the answer is."""
    found = _stream(said("坏话"), said("我不能说。", "stop"), incremental_output=False)
    assert [delta.text for delta in found] == ["坏话", ""]
    assert (found[-1].metadata["rewritten"], found[-1].metadata["final_text"]) == (True, "我不能说。")


SOURCES = {
    "search_results": [
        {"index": 1, "title": "天气", "url": "https://example.com/1", "site_name": "无", "icon": ""},
        {"index": 2, "title": "地图", "url": "https://example.com/2", "site_name": "无", "icon": ""},
    ],
    "extra_tool_info": [],
}
EMPTY = {"search_results": [], "extra_tool_info": []}


def test_the_first_sources_are_kept() -> None:
    """They come in event 1 with neither text nor usage; later events repeat empty lists."""
    first = said("", usage={})
    first["output"]["search_info"] = SOURCES
    bodies = [first, said("晴[ref_1]"), said("。", "stop")]
    for body in bodies[1:]:
        body["output"]["search_info"] = EMPTY
    found = _stream(
        *bodies, enable_search=True, search_options={"enable_citation": True, "citation_format": "[ref_<number>]"}
    )
    assert [delta.text for delta in found] == ["晴[ref_1]", "。"]
    assert found[-1].metadata["search_info"] == {"search_results": SOURCES["search_results"]}
    assert found[-1].usage == Usage(26, 1)
    assert found[-1].additional == {
        "citations": ({"start": 1, "end": 8, "number": 1, "url": "https://example.com/1", "title": "天气"},)
    }


def test_log_probabilities_are_gathered() -> None:
    """Each event has those of its tokens; all of them come at the end."""
    one, two = {"token": "你", "logprob": -0.1}, {"token": "好", "logprob": -0.2}
    bodies = [said("你"), said("好"), said("", "stop")]
    bodies[0]["output"]["choices"][0]["logprobs"] = {"content": [one]}
    bodies[1]["output"]["choices"][0]["logprobs"] = {"content": [two]}
    bodies[2]["output"]["choices"][0]["logprobs"] = {"content": []}
    found = _stream(*bodies)
    assert found[-1].metadata["logprobs"] == {"content": [one, two]}
    assert "logprobs" not in found[0].metadata


def test_what_the_built_in_tools_did() -> None:
    """`tool_info` and the plug-ins' counts are metadata."""
    body = said("二", "stop", usage={**USAGE, "plugins": {"code_interpreter": {"count": 1}}})
    body["output"]["tool_info"] = [{"code_interpreter": {"code": "1+1"}}]
    last = _stream(body, enable_code_interpreter=True)[-1]
    assert last.metadata["tool_info"] == [{"code_interpreter": {"code": "1+1"}}]
    assert last.metadata["plugins"] == {"code_interpreter": {"count": 1}}


def test_sound_of_a_stream() -> None:
    """Parts that are no text are kept for the end."""
    sound = {"audio": {"data": "AAAA"}}
    found = _stream(said([{"text": "你"}, sound]), said([sound], "stop"), model="qwen3-omni-flash")
    assert [delta.text for delta in found] == ["你", ""]
    assert found[-1].additional == {"parts": [sound, sound]}
