"""`BailianRetriever`: what is asked and what comes back, by every route; limits, copies and secrets."""

import asyncio
import copy
import pickle
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.load import dumps
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.rate_limiters import BaseRateLimiter, InMemoryRateLimiter
from langchain_core.runnables import ConfigurableField, RunnableConfig
from pydantic import ValidationError

import langchain_xingchen
from langchain_xingchen import BailianRetriever, ChatBailian
from langchain_xingchen.retrievers import to_document
from xingchen_core import (
    ConfigurationError,
    Message,
    NotFoundError,
    RateLimitError,
    UnsupportedOperationError,
)
from xingchen_core.bailian.knowledge import Condition, Group, Rerank, RetrievedNode
from xingchen_core.emulator import Emulator

MakeRetriever = Callable[..., BailianRetriever]
Ask = Callable[..., list[Document]]
SIGNED = {"access_key_id": "testid", "access_key_secret": "testsecret", "workspace_id": "llm-demo"}


@pytest.fixture
def make(retriever_of: MakeRetriever) -> MakeRetriever:
    """Makes retrievers."""
    return retriever_of


def titles(documents: list[Document]) -> list[str]:
    """The titles, in order."""
    return [document.metadata["title"] for document in documents]


def test_a_chunk_as_a_document() -> None:
    """All that is known of a chunk is in its metadata, in plain types; its own fields are beside it."""
    node = RetrievedNode(
        id="chunk_1",
        text="七天内可以退货。",
        rendered_text="正文: 七天内可以退货。",
        score=0.75,
        title="退货",
        heading_path="售后|退货",
        document_id="file_fake_1",
        document_name="手册",
        document_url="https://example.invalid/手册.pdf",
        index_id="kb_fake",
        page_numbers=(3, 4),
        image_urls=("https://example.invalid/1.png",),
        fields={"author": "演示", "score": "5"},
        raw={"file_path": "https://example.invalid/secret"},
    )
    assert to_document(node) == Document(
        id="chunk_1",
        page_content="七天内可以退货。",
        metadata={
            "author": "演示",
            "score": 0.75,
            "title": "退货",
            "heading_path": "售后|退货",
            "document_id": "file_fake_1",
            "document_name": "手册",
            "document_url": "https://example.invalid/手册.pdf",
            "index_id": "kb_fake",
            "page_numbers": [3, 4],
            "image_urls": ["https://example.invalid/1.png"],
            "audio_urls": [],
            "video_urls": [],
        },
    )


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({}, "/api/v1/indices/rag/index/retrieve"),
        ({"agent_id": "aid-demo"}, "/api/v1/indices/knowledge/search"),
        (SIGNED, "/llm-demo/index/retrieve"),
        ({"route": "pipeline"}, "/api/v1/indices/pipeline/kbdemo0001/retrieve"),
    ],
    ids=["index", "service", "openapi", "pipeline"],
)
def test_every_route_finds_the_same(
    make: MakeRetriever, emulator: Emulator, ask: Ask, fields: dict[str, Any], path: str
) -> None:
    """The route follows what is given, and the document is the same."""
    [document] = ask(make(**fields), "怎么申请电子发票", k=1)
    assert document.page_content == "在订单详情里点「申请发票」，电子发票当天开好。"
    assert document.id
    told = {name: document.metadata[name] for name in ("title", "document_name", "index_id", "page_numbers", "author")}
    assert told == {
        "title": "发票指南",
        "document_name": "发票指南",
        "index_id": "kbdemo0001",
        "page_numbers": [0],
        "author": "演示",
    }
    assert 0 < document.metadata["score"] <= 1
    assert [request.path for request in emulator.requests] == [path]


