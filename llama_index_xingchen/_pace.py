"""How often a knowledge base is asked."""

import asyncio
import time
from threading import Lock
from typing import Any

from pydantic import BaseModel

_now = time.monotonic
_sleep = time.sleep
_async_sleep = asyncio.sleep


class Pace:
    """So many queries a second, evenly spaced, from all threads and loops of a process.

    LlamaIndex's own limiters count by the minute, and let the first sixty of sixty pass at once.
    """

    def __init__(self, per_second: float) -> None:
        self.per_second = per_second
        self._lock = Lock()
        self._next = 0.0

    def acquire(self, num_tokens: int = 0) -> None:
        """Wait for one's turn."""
        _sleep(self._turn())

    async def async_acquire(self, num_tokens: int = 0) -> None:
        """As `acquire`."""
        await _async_sleep(self._turn())

    def _turn(self) -> float:
        with self._lock:
            turn = max(_now(), self._next)
            self._next = turn + 1 / self.per_second
            return max(turn - _now(), 0)

    def __reduce__(self) -> tuple[type["Pace"], tuple[float]]:
        return Pace, (self.per_second,)


class Travelling:
    """A limiter of LlamaIndex inside a pickle: its lock stays, and in the other process it begins anew."""

    def __init__(self, limiter: BaseModel) -> None:
        self._limiter = limiter

    def __reduce__(self) -> tuple[Any, tuple[dict[str, Any]]]:
        return type(self._limiter).model_validate, (self._limiter.model_dump(),)
