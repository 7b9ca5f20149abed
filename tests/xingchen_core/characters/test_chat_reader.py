"""How the events of a streamed answer are read, in both ways the service can stream."""

import json
from collections.abc import Callable, Iterable
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from vcr.cassette import Cassette

from toy_service import CLIENTS, events
from xingchen_core import (
    APIResponseError,
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    ChatDelta,
    ContentFilterError,
    InternalServerError,
    Message,
    NotFoundError,
    RateLimitError,
    ToolCall,
    Usage,
    XingchenSettings,
)
from xingchen_core._sse import ServerSentEvent, SSEDecoder
from xingchen_core.characters import ChatReader, ChatRequest, GroupChat, GroupMember, chat, stream_chat

USAGE = {"inputTokens": 20, "outputTokens": 5, "userTokens": 3}
CONTEXT = {"chatRoomId": 1, "sessionId": "s1", "chatId": "c1", "messageId": "m1", "isSave": True}


def request(**fields: Any) -> ChatRequest:
    """A request of user u1 to a stored character."""
    if "group" not in fields:
        fields = {"character_id": "demo", **fields}
    return ChatRequest(**{"user_id": "u1", "messages": [Message(role="user", content="你是谁?")], **fields})


def event(body: Any, kind: str = "message") -> ServerSentEvent:
    """An event with this JSON."""
    return ServerSentEvent(kind, json.dumps(body, ensure_ascii=False).encode(), "", ())


def piece(content: str | None, *, reason: str | None = None, **members: Any) -> dict[str, Any]:
    """The body of an event: a message, and members beside it."""
    message: dict[str, Any] = {"role": "assistant", "content": content}
    if reason:
        message["finishReason"] = reason
    return {"requestId": "r-1", "choices": [{"messages": [message]}], **members}


def closing(content: str = "") -> dict[str, Any]:
    """The body of the documents' closing event."""
    body = piece(content, reason="stop", usage=USAGE, context=CONTEXT, stop=True)
    body["choices"][0]["stopReason"] = "stop"
    return body


def deltas(bodies: Iterable[Any], **fields: Any) -> list[ChatDelta]:
    """All results of a stream of these bodies."""
    reader = ChatReader(request(**fields))
    found = [reader.read(body if isinstance(body, ServerSentEvent) else event(body)) for body in bodies]
    return [*(delta for delta in found if delta is not None), *reader.end()]


def texts(bodies: Iterable[Any], **fields: Any) -> list[str]:
    """The texts of a stream, without the empty ones."""
    return [delta.text for delta in deltas(bodies, **fields) if delta.text]


INCREMENTAL = [piece("我是"), piece("小婉。"), closing()]
CUMULATIVE = [piece("我是"), piece("我是小婉。"), closing("我是小婉。")]
BOTH = pytest.mark.parametrize(
    ("bodies", "incremental"), [(INCREMENTAL, True), (CUMULATIVE, False)], ids=["incremental", "cumulative"]
)

METADATA = {
    "session_id": "s1",
    "chat_id": "c1",
    "message_id": "m1",
    "chat_room_id": 1,
    "is_saved": True,
    "answer_id": "m1",
    "request_id": "r-1",
    "user_id": "u1",
    "character_id": "demo",
    "model_name": "xingchen-plus-v2",
}


@BOTH
def test_both_ways_of_streaming(bodies: list[Any], incremental: bool) -> None:
    """Trap 3: the closing event is empty or repeats the whole text, and nothing comes out twice.

    Faults 8 and 10: request id, finish reason, usage and ids are those of the service, on the last delta only.
    """
    found = deltas(bodies, incremental_output=incremental)
    assert [delta.text for delta in found if delta.text] == ["我是", "小婉。"]
    assert [delta.last for delta in found] == [False] * (len(found) - 1) + [True]
    assert all(delta.metadata == {} and delta.usage is None and not delta.finish_reason for delta in found[:-1])
    last = found[-1]
    assert (last.usage, last.finish_reason) == (Usage(20, 5, input_details={"user_tokens": 3}), "stop")
    assert last.metadata == METADATA


