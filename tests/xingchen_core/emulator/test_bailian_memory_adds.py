"""What the emulated memory library takes out of conversations, at once and in the background; profiles."""

from collections.abc import Iterator
from typing import Any

import pytest

from bailian_library_api import MEMORY, LibraryApi, library
from xingchen_core.emulator import Emulator


@pytest.fixture
def api(emulator: Emulator) -> Iterator[LibraryApi]:
    """Plain HTTP to an emulator whose time stands still."""
    emulator.bailian.clock = lambda: 1790000000.0
    with library(emulator) as client:
        yield client


def said(*texts: str, **more: Any) -> dict[str, Any]:
    """An add of what a user said, each answered."""
    messages = [
        message
        for text in texts
        for message in ({"role": "user", "content": text}, {"role": "assistant", "content": "好的，记住了。"})
    ]
    return {"user_id": "u1", "messages": messages, **more}


def learn(api: LibraryApi, *texts: str) -> list[tuple[str, str, str | None]]:
    """(event, content, old content) of what a conversation changed."""
    nodes = api.memory("POST", "add", said(*texts))["memory_nodes"]
    return [(node["event"], node["content"], node.get("old_content")) for node in nodes]


def listed(api: LibraryApi, **query: Any) -> list[str]:
    """Everything known of the user."""
    return [each["content"] for each in api.memory("GET", "memory_nodes", user_id="u1", **query)["memory_nodes"]]


def test_sentences_become_memories(api: LibraryApi) -> None:
    """One for each sentence of the user; small talk and questions leave nothing."""
    assert learn(api, "你好！我住在杭州。我养了一只猫。", "天气怎么样？") == [
        ("ADD", "我住在杭州", None),
        ("ADD", "我养了一只猫", None),
    ]
    assert learn(api, "谢谢", "hello") == []


def test_known_facts_change_nothing(api: LibraryApi) -> None:
    """What is known already is merged."""
    learn(api, "我住在杭州")
    assert learn(api, "我住在杭州。") == []
    assert listed(api) == ["我住在杭州"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("I drink coffee", "I drink tea instead of coffee"),
        ("我喝咖啡", "我喝茶，不喝咖啡了"),
        ("我喝咖啡", "我要喝茶而不是咖啡"),
    ],
)
def test_facts_are_rewritten(api: LibraryApi, old: str, new: str) -> None:
    """An older memory changes: its id stays, its old content is told."""
    first = api.memory("POST", "add", said(old))["memory_nodes"][0]["memory_node_id"]
    assert learn(api, new) == [("UPDATE", new, old)]
    assert listed(api) == [new]
    assert api.memory("GET", f"memory_nodes/{first}")["memory_node"]["content"] == new


def test_facts_are_deleted(api: LibraryApi) -> None:
    """A conversation can delete older memories too, those stored as given included."""
    api.memory("POST", "add", {"user_id": "u1", "custom_content": "生日是五月一日"})
    assert learn(api, "请忘记生日") == [("DELETE", "生日是五月一日", None)]
    assert listed(api) == []


def test_custom_content_wins(api: LibraryApi) -> None:
    """Beside it, messages are not looked at."""
    too_many = said(*["我住在杭州"] * 30)
    assert api.memory_refused("POST", "add", too_many) == (400, "InvalidParameter")
    api.memory("POST", "add", {**too_many, "custom_content": "喜欢茶"})
    assert listed(api) == ["喜欢茶"]


def test_in_the_background(api: LibraryApi) -> None:
    """Pending, running, done; nothing is stored before, and the result then tells what was."""
    answer = api.memory("POST", "add-async", said("我住在杭州"))
    entry = {
        "event_id": answer["event_id"],
        "event_type": "ADD_ASYNC",
        "resource_type": "observation",
        "resource_id": "proj-demo",
        "memory_library_id": "lib-demo",
        "user_id": "u1",
        "status": "PENDING",
        "result": [],
        "created_at": 1790000000,
        "updated_at": 1790000000,
    }
    assert answer["events"] == [entry]
    polls = [api.memory("GET", f"events/{answer['event_id']}")["events"][0] for _ in range(3)]
    assert [each["status"] for each in polls] == ["PENDING", "RUNNING", "SUCCEEDED"]
    assert [each["result"] for each in polls[:2]] == [[], []]
    result = polls[2]["result"][0]
    node_id = result.pop("memory_node_id")
    assert result == {"memory_type": "observation", "content": "我住在杭州", "event": "ADD"}
    assert api.memory("GET", f"memory_nodes/{node_id}")["memory_node"]["content"] == "我住在杭州"


