"""A service of nobody's, with the plainest wire there is: what clients do must not depend on a real one's habits."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any, ClassVar

import httpx

from xingchen_core._call import Call, StreamCall
from xingchen_core._client import AsyncClient, Client
from xingchen_core._config import ConnectionSettings
from xingchen_core._errors import APIResponseError, APIStatusError, status_error
from xingchen_core._service import Service
from xingchen_core._sse import ServerSentEvent

HOME, ABROAD = "https://home.invalid", "https://abroad.invalid"


def read_failure(status: int, body: Any) -> APIStatusError | None:
    """A failure is HTTP 4xx or 5xx, or a member `error` with a status."""
    error = body.get("error") if isinstance(body, dict) else None
    if error is None and status < 400:
        return None
    return status_error(None, f"toy says {error}", status_code=error or status, request_id=(body or {}).get("id"))


TOY = Service(
    name="toy",
    hosts={"home": HOME, "abroad": ABROAD},
    key_variable="TOY_API_KEY",
    base_url_variable="TOY_BASE_URL",
    headers={"x-toy": "1"},
    read_failure=read_failure,
)


class ToySettings(ConnectionSettings):
    """How to reach the toy."""

    service: ClassVar[Service] = TOY


def settings(**fields: Any) -> ToySettings:
    """Settings with a key."""
    return ToySettings(**{"api_key": "test-key", **fields})


def ask(text: str = "你好", **fields: Any) -> Call[str]:
    """A call answered by `{"answer": ...}`."""
    return Call(service=TOY, path="/ask", json={"text": text}, parse=lambda body: str(body["answer"]), **fields)


def listen(**fields: Any) -> StreamCall[str]:
    """A call answered by events: see `say`, `END` and `fail`."""
    return StreamCall(service=TOY, path="/listen", json={"text": "你好"}, reader=ToyReader, **fields)


def say(text: str) -> bytes:
    """An event with a piece of text."""
    return f"data:{json.dumps({'text': text}, ensure_ascii=False)}\n\n".encode()


END = b'data:{"end":true}\n\n'
PING = b":ping\n\n"


def fail(status: int) -> bytes:
    """An error event."""
    return b'event:error\ndata:{"error":%d,"id":"r-1"}\n\n' % status


class ToyReader:
    """Reads the toy's events; a piece without text gives no result."""

    def __init__(self) -> None:
        self.text = ""
        self.finished = False

    def read(self, event: ServerSentEvent) -> str | None:
        """Return the event's text."""
        try:
            body = json.loads(event.data)
        except ValueError:
            raise APIResponseError("no JSON in an event") from None
        if error := read_failure(200, body):
            raise error
        self.finished = self.finished or "end" in body
        text: str = body.get("text", "")
        self.text += text
        return text or None

    def end(self) -> Iterable[str]:
        """Return a last piece that comes after the last byte."""
        if not self.finished:
            raise APIResponseError("the toy's stream has no end mark")
        return ["."]


class Pieces(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A response body, delivered piece by piece: bytes are sent, exceptions raised, functions called."""

    def __init__(self, *pieces: bytes | Exception | Callable[[], object]) -> None:
        self._pieces = pieces
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            if isinstance(piece, Exception):
                raise piece
            if isinstance(piece, bytes):
                yield piece
            else:
                piece()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self:
            yield piece

    def close(self) -> None:
        """Count: closing twice must be harmless, never closing is a leak."""
        self.closed += 1

    async def aclose(self) -> None:
        """As `close`."""
        self.closed += 1


def events(*pieces: bytes | Exception | Callable[[], object], status: int = 200, **headers: str) -> httpx.Response:
    """A response that streams."""
    return httpx.Response(status, headers={"content-type": "text/event-stream", **headers}, stream=Pieces(*pieces))


class BlockingClient:
    """`Client` with the face of `AsyncClient`, so that one text tests both. It blocks the loop, which waits anyway."""

    def __init__(self, settings: ConnectionSettings) -> None:
        self._client = Client(settings)

    async def send(self, call: Any) -> Any:
        """As `Client.send`."""
        return self._client.send(call)

    async def stream(self, call: Any) -> "BlockingStream":
        """As `Client.stream`."""
        return BlockingStream(self._client.stream(call))

    async def run(self, flow: Any) -> Any:
        """As `Client.run`."""
        return self._client.run(flow)

    def iterate(self, listing: Any) -> "BlockingStream":
        """As `Client.iterate`."""
        return BlockingStream(self._client.iterate(listing))

    async def aclose(self) -> None:
        """As `Client.close`."""
        self._client.close()


class BlockingStream:
    """A generator with the face of an asynchronous one."""

    def __init__(self, generator: Any) -> None:
        self._generator = generator

    def __aiter__(self) -> "BlockingStream":
        return self

    async def __anext__(self) -> Any:
        for item in self._generator:
            return item
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Close it."""
        self._generator.close()


async def until(condition: Callable[[], object]) -> None:
    """Let other tasks and threads run until it is so, five seconds at most."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  what is waited for happens in a thread, which has no asyncio.Event
            await asyncio.sleep(0.001)


CLIENTS: dict[str, Callable[[ConnectionSettings], Any]] = {"sync": BlockingClient, "async": AsyncClient}
