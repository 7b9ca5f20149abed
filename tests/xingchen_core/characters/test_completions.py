"""The two model interfaces: whole answers, streams, tools, limits, and how they fail."""

import json
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from toy_service import events
from xingchen_core import (
    APIConnectionError,
    APIResponseError,
    BadRequestError,
    ContentFilterError,
    InternalServerError,
    RateLimitError,
    XingchenError,
    characters,
)
from xingchen_core.characters import CompletionRequest, XingchenSettings
from xingchen_core.emulator import Emulator

ASKED = [{"role": "system", "content": "你是小婉，17岁。"}, {"role": "user", "content": "你叫什么？"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "查询天气",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
PLAIN = {"old": characters.completion, "new": characters.chat_completion}
STREAMED = {"old": characters.stream_completion, "new": characters.stream_chat_completion}


@pytest.fixture(params=["old", "new"])
def interface(request: pytest.FixtureRequest) -> str:
    """Either interface."""
    name: str = request.param
    return name


async def read(client: Any, call: Any, into: list[Any] | None = None) -> list[Any]:
    """All chunks of a stream; `into` has those that came before an error."""
    chunks = [] if into is None else into
    async for chunk in await client.stream(call):
        chunks.append(chunk)
    return chunks


def text_of(chunk: dict[str, Any]) -> str:
    """What the first answer of a chunk says, whichever member holds it."""
    choice = chunk["choices"][0]
    content: str = (choice.get("delta") or choice.get("message"))["content"]
    return content


async def test_whole(emulator: Emulator, client: Any, interface: str) -> None:
    """The answer comes as OpenAI's, whole, and nothing of it is lost."""
    body = await client.send(PLAIN[interface](CompletionRequest(messages=ASKED, seed=42, user="u1", temperature=0.9)))
    assert body["choices"] == [
        {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": "我叫小婉，很高兴认识你。"},
        }
    ]
    assert body["id"].startswith("cmpl-")
    assert body["model"] == "xingchen-plus-v2"
    assert type(body["created"]) is int
    usage = body["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 0
    (sent,) = emulator.requests
    assert sent.json == {
        "messages": ASKED,
        "model": "xingchen-plus-v2",
        "seed": 42,
        "user": "u1",
        "temperature": 0.9,
    }


@pytest.mark.parametrize(
    ("interface", "path", "name"),
    [
        ("old", "/v2/api/completions", "aca-completion"),
        ("new", "/v2/api/chat/completions", "aca-chat-completions"),
    ],
)
async def test_streamed(emulator: Emulator, client: Any, interface: str, path: str, name: str) -> None:
    """Chunks come as they are; a switch in the body asks for them, and neither header nor service name."""
    emulator.reply("", chunks=["我叫", "小婉", "。"])
    chunks = await read(client, STREAMED[interface](CompletionRequest(messages=ASKED)))
    assert [text_of(chunk) for chunk in chunks] == ["我叫", "小婉", "。", ""]
    assert {("delta" if interface == "new" else "message") in chunk["choices"][0] for chunk in chunks} == {True}
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert chunks[-1]["usage"]["total_tokens"] > 0
    (sent,) = emulator.requests
    assert (sent.path, sent.headers["x-fag-servicename"], sent.json["stream"]) == (path, name, True)
    assert "x-aca-sse" not in sent.headers


async def test_seeds(emulator: Emulator, client: Any, interface: str) -> None:
    """The default model repeats itself for a repeated seed: every call draws its own, unless one is given."""
    for _ in range(5):
        await client.send(PLAIN[interface](CompletionRequest(messages=ASKED)))
    seeds = {request.json["seed"] for request in emulator.requests}
    assert len(seeds) == 5
    assert all(0 <= seed < 2**63 for seed in seeds)
    await client.send(PLAIN[interface](CompletionRequest(messages=ASKED, seed=0)))
    assert emulator.requests[-1].json["seed"] == 0


async def test_tools(client: Any) -> None:
    """A tool is called, whole and streamed, and its result goes back under its id."""
    request = CompletionRequest(messages=ASKED, tools=[WEATHER], tool_choice="required")
    body = await client.send(characters.completion(request))
    message = body["choices"][0]["message"]
    (call,) = message["tool_calls"]
    assert (call["type"], call["function"]["name"]) == ("function", "get_weather")
    assert json.loads(call["function"]["arguments"]) == {"city": "你叫什么？"}
    chunks = await read(client, characters.stream_completion(request))
    assert chunks[-1]["choices"][0]["message"]["tool_calls"][0]["function"] == call["function"]
    result = {"role": "tool", "tool_call_id": call["id"], "content": "晴，21度"}
    follow = CompletionRequest(messages=[*ASKED, message, result], tools=[WEATHER])
    answer = await client.send(characters.completion(follow))
    assert "晴，21度" in answer["choices"][0]["message"]["content"]


async def test_tool_choice(emulator: Emulator, client: Any) -> None:
    """A tool may be named."""
    choice = {"type": "function", "function": {"name": "get_weather"}}
    body = await client.send(
        characters.completion(CompletionRequest(messages=ASKED, tools=[WEATHER], tool_choice=choice))
    )
    assert body["choices"][0]["finish_reason"] == "tool_calls"
    assert emulator.requests[0].json["tool_choice"] == choice


async def test_several(emulator: Emulator, client: Any) -> None:
    """The new interface gives up to four answers, streamed too, and knows where to stop."""
    request = CompletionRequest(messages=ASKED, n=4, stop=["很"], logit_bias={"17": -100})
    body = await client.send(characters.chat_completion(request))
    texts = [choice["message"]["content"] for choice in body["choices"]]
    assert len(set(texts)) == 4
    assert all(text.endswith("我叫小婉，") for text in texts)
    assert emulator.requests[0].json | {"n": 4, "stop": ["很"], "logit_bias": {"17": -100}} == emulator.requests[0].json
    said = dict.fromkeys(range(4), "")
    for chunk in await read(client, characters.stream_chat_completion(request)):
        for choice in chunk["choices"]:
            said[choice["index"]] += choice["delta"]["content"]
    assert list(said.values()) == texts


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("n", [1, 4], [0, 5]),
        ("max_tokens", [1, 1500], [0, 1501]),
        ("seed", [0, 2**63 - 1], [-1, 2**63]),
        ("top_p", [0.01, 0.99], [0, 1, 1.1]),
        ("temperature", [0, 1.05], [-0.1]),
        ("tools", [[WEATHER] * 128], [[WEATHER] * 129]),
        ("tool_choice", ["none", "auto", "required", {"type": "function"}], ["any"]),
        ("messages", [ASKED], [[]]),
    ],
)
def test_limits(field: str, good: list[Any], bad: list[Any]) -> None:
    """What is out of range is found before anything is sent, and the error names the field."""
    for value in good:
        assert getattr(CompletionRequest(**{"messages": ASKED, field: value}), field) == value
    for value in bad:
        with pytest.raises(ValidationError, match=field):
            CompletionRequest(**{"messages": ASKED, field: value})


def test_mistyped_field() -> None:
    """A field nobody knows is refused."""
    with pytest.raises(ValidationError, match="max_token\n"):
        CompletionRequest(messages=ASKED, max_token=5)  # type: ignore[call-arg]  # the mistake


# Failures


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"status": 400, "code": "aca.error.invalid.param"}, BadRequestError),
        ({"status": 429}, RateLimitError),
        ({"status": 500}, InternalServerError),
        ({"status": 200, "code": 400}, BadRequestError),
        ({"code": "DataInspectionFailed"}, ContentFilterError),
    ],
)
@pytest.mark.parametrize("streaming", [False, True])
async def test_refused(
    emulator: Emulator, connect: Any, interface: str, fault: Any, error: type[XingchenError], streaming: bool
) -> None:
    """A refusal is raised, whatever HTTP status it comes with, before a stream begins."""
    client = connect(emulator.url, XingchenSettings, api_key="test-key", max_retries=0)
    emulator.fail("status", **fault)
    request = CompletionRequest(messages=ASKED)
    with pytest.raises(error) as caught:
        await (client.stream(STREAMED[interface](request)) if streaming else client.send(PLAIN[interface](request)))
    assert caught.value.service == "xingchen"
    assert caught.value.request_id


