"""A service that takes its time, and how a loop fares meanwhile."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any


@asynccontextmanager
async def slow_service(body: dict[str, Any], seconds: float) -> AsyncIterator[str]:
    """A server in the running loop that answers everything with `body`, after a while."""
    content = json.dumps(body).encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n".encode()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in request.lower().splitlines() if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.split(b":")[1]))
        await asyncio.sleep(seconds)
        writer.write(head + content)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def rate_and_time(ask: Callable[[], Awaitable[Any]]) -> tuple[float, float]:
    """Run 50 calls at once; return how often the loop turned in a second, and how long it took."""
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.005)
            ticks += 1

    await ask()
    ticking = asyncio.create_task(tick())
    began = time.monotonic()
    await asyncio.gather(*(ask() for _ in range(50)))
    took = time.monotonic() - began
    ticking.cancel()
    return ticks / took, took
