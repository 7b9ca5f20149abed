"""What refusals mean: the signed calls' by code, the stream's by the words in it; and what is asked again."""

import json
from typing import Any

import httpx
import pytest

from toy_service import events
from xingchen_core import (
    APIResponseError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    BillingError,
    InternalServerError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    XingchenError,
)
from xingchen_core.beebot import BeebotRequest, BeebotSettings, begin_session, chat, feedback, open_chat
from xingchen_core.beebot._service import read_failure, stream_failure
from xingchen_core.emulator import Emulator

# Status, code, class, whether the same request may succeed later. Source: the vendor's error pages.
RPC: list[tuple[int, str, type[APIStatusError], bool]] = [
    (400, "InvalidParameter", BadRequestError, False),
    (400, "InvalidParameter.Utterance", BadRequestError, False),
    (400, "MissingInstanceId", BadRequestError, False),
    (400, "MissingParameter", BadRequestError, False),
    (400, "400", BadRequestError, False),
    (400, "SomethingNew", BadRequestError, False),
    (400, "InvalidAccessKeyId.NotFound", AuthenticationError, False),
    (404, "InvalidAccessKeyId.NotFound", AuthenticationError, False),
    (400, "InvalidAccessKeyId.Inactive", AuthenticationError, False),
    (400, "SignatureDoesNotMatch", AuthenticationError, False),
    (403, "SignatureDoesNotMatch", AuthenticationError, False),
    (400, "IncompleteSignature", AuthenticationError, False),
    (400, "InvalidTimeStamp.Expired", AuthenticationError, False),
    (400, "InvalidTimeStamp.Format", AuthenticationError, False),
    (400, "InvalidSecurityToken.Expired", AuthenticationError, False),
    (403, "InvalidSecurityToken.Malformed", AuthenticationError, False),
    (400, "SignatureNonceUsed", RateLimitError, True),
    (400, "Throttling", RateLimitError, True),
    (400, "Throttling.User", RateLimitError, True),
    (400, "Throttling.Api", RateLimitError, True),
    (429, "Throttling", RateLimitError, True),
    (503, "Throttling", RateLimitError, True),
    (403, "Forbidden", PermissionDeniedError, False),
    (403, "NoPermission", PermissionDeniedError, False),
    (403, "InstanceFreezing", BillingError, False),
    (404, "InvalidApi.NotFound", NotFoundError, False),
    (404, "InvalidProduct.NotFound", NotFoundError, False),
    (400, "InvalidInstance.NotFound", NotFoundError, False),
    (500, "InternalError", InternalServerError, True),
    (503, "ServiceUnavailable", InternalServerError, True),
    (200, "Third party interface error", InternalServerError, True),
    (418, "Teapot", BadRequestError, False),
    (401, "", AuthenticationError, False),
    (403, "", PermissionDeniedError, False),
    (404, "", NotFoundError, False),
    (429, "", RateLimitError, True),
    (502, "", InternalServerError, True),
]


@pytest.mark.parametrize(("status", "code", "kind", "retryable"), RPC)
def test_signed_calls(status: int, code: str, kind: type[APIStatusError], retryable: bool) -> None:
    """The code decides, never the status alone: throttling comes under 400."""
    found = read_failure(status, {"RequestId": "r1", "HostId": "h", "Code": code, "Message": "words"})
    assert type(found) is kind
    assert found.is_retryable is retryable
    assert (found.code, found.request_id) == (code or None, "r1")
    assert found.status_code == (status if status >= 400 else 400)
    assert "words" in str(found)


def test_other_spellings() -> None:
    """The vendor's SDK accepts lower-case names too; a body that is no object leaves the status."""
    found = read_failure(400, {"code": "Throttling", "message": "slow down", "requestId": "r1"})
    assert isinstance(found, RateLimitError)
    assert (found.message, found.request_id) == ("slow down", "r1")
    assert isinstance(read_failure(500, "oops"), InternalServerError)
    assert read_failure(200, {"RequestId": "r1"}) is None
    assert read_failure(200, []) is None


