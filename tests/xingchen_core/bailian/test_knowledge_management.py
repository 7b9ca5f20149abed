"""Making, filling and looking after knowledge bases: what each call is sent with an API key, and what is read.

What the signed twins are sent is in `test_knowledge_sdk_requests.py`, beside the official SDK's requests.
"""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from xingchen_core import BadRequestError, Call, ConfigurationError, Message, UnsupportedOperationError
from xingchen_core.bailian import KnowledgeSettings, knowledge
from xingchen_core.bailian.knowledge import Chunking, IndexSpec, Source

Connect = Callable[..., Any]

KB, FILE, WS = "kbdemo0001", "file_fake_1", "llm-demo"
FILES = Source(document_ids=(FILE,))
RAG = "/api/v1/indices/rag/"
DASH = "/api/v1/connector/dash/"


def _first(flow: Any) -> Call[Any]:
    call: Call[Any] = next(flow)
    return call


SENT: dict[str, tuple[Callable[[], Call[Any]], str, str, Any, bool]] = {
    "create": (
        lambda: _first(knowledge.create_index(IndexSpec(name="手册", source=FILES, chunking=Chunking(size=600)))),
        "POST",
        f"{RAG}index/create_v2",
        {
            "name": "手册",
            "description": "手册",
            "structureType": "unstructured",
            "sinkType": "BUILT_IN",
            "sourceType": "DATA_CENTER_FILE",
            "embeddingModelName": "text-embedding-v4",
            "chunkSize": 600,
            "docIds": [FILE],
            "dataSources": [{"sourceType": "DATA_CENTER_FILE"}],
        },
        True,
    ),
    "create of a category": (
        lambda: _first(
            knowledge.create_index(
                IndexSpec(
                    name="手册",
                    description="产品手册",
                    source=Source(category_ids=("cate_fake_1",)),
                    embedding_model=None,
                    extra={"new": 1},
                )
            )
        ),
        "POST",
        f"{RAG}index/create_v2",
        {
            "name": "手册",
            "description": "产品手册",
            "structureType": "unstructured",
            "sinkType": "BUILT_IN",
            "sourceType": "DATA_CENTER_CATEGORY",
            "categoryIds": ["cate_fake_1"],
            "dataSources": [{"sourceType": "DATA_CENTER_CATEGORY"}],
            "new": 1,
        },
        True,
    ),
    "job status": (
        lambda: knowledge.job_status(KB, "job1"),
        "GET",
        f"{RAG}index_job/status",
        {"index_id": KB, "job_id": "job1", "page_number": "1", "page_size": "100"},
        False,
    ),
    "append": (
        lambda: knowledge.import_documents(KB, FILES, chunking=Chunking(mode="regex", separator="。", overlap=0)),
        "POST",
        f"{RAG}index/job/create",
        {
            "indexId": KB,
            "sourceType": "DATA_CENTER_FILE",
            "docIds": [FILE],
            "chunkMode": "regex",
            "overlapSize": 0,
            "separator": "。",
        },
        True,
    ),
    "list indexes": (
        lambda: knowledge.list_indexes(page=2, page_size=20),
        "GET",
        f"{RAG}index/list",
        {"page_number": "2", "page_size": "20"},
        False,
    ),
    "list documents": (
        lambda: knowledge.list_documents(KB, page=3, page_size=20),
        "GET",
        f"{RAG}index/files",
        {"index_id": KB, "page_num": "3", "page_number": "3", "page_size": "20"},
        False,
    ),
    "list chunks": (
        lambda: knowledge.list_chunks(KB, FILE, page_size=20),
        "POST",
        f"{RAG}index/chunklist",
        {"indexId": KB, "docId": FILE, "pageNum": 1, "pageSize": 20},
        False,
    ),
    "list rows of a table": (
        lambda: knowledge.list_chunks(KB, page_size=20),
        "POST",
        f"{RAG}index/chunklist",
        {"indexId": KB, "pageNum": 1, "pageSize": 20},
        False,
    ),
    "add a chunk": (
        lambda: knowledge.add_chunk(
            KB, FILE, "七天内可以退款,运费自理。", title="退款", image_urls=["https://a.invalid"]
        ),
        "POST",
        f"{RAG}index/chunk/create",
        {
            "pipelineId": KB,
            "dataId": FILE,
            "field": {"content": "七天内可以退款,运费自理。", "title": "退款", "image_urls": ["https://a.invalid"]},
        },
        True,
    ),
    "update a chunk": (
        lambda: knowledge.update_chunk(KB, FILE, "c1", "七天内可以退款,运费自理。", is_searchable=False),
        "POST",
        f"{RAG}index/chunk/update",
        {
            "pipelineId": KB,
            "chunkId": "c1",
            "dataId": FILE,
            "content": "七天内可以退款,运费自理。",
            "isDisplayedChunkContent": False,
        },
        False,
    ),
    "delete chunks": (
        lambda: knowledge.delete_chunks(KB, ["c1", "c2"]),
        "POST",
        f"{RAG}index/chunk/delete",
        {"pipelineId": KB, "chunkIds": ["c1", "c2"]},
        False,
    ),
    "delete documents": (
        lambda: knowledge.delete_documents(KB, [FILE]),
        "POST",
        f"{RAG}index/delete_file",
        {"index_id": KB, "doc_ids": [FILE]},
        False,
    ),
    "update an index": (
        lambda: knowledge.update_index(KB, description="新", rerank_min_score=0.3),
        "POST",
        f"{RAG}index/update",
        {"id": KB, "description": "新", "rerankMinScore": 0.3},
        False,
    ),
    "delete an index": (lambda: knowledge.delete_index(KB), "POST", f"{RAG}index/delete", {"index_id": KB}, False),
    "list categories": (
        lambda: knowledge.list_categories(next_token="t"),
        "POST",
        f"{DASH}listCategory",
        {"type": "UNSTRUCTURED", "maxResult": 20, "nextToken": "t"},
        False,
    ),
    "add a category": (
        lambda: knowledge.add_category("手册"),
        "POST",
        f"{DASH}addCategory",
        {"categoryName": "手册", "categoryType": "UNSTRUCTURED"},
        True,
    ),
    "describe a file": (
        lambda: knowledge.describe_file(FILE),
        "POST",
        f"{DASH}describeFile",
        {"fileId": FILE},
        False,
    ),
    "delete a file": (lambda: knowledge.delete_file(FILE), "POST", f"{DASH}deleteFile", {"fileId": FILE}, False),
    "set tags": (
        lambda: knowledge.set_tags(FILE, ["A"]),
        "POST",
        f"{DASH}batchUpdateFileTag",
        {"fileInfos": [{"fileId": FILE, "tags": ["A"]}], "updateMode": "OVERWRITE"},
        False,
    ),
    "append tags": (
        lambda: knowledge.set_tags(FILE, ["A"], append=True),
        "POST",
        f"{DASH}batchUpdateFileTag",
        {"fileInfos": [{"fileId": FILE, "tags": ["A"]}], "updateMode": "APPEND"},
        False,
    ),
    "publish a service": (
        lambda: knowledge.manage_service("deploy", {"agent_id": "aid-demo"}),
        "POST",
        f"{RAG}app/deploy",
        {"agent_id": "aid-demo"},
        True,
    ),
    "read a service": (
        lambda: knowledge.manage_service("get", {"agent_id": "aid-demo"}),
        "POST",
        f"{RAG}app/get",
        {"agent_id": "aid-demo"},
        False,
    ),
    "assemble a prompt": (
        lambda: knowledge.retrieve_prompt(
            [KB], "退款?", history=[Message(role="user", content="你好")], max_tokens=2000, extra={"new": 1}
        ),
        "POST",
        "/api/v1/indices/pipeline/retrieve_prompt",
        {
            "pipeline_id_list": [KB],
            "query": "退款?",
            "query_history": [{"role": "user", "content": "你好"}],
            "prompt_max_token_length": [2000],
            "new": 1,
        },
        False,
    ),
    "cut a text": (
        lambda: knowledge.split_text("七天内可以退款。", separator="。"),
        "POST",
        "/api/v1/indices/component/configed_transformations/spliter",
        {
            "text": "七天内可以退款。",
            "file_type": "idp",
            "chunk_size": 500,
            "overlap_size": 100,
            "language": "cn",
            "separator": "。",
        },
        False,
    ),
}


