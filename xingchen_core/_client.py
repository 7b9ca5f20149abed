"""`Client` and `AsyncClient`: the only code of the package that sends, waits or awaits."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Container, Generator, Iterator
from contextlib import AsyncExitStack, ExitStack, aclosing, closing, contextmanager, nullcontext, suppress
from functools import lru_cache
from itertools import chain
from typing import Any, Generic, Self, TypeVar
from urllib.parse import urlencode

import httpx
from pydantic_core import from_json, to_json
from tenacity import AsyncRetrying, Retrying

from xingchen_core import _http
from xingchen_core._call import Call, Flow, Listing, Page, Pause, Request, StreamCall
from xingchen_core._config import ConnectionSettings
from xingchen_core._errors import (
    APIConnectionError,
    APIResponseError,
    APIStatusError,
    APITimeoutError,
    ConfigurationError,
    XingchenError,
    excerpt,
    retry_after,
    status_error,
)
from xingchen_core._locks import ProcessLock
from xingchen_core._retry import policy
from xingchen_core._sse import ServerSentEvent, SSEDecoder

T = TypeVar("T")

logger = logging.getLogger("xingchen_core")

_SHOWN_HEADERS = ("accept", "accept-encoding", "content-length", "content-type", "host", "user-agent")
_LEAVING = httpx.Timeout(5.0)
"""Limits of telling the service that a consumer left: who leaves, or is cancelled, does not want to wait."""
_BAD_SHAPE = (KeyError, TypeError, IndexError, AttributeError, ValueError)
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol, httpx.ProxyError)


class _Base:
    """What both clients know: the settings, and everything about a call that needs no waiting."""

    def __init__(self, settings: ConnectionSettings) -> None:
        timeout = settings.call_timeout()
        silence = settings.silence_limit()
        self._service = settings.service
        self._origin = settings.origin()
        self._auth = settings.auth()
        self._max_retries = settings.max_retries
        self._headers = httpx.Headers(settings.service.headers)
        self._headers.update(settings.default_headers)
        self._timeout = timeout
        self._stream_timeout = httpx.Timeout(
            connect=timeout.connect, read=silence, write=timeout.write, pool=timeout.pool
        )
        self._silence = silence
        self._proxy = settings.proxy
        self._lock = settings.chat_lock or ProcessLock
        self._injected = settings.http_client
        self._injected_async = settings.http_async_client

    def _key(self, call: Request) -> _http.HttpKey:
        return _http.HttpKey(call.origin or self._origin, self._proxy, tuple(self._timeout.as_dict().values()))

    def _request(
        self, call: Request, client: httpx.Client | httpx.AsyncClient, timeout: httpx.Timeout, *, stream: bool = False
    ) -> httpx.Request:
        if call.renew is not None:
            call = call.renew()
        headers = httpx.Headers(self._headers)  # knows no upper and lower case: none may go out twice
        headers.update(call.headers)
        content = None
        if call.form is not None:
            content = urlencode(sorted(call.form.items())).encode()
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        elif call.json is not None:
            content = to_json(call.json)
            headers["Content-Type"] = "application/json"
        headers["Accept"] = "text/event-stream" if stream else "application/json"
        if stream:
            headers["Accept-Encoding"] = "identity"  # a compressor between us would hold events back
        return client.build_request(
            call.method,
            _url(call.origin or self._origin, call.path),
            params=call.query or None,
            headers=headers,
            content=content,
            timeout=timeout,
        )

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn httpx's exceptions into ours. No URL goes into a message: it can carry a token."""
        try:
            yield
        except httpx.TimeoutException as error:
            phase = type(error).__name__.removesuffix("Timeout").lower() or "request"
            raise self._connection_error(APITimeoutError, error, f"timed out ({phase})") from error
        except httpx.LocalProtocolError:
            raise ConfigurationError(  # from None: the text below has the whole header, which can be a key
                "The request cannot be written as HTTP: look for line breaks in the headers of your HTTP client.",
                service=self._service.name,
            ) from None
        except httpx.TransportError as error:
            raise self._connection_error(APIConnectionError, error, "connection failed") from error
        except httpx.DecodingError as error:
            raise APIResponseError("The answer's compression is damaged.", service=self._service.name) from error
        except httpx.RequestError as error:
            raise APIResponseError(f"No usable answer: {type(error).__name__}.", service=self._service.name) from error
        except XingchenError as error:
            error.service = error.service or self._service.name
            raise

    def _connection_error(
        self, kind: type[APIConnectionError], error: httpx.TransportError, what: str
    ) -> APIConnectionError:
        text = excerpt(str(error))
        made = kind(f"{what} at {error.request.url.host}" + (f": {text}" if text else ""), service=self._service.name)
        made.was_sent = not isinstance(error, _NEVER_SENT)
        return made

    def _read(self, call: Call[T], response: httpx.Response) -> T:
        """Return what a complete answer says, or raise what it reports."""
        try:
            body = from_json(response.content)
        except ValueError:
            raise self._no_json(response) from None
        self._raise_failure(response, body)
        try:
            return call.parse(body)
        except _BAD_SHAPE as error:
            raise APIResponseError(
                f"{call.path} answered in an unexpected shape ({type(error).__name__}: {excerpt(str(error))}).",
                service=self._service.name,
                request_id=response.headers.get("x-request-id"),
            ) from error

    def _raise_failure(self, response: httpx.Response, body: Any) -> None:
        error = self._service.read_failure(response.status_code, body)
        if error is None:
            return
        raise self._answered(error, response)

    def _answered(self, error: APIStatusError, response: httpx.Response) -> APIStatusError:
        """Add what the response knows of a refusal."""
        error.service = self._service.name
        error.request_id = error.request_id or response.headers.get("x-request-id")
        error.retry_after = retry_after(response.headers)
        error.response = _without_secrets(response, {*_SHOWN_HEADERS, *self._service.headers})
        return error

    def _no_json(self, response: httpx.Response) -> XingchenError:
        start = excerpt(response.text)
        if response.is_success:
            return APIResponseError(
                f"The answer is no JSON ({response.headers.get('content-type', 'no content type')}): {start!r}. "
                "Is base_url right?",
                service=self._service.name,
                request_id=response.headers.get("x-request-id"),
            )
        text = f"HTTP {response.status_code}" + (f": {start!r}" if start else "")
        return self._answered(status_error(None, text, status_code=response.status_code), response)

    def _check_stream(self, call: StreamCall[T], reading: "_Reading[T]", response: httpx.Response) -> None:
        """Raise what a refused stream says. Its body has been read: it is not the answer."""
        try:
            body = from_json(response.content)
        except ValueError:
            self._raise_error_event(reading, response)
            raise self._no_json(response) from None
        self._raise_failure(response, body)
        raise APIResponseError(
            f"{call.path} answered with JSON where a stream was asked for.",
            service=self._service.name,
            request_id=response.headers.get("x-request-id"),
        )

    def _raise_error_event(self, reading: "_Reading[T]", response: httpx.Response) -> None:
        """Raise the error event that came under a refusing status, if that is what the body is."""
        try:
            deque(chain(reading.feed(response.content), reading.end()), maxlen=0)
        except APIStatusError as error:
            raise self._answered(error, response) from None
        except APIResponseError:
            pass  # neither JSON nor events: a page of some proxy

    @contextmanager
    def _logged(self, call: Request) -> Iterator[None]:
        """Write one debug line per attempt. Neither bodies nor query: they hold what people said."""
        if call.shown_path is not None:
            hide_paths_like(call.shown_path)
        outcome: object = "ok"
        try:
            yield
        except BaseException as error:
            outcome = type(error).__name__
            raise
        finally:
            logger.debug("%s %s %s: %s", self._service.name, call.method, call.shown_path or call.path, outcome)

    @contextmanager
    def _breaking(self, reading: "_Reading[Any]") -> Iterator[None]:
        """Keep what was said on the error that ended the stream; ignore trouble after the end of the answer."""
        try:
            with self._translated():
                yield
        except XingchenError as error:
            if reading.reader.finished and isinstance(error, APIConnectionError):
                return
            error.partial_text = error.partial_text or reading.reader.text
            raise

    def _policy(self, call: Request) -> dict[str, Any]:
        return policy(call, self._max_retries)

    def _auth_of(self, call: Request) -> httpx.Auth | None:
        return self._auth if call.is_signed else None


