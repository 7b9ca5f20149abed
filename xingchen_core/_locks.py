"""One call at a time for each key, in this process: threads and tasks of any loop wait in one line.

The services keep a conversation's turns in the order they hear them, and take one chat of a user at a time. A fleet of
processes needs a lock they share; see `ConnectionSettings.chat_lock`.
"""

import asyncio
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
    thread: int
    task: object | None


_lines: dict[str, deque[_Place]] = {}
_guard = threading.Lock()


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
        if not self._join(_Place(turn.set, threading.get_ident(), None), _same_thread):
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

        if not self._join(_Place(wake, threading.get_ident(), asyncio.current_task()), _same_task):
            try:
                await turn
            except BaseException:
                self._leave()
                raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._leave()

    def _join(self, place: _Place, is_self: Callable[[_Place, _Place], bool]) -> bool:
        """Stand in line; return whether the lock is ours at once."""
        with _guard:
            line = _lines.setdefault(self._key, deque())
            if any(is_self(place, other) for other in line):
                raise ConfigurationError(
                    "A chat of this user is still running here (an unfinished stream?): read it to its end or close it."
                )
            line.append(place)
            self._place = place
            return len(line) == 1

    def _leave(self) -> None:
        place, self._place = self._place, None
        if place is None:
            return
        with _guard:
            line = _lines[self._key]
            had_lock = line[0] is place
            line.remove(place)
            while line and had_lock:
                with suppress(RuntimeError):  # that one's loop is closed: nobody waits there any more
                    line[0].wake()
                    return
                line.popleft()
            if not line:
                del _lines[self._key]


def _same_thread(place: _Place, other: _Place) -> bool:
    """A waiting thread stops everything that runs in it, tasks included."""
    return place.thread == other.thread


def _same_task(place: _Place, other: _Place) -> bool:
    return other.task is not None and other.task is place.task


def _finish(turn: "asyncio.Future[Any]") -> None:
    if not turn.done():
        turn.set_result(None)
