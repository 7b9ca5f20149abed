"""Managing the emulated knowledge bases with an API key: lists, documents, chunks, legacy pipelines, faults."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from bailian_library_api import INDEX, PIPELINE, RAG, LibraryApi, library
from xingchen_core.emulator import Emulator


@pytest.fixture
def api(emulator: Emulator) -> Iterator[LibraryApi]:
    """Plain HTTP to the emulator."""
    with library(emulator) as client:
        yield client


def test_names_that_contain(api: LibraryApi) -> None:
    """The list filters by a part of the name; GET and the older POST are answered alike."""
    both = api.data(RAG + "list", page_number=1, page_size=20)
    assert (both["page_number"], both["page_size"], both["total_count"]) == (1, 20, 2)
    assert [row["id"] for row in both["rows"]] == ["kbtest", INDEX]
    found = api.data(RAG + "list", pipeline_name="知识")["rows"]
    assert [(row["name"], row["description"]) for row in found] == [("演示知识库", "退货、发票和使用指南")]
    posted = api.http.post(RAG + "list", params={"pipeline_name": "知识"}).json()["data"]["rows"]
    assert posted == found
    assert api.data(RAG + "list", page_number=2, page_size=1)["rows"][0]["id"] == INDEX
    assert api.refused(RAG + "list", page_size=101)[1] == "InvalidParameter"


NEW = {
    "name": "新的",
    "structureType": "unstructured",
    "sinkType": "BUILT_IN",
    "sourceType": "DATA_CENTER_FILE",
    "chunkSize": 600,
}


def test_settings(emulator: Emulator, api: LibraryApi) -> None:
    """Name, description and threshold can change; a name is taken once."""
    file_id = emulator.bailian.knowledge.add_file("x.txt", "kiwi").file_id
    made = api.data(RAG + "create_v2", {**NEW, "docIds": [file_id]})["pipelineId"]
    assert api.refused(RAG + "create_v2", {**NEW, "docIds": [file_id]})[:2] == (409, "KB_NAME_CONFLICT")
    api.data(RAG + "update", {"id": made, "name": "更新", "description": "d", "rerankMinScore": 0.3, "chunkSize": 9})
    row = api.data(RAG + "list", pipeline_name="更新")["rows"][0]
    assert (row["description"], row["rerankMinScore"], row["chunkSize"]) == ("d", 0.3, 600)
    assert (row["structureType"], row["sourceType"], row["docIds"]) == ("unstructured", "DATA_CENTER_FILE", [file_id])


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "n" * 21},
        {"name": ""},
        {"structureType": "text"},
        {"sinkType": "DEFAULT"},
        {"docIds": []},
        {"knowledgeType": "image", "knowledgeScene": "basic_document_qa"},
        {"knowledgeType": "image", "knowledgeScene": "image_qa"},
        {"chunkMode": "regex"},
        {"chunkMode": "h6"},
        {"chunkSize": 6001},
        {"overlapSize": 1025},
    ],
    ids=str,
)
def test_refused_settings(emulator: Emulator, api: LibraryApi, wrong: dict[str, Any]) -> None:
    """Bad settings make nothing."""
    body = {**NEW, "docIds": [emulator.bailian.knowledge.add_file("x.txt", "kiwi").file_id], **wrong}
    assert api.refused(RAG + "create_v2", body)[:2] == (400, "InvalidParameter")
    assert api.data(RAG + "list")["total_count"] == 2


def test_documents(emulator: Emulator, api: LibraryApi) -> None:
    """Newest first, in pages under either name of the page; only what has ended can be deleted."""
    rows = api.data(RAG + "files", index_id="kbtest", page_num=1, page_size=2)
    assert ([row["name"] for row in rows["rows"]], rows["total_count"]) == (["c", "b"], 3)
    assert [row["name"] for row in api.data(RAG + "files", index_id="kbtest", page_number=2, page_size=2)["rows"]] == [
        "a"
    ]
    assert (rows["rows"][0]["status"], rows["rows"][0]["documentType"]) == ("FINISH", "txt")
    running = emulator.bailian.knowledge.add_file("n.txt", "new")
    api.data(RAG + "job/create", {"indexId": "kbtest", "sourceType": "DATA_CENTER_FILE", "docIds": [running.file_id]})
    ended = rows["rows"][0]["id"]
    body = {"index_id": "kbtest", "doc_ids": [ended, running.file_id, "file_none"]}
    assert api.data(RAG + "delete_file", body) == {"deleted": [ended]}
    assert api.retrieve("pie", "kbtest") == []
    assert ended in emulator.bailian.knowledge.files  # only the base has lost it


def test_chunks(api: LibraryApi) -> None:
    """Written, hidden, rewritten and deleted; lists have scores of 0, and results follow."""
    document = api.data(RAG + "files", index_id="kbtest")["rows"][0]["id"]
    field = {"content": "yellow banana bread", "title": "甜点"}
    assert api.data(RAG + "chunk/create", {"pipelineId": "kbtest", "dataId": document, "field": field}) is True
    listed = api.data(RAG + "chunklist", {"indexId": "kbtest", "docId": document, "pageNum": 2, "pageSize": 1})
    assert (listed["total"], listed["isDowngrade"], len(listed["nodes"])) == (2, False, 1)
    node = listed["nodes"][0]
    assert (node["score"], node["text"], node["metadata"]["title"]) == (0, "yellow banana bread", "甜点")
    chunk = node["metadata"]["_id"]
    assert chunk.endswith(f"{document}_0_1")
    assert api.retrieve("banana", "kbtest") == [("c", 1.0)]
    change = {"pipelineId": "kbtest", "chunkId": chunk, "dataId": document, "content": "brown bread only"}
    api.data(RAG + "chunk/update", {**change, "isDisplayedChunkContent": True})
    assert (api.retrieve("banana", "kbtest"), api.retrieve("brown", "kbtest")) == ([], [("c", 1.0)])
    api.data(RAG + "chunk/update", {**change, "isDisplayedChunkContent": False})
    assert api.retrieve("brown", "kbtest") == []
    shown = api.data(RAG + "chunklist", {"indexId": "kbtest", "docId": document})["nodes"]
    assert [each["metadata"]["is_displayed_chunk_content"] for each in shown] == [True, False]
    assert api.data(RAG + "chunk/delete", {"pipelineId": "kbtest", "chunkIds": [chunk]}) is True
    assert api.data(RAG + "chunklist", {"indexId": "kbtest", "docId": document})["total"] == 1


@pytest.mark.parametrize(
    ("call", "body"),
    [
        ("chunk/create", {"dataId": "DOC", "field": {"content": "short"}}),
        ("chunk/create", {"dataId": "DOC", "field": {"content": "x" * 6001}}),
        ("chunk/create", {"dataId": "DOC", "field": {"content": "long enough", "title": "t" * 51}}),
        ("chunk/create", {"dataId": "file_none", "field": {"content": "long enough"}}),
        ("chunk/update", {"dataId": "DOC", "chunkId": "none", "content": "long enough"}),
        ("chunk/delete", {"chunkIds": []}),
        ("chunk/delete", {"chunkIds": ["x"] * 11}),
    ],
    ids=str,
)
def test_refused_chunks(api: LibraryApi, call: str, body: dict[str, Any]) -> None:
    """Lengths are counted, ids looked up."""
    document = api.data(RAG + "files", index_id="kbtest")["rows"][0]["id"]
    given = {"pipelineId": "kbtest", **body}
    if given.get("dataId") == "DOC":
        given["dataId"] = document
    assert api.refused(RAG + call, given)[:2] == (400, "InvalidParameter")


def test_deleting_a_base(emulator: Emulator, api: LibraryApi) -> None:
    """Not while an application uses it; its files stay."""
    knowledge = emulator.bailian.knowledge
    knowledge.indexes["kbtest"].used_by_app = True
    assert api.refused(RAG + "delete", {"index_id": "kbtest"})[1] == "InvalidParameter"
    knowledge.indexes["kbtest"].used_by_app = False
    assert api.data(RAG + "delete", {"index_id": "kbtest"}) is True
    assert api.refused(RAG + "files", index_id="kbtest")[1] == "Index.IndexNotExist"
    assert len(knowledge.files) == 6


def test_deleting_a_file(emulator: Emulator, api: LibraryApi) -> None:
    """It breaks the bases that use it."""
    document = api.data(RAG + "files", index_id="kbtest")["rows"][0]["id"]
    assert api.dash("deleteFile", {"fileId": document}) == {"fileId": document}
    assert api.retrieve("pie", "kbtest") == []
    assert emulator.bailian.knowledge.indexes["kbtest"].documents[document].status == "DELETED"


def test_categories_and_tags(api: LibraryApi) -> None:
    """`maxResult` pages, `maxResults` is not heard; tags are overwritten or appended, and filter at once."""
    for name in ("甲", "乙"):
        api.dash("addCategory", {"categoryName": name, "categoryType": "UNSTRUCTURED"})
    first = api.dash("listCategory", {"type": "UNSTRUCTURED", "maxResult": 2})
    assert [(each["categoryName"], each["isDefault"]) for each in first["categoryList"]] == [
        ("默认类目", True),
        ("甲", False),
    ]
    rest = api.dash("listCategory", {"type": "UNSTRUCTURED", "maxResult": 2, "nextToken": first["nextToken"]})
    assert ([each["categoryName"] for each in rest["categoryList"]], rest["nextToken"]) == (["乙"], "")
    assert len(api.dash("listCategory", {"maxResults": 1})["categoryList"]) == 3
    document = api.data(RAG + "files", index_id="kbtest")["rows"][0]["id"]
    infos = {"fileInfos": [{"fileId": document, "tags": ["new"]}]}
    api.dash("batchUpdateFileTag", {**infos, "updateMode": "APPEND"})
    assert api.dash("describeFile", {"fileId": document})["tags"] == ["fruit", "cake", "new"]
    api.dash("batchUpdateFileTag", {**infos, "updateMode": "OVERWRITE"})
    assert api.retrieve("pie", "kbtest", search_filters=[{"tags": ["cake"]}]) == []


SOURCES = "data_sources"


def source(*ids: str) -> dict[str, Any]:
    """Files, as the legacy pipelines name them."""
    return {SOURCES: [{"source_type": "DATA_CENTER_FILE", "component": {"doc_ids": list(ids)}}]}


def test_legacy_pipelines(emulator: Emulator, api: LibraryApi) -> None:
    """Made, filled, appended to and emptied as the plug-in does, whose deletion another plug-in wraps in an array."""
    knowledge = emulator.bailian.knowledge
    ids = [knowledge.add_file(f"{name}.txt", name).file_id for name in ("kiwi", "plum")]
    made = api.http.put(PIPELINE, json={"name": "docs", "data_type": "structured", **source(ids[0])}).json()
    path = f"{PIPELINE}/{made['id']}"
    started = api.http.post(path + "/managed_ingest").json()["ingestionId"]

    def states(ingestion: str) -> list[str]:
        url = f"{path}/managed_ingest/{ingestion}/status"
        return [api.http.get(url).json()["ingestion_status"] for _ in range(4)]

    assert states(started) == ["PENDING", "RUNNING", "RUNNING", "COMPLETED"]
    more = api.http.put(path + "/documents", json=source(ids[1])).json()
    assert states(more["ingestionId"])[-1] == "COMPLETED"
    body = {"query": "kiwi plum", "rerank_min_score": 0.0}
    assert api.http.post(path + "/retrieve", json=body).json()["total"] == 2
    assert api.http.post(path + "/delete", json=source(ids[0])).json()["status"] == "SUCCESS"
    wrapped = {SOURCES: [{"source_type": "DATA_CENTER_FILE", "component": [{"doc_ids": [ids[1]]}]}]}
    assert api.http.post(path + "/delete", json=wrapped).status_code == 200
    assert api.http.post(path + "/retrieve", json=body).json()["total"] == 0


def test_a_legacy_import_that_fails(emulator: Emulator, api: LibraryApi) -> None:
    """Here the whole can fail, and names its documents."""
    knowledge = emulator.bailian.knowledge
    knowledge.polls_until_done, knowledge.polls_running_after_rows, knowledge.failing_imports = 0, 0, {"x.txt"}
    file_id = knowledge.add_file("x.txt", "x").file_id
    job = api.http.put(f"{PIPELINE}/kbtest/documents", json=source(file_id)).json()["id"]
    told = api.http.get(f"{PIPELINE}/kbtest/managed_ingest/{job}/status").json()
    assert (told["ingestion_status"], told["failed_docs"]) == ("FAILED", [file_id])


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, "InvalidApiKey"), (429, "Throttling"), (503, "InternalError"), (504, "RETRIEVAL_TIMEOUT")],
)
def test_scripted_refusals(emulator: Emulator, api: LibraryApi, status: int, code: str) -> None:
    """A fault scripted for a path hits it, once, with the usual code and a Retry-After."""
    emulator.fail("status", status=status, retry_after=1, path="/index/retrieve")
    api.data(RAG + "list")
    response = api.http.post(RAG + "retrieve", json={"index_id": INDEX, "query": "x"})
    assert (response.status_code, response.json()["code"], response.headers["retry-after"]) == (status, code, "1")
    api.retrieve("退货")


def test_scripted_breaks(emulator: Emulator, api: LibraryApi) -> None:
    """A page of a proxy; a connection that closes before, or in the middle; the latter has been heard."""
    emulator.fail("html", path="/list")
    assert api.http.get(RAG + "list").status_code == 502
    emulator.fail("drop", path="/delete")
    with pytest.raises(httpx.RemoteProtocolError):
        api.http.post(RAG + "delete", json={"index_id": "kbtest"})
    assert "kbtest" in emulator.bailian.knowledge.indexes
    emulator.fail("cut", path="/delete")
    with pytest.raises(httpx.RemoteProtocolError):
        api.http.post(RAG + "delete", json={"index_id": "kbtest"})
    assert "kbtest" not in emulator.bailian.knowledge.indexes
    emulator.fail("status", status=503, path="emulated-object-storage")
    assert api.bare.put("/emulated-object-storage/x").status_code == 503
