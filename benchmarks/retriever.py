"""What a query of a knowledge base costs beside httpx, and that 10,000 calls leave memory flat.

    python benchmarks/retriever.py --size quick

The floors: httpx with the same request; a retriever of the framework that has its documents ready. CPU time, as in
stream.py. Memory: what the process holds after a tenth of the calls, and after all of them.
"""

import gc
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from typing import Any

from _bench import RATIO, Column, Hosts, Server, Table, interleaved, loop, ratio, rss_kib, run
from _readers import FRAMEWORKS, KEY, QUESTION, Reader, httpx_post, model_class, warm_up, ways
from _service import CHUNKS, RETRIEVE, TEXT

SIZES: dict[str, dict[str, Any]] = {
    "full": {"calls": 100, "rounds": 7, "long": 10_000},
    "quick": {"calls": 40, "rounds": 3, "long": 500},
    "tiny": {"calls": 3, "rounds": 1, "long": 20},
}
CASES = {"LangChain BailianRetriever": "langchain", "LlamaIndex BailianRetriever": "llama_index"}


@cache
def asking(who: str, url: str) -> tuple[Callable[[], Any], Callable[[], Any] | None]:
    """Return a query and, for ours, its async form."""
    if who == "httpx":
        post = httpx_post(url + RETRIEVE)
        body = {"index_id": "i", "query": QUESTION, "enable_reranking": True, "rerank_top_n": CHUNKS}
        return lambda: post(body)["data"]["nodes"], None
    if who in FRAMEWORKS:
        return _floor(who), None
    framework = CASES[who]
    made = model_class("BailianRetriever", framework)(index_id="i", base_url=url, **KEY)
    if framework == "langchain":
        return lambda: made.invoke(QUESTION), lambda: made.ainvoke(QUESTION)
    return lambda: made.retrieve(QUESTION), lambda: made.aretrieve(QUESTION)


def _floor(framework: str) -> Callable[[], Any]:
    texts = [f"{at}{TEXT * 100}" for at in range(CHUNKS)]
    if framework == "langchain":
        from langchain_core.documents import Document
        from langchain_core.retrievers import BaseRetriever

        class Floor(BaseRetriever):
            def _get_relevant_documents(self, query: str, **kwargs: Any) -> list[Document]:
                return [Document(id=str(at), page_content=text, metadata={}) for at, text in enumerate(texts)]

        floor = Floor()
        return lambda: floor.invoke(QUESTION)
    from llama_index.core.base.base_retriever import BaseRetriever as IndexRetriever
    from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

    class IndexFloor(IndexRetriever):
        def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
            nodes = [TextNode(id_=str(at), text=text, metadata={}) for at, text in enumerate(texts)]
            return [NodeWithScore(node=node, score=0.5) for node in nodes]

    index_floor = IndexFloor()
    return lambda: index_floor.retrieve(QUESTION)


def ask(who: str, url: str, calls: int) -> float:
    """Ask; return the CPU microseconds of a call."""
    query, _ = asking(who, url)
    assert len(query()) == CHUNKS
    gc.collect()
    began = time.process_time()
    for _ in range(calls):
        query()
    return (time.process_time() - began) / calls * 1e6


def costs(hosts: Hosts, calls: int, rounds: int) -> Table:
    """Return what queries cost."""
    table = Table(
        "retriever",
        f"A query of a knowledge base that finds {CHUNKS} chunks",
        "retriever",
        "CPU us per query",
        Column("x httpx", RATIO),
        Column("x (httpx + framework)", RATIO),
        goal="Goal: at most 1.15 of what httpx and the framework cost together.",
    )
    with Server() as server:
        homes = {"httpx": "httpx", "langchain": "langchain", "llama_index": "llama_index", **CASES}
        jobs = {who: partial(hosts[home].run, ask, who, server.url, calls) for who, home in homes.items()}
        interleaved(1, jobs)
        found = interleaved(rounds, jobs)
    for who, spent in found.items():
        beside: list[float | None] = [None, None]
        if who in CASES:
            beside = [ratio(spent, found["httpx"]), ratio(spent, found["httpx"], found[CASES[who]])]
        names = {"httpx": "httpx alone", "langchain": "LangChain alone", "llama_index": "LlamaIndex alone"}
        table.add(names.get(who, who), statistics.median(spent), *beside)
    return table


def hold(what: str, url: str, calls: int) -> tuple[int, int]:
    """Make calls, sync and async by turns; return the KiB held after a tenth of them, and after all."""
    if what in CASES:
        call, acall = asking(what, url)
    else:
        model = ways(Reader(what, "xingchen"), url, 20)
        call, acall = model.invoke, model.ainvoke
    early = 0
    for at in range(calls // 2):
        call()
        loop().run_until_complete(_wait_for(acall))
        if at == calls // 20:
            gc.collect()
            early = rss_kib()
    gc.collect()
    return early, rss_kib()


async def _wait_for(call: Any) -> None:
    await call()


def memory(hosts: Hosts, calls: int) -> Table:
    """Return what many calls leave behind."""
    table = Table(
        "memory",
        f"Memory after {calls:,} calls, sync and async by turns",
        "calls of",
        f"MiB after {calls // 10:,}",
        f"MiB after {calls:,}",
        Column("KiB more", (1.0, 2048.0)),
        goal="Goal: flat.",
    )
    with Server() as server:
        for what, home in {**CASES, "ChatXingchen": "langchain", "Xingchen": "llama_index"}.items():
            early, late = hosts[home].run(hold, what, server.url, calls)
            table.add(what, early / 1024, late / 1024, late - early)
    return table


def measure(hosts: Hosts, size: Mapping[str, Any]) -> Iterator[Table]:
    """Return the tables."""
    hosts.start("httpx", *FRAMEWORKS)
    yield costs(hosts, size["calls"], size["rounds"])
    yield memory(hosts, size["long"])


if __name__ == "__main__":
    run(__doc__, measure, SIZES, warm_up)
