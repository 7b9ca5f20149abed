"""Answers in bytes as captures of the real service have them, written by hand: no emulator of ours stands between."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage

from langchain_xingchen import ChatBailian
from model_events import fragment, framed, said
from raw_server import RawServer, json_answer, stream_answer

Way = Callable[..., AIMessage]

USAGE = {"total_tokens": 27, "output_tokens": 1, "input_tokens": 26, "prompt_tokens_details": {"cached_tokens": 0}}


def streamed(way: Way, *events: dict[str, Any], blank: bool = True, size: int = 7, **fields: Any) -> AIMessage:
    """What a model says when these events come, torn into pieces of this many bytes."""
    wire = framed(*events, blank=blank)
    with (
        RawServer(stream_answer(*(wire[at : at + size] for at in range(0, len(wire), size)))) as server,
        ChatBailian(api_key="test-key", base_url=server.url, streaming=True, **fields) as model,
    ):
        return way(model, "你好")


@pytest.mark.parametrize("blank", [True, False], ids=["blank lines", "no blank lines"])
def test_parallel_calls(way: Way, *, blank: bool) -> None:
    """Only a call's first piece has a name and an id; one event may close a call and open the next; spaces count."""
    answer = streamed(
        way,
        said("", tool_calls=[fragment(0, '{"location": "', "get_current_weather", "call_a")]),
        said("", tool_calls=[fragment(0, 'Hangzhou"}')]),
        said("", tool_calls=[fragment(0, ""), fragment(1, '{"location":', "get_current_weather", "call_b")]),
        said("", "tool_calls", tool_calls=[fragment(1, ' " Shang hai"}')]),
        blank=blank,
    )
    assert [(call["id"], call["name"], call["args"]) for call in answer.tool_calls] == [
        ("call_a", "get_current_weather", {"location": "Hangzhou"}),
        ("call_b", "get_current_weather", {"location": " Shang hai"}),
    ]
    assert answer.response_metadata["finish_reason"] == "tool_calls"
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["total_tokens"] == 27  # every event tells it anew; it is not added up


def test_a_forced_call_ends_with_stop(way: Way) -> None:
    """The service says "stop"; what counts is that there are calls."""
    answer = streamed(
        way,
        said("", tool_calls=[fragment(0, "{}", "now", "call_a")]),
        said("", "stop"),
    )
    assert [call["name"] for call in answer.tool_calls] == ["now"]
    assert answer.response_metadata["finish_reason"] == "tool_calls"


def test_thinking(way: Way) -> None:
    """Thoughts precede the text; the last event has neither."""
    answer = streamed(
        way,
        said("", reasoning_content="Hm"),
        said("", reasoning_content=", two."),
        said("1+1", reasoning_content=""),
        said(" = 2", reasoning_content=""),
        said("", "stop", reasoning_content=""),
        enable_thinking=True,
    )
    assert answer.content == "1+1 = 2"
    assert answer.content_blocks[0] == {"type": "reasoning", "reasoning": "Hm, two."}


def test_a_model_that_sees(way: Way) -> None:
    """Its content is a list, empty while it thinks; the last event may still have text, and totals may be missing."""
    usage = {"input_tokens": 1200, "output_tokens": 3, "image_tokens": 1100}
    answer = streamed(
        way,
        said([], reasoning_content="看图", usage=usage),
        said([{"text": "一只"}], usage=usage),
        said([{"text": "猫。"}], "stop", usage=usage),
        model="qwen3-vl-plus",
    )
    assert answer.content == "一只猫。"
    assert answer.additional_kwargs["reasoning_content"] == "看图"
    assert answer.usage_metadata == {
        "input_tokens": 1200,
        "output_tokens": 3,
        "total_tokens": 1203,
        "input_token_details": {"image": 1100},
    }


def test_a_web_search(way: Way) -> None:
    """Its results come in the first event, without usage; later events repeat the lists, empty."""
    found = {"index": 1, "title": "天气预报", "url": "https://example.com/1", "site_name": "无", "icon": ""}
    first, *later = (said("", usage={}), said("有雨[1]。"), said("", "stop"))
    first["output"]["search_info"] = {"search_results": [found], "extra_tool_info": []}
    for each in later:
        each["output"]["search_info"] = {"search_results": [], "extra_tool_info": []}
    options = {"enable_citation": True, "enable_source": True, "prepend_search_result": True}
    answer = streamed(way, first, *later, enable_search=True, search_options=options)
    assert answer.response_metadata["search_info"]["search_results"] == [found]
    assert answer.content_blocks[0]["annotations"][0]["url"] == "https://example.com/1"  # type: ignore[typeddict-item]


CALL = {"function": {"name": "now", "arguments": "{}"}, "index": 0, "id": "call_fake_1", "type": "function"}


@pytest.mark.parametrize(
    ("output", "content", "calls"),
    [
        ({"choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": "二"}}]}, "二", []),
        (
            {
                "text": None,
                "finish_reason": None,
                "choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": "二"}}],
            },
            "二",
            [],
        ),
        ({"finish_reason": "stop", "text": "二"}, "二", []),
        (
            {"choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": [{"text": "二"}]}}]},
            "二",
            [],
        ),
        (
            {
                "choices": [
                    {
                        "finish_reason": "tool_calls",
                        "message": {"role": "assistant", "tool_calls": [CALL], "content": ""},
                    }
                ]
            },
            "",
            ["call_fake_1"],
        ),
    ],
    ids=["choices", "null text beside choices", "text format", "parts", "calls"],
)
def test_whole_answers(ask: Way, output: dict[str, Any], content: str, calls: list[str]) -> None:
    """Every shape a whole answer has been seen in."""
    body = {"output": output, "usage": USAGE, "request_id": "r1"}
    with (
        RawServer(json_answer(json.dumps(body).encode())) as server,
        ChatBailian(api_key="test-key", base_url=server.url) as model,
    ):
        answer = ask(model, "1+1?")
    assert (answer.content, [call["id"] for call in answer.tool_calls]) == (content, calls)
    assert answer.response_metadata["request_id"] == "r1"
    assert answer.usage_metadata == {
        "input_tokens": 26,
        "output_tokens": 1,
        "total_tokens": 27,
        "input_token_details": {"cache_read": 0},
    }
