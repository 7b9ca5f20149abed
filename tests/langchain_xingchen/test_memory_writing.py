"""The thread that sends turns to long-term memory: order, failures, flushing and closing, blocking and with asyncio."""

import asyncio
import copy
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest

from langchain_xingchen import _memory_writing
from langchain_xingchen._memory_writing import MemoryWriter
from xingchen_core import APIResponseError, APITimeoutError, Call, NotFoundError
from xingchen_core.bailian import memory
from xingchen_core.bailian.memory import AddEvent, MemorySettings
from xingchen_core.emulator import Emulator

End = Callable[[MemoryWriter], None]


@pytest.fixture
def told() -> list[Exception]:
    """What `on_error` was told."""
    return []


@pytest.fixture
def writer(emulator: Emulator, told: list[Exception]) -> Iterator[MemoryWriter]:
    """A writer to a service that needs no time."""
    emulator.bailian.memory.polls_until_done = 0
    with MemorySettings(api_key="test-key", base_url=emulator.url) as settings:
        made = MemoryWriter(settings, told.append)
        yield made
        made.close()


def flush(writer: MemoryWriter) -> None:
    """Waits for all."""
    writer.flush(timeout=10)


def aflush(writer: MemoryWriter) -> None:
    """The same with asyncio."""
    asyncio.run(writer.aflush(timeout=10))


def close(writer: MemoryWriter) -> None:
    """Sends all."""
    writer.close()


def aclose(writer: MemoryWriter) -> None:
    """The same with asyncio."""
    asyncio.run(writer.aclose())


@pytest.fixture(params=[flush, aflush], ids=["sync", "async"])
def flushed(request: pytest.FixtureRequest) -> End:
    """`flush`, one of both ways."""
    way: End = request.param
    return way


def add(text: str, **where: Any) -> Call[AddEvent]:
    """The add of a turn."""
    return memory.add_async(text, user_id="u1", **where)


def texts(emulator: Emulator) -> list[str]:
    """What is stored, oldest first."""
    return [node.content for node in emulator.bailian.memory.nodes.values()]


@pytest.mark.parametrize("end", [flush, aflush, close, aclose])
def test_all_is_sent_in_order(emulator: Emulator, writer: MemoryWriter, end: End) -> None:
    """At the end of each all is there, in the order in which it came; the writer can be used again."""
    for number in range(5):
        writer.put(add(f"第{number}条"))
    end(writer)
    writer.put(add("又一条"))
    end(writer)
    assert texts(emulator) == ["第0条", "第1条", "第2条", "第3条", "第4条", "又一条"]


def test_a_refused_add(emulator: Emulator, writer: MemoryWriter, told: list[Exception], flushed: End) -> None:
    """`on_error` is told, and the next one is sent all the same."""
    writer.put(add("丢了", library_id="libfake01"))
    writer.put(add("喜欢喝茶"))
    flushed(writer)
    assert [type(error) for error in told] == [NotFoundError]
    assert texts(emulator) == ["喜欢喝茶"]


def test_an_add_that_fails_later(emulator: Emulator, writer: MemoryWriter, told: list[Exception], flushed: End) -> None:
    """What the service fails to carry out is told by `flush`."""
    emulator.bailian.memory.polls_until_done = 2
    emulator.bailian.memory.event_outcome = "FAILED"
    writer.put(add("喜欢喝茶"))
    flushed(writer)
    assert [type(error) for error in told] == [APIResponseError]
    assert "extraction failed" in str(told[0])


def test_an_add_that_does_not_end(
    emulator: Emulator, writer: MemoryWriter, told: list[Exception], flushed: End
) -> None:
    """`flush` waits so long and no longer."""
    emulator.bailian.memory.polls_until_done = 1000
    writer.put(add("喜欢喝茶"))
    flushed(writer)
    assert [type(error) for error in told] == [APITimeoutError]


def test_a_failure_is_told_with_a_later_add(
    emulator: Emulator, writer: MemoryWriter, told: list[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a flush the service is asked once an add should have ended, and again if it has not."""
    monkeypatch.setattr(_memory_writing, "USUAL_SECONDS", 0.0)
    emulator.bailian.memory.polls_until_done = 1
    emulator.bailian.memory.event_outcome = "FAILED"
    writer.put(add("一"))
    writer.close()
    assert told == []
    writer.put(add("二"))
    writer.close()
    assert [type(error) for error in told] == [APIResponseError]


def test_what_on_error_raises_ends_nothing(emulator: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody is there to raise it to: it is logged."""

    def fail(error: Exception) -> None:
        raise RuntimeError("broken")

    with MemorySettings(api_key="test-key", base_url=emulator.url) as settings:
        writer = MemoryWriter(settings, fail)
        writer.put(add("丢了", library_id="libfake01"))
        writer.put(add("喜欢喝茶"))
        writer.flush(timeout=10)
        writer.close()
    assert texts(emulator) == ["喜欢喝茶"]
    assert "broken" in caplog.text


@pytest.mark.parametrize("end", ["aflush", "aclose"])
def test_the_loop_goes_on_meanwhile(writer: MemoryWriter, end: str) -> None:
    """Waiting with asyncio stops nobody else."""

    async def wait() -> bool:
        may_go = threading.Event()
        job = writer._thread.submit(may_go.wait, 5)
        asyncio.get_running_loop().call_later(0.001, may_go.set)
        await (writer.aflush(timeout=10) if end == "aflush" else writer.aclose())
        return job.result()

    assert asyncio.run(wait())


def test_a_thread_is_started_by_the_first_add(emulator: Emulator) -> None:
    """A writer that is not used, and a copy of a used one, have none."""
    before = ours()
    with MemorySettings(api_key="test-key", base_url=emulator.url) as settings:
        writer = MemoryWriter(settings, print)
        assert ours() == before
        writer.put(add("喜欢喝茶"))
        assert ours() == before + 1
        copy.deepcopy(writer)
        assert ours() == before + 1
        writer.close()
    assert ours() == before


def test_a_fork_starts_a_thread_of_its_own(
    emulator: Emulator, writer: MemoryWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has none of its parent's threads: what it adds would wait for ever."""
    writer.put(add("父"))
    inherited = writer._thread
    monkeypatch.setattr(inherited, "submit", lambda *args: Future())  # as a thread that is not there
    monkeypatch.setattr(_memory_writing, "os", SimpleNamespace(getpid=lambda: -1))
    writer.put(add("子"))
    writer.close()
    inherited.shutdown()
    assert sorted(texts(emulator)) == ["子", "父"]


def ours() -> int:
    """How many such threads there are."""
    return sum(thread.name.startswith("bailian-memory") for thread in threading.enumerate())
