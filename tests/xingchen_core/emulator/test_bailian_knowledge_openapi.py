"""The emulated OpenAPI of Bailian: signatures, the SDK's captured requests, and each action, by hand-signed HTTP."""

import hashlib
import json
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest

from bailian_library_api import INDEX, WORKSPACE, LibraryApi, library
from beebot_api import date
from xingchen_core.emulator import Emulator
from xingchen_core.emulator._acs3 import AccessKey, SignatureRefusedError, Signatures, SignedRequest
from xingchen_core.emulator.bailian_files_store import Category, Lease
from xingchen_core.emulator.bailian_index_store import Chunk, Job
from xingchen_core.emulator.bailian_memory_store import MemoryBody

FIXTURE = Path(__file__).parents[2] / "fixtures" / "bailian_openapi_requests.jsonl"
LINES: list[dict[str, Any]] = [json.loads(line) for line in FIXTURE.read_text("utf-8").splitlines()]
CAPTURED = [line for line in LINES if "x-acs-action" in line["headers"]]


@pytest.fixture
def api(emulator: Emulator) -> Iterator[LibraryApi]:
    """Plain HTTP to the emulator, signed by hand."""
    with library(emulator) as client:
        yield client


VECTOR_HEADERS = {
    "host": "bailian.cn-beijing.aliyuncs.com",
    "x-acs-version": "2023-12-29",
    "x-acs-action": "Retrieve",
    "x-acs-date": "2026-11-21T00:00:00Z",
    "x-acs-signature-nonce": "00000000000000000000000000000001",
    "x-acs-content-sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "accept": "application/json",
    "authorization": (
        "ACS3-HMAC-SHA256 Credential=fake-access-key-id,SignedHeaders=accept;host;x-acs-action;x-acs-content-sha256;"
        "x-acs-date;x-acs-signature-nonce;x-acs-version,"
        # not a secret: made with an invented key
        "Signature=7e5f7484c317abd2dc9cef032f50f584dbef214b1b582779c020592922ef411e"
    ),
}


def test_a_signature_of_the_sdk() -> None:
    """A signature made by the official SDK is accepted; with another parameter it is not."""
    keys = {"fake-access-key-id": AccessKey("fake-access-key-secret")}
    signed_at = datetime.fromisoformat("2026-11-21T00:00:00Z").timestamp()
    filters = "%5B%7B%22tags%22%3A%5B%22A%22%2C%22B+c%22%5D%7D%5D"
    query = f"EnableReranking=true&IndexId=kbfake0001&Query=what+is+RAG%3F&SearchFilters={filters}"
    path, headers = "/llm-fake0workspace/index/retrieve", tuple(VECTOR_HEADERS.items())
    checker = Signatures(keys, clock=lambda: signed_at)
    with pytest.raises(SignatureRefusedError) as caught:
        checker.verify(SignedRequest("POST", path, query.replace("RAG", "LLM"), headers, b""))
    assert caught.value.code == "SignatureDoesNotMatch"
    assert checker.verify(SignedRequest("POST", path, query, headers, b"")) == "fake-access-key-id"


def gateway(response: httpx.Response) -> tuple[int, str]:
    """(HTTP status, code) of a refusal by the gateway, having checked its shape."""
    body = response.json()
    assert sorted(body) == ["Code", "HostId", "Message", "Recommend", "RequestId"], response.text
    return response.status_code, body["Code"]


def test_refused_signatures(api: LibraryApi) -> None:
    """Another secret, an unknown id, an old date and a nonce used twice are refused by the gateway."""
    retrieve: tuple[Any, ...] = ("Retrieve", "POST", "/index/retrieve", {"IndexId": INDEX, "Query": "a b+c*~中"})
    assert gateway(api.signed(*retrieve, secret="wrong")) == (400, "SignatureDoesNotMatch")
    assert gateway(api.signed(*retrieve, key_id="nobody")) == (404, "InvalidAccessKeyId.NotFound")
    old = {"x-acs-date": date(time.time() - 1000)}
    assert gateway(api.signed(*retrieve, headers=old)) == (400, "InvalidTimeStamp.Expired")
    once = {"x-acs-signature-nonce": "once"}
    assert api.signed(*retrieve, headers=once).status_code == 200
    assert gateway(api.signed(*retrieve, headers=once)) == (400, "SignatureNonceUsed")
    for plus in (False, True):  # %20 and + are the same to the signature
        assert api.signed(*retrieve, plus=plus).status_code == 200


