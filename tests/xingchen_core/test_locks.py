"""The lock of a conversation: one holder at a time, first come first served, among threads and tasks of any loop."""

import asyncio
import gc
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toy_service import until
from xingchen_core import ConfigurationError
from xingchen_core._locks import ProcessLock, _guard, _lines

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    """Every test leaves all lines, which are then forgotten: keys are users, of whom there are many."""
    yield
    gc.collect()
    assert not _lines


def waiting(key: str = "k") -> int:
    """How many stand in the line of a key, the holder included."""
    return len(_lines.get(key, ()))


def line_up(count: int) -> None:
    """Wait, in a thread without a loop, until so many stand in line."""
    deadline = time.monotonic() + 5
    while waiting() != count:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def in_thread(work: Callable[[], object]) -> threading.Thread:
    """Begin the work in a thread of its own."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


async def ended(*threads: threading.Thread) -> None:
    """Wait for threads without stopping the loop."""
    await until(lambda: not any(thread.is_alive() for thread in threads))


async def test_first_come_first_served() -> None:
    """Threads and tasks stand in one line, in the order they came; each gets the lock when the one before leaves."""
    order: list[int] = []

    def by_thread(number: int) -> None:
        with ProcessLock("k"):
            order.append(number)

    async def by_task(number: int) -> None:
        async with ProcessLock("k"):
            order.append(number)

    held = ProcessLock("k")
    threads, tasks = [], []
    async with held:
        for number in range(10):
            if number % 3 == 0:
                tasks.append(asyncio.create_task(by_task(number)))
            else:
                threads.append(in_thread(lambda number=number: by_thread(number)))  # type: ignore[misc]  # the default
            await until(lambda number=number: waiting() == number + 2)  # type: ignore[misc]
        assert order == []
    async with asyncio.timeout(5):
        await asyncio.gather(*tasks)
        await ended(*threads)
    assert order == list(range(10))


async def test_other_keys_do_not_wait() -> None:
    """Different users are answered side by side."""
    async with ProcessLock("a"), ProcessLock("b"):
        with ProcessLock("c"):
            assert (waiting("a"), waiting("b"), waiting("c")) == (1, 1, 1)


async def test_error_frees() -> None:
    """Whatever goes wrong under the lock, the next one gets it."""
    with pytest.raises(ZeroDivisionError):
        async with ProcessLock("k"):
            raise ZeroDivisionError
    with pytest.raises(ZeroDivisionError), ProcessLock("k"):
        raise ZeroDivisionError
    assert not waiting()


@pytest.mark.parametrize("woken", [False, True], ids=["waiting", "woken"])
async def test_cancelled_waiter(woken: bool) -> None:
    """A cancelled task gives its place up, also when it has the lock already and does not know it yet."""

    async def take() -> str:
        async with ProcessLock("k"):
            return "taken"

    held = ProcessLock("k")
    await held.__aenter__()
    first, second = asyncio.create_task(take()), asyncio.create_task(take())
    await until(lambda: waiting() == 3)
    if woken:
        await held.__aexit__()
        await asyncio.sleep(0)  # the wake-up call is on its way
    first.cancel()
    if not woken:
        await until(lambda: waiting() == 2)
        await held.__aexit__()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert await second == "taken"


def test_interrupted_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while waiting gives the place up."""
    held = ProcessLock("k")
    keeper = in_thread(held.__enter__)
    keeper.join()

    def interrupted(*_: object) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Event, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ProcessLock("k").__enter__()
    assert waiting() == 1
    held.__exit__()


def closed_loop(begin: Callable[[], Any], steps: int = 3) -> tuple[asyncio.AbstractEventLoop, Any]:
    """A loop that ran a task for a few steps and was closed as careless programs do, with the task unfinished."""
    loop = asyncio.new_event_loop()
    task = loop.create_task(begin())
    for _ in range(steps):
        loop.run_until_complete(asyncio.sleep(0))
    return loop, task


async def enter(lock: ProcessLock) -> None:
    """Take a lock and keep it."""
    await lock.__aenter__()