@pytest.mark.parametrize("kind", CLIENTS.values(), ids=CLIENTS.keys())
@pytest.mark.cassette("xingchen_core/test_characters/test_published_stream")
async def test_the_published_stream(kind: Any, cassette: Cassette) -> None:
    """A stream framed as the vendor's own parsers read it, as a whole exchange."""
    asked = request(character_id="0123456789abcdef0123456789abcdef", seed=731943, incremental_output=False)
    client = kind(XingchenSettings())
    found = [delta async for delta in await client.stream(stream_chat(asked))]
    await client.aclose()
    assert "".join(delta.text for delta in found) == "我是小婉。"
    assert found[-1].metadata["session_id"] == "s1"


@pytest.mark.parametrize("crlf", [False, True])
@pytest.mark.parametrize("space", [False, True])
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_framing(crlf: bool, space: bool, size: int) -> None:
    """Trap 24: chunks may split a character; a text may hold "data:" and line ends as JSON writes them."""
    text = '一\ndata:{"x":1}\n\nevent:error\u2028二'
    lines = [f"id:{n}\ndata:{json.dumps(b, ensure_ascii=False)}\n\n" for n, b in enumerate([piece(text), closing()])]
    body = "".join(lines)
    body = body.replace("data:{", "data: {", 1) if space else body
    raw = (body.replace("\n", "\r\n") if crlf else body).encode()
    decoder = SSEDecoder()
    found = [one for at in range(0, len(raw), size) for one in decoder.feed(raw[at : at + size])]
    assert texts(found) == [text]


@pytest.mark.parametrize(
    "end",
    [
        piece("", reason="stop"),
        piece(None, reason="length"),
        {"requestId": "r-1", "stop": True},
        {"requestId": "r-1", "choices": [{"messages": [], "stopReason": "stop"}]},
        event(piece(""), "stop"),
        event({}, "length"),
        ServerSentEvent("message", b"[DONE]", "", ()),
    ],
    ids=["finishReason", "length", "stop", "stopReason", "event stop", "event length", "DONE"],
)
def test_every_end_mark(end: Any) -> None:
    """Any of the marks the vendor's parsers know ends the answer; fault 11: `[DONE]` is no broken JSON."""
    found = deltas([piece("好"), end])
    assert [delta.text for delta in found] == ["好", ""]
    assert found[-1].last


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (piece("", reason="length"), "length"),
        ({"choices": [{"messages": [{"content": ""}], "stopReason": "length"}]}, "length"),
        (event(piece(""), "length"), "length"),
        ({"stop": True}, "stop"),
    ],
)
def test_finish_reason(end: Any, reason: str) -> None:
    """The message's reason, the choice's, or the event's type."""
    assert deltas([piece("好"), end])[-1].finish_reason == reason


@pytest.mark.parametrize("pending", [None, "null", ""])
def test_no_end_mark_yet(pending: Any) -> None:
    """An empty reason, and its spelling as text, is no end."""
    running = {
        "choices": [{"messages": [{"content": "好", "finishReason": pending}], "stopReason": pending}],
        "stop": False,
    }
    assert texts([running, piece("的"), closing()]) == ["好", "的"]
    with pytest.raises(APIResponseError):
        deltas([running])


def test_a_truncated_stream() -> None:
    """Fault 12: a stream that ends without its end mark is not complete, though it ends between two events."""
    reader = ChatReader(request())
    reader.read(event(piece("我是")))
    with pytest.raises(APIResponseError, match="ended before the answer") as caught:
        list(reader.end())
    error = caught.value
    assert (error.partial_text, error.request_id, error.service) == ("我是", "r-1", "xingchen")


def test_the_end_mark_can_be_waived() -> None:
    """The marks are partly unverified: a caller whose service sends none can say so."""
    found = deltas([piece("我是"), piece("小婉。")], require_end_mark=False)
    assert [delta.text for delta in found] == ["我是", "小婉。", ""]
    assert (found[-1].last, found[-1].finish_reason, found[-1].metadata["request_id"]) == (True, None, "r-1")


@pytest.mark.parametrize("at", range(4))
def test_usage_and_context_on_any_event(at: int) -> None:
    """They may come with any event, after the end mark too."""
    bodies: list[Any] = [piece("我是"), piece("小婉。"), piece("", reason="stop"), {"requestId": "r-1"}]
    bodies[at] = {**bodies[at], "usage": USAGE, "context": CONTEXT}
    found = deltas(bodies)
    assert [delta.text for delta in found if delta.text] == ["我是", "小婉。"]
    assert found[-1].usage == Usage(20, 5, input_details={"user_tokens": 3})
    assert found[-1].metadata == METADATA
    assert sum(delta.usage is not None for delta in found) == 1


