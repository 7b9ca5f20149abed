"""Conversion both ways, with values written by hand."""

import copy
import json
from typing import Any

import pytest
from llama_index.core.base.llms.types import (
    AudioBlock,
    CacheControl,
    CachePoint,
    ChatMessage,
    CitableBlock,
    CitationBlock,
    DocumentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)

from llama_index_xingchen._messages import Responses, arguments, to_completion, to_messages, to_response
from xingchen_core import Answer, ChatDelta, ChatReply, Message, ToolCall, UnsupportedOperationError, Usage
from xingchen_core.chat import ToolCallPiece

ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "chatbot": "assistant",
    "model": "assistant",
    "tool": "function",
    "function": "function",
}


def test_every_role_is_mapped() -> None:
    """Item 10: each of LlamaIndex's roles has a counterpart."""
    assert {role.value: to_messages([ChatMessage(role=role, content="你好")])[0].role for role in MessageRole} == ROLES


def test_an_unknown_role_is_named() -> None:
    """Item 10: a role that a later LlamaIndex may bring raises, and is named."""

    class Later:
        value = "oracle"

    message = ChatMessage(content="你好").model_copy(update={"role": Later()})
    with pytest.raises(ValueError, match="oracle"):
        to_messages([message])


@pytest.mark.parametrize(
    "block",
    [
        ImageBlock(url="https://example.com/a.png"),
        AudioBlock(url="https://example.com/a.wav"),
        VideoBlock(url="https://example.com/a.mp4"),
        DocumentBlock(data=b"x", title="a.pdf"),
        CitableBlock(title="t", source="s", content=[DocumentBlock(data=b"x")]),
    ],
    ids=lambda block: block.block_type,
)
def test_what_is_no_text_is_refused(block: Any) -> None:
    """Item 51: pictures, sounds, films and documents raise; none is dropped silently."""
    with pytest.raises(UnsupportedOperationError, match="text"):
        to_messages([ChatMessage(role="user", blocks=[TextBlock(text="看这个"), block])])


def test_text_blocks_are_joined_as_llama_index_shows_them() -> None:
    """What `message.content` shows is what is sent; citable content is text to read."""
    message = ChatMessage(
        role="user",
        blocks=[
            TextBlock(text="第一段"),
            CitableBlock(title="t", source="s", content="引文"),
            TextBlock(text="第二段"),
        ],
    )
    assert to_messages([message]) == [Message(role="user", content="第一段\n引文\n第二段")]


def test_what_belongs_to_an_earlier_answer_is_not_said_again() -> None:
    """Thoughts, citations and cache marks of an answer are not sent back; its calls are, beside the text."""
    message = ChatMessage(
        role="assistant",
        blocks=[
            ThinkingBlock(content="想一想"),
            TextBlock(text="我查一下。"),
            CitationBlock(cited_content="引文", source="s", title="t", additional_location_info={}),
            CachePoint(cache_control=CacheControl(type="ephemeral")),
            ToolCallBlock(tool_call_id="call_1", tool_name="get_weather", tool_kwargs={"city": "杭州"}),
        ],
    )
    result = ChatMessage(role="tool", content="晴", additional_kwargs={"tool_call_id": "call_1"})
    assert to_messages([message, result]) == [
        Message(
            role="assistant", content="我查一下。", tool_calls=(ToolCall("get_weather", {"city": "杭州"}, "call_1"),)
        ),
        Message(role="function", name="get_weather", content="晴"),
    ]


def test_an_empty_message_is_an_empty_text() -> None:
    """An answer that never came (a stream closed at once) stays in a history as an empty text."""
    assert to_messages([ChatMessage(role="assistant")]) == [Message(role="assistant", content="")]


