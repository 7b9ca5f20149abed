"""What the benchmarks share: processes of their own, rounds, ratios, tables, and the options of the command line."""

import argparse
import asyncio
import json
import multiprocessing
import os
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path
from typing import Any, NamedTuple, Self

import _service

SIZES = ("full", "quick", "tiny")
VERSIONS = ("httpx", "pydantic", "langchain-core", "llama-index-core", "aiohttp")
EXTRAS = Path(sys.prefix, "bench")
"""Where `make bench` puts what only benchmarks use. Elsewhere it would lengthen the imports that are measured."""

_SPAWN = multiprocessing.get_context("spawn")
LONGEST = 240.0
"""Seconds that one order may take; then the bench breaks rather than hang."""


class Process:
    """A process that carries out functions, or `_service.serve`. It ends with this one."""

    def __init__(self, target: Callable[..., None], *args: Any) -> None:
        self._pipe, theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=_started, args=(target, theirs, *args), daemon=True)
        self._process.start()
        theirs.close()

    def receive(self) -> Any:
        """Return what the process sends next."""
        if not self._pipe.poll(LONGEST):
            self._process.kill()
            raise TimeoutError(f"no answer from a process within {LONGEST:g} s")
        return self._pipe.recv()

    def send(self, message: Any) -> None:
        self._pipe.send(message)

    def close(self) -> None:
        """End it: at once if it does not go by itself."""
        self._pipe.close()
        self._process.join(5)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Host(Process):
    """A process in which readers are measured: one for httpx, one for each framework."""

    def __init__(self) -> None:
        super().__init__(_obey)

    def start(self, function: Callable[..., Any], *args: Any) -> None:
        """Begin a function without waiting for it; `receive` waits."""
        self.send((function, args))

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """Carry out a function of a module there, and return what it returns."""
        self.start(function, *args)
        return self.receive()

    def receive(self) -> Any:
        is_good, value = super().receive()
        if not is_good:
            raise RuntimeError(f"in a process of the benchmark:\n{value}")
        return value


class Hosts:
    """The hosts of a run, each started when first used, or all side by side by `start`."""

    def __init__(self, warm_up: Callable[[str], None]) -> None:
        self._warm_up = warm_up
        self._hosts: dict[str, Host] = {}

    def start(self, *names: str) -> None:
        """Start hosts side by side: most of it is importing."""
        new = [name for name in names if name not in self._hosts]
        for name in new:
            self._hosts[name] = Host()
            self._hosts[name].start(self._warm_up, name)
        for name in new:
            self._hosts[name].receive()

    def __getitem__(self, name: str) -> Host:
        self.start(name)
        return self._hosts[name]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for host in self._hosts.values():
            host.close()


class Server(Process):
    """A service with one profile."""

    def __init__(self, **profile: Any) -> None:
        super().__init__(_service.serve, _service.Profile(**profile))
        self.url = f"http://127.0.0.1:{self.receive()}"

    def counts(self) -> dict[str, Any]:
        """See `_service.Service.counts`."""
        self.send(None)
        return dict(self.receive())


def _started(target: Callable[..., None], pipe: Any, *args: Any) -> None:
    for name in list(os.environ):  # nothing of the caller's: no proxy, no tracing, no keys
        if name.lower().endswith("_proxy") or name.startswith(("LANGCHAIN_", "LANGSMITH_", "DASHSCOPE_", "XINGCHEN_")):
            del os.environ[name]
    with suppress(ImportError, ValueError, OSError):
        import resource

        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with suppress(KeyboardInterrupt):
        target(pipe, *args)


def _obey(pipe: Any) -> None:
    while True:
        try:
            function, args = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            pipe.send((True, function(*args)))
        except Exception:  # noqa: BLE001  whatever it is, the other side wants to know
            pipe.send((False, traceback.format_exc()))


@cache
def loop() -> asyncio.AbstractEventLoop:
    """Return the one event loop of a host: async clients keep their connections as long as it lives."""
    return asyncio.new_event_loop()


