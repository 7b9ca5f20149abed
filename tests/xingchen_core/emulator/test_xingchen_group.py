"""Group chat: speakers, checks, streaming, and who is next."""

from typing import Any

import pytest

from xingchen_core.emulator import Emulator

INVALID = (400, 400, "aca.error.invalid.param")


def group(*messages: tuple[str, str], **aca: Any) -> dict[str, Any]:
    """Return a request of class three: a stored and an inline member, and what (name, text) said."""
    roles = {"小婉": "assistant", "小刚": "assistant"}
    said = messages or (("小明", "大家好"),)
    return {
        "model": "xingchen-plus-v2",
        "input": {
            "messages": [{"role": roles.get(name, "user"), "name": name, "content": text} for name, text in said],
            "aca": {
                "botProfiles": [
                    {"name": "小婉", "characterId": "demo", "task": "欢迎新同学"},
                    {"name": "小刚", "content": "热血少年，十九岁"},
                ],
                "userProfile": {"userId": "u1", "userName": "小明"},
                "groupInfo": {"name": "三班"},
                **aca,
            },
        },
    }


def test_the_chosen_member_answers(api: Any, emulator: Emulator) -> None:
    """The member that replySetting names speaks; the answer carries the name, and nothing is kept."""
    emulator.reply("欢迎！")
    data = api.data("groupchat/send", group(replySetting={"botName": "小婉", "thought": "热情回应"}))
    assert data["choices"] == [
        {
            "messages": [{"role": "assistant", "name": "小婉", "content": "欢迎！", "finishReason": "stop"}],
            "stopReason": "stop",
        }
    ]
    assert set(data["usage"]) == {"inputTokens", "outputTokens", "userTokens"}
    assert set(data["context"]) == {"modelName", "requestId", "modelRequestId"}
    assert api.data("chat/message/histories", {})["list"] == []


def test_unscripted(api: Any) -> None:
    """Each member answers from its own description; without replySetting the next one speaks."""
    asked = ("小明", "你多大了")
    answers = [
        api.data("groupchat/send", group(asked, **extra))["choices"][0]["messages"][0]
        for extra in ({}, {"replySetting": {"botName": "小刚"}})
    ]
    assert [(answer["name"], answer["content"][:6]) for answer in answers] == [
        ("小婉", "我今年十七岁"),
        ("小刚", "我今年十九岁"),
    ]


def test_assistants_in_a_row(api: Any) -> None:
    """Several characters may speak one after the other, and a character may have the last word."""
    body = group(("小明", "大家好"), ("小婉", "你好呀"), ("小刚", "哟"))
    assert api.data("groupchat/send", body)["stop"] is True


@pytest.mark.parametrize("incremental", [False, True])
def test_stream(api: Any, emulator: Emulator, incremental: bool) -> None:
    """Framed like single chat, in both output modes, with the speaker's name on every event."""
    emulator.reply("欢迎你", chunks=3)
    body = {**group(replySetting={"botName": "小刚"}), "parameters": {"incrementalOutput": incremental}}
    events = api.events(api.stream("groupchat/send", body).text)
    expected = ["欢", "迎", "你", ""] if incremental else ["欢", "欢迎", "欢迎你", "欢迎你"]
    assert [data["choices"][0]["messages"][0]["content"] for _, data in events] == expected
    assert {data["choices"][0]["messages"][0]["name"] for _, data in events} == {"小刚"}
    assert [kind for kind, _ in events] == [None, None, None, "stop"]


@pytest.mark.parametrize(
    "aca",
    [
        {"botProfiles": []},
        {"botProfiles": None},
        {"botProfiles": [{"name": f"成员{number}", "content": "c"} for number in range(11)]},
        {"botProfiles": [{"content": "c"}]},
        {"replySetting": {"botName": "小红"}},
        {"replySetting": {"thought": "t"}},
        {"userProfile": None},
        {"groupInfo": {"description": "d"}},
    ],
)
def test_bad_groups(api: Any, aca: dict[str, Any]) -> None:
    """1..10 named members, a speaker among them, a user, a named room."""
    assert api.refusal(api.post("groupchat/send", group(**aca))) == INVALID


def test_largest_group(api: Any) -> None:
    """Ten members are allowed."""
    members = [{"name": f"成员{number}", "content": "c"} for number in range(10)]
    assert api.data("groupchat/send", group(botProfiles=members))["stop"] is True


def test_unknown_member(api: Any) -> None:
    """A stored member must exist."""
    body = group(botProfiles=[{"name": "小婉", "characterId": "nobody"}])
    assert api.refusal(api.post("groupchat/send", body)) == (400, 404, "aca.error.notfound")


def test_scripted_fault(api: Any, emulator: Emulator) -> None:
    """Group chat uses scripted faults like single chat."""
    emulator.fail("status", status=429)
    assert api.post("groupchat/send", group()).status_code == 429


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([("小明", "大家好")], "小婉"),
        ([("小明", "大家好"), ("小婉", "你好呀")], "小刚"),
        ([("小明", "大家好"), ("小婉", "你好呀"), ("小刚", "哟")], "小婉"),
        ([("小明", "小刚你怎么看")], "小刚"),
    ],
)
def test_next_speaker(api: Any, messages: list[tuple[str, str]], expected: str) -> None:
    """Who was spoken to, else the one after the last speaker; a replySetting means nothing here."""
    data = api.data("groupchat/nextSpeaker", group(*messages, replySetting={"botName": "小红"}))
    assert data["name"] == expected
    assert expected in data["thought"]
    assert data["usage"]["outputTokens"] > 0
    assert data["context"]["requestId"]


def test_next_speaker_feeds_the_answer(api: Any) -> None:
    """Name and thought are what replySetting wants."""
    data = api.data("groupchat/nextSpeaker", group())
    reply_setting = {"botName": data["name"], "thought": data["thought"]}
    answered = api.data("groupchat/send", group(replySetting=reply_setting))
    assert answered["choices"][0]["messages"][0]["name"] == data["name"]


def test_next_speaker_is_checked(api: Any) -> None:
    """The same body is checked the same way."""
    assert api.refusal(api.post("groupchat/nextSpeaker", group(botProfiles=[]))) == INVALID
