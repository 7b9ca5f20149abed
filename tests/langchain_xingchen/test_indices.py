"""`BailianIndex`: making, filling and changing a knowledge base from documents and files; progress, waits, failures."""

import asyncio
import copy
import importlib.util
import pickle
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.documents.base import Blob
from langchain_core.embeddings import FakeEmbeddings
from pydantic import ValidationError

from colours import COLOURS, Do, caller
from langchain_xingchen import BailianIndex
from langchain_xingchen._index_files import names_of
from xingchen_core import (
    APIConnectionError,
    APIResponseError,
    APITimeoutError,
    AsyncClient,
    Call,
    Client,
    ConfigurationError,
    InternalServerError,
    NotFoundError,
    UnsupportedOperationError,
)
from xingchen_core.bailian.knowledge import DocumentsFailedError
from xingchen_core.emulator import Emulator

KEY = {"api_key": "test-key"}
SIGNED = {"access_key_id": "testid", "access_key_secret": "testsecret", "workspace_id": "llm-demo"}


@pytest.fixture(autouse=True)
def at_once(emulator: Emulator) -> None:
    """Work in the background is done at once."""
    emulator.bailian.knowledge.polls_until_done = 0


@pytest.fixture(params=COLOURS)
def do(request: pytest.FixtureRequest) -> Do:
    """Calls a method by its sync name, in either colour; each async call in a loop of its own."""
    return caller(request.param)


@pytest.fixture
def connection(emulator: Emulator) -> dict[str, Any]:
    """How to reach the emulator with an API key."""
    return {**KEY, "base_url": emulator.url}


def names(emulator: Emulator, index: BailianIndex) -> list[str]:
    """The files in a knowledge base."""
    found = emulator.bailian.knowledge.indexes[str(index.index_id)].listed(emulator.bailian.clock())
    return sorted(each.file.name for each in found)


def contents(emulator: Emulator) -> dict[str, str]:
    """The files in the data centre that were uploaded."""
    return {file.name: file.content.decode() for file in emulator.bailian.knowledge.files.values()}


def paths(emulator: Emulator) -> list[str]:
    """The ends of the requests' paths."""
    return [request.path.rpartition("/")[2] for request in emulator.requests]


@pytest.mark.parametrize("credentials", [KEY, SIGNED], ids=["key", "signed"])
def test_life_of_an_index(emulator: Emulator, do: Do, credentials: dict[str, Any]) -> None:
    """Made of documents, filled, changed, emptied, deleted: each step can be searched for when it returns."""
    settings = {**credentials, "base_url": emulator.url}
    first = [Document("七天内可以退货。", id="退货"), Document("发票当天开好。", id="发票")]
    index = do(BailianIndex, "from_documents", first, index_name="手册", **settings)
    assert names(emulator, index) == ["发票.txt", "退货.txt"]
    [found] = do(index, "similarity_search", "发票")
    assert (found.page_content, found.metadata["document_name"]) == ("发票当天开好。", "发票")

    assert do(index, "add_documents", [Document("运费由商家承担。")], ids=["运费"]) == ["运费"]
    assert do(index, "add_documents", [Document("邮资由买家承担。", id="运费"), Document("九点。", id="客服")]) == [
        "运费",
        "客服",
    ]
    assert names(emulator, index) == ["发票.txt", "客服.txt", "运费.txt", "退货.txt"]
    assert [found.page_content for found in do(index, "similarity_search", "邮资")] == ["邮资由买家承担。"]
    assert [found.page_content for found in do(index, "similarity_search", "运费由商家承担")] == ["邮资由买家承担。"]

    assert [file.name for file in emulator.bailian.knowledge.files.values()].count("运费.txt") == 1  # the old one went

    assert do(index, "delete", ["退货", "没有的"]) is True
    listed = do(index, "list_documents")
    assert sorted((each.name, each.status) for each in listed) == [
        ("发票", "FINISH"),
        ("客服", "FINISH"),
        ("运费", "FINISH"),
    ]
    assert do(index, "delete", [listed[0].id]) is True
    assert len(do(index, "list_documents")) == 2
    do(index, "delete_index")
    with pytest.raises(NotFoundError, match="手册"):
        do(index, "list_documents")


