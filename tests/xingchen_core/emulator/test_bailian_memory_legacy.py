"""The older memory bodies of the emulator, by hand-signed HTTP, and what applications remember in them."""

from collections.abc import Iterator
from typing import Any

import pytest

from bailian_api import APPS, question
from bailian_library_api import LibraryApi, library
from xingchen_core.emulator import Emulator

BODY = "/memories"


@pytest.fixture
def api(emulator: Emulator) -> Iterator[LibraryApi]:
    """Plain HTTP to the emulator."""
    with library(emulator) as client:
        yield client


def good(api: LibraryApi, action: str, method: str, path: str, **query: str) -> dict[str, Any]:
    """The body of a call that must go well, without its request id: there is no envelope."""
    response = api.signed(action, method, path, query, plus=True)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    assert answer.pop("requestId")
    return answer


def test_bodies(api: LibraryApi) -> None:
    """Made, read, changed, listed, deleted; members are in lower camel case at the top."""
    memory = good(api, "CreateMemory", "POST", BODY, description="user A")["memoryId"]
    path = f"{BODY}/{memory}"
    assert good(api, "GetMemory", "GET", path) == {
        "memoryId": memory,
        "description": "user A",
        "workspaceId": "llm-demo",
    }
    assert good(api, "UpdateMemory", "PUT", path, description="user B") == {}
    assert good(api, "ListMemories", "GET", BODY) == {
        "maxResults": 10,
        "memories": [{"memoryId": memory, "description": "user B"}],
        "nextToken": "",
        "totalCount": 1,
        "workspaceId": "llm-demo",
    }
    assert good(api, "DeleteMemory", "DELETE", path) == {}
    gone = api.signed("GetMemory", "GET", path)
    assert gone.status_code == 404
    assert sorted(gone.json()) == ["Code", "HostId", "Message", "Recommend", "RequestId"]


def test_nodes(api: LibraryApi) -> None:
    """Texts in a body, as they are; they go with it."""
    memory = good(api, "CreateMemory", "POST", BODY, description="a")["memoryId"]
    nodes = f"{BODY}/{memory}/memoryNodes"
    node = good(api, "CreateMemoryNode", "POST", nodes, content="喜欢 茶\n")["memoryNodeId"]
    assert good(api, "GetMemoryNode", "GET", f"{nodes}/{node}")["content"] == "喜欢 茶\n"
    good(api, "UpdateMemoryNode", "PUT", f"{nodes}/{node}", content="喜欢咖啡")
    for number in range(2):
        good(api, "CreateMemoryNode", "POST", nodes, content=f"n{number}")
    first = good(api, "ListMemoryNodes", "GET", nodes, maxResults="2")
    assert ([each["content"] for each in first["memoryNodes"]], first["totalCount"]) == (["喜欢咖啡", "n0"], 3)
    rest = good(api, "ListMemoryNodes", "GET", nodes, maxResults="2", nextToken=first["nextToken"])
    assert ([each["content"] for each in rest["memoryNodes"]], rest["nextToken"]) == (["n1"], "")
    good(api, "DeleteMemoryNode", "DELETE", f"{nodes}/{node}")
    assert api.signed("GetMemoryNode", "GET", f"{nodes}/{node}").status_code == 404
    good(api, "DeleteMemory", "DELETE", f"{BODY}/{memory}")
    assert api.signed("ListMemoryNodes", "GET", nodes).status_code == 404


@pytest.mark.parametrize(
    ("action", "path", "query"),
    [
        ("CreateMemory", BODY, {"description": "d" * 51}),
        ("CreateMemory", BODY, {}),
        ("CreateMemoryNode", BODY + "/ID/memoryNodes", {"content": "c" * 201}),
        ("CreateMemoryNode", BODY + "/ID/memoryNodes", {}),
    ],
)
def test_limits(api: LibraryApi, action: str, path: str, query: dict[str, str]) -> None:
    """Lengths in characters."""
    memory = good(api, "CreateMemory", "POST", BODY, description="字" * 50)["memoryId"]
    response = api.signed(action, "POST", path.replace("ID", memory), query)
    assert (response.status_code, response.json()["Code"]) == (400, "InvalidParameter")


def test_parameters_in_a_body(api: LibraryApi) -> None:
    """They are not heard."""
    response = api.signed("CreateMemory", "POST", BODY, None, {"description": "a"})
    assert response.status_code == 400


def test_a_pause_between_calls(emulator: Emulator, api: LibraryApi) -> None:
    """Where switched on, calls within a second of each other are throttled."""
    emulator.bailian.memory.legacy_pause_seconds = 1
    now = [1000.0]
    emulator.bailian.clock = lambda: now[0]
    good(api, "ListMemories", "GET", BODY)
    assert api.signed("ListMemories", "GET", BODY).json()["Code"] == "Throttling.User"
    now[0] += 1
    good(api, "ListMemories", "GET", BODY)


def test_what_an_application_remembers(api: LibraryApi) -> None:
    """An application's `memory_id` is such a body; under `parameters` it has no effect."""
    memory = good(api, "CreateMemory", "POST", BODY, description="a")["memoryId"]
    nodes = f"{BODY}/{memory}/memoryNodes"
    path = APPS + "demo/completion"
    api.http.post(path, json=question("我喜欢爬山", parameters={"memory_id": memory}))
    assert good(api, "ListMemoryNodes", "GET", nodes)["memoryNodes"] == []
    api.http.post(path, json=question("我叫小明", memory_id=memory))
    listed = good(api, "ListMemoryNodes", "GET", nodes)["memoryNodes"]
    assert [each["content"] for each in listed] == ["我叫小明"]
    good(api, "CreateMemoryNode", "POST", nodes, content="我住在杭州")
    good(api, "DeleteMemoryNode", "DELETE", f"{nodes}/{listed[0]['memoryNodeId']}")
    body = question("我是谁？", memory_id=memory, parameters={"has_thoughts": True})
    thoughts = str(api.http.post(path, json=body).json()["output"]["thoughts"])
    assert "我住在杭州" in thoughts
    assert "小明" not in thoughts
