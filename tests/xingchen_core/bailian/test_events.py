"""One event of a stream: an answer, an error under HTTP 200, or nothing."""

import pytest

from xingchen_core import (
    APIResponseError,
    APIStatusError,
    BadRequestError,
    BillingError,
    InternalServerError,
    PermissionDeniedError,
    RateLimitError,
)
from xingchen_core._sse import ServerSentEvent, SSEDecoder
from xingchen_core.bailian._events import event_body, is_final


def _event(wire: str) -> ServerSentEvent:
    (event,) = SSEDecoder(dispatch_on_data=True).feed(wire.encode())
    return event


def test_an_event_is_its_json() -> None:
    """The frame of the captures: no space after colons, the status in a comment."""
    body = event_body(_event('id:1\nevent:result\n:HTTP_STATUS/200\ndata:{"output":{"text":"你好"}}\n'))
    assert body == {"output": {"text": "你好"}}


@pytest.mark.parametrize("wire", ["data: [DONE]\n", "data:[DONE]\n", "event:done\ndata:{}\n"])
def test_marks_of_gateways_are_nothing(wire: str) -> None:
    """Neither `[DONE]` nor `event:done` is of the protocol."""
    assert event_body(_event(wire)) is None


@pytest.mark.parametrize(
    ("wire", "kind", "status"),
    [
        (
            'id:1\nevent:error\n:HTTP_STATUS/429\ndata:{"code":"Throttling.RateQuota","message":"m","request_id":"r"}\n',
            RateLimitError,
            429,
        ),
        (
            'event: error\n: HTTP_STATUS/503\ndata: {"code":"ModelUnavailable","request_id":"r"}\n',
            InternalServerError,
            503,
        ),
        ('event:error\n:HTTP_STATUS/400\ndata:{"code":"Arrearage","request_id":"r"}\n', BillingError, 400),
        ('event:error\ndata:{"code":"Throttling","request_id":"r"}\n', RateLimitError, 429),
        ('event:error\ndata:{"code":"InvalidParameter","request_id":"r"}\n', BadRequestError, 400),
        ('event:result\n:HTTP_STATUS/200\ndata:{"code":"AccessDenied","request_id":"r"}\n', PermissionDeniedError, 403),
        ('event:error\n:HTTP_STATUS/500\ndata:{"request_id":"r"}\n', InternalServerError, 500),
        ('event:error\ndata:{"error":{"code":"Throttling"},"request_id":"r"}\n', RateLimitError, 429),
        ('event:error\ndata:{"error":{"type":"Arrearage"},"request_id":"r"}\n', BillingError, 400),
    ],
)
def test_an_error_under_http_200(wire: str, kind: type[APIStatusError], status: int) -> None:
    """Status from the comment, else from the code; with and without the space; with and without the event's name."""
    with pytest.raises(APIStatusError) as caught:
        event_body(_event(wire), "已经说了")
    assert type(caught.value) is kind
    assert (caught.value.status_code, caught.value.request_id, caught.value.service) == (status, "r", "bailian")
    assert caught.value.partial_text == "已经说了"


@pytest.mark.parametrize("data", ["<html>bad gateway</html>", "[1]", '{"output":'])
def test_what_is_no_object_is_told(data: str) -> None:
    """A proxy's page shows its beginning, and the text so far survives."""
    with pytest.raises(APIResponseError, match="no JSON object") as caught:
        event_body(_event(f"data:{data}\n"), "已经说了")
    assert data[:10] in str(caught.value)
    assert caught.value.partial_text == "已经说了"


def test_the_comment_belongs_to_its_event_without_blank_lines() -> None:
    """Older gateways leave the blank line out: the status of one event must not be the next one's."""
    events = SSEDecoder(dispatch_on_data=True).feed(
        b'id:1\nevent:result\n:HTTP_STATUS/200\ndata:{"output":{}}\n'
        b'id:2\nevent:error\n:HTTP_STATUS/429\ndata:{"code":"Throttling"}\n'
    )
    assert event_body(events[0]) == {"output": {}}
    with pytest.raises(RateLimitError):
        event_body(events[1])


@pytest.mark.parametrize(
    ("reason", "final"),
    [("null", False), (None, False), ("", False), ("stop", True), ("length", True), ("tool_calls", True)],
)
def test_the_word_null_is_no_reason(reason: str | None, final: bool) -> None:
    """While an answer runs its reason is the text "null", null or missing."""
    assert is_final(reason) is final
