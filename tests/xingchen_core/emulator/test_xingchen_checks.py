"""What chat and group chat refuse, and that no body whatever breaks the emulator."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest

INVALID = (400, 400, "aca.error.invalid.param")
USER = {"role": "user", "content": "你好"}
ASSISTANT = {"role": "assistant", "content": "好"}
CALLING = {"role": "assistant", "content": "", "functionCall": {"apiCallList": [{"apiName": "f", "parameters": {}}]}}
RESULT = {"role": "function", "name": "f", "content": "21"}
SYSTEM = {"role": "system", "content": "规则"}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string", "enum": ["杭州"]}}, "required": ["city"]}
FUNCTION = {"name": "f", "description": "d", "parameters": SCHEMA}


@pytest.mark.parametrize(
    "messages",
    [
        [USER],
        [USER, ASSISTANT, USER],
        [ASSISTANT, USER],
        [SYSTEM, USER],
        [USER, CALLING, RESULT],
        [USER, CALLING, RESULT, RESULT, ASSISTANT, USER],
        [USER, CALLING, RESULT, USER],
        [USER, CALLING, RESULT, CALLING, RESULT],
    ],
)
def test_good_turns(api: Any, messages: list[dict[str, Any]]) -> None:
    """User and assistant by turns, an opening line first, results behind their call."""
    assert api.data("chat/send", api.body(messages=messages))["stop"] is True


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [USER, USER],
        [USER, ASSISTANT, ASSISTANT, USER],
        [USER, ASSISTANT],
        [ASSISTANT],
        [SYSTEM],
        [USER, SYSTEM, USER],
        [USER, RESULT],
        [RESULT],
        [USER, ASSISTANT, RESULT],
        [{"role": "tool", "content": "x"}],
        [{"content": "x"}],
        [{"role": "user"}],
        [{"role": "user", "content": ""}],
        [{"role": "user", "content": ["x"]}],
        ["你好"],
        "你好",
    ],
)
def test_bad_turns(api: Any, messages: Any) -> None:
    """Broken alternation, a last word that is not the user's, unknown roles, no text: all invalid."""
    body = api.body()
    body["input"]["messages"] = messages
    assert api.refusal(api.post("chat/send", body)) == INVALID


@pytest.mark.parametrize(
    "parameters",
    [
        {"topP": 1},
        {"topP": 1.0},
        {"topP": 0},
        {"topP": "0.5"},
        {"seed": -1},
        {"seed": 2**63},
        {"seed": 1.5},
        {"seed": True},
        {"temperature": "hot"},
        {"temperature": -0.1},
        {"incrementalOutput": "true"},
        {"maxLength": 0},
        {"topK": -1},
    ],
)
def test_bad_parameters(api: Any, parameters: dict[str, Any]) -> None:
    """The value of topP lies strictly between 0 and 1, the seed within 0..2^63-1; the refusal names the parameter."""
    response = api.post("chat/send", api.body(parameters=parameters))
    assert api.refusal(response) == INVALID
    assert next(iter(parameters)) in response.json()["errorMessage"]


@pytest.mark.parametrize(
    "parameters",
    [{"topP": 0.99}, {"seed": 0}, {"seed": 2**63 - 1}, {"topK": 1000}, {"temperature": 1}, {"unheardOf": 1}],
)
def test_good_parameters(api: Any, parameters: dict[str, Any]) -> None:
    """The ends of the ranges are inside; what is unknown is ignored."""
    assert api.say("你好", parameters=parameters)["stop"] is True


@pytest.mark.parametrize(
    "profile",
    [
        {},
        {"name": "小刚"},
        {"name": "小刚", "content": ""},
        {"content": "热血少年"},
        {"characterId": 7},
        {"characterId": "demo", "version": 0},
        {"characterId": "demo", "version": "1"},
        {"type": "assistant"},
    ],
)
def test_bad_profiles(api: Any, profile: dict[str, Any]) -> None:
    """A character is stored, or has a name and a persona."""
    body = api.body()
    body["input"]["aca"]["botProfile"] = profile
    assert api.refusal(api.post("chat/send", body)) == INVALID


