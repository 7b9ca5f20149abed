"""Characters as data: created, found, changed without loss, deleted."""

from typing import Any
from urllib.parse import unquote

import httpx
import pytest

from xingchen_core import BadRequestError, ConfigurationError, NotFoundError, PermissionDeniedError, characters
from xingchen_core.characters import (
    AdvancedConfig,
    CharacterRecord,
    CharacterVersion,
    KVMemoryConfig,
    LongTermMemory,
    Permissions,
    StoredFile,
)
from xingchen_core.emulator import Emulator

SEARCH = "/v2/api/character/search"


def guan_yu(**fields: Any) -> CharacterRecord:
    """A character nobody has stored yet."""
    return CharacterRecord(
        **{"name": "关云长", "basic_information": "你是关云长,字云长。", "type": "virtual", **fields}
    )


async def test_create(emulator: Emulator, client: Any) -> None:
    """A character is stored with everything that was said of it, and gets an id and a version."""
    made = await client.send(
        characters.create(
            guan_yu(
                opening_line="吾乃关云长。",
                traits="文言文",
                avatar=StoredFile(filename="a.jpg", file_url="https://example.invalid/a.jpg"),
                role_types=("三国",),
                advanced_config=AdvancedConfig(
                    short_term_memory_round=20,
                    long_term_memories=(
                        LongTermMemory(memory_type="kv", kv_memory_configs=(KVMemoryConfig(memory_text="姓名"),)),
                        LongTermMemory(memory_type="summary"),
                    ),
                ),
                perm_config=Permissions(allow_chat=True),  # type: ignore[arg-type]  # what people write
            )
        )
    )
    assert isinstance(made, CharacterVersion)
    assert len(made.character_id) == 32
    assert made.version == 1
    stored = await client.send(characters.details(made.character_id))
    assert (stored.character_id, stored.version, stored.versions) == (made.character_id, 1, (1,))
    assert (stored.name, stored.opening_line, stored.role_types) == ("关云长", "吾乃关云长。", ("三国",))
    assert stored.avatar.file_url == "https://example.invalid/a.jpg"
    kinds = stored.advanced_config.long_term_memories
    assert [(kind.memory_type, kind.enabled) for kind in kinds] == [("kv", True), ("summary", True)]
    assert kinds[0].kv_memory_configs[0].memory_text == "姓名"
    sent = emulator.requests[0].json["permConfig"]
    assert sent == {"isPublic": 0, "allowChat": 1, "allowApi": 0}
    assert all(type(value) is int for value in sent.values())  # 1 == True, but the service wants 1


async def test_create_copy(emulator: Emulator, client: Any) -> None:
    """What was read may be stored again as another character: neither its id nor what only the service says is sent."""
    original = await client.send(characters.details("demo"))
    made = await client.send(characters.create(original.model_copy(update={"name": "小婉二"})))
    assert made.character_id != "demo"
    told = {"characterId", "version", "gmtCreate", "gmtModified", "userId", "creator", "versions", "manageable"}
    assert not told & emulator.requests[-1].json.keys()


@pytest.mark.parametrize("name", ["", "云" * 21, None])
def test_name(name: str | None) -> None:
    """The length of a name is known before anything is sent; the error says which member it is about."""
    record = guan_yu(name=name, character_id="c1", version=1)
    for call in (characters.create, characters.update, characters.save_version):
        with pytest.raises(ConfigurationError, match="name must be 1 to 20 characters"):
            call(record)
    characters.create(guan_yu(name="云" * 20))


@pytest.mark.parametrize("value", [2, -1])
def test_permissions(value: int) -> None:
    """A permission is 0 or 1."""
    with pytest.raises(ValueError, match="is_public"):
        Permissions(is_public=value)


async def test_create_refused(client: Any) -> None:
    """What the service misses is its error, with the name of the member."""
    with pytest.raises(BadRequestError, match="basicInformation"):
        await client.send(characters.create(CharacterRecord(name="无名")))


async def test_update(client: Any) -> None:
    """A record that was changed is written back."""
    made = await client.send(characters.create(guan_yu()))
    stored = await client.send(characters.details(made.character_id))
    assert await client.send(characters.update(stored.model_copy(update={"traits": "话少"}))) is True
    assert (await client.send(characters.details(made.character_id))).traits == "话少"


def test_update_without_id() -> None:
    """Without an id there is nothing to overwrite, and no version to save."""
    for call in (characters.update, characters.save_version):
        with pytest.raises(ValueError, match="character_id is required"):
            call(guan_yu())
    with pytest.raises(ValueError, match="version is required"):
        characters.save_version(guan_yu(character_id="c1"))


async def test_versions(client: Any) -> None:
    """Versions are saved, listed, and read one by one; without a number the newest is read."""
    made = await client.send(characters.create(guan_yu()))
    record = guan_yu(character_id=made.character_id, version=2, traits="话少")
    saved = await client.send(characters.save_version(record))
    assert (saved.version, saved.traits) == (2, "话少")
    listed = await client.send(characters.versions(made.character_id))
    assert [(one.version, one.traits) for one in listed] == [(1, None), (2, "话少")]
    assert (await client.send(characters.details(made.character_id))).version == 2
    assert (await client.send(characters.details(made.character_id, 1))).version == 1
    draft = await client.send(characters.recommend_version(made.character_id))
    assert draft.version == 3
    assert len(draft.basic_information) > len("你是关云长,字云长。")