@pytest.mark.parametrize("name", SENT)
def test_what_is_sent_with_a_key(name: str) -> None:
    """Trap 4: one thing has another name in each call; each is written here by hand, from the documents."""
    make, method, path, sent, remembered = SENT[name]
    call = make()
    assert (call.method, call.path) == (method, path)
    assert (dict(call.query) if method == "GET" else call.json) == sent
    assert call.remembered is remembered


@pytest.mark.parametrize(
    "source", [{}, {"document_ids": ()}, {"document_ids": (FILE,), "category_ids": ("cate_fake_1",)}]
)
def test_nothing_is_never_imported(source: dict[str, Any]) -> None:
    """Trap 5: an import without a source takes the whole data centre of the workspace; none can be described."""
    with pytest.raises(ConfigurationError, match="either document_ids or category_ids"):
        Source(**source)


@pytest.mark.parametrize("signed_for", [None, WS])
def test_every_import_names_its_source(signed_for: str | None) -> None:
    """Whatever the credentials, files or categories."""
    for source, word in ((FILES, "FILE"), (Source(category_ids=("cate_fake_1",)), "CATEGORY")):
        append = knowledge.import_documents(KB, source, signed_for=signed_for)
        create = _first(knowledge.create_index(IndexSpec(name="手册", source=source), signed_for=signed_for))
        for call in (append, create):
            told = {**(call.json or {}), **call.query}
            assert told.get("sourceType", told.get("SourceType")) == f"DATA_CENTER_{word}"