def _is_event_stream(response: httpx.Response) -> bool:
    """Whether the body can be a stream. Not every service documents its type, so only what is certainly none is out."""
    content_type: str = response.headers.get("content-type", "")
    return not content_type.lower().startswith(("application/json", "text/html", "text/xml", "application/xml"))


_hidden_paths: set[str] = set()


def hide_paths_like(shown_path: str) -> None:
    """Keep httpx's own log from showing a URL that is a credential: it logs every URL at level INFO.

    `shown_path` has `***` where the secrets begin.
    """
    if shown_path not in _hidden_paths:
        _hidden_paths.add(shown_path)
        prefix = shown_path.partition("***")[0]

        def redact(record: logging.LogRecord) -> bool:
            if record.args and any(prefix in str(arg) for arg in record.args):
                record.args = tuple(_hidden(arg, prefix) for arg in record.args)
            return True

        logging.getLogger("httpx").addFilter(redact)


def _hidden(arg: object, prefix: str) -> object:
    before, found, _ = str(arg).partition(prefix)
    return f"{before}{prefix}***" if found else arg


def _without_secrets(response: httpx.Response, shown_headers: Container[str]) -> httpx.Response:
    """Return a copy for errors, which end in logs: no query, no body of the request, none of the caller's headers."""
    headers = [(k, v) for k, v in response.request.headers.multi_items() if k.lower() in shown_headers]
    url, path = response.request.url, response.request.url.path
    for shown in _hidden_paths:
        path = str(_hidden(path, shown.partition("***")[0]))
    return httpx.Response(
        response.status_code,
        headers=[
            (k, v) for k, v in response.headers.multi_items() if k.lower() not in ("content-encoding", "set-cookie")
        ],
        content=response.content,
        request=httpx.Request(response.request.method, f"{url.scheme}://{url.netloc.decode()}{path}", headers=headers),
    )