def test_nobody_polls(api: LibraryApi) -> None:
    """It gets done all the same: lists and searches let it go on."""
    api.memory("POST", "add-async", {"user_id": "u1", "custom_content": "喜欢茶"})
    assert [listed(api) for _ in range(3)] == [[], [], ["喜欢茶"]]


def test_it_takes_its_time(emulator: Emulator, api: LibraryApi) -> None:
    """Half a minute, say."""
    emulator.bailian.memory.polls_until_done, emulator.bailian.memory.event_seconds = 1, 30
    event = api.memory("POST", "add-async", said("我住在杭州"))["event_id"]
    states = []
    for _ in range(4):
        states.append(api.memory("GET", f"events/{event}")["events"][0]["status"])
        emulator.bailian.advance(15)
    assert states == ["PENDING", "RUNNING", "SUCCEEDED", "SUCCEEDED"]


def test_done_at_once(emulator: Emulator, api: LibraryApi) -> None:
    """Small talk succeeds with nothing."""
    emulator.bailian.memory.polls_until_done = 0
    event = api.memory("POST", "add-async", said("你好"))["events"][0]
    assert (event["status"], event["result"]) == ("SUCCEEDED", [])


@pytest.mark.parametrize("outcome", ["FAILED", "UNRECORDED"])
def test_other_endings(emulator: Emulator, api: LibraryApi, outcome: str) -> None:
    """A failure has its detail, and nothing is stored."""
    memory = emulator.bailian.memory
    memory.polls_until_done, memory.event_outcome = 0, outcome
    event = api.memory("POST", "add-async", said("我住在杭州"))["events"][0]
    assert (event["status"], event.get("detail")) == (
        outcome,
        "InternalError: extraction failed" if outcome == "FAILED" else None,
    )
    assert listed(api) == []


def test_an_event_nobody_knows(api: LibraryApi) -> None:
    """Not found."""
    assert api.memory_refused("GET", "events/evt-none") == (404, "NotFound")


def test_several_projects(emulator: Emulator, api: LibraryApi) -> None:
    """One entry for each; tool messages are taken here."""
    emulator.bailian.memory.polls_until_done = 0
    other = api.memory("POST", "memory_projects", {"name": "p"})["project_id"]
    body = said("我住在杭州", project_ids=["proj-demo", other])
    body["messages"].append({"role": "tool", "tool_call_id": "t1", "content": "晴"})
    events = api.memory("POST", "add-async", body)["events"]
    assert [(each["resource_id"], len(each["result"])) for each in events] == [("proj-demo", 1), (other, 1)]
    assert listed(api) == listed(api, project_id=other) == ["我住在杭州"]


def test_refused_background_adds(api: LibraryApi) -> None:
    """Options that exclude each other; one is refused with the words that have been seen."""
    content = {"user_id": "u1", "custom_content": "x"}
    response = api.http.post(MEMORY + "add-async", json={**content, "project_ids": ["proj-demo"]})
    assert response.status_code == 400
    assert response.json()["message"] == (
        "custom_content can only be bound to one project, project_ids is not supported when custom_content is provided."
    )
    both = said("x", project_id="proj-demo", project_ids=["proj-demo"])
    assert api.memory_refused("POST", "add-async", both) == (400, "MutuallyExclusiveParams")
    assert api.memory_refused("POST", "add-async", said("x", project_ids=["proj-demo"] * 6))[0] == 400
    assert api.memory_refused("POST", "add-async", said("x", extract_mode="profile_only"))[0] == 400


HOBBY = {"name": "爱好", "description": "喜欢做的事"}
LEVEL = {"name": "等级", "default_value": "普通", "immutable": True}


@pytest.fixture
def schema(api: LibraryApi) -> str:
    """A schema with a hobby and a level that cannot change."""
    body = {"name": "base", "description": "基本", "attributes": [HOBBY, LEVEL]}
    schema_id: str = api.memory("POST", "profile_schemas", body)["profile_schema_id"]
    return schema_id


def profile(api: LibraryApi, schema: str, **query: Any) -> list[dict[str, Any]]:
    """The user's attributes, without their ids."""
    path = f"profile_schemas/{schema}/user_profile"
    shown = api.memory("GET", path, user_id="u1", **query)["profile"]
    assert (shown["schema_name"], shown["schema_description"]) == ("base", "基本")
    return [{name: value for name, value in each.items() if name != "id"} for each in shown["attributes"]]


