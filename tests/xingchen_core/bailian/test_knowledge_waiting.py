"""Uploads byte by byte, and waiting for parsing and imports: until when, how often, and what is said of failures."""

import asyncio
import json
import logging
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from raw_server import Connection, RawServer, Script, json_answer
from toy_service import until
from xingchen_core import (
    APIConnectionError,
    APIResponseError,
    APITimeoutError,
    ConfigurationError,
    Pause,
    PermissionDeniedError,
)
from xingchen_core.bailian import KnowledgeSettings, knowledge
from xingchen_core.bailian.knowledge import DocumentsFailedError, Lease

Connect = Callable[..., Any]

KB, WS = "kbdemo0001", "llm-demo"
BOTH = {"api_key": "test-key", "access_key_id": "testid", "access_key_secret": "testsecret", "workspace_id": WS}
SECRET = "Signature=ab%2Bcd%3D&Expires=1"
PDF = b"%PDF-1.4 \x00\xff"


def _lease(url: str, headers: dict[str, str], *, signed: bool = False, id_name: str = "leaseId") -> bytes:
    lease: dict[str, Any] = {id_name: "lease1", "param": {"url": url, "method": "PUT", "headers": headers}}
    if signed:
        lease = {
            "FileUploadLeaseId": "lease1",
            "Type": "OSS.PreSignedUrl",
            "Param": {"Url": url, "Method": "PUT", "Headers": json.dumps(headers)},
        }
        return json.dumps({"Success": True, "Data": lease}).encode()
    return json.dumps({"code": "Success", "status": 200, "data": lease}).encode()


def _http(status: str, body: bytes = b"") -> Script:
    answer = b"HTTP/1.1 %s\r\nContent-Type: application/xml\r\nContent-Length: %d\r\n\r\n%s"
    return lambda connection: connection.send(answer % (status.encode(), len(body), body))


class Store:
    """A store for uploads on its own port, and the API before it."""

    def __init__(self, put: Script, headers: dict[str, str], *, signed: bool = False) -> None:
        self.store = RawServer(put)
        self.headers = headers
        self.signed = signed

    def __enter__(self) -> "Store":
        self.store.__enter__()
        lease = _lease(f"{self.store.url}/bucket/a/f.pdf?{SECRET}", self.headers, signed=self.signed)
        added = b'{"Success":true,"Data":{"FileId":"file_fake_1"}}' if self.signed else None
        self.api = RawServer(
            json_answer(lease), json_answer(added or b'{"code":"Success","status":200,"data":{"fileId":"file_fake_1"}}')
        )
        self.api.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.api.__exit__()
        self.store.__exit__()


def _head(request: bytes) -> tuple[str, dict[str, str], bytes]:
    head, _, body = request.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    return first, {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}, body


@pytest.mark.parametrize("signed_for", [None, WS])
async def test_an_upload_is_three_calls(connect: Connect, signed_for: str | None) -> None:
    """A lease for the file's size and digest, its bytes to where the lease says, and its registration."""
    headers = {"x-bailian-extra": "ZmFrZQ==", "Content-Type": "application/pdf"}
    with Store(_http("200 OK"), headers, signed=signed_for is not None) as store:
        client = connect(store.api.url, KnowledgeSettings, default_headers={"x-own": "1"}, **BOTH)
        flow = knowledge.upload_file(PDF, "手册.pdf", tags=["A"], signed_for=signed_for)
        assert await client.run(flow) == "file_fake_1"
        lease, added = (_head(request) for request in store.api.requests)
        (put,) = (_head(request) for request in store.store.requests)
        host = store.store.url.removeprefix("http://")
    assert lease[1]["x-own"] == added[1]["x-own"] == "1"
    if signed_for is None:
        assert lease[0] == "POST /api/v1/connector/dash/applyFileUploadLease HTTP/1.1"
        assert json.loads(lease[2]) == {
            "category": "default",
            "fileName": "手册.pdf",
            "sizeBytes": "11",
            "contentMd5": "VBPF4cpMa2bA1r0dTP8mcQ==",
        }
        assert json.loads(added[2]) == {
            "leaseId": "lease1",
            "category": "default",
            "categoryType": "UNSTRUCTURED",
            "parser": "AUTO_SELECT",
            "tags": ["A"],
        }
    else:
        assert lease[0] == "POST /llm-demo/datacenter/category/default HTTP/1.1"
        assert b"SizeInBytes=11" in lease[2]
        assert added[0] == "PUT /llm-demo/datacenter/file HTTP/1.1"
    assert put[0] == f"PUT /bucket/a/f.pdf?{SECRET} HTTP/1.1"
    assert put[2] == PDF
    sent = {name: value for name, value in put[1].items() if name not in ("user-agent", "accept", "accept-encoding")}
    assert sent == {
        "host": host,
        "connection": "keep-alive",
        "content-length": "11",
        "x-bailian-extra": "ZmFrZQ==",
        "content-type": "application/pdf",
    }


