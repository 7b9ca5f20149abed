"""What other plug-ins for Bailian's knowledge bases get wrong, one test each: here it is right.

[LI] llama-index-indices-managed-dashscope 0.6.0, [RD] llama-index-readers-dashscope 0.4.1, [NP]
llama-index-node-parser-dashscope 0.5.1, [SAA] spring-ai-alibaba, [AGR] agentscope-runtime 1.1.5.
"""

import asyncio
import inspect
from pathlib import Path
from typing import Any

import httpx
import pytest
from blockbuster import blockbuster_ctx
from llama_index.core import Document
from llama_index.core.indices.managed.base import BaseManagedIndex
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import ImageNode

from colours import COLOURS, Do, caller
from llama_index_xingchen import BailianIndex, BailianRetriever
from xingchen_core import (
    APIResponseError,
    APITimeoutError,
    AuthenticationError,
    ConfigurationError,
    InternalServerError,
    NotFoundError,
    RateLimitError,
)
from xingchen_core.bailian.knowledge import Chunking, DocumentsFailedError, Rerank
from xingchen_core.emulator import Emulator
from xingchen_core.emulator.bailian_index_store import Chunk


@pytest.fixture(params=COLOURS)
def do(request: pytest.FixtureRequest) -> Do:
    """Calls a method by its sync name, in either colour."""
    return caller(request.param)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were made, in seconds; nothing waits."""
    made: list[float] = []

    async def pause(seconds: float) -> None:
        made.append(seconds)
        await asyncio.sleep(0)

    monkeypatch.setattr("xingchen_core._client._sleep", made.append)
    monkeypatch.setattr("xingchen_core._client._async_sleep", pause)
    return made


@pytest.fixture
def connection(emulator: Emulator) -> dict[str, Any]:
    """How to reach the emulator."""
    return {"api_key": "test-key", "base_url": emulator.url}


DOCUMENT = Document(id_="甲", text="七天内可以退货。")


@pytest.mark.parametrize("route", ["index", "pipeline"])
def test_li_sends_the_key_without_bearer(
    emulator: Emulator, do: Do, connection: dict[str, Any], route: str, pauses: list[float]
) -> None:
    """[LI], [AGR]: a bare key, in one of two places. Ours says `Bearer` everywhere."""
    index = BailianIndex("kbdemo0001", **connection)
    do(index, "insert", DOCUMENT)
    assert do(index.as_retriever(route=route), "retrieve", "退货")
    calls = [request for request in emulator.requests if request.method != "PUT"]  # an upload goes without a key
    assert {request.headers["authorization"] for request in calls} == {"Bearer test-key"}


def test_li_asks_in_the_constructor(emulator: Emulator, connection: dict[str, Any]) -> None:
    """[LI]: a call to look for the name. Ours is made without any, in a loop too."""

    async def make() -> None:
        with blockbuster_ctx():
            BailianRetriever(index_name="演示知识库", route="pipeline", **connection)
            BailianIndex(index_name="演示知识库", **connection).as_retriever()

    asyncio.run(make())
    assert emulator.requests == []


def test_li_without_a_key_fails_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """[LI]: TypeError, or a request without a key. Ours says at once what to set."""
    monkeypatch.delenv("DASHSCOPE_API_KEY", raising=False)
    for make in (BailianRetriever, BailianIndex):
        with pytest.raises(ConfigurationError, match="DASHSCOPE_API_KEY"):
            make(index_id="kbdemo0001")


def test_li_never_times_out(emulator: Emulator, do: Do, connection: dict[str, Any]) -> None:
    """[LI]: no timeout, or one that is not used. Ours ends, with a typed error."""
    emulator.fail("stall", path="/retrieve")
    with pytest.raises(APITimeoutError):
        do(BailianRetriever(index_id="kbdemo0001", timeout=0.05, max_retries=0, **connection), "retrieve", "退货")


def test_li_blocks_the_loop(emulator: Emulator, connection: dict[str, Any]) -> None:
    """[LI], [RD]: blocking I/O inside of async methods. Ours does none, and its first request neither."""
    emulator.bailian.knowledge.polls_until_done = 0

    async def work() -> None:
        with blockbuster_ctx():
            async with BailianRetriever(index_name="演示知识库", **connection) as retriever:
                assert await retriever.aretrieve("退货")
            index = await BailianIndex.afrom_documents([DOCUMENT], index_name="手册", **connection)
            await index.ainsert(Document(id_="乙", text="三天到账。"))
            await index.aupdate_ref_doc(Document(id_="乙", text="五天到账。"))
            await index.arefresh_ref_docs([DOCUMENT])
            await index.adelete_ref_doc("乙")
            await index.adelete_index()
            await index.aclose()

    asyncio.run(work())


@pytest.mark.parametrize("route", ["index", "pipeline"])
def test_li_asks_an_index_without_an_id(emulator: Emulator, do: Do, connection: dict[str, Any], route: str) -> None:
    """[LI]: a name that nothing has gives the id `""`, and a request to `//retrieve`. Ours is an error."""
    with pytest.raises(NotFoundError, match="无此"):
        do(BailianRetriever(index_name="无此", route=route, **connection), "retrieve", "退货")
    assert not any("retrieve" in request.path for request in emulator.requests)
    with pytest.raises(ConfigurationError, match="index_id"):
        BailianRetriever(index_id="", **connection)


def test_li_sends_what_nobody_asked_for(emulator: Emulator, do: Do, connection: dict[str, Any]) -> None:
    """[LI]: a frozen reranker, a threshold out of range over the index's own, `query_history: null`, a rewriter."""
    do(BailianRetriever(index_id="kbdemo0001", route="pipeline", **connection), "retrieve", "退货")
    assert emulator.requests[0].json == {
        "query": "退货",
        "enable_rewrite": False,
        "enable_reranking": True,
        "rerank_top_n": 5,
    }