def test_files_of_every_kind(emulator: Emulator, do: Do, connection: dict[str, Any], tmp_path: Path) -> None:
    """Paths and bytes go as they are, under their names; what has no id of ours has the service's."""
    (tmp_path / "手册.pdf").write_bytes(b"%PDF-1.7 pdf \xe5\x8d\x8a")
    (tmp_path / "价目.docx").write_bytes(b"PK docx")
    made = do(
        BailianIndex,
        "from_files",
        [tmp_path / "手册.pdf", str(tmp_path / "价目.docx")],
        index_name="手册",
        **connection,
    )
    assert names(emulator, made) == ["价目.docx", "手册.pdf"]
    blob = Blob.from_data(
        b"\x89PNG", path="图.png", metadata={"tags": ["图"], "source": "https://example.invalid/图.png"}
    )
    [id_] = do(made, "add_files", [blob], parser="DASH_QWEN_VL_PARSER")
    files = emulator.bailian.knowledge.files
    assert (files[id_].content, files[id_].tags) == (b"\x89PNG", ["图"])
    [added] = [request.json for request in emulator.requests if request.path.endswith("addFile")][2:]
    assert added["parser"] == "DASH_QWEN_VL_PARSER"
    assert added["originalFileUrl"] == "https://example.invalid/图.png"
    assert files[id_].name == "图.png"
    [id_] = do(made, "add_files", [Blob.from_data("文字", path="a/b.txt")], tags=["A", "B"])
    assert (files[id_].name, files[id_].content, files[id_].tags) == ("b.txt", "文字".encode(), ["A", "B"])


def test_files_that_take_the_place_of_others(
    emulator: Emulator, do: Do, connection: dict[str, Any], tmp_path: Path
) -> None:
    """With ids a file replaces the one of its name; another extension is another file, also where lists omit it."""
    index = BailianIndex("kbdemo0001", **connection)
    before = names(emulator, index)
    for round_ in ("一", "二"):
        (tmp_path / "手册.docx").write_text(round_, "utf-8")
        (tmp_path / "手册.pdf").write_text(round_, "utf-8")
        both = [tmp_path / "手册.docx", tmp_path / "手册.pdf"]
        assert do(index, "add_files", both, ids=[path.name for path in both]) == ["手册.docx", "手册.pdf"]
    assert names(emulator, index) == sorted([*before, "手册.docx", "手册.pdf"])
    assert contents(emulator)["手册.pdf"] == "二"
    do(index, "add_documents", [Document("文", id="手册")])
    assert do(index, "delete", ["手册"])
    assert do(index, "delete", ["手册.docx"])
    assert names(emulator, index) == sorted([*before, "手册.pdf"])
    do(index, "add_files", both)
    assert names(emulator, index) == sorted([*before, "手册.docx", "手册.pdf", "手册.pdf"])


def test_what_becomes_of_documents(emulator: Emulator, do: Do, connection: dict[str, Any]) -> None:
    """Headers are written only where wanted; tags and URLs go where the service has a place for them."""
    metadata = {"author": "小王", "year": 2026, "none": None, "tags": ["A"], "source": "https://example.invalid/a"}
    index = BailianIndex("kbdemo0001", header_keys=["author", "none", "year"], text_format="md", **connection)
    do(
        index,
        "add_documents",
        (each for each in [Document("# 标题\n正文", id="docs/a", metadata=metadata), Document("b", id="b.txt")]),
    )
    assert contents(emulator)["docs／a.md"] == "author: 小王\nyear: 2026\n\n# 标题\n正文"
    assert contents(emulator)["b.txt"] == "b"
    [file] = [file for file in emulator.bailian.knowledge.files.values() if file.name == "docs／a.md"]
    assert file.tags == ["A"]
    [found] = do(index, "similarity_search", "正文")
    assert found.metadata["document_url"] == "https://example.invalid/a"
    ids = do(BailianIndex("kbdemo0001", **connection), "add_documents", [
        Document("甲", metadata={"source": "x/手册.pdf", "page": 3}),
        Document("乙", metadata={"title": "说明/书"}),
        Document("丙"),
    ])  # fmt: skip
    added = [emulator.bailian.knowledge.files[id_].name for id_ in ids]
    assert added == ["手册-3.txt", "说明／书.txt", "c680a614513fa8a7.txt"]
    assert do(index, "delete", ["docs/a"])
    assert "docs／a.md" not in names(emulator, index)


