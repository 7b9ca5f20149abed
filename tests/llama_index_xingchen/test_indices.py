"""`BailianIndex`: making, filling and changing a knowledge base, and what LlamaIndex builds on it."""

import asyncio
import copy
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from llama_index.core import Document, StorageContext
from llama_index.core.llms import MockLLM
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.schema import TextNode

from colours import COLOURS, Do, caller
from llama_index_xingchen import BailianIndex, BailianRetriever
from xingchen_core import (
    APIResponseError,
    APITimeoutError,
    ConfigurationError,
    InternalServerError,
    NotFoundError,
    Pause,
    UnsupportedOperationError,
)
from xingchen_core.bailian.knowledge import DocumentsFailedError
from xingchen_core.emulator import Emulator

KEY = {"api_key": "test-key"}
SIGNED = {"access_key_id": "testid", "access_key_secret": "testsecret", "workspace_id": "llm-demo"}


@pytest.fixture(autouse=True)
def no_key(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """No credentials but those of the test; work in the background is done at once."""
    monkeypatch.delenv("DASHSCOPE_API_KEY", raising=False)
    emulator.bailian.knowledge.polls_until_done = 0


@pytest.fixture(params=COLOURS)
def do(request: pytest.FixtureRequest) -> Do:
    """Calls a method by its sync name, in either colour; each async call in a loop of its own."""
    return caller(request.param)


@pytest.fixture
def connection(emulator: Emulator) -> dict[str, Any]:
    """How to reach the emulator with an API key."""
    return {**KEY, "base_url": emulator.url}


def document(id_: str, text: str, **metadata: Any) -> Document:
    """A document of this id."""
    return Document(id_=id_, text=text, metadata=metadata)


def names(emulator: Emulator, index: BailianIndex) -> list[str]:
    """The files in a knowledge base."""
    found = emulator.bailian.knowledge.indexes[index.index_id].listed(emulator.bailian.clock())
    return sorted(each.file.name for each in found)


def texts(index: BailianIndex, query: str) -> list[str]:
    """What is found."""
    return [node.text for node in index.as_retriever().retrieve(query)]


@pytest.mark.parametrize("credentials", [KEY, SIGNED], ids=["key", "signed"])
def test_life_of_an_index(emulator: Emulator, do: Do, credentials: dict[str, Any]) -> None:
    """Made of documents, filled, changed, emptied: each step can be searched for when it returns."""
    settings = {**credentials, "base_url": emulator.url}
    first = [document("退货", "七天内可以退货。"), document("发票", "发票当天开好。", author="小王")]
    index = do(BailianIndex, "from_documents", first, index_name="手册", **settings)
    assert names(emulator, index) == ["发票.txt", "退货.txt"]
    assert texts(index, "发票") == ["发票当天开好。"]
    files = {file.name: file.content.decode() for file in emulator.bailian.knowledge.files.values()}
    assert files["发票.txt"] == "author: 小王\n\n发票当天开好。"

    do(index, "insert", document("运费", "运费由商家承担。"))
    assert texts(index, "运费") == ["运费由商家承担。"]

    do(index, "update_ref_doc", document("运费", "邮资由买家承担。"))
    assert texts(index, "邮资") == ["邮资由买家承担。"]
    assert names(emulator, index) == ["发票.txt", "运费.txt", "退货.txt"]
    stored = [file.name for file in emulator.bailian.knowledge.files.values()]
    assert stored.count("运费.txt") == 1  # the old version has left the data centre, too

    changed = [document("退货", "七天内可以退货。"), document("发票", "发票次日开好。"), document("客服", "早九点。")]
    assert do(index, "refresh_ref_docs", changed) == [False, True, True]
    assert names(emulator, index) == ["发票.txt", "客服.txt", "运费.txt", "退货.txt"]
    assert texts(index, "次日") == ["发票次日开好。"]

    do(index, "delete_ref_doc", "退货")
    assert names(emulator, index) == ["发票.txt", "客服.txt", "运费.txt"]
    assert do(index, "refresh_ref_docs", changed[:1]) == [True]
    [node] = index.as_retriever().retrieve("早九点")
    do(index, "delete_nodes", [node.node_id])
    assert texts(index, "早九点") == []


@pytest.mark.parametrize("is_async", [False, True])
def test_made_once(emulator: Emulator, connection: dict[str, Any], is_async: bool) -> None:
    """Of several who make one of the same name at once one does; the service would make each of them one."""
    documents = [document("退货", "七天内可以退货。")]

    async def make_all() -> list[Any]:
        making = [BailianIndex.afrom_documents(documents, index_name="新书", **connection) for _ in range(3)]
        return await asyncio.gather(*making, return_exceptions=True)

    def make(_: int) -> Any:
        try:
            return BailianIndex.from_documents(documents, index_name="新书", **connection)
        except ConfigurationError as error:
            return error

    if is_async:
        made = asyncio.run(make_all())
    else:
        with ThreadPoolExecutor(3) as pool:
            made = list(pool.map(make, range(3)))
    assert sorted(type(each).__name__ for each in made) == ["BailianIndex", "ConfigurationError", "ConfigurationError"]
    assert [index.name for index in emulator.bailian.knowledge.indexes.values()].count("新书") == 1


def test_attached(emulator: Emulator, do: Do, connection: dict[str, Any]) -> None:
    """An index that is there is found by id or name, without a request before it is used."""
    for place in ({"index_id": "kbdemo0001"}, {"index_name": "演示知识库"}):
        sent = len(emulator.requests)
        index = BailianIndex(**place, **connection)
        retriever = index.as_retriever(similarity_top_k=1)
        assert len(emulator.requests) == sent
        assert [node.text for node in retriever.retrieve("无理由退货")] == ["收到商品七天内可以无理由退货。"]
        do(index, "insert", document("新", "新的一页。"))
        assert index.index_id == "kbdemo0001"


def test_no_such_index(do: Do, connection: dict[str, Any], emulator: Emulator) -> None:
    """A name that nothing has is an error, before anything is uploaded; no id is made up."""
    index = BailianIndex(index_name="无此", **connection)
    with pytest.raises(NotFoundError, match="无此"):
        do(index, "insert", document("新", "新"))
    assert [request.path.rpartition("/")[2] for request in emulator.requests] == ["list"]


def test_documents_by_the_services_names(emulator: Emulator, do: Do, connection: dict[str, Any]) -> None:
    """In another process a document is known by the service's id, or by its file's name."""
    index = BailianIndex("kbdemo0001", **connection)
    [node] = index.as_retriever(similarity_top_k=1).retrieve("无理由退货")
    do(index, "delete_ref_doc", node.node.ref_doc_id)
    assert names(emulator, index) == ["guide.md", "发票指南.md"]
    do(index, "update_ref_doc", document("x", "Sign in.", file_name="guide.md"))
    assert texts(index, "sign") == ["Sign in."]
    do(BailianIndex("kbdemo0001", **connection), "insert", document("新", "新的一页。"))
    do(BailianIndex("kbdemo0001", **connection), "delete_ref_doc", "新")
    assert names(emulator, index) == ["guide.md", "发票指南.md"]
    with pytest.raises(NotFoundError, match="无此"):
        do(index, "delete_ref_doc", "无此")
    with pytest.raises(NotFoundError):
        do(index, "update_ref_doc", document("无此", "文"))
    assert names(emulator, index) == ["guide.md", "发票指南.md"]


def test_storage_remembers(emulator: Emulator, tmp_path: Path, connection: dict[str, Any]) -> None:
    """What was persisted knows the documents, by id and by name of the index."""
    storage = StorageContext.from_defaults()
    made = BailianIndex.from_documents(
        [document("a", "甲", file_name="甲.md")], storage, index_name="手册", **connection
    )
    storage.persist(str(tmp_path))
    for place in ({"index_id": made.index_id}, {"index_name": "手册"}):
        loaded = StorageContext.from_defaults(persist_dir=str(tmp_path))
        index = BailianIndex(**place, storage_context=loaded, **connection)
        assert index.refresh_ref_docs([document("a", "甲", file_name="甲.md")]) == [False]
        index.update_ref_doc(document("a", "乙", file_name="乙.md"))
        assert names(emulator, index) == ["乙.md"]
        index.update_ref_doc(document("a", "甲", file_name="甲.md"))
        loaded.persist(str(tmp_path))


def test_nodes_of_a_document_are_one_file(emulator: Emulator, do: Do, connection: dict[str, Any]) -> None:
    """Nodes are joined by the document they are of."""
    parts = document("全文", "一。二。").model_copy()
    nodes = [TextNode(text=text, relationships={"1": parts.as_related_node_info()}) for text in ("一。", "二。")]
    index = BailianIndex("kbdemo0001", **connection)
    do(index, "insert_nodes", nodes)
    [file] = [each for each in emulator.bailian.knowledge.files.values() if each.name == "全文.txt"]
    assert file.content.decode() == "一。\n\n二。"


def test_files_go_with_their_documents(emulator: Emulator, do: Do, connection: dict[str, Any]) -> None:
    """Deleting a document leaves its file in the data centre unless it is told to go too."""
    index = BailianIndex("kbdemo0001", **connection)
    do(index, "insert", document("甲", "甲"))
    do(index, "insert", document("乙", "乙"))
    do(index, "delete_ref_doc", "甲")
    do(index, "delete_ref_doc", "乙", delete_from_docstore=True)
    kept = [file.name for file in emulator.bailian.knowledge.files.values()]
    assert "甲.txt" in kept
    assert "乙.txt" not in kept


def test_imports_that_fail(emulator: Emulator, do: Do, connection: dict[str, Any]) -> None:
    """Failures are raised with the names of the documents; what is good is there, and the old version stays."""
    knowledge = emulator.bailian.knowledge
    knowledge.failing_imports = {"坏.txt"}
    good, bad = document("好", "好"), document("坏", "坏")
    with pytest.raises(DocumentsFailedError, match="坏") as told:
        do(BailianIndex, "from_documents", [good, bad], index_name="手册", **connection)
    made = next(index for index in knowledge.indexes.values() if index.name == "手册")
    assert made.index_id in str(told.value)
    index = BailianIndex(made.index_id, **connection)
    assert names(emulator, index) == ["好.txt"]
    assert "坏.txt" not in [file.name for file in knowledge.files.values()]
    knowledge.failing_imports = {"好.txt", "坏.txt"}
    with pytest.raises(DocumentsFailedError):
        do(index, "update_ref_doc", document("好", "更好"))
    assert texts(index, "好") == ["好"]
    with pytest.raises(DocumentsFailedError):
        do(index, "insert", bad)
    knowledge.failing_imports = set()
    assert do(index, "refresh_ref_docs", [bad]) == [True]  # what failed is not known as done
    assert texts(index, "坏") == ["坏"]


def test_files_that_cannot_be_read(emulator: Emulator, do: Do, connection: dict[str, Any]) -> None:
    """If one file cannot be parsed nothing is imported, and no file stays behind."""
    knowledge = emulator.bailian.knowledge
    knowledge.failing_files = {"坏.txt"}
    before = list(knowledge.files)
    with pytest.raises(DocumentsFailedError, match="坏"):
        do(
            BailianIndex,
            "from_documents",
            [document("好", "好"), document("坏", "坏")],
            index_name="手册",
            **connection,
        )
    assert list(knowledge.files) == before
    assert [index.name for index in knowledge.indexes.values()] == ["演示知识库"]


def test_waiting_ends(emulator: Emulator, do: Do, connection: dict[str, Any]) -> None:
    """What is not done in time is told; the import goes on, and the document is known."""
    emulator.bailian.knowledge.polls_until_done = 1000
    index = BailianIndex("kbdemo0001", wait_timeout=0, **connection)
    with pytest.raises(APITimeoutError, match=r"新\.txt"):
        do(index, "insert", document("新", "新"))


def test_polls_are_not_a_flood(emulator: Emulator, connection: dict[str, Any]) -> None:
    """An error of a look is raised after the usual few attempts: no loop runs on."""
    emulator.fail("status", status=500, code="InternalError", times=50, path="describeFile")
    index = BailianIndex("kbdemo0001", max_retries=0, **connection)
    with pytest.raises(InternalServerError):
        index.insert(document("新", "新"))
    assert len([request for request in emulator.requests if "describeFile" in request.path]) == 1


def test_documents_under_way_stay(emulator: Emulator, do: Do, connection: dict[str, Any]) -> None:
    """The service deletes nothing that is being imported: that is an error here."""
    knowledge = emulator.bailian.knowledge
    index = BailianIndex("kbdemo0001", **connection)
    for each in knowledge.indexes["kbdemo0001"].documents.values():
        each.status = "RUNNING"
    with pytest.raises(APIResponseError, match="Not deleted"):
        do(index, "delete_ref_doc", "guide.md")


def test_an_old_version_that_stays(emulator: Emulator, do: Do, connection: dict[str, Any]) -> None:
    """If the old version cannot be deleted yet that is told; the new one is in, and the next update takes both out."""
    index = BailianIndex("kbdemo0001", **connection)
    do(index, "insert", document("运费", "旧的运费"))
    stored = emulator.bailian.knowledge.indexes["kbdemo0001"].documents
    [old] = [each for each in stored.values() if each.file.name == "运费.txt"]
    old.status = "RUNNING"
    with pytest.raises(APIResponseError, match=old.file.file_id):
        do(index, "update_ref_doc", document("运费", "新的运费"))
    assert "新的运费" in texts(index, "新的运费")
    old.status = "FINISH"
    do(index, "update_ref_doc", document("运费", "更新的运费"))
    assert names(emulator, index).count("运费.txt") == 1
    assert texts(index, "更新的运费")[0] == "更新的运费"


def test_an_interrupted_wait(emulator: Emulator, connection: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever stops waiting can: the document is known, so that it can be refreshed, or deleted when it is in."""

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    knowledge = emulator.bailian.knowledge
    index = BailianIndex("kbdemo0001", **connection)
    knowledge.polls_until_done = 0
    index.insert(document("甲", "甲"))
    knowledge.polls_running_after_rows = 0
    with monkeypatch.context() as patch:
        patch.setattr(type(index._building), "wait", lambda *_: (yield Pause(1)))
        patch.setattr("xingchen_core._client._sleep", interrupt)
        with pytest.raises(KeyboardInterrupt):
            index.insert(document("乙", "乙"))
    assert set(index.index_struct.nodes_dict.values()) == {"甲", "乙"}
    assert index.refresh_ref_docs([document("乙", "乙")]) == [False]


@pytest.mark.parametrize("clone", [lambda i: pickle.loads(pickle.dumps(i)), copy.copy, copy.deepcopy])
def test_copies(emulator: Emulator, connection: dict[str, Any], clone: Callable[[Any], BailianIndex]) -> None:
    """A used index can be copied and sent to another process, with what it knows; no key is shown."""
    index = BailianIndex(index_name="演示知识库", **connection)
    index.insert(document("甲", "甲"))
    other = clone(index)
    other.delete_ref_doc("甲")
    assert "甲.txt" not in names(emulator, index)
    kept = f"{index.storage_context.to_dict()}{index.index_struct.to_json()}"
    assert "test-key" not in f"{index!r}{index.settings!r}{kept}"


def test_refusals(emulator: Emulator, do: Do, connection: dict[str, Any]) -> None:
    """What cannot be done is refused before anything is uploaded."""
    make = ("from_documents", [document("甲", "甲")])
    for given, error, words in (
        ({"index_name": "手册", "transformations": [TextNode]}, UnsupportedOperationError, "chunking"),
        ({"index_name": "名" * 21}, ValueError, "20"),
        ({"index_name": "演示知识库"}, ConfigurationError, "kbdemo0001"),
    ):
        with pytest.raises(error, match=words):
            do(BailianIndex, *make, **given, **connection)
    with pytest.raises(ConfigurationError, match="no text"):
        do(BailianIndex, "from_documents", [document("空", " ")], index_name="手册", **connection)
    with pytest.raises(ConfigurationError, match="file_name"):
        do(BailianIndex, "from_documents", [document("长" * 125, "文")], index_name="手册", **connection)
    with pytest.raises(ConfigurationError, match="no documents"):
        do(BailianIndex, "from_documents", [], index_name="手册", **connection)
    for place in ({}, {"index_id": "kb", "index_name": "手册"}):
        with pytest.raises(ConfigurationError, match="either"):
            BailianIndex(**place, **connection)
    with pytest.raises(ConfigurationError, match="DASHSCOPE_API_KEY"):
        BailianIndex("kbdemo0001")
    assert {request.path.rpartition("/")[2] for request in emulator.requests} == {"list"}


def test_retrievers_have_the_indexs_settings(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, connection: dict[str, Any]
) -> None:
    """A retriever uses the index's own key, host and options, whatever the environment says."""
    monkeypatch.setenv("DASHSCOPE_API_KEY", "another-key")
    monkeypatch.setenv("DASHSCOPE_BASE_URL", "https://elsewhere.invalid")
    retriever = BailianIndex("kbdemo0001", max_retries=1, **connection).as_retriever(similarity_top_k=1, streaming=True)
    assert isinstance(retriever, BailianRetriever)
    assert (retriever.similarity_top_k, retriever.max_retries) == (1, 1)
    assert retriever.retrieve("退货")
    assert emulator.requests[0].headers["authorization"] == "Bearer test-key"


def test_query_engine(emulator: Emulator, do: Do, connection: dict[str, Any]) -> None:
    """The index as an engine: its options reach retriever and engine."""
    index = BailianIndex("kbdemo0001", **connection)
    engine = index.as_query_engine(llm=MockLLM(), similarity_top_k=1, response_mode="compact")
    response = do(engine, "query", "无理由退货")
    assert [node.text for node in response.source_nodes] == ["收到商品七天内可以无理由退货。"]
    assert "收到商品七天内可以无理由退货。" in str(response)
    assert "file_" not in str(response)


def test_what_an_engine_is_told(emulator: Emulator, connection: dict[str, Any]) -> None:
    """What is an engine's may stand beside what is the retriever's; what is nobody's is an error."""
    index = BailianIndex("kbdemo0001", **connection)
    memory = ChatMemoryBuffer.from_defaults(token_limit=1000)
    response = index.as_chat_engine(
        chat_mode="context", llm=MockLLM(), similarity_top_k=1, system_prompt="简短。", memory=memory, verbose=False
    ).chat("无理由退货")
    assert [node.text for node in response.source_nodes] == ["收到商品七天内可以无理由退货。"]
    index.as_query_engine(llm=MockLLM(), streaming=True, node_postprocessors=[], use_async=False)
    for make in (index.as_retriever, lambda **given: index.as_query_engine(llm=MockLLM(), **given)):
        with pytest.raises(TypeError, match="simlarity_top_k"):
            make(simlarity_top_k=1)


def test_progress(emulator: Emulator, capsys: pytest.CaptureFixture[str], connection: dict[str, Any]) -> None:
    """Bars are shown when asked for; otherwise nothing is printed."""
    BailianIndex.from_documents([document("甲", "甲")], index_name="一", **connection)
    printed = capsys.readouterr()
    assert printed.out + printed.err == ""
    BailianIndex.from_documents([document("甲", "甲")], None, True, index_name="二", **connection)
    printed = capsys.readouterr()
    assert printed.out == ""
    for doing in ("Uploading", "Parsing", "Importing"):
        assert f"{doing}: 100%" in printed.err


def test_what_is_there(emulator: Emulator, connection: dict[str, Any]) -> None:
    """The documents are listed by the service's ids."""
    told = BailianIndex("kbdemo0001", **connection).ref_doc_info
    assert all(id_.startswith("file_") for id_ in told)
    assert {info.metadata["status"] for info in told.values()} == {"FINISH"}
    assert len(told) == 3