@pytest.mark.parametrize(
    ("action", "method", "path", "options", "told"),
    [
        ("Retrieve", "POST", "/index/list_indices", {}, (404, "InvalidAction.NotFound")),
        ("Retrieve", "GET", "/index/retrieve", {}, (404, "InvalidAction.NotFound")),
        ("Invented", "POST", "/index/retrieve", {}, (404, "InvalidAction.NotFound")),
        ("AddCategory", "POST", "/datacenter/category", {}, (404, "InvalidAction.NotFound")),
        ("DescribeFile", "GET", "/datacenter/file/file_1", {}, (404, "InvalidAction.NotFound")),
        ("ListIndices", "GET", "/index/list_indices", {"workspace": "llm-none"}, (403, "Index.Forbidden")),
        ("ListIndices", "GET", "/index/list_indices", {"headers": {"x-acs-version": "1"}}, (400, "InvalidVersion")),
    ],
)
def test_refused_calls(
    api: LibraryApi, action: str, method: str, path: str, options: dict[str, Any], told: tuple[int, str]
) -> None:
    """Action, method and path go together, slash at the end included; the workspace must be one's own."""
    assert gateway(api.signed(action, method, path, **options)) == told


def prepare(emulator: Emulator) -> None:
    """What the captured requests name is there."""
    bailian, knowledge = emulator.bailian, emulator.bailian.knowledge
    workspace, file_id = "llm-fake0workspace", "file_00000000000000000000000000000001_10000001"
    bailian.workspaces.add(workspace)
    index = knowledge.add_index("docs", "kbfake0001", workspace=workspace)
    file = knowledge.add_file("a.pdf", "text", workspace=workspace)
    del knowledge.files[file.file_id]
    file.file_id = file_id
    knowledge.files[file_id] = file
    job = index.start("jobfake01", [file], index.chunking, 0.0)
    assert isinstance(job, Job)
    index.documents[file_id].end("FINISH")
    index.documents[file_id].versions = [Chunk(f"{workspace}_kbfake0001_{file_id}_0_0", "text")]
    for category_id in ("cate_00000000000000000000000000000002_10000001", "default"):
        knowledge.categories[category_id] = Category(category_id, "cat", workspace)
    file.category_id = "cate_00000000000000000000000000000002_10000001"
    body = MemoryBody("memfake00000000000000000000000001", "user A", workspace)
    body.nodes["nodefake0000000000000000000000001"] = "likes tea"
    bailian.memory.bodies[body.memory_id] = body
    bailian.memories[body.memory_id] = ["likes tea"]


@pytest.mark.parametrize("line", CAPTURED, ids=lambda line: line["case"])
def test_captured_requests(emulator: Emulator, api: LibraryApi, line: dict[str, Any]) -> None:
    """What the official SDK sends is understood, call by call."""
    prepare(emulator)
    query = {name: "" if name in ("NextToken", "nextToken") else value for name, value in line["query"].items()}
    if line["case"].startswith("AddFile"):
        category = "default" if "parser-config" in line["case"] else "cate_00000000000000000000000000000002_10000001"
        lease = Lease("leasefake.1700000000000", "llm-fake0workspace", category, "a.pdf", 4, "0", {}, "s", 0, b"text")
        emulator.bailian.knowledge.leases[lease.lease_id] = lease
    body = (line["body"] or "").replace("NextToken=AAAA", "NextToken=")
    form = dict(parse_qsl(body, keep_blank_values=True)) if body and not body.startswith("{") else None
    content = body.encode() if body.startswith("{") else None
    path = line["path"].removeprefix("/llm-fake0workspace")
    action = line["headers"]["x-acs-action"]
    response = api.signed(action, line["method"], path, query, form, content, workspace="llm-fake0workspace", plus=True)
    answer = response.json()
    assert response.status_code == 200, response.text
    assert answer.get("Success", bool(answer.get("requestId"))) is True, response.text