@pytest.mark.filterwarnings("ignore:.*was destroyed but it is pending")
def test_waiter_of_a_closed_loop(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody waits there any more: the lock goes to the next in line, and the lost one may be collected any time."""
    held, got = ProcessLock("k"), threading.Event()

    def hold() -> None:
        held.__enter__()

    def wait() -> None:
        with ProcessLock("k"):
            got.set()

    in_thread(hold).join()
    loop, task = closed_loop(lambda: enter(ProcessLock("k")))
    assert waiting() == 2
    loop.close()
    waiter = in_thread(wait)
    line_up(3)
    held.__exit__()
    assert got.wait(5)
    waiter.join()
    task._log_destroy_pending = False
    del task
    gc.collect()  # its coroutine leaves a line it no longer stands in: that must not fail


def test_holder_of_a_closed_loop() -> None:
    """A stream left open in a loop that was closed will never be read: the next call does not wait for it."""
    lost = ProcessLock("k")
    loop, task = closed_loop(lambda: enter(lost))
    assert task.done()
    loop.close()
    with ProcessLock("k"):
        assert waiting() == 1
    assert not waiting()
    asyncio.run(lost.__aexit__())  # too late, and harmless


def test_holder_of_a_closed_loop_with_others_waiting() -> None:
    """The newcomer does not pass those who waited before it."""
    order: list[str] = []
    loop, _ = closed_loop(lambda: enter(ProcessLock("k")))

    def wait(name: str) -> None:
        with ProcessLock("k"):
            order.append(name)

    first = in_thread(lambda: wait("first"))
    line_up(2)
    loop.close()
    second = in_thread(lambda: wait("second"))
    first.join(5)
    second.join(5)
    assert order == ["first", "second"]


# Waiting for oneself


def test_same_thread() -> None:
    """A thread that has the lock would wait for ever: that is an error, and leaves the lock as it was."""
    with ProcessLock("k"):
        with pytest.raises(ConfigurationError, match="read it to its end or close it"):
            ProcessLock("k").__enter__()
        assert waiting() == 1


async def test_same_task() -> None:
    """The same of a task; another task may wait."""
    async with ProcessLock("k"):
        with pytest.raises(ConfigurationError):
            await ProcessLock("k").__aenter__()
        other = asyncio.create_task(enter(taken := ProcessLock("k")))
        await until(lambda: waiting() == 2)
    await other
    await taken.__aexit__()


async def take_and_leave() -> None:
    """Take the lock for a moment."""
    async with ProcessLock("k"):
        pass


async def through_a_task() -> None:
    """As chains do with their steps."""
    await asyncio.create_task(take_and_leave())


@pytest.mark.parametrize("begin", [take_and_leave, through_a_task])
async def test_awaited_task(begin: Callable[[], Any]) -> None:
    """A task that its own holder awaits waits for itself too, gathered or not, however many tasks are between."""
    async with asyncio.timeout(5), ProcessLock("k"):
        with pytest.raises(ConfigurationError):
            await asyncio.gather(asyncio.sleep(0), begin())
        with pytest.raises(ConfigurationError):
            await asyncio.create_task(begin())
    await asyncio.gather(begin(), begin())


async def test_task_of_the_holder() -> None:
    """A task that its holder only began may wait: the holder goes on."""
    async with ProcessLock("k"):
        begun = asyncio.create_task(through_a_task())
        await until(lambda: waiting() == 2)
    await begun


async def test_thread_of_a_waiting_task() -> None:
    """A blocking call in the thread of a loop stops the task that has the lock."""
    holder = asyncio.create_task(enter(held := ProcessLock("k")))
    await holder
    with pytest.raises(ConfigurationError):
        ProcessLock("k").__enter__()
    await held.__aexit__()


async def test_task_with_a_blocking_stream() -> None:
    """A task that reads a blocking stream may not await the same conversation; other tasks may."""
    with ProcessLock("k"):
        with pytest.raises(ConfigurationError):
            await ProcessLock("k").__aenter__()
        other = asyncio.create_task(enter(taken := ProcessLock("k")))
        await until(lambda: waiting() == 2)
    await other
    await taken.__aexit__()


def test_loop_inside_a_blocking_stream() -> None:
    """`asyncio.run` between two pieces of a blocking stream: the stream cannot go on before the loop ends."""
    with ProcessLock("k"), pytest.raises(ConfigurationError):
        asyncio.run(enter(ProcessLock("k")))


def test_loop_in_another_thread() -> None:
    """A loop elsewhere may wait for this thread."""
    taken = threading.Event()

    async def take() -> None:
        async with ProcessLock("k"):
            taken.set()

    with ProcessLock("k"):
        thread = in_thread(lambda: asyncio.run(take()))
        line_up(2)
        assert not taken.is_set()
    thread.join(5)
    assert taken.is_set()


def test_collected_inside_the_guard() -> None:
    """The garbage collector may close an abandoned stream at any moment, the one of another's joining included."""
    lock = ProcessLock("k")

    def leave_under_guard() -> None:
        with lock, _guard:
            lock.__exit__()

    thread = in_thread(leave_under_guard)
    thread.join(5)
    assert not thread.is_alive()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_fork() -> None:
    """The threads that hold locks do not exist in a forked child: it must not wait for them."""
    program = """
import os, threading, warnings
from xingchen_core._locks import ProcessLock, _guard
held = ProcessLock("k")
thread = threading.Thread(target=held.__enter__)
thread.start(); thread.join()
guarded, go_on = threading.Event(), threading.Event()
def guard():
    with _guard:
        guarded.set(); go_on.wait()
busy = threading.Thread(target=guard)
busy.start(); guarded.wait()
warnings.simplefilter("ignore")  # Python 3.12 warns of forking with threads: that is what servers do
child = os.fork()
if child == 0:
    with ProcessLock("k"):
        os._exit(7)
go_on.set(); busy.join()
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, timeout=30, check=False)
    assert done.returncode == 7


# In any order


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["come", "leave", "cancel"]), st.integers(0, 9)), max_size=40))
def test_any_order(steps: list[tuple[str, int]]) -> None:
    """Whoever comes, leaves or is cancelled in whatever order: one holder, in the order of coming, and none is lost."""
    asyncio.run(_play(steps))


async def _play(steps: list[tuple[str, int]]) -> None:
    line: list[int] = []  # the model: who stands in line; the first has the lock
    had: list[int] = []
    leave: dict[int, asyncio.Event] = {}
    tasks: dict[int, asyncio.Task[None]] = {}

    async def take(number: int) -> None:
        async with ProcessLock("k"):
            had.append(number)
            await leave[number].wait()

    expected: list[int] = []

    def note_holder() -> None:
        if line and line[0] not in expected:
            expected.append(line[0])

    for kind, at in steps:
        if kind == "come":
            number = len(tasks)
            leave[number] = asyncio.Event()
            tasks[number] = asyncio.create_task(take(number))
            line.append(number)
        elif line and kind == "leave":
            leave[line.pop(0)].set()
        elif line:
            tasks[line.pop(at % len(line))].cancel()
        note_holder()
        for _ in range(5):
            await asyncio.sleep(0)
        assert had == expected
        assert waiting() == len(line)
    while line:
        leave[line.pop(0)].set()
        note_holder()
        for _ in range(5):
            await asyncio.sleep(0)
        assert had == expected
    for task in tasks.values():
        with suppress(asyncio.CancelledError):
            await task


async def test_stress() -> None:
    """Fifty threads, fifty tasks, five users, many turns: never two of one user at once, and nobody misses a turn."""
    turns, users = 20, 5
    inside = [0] * users
    most = [0] * users
    done = [0] * users
    count = threading.Lock()

    def begin(user: int) -> None:
        with count:
            inside[user] += 1
            most[user] = max(most[user], inside[user])

    def end(user: int) -> None:
        with count:
            inside[user] -= 1
            done[user] += 1

    def by_thread(user: int) -> None:
        for _ in range(turns):
            with ProcessLock(f"u{user}"):
                begin(user)
                end(user)

    async def by_task(user: int) -> None:
        for _ in range(turns):
            async with ProcessLock(f"u{user}"):
                begin(user)
                await asyncio.sleep(0)
                end(user)

    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(50) as pool:
        threads = [loop.run_in_executor(pool, by_thread, number % users) for number in range(50)]
        async with asyncio.timeout(30):
            await asyncio.gather(*threads, *(by_task(number % users) for number in range(50)))
    assert most == [1] * users
    assert done == [20 * turns] * users
