"""LlamaIndex's events for streams that end when their consumer leaves.

The framework's own observers (`llm_chat_callback`, `llm_completion_callback`) iterate a stream and merely drop it when
they are closed themselves. Whoever keeps the events, as `LlamaDebugHandler` and tracers do, then keeps the dropped
stream alive through the traceback of the `GeneratorExit` it was shown, and with it the connection. Here it is closed.
"""

from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextlib import aclosing, closing
from functools import wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
Observer = Callable[[], Callable[[Callable[..., Any]], Callable[..., Any]]]


def observed_stream(observer: Observer) -> Callable[[Callable[P, Generator[R]]], Callable[P, Generator[R]]]:
    """Decorate a method that returns a stream: report it through `observer`, close it with its consumer."""

    def decorate(method: Callable[P, Generator[R]]) -> Callable[P, Generator[R]]:
        @wraps(method)
        def observed(*args: P.args, **kwargs: P.kwargs) -> Generator[R]:
            streams: list[Generator[R]] = []

            def start(*args: P.args, **kwargs: P.kwargs) -> Generator[R]:
                streams.append(method(*args, **kwargs))
                return streams[0]

            return _until_closed(observer()(start)(*args, **kwargs), streams[0])

        return observed

    return decorate


def observed_async_stream(
    observer: Observer,
) -> Callable[
    [Callable[P, Coroutine[Any, Any, AsyncGenerator[R]]]], Callable[P, Coroutine[Any, Any, AsyncGenerator[R]]]
]:
    """As `observed_stream`, for a coroutine that returns an async stream."""

    def decorate(
        method: Callable[P, Coroutine[Any, Any, AsyncGenerator[R]]],
    ) -> Callable[P, Coroutine[Any, Any, AsyncGenerator[R]]]:
        @wraps(method)
        async def observed(*args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[R]:
            streams: list[AsyncGenerator[R]] = []

            async def start(*args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[R]:
                streams.append(await method(*args, **kwargs))
                return streams[0]

            return _until_aclosed(await observer()(start)(*args, **kwargs), streams[0])

        return observed

    return decorate


def _until_closed(observed: Generator[R], stream: Generator[R]) -> Generator[R]:
    with closing(stream):
        yield from observed


async def _until_aclosed(observed: AsyncGenerator[R], stream: AsyncGenerator[R]) -> AsyncGenerator[R]:
    async with aclosing(stream), aclosing(observed):
        async for response in observed:
            yield response
