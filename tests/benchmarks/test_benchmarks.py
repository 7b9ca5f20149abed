"""The benchmarks measure what they say, at a size that says nothing of speed; slower figures warn and fail nothing."""

import gc
import os
import runpy
import sys
import threading
from collections.abc import Callable, Iterator
from importlib import import_module
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
CLASSES = ["ChatXingchen", "ChatBeebot", "Xingchen", "BailianApp", "Beebot"]
"""One of each service and framework is enough here."""


class Here:
    """A host that is this process: tests need no other, and no import twice."""

    def __enter__(self) -> "Here":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """Carry it out at once."""
        return function(*args)


class Hosts:
    """Every host is this process."""

    def start(self, *names: str) -> None:
        """Nothing to start."""

    def __getitem__(self, name: str) -> Here:
        return Here()


class Thread(threading.Thread):
    """A thread for the server, in place of a process: it need not be fast here, and starts faster."""

    def __init__(self, target: Callable[..., Any], args: tuple[Any, ...], daemon: bool) -> None:
        serve, theirs, *more = args
        super().__init__(target=serve, args=(Connection(os.dup(theirs.fileno())), *more), daemon=daemon)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """Imports a benchmark, and closes afterwards what it left open for its process to end with."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setattr(gc, "collect", lambda: 0)  # it takes long to look through the heap of a test suite
    shared, readers, retriever = map(import_module, ("_bench", "_readers", "retriever"))
    monkeypatch.setattr(gc, "freeze", lambda: None)
    monkeypatch.setattr(gc, "disable", lambda: None)
    monkeypatch.setattr(shared, "_SPAWN", SimpleNamespace(Pipe=Pipe, Process=Thread))
    for name in readers.OURS.keys() - CLASSES:
        monkeypatch.delitem(readers.OURS, name)
    posts: list[Any] = []
    monkeypatch.setattr(readers, "httpx_post", lambda address: posts.append(readers.Post(address)) or posts[-1])
    for module in ("history", "retriever"):
        monkeypatch.setattr(import_module(module), "httpx_post", readers.httpx_post)
    yield import_module
    retriever.asking.cache_clear()
    for post in posts:
        post.close()
    shared.loop().run_until_complete(shared.loop().shutdown_asyncgens())
    shared.loop().close()
    shared.loop.cache_clear()


def tables(module: Any, **size: Any) -> dict[str, Any]:
    """The tables of a benchmark, by their keys."""
    return {table.key: table for table in module.measure(Hosts(), module.SIZES["tiny"] | size)}


def test_streams(bench: Callable[[str], Any]) -> None:
    """Each class has CPU times and ratios, sync and async, beside its floors; texts were checked on the way."""
    found = tables(bench("stream"), lengths=(4,), growth=(2, 4))
    rows = found["stream"].rows
    assert [name for name in rows if "alone" not in name] == [*CLASSES, "both floors in one process"]
    assert all(figure > 0 for name in CLASSES for figure in rows[name])
    assert len(rows) - len(CLASSES) == 6
    assert "ChatXingchen(incremental_output=False)" in found["growth"].rows


def test_a_reader_that_loses_text_breaks_the_benchmark(bench: Callable[[str], Any]) -> None:
    """A ratio of somebody who reads less would flatter."""
    readers, stream = bench("_readers"), bench("stream")
    with bench("_bench").Server(events=3) as server:
        reader = readers.Reader("httpx", "app")
        readers.ways(reader, server.url, 3).text = lambda body: ""
        with pytest.raises(AssertionError, match="httpx read 0 characters of 6"):
            stream.check(reader, server.url, 3, "sync", False)
        readers.leave(reader, server.url)


def test_calls_and_connections(bench: Callable[[str], Any]) -> None:
    """Warm calls open no connection, streams one: counted by the server, so no clock is asked."""
    found = tables(bench("calls"), calls=2, models=0)
    assert {row[-1] for name, row in found["calls"].rows.items() if not name.startswith("L")} == {0}
    assert {tuple(row) for row in found["stream_connections"].rows.values()} == {(1, 1)}


def test_first_tokens_and_leaving(bench: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The service sees every stream closed that is left, in all five ways."""
    module = bench("first_token")
    monkeypatch.setattr(module, "LINGER", 0.02)
    found = tables(module, rounds=1)
    assert all(row[0] > 20 for row in found["first_token"].rows.values())
    assert all(isinstance(figure, float) for row in found["leaving"].rows.values() for figure in row)