async def test_refused_without_envelope(service: Any) -> None:
    """The error object comes at the top level, with HTTP 200 too: its `errorCode` tells it from an answer."""
    refused = {"requestId": "r1", "errorCode": 400, "errorName": "InvalidParam", "errorMessage": "bad seed"}
    client = service(lambda: httpx.Response(200, json=refused), max_retries=0)
    with pytest.raises(BadRequestError, match="bad seed"):
        await client.send(characters.completion(CompletionRequest(messages=ASKED)))


@pytest.mark.parametrize("body", [{"id": "1"}, {"id": "1", "choices": []}, {"id": "1", "choices": None}])
async def test_no_answer(service: Any, body: dict[str, Any]) -> None:
    """An answer without an answer is an error."""
    with pytest.raises(APIResponseError, match="without an answer"):
        await service(lambda: httpx.Response(200, json=body)).send(
            characters.completion(CompletionRequest(messages=ASKED))
        )


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("cut", APIConnectionError),
        ("silent_end", APIResponseError),
        ("error_event", BadRequestError),
    ],
)
async def test_broken_stream(
    emulator: Emulator, client: Any, interface: str, kind: Any, error: type[XingchenError]
) -> None:
    """A stream that breaks raises what broke it, with what had been said; it is not sent again."""
    emulator.reply("", chunks=["我叫", "小婉", "。"])
    emulator.fail(kind, after=2)
    chunks: list[Any] = []
    with pytest.raises(error) as caught:
        await read(client, STREAMED[interface](CompletionRequest(messages=ASKED)), chunks)
    assert [text_of(chunk) for chunk in chunks] == ["我叫", "小婉"]
    assert caught.value.partial_text == "我叫小婉"
    assert len(emulator.requests) == 1


