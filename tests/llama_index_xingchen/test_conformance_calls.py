"""Conformance items 45, 46 and 48 to 50: retries, time limits, event loops, threads."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from llama_index.core.base.llms.types import ChatMessage

from slow_service import rate_and_time, slow_service
from xingchen_core import APIStatusError, APITimeoutError, InternalServerError, XingchenError


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the client would have waited, in seconds."""
    noted: list[float] = []

    async def note(seconds: float) -> None:
        noted.append(seconds)

    monkeypatch.setattr("xingchen_core._client._sleep", noted.append)
    monkeypatch.setattr("xingchen_core._client._async_sleep", note)
    return noted


@pytest.mark.parametrize("max_retries", [0, 2])
def test_a_server_error_is_tried_again(
    make: Any, ask: Any, emulator: Any, waits: list[float], method: str, max_retries: int
) -> None:
    """Item 45: 1 + `max_retries` requests, whatever the method; there is no second layer of retries."""
    emulator.fail("status", status=500, times=9)
    with pytest.raises(InternalServerError):
        ask(make(max_retries=max_retries), method)
    assert len(emulator.requests) == 1 + max_retries
    assert len(waits) == max_retries


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_refusal_is_final(case: Any, make: Any, ask: Any, emulator: Any, method: str, status: int) -> None:
    """Item 45: what repeating cannot help is sent once."""
    emulator.fail("status", status=status, times=9)
    with pytest.raises(APIStatusError) as caught:
        ask(make(), method)
    assert caught.value.status_code == status
    assert caught.value.request_id
    assert len(case.questions(emulator)) == 1


def test_retry_after_is_obeyed(make: Any, ask: Any, emulator: Any, waits: list[float], method: str) -> None:
    """Item 45: the wait is the one the service asked for, and then the call succeeds."""
    emulator.fail("status", status=429, retry_after=7)
    emulator.reply("好了")
    last = ask(make(), method)[-1]
    assert (last.message.content if "chat" in method else last.text) == "好了"
    assert waits == [7.0]


def test_a_stream_that_has_spoken_is_not_sent_again(
    case: Any, make: Any, ask: Any, emulator: Any, stream_method: str
) -> None:
    """Item 45: after the first event nothing is repeated, even an error that may be."""
    emulator.reply(chunks=["一", "二"])
    emulator.fail("error_event", status=500, after=1)
    with pytest.raises(XingchenError):
        ask(make(), stream_method)
    assert len(case.questions(emulator)) == 1


def in_one_of(rounds: int, measure: Callable[[], bool]) -> bool:
    """Whether a measurement is right at least once: a busy machine spoils single ones."""
    return any(measure() for _ in range(rounds))


def test_the_time_limit_holds(make: Any, ask: Any, emulator: Any, method: str) -> None:
    """Item 46: a service that never answers raises a typed error when the time is over, give or take a fifth."""
    emulator.fail("stall", times=9)
    llm = make(timeout=0.2, max_retries=0)

    def is_in_time() -> bool:
        began = time.monotonic()
        with pytest.raises(APITimeoutError):
            ask(llm, method)
        return 0.16 < time.monotonic() - began < 0.24

    assert in_one_of(9, is_in_time)


def test_the_time_limit_of_connecting_holds(make: Any, ask: Any, method: str) -> None:
    """Item 46: a host that takes no connection raises a typed error in time too, whatever reading may take."""
    with contextlib.ExitStack() as sockets:
        full = sockets.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(3):  # nobody accepts: once the queue is full, further ones are not answered
            waiting = sockets.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        url = f"http://127.0.0.1:{full.getsockname()[1]}"
        llm = make(base_url=url, timeout=httpx.Timeout(30, connect=0.2), max_retries=0)

        def is_in_time() -> bool:
            began = time.monotonic()
            with pytest.raises(APITimeoutError, match="connect"):
                ask(llm, method)
            return 0.16 < time.monotonic() - began < 0.24

        assert in_one_of(9, is_in_time)


