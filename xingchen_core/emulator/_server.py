"""The emulator's web server: a thread, a loopback port, a log of requests, and the services behind them."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Self

import uvicorn
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from xingchen_core.emulator._log import ReceivedRequest, RequestLog
from xingchen_core.emulator._script import Fault, FaultKind, Reply, Script
from xingchen_core.emulator._wire import Answer, Core, Wire
from xingchen_core.emulator.bailian import Bailian
from xingchen_core.emulator.bailian import routes as bailian_routes
from xingchen_core.emulator.beebot import Beebot
from xingchen_core.emulator.beebot import routes as beebot_routes
from xingchen_core.emulator.xingchen import Xingchen
from xingchen_core.emulator.xingchen import routes as xingchen_routes


class Emulator:
    """The services on one loopback port, served by a thread of its own.

    Use it as a context manager, or with `start()` and `close()`. Closing ends every open stream at once.

    `port` 0 takes a free one. `strict=False` forgives missing or mismatched gateway headers.
    `xingchen`, `beebot` and `bailian` are the states of the services, with knobs of their own.
    """

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0, strict: bool = True) -> None:
        self._address = (host, port)
        self._script = Script()
        self._core = Core(self._script, Wire(), strict, asyncio.Event(), self._hang_up)
        self.xingchen = Xingchen(self._core)
        self.beebot = Beebot(self._core)
        self.bailian = Bailian(self._core)
        services = Starlette(
            routes=[*xingchen_routes(self.xingchen), *beebot_routes(self.beebot), *bailian_routes(self.bailian)]
        )
        services.router.default = self._no_such_route
        self._log = RequestLog(services)
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Listens. Raises `OSError` when the port is taken."""
        if self._thread:
            raise RuntimeError("this emulator has been started already; make a new one")
        self._socket = _listen(*self._address)
        host, port = self._socket.getsockname()[:2]
        self._url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        ready: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="xingchen-emulator", daemon=True)
        self._thread.start()
        ready.result()

    def close(self) -> None:
        """Ends every open stream and stops listening. Returns when the thread is gone."""
        if self._thread:
            with contextlib.suppress(RuntimeError):  # the loop is closed: somebody else was faster
                self._loop.call_soon_threadsafe(self._core.closing.set)
            self._thread.join()

    @property
    def url(self) -> str:
        """The origin to use as `base_url`, such as `http://127.0.0.1:8900`."""
        if not self._thread:
            raise RuntimeError("the emulator is not running: use it in a with statement, or call start()")
        return self._url

    @property
    def requests(self) -> list[ReceivedRequest]:
        """Every request received, oldest first, refused ones too."""
        return list(self._log.received)

    def reply(
        self,
        text: str = "",
        *,
        chunks: int | Sequence[str] | None = None,
        tool_calls: Sequence[Mapping[str, Any]] | None = None,
        thoughts: Any = None,
        references: Sequence[Any] | None = None,
        images: Sequence[str] | None = None,
        meta: Mapping[str, Any] | None = None,
        alternatives: Sequence[str] = (),
        finish_reason: str = "stop",
        service: str | None = None,
    ) -> None:
        """Scripts the answer of the next generation call.

        `chunks`: the pieces a stream has, or their number (default: as the service likes). Pieces that do not add up
        to `text` make a stream whose end replaces what was shown, as moderation does.
        `tool_calls`: `{"name": ..., "arguments": {...}}` each. `images`: URLs of the picture made for the answer; an
        empty list makes the picture fail. `meta`: moderation marks on the message. `alternatives`: the other answers
        when several were asked for. `service`: only this service may use it. `thoughts`: a text is the reasoning, a
        list holds whole entries of an application's `thoughts`. `references`: titles or whole objects.

        Raises:
            TypeError: `thoughts`, `references` or `tool_calls` have a shape that no answer can be made of.
        """
        pieces: tuple[str, ...] | None = None
        if isinstance(chunks, int):
            pieces = tuple(cut_evenly(text, chunks))
        elif chunks is not None:
            pieces = tuple(chunks)
        self._script.add(
            Reply(
                text=text or "".join(pieces or ()),
                pieces=pieces,
                tool_calls=tuple(tool_calls or ()),
                thoughts=thoughts,
                references=references,
                images=None if images is None else tuple(images),
                meta=meta,
                alternatives=tuple(alternatives),
                finish_reason=finish_reason,
                service=service,
            )
        )

    def fail(
        self,
        kind: FaultKind = "status",
        *,
        status: int | None = None,
        code: int | str | None = None,
        message: str | None = None,
        retry_after: float | None = None,
        after: int = 0,
        times: int = 1,
        inside_event: bool = False,
        service: str | None = None,
        path: str | None = None,
    ) -> None:
        """Scripts a failure of the next generation call, or of `times` calls.

        | kind | what happens |
        | --- | --- |
        | `status` | an error answer of the service with this `status`, `code`, `message` and `Retry-After` |
        | `html` | a proxy's HTML page, 502 by default |
        | `drop` | the connection closes without an answer, and the service has not seen the call |
        | `cut` | the connection closes in the middle of the body (`inside_event`: in the middle of the next event) |
        | `stall` | silence until the client leaves, the stream is stopped, or the emulator closes |
        | `silent_end` | the body ends cleanly, but without the terminal mark |
        | `error_event` | an error event, then the end (without streaming: the error as `status` would answer it) |

        `after`: so many events of a stream go well first; for the first three kinds, so many calls. The last four
        kinds, scripted directly after a reply, break that reply. `path`: hit requests whose path contains this
        text instead, generation or not.
        """
        fault = Fault(
            kind,
            status=status,
            code=code,
            message=message,
            retry_after=retry_after,
            after=after,
            inside_event=inside_event,
            service=service,
            path=path,
        )
        self._script.add(fault, times)

    def wire(
        self,
        *,
        crlf: bool = False,
        split_utf8: bool | int = False,
        keepalive: bool | int = False,
        delay: float = 0.0,
        space: bool = False,
        blank_lines: bool = True,
        gzip: bool = False,
    ) -> None:
        """Shapes the bytes of every stream that starts from now on; see `Wire`. Without arguments: the plain shape."""
        self._core.wire = Wire(crlf, space, int(split_utf8), int(keepalive), delay, blank_lines, gzip)

    def _run(self, ready: "Future[None]") -> None:
        try:
            asyncio.run(self._serve(ready))
        except BaseException as error:
            if ready.done():
                raise
            self._socket.close()
            ready.set_exception(error)

    async def _serve(self, ready: "Future[None]") -> None:
        self._loop = asyncio.get_running_loop()
        config = uvicorn.Config(
            self._log,
            interface="asgi3",
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=60,
        )
        config.load()
        self._server = uvicorn.Server(config)
        self._server.lifespan = config.lifespan_class(config)
        await self._server.startup(sockets=[self._socket])
        await self._server.on_tick(0)
        ready.set_result(None)
        try:
            await self._core.closing.wait()
        finally:
            await self._shut_down()

    async def _shut_down(self) -> None:
        """What `uvicorn.Server.shutdown` does, without its waits: streams hear `closing` themselves."""
        for listener in self._server.servers:
            listener.close()
        state = self._server.server_state
        if state.tasks:
            # Not for long: a client that has sent half a request, and now waits for us to close, would hold us up.
            await asyncio.wait(state.tasks, timeout=0.1)
        while state.connections or state.tasks:
            for connection in list(state.connections):
                connection.transport.abort()
            await asyncio.sleep(0)

    def _hang_up(self, scope: Scope) -> None:
        for connection in self._server.server_state.connections:
            if isinstance(connection, H11Protocol) and connection.client == scope["client"]:
                connection.transport.close()

    async def _no_such_route(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = Answer(self._core, {"message": f"The emulator has no {scope['method']} {scope['path']}"}, status=404)
        await answer(scope, receive, send)


def cut_evenly(text: str, count: int) -> list[str]:
    """Cuts a text into so many pieces, of sizes as equal as can be."""
    return [text[len(text) * i // count : len(text) * (i + 1) // count] for i in range(count)]


def _listen(host: str, port: int) -> socket.socket:
    if host not in ("127.0.0.1", "localhost", "::1"):
        raise ValueError(f"the emulator listens on loopback only, not on {host!r}")
    family = socket.AF_INET6 if host == "::1" else socket.AF_INET
    # asyncio switches Nagle's algorithm off only on sockets that name their protocol; on, an answer takes 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(128)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener
