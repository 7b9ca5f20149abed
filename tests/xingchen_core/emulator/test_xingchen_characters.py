"""Stored characters: create, update, versions, details, search, delete, recommend, and who may do it."""

from typing import Any

import pytest

from xingchen_core.emulator import Emulator

INVALID = (400, 400, "aca.error.invalid.param")
NOT_FOUND = (400, 404, "aca.error.notfound")
NOT_YOURS = (400, 403, "aca.error.no.permission")
NOT_YOURS_TO_MANAGE = (400, 411, "aca.error.no.permission.mgmt.version")

GUAN_YU = {
    "name": "关云长",
    "basicInformation": "你是关云长，今年三十岁",
    "openingLine": "吾乃关云长",
    "roleTypes": ["三国"],
    "advancedConfig": {
        "shortTermMemoryRound": 20,
        "longTermMemories": [
            {"enabled": True, "memoryType": "kv", "kvMemoryConfigs": [{"enabled": True, "memoryText": "姓名"}]}
        ],
    },
    "permConfig": {"isPublic": 0, "allowChat": 0, "allowApi": 0},
}


def create(api: Any, **changes: Any) -> str:
    """Create Guan Yu, or somebody like him, and return the id."""
    character_id: str = api.data("character/create", {**GUAN_YU, **changes})["characterId"]
    return character_id


def names(api: Any, body: dict[str, Any]) -> list[str]:
    """Return the names a search finds."""
    return [row["name"] for row in api.data("character/search", body)["list"]]


def test_create_and_details(api: Any) -> None:
    """What was created comes back whole, nested settings too."""
    created = api.data("character/create", GUAN_YU)
    assert created["version"] == 1
    assert len(created["characterId"]) == 32
    details = api.found("character/details", characterId=created["characterId"])
    assert details.items() >= {**GUAN_YU, **created}.items()
    assert details["versions"] == [1]
    assert details["manageable"] is True
    assert type(details["gmtCreate"]) is int


def test_created_character_chats(api: Any) -> None:
    """A new character answers as itself and opens with its own line."""
    character_id = create(api)
    data = api.say("你多大了", character=character_id)
    assert data["choices"][0]["messages"][0]["content"].startswith("我今年三十岁")
    where = {"characterId": character_id}
    assert api.history(where=where)[0]["content"] == "吾乃关云长"


@pytest.mark.parametrize(
    "changes",
    [
        {"name": ""},
        {"name": None},
        {"name": "一" * 21},
        {"basicInformation": None},
        {"basicInformation": ""},
        {"openingLine": 7},
        {"type": "monster"},
        {"roleTypes": "三国"},
        {"permConfig": {"isPublic": True, "allowChat": 0, "allowApi": 0}},
        {"permConfig": {"isPublic": 1}},
        {"permConfig": {"isPublic": 2, "allowChat": 0, "allowApi": 0}},
        {"advancedConfig": {"longTermMemories": [{"memoryType": "photo"}]}},
        {"advancedConfig": {"platformPlugins": [{"enabled": True}]}},
    ],
)
def test_bad_characters(api: Any, changes: dict[str, Any]) -> None:
    """Names of 1..20 characters, a persona, and permissions as three integers 0 or 1, never booleans."""
    assert api.refusal(api.post("character/create", {**GUAN_YU, **changes})) == INVALID


def test_longest_name(api: Any) -> None:
    """Twenty characters are allowed, counted as characters and not as bytes."""
    assert create(api, name="一" * 20)


def test_update_merges(api: Any) -> None:
    """Members not sent stay as they are; those sent are replaced whole."""
    character_id = create(api)
    before = api.found("character/details", characterId=character_id)
    assert api.data("character/update", {"characterId": character_id, "name": "云长"}) is True
    after = api.found("character/details", characterId=character_id)
    assert after["name"] == "云长"
    assert after["advancedConfig"] == GUAN_YU["advancedConfig"]
    assert after["gmtCreate"] == before["gmtCreate"]
    assert after["gmtModified"] > before["gmtModified"]
    api.data("character/update", {"characterId": character_id, "advancedConfig": {"isRealTime": True}})
    assert api.found("character/details", characterId=character_id)["advancedConfig"] == {"isRealTime": True}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"name": "云长"}, INVALID),
        ({"characterId": "nobody", "name": "云长"}, NOT_FOUND),
        ({"characterId": "demo", "name": "云长"}, NOT_YOURS_TO_MANAGE),
    ],
)
def test_bad_updates(api: Any, body: dict[str, Any], expected: tuple[int, int, str]) -> None:
    """An update names a character that exists and is one's own."""
    assert api.refusal(api.post("character/update", body)) == expected