@lru_cache(maxsize=256)
def _url(origin: str, path: str) -> httpx.URL:
    return httpx.URL(origin + path)


class _Reading(Generic[T]):
    """What both clients do with the bytes of one stream."""

    def __init__(self, client: _Base, call: StreamCall[T]) -> None:
        self.reader = call.reader()
        self._feed = SSEDecoder(dispatch_on_data=call.dispatch_on_data)
        self._client = client
        self._limit = client._silence
        self._since = time.monotonic()

    def feed(self, chunk: bytes) -> Iterator[T]:
        """Return the results of the events that `chunk` completes, each read when it is asked for.

        So an error loses nothing that came before it in the same chunk, and the reader knows of no text that the
        consumer has not seen.
        """
        events = self._feed.feed(chunk)
        if not events:
            self._check_silence()
            return
        for event in events:
            result = self._read(event)
            if result is not None:
                yield result
        self._since = time.monotonic()  # now: the time a consumer takes is not the service's silence

    def end(self) -> Iterator[T]:
        """Return what is left after the last byte."""
        for event in self._feed.flush():
            result = None
            with suppress(APIResponseError):  # cut in the middle: what matters is that the answer is not complete
                result = self._read(event)
            if result is not None:
                yield result
        yield from self.reader.end()

    def _read(self, event: ServerSentEvent) -> T | None:
        try:
            return self.reader.read(event)
        except _BAD_SHAPE as error:
            raise APIResponseError(
                f"An event of the stream has an unexpected shape ({type(error).__name__}: {excerpt(str(error))})."
            ) from error

    def abandoned(self, call: StreamCall[T]) -> Call[Any] | None:
        """Return the call that tells the service that nobody listens any more, if there is one."""
        if self.reader.finished or call.on_abandon is None:
            return None
        return call.on_abandon(self.reader)

    def _check_silence(self) -> None:
        if self._limit is not None and time.monotonic() - self._since > self._limit:
            raise APITimeoutError(
                f"no event for {self._limit:g} s, only keep-alives (stream_chunk_timeout)",
                service=self._client._service.name,
            )


_Opened = tuple[httpx.Response, Iterator[bytes], _Reading[T], Iterator[T]]
_AsyncOpened = tuple[httpx.Response, AsyncIterator[bytes], _Reading[T], Iterator[T]]
"""A stream that has spoken: the rest of its bytes, their reader, and the results that are there already."""


