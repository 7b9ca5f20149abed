"""What comes back from a chat with a character: whole answers, and the events of a stream.

Source: Xingchen HTTP API, chat responses and streaming. The calls are in `chats.py`.
"""

import uuid
from collections.abc import Iterable
from typing import Any

from pydantic_core import from_json

from xingchen_core._errors import APIResponseError, excerpt
from xingchen_core._sse import ServerSentEvent
from xingchen_core.characters._service import XINGCHEN, read_failure
from xingchen_core.characters._wire import given
from xingchen_core.characters.models import DEFAULT_MODEL, ChatRequest
from xingchen_core.characters.received import RECEIVED
from xingchen_core.chat import Answer, ChatDelta, ChatReply, Snapshots, StopCutter, ToolCall, Usage, cut

CONTEXT_NAMES = {
    "sessionId": "session_id",
    "chatId": "chat_id",
    "messageId": "message_id",
    "chatRoomId": "chat_room_id",
    "modelRequestId": "model_request_id",
    "isSave": "is_saved",
    "speaker": "speaker",  # ours, in group chats
}
"""Ids of an answer that callers can use again. Inline characters have few of them."""

_END_EVENTS = ("stop", "length")
_ENVELOPE = frozenset(("code", "errorCode", "success", "data"))
"""Members that a bare result does not have: they tell of a failure, or of an event in the envelope of plain answers."""

_NOTHING: dict[str, Any] = {}


def read_reply(data: dict[str, Any], request: ChatRequest, account: str | None = None) -> ChatReply:
    """Return what the `data` of a plain answer says; it is remembered as received by `account`, if that is known."""
    answers = [_answer(messages, choice, data, request) for choice, messages in _results(data["choices"], request.n)]
    if not answers:
        raise APIResponseError("The service answered without an answer.", request_id=data.get("requestId"))
    metadata = _metadata(data, request)
    _note(account, request, answers[0].text, metadata)
    return ChatReply(tuple(answers), read_usage(data.get("usage")), metadata)


def _note(account: str | None, request: ChatRequest, text: str, metadata: dict[str, Any]) -> None:
    if account is not None:
        question = next((message.content for message in reversed(request.messages) if message.role == "user"), "")
        RECEIVED.note(account, question, text, metadata)


def _results(choices: list[dict[str, Any]], n: int) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Return (choice, its messages) for each answer.

    Whether several answers come as several choices or as several messages of one is UNVERIFIED: both are read.
    """
    if n > 1 and len(choices) == 1:
        return [(choices[0], [message]) for message in choices[0]["messages"]]
    return [(choice, choice["messages"]) for choice in choices]


def _answer(
    messages: list[dict[str, Any]], choice: dict[str, Any], data: dict[str, Any], request: ChatRequest
) -> Answer:
    message = _joined(messages)
    text, stopped = cut(message.get("content") or "", request.stop)
    thought, calls = _function_call(message.get("functionCall"), data.get("requestId") or uuid.uuid4().hex)
    return Answer(
        text,
        name=_speaker(message, request),
        reasoning=thought,
        tool_calls=calls,
        finish_reason="stop" if stopped else message.get("finishReason") or choice.get("stopReason"),
        metadata={
            **_moderation(message.get("meta"), request),
            **({} if request.group is None else given(speaker=_speaker(message, request))),
        },
    )


def _joined(messages: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the messages of one answer as one. Normally there is only one; that there never are more is UNVERIFIED."""
    if len(messages) == 1:
        return messages[0]
    calls = [message["functionCall"] for message in messages if message.get("functionCall")]
    return {
        **messages[0],
        "content": "".join(message.get("content") or "" for message in messages),
        "finishReason": messages[-1].get("finishReason"),
        "functionCall": {
            "thought": "\n".join(call["thought"] for call in calls if call.get("thought")),
            "apiCallList": [one for call in calls for one in call.get("apiCallList") or ()],
        },
        "meta": {name: value for message in messages for name, value in (message.get("meta") or {}).items() if value},
    }


def _speaker(message: dict[str, Any], request: ChatRequest) -> str | None:
    """Return who speaks in a group chat; elsewhere there is only one."""
    if request.group is None:
        return None
    return message.get("name") or request.group.speaker