def test_li_lacks_options(emulator: Emulator, do: Do, connection: dict[str, Any]) -> None:
    """[LI]: no mode of the reranker, no filters. [SAA]: the dense top_k is sent twice, the sparse one never."""
    rerank = Rerank(model="qwen3-rerank", mode="custom", instruct="新的优先")
    options = {"rerank": rerank, "dense_top_k": 7, "sparse_top_k": 3, "search_filters": [{"tags": ["a"]}]}
    do(BailianRetriever(index_id="kbdemo0001", route="pipeline", **options, **connection), "retrieve", "退货")
    sent = emulator.requests[0].json
    assert sent["rerank"] == [{"model_name": "qwen3-rerank", "rerank_mode": "custom", "rerank_instruct": "新的优先"}]
    assert (sent["dense_similarity_top_k"], sent["sparse_similarity_top_k"]) == (7, 3)
    assert sent["search_filters"] == [{"tags": ["a"]}]


def test_li_forgets_the_indexs_settings(
    emulator: Emulator, do: Do, connection: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """[LI]: `as_retriever()` drops key, workspace and host of the index, and takes the environment's."""
    for name, value in {"API_KEY": "other", "WORKSPACE_ID": "llm-other", "BASE_URL": "https://e.invalid"}.items():
        monkeypatch.setenv(f"DASHSCOPE_{name}", value)
    index = BailianIndex("kbdemo0001", workspace_id="llm-demo", **connection)
    assert do(index.as_retriever(), "retrieve", "退货")
    assert emulator.requests[0].headers["authorization"] == "Bearer test-key"
    assert index.as_retriever().workspace_id == "llm-demo"


def test_li_returns_none_when_an_import_fails(
    emulator: Emulator, do: Do, connection: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """[LI]: prints `Index {name} created failed!` and returns None. Ours raises, names the document, prints nothing."""
    emulator.bailian.knowledge.polls_until_done = 0
    emulator.bailian.knowledge.failing_imports = {"甲.txt"}
    with pytest.raises(DocumentsFailedError, match=r"甲: INSERT_ERROR, [^.]*\. The knowledge base is there"):
        do(BailianIndex, "from_documents", [DOCUMENT], index_name="手册", **connection)
    assert capsys.readouterr() == ("", "")


def test_li_makes_structured_indexes(
    emulator: Emulator, do: Do, connection: dict[str, Any], pauses: list[float]
) -> None:
    """[LI]: `data_type: structured`, `sink_type: ES`, for debugging. Ours is what a document index is."""
    do(BailianIndex, "from_documents", [DOCUMENT], index_name="手册", **connection)
    [made] = [request.json for request in emulator.requests if request.path.endswith("create_v2")]
    assert (made["structureType"], made["sinkType"], made["sourceType"]) == (
        "unstructured",
        "BUILT_IN",
        "DATA_CENTER_FILE",
    )


def test_li_polls_for_ever(emulator: Emulator, do: Do, connection: dict[str, Any], pauses: list[float]) -> None:
    """[LI]: no end, and no pause after an error: 700 requests a second. Ours backs off, and stops."""
    emulator.bailian.knowledge.polls_until_done = 1000
    index = BailianIndex("kbdemo0001", wait_timeout=60, poll_interval=4, **connection)
    with pytest.raises(APITimeoutError, match=r"60 s.*甲\.txt"):
        do(index, "insert", DOCUMENT)
    assert pauses == pytest.approx([4, 6, 9, 13.5, 20.25, 7.25])
    sent = len(emulator.requests)
    del pauses[:]
    emulator.fail("status", status=429, code="Throttling", times=100, path="describeFile")
    with pytest.raises(RateLimitError):
        do(index, "insert", DOCUMENT)
    looks = [request for request in emulator.requests[sent:] if "describeFile" in request.path]
    assert (len(looks), len(pauses)) == (3, 2)


def test_li_cannot_be_cancelled(emulator: Emulator, connection: dict[str, Any]) -> None:
    """[LI]: a wait that nothing ends. Ours ends with its task, at once; the document is known all the same."""
    emulator.bailian.knowledge.polls_running_after_rows = 0
    told = asyncio.Event()

    async def work() -> BailianIndex:
        def progress(doing: str, done: int, total: int) -> None:
            if doing == "Importing":
                emulator.bailian.knowledge.polls_until_done = 10**6
                told.set()

        index = BailianIndex("kbdemo0001", on_progress=progress, **connection)
        task = asyncio.create_task(index.ainsert(DOCUMENT))
        await told.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 1)
        return index

    index = asyncio.run(work())
    assert "甲" in index.index_struct.nodes_dict.values()


def test_li_has_names_only(emulator: Emulator, do: Do, connection: dict[str, Any], pauses: list[float]) -> None:
    """[LI]: no index by its id, no list, no delete, no update; `insert` is an AttributeError."""
    index = BailianIndex("kbdemo0001", **connection)
    do(index, "insert", DOCUMENT)
    do(index, "update_ref_doc", Document(id_="甲", text="十天内可以退货。"))
    assert do(index.as_retriever(similarity_top_k=1), "retrieve", "十天内")[0].text == "十天内可以退货。"
    assert {"甲", "guide"} <= {document.name for document in do(index, "list_documents")}
    do(index, "delete_index")
    with pytest.raises(NotFoundError):
        do(index.as_retriever(), "retrieve", "退货")


@pytest.mark.parametrize("name", ["delete_ref_doc", "update_ref_doc", "insert", "delete_nodes", "refresh_ref_docs"])
def test_li_changes_signatures(name: str) -> None:
    """[LI]: `delete_ref_doc` takes other arguments than LlamaIndex gives. Ours takes those of its base."""
    for method in (name, f"a{name}"):
        ours, base = (inspect.signature(getattr(cls, method)) for cls in (BailianIndex, BaseManagedIndex))
        names = [each for each in ours.parameters if ours.parameters[each].kind is not inspect.Parameter.VAR_KEYWORD]
        theirs = [each for each in base.parameters if base.parameters[each].kind is not inspect.Parameter.VAR_KEYWORD]
        assert names == theirs


def test_li_loses_pictures(emulator: Emulator, do: Do, connection: dict[str, Any]) -> None:
    """[LI]: each node becomes a TextNode without its picture; also where the service sends LlamaIndex's nodes."""
    emulator.bailian.knowledge.add_index("图", "kbfake")
    picture = Chunk("c1", "红茶", images=("https://e.invalid/a.png",))
    emulator.bailian.knowledge.add_document("kbfake", "茶.png", chunks=[picture])
    [node] = do(BailianRetriever(index_id="kbfake", route="pipeline", **connection), "retrieve", "红茶")
    assert isinstance(node.node, ImageNode)
    assert (node.node.image_url or "").startswith("https://e.invalid/a.png")


def test_li_takes_what_no_engine_can_give(emulator: Emulator, do: Do, connection: dict[str, Any]) -> None:
    """[LI]: `retrieve` with an argument that no engine passes. Ours is LlamaIndex's own, and engines work."""
    assert {"retrieve", "aretrieve"}.isdisjoint(vars(BailianRetriever))
    engine = RetrieverQueryEngine.from_args(BailianRetriever(index_id="kbdemo0001", **connection), llm=MockLLM())
    assert do(engine, "query", "退货").source_nodes


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [(401, "InvalidApiKey", AuthenticationError), (500, "InternalError", InternalServerError)],
)
def test_li_raises_bare_errors(
    emulator: Emulator, do: Do, connection: dict[str, Any], status: int, code: str, error: type[Exception]
) -> None:
    """[LI]: RuntimeError or KeyError. [RD], [NP], [AGR]: a failure becomes `[]`. Ours is typed."""
    emulator.fail("status", status=status, code=code, times=9, path="/retrieve")
    with pytest.raises(error) as told:
        do(BailianRetriever(index_id="kbdemo0001", max_retries=0, **connection), "retrieve", "退货")
    assert told.value.request_id  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "body",
    [
        {"success": False, "code": "Index.Forbidden", "message": "no", "request_id": "r1"},
        {"success": "false", "message": "no", "request_id": "r1"},
        {"status": "FAILED", "success": False, "request_id": "r1"},
        {"code": "Success", "status_code": 500, "request_id": "r1"},
    ],
)
def test_success_is_not_a_status(do: Do, body: dict[str, Any]) -> None:
    """All: HTTP 200 is taken for success. Ours reads what the body says, by each of its flags."""

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=body)

    transport = httpx.MockTransport(answer)
    clients = {
        "http_client": httpx.Client(transport=transport),
        "http_async_client": httpx.AsyncClient(transport=transport),
    }
    retriever = BailianRetriever(index_id="kbfake", api_key="test-key", max_retries=0, **clients)
    with pytest.raises(Exception) as told:  # noqa: PT011  # which one, is below
        do(retriever, "retrieve", "退货")
    assert told.value.request_id == "r1"  # type: ignore[attr-defined]


