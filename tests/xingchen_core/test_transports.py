"""Many requests at once go through pools of a few connections each; over real sockets, sync and async."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raw_server import Connection, RawServer, json_answer
from toy_service import say, until
from xingchen_core import _http, _transports
from xingchen_core._transports import Pools


@given(st.lists(st.integers(0, 60), max_size=200))
def test_no_pool_has_too_many_and_spare_ones_go(steps: list[int]) -> None:
    """However requests begin and end: a request is in one pool, none has more than it may, and few stay."""
    made: list[object] = []
    pools: Pools[Any] = Pools(lambda: made.append(object()) or made[-1])
    under_way: list[object] = []
    closed: list[object] = []
    for step in steps:
        if step % 2 and under_way:
            pool = under_way.pop(step % len(under_way))
            if pools.give_back(pool):
                closed.append(pool)
        else:
            under_way.append(pools.take())
        assert all(under_way.count(pool) == busy <= _transports.CONNECTIONS for pool, busy in pools._busy.items())
        assert sum(pools._busy.values()) == len(under_way)
        assert not set(closed) & set(pools._busy)
    for pool in under_way:
        pools.give_back(pool)
    assert len(pools._busy) <= _transports.POOLS


def test_what_ends_after_all_were_closed() -> None:
    """Who closes a client while others use it leaves them their errors, and no count that is wrong."""
    pools: Pools[Any] = Pools(object)  # type: ignore[arg-type]
    old = pools.take()
    assert pools.take_all() == [old]
    new = pools.take()
    assert new is not old
    assert not pools.give_back(old)
    assert pools._busy == {new: 1}


def test_a_request_may_end_while_another_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the same thread: the garbage collector closes a forgotten stream whenever it likes."""
    monkeypatch.setattr(_transports, "CONNECTIONS", 1)
    monkeypatch.setattr(_transports, "POOLS", 0)
    under_way: list[Any] = []

    def make() -> Any:
        for pool in under_way:
            pools.give_back(pool)
        return object()

    pools: Pools[Any] = Pools(make)
    under_way.append(pools.take())
    second = pools.take()
    assert pools._busy == {second: 1}


def key_of(url: str) -> _http.HttpKey:
    """What shared clients of a server have in common."""
    return _http.HttpKey(url, None, (5.0, 5.0, 5.0, 5.0))


def pools_of(client: Any) -> list[int]:
    """How many requests are under way in each pool of a shared client."""
    return list(client._transport._pools._busy.values())


async def at_once(client: Any, url: str, count: int) -> list[int]:
    """Send requests at once, as tasks or in threads; return the statuses."""
    if isinstance(client, httpx.AsyncClient):
        answers = await asyncio.gather(*(client.post(url) for _ in range(count)))
    else:
        with ThreadPoolExecutor(count) as threads:
            loop = asyncio.get_running_loop()
            answers = await asyncio.gather(*(loop.run_in_executor(threads, client.post, url) for _ in range(count)))
    return [answer.status_code for answer in answers]


async def close(client: Any) -> None:
    """Close a client of either colour."""
    if isinstance(client, httpx.AsyncClient):
        await client.aclose()
    else:
        client.close()


MAKERS = pytest.mark.parametrize("make", [_http._make_client, _http._make_async_client], ids=["sync", "async"])


@MAKERS
async def test_nobody_waits_and_few_connections_stay(
    make: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All are under way at once, however many; afterwards as many connections are used again as may stay."""
    monkeypatch.setattr(_transports, "CONNECTIONS", 3)
    monkeypatch.setattr(_transports, "POOLS", 2)
    all_there = threading.Barrier(11)

    def answer_when_all_are_there(connection: Connection) -> None:
        all_there.wait(5)
        json_answer(b"{}")(connection)

    with RawServer(*[answer_when_all_are_there] * 11, json_answer(b"{}")) as server:
        client = make(key_of(server.url))
        assert await at_once(client, server.url, 11) == [200] * 11
        assert server.accepted == 11
        assert pools_of(client) == [0, 0]
        assert await at_once(client, server.url, 1) == [200]
        assert server.accepted == 11
        await close(client)
        assert pools_of(client) == []


@MAKERS
async def test_one_after_another_uses_one_connection(make: Callable[[Any], Any]) -> None:
    """As without pools."""
    with RawServer(json_answer(b"{}")) as server:
        client = make(key_of(server.url))
        for _ in range(5):
            assert await at_once(client, server.url, 1) == [200]
        assert (server.accepted, pools_of(client)) == (1, [0])
        await close(client)


@MAKERS
async def test_what_fails_is_counted_as_ended(make: Callable[[Any], Any]) -> None:
    """Nobody listens: the pool has room again."""
    client = make(key_of("http://127.0.0.1:9"))
    with pytest.raises(httpx.ConnectError):
        await at_once(client, "http://127.0.0.1:9", 1)
    assert pools_of(client) == [0]
    await close(client)


async def test_what_is_cancelled_is_counted_as_ended() -> None:
    """Before the answer has begun, too."""
    asked, over = threading.Event(), threading.Event()

    def keep_silent(connection: Connection) -> None:
        asked.set()
        over.wait(5)

    with RawServer(keep_silent) as server:
        client = _http._make_async_client(key_of(server.url))
        task = asyncio.create_task(client.post(server.url))
        await until(asked.is_set)
        assert pools_of(client) == [1]
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert pools_of(client) == [0]
        over.set()
        await client.aclose()


async def test_a_stream_ends_once() -> None:
    """A stream is under way until it is closed, however often that is."""
    over = threading.Event()

    def say_and_wait(connection: Connection) -> None:
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + say("a"))
        over.wait(5)
        connection.close()

    with RawServer(say_and_wait) as server:
        client = _http._make_client(key_of(server.url))
        async_client = _http._make_async_client(key_of(server.url))
        answer = client.send(client.build_request("GET", server.url), stream=True)
        assert pools_of(client) == [1]
        answer.close()
        answer.stream.close()  # type: ignore[union-attr]
        assert pools_of(client) == [0]
        answer = await async_client.send(async_client.build_request("GET", server.url), stream=True)
        assert pools_of(async_client) == [1]
        await answer.aclose()
        await answer.stream.aclose()  # type: ignore[union-attr]
        assert pools_of(async_client) == [0]
        over.set()
        client.close()
        await async_client.aclose()


@MAKERS
async def test_a_proxy_of_the_environment_is_used(make: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A client with a transport of its own would not see it."""
    monkeypatch.setenv("NO_PROXY", "example.com")
    with RawServer(json_answer(b"{}")) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        client = make(key_of("http://service.invalid"))
        assert await at_once(client, "http://service.invalid/a", 1) == [200]
        assert proxy.requests[0].startswith(b"POST http://service.invalid/a ")
        await close(client)
    monkeypatch.delenv("HTTP_PROXY")
    client = make(key_of("http://service.invalid"))
    assert pools_of(client) == []
    await close(client)