@pytest.mark.parametrize(
    ("headers", "expected"), [({"Content-Type": ""}, ""), ({"Content-Type": None}, ""), ({}, None)]
)
async def test_an_empty_content_type_is_sent_empty(
    connect: Connect, headers: dict[str, Any], expected: str | None
) -> None:
    """It is part of what the URL was signed for; where none is demanded none is sent. No key goes along."""
    with Store(_http("200 OK"), headers) as store:
        await connect(store.api.url, KnowledgeSettings, **BOTH).run(knowledge.upload_file(PDF, "a.pdf"))
        _, sent, _ = _head(store.store.requests[0])
    assert sent.get("content-type") == expected
    assert "authorization" not in sent
    assert not any(name.startswith("x-") for name in sent)


async def test_an_upload_that_the_store_refuses(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    """Its XML is told, nothing is registered, and the URL, a credential, is in neither error nor log."""
    caplog.set_level(logging.DEBUG)
    with Store(_http("403 Forbidden", b"<Error><Code>SignatureDoesNotMatch</Code></Error>"), {}) as store:
        client = connect(store.api.url, KnowledgeSettings, **BOTH)
        with pytest.raises(PermissionDeniedError, match="SignatureDoesNotMatch") as caught:
            await client.run(knowledge.upload_file(PDF, "a.pdf"))
        assert len(store.api.requests) == 1
    assert "workspace_id" not in str(caught.value)
    assert "ab%2Bcd" not in f"{caught.value}{caplog.text}{caught.value.response and caught.value.response.request.url}"


async def test_an_upload_is_not_repeated(connect: Connect) -> None:
    """A connection that breaks inside it leaves open whether the file is there."""
    with Store(Connection.reset, {}) as store:
        client = connect(store.api.url, KnowledgeSettings, **BOTH)
        with pytest.raises(APIConnectionError):
            await client.run(knowledge.upload_file(PDF, "a.pdf"))
        assert len(store.store.requests) == 1


async def test_a_file_from_its_place(connect: Connect, tmp_path: Path) -> None:
    """A path gives bytes and name."""
    (tmp_path / "手册.pdf").write_bytes(PDF)
    with Store(_http("200 OK"), {}) as store:
        await connect(store.api.url, KnowledgeSettings, **BOTH).run(knowledge.upload_file(tmp_path / "手册.pdf"))
        assert json.loads(_head(store.api.requests[0])[2])["fileName"] == "手册.pdf"


def test_bytes_need_a_name() -> None:
    """Its extension says how they are read."""
    with pytest.raises(ConfigurationError, match="extension"):
        next(knowledge.upload_file(PDF))


@pytest.mark.parametrize("url", ["", "ftp://oss.invalid/a", "/a"])
def test_a_lease_without_a_usable_url(url: str) -> None:
    """It is the service's mistake, told as such."""
    with pytest.raises(APIResponseError, match="usable URL"):
        knowledge.upload(Lease("lease1", url, "PUT", {}), PDF)


def test_a_lease_shows_no_credential() -> None:
    """It may end in a log."""
    assert "Signature" not in repr(Lease("lease1", f"https://oss.invalid/a?{SECRET}", "PUT", {"x": SECRET}))


def test_a_leases_id_has_two_names() -> None:
    """One page calls it `leaseId`, another `fileUploadLeaseId`."""
    call = knowledge.apply_lease("a.pdf", PDF)
    for name in ("leaseId", "fileUploadLeaseId"):
        assert call.parse(json.loads(_lease("https://oss.invalid/a", {}, id_name=name))).id == "lease1"


# Waiting


class Service:
    """Answers the looks of one wait, the last answer again and again."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return httpx.Response(200, json=answer)


def _job(state: str, *rows: tuple[str, ...], total: int | None = None, signed: bool = False) -> dict[str, Any]:
    """A look at an import: rows are (id, status, code, message)."""
    if signed:
        names = ("DocId", "Status", "Code", "Message")
        documents = [dict(zip(names, row, strict=False)) for row in rows]
        return {"Success": True, "Data": {"Status": state, "Documents": documents}}
    documents = [dict(zip(("doc_id", "status", "code", "message"), row, strict=False)) for row in rows]
    count = len(rows) if total is None else total
    return {"code": "Success", "data": {"ingestion_status": state, "total_count": count, "rows": documents}}


def _file(status: str, name: str = "", message: str | None = None) -> dict[str, Any]:
    return {
        "code": "Success",
        "status": 200,
        "data": {"fileName": name, "status": status, "parseErrorMessage": message},
    }


DONE = ("f1", "FINISH", "FINISH", "ok")


@pytest.mark.parametrize(
    "looks",
    [
        [_job("PENDING"), _job("RUNNING", ("f1", "RUNNING")), _job("COMPLETED", DONE)],
        [_job("RUNNING", total=0), _job("RUNNING", ("f1", "DOC_PARSING")), _job("RUNNING", DONE)],
        [_job("RUNNING", DONE, total=2), _job("RUNNING", DONE, ("f2", "RUNNING"), total=2), _job("RUNNING", DONE)],
        [_job("COMPLETED", ("f1", "RUNNING")), _job("COMPLETED", ("f1", "RUNNING")), _job("COMPLETED", DONE)],
        [_job("COMPLETED", DONE, total=2), _job("COMPLETED", total=1), _job("COMPLETED", DONE)],
    ],
    ids=["in order", "running for good", "not all listed yet", "completed too early", "rows lag behind"],
)
async def test_an_import_is_over_when_its_documents_are(connect: Connect, waits: list[float], looks: list[Any]) -> None:
    """Three looks each: no state of the import's own is trusted beside rows that are not done, or not all there."""
    service = Service(*looks)
    seen: list[tuple[int, int]] = []
    client = connect(service, KnowledgeSettings, **BOTH)
    flow = knowledge.wait_for_job(KB, "job1", on_progress=lambda done, total: seen.append((done, total)))
    documents = await client.run(flow)
    assert [document.id for document in documents] == ["f1"]
    assert (waits, len(service.requests), len(seen), seen[-1]) == ([5.0, 7.5], 3, 3, (1, 1))


async def test_an_import_of_nothing(connect: Connect) -> None:
    """A category without files: completed, and no rows will come."""
    client = connect(Service(_job("COMPLETED")), KnowledgeSettings, **BOTH)
    assert await client.run(knowledge.wait_for_job(KB, "job1")) == ()


FAILURES = (
    ("f1", "INSERT_ERROR", "INSERT_ERROR", "向量化失败"),
    ("f2", "FINISH", "PARSE_FAILED", "密码保护"),
    ("f3", "PARSE_FAILED"),
    ("f4", "DELETED"),
    ("f5", "FINISH"),
)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("state", ["COMPLETED", "FAILED", "RUNNING"])
async def test_failed_documents_are_listed(connect: Connect, state: str, signed: bool) -> None:
    """An import says COMPLETED, or nothing, where documents failed: they are told by name and reason."""
    client = connect(Service(_job(state, *FAILURES, signed=signed)), KnowledgeSettings, **BOTH)
    names = {"f1": "手册.pdf", "f2": "合同.docx", "f3": "扫描.png", "f4": "旧.txt", "f5": "好.txt"}
    with pytest.raises(DocumentsFailedError) as caught:
        await client.run(knowledge.wait_for_job(KB, "job1", names=names, signed_for=WS if signed else None))
    error = caught.value
    assert str(error) == (
        "bailian: 4 of 5 documents could not be imported: 手册.pdf: INSERT_ERROR, 向量化失败; "
        "合同.docx: FINISH, PARSE_FAILED, 密码保护; 扫描.png: PARSE_FAILED; 旧.txt: DELETED."
    )
    assert [document.id for document in error.failed] == ["f1", "f2", "f3", "f4"]
    assert [document.id for document in error.ready] == ["f5"]
    assert not error.is_retryable
    revived = pickle.loads(pickle.dumps(error))
    assert (str(revived), revived.failed) == (str(error), error.failed)


async def test_an_import_that_failed_as_a_whole(connect: Connect) -> None:
    """What is not done then never will be; the wait ends."""
    client = connect(Service(_job("FAILED", ("f1", "RUNNING"), signed=True)), KnowledgeSettings, **BOTH)
    with pytest.raises(DocumentsFailedError, match="f1: RUNNING"):
        await client.run(knowledge.wait_for_job(KB, "job1", signed_for=WS))
    client = connect(Service(_job("FAILED")), KnowledgeSettings, **BOTH)
    with pytest.raises(DocumentsFailedError, match="Nothing was imported"):
        await client.run(knowledge.wait_for_job(KB, "job1"))


async def test_signed_looks_count_nothing(connect: Connect, waits: list[float]) -> None:
    """They tell no number: that all rows of a running import are done means nothing, unless we know how many."""
    running, over = _job("RUNNING", DONE, signed=True), _job("COMPLETED", DONE, ("f2", "FINISH"), signed=True)
    client = connect(Service(running, over), KnowledgeSettings, **BOTH)
    assert len(await client.run(knowledge.wait_for_job(KB, "job1", signed_for=WS))) == 2
    assert len(waits) == 1
    client = connect(Service(running), KnowledgeSettings, **BOTH)
    assert len(await client.run(knowledge.wait_for_job(KB, "job1", names={"f1": "a"}, signed_for=WS))) == 1
    assert len(waits) == 1


async def test_rows_on_several_pages(connect: Connect) -> None:
    """All are looked at; a service that takes no page of a hundred does not hide the rest."""
    rows = [(f"f{number}", "FINISH") for number in range(25)]
    pages = [_job("COMPLETED", *rows[start : start + 10], signed=True) for start in (0, 10, 20)]
    service = Service(*pages)
    documents = await connect(service, KnowledgeSettings, **BOTH).run(knowledge.wait_for_job(KB, "job1", signed_for=WS))
    assert len(documents) == 25
    assert [request.url.params["PageNumber"] for request in service.requests] == ["1", "2", "3"]


async def test_pages_that_repeat_do_not_go_on_for_ever(connect: Connect) -> None:
    """A service that ignores the page number is asked twice."""
    service = Service(_job("COMPLETED", *((f"f{n}", "FINISH") for n in range(10)), signed=True))
    await connect(service, KnowledgeSettings, **BOTH).run(knowledge.wait_for_job(KB, "job1", signed_for=WS))
    assert len(service.requests) == 2


async def test_an_import_that_takes_too_long(connect: Connect, waits: list[float]) -> None:
    """The wait is bounded, backs off to half a minute, and says what is not done."""
    client = connect(Service(_job("RUNNING", DONE, ("f2", "RUNNING"))), KnowledgeSettings, **BOTH)
    with pytest.raises(APITimeoutError, match=r"not done within 100 s: 手册\.pdf \(RUNNING\)"):
        await client.run(knowledge.wait_for_job(KB, "job1", names={"f2": "手册.pdf"}, timeout=100))
    assert waits == [5.0, 7.5, 11.25, 16.875, 25.3125, 30.0, pytest.approx(4.0625)]


async def test_an_import_that_leaves_one_out(connect: Connect) -> None:
    """Completed, but a document that was named never came: the error names it."""
    client = connect(Service(_job("COMPLETED", DONE)), KnowledgeSettings, **BOTH)
    names = {"f1": "一.md", "f2": "二.md"}
    with pytest.raises(APITimeoutError, match=r"not done within 0 s: 二\.md \(not listed\)"):
        await client.run(knowledge.wait_for_job(KB, "job1", names=names, timeout=0))


async def test_files_are_waited_for(connect: Connect, waits: list[float]) -> None:
    """Words that are known mean progress, and so do words that are not; who is done is not asked again."""
    service = Service(
        _file("INIT"), _file("PARSE_SUCCESS"), _file("IN_PARSE_QUEUE"), _file("NEW_WORD"), _file("PARSE_SUCCESS", "a")
    )
    seen: list[tuple[int, int]] = []
    flow = knowledge.wait_for_files(["f1", "f2"], on_progress=lambda *counts: seen.append(counts))
    files = await connect(service, KnowledgeSettings, **BOTH).run(flow)
    assert [file.id for file in files] == ["f1", "f2"]
    assert [json.loads(request.content)["fileId"] for request in service.requests] == ["f1", "f2", "f1", "f1", "f1"]
    assert seen == [(1, 2), (1, 2), (1, 2), (2, 2)]
    assert waits == [3.0, 4.5, 6.75]


async def test_files_that_fail_are_listed_when_all_are_done(connect: Connect) -> None:
    """One that fails at once does not hide what becomes of the others."""
    service = Service(
        _file("FAIL", "合同.docx", "密码保护"), _file("PARSING"), _file("PARSE_FAILED"), _file("PARSE_SUCCESS")
    )
    with pytest.raises(DocumentsFailedError) as caught:
        await connect(service, KnowledgeSettings, **BOTH).run(
            knowledge.wait_for_files({"f1": "", "f2": "扫描.png"}, signed_for=None)
        )
    assert str(caught.value) == (
        "bailian: 2 of 2 documents could not be parsed: 合同.docx: FAIL, 密码保护; 扫描.png: PARSE_FAILED."
    )


async def test_files_that_take_too_long(connect: Connect) -> None:
    """The message lists them."""
    client = connect(Service(_file("PARSING", "手册.pdf")), KnowledgeSettings, **BOTH)
    with pytest.raises(APITimeoutError, match=r"手册\.pdf \(PARSING\)"):
        await client.run(knowledge.wait_for_files(["f1"], timeout=1))


def test_a_wait_is_cancelled_by_closing_it() -> None:
    """Nothing is asked any more."""
    flow = knowledge.wait_for_job(KB, "job1")
    look: Any = next(flow)
    step = flow.send(look.parse(_job("RUNNING", ("f1", "RUNNING"))))
    assert isinstance(step, Pause)
    flow.close()
    with pytest.raises(StopIteration):
        next(flow)


async def test_a_wait_is_cancelled_with_its_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cancelling the task ends the flow within its pause."""
    service = Service(_job("RUNNING", ("f1", "RUNNING")))
    monkeypatch.setattr("xingchen_core._client._async_sleep", asyncio.sleep)
    http = httpx.AsyncClient(transport=httpx.MockTransport(service))
    async with KnowledgeSettings(**BOTH, http_async_client=http) as settings:
        task = asyncio.create_task(settings.async_client().run(knowledge.wait_for_job(KB, "job1")))
        await until(lambda: service.requests)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await http.aclose()
    assert len(service.requests) == 1
