"""Faults of the vendor's Python SDK 1.1.5, by their number in our list, and what our chat does in their place.

Those of building a request or reading an answer are in `test_chats.py`, `test_replies.py` and `test_chat_reader.py`.
"""

import json
import logging
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from raw_server import RawServer, json_answer, stream_answer
from xingchen_core import (
    APIResponseError,
    APIStatusError,
    AuthenticationError,
    ConfigurationError,
    InternalServerError,
    Message,
    NotFoundError,
    RateLimitError,
    XingchenSettings,
)
from xingchen_core.characters import ChatRequest, chat, stream_chat
from xingchen_core.chat import ToolCall

Connect = Callable[..., Any]
REQUEST = ChatRequest(character_id="demo", user_id="u1", messages=[Message(role="user", content="秘密")])
MESSAGES = [{"role": "assistant", "content": "好", "finishReason": "stop"}]
DATA = {"requestId": "r-1", "choices": [{"messages": MESSAGES}]}
ANSWER = {"requestId": "r-1", "code": 200, "success": True, "data": DATA}


def settings(**fields: Any) -> XingchenSettings:
    """Settings with a key."""
    return XingchenSettings(**{"api_key": "test-key", **fields})


async def ask(client: Any, *, stream: bool) -> str:
    """The text of one chat, whole or streamed."""
    if not stream:
        return str((await client.send(chat(REQUEST))).answers[0].text)
    return "".join([delta.text async for delta in await client.stream(stream_chat(REQUEST))])


@pytest.fixture(params=[False, True], ids=["whole", "streamed"])
def stream(request: pytest.FixtureRequest) -> bool:
    """Whether the answer is streamed."""
    return bool(request.param)


async def test_one_stack_and_one_connection(connect: Connect) -> None:
    """Faults 3 and 4: streams had a connection each and none of the settings; here they share both with plain calls."""
    whole = json_answer(json.dumps(ANSWER).encode())
    streamed = stream_answer(b"data:" + json.dumps(DATA).encode() + b"\n\n")
    with RawServer(whole, streamed, whole, streamed) as server:
        client = connect(server.url, settings, default_headers={"x-mine": "1"})
        assert [await ask(client, stream=s) for s in (False, True, False, True)] == ["好"] * 4
    assert server.accepted == 1
    assert all(b"x-mine: 1" in request.lower() for request in server.requests)


async def test_no_expect(connect: Connect, stream: bool) -> None:
    """Trap 21: the gateway mishandles `Expect: 100-continue`. Trap 8: in a chat the user is `userProfile.userId`."""
    sent: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(401)

    with pytest.raises(AuthenticationError):
        await ask(connect(answer, settings), stream=stream)
    assert "expect" not in sent[0].headers
    assert json.loads(sent[0].content)["input"]["aca"]["userProfile"] == {"userId": "u1"}


def test_limits_by_default() -> None:
    """Fault 5: a silent server hung the caller for ever. Fault 27: without an address it called localhost."""
    made = settings()
    assert (made.call_timeout().connect, made.call_timeout().read, made.silence_limit()) == (10.0, 60.0, 60.0)
    assert made.origin() == "https://nlp.aliyuncs.com"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ((401, {"success": None, "errorCode": 401}), AuthenticationError),
        ((500, {"success": None, "errorCode": 500}), InternalServerError),
        ((200, {"success": False, "code": 404, "errorMessageKey": "aca.error.notfound"}), NotFoundError),
        ((400, {"success": False, "code": 404, "errorMessageKey": "aca.error.notfound"}), NotFoundError),
    ],
)
async def test_refusals_are_raised(
    connect: Connect, stream: bool, answer: tuple[int, Any], kind: type[APIStatusError]
) -> None:
    """Faults 6 and 9: a refused stream was an empty one, and a refused call an answer to be inspected."""
    status, body = answer
    client = connect(lambda _: httpx.Response(status, json=body), settings, max_retries=0)
    with pytest.raises(kind) as caught:
        await ask(client, stream=stream)
    assert type(caught.value) is kind


async def test_no_json(connect: Connect, stream: bool) -> None:
    """Fault 22: a page in place of an answer was a ValidationError of a model."""
    client = connect(lambda _: httpx.Response(200, html="<html>登录</html>"), settings)
    with pytest.raises(APIResponseError, match="base_url"):
        await ask(client, stream=stream)


async def test_throttling(connect: Connect, stream: bool, waits: list[float]) -> None:
    """Fault 23: throttling is an error of its own, waited for as long as the service says."""
    client = connect(lambda _: httpx.Response(429, headers={"retry-after": "2"}), settings)
    with pytest.raises(RateLimitError) as caught:
        await ask(client, stream=stream)
    assert (caught.value.retry_after, waits) == (2.0, [2.0, 2.0])


async def test_logs_do_not_tell(connect: Connect, stream: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Fault 32: debug logs printed what people said."""
    caplog.set_level(logging.DEBUG)
    streamed = b"data:" + json.dumps(DATA).encode() + b"\n\n"

    def answer(_: httpx.Request) -> httpx.Response:
        if stream:
            return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=streamed)
        return httpx.Response(200, json=ANSWER)

    assert await ask(connect(answer, settings), stream=stream) == "好"
    assert any("xingchen POST /v2/api/chat/send: ok" in record.getMessage() for record in caplog.records)
    for text in ("秘密", "好", "test-key"):
        assert text not in caplog.text


def test_a_message_keeps_its_calls() -> None:
    """Fault 15: a message read from plain data lost its function call."""
    message = Message(role="assistant", tool_calls=(ToolCall("f", {"x": 1}, "call_r-1_0"),))
    assert Message.model_validate(message.model_dump()) == message
    assert Message.model_validate_json(message.model_dump_json()) == message


def test_no_key_no_call() -> None:
    """What is missing is said at construction, by name, and not by the service later."""
    with pytest.raises(ConfigurationError, match="XINGCHEN_API_KEY"):
        XingchenSettings()
