"""Messages both ways, as values: no model, no service."""

from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    HumanMessageChunk,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)

from langchain_xingchen import _citations  # noqa: F401  registers the translator
from langchain_xingchen._messages import to_chunk, to_messages, to_result
from xingchen_core import Answer, ChatDelta, ChatReply, Message, ToolCall, UnsupportedOperationError, Usage
from xingchen_core.chat import ToolCallPiece

CALL = {"name": "weather", "args": {"city": "杭州"}, "id": "call_1", "type": "tool_call"}


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (HumanMessage("你好"), Message(role="user", content="你好")),
        (HumanMessage("你好", name="小明"), Message(role="user", content="你好", name="小明")),
        (AIMessage("你好"), Message(role="assistant", content="你好")),
        (SystemMessage("下雨了"), Message(role="system", content="下雨了")),
        (ChatMessage("你好", role="user"), Message(role="user", content="你好")),
        (ChatMessage("下雨了", role="developer"), Message(role="system", content="下雨了")),
        (FunctionMessage("晴", name="weather"), Message(role="function", content="晴", name="weather")),
        (ToolMessage("晴", tool_call_id="call_1"), Message(role="function", content="晴")),
        (
            ToolMessage("晴", tool_call_id="call_1", name="weather"),
            Message(role="function", content="晴", name="weather"),
        ),
        # The sum of a stream, as applications keep it.
        (AIMessageChunk("你") + AIMessageChunk("好"), Message(role="assistant", content="你好")),
        (HumanMessageChunk("你好"), Message(role="user", content="你好")),
        # Summing loses the name of who spoke in a group; the metadata has it.
        (
            AIMessageChunk("你好", response_metadata={"speaker": "小婉"}),
            Message(role="assistant", content="你好", name="小婉"),
        ),
        (
            AIMessage("", tool_calls=[CALL]),
            Message(role="assistant", tool_calls=(ToolCall("weather", {"city": "杭州"}, "call_1"),)),
        ),
    ],
)
def test_roles(message: BaseMessage, expected: Message) -> None:
    """Each kind of message in the services' words."""
    assert to_messages([message]) == [expected]


def test_results_are_named_after_their_calls() -> None:
    """A result knows only the id of its call; the service wants the function's name."""
    _, result = to_messages([AIMessage("", tool_calls=[CALL]), ToolMessage("晴", tool_call_id="call_1")])
    assert result == Message(role="function", content="晴", name="weather")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ([{"type": "text", "text": "今天"}, {"type": "text", "text": "天气"}], "今天天气"),
        (["今天", {"text": "天气"}], "今天天气"),
        ([{"type": "text", "text": "杭州", "annotations": []}], "杭州"),
        ([{"type": "text", "text": None}, {"type": "text", "text": "好"}], "好"),
        ([], ""),
        # What an earlier answer thought or called, maybe another provider's, is not said again.
        ([{"type": "reasoning", "reasoning": "想想"}, {"type": "text", "text": "好"}], "好"),
        ([{"type": "thinking", "thinking": "想想", "signature": "x"}, {"type": "text", "text": "好"}], "好"),
        ([{"type": "tool_use", "id": "call_1", "name": "weather", "input": {}}, {"type": "text", "text": "好"}], "好"),
    ],
)
def test_blocks_of_text(content: list[Any], text: str) -> None:
    """Content in blocks is the text of its blocks."""
    assert to_messages([AIMessage(content)])[0].content == text


@pytest.mark.parametrize("kind", ["image", "image_url", "audio", "file", "video"])
def test_a_character_does_not_see(kind: str) -> None:
    """Anything but text is refused, and not dropped in silence."""
    with pytest.raises(UnsupportedOperationError, match=f"'{kind}'"):
        to_messages(
            [HumanMessage([{"type": "text", "text": "看"}, {"type": kind, "url": "https://example.invalid/1"}])]
        )


@pytest.mark.parametrize("message", [ChatMessage("你好", role="narrator"), RemoveMessage(id="m1")])
def test_messages_without_a_counterpart(message: BaseMessage) -> None:
    """A role the service does not know is named in the error."""
    with pytest.raises(UnsupportedOperationError, match=type(message).__name__):
        to_messages([message])