def test_update_limits(api: Any) -> None:
    """What an update sends is held to the same limits, and a version must exist."""
    character_id = create(api)
    assert api.refusal(api.post("character/update", {"characterId": character_id, "name": "一" * 21})) == INVALID
    missing = {"characterId": character_id, "version": 2, "name": "云长"}
    assert api.refusal(api.post("character/update", missing)) == NOT_FOUND


def test_versions(api: Any) -> None:
    """A new version is made or changed by number; chat and details use the newest unless one is named."""
    character_id = create(api)
    body = {"characterId": character_id, "version": 2, "name": "关羽", "basicInformation": "你是关羽，今年五十岁"}
    made = api.data("character/createOrUpdateVersion", body)
    assert (made["version"], made["name"], made["versions"]) == (2, "关羽", [1, 2])
    assert made["openingLine"] == "吾乃关云长"  # a version begins as a copy of the one before
    assert api.found("character/details", characterId=character_id)["version"] == 2
    assert api.found("character/details", characterId=character_id, version=1)["name"] == "关云长"
    rows = api.found("character/versions", character_id)
    assert [(row["version"], row["name"]) for row in rows] == [(1, "关云长"), (2, "关羽")]

    api.data("character/createOrUpdateVersion", {**body, "name": "关公"})
    assert [row["name"] for row in api.found("character/versions", character_id)] == ["关云长", "关公"]

    pinned = api.body("你多大了")
    pinned["input"]["aca"]["botProfile"]["characterId"] = character_id
    assert "五十岁" in api.data("chat/send", pinned)["choices"][0]["messages"][0]["content"]
    pinned["input"]["aca"]["botProfile"]["version"] = 1
    assert "三十岁" in api.data("chat/send", pinned)["choices"][0]["messages"][0]["content"]


def test_version_needs_its_number(api: Any) -> None:
    """The version call requires ids, name and persona; permConfig is no part of it."""
    character_id = create(api)
    body = {"characterId": character_id, "name": "关羽", "basicInformation": "b"}
    assert api.refusal(api.post("character/createOrUpdateVersion", body)) == INVALID
    nameless = {"characterId": character_id, "version": 2}
    assert api.refusal(api.post("character/createOrUpdateVersion", nameless)) == INVALID
    public = {"isPublic": 1, "allowChat": 1, "allowApi": 1}
    made = api.data("character/createOrUpdateVersion", {**body, "version": 2, "permConfig": public})
    assert made["permConfig"] == GUAN_YU["permConfig"]


def test_delete_one_version(api: Any) -> None:
    """Deleting a version leaves the others; deleting the last deletes the character."""
    character_id = create(api)
    version_2 = {"characterId": character_id, "version": 2, "name": "关羽", "basicInformation": "b"}
    api.data("character/createOrUpdateVersion", version_2)
    assert api.data("character/delete", {"characterId": character_id, "version": 2}) is True
    assert api.refusal(api.get("character/details", characterId=character_id, version=2)) == NOT_FOUND
    assert api.found("character/details", characterId=character_id)["version"] == 1
    assert api.refusal(api.post("character/delete", {"characterId": character_id, "version": 2})) == NOT_FOUND
    api.data("character/delete", {"characterId": character_id, "version": 1})
    assert api.refusal(api.get("character/details", characterId=character_id)) == NOT_FOUND


def test_delete_all(api: Any) -> None:
    """Without a version all of them go; chat, search and versions no longer know the character."""
    character_id = create(api)
    assert api.data("character/delete", {"characterId": character_id}) is True
    assert api.refusal(api.post("chat/send", api.body(character=character_id))) == NOT_FOUND
    assert api.refusal(api.get("character/versions", character_id)) == NOT_FOUND
    assert names(api, {"where": {"scope": "my"}}) == []


def test_delete_is_soft(api: Any) -> None:
    """The conversation with a deleted character can still be read."""
    character_id = create(api)
    api.say("你好", character=character_id)
    api.data("character/delete", {"characterId": character_id})
    assert [row["messageType"] for row in api.history(where={"characterId": character_id})] == [
        "opening_remarks",
        "user",
        "character",
    ]


def test_delete_by_query(api: Any) -> None:
    """The ids may stand in the query, in the body, or in both."""
    character_id = create(api)
    assert api.data("character/delete", {}, characterId=character_id, version=1) is True
    assert api.refusal(api.post("character/delete", {})) == INVALID


@pytest.mark.parametrize("query", [{}, {"characterId": ""}, {"characterId": "demo", "version": "one"}])
def test_bad_details(api: Any, query: dict[str, str]) -> None:
    """Details need an id, and a version that is a number."""
    assert api.refusal(api.get("character/details", **query)) == INVALID