def test_from_a_file_to_an_answer(emulator: Emulator, api: LibraryApi) -> None:
    """Lease, upload, file, an empty base, its first job, and then an answer: creating alone imports nothing."""
    text = "保修两年。".encode()
    form = {
        "FileName": "保修.txt",
        "Md5": hashlib.md5(text, usedforsecurity=False).hexdigest(),
        "SizeInBytes": str(len(text)),
    }
    lease = api.call("ApplyFileUploadLease", "POST", "/datacenter/category/default", None, form)
    param = lease["Param"]
    assert (lease["Type"], param["Method"]) == ("OSS.PreSignedUrl", "PUT")
    assert api.bare.put(param["Url"], content=text, headers=param["Headers"]).status_code == 200
    form = {"LeaseId": lease["FileUploadLeaseId"], "Parser": "AUTO_SELECT", "CategoryId": "default", "Tags": '["A"]'}
    file_id = api.call("AddFile", "PUT", "/datacenter/file", None, form)["FileId"]
    path = f"/datacenter/file/{file_id}/"
    described = [api.call("DescribeFile", "GET", path) for _ in range(3)]
    assert [each["Status"] for each in described] == ["INIT", "PARSING", "PARSE_SUCCESS"]
    assert (described[0]["FileName"], described[0]["Tags"], described[0]["FileType"]) == ("保修.txt", ["A"], "txt")
    query = {
        "Name": "docs",
        "StructureType": "unstructured",
        "SinkType": "BUILT_IN",
        "SourceType": "DATA_CENTER_FILE",
        "DocumentIds": json.dumps([file_id]),
        "metaExtractColumns": '[{"Key":"author","Type":"constant","Value":"Tim","EnableSearch":true}]',
    }
    index = api.call("CreateIndex", "POST", "/index/create", query)["Id"]
    emulator.bailian.knowledge.polls_until_done = 1
    assert api.call("ListIndexDocuments", "GET", "/index/list_index_documents", {"IndexId": index})["TotalCount"] == 0
    job = api.call("SubmitIndexJob", "POST", "/index/submit_index_job", {"IndexId": index})
    assert job["IndexId"] == index
    asked = {"IndexId": index, "JobId": job["Id"], "PageNumber": "1", "pageSize": "10"}
    states = [api.call("GetIndexJobStatus", "GET", "/index/job/status", asked) for _ in range(3)]
    assert [(each["Status"], [row["Status"] for row in each["Documents"]]) for each in states] == [
        ("PENDING", []),
        ("RUNNING", ["FINISH"]),
        ("COMPLETED", ["FINISH"]),
    ]
    for wanted, found in [("Tim", 1), ("Tom", 0)]:
        asked = {"IndexId": index, "Query": "保修", "SearchFilters": json.dumps([{"author": wanted}])}
        assert len(api.call("Retrieve", "POST", "/index/retrieve", asked)["Nodes"]) == found


def test_names_are_not_unique(api: LibraryApi) -> None:
    """Two bases may have one name here."""
    query = {"Name": "docs", "StructureType": "unstructured", "SinkType": "BUILT_IN"}
    ids = [api.call("CreateIndex", "POST", "/index/create", query)["Id"] for _ in range(2)]
    listed = api.call("ListIndices", "GET", "/index/list_indices", {"IndexName": "doc"})
    assert ([row["Id"] for row in listed["Indices"]], listed["TotalCount"]) == (ids[::-1], 2)
    assert listed["Indices"][0]["RerankMinScore"] == "0.01"  # a text, where other calls have a number


def test_a_job_that_fails(emulator: Emulator, api: LibraryApi) -> None:
    """When no document came in, the whole has failed."""
    knowledge = emulator.bailian.knowledge
    knowledge.polls_until_done, knowledge.polls_running_after_rows, knowledge.failing_imports = 0, 0, {"x.txt"}
    ids = json.dumps([knowledge.add_file("x.txt", "x").file_id])
    query = {"IndexId": "kbtest", "SourceType": "DATA_CENTER_FILE", "DocumentIds": ids}
    job = api.call("SubmitIndexAddDocumentsJob", "POST", "/index/add_documents_to_index", query)["Id"]
    told = api.call("GetIndexJobStatus", "GET", "/index/job/status", {"IndexId": "kbtest", "JobId": job})
    assert (told["Status"], told["Documents"][0]["Status"]) == ("FAILED", "INSERT_ERROR")


