"""What is added to the time of the first token, and how soon a stream that is left is closed.

    python benchmarks/first_token.py --size quick

The service begins after 20 ms. Wall time, in turns with httpx. Leaving: the service says when it saw the connection
closed, after the third event of a stream that would last seconds.
"""

import asyncio
import statistics
import time
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from _bench import Column, Hosts, Server, Table, interleaved, loop, run
from _readers import FRAMEWORKS, OURS, Reader, leave, ours, shown, warm_up, ways

SIZES: dict[str, dict[str, Any]] = {
    "full": {"rounds": 40, "left": 3},
    "quick": {"rounds": 8, "left": 1},
    "tiny": {"rounds": 2, "left": 1},
}
FIRST = 0.02
EVENTS = 20
LINGER = 0.1
"""Seconds that the service has to see that a stream was left."""
WAYS = ("close()", "break", "aclose()", "async break", "task cancelled")


def wait_for_first(reader: Reader, url: str, mode: str) -> float:
    """Return the milliseconds until the first text of a stream, which is then read to its end."""
    found = ways(reader, url, EVENTS)
    began, first = time.perf_counter(), 0.0

    async def aread() -> None:
        nonlocal first
        async for item in found.astream():
            if not first and found.text(item):
                first = time.perf_counter() - began

    if mode == "async":
        loop().run_until_complete(aread())
    else:
        for item in found.stream():
            if not first and found.text(item):
                first = time.perf_counter() - began
    return first * 1e3


def first_tokens(hosts: Hosts, rounds: int) -> Table:
    """Return what is added to the first token."""
    mine = ours()
    floors = list(dict.fromkeys(reader.floors[0] for reader in mine))
    table = Table(
        "first_token",
        "Time to the first token",
        "reader",
        "ms",
        Column("ms over httpx", (1.5, 0.5)),
        "async: ms",
        Column("async: ms over httpx", (1.5, 0.5)),
        goal=f"Goal: at most 0.4 ms over httpx. The service takes {FIRST * 1e3:.0f} ms of it.",
    )
    with Server(events=EVENTS, first=FIRST) as server:
        jobs = {
            (reader, mode): partial(hosts[reader.host].run, wait_for_first, reader, server.url, mode)
            for mode in ("sync", "async")
            for reader in [*floors, *mine]
        }
        interleaved(2, jobs)
        found = interleaved(rounds, jobs)
        for reader in [*floors, *mine]:
            figures: list[float | None] = []
            for mode in ("sync", "async"):
                own = found[reader, mode]
                http = found[floors[0] if reader in floors else reader.floors[0], mode]
                added = statistics.median(a - b for a, b in zip(own, http, strict=True))
                figures += [statistics.median(own), None if reader in floors else added]
            table.add(shown(reader), *figures)
            hosts[reader.host].run(leave, reader, server.url)
    return table


def leave_stream(reader: Reader, url: str, way: str) -> float:
    """Leave a stream after its third event in one of the `WAYS`; return when, and wait to be seen."""
    found = ways(reader, url, EVENTS)
    return loop().run_until_complete(_leave_async(found, way)) if way in WAYS[2:] else _leave(found, way)


def _leave(found: Any, way: str) -> float:
    if way == "break":
        moment = _break(found)
    else:
        items = iter(found.stream())
        for _ in range(3):
            next(items)
        moment = time.time()
        items.close()
    time.sleep(LINGER)
    return moment


def _break(found: Any) -> float:
    moment = 0.0
    for seen, _ in enumerate(found.stream(), 1):
        if seen == 3:
            moment = time.time()
            break
    return moment


async def _leave_async(found: Any, way: str) -> float:
    moment, third = 0.0, asyncio.Event()

    async def aread() -> None:
        nonlocal moment
        seen, items = 0, found.astream()
        async for _ in items:
            seen += 1
            if seen == 3:
                moment = time.time()
                third.set()
                if way == "aclose()":
                    await items.aclose()
                if way != "task cancelled":
                    return

    async def abreak() -> None:
        nonlocal moment
        seen = 0
        async for _ in found.astream():
            seen += 1
            if seen == 3:
                moment = time.time()
                third.set()
                break

    task = asyncio.ensure_future(abreak() if way == "async break" else aread())
    await third.wait()
    if way == "task cancelled":
        await asyncio.sleep(0.005)  # it waits for the fourth event
        moment = time.time()
        task.cancel()
    await asyncio.wait([task])
    await asyncio.sleep(LINGER)
    return moment


def leaving(hosts: Hosts, rounds: int) -> Table:
    """Return how soon the service sees that a stream was left."""
    table = Table(
        "leaving",
        "Leaving a stream: ms until the service sees the connection closed",
        "reader",
        *(Column(way, (3.0, 5.0)) for way in WAYS),
        goal="Goal: at most 1 ms.",
    )
    with Server(events=200, delay=FIRST) as server:
        for reader in [Reader("httpx", "xingchen"), *ours(*(name for name in OURS if "Beebot" not in name))]:
            figures: list[float | str] = []
            for way in WAYS:
                seen = []
                for _ in range(rounds):
                    server.counts()
                    moment = hosts[reader.host].run(leave_stream, reader, server.url, way)
                    seen += [(left - moment) * 1e3 for left in server.counts()["left"][:1]]
                figures.append(statistics.median(seen) if len(seen) == rounds else f"still open after {LINGER} s")
            table.add(shown(reader), *figures)
            hosts[reader.host].run(leave, reader, server.url)
    return table


def measure(hosts: Hosts, size: Mapping[str, Any]) -> Iterator[Table]:
    """Return the tables."""
    hosts.start("httpx", *FRAMEWORKS)
    yield first_tokens(hosts, size["rounds"])
    yield leaving(hosts, size["left"])


if __name__ == "__main__":
    run(__doc__, measure, SIZES, warm_up)