def test_rd_ignores_errors(emulator: Emulator, do: Do, connection: dict[str, Any], pauses: list[float]) -> None:
    """[RD]: `ignore_errors=True`: a file that cannot be parsed is `[]`. Ours is an error that names it."""
    emulator.bailian.knowledge.failing_files = {"甲.txt"}
    with pytest.raises(DocumentsFailedError, match=r"甲\.txt.*PARSE_FAILED"):
        do(BailianIndex("kbdemo0001", **connection), "insert", DOCUMENT)


def test_rd_overwrites_metadata(emulator: Emulator, do: Do, connection: dict[str, Any], pauses: list[float]) -> None:
    """[RD]: the caller's `extra_info` is replaced. Ours leaves documents as they were."""
    document = Document(id_="甲", text="茶", metadata={"author": "小王"}, excluded_llm_metadata_keys=["author"])
    before = document.model_dump()
    index = BailianIndex("kbdemo0001", **connection)
    do(index, "insert", document)
    do(index, "update_ref_doc", document)
    assert document.model_dump() == before


def test_rd_has_one_parser(
    emulator: Emulator, do: Do, connection: dict[str, Any], pauses: list[float], tmp_path: Path
) -> None:
    """[RD]: one parser only. Ours is the caller's choice, for documents and for files."""
    (tmp_path / "乙.md").write_text("茶", "utf-8")
    index = BailianIndex("kbdemo0001", parser="DOCMIND_LLM_VERSION", **connection)
    do(index, "insert", DOCUMENT)
    do(index, "insert_files", [tmp_path / "乙.md"])
    registered = [request.json for request in emulator.requests if request.path.endswith("/addFile")]
    assert [body["parser"] for body in registered] == ["DOCMIND_LLM_VERSION"] * 2