def test_a_profile_is_filled(api: LibraryApi, schema: str) -> None:
    """Only by adds that name the schema; values are joined, or listed with their ids."""
    level = {"name": "等级", "value": "普通"}
    api.memory("POST", "add", said("我的爱好是游泳"))
    assert profile(api, schema) == [{"name": "爱好"}, level]
    api.memory("POST", "add", said("我的爱好是游泳。我的等级是黄金。", profile_schema=schema))
    api.memory("POST", "add", said("我的爱好是排球", profile_schema=schema))
    assert profile(api, schema) == [{"name": "爱好", "value": "游泳; 排球"}, level]
    detail = profile(api, schema, need_detail="true")[0]
    assert [(item["value"], item["status"]) for item in detail["value_items"]] == [("游泳", "valid"), ("排球", "valid")]
    assert "value" not in detail


def test_a_profile_in_the_background(emulator: Emulator, api: LibraryApi, schema: str) -> None:
    """An entry of its own, whose result has a name and no id; alone, where asked so."""
    emulator.bailian.memory.polls_until_done = 0
    events = api.memory("POST", "add-async", said("我的爱好是游泳", profile_schema=schema))["events"]
    assert [(each["resource_type"], each["resource_id"]) for each in events] == [
        ("observation", "proj-demo"),
        ("user_profile", schema),
    ]
    told = {"memory_type": "user_profile", "name": "爱好", "content": "游泳", "event": "ADD"}
    assert events[1]["result"] == [told]
    only = said("我的爱好是排球", profile_schema=schema, extract_mode="profile_only")
    assert [each["resource_type"] for each in api.memory("POST", "add-async", only)["events"]] == ["user_profile"]
    assert listed(api) == ["我的爱好是游泳"]


def test_values_by_hand(api: LibraryApi, schema: str) -> None:
    """Added, changed and deleted; attributes too."""
    attributes = api.memory("GET", f"profile_schemas/{schema}")["attributes"]
    hobby = attributes[0]["attribute_id"]
    change = {"entity_id": "u1", "attribute_id": hobby}
    values = f"profile_schemas/{schema}/profile_values"
    api.memory("PATCH", values, {**change, "op_type": "add", "value": "游泳; 排球"})
    item = profile(api, schema, need_detail="true")[0]["value_items"][0]
    assert item["value"] == "游泳; 排球"
    api.memory("PATCH", values, {**change, "op_type": "update", "item_id": item["item_id"], "value": "跑步"})
    assert profile(api, schema)[0]["value"] == "跑步"
    api.memory("PATCH", values, {**change, "op_type": "delete", "item_id": item["item_id"]})
    assert profile(api, schema)[0] == {"name": "爱好"}
    operations = [{"op": "delete", "attribute_id": hobby}, {"op": "add", "name": "城市"}]
    api.memory("PATCH", f"profile_schemas/{schema}", {"attributes_operations": operations})
    assert [each["name"] for each in profile(api, schema)] == ["等级", "城市"]
    api.memory(
        "PATCH",
        values,
        {"entity_id": "u1", "attribute_id": attributes[1]["attribute_id"], "op_type": "add", "value": "金"},
    )
    api.memory("DELETE", "entities_profile/user/u1", profile_schema_id=schema)
    assert profile(api, schema)[0]["value"] == "普通"


def test_schemas(api: LibraryApi, schema: str) -> None:
    """Listed and deleted; a missing one is a bad request here, and not a 404."""
    listed = api.memory("GET", "profile_schemas")
    assert ([each["name"] for each in listed["profile_schemas"]], listed["total"]) == (["base"], 1)
    assert api.memory("DELETE", f"profile_schemas/{schema}") == {}
    for method, path, body in [
        ("GET", f"profile_schemas/{schema}", None),
        ("POST", "add", said("x", profile_schema=schema)),
    ]:
        assert api.memory_refused(method, path, body) == (400, "InvalidParameter")


@pytest.mark.parametrize(
    "wrong",
    [
        {"attributes": []},
        {"attributes": ["爱好"]},
        {"name": "n" * 33},
        {"attributes": [{"name": "a", "immutable": True}]},
        {"attributes": [{"name": "a" * 33}]},
        {"attributes": [{"name": "a", "description": "d" * 129}]},
    ],
    ids=str,
)
def test_refused_schemas(api: LibraryApi, wrong: dict[str, Any]) -> None:
    """Limits of names and texts; what cannot change needs a value."""
    body = {"name": "base", "attributes": [HOBBY], **wrong}
    assert api.memory_refused("POST", "profile_schemas", body) == (400, "InvalidParameter")
