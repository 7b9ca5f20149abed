"""One test text for a method and its async twin."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

COLOURS = ("sync", "async")

Do = Callable[..., Any]


def caller(colour: str, guard: Callable[[], AbstractContextManager[Any]] = nullcontext) -> Do:
    """Return what calls a method by its sync name: `do(index, "insert", document)`.

    Args:
        colour: Of `COLOURS`. "async" calls the twin, `a` before the name, in a loop of its own.
        guard: Entered around an async call.
    """

    def call(of: Any, name: str, *args: Any, **kwargs: Any) -> Any:
        if colour == "sync":
            return getattr(of, name)(*args, **kwargs)

        async def run() -> Any:
            with guard():
                return await getattr(of, f"a{name}")(*args, **kwargs)

        return asyncio.run(run())

    return call