def test_what_a_file_may_be_called() -> None:
    """An id without an extension is that of a text only: a file has one."""
    assert names_of("手册") == ("手册.txt", "手册.md")
    assert names_of("a/手册.pdf") == ("a／手册.pdf", "a／手册.pdf.txt", "a／手册.pdf.md")
    assert names_of("手册.md") == ("手册.md",)


def test_attached(emulator: Emulator, do: Do, connection: dict[str, Any]) -> None:
    """One that is there is found by id or name, without a request before it is used."""
    places: list[dict[str, Any]] = [{"index_id": "kbdemo0001"}, {"index_name": "演示知识库"}]
    for place in places:
        sent = len(emulator.requests)
        index = BailianIndex(**place, **connection)
        retriever = index.as_retriever(k=1)
        assert len(emulator.requests) == sent
        assert [found.page_content for found in retriever.invoke("无理由退货")] == ["收到商品七天内可以无理由退货。"]
        do(index, "add_documents", [Document("新的一页。", id="新")])
        assert index.index_id == "kbdemo0001"
    assert names(emulator, index).count("新.txt") == 1


def test_made_when_missing(emulator: Emulator, do: Do, connection: dict[str, Any]) -> None:
    """If wanted; else a name that nothing has is an error, before anything is uploaded."""
    with pytest.raises(NotFoundError, match="新书"):
        do(BailianIndex(index_name="新书", **connection), "add_documents", [Document("甲", id="甲")])
    assert paths(emulator) == ["list"]
    options = {"description": "说明", "rerank_min_score": 0.2}
    index = BailianIndex(index_name="新书", create_if_missing=True, index_options=options, **connection)
    assert do(index, "add_documents", [Document("甲", id="a")]) == ["a"]
    assert do(index, "add_documents", [Document("乙", id="b")]) == ["b"]
    made = emulator.bailian.knowledge.indexes[str(index.index_id)]
    assert (made.name, made.description, made.rerank_min_score) == ("新书", "说明", 0.2)
    assert names(emulator, index) == ["a.txt", "b.txt"]


@pytest.mark.parametrize("is_async", [False, True])
def test_made_once(emulator: Emulator, connection: dict[str, Any], is_async: bool) -> None:
    """Several who add at once to what is missing make it once, through one object or several."""
    indexes = [BailianIndex(index_name="新书", create_if_missing=True, **connection) for _ in range(2)] * 2
    batches = [(index, [Document(str(number), id=f"{number}号")]) for number, index in enumerate(indexes)]

    async def add_all() -> None:
        await asyncio.gather(*(index.aadd_documents(documents) for index, documents in batches))

    if is_async:
        asyncio.run(add_all())
    else:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda each: each[0].add_documents(each[1]), batches))
    assert [index.name for index in emulator.bailian.knowledge.indexes.values()].count("新书") == 1
    assert names(emulator, indexes[0]) == ["0号.txt", "1号.txt", "2号.txt", "3号.txt"]


def test_a_taken_name(emulator: Emulator, do: Do, connection: dict[str, Any]) -> None:
    """The service would make a second one; nothing is uploaded."""
    with pytest.raises(ConfigurationError, match="kbdemo0001"):
        do(BailianIndex, "from_documents", [Document("甲", id="甲")], index_name="演示知识库", **connection)
    assert paths(emulator) == ["list"]