@pytest.mark.parametrize(
    ("knowledge_type", "keyed", "signed"),
    [
        (None, "unstructured", "unstructured"),
        ("table", "structured", "structured"),
        ("image", "unstructured", "structured"),
    ],
)
def test_structure_types(knowledge_type: str | None, keyed: str, signed: str) -> None:
    """The two APIs name the structure of pictures differently: each is told its own."""
    spec = IndexSpec(name="手册", source=FILES, knowledge_type=knowledge_type)
    assert _first(knowledge.create_index(spec)).json["structureType"] == keyed
    assert knowledge.create_empty_index(spec, signed_for=WS).query["StructureType"] == signed


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Chunking(mode="regex"), "separator"),
        (lambda: knowledge.delete_chunks(KB, ["c"] * 11), "1 to 10"),
        (lambda: knowledge.delete_chunks(KB, []), "1 to 10"),
        (lambda: knowledge.delete_documents(KB, []), "Name the documents"),
        (lambda: knowledge.delete_files([], signed_for=WS), "Name the files"),
        (lambda: knowledge.job_status(KB, ""), "index_id and job_id"),
        (lambda: knowledge.describe_file("", signed_for=WS), "is no id"),
        (lambda: knowledge.delete_file("..", signed_for=WS), "is no id"),
        (lambda: knowledge.delete_category(" . ", signed_for=WS), "is no id"),
        (lambda: knowledge.start_ingestion(".."), "is no id"),
        (lambda: knowledge.apply_lease("空.txt", b""), r"空\.txt is empty"),
        (lambda: knowledge.apply_lease("空.txt", b"", signed_for=WS), r"空\.txt is empty"),
        (lambda: knowledge.list_documents(KB, name="a"), "AccessKey only"),
        (lambda: knowledge.add_file("l", parser_config={"modelName": "x"}), "model_name and model_prompt"),
    ],
)
def test_what_cannot_be_meant(make: Callable[[], object], text: str) -> None:
    """Refused before anything is sent."""
    with pytest.raises(ConfigurationError, match=text):
        make()


PICTURES = knowledge.IndexSpec(
    name="图",
    source=knowledge.Source(document_ids=(FILE,)),
    knowledge_type="image",
    knowledge_scene="image_qa",
    multimodal_embedding_model="qwen3-vl-embedding",
)


@pytest.mark.parametrize(
    "make",
    [
        lambda: knowledge.update_index(KB, dense_top_k=5),
        lambda: knowledge.list_categories("手册"),
        lambda: knowledge.set_tags(FILE, ["A"], append=True, signed_for=WS),
        lambda: knowledge.create_empty_index(PICTURES, signed_for=WS),
    ],
)
def test_what_only_the_other_credentials_can_do(make: Callable[[], object]) -> None:
    """It is refused, and the message says what can do it."""
    with pytest.raises(UnsupportedOperationError, match=r"with an (AccessKey|API key) only"):
        make()


def _replying(*answers: dict[str, Any]) -> tuple[Callable[[httpx.Request], httpx.Response], list[httpx.Request]]:
    left, requests = list(answers), list[httpx.Request]()

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(200, json=left.pop(0) if len(left) > 1 else left[0])

    return answer, requests


BOTH = {"api_key": "test-key", "access_key_id": "testid", "access_key_secret": "testsecret", "workspace_id": WS}


