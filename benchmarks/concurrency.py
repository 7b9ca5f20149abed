"""Many streams at once in one event loop, beside the same with httpx alone.

    python benchmarks/concurrency.py --size quick

Streams of 100 events, 20 ms apart: with a machine of endless speed they would take 2 s. Wall time and CPU time of the
reading process. Every row and round has a new process, so that memory is that of these streams: the largest growth over
the round, divided by the streams.

The last table counts what Python's own allocator holds while all streams stand at their last event: no time in it, and
nothing of the C library's.
"""

import asyncio
import gc
import statistics
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from _bench import COUNT, RATIO, Column, Host, Hosts, Server, Table, interleaved, loop, rss_kib, run
from _readers import Reader, leave, shown, warm_up, ways

SIZES: dict[str, dict[str, Any]] = {
    "full": {"streams": (200, 1000), "events": 100, "delay": 0.02, "rounds": 2, "aiohttp": True, "held": 100},
    "quick": {"streams": (100,), "events": 50, "delay": 0.02, "rounds": 1, "aiohttp": False, "held": 100},
    "tiny": {"streams": (5,), "events": 5, "delay": 0.01, "rounds": 1, "aiohttp": True, "held": 5},
}
AIOHTTP = (("transport", "aiohttp"),)
MANY = 1000
"""From so many streams on there is one round, since it takes long, and one more row."""

LIMIT = 120.0
"""Seconds after which streams that still run count as unfinished."""


def prepare(reader: Reader, url: str, events: int, tuned: bool) -> str | None:
    """Import and warm up in a new process; return why this row cannot be measured."""
    warm_up(reader.host)
    try:
        found = ways(reader, url, events)
    except ImportError as error:
        return f"not measured: {error.name} is not installed"
    loop().run_until_complete(_drain(found))
    gc.collect()
    if tuned:
        gc.freeze()
        gc.set_threshold(20_000, 20, 50)
    return None


async def _drain(found: Any) -> None:
    async for _ in found.astream():
        pass


def read_all(reader: Reader, url: str, events: int, streams: int) -> dict[str, float]:
    """Read streams at once."""
    found, finished, before = ways(reader, url, events), 0, rss_kib()
    most = [before, threading.active_count()]
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.05):
            most[0], most[1] = max(most[0], rss_kib()), max(most[1], threading.active_count() - 1)

    async def one() -> None:
        nonlocal finished
        read = 0
        async for _ in found.astream():
            read += 1
        finished += read >= events

    async def all_of_them() -> None:
        tasks = [asyncio.ensure_future(one()) for _ in range(streams)]
        _, unfinished = await asyncio.wait(tasks, timeout=LIMIT)
        for task in unfinished:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    watcher = threading.Thread(target=watch)
    watcher.start()
    cpu, wall = time.process_time(), time.perf_counter()
    loop().run_until_complete(all_of_them())
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    over.set()
    watcher.join()
    leave(reader, url)
    return {
        "wall": wall,
        "cpu": cpu / streams / events * 1e6,
        "unfinished": streams - finished,
        "threads": most[1] - 1,  # less the main one
        "kib": (most[0] - before) / streams,
    }


def round_of(server: Server, reader: Reader, events: int, streams: int, tuned: bool) -> dict[str, float] | str:
    """Measure one row once, in a process of its own."""
    with Host() as host:
        if reason := host.run(prepare, reader, server.url, events, tuned):
            return str(reason)
        server.counts()
        found: dict[str, float] = host.run(read_all, reader, server.url, events, streams)
        return found | {"open": server.counts()["most"]}


def rows(streams: int, has_aiohttp: bool) -> dict[str, tuple[Reader, bool]]:
    """Return what is measured; `True`: with the garbage collector tuned as docs/performance.md says."""
    http = Reader("httpx", "xingchen")
    mine = [Reader("ChatXingchen", "xingchen"), Reader("Xingchen", "xingchen")]
    found = {shown(reader): (reader, False) for reader in [http, *mine]}
    if has_aiohttp:
        found["httpx over aiohttp"] = (Reader("httpx", "xingchen", AIOHTTP), False)
        found["ChatXingchen over aiohttp"] = (Reader("ChatXingchen", "xingchen", AIOHTTP), False)
    if streams >= MANY:
        found["ChatXingchen, collector tuned"] = (mine[0], True)
    return found


