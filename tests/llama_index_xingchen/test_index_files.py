"""`BailianIndex`: files as they are, and documents that hold files."""

import base64
from pathlib import Path
from typing import Any

import pytest
from blockbuster import blockbuster_ctx
from llama_index.core import Document, StorageContext
from llama_index.core.schema import ImageNode, MediaResource
from llama_index.core.vector_stores import FilterOperator, MetadataFilter, MetadataFilters

from colours import COLOURS, Do, caller
from llama_index_xingchen import BailianIndex
from xingchen_core import ConfigurationError, NotFoundError
from xingchen_core.bailian.knowledge import DocumentsFailedError
from xingchen_core.emulator import Emulator

PDF = b"%PDF-1.7\n\x00\xff\n" + "七天内可以退货。".encode()
PNG = b"\x89PNG\r\n\x1a\n" + "红茶的照片".encode()


@pytest.fixture(params=COLOURS)
def do(request: pytest.FixtureRequest) -> Do:
    """Calls a method by its sync name, in either colour; in the async one nothing may block the loop."""
    return caller(request.param, blockbuster_ctx)


@pytest.fixture
def connection(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """How to reach the emulator; its work in the background is done at once."""
    monkeypatch.delenv("DASHSCOPE_API_KEY", raising=False)
    emulator.bailian.knowledge.polls_until_done = 0
    return {"api_key": "test-key", "base_url": emulator.url}


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """A PDF and a picture."""
    (tmp_path / "手册.pdf").write_bytes(PDF)
    (tmp_path / "红茶.png").write_bytes(PNG)
    return [tmp_path / "手册.pdf", tmp_path / "红茶.png"]


def files(emulator: Emulator) -> dict[str, bytes]:
    """What is in the data centre beside the samples."""
    stored = emulator.bailian.knowledge.files.values()
    return {file.name: file.content for file in stored if file.name not in ("退货政策.md", "发票指南.md", "guide.md")}


def names(emulator: Emulator, index_id: str) -> list[str]:
    """The files in a knowledge base."""
    found = emulator.bailian.knowledge.indexes[index_id].listed(emulator.bailian.clock())
    return sorted(each.file.name for each in found)


def tagged(*tags: str) -> MetadataFilters:
    """A filter by tags."""
    return MetadataFilters(filters=[MetadataFilter(key="tags", operator=FilterOperator.IN, value=list(tags))])


def test_life_of_files(emulator: Emulator, do: Do, connection: dict[str, Any], paths: list[Path]) -> None:
    """Files go up byte for byte under their names, can be filtered by their tags, and are deleted by their names."""
    index = do(BailianIndex, "from_files", paths[:1], index_name="手册", tags=["售后"], **connection)
    assert files(emulator) == {"手册.pdf": PDF}
    do(index, "insert_files", [str(paths[1])], tags=["茶"])
    assert files(emulator) == {"手册.pdf": PDF, "红茶.png": PNG}
    assert names(emulator, index.index_id) == ["手册.pdf", "红茶.png"]
    for tag, title in (("售后", "手册"), ("茶", "红茶")):
        found = index.as_retriever(filters=tagged(tag)).retrieve("七天 红茶")
        assert [node.metadata["document_name"] for node in found] == [title]
    do(BailianIndex(index.index_id, **connection), "delete_ref_doc", "红茶.png", delete_from_docstore=True)
    assert files(emulator) == {"手册.pdf": PDF}
    assert [each.name for each in do(index, "list_documents")] == ["手册"]
    do(index, "delete_index")
    assert index.index_id not in emulator.bailian.knowledge.indexes
    assert index.index_struct.nodes_dict == {}
    assert index.storage_context.index_store.index_structs() == []
    assert files(emulator) == {"手册.pdf": PDF}


def test_files_that_differ_by_their_kind(
    emulator: Emulator, do: Do, connection: dict[str, Any], tmp_path: Path
) -> None:
    """Lists leave out extensions; a file is still known by its whole name, in another process too."""
    for name in ("手册.pdf", "手册.docx"):
        (tmp_path / name).write_bytes(PDF)
    do(BailianIndex("kbdemo0001", **connection), "insert_files", [tmp_path / "手册.pdf", tmp_path / "手册.docx"])
    index = BailianIndex("kbdemo0001", **connection)
    do(index, "delete_ref_doc", "手册.docx")
    assert [name for name in names(emulator, "kbdemo0001") if "手册" in name] == ["手册.pdf"]
    with pytest.raises(NotFoundError, match=r"手册\.docx"):
        do(index, "delete_ref_doc", "手册.docx")


def test_names_that_several_have(emulator: Emulator, do: Do, connection: dict[str, Any], paths: list[Path]) -> None:
    """Of two files by one name none is deleted on a guess; the ids are told, and either is one."""
    for _ in range(2):
        do(BailianIndex("kbdemo0001", **connection), "insert_files", paths[:1])
    index = BailianIndex("kbdemo0001", **connection)
    with pytest.raises(ConfigurationError, match="2 documents") as told:
        do(index, "delete_ref_doc", "手册.pdf")
    ids = [each.id for each in do(index, "list_documents") if each.name == "手册"]
    assert len(ids) == 2
    assert all(file_id in str(told.value) for file_id in ids)
    do(index, "delete_ref_doc", ids[0])
    assert [each.id for each in do(index, "list_documents") if each.name == "手册"] == ids[1:]


def test_refreshed_files(
    emulator: Emulator, do: Do, connection: dict[str, Any], paths: list[Path], tmp_path: Path
) -> None:
    """What is new is inserted, what has changed put in place with its tags, what has not is left alone."""
    storage = StorageContext.from_defaults()
    index = do(
        BailianIndex, "from_files", paths[:1], index_name="手册", storage_context=storage, tags=["甲"], **connection
    )
    assert do(index, "refresh_files", paths) == [False, True]
    sent = len(emulator.requests)
    assert do(index, "refresh_files", paths) == [False, False]
    assert len(emulator.requests) == sent
    storage.persist(str(tmp_path / "storage"))
    paths[0].write_bytes(PDF + "后来".encode())
    loaded = StorageContext.from_defaults(persist_dir=str(tmp_path / "storage"))
    later = BailianIndex(index.index_id, storage_context=loaded, **connection)
    assert do(later, "refresh_files", paths) == [True, False]
    assert files(emulator) == {"手册.pdf": PDF + "后来".encode(), "红茶.png": PNG}
    assert [node.text for node in later.as_retriever(filters=tagged("甲")).retrieve("后来")]
    do(later, "delete_ref_doc", "手册.pdf")
    assert do(later, "refresh_files", paths) == [True, False]


def test_a_bad_file_among_good_ones(emulator: Emulator, do: Do, connection: dict[str, Any], paths: list[Path]) -> None:
    """A file that cannot be imported is told by its name, and the rest is there; one that cannot be read stops all."""
    knowledge = emulator.bailian.knowledge
    index = BailianIndex("kbdemo0001", **connection)
    knowledge.failing_imports = {"红茶.png"}
    with pytest.raises(DocumentsFailedError, match=r"红茶\.png") as told:
        do(index, "insert_files", paths)
    assert [len(told.value.failed), len(told.value.ready)] == [1, 1]
    assert files(emulator) == {"手册.pdf": PDF}
    knowledge.failing_imports = set()
    assert do(index, "refresh_files", paths) == [False, True]
    do(index, "delete_ref_doc", "手册.pdf", delete_from_docstore=True)
    do(index, "delete_ref_doc", "红茶.png", delete_from_docstore=True)
    knowledge.failing_files = {"红茶.png"}
    with pytest.raises(DocumentsFailedError, match=r"红茶\.png"):
        do(index, "insert_files", paths)
    assert files(emulator) == {}
    assert len(names(emulator, "kbdemo0001")) == 3


def test_files_that_are_refused(emulator: Emulator, do: Do, connection: dict[str, Any], tmp_path: Path) -> None:
    """What is no file, or could not be known again, is refused before anything is sent."""
    (tmp_path / "a").mkdir()
    for path in (tmp_path / "一.md", tmp_path / "a" / "一.md", tmp_path / "无"):
        path.write_text("文", "utf-8")
    index = BailianIndex("kbdemo0001", **connection)
    given: tuple[tuple[Any, type[Exception], str], ...] = (
        ([tmp_path / "一.md", tmp_path / "二.md"], FileNotFoundError, r"二\.md"),
        ([tmp_path / "a"], ConfigurationError, "extension"),
        ([tmp_path / "无"], ConfigurationError, "extension"),
        ([tmp_path / "一.md", tmp_path / "a" / "一.md"], ConfigurationError, "rename"),
        ([], ConfigurationError, "no files"),
        (str(tmp_path / "一.md"), ConfigurationError, "Several"),
    )
    for paths, error, words in given:
        with pytest.raises(error, match=words):
            do(index, "insert_files", paths)
        with pytest.raises(error, match=words):
            do(BailianIndex, "from_files", paths, index_name="新", **connection)
    assert emulator.requests == []


@pytest.mark.parametrize(
    ("document", "name", "content"),
    [
        (lambda pdf, _: Document(id_="d", text_resource=MediaResource(path=pdf)), "手册.pdf", PDF),
        (lambda _, png: Document(id_="d", image_resource=MediaResource(path=png)), "红茶.png", PNG),
        (lambda _, png: ImageNode(id_="d", image_path=str(png)), "红茶.png", PNG),
        (
            lambda *_: Document(id_="d", image_resource=MediaResource(data=PNG, mimetype="image/png")),
            "d.png",
            PNG,
        ),
        (
            lambda *_: Document(id_="d", text_resource=MediaResource(data=PDF), metadata={"file_name": "a/b.pdf"}),
            "a_b.pdf",
            PDF,
        ),
        (
            lambda *_: ImageNode(id_="d", image=base64.b64encode(PNG).decode(), image_mimetype="image/png"),
            "d.png",
            PNG,
        ),
    ],
)
def test_documents_that_hold_files(
    emulator: Emulator, connection: dict[str, Any], paths: list[Path], document: Do, name: str, content: bytes
) -> None:
    """Bytes or a path in a document's resources go up as the file that they are; it is known by the document's id."""
    index = BailianIndex("kbdemo0001", **connection)
    index.insert_nodes([document(*paths)])
    assert files(emulator) == {name: content}
    index.delete_ref_doc("d", delete_from_docstore=True)
    assert files(emulator) == {}


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (lambda path: Document(text="说明", image_resource=MediaResource(path=path)), "more than one file"),
        (
            lambda path: Document(
                image_resource=MediaResource(path=path), audio_resource=MediaResource(data=b"x", mimetype="audio/mpeg")
            ),
            "more than one file",
        ),
        (lambda _: ImageNode(image_url="https://e.invalid/a.png"), "link"),
        (lambda _: Document(text_resource=MediaResource(data=b"x")), "extension"),
    ],
)
def test_documents_that_are_refused(
    emulator: Emulator, connection: dict[str, Any], paths: list[Path], document: Do, words: str
) -> None:
    """No picture is dropped without a word."""
    with pytest.raises(ConfigurationError, match=words):
        BailianIndex("kbdemo0001", **connection).insert_nodes([document(paths[1])])
    assert emulator.requests == []


