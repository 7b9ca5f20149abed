"""Chat with a large-model robot: a token, a signed URL, and snapshots of the answer over SSE.

Source: Beebot, "streaming chat API", "chat API signature". Three steps: `ApplyForStreamAccessToken` gives token,
channel and secret for two hours; MD5 of secret and time signs the URL; the URL is then the credential.
"""

import hashlib
import json
import time
import uuid
import weakref
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr
from pydantic_core import from_json

from xingchen_core._call import Call, Flow, StreamCall
from xingchen_core._errors import (
    APIResponseError,
    APIStatusError,
    AuthenticationError,
    XingchenError,
    excerpt,
)
from xingchen_core._sse import ServerSentEvent
from xingchen_core.beebot._service import BEEBOT, VERSION, BeebotSettings, rpc, stream_failure
from xingchen_core.beebot.answers import Snapshot, read_snapshot
from xingchen_core.beebot.models import BeebotRequest
from xingchen_core.chat import ChatDelta, Snapshots, StopCutter, cut

TOKEN_SECONDS = 6600.0
"""How long a token is used. It is valid for two hours; the answer says nothing of it."""

PATH = "/sse/paas4Json"
SHOWN_PATH = f"{PATH}/***"

now_seconds: Callable[[], float] = time.time


@dataclass(frozen=True, slots=True)
class StreamToken:
    """What signs the URLs of streams until it runs out. `born` is from before it was asked for: monotonic seconds."""

    access_token: SecretStr
    channel_id: SecretStr
    stream_secret: SecretStr
    born: float

    def is_fresh(self, now: float) -> bool:
        """Whether it can be used at `now` and for as long as an answer takes."""
        return now - self.born < TOKEN_SECONDS


_tokens: dict[str, StreamToken] = {}
"""Tokens by account, business space and host, for all robots of the process: one serves many requests."""


def stream_secret_sign(stream_secret: str, timestamp: str) -> str:
    """Return the sign of a stream URL.

    The parts are joined by `&timestamp=`. A form with the first letters of that turned into a multiplication sign
    circulates: HTML that decoded `&times`.
    """
    text = f"streamSecret={stream_secret}&timestamp={timestamp}"
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def stream_access_token(agent_key: str | None = None) -> Call[StreamToken]:
    """Fetch a token: `ApplyForStreamAccessToken`. `token` keeps one."""
    asked = time.monotonic()
    return rpc("ApplyForStreamAccessToken", lambda body: _read_token(body, asked), query={"AgentKey": agent_key})


def _read_token(body: Mapping[str, Any], asked: float) -> StreamToken:
    return StreamToken(
        SecretStr(body["AccessToken"]), SecretStr(body["ChannelId"]), SecretStr(body["StreamSecret"]), asked
    )


def token(settings: BeebotSettings) -> Call[StreamToken]:
    """Return the token of these settings, fetched by one caller for all that wait for it."""
    key = token_key(settings)
    asked = time.monotonic()

    def known() -> StreamToken | None:
        found = _tokens.get(key)
        return found if found is not None and found.is_fresh(time.monotonic()) else None

    def parse(body: Mapping[str, Any]) -> StreamToken:
        fresh = _read_token(body, asked)
        _keep(key, fresh, settings.credentials)
        return fresh

    query = {"AgentKey": settings.agent_key}
    return rpc("ApplyForStreamAccessToken", parse, query=query, known=known, lock=f"beebot-token:{key}")


def _keep(key: str, fresh: StreamToken, credentials: object) -> None:
    """Remember a token, as long as it can be used and its credentials object lives."""
    now = time.monotonic()
    for old in [old for old, kept in list(_tokens.items()) if not kept.is_fresh(now)]:
        _tokens.pop(old, None)  # of an account, or of temporary keys, that nobody uses any more
    _tokens[key] = fresh
    if credentials is not None:
        # The key has the object's id, and another object may get that id once this one is gone.
        weakref.finalize(credentials, _tokens.pop, key, None).atexit = False


def token_key(settings: BeebotSettings) -> str:
    """Return what two settings must share to share a token."""
    if settings.credentials is not None:
        who = f"object {id(settings.credentials)}"
    else:
        who = settings.access_key_id.get_secret_value() if settings.access_key_id else ""
    return hashlib.sha256("\n".join([who, settings.agent_key or "", settings.origin()]).encode()).hexdigest()


def forget_token(settings: BeebotSettings, used: StreamToken) -> None:
    """Drop a token that was refused, unless somebody has replaced it already."""
    key = token_key(settings)
    if _tokens.get(key) is used:
        del _tokens[key]


def open_chat(request: BeebotRequest, settings: BeebotSettings) -> Flow[StreamCall[ChatDelta]]:
    """Return the call that streams the answer. A refused token is replaced once, before anything was answered."""
    current = yield token(settings)
    reader = BeebotReader(request)

    def new_reader() -> BeebotReader:
        nonlocal reader
        reader = BeebotReader(request)
        return reader

    def recover(error: XingchenError) -> Flow[StreamCall[ChatDelta]] | None:
        if not _is_about_token(error, heard=reader.heard):
            return None
        forget_token(settings, current)
        return _open_again(request, settings)

    return stream_chat(request, current, settings.stream_origin(), reader=new_reader, recover=recover)


def _open_again(request: BeebotRequest, settings: BeebotSettings) -> Flow[StreamCall[ChatDelta]]:
    replacement = yield token(settings)
    return stream_chat(request, replacement, settings.stream_origin())