@pytest.mark.parametrize(
    "profile",
    [
        {"characterId": "demo", "type": "assistant"},
        {"characterId": "demo", "version": 1},
        {"name": "助理", "content": "你是助理", "type": "assistant"},
    ],
)
def test_good_profiles(api: Any, profile: dict[str, Any]) -> None:
    """Pinned versions, and the assistant kind, stored or inline."""
    body = api.body()
    body["input"]["aca"]["botProfile"] = profile
    assert api.data("chat/send", body)["stop"] is True


@pytest.mark.parametrize("user", [None, {}, {"userId": ""}, {"userName": "小明"}, "u1"])
def test_user_of_a_stored_character(api: Any, user: Any) -> None:
    """A stored character needs to know whom it talks to."""
    body = api.body()
    body["input"]["aca"]["userProfile"] = user
    assert api.refusal(api.post("chat/send", body)) == INVALID


@pytest.mark.parametrize("missing", ["input", "aca", "messages", "botProfile"])
def test_missing_members(api: Any, missing: str) -> None:
    """What the document calls required is required, and the refusal says so."""
    body = api.body()
    body.pop(missing, None)
    body.get("input", {}).pop(missing, None)
    body.get("input", {}).get("aca", {}).pop(missing, None)
    response = api.post("chat/send", body)
    assert api.refusal(response) == INVALID
    assert f"{missing} is required" in response.json()["errorMessage"]


@pytest.mark.parametrize(
    "aca",
    [
        {"functionList": [{"name": "f", "parameters": {}}]},
        {"functionList": [{"name": "f", "description": "d"}]},
        {"functionList": [{"name": "f", "description": "d", "parameters": "{}"}]},
        {"functionList": [FUNCTION], "functionChoice": {"type": "any"}},
        {"functionList": [FUNCTION], "functionChoice": {"type": "specific"}},
        {"functionList": [FUNCTION], "functionChoice": {"type": "specific", "names": ["g"]}},
        {"platformPlugins": [{"enabled": True}]},
        {"context": "yes"},
        {"context": {"useChatHistory": "false"}},
    ],
)
def test_bad_extras(api: Any, aca: dict[str, Any]) -> None:
    """Functions need name, description and parameters; a choice names one of them; plug-ins have names."""
    assert api.refusal(api.post("chat/send", api.body(**aca))) == INVALID


@pytest.mark.parametrize("kind", ["none", "auto"])
def test_good_function_choice(api: Any, kind: str) -> None:
    """`none` and `auto` are answered in words when nothing is scripted."""
    data = api.say("你好", functionList=[FUNCTION], functionChoice={"type": kind})
    assert "functionCall" not in data["choices"][0]["messages"][0]