async def test_version_leaves_permissions(emulator: Emulator, client: Any) -> None:
    """Permissions belong to the character, not to a version: the version call does not take them."""
    made = await client.send(characters.create(guan_yu()))
    record = guan_yu(character_id=made.character_id, version=2, perm_config=Permissions(is_public=1))
    await client.send(characters.save_version(record))
    assert "permConfig" not in emulator.requests[-1].json


async def test_no_version_is_pinned(emulator: Emulator, client: Any) -> None:
    """`details` and `delete` name a version only when asked: the SDK's 1 may be the wrong one to delete."""
    made = await client.send(characters.create(guan_yu()))
    await client.send(characters.details(made.character_id))
    assert emulator.requests[-1].query == {"characterId": made.character_id}
    await client.send(characters.delete(made.character_id))
    assert emulator.requests[-1].query == {"characterId": made.character_id}
    assert emulator.requests[-1].json == {"characterId": made.character_id}


async def test_delete(client: Any) -> None:
    """One version goes, or the whole character."""
    made = await client.send(characters.create(guan_yu()))
    await client.send(characters.save_version(guan_yu(character_id=made.character_id, version=2)))
    assert await client.send(characters.delete(made.character_id, 2)) is True
    assert (await client.send(characters.details(made.character_id))).versions == (1,)
    assert await client.send(characters.delete(made.character_id)) is True
    with pytest.raises(NotFoundError, match=made.character_id):
        await client.send(characters.details(made.character_id))


async def test_stranger(client: Any) -> None:
    """Somebody else's character may be read when it is public, and not changed."""
    stored = await client.send(characters.details("demo"))
    assert stored.name == "小婉"
    with pytest.raises(PermissionDeniedError, match=r"no\.permission\.mgmt\.version"):
        await client.send(characters.update(stored))
    with pytest.raises(PermissionDeniedError):
        await client.send(characters.delete("demo"))


@pytest.mark.parametrize("character_id", ["a/b", "a b", "小婉", "a?b#c", "../x"])
async def test_id_in_a_path(connect: Any, character_id: str) -> None:
    """Two calls have the id in the path: whatever it is, it stays one segment, and the service name has no id."""
    seen = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append((request.url.raw_path.decode(), request.headers["x-fag-servicename"]))
        data = [] if b"versions" in request.url.raw_path else {}
        return httpx.Response(200, json={"code": 200, "success": True, "data": data})

    client = connect(answer, characters.XingchenSettings, api_key="test-key")
    await client.send(characters.versions(character_id))
    await client.send(characters.recommend_version(character_id))
    for (path, name), prefix, expected in zip(
        seen,
        ("/v2/api/character/versions/", "/v2/api/character/newversion/recommend/"),
        ("aca-character-versions", "aca-character-version-recommend"),
        strict=True,
    ):
        assert path.startswith(prefix)
        assert not set("/?# ") & set(path.removeprefix(prefix))
        assert unquote(path.removeprefix(prefix)) == character_id
        assert name == expected


@pytest.mark.parametrize("character_id", ["", ".", ".."])
def test_no_id_in_a_path(character_id: str) -> None:
    """What would lead to another path is refused."""
    for call in (characters.versions, characters.recommend_version):
        with pytest.raises(ValueError, match="character_id must be the id of a character"):
            call(character_id)


# Searching


async def test_search(emulator: Emulator, client: Any) -> None:
    """Name, owner and tags narrow the search down; the newest change comes first."""
    emulator.xingchen.add_character("c1", name="关羽", roleTypes=["三国"])
    emulator.xingchen.add_character("c2", name="关索", roleTypes=["传说"])
    emulator.xingchen.add_character("c3", name="刘备", roleTypes=["三国"])

    async def found(**filters: Any) -> list[str | None]:
        return [one.name for one in (await client.send(characters.search(**filters))).items]

    assert await found() == ["刘备", "关索", "关羽"]
    assert await found(name="关") == ["关索", "关羽"]
    assert await found(role_types=["三国"]) == ["刘备", "关羽"]
    assert await found(scope="pre_configured") == ["小婉"]
    assert await found(page=2, page_size=2) == ["关羽"]
    page = await client.send(characters.search(page_size=2))
    assert (page.number, page.size, page.total) == (1, 2, 3)


async def test_all_characters(emulator: Emulator, client: Any) -> None:
    """1,010 characters in 21 requests, each once, filters kept on every page."""
    for number in range(1010):
        emulator.xingchen.add_character(f"c{number}")
    ids = [
        one.character_id async for one in client.iterate(characters.all_characters(name="c", order="gmtCreate desc"))
    ]
    assert ids == [f"c{number}" for number in reversed(range(1010))]
    bodies = [request.json for request in emulator.requests]
    assert [body["pageNum"] for body in bodies] == list(range(1, 22))
    assert all(body["where"] == {"characterName": "c", "scope": "my"} for body in bodies)
    assert {tuple(body["orderBy"]) for body in bodies} == {("gmtCreate desc",)}


async def test_all_characters_while_some_are_made(emulator: Emulator, client: Any) -> None:
    """Characters that are created while we read push others to later pages: none comes twice, none is lost."""
    for number in range(120):
        emulator.xingchen.add_character(f"c{number}")
    ids = []
    async for one in client.iterate(characters.all_characters()):
        ids.append(one.character_id)
        if len(ids) % 30 == 0:
            emulator.xingchen.add_character(f"new{len(ids)}")
    assert len(ids) == len(set(ids))
    assert {f"c{number}" for number in range(120)} <= set(ids)