def test_rd_runs_a_loop(emulator: Emulator, connection: dict[str, Any], pauses: list[float]) -> None:
    """[RD]: `asyncio.run` in a sync method, which fails in a notebook. Ours works where a loop runs."""

    async def notebook() -> None:
        index = BailianIndex("kbdemo0001", **connection)
        index.insert(DOCUMENT)
        assert index.as_retriever().retrieve("七天内")

    asyncio.run(notebook())


def test_rd_does_not_know_statuses(emulator: Emulator, do: Do, connection: dict[str, Any], pauses: list[float]) -> None:
    """[RD]: `IN_PARSE_QUEUE` is an error. Ours waits on."""
    emulator.bailian.knowledge.polls_until_done = 4
    statuses: list[str] = []
    index = BailianIndex("kbdemo0001", on_progress=lambda *step: statuses.append(step[0]), **connection)
    do(index, "insert", DOCUMENT)
    assert statuses.count("Parsing") > 3
    assert do(index.as_retriever(similarity_top_k=1), "retrieve", "七天内可以")[0].text == "七天内可以退货。"


def test_np_ignores_options(emulator: Emulator, do: Do, connection: dict[str, Any], pauses: list[float]) -> None:
    """[NP]: an option is accepted and not sent. Ours sends how to cut, when an index is made and when it is filled."""
    chunking = Chunking(mode="regex", separator="。", size=100, overlap=10)
    index = do(BailianIndex, "from_documents", [DOCUMENT], index_name="手册", chunking=chunking, **connection)
    do(index, "insert", Document(id_="乙", text="三天到账。"))
    sent = [request.json for request in emulator.requests if request.path.endswith(("create_v2", "job/create"))]
    assert len(sent) == 2
    wanted = {"chunkMode": "regex", "separator": "。", "chunkSize": 100, "overlapSize": 10}
    assert all(wanted.items() <= body.items() for body in sent)