FULL_CHAT = {
    "model": "xingchen-plus-v2",
    "parameters": {"topP": 0.5, "seed": 1, "temperature": 0.9, "maxLength": 100, "incrementalOutput": False},
    "input": {
        "prompt": "|<system>|",
        "messages": [USER, CALLING, RESULT, USER],
        "aca": {
            "botProfile": {"characterId": "demo", "name": "小婉", "content": "c", "traits": "t", "type": "virtual"},
            "userProfile": {"userId": "u1", "userName": "小明", "basicInfo": ""},
            "sampleMessages": [USER],
            "scenario": {"description": "d"},
            "context": {"useChatHistory": True, "isRegenerate": False, "resultCount": 1},
            "functionList": [FUNCTION],
            "functionChoice": {"type": "specific", "names": ["f"]},
            "memory": {"summaries": ["s"], "originals": [USER], "tags": [{"role": "user", "key": "k", "value": ["v"]}]},
            "advancedSettings": {"knowledgeBases": ["kb1"]},
            "platformPlugins": [{"name": "text_to_image_plugin", "enabled": True}],
        },
    },
}
FULL_GROUP = {
    "model": "xingchen-plus-v2",
    "parameters": {"seed": 1},
    "input": {
        "messages": [{**USER, "name": "小明"}],
        "aca": {
            "botProfiles": [{"name": "小婉", "characterId": "demo", "task": "t"}, {"name": "小刚", "content": "c"}],
            "replySetting": {"botName": "小婉", "thought": "t"},
            "userProfile": {"userId": "u1"},
            "groupInfo": {"name": "三班", "description": "d"},
        },
    },
}
FULL_CHARACTER = {
    "name": "关云长",
    "basicInformation": "你是关云长",
    "openingLine": "吾乃关云长",
    "avatar": {"fileUrl": "https://example.invalid/a.jpg"},
    "type": "virtual",
    "roleTypes": ["三国"],
    "advancedConfig": {
        "shortTermMemoryRound": 20,
        "longTermMemories": [{"enabled": True, "memoryType": "kv", "kvMemoryConfigs": [{"memoryText": "姓名"}]}],
        "platformPlugins": [{"name": "text_to_image_plugin", "enabled": True}],
    },
    "permConfig": {"isPublic": 0, "allowChat": 0, "allowApi": 0},
}
OTHERS = {
    "completions": {
        "model": "m",
        "messages": [
            {"role": "system", "content": "你是小婉"},
            {"role": "assistant", "content": "", "tool_calls": [{"id": "c", "function": {"name": "f"}}]},
            {"role": "tool", "content": "1", "tool_call_id": "c"},
            {"role": "user", "content": "你好"},
        ],
        "max_tokens": 10,
        "tools": [{"type": "function", "function": {"name": "f", "parameters": SCHEMA}}],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "user": "u1",
    },
    "chat/completions": {"messages": [USER], "n": 2, "stop": ["好"], "logit_bias": {"1": -100}, "stream": False},
    "chat/stop": {"requestId": "r", "content": "c"},
    "chat/message/histories": {
        "where": {"characterId": "demo", "startTime": 1, "endTime": "2024-01-02T03:04:05+00:00", "messageIds": ["m"]},
        "orderBy": ["gmtCreate desc"],
        "pageNum": 1,
        "pageSize": 1,
    },
    "chat/rating": {"messageId": "m", "rating": 5},
    "chat/reminder": {"characterId": "demo", "bizUserId": "u1", "content": "c"},
    "chat/reset": {"characterId": "demo", "userId": "u1"},
    "character/search": {
        "where": {"characterName": "c", "scope": "my", "roleTypes": ["r"]},
        "orderBy": ["gmtModified desc"],
    },
    "character/auto/desc": {"type": "text", "text": "t", "modelParameter": {"seed": 1}},
    "extract/kv": {"messages": [USER], "kvMemoryConfigs": [{"enabled": True, "memoryText": "姓名"}]},
    "extract/summary": {"messages": [USER], "modelParameters": {}},
    "common/file/asyn/upload": {"type": "excelToDocx", "sourceUrl": "https://example.invalid/a.xlsx"},
    "knowledge_base/create": {"name": "n", "description": "d", "userProfile": {"userId": "u1"}},
    "knowledge_base/detail/upload": {
        "knowledgeBaseId": "kb",
        "type": "text",
        "fileInfos": [{"filename": "f", "fileUrl": "u"}],
    },
}
BODIES = {
    "chat/send": FULL_CHAT,
    "groupchat/send": FULL_GROUP,
    "groupchat/nextSpeaker": FULL_GROUP,
    "character/create": FULL_CHARACTER,
    **OTHERS,
}


def changed(value: Any) -> Iterator[Any]:
    """The value with every part of it replaced by something of another kind, one at a time."""
    for wrong in (None, -1, "文", [7], {"x": 7}):
        if type(wrong) is not type(value) or wrong != value:
            yield wrong
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for place, part in parts:
        for other in changed(part):
            whole = copy.copy(value)
            whole[place] = other
            yield whole


@pytest.mark.parametrize("path", BODIES)
def test_nothing_breaks_the_emulator(api: Any, path: str) -> None:
    """Whatever stands in a body, the answer is a good one or a refusal in JSON, never a crash."""
    statuses = set()
    for body in changed(BODIES[path]):
        response = api.post(path, body)
        statuses.add(response.status_code)
        assert response.status_code in (200, 400), f"{body!r}: {response.text}"
        assert "requestId" in response.json() or "choices" in response.json()
    assert 400 in statuses
