"""The emulated memory library, by plain HTTP: storing as given, search, lists, single memories, isolation, faults."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from bailian_library_api import MEMORY, LibraryApi, library, listed, search, store
from xingchen_core.emulator import Emulator


@pytest.fixture
def api(emulator: Emulator) -> Iterator[LibraryApi]:
    """Plain HTTP to an emulator whose time stands still."""
    emulator.bailian.clock = lambda: 1790000000.5
    with library(emulator) as client:
        yield client


def test_stored_as_given(api: LibraryApi) -> None:
    """What was stored comes back as it was, with everything the documents name, and without its owner."""
    content = " 喜欢喝茶,\n不喝咖啡 "
    node_id = store(api, content, meta_data={"k": "pref"}, timestamp=1780000000)
    assert len(node_id) == 32
    whole = api.memory("GET", f"memory_nodes/{node_id}")["memory_node"]
    assert whole == {
        "memory_node_id": node_id,
        "content": content,
        "memory_type": "observation",
        "status": "valid",
        "project_id": "proj-demo",
        "meta_data": {"k": "pref"},
        "timestamp": 1780000000,
        "created_at": 1790000000,
        "updated_at": 1790000000,
        "media_urls": [],
    }


def test_stored_twice(api: LibraryApi) -> None:
    """There is no key: a repeated add stores a second memory."""
    assert store(api, "喜欢茶") != store(api, "喜欢茶")
    assert listed(api) == ["喜欢茶", "喜欢茶"]


def test_search(api: LibraryApi) -> None:
    """Best first, from the default threshold of 0.3 on; what was said last by the user is the query."""
    for content in ("likes green tea", "likes coffee", "plays chess"):
        store(api, content)
    assert search(api, "likes green tea") == [("likes green tea", 1.0), ("likes coffee", 0.3333)]
    assert search(api, "likes green tea", min_score=0.5) == [("likes green tea", 1.0)]
    assert len(search(api, "likes green tea", min_score=0)) == 3
    assert search(api, "likes green tea", min_score=0, top_k=1) == [("likes green tea", 1.0)]
    assert search(api, "swimming") == []
    turns = [{"role": "user", "content": "coffee"}, {"role": "assistant", "content": "?"}]
    last = {"role": "user", "content": [{"type": "text", "text": "chess"}]}
    body = {"user_id": "u1", "messages": [*turns, last]}
    assert [node["content"] for node in api.memory("POST", "memory_nodes/search", body)["memory_nodes"]] == [
        "plays chess"
    ]


@pytest.mark.parametrize(
    ("plan", "named", "score"),
    [
        ({}, "pro", 1.0),
        ({"plan_version": "lite"}, "lite", 0.5),
        ({"enable_rerank": False}, "lite", 0.5),
        ({"enable_rerank": False, "plan_version": "pro"}, "pro", 1.0),
    ],
    ids=str,
)
def test_plans(api: LibraryApi, plan: dict[str, Any], named: str, score: float) -> None:
    """`pro` unless asked otherwise, and named in the answer; scores of the two do not compare."""
    store(api, "green tea")
    body = {"user_id": "u1", "messages": [{"role": "user", "content": "tea"}], **plan}
    answer = api.memory("POST", "memory_nodes/search", body)
    assert (answer["plan_version"], answer["memory_nodes"][0]["score"]) == (named, score)


USER = {"user_id": "u1"}
TEA = [{"role": "user", "content": "tea"}]


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("add", {"custom_content": "x"}, "MissingParameter"),
        ("add", USER, "MissingParameter"),
        ("add", {**USER, "messages": []}, "MissingParameter"),
        ("add", {**USER, "messages": TEA * 51}, "InvalidParameter"),
        ("add", {**USER, "messages": [{"role": "tool", "content": "x"}]}, "InvalidParameter"),
        ("add", {**USER, "custom_content": "字" * 513}, "InvalidParameter"),
        ("add", {"user_id": "u" * 65, "custom_content": "x"}, "InvalidParameter"),
        ("add", {**USER, "custom_content": "x", "meta_data": "k"}, "InvalidParameter"),
        ("memory_nodes/search", USER, "MissingParameter"),
        ("memory_nodes/search", {"messages": TEA}, "MissingParameter"),
        ("memory_nodes/search", {**USER, "messages": TEA, "top_k": 101}, "InvalidParameter"),
        ("memory_nodes/search", {**USER, "messages": TEA, "top_k": 0}, "InvalidParameter"),
        ("memory_nodes/search", {**USER, "messages": TEA, "plan_version": "max"}, "InvalidParameter"),
    ],
)
def test_refused(api: LibraryApi, path: str, body: dict[str, Any], code: str) -> None:
    """Missing and excessive values."""
    assert api.memory_refused("POST", path, body) == (400, code)


def test_longest_content(api: LibraryApi) -> None:
    """512 characters, not bytes."""
    store(api, "字" * 512)


@pytest.mark.parametrize("score", [1.5, -0.1])
def test_score_out_of_bounds(api: LibraryApi, score: float) -> None:
    """Refused with the text that has been seen."""
    response = api.http.post(MEMORY + "memory_nodes/search", json={**USER, "messages": TEA, "min_score": score})
    told = response.json()
    assert (response.status_code, told["code"]) == (400, "InvalidParameter")
    assert told["message"].startswith("Required parameter min_score must be between 0 and 1.0")


@pytest.mark.parametrize("header", ["Bearer invalid", "Bearer sk-sp-x", ""])
def test_keys(api: LibraryApi, header: str) -> None:
    """Bad keys, coding-plan keys and none."""
    response = api.bare.get(MEMORY + "memory_nodes?user_id=u1", headers={"Authorization": header})
    assert (response.status_code, response.json()["code"]) == (401, "InvalidApiKey")


def test_pages(api: LibraryApi) -> None:
    """Pages count from 1 and hold 10; nobody's list is empty, and not an error."""
    for number in range(12):
        store(api, f"fact {number}")
    answer = api.memory("GET", "memory_nodes", user_id="u1")
    assert (answer["total"], answer["page_num"], answer["page_size"]) == (12, 1, 10)
    assert listed(api, page_num=2) == ["fact 1", "fact 0"]
    assert listed(api, page_num=1, page_size=100)[0] == "fact 11"
    assert listed(api, page_num=3) == listed(api, user="nobody") == []
    assert "score" not in answer["memory_nodes"][0]
    assert api.memory_refused("GET", "memory_nodes") == (400, "MissingParameter")
    assert api.memory_refused("GET", "memory_nodes", user_id="u1", page_num=0) == (400, "InvalidParameter")