async def test_making_an_index_with_a_key(connect: Connect) -> None:
    """One call makes it and starts its import."""
    answer, requests = _replying(
        {"code": "Success", "data": {"pipelineId": KB, "ingestionId": "job1", "status": "PENDING"}}
    )
    job = await connect(answer, KnowledgeSettings, **BOTH).run(
        knowledge.create_index(IndexSpec(name="手册", source=FILES))
    )
    assert (job.index_id, job.job_id, len(requests)) == (KB, "job1", 1)


async def test_making_an_index_with_an_access_key(connect: Connect) -> None:
    """Creating leaves it empty: the import is started by a second call, always."""
    answer, requests = _replying(
        {"Success": True, "Data": {"Id": KB}}, {"Success": True, "Data": {"Id": "job1", "IndexId": KB}}
    )
    job = await connect(answer, KnowledgeSettings, **BOTH).run(
        knowledge.create_index(IndexSpec(name="手册", source=FILES), signed_for=WS)
    )
    assert (job.index_id, job.job_id) == (KB, "job1")
    assert [request.headers["x-acs-action"] for request in requests] == ["CreateIndex", "SubmitIndexJob"]


async def test_an_index_whose_import_did_not_start(connect: Connect) -> None:
    """The error names the index that is there, so that nobody makes a second one."""
    answer, _ = _replying({"Success": True, "Data": {"Id": KB}}, {"Success": False, "Code": "InvalidParameter"})
    with pytest.raises(BadRequestError, match=f"The index {KB} exists, but is empty") as caught:
        await connect(answer, KnowledgeSettings, **BOTH).run(
            knowledge.create_index(IndexSpec(name="手册", source=FILES), signed_for=WS)
        )
    assert caught.value.args == (caught.value.message,)


