"""`BailianRetriever`: items 54, 56 and 61 to 63 of the conformance checklist.

| item | where |
| --- | --- |
| 53: `_retrieve` and `_aretrieve` are its own, `retrieve` is not | `test_retrievers.py`, `test_events` |
| 54: the loop stays free | here |
| 55: ids and hashes last | `test_retrievers.py`, `test_ids_and_hashes_last` |
| 56: scores and order | here |
| 57: pictures | `test_retrievers.py`, `test_pictures`; `test_retriever_engines.py`, `test_citations_of_pictures` |
| 58: what models read | `test_retrievers.py`, `test_models_read_no_ids_and_links` |
| 59: engines and tools | `test_retriever_engines.py` |
| 60: filters | `test_retriever_filters.py`, `test_what_filters_mean`, `test_what_is_found` |
| 61: empty, or an error with the request's id | here |
| 62: `similarity_top_k` and `rerank_min_score`, with filters too | here |
| 63: events and spans once | here |
"""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.events.retrieval import RetrievalEndEvent, RetrievalStartEvent
from llama_index.core.instrumentation.span import SimpleSpan
from llama_index.core.instrumentation.span_handlers import SimpleSpanHandler
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.core.vector_stores import FilterOperator, MetadataFilter, MetadataFilters

from llama_index_xingchen import BailianRetriever
from slow_service import rate_and_time, slow_service
from xingchen_core import APIStatusError, BadRequestError, NotFoundError, PermissionDeniedError
from xingchen_core.emulator import Emulator

Ask = Callable[..., list[NodeWithScore]]


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """Retrieves in either colour."""
    if request.param == "sync":
        return lambda retriever, query: retriever.retrieve(query)
    return lambda retriever, query: asyncio.run(retriever.aretrieve(query))


def answered(body: Any, status: int = 200, **fields: Any) -> BailianRetriever:
    """A retriever whose service answers this, and nothing else."""
    transport = httpx.MockTransport(lambda _: httpx.Response(status, json=body))
    clients = {
        "http_client": httpx.Client(transport=transport),
        "http_async_client": httpx.AsyncClient(transport=transport),
    }
    usual = {"index_id": "kbfake", "api_key": "test-key", "max_retries": 0}
    return BailianRetriever(**{**usual, **clients, **fields})


def nodes(*scores: float | None) -> dict[str, Any]:
    """An answer with a chunk for each score."""
    found: list[dict[str, Any]] = [
        {"text": f"{n}", "metadata": {"_id": f"c{n}", "doc_name": f"{n}"}} for n in range(len(scores))
    ]
    for node, score in zip(found, scores, strict=True):
        if score is not None:
            node["score"] = score
    return {"success": True, "code": "Success", "request_id": "r1", "data": {"total": len(found), "nodes": found}}


async def test_many_queries_run_at_once() -> None:
    """Item 54: 50 queries to a service that takes 0.3 s take less than a second, and the loop keeps turning.

    It turns nine tenths as often as with httpx alone, which does the same beside it.
    """
    async with (
        slow_service(nodes(0.5), 0.3) as url,
        BailianRetriever(index_id="kbfake", api_key="test-key", base_url=url) as retriever,
        httpx.AsyncClient(limits=httpx.Limits(max_connections=None)) as floor,
    ):
        for _ in range(25):  # a busy machine spoils single rounds
            most, _ = await rate_and_time(lambda: floor.post(url, json={}))
            rate, took = await rate_and_time(lambda: retriever.aretrieve("退货"))
            if took < 1.0 and rate >= 0.9 * most:
                return
    pytest.fail(f"the last of 25 rounds took {took:.2f} s; the loop turned {rate:.0f} times a second of {most:.0f}")


def test_scores_and_order(ask: Ask) -> None:
    """Item 56: scores are floats as they come, 0 included, none is None; the order is the service's."""
    found = ask(answered(nodes(0.5, 1, 0.0, None, 0.7)), "茶")
    assert [node.score for node in found] == [0.5, 1.0, 0.0, None, 0.7]
    assert [type(node.score) for node in found] == [float, float, float, type(None), float]
    assert [node.node_id for node in found] == ["c0", "c1", "c2", "c3", "c4"]
    assert all(isinstance(node.node, TextNode) for node in found)


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (
            200,
            {"success": False, "code": "Index.Forbidden", "message": "no", "request_id": "r1"},
            PermissionDeniedError,
        ),
        (400, {"code": "InvalidParameter", "message": "no", "request_id": "r1"}, BadRequestError),
        (
            400,
            {"code": "Index.IndexNotExist", "message": "index not exist, index_id: kbfake", "request_id": "r1"},
            NotFoundError,
        ),
    ],
)
def test_nothing_is_no_error(ask: Ask, status: int, body: dict[str, Any], error: type[APIStatusError]) -> None:
    """Item 61: nothing found is `[]`; what went wrong is an error of its type with the request's id, never `[]`."""
    for empty in (nodes(), {"success": True, "data": {"total": 0}}, {"success": True, "data": None}):
        assert ask(answered(empty), "茶") == []
    with pytest.raises(error) as told:
        ask(answered(body, status), "茶")
    assert (told.value.request_id, told.value.code) == ("r1", body["code"])


