"""`BailianRetriever`: nodes, and what a query is sent as."""

import asyncio
import copy
import pickle
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from typing import Any

import httpx
import pytest
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from llama_index.core.instrumentation.events.retrieval import RetrievalEndEvent, RetrievalStartEvent
from llama_index.core.schema import ImageNode, IndexNode, MetadataMode, NodeWithScore, QueryBundle, TextNode

from llama_index_xingchen import BailianRetriever
from llama_index_xingchen._knowledge_nodes import to_node
from xingchen_core import ConfigurationError, NotFoundError, UnsupportedOperationError
from xingchen_core.bailian.knowledge import Rerank, RetrievedNode
from xingchen_core.emulator import Emulator
from xingchen_core.emulator.bailian_index_store import Chunk
from xingchen_core.emulator.bailian_knowledge import SearchService

RETRIEVE = "/api/v1/indices/rag/index/retrieve"
SIGNED = {"access_key_id": "testid", "access_key_secret": "testsecret", "workspace_id": "llm-demo", "api_key": None}

Make = Callable[..., BailianRetriever]
Ask = Callable[[BaseRetriever, Any], list[NodeWithScore]]


@pytest.fixture
def make(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Builds retrievers of the seeded knowledge base; a test names only what it is about."""
    monkeypatch.delenv("DASHSCOPE_API_KEY", raising=False)
    with ExitStack() as made:

        def make_retriever(**fields: Any) -> BailianRetriever:
            usual: dict[str, Any] = {"api_key": "test-key", "base_url": emulator.url}
            if not fields.keys() & {"index_name", "agent_id"}:
                usual["index_id"] = "kbdemo0001"
            return made.enter_context(BailianRetriever(**{**usual, **fields}))

        yield make_retriever


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """Retrieves in either colour."""
    if request.param == "sync":
        return lambda retriever, query: retriever.retrieve(query)
    return lambda retriever, query: asyncio.run(retriever.aretrieve(query))


def test_nodes(make: Make, emulator: Emulator, ask: Ask) -> None:
    """A node is what the service tells of a chunk; the request names what was given and nothing else."""
    emulator.bailian.knowledge.add_index("空", "kbfake")
    emulator.bailian.knowledge.add_document("kbfake", "手册.md", "# 退货\n\n七天内可退。", meta={"author": "小王"})
    [found] = ask(make(index_id="kbfake"), "七天内可退")
    [document_id] = emulator.bailian.knowledge.indexes["kbfake"].documents
    assert (type(found.node).class_name(), found.text, found.score) == ("TextNode", "七天内可退。", 1.0)
    assert found.metadata == {
        "author": "小王",
        "title": "退货",
        "heading_path": "退货",
        "document_name": "手册",
        "document_id": document_id,
        "page_numbers": [0],
        "index_id": "kbfake",
    }
    assert (found.node_id, found.node.ref_doc_id) == (f"llm-demo_kbfake_{document_id}_0_0", document_id)
    [request] = emulator.requests
    assert request.path == RETRIEVE
    assert request.json == {
        "index_id": "kbfake",
        "query": "七天内可退",
        "enable_reranking": True,
        "rerank_top_n": 5,
    }


def test_nothing_found(make: Make, ask: Ask) -> None:
    """No match is an empty list."""
    assert ask(make(), "zzz") == []


def test_ids_and_hashes_last(make: Make, emulator: Emulator) -> None:
    """A chunk has one id and one hash in all answers, though its score and its links change; another has others."""
    knowledge = emulator.bailian.knowledge
    knowledge.add_index("图", "kbfake")
    chunks = [Chunk(f"c{n}", text, images=("https://e.invalid/a.png",)) for n, text in enumerate(["红茶", "绿茶"])]
    knowledge.add_document("kbfake", "a.png", chunks=chunks)
    retriever = make(index_id="kbfake")
    before = {node.text: node for node in retriever.retrieve("茶")}
    knowledge.url_seconds = 7200.0
    after = {node.text: node for node in retriever.retrieve("红 茶 好")}
    assert before["红茶"].metadata["image_urls"] != after["红茶"].metadata["image_urls"]
    assert before["红茶"].score != after["红茶"].score
    assert before.keys() == after.keys() == {"红茶", "绿茶"}
    assert all(before[text].node.hash == after[text].node.hash for text in before)
    assert all(before[text].node_id == after[text].node_id for text in before)
    assert len({node.node.hash for node in after.values()}) == 2


LINK = "https://e.invalid/a.pdf"


@pytest.mark.parametrize(("url", "is_read"), [(LINK, True), (f"{LINK}?sign=secret", False), (None, False)])
def test_models_read_no_ids_and_links(url: str | None, is_read: bool) -> None:
    """Of the metadata a model reads what says something about the text, and where it is; nothing signed (item 58)."""
    chunk = RetrievedNode(
        id="c1",
        text="红茶",
        title="红",
        document_name="茶",
        document_id="file_fake",
        document_url=url,
        index_id="kbfake",
        page_numbers=(3, 4),
        image_urls=("https://e.invalid/a.png?sign=secret",),
        audio_urls=("https://e.invalid/a.mp3?sign=secret",),
        video_urls=("https://e.invalid/a.mp4?sign=secret",),
        fields={"author": "小王"},
    )
    node = to_node(chunk, {}).node
    link = f"document_url: {LINK}\n" if is_read else ""
    read = "author: 小王\ntitle: 红\ndocument_name: 茶\n{}page_numbers: [3, 4]\n\n红茶"
    assert node.get_content(MetadataMode.LLM) == read.format(link)
    assert node.get_content(MetadataMode.EMBED) == read.format("")
    assert node.get_content(MetadataMode.NONE) == "红茶"


def test_fields_of_the_users_are_read() -> None:
    """A field of yours by a name of ours is content where the service tells nothing by that name."""
    node = to_node(RetrievedNode(id="c1", text="红茶", fields={"index_id": "七"}), {}).node
    assert node.get_content(MetadataMode.LLM) == "index_id: 七\n\n红茶"


def test_pictures(make: Make, emulator: Emulator, ask: Ask) -> None:
    """A chunk with pictures is an image node; all its links are in the metadata."""
    knowledge = emulator.bailian.knowledge
    knowledge.add_index("图", "kbfake")
    pictures = ("https://e.invalid/a.png", "https://e.invalid/b.png")
    knowledge.add_document("kbfake", "茶.png", chunks=[Chunk("c1", "红茶", images=pictures)])
    [node] = ask(make(index_id="kbfake"), "红茶")
    assert isinstance(node.node, ImageNode)
    assert node.node.image_url is not None
    assert node.node.image_url.startswith("https://e.invalid/a.png?Expires=")
    assert [url.partition("?")[0] for url in node.metadata["image_urls"]] == list(pictures)
    again = TextNode.model_validate(node.node.model_dump())  # as `CitationQueryEngine` does
    assert (again.text, again.metadata["document_name"]) == ("红茶", "茶")


def test_objects(make: Make, emulator: Emulator, ask: Ask) -> None:
    """A chunk of a document that has an object leads to it; others stay."""
    knowledge = emulator.bailian.knowledge
    knowledge.add_index("二", "kbfake")
    knowledge.add_document("kbfake", "甲.md", "红茶")
    knowledge.add_document("kbfake", "乙.md", "绿茶")
    first = next(iter(knowledge.indexes["kbfake"].documents))
    whole = TextNode(id_="whole", text="甲的全文")
    for given in ({"object_map": {first: whole}}, {"objects": [IndexNode(index_id=first, obj=whole)]}):
        found = ask(make(index_id="kbfake", **given), "茶")
        assert sorted(node.text for node in found) == ["甲的全文", "绿茶"]


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("\ninput is 怎么退货\n", "怎么退货"),
        ("怎么退货\n\n", "怎么退货"),
        ("input is a reserved word?", "input is a reserved word?"),
        ("\ninput is 一\n二\n", "一\n二"),
    ],
)
def test_questions_of_tools(make: Make, emulator: Emulator, ask: Ask, written: str, sent: str) -> None:
    """What `RetrieverTool` puts around a question is not sent; the same words of a user are."""
    ask(make(), written)
    assert emulator.requests[0].json["query"] == sent


def test_a_name_is_looked_for_once(make: Make, emulator: Emulator, ask: Ask) -> None:
    """Nothing is sent at construction, and the name is found by the first query alone."""
    retriever = make(index_name="演示知识库")
    assert emulator.requests == []
    assert ask(retriever, "退货")
    assert ask(retriever, "退货")
    assert [request.path.rpartition("/")[2] for request in emulator.requests] == ["list", "retrieve", "retrieve"]


def test_a_name_that_moves(make: Make, emulator: Emulator, ask: Ask) -> None:
    """When the index behind a name is gone, the next query looks for the name again."""
    knowledge = emulator.bailian.knowledge
    retriever = make(index_name="演示知识库")
    assert ask(retriever, "退货")
    del knowledge.indexes["kbdemo0001"]
    knowledge.add_index("演示知识库", "kbfake")
    knowledge.add_document("kbfake", "新.md", "退货")
    with pytest.raises(NotFoundError):
        ask(retriever, "退货")
    assert [node.text for node in ask(retriever, "退货")] == ["退货"]


@pytest.mark.parametrize(
    ("fields", "ending"),
    [
        ({}, RETRIEVE),
        ({"agent_id": "aid-demo"}, "/indices/knowledge/search"),
        ({"route": "pipeline"}, "/indices/pipeline/kbdemo0001/retrieve"),
        (SIGNED, "/llm-demo/index/retrieve"),
        ({"route": "pipeline", "index_name": "演示知识库"}, "/indices/pipeline/kbdemo0001/retrieve"),
        ({"index_name": "演示知识库", **SIGNED}, "/llm-demo/index/retrieve"),
    ],
)
def test_routes(make: Make, emulator: Emulator, ask: Ask, fields: dict[str, Any], ending: str) -> None:
    """The credentials and ids choose the route, `route` forces one: all find the same."""
    assert ask(make(**fields), "无理由退货")[0].text == "收到商品七天内可以无理由退货。"
    assert emulator.requests[-1].path.endswith(ending)


def test_routes_agree(make: Make, emulator: Emulator, ask: Ask) -> None:
    """The same chunk is the same node by every route: id, text, score, metadata, picture, and what models read."""
    knowledge = emulator.bailian.knowledge
    knowledge.add_index("图", "kbfake")
    picture = Chunk("c1", "红茶", ("茶", "红"), images=("https://e.invalid/a.png",))
    knowledge.add_document("kbfake", "茶.png", chunks=[picture], meta={"author": "小王"})
    service = SearchService("aid-fake", "图", ["kbfake"], "llm-demo", published=1)
    knowledge.services["aid-fake"] = service
    ways = ({}, {"agent_id": "aid-fake"}, {"route": "pipeline"}, SIGNED)
    told = []
    for way in ways:
        [found] = ask(make(index_id="kbfake", **way), "红茶")
        lasting = {**found.metadata, "image_urls": [url.partition("?")[0] for url in found.metadata["image_urls"]]}
        told.append((found.node_id, found.text, found.score, found.node.hash, type(found.node), lasting))
    assert told[0][5]["heading_path"] == "茶>红"
    assert told == [told[0]] * 4


def test_options_are_sent(make: Make, emulator: Emulator, ask: Ask) -> None:
    """What shapes the retrieval reaches the service."""
    options = {"rerank": Rerank(model="qwen3-rerank"), "dense_top_k": 7, "sparse_top_k": 0, "similarity_top_k": 2}
    ask(make(**options, extra={"x": 1}), "退货")
    assert emulator.requests[0].json == {
        "index_id": "kbdemo0001",
        "query": "退货",
        "dense_similarity_top_k": 7,
        "sparse_similarity_top_k": 0,
        "enable_reranking": True,
        "rerank": [{"model_name": "qwen3-rerank"}],
        "rerank_top_n": 2,
        "x": 1,
    }


def test_history(make: Make, emulator: Emulator, ask: Ask) -> None:
    """The conversation before the question goes along where the route has it, as far as it was said in words."""
    talk = [
        ChatMessage(role="system", content="你是店员"),
        ChatMessage(role="user", content="怎么退货?"),
        ChatMessage(role="assistant", content="七天内。"),
        ChatMessage(role="tool", content="{}", additional_kwargs={"tool_call_id": "c"}),
        ChatMessage(role="assistant", content=""),
    ]
    ask(make(route="pipeline").model_copy(update={"history": talk}), "那运费呢?")
    assert emulator.requests[0].json["query_history"] == [
        {"role": "user", "content": "怎么退货?"},
        {"role": "assistant", "content": "七天内。"},
    ]
    assert emulator.requests[0].json["enable_rewrite"] is True
    with pytest.raises(UnsupportedOperationError, match="history"):
        ask(make(history=talk), "那运费呢?")
    assert len(emulator.requests) == 1


def test_picture_of_a_query(make: Make, emulator: Emulator, ask: Ask) -> None:
    """The picture of a query is sent as its URL; a local one is refused before anything is sent."""
    picture = "https://e.invalid/a.png"
    ask(make(agent_id="aid-demo"), QueryBundle("茶", image_path=picture))
    assert emulator.requests[0].json["images"] == [picture]
    with pytest.raises(ConfigurationError, match="URL"):
        ask(make(agent_id="aid-demo"), QueryBundle("茶", image_path="a.png"))
    with pytest.raises(UnsupportedOperationError, match="images"):
        ask(make(), QueryBundle("茶", image_path=picture))
    assert len(emulator.requests) == 1


def test_refusals(make: Make, emulator: Emulator, ask: Ask) -> None:
    """What cannot be sent is refused before a limiter waits or a name is looked for."""
    with pytest.raises(ConfigurationError, match="index_id"):
        BailianRetriever(api_key="test-key")
    with pytest.raises(ConfigurationError, match="empty"):
        ask(make(), " \n")
    with pytest.raises(UnsupportedOperationError, match="rewrite"):
        ask(make(index_name="演示知识库", rewrite=True, rate_limiter=Limiter()), "退货")
    assert emulator.requests == []
    with pytest.raises(NotFoundError):
        ask(make(index_id="kbnone"), "退货")


class Limiter:
    """Counts; one call of it in the wrong colour is an error."""

    def __init__(self) -> None:
        self.acquired = 0

    def acquire(self) -> None:
        """Waits, in a thread."""
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()
        self.acquired += 1

    async def async_acquire(self) -> None:
        """Waits, in a loop."""
        self.acquired += 1


def test_the_limiter_is_asked(make: Make, ask: Ask) -> None:
    """Each query asks it once."""
    limiter = Limiter()
    retriever = make(rate_limiter=limiter)
    ask(retriever, "退货")
    ask(retriever, "发票")
    assert limiter.acquired == 2


def test_a_pace(make: Make, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """A number is queries a second: one after the other, also from the first on, and from copies too."""
    clock, slept = [100.0], list[float]()

    def sleep(seconds: float) -> None:
        slept.append(seconds)

    async def async_sleep(seconds: float) -> None:
        sleep(seconds)

    monkeypatch.setattr("llama_index_xingchen._pace._now", lambda: clock[0])
    monkeypatch.setattr("llama_index_xingchen._pace._sleep", sleep)
    monkeypatch.setattr("llama_index_xingchen._pace._async_sleep", async_sleep)
    retriever = make(rate_limiter=2)
    for each in (retriever, retriever, copy.deepcopy(retriever), copy.copy(retriever)):
        ask(each, "退货")
    assert slept == [0, 0.5, 1.0, 1.5]
    clock[0] = 110.0
    ask(retriever, "退货")
    ask(pickle.loads(pickle.dumps(retriever)), "退货")
    assert slept[4:] == [0, 0]
    for number in (0, -1):
        with pytest.raises(ConfigurationError, match="queries a second"):
            make(rate_limiter=number)


@pytest.mark.skipif(find_spec("llama_index.core.rate_limiter") is None, reason="newer than the oldest LlamaIndex")
@pytest.mark.parametrize("clone", [lambda r: pickle.loads(pickle.dumps(r)), copy.copy, copy.deepcopy])
def test_limiters_of_llama_index(make: Make, ask: Ask, clone: Callable[[Any], BailianRetriever]) -> None:
    """They hold a lock: a retriever with one can be copied and pickled all the same."""
    from llama_index.core.rate_limiter import TokenBucketRateLimiter

    retriever = make(rate_limiter=TokenBucketRateLimiter(requests_per_minute=600))
    with clone(retriever) as other:
        assert ask(other, "退货")
        assert other.rate_limiter.requests_per_minute == 600
    assert ask(retriever, "退货")


def test_queries_wait_together() -> None:
    """Async queries leave the loop free: two are under way before either is answered."""
    waiting = 0

    async def answer(request: httpx.Request) -> httpx.Response:
        nonlocal waiting
        waiting += 1
        both.set() if waiting == 2 else await asyncio.wait_for(both.wait(), 1)
        return httpx.Response(200, json={"success": True, "code": "Success", "data": {"nodes": []}})

    async def query() -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
            retriever = BailianRetriever(index_id="kbfake", api_key="test-key", http_async_client=http)
            await asyncio.gather(retriever.aretrieve("一"), retriever.aretrieve("二"))

    both = asyncio.Event()
    asyncio.run(query())
    assert waiting == 2


def test_events(make: Make, events: list[Any], ask: Ask) -> None:
    """Start and end are told once per query, to both of LlamaIndex's ways of watching; the base does it."""
    debug = LlamaDebugHandler(print_trace_on_end=False)
    found = ask(make(callback_manager=CallbackManager([debug])), "退货")
    told = [event for event in events if isinstance(event, (RetrievalStartEvent, RetrievalEndEvent))]
    assert [type(event) for event in told] == [RetrievalStartEvent, RetrievalEndEvent]
    assert isinstance(told[1], RetrievalEndEvent)
    assert told[1].nodes == found
    assert len(debug.get_event_pairs(CBEventType.RETRIEVE)) == 1
    assert {"_retrieve", "_aretrieve"} <= vars(BailianRetriever).keys()
    assert not {"retrieve", "aretrieve"} & vars(BailianRetriever).keys()


@pytest.mark.parametrize("clone", [lambda r: pickle.loads(pickle.dumps(r)), copy.copy, copy.deepcopy])
def test_clones_work(make: Make, clone: Callable[[Any], BailianRetriever]) -> None:
    """A used retriever can be copied and sent to another process; no key is shown."""
    retriever = make(index_name="演示知识库")
    found = retriever.retrieve("退货")
    with clone(retriever) as other:
        assert other.retrieve("退货") == found
    assert "test-key" not in f"{retriever!r}{retriever.model_dump()}"
