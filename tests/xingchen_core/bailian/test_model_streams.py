"""Streams over a real connection, and answers that must not depend on how they were cut."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_events import deltas, fragment, framed, said
from raw_server import STREAM_END, STREAM_HEAD, Connection, RawServer, chunk, json_answer, stream_answer
from xingchen_core import APIConnectionError, APIResponseError, ChatDelta, RateLimitError
from xingchen_core._call import StreamCall
from xingchen_core.bailian import BailianSettings, ModelMessage, ModelRequest, generate, stream_generate
from xingchen_core.chat import ToolCall, gathered

Connect = Callable[..., Any]
USER = ModelMessage(role="user", content="你好")
ANSWER = framed(said("你"), said("好\u2028吗"), said("", "stop"))


def _call(**fields: Any) -> StreamCall[ChatDelta]:
    return stream_generate(ModelRequest(messages=[USER], **fields))


async def _deltas(client: Any, call: StreamCall[ChatDelta]) -> list[ChatDelta]:
    stream = client.stream(call)
    if hasattr(stream, "__await__"):
        stream = await stream
    return [delta async for delta in stream]


async def test_every_byte_alone(connect: Connect) -> None:
    """Characters cut in the middle and U+2028 arrive whole."""
    with RawServer(stream_answer(*(ANSWER[at : at + 1] for at in range(len(ANSWER))))) as server:
        client = connect(server.url, BailianSettings, api_key="test-key")
        found = await _deltas(client, _call())
    assert [delta.text for delta in found] == ["你", "好\u2028吗", ""]
    assert found[-1].last


async def test_what_is_sent(connect: Connect) -> None:
    """Method, path, bearer, the header that asks for events, and no compression that would hold them back."""
    with RawServer(stream_answer(ANSWER)) as server:
        client = connect(server.url, BailianSettings, api_key="test-key")
        await _deltas(client, _call())
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    assert lines[0] == b"post /api/v1/services/aigc/text-generation/generation http/1.1"
    assert {b"authorization: bearer test-key", b"x-dashscope-sse: enable", b"accept-encoding: identity"} <= {*lines}
    assert json.loads(body)["input"] == {"messages": [{"role": "user", "content": "你好"}]}


async def test_the_last_delta_waits_for_nothing(connect: Connect) -> None:
    """The final event ends the answer: it comes while the connection is still open, even if that then breaks."""

    def play(connection: Connection) -> None:
        connection.send(STREAM_HEAD + chunk(ANSWER))
        connection.reset()

    with RawServer(play) as server:
        client = connect(server.url, BailianSettings, api_key="test-key")
        found = await _deltas(client, _call())
    assert [delta.last for delta in found] == [False, False, True]


async def test_a_stream_that_ends_early(connect: Connect) -> None:
    """In good order or not, the text so far is on the error."""

    def cut(connection: Connection) -> None:
        connection.send(STREAM_HEAD + chunk(framed(said("你"))))
        connection.reset()

    for script, kind in ((stream_answer(framed(said("你"))), APIResponseError), (cut, APIConnectionError)):
        with RawServer(script) as server:
            client = connect(server.url, BailianSettings, api_key="test-key")
            with pytest.raises(kind) as caught:
                await _deltas(client, _call())
        assert caught.value.partial_text == "你"
        assert len(server.requests) == 1


async def test_an_error_in_the_middle_keeps_the_text(connect: Connect) -> None:
    """HTTP 200, `event:error`, status 429 in the comment: nothing is sent again once something was said."""
    error = (
        b'id:2\nevent:error\n:HTTP_STATUS/429\ndata:{"code":"Throttling.RateQuota","message":"m","request_id":"r1"}\n\n'
    )
    with RawServer(stream_answer(framed(said("你")) + error)) as server:
        client = connect(server.url, BailianSettings, api_key="test-key", max_retries=2)
        with pytest.raises(RateLimitError) as caught:
            await _deltas(client, _call())
    assert (caught.value.status_code, caught.value.partial_text, caught.value.request_id) == (429, "你", "r1")
    assert len(server.requests) == 1


async def test_an_error_before_the_text_is_tried_again(connect: Connect) -> None:
    """The first event is the refusal: the stream is opened anew, on the same connection."""
    error = b'id:1\nevent:error\n:HTTP_STATUS/429\ndata:{"code":"Throttling","message":"m","request_id":"r1"}\n\n'
    with RawServer(stream_answer(error), stream_answer(ANSWER)) as server:
        client = connect(server.url, BailianSettings, api_key="test-key")
        found = await _deltas(client, _call())
    assert "".join(delta.text for delta in found) == "你好\u2028吗"
    assert len(server.requests) == 2


async def test_an_unexpected_shape_is_told(connect: Connect) -> None:
    """A choice without a message is nothing to invent an answer from."""
    broken = {"output": {"choices": [{"finish_reason": "stop"}]}, "request_id": "r1"}
    with RawServer(stream_answer(framed(said("你"), broken))) as server:
        client = connect(server.url, BailianSettings, api_key="test-key")
        with pytest.raises(APIResponseError, match="unexpected shape") as caught:
            await _deltas(client, _call())
    assert caught.value.partial_text == "你"


async def test_a_whole_answer(connect: Connect) -> None:
    """Without streaming, over the same connection twice."""
    body = json.dumps(said("你好", "stop")).encode()
    with RawServer(json_answer(body)) as server:
        client = connect(server.url, BailianSettings, api_key="test-key")
        for _ in range(2):
            reply = await client.send(generate(ModelRequest(messages=[USER])))
            assert reply.answers[0].text == "你好"
    assert server.accepted == 1


async def test_a_compatible_stream(connect: Connect) -> None:
    """Text, usage alone, `[DONE]`, each in a packet of its own."""
    text = {"id": "chatcmpl-1", "choices": [{"index": 0, "delta": {"content": "好"}, "finish_reason": None}]}
    stop = {"id": "chatcmpl-1", "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "stop"}]}
    usage = {"id": "chatcmpl-1", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 1}}
    pieces = [f"data: {json.dumps(one)}\n\n".encode() for one in (text, stop, usage)]
    with RawServer(stream_answer(*pieces, b"data: [DONE]\n\n")) as server:
        client = connect(server.url, BailianSettings, api_key="test-key")
        found = await _deltas(client, _call(endpoint="compatible"))
    assert [delta.text for delta in found] == ["好", ""]
    assert found[-1].usage is not None
    assert found[-1].usage.total_tokens == 4
    assert b"x-dashscope-sse" not in server.requests[0].lower()


async def test_leaving_early_hangs_up(connect: Connect) -> None:
    """The service has no call to stop a model: closing the connection is what there is."""
    seen: list[bool] = []

    def play(connection: Connection) -> None:
        connection.send(STREAM_HEAD + chunk(framed(said("你"))))
        seen.append(connection.hung_up())
        connection.send(STREAM_END)

    with RawServer(play) as server:
        client = connect(server.url, BailianSettings, api_key="test-key")
        stream = client.stream(_call())
        if hasattr(stream, "__await__"):
            stream = await stream
        async for delta in stream:
            assert delta.text == "你"
            break
        await stream.aclose()
    assert seen == [True]


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
values = st.recursive(words | st.integers() | st.booleans(), lambda inner: st.lists(inner, max_size=3), max_leaves=5)


@st.composite
def answers(draw: st.DrawFn) -> tuple[list[str], list[str], list[tuple[str, list[str]]]]:
    """A text, thoughts and calls, each cut into pieces anywhere."""

    def pieces(text: str) -> list[str]:
        cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=4)))
        return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]

    calls = draw(
        st.lists(st.tuples(st.sampled_from(["f", "查天气"]), st.dictionaries(words, values, max_size=3)), max_size=3)
    )
    written = [(name, pieces(json.dumps(arguments, ensure_ascii=draw(st.booleans())))) for name, arguments in calls]
    return pieces(draw(words)), pieces(draw(words)), written


def _steps(answer: Any) -> list[dict[str, Any]]:
    """Return messages of new text: thoughts, then text, then the calls, one piece each."""
    thoughts, texts, calls = answer
    steps = [{"content": "", "reasoning_content": piece} for piece in thoughts]
    steps += [{"content": piece, "reasoning_content": ""} for piece in texts]
    for index, (name, pieces) in enumerate(calls):
        steps.append({"content": "", "tool_calls": [fragment(index, pieces[0], name, f"call_{index}")]})
        steps += [{"content": "", "tool_calls": [fragment(index, piece)]} for piece in pieces[1:]]
    return steps


def _repeated(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the same as snapshots: each message says everything so far."""
    text = thought = ""
    calls: dict[int, tuple[str, str, str]] = {}
    snapshots = []
    for step in steps:
        text, thought = text + step["content"], thought + step.get("reasoning_content", "")
        for call in step.get("tool_calls", ()):
            name, arguments, call_id = calls.get(call["index"], (call["function"].get("name"), "", call["id"]))
            calls[call["index"]] = (name, arguments + call["function"]["arguments"], call_id)
        said_so_far = [fragment(at, arguments, name, own) for at, (name, arguments, own) in calls.items()]
        snapshots.append({"content": text, "reasoning_content": thought, "tool_calls": said_so_far})
    return snapshots