async def test_broken_between_answers(emulator: Emulator, client: Any) -> None:
    """One answer of two being complete does not make the stream complete."""
    emulator.reply("", chunks=["甲"], alternatives=["乙"])
    emulator.fail("silent_end", after=2)
    with pytest.raises(APIResponseError, match="ended before the answer did"):
        await read(client, characters.stream_chat_completion(CompletionRequest(messages=ASKED, n=2)))


def sse(*bodies: Any, event: str = "") -> bytes:
    """Events; the last one of the given type."""
    lines = [f"data:{body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)}\n\n" for body in bodies]
    lines[-1] = (f"event:{event}\n" if event else "") + lines[-1]
    return "".join(lines).encode()


def chunk_of(text: str | None, part: str = "message", **more: Any) -> dict[str, Any]:
    """A chunk of the first answer."""
    return {"choices": [{"index": 0, part: {"content": text}, **more}]}


@pytest.mark.parametrize(
    "stream",
    [
        sse(chunk_of("你"), chunk_of("好"), chunk_of("", finish_reason="stop")),
        sse(chunk_of("你", "delta"), chunk_of("好", "delta"), "[DONE]"),
        sse(chunk_of("你", finish_reason=None), chunk_of("好", finish_reason="null"), chunk_of(None), event="stop"),
        sse(chunk_of("你"), chunk_of("好", finish_reason="length"), {"choices": [], "usage": {"total_tokens": 3}}),
        sse(chunk_of("你"), chunk_of("好", finish_reason="stop")).replace(b"\n", b"\r\n").replace(b"data:", b"data: "),
    ],
    ids=["message", "delta", "event stop", "usage last", "crlf"],
)
async def test_readings(connect: Any, stream: bytes) -> None:
    """`message` by the SDK or `delta` by OpenAI's habit, and every mark of the end that is documented somewhere."""
    client = connect(lambda _: events(stream), XingchenSettings, api_key="test-key")
    chunks = await read(client, characters.stream_completion(CompletionRequest(messages=ASKED)))
    assert "".join(text_of(chunk) or "" for chunk in chunks if chunk["choices"]) == "你好"


@pytest.mark.parametrize(
    "last",
    [
        {"errorCode": 400, "errorMessage": "Invalid Param"},
        {"success": False, "code": 400, "errorMessage": "Invalid Param"},
        {"message": "Invalid Param"},
    ],
)
async def test_error_events(connect: Any, last: dict[str, Any]) -> None:
    """An error event is an error by its type, whatever fields it has; what was said survives on it."""
    client = connect(lambda _: events(sse(chunk_of("你好"), last, event="error")), XingchenSettings, api_key="test-key")
    with pytest.raises(XingchenError, match="Invalid Param") as caught:
        await read(client, characters.stream_completion(CompletionRequest(messages=ASKED)))
    assert caught.value.partial_text == "你好"


@pytest.mark.parametrize("data", ["no json", "[1]", '{"choices":[7]}'])
async def test_strange_events(connect: Any, data: str) -> None:
    """An event nobody can read is told as such, with what had been said."""
    client = connect(lambda _: events(sse(chunk_of("你好"), data)), XingchenSettings, api_key="test-key")
    with pytest.raises(APIResponseError) as caught:
        await read(client, characters.stream_completion(CompletionRequest(messages=ASKED)))
    assert caught.value.partial_text == "你好"