def at_once(streams: int, events: int, delay: float, rounds: int, has_aiohttp: bool) -> Table:
    """Return the table of one number of streams."""
    table = Table(
        "concurrency_1000" if streams >= MANY else "concurrency",
        f"{streams:,} async streams at once, {events} events {delay * 1e3:.0f} ms apart",
        "reader",
        "s",
        Column("x httpx", RATIO),
        "CPU us per event",
        Column("CPU x httpx", RATIO),
        Column("unfinished", COUNT),
        Column("open at once"),
        Column("further threads", COUNT),
        Column("KiB per stream", (1.2, 20.0)),
        goal="Goal: at most 1.7 x httpx in time for 1,000, none unfinished or queued, no thread, 180 KiB per stream.",
    )
    with Server(events=events, delay=delay) as server:
        jobs: dict[str, Callable[[], Any]] = {
            name: partial(round_of, server, reader, events, streams, tuned)
            for name, (reader, tuned) in rows(streams, has_aiohttp).items()
        }
        found = interleaved(rounds, jobs)
    http = found["httpx alone (xingchen)"]
    for name, results in found.items():
        if isinstance(results[0], str):
            table.add(name, results[0])
            continue
        figures = {what: [result[what] for result in results] for what in results[0]}
        beside = [
            statistics.median(own[what] / floor[what] for own, floor in zip(results, http, strict=True))
            for what in ("wall", "cpu")
        ]
        is_floor = results is http
        table.add(
            name,
            statistics.median(figures["wall"]),
            None if is_floor else beside[0],
            statistics.median(figures["cpu"]),
            None if is_floor else beside[1],
            max(figures["unfinished"]),
            min(figures["open"]),
            max(figures["threads"]),
            max(figures["kib"]),
        )
    return table


STANDING = 20
"""So many streams stand at their last event at once, for what one of them holds."""


def hold(reader: Reader, url: str, events: int) -> float:
    """Return the KiB that a stream holds when it has read all but its last event."""
    found = ways(reader, url, events)
    held = 0.0

    async def one(there: asyncio.Barrier, on: asyncio.Barrier) -> None:
        read = 0
        async for _ in found.astream():
            read += 1
            if read == events - 1:
                await there.wait()
                await on.wait()

    async def all_of_them() -> None:
        nonlocal held
        there, on = asyncio.Barrier(STANDING + 1), asyncio.Barrier(STANDING + 1)
        tracemalloc.start(1)
        tasks = [asyncio.ensure_future(one(there, on)) for _ in range(STANDING)]
        await there.wait()
        held = tracemalloc.get_traced_memory()[0] / STANDING / 1024
        tracemalloc.stop()
        await on.wait()
        await asyncio.gather(*tasks)

    loop().run_until_complete(_drain(found))  # what is loaded once is no stream's
    gc.collect()
    loop().run_until_complete(all_of_them())
    leave(reader, url)
    return held


def standing(hosts: Hosts, events: int) -> Table:
    """Return what one stream holds."""
    table = Table(
        "held",
        f"What one async stream of {events} events holds at its last",
        "reader",
        Column("KiB"),
        Column("KiB over (httpx + framework)", (1.2, 5.0)),
        goal="Goal: at most 180 KiB. LangChain keeps every chunk of a stream until its end, for its callbacks.",
    )
    mine = [Reader("ChatXingchen", "xingchen"), Reader("Xingchen", "xingchen")]
    floors = list(dict.fromkeys(floor for reader in mine for floor in reader.floors))
    with Server(events=events) as server:
        found = {reader: hosts[reader.host].run(hold, reader, server.url, events) for reader in [*floors, *mine]}
    for reader, held in found.items():
        beside = held - sum(found[floor] for floor in reader.floors) if reader in mine else None
        table.add(shown(reader), held, beside)
    return table


def measure(hosts: Hosts, size: Mapping[str, Any]) -> Iterator[Table]:
    """Return the tables."""
    for streams in size["streams"]:
        rounds = 1 if streams >= MANY else size["rounds"]
        yield at_once(streams, size["events"], size["delay"], rounds, size["aiohttp"])
    yield standing(hosts, size["held"])


if __name__ == "__main__":
    run(__doc__, measure, SIZES, warm_up)
