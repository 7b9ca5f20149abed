"""CPU time of a streamed event, beside what httpx and the framework cost without us.

    python benchmarks/stream.py --size quick

Each reader is warmed up and checked, then readers take turns. Figures are CPU time of the reading process; a ratio is
taken inside each round, and the median of the rounds is shown: the microseconds of a shared machine say little, the
ratios a lot.
"""

import gc
import statistics
import time
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from _bench import RATIO, Column, Hosts, Server, Table, interleaved, loop, ratio, run
from _readers import BOTH, FRAMEWORKS, Reader, leave, ours, shown, warm_up, ways
from _service import TEXT

SIZES: dict[str, dict[str, Any]] = {
    "full": {"lengths": (2000, 20_000), "growth": (250, 4000), "rounds": 7},
    "quick": {"lengths": (1000,), "growth": None, "rounds": 3},
    "tiny": {"lengths": (20,), "growth": (10, 20), "rounds": 1},
}
LONG, LONG_ROUNDS = 20_000, 2
"""Rounds of as many events: ten times the events say as much, and what was checked is not checked again."""

MODES = ("sync", "async")


def read(reader: Reader, url: str, events: int, mode: str) -> float:
    """Read one stream; return the CPU seconds."""
    found, length = ways(reader, url, events), 0
    gc.collect()
    began = time.process_time()
    if mode == "sync":
        for _ in found.stream():
            length += 1
    else:
        loop().run_until_complete(_drain(found))
    return time.process_time() - began


async def _drain(found: Any) -> None:
    async for _ in found.astream():
        pass


def check(reader: Reader, url: str, events: int, mode: str, is_cumulative: bool) -> None:
    """Read one stream and look at its text; warms up, too."""
    found = ways(reader, url, events)

    async def texts() -> list[str]:
        return [found.text(item) async for item in found.astream()]

    said = [found.text(item) for item in found.stream()] if mode == "sync" else loop().run_until_complete(texts())
    text = said[-1] if is_cumulative and reader.name == "httpx" else "".join(said)
    assert text == TEXT * events, f"{reader.name} read {len(text)} characters of {2 * events}"


def spent_by(
    hosts: Hosts, readers: list[Reader], events: int, rounds: int, modes: tuple[str, ...] = MODES, **profile: Any
) -> dict[Any, Any]:
    """Return the microseconds per event of every reader, in each mode and round."""
    with Server(events=events, **profile) as server:
        jobs = {}
        for reader in readers:
            grows = profile.get("is_cumulative", False) or reader.service == "beebot"
            for mode in modes:
                if events < LONG:
                    hosts[reader.host].run(check, reader, server.url, events, mode, grows)
                jobs[reader, mode] = partial(hosts[reader.host].run, read, reader, server.url, events, mode)
        found = interleaved(rounds, jobs)
        for reader in readers:
            hosts[reader.host].run(leave, reader, server.url)
    return {key: [seconds / events * 1e6 for seconds in spent] for key, spent in found.items()}


def over_floors(hosts: Hosts, events: int, rounds: int) -> Table:
    """Return the table of one length."""
    mine = [reader for reader in ours() if reader.service != "beebot" or events < LONG]  # each event repeats the text
    mine.append(BOTH)
    floors = list(dict.fromkeys(floor for reader in mine for floor in reader.floors))
    found = spent_by(hosts, [*floors, *mine], events, rounds)
    table = Table(
        "stream_long" if events == LONG else "stream",
        f"Streams of {events:,} events",
        "reader",
        "CPU us per event",
        Column("x (httpx + framework)", RATIO),
        "async: CPU us per event",
        Column("async: x (httpx + framework)", RATIO),
        goal="Goal: at most 0.95 of what httpx and the framework cost together.",
    )
    for reader in [*floors, *mine]:
        figures: list[float | None] = []
        for mode in MODES:
            spent = found[reader, mode]
            below = [found[floor, mode] for floor in reader.floors] if reader in mine else None
            figures += [statistics.median(spent), ratio(spent, *below) if below else None]
        table.add(shown(reader), *figures)
    return table


def growth(hosts: Hosts, short: int, long: int, rounds: int) -> Table:
    """Return how the cost of an event grows with the stream where each event repeats the whole text."""
    cases = [
        (*ours("ChatXingchen", incremental_output=False), True),
        *((r, False) for r in ours("ChatBeebot", "Beebot")),
    ]
    cases += [(Reader("httpx", "xingchen"), True), (Reader("httpx", "beebot"), False)]
    table = Table(
        "growth",
        "Where every event repeats the whole text",
        "reader",
        f"us per event, {short:,} events",
        f"us per event, {long:,}",
        Column("growth", RATIO),
        Column("beside the growth of httpx", RATIO),
        goal="Goal: no faster than httpx's own. Services that can are asked for new text only.",
    )
    found: dict[tuple[Reader, int], list[float]] = {}
    for events in (short, long):
        for is_asked in (True, False):
            readers = [reader for reader, asked in cases if asked == is_asked]
            spent = spent_by(hosts, readers, events, rounds, ("sync",), is_cumulative=is_asked)
            found |= {(reader, events): spent[reader, "sync"] for reader in readers}
    for reader, _ in cases:
        both = [statistics.median(found[reader, events]) for events in (short, long)]
        own = ratio(found[reader, long], found[reader, short])
        http = Reader("httpx", reader.service)
        beside = None if reader == http else own / ratio(found[http, long], found[http, short])
        table.add(shown(reader), *both, own, beside)
    return table


def measure(hosts: Hosts, size: Mapping[str, Any]) -> Iterator[Table]:
    """Return the tables."""
    hosts.start("httpx", *FRAMEWORKS)
    for events in size["lengths"]:
        yield over_floors(hosts, events, size["rounds"] if events < LONG else min(LONG_ROUNDS, size["rounds"]))
    if size["growth"]:
        yield growth(hosts, *size["growth"], min(3, size["rounds"]))


if __name__ == "__main__":
    run(__doc__, measure, SIZES, warm_up)
