"""Starting, stopping, logging requests, and breaking connections."""

import gc
import socket
import statistics
import threading
import time
from typing import Any

import httpx
import pytest

from xingchen_core.emulator import Emulator


def test_free_port_and_url() -> None:
    """Two emulators run side by side, each at a loopback address of its own that answers."""
    with Emulator() as one, Emulator() as two:
        assert one.url.startswith("http://127.0.0.1:")
        assert one.url != two.url
        assert httpx.get(one.url + "/nothing", trust_env=False, verify=False).status_code == 404


def test_unknown_route_says_what_is_missing(api: Any) -> None:
    """A path no service has is answered 404 and named."""
    response = httpx.post(api.url + "/v9/nothing", trust_env=False, verify=False)
    assert (response.status_code, response.json()) == (404, {"message": "The emulator has no POST /v9/nothing"})


def test_stop_leaves_nothing_behind() -> None:
    """After closing, the thread is gone, the port is free, and no socket waits for the garbage collector."""
    before = set(threading.enumerate())
    with Emulator() as emulator:
        port = int(emulator.url.rpartition(":")[2])
        with httpx.Client(trust_env=False, verify=False) as client:
            client.get(emulator.url)
            emulator.close()
    assert set(threading.enumerate()) == before
    gc.collect()  # a forgotten transport would warn here, and warnings are errors
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", port))


def test_start_and_stop_are_quick() -> None:
    """Starting and stopping ten times takes far less than a second each: suites start one a test."""
    began = time.monotonic()
    for _ in range(10):
        with Emulator():
            pass
    assert time.monotonic() - began < 3


def test_answers_are_quick(api: Any) -> None:
    """Nothing waits for the other side's acknowledgement (40 ms each time on Linux)."""
    times = []
    for _ in range(30):
        began = time.monotonic()
        api.say("你好")
        times.append(time.monotonic() - began)
    assert statistics.median(times) < 0.03


def test_close_twice_and_close_unstarted() -> None:
    """Closing is always safe."""
    emulator = Emulator()
    emulator.close()
    emulator.start()
    emulator.close()
    emulator.close()
    with pytest.raises(RuntimeError, match="make a new one"):
        emulator.start()


def test_url_before_start() -> None:
    """An emulator that does not run has no address, and says how to run it."""
    with pytest.raises(RuntimeError, match="with statement"):
        _ = Emulator().url


def test_only_loopback() -> None:
    """The emulator never listens where another machine could reach it."""
    with pytest.raises(ValueError, match="loopback only"):
        Emulator(host="0.0.0.0").start()


def test_taken_port() -> None:
    """A port in use is an OSError of start(), which leaves no thread behind."""
    with Emulator() as emulator:
        port = int(emulator.url.rpartition(":")[2])
        before = threading.active_count()
        with pytest.raises(OSError, match="in use"):
            Emulator(port=port).start()
        assert threading.active_count() == before


def test_requests_are_logged(emulator: Emulator, api: Any) -> None:
    """Each request is there as it arrived, in order: decoded query, lower-case header names, raw body and its JSON."""
    api.post("chat/reset", {"characterId": "demo", "userId": "小明"})
    api.get("chat/polling/image", messageId="m 1", userId="小明")
    first, second = emulator.requests
    assert (first.method, first.path) == ("POST", "/v2/api/chat/reset")
    assert first.headers["x-fag-servicename"] == "aca-chat-reset"
    assert first.headers["authorization"] == "Bearer test-key"
    assert first.body.decode().startswith("{")
    assert first.json == {"characterId": "demo", "userId": "小明"}
    assert (second.method, second.query) == ("GET", {"messageId": "m 1", "userId": "小明"})
    assert (second.body, second.json) == (b"", None)


def test_log_is_a_copy(emulator: Emulator, api: Any) -> None:
    """A list taken earlier does not grow behind the test's back."""
    before = emulator.requests
    api.say("你好")
    assert before == []
    assert len(emulator.requests) == 1


@pytest.mark.parametrize("after", [0, 1, 3])
def test_close_ends_stalled_stream(after: int, api: Any, emulator: Emulator) -> None:
    """A silent stream does not hold up closing; its client sees the connection break."""
    emulator.reply("一二三四", chunks=4)
    emulator.fail("stall", after=after)
    threading.Timer(0.1, emulator.close).start()
    assert len(api.events(api.broken(api.body()).decode())) == after
    began = time.monotonic()
    emulator.close()
    assert time.monotonic() - began < 0.5


def test_close_ends_stalled_answer(api: Any, emulator: Emulator) -> None:
    """A call that is never answered ends when the emulator closes."""
    emulator.fail("stall")
    threading.Timer(0.05, emulator.close).start()
    with pytest.raises(httpx.RemoteProtocolError):
        api.post("chat/send", api.body())
    emulator.close()


def test_close_waits_for_nobody() -> None:
    """A client that has sent half a request does not hold up closing."""
    with Emulator() as emulator:
        host, _, port = emulator.url.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port))) as half:
            half.sendall(b"POST /v2/api/chat/send HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{")
            while not emulator._server.server_state.tasks:  # the server has begun to read
                time.sleep(0.001)
            began = time.monotonic()
            emulator.close()
            assert time.monotonic() - began < 0.6
            assert half.recv(1) == b""


def test_stall_outlasts_the_client(api: Any, emulator: Emulator) -> None:
    """During a stall nothing comes: the client's own timeout ends it, and the next call is answered."""
    emulator.fail("stall", after=1)
    with api.open(api.body(), timeout=0.25) as response, pytest.raises(httpx.ReadTimeout):
        response.read()
    assert api.say("你好")["stop"] is True


def test_keepalives_go_on_through_a_stall(api: Any, emulator: Emulator) -> None:
    """With keep-alives a stalled stream still sends comments, and nothing else."""
    emulator.fail("stall")
    emulator.wire(keepalive=True)
    with api.open(api.body()) as response:
        lines = response.iter_lines()
        assert [next(lines) for _ in range(6)] == [": keep-alive", ""] * 3


def test_parallel_calls(api: Any, emulator: Emulator) -> None:
    """One slow stream does not keep another call waiting."""
    emulator.reply("慢慢说", chunks=3)
    emulator.fail("stall", after=1)
    with api.open(api.body()) as response:
        chunks = response.iter_bytes()
        next(chunks)
        assert api.say("你好", user="u2")["stop"] is True