@pytest.mark.parametrize("fields", [{}, SIGNED, {"route": "pipeline"}], ids=["index", "openapi", "pipeline"])
def test_by_name(make: MakeRetriever, emulator: Emulator, ask: Ask, fields: dict[str, Any]) -> None:
    """A name does in place of an id; it is looked for once, and again when its index is gone."""
    retriever = make(index_name="演示知识库", **fields)
    for _ in range(3):
        assert titles(ask(retriever, "电子发票")) == ["发票指南"]
    assert len(emulator.requests) == 4
    knowledge = emulator.bailian.knowledge
    knowledge.indexes["kbdemo0001"].name = "旧的"
    knowledge.add_index("演示知识库", "kbother001")
    knowledge.add_document("kbother001", "电子.md", "电子发票在别处。")
    other = retriever.model_copy()
    assert [document.page_content for document in ask(other, "电子发票")] == ["电子发票在别处。"]
    del knowledge.indexes["kbdemo0001"]
    with pytest.raises(NotFoundError):
        ask(retriever, "电子发票")
    assert [document.page_content for document in ask(retriever, "电子发票")] == ["电子发票在别处。"]


def test_no_such_name(make: MakeRetriever, ask: Ask) -> None:
    """A name that nothing has is an error."""
    with pytest.raises(NotFoundError, match="没有"):
        ask(make(index_name="没有"), "电子发票")


def test_nothing_found(make: MakeRetriever, ask: Ask) -> None:
    """No chunk is an empty list."""
    assert ask(make(), "xyzzy") == []


def test_what_shapes_a_query(make: MakeRetriever, emulator: Emulator, ask: Ask) -> None:
    """A call has the retriever's settings, and its own in their place, for this call only."""
    retriever = make(k=4, rerank=Rerank(model="qwen3-rerank"), dense_top_k=0)
    ask(retriever, "退货", k=2, sparse_top_k=7, extra={"new_member": 1})
    ask(retriever, "退货")
    first, second = (request.json for request in emulator.requests)
    assert first == {
        "index_id": "kbdemo0001",
        "query": "退货",
        "dense_similarity_top_k": 0,
        "sparse_similarity_top_k": 7,
        "enable_reranking": True,
        "rerank": [{"model_name": "qwen3-rerank"}],
        "rerank_top_n": 2,
        "new_member": 1,
    }
    assert second["rerank_top_n"] == 4
    assert "sparse_similarity_top_k" not in second


def test_filters(make: MakeRetriever, ask: Ask) -> None:
    """In our words or the service's, of the retriever or of a call."""
    both = "退货 发票"
    assert set(titles(ask(make(), both))) == {"退货政策", "发票指南"}
    assert set(titles(ask(make(filters=Condition("tags", "in", ["发票指南"])), both))) == {"发票指南"}
    assert set(titles(ask(make(), both, search_filters=({"tags": '["退货政策"]'},)))) == {"退货政策"}


def test_scores_below_the_threshold(make: MakeRetriever, ask: Ask) -> None:
    """Only what scores above it is left."""
    least = min(document.metadata["score"] for document in ask(make(), "退货 发票 开好"))
    left = ask(make(rerank_min_score=least), "退货 发票 开好")
    assert left
    assert all(document.metadata["score"] > least for document in left)


def test_history_is_for_rewriting(make: MakeRetriever, emulator: Emulator, ask: Ask) -> None:
    """The conversation before the question goes with it where the route can rewrite, else is refused unsent."""
    history = [Message(role="user", content="我想退货"), Message(role="assistant", content="好的")]
    of_langchain = [
        SystemMessage("你是客服。"),
        HumanMessage([{"type": "text", "text": "我想退货"}, {"type": "image", "url": "https://example.invalid/1.png"}]),
        AIMessage("", tool_calls=[{"name": "f", "args": {}, "id": "c1"}]),
        ToolMessage("结果", tool_call_id="c1"),
        ("ai", "好的"),
    ]
    for messages in (history, of_langchain):
        ask(make(**SIGNED), "要几天?", history=messages)
    for request in emulator.requests:
        assert request.query["EnableRewrite"] == "true"
        told = '[{"role":"user","content":"我想退货"},{"role":"assistant","content":"好的"}]'
        assert request.query["QueryHistory"] == told
    with pytest.raises(UnsupportedOperationError, match="openapi"):
        ask(make(), "要几天?", history=history)
    assert len(emulator.requests) == 2


@pytest.mark.parametrize("name", ["nonsense", "index_id", "query", "api_key"])
def test_an_unknown_keyword(make: MakeRetriever, emulator: Emulator, ask: Ask, name: str) -> None:
    """What a call cannot say is not ignored."""
    with pytest.raises(TypeError, match=name):
        ask(make(), "退货", **{name: "x"})
    assert emulator.requests == []


