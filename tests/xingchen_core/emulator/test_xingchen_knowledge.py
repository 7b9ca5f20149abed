"""Knowledge bases with their files, and document conversion."""

from typing import Any

import pytest

from xingchen_core.emulator import Emulator

INVALID = (400, 400, "aca.error.invalid.param")
NOT_FOUND = (400, 404, "aca.error.notfound")
FILE = {"filename": "a.txt", "fileUrl": "https://example.invalid/a.txt"}


def create(api: Any, name: str = "faq", **members: Any) -> str:
    """Create a knowledge base and return its id."""
    identifier: str = api.data("knowledge_base/create", {"name": name, **members})["knowledgeBaseId"]
    return identifier


def files(api: Any, identifier: str, **paging: Any) -> list[dict[str, Any]]:
    """Return one page of the files."""
    rows: list[dict[str, Any]] = api.data("knowledge_base/detail/search", {"knowledgeBaseId": identifier, **paging})[
        "list"
    ]
    return rows


def test_create(api: Any) -> None:
    """A new base has an id, its name and description, and no files."""
    data = api.data("knowledge_base/create", {"name": "faq", "description": "shop faq"})
    assert data.items() >= {"name": "faq", "description": "shop faq", "count": 0}.items()
    assert data["knowledgeBaseId"]
    assert type(data["gmtCreate"]) is int


@pytest.mark.parametrize(
    "body",
    [{}, {"name": ""}, {"name": "一" * 21}, {"name": "n", "description": "一" * 201}, {"name": "n", "userProfile": {}}],
)
def test_bad_bases(api: Any, body: dict[str, Any]) -> None:
    """Names of 1..20 characters, descriptions of 200 at most."""
    assert api.refusal(api.post("knowledge_base/create", body)) == INVALID


def test_longest_names(api: Any) -> None:
    """The limits themselves are inside."""
    assert create(api, "一" * 20, description="一" * 200)


def test_update(api: Any) -> None:
    """Only what was sent changes."""
    identifier = create(api, description="旧")
    assert api.data("knowledge_base/update", {"knowledgeBaseId": identifier, "name": "新库"}) is True
    [row] = api.data("knowledge_base/search", {})["list"]
    assert (row["name"], row["description"]) == ("新库", "旧")
    assert row["gmtModified"] > row["gmtCreate"]
    long = {"knowledgeBaseId": identifier, "name": "一" * 21}
    assert api.refusal(api.post("knowledge_base/update", long)) == INVALID


def test_search(api: Any, stranger: Any) -> None:
    """An account's own bases, page by page; only one user's when the request has a userProfile."""
    for number in range(11):
        create(api, f"库{number}")
    create(api, "小明的库", userProfile={"userId": "u1"})
    page = api.data("knowledge_base/search", {"pageNum": 2})
    assert ([row["name"] for row in page["list"]], page["total"]) == (["库10", "小明的库"], 12)
    mine = api.data("knowledge_base/search", {"userProfile": {"userId": "u1"}})["list"]
    assert [(row["name"], row["bizUserId"]) for row in mine] == [("小明的库", "u1")]
    assert stranger.data("knowledge_base/search", {})["list"] == []
    assert api.refusal(api.post("knowledge_base/search", {"pageSize": 51})) == INVALID


def test_delete(api: Any, stranger: Any) -> None:
    """A deleted base is gone; a stranger cannot delete it."""
    identifier = create(api)
    body = {"knowledgeBaseId": identifier}
    assert stranger.refusal(stranger.post("knowledge_base/delete", body)) == NOT_FOUND
    assert api.data("knowledge_base/delete", body) is True
    assert api.refusal(api.post("knowledge_base/delete", body)) == NOT_FOUND
    assert api.data("knowledge_base/search", {})["list"] == []


def test_files_are_read_in_later(api: Any) -> None:
    """A file is being processed when it was just added, and done some looks later."""
    identifier = create(api)
    body = {"knowledgeBaseId": identifier, "type": "text", "fileInfos": [FILE]}
    assert api.data("knowledge_base/detail/upload", body) is True
    looks = [files(api, identifier)[0] for _ in range(3)]
    assert [look["status"] for look in looks] == ["PROCESSING", "PROCESSING", "SUCCESS"]
    assert looks[0].items() >= {"name": "a.txt", "type": "text", "knowledgeBaseId": identifier}.items()
    assert type(looks[0]["id"]) is int
    assert api.data("knowledge_base/search", {})["list"][0]["count"] == 1