@pytest.mark.parametrize(
    ("code", "message", "kind", "status"),
    [
        ("Throttling.User", "", RateLimitError, 429),
        ("QPSExceeded", "", RateLimitError, 429),
        ("ConcurrencyLimit", "", RateLimitError, 429),
        ("1001", "当前并发过高", RateLimitError, 429),
        ("1001", "触发限流", RateLimitError, 429),
        ("InvalidToken", "", AuthenticationError, 400),
        ("SignError", "", AuthenticationError, 400),
        ("TokenExpired", "", AuthenticationError, 400),
        ("1002", "channel not found", AuthenticationError, 400),
        ("InternalError", "", InternalServerError, 500),
        ("ServiceUnavailable", "", InternalServerError, 500),
        ("EngineTimeout", "", InternalServerError, 500),
        ("InstanceFreezing", "", BillingError, 400),
        ("Forbidden", "You are not authorized", PermissionDeniedError, 400),
        ("InvalidInstance.NotFound", "", NotFoundError, 400),
        ("InvalidParameter", "the length limit is 512", BadRequestError, 400),
        ("MissingUtterance", "sign in first", BadRequestError, 400),
        ("42", "words", BadRequestError, 400),
        (None, None, BadRequestError, 400),
    ],
)
def test_events(code: Any, message: Any, kind: type[APIStatusError], status: int) -> None:
    """The stream's codes are known by the words in them; the text counts only where the code says nothing."""
    found = stream_failure({"success": False, "code": code, "message": message, "requestId": "r1"})
    assert type(found) is kind
    assert (found.code, found.request_id, found.status_code) == (code, "r1", status)
    assert str(found)


def request() -> BeebotRequest:
    """A question to the demo robot."""
    return BeebotRequest(instance_id="chatbot-cn-demo", utterance="你好")


async def streamed(client: Any, emulator: Emulator, **fields: Any) -> Any:
    """The last delta of a streamed answer."""
    made = BeebotSettings(access_key_id="testid", access_key_secret="testsecret", base_url=emulator.url)
    last = None
    async for delta in await client.stream(await client.run(open_chat(request(), made))):
        last = delta
    return last


def chats(emulator: Emulator) -> int:
    """How many questions were sent, either way."""
    return sum(
        received.path.startswith("/sse") or received.headers.get("x-acs-action") == "Chat"
        for received in emulator.requests
    )


@pytest.mark.parametrize("api", ["stream", "rpc"])
@pytest.mark.parametrize(
    ("fault", "sent"),
    [
        ({"code": "Throttling.User"}, 3),
        ({"status": 429}, 3),
        # What the robot may have heard and remembered is not said twice ...
        ({"status": 500}, 1),
        ({"status": 503}, 1),
        ({"kind": "html", "status": 502}, 1),
        ({"kind": "drop"}, 1),
        # ... and what is wrong stays so.
        ({"code": "InvalidParameter"}, 1),
    ],
)
async def test_a_question_is_sent_again(
    client: Any, emulator: Emulator, api: str, fault: dict[str, Any], sent: int
) -> None:
    """Only throttling, which is a refusal to hear, lets the same question be asked again."""
    emulator.fail(**fault, times=10)
    with pytest.raises(XingchenError):
        await (streamed(client, emulator) if api == "stream" else client.send(chat(request())))
    assert chats(emulator) == sent


async def test_how_long_throttling_lasts(client: Any, emulator: Emulator, waits: list[float]) -> None:
    """The platform's own header says how long to wait, in thousandths of a second, as the vendor's SDK reads it."""
    emulator.fail("status", code="Throttling.User", retry_after=7, times=2)
    await client.send(chat(request()))
    assert waits == [7.0, 7.0]


