"""Scripted bytes, and exactly what they must become: message, chunks, metadata, usage, calls."""

import json
from collections.abc import AsyncIterator, Callable, Iterator
from functools import reduce
from itertools import pairwise
from operator import add
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AIMessageChunk

from langchain_xingchen import ChatXingchen

Ways = dict[str, Callable[..., AIMessage]]


def choices(text: str, **members: Any) -> list[dict[str, Any]]:
    """One answer as the service words it."""
    return [{"messages": [{"role": "assistant", "content": text, **members}]}]


# The only complete answer in the vendor's help pages, with other ids.
DOCUMENTED = {
    "requestId": "r1",
    "choices": choices("我是小婉。", finishReason="stop"),
    "usage": {"outputTokens": 5, "inputTokens": 1336, "userTokens": 7},
    "context": {
        "chatRoomId": 10001,
        "sessionId": "s1",
        "chatId": "c1",
        "messageId": "m1",
        "enableDataInspection": False,
        "isSave": True,
        "requestId": "r1",
        "modelRequestId": "q1",
        "origin": "pass_v2",
        "ext": "chat",
    },
    "stop": True,
}
METADATA = {
    "model_provider": "xingchen",
    "model_name": "xingchen-plus-v2",
    "finish_reason": "stop",
    "request_id": "r1",
    "user_id": "u1",
    "character_id": "demo",
    "session_id": "s1",
    "chat_id": "c1",
    "message_id": "m1",
    "answer_id": "m1",
    "chat_room_id": 10001,
    "model_request_id": "q1",
    "is_saved": True,
}
USAGE = {"input_tokens": 1336, "output_tokens": 5, "total_tokens": 1341, "input_token_details": {"user_tokens": 7}}


class Pieces(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that arrives in these pieces."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._pieces)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece


def answering(
    events: list[dict[str, Any]],
    body_pieces: Callable[[bytes], list[bytes]] = lambda body: [body],
    whole: dict[str, Any] = DOCUMENTED,
) -> ChatXingchen:
    """A model whose service streams these events, and says `whole` when it does not stream."""

    def handle(request: httpx.Request) -> httpx.Response:
        if request.headers["x-fag-servicename"] == "aca-chat-send":
            return httpx.Response(200, json={"requestId": "r1", "code": 200, "success": True, "data": whole})
        body = "".join(f"data:{json.dumps(event, ensure_ascii=False)}\n\n" for event in events).encode()
        return httpx.Response(
            200, headers={"content-type": "text/event-stream;charset=UTF-8"}, stream=Pieces(body_pieces(body))
        )

    transport = httpx.MockTransport(handle)
    return ChatXingchen(
        character_id="demo",
        user_id="u1",
        api_key="test-key",
        http_client=httpx.Client(transport=transport),
        http_async_client=httpx.AsyncClient(transport=transport),
    )


def piece(text: str, **members: Any) -> dict[str, Any]:
    """An event of an answer that goes on."""
    return {"requestId": "r1", "choices": choices(text), **members}


CLOSING = {**DOCUMENTED, "choices": choices("", finishReason="stop")}


def test_documented_answer(way: Callable[..., AIMessage]) -> None:
    """The answer printed in the documentation gives exactly this message."""
    message = way(answering([piece("我是"), piece("小婉。"), CLOSING]), "你是谁?")
    assert message.content == "我是小婉。"
    assert message.response_metadata == METADATA
    assert message.usage_metadata == USAGE


IDS = {"usage": DOCUMENTED["usage"], "context": DOCUMENTED["context"]}
EARLY = {**IDS, "usage": {"outputTokens": 1, "inputTokens": 1336, "userTokens": 7}}
END = {"requestId": "r1", "choices": choices("", finishReason="stop")}


@pytest.mark.parametrize(
    "events",
    [
        pytest.param([piece("我是", **EARLY), piece("小婉。", **EARLY), CLOSING], id="on every event"),
        pytest.param(
            [piece("我是"), piece("小婉。"), END, {"requestId": "r1", "choices": [], **IDS}], id="after the end"
        ),
        pytest.param(
            [piece("我是"), {**CLOSING, "choices": choices("小婉。", finishReason="stop")}], id="with the text"
        ),
    ],
)
def test_usage_counts_once(chunks_of: Callable[..., list[AIMessageChunk]], events: list[dict[str, Any]]) -> None:
    """Wherever the service puts usage and context, they are on the last chunk, once, at their last value."""
    chunks = chunks_of(answering(events), "你是谁?")

    assert [chunk.usage_metadata for chunk in chunks if chunk.usage_metadata] == [USAGE]
    assert [chunk.chunk_position for chunk in chunks] == [*[None] * (len(chunks) - 1), "last"]
    for chunk in chunks[:-1]:
        assert chunk.response_metadata == {"model_provider": "xingchen"}
    assert chunks[-1].response_metadata == METADATA
    assert reduce(add, chunks).content == "我是小婉。"


@given(data=st.data(), text=st.text(max_size=40))
@settings(max_examples=60, deadline=None)
def test_no_chunking_glues_metadata(
    chunks_of: Callable[..., list[AIMessageChunk]], data: st.DataObject, text: str
) -> None:
    """However the text is cut into events and the bytes into packets, the sum has the text once and clean metadata."""
    events = [piece(part, **IDS) for part in cut(data, text)]
    chunks = chunks_of(answering([*events, CLOSING], lambda body: cut(data, body)), "你好")

    whole = reduce(add, chunks)
    assert whole.content == text
    assert whole.response_metadata == METADATA
    assert whole.usage_metadata == USAGE
    assert sum(chunk.usage_metadata is not None for chunk in chunks) == 1


def cut(data: st.DataObject, whole: Any) -> list[Any]:
    """The whole in pieces, some of them empty."""
    places = data.draw(st.lists(st.integers(0, len(whole)), max_size=6).map(sorted))
    return [whole[start:end] for start, end in pairwise([0, *places, len(whole)])]


CALLS = [
    {"name": "weather", "args": {"city": "杭州"}, "id": "call_r1_0", "type": "tool_call"},
    {"name": "time", "args": {}, "id": "call_r1_1", "type": "tool_call"},
]
CALLING = {
    "role": "assistant",
    "content": "我查查。",
    "functionCall": {
        "thought": "要看天气",
        "apiCallList": [{"apiName": "weather", "parameters": {"city": "杭州"}}, {"apiName": "time", "parameters": {}}],
    },
    "finishReason": "stop",
}


@pytest.mark.parametrize("usage", ["with the call", "after the call"])
@pytest.mark.parametrize("output_version", ["v0", "v1"])
def test_function_calls_agree(ways: Ways, event_ways: Ways, output_version: str, usage: str) -> None:
    """Calls, their ids and the thought behind them are the same by every way, also when they are the whole stream."""
    choice = {"requestId": "r1", "choices": [{"messages": [CALLING]}]}
    events = [{**choice, **IDS}] if usage == "with the call" else [choice, {"requestId": "r1", **IDS}]
    for name, ask in {**ways, **event_ways}.items():
        model = answering(events, whole={**choice, **IDS}).model_copy(update={"output_version": output_version})
        message = ask(model, "杭州天气怎么样?")

        assert message.tool_calls == CALLS, name
        blocks = message.content_blocks
        assert [block["type"] for block in blocks] == ["reasoning", "text", "tool_call", "tool_call"], name
        assert message.additional_kwargs == {"reasoning_content": "要看天气"}, name
        assert message.text == "我查查。", name
        assert message.usage_metadata == USAGE, name