def test_the_last_usage_counts() -> None:
    """Where every event counts, the last one has counted all; members of the context add up."""
    early, late = {"inputTokens": 20, "outputTokens": 1}, {"inputTokens": 20, "outputTokens": 9}
    bodies = [
        piece("我是", usage=early, context={"sessionId": "s0", "chatId": "c1"}),
        piece("小婉。", reason="stop", usage=early),
        {"requestId": "r-1", "usage": late, "context": {"sessionId": "s1", "messageId": "m1"}},
    ]
    last = deltas(bodies)[-1]
    assert last.usage == Usage(20, 9)
    assert {name: last.metadata[name] for name in ("session_id", "chat_id", "message_id")} == {
        "session_id": "s1",
        "chat_id": "c1",
        "message_id": "m1",
    }


def test_no_usage_at_all() -> None:
    """Unknown is not zero."""
    assert deltas([piece("好"), piece("", reason="stop")])[-1].usage is None


@pytest.mark.parametrize("closing_type", [True, False], ids=["typed", "untyped"])
def test_a_repetition_after_the_end_mark(closing_type: bool) -> None:
    """Trap 3: a closing event that repeats the answer after the end mark is not new text, in neither way."""
    repeat = event(piece("我是小婉。", usage=USAGE), "stop" if closing_type else "message")
    assert texts([piece("我是"), piece("小婉。", reason="stop"), repeat]) == ["我是", "小婉。"]
    bodies = [piece("我是"), piece("我是小婉。", reason="stop"), repeat]
    assert texts(bodies, incremental_output=False) == ["我是", "小婉。"]


def test_a_rewritten_answer() -> None:
    """A snapshot that takes back what was shown shows nothing; the end says what the answer is."""
    found = deltas([piece("我是坏"), piece("不能说。"), closing("不能说。")], incremental_output=False)
    assert [delta.text for delta in found if delta.text] == ["我是坏"]
    assert found[-1].metadata == {**METADATA, "rewritten": True, "final_text": "不能说。"}


def test_a_rewritten_answer_is_cut_too() -> None:
    """A stop sequence holds for the new text as for the old."""
    found = deltas([piece("我是坏"), closing("不能。说。")], incremental_output=False, stop="。")
    assert found[-1].metadata["final_text"] == "不能"


@given(st.lists(st.text(alphabet="我是。", min_size=1, max_size=3), max_size=6), st.sampled_from([None, "。", "是我"]))
def test_both_ways_agree_with_the_whole_answer(pieces: list[str], stop: str | None) -> None:
    """Whatever the pieces, both ways of streaming give the text, the reason and the ids of a whole answer."""
    whole = "".join(pieces)
    sums = [whole[: sum(map(len, pieces[: n + 1]))] for n in range(len(pieces))]
    plain = chat(request(stop=stop)).parse({"data": {**closing(whole)}})
    for bodies, incremental in (([*pieces, ""], True), ([*sums, whole], False)):
        found = deltas([*map(piece, bodies[:-1]), closing(bodies[-1])], incremental_output=incremental, stop=stop)
        assert "".join(delta.text for delta in found) == plain.answers[0].text
        assert found[-1].finish_reason == plain.answers[0].finish_reason
        assert (found[-1].usage, found[-1].metadata) == (plain.usage, plain.metadata)


def test_stop_sequences() -> None:
    """What may begin a stop sequence is held back; the rest of the stream is read for its ids."""
    found = deltas([piece("一#"), piece("二#"), piece("#三"), closing()], stop="##")
    assert [delta.text for delta in found if delta.text] == ["一", "#二"]
    assert (found[-1].finish_reason, found[-1].metadata) == ("stop", METADATA)
    assert texts([piece("一#"), closing()], stop="##") == ["一", "#"]


CALL = {"thought": "要查天气", "apiCallList": [{"apiName": "get_weather", "parameters": {"city": "杭州"}}]}
SECOND = {"apiName": "now", "parameters": {}}


def calling(call: Any, **members: Any) -> dict[str, Any]:
    """The body of an event with a function call."""
    body = piece("", **members)
    body["choices"][0]["messages"][0]["functionCall"] = call
    return body


