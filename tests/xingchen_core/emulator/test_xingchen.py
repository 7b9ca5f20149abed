"""What the gateway checks before any endpoint, how it refuses, and scripted refusals."""

from typing import Any

import httpx
import pytest

from xingchen_core.emulator import Emulator

GOOD = {
    "Authorization": "Bearer any-key",
    "Content-Type": "application/json",
    "x-fag-appcode": "aca",
    "x-fag-servicename": "aca-chat-send",
}


def send(
    api: Any, headers: dict[str, str | None], method: str = "POST", content: bytes | None = None
) -> httpx.Response:
    """A chat with changed headers; None takes one away."""
    merged = {**GOOD, **headers}
    body = content if content is not None else httpx.Request("POST", "http://x", json=api.body()).content
    return httpx.request(
        method,
        api.url + "/v2/api/chat/send",
        headers={name: value for name, value in merged.items() if value is not None},
        content=body,
        trust_env=False,
        verify=False,
    )


def test_any_key_is_good(api: Any) -> None:
    """Every non-empty bearer key is an account."""
    assert send(api, {}).json()["success"] is True


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Basic dGVzdA=="])
def test_missing_key(api: Any, authorization: str | None) -> None:
    """Without a bearer key the gateway answers: success and code are null, not false."""
    response = send(api, {"Authorization": authorization})
    body = response.json()
    assert response.status_code == 401
    assert (body["success"], body["code"]) == (None, None)
    assert (body["errorCode"], body["errorName"], body["httpStatusCode"]) == (401, "Unauthorized", 401)
    assert body["requestId"]
    assert body["errorMessage"]


def test_bad_key(api: Any) -> None:
    """The key `invalid` is the one the service does not know."""
    response = send(api, {"Authorization": "Bearer invalid"})
    assert api.refusal(response) == (400, 400, "aca.error.invalid.token")


@pytest.mark.parametrize(
    ("headers", "name"),
    [
        ({"x-fag-appcode": None}, "InvalidAppCode"),
        ({"x-fag-appcode": "other"}, "InvalidAppCode"),
        ({"x-fag-servicename": None}, "InvalidServiceName"),
        ({"x-fag-servicename": "aca-chat-stop"}, "InvalidServiceName"),
        ({"x-fag-servicename": "aca-chat-send-sse"}, "InvalidServiceName"),
        ({"X-AcA-SSE": "enable"}, "InvalidServiceName"),
        ({"x-fag-servicename": "aca-chat-send-sse", "X-AcA-SSE": "disable"}, "InvalidServiceName"),
    ],
)
def test_gateway_headers(api: Any, headers: dict[str, str | None], name: str) -> None:
    """A wrong pair of path and service name is a misroute; so is half of what switches streaming on."""
    response = send(api, headers)
    assert response.status_code == 400
    assert response.json()["errorName"] == name
    assert response.json()["success"] is None


def test_disabled_sse_header_is_sync(api: Any) -> None:
    """`X-AcA-SSE: disable` with the plain service name is an ordinary call."""
    assert send(api, {"X-AcA-SSE": "disable"}).json()["success"] is True


def test_lenient() -> None:
    """With strict=False a call without gateway headers is answered, and either half switches streaming on."""
    with Emulator(strict=False) as emulator, httpx.Client(base_url=emulator.url, trust_env=False, verify=False) as http:
        body = {
            "input": {
                "messages": [{"role": "user", "content": "你好"}],
                "aca": {"botProfile": {"characterId": "demo"}, "userProfile": {"userId": "u1"}},
            }
        }
        key = {"Authorization": "Bearer k"}
        plain = http.post("/v2/api/chat/send", json=body, headers=key)
        assert plain.json()["success"] is True
        for half in ({"X-AcA-SSE": "enable"}, {"x-fag-servicename": "aca-chat-send-sse"}):
            streamed = http.post("/v2/api/chat/send", json=body, headers={**key, **half})
            assert streamed.headers["content-type"].startswith("text/event-stream")


def test_expect_is_refused(api: Any) -> None:
    """`Expect: 100-continue` must never be sent: the vendor's samples all take it away."""
    assert send(api, {"Expect": "100-continue"}).status_code == 417


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_wrong_method(api: Any, method: str) -> None:
    """Xingchen refuses a wrong method in its own words."""
    assert api.refusal(send(api, {}, method)) == (400, 400, "aca.error.invalid.request.method")