def test_refused_at_once(emulator: Emulator) -> None:
    """No credentials, no knowledge base, credentials for another route, a misspelt argument: nothing is sent."""
    with pytest.raises(ConfigurationError, match="DASHSCOPE_API_KEY"):
        BailianRetriever(index_id="kbdemo0001")
    with pytest.raises(ConfigurationError, match="index_id"):
        BailianRetriever(api_key="test-key")
    with pytest.raises(ConfigurationError, match="access_key_id"):
        BailianRetriever(api_key="test-key", index_id="kbdemo0001", route="openapi")
    with pytest.raises(UnsupportedOperationError, match="rewrite"):
        BailianRetriever(api_key="test-key", index_id="kbdemo0001", rewrite=True)
    with pytest.raises(ValidationError) as caught:
        BailianRetriever(api_key="test-key", index_id="kbdemo0001", top_k="canary")
    assert "canary" not in str(caught.value)
    assert emulator.requests == []


class Counting(BaseRateLimiter):
    """Lets all through and counts."""

    def __init__(self) -> None:
        self.waits: list[str] = []

    def acquire(self, *, blocking: bool = True) -> bool:
        self.waits.append(f"blocking={blocking}")
        return True

    async def aacquire(self, *, blocking: bool = True) -> bool:
        self.waits.append(f"async blocking={blocking}")
        return True


def test_a_batch_waits_for_the_rate_limiter(make: MakeRetriever, emulator: Emulator) -> None:
    """Each query takes its turn; one that is not sent takes none."""
    limiter = Counting()
    retriever = make(rate_limiter=limiter)
    assert list(map(titles, retriever.batch(["电子发票", "xyzzy"]))) == [["发票指南"], []]
    assert limiter.waits == ["blocking=True"] * 2
    assert list(map(titles, asyncio.run(retriever.abatch(["电子发票", "xyzzy"])))) == [["发票指南"], []]
    assert limiter.waits[2:] == ["async blocking=True"] * 2
    with pytest.raises(TypeError):
        retriever.invoke("退货", nonsense=1)
    assert len(limiter.waits) == len(emulator.requests) == 4


class Clock:
    """A time that passes by sleeping only, in seconds."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.parametrize("way", ["batch", "abatch"])
def test_one_query_a_second(make: MakeRetriever, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """A batch with LangChain's own limiter keeps to the plan of one query a second; without it it does not."""
    clock = Clock()

    async def pause(seconds: float) -> None:
        clock.sleep(seconds)

    monkeypatch.setattr("langchain_core.rate_limiters.time", clock)
    monkeypatch.setattr("langchain_core.rate_limiters.asyncio", SimpleNamespace(sleep=pause))
    monkeypatch.setattr(emulator.bailian, "clock", lambda: 1e9 + clock.now)
    emulator.bailian.knowledge.queries_per_second = 1
    config: RunnableConfig = {"max_concurrency": 1}

    def run(retriever: BailianRetriever) -> list[Any]:
        if way == "batch":
            return retriever.batch(["电子发票"] * 4, config, return_exceptions=True)
        return asyncio.run(retriever.abatch(["电子发票"] * 4, config, return_exceptions=True))

    limiter = InMemoryRateLimiter(requests_per_second=1, check_every_n_seconds=0.25)
    assert [titles(found) for found in run(make(rate_limiter=limiter))] == [["发票指南"]] * 4
    assert clock.now == 4
    assert len(emulator.requests) == 4
    clock.sleep(1)
    assert [type(found) for found in run(make(max_retries=0))] == [list, *[RateLimitError] * 3]


