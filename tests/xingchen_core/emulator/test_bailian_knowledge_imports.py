"""From a file to a knowledge base on the emulator: lease, upload, parsing, jobs; with an API key, by plain HTTP."""

import base64
import hashlib
import math
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from bailian_library_api import DASH, RAG, LibraryApi, library
from xingchen_core.emulator import Emulator

TEXT = "# 保修\n\n整机保修两年。\n\n## 电池\n\n电池保修一年。".encode()
MD5 = base64.b64encode(hashlib.md5(TEXT, usedforsecurity=False).digest()).decode()
LEASE = {"category": "default", "fileName": "保修条款.md", "sizeBytes": str(len(TEXT)), "contentMd5": MD5}
FILE = {"category": "default", "categoryType": "UNSTRUCTURED", "parser": "AUTO_SELECT", "tags": ["售后"]}
NEW = {
    "name": "保修",
    "structureType": "unstructured",
    "sinkType": "BUILT_IN",
    "sourceType": "DATA_CENTER_FILE",
    "embeddingModelName": "text-embedding-v4",
}


@pytest.fixture
def api(emulator: Emulator) -> Iterator[LibraryApi]:
    """Plain HTTP to the emulator."""
    with library(emulator) as client:
        yield client


def put(api: LibraryApi, lease: dict[str, Any], **headers: str | None) -> httpx.Response:
    """The upload a lease allows; headers are changed, or left out (None)."""
    wanted = {**lease["param"]["headers"], **headers}
    kept = {name: value for name, value in wanted.items() if value is not None}
    return api.bare.put(lease["param"]["url"], content=TEXT, headers=kept)


def uploaded(api: LibraryApi, **changes: Any) -> str:
    """The id of a file that was uploaded and registered."""
    lease = api.dash("applyFileUploadLease", {**LEASE, **changes})
    assert put(api, lease).status_code == 200
    file_id: str = api.dash("addFile", {"leaseId": lease["leaseId"], **FILE})["fileId"]
    return file_id


def status(api: LibraryApi, made: dict[str, Any], **more: Any) -> tuple[Any, ...]:
    """(overall status, total, status of each row) of a job."""
    given = {"index_id": made.get("pipelineId", "kbtest"), "job_id": made["ingestionId"], **more}
    data = api.data("/api/v1/indices/rag/index_job/status", **given)
    return data["ingestion_status"], data["total_count"], [row["status"] for row in data["rows"]]


def test_the_whole_way(api: LibraryApi) -> None:
    """Uploaded, parsed, imported, found; each step as documented, a pending job without rows."""
    file_id = uploaded(api)
    assert file_id.startswith("file_")
    assert file_id.endswith("_10000001")
    seen = [api.dash("describeFile", {"fileId": file_id})["status"] for _ in range(4)]
    assert seen == ["INIT", "PARSING", "PARSE_SUCCESS", "PARSE_SUCCESS"]
    made = api.data(RAG + "create_v2", {**NEW, "docIds": [file_id]})
    assert (sorted(made), made["status"]) == (["ingestionId", "pipelineId", "status"], "PENDING")
    assert api.retrieve("电池", made["pipelineId"]) == []
    assert [status(api, made) for _ in range(4)] == [
        ("PENDING", 0, []),
        ("RUNNING", 1, ["RUNNING"]),
        ("RUNNING", 1, ["FINISH"]),  # may stay so after the last row has ended
        ("COMPLETED", 1, ["FINISH"]),
    ]
    nodes = api.data(RAG + "retrieve", {"index_id": made["pipelineId"], "query": "电池保修"})["nodes"]
    assert [(node["text"], node["metadata"]["hier_title"]) for node in nodes] == [
        ("电池保修一年。", "保修|电池"),
        ("整机保修两年。", "保修"),
    ]
    assert nodes[0]["metadata"]["_id"].endswith(f"{file_id}_0_1")