def test_np_retries_at_once(emulator: Emulator, do: Do, connection: dict[str, Any], pauses: list[float]) -> None:
    """[NP]: ten attempts without a pause, then `[]`. Ours are three, with pauses, then the error."""
    emulator.fail("status", status=500, code="InternalError", times=20, path="/retrieve")
    with pytest.raises(InternalServerError):
        do(BailianRetriever(index_id="kbdemo0001", **connection), "retrieve", "退货")
    assert len(emulator.requests) == 3
    assert len(pauses) == 2
    assert min(pauses) > 0


def test_saa_looks_for_the_name_each_time(emulator: Emulator, do: Do, connection: dict[str, Any]) -> None:
    """[SAA]: two calls for each query. Ours looks once. [SAA] also loses the score."""
    retriever = BailianRetriever(index_name="演示知识库", **connection)
    for _ in range(3):
        assert all(isinstance(node.score, float) for node in do(retriever, "retrieve", "退货"))
    assert [request.path.rpartition("/")[2] for request in emulator.requests] == ["list", *["retrieve"] * 3]


def test_saa_deletes_in_doubt(emulator: Emulator, do: Do, connection: dict[str, Any]) -> None:
    """[SAA]: what became of a delete is not looked at. Ours says what was not deleted."""
    index = BailianIndex("kbdemo0001", **connection)
    [busy] = [
        each
        for each in emulator.bailian.knowledge.indexes["kbdemo0001"].documents.values()
        if each.file.name == "guide.md"
    ]
    busy.status = "RUNNING"
    with pytest.raises(APIResponseError, match=busy.file.file_id):
        do(index, "delete_ref_doc", busy.file.file_id)