READ: dict[str, tuple[Callable[[], Call[Any]], dict[str, Any], Callable[[Any], Any], Any]] = {
    "append, key": (
        lambda: knowledge.import_documents(KB, FILES),
        {"data": {"ingestionId": "job1"}},
        lambda job: (job.index_id, job.job_id),
        (KB, "job1"),
    ),
    "append, signed": (
        lambda: knowledge.import_documents(KB, FILES, signed_for=WS),
        {"Data": {"Id": "job1"}},
        lambda job: (job.index_id, job.job_id),
        (KB, "job1"),
    ),
    "indexes, key": (
        lambda: knowledge.list_indexes(),
        {
            "data": {
                "page_number": 1,
                "page_size": 20,
                "total_count": 1,
                "rows": [{"id": KB, "name": "手册", "rerankMinScore": "0.2", "chunkSize": "", "docIds": ["f"]}],
            }
        },
        lambda page: (page.items[0].id, page.items[0].rerank_min_score, page.items[0].chunk_size, page.total),
        (KB, 0.2, None, 1),
    ),
    "indexes, signed": (
        lambda: knowledge.list_indexes(signed_for=WS),
        {"Data": {"TotalCount": "1", "Indices": [{"Id": KB, "Name": "手册", "RerankMinScore": 0.2}]}},
        lambda page: (page.items[0].name, page.items[0].rerank_min_score, page.total),
        ("手册", 0.2, 1),
    ),
    "documents, key": (
        lambda: knowledge.list_documents(KB),
        {"data": {"rows": [{"doc_id": FILE, "doc_name": "手册", "status": "FINISH"}]}},
        lambda page: (page.items[0].id, page.items[0].name, page.items[0].is_ready),
        (FILE, "手册", True),
    ),
    "documents, signed": (
        lambda: knowledge.list_documents(KB, signed_for=WS),
        {"Data": {"Documents": [{"Id": FILE, "Name": "手册", "Status": "INSERT_ERROR"}]}},
        lambda page: (page.items[0].id, page.items[0].name, page.items[0].has_failed),
        (FILE, "手册", True),
    ),
    "chunks, key": (
        lambda: knowledge.list_chunks(KB, FILE),
        {"data": {"total": 1, "isDowngrade": False, "nodes": [{"score": 0, "text": "文", "metadata": {"_id": "c1"}}]}},
        lambda page: (page.items[0].id, page.items[0].text, page.items[0].score, page.total),
        ("c1", "文", 0.0, 1),
    ),
    "chunks, signed": (
        lambda: knowledge.list_chunks(KB, FILE, signed_for=WS),
        {"Data": {"Total": 1, "Nodes": [{"Score": 0, "Text": "文", "Metadata": {"_id": "c1"}}]}},
        lambda page: (page.items[0].id, page.items[0].text, page.items[0].score, page.total),
        ("c1", "文", 0.0, 1),
    ),
    "deleted, key": (
        lambda: knowledge.delete_documents(KB, [FILE, "file_fake_2"]),
        {"data": {"deleted": [FILE]}},
        lambda ids: ids,
        (FILE,),
    ),
    "deleted, signed": (
        lambda: knowledge.delete_documents(KB, [FILE], signed_for=WS),
        {"Data": {"DeletedDocument": [FILE]}},
        lambda ids: ids,
        (FILE,),
    ),
    "a chunk is done": (
        lambda: knowledge.update_chunk(KB, FILE, "c1", "文", signed_for=WS),
        {"Data": True},
        lambda nothing: nothing,
        None,
    ),
    "file, key": (
        lambda: knowledge.describe_file(FILE),
        {"code": "Success", "status": 200, "data": {"fileName": "手册.pdf", "status": "PARSE_SUCCESS", "tags": None}},
        lambda file: (file.id, file.name, file.is_ready, file.tags),
        (FILE, "手册.pdf", True, ()),
    ),
    "file, signed": (
        lambda: knowledge.describe_file(FILE, signed_for=WS),
        {"Data": {"FileId": FILE, "FileName": "手册.pdf", "Status": "PARSE_FAILED", "Tags": ["A"]}},
        lambda file: (file.id, file.has_failed, file.tags),
        (FILE, True, ("A",)),
    ),
    "files": (
        lambda: knowledge.list_files("default", signed_for=WS),
        {"Data": {"FileList": [{"FileId": FILE}], "NextToken": "t"}},
        lambda page: (page.items[0].id, page.next_token),
        (FILE, "t"),
    ),
    "categories": (
        lambda: knowledge.list_categories(),
        {"data": {"categoryList": [{"categoryId": "default", "categoryName": "默认", "isDefault": True}]}},
        lambda page: (page.items[0].category_id, page.items[0].is_default, page.next_token),
        ("default", True, None),
    ),
    "a category": (
        lambda: knowledge.add_category("手册"),
        {"data": {"categoryId": "cate_fake_1"}},
        lambda category: category,
        "cate_fake_1",
    ),
    "a draft": (
        lambda: knowledge.manage_service("create", {}),
        {"data": {"agent_id": "aid-demo", "agent_version": "beta"}},
        lambda service: (service.agent_id, service.agent_version),
        ("aid-demo", "beta"),
    ),
    "a published service": (
        lambda: knowledge.manage_service("deploy", {}),
        {"agent_version": "1", "agent_status": "deployed", "data": None},
        lambda service: (service.agent_version, service.agent_status),
        ("1", "deployed"),
    ),
    "an assembled prompt": (
        lambda: knowledge.retrieve_prompt([KB], "退款?"),
        {"code": "Success", "data": [{"text": "已知:七天内可以退款。", "nodes": []}]},
        lambda prompts: prompts[0]["text"],
        "已知:七天内可以退款。",
    ),
    "a cut text": (
        lambda: knowledge.split_text("文"),
        {"chunkService": {"chunkResult": [{"chunk_id": 0, "content": "文"}]}},
        lambda chunks: chunks[0]["content"],
        "文",
    ),
    "usage": (
        lambda: knowledge.index_monitor(KB, 1, 2, signed_for=WS),
        {"Data": {"QueryCount": 3}},
        lambda usage: usage,
        {"query_count": 3},
    ),
}


@pytest.mark.parametrize("name", READ)
async def test_what_is_read(connect: Connect, name: str) -> None:
    """The same names for both APIs, whatever the call's own are."""
    make, body, look, expected = READ[name]
    answer, _ = _replying(body)
    assert look(await connect(answer, KnowledgeSettings, **BOTH).send(make())) == expected


@pytest.mark.parametrize("signed_for", [None, WS])
async def test_lists_are_walked_to_their_end(connect: Connect, signed_for: str | None) -> None:
    """Page by page, each document once."""
    pages = [[{"id": "f1"}, {"id": "f2"}], [{"id": "f2"}, {"id": "f3"}], []]
    bodies = [
        {"data": {"rows": rows}} if signed_for is None else {"Data": {"Documents": [{"Id": r["id"]} for r in rows]}}
        for rows in pages
    ]
    answer, requests = _replying(*bodies)
    client = connect(answer, KnowledgeSettings, **BOTH)
    listing = knowledge.all_documents(KB, page_size=2, signed_for=signed_for)
    assert [document.id async for document in client.iterate(listing)] == ["f1", "f2", "f3"]
    assert len(requests) == 3
