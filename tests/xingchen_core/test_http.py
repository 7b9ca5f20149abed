import asyncio
import gc
import os
import ssl
import subprocess
import sys
import threading
import warnings
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from raw_server import RawServer, json_answer, stream_answer
from toy_service import END, BlockingClient, ask, listen, say, settings
from xingchen_core import _http
from xingchen_core._client import AsyncClient, Client

ROOT = Path(__file__).parents[2]
ANSWER = json_answer('{"answer":"好"}'.encode())


@pytest.fixture(autouse=True)
def nothing_left_open(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test begins without shared clients and leaves none: whoever opens, closes."""
    shared = _http.SharedClients(_http._make_client)
    monkeypatch.setattr("xingchen_core._http.sync_clients", shared)
    yield
    assert shared.clients() == []


@pytest.fixture
def server() -> Iterator[RawServer]:
    """A server that answers every call of the toy."""
    with RawServer(ANSWER) as running:
        yield running


def held(made: Client, **fields: Any) -> Any:
    """The HTTP client that a client uses for a call."""
    return made._http_client(ask(**fields))


@pytest.mark.parametrize(
    "other",
    [
        {"base_url": "http://127.0.0.2:9"},
        {"proxy": "http://127.0.0.1:3128"},
        {"timeout": 5},
    ],
)
def test_what_clients_are_shared_by(other: dict[str, Any]) -> None:
    """Same origin, proxy and timeout: same HTTP client, whatever else differs. One of them differs: another."""
    usual = {"base_url": "http://127.0.0.1:9"}
    first, second = Client(settings(**usual)), Client(settings(**usual, api_key="other-key", max_retries=0))
    third = Client(settings(**{**usual, **other}))
    assert held(first) is held(second)
    assert held(first) is not held(third)
    for made in (first, second, third):
        made.close()


def test_another_origin_is_another_client() -> None:
    """A call to a second host of the service checks that host's certificate, though the first is a local server."""
    made = Client(settings(base_url="http://127.0.0.1:9"))
    local, public = held(made), held(made, origin="https://stream.invalid")
    modes = [client._transport._pools.take()._pool._ssl_context.verify_mode for client in (local, public)]
    assert modes == [ssl.CERT_NONE, ssl.CERT_REQUIRED]
    made.close()
    assert local.is_closed
    assert public.is_closed


def test_the_last_one_closes() -> None:
    """Closing gives the shared client back; it is closed when nobody uses it, and only once."""
    first, second = (Client(settings(base_url="http://127.0.0.1:9")) for _ in range(2))
    shared = held(first)
    assert held(second) is shared
    first.close()
    first.close()
    assert not shared.is_closed
    assert held(second) is shared
    second.close()
    assert shared.is_closed


def test_forgotten_users_do_not_count() -> None:
    """An object that was dropped without close() does not keep the client open for ever."""
    first, second = (Client(settings(base_url="http://127.0.0.1:9")) for _ in range(2))
    shared = held(first)
    assert held(second) is shared
    del first
    gc.collect()
    second.close()
    assert shared.is_closed


def test_a_client_closed_by_others_is_replaced() -> None:
    """Whoever closes all shared clients (a test suite, the interpreter's end) breaks nobody's next call."""
    made = Client(settings(base_url="http://127.0.0.1:9"))
    first = held(made)
    first.close()
    assert not held(made).is_closed
    made.close()


def test_the_registry_can_be_entered_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The garbage collector may close a forgotten stream within `take`; its last call must not wait for that."""
    inner, outer = (Client(settings(base_url=f"http://127.0.0.{n}:9")) for n in (1, 2))

    def make(key: _http.HttpKey) -> httpx.Client:
        if "127.0.0.2" in key.origin:
            held(inner)
        return _http._make_client(key)

    shared = _http.SharedClients(make)
    monkeypatch.setattr("xingchen_core._http.sync_clients", shared)
    thread = threading.Thread(target=held, args=(outer,), daemon=True)
    thread.start()
    thread.join(5)
    assert not thread.is_alive()
    assert len(shared.clients()) == 2
    inner.close()
    outer.close()


def test_usable_after_close(server: RawServer) -> None:
    """close() gives connections back; the object stays usable and takes a client again."""
    with Client(settings(base_url=server.url)) as client:
        assert client.send(ask()) == "好"
        client.close()
        assert client.send(ask()) == "好"
    assert server.accepted == 2


def test_a_hundred_calls_use_one_connection(server: RawServer) -> None:
    """Connections are kept: a call costs no handshake. A second object with the same settings uses it too."""
    with settings(base_url=server.url) as one, settings(base_url=server.url) as other:
        for _ in range(50):
            assert one.client().send(ask()) == "好"
            assert other.client().send(ask()) == "好"
    assert (len(server.requests), server.accepted) == (100, 1)


async def test_a_hundred_async_calls_use_one_connection(server: RawServer) -> None:
    """The same under asyncio."""
    async with settings(base_url=server.url) as one, settings(base_url=server.url) as other:
        for _ in range(50):
            assert await one.async_client().send(ask()) == "好"
            assert await other.async_client().send(ask()) == "好"
    assert (len(server.requests), server.accepted) == (100, 1)


@pytest.mark.parametrize("kind", [BlockingClient, AsyncClient], ids=["sync", "async"])
async def test_twenty_streams_use_one_connection(kind: Any) -> None:
    """A stream read to its end gives its connection back."""
    with RawServer(stream_answer(say("你"), say("好"), END)) as server:
        client = kind(settings(base_url=server.url))
        for _ in range(20):
            assert [text async for text in await client.stream(listen())] == ["你", "好", "."]
        await client.aclose()
    assert (len(server.requests), server.accepted) == (20, 1)


def test_cookies_are_not_kept() -> None:
    """The client is shared by the objects of several accounts: what the service sets for one, another must not send."""
    with RawServer(json_answer(b'{"answer":"1"}', b"Set-Cookie: session=of-the-first-account; Path=/")) as server:
        with settings(base_url=server.url) as one, settings(base_url=server.url, api_key="other-key") as other:
            one.client().send(ask())
            other.client().send(ask())
        asyncio.run(_ask_twice(server.url))
    assert len(server.requests) == 4
    assert not any(b"cookie" in request.lower() for request in server.requests)


async def _ask_twice(url: str) -> None:
    async with settings(base_url=url) as one:
        await one.async_client().send(ask())
        await one.async_client().send(ask())


def test_threads_share_one_pool(server: RawServer) -> None:
    """Many threads use one object at once, and the pool has no more connections than threads."""
    answers: list[str] = []
    with settings(base_url=server.url) as made:
        threads = [
            threading.Thread(target=lambda: answers.extend(made.client().send(ask()) for _ in range(5)))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(_http.sync_clients.clients()) == 1
    assert answers == ["好"] * 40
    assert server.accepted <= 8


def test_closing_while_another_thread_calls(server: RawServer) -> None:
    """close() between the calls of another thread is no failure of theirs: the next call takes a client again."""
    with settings(base_url=server.url) as made:
        client, stop, answers = made.client(), threading.Event(), []

        def keep_asking() -> None:
            while not stop.is_set():
                answers.append(held(client) is not None)

        thread = threading.Thread(target=keep_asking)
        thread.start()
        for _ in range(200):
            client.close()
        stop.set()
        thread.join()
    assert answers
    assert all(answers)


def test_injected_clients_are_not_closed(server: RawServer) -> None:
    """A client of the caller's is used, and stays open."""
    mine, my_async = httpx.Client(), httpx.AsyncClient()

    async def use() -> None:
        async with settings(base_url=server.url, http_client=mine, http_async_client=my_async) as made:
            assert made.client().send(ask()) == "好"
            assert await made.async_client().send(ask()) == "好"
            assert _http.sync_clients.clients() == []
            assert (await _http.async_clients()).clients() == []
        assert not mine.is_closed
        assert not my_async.is_closed
        await my_async.aclose()

    asyncio.run(use())
    mine.close()


def test_one_async_client_per_loop(server: RawServer) -> None:
    """The same object works in one loop after another, though connections cannot; each loop's end closes its own."""
    made = settings(base_url=server.url)
    used: list[httpx.AsyncClient] = []

    async def use() -> None:
        assert await made.async_client().send(ask()) == "好"
        assert await made.async_client().send(ask()) == "好"
        used.extend((await _http.async_clients()).clients())

    asyncio.run(use())
    asyncio.run(use())
    assert len(used) == 2
    assert used[0] is not used[1]
    assert all(client.is_closed for client in used)
    assert server.accepted == 2


def test_loops_side_by_side(server: RawServer) -> None:
    """One object, two threads, a loop in each."""
    made, answers = settings(base_url=server.url), []
    both = threading.Barrier(2)

    async def use() -> None:
        await made.async_client().send(ask())
        both.wait()  # neither loop ends before both have a connection
        answers.append(await made.async_client().send(ask()))

    threads = [threading.Thread(target=lambda: asyncio.run(use())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == ["好", "好"]
    assert server.accepted == 2


def test_the_last_one_of_a_loop_closes(server: RawServer) -> None:
    """Under asyncio too the shared client is closed when its last user gives it back."""

    async def use() -> None:
        first, second = (AsyncClient(settings(base_url=server.url)) for _ in range(2))
        await first.send(ask())
        await second.send(ask())
        (shared,) = (await _http.async_clients()).clients()
        await first.aclose()
        assert not shared.is_closed
        await second.aclose()
        assert shared.is_closed
        assert await second.send(ask()) == "好"

    asyncio.run(use())


def test_ended_loops_are_forgotten(server: RawServer) -> None:
    """A program that calls asyncio.run for each job does not collect loops."""
    loops = []

    async def use() -> None:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        await settings(base_url=server.url).async_client().send(ask())

    for _ in range(3):
        asyncio.run(use())
    gc.collect()
    assert [loop() for loop in loops] == [None, None, None]


def test_an_open_stream_at_the_end_of_the_loop() -> None:
    """A stream left open when the loop ends is closed with it, and nothing of ours survives."""
    with RawServer(stream_answer(say("你"), say("好"), END)) as server:
        made = settings(base_url=server.url)
        kept = []

        async def use() -> None:
            stream = await made.async_client().stream(listen(on_abandon=lambda _: ask("stop")))
            kept.append(stream)
            assert await anext(stream) == "你"

        with warnings.catch_warnings():
            warnings.simplefilter("error")
            asyncio.run(use())
            kept.clear()
            gc.collect()


@pytest.mark.parametrize(
    "program",
    [
        """
def main(url):
    made = settings(base_url=url)
    assert made.client().send(ask()) == "好"
""",
        """
def main(url):
    made = settings(base_url=url)
    async def use():
        assert await made.async_client().send(ask()) == "好"
    asyncio.run(use())
    asyncio.run(use())
""",
    ],
    ids=["sync", "async"],
)
def test_no_warning_without_close(program: str, server: RawServer) -> None:
    """A script that never closes anything ends without a word, even with warnings as errors."""
    text = f"import asyncio, sys\nfrom toy_service import *\n{program}\nmain(sys.argv[1])\n"
    command = [sys.executable, "-W", "error", "-c", text, server.url]
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "support")])
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_opens_its_own_connection(server: RawServer) -> None:
    """Parent and child must not write to one socket: a child of a prefork server begins with an empty pool."""
    text = """
import os, sys
from toy_service import *
made = settings(base_url=sys.argv[1])
assert made.client().send(ask()) == "好"
child = os.fork()
assert made.client().send(ask("child" if child == 0 else "parent")) == "好"
if child == 0:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert made.client().send(ask("parent")) == "好"
made.close()
"""
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "support")])
    done = subprocess.run(
        [sys.executable, "-c", text, server.url],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (len(server.requests), server.accepted) == (4, 2)


def test_import_without_fork() -> None:
    """Windows has no fork, and no os.register_at_fork."""
    text = "import os, asyncio, httpx, pydantic, tenacity; del os.register_at_fork; import xingchen_core._client"
    done = subprocess.run([sys.executable, "-c", text], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_certificates_are_loaded_once_and_not_for_plain_http(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading them costs tens of milliseconds: once for all clients, never for a local server."""
    made: list[bool] = []
    real = httpx.create_ssl_context
    monkeypatch.setattr("httpx.create_ssl_context", lambda *, verify: made.append(verify) or real(verify=verify))
    _http._tls_context.cache_clear()
    options = [_http.client_options(_http.HttpKey(o, None, (1.0,) * 4)) for o in ("http://127.0.0.1:1",) * 2]
    assert options[0]["verify"] is options[1]["verify"]
    assert options[0]["verify"].cert_store_stats()["x509"] == 0
    assert made == [False]
    options = [_http.client_options(_http.HttpKey(f"https://{o}.invalid", None, (1.0,) * 4)) for o in "ab"]
    assert options[0]["verify"] is options[1]["verify"]
    assert options[0]["verify"].verify_mode is ssl.CERT_REQUIRED
    assert made == [False, True]


def test_redirects_are_not_followed() -> None:
    """A redirect would carry the key to another host."""
    options = _http.client_options(_http.HttpKey("https://home.invalid", None, (1.0, 2.0, 3.0, 4.0)))
    assert options["follow_redirects"] is False
    timeout = options["timeout"]
    assert (timeout.connect, timeout.read, timeout.write, timeout.pool) == (1.0, 2.0, 3.0, 4.0)