def test_refused_before_anything_is_sent(
    emulator: Emulator, do: Do, connection: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot become a file, cannot be told apart, or cannot be meant."""
    index = BailianIndex("kbdemo0001", **connection)
    long = "长" * 125
    for match, documents, fields in (
        ("nothing to add", [], {}),
        ("no text", [Document("  ", id="空")], {}),
        ("'退货'", [Document("\ud83d", id="退货")], {}),
        ("one id: 甲", [Document("一", id="甲"), Document("二", id="甲")], {}),
        ("one id: a／b", [Document("一", id="a/b"), Document("二", id="a／b")], {}),
        ("2 documents, and 1", [Document("一"), Document("二")], {"ids": ["甲"]}),
        ("sha256", [Document("一", id=long)], {}),
    ):
        with pytest.raises(ConfigurationError, match=match):
            do(index, "add_documents", documents, **fields)
    for match, files, fields in (
        ("nothing to add", [], {}),
        ("无.pdf", [tmp_path / "无.pdf"], {}),
        ("no file", [tmp_path], {}),
        ("Bytes need a name", [Blob.from_data(b"x")], {}),
        ("extension", [Blob.from_data(b"x", path="手册")], {}),
        ("extension", [Blob.from_data(b"x", path="手册.pdf")], {"ids": ["手册"]}),
        ("one id", [Blob.from_data(b"x", path="a/手册.pdf")] * 2, {"ids": ["手册.pdf"] * 2}),
    ):
        with pytest.raises(ConfigurationError, match=match):
            do(index, "add_files", files, **fields)
    for match, method, given, fields in (
        ("not one Document", "add_documents", Document("一"), {}),
        ("not one str", "add_documents", "一", {}),
        ("not one str", "add_documents", [Document("一")], {"ids": "一"}),
        ("not 5", "add_documents", [Document("一")], {"ids": [5]}),
        ("not one str", "add_files", "手册.pdf", {}),
        ("not one PosixPath", "add_files", tmp_path / "手册.pdf", {}),
        ("not one Blob", "add_files", Blob.from_data(b"x", path="手册.pdf"), {}),
        ("not one str", "delete", "手册", {}),
        ("not 5", "delete", [5], {}),
    ):
        with pytest.raises(ConfigurationError, match=match):
            do(index, method, given, **fields)
    with pytest.raises(ConfigurationError, match="delete_index"):
        do(index, "delete")
    with pytest.raises(TypeError, match="nonsense"):
        do(index, "similarity_search", "退货", nonsense=1)
    with pytest.raises(TypeError, match="nonsense"):
        do(index, "add_documents", [Document("一")], nonsense=1)
    with pytest.raises(UnsupportedOperationError, match="embedding_model"):
        do(BailianIndex, "from_documents", [Document("一")], FakeEmbeddings(size=3), index_name="书", **connection)
    with pytest.raises(ValidationError):
        do(BailianIndex, "from_texts", ["一"], index_name="书", index_options={"nonsense": 1}, **connection)
    with pytest.raises(NotImplementedError):
        do(index, "similarity_search_by_vector", [0.1])
    assert emulator.requests == []


def test_refused_at_construction(connection: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither or both places, settings twice, options that would do nothing, bars without tqdm."""
    for match, fields in (
        ("index_id", {}),
        ("index_id", {"index_id": "kbdemo0001", "index_name": "书"}),
        ("index_name", {"index_id": "kbdemo0001", "create_if_missing": True}),
        ("index_name", {"index_id": "kbdemo0001", "index_options": {"description": "x"}}),
        ("text_format", {"index_id": "kbdemo0001", "text_format": "pdf"}),
    ):
        with pytest.raises(ConfigurationError, match=match):
            BailianIndex(**fields, **connection)
    with pytest.raises(ConfigurationError, match="DASHSCOPE_API_KEY"):
        BailianIndex("kbdemo0001")
    with pytest.raises(ValidationError) as caught:
        BailianIndex("kbdemo0001", nonsense="canary", **connection)
    assert "canary" not in str(caught.value)
    settings = BailianIndex("kbdemo0001", **connection).settings
    with pytest.raises(ConfigurationError, match="api_key"):
        BailianIndex("kbdemo0001", settings=settings, api_key="test-key")
    assert BailianIndex("kbdemo0001", settings=settings).settings is settings
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        "xingchen_core.bailian.knowledge_building.find_spec", lambda name: None if name == "tqdm" else find_spec(name)
    )
    with pytest.raises(ConfigurationError, match="tqdm"):
        BailianIndex("kbdemo0001", show_progress=True, **connection)