async def test_throttling_inside_the_stream(client: Any, emulator: Emulator) -> None:
    """Throttling may be said by the first event, too: the question is asked again, as another message."""
    emulator.fail("error_event", code="Throttling.User", times=2)
    assert (await streamed(client, emulator)).last
    messages = [received.json["messageId"] for received in emulator.requests if received.path.startswith("/sse")]
    assert len(set(messages)) == 3


async def test_retries_are_signed_anew(client: Any, emulator: Emulator) -> None:
    """Each attempt has its own nonce: the platform takes none twice."""
    emulator.fail("status", status=503, path="/Feedback", times=2)
    reply = await client.send(chat(request()))
    await client.send(feedback("chatbot-cn-demo", reply.metadata["message_id"], True))
    nonces = [received.headers["x-acs-signature-nonce"] for received in emulator.requests]
    assert len(set(nonces)) == 4


async def test_a_used_nonce_is_no_end(client: Any, emulator: Emulator) -> None:
    """`SignatureNonceUsed` is answered with another nonce."""
    emulator.fail("status", code="SignatureNonceUsed", path="/BeginSession")
    assert (await client.send(begin_session("chatbot-cn-demo"))).welcome_message


@pytest.mark.parametrize(
    ("fault", "kind", "code"),
    [
        ({"kind": "error_event", "status": 500}, InternalServerError, "InternalError"),
        ({"kind": "error_event", "code": "DataInspectionFailed"}, BadRequestError, "DataInspectionFailed"),
        ({"kind": "silent_end"}, APIResponseError, None),
        ({"kind": "cut"}, XingchenError, None),
        ({"kind": "cut", "inside_event": True}, XingchenError, None),
    ],
)
async def test_broken_streams(
    client: Any, emulator: Emulator, fault: dict[str, Any], kind: type[XingchenError], code: str | None
) -> None:
    """What breaks inside an answer is raised with what was said and who said it, and nothing is asked again."""
    emulator.reply(chunks=["一", "二", "三"], service="beebot")
    emulator.fail(**fault, after=2)
    with pytest.raises(kind) as caught:
        await streamed(client, emulator)
    assert (caught.value.partial_text, caught.value.code, caught.value.service) == ("一二", code, "beebot")
    assert chats(emulator) == 1


async def test_a_silent_robot(connect: Any, emulator: Emulator) -> None:
    """A robot that sends only comments is given up after `stream_chunk_timeout`."""
    keys = {"access_key_id": "testid", "access_key_secret": "testsecret"}
    client = connect(emulator.url, BeebotSettings, **keys, stream_chunk_timeout=0.05)
    emulator.wire(keepalive=True)
    emulator.fail("stall", after=1)
    with pytest.raises(APITimeoutError):
        await streamed(client, emulator)
    assert chats(emulator) == 1


async def test_the_end_mark_ends(connect: Any) -> None:
    """After the end mark nothing is waited for: a connection that then breaks broke nothing."""
    said = {"Type": "Direct", "DirectMessageBody": {"SentenceList": [{"Content": "好"}]}}
    value = json.dumps({"StreamEnd": True, "MessageBody": said})
    body = json.dumps({"data": [{"type": "JSON_TEXT", "value": value}], "success": True})

    def answer(received: httpx.Request) -> httpx.Response:
        if received.url.path == "/":
            return httpx.Response(200, json={"AccessToken": "t", "ChannelId": "c", "StreamSecret": "s"})
        return events(f"data:{body}\n\n".encode(), httpx.ReadError("broken"))

    made = BeebotSettings(access_key_id="testid", access_key_secret="testsecret")
    client = connect(answer, BeebotSettings, access_key_id="testid", access_key_secret="testsecret")
    deltas = [delta async for delta in await client.stream(await client.run(open_chat(request(), made)))]
    assert [(delta.text, delta.last) for delta in deltas] == [("好", True)]
