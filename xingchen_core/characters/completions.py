"""The model interfaces, shaped like OpenAI's: `POST /v2/api/completions` and `POST /v2/api/chat/completions`.

They know no characters, history or moderation. Answers come back as OpenAI's documents, so that what the service adds
is not lost. Source: Xingchen HTTP API, "model interface", old and new.
"""

import secrets
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from pydantic import Field
from pydantic_core import from_json

from xingchen_core._call import Call, StreamCall
from xingchen_core._errors import APIResponseError, excerpt, status_error
from xingchen_core._sse import ServerSentEvent
from xingchen_core.characters._service import XINGCHEN, read_failure
from xingchen_core.characters._wire import WireModel, given

LARGEST_OUTPUT = 1500
"""`max_tokens` of the old interface."""


class CompletionRequest(WireModel):
    """A request of either model interface.

    Attributes:
        messages: As OpenAI's: role, content, name, tool_calls, tool_call_id.
        model: The old interface's default; the vendor recommends `xingchen-plus-latest` for the new one.
        seed: `None`: a fresh random one per call, which the default model needs.
        tools, tool_choice: As OpenAI's; the old interface only.
        n, stop, logit_bias: The new interface only.
        user: The new interface uses it for its session cache.
    """

    messages: Sequence[dict[str, Any]] = Field(min_length=1)
    model: str = "xingchen-plus-v2"
    max_tokens: int | None = Field(default=None, gt=0, le=LARGEST_OUTPUT)
    seed: int | None = Field(default=None, ge=0, le=2**63 - 1)
    temperature: float | None = Field(default=None, ge=0)
    top_p: float | None = Field(default=None, gt=0, lt=1)
    tools: Sequence[dict[str, Any]] | None = Field(default=None, max_length=128)
    tool_choice: Literal["none", "auto", "required"] | dict[str, Any] | None = None
    n: int | None = Field(default=None, ge=1, le=4)
    stop: str | Sequence[str] | None = None
    logit_bias: dict[str, float] | None = None
    user: str | None = None

    def body(self, *, stream: bool) -> dict[str, Any]:
        """Return the request as JSON. These interfaces speak snake_case."""
        body = self.model_dump(exclude_none=True) | given(stream=True if stream else None)
        body.setdefault("seed", secrets.randbits(31))
        return body


class CompletionReader:
    """Reads a streamed completion. Chunks carry `message` by one SDK and `delta` by OpenAI's habit: both are kept."""

    def __init__(self, answers: int = 1) -> None:
        self._open = set(range(answers))
        self._parts: list[str] = []
        self.finished = False

    @property
    def text(self) -> str:
        """What the first answer has said so far."""
        return "".join(self._parts)

    def read(self, event: ServerSentEvent) -> dict[str, Any] | None:
        """Return the chunk an event carries."""
        if event.data[:6] == b"[DONE]":
            self.finished = True
            return None
        try:
            chunk: dict[str, Any] = from_json(event.data)
        except ValueError as error:
            raise APIResponseError("An event of the stream is no JSON.", partial_text=self.text) from error
        failure = read_failure(200, chunk)
        if failure is None and event.event == "error":
            failure = status_error(None, excerpt(str(chunk.get("message") or chunk)), status_code=500)
        if failure is not None:
            raise failure
        for choice in chunk.get("choices") or ():
            number = choice.get("index") or 0
            if number == 0:
                self._parts.append((choice.get("delta") or choice.get("message") or {}).get("content") or "")
            if choice.get("finish_reason") not in (None, "", "null"):
                self._open.discard(number)
        self.finished = self.finished or not self._open or event.event == "stop"
        return chunk

    def end(self) -> Iterable[dict[str, Any]]:
        """Raise if the answer was cut."""
        if not self.finished:
            raise APIResponseError("The stream ended before the answer did.", partial_text=self.text)
        return ()


def completion(request: CompletionRequest) -> Call[dict[str, Any]]:
    """Ask the old model interface."""
    return _plain("/v2/api/completions", "aca-completion", request)


def stream_completion(request: CompletionRequest) -> StreamCall[dict[str, Any]]:
    """Ask the old model interface for chunks. It uses the same service name streaming or not."""
    return _streamed("/v2/api/completions", "aca-completion", request)


def chat_completion(request: CompletionRequest) -> Call[dict[str, Any]]:
    """Ask the new model interface. The shape of its answers is UNVERIFIED; OpenAI's is assumed and passed on."""
    return _plain("/v2/api/chat/completions", "aca-chat-completions", request)


def stream_chat_completion(request: CompletionRequest) -> StreamCall[dict[str, Any]]:
    """Ask the new model interface for chunks, which are always incremental."""
    return _streamed("/v2/api/chat/completions", "aca-chat-completions", request)


def _plain(path: str, route: str, request: CompletionRequest) -> Call[dict[str, Any]]:
    return Call(
        service=XINGCHEN,
        path=path,
        headers={"x-fag-servicename": route},
        json=request.body(stream=False),
        parse=_completion,
    )


def _streamed(path: str, route: str, request: CompletionRequest) -> StreamCall[dict[str, Any]]:
    return StreamCall(
        service=XINGCHEN,
        path=path,
        headers={"x-fag-servicename": route},
        json=request.body(stream=True),
        reader=lambda: CompletionReader(request.n or 1),
    )


def _completion(body: dict[str, Any]) -> dict[str, Any]:
    if not body.get("choices"):
        raise APIResponseError("The service answered without an answer.", request_id=body.get("requestId"))
    return body