def test_the_caller_s_messages_are_not_changed() -> None:
    """Converting leaves the history as it was."""
    history = [ChatMessage(role="user", content="你好"), ChatMessage(role="assistant", content="你好呀")]
    before = copy.deepcopy(history)
    to_messages(history)
    assert history == before


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ({"a": 1}, {"a": 1}),
        ('{"city": "New York"}', {"city": "New York"}),
        ("", {}),
        ("  ", {}),
        (None, {}),
        ("{}", {}),
        ("[1]", {}),
        ("no json", {}),
    ],
)
def test_arguments(given: Any, read: dict[str, Any]) -> None:
    """Item 25: arguments come as an object or as JSON text, and what is missing or broken is `{}`."""
    assert arguments(given) == read


USAGE = Usage(1336, 5, input_details={"user_tokens": 7})
FLAT = {
    "prompt_tokens": 1336,
    "completion_tokens": 5,
    "total_tokens": 1341,
    "input_tokens": 1336,
    "output_tokens": 5,
    "input_token_details": {"user_tokens": 7},
}
COUNTS = {"prompt_tokens": 1336, "completion_tokens": 5, "total_tokens": 1341}


def test_a_reply_becomes_a_response() -> None:
    """The text is the message, ids and a flat usage are in `raw`, counts in `additional_kwargs`."""
    reply = ChatReply((Answer("我叫小婉。", finish_reason="stop"),), USAGE, {"request_id": "r1", "session_id": "s1"})
    response = to_response(reply)
    assert response.message == ChatMessage(role="assistant", content="我叫小婉。")
    assert response.raw == {"request_id": "r1", "session_id": "s1", "finish_reason": "stop", "usage": FLAT}
    assert response.additional_kwargs == COUNTS
    assert response.delta is None


def test_a_reply_without_usage_claims_none() -> None:
    """No count is made up: LlamaIndex estimates when there is none."""
    response = to_response(ChatReply((Answer("好"),)))
    assert (response.raw, response.additional_kwargs) == ({}, {})


def test_several_answers_are_all_in_raw() -> None:
    """The message is the first answer; `raw["answers"]` has each with what is its own."""
    reply = ChatReply((Answer("甲", finish_reason="stop"), Answer("乙", finish_reason="length", metadata={"x": 1})))
    response = to_response(reply)
    assert response.message.content == "甲"
    assert response.raw["answers"] == [
        {"text": "甲", "finish_reason": "stop"},
        {"text": "乙", "finish_reason": "length", "x": 1},
    ]


CALLS = (ToolCall("get_weather", {"city": "杭州"}, "call_1"), ToolCall("now", {}, "call_2"))
LISTED = [
    {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "杭州"}'}},
    {"id": "call_2", "type": "function", "function": {"name": "now", "arguments": "{}"}},
]


def test_calls_stand_in_both_places_beside_the_text() -> None:
    """Items 28 and 29: calls are blocks and a list of plain dicts, and the text said with them is kept."""
    expected = [
        ThinkingBlock(content="要查天气"),
        TextBlock(text="稍等。"),
        ToolCallBlock(tool_call_id="call_1", tool_name="get_weather", tool_kwargs={"city": "杭州"}),
        ToolCallBlock(tool_call_id="call_2", tool_name="now", tool_kwargs={}),
    ]
    whole = to_response(ChatReply((Answer("稍等。", reasoning="要查天气", tool_calls=CALLS),))).message
    growing = Responses()
    growing.add(ChatDelta("稍等"))
    last = growing.add(ChatDelta("。", reasoning="要查天气", tool_calls=CALLS, last=True)).message
    for message in (whole, last):
        assert message.blocks == expected
        assert message.additional_kwargs["tool_calls"] == LISTED
        assert json.loads(json.dumps(message.model_dump(mode="json")))["blocks"][2]["tool_kwargs"] == {"city": "杭州"}


def test_a_call_survives_the_way_there_and_back() -> None:
    """A message with calls, as the service gave it, is sent back with the same calls."""
    message = to_response(ChatReply((Answer("", tool_calls=CALLS),))).message
    assert to_messages([message])[0].tool_calls == CALLS