def rss_kib() -> int:
    """Return the memory that this process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def interleaved(rounds: int, jobs: Mapping[Any, Callable[[], Any]]) -> dict[Any, list[Any]]:
    """Do all jobs in turns: what disturbs the machine disturbs all of them."""
    results: dict[Any, list[Any]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            results[name].append(job())
    return results


def ratio(mine: Sequence[float], *floors: Sequence[float]) -> float:
    """Return the median, over the rounds, of `mine` over the sum of the floors of the same round."""
    return statistics.median(own / sum(others) for own, *others in zip(mine, *floors, strict=True))


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        title: Its heading.
        slack: How much worse a fresh figure may be than the recorded one before a warning, as a factor and as an
            amount; `None`: not compared, since it is a time of the machine.
    """

    title: str
    slack: tuple[float, float] | None = None


RATIO = (1.2, 0.05)
COUNT = (1.0, 0.0)


class Table:
    """A table of figures: a row for each thing measured."""

    def __init__(self, key: str, title: str, first: str, *columns: Column | str, goal: str = "") -> None:
        self.key, self.title, self.first, self.goal = key, title, first, goal
        self.columns = [Column(column) if isinstance(column, str) else column for column in columns]
        self.rows: dict[str, list[float | str | None]] = {}

    def add(self, row: str, *figures: float | str | None) -> None:
        """Add a row; a figure that was not measured is None, and a text says why."""
        self.rows[row] = list(figures)

    def to_json(self) -> dict[str, Any]:
        return {
            "key": self.key,
            "title": self.title,
            "goal": self.goal,
            "first": self.first,
            "columns": self.columns,
            "rows": {
                row: [round(f, 4) if isinstance(f, float) else f for f in figures] for row, figures in self.rows.items()
            },
        }


def markdown(table: Mapping[str, Any], level: str = "###") -> str:
    """Return the Markdown of a table's JSON."""
    titles = [table["first"], *(title for title, _ in table["columns"])]
    lines = [f"| {' | '.join(titles)} |", f"| --- {'| ---: ' * (len(titles) - 1)}|"]
    lines += [f"| {row} | {' | '.join(map(_shown, figures))} |" for row, figures in table["rows"].items()]
    goal = f"\n\n{table['goal']}" if table["goal"] else ""
    return f"{level} {table['title']}{goal}\n\n" + "\n".join(lines) + "\n"


def _shown(figure: Any) -> str:
    if figure is None:
        return ""
    if isinstance(figure, float):
        return f"{figure:.2f}" if abs(figure) < 10 else f"{figure:.1f}" if abs(figure) < 100 else f"{figure:,.0f}"
    return f"{figure:,}" if isinstance(figure, int) else str(figure)


def parser(doc: str | None) -> argparse.ArgumentParser:
    """Return the options that every benchmark has."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--size", choices=SIZES, default="full", help="full: for the record; quick: to compare with it")
    made.add_argument("--rounds", type=int, help="in place of the size's")
    made.add_argument("--json", type=Path, help="write the figures to this file, too")
    return made


Measure = Callable[[Hosts, Mapping[str, Any]], Iterable[Table]]


def measured(
    measure: Measure, sizes: Mapping[str, Mapping[str, Any]], hosts: Hosts, size: str, rounds: int | None
) -> dict[str, Any]:
    """Run a benchmark, print its tables, and return its JSON."""
    began = time.monotonic()
    chosen = {**sizes[size], **({} if rounds is None else {"rounds": rounds})}
    tables = []
    for table in measure(hosts, chosen):
        tables.append(table.to_json())
        print(markdown(tables[-1]), flush=True)
    date = datetime.now(UTC).date().isoformat()
    seconds = round(time.monotonic() - began)
    return {"date": date, "size": size, "seconds": seconds, "versions": versions(), "tables": tables}


def run(
    doc: str | None, measure: Measure, sizes: Mapping[str, Mapping[str, Any]], warm_up: Callable[..., None]
) -> None:
    """Run one benchmark from the command line."""
    asked = parser(doc).parse_args()
    with Hosts(warm_up) as hosts:
        found = measured(measure, sizes, hosts, asked.size, asked.rounds)
    if asked.json:
        asked.json.write_text(json.dumps(found, ensure_ascii=False))


def versions() -> dict[str, str]:
    """Return the releases that were measured."""
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in VERSIONS:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    for extra in distributions(path=[str(EXTRAS)]):
        found[extra.name] = extra.version
    return found