def _is_about_token(error: XingchenError, *, heard: bool) -> bool:
    """Whether the URL was refused. The service answers a bad one with HTML, under a status that is UNVERIFIED.

    An event that refuses is about the token only if its words are: a robot that does not exist will not exist with
    another token either. `heard` says that an event came, so that the URL was good.
    """
    if isinstance(error, AuthenticationError):
        return True
    if isinstance(error, APIStatusError):
        page = error.code is None and 400 <= error.status_code < 408
        return error.response is not None and (page or error.status_code in (401, 403, 404))
    return isinstance(error, APIResponseError) and not heard


def stream_chat(
    request: BeebotRequest,
    current: StreamToken,
    stream_origin: str,
    *,
    reader: "Callable[[], BeebotReader] | None" = None,
    recover: Callable[[XingchenError], Flow[StreamCall[ChatDelta]] | None] | None = None,
) -> StreamCall[ChatDelta]:
    """Describe one streamed chat. Each attempt has its own timestamp and message id: the service drops repeated ids."""
    new_reader = reader or (lambda: BeebotReader(request))

    def renew() -> StreamCall[ChatDelta]:
        timestamp = str(int(now_seconds() * 1000))
        sign = stream_secret_sign(current.stream_secret.get_secret_value(), timestamp)
        parts = (PATH, current.access_token.get_secret_value(), current.channel_id.get_secret_value(), sign, timestamp)
        return StreamCall(
            service=BEEBOT,
            origin=stream_origin,
            path="/".join(parts),
            shown_path=SHOWN_PATH,
            is_signed=False,
            json=stream_body(request, str(uuid.uuid4())),
            reader=new_reader,
        )

    return StreamCall(
        service=BEEBOT,
        origin=stream_origin,
        path=SHOWN_PATH,
        shown_path=SHOWN_PATH,
        is_signed=False,
        renew=renew,
        remembered=True,
        lock=f"beebot:{request.instance_id}:{request.session_id}" if request.session_id else None,
        reader=new_reader,
        recover=recover,
    )


def stream_body(request: BeebotRequest, message_id: str) -> dict[str, Any]:
    """Return the body: the parameters are JSON inside JSON, and the robot's own parameters JSON inside that."""
    value = json.dumps(request.stream_parameters(), ensure_ascii=False, separators=(",", ":"))
    return {
        "messageId": message_id,
        "action": "TongyiBeebotChat",
        "version": VERSION,
        "data": [{"type": "JSON_TEXT", "value": value}],
    }


class BeebotReader:
    """Turns snapshots, each the whole answer so far, into what is new."""

    def __init__(self, request: BeebotRequest) -> None:
        self._snapshots = Snapshots()
        self._cutter = StopCutter(request.stop) if request.stop else None
        self._latest = Snapshot()
        self._request = request
        self._request_id: str | None = None
        self._parts: list[str] = []
        self._done = False
        self.finished = False
        self.heard = False
        """Whether an event came at all."""

    @property
    def text(self) -> str:
        """What the answer has said so far."""
        return "".join(self._parts)

    def read(self, event: ServerSentEvent) -> ChatDelta | None:
        """Return what is new in an event: nothing for the acknowledgement, empty snapshots and repeats."""
        if self._done:
            return None
        self.heard = True
        envelope = self._object(event.data)
        self._request_id = envelope.get("requestId") or self._request_id
        if envelope.get("success") is False:
            failure = stream_failure(envelope)
            failure.partial_text = self.text
            raise failure
        new = ""
        for part in envelope.get("data") or ():
            if part.get("type") == "JSON_TEXT":
                new += self._take(self._object(part.get("value") or "{}"))
        if new:
            self._parts.append(new)
        if self.finished:
            return self._last(ChatDelta(new))
        return ChatDelta(new) if new else None

    def _take(self, value: Mapping[str, Any]) -> str:
        snapshot = read_snapshot(value, self._latest)
        self._latest = snapshot
        self.finished = self.finished or snapshot.ends
        if snapshot.text is None:
            return ""
        new = self._snapshots.feed(snapshot.text)
        return new if self._cutter is None else self._cutter.feed(new)

    def _last(self, delta: ChatDelta) -> ChatDelta:
        self._done = True
        if self._cutter is not None and not self._snapshots.rewritten:  # more of what was replaced helps nobody
            held = self._cutter.flush()
            delta.text += held
            self._parts.append(held)
        delta.last = True
        delta.finish_reason = self._latest.finish_reason
        delta.metadata = {**self._latest.metadata(), "model_name": self._request.model_name()}
        if self._request_id:
            delta.metadata["request_id"] = self._request_id
        delta.additional = self._latest.additional()
        final, _ = cut(self._snapshots.latest, self._request.stop)
        if final != self.text:
            delta.metadata |= {"rewritten": True, "final_text": final}
        return delta

    def end(self) -> Iterable[ChatDelta]:
        """Raise if the stream ended before the robot said that the answer is complete."""
        if not self._done:
            raise APIResponseError(
                "The stream ended without StreamEnd; partial_text holds what came.",
                service=BEEBOT.name,
                request_id=self._request_id,
                partial_text=self.text,
            )
        return ()

    def _object(self, data: bytes | str) -> dict[str, Any]:
        try:
            value = from_json(data)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            shown = excerpt(data.decode("utf-8", "replace") if isinstance(data, bytes) else data)
            raise APIResponseError(
                f"An event of the stream is no JSON object: {shown!r}",
                service=BEEBOT.name,
                request_id=self._request_id,
                partial_text=self.text,
            )
        return value