def test_progress_and_a_change_of_mind(
    emulator: Emulator, do: Do, connection: dict[str, Any], paths: list[Path]
) -> None:
    """Progress is told step by step; what is raised then ends the work, and nothing stays."""
    told: list[tuple[str, int, int]] = []
    index = BailianIndex("kbdemo0001", on_progress=lambda *step: told.append(step), **connection)
    do(index, "insert_files", paths)
    assert told == [("Uploading", 1, 2), ("Uploading", 2, 2), ("Parsing", 2, 2), ("Importing", 2, 2)]

    def stop(doing: str, done: int, total: int) -> None:
        raise KeyError(doing)

    before = files(emulator)
    with pytest.raises(KeyError, match="Uploading"):
        do(BailianIndex("kbdemo0001", on_progress=stop, **connection), "insert_files", paths)
    assert files(emulator) == before


def test_tags_of_documents(emulator: Emulator, do: Do, connection: dict[str, Any]) -> None:
    """A document takes tags, and keeps them when it is updated without; `refresh_ref_docs` hands them on."""
    index = BailianIndex("kbdemo0001", **connection)
    do(index, "insert", Document(id_="甲", text="红茶"), tags=["茶"])
    do(index, "update_ref_doc", Document(id_="甲", text="绿茶"))
    assert [node.text for node in index.as_retriever(filters=tagged("茶")).retrieve("绿茶")] == ["绿茶"]
    do(index, "update_ref_doc", Document(id_="甲", text="绿茶"), tags=["水"])
    assert index.as_retriever(filters=tagged("茶")).retrieve("绿茶") == []
    do(index, "refresh_ref_docs", [Document(id_="乙", text="白茶")], insert_kwargs={"tags": ["新"]})
    assert [node.text for node in index.as_retriever(filters=tagged("新")).retrieve("白茶")] == ["白茶"]
    made = do(BailianIndex, "from_documents", [Document(text="黄茶")], index_name="茶", tags=["黄"], **connection)
    assert [node.text for node in made.as_retriever(filters=tagged("黄")).retrieve("黄茶")] == ["黄茶"]
    sent = len(emulator.requests)
    for method in ("insert", "update_ref_doc"):
        with pytest.raises(TypeError, match="tag"):
            do(index, method, Document(id_="甲", text="茶"), tag=["茶"])
    assert len(emulator.requests) == sent


def test_where_the_original_is(emulator: Emulator, do: Do, connection: dict[str, Any]) -> None:
    """`document_url` of a document comes back with its chunks."""
    index = BailianIndex("kbdemo0001", **connection)
    document = Document(id_="甲", text="红茶", metadata={"document_url": "https://e.invalid/甲"})
    document.excluded_embed_metadata_keys = ["document_url"]
    do(index, "insert", document)
    [node] = index.as_retriever().retrieve("红茶")
    assert (node.text, node.metadata["document_url"]) == ("红茶", "https://e.invalid/甲")
