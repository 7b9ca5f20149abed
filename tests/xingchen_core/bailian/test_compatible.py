"""The OpenAI-compatible endpoint: the same request and the same answer, in other words."""

import json
from typing import Any

import pytest

from model_events import deltas, fragment
from xingchen_core import APIResponseError, BadRequestError, ChatDelta, ChatReply, InternalServerError, RateLimitError
from xingchen_core.bailian import ModelMessage, ModelRequest, generate, stream_generate
from xingchen_core.chat import ToolCall, ToolCallPiece, Usage, gathered

USER = ModelMessage(role="user", content="你好")
USAGE = {
    "prompt_tokens": 26,
    "completion_tokens": 9,
    "total_tokens": 35,
    "prompt_tokens_details": {"cached_tokens": 20},
    "completion_tokens_details": {"reasoning_tokens": 4},
}


def _request(*messages: ModelMessage, **fields: Any) -> ModelRequest:
    return ModelRequest(messages=list(messages or (USER,)), endpoint="compatible", **fields)


def _chunk(reason: str | None = None, **delta: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "model": "qwen-plus",
        "choices": [choice],
        "usage": None,
        "system_fingerprint": None,
    }


LAST = {**_chunk(), "choices": [], "usage": USAGE}
DONE = b"data: [DONE]\n\n"


def _framed(*chunks: dict[str, Any]) -> bytes:
    return "".join(f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n" for chunk in chunks).encode()


def _stream(*chunks: dict[str, Any], end: bytes = DONE, **fields: Any) -> list[ChatDelta]:
    return deltas(stream_generate(_request(**fields)), _framed(*chunks) + end)


def _reply(body: dict[str, Any]) -> ChatReply:
    return generate(_request()).parse(body)


def test_the_body() -> None:
    """DashScope's extras stand at the top; the body says whether to stream, and asks for usage then."""
    request = _request(top_k=5, enable_thinking=True, seed=7, stop="END", model_kwargs={"skill": []})
    body = {
        "model": "qwen-plus",
        "messages": [{"role": "user", "content": "你好"}],
        "top_k": 5,
        "seed": 7,
        "stop": ["END"],
        "enable_thinking": True,
        "skill": [],
    }
    assert generate(request).json == body
    assert generate(request).headers == {}
    call = stream_generate(request, workspace_id="ws-demo")
    assert call.json == {**body, "stream": True, "stream_options": {"include_usage": True}}
    assert call.headers == {"X-DashScope-WorkSpace": "ws-demo"}


def test_parts_in_openais_form() -> None:
    """What stands beside the modality stays beside it; the format of sound is told by its source."""
    parts = (
        {"text": "看", "cache_control": {"type": "ephemeral"}},
        {"image": "https://example.com/a.png", "min_pixels": 3136},
        {"video": "https://example.com/a.mp4", "fps": 2},
        {"video": ["https://example.com/1.jpg", "https://example.com/2.jpg"]},
        {"audio": "data:audio/wav;base64,AAAA"},
        {"audio": "https://example.com/你好.mp3?x=1"},
        {"audio": "https://example.com/sound", "format": "amr"},
    )
    message = generate(_request(ModelMessage(role="user", content=parts))).json["messages"][0]
    assert message["content"] == [
        {"type": "text", "text": "看", "cache_control": {"type": "ephemeral"}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}, "min_pixels": 3136},
        {"type": "video_url", "video_url": {"url": "https://example.com/a.mp4"}, "fps": 2},
        {"type": "video", "video": ["https://example.com/1.jpg", "https://example.com/2.jpg"]},
        {"type": "input_audio", "input_audio": {"data": "data:audio/wav;base64,AAAA", "format": "wav"}},
        {"type": "input_audio", "input_audio": {"data": "https://example.com/你好.mp3?x=1", "format": "mp3"}},
        {"type": "input_audio", "input_audio": {"data": "https://example.com/sound", "format": "amr"}},
    ]


def test_calls_and_results() -> None:
    """As natively: an empty text beside the calls, a string as the result."""
    called = ModelMessage(role="assistant", tool_calls=(ToolCall("f", {"城市": "杭州"}, "call_1"),))
    result = ModelMessage(role="tool", content=({"text": "晴"},), tool_call_id="call_1")
    assert generate(_request(USER, called, result)).json["messages"][1:] == [
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {
                    "id": "call_1",
                    "type": "function",
                    "index": 0,
                    "function": {"name": "f", "arguments": '{"城市":"杭州"}'},
                }
            ],
        },
        {"role": "tool", "content": "晴", "tool_call_id": "call_1"},
    ]