def test_nobody_is_asked_who_he_is(api: LibraryApi) -> None:
    """By its id, a memory can be read, changed and deleted by anyone, as at the service."""
    node_id = store(api, "密码提示是猫", user="alice")
    assert listed(api, user="bob") == search(api, "猫", user="bob") == []
    assert "alice" not in str(api.memory("GET", f"memory_nodes/{node_id}", user_id="bob"))
    api.memory("PATCH", f"memory_nodes/{node_id}", {"user_id": "bob", "custom_content": "换成狗"})
    assert listed(api, user="alice") == ["换成狗"]
    api.memory("DELETE", f"memory_nodes/{node_id}")
    assert listed(api, user="alice") == []


def test_changes(emulator: Emulator, api: LibraryApi) -> None:
    """The content is replaced, metadata merged, the time kept; metadata alone cannot change."""
    node_id = store(api, "old", meta_data={"a": 1, "b": 1}, timestamp=1700000000)
    emulator.bailian.advance(60)
    assert api.memory("PATCH", f"memory_nodes/{node_id}", {"custom_content": "new", "meta_data": {"b": 2}}) == {}
    node = api.memory("GET", f"memory_nodes/{node_id}")["memory_node"]
    assert (node["content"], node["meta_data"], node["timestamp"]) == ("new", {"a": 1, "b": 2}, 1700000000)
    assert (node["created_at"], node["updated_at"]) == (1790000000, 1790000060)
    api.memory("PATCH", f"memory_nodes/{node_id}", {"custom_content": "new", "timestamp": 1700000001})
    assert api.memory("GET", f"memory_nodes/{node_id}")["memory_node"]["timestamp"] == 1700000001
    refused = api.memory_refused("PATCH", f"memory_nodes/{node_id}", {"meta_data": {"c": 3}})
    assert refused == (400, "MissingParameter")