def test_many_streams(bench: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """All streams are open at once and none is left unfinished; without httpx-aiohttp its rows say so."""
    module = bench("concurrency")
    monkeypatch.setattr(module, "Host", Here)
    monkeypatch.setattr(bench("_bench"), "EXTRAS", Path("/nowhere"))
    monkeypatch.setitem(sys.modules, "httpx_aiohttp", None)
    found = tables(module, streams=(3,), events=2)
    rows = found["concurrency"].rows
    assert [rows["ChatXingchen"][4:6], rows["Xingchen"][4:6]] == [[0, 3], [0, 3]]
    assert rows["ChatXingchen over aiohttp"] == ["not measured: httpx_aiohttp is not installed"]
    assert found["held"].rows["ChatXingchen"][0] > found["held"].rows["LangChain alone"][0] > 1


def test_imports(bench: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A statement is compared with its floor, in new processes."""
    module = bench("imports")
    monkeypatch.setattr(module, "CASES", {"import json": "pass"})
    rows = tables(module)["imports"].rows
    assert rows["`import json`"][4] > rows["`pass`"][4]
    assert rows["`pass`"][1] is None


def test_history_and_retrievers(bench: Callable[[str], Any]) -> None:
    """All messages and chunks arrive: the benchmarks count them."""
    assert list(tables(bench("history"))["history"].rows) == ["httpx alone", "iter_messages()", "messages"]
    found = tables(bench("retriever"), calls=1, long=20)
    assert all(figure > 0 for figure in found["retriever"].rows["LlamaIndex BailianRetriever"])
    assert list(found["memory"].rows)[-2:] == ["ChatXingchen", "Xingchen"]


def figures(ratio: float, connections: int, us: float) -> dict[str, Any]:
    """One benchmark with one row."""
    columns = [["us", None], ["x floor", [1.2, 0.05]], ["connections", [1.0, 0.0]]]
    table = {"key": "calls", "title": "Calls", "goal": "", "first": "reader", "columns": columns}
    return {"calls": {"date": "d", "versions": {}, "tables": [table | {"rows": {"Ours": [us, ratio, connections]}}]}}


@pytest.mark.parametrize(
    ("fresh", "warned"),
    [
        (figures(1.24, 0, 900.0), []),
        (figures(1.26, 0, 1.0), ["Calls: Ours: x floor: 1.26, recorded 1.00"]),
        (figures(0.5, 1, 1.0), ["Calls: Ours: connections: 1.00, recorded 0.00"]),
    ],
)
def test_ratios_are_compared_and_times_are_not(bench: Callable[[str], Any], fresh: Any, warned: list[str]) -> None:
    """A fifth and a little more is let pass, and any time; a count is exact."""
    assert list(bench("table").slower(fresh, figures(1.0, 0, 1.0))) == warned


def test_slower_figures_warn_and_fail_nothing(
    bench: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """`--compare` ends well whatever it finds; `--record` keeps what it found, and the page shows it."""
    table, shared = bench("table"), bench("_bench")
    monkeypatch.setattr(table, "RECORDED", tmp_path / "recorded.json")
    monkeypatch.setattr(table, "PAGE", tmp_path / "page.md")
    table.record(figures(1.0, 0, 1.0))
    table.PAGE.write_text(f"before\n{table.START}\nold\n{table.END}\nafter\n", "utf-8")

    found = shared.Table("calls", "Calls", "reader", "us", shared.Column("x floor", shared.RATIO))
    found.add("Ours", 2.0, 3.0)
    program = runpy.run_path(str(BENCHMARKS / "__main__.py"))
    program["BENCHES"]["calls"] = SimpleNamespace(measure=lambda hosts, size: [found], SIZES={"full": {}})
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--only", "calls", "--compare", "--record"])
    program["main"]()

    assert "WARNING: slower than recorded: Calls: Ours: x floor: 3.00, recorded 1.00" in capsys.readouterr().out
    assert table.recorded()["calls"]["tables"][0]["rows"] == {"Ours": [2.0, 3.0]}
    page = table.PAGE.read_text("utf-8")
    assert "| Ours | 2.00 | 3.00 |" in page
    assert "old" not in page
    assert (page[:6], page[-6:]) == ("before", "after\n")