def _function_call(call: dict[str, Any] | None, stem: str, first: int = 0) -> tuple[str, tuple[ToolCall, ...]]:
    """Return thought and calls. The service gives no ids: ours are made of the request's (`stem`) and counted from
    `first`, so that they are the same however the answer was read.
    """
    if not call or not call.get("apiCallList"):
        return "", ()
    calls = [
        ToolCall(one["apiName"], _arguments(one.get("parameters")), f"call_{stem}_{at}")
        for at, one in enumerate(call["apiCallList"], first)
    ]
    return call.get("thought") or "", tuple(calls)


def _arguments(value: Any) -> dict[str, Any]:
    """Read a call's arguments: an object by the documents, accepted as JSON text too."""
    if isinstance(value, str):
        value = from_json(value) if value.strip() else {}
    return value if isinstance(value, dict) else {}


def read_usage(usage: dict[str, Any] | None) -> Usage | None:
    """`userTokens` is part of `inputTokens`, so it is a detail and not added."""
    if not usage:
        return None
    of_user, of_plugins = usage.get("userTokens"), usage.get("pluginTokens")
    return Usage(
        int(usage.get("inputTokens") or 0),
        int(usage.get("outputTokens") or 0),
        {"user_tokens": of_user} if of_user else {},
        {"plugin_tokens": of_plugins} if of_plugins else {},
    )


def _metadata(data: dict[str, Any], request: ChatRequest) -> dict[str, Any]:
    context = data.get("context") or {}
    metadata = {name: value for key, name in CONTEXT_NAMES.items() if (value := context.get(key)) is not None}
    # The ids a regeneration needs have two spellings each, by SDK.
    metadata |= given(
        answer_id=context.get("answerId") or context.get("messageId"),
        query_id=context.get("queryId") or context.get("replyMessageId"),
        request_id=data.get("requestId") or context.get("requestId"),
        character_id=request.character_id,
    )
    metadata["user_id"] = request.user_id
    metadata["model_name"] = context.get("modelName") or request.model or DEFAULT_MODEL
    return metadata


def _moderation(meta: dict[str, Any] | None, request: ChatRequest) -> dict[str, Any]:
    """Tell the outcomes of moderation apart; the fourth, a block, is a `ContentFilterError`."""
    meta = meta or {}
    if meta.get("rewriteContent"):
        outcome = "rewritten"
    elif meta.get("hasRisk") or meta.get("safetyStdAnswer"):
        outcome = "flagged"
    elif request.data_inspection:
        outcome = "passed"
    else:
        return {}
    found = given(
        outcome=outcome, safe_answer=meta.get("safetyStdAnswer") or None, rewritten_text=meta.get("rewriteContent")
    )
    return {"moderation": found}


