"""The OpenAI-compatible endpoint of Bailian's models: `POST /compatible-mode/v1/chat/completions`.

Source: Model Studio, "Qwen API by OpenAI chat completions". Chosen by `endpoint="compatible"`; request, messages and
replies have the same types as at the native endpoints.
"""

from collections.abc import Callable, Mapping
from typing import Any

from xingchen_core._errors import APIResponseError
from xingchen_core._sse import ServerSentEvent
from xingchen_core.bailian._events import event_body
from xingchen_core.bailian._service import BAILIAN, read_failure
from xingchen_core.bailian.model_messages import ModelMessage, one_system, wire_message
from xingchen_core.bailian.model_parameters import ModelRequest, preserves_thinking, wire_parameters
from xingchen_core.bailian.model_replies import ModelReader, answer_metadata, read_answers
from xingchen_core.bailian.model_replies import read_usage as read_native_usage
from xingchen_core.chat import ChatDelta, ChatReply, Usage


def body(request: ModelRequest, *, stream: bool) -> dict[str, Any]:
    """Return the request's body. What is native in `parameters` stands at the top."""
    with_reasoning = preserves_thinking(request)
    messages = [wire_message(m, _content(m), with_reasoning=with_reasoning) for m in one_system(request.messages)]
    asked: dict[str, Any] = {"model": request.model, "messages": messages, **wire_parameters(request, native=False)}
    if stream:
        asked |= {"stream": True, "stream_options": {"include_usage": True}}
    return asked | request.model_kwargs


def _content(message: ModelMessage) -> Any:
    if message.role == "tool" or isinstance(message.content, str):
        return message.text
    return [_part(part) for part in message.content]


def _part(part: Mapping[str, Any]) -> dict[str, Any]:
    """Return a part in OpenAI's form. What else it holds (`fps`, `cache_control`, …) stands beside."""
    for kind, convert in _PARTS.items():
        if kind in part:
            return convert(part[kind], part.get("format")) | {
                name: value for name, value in part.items() if name not in (kind, "format")
            }
    return dict(part)


def _text(value: Any, _: str | None) -> dict[str, Any]:
    return {"type": "text", "text": value}


def _image(value: Any, _: str | None) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": value}}


def _video(value: Any, _: str | None) -> dict[str, Any]:
    if isinstance(value, str):
        return {"type": "video_url", "video_url": {"url": value}}
    return {"type": "video", "video": value}


def _audio(value: Any, format: str | None) -> dict[str, Any]:
    """The format is told by the part, else by the data URI or the end of the URL."""
    head = value.partition(";")[0] if value.startswith("data:") else value.partition("?")[0].replace(".", "/")
    return {"type": "input_audio", "input_audio": {"data": value, "format": format or head.rpartition("/")[2]}}


_PARTS: Mapping[str, Callable[[Any, str | None], dict[str, Any]]] = {
    "text": _text,
    "image": _image,
    "video": _video,
    "audio": _audio,
}


def read_reply(body: dict[str, Any], request: ModelRequest) -> ChatReply:
    """Return what a plain answer says."""
    if not body["choices"]:
        raise APIResponseError("The service answered without an answer.", service=BAILIAN.name)
    metadata = _metadata(body, request)
    return ChatReply(read_answers(body["choices"], request, metadata), read_usage(body.get("usage")), metadata)


def read_usage(usage: dict[str, Any] | None) -> Usage | None:
    """The native counts by OpenAI's names."""
    if not usage:
        return None
    named = {
        "input_tokens": usage.get("prompt_tokens"),
        "output_tokens": usage.get("completion_tokens"),
        "input_tokens_details": usage.get("prompt_tokens_details"),
        "output_tokens_details": usage.get("completion_tokens_details"),
    }
    return read_native_usage({**usage, **named})


def _metadata(body: Mapping[str, Any], request: ModelRequest) -> dict[str, Any]:
    metadata = answer_metadata(body.get("id"), request, {}, body.get("usage"))
    if body.get("model"):
        metadata["model_name"] = body["model"]
    if body.get("system_fingerprint"):
        metadata["system_fingerprint"] = body["system_fingerprint"]
    return metadata


class CompatibleReader(ModelReader):
    """Reads the events of one streamed answer. Usage comes alone, after the event that ends the text."""

    _read_usage = staticmethod(read_usage)

    def __init__(self, request: ModelRequest) -> None:
        super().__init__(request)
        self._is_cumulative = False  # the endpoint knows increments only
        self._first: dict[str, Any] | None = None

    def read(self, event: ServerSentEvent) -> ChatDelta | None:
        """Return what is new in an event."""
        if self._closed or (body := event_body(event)) is None:
            return None
        if self._first is None:
            self._first, self.request_id = body, body.get("id")
        if body.get("error") and (error := read_failure(200, body) or read_failure(500, body)):
            error.service, error.request_id = BAILIAN.name, error.request_id or self.request_id
            raise error
        choices = body["choices"]
        choice = choices[0] if choices else {"delta": {}}
        return self._take(choice, choice["delta"], body.get("usage"))

    def _last(self, delta: ChatDelta) -> ChatDelta:
        super()._last(delta).metadata |= _metadata({**(self._first or {}), "usage": self._usage}, self._request)
        return delta
