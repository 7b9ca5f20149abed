"""One call at a time for each key, in this process: threads and tasks of any loop wait in one line.

The services keep a conversation's turns in the order they hear them, and take one chat of a user at a time. A fleet of
processes needs a lock they share; see `ConnectionSettings.chat_lock`.
"""

import asyncio
import os
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

from xingchen_core._errors import ConfigurationError


@dataclass(eq=False, slots=True)
class _Place:
    """Somebody's place in the line of one key. The first place has the lock."""

    wake: Callable[[], None]
    thread: threading.Thread
    task: "asyncio.Task[Any] | None"
    loop: asyncio.AbstractEventLoop | None = None
    """Of a place that waits by `await`."""

    @property
    def is_lost(self) -> bool:
        """Whether nobody can ever leave it: the loop was closed with its tasks unfinished."""
        return self.loop is not None and self.loop.is_closed()


_lines: dict[str, deque[_Place]] = {}
_guard = threading.RLock()
"""Reentrant: the garbage collector may close an abandoned stream, which leaves its line, inside a guarded section."""


class ProcessLock:
    """The lock of `key`, for one use by `with` or `async with`.

    Raises:
        ConfigurationError: The caller would wait for itself: an unfinished stream of the same conversation is open in
            this thread, or in this task.
    """

    def __init__(self, key: str) -> None:
        self._key = key
        self._place: _Place | None = None

    def __enter__(self) -> Self:
        turn = threading.Event()
        if not self._join(_Place(turn.set, threading.current_thread(), _current_task()), _would_block_thread):
            try:
                turn.wait()
            except BaseException:
                self._leave()
                raise
        return self

    def __exit__(self, *_: object) -> None:
        self._leave()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            loop.call_soon_threadsafe(_finish, turn)

        if not self._join(_Place(wake, threading.current_thread(), _driver(), loop), _would_block_task):
            try:
                await turn
            except BaseException:
                self._leave()
                raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._leave()

    def _join(self, place: _Place, would_block: Callable[[_Place, _Place], bool]) -> bool:
        """Stand in line; return whether the lock is ours at once."""
        with _guard:
            line = _lines.get(self._key) or deque()
            if line and line[0].is_lost:
                line.popleft()
                _wake_first(line)
            if any(would_block(place, other) for other in list(line) if not other.is_lost):
                raise ConfigurationError(
                    "A chat of this user is still running here (an unfinished stream?): read it to its end or close it."
                )
            line.append(place)
            _lines[self._key] = line
            self._place = place
            return line[0] is place

    def _leave(self) -> None:
        place, self._place = self._place, None
        with _guard:
            line = _lines.get(self._key)
            if place is None or line is None or place not in line:
                return
            had_lock = line[0] is place
            line.remove(place)
            if had_lock:
                _wake_first(line)
            if not line:
                _lines.pop(self._key, None)


def _wake_first(line: deque[_Place]) -> None:
    """Give the lock to whoever stands first and can still be woken."""
    while line:
        try:
            line[0].wake()
            return
        except RuntimeError:  # that one's loop is closed: nobody waits there any more
            line.popleft()


def _would_block_thread(place: _Place, other: _Place) -> bool:
    """A waiting thread stops everything that runs in it, tasks included."""
    return place.thread is other.thread


def _would_block_task(place: _Place, other: _Place) -> bool:
    """A waiting task stops what it has begun itself, and what was begun by a task that waits for it. A running loop
    stops what its thread had begun before.
    """
    if other.task is None:
        return place.thread is other.thread
    return _awaits(other.task, place.task)


def _awaits(task: "asyncio.Task[Any]", other: "asyncio.Task[Any] | None") -> bool:
    """Whether a task is another, or waits for it directly or through others: LangChain's `ainvoke` awaits a task of
    its own making.

    Before Python 3.14 only private attributes tell. Without them a call would wait where it could have raised.
    """
    found: list[Any] = [task]
    for one in found:
        waited = getattr(one, "_fut_waiter", None)
        found += [child for child in getattr(waited, "_children", (waited,)) if child and child not in found]
    return other in found


def _driver() -> "asyncio.Task[Any] | None":
    """Return the task for which the current one works: LangChain's chains take each step of a stream in a task of its
    own, which is over when the consumer has the piece. It is the consumer who would wait for itself.
    """
    task = asyncio.current_task()
    seen = {task}
    while task is not None and (above := _waiter(task)) is not None and above not in seen:
        seen.add(above)
        task = above
    return task


def _waiter(task: "asyncio.Task[Any]") -> "asyncio.Task[Any] | None":
    """Return the task that waits for another, and for it alone. Only private attributes tell."""
    for callback, *_ in getattr(task, "_callbacks", None) or ():
        above = getattr(callback, "__self__", None)
        if isinstance(above, asyncio.Task):
            return above
        if type(callback).__name__ == "TaskWakeupMethWrapper":  # before Python 3.12: it does not say whose it is
            return next((one for one in asyncio.all_tasks() if getattr(one, "_fut_waiter", None) is task), None)
    return None


def _current_task() -> "asyncio.Task[Any] | None":
    with suppress(RuntimeError):  # no loop runs in this thread
        return asyncio.current_task()
    return None


def _finish(turn: "asyncio.Future[Any]") -> None:
    if not turn.done():
        turn.set_result(None)


def _after_fork() -> None:
    """Forget the parent's lines: the threads that stand in them do not exist here."""
    global _guard  # noqa: PLW0603  the old one may be held by a thread that is gone
    _guard = threading.RLock()
    _lines.clear()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_after_fork)