def test_a_reply_with_everything() -> None:
    """All that a reply knows has its place in the message; details of usage are parts, not additions."""
    reply = ChatReply(
        (
            Answer(
                "好", "小婉", "想想", (ToolCall("weather", {"city": "杭州"}, "call_1"),), "stop", {"moderation": {}}
            ),
            Answer("行"),
        ),
        Usage(10, 5, {"user_tokens": 3}, {"plugin_tokens": 2}),
        {"session_id": "s1"},
    )
    first, second = (generation.message for generation in to_result(reply, "xingchen").generations)
    assert first == AIMessage(
        "好",
        name="小婉",
        additional_kwargs={"reasoning_content": "想想"},
        tool_calls=[CALL],
        response_metadata={
            "model_provider": "xingchen",
            "finish_reason": "stop",
            "session_id": "s1",
            "moderation": {},
        },
        usage_metadata={
            "input_tokens": 10,
            "output_tokens": 5,
            "total_tokens": 15,
            "input_token_details": {"user_tokens": 3},
            "output_token_details": {"plugin_tokens": 2},
        },
    )
    assert second == AIMessage("行", response_metadata={"model_provider": "xingchen", "session_id": "s1"})


def test_a_piece_and_the_last_piece() -> None:
    """Only the last chunk knows how the answer ended and what it cost."""
    piece = to_chunk(ChatDelta("你"), "xingchen").message
    assert piece == AIMessageChunk("你", response_metadata={"model_provider": "xingchen"})

    delta = ChatDelta("好", last=True, finish_reason="stop", usage=Usage(10, 5), metadata={"session_id": "s1"})
    assert to_chunk(delta, "xingchen").message == AIMessageChunk(
        "好",
        response_metadata={"model_provider": "xingchen", "finish_reason": "stop", "session_id": "s1"},
        usage_metadata={"input_tokens": 10, "output_tokens": 5, "total_tokens": 15},
        chunk_position="last",
    )


def test_calls_in_pieces() -> None:
    """Chunks of a call that is still being written add up to the call; ids and names come once."""
    pieces = [
        ToolCallPiece(0, '{"city": "New', name="weather", id="call_a"),
        ToolCallPiece(0, " York"),
        ToolCallPiece(0, '"}'),
        ToolCallPiece(1, "", name="time", id="call_b"),
    ]
    chunks: list[Any] = [to_chunk(ChatDelta(pieces=(piece,)), "bailian").message for piece in pieces]
    chunks.append(to_chunk(ChatDelta(last=True, finish_reason="tool_calls"), "bailian").message)
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    assert whole.tool_calls == [
        {"name": "weather", "args": {"city": "New York"}, "id": "call_a", "type": "tool_call"},
        {"name": "time", "args": {}, "id": "call_b", "type": "tool_call"},
    ]
    assert whole.response_metadata["finish_reason"] == "tool_calls"


def test_a_call_that_cannot_be_read() -> None:
    """Arguments that are no JSON object are an invalid call with the text as it came."""
    answer = Answer("", tool_calls=(ToolCall("f", {}, "c", written='{"x": '), ToolCall("g", {"y": 1}, "d")))
    message: Any = to_result(ChatReply((answer,)), "bailian").generations[0].message
    assert [(call["name"], call["args"], call["id"]) for call in message.invalid_tool_calls] == [("f", '{"x": ', "c")]
    assert [(call["name"], call["args"], call["id"]) for call in message.tool_calls] == [("g", {"y": 1}, "d")]


def test_citations_stand_beside_the_rest() -> None:
    """Citations annotate the text; reasoning and calls are still there."""
    cited = {"start": 3, "end": 6, "number": 1, "title": "手册", "url": "https://example.com", "text": "十二个月"}
    answer = Answer(
        "一年。[1]", reasoning="查手册", tool_calls=(ToolCall("f", {}, "c"),), additional={"citations": [cited]}
    )
    message: Any = to_result(ChatReply((answer,)), "bailian").generations[0].message
    reasoning, text, call = message.content_blocks
    assert (reasoning["type"], reasoning["reasoning"], call["type"]) == ("reasoning", "查手册", "tool_call")
    (citation,) = text["annotations"]
    assert text["text"][citation["start_index"] : citation["end_index"]] == "[1]"
    assert (citation["title"], citation["url"], citation["cited_text"]) == ("手册", "https://example.com", "十二个月")
    assert citation["extras"] == {"number": 1}