@pytest.mark.parametrize("kind", [BailianRetriever, ChatBailian])
def test_clones_keep_the_pace(emulator: Emulator, kind: Any) -> None:
    """A copy shares the limiter; another process has one like it. One that can travel by itself does."""
    place = {"index_id": "kbdemo0001"} if kind is BailianRetriever else {"model": "qwen-plus"}
    limiter = InMemoryRateLimiter(requests_per_second=3, check_every_n_seconds=0.01, max_bucket_size=5)
    limiter.acquire()
    paced = kind(api_key="test-key", rate_limiter=limiter, **place)
    for clone in (copy.copy(paced), copy.deepcopy(paced)):
        assert clone.rate_limiter is limiter
    revived = pickle.loads(pickle.dumps(paced)).rate_limiter
    assert revived is not limiter
    assert (revived.requests_per_second, revived.check_every_n_seconds, revived.max_bucket_size) == (3, 0.01, 5)
    assert revived.acquire()
    mine = pickle.loads(pickle.dumps(kind(api_key="test-key", rate_limiter=Counting(), **place))).rate_limiter
    assert isinstance(mine, Counting)


def test_configurable(make: MakeRetriever, emulator: Emulator) -> None:
    """One retriever for several knowledge bases."""
    knowledge = emulator.bailian.knowledge
    knowledge.add_index("另一个", "kbother001")
    knowledge.add_document("kbother001", "电子.md", "电子发票在别处。")
    retriever = make().configurable_fields(index_id=ConfigurableField("index"))
    assert titles(retriever.invoke("电子发票")) == ["发票指南"]
    found = retriever.invoke("电子发票", {"configurable": {"index": "kbother001"}})
    assert [document.page_content for document in found] == ["电子发票在别处。"]


def test_failures(make: MakeRetriever, emulator: Emulator, ask: Ask) -> None:
    """A failure is the package's own error, and callbacks are told of it. A throttled query is asked again."""
    emulator.bailian.knowledge.queries_per_second = 0

    class Noting(BaseCallbackHandler):
        def __init__(self) -> None:
            self.errors: list[BaseException] = []

        def on_retriever_error(self, error: BaseException, **kwargs: Any) -> None:
            self.errors.append(error)

    handler = Noting()
    with pytest.raises(RateLimitError) as caught:
        ask(make(), "退货", config={"callbacks": [handler]})
    assert handler.errors[-1] is caught.value
    assert len(emulator.requests) == 3


@pytest.mark.parametrize(
    "clone",
    [lambda it: pickle.loads(pickle.dumps(it)), copy.copy, copy.deepcopy],
    ids=["pickle", "copy", "deepcopy"],
)
def test_clones_work(make: MakeRetriever, clone: Callable[[BailianRetriever], BailianRetriever]) -> None:
    """A used retriever can be copied and sent to another process."""
    retriever = make(filters=Condition("tags", "in", ["发票指南"]))
    retriever.invoke("退货")
    with clone(retriever) as other:
        assert titles(other.invoke("退货 发票")) == ["发票指南"]


def test_no_secret_is_shown(make: MakeRetriever) -> None:
    """Neither face has the key, the AccessKey, or headers."""
    for fields in ({}, SIGNED):
        retriever = make(default_headers={"x-mine": "canary"}, **fields)
        faces = f"{retriever!r}{retriever}{retriever.model_dump()}{retriever.model_dump_json()}{dumps(retriever)}"
        for secret in ("test-key", "testid", "testsecret", "canary"):
            assert secret not in faces


@pytest.mark.parametrize("fields", [{}, SIGNED], ids=["key", "AccessKey"])
def test_dumped_and_revived(make: MakeRetriever, monkeypatch: pytest.MonkeyPatch, fields: dict[str, str]) -> None:
    """All that shapes a query is there again; the secrets are the environment's, and in no dump."""
    filters = Group("and", (Condition("tags", "in", ["发票指南"]), Condition("author", "eq", "演示")))
    retriever = make(filters=filters, rerank=Rerank(model="qwen3-rerank"), k=2, timeout=7.0, **fields)
    text = dumps(retriever)
    assert "test" not in text
    monkeypatch.setenv("DASHSCOPE_API_KEY", "test-key")
    monkeypatch.setenv("ALIBABA_CLOUD_ACCESS_KEY_ID", "testid")
    monkeypatch.setenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "testsecret")
    with langchain_xingchen.loads(text) as revived:
        assert (revived.filters, revived.rerank, revived.k) == (filters, Rerank(model="qwen3-rerank"), 2)
        assert revived.timeout == 7.0
        assert titles(revived.invoke("退货 发票")) == ["发票指南"]