@pytest.fixture
def rows(emulator: Emulator) -> Iterator[Callable[..., BailianRetriever]]:
    """Makes retrievers of thirty chunks, of which every third is of Hangzhou; the service is not told of the field."""
    knowledge = emulator.bailian.knowledge
    knowledge.add_index("表", "kbfake")
    for n in range(30):
        knowledge.add_document("kbfake", f"{n}.md", "茶" + " 水" * n, meta={"city": "杭州" if n % 3 == 0 else "成都"})
    knowledge.indexes["kbfake"].searchable = set()
    made: list[BailianRetriever] = []

    def make(**fields: Any) -> BailianRetriever:
        made.append(BailianRetriever(index_id="kbfake", api_key="test-key", base_url=emulator.url, **fields))
        return made[-1]

    yield make
    for retriever in made:
        retriever.close()


HANGZHOU = MetadataFilters(filters=[MetadataFilter(key="city", operator=FilterOperator.CONTAINS, value="杭")])


@pytest.mark.parametrize(
    ("fields", "asked", "most"),
    [
        ({"similarity_top_k": 4}, 4, 4),
        ({"similarity_top_k": 50}, 20, 20),
        ({"similarity_top_k": 2, "filters": HANGZHOU}, 20, 2),
        ({"similarity_top_k": 50, "filters": HANGZHOU}, 20, 7),
    ],
)
def test_how_many(
    rows: Callable[..., BailianRetriever], ask: Ask, emulator: Emulator, fields: dict[str, Any], asked: int, most: int
) -> None:
    """Item 62: no more than wanted, after the filters too, for which as many are asked as there can be, in one call."""
    found = ask(rows(**fields), "茶")
    assert [request.json["rerank_top_n"] for request in emulator.requests] == [asked]
    if "filters" in fields:
        assert {node.metadata["city"] for node in found} == {"杭州"}
        assert 0 < len(found) <= most
    else:
        assert len(found) == most


def test_the_least_score(ask: Ask) -> None:
    """Item 62: only what scores above the threshold, and what has no score, whatever the service makes of it."""
    found = ask(answered(nodes(0.9, 0.5, 0.51, None, 0.1), rerank_min_score=0.5, similarity_top_k=2), "茶")
    assert [node.score for node in found] == [0.9, 0.51]
    found = ask(answered(nodes(0.9, None, 0.1), rerank_min_score=0.5), "茶")
    assert [node.score for node in found] == [0.9, None]


class _Spans(SimpleSpanHandler):
    opened: list[str] = []  # pydantic copies it

    def new_span(self, id_: str, *args: Any, **kwargs: Any) -> SimpleSpan | None:
        self.opened.append(id_.partition("-")[0])
        return super().new_span(id_, *args, **kwargs)


def test_events_and_spans(emulator: Emulator, ask: Ask, events: list[Any], request: pytest.FixtureRequest) -> None:
    """Item 63: each query tells its start and its end once, in one span, which an error ends, too."""
    spans = _Spans()
    root = get_dispatcher()
    root.add_span_handler(spans)
    request.addfinalizer(lambda: root.span_handlers.remove(spans))
    with BailianRetriever(index_id="kbdemo0001", api_key="test-key", base_url=emulator.url) as retriever:
        found = ask(retriever, "退货")
        told = [event for event in events if isinstance(event, (RetrievalStartEvent, RetrievalEndEvent))]
        assert [type(event) for event in told] == [RetrievalStartEvent, RetrievalEndEvent]
        assert told[0].span_id == told[1].span_id
        assert told[1].nodes == found  # type: ignore[union-attr]
        name = "BailianRetriever." + ("retrieve" if request.node.callspec.params["ask"] == "sync" else "aretrieve")
        assert spans.opened.count(name) == 1
        emulator.fail("status", status=401, code="InvalidApiKey", path="/retrieve")
        with pytest.raises(APIStatusError):
            ask(retriever, "退货")
    assert spans.opened.count(name) == 2
    assert spans.open_spans == {}
    assert [span.id_.partition("-")[0] for span in spans.dropped_spans].count(name) == 1