class Client(_Base):
    """Sends calls. Safe to share between threads.

    ```python
    with Client(XingchenSettings()) as client:
        reply = client.send(characters.chat(ChatRequest(...)))
        for delta in client.stream(characters.stream_chat(ChatRequest(...))):
            print(delta.text, end="")
    ```
    """

    def send(self, call: Call[T]) -> T:
        """Send a call and return its parsed answer.

        Raises:
            APIStatusError: The service refused; the subclass says why.
            APIConnectionError, APITimeoutError: There was no answer.
            APIResponseError: The answer is not what the API promises.
        """
        with self._lock(call.lock) if call.lock else nullcontext():
            if call.known is not None and (known := call.known()) is not None:
                return known
            result: T = Retrying(sleep=_sleep, **self._policy(call))(self._attempt, call)
            return result

    def stream(self, call: StreamCall[T]) -> Generator[T]:
        """Open a stream, wait for its first result, and return the results as they come.

        Closing the generator closes the connection at once.

        Raises:
            XingchenError: As `send`; an error inside the stream carries `partial_text`.
        """
        with ExitStack() as stack:
            if call.lock:
                stack.enter_context(self._lock(call.lock))
            opened = self._opened(call)
            results = self._results(call, *opened, stack.pop_all())
        next(results)  # started, so that closing it unread closes the connection too
        return results

    def run(self, flow: Flow[T]) -> T:
        """Carry out the calls and pauses of a flow and return its result."""
        try:
            step = next(flow)
            while True:
                try:
                    result = _sleep(step.seconds) if isinstance(step, Pause) else self.send(step)
                except XingchenError as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(result)
        except StopIteration as done:
            value: T = done.value
            return value

    def iterate(self, listing: Listing[T]) -> Generator[T]:
        """Walk a list page by page."""
        steps = listing.steps()
        page: Page[T] | None = None
        with suppress(StopIteration):
            while True:
                step = steps.send(page)
                if isinstance(step, Call):
                    page = self.send(step)
                else:
                    page = None
                    yield from step

    def _attempt(self, call: Call[T], limits: httpx.Timeout | None = None) -> T:
        client = self._http_client(call)
        with self._logged(call), self._translated():
            response = client.send(self._request(call, client, limits or self._timeout), auth=self._auth_of(call))
            return self._read(call, response)

    def _opened(self, call: StreamCall[T]) -> _Opened[T]:
        try:
            return self._retrying_open(call)
        except XingchenError as error:
            another = call.recover(error) if call.recover else None
            if another is None:
                raise
        return self._retrying_open(self.run(another))

    def _retrying_open(self, call: StreamCall[T]) -> _Opened[T]:
        opened: _Opened[T]
        opened = Retrying(sleep=_sleep, **self._policy(call))(self._open, call)
        return opened

    def _open(self, call: StreamCall[T]) -> _Opened[T]:
        client = self._http_client(call)
        reading = _Reading(self, call)
        with self._logged(call), self._breaking(reading):
            response = client.send(
                self._request(call, client, self._stream_timeout, stream=True), auth=self._auth_of(call), stream=True
            )
            try:
                if not response.is_success or not _is_event_stream(response):
                    response.read()
                    self._check_stream(call, reading, response)
                chunks = response.iter_bytes()
                for chunk in chunks:
                    results = reading.feed(chunk)
                    for first in results:
                        return response, chunks, reading, chain((first,), results)
            except BaseException:
                response.close()
                raise
        return response, chunks, reading, iter(())

    def _results(
        self,
        call: StreamCall[T],
        response: httpx.Response,
        chunks: Iterator[bytes],
        reading: "_Reading[T]",
        first: Iterator[T],
        lock: ExitStack,
    ) -> Generator[T]:
        with lock, closing(response):
            try:
                yield None  # type: ignore[misc]  # consumed by stream()
                with self._breaking(reading):
                    yield from first
                    for chunk in chunks:
                        yield from reading.feed(chunk)
                with self._breaking(reading):
                    yield from reading.end()
            except GeneratorExit:
                response.close()
                if follow := reading.abandoned(call):
                    with suppress(XingchenError):
                        self._attempt(follow, _LEAVING)
                raise

    def _http_client(self, call: Request) -> httpx.Client:
        if self._injected is not None:
            return self._injected
        # Asked for each call: after a fork the client must be another one, and another thread may have closed ours.
        return _http.sync_clients.take(self._key(call), self)

    def close(self) -> None:
        """Give back the HTTP client. The next call takes one again."""
        for unused in _http.sync_clients.give_back(self):
            unused.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncClient(_Base):
    """`Client` with await. Works in any number of event loops, one after another or side by side."""

    async def send(self, call: Call[T]) -> T:
        """As `Client.send`."""
        async with self._lock(call.lock) if call.lock else nullcontext():
            if call.known is not None and (known := call.known()) is not None:
                return known
            return await AsyncRetrying(sleep=_async_sleep, **self._policy(call))(self._attempt, call)

    async def stream(self, call: StreamCall[T]) -> AsyncGenerator[T]:
        """As `Client.stream`: `async for delta in await client.stream(call)`."""
        async with AsyncExitStack() as stack:
            if call.lock:
                await stack.enter_async_context(self._lock(call.lock))
            opened = await self._opened(call)
            results = self._results(call, *opened, stack.pop_all())
        await anext(results)
        return results

    async def run(self, flow: Flow[T]) -> T:
        """As `Client.run`."""
        try:
            step = next(flow)
            while True:
                try:
                    result = await (_async_sleep(step.seconds) if isinstance(step, Pause) else self.send(step))
                except XingchenError as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(result)
        except StopIteration as done:
            value: T = done.value
            return value

    async def iterate(self, listing: Listing[T]) -> AsyncGenerator[T]:
        """As `Client.iterate`."""
        steps = listing.steps()
        page: Page[T] | None = None
        with suppress(StopIteration):
            while True:
                step = steps.send(page)
                if isinstance(step, Call):
                    page = await self.send(step)
                else:
                    page = None
                    for item in step:
                        yield item

    async def _attempt(self, call: Call[T], limits: httpx.Timeout | None = None) -> T:
        client = await self._http_client(call)
        with self._logged(call), self._translated():
            response = await client.send(self._request(call, client, limits or self._timeout), auth=self._auth_of(call))
            return self._read(call, response)

    async def _opened(self, call: StreamCall[T]) -> _AsyncOpened[T]:
        try:
            return await AsyncRetrying(sleep=_async_sleep, **self._policy(call))(self._open, call)
        except XingchenError as error:
            another = call.recover(error) if call.recover else None
            if another is None:
                raise
        replacement = await self.run(another)
        return await AsyncRetrying(sleep=_async_sleep, **self._policy(replacement))(self._open, replacement)

    async def _open(self, call: StreamCall[T]) -> _AsyncOpened[T]:
        client = await self._http_client(call)
        reading = _Reading(self, call)
        with self._logged(call), self._breaking(reading):
            request = self._request(call, client, self._stream_timeout, stream=True)
            response = await client.send(request, auth=self._auth_of(call), stream=True)
            try:
                if not response.is_success or not _is_event_stream(response):
                    await response.aread()
                    self._check_stream(call, reading, response)
                chunks = response.aiter_bytes()
                async for chunk in chunks:
                    results = reading.feed(chunk)
                    for first in results:
                        return response, chunks, reading, chain((first,), results)
            except BaseException:
                await response.aclose()
                raise
        return response, chunks, reading, iter(())

    async def _results(
        self,
        call: StreamCall[T],
        response: httpx.Response,
        chunks: AsyncIterator[bytes],
        reading: "_Reading[T]",
        first: Iterator[T],
        lock: AsyncExitStack,
    ) -> AsyncGenerator[T]:
        async with lock, aclosing(response):
            try:
                yield None  # type: ignore[misc]  # consumed by stream()
                with self._breaking(reading):
                    for result in first:
                        yield result
                    async for chunk in chunks:
                        for result in reading.feed(chunk):
                            yield result
                with self._breaking(reading):
                    for result in reading.end():
                        yield result
            except (GeneratorExit, asyncio.CancelledError):
                await response.aclose()
                if follow := reading.abandoned(call):
                    with suppress(XingchenError):
                        await self._attempt(follow, _LEAVING)
                raise

    async def _http_client(self, call: Request) -> httpx.AsyncClient:
        if self._injected_async is not None:
            return self._injected_async
        return (await _http.async_clients()).take(self._key(call), self)

    async def aclose(self) -> None:
        """Give back the HTTP client of the running loop. The next call takes one again."""
        for unused in (await _http.async_clients()).give_back(self):
            await unused.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def _sleep(seconds: float) -> Any:
    time.sleep(seconds)


async def _async_sleep(seconds: float) -> Any:
    await asyncio.sleep(seconds)