def test_put_on_update(api: Any) -> None:
    """The status page's own example: PUT sent to update."""
    headers = {**api.named("character/update"), "Content-Type": "application/json"}
    response = api.http.put("character/update", content=b"{}", headers=headers)
    assert api.refusal(response) == (400, 400, "aca.error.invalid.request.method")


@pytest.mark.parametrize("media_type", [None, "text/plain", "application/x-www-form-urlencoded"])
def test_wrong_media_type(api: Any, media_type: str | None) -> None:
    """application/json is the only media type."""
    assert api.refusal(send(api, {"Content-Type": media_type})) == (400, 400, "aca.error.invalid.request")


def test_media_type_with_charset(api: Any) -> None:
    """A charset behind the media type is no offence."""
    assert send(api, {"Content-Type": "application/json; charset=utf-8"}).json()["success"] is True


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'"text"', b"\xff"])
def test_unreadable_body(api: Any, content: bytes) -> None:
    """What is no JSON object cannot be read."""
    response = send(api, {}, content=content)
    assert api.refusal(response) == (400, 400, "aca.error.invalid.request.params.unreadable")


def test_refusals_use_no_script(api: Any, emulator: Emulator) -> None:
    """A refused call leaves the scripted reply to the next."""
    emulator.reply("剧本")
    send(api, {"Authorization": "Bearer invalid"})
    send(api, {}, content=b"{}")
    assert send(api, {}).json()["data"]["choices"][0]["messages"][0]["content"] == "剧本"


def test_null_members_are_absent(api: Any) -> None:
    """The Python SDK sends null for all it does not set."""
    nulls = dict.fromkeys(["sampleMessages", "scenario", "functionList", "context", "memory", "advancedSettings"])
    assert api.say("你好", **nulls)["stop"] is True


def test_unknown_members_are_accepted(api: Any) -> None:
    """Other clients send `debug`, `streaming`, `servicename`, `stream`."""
    body = {**api.body(), "debug": True, "streaming": False, "servicename": "x", "stream": False}
    assert api.data("chat/send", body)["stop"] is True


@pytest.mark.parametrize(
    ("fault", "status", "expected"),
    [
        ({"status": 429}, 429, {"errorCode": 429, "errorName": "Throttling.RateQuota", "success": None, "code": None}),
        ({"status": 401}, 401, {"errorCode": 401, "errorName": "Unauthorized"}),
        ({"status": 403}, 403, {"errorCode": 403, "errorName": "Forbidden"}),
        ({}, 500, {"errorCode": 500, "errorName": "InternalError", "httpStatusCode": 500}),
        ({"status": 503, "code": "Busy", "message": "later"}, 503, {"errorName": "Busy", "errorMessage": "later"}),
        (
            {"status": 400, "code": "DataInspectionFailed"},
            400,
            {
                "errorCode": 400,
                "errorName": "DataInspectionFailed",
                "errorMessage": "Input data may contain inappropriate content.",
            },
        ),
        ({"code": 404}, 400, {"code": 404, "errorMessageKey": "aca.error.notfound", "success": False}),
        ({"code": 401}, 400, {"code": 401, "errorMessageKey": "aca.error.data.duplicate"}),
        ({"code": 404, "status": 200}, 200, {"code": 404, "success": False}),
        ({"code": 429, "status": 200}, 200, {"code": 429, "success": False}),
        (
            {"code": "aca.error.not.accept.agreement.usage"},
            400,
            {"code": 410, "errorMessage": "No accept platform usage agreement"},
        ),
    ],
)
def test_scripted_status(
    api: Any, emulator: Emulator, fault: dict[str, Any], status: int, expected: dict[str, Any]
) -> None:
    """A gateway error by status, a business error by code or key; a stream is refused the same way before it begins."""
    emulator.fail("status", times=2, **fault)
    for response in (api.post("chat/send", api.body()), api.stream("chat/send", api.body())):
        assert response.status_code == status
        assert response.headers["content-type"].startswith("application/json")
        assert response.json().items() >= expected.items()
        assert response.json()["requestId"]
    assert api.say("你好")["stop"] is True


def test_retry_after(api: Any, emulator: Emulator) -> None:
    """`Retry-After` is in seconds, and only where it was asked for."""
    emulator.fail("status", status=429, retry_after=1)
    emulator.fail("status", status=429)
    assert api.post("chat/send", api.body()).headers["retry-after"] == "1"
    assert "retry-after" not in api.post("chat/send", api.body()).headers


