"""Sending conversations to long-term memory behind an agent's back, without losing sight of them."""

import asyncio
import logging
import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from xingchen_core import Call
from xingchen_core.bailian import memory
from xingchen_core.bailian.memory import AddEvent, MemorySettings

logger = logging.getLogger("xingchen_core")

OnError = Callable[[Exception], None]
"""Told of what failed, in the thread that noticed."""

USUAL_SECONDS = 30.0
"""What the service has been seen to need for an add."""


def warn(error: Exception) -> None:
    """Log a failure. The agent goes on without long-term memory."""
    logger.warning("bailian: long-term memory failed: %s", error)


class MemoryWriter:
    """Sends adds one after another, in the order in which they came, in a thread of its own.

    A thread serves blocking and asyncio agents alike: a task would end with its loop, and the memory be lost. Before
    the interpreter ends it sends what is waiting.
    """

    def __init__(self, settings: MemorySettings, on_error: OnError) -> None:
        self._settings = settings
        self._on_error = on_error
        self._started: deque[tuple[float, AddEvent]] = deque(maxlen=1000)
        self._guard = threading.Lock()
        self._begin()

    def put(self, call: Call[AddEvent]) -> None:
        """Have an add sent. Returns at once. When the interpreter has ended already `on_error` is told."""
        with self._told():
            self._submit(self._send, call)

    def flush(self, timeout: float) -> None:
        """Wait until all that was put is stored, or has failed, which `on_error` is told."""
        self._submit(self._finish, timeout).result()

    async def aflush(self, timeout: float) -> None:  # noqa: ASYNC109
        """As `flush`."""
        await asyncio.wrap_future(self._submit(self._finish, timeout))

    def close(self) -> None:
        """Send what is waiting, and end the thread. The next `put` starts another."""
        ended, sender = self._taken()
        ended.shutdown()
        sender.close()

    async def aclose(self) -> None:
        """As `close`."""
        ended, sender = self._taken()
        await asyncio.wrap_future(ended.submit(lambda: None))
        ended.shutdown()
        sender.close()

    def _submit(self, do: Callable[..., None], *args: Any) -> Future[None]:
        with self._guard:  # nobody may close the thread in between
            if self._process != os.getpid():
                self._begin()  # a fork has no threads, and its parent sends what waits
            return self._thread.submit(do, self._sender, *args)

    def _taken(self) -> tuple[ThreadPoolExecutor, MemorySettings]:
        with self._guard:
            taken = self._thread, self._sender
            self._begin()
        return taken

    def _begin(self) -> None:
        # It starts its one thread with the first job. The client is the thread's own: who closes another, or this
        # one for the last time, must not break off what it sends.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="bailian-memory")
        self._sender = self._settings.model_copy()
        self._process = os.getpid()

    # In the thread

    def _send(self, sender: MemorySettings, call: Call[AddEvent]) -> None:
        with self._told():
            self._started.append((time.monotonic(), sender.client().send(call)))
        self._look(sender)

    def _look(self, sender: MemorySettings) -> None:
        """Ask once about the oldest add, if it should have ended by now."""
        event = self._oldest(time.monotonic() - USUAL_SECONDS)
        if event is None:
            return
        with self._told():
            event = sender.client().send(memory.get_event(event.id, user_id=event.user_id))
            if event.is_pending:
                self._started.append((time.monotonic(), event))
            else:
                sender.client().run(memory.wait_for_event(event))  # raises its failure

    def _finish(self, sender: MemorySettings, timeout: float) -> None:
        while event := self._oldest():
            with self._told():
                sender.client().run(memory.wait_for_event(event, timeout=timeout))

    def _oldest(self, before: float = math.inf) -> AddEvent | None:
        """Take out the oldest add, if it was begun so early: a thread that ends and its successor may both look."""
        with self._guard:
            return self._started.popleft()[1] if self._started and self._started[0][0] <= before else None

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001  # whatever it is, someone is told
            try:
                self._on_error(error)
            except Exception:  # nobody is there to raise it to
                logger.exception("bailian: on_error failed")

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle the settings; what is waiting stays here."""
        return MemoryWriter, (self._settings, self._on_error)