def test_a_function_call() -> None:
    """Whole in one event, with the id that the plain answer's call has too."""
    found = deltas([calling(CALL, reason="stop", usage=USAGE)])
    assert [call for delta in found for call in delta.tool_calls] == [
        ToolCall("get_weather", {"city": "杭州"}, "call_r-1_0")
    ]
    assert "".join(delta.reasoning for delta in found) == "要查天气"
    plain = chat(request()).parse({"data": calling(CALL, reason="stop")})
    assert plain.answers[0].tool_calls == found[0].tool_calls


@pytest.mark.parametrize("incremental", [True, False])
def test_a_repeated_function_call(incremental: bool) -> None:
    """A closing event that repeats the message repeats its call: it is the same one."""
    both = {**CALL, "apiCallList": [*CALL["apiCallList"], SECOND]}
    for bodies in ([CALL, CALL], [CALL, both, both]):
        found = deltas([*map(calling, bodies), calling(bodies[-1], reason="stop")], incremental_output=incremental)
        calls = [call for delta in found for call in delta.tool_calls]
        expected = [ToolCall("get_weather", {"city": "杭州"}, "call_r-1_0"), ToolCall("now", {}, "call_r-1_1")]
        assert calls == expected[: len(bodies[-1]["apiCallList"])]
        assert "".join(delta.reasoning for delta in found) == "要查天气"


def test_calls_one_by_one() -> None:
    """Calls that come one event each have ids of their own."""
    found = deltas([calling(CALL), calling({"apiCallList": [SECOND]}), piece("", reason="stop")])
    assert [call.id for delta in found for call in delta.tool_calls] == ["call_r-1_0", "call_r-1_1"]


def test_several_messages_in_an_event() -> None:
    """They are parts of the answer, as in a plain one."""
    body = piece("等一下。")
    body["choices"][0]["messages"].append({"role": "assistant", "content": "", "functionCall": CALL})
    found = deltas([body, closing()])
    assert [delta.text for delta in found if delta.text] == ["等一下。"]
    assert [call.name for delta in found for call in delta.tool_calls] == ["get_weather"]


def test_moderation() -> None:
    """A flag on any event is told at the end."""
    flagged = piece("好")
    flagged["choices"][0]["messages"][0]["meta"] = {"hasRisk": True, "safetyStdAnswer": "换个话题"}
    last = deltas([flagged, closing()])[-1]
    assert last.metadata["moderation"] == {"outcome": "flagged", "safe_answer": "换个话题"}
    assert deltas([piece("好"), closing()], data_inspection=True)[-1].metadata["moderation"] == {"outcome": "passed"}


def test_who_speaks() -> None:
    """In a group every delta names the speaker; elsewhere none does."""
    room = GroupChat(name="三班", members=(GroupMember(character_id="demo", name="小婉"),), speaker="小婉")
    named = piece("好")
    named["choices"][0]["messages"][0]["name"] = "阿刚"
    found = deltas([named, closing()], group=room)
    assert (found[0].name, found[-1].metadata["speaker"]) == ("阿刚", "小婉")
    assert deltas([named, closing()])[0].name is None


@pytest.mark.parametrize(
    "odd",
    [
        {"requestId": "r-1", "unknown": {"x": [1]}, "ext": None},
        {"requestId": "r-1", "choices": []},
        {"requestId": "r-1", "choices": None, "usage": None, "context": None},
        {"choices": [{"messages": []}]},
        {"choices": [{"messages": None}]},
        piece(None),
        piece(""),
    ],
)
def test_events_without_news(odd: Any) -> None:
    """Trap 25: unknown members and empty ones are no text and no failure."""
    assert texts([odd, piece("好"), odd, closing()]) == ["好"]