@pytest.mark.parametrize("failing", ["a.txt", "https://example.invalid/a.txt"])
def test_failing_file(api: Any, emulator: Emulator, failing: str) -> None:
    """A file named as failing, by name or URL, ends FAILED; the others do not."""
    emulator.xingchen.polls_until_done = 0
    emulator.xingchen.failing_files.add(failing)
    identifier = create(api)
    infos = [FILE, {"filename": "b.txt", "fileUrl": "https://example.invalid/b.txt"}]
    api.data("knowledge_base/detail/upload", {"knowledgeBaseId": identifier, "type": "text", "fileInfos": infos})
    assert [(row["name"], row["status"]) for row in files(api, identifier)] == [
        ("a.txt", "FAILED"),
        ("b.txt", "SUCCESS"),
    ]


def test_files_go_by_name(api: Any) -> None:
    """Renaming and deleting name a file; two of one name cannot be told apart."""
    identifier = create(api)
    api.data("knowledge_base/detail/upload", {"knowledgeBaseId": identifier, "type": "text", "fileInfos": [FILE, FILE]})
    rename = {"knowledgeBaseId": identifier, "name": "a.txt", "newName": "b.txt"}
    assert api.data("knowledge_base/detail/update", rename) is True
    assert [row["name"] for row in files(api, identifier)] == ["b.txt", "b.txt"]
    assert api.refusal(api.post("knowledge_base/detail/update", rename)) == NOT_FOUND
    assert api.data("knowledge_base/detail/delete", {"knowledgeBaseId": identifier, "name": "b.txt"}) is True
    assert files(api, identifier) == []
    gone = {"knowledgeBaseId": identifier, "name": "b.txt"}
    assert api.refusal(api.post("knowledge_base/detail/delete", gone)) == NOT_FOUND


def test_file_pages(api: Any) -> None:
    """Files are listed page by page."""
    identifier = create(api)
    infos = [{"filename": f"{number}.txt", "fileUrl": "https://example.invalid/x"} for number in range(3)]
    api.data("knowledge_base/detail/upload", {"knowledgeBaseId": identifier, "type": "text", "fileInfos": infos})
    assert [row["name"] for row in files(api, identifier, pageNum=2, pageSize=2)] == ["2.txt"]


@pytest.mark.parametrize(
    "changes",
    [
        {"fileInfos": []},
        {"fileInfos": None},
        {"fileInfos": [{"filename": "a.txt"}]},
        {"type": None},
        {"knowledgeBaseId": ""},
    ],
)
def test_bad_uploads(api: Any, changes: dict[str, Any]) -> None:
    """Name and URL of each file are required, and so is the type."""
    body = {"knowledgeBaseId": create(api), "type": "text", "fileInfos": [FILE], **changes}
    assert api.refusal(api.post("knowledge_base/detail/upload", body)) == INVALID


@pytest.mark.parametrize(
    "call", ["update", "delete", "detail/upload", "detail/update", "detail/search", "detail/delete"]
)
def test_unknown_base(api: Any, call: str) -> None:
    """Every call that names a base refuses an unknown one with code 404."""
    body = {"knowledgeBaseId": "nowhere", "type": "text", "fileInfos": [FILE], "name": "a.txt", "newName": "b.txt"}
    assert api.refusal(api.post(f"knowledge_base/{call}", body)) == NOT_FOUND


def test_conversion(api: Any, stranger: Any) -> None:
    """Submitted, running, then success with the URL of the document; words in lower case, ids as numbers."""
    submitted = api.data(
        "common/file/asyn/upload", {"type": "excelToDocx", "sourceUrl": "https://example.invalid/a.xlsx"}
    )
    task = submitted["id"]
    assert submitted == {"id": task, "status": "running"}
    assert type(task) is int
    looks = [api.found("common/file/asyn/download", taskId=task) for _ in range(3)]
    assert [look["status"] for look in looks] == ["running", "running", "success"]
    assert looks[2]["url"] == "https://example.invalid/a.docx"
    assert stranger.refusal(stranger.get("common/file/asyn/download", taskId=task)) == NOT_FOUND


def test_conversion_fails(api: Any, emulator: Emulator) -> None:
    """A source named as failing ends `failed`, without a URL."""
    emulator.xingchen.polls_until_done = 0
    emulator.xingchen.failing_files.add("https://example.invalid/a.xlsx")
    body = {"type": "excelToDocx", "sourceUrl": "https://example.invalid/a.xlsx"}
    task = api.data("common/file/asyn/upload", body)["id"]
    assert api.found("common/file/asyn/download", taskId=task) == {"id": task, "status": "failed"}


def test_bad_conversions(api: Any) -> None:
    """A known type and a URL to submit, a number to ask."""
    for body in ({"type": "excelToDocx"}, {"sourceUrl": "https://example.invalid/a"}, {"type": "x", "sourceUrl": "y"}):
        assert api.refusal(api.post("common/file/asyn/upload", body)) == INVALID
    assert api.refusal(api.get("common/file/asyn/download", taskId="one")) == INVALID
    assert api.refusal(api.get("common/file/asyn/download", taskId="1")) == NOT_FOUND