@pytest.mark.parametrize(
    ("polls", "seen"),
    [
        (0, ["PARSE_SUCCESS"]),
        (1, ["INIT", "PARSE_SUCCESS"]),
        (4, ["INIT", "IN_PARSE_QUEUE", "PARSING", "PARSING", "PARSE_SUCCESS"]),
    ],
)
def test_polls_of_parsing(emulator: Emulator, api: LibraryApi, polls: int, seen: list[str]) -> None:
    """So many questions find it unfinished."""
    emulator.bailian.knowledge.polls_until_done = polls
    file_id = uploaded(api)
    assert [api.dash("describeFile", {"fileId": file_id})["status"] for _ in seen] == seen


@pytest.mark.parametrize("word", ["PARSE_FAILED", "FAIL"])
def test_a_file_that_cannot_be_parsed(emulator: Emulator, api: LibraryApi, word: str) -> None:
    """Both words for it are in use; a job tells it of its row, and completes all the same."""
    knowledge = emulator.bailian.knowledge
    knowledge.polls_until_done, knowledge.parse_failure = 1, word
    knowledge.failing_files = {"保修条款.md"}
    file_id = uploaded(api)
    described = [api.dash("describeFile", {"fileId": file_id}) for _ in range(2)][1]
    assert (described["status"], bool(described["parseErrorMessage"])) == (word, True)
    made = api.data(RAG + "create_v2", {**NEW, "docIds": [file_id]})
    assert [status(api, made)[0::2] for _ in range(2)] == [
        ("RUNNING", ["PARSE_FAILED"]),
        ("COMPLETED", ["PARSE_FAILED"]),
    ]


def test_a_document_that_cannot_be_inserted(emulator: Emulator, api: LibraryApi) -> None:
    """One row fails, the other is found."""
    knowledge = emulator.bailian.knowledge
    knowledge.polls_until_done, knowledge.failing_imports = 0, {"坏的.md"}
    ids = [knowledge.add_file(name, "整机保修两年").file_id for name in ("坏的.md", "好的.md")]
    made = api.data(RAG + "create_v2", {**NEW, "docIds": ids})
    assert status(api, made)[2] == ["INSERT_ERROR", "FINISH"]
    assert api.retrieve("保修", made["pipelineId"]) == [("好的", 1.0)]


def test_importing_before_parsing_has_ended(api: LibraryApi) -> None:
    """The job waits for the parser: its row says so."""
    made = api.data(RAG + "create_v2", {**NEW, "docIds": [uploaded(api)]})
    assert [status(api, made)[0::2] for _ in range(4)] == [
        ("PENDING", []),
        ("RUNNING", ["DOC_PARSING"]),
        ("RUNNING", ["FINISH"]),
        ("COMPLETED", ["FINISH"]),
    ]


def test_a_job_that_runs_for_ever(emulator: Emulator, api: LibraryApi) -> None:
    """Switched so, only the rows tell that it is over."""
    knowledge = emulator.bailian.knowledge
    knowledge.polls_until_done, knowledge.polls_running_after_rows = 0, math.inf
    made = api.data(RAG + "create_v2", {**NEW, "docIds": [uploaded(api)]})
    assert {status(api, made) == ("RUNNING", 1, ["FINISH"]) for _ in range(5)} == {True}


def test_rows_come_in_pages(emulator: Emulator, api: LibraryApi) -> None:
    """The total counts all rows, a page holds some."""
    knowledge = emulator.bailian.knowledge
    knowledge.polls_until_done = 0
    ids = [knowledge.add_file(f"{number}.txt", "text").file_id for number in range(3)]
    made = api.data(RAG + "create_v2", {**NEW, "docIds": ids})
    assert status(api, made, page_number=2, page_size=2)[1:] == (3, ["FINISH"])