def test_demo_is_everybodys(api: Any, stranger: Any) -> None:
    """The seeded character is public, pre-configured, open for chat, and nobody's to change."""
    for account in (api, stranger):
        details = account.found("character/details", characterId="demo")
        assert details["name"] == "小婉"
        assert details["openingLine"]
        assert (details["isPreConfigured"], details["manageable"]) == (True, False)
        assert account.refusal(account.post("character/delete", {"characterId": "demo"})) == NOT_YOURS_TO_MANAGE


def test_someone_elses(api: Any, stranger: Any) -> None:
    """A private character cannot be read, chatted with or managed by others; a public one can be read."""
    private = create(api)
    assert stranger.refusal(stranger.get("character/details", characterId=private)) == NOT_YOURS
    assert stranger.refusal(stranger.get("character/versions", private)) == NOT_YOURS
    assert stranger.refusal(stranger.get("character/newversion/recommend", private)) == NOT_YOURS_TO_MANAGE
    public = create(api, permConfig={"isPublic": 1, "allowChat": 0, "allowApi": 0})
    assert stranger.found("character/details", characterId=public)["manageable"] is False
    assert stranger.refusal(stranger.post("chat/send", stranger.body(character=public))) == NOT_YOURS
    opened = create(api, permConfig={"isPublic": 1, "allowChat": 1, "allowApi": 1})
    assert stranger.say("你好", character=opened)["stop"] is True


def test_search(api: Any) -> None:
    """By name, scope and role types; newest change first unless asked otherwise."""
    for name in ("关羽", "张飞", "关平"):
        create(api, name=name)
    create(api, name="小明", roleTypes=["学生"])
    assert names(api, {"where": {"characterName": "关"}}) == ["关平", "关羽"]
    assert names(api, {"where": {"scope": "my"}, "orderBy": ["gmtCreate asc"]}) == ["关羽", "张飞", "关平", "小明"]
    assert names(api, {"where": {"scope": "my", "roleTypes": ["学生", "老师"]}}) == ["小明"]
    assert names(api, {"where": {"scope": "pre_configured"}}) == ["小婉"]
    assert names(api, {"where": {"scope": "public"}}) == ["小婉"]
    assert names(api, {}) == ["小明", "关平", "张飞", "关羽", "小婉"]


def test_search_pages(api: Any) -> None:
    """Pages count from 1, 0 is taken as 1; ten rows are usual, fifty the most."""
    for number in range(12):
        create(api, name=f"角色{number}")
    mine = {"where": {"scope": "my"}, "orderBy": ["gmtCreate asc"]}
    first = api.data("character/search", mine)
    assert (len(first["list"]), first["page"], first["pageSize"], first["total"]) == (10, 1, 10, 12)
    second = api.data("character/search", {**mine, "pageNum": 2})
    assert [row["name"] for row in second["list"]] == ["角色10", "角色11"]
    assert (second["page"], second["pageOffsetValue"]) == (2, 10)
    assert api.data("character/search", {**mine, "pageNum": 0})["list"] == first["list"]
    assert api.data("character/search", {**mine, "pageNum": 3})["list"] == []
    assert len(api.data("character/search", {**mine, "pageSize": 50})["list"]) == 12


@pytest.mark.parametrize(
    "body",
    [
        {"pageSize": 0},
        {"pageSize": 51},
        {"pageNum": -1},
        {"pageSize": "10"},
        {"where": {"scope": "theirs"}},
        {"orderBy": ["name desc"]},
        {"orderBy": "gmtModified desc"},
    ],
)
def test_bad_searches(api: Any, body: dict[str, Any]) -> None:
    """Page sizes of 1..50, known scopes, known columns."""
    assert api.refusal(api.post("character/search", body)) == INVALID


def test_recommend(api: Any) -> None:
    """A draft of the next version, which is not stored."""
    character_id = create(api)
    draft = api.found("character/newversion/recommend", character_id)
    assert draft["version"] == 2
    assert draft["basicInformation"].startswith("你是关云长")
    assert draft["basicInformation"] != GUAN_YU["basicInformation"]
    assert api.found("character/details", characterId=character_id)["versions"] == [1]
    assert api.refusal(api.get("character/newversion/recommend", "nobody")) == NOT_FOUND


def test_seeding(api: Any, emulator: Emulator) -> None:
    """A test stores a character under the id it likes."""
    emulator.xingchen.add_character("mine", name="阿强", openingLine="哟")
    details = api.found("character/details", characterId="mine")
    assert (details["name"], details["openingLine"], details["manageable"]) == ("阿强", "哟", True)
