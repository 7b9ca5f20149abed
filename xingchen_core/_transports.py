"""HTTP transports that stay quick with many requests at once: httpx's own, a few connections in each.

httpcore, which carries httpx's requests, looks through all connections of a pool for each idle one whenever a request
begins or ends, and closes idle ones as soon as the pool has more connections, busy ones included, than it may keep. So
a pool of hundreds spends more time on looking than on reading, and reuses nothing. Pools of a few do neither.
"""

import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Generic, TypeVar

import httpx

T = TypeVar("T", httpx.HTTPTransport, httpx.AsyncHTTPTransport)

CONNECTIONS = 10
"""So many requests at once go through one pool."""

POOLS = 10
"""So many pools stay when nobody uses them, each with its idle connections; the others are closed."""


class Pools(Generic[T]):
    """The pools of one transport, and how many requests are under way in each. Safe between threads.

    Args:
        make: Makes a pool.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make: Callable[[], T] = make
        self._lock = threading.RLock()  # the garbage collector may close a forgotten stream within `take`
        self._busy: dict[T, int] = {}  # in the order in which they were made

    def take(self) -> T:
        """Return the first pool that has room, a new one if none has, and count a request in it."""
        with self._lock:
            free = next((pool for pool, busy in list(self._busy.items()) if busy < CONNECTIONS), None)
            pool = self._make() if free is None else free
            self._busy[pool] = self._busy.get(pool, 0) + 1
            return pool

    def give_back(self, pool: T) -> bool:
        """Count a request as ended; return whether the pool is to be closed."""
        with self._lock:
            if pool not in self._busy:  # all were closed meanwhile
                return False
            self._busy[pool] -= 1
            is_spare = self._busy[pool] == 0 and pool not in list(self._busy)[:POOLS]
            if is_spare:
                del self._busy[pool]
            return is_spare

    def take_all(self) -> list[T]:
        """Return all pools for closing. There are new ones for who goes on."""
        with self._lock:
            pools, self._busy = list(self._busy), {}
            return pools


class PooledTransport(httpx.BaseTransport):
    """For `httpx.Client`."""

    def __init__(self, make: Callable[[], httpx.HTTPTransport]) -> None:
        self._pools = Pools(make)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send by a pool that has room."""
        pool = self._pools.take()
        try:
            response = pool.handle_request(request)
        except BaseException:
            self._end(pool)
            raise
        assert isinstance(response.stream, httpx.SyncByteStream)
        response.stream = _Stream(response.stream, lambda: self._end(pool))
        return response

    def _end(self, pool: httpx.HTTPTransport) -> None:
        if self._pools.give_back(pool):
            pool.close()

    def close(self) -> None:
        """Close all connections."""
        for pool in self._pools.take_all():
            pool.close()


class _Stream(httpx.SyncByteStream):
    def __init__(self, stream: httpx.SyncByteStream, end: Callable[[], None]) -> None:
        self._stream = stream
        self._end: Callable[[], None] | None = end

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._stream)  # its own iterator, so that no chunk goes through one more

    def close(self) -> None:
        end, self._end = self._end, None
        try:
            self._stream.close()
        finally:
            if end is not None:
                end()


class AsyncPooledTransport(httpx.AsyncBaseTransport):
    """For `httpx.AsyncClient`."""

    def __init__(self, make: Callable[[], httpx.AsyncHTTPTransport]) -> None:
        self._pools = Pools(make)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """As `PooledTransport.handle_request`."""
        pool = self._pools.take()
        try:
            response = await pool.handle_async_request(request)
        except BaseException:
            await self._end(pool)
            raise
        assert isinstance(response.stream, httpx.AsyncByteStream)
        response.stream = _AsyncStream(response.stream, lambda: self._end(pool))
        return response

    async def _end(self, pool: httpx.AsyncHTTPTransport) -> None:
        if self._pools.give_back(pool):
            await pool.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        for pool in self._pools.take_all():
            await pool.aclose()


class _AsyncStream(httpx.AsyncByteStream):
    def __init__(self, stream: httpx.AsyncByteStream, end: Callable[[], Awaitable[None]]) -> None:
        self._stream = stream
        self._end: Callable[[], Awaitable[None]] | None = end

    def __aiter__(self) -> AsyncIterator[bytes]:
        return aiter(self._stream)

    async def aclose(self) -> None:
        end, self._end = self._end, None
        try:
            await self._stream.aclose()
        finally:
            if end is not None:
                await end()