def _events(steps: list[dict[str, Any]], last: dict[str, Any]) -> bytes:
    return framed(*(said(**step) for step in steps), said(**last, reason="stop"))


@given(answers(), st.data())
def test_the_answer_does_not_depend_on_the_cuts(answer: Any, data: st.DataObject) -> None:
    """Increments, snapshots and the compatible endpoint give one answer, wherever text, arguments and bytes are cut."""
    thoughts, texts, calls = answer
    steps = _steps(answer)
    repeated = _repeated(steps)
    chunks = [{"id": "c1", "choices": [{"index": 0, "delta": step, "finish_reason": None}]} for step in steps]
    chunks += [
        {"id": "c1", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        {"id": "c1", "choices": []},
    ]
    openai = "".join(f"data: {json.dumps(one)}\n\n" for one in chunks).encode() + b"data: [DONE]\n\n"
    for wire, call in (
        (_events(steps, {}), _call()),
        (_events(repeated, repeated[-1]), _call(incremental_output=False)),
        (openai, _call(endpoint="compatible")),
    ):
        at = data.draw(st.integers(0, len(wire)))
        found = gathered(deltas(call, wire[:at], wire[at:])).answers[0]
        assert (found.text, found.reasoning) == ("".join(texts), "".join(thoughts))
        assert found.tool_calls == tuple(
            ToolCall(name, json.loads("".join(pieces)), f"call_{index}") for index, (name, pieces) in enumerate(calls)
        )
        assert found.finish_reason == ("tool_calls" if calls else "stop")