def test_documents_and_chunks(api: LibraryApi) -> None:
    """Lists filter by name and status; the list of chunks alone has a JSON body; names come in three cases."""
    listed = api.call(
        "ListIndexDocuments", "GET", "/index/list_index_documents", {"IndexId": "kbtest", "PageSize": "1"}
    )
    assert ([row["Name"] for row in listed["Documents"]], listed["TotalCount"]) == (["c"], 3)
    asked = {"IndexId": "kbtest", "DocumentName": "a", "EnableNameLike": "true", "DocumentStatus": "FINISH"}
    row = api.call("ListIndexDocuments", "GET", "/index/list_index_documents", asked)["Documents"][0]
    details = api.call("ListIndexFileDetails", "POST", "/index/list_index_file_detail", asked)["Documents"][0]
    assert (row["Name"], details["ChunkSize"]) == ("a", "500")
    field = json.dumps({"content": "purple plum cake", "title": "t"})
    added = {"PipelineId": "kbtest", "dataId": row["Id"], "field": field}
    assert api.call("AddChunk", "POST", "/chunk/create", added) is True
    body = json.dumps({"IndexId": "kbtest", "FileId": row["Id"], "Fields": ["title"], "PageNum": 1, "PageSize": 10})
    chunks = api.call("ListChunks", "POST", "/index/list_chunks", None, None, body.encode())
    assert ([node["Text"] for node in chunks["Nodes"]], chunks["Total"]) == (["red apple", "purple plum cake"], 2)
    metadata = chunks["Nodes"][1]["Metadata"]
    assert sorted(metadata) == ["_id", "title"]
    changed = {"PipelineId": "kbtest", "DataId": row["Id"], "ChunkId": metadata["_id"], "content": "violet grape"}
    api.call("UpdateChunk", "POST", "/chunk/update", {**changed, "IsDisplayedChunkContent": "True"})
    asked = {"IndexId": "kbtest", "Query": "violet"}
    assert len(api.call("Retrieve", "POST", "/index/retrieve", asked)["Nodes"]) == 1
    gone = {"PipelineId": "kbtest", "ChunkIds": json.dumps([metadata["_id"]])}
    assert api.call("DeleteChunk", "POST", "/chunk/delete", gone) is True
    assert api.call("Retrieve", "POST", "/index/retrieve", asked)["Nodes"] == []


def test_files_in_pages(api: LibraryApi) -> None:
    """`MaxResults` with an s here, and a token until there is no more."""
    query = {"CategoryId": "default", "MaxResults": "4"}
    first = api.call("ListFile", "GET", "/datacenter/files", query)
    assert (len(first["FileList"]), first["HasNext"], first["TotalCount"]) == (4, True, 6)
    rest = api.call("ListFile", "GET", "/datacenter/files", {**query, "NextToken": first["NextToken"]})
    assert (len(rest["FileList"]), rest["HasNext"], rest["NextToken"]) == (2, False, "")


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ({"status": 429}, (429, "Throttling")),
        ({"status": 503}, (503, "ServiceUnavailable")),
        ({"code": "Throttling.User", "status": 400}, (400, "Throttling.User")),
    ],
    ids=str,
)
def test_scripted_refusals(emulator: Emulator, api: LibraryApi, fault: dict[str, Any], told: tuple[int, str]) -> None:
    """A scripted failure comes in the gateway's words."""
    emulator.fail("status", **fault, path=f"/{WORKSPACE}/index/retrieve")
    query = {"IndexId": INDEX, "Query": "x"}
    assert gateway(api.signed("Retrieve", "POST", "/index/retrieve", query)) == told
    assert api.signed("Retrieve", "POST", "/index/retrieve", query).status_code == 200


def test_throttled(emulator: Emulator, api: LibraryApi) -> None:
    """The plan's limit counts signed queries too."""
    emulator.bailian.knowledge.queries_per_second = 1
    emulator.bailian.clock = lambda: 1000.0
    query = {"IndexId": INDEX, "Query": "x"}
    assert api.signed("Retrieve", "POST", "/index/retrieve", query).status_code == 200
    assert gateway(api.signed("Retrieve", "POST", "/index/retrieve", query)) == (429, "Throttling")
