"""Events of a Bailian stream: what applications and models have in common.

Source: Model Studio, "streaming"; captured events. Each `data` line is one JSON object. An error comes under HTTP 200
with its status in a comment (`:HTTP_STATUS/429`), there is no `[DONE]`, and a blank line may be missing.
"""

from typing import Any

from pydantic_core import from_json

from xingchen_core._errors import APIResponseError, excerpt
from xingchen_core._sse import ServerSentEvent
from xingchen_core.bailian._service import BAILIAN, failure

_STATUS = "HTTP_STATUS/"


def event_body(event: ServerSentEvent, text: str = "") -> dict[str, Any] | None:
    """Return what an event holds, `None` for one that holds nothing.

    Args:
        event: The event.
        text: What the answer has said so far, for the exceptions.

    Raises:
        APIStatusError: The event reports a failure.
        APIResponseError: It is no JSON object.
    """
    kind = event.event
    try:
        body: dict[str, Any] | None = from_json(event.data)
    except ValueError:
        body = None
    if kind == "done" or event.data.startswith(b"[DONE]"):  # neither is of the protocol; gateways add them
        return None
    if not isinstance(body, dict):
        raise APIResponseError(
            f"An event of the stream is no JSON object: {excerpt(event.text)!r}",
            service=BAILIAN.name,
            partial_text=text,
        )
    if kind == "error" or (body.get("code") and body.get("output") is None):
        told = body["error"] if isinstance(body.get("error"), dict) else body  # as the compatible endpoint has it
        code, message = told.get("code") or told.get("type"), told.get("message")
        error = failure(_told_status(event), str(code or ""), str(message or ""), None)
        error.service = BAILIAN.name
        error.request_id = body.get("request_id")
        error.partial_text = text
        raise error
    return body


def _told_status(event: ServerSentEvent) -> int:
    """Return the status in the event's comments, 0 if there is none."""
    for comment in event.comments:
        if comment.startswith(_STATUS) and (number := comment[len(_STATUS) :].strip()).isdecimal():
            return int(number)
    return 0


def is_final(reason: Any) -> bool:
    """Whether a `finish_reason` ends the answer: while it runs it is the text `null`, null, or missing."""
    return bool(reason) and reason != "null"


def cut_short(text: str, request_id: str | None) -> APIResponseError:
    """Return the error of a stream that ended without its end mark."""
    return APIResponseError(
        "The stream ended before the answer did; partial_text holds what came.",
        service=BAILIAN.name,
        request_id=request_id,
        partial_text=text,
    )