@pytest.mark.parametrize(
    "headers",
    [
        {"X-bailian-extra": None},
        {"X-bailian-extra": "other"},
        {"Content-Type": None},
        {"Content-Type": "application/octet-stream"},
        {"Authorization": "Bearer test-key"},
        {"x-oss-meta-a": "1"},
    ],
    ids=str,
)
def test_headers_of_an_upload(api: LibraryApi, headers: dict[str, str | None]) -> None:
    """A header that is missing, other, or too much breaks the signature; what was not uploaded cannot be registered."""
    lease = api.dash("applyFileUploadLease", LEASE)
    assert lease["type"] == "OSS.PreSignedUrl"
    assert lease["param"]["method"] == "PUT"
    assert sorted(lease["param"]["headers"]) == ["Content-Type", "X-bailian-extra"]
    refused = put(api, lease, **headers)
    assert (refused.status_code, refused.headers["content-type"]) == (403, "application/xml")
    assert "<Code>SignatureDoesNotMatch</Code>" in refused.text
    told = api.http.post(DASH + "addFile", json={"leaseId": lease["leaseId"], **FILE}).json()
    assert (told["code"], told["status"]) == ("InvalidParameter", 400)


def test_an_upload_without_a_type(emulator: Emulator, api: LibraryApi) -> None:
    """A lease may want the type to be empty: then none is as good, and any other is wrong."""
    emulator.bailian.knowledge.lease_content_type = ""
    lease = api.dash("applyFileUploadLease", LEASE)
    assert lease["param"]["headers"]["Content-Type"] == ""
    assert put(api, lease, **{"Content-Type": "text/plain"}).status_code == 403
    assert put(api, lease).status_code == 200
    assert put(api, lease, **{"Content-Type": None}).status_code == 200


def test_a_lease_ends(emulator: Emulator, api: LibraryApi) -> None:
    """After ten minutes, when tampered with, and with its one file."""
    lease = api.dash("applyFileUploadLease", LEASE)
    wrong = {**lease, "param": {**lease["param"], "url": lease["param"]["url"][:-1]}}
    assert put(api, wrong).status_code == 403
    assert put(api, lease).status_code == 200
    body = {"leaseId": lease["leaseId"], **FILE}
    api.dash("addFile", body)
    assert api.http.post(DASH + "addFile", json=body).json()["status"] == 400
    late = api.dash("applyFileUploadLease", LEASE)
    emulator.bailian.advance(600)
    assert "<Code>AccessDenied</Code>" in put(api, late).text


@pytest.mark.parametrize(
    "wrong",
    [
        {"sizeBytes": len(TEXT)},
        {"sizeBytes": "0"},
        {"contentMd5": "abc"},
        {"category": "cate_none"},
        {"fileName": "a.b"},
        {"fileName": None},
    ],
    ids=str,
)
def test_refused_leases(api: LibraryApi, wrong: dict[str, Any]) -> None:
    """Data-centre calls fail under HTTP 200; only `status` and `code` tell. The size must be text."""
    response = api.http.post(DASH + "applyFileUploadLease", json={**LEASE, **wrong})
    told = response.json()
    assert (response.status_code, told["status"], told["data"]) == (200, 400, None)
    assert told["code"] in ("InvalidParameter", "DataCenter.FileTooLarge")
    assert told["requestId"] == response.headers["x-request-id"]


def test_a_hash_in_hex(emulator: Emulator, api: LibraryApi) -> None:
    """The documents' text and example disagree: both spellings are taken, and checked where switched on."""
    emulator.bailian.knowledge.checks_md5 = True
    uploaded(api, contentMd5=hashlib.md5(TEXT, usedforsecurity=False).hexdigest())
    lease = api.dash("applyFileUploadLease", {**LEASE, "contentMd5": "0" * 32})
    put(api, lease)
    assert api.http.post(DASH + "addFile", json={"leaseId": lease["leaseId"], **FILE}).json()["status"] == 400