def test_deleted_ones_can_be_read(api: LibraryApi) -> None:
    """A deletion is soft, can be repeated, and hides from list and search."""
    node_id = store(api, "green tea")
    for _ in range(2):
        assert api.memory("DELETE", f"memory_nodes/{node_id}") == {}
    assert listed(api) == search(api, "tea") == []
    node = api.memory("GET", f"memory_nodes/{node_id}")["memory_node"]
    assert (node["status"], node["content"]) == ("delete", "green tea")
    change = {"custom_content": "x"}
    assert api.memory_refused("PATCH", f"memory_nodes/{node_id}", change) == (404, "NotFound")


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_unknown_memories(api: LibraryApi, method: str) -> None:
    """Not found."""
    body = {"custom_content": "x"} if method == "PATCH" else None
    assert api.memory_refused(method, "memory_nodes/" + "0" * 32, body) == (404, "NotFound")


@pytest.mark.parametrize(("method", "path"), [("POST", "add/"), ("GET", "add"), ("POST", "search")])
def test_unknown_paths(api: LibraryApi, method: str, path: str) -> None:
    """No slash at the end, no other method, and not the path of the quick start."""
    assert api.memory_refused(method, path, {} if method == "POST" else None) == (404, "NotFound")


def test_lag(emulator: Emulator, api: LibraryApi) -> None:
    """Search may find late what is listed at once; both may still show what was deleted."""
    memory = emulator.bailian.memory
    memory.write_lag_seconds, memory.delete_lag_seconds = 5, 10
    node_id = store(api, "green tea")
    assert (listed(api), search(api, "tea")) == (["green tea"], [])
    emulator.bailian.advance(5)
    assert search(api, "tea") == [("green tea", 1.0)]
    api.memory("DELETE", f"memory_nodes/{node_id}")
    assert (listed(api), search(api, "tea")) == (["green tea"], [("green tea", 1.0)])
    assert api.memory("GET", f"memory_nodes/{node_id}")["memory_node"]["status"] == "delete"
    emulator.bailian.advance(10)
    assert (listed(api), search(api, "tea")) == ([], [])


@pytest.mark.parametrize(
    ("status", "code"), [(429, "TooManyRequests"), (503, "InternalError"), (403, "Forbidden"), (404, "NotFound")]
)
def test_scripted_refusals(emulator: Emulator, api: LibraryApi, status: int, code: str) -> None:
    """A scripted failure stores nothing."""
    emulator.fail("status", status=status, path="/memory/add")
    assert api.memory_refused("POST", "add", {**USER, "custom_content": "x"}) == (status, code)
    assert listed(api) == []
    store(api, "x")


def test_an_answer_that_is_lost(emulator: Emulator, api: LibraryApi) -> None:
    """The service has stored it all the same: sent again, it would be there twice. Requests can be counted."""
    emulator.fail("cut", path="/memory/add")
    with pytest.raises(httpx.RemoteProtocolError):
        api.http.post(MEMORY + "add", json={**USER, "custom_content": "x"})
    assert listed(api) == ["x"]
    assert [request.path for request in emulator.requests] == [MEMORY + "add", MEMORY + "memory_nodes"]
