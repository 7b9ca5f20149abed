"""Reading a history of 10,000 messages: the time grows with the messages, the memory does not.

    python benchmarks/history.py --size quick

The platform gives 50 messages per request. `iter_messages` holds a few pages; `messages`, a list of all of them, cannot
but grow, and is there to compare with. Memory is what Python allocates (tracemalloc), at its peak, in a run of its own.
"""

import gc
import statistics
import time
import tracemalloc
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from _bench import RATIO, Column, Hosts, Server, Table, interleaved, run
from _readers import CHARACTER, httpx_post, model_class, warm_up
from _service import HISTORY

SIZES: dict[str, dict[str, Any]] = {
    "full": {"lengths": (1000, 10_000), "rounds": 3},
    "quick": {"lengths": (300, 3000), "rounds": 1},
    "tiny": {"lengths": (50, 100), "rounds": 1},
}
PAGE = 50
WAYS = ("httpx alone", "iter_messages()", "messages")


def read(way: str, url: str, messages: int) -> int:
    """Read a history; return how many messages it has."""
    if way == "httpx alone":
        post = httpx_post(url + HISTORY)
        pages = ({"pageNum": number, "pageSize": PAGE} for number in range(1, messages // PAGE + 1))
        return sum(len(post(page)["data"]["list"]) for page in pages)
    history = model_class("XingchenChatMessageHistory", "langchain")(base_url=url, **CHARACTER)
    try:
        return sum(1 for _ in history.iter_messages()) if way == "iter_messages()" else len(history.messages)
    finally:
        history.close()


def cpu_of(way: str, url: str, messages: int) -> float:
    """Return the CPU microseconds per message."""
    gc.collect()
    began = time.process_time()
    seen = read(way, url, messages)
    spent = time.process_time() - began
    assert seen == messages, f"{way} saw {seen} messages of {messages}"
    return spent / messages * 1e6


def memory_of(way: str, url: str, messages: int) -> float:
    """Return the KiB that were allocated at the peak."""
    gc.collect()
    tracemalloc.start()
    try:
        read(way, url, messages)
        return tracemalloc.get_traced_memory()[1] / 1024
    finally:
        tracemalloc.stop()


def measure(hosts: Hosts, size: Mapping[str, Any]) -> Iterator[Table]:
    """Return the table."""
    short, long = size["lengths"]
    host = hosts["langchain"]
    table = Table(
        "history",
        f"A history of {long:,} messages, {PAGE} per request",
        "way",
        f"us per message, {short:,}",
        f"us per message, {long:,}",
        Column("growth", RATIO),
        Column("x httpx", RATIO),
        f"KiB at the peak, {short:,}",
        f"KiB at the peak, {long:,}",
        Column("growth of memory", (1.5, 0.0)),
        goal="Goal: linear time (growth of the time per message 1), and for `iter_messages` bounded memory.",
    )
    spent: dict[int, dict[str, list[float]]] = {}
    held: dict[int, dict[str, float]] = {}
    for messages in (short, long):
        with Server(messages=messages) as server:
            jobs = {way: partial(host.run, cpu_of, way, server.url, messages) for way in WAYS}
            interleaved(1, jobs)
            spent[messages] = interleaved(size["rounds"], jobs)
            held[messages] = {way: host.run(memory_of, way, server.url, messages) for way in WAYS}
    for way in WAYS:
        before, after = (statistics.median(spent[messages][way]) for messages in (short, long))
        beside = None if way == WAYS[0] else after / statistics.median(spent[long][WAYS[0]])
        small, large = held[short][way], held[long][way]
        table.add(way, before, after, after / before, beside, small, large, large / small)
    yield table


if __name__ == "__main__":
    run(__doc__, measure, SIZES, warm_up)