def test_a_file_that_cannot_be_parsed(emulator: Emulator, do: Do, connection: dict[str, Any]) -> None:
    """None is imported, no file stays, what was to be replaced does; the error lists what failed."""
    index = BailianIndex("kbdemo0001", **connection)
    do(index, "add_documents", [Document("旧", id="甲")])
    before = (names(emulator, index), contents(emulator))
    emulator.bailian.knowledge.failing_files = {"乙.txt"}
    with pytest.raises(DocumentsFailedError, match=r"1 of 2 documents could not be parsed: 乙\.txt") as caught:
        do(index, "add_documents", [Document("新", id="甲"), Document("坏", id="乙")])
    assert [file.name for file in caught.value.failed] == ["乙.txt"]
    assert (names(emulator, index), contents(emulator)) == before


def test_a_document_that_cannot_be_imported(emulator: Emulator, do: Do, connection: dict[str, Any]) -> None:
    """The rest is in, and has replaced what it should; the failed one leaves nothing, and its forerunner stays."""
    index = BailianIndex("kbdemo0001", **connection)
    do(index, "add_documents", [Document("旧甲", id="甲"), Document("旧乙", id="乙")])
    emulator.bailian.knowledge.failing_imports = {"乙.txt"}
    with pytest.raises(DocumentsFailedError, match="1 of 2 documents could not be imported: 乙") as caught:
        do(index, "add_documents", [Document("新甲", id="甲"), Document("新乙", id="乙")])
    assert len(caught.value.ready) == 1
    assert (names(emulator, index).count("甲.txt"), names(emulator, index).count("乙.txt")) == (1, 1)
    found = contents(emulator)
    assert (found["甲.txt"], found["乙.txt"]) == ("新甲", "旧乙")
    emulator.bailian.knowledge.failing_imports = {"丙.txt"}
    with pytest.raises(DocumentsFailedError, match=r"The knowledge base is there: BailianIndex\('kb"):
        do(BailianIndex, "from_documents", [Document("丙", id="丙")], index_name="书", **connection)


@pytest.mark.parametrize(
    ("error", "stays"), [(InternalServerError("boom", status_code=500), False), (APIConnectionError("cut"), True)]
)
def test_an_import_that_does_not_begin(
    emulator: Emulator,
    do: Do,
    connection: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    stays: bool,
) -> None:
    """Of a refused one the files do not stay; after a broken connection they do, since it may be going on."""
    before = contents(emulator)
    send, asend = Client.send, AsyncClient.send

    def failing(client: Client, call: Call[Any]) -> Any:
        if call.path.endswith("job/create"):
            raise error
        return send(client, call)

    async def afailing(client: AsyncClient, call: Call[Any]) -> Any:
        if call.path.endswith("job/create"):
            raise error
        return await asend(client, call)

    monkeypatch.setattr(Client, "send", failing)
    monkeypatch.setattr(AsyncClient, "send", afailing)
    with pytest.raises(type(error)):
        do(BailianIndex("kbdemo0001", **connection), "add_documents", [Document("甲", id="甲")])
    assert (contents(emulator) != before) is stays


def test_waiting_is_bounded(emulator: Emulator, do: Do, connection: dict[str, Any], waits: list[float]) -> None:
    """Looks become rarer, end in time, and the error says what is not done."""
    emulator.bailian.knowledge.polls_until_done = 1000
    index = BailianIndex("kbdemo0001", wait_timeout=30, poll_interval=4, **connection)
    with pytest.raises(APITimeoutError, match=r"not done within 30 s: 甲\.txt"):
        do(index, "add_documents", [Document("甲", id="甲")])
    assert waits == [4, 6, 9, 11]


