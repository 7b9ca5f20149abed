"""Bytes on the wire: how events and JSON answers are written, and how they break."""

import asyncio
import json
import zlib
from collections.abc import Callable, Coroutine, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send

from xingchen_core.emulator._script import Fault, Script


@dataclass(frozen=True)
class Wire:
    """The shape of every event stream.

    `crlf`: lines end CRLF. `space`: a space after the colon. `split_utf8`: write so many bytes at a time (True: 1),
    tearing characters. `keepalive`: comment lines before each event (True: 1), and all through a stall. `delay`:
    seconds between two events. `blank_lines=False`: none after an event, as gateways have been seen to do. `gzip`:
    compressed, for clients that accept it.
    """

    crlf: bool = False
    space: bool = False
    split_utf8: int = 0
    keepalive: int = 0
    delay: float = 0.0
    blank_lines: bool = True
    gzip: bool = False

    @property
    def comments(self) -> bytes:
        return (": keep-alive" + self.newline * 2).encode() * int(self.keepalive)

    @property
    def newline(self) -> str:
        return "\r\n" if self.crlf else "\n"


@dataclass(frozen=True)
class Event:
    """One server-sent event; `data` is text, or anything JSON can hold."""

    data: Any
    event: str | None = None
    id: str | None = None
    comment: str | None = None

    def encode(self, wire: Wire) -> bytes:
        colon = ": " if wire.space else ":"
        lines = [
            f"{name}{colon}{value}" for name, value in (("id", self.id), ("event", self.event)) if value is not None
        ]
        if self.comment is not None:
            lines.append(f":{self.comment}")
        data = self.data if isinstance(self.data, str) else json_text(self.data)
        lines += [f"data{colon}{line}" for line in data.split("\n")]
        if wire.blank_lines:
            lines.append("")
        return "".join(line + wire.newline for line in lines).encode()


@dataclass
class Core:
    """What all services of one emulator share. `hang_up` closes the TCP connection of a request."""

    script: Script
    wire: Wire
    strict: bool
    closing: asyncio.Event
    hang_up: Callable[[Scope], None]


def json_text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@dataclass
class Answer:
    """An ASGI response of one body, possibly broken by a fault. A body that is no text is written as JSON."""

    core: Core
    body: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    media_type: str = "application/json;charset=UTF-8"
    fault: Fault | None = None
    finished: Callable[[], None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            kind = self.fault.kind if self.fault else None
            body = (self.body if isinstance(self.body, str) else json_text(self.body)).encode()
            if kind == "stall":
                with _Interruptions(_client_left(receive), self.core.closing.wait()) as interruptions:
                    await interruptions.pause(None)
            if kind in ("stall", "drop"):
                await _hang_up(self.core, scope, receive)
                return
            if kind == "silent_end":
                body = b""
            headers = {"content-type": self.media_type, "content-length": str(len(body)), **self.headers}
            await send({"type": "http.response.start", "status": self.status, "headers": _raw(headers)})
            if kind == "cut":
                await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
                await _hang_up(self.core, scope, receive)
            else:
                await send({"type": "http.response.body", "body": body})
        finally:
            if self.finished:
                self.finished()


@dataclass
class EventStream:
    """An ASGI response that writes events in the shape of `core.wire` and breaks where the fault says.

    `events` is closed when the client leaves; setting `wake` ends a pause between two events at once.
    """

    core: Core
    events: Generator[Event, None, None]
    error: Callable[[Fault], Event]
    fault: Fault | None = None
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    finished: Callable[[], None] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {**_STREAM_HEADERS, **self.headers}
        if self.core.wire.gzip and "gzip" in Headers(scope=scope).get("accept-encoding", ""):
            headers["content-encoding"] = "gzip"
            send = _compressing(send)
        with _Interruptions(_client_left(receive), self.core.closing.wait(), self.wake.wait()) as interruptions:
            try:
                await send({"type": "http.response.start", "status": 200, "headers": _raw(headers)})
                if await self._write(send, interruptions):
                    await send({"type": "http.response.body", "body": b""})
                else:
                    self.core.hang_up(scope)
                    await interruptions.futures[0]
            finally:
                self.events.close()
                if self.finished:
                    self.finished()

    async def _write(self, send: Send, interruptions: "_Interruptions") -> bool:
        """Writes all there is to write; False when the connection must close instead of ending well."""
        wire, fault, index = self.core.wire, self.fault, 0
        left, closing, _ = interruptions.futures
        # The service has begun its work, whatever becomes of the bytes.
        event = next(self.events, None)
        while not (left.done() or closing.done()):
            if fault and index == fault.after:
                if fault.kind == "cut":
                    torn = event.encode(wire) if event and fault.inside_event else b""
                    await _write_bytes(send, wire, torn[: len(torn) // 2])
                    return False
                if fault.kind == "silent_end":
                    return True
                if fault.kind == "error_event":
                    await _write_bytes(send, wire, self.error(fault).encode(wire))
                    return True
                await self._stall(send, wire, interruptions)
                fault = None
                continue
            if event is None:
                return True
            await _write_bytes(send, wire, wire.comments + event.encode(wire))
            index += 1
            await interruptions.pause(wire.delay)
            event = next(self.events, None)
        return False

    async def _stall(self, send: Send, wire: Wire, interruptions: "_Interruptions") -> None:
        """Silence, or nothing but comments, until the client leaves, the emulator closes, or the stream is stopped."""
        while not interruptions.any:
            await _write_bytes(send, wire, wire.comments)
            await interruptions.pause(max(wire.delay, 0.01) if wire.keepalive else None)


class _Interruptions:
    """What may cut a pause short."""

    def __init__(self, *waits: Coroutine[Any, Any, Any]) -> None:
        self.futures = [asyncio.ensure_future(wait) for wait in waits]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for future in self.futures:
            future.cancel()

    @property
    def any(self) -> bool:
        return any(future.done() for future in self.futures)

    async def pause(self, seconds: float | None) -> None:
        """Waits so long (None: for ever), or until interrupted. A pause of 0 still lets other requests in."""
        if seconds == 0:
            await asyncio.sleep(0)
        else:
            await asyncio.wait(self.futures, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)


_STREAM_HEADERS = {"content-type": "text/event-stream;charset=UTF-8", "cache-control": "no-cache"}


def _raw(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


def _compressing(send: Send) -> Send:
    """Sends bodies compressed, each part readable as soon as it has arrived."""
    compressor = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)

    async def compressed(message: Message) -> None:
        if message["type"] == "http.response.body":
            ends = not message.get("more_body", False)
            body = compressor.compress(message["body"]) + compressor.flush(zlib.Z_FINISH if ends else zlib.Z_SYNC_FLUSH)
            message = {**message, "body": body}
        await send(message)

    return compressed


async def _write_bytes(send: Send, wire: Wire, data: bytes) -> None:
    step = int(wire.split_utf8) or len(data)
    for start in range(0, len(data), step or 1):
        await send({"type": "http.response.body", "body": data[start : start + step], "more_body": True})


async def _client_left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _hang_up(core: Core, scope: Scope, receive: Receive) -> None:
    core.hang_up(scope)
    await _client_left(receive)