def test_faults_by_path(api: Any, emulator: Emulator) -> None:
    """Calls that generate nothing fail when their path was named: refused, or broken in the middle."""
    emulator.fail("status", status=503, path="message/histories")
    emulator.fail("cut", path="message/histories")
    assert api.say("你好")["stop"] is True
    assert api.post("chat/message/histories", {}).status_code == 503
    with pytest.raises(httpx.RemoteProtocolError):
        api.post("chat/message/histories", {})
    assert api.post("chat/message/histories", {}).status_code == 200


def test_error_event_on_a_plain_call(api: Any, emulator: Emulator) -> None:
    """Where nothing streams, the error of an error event is the answer."""
    emulator.fail("error_event", code=404, path="character/details")
    assert api.refusal(api.get("character/details", characterId="demo")) == (400, 404, "aca.error.notfound")
    emulator.fail("error_event", code="DataInspectionFailed")
    assert api.post("chat/send", api.body()).json()["errorName"] == "DataInspectionFailed"


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (
            {},
            {
                "success": False,
                "errorCode": 400,
                "errorName": "InvalidParam",
                "httpStatusCode": 400,
                "errorMessage": "Invalid Param",
                "errorMessageKey": "aca.error.invalid.param",
            },
        ),
        (
            {"code": "DataInspectionFailed"},
            {"success": False, "errorCode": 400, "errorName": "DataInspectionFailed", "httpStatusCode": 400},
        ),
        ({"status": 429}, {"success": False, "errorCode": 429, "errorName": "Throttling.RateQuota"}),
        ({"code": 404}, {"errorCode": 404, "errorName": "Notfound", "errorMessageKey": "aca.error.notfound"}),
    ],
)
@pytest.mark.parametrize("after", [0, 2])
def test_error_event(api: Any, emulator: Emulator, after: int, fault: dict[str, Any], expected: dict[str, Any]) -> None:
    """`event:error` first or in the middle, under HTTP 200, with the fields of both layers; the stream then ends."""
    emulator.reply("甲乙丙", chunks=3)
    emulator.fail("error_event", after=after, **fault)
    response = api.stream("chat/send", api.body())
    assert response.status_code == 200
    events = api.events(response.text)
    assert [kind for kind, _ in events] == [None] * after + ["error"]
    assert events[-1][1].items() >= expected.items()
    assert events[-1][1]["requestId"]
    assert response.text.split("event:error\n")[1].startswith("data:{")


def test_magic_words(api: Any) -> None:
    """A fault may be asked for in the user's words."""
    response = api.post("chat/send", api.body("/fail status status=429 retry_after=2"))
    assert (response.status_code, response.headers["retry-after"]) == (429, "2")
    assert api.refusal(api.post("chat/send", api.body("/fail explode")))[0] == 400


def test_one_chat_per_user(api: Any, emulator: Emulator) -> None:
    """With the switch on, a user's second chat is refused while the first is being answered; others go on."""
    emulator.xingchen.one_chat_per_user = True
    emulator.reply("甲乙", chunks=2)
    emulator.fail("stall", after=1)
    with api.open(api.body()) as response:
        chunks = response.iter_raw()
        next(chunks)
        assert api.refusal(api.post("chat/send", api.body("在吗"))) == (400, 400, "aca.error.invalid.param")
        assert api.say("在吗", user="u2")["stop"] is True
    for _ in range(200):  # the server hears a moment later that the client has gone
        if (answered := api.post("chat/send", api.body("在吗"))).status_code == 200:
            break
    assert answered.status_code == 200


def test_ids_are_distinct_and_shaped(api: Any) -> None:
    """Request ids are UUIDs, the others 32 hex digits, the room's an integer; none is used twice."""
    one, two = api.say("你好")["context"], api.say("再见")["context"]
    assert len(one["requestId"]) == 36
    assert all(len(one[name]) == 32 for name in ("sessionId", "chatId", "messageId", "replyMessageId"))
    assert type(one["chatRoomId"]) is int
    for name in ("requestId", "chatId", "messageId", "replyMessageId", "modelRequestId"):
        assert one[name] != two[name]
    assert (one["sessionId"], one["chatRoomId"]) == (two["sessionId"], two["chatRoomId"])