def test_cancelled(emulator: Emulator, connection: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that waits can be cancelled; nothing goes on here."""
    emulator.bailian.knowledge.polls_until_done = 1000
    monkeypatch.setattr("xingchen_core._client._async_sleep", asyncio.sleep)

    async def run() -> int:
        waiting = asyncio.Event()

        def note(doing: str, done: int, total: int) -> None:
            if doing == "Parsing":
                waiting.set()

        index = BailianIndex("kbdemo0001", on_progress=note, **connection)
        task = asyncio.create_task(index.aadd_documents([Document("甲", id="甲")]))
        await waiting.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await index.aclose()
        return len(asyncio.all_tasks())

    assert asyncio.run(run()) == 1
    assert paths(emulator)[-1] == "describeFile"


def test_progress(emulator: Emulator, do: Do, connection: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """Told in numbers, and shown by bars, if wanted."""
    told: list[tuple[str, int, int]] = []
    index = BailianIndex(
        "kbdemo0001", show_progress=True, on_progress=lambda *numbers: told.append(numbers), **connection
    )
    do(index, "add_documents", [Document("甲", id="甲"), Document("乙", id="乙")])
    assert told == [("Uploading", 1, 2), ("Uploading", 2, 2), ("Parsing", 2, 2), ("Importing", 2, 2)]
    shown = capsys.readouterr().err
    assert all(f"{doing}: 100%" in shown for doing in ("Uploading", "Parsing", "Importing"))
    do(BailianIndex("kbdemo0001", **connection), "add_documents", [Document("丙", id="丙")])
    assert capsys.readouterr().err == ""


def test_stopped_by_progress(emulator: Emulator, do: Do, connection: dict[str, Any]) -> None:
    """What the callback raises ends an upload; what was uploaded is taken back."""
    before = contents(emulator)

    def stop(doing: str, done: int, total: int) -> None:
        if done == 2:
            raise InterruptedError("stop")

    index = BailianIndex("kbdemo0001", on_progress=stop, **connection)
    with pytest.raises(InterruptedError):
        do(index, "add_documents", [Document(text, id=text) for text in ("甲", "乙", "丙")])
    assert contents(emulator) == before
    assert paths(emulator).count("addFile") == 2


def test_not_yet_deletable(emulator: Emulator, do: Do, connection: dict[str, Any]) -> None:
    """What is being imported cannot be deleted: said, not hidden."""
    index = BailianIndex("kbdemo0001", **connection)
    do(index, "add_documents", [Document("甲", id="甲")])
    for document in emulator.bailian.knowledge.indexes["kbdemo0001"].documents.values():
        if document.file.name == "甲.txt":
            document.status = "RUNNING"
    with pytest.raises(APIResponseError, match="still being imported"):
        do(index, "delete", ["甲"])


def test_files_of_deleted_documents(emulator: Emulator, do: Do, connection: dict[str, Any]) -> None:
    """They stay in the data centre unless they are to go."""
    for goes in (False, True):
        index = BailianIndex("kbdemo0001", delete_files=goes, **connection)
        do(index, "add_documents", [Document("甲", id=f"甲{goes}")])
        do(index, "delete", [f"甲{goes}"])
    assert "甲False.txt" in contents(emulator)
    assert "甲True.txt" not in contents(emulator)


def test_files_are_read_beside_the_loop(
    connection: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With asyncio another thread reads them."""
    readers: list[str] = []
    read_bytes = Path.read_bytes

    def noting(path: Path) -> bytes:
        readers.append(threading.current_thread().name)
        return read_bytes(path)

    (tmp_path / "手册.pdf").write_bytes(b"pdf")
    monkeypatch.setattr(Path, "read_bytes", noting)
    index = BailianIndex("kbdemo0001", **connection)
    index.add_files([tmp_path / "手册.pdf"])
    asyncio.run(index.aadd_files([tmp_path / "手册.pdf"]))
    assert (readers[0] == "MainThread", readers[1] == "MainThread") == (True, False)


@pytest.mark.parametrize(
    "clone", [lambda it: pickle.loads(pickle.dumps(it)), copy.copy, copy.deepcopy], ids=["pickle", "copy", "deepcopy"]
)
def test_clones_work(emulator: Emulator, connection: dict[str, Any], clone: Callable[[Any], Any]) -> None:
    """A used index can be copied and sent to another process; its key shows nowhere."""
    index = BailianIndex(index_name="演示知识库", **connection)
    index.list_documents()
    other = clone(index)
    assert len(other.list_documents()) == 3
    assert other.index_id == "kbdemo0001"
    assert "test-key" not in f"{index!r}{vars(index)}{vars(index._work)}"
