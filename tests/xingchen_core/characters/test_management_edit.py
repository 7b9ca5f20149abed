"""Changing some members of a stored character: nothing else is lost, whatever the service has added to it."""

import json
from typing import Any

import httpx
import pytest

from xingchen_core import ConfigurationError, NotFoundError, characters
from xingchen_core.characters import CharacterRecord
from xingchen_core.emulator import Emulator

GUAN_YU = CharacterRecord(name="关云长", basic_information="你是关云长,字云长。")
STORED = {
    "characterId": "c1",
    "version": 3,
    "name": "关云长",
    "basicInformation": "你是关云长。",
    "openingLine": "吾乃关云长。",
    "bubbles": ["b1"],
    "backgroundImgUrl": "https://example.invalid/b.png",
    "extractMemory": False,
    "avatar": {"fileUrl": "https://example.invalid/a.jpg", "md5": "0"},
    "permConfig": {"isPublic": 0, "allowChat": 1, "allowApi": 1, "allowCopy": 0},
    "advancedConfig": {
        "isRealTime": False,
        "modelConfig": {"topP": 0.5, "stop": None},
        "repositoryInfo": {"repositoryFiles": [{"filename": "r.txt", "status": "ok"}]},
        "longTermMemories": [
            {
                "enabled": False,
                "memoryType": "kv",
                "kvMemoryConfigs": [{"enabled": True, "memoryText": "姓名", "w": 1}],
            },
            {"enabled": True, "memoryType": "summary", "rounds": 5},
        ],
        "platformPlugins": [
            {
                "name": "reject_answer_plugin",
                "enabled": True,
                "rejectConditions": [
                    {
                        "conditionType": "knowledge_domain_rule",
                        "enabled": False,
                        "subRejectCondition": {"conditionType": "ancient", "keywords": [{"value": "明朝"}]},
                        "since": 1600,
                    }
                ],
            },
            {"name": "singing_plugin", "voice": {"pitch": 1}},
        ],
    },
    "newFeature": {"deep": [{"er": None}]},
}
TOLD = {"gmtCreate": 1689783510026, "gmtModified": "2023-07-19", "userId": "u", "auditStatus": "pass", "versions": [3]}


async def edited(service: Any, **changes: Any) -> tuple[CharacterRecord, dict[str, Any]]:
    """What `edit` returns for the character above, and the body it sends."""
    bodies = []

    def answer(request: httpx.Request) -> httpx.Response:
        data: Any = True if request.method == "POST" else STORED | TOLD
        if request.method == "POST":
            bodies.append(json.loads(request.content))
        return httpx.Response(200, json={"code": 200, "success": True, "data": data})

    client = service(answer, characters.XingchenSettings, api_key="test-key")
    changed = await client.run(characters.edit("c1", **changes))
    (body,) = bodies
    return changed, body


async def test_edit(connect: Any) -> None:
    """One member changes; all others are written back as they came, those included that nobody here knows.

    The vendor's SDK loses the memory settings that way.
    """
    changed, body = await edited(connect, opening_line="久违了。")
    assert body == STORED | {"openingLine": "久违了。"}
    assert changed.opening_line == "久违了。"
    assert changed.advanced_config is not None
    assert changed.advanced_config.long_term_memories is not None
    assert changed.advanced_config.long_term_memories[0].enabled is False


@pytest.mark.parametrize("name", ["opening_line", "openingLine"])
async def test_edit_by_either_name(connect: Any, name: str) -> None:
    """Our name of a member and the service's change the same member."""
    _, body = await edited(connect, **{name: "久违了。"})
    assert body == STORED | {"openingLine": "久违了。"}


async def test_edit_unknown_member(connect: Any) -> None:
    """A member that only the service knows may be changed; a mistyped one is refused, and nothing is written."""
    _, body = await edited(connect, newFeature=1)
    assert body == STORED | {"newFeature": 1}
    sent = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request.url.path)
        return httpx.Response(200, json={"code": 200, "success": True, "data": STORED})

    client = connect(answer, characters.XingchenSettings, api_key="test-key")
    with pytest.raises(TypeError, match="no opening_lin"):
        await client.run(characters.edit("c1", opening_lin="久违了。"))
    assert sent == ["/v2/api/character/details"]


async def test_edit_checks(connect: Any) -> None:
    """A change is checked as in the constructor."""
    with pytest.raises(ValueError, match="is_public"):
        await edited(connect, perm_config={"is_public": 2})
    with pytest.raises(ConfigurationError, match="name must be"):
        await edited(connect, name="云" * 21)


async def test_edit_on_the_emulator(emulator: Emulator, client: Any) -> None:
    """The version that is asked for is read and written; the others stay."""
    made = await client.send(characters.create(GUAN_YU.model_copy(update={"traits": "文言文"})))
    second = GUAN_YU.model_copy(update={"character_id": made.character_id, "version": 2, "traits": "白话"})
    await client.send(characters.save_version(second))
    await client.run(characters.edit(made.character_id, version=1, traits="话少"))
    listed = await client.send(characters.versions(made.character_id))
    assert [one.traits for one in listed] == ["话少", "白话"]
    await client.run(characters.edit(made.character_id, traits="话多"))
    listed = await client.send(characters.versions(made.character_id))
    assert [one.traits for one in listed] == ["话少", "话多"]


async def test_edit_of_nobody(emulator: Emulator, client: Any) -> None:
    """A character that is not there is not written."""
    with pytest.raises(NotFoundError):
        await client.run(characters.edit("nobody", traits="话少"))
    assert len(emulator.requests) == 1
