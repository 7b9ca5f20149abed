"""What a plain call costs beside httpx and the framework, whether connections are used again, and making models.

    python benchmarks/calls.py --size quick

Calls one after another, the same with asyncio, in 8 threads, and as tasks 8 at a time. CPU time, as in stream.py. The
service counts the connections.
"""

import asyncio
import gc
import socket
import statistics
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

from _bench import COUNT, RATIO, Column, Hosts, Server, Table, interleaved, loop, ratio, run
from _readers import BOTH, FRAMEWORKS, OURS, Reader, leave, model, model_class, ours, shown, warm_up, ways

SIZES: dict[str, dict[str, Any]] = {
    "full": {"calls": 100, "streams": 20, "models": 20, "rounds": 5},
    "quick": {"calls": 40, "streams": 5, "models": 0, "rounds": 3},
    "tiny": {"calls": 8, "streams": 2, "models": 2, "rounds": 1},
}
SHAPES = ("one by one", "async", "8 threads", "8 tasks")
CALLED = [name for name in OURS if "Beebot" not in name]  # whose plain call is its stream, read to the end
EVENTS = 20


def ask(reader: Reader, url: str, calls: int, shape: str) -> float:
    """Make calls; return the CPU seconds of all."""
    found = ways(reader, url, EVENTS)
    gc.collect()
    began = time.process_time()
    if shape == "one by one":
        for _ in range(calls):
            found.invoke()
    elif shape == "8 threads":
        with ThreadPoolExecutor(8) as pool:
            for answer in [pool.submit(found.invoke) for _ in range(calls)]:
                answer.result()
    else:
        loop().run_until_complete(_ask(found, calls, 1 if shape == "async" else 8))
    return time.process_time() - began


async def _ask(found: Any, calls: int, width: int) -> None:
    left = iter(range(calls))

    async def some() -> None:
        for _ in left:
            await found.ainvoke()

    await asyncio.gather(*(some() for _ in range(width)))


def calls_over_floors(hosts: Hosts, calls: int, rounds: int) -> Table:
    """Return what calls cost."""
    table = Table(
        "calls",
        f"Plain calls, {calls} of them warm",
        "reader",
        "CPU us per call, one by one",
        *(Column(f"{shape}: x (httpx + framework)", RATIO) for shape in SHAPES),
        Column("new connections", COUNT),
        goal="Goal: at most 1.10 one by one, 1.05 with 8 tasks; no new connection one by one.",
    )
    mine = [*ours(*CALLED), BOTH]
    floors = list(dict.fromkeys(floor for reader in mine for floor in reader.floors))
    found: dict[str, dict[Reader, list[float]]] = {}
    opened: dict[Reader, int] = {}
    with Server(events=EVENTS) as server:

        def counted(reader: Reader, shape: str) -> float:
            server.counts()
            spent = float(hosts[reader.host].run(ask, reader, server.url, calls, shape))
            if shape in ("one by one", "async"):
                opened[reader] = opened.get(reader, 0) + server.counts()["opened"]
            return spent

        for shape in SHAPES:
            for reader in [*floors, *mine]:
                hosts[reader.host].run(ask, reader, server.url, 8, shape)
            found[shape] = interleaved(rounds, {r: partial(counted, r, shape) for r in [*floors, *mine]})
        for reader in [*floors, *mine]:
            hosts[reader.host].run(leave, reader, server.url)
    for reader in [*floors, *mine]:
        ratios: list[float | None] = [None] * len(SHAPES)
        if reader in mine:
            ratios = [ratio(found[s][reader], *(found[s][floor] for floor in reader.floors)) for s in SHAPES]
        table.add(
            shown(reader),
            statistics.median(found[SHAPES[0]][reader]) / calls * 1e6,
            *ratios,
            None if reader.name in FRAMEWORKS else opened[reader],
        )
    return table


def stream_to_the_end(reader: Reader, url: str, streams: int, mode: str) -> None:
    """Read streams one after another."""
    found = ways(reader, url, EVENTS)

    async def aread() -> None:
        async for _ in found.astream():
            pass

    for _ in range(streams):
        if mode == "sync":
            for _ in found.stream():
                pass
        else:
            loop().run_until_complete(aread())


def connections_of_streams(hosts: Hosts, streams: int) -> Table:
    """Return how many connections streams open. The end of the body comes a moment after the last event."""
    table = Table(
        "stream_connections",
        f"Connections that {streams} streams one after another open",
        "reader",
        Column("sync", COUNT),
        Column("async", COUNT),
        goal="Goal: one. It is kept only by who reads past the last event to the end of the body.",
    )
    with Server(events=EVENTS, delay=0.001) as server:
        for reader in ours(*CALLED):
            opened = []
            for mode in ("sync", "async"):
                server.counts()
                hosts[reader.host].run(stream_to_the_end, reader, server.url, streams, mode)
                opened.append(server.counts()["opened"])
            hosts[reader.host].run(leave, reader, server.url)
            table.add(shown(reader), *opened)
    return table


def make(name: str, url: str, number: int) -> list[float]:
    """Make model objects; return the milliseconds each took."""
    kept, spent = [model_class(name)], []
    for _ in range(number):
        began = time.perf_counter()
        kept.append(model(name, url))
        spent.append((time.perf_counter() - began) * 1e3)
    return spent


def refused(name: str, url: str, number: int) -> list[float]:
    """Ask further and further hosts over https where nobody listens; return the milliseconds of each refusal.

    Each host needs an HTTP client of its own, and the first of them the certificates, which are slow to load.
    """
    spent = []
    for at in range(number):
        made = model(name, f"https://127.0.{at}.1:{url.rpartition(':')[2]}", max_retries=0)
        began = time.perf_counter()
        with suppress(Exception):
            made.invoke("?") if hasattr(made, "invoke") else made.complete("?")
        spent.append((time.perf_counter() - began) * 1e3)
    return spent


def making(hosts: Hosts, models: int) -> Table:
    """Return what making models takes, in new processes."""
    table = Table(
        "models",
        "Making model objects",
        "class",
        "the first of a process, ms",
        "a further one, ms",
        "first call over TLS (refused), ms",
        "to a further host, ms",
        goal="Goal: a further object at most 0.3 ms. The TLS context, tens of milliseconds, is made once and shared.",
    )
    for name in CALLED:
        first, *later = hosts[f"{OURS[name][0]}/{name}"].run(make, name, "http://127.0.0.1:9", models + 1)
        with socket.socket() as nobody:  # bound, and not listening: a connection is refused at once
            nobody.bind(("", 0))
            port = nobody.getsockname()[1]
            cold, *warm = hosts[f"{OURS[name][0]}/{name}"].run(refused, name, f"x:{port}", 6)
        table.add(name, first, statistics.median(later), cold, statistics.median(warm))
    return table


def measure(hosts: Hosts, size: Mapping[str, Any]) -> Iterator[Table]:
    """Return the tables."""
    hosts.start("httpx", *FRAMEWORKS)
    yield calls_over_floors(hosts, size["calls"], size["rounds"])
    yield connections_of_streams(hosts, size["streams"])
    if size["models"]:
        yield making(hosts, size["models"])


if __name__ == "__main__":
    run(__doc__, measure, SIZES, warm_up)
