"""What importing costs, beside the framework and httpx, and what each public name loads.

    python benchmarks/imports.py --size quick

The first table: new processes, files already cached by the system; CPU time and memory. The others: every public name
in a process of its own that has the framework's core already (a fork of one that imported it): what the name adds, and
what it loads of other distributions that the core had not.
"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from functools import partial
from importlib import import_module
from typing import Any

from _bench import Column, Host, Hosts, Table, interleaved, rss_kib, run
from _readers import warm_up

SIZES: dict[str, dict[str, Any]] = {
    "full": {"rounds": 5, "names": True},
    "quick": {"rounds": 1, "names": False},
    "tiny": {"rounds": 1, "names": False},
}
LANGCHAIN = "from langchain_core.language_models import BaseChatModel"
LLAMA_INDEX = "from llama_index.core.llms import LLM"
CASES = {
    "from langchain_xingchen import ChatXingchen": f"{LANGCHAIN}; import httpx",
    "from llama_index_xingchen import Xingchen": f"{LLAMA_INDEX}; import httpx",
}
"""Statement: what it is compared with."""

PACKAGES = {
    "langchain_xingchen": ("langchain", LANGCHAIN),
    "llama_index_xingchen": ("llama_index", LLAMA_INDEX),
}

_CODE = """
import time; began = time.process_time(); import sys; had = len(sys.modules)
{}
spent = time.process_time() - began
print(spent * 1e3, int(open("/proc/self/statm").read().split()[1]) * {} / 1024, len(sys.modules) - had)
"""


def fresh(statement: str) -> tuple[float, float, int]:
    """Run a statement in a new process; return CPU milliseconds, MiB held, modules loaded."""
    code = _CODE.format(statement, os.sysconf("SC_PAGE_SIZE") / 1024)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON") or name == "PYTHONPATH"}
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120, env=clean)
    spent, held, modules = done.stdout.split()[-3:]
    return float(spent), float(held), int(modules)


def packages(rounds: int) -> Table:
    """Return what the packages cost."""
    table = Table(
        "imports",
        "Imports",
        "statement",
        "CPU ms",
        Column("x (core + httpx)", (1.1, 0.0)),
        "MiB",
        Column("MiB over core + httpx", (1.0, 3.0)),
        "modules",
        goal="Goal: at most 1.0 of the framework's core and httpx in CPU time, and 3 MiB more.",
    )
    statements = list(dict.fromkeys(text for pair in CASES.items() for text in pair[::-1]))
    jobs = {statement: partial(fresh, statement) for statement in statements}
    interleaved(1, jobs)  # fills the caches, and writes the compiled modules
    found = interleaved(rounds, jobs)
    for statement, results in found.items():
        spent, held, modules = zip(*results, strict=True)
        beside: list[float | None] = [None, None]
        if floor := CASES.get(statement):
            ratios = [own[0] / other[0] for own, other in zip(results, found[floor], strict=True)]
            more = [own[1] - other[1] for own, other in zip(results, found[floor], strict=True)]
            beside = [statistics.median(ratios), statistics.median(more)]
        table.add(f"`{statement}`", statistics.median(spent), beside[0], statistics.median(held), beside[1], modules[0])
    return table


def names_of(package: str, core: str) -> dict[str, tuple[float, float, list[str]]]:
    """Import each public name of a package in a fork of this process, which has the framework's core."""
    exec(core, {})
    names = import_module(package).__all__
    return {name: _forked(package, name) for name in names}


def _forked(package: str, name: str) -> tuple[float, float, list[str]]:
    """Return CPU milliseconds, MiB and modules that a name adds."""
    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        had, held, began = set(sys.modules), rss_kib(), time.process_time()
        getattr(import_module(package), name)
        spent = (time.process_time() - began) * 1e3
        more = sorted(set(sys.modules) - had)
        told = f"{spent} {(rss_kib() - held) / 1024} {' '.join(more)}"
        with os.fdopen(into, "w") as file:
            file.write(told)
        os._exit(0)
    os.close(into)
    with os.fdopen(out) as file:
        spent, held, *more = file.read().split()
    os.waitpid(child, 0)
    return float(spent), float(held), more


def names(package: str, rounds: int) -> Table:
    """Return what each public name adds."""
    framework, core = PACKAGES[package]
    table = Table(
        f"names_{framework}",
        f"What each name of `{package}` adds to the framework's core",
        "name",
        "CPU ms",
        "MiB",
        Column("modules of ours", (1.1, 2.0)),
        Column("other modules", (1.1, 5.0)),
        "from",
        goal="Goal: nothing is loaded that the name does not need; httpx only when something is sent.",
    )
    with Host() as host:
        found = [host.run(names_of, package, core) for _ in range(rounds)]
    for name in found[0]:
        tops = [module.partition(".")[0] for module in found[0][name][2]]
        others = [top for top in tops if top not in ("xingchen_core", *PACKAGES)]
        table.add(
            name,
            statistics.median(results[name][0] for results in found),
            statistics.median(results[name][1] for results in found),
            len(tops) - len(others),
            len(others),
            ", ".join(sorted(set(others) - sys.stdlib_module_names)) or None,
        )
    return table


def measure(hosts: Hosts, size: Mapping[str, Any]) -> Iterator[Table]:
    """Return the tables."""
    yield packages(size["rounds"])
    if size["names"]:
        for package in PACKAGES:
            yield names(package, min(3, size["rounds"]))


if __name__ == "__main__":
    run(__doc__, measure, SIZES, warm_up)