def test_appending(emulator: Emulator, api: LibraryApi) -> None:
    """More files by a job, in its own way of cutting; the older nested spelling is understood as well."""
    knowledge = emulator.bailian.knowledge
    knowledge.polls_until_done = 0
    flat = {"sourceType": "DATA_CENTER_FILE", "docIds": [knowledge.add_file("x.txt", "abcdefghij").file_id]}
    made = api.data(RAG + "job/create", {"indexId": "kbtest", **flat, "chunkMode": "length", "chunkSize": 4})
    assert status(api, made)[2] == ["FINISH"]
    chunks = api.data(RAG + "chunklist", {"indexId": "kbtest", "docId": flat["docIds"][0]})
    assert [node["text"] for node in chunks["nodes"]] == ["abcd", "efgh", "ij"]
    nested = {"sourceType": "DATA_CENTER_FILE", "fileIds": [knowledge.add_file("y.txt", "kiwi").file_id]}
    api.data(RAG + "job/create", {"indexId": "kbtest", "dataSource": nested})
    assert api.retrieve("kiwi", "kbtest") == [("y", 1.0)]


def test_a_job_without_a_source(emulator: Emulator, api: LibraryApi) -> None:
    """It imports everything there is in the workspace, whatever files it names: the damage can be seen."""
    knowledge = emulator.bailian.knowledge
    knowledge.polls_until_done = 0
    knowledge.add_file("秘密.txt", "top secret plan")
    wanted = knowledge.add_file("x.txt", "kiwi").file_id
    api.data(RAG + "job/create", {"indexId": "kbtest", "docIds": [wanted]})
    assert api.retrieve("secret", "kbtest") == [("秘密", 1.0)]
    rows = api.data(RAG + "files", index_id="kbtest", page_size=100)
    assert rows["total_count"] == len(knowledge.files) == 8  # three samples, three here before, two new


def test_a_whole_category(emulator: Emulator, api: LibraryApi) -> None:
    """A category's files, without naming them."""
    knowledge = emulator.bailian.knowledge
    knowledge.polls_until_done = 0
    made = api.dash("addCategory", {"categoryName": "手册", "categoryType": "UNSTRUCTURED"})["categoryId"]
    knowledge.add_file("x.txt", "kiwi", category_id=made)
    source = {"sourceType": "DATA_CENTER_CATEGORY", "categoryIds": [made]}
    api.data(RAG + "job/create", {"indexId": "kbtest", **source})
    assert api.retrieve("kiwi", "kbtest") == [("x", 1.0)]


@pytest.mark.parametrize(
    ("given", "code", "message"),
    [
        (
            {"sourceType": "DATA_CENTER_FILE", "fileIds": ["file_1"]},
            "InvalidParameter",
            "Required parameter(dataSource.fileIds) missing",
        ),
        ({"sourceType": "DATA_CENTER_FILE", "docIds": ["file_1"]}, "Index.FileEmptyError", "file not exist: file_1"),
        ({"sourceType": "OSS"}, "InvalidParameter", "sourceType OSS is not supported"),
        ({"indexId": "kbno", "sourceType": "DATA_CENTER_FILE"}, "Index.IndexNotExist", None),
    ],
)
def test_refused_jobs(api: LibraryApi, given: dict[str, Any], code: str, message: str | None) -> None:
    """A misspelled list of files is a missing one; unknown files and bases are named."""
    told = api.refused(RAG + "job/create", {"indexId": "kbtest", **given})
    assert told[:2] == (400, code)
    assert message in (None, told[2])


def test_a_job_nobody_knows(api: LibraryApi) -> None:
    """The status call needs both ids, and a job that is there."""
    path = "/api/v1/indices/rag/index_job/status"
    assert api.refused(path, index_id="kbtest", job_id="x")[:2] == (400, "SystemError")
    assert api.refused(path, job_id="x")[:2] == (400, "InvalidParameter")