def test_silence_between_events_is_limited(make: Any, ask: Any, emulator: Any, stream_method: str) -> None:
    """Item 46: `stream_chunk_timeout` ends a stream that falls silent, comments or not."""
    emulator.reply(chunks=["一", "二"])
    emulator.fail("stall", after=1)
    emulator.wire(keepalive=True)
    got: list[Any] = []
    with pytest.raises(APITimeoutError) as caught:
        ask(make(stream_chunk_timeout=0.2), stream_method, into=got)
    assert [response.delta for response in got] == ["一"]
    assert caught.value.partial_text == "一"


@pytest.mark.parametrize(
    ("timeout", "connect", "read"), [(None, 10.0, None), (3.0, 3.0, 3.0)], ids=["by default", "given"]
)
def test_each_phase_has_its_limit(case: Any, canned: Any, ask: Any, timeout: Any, connect: float, read: Any) -> None:
    """Item 46: connecting takes 10 s at most, reading as long as the service needs, or what the caller gave."""
    llm = canned(timeout=timeout)
    ask(llm, "chat")
    used = canned.requests[0].extensions["timeout"]
    assert used["connect"] == connect
    assert used["read"] == (read or case.cls.service.read_timeout)


def test_one_object_serves_several_event_loops(case: Any, make: Any, emulator: Any) -> None:
    """Item 48: `asyncio.run` twice with one object, with streams too."""
    llm = make()

    async def talk() -> str:
        await llm.achat([ChatMessage(role="user", content="你好")])
        return "".join([r.delta async for r in await llm.astream_chat([ChatMessage(role="user", content="你好")])])

    assert asyncio.run(talk()) == asyncio.run(talk())
    assert len(case.questions(emulator)) == 4


@pytest.mark.parametrize("method", ["achat", "acomplete"])
async def test_many_async_calls_run_at_once(case: Any, method: str) -> None:
    """Item 49: 50 calls to a service that takes 0.3 s take less than a second, and the loop keeps turning.

    It turns nine tenths as often as with httpx alone, which does the same beside it.
    """
    given = "你好" if method == "acomplete" else [ChatMessage(role="user", content="你好")]
    async with (
        slow_service(case.body, 0.3) as url,
        case.cls(**{**case.fields, **case.keys, "base_url": url}) as llm,
        httpx.AsyncClient(limits=httpx.Limits(max_connections=None)) as floor,
    ):
        for _ in range(25):  # a busy machine spoils single rounds
            most, _ = await rate_and_time(lambda: floor.post(url, json={}))
            rate, took = await rate_and_time(lambda: getattr(llm, method)(given))
            if took < 1.0 and rate >= 0.9 * most:
                return
    pytest.fail(f"the last of 25 rounds took {took:.2f} s; the loop turned {rate:.0f} times a second of {most:.0f}")


def test_threads_do_not_mix_their_users(case: Any, make: Any, ask: Any, emulator: Any) -> None:
    """Item 50: 20 threads with one object each get the answer to their own question, for their own user."""
    llm = make()

    def talk(number: int) -> Any:
        method = ("chat", "stream_chat", "achat", "astream_chat")[number % 4]
        return ask(llm, method, f"第{number}", **({"user_id": f"u{number}"} if case.user else {}))[-1]

    with ThreadPoolExecutor(20) as pool:
        got = list(pool.map(talk, range(40)))
    assert all(f"第{number}」" in response.message.content for number, response in enumerate(got))
    assert sorted(text for request in case.questions(emulator) for text in case.texts(request.json)) == sorted(
        f"第{number}" for number in range(40)
    )
    if case.user:
        assert [response.raw["user_id"] for response in got] == [f"u{number}" for number in range(40)]
        asked = {case.user(request.json): case.texts(request.json) for request in emulator.requests}
        assert asked == {f"u{number}": [f"第{number}"] for number in range(40)}