def test_enveloped_events() -> None:
    """Trap 2: events are bare; one in the envelope of plain answers is read all the same."""
    bodies = [{"code": 200, "success": True, "data": body} for body in INCREMENTAL]
    assert texts(bodies) == ["我是", "小婉。"]
    assert texts([{"success": True, "data": body} for body in INCREMENTAL]) == ["我是", "小婉。"]


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (event({"errorCode": 401, "errorMessage": "x"}), AuthenticationError),
        (event({"errorCode": 401, "errorMessage": "x"}, "error"), AuthenticationError),
        (event({"errorCode": "429", "errorMessage": "x"}), RateLimitError),
        (event({"code": 404, "errorMessage": "x"}, "error"), NotFoundError),
        (event({"code": 404, "success": False}), NotFoundError),
        (event({"success": False, "errorMessage": "x", "errorMessageKey": "aca.error.notfound"}), NotFoundError),
        (event({"success": None, "errorMessage": "x"}), APIStatusError),
        (event({"code": "InvalidParam", "message": "x"}), BadRequestError),
        (event({"errorMessage": "Throttling"}, "error"), RateLimitError),
        (event({"message": "the model is down"}, "error"), InternalServerError),
        (event({}, "error"), InternalServerError),
        (
            event(
                {
                    "requestId": "r-1",
                    "success": False,
                    "errorCode": 400,
                    "errorName": "DataInspectionFailed",
                    "httpStatusCode": 400,
                    "errorMessage": "Output data may contain inappropriate content.",
                },
                "error",
            ),
            ContentFilterError,
        ),
        (
            event(
                {
                    "requestId": "r-1",
                    "success": False,
                    "errorCode": 400,
                    "errorName": "InvalidParam",
                    "httpStatusCode": 400,
                    "errorMessage": "bad topP",
                    "errorMessageKey": "aca.error.invalid.param",
                },
                "error",
            ),
            BadRequestError,
        ),
    ],
)
def test_errors_in_a_stream(failure: ServerSentEvent, kind: type[APIStatusError]) -> None:
    """Trap 23: HTTP 200 is no success. Faults 7 and 9: by type or by content an error is raised, never yielded."""
    reader = ChatReader(request())
    reader.read(event(piece("我是")))
    with pytest.raises(kind) as caught:
        reader.read(failure)
    error = caught.value
    assert (error.partial_text, error.request_id) == ("我是", "r-1")
    message = json.loads(failure.data).get("errorMessage") or json.loads(failure.data).get("message") or ""
    assert message in str(error)


@pytest.mark.parametrize("data", [b"{", b"", b"no JSON", b"[1]", b'"text"', b"\xff"])
def test_events_that_are_no_objects(data: bytes) -> None:
    """Fault 11: not a JSONDecodeError out of an iterator, but an error of ours with what was said."""
    reader = ChatReader(request())
    reader.read(event(piece("我是")))
    with pytest.raises(APIResponseError, match="no JSON object") as caught:
        reader.read(ServerSentEvent("message", data, "", ()))
    assert (caught.value.partial_text, caught.value.request_id) == ("我是", "r-1")


def test_the_reader_knows_what_was_shown() -> None:
    """`text` and `request_id` serve the stop call; fault 10: they are there from the first event on."""
    reader = ChatReader(request(stop="##"))
    reader.read(event(piece("我是#")))
    assert (reader.text, reader.request_id, reader.finished) == ("我是", "r-1", False)


@pytest.mark.parametrize("kind", CLIENTS.values(), ids=CLIENTS.keys())
@pytest.mark.parametrize("stop_on_close", [True, False])
async def test_leaving_early(kind: Any, stop_on_close: bool) -> None:
    """With `stop_on_close` the service is told what the user saw, whatever had been received beyond it."""
    sent: list[httpx.Request] = []

    def answer(http_request: httpx.Request) -> httpx.Response:
        sent.append(http_request)
        if len(sent) > 1:
            return httpx.Response(200, json={"success": True, "code": 200, "data": True})
        return events(b"".join(b"data:" + event(body).data + b"\n\n" for body in INCREMENTAL))

    mock = httpx.MockTransport(answer)
    mine = {"http_client": httpx.Client(transport=mock), "http_async_client": httpx.AsyncClient(transport=mock)}
    client = kind(XingchenSettings(api_key="test-key", **mine))
    stream = await client.stream(stream_chat(request(), stop_on_close=stop_on_close))
    assert (await anext(stream)).text == "我是"
    await stream.aclose()
    assert [one.url.path for one in sent[1:]] == ["/v2/api/chat/stop"] * stop_on_close
    if stop_on_close:
        assert json.loads(sent[1].content) == {"requestId": "r-1", "content": "我是"}
        assert sent[1].headers["x-fag-servicename"] == "aca-chat-stop"


def test_every_attempt_has_its_own_reader() -> None:
    """A retried stream begins with nothing said."""
    make: Callable[[], Any] = stream_chat(request()).reader
    make().read(event(piece("我是")))
    assert make().text == ""