def test_a_stream_grows_and_ends_with_what_is_known_at_the_end() -> None:
    """Deltas add up, reasoning is on the response, ids and usage are on the last one only."""
    growing = Responses()
    deltas = [
        ChatDelta(reasoning="先想"),
        ChatDelta("我叫"),
        ChatDelta("小婉。", name="小婉"),
        ChatDelta(last=True, finish_reason="stop", usage=USAGE, metadata={"request_id": "r1"}),
    ]
    seen = [growing.add(delta) for delta in deltas]
    assert [r.delta for r in seen] == ["", "我叫", "小婉。", ""]
    assert [r.message.content for r in seen] == ["", "我叫", "我叫小婉。", "我叫小婉。"]
    assert [r.additional_kwargs for r in seen] == [{"thinking_delta": "先想"}, {}, {}, COUNTS]
    assert [r.raw for r in seen] == [{}, {}, {}, {"request_id": "r1", "finish_reason": "stop", "usage": FLAT}]
    assert seen[-1].message.blocks == [ThinkingBlock(content="先想"), TextBlock(text="我叫小婉。")]
    assert seen[-1].message.additional_kwargs == {"name": "小婉"}


def test_a_speaker_s_name_goes_back() -> None:
    """In a group chat the service must know who said what."""
    message = ChatMessage(role="assistant", content="你好", additional_kwargs={"name": "小婉"})
    assert to_messages([message])[0].name == "小婉"


def test_a_completion_is_the_response_without_its_message() -> None:
    """Text, delta, `raw` and counts are kept, and the message is left alone."""
    growing = Responses()
    growing.add(ChatDelta("我"))
    response = growing.add(ChatDelta("叫", usage=USAGE, last=True))
    before = copy.deepcopy(response)
    completion = to_completion(response)
    assert (completion.text, completion.delta, completion.raw["usage"]) == ("我叫", "叫", FLAT)
    assert completion.additional_kwargs == COUNTS
    assert response == before


def test_calls_in_pieces() -> None:
    """A call grows as text and is an object at the end; one that never becomes one stays text."""
    responses = Responses()
    first = responses.add(ChatDelta(pieces=(ToolCallPiece(0, '{"city": "New', name="weather", id="call_a"),)))
    second = responses.add(
        ChatDelta(pieces=(ToolCallPiece(0, ' York"}'), ToolCallPiece(1, "{", name="f", id="call_b")))
    )
    last = responses.add(ChatDelta(last=True, finish_reason="tool_calls"))

    def calls(response: Any) -> list[Any]:
        blocks = [block for block in response.message.blocks if isinstance(block, ToolCallBlock)]
        return [(block.tool_call_id, block.tool_name, block.tool_kwargs) for block in blocks]

    assert calls(first) == [("call_a", "weather", '{"city": "New')]
    assert calls(second) == [("call_a", "weather", '{"city": "New York"}'), ("call_b", "f", "{")]
    assert calls(last) == [("call_a", "weather", {"city": "New York"}), ("call_b", "f", "{")]
    assert [c["function"]["arguments"] for c in last.message.additional_kwargs["tool_calls"]] == [
        '{"city": "New York"}',
        "{",
    ]


def test_citations_are_blocks() -> None:
    """What an answer refers to is a block of its own, and no part of the text."""
    cited = {"start": 3, "end": 6, "number": 1, "title": "手册", "url": "https://example.com", "text": "十二个月"}
    response = to_response(ChatReply((Answer("一年。[1]", additional={"citations": [cited]}),)))
    assert response.message.content == "一年。[1]"
    (block,) = [block for block in response.message.blocks if isinstance(block, CitationBlock)]
    assert isinstance(block.cited_content, TextBlock)
    assert (block.cited_content.text, block.source, block.title) == ("十二个月", "https://example.com", "手册")
    assert block.additional_location_info == {"start": 3, "end": 6, "number": 1}
    assert response.raw == {"citations": [cited]}