def test_a_plain_answer() -> None:
    """OpenAI's names for the same counts; the id is the request's."""
    message = {"role": "assistant", "content": "二", "reasoning_content": "一加一", "tool_calls": None}
    reply = _reply(
        {
            "id": "chatcmpl-1",
            "model": "qwen-plus-2025-07-28",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
            "usage": USAGE,
            "system_fingerprint": "",
        }
    )
    (answer,) = reply.answers
    assert (answer.text, answer.reasoning, answer.finish_reason, answer.metadata) == ("二", "一加一", "stop", {})
    assert reply.usage == Usage(26, 9, {"cache_read": 20}, {"reasoning": 4})
    assert reply.metadata == {"request_id": "chatcmpl-1", "model_name": "qwen-plus-2025-07-28"}


def test_no_answer_is_an_error() -> None:
    """An empty list of choices is no empty answer."""
    with pytest.raises(APIResponseError, match="without an answer"):
        _reply({"id": "chatcmpl-1", "choices": []})


def test_a_stream() -> None:
    """Role, thoughts, text, reason, usage alone, `[DONE]`: usage and ids come on the last delta, once."""
    found = _stream(
        _chunk(role="assistant", content="", reasoning_content=None),
        _chunk(content=None, reasoning_content="想"),
        _chunk(content="你"),
        _chunk(content="好"),
        _chunk("stop", content=""),
        {**LAST, "system_fingerprint": "fp_1"},
    )
    assert [(delta.reasoning, delta.text, delta.last) for delta in found] == [
        ("想", "", False),
        ("", "你", False),
        ("", "好", False),
        ("", "", True),
    ]
    assert found[-1].usage == Usage(26, 9, {"cache_read": 20}, {"reasoning": 4})
    assert found[-1].finish_reason == "stop"
    assert found[-1].metadata == {"request_id": "chatcmpl-1", "model_name": "qwen-plus"}
    assert [delta.usage for delta in found[:-1]] == [None, None, None]


def test_a_stream_without_usage() -> None:
    """The reason ends the answer, whether or not usage and the mark follow."""
    for end in (DONE, b""):
        found = _stream(_chunk(content="好"), _chunk("stop"), end=end)
        assert [(delta.text, delta.last, delta.usage) for delta in found] == [("好", False, None), ("", True, None)]


def test_a_cut_stream() -> None:
    """Neither the mark nor the end of the connection is a reason."""
    for end in (DONE, b""):
        with pytest.raises(APIResponseError, match="ended before") as caught:
            _stream(_chunk(content="你"), end=end)
        assert (caught.value.partial_text, caught.value.request_id) == ("你", "chatcmpl-1")


def test_calls_in_pieces() -> None:
    """Here later pieces have a null name instead of none."""
    second = fragment(0, ' York"}')
    second["function"]["name"] = None
    found = _stream(
        _chunk(content=None, tool_calls=[fragment(0, '{"city": "New', "f", "call_a")]),
        _chunk(content=None, tool_calls=[second]),
        _chunk("tool_calls"),
        LAST,
    )
    assert found[1].pieces == (ToolCallPiece(0, ' York"}', None, None),)
    assert gathered(found).answers[0].tool_calls == (ToolCall("f", {"city": "New York"}, "call_a"),)
    assert found[-1].finish_reason == "tool_calls"


def test_increments_whatever_was_asked() -> None:
    """The endpoint has no snapshots: `incremental_output=False` must not make "haha" one "ha"."""
    found = _stream(_chunk(content="ha"), _chunk(content="ha"), _chunk("stop"), LAST, incremental_output=False)
    assert "".join(delta.text for delta in found) == "haha"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": "limit_requests", "message": "slow down", "type": "limit_requests"}, RateLimitError),
        ({"code": None, "type": "invalid_request_error", "message": "no"}, BadRequestError),
        ({"message": "no words for it"}, InternalServerError),
    ],
)
def test_an_error_inside_the_stream(error: dict[str, Any], kind: type[Exception]) -> None:
    """Nested, under HTTP 200 and without a comment: the code tells."""
    with pytest.raises(kind) as caught:
        _stream(_chunk(content="你"), {"error": error, "request_id": "r9"})
    assert (caught.value.request_id, caught.value.service) == ("r9", "bailian")  # type: ignore[attr-defined]
