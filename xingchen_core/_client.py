"""`Client` and `AsyncClient`: the only code of the package that sends, waits or awaits."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator, Iterator
from contextlib import AsyncExitStack, ExitStack, aclosing, closing, nullcontext, suppress
from itertools import chain
from typing import Any, Self, TypeVar

import httpx
from tenacity import AsyncRetrying, Retrying

from xingchen_core import _http
from xingchen_core._call import Call, Flow, Listing, Page, Pause, Request, StreamCall, Work
from xingchen_core._errors import XingchenError
from xingchen_core._exchange import BAD_SHAPE, Attempt, Exchange, Reading, StreamPart, is_event_stream, misshapen
from xingchen_core._retry import FirstAttempt

T = TypeVar("T")
A = TypeVar("A")
R = TypeVar("R", bound=Request)

_LEAVING = httpx.Timeout(5.0)
"""Limits of telling the service that a consumer left: who leaves, or is cancelled, does not want to wait."""

_Opened = tuple[httpx.Response, Iterator[bytes], Reading[T], Iterator[T]]
_AsyncOpened = tuple[httpx.Response, AsyncIterator[bytes], Reading[T], Iterator[T]]
"""A stream that has spoken: the rest of its bytes, their reader, and the results that are there already."""


class Client(Exchange):
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
            return self._retrying(self._attempt, call)

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
                    result = self.send(step) if isinstance(step, Call) else _do(step)
                except (XingchenError, OSError) as error:
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
        with Attempt(self, call):
            response = client.send(self._request(call, client, limits or self._timeout), auth=self._auth_of(call))
            return self._read(call, response)

    def _opened(self, call: StreamCall[T]) -> _Opened[T]:
        try:
            return self._retrying(self._open, call)
        except XingchenError as error:
            another = call.recover(error) if call.recover else None
            if another is None:
                raise
        return self._retrying(self._open, self.run(another))

    def _retrying(self, attempt: Callable[[R], A], call: R) -> A:
        began = time.monotonic()
        try:
            return attempt(call)
        except XingchenError as error:
            first = FirstAttempt(error, began)

        def again() -> A:
            first.tell()
            return attempt(call)

        answer: A = Retrying(sleep=_sleep, **self._policy(call, first))(again)
        return answer

    def _open(self, call: StreamCall[T]) -> _Opened[T]:
        client = self._http_client(call)
        reading = Reading(self, call)
        with StreamPart(self, reading, call):
            response = client.send(
                self._request(call, client, self._stream_timeout, stream=True), auth=self._auth_of(call), stream=True
            )
            try:
                if not response.is_success or not is_event_stream(response):
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
        reading: "Reading[T]",
        first: Iterator[T],
        lock: ExitStack,
    ) -> Generator[T]:
        with lock, closing(response):
            try:
                yield None  # type: ignore[misc]  # consumed by stream()
                with StreamPart(self, reading):
                    yield from first
                    decode, read = reading.decode, reading.reader.read
                    for chunk in chunks:  # as `reading.feed` does, but nothing is made: this runs once per token
                        events = decode(chunk) or reading.silence()
                        for event in events:
                            try:
                                result = read(event)
                            except BAD_SHAPE as error:
                                raise misshapen(error) from error
                            if result is not None:
                                yield result
                        if events:
                            reading.since = time.monotonic()
                with StreamPart(self, reading):
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


class AsyncClient(Exchange):
    """`Client` with await. Works in any number of event loops, one after another or side by side."""

    async def send(self, call: Call[T]) -> T:
        """As `Client.send`."""
        async with self._lock(call.lock) if call.lock else nullcontext():
            if call.known is not None and (known := call.known()) is not None:
                return known
            return await self._retrying(self._attempt, call)

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
                    result = await (self.send(step) if isinstance(step, Call) else _async_do(step))
                except (XingchenError, OSError) as error:
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
        with Attempt(self, call):
            response = await client.send(self._request(call, client, limits or self._timeout), auth=self._auth_of(call))
            return self._read(call, response)

    async def _opened(self, call: StreamCall[T]) -> _AsyncOpened[T]:
        try:
            return await self._retrying(self._open, call)
        except XingchenError as error:
            another = call.recover(error) if call.recover else None
            if another is None:
                raise
        return await self._retrying(self._open, await self.run(another))

    async def _retrying(self, attempt: Callable[[R], Coroutine[Any, Any, A]], call: R) -> A:
        began = time.monotonic()
        try:
            return await attempt(call)
        except XingchenError as error:
            first = FirstAttempt(error, began)

        async def again() -> A:
            first.tell()
            return await attempt(call)

        return await AsyncRetrying(sleep=_async_sleep, **self._policy(call, first))(again)

    async def _open(self, call: StreamCall[T]) -> _AsyncOpened[T]:
        client = await self._http_client(call)
        reading = Reading(self, call)
        with StreamPart(self, reading, call):
            request = self._request(call, client, self._stream_timeout, stream=True)
            response = await client.send(request, auth=self._auth_of(call), stream=True)
            try:
                if not response.is_success or not is_event_stream(response):
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
        reading: "Reading[T]",
        first: Iterator[T],
        lock: AsyncExitStack,
    ) -> AsyncGenerator[T]:
        async with lock, aclosing(response):
            try:
                yield None  # type: ignore[misc]  # consumed by stream()
                with StreamPart(self, reading):
                    for one in first:
                        yield one
                    decode, read = reading.decode, reading.reader.read
                    async for chunk in chunks:
                        events = decode(chunk) or reading.silence()
                        for event in events:
                            try:
                                result = read(event)
                            except BAD_SHAPE as error:
                                raise misshapen(error) from error
                            if result is not None:
                                yield result
                        if events:
                            reading.since = time.monotonic()
                with StreamPart(self, reading):
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


def _do(step: Pause | Work) -> Any:
    return _sleep(step.seconds) if isinstance(step, Pause) else step.do()


async def _async_do(step: Pause | Work) -> Any:
    return await (_async_sleep(step.seconds) if isinstance(step, Pause) else asyncio.to_thread(step.do))


def _sleep(seconds: float) -> Any:
    time.sleep(seconds)


async def _async_sleep(seconds: float) -> Any:
    await asyncio.sleep(seconds)