class ChatReader:
    """Reads the events of one streamed answer. Each is a bare chat result, without the envelope of a plain answer.

    Once complete it is remembered as received by `account`, if that is known.
    """

    def __init__(self, request: ChatRequest, account: str | None = None) -> None:
        self._request = request
        self._account = account
        self._snapshots = None if request.incremental_output else Snapshots()
        self._cutter = StopCutter(request.stop) if request.stop else None
        self._is_plain = self._snapshots is None and self._cutter is None
        self._is_group = request.group is not None
        self._parts: list[str] = []
        self._calls: tuple[ToolCall, ...] = ()
        self._thought = ""
        self._call_stem = ""
        self._usage: dict[str, Any] = {}
        self._context: dict[str, Any] = {}
        self._meta: dict[str, Any] = {}
        self._finish_reason: str | None = None
        self._closed = False
        self.request_id = ""
        self.finished = False

    @property
    def text(self) -> str:
        """What the answer has said so far."""
        return "".join(self._parts)

    def read(self, event: ServerSentEvent) -> ChatDelta | None:
        """Return what is new in an event. It runs once per token, so it makes little."""
        if self._closed:
            return None
        kind = event.event
        try:
            body = from_json(event.data)
        except ValueError:
            body = None
        if not isinstance(body, dict):
            self._no_object(event.data)
            return None
        if kind == "error" or not _ENVELOPE.isdisjoint(body):
            self._raise_failure(body, is_error=kind == "error")
            body = body.get("data") or body
        if not self.request_id:
            self.request_id = body.get("requestId") or ""
        usage, context, choices = body.get("usage"), body.get("context"), body.get("choices")
        if usage:
            self._usage = usage
        if context and context != self._context:
            self._context.update(context)
        choice = choices[0] if choices else _NOTHING
        messages = choice.get("messages")
        if messages:
            message = messages[0] if len(messages) == 1 else _joined(messages)
        else:
            message = _NOTHING
        text = message.get("content") or ""
        if not self._is_plain or self.finished:
            text = self._shown(text)
        elif text:
            self._parts.append(text)
        delta = ChatDelta(text)
        if self._is_group:
            delta.name = _speaker(message, self._request)
            self._context["speaker"] = delta.name or self._context.get("speaker")
        if call := message.get("functionCall"):
            delta.reasoning, delta.tool_calls = self._new_calls(call)
        if meta := message.get("meta"):
            self._meta.update({name: value for name, value in meta.items() if value})
        closes = body.get("stop") is True or kind in _END_EVENTS
        reason = message.get("finishReason") or choice.get("stopReason")
        if reason == "null":
            reason = None
        if closes or reason:
            self._finish_reason = reason or (kind if kind in _END_EVENTS else "stop")
            self.finished = True
            if closes and usage and context:
                # The closing event as documented, with all that an answer's end can tell. Nobody need wait for the end
                # of the connection, which is the service's to close.
                self._closed = True
                return self._last(delta)
        return delta if text or delta.reasoning or delta.tool_calls else None

    def _shown(self, text: str) -> str:
        """Return what of the event's text is new and comes before a stop sequence."""
        if self._snapshots is not None:
            text = self._snapshots.feed(text) if text else ""
        elif self.finished and text == self.text:
            return ""  # an event after the end mark that repeats the answer
        if self._cutter is not None:
            text = self._cutter.feed(text)
        if text:
            self._parts.append(text)
        return text

    def _new_calls(self, call: dict[str, Any]) -> tuple[str, tuple[ToolCall, ...]]:
        """Return what of a function call is new: a later event may repeat it, with further calls or without."""
        self._call_stem = self._call_stem or self.request_id or uuid.uuid4().hex
        thought, calls = _function_call(call, self._call_stem)
        known = len(self._calls)
        if calls[:known] == self._calls:
            calls = calls[known:]
        else:
            thought, calls = _function_call(call, self._call_stem, first=known)
        self._calls += calls
        if thought == self._thought:
            return "", calls
        self._thought = thought
        return thought, calls

    def end(self) -> Iterable[ChatDelta]:
        """Return the last delta, with what is known only after the last event; raise if the answer was cut."""
        if self._closed:
            return []
        if not self.finished and self._request.require_end_mark:
            raise APIResponseError(
                "The stream ended before the answer did; partial_text holds what came.",
                service=XINGCHEN.name,
                request_id=self.request_id or None,
                partial_text=self.text,
            )
        return [self._last(ChatDelta())]

    def _last(self, delta: ChatDelta) -> ChatDelta:
        """Complete the last delta with what is known only at the end."""
        delta.last, delta.usage, delta.finish_reason = True, read_usage(self._usage), self._finish_reason
        if self._cutter is not None:
            held = self._cutter.flush()
            delta.text += held
            self._parts.append(held)
            if self._cutter.stopped:
                delta.finish_reason = "stop"
        body = {"context": self._context, "requestId": self.request_id}
        delta.metadata = {**_metadata(body, self._request), **_moderation(self._meta, self._request)}
        _note(self._account, self._request, self.text, delta.metadata)
        if self._snapshots is not None and self._snapshots.rewritten:
            delta.metadata |= {"rewritten": True, "final_text": cut(self._snapshots.latest, self._request.stop)[0]}
        return delta

    def _no_object(self, data: bytes) -> None:
        """Read what is no JSON object.

        Raises:
            APIResponseError: It is not the one text that may stand there.
        """
        if data.startswith(b"[DONE]"):  # not part of this service's protocol; gateways add it
            self.finished = True
            return
        shown = excerpt(data.decode("utf-8", "replace"))
        raise APIResponseError(
            f"An event of the stream is no JSON object: {shown!r}",
            service=XINGCHEN.name,
            request_id=self.request_id or None,
            partial_text=self.text,
        )

    def _raise_failure(self, body: dict[str, Any], is_error: bool) -> None:
        error = read_failure(200, body)
        if error is None and is_error:
            error = read_failure(500, body)  # the event's type says more than its members
        if error is not None:
            error.request_id = error.request_id or self.request_id or None
            error.partial_text = self.text
            raise error
