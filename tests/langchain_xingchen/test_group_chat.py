"""Group chat: several characters in one room, each under its name."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from pydantic import ValidationError

from langchain_xingchen import Character, ChatXingchen, GroupChat
from xingchen_core import BadRequestError, GroupMember, UnsupportedOperationError
from xingchen_core.emulator import Emulator

MakeModel = Callable[..., ChatXingchen]
Way = Callable[..., Any]

WAN = Character(name="小婉", content="你是小婉，活泼的学生。", task="欢迎新同学")
GANG = Character(name="小刚", content="你是小刚，热血少年。")
ROOM = GroupChat(name="三年二班", members=(WAN, GANG))
HELLO = HumanMessage("大家好", name="小明")


def paths(emulator: Emulator) -> list[str]:
    """What was asked for, in order."""
    return [request.path.rpartition("/")[2] for request in emulator.requests]


def sent(emulator: Emulator) -> Any:
    """The messages of the newest request."""
    return emulator.requests[-1].json["input"]["messages"]


def test_somebody_is_chosen(make: MakeModel, emulator: Emulator, way: Way) -> None:
    """A room without a speaker asks the service for one, once, and hands on what it said."""
    answer = way(make(group=ROOM, user_id="u1"), [HumanMessage("小刚在吗？", name="小明")])
    assert paths(emulator) == ["nextSpeaker", "send"]
    setting = emulator.requests[1].json["input"]["aca"]["replySetting"]
    assert setting["botName"] == "小刚"
    assert setting["thought"]
    assert answer.response_metadata["speaker"] == "小刚"


def test_somebody_is_named(make: MakeModel, emulator: Emulator, way: Way) -> None:
    """A room with a speaker asks nobody; a call may name another."""
    model = make(group=ROOM.model_copy(update={"speaker": "小婉"}), user_id="u1")
    assert way(model, [HELLO]).response_metadata["speaker"] == "小婉"
    other = ROOM.model_copy(update={"speaker": "小刚", "thought": "拉他打球"})
    assert way(model, [HELLO], group=other).response_metadata["speaker"] == "小刚"
    assert paths(emulator) == ["send", "send"]
    assert emulator.requests[1].json["input"]["aca"]["replySetting"] == {"botName": "小刚", "thought": "拉他打球"}


def test_nobody_can_be_chosen(make: MakeModel, emulator: Emulator, way: Way) -> None:
    """A refusal to choose ends the call: nobody is made to speak."""
    emulator.fail("status", status=400, path="nextSpeaker")
    with pytest.raises(BadRequestError):
        way(make(group=ROOM), [HELLO])
    assert paths(emulator) == ["nextSpeaker"]


def test_names_both_ways(make: MakeModel, emulator: Emulator, way: Way) -> None:
    """The speaker's name comes with the answer, survives the sum of a stream's chunks, and goes back with it."""
    model = make(group=ROOM, user_id="u1", user_name="小明")
    said: list[Any] = [HELLO]
    for name in ("小婉", "小刚"):
        answer = way(model, said, group=ROOM.model_copy(update={"speaker": name}))
        said.append(answer)
    way(model, said)
    assert sent(emulator) == [
        {"role": "user", "name": "小明", "content": "大家好"},
        {"role": "assistant", "name": "小婉", "content": said[1].text},
        {"role": "assistant", "name": "小刚", "content": said[2].text},
    ]


def test_name_of_a_message(make: MakeModel, ask: Way, chunks_of: Callable[..., list[AIMessageChunk]]) -> None:
    """A whole answer has the name in `name`, and so has each piece of a streamed one that says something."""
    model = make(group=ROOM.model_copy(update={"speaker": "小婉"}))
    assert ask(model, [HELLO]).name == "小婉"
    assert {chunk.name for chunk in chunks_of(model, [HELLO]) if chunk.text} == {"小婉"}


def test_no_joining(make: MakeModel, emulator: Emulator, way: Way) -> None:
    """Messages of one role in a row stay apart: they are different speakers', or sentences of their own."""
    said = [
        HELLO,
        HumanMessage("我是新来的", name="小明"),
        AIMessage("欢迎！", name="小婉"),
        AIMessage("打球吗？", name="小刚"),
        AIMessage("作业写完了？", name="小刚"),
    ]
    way(make(group=ROOM), said)
    assert [(m["role"], m["name"], m["content"]) for m in sent(emulator)] == [
        ("user", "小明", "大家好"),
        ("user", "小明", "我是新来的"),
        ("assistant", "小婉", "欢迎！"),
        ("assistant", "小刚", "打球吗？"),
        ("assistant", "小刚", "作业写完了？"),
    ]


def test_ways_agree(emulator: Emulator, make: MakeModel, ways: dict[str, Way], event_ways: dict[str, Way]) -> None:
    """Text, speaker and usage are the same by every way, the v3 event stream included."""
    model = make(group=ROOM, user_id="u1")
    seen = []
    for way in (ways | event_ways).values():
        answer = way(model, [HELLO])
        seen.append((answer.text, answer.response_metadata["speaker"], answer.usage_metadata))
    assert seen == [seen[0]] * 6


def test_stored_member(make: MakeModel, emulator: Emulator, way: Way) -> None:
    """A character of the platform takes part by its id."""
    room = GroupChat(name="邻居", members=(GroupMember(character_id="demo", name="小婉"), GANG), speaker="小婉")
    assert way(make(group=room), [HumanMessage("你多大了?")]).text.startswith("我今年十七岁")
    profiles = emulator.requests[0].json["input"]["aca"]["botProfiles"]
    assert profiles[0] == {"characterId": "demo", "name": "小婉"}


@pytest.mark.parametrize(
    ("room", "message"),
    [
        ({"members": ()}, "members"),
        ({"members": [{"name": f"角色{n}", "content": "你好"} for n in range(11)]}, "members"),
        ({"speaker": "班长"}, "none of the members"),
        ({"name": ""}, "name"),
        ({"members": [{"name": "小婉"}]}, "name and content"),
    ],
)
def test_impossible_rooms(make: MakeModel, emulator: Emulator, ask: Way, room: dict[str, Any], message: str) -> None:
    """One to ten members, a name, and a speaker who is one of them: at construction and in a call, before sending."""
    given = {"name": "三年二班", "members": [WAN, GANG], **room}
    with pytest.raises(ValidationError, match=message):
        make(group=given)
    with pytest.raises(ValidationError, match=message):
        ask(make(group=ROOM), [HELLO], group=given)
    assert emulator.requests == []


def test_ten_members(make: MakeModel, ask: Way) -> None:
    """Ten fit into a room."""
    members = tuple(Character(name=f"角色{n}", content="你好") for n in range(10))
    assert ask(make(group=GroupChat(name="全班", members=members)), [HELLO]).response_metadata["speaker"] == "角色0"


def test_no_platform_history(make: MakeModel, emulator: Emulator, ask: Way) -> None:
    """The platform keeps no history of a room: asking for it is an error, before anything is sent."""
    with pytest.raises(UnsupportedOperationError, match="stored characters"):
        ask(make(group=ROOM, platform_history=True, user_id="u1"), [HELLO])
    assert emulator.requests == []


def test_rooms_side_by_side(make: MakeModel, emulator: Emulator) -> None:
    """Rooms wait for nobody: calls of one user in several rooms run together, each with its own speaker."""
    model = make(group=ROOM, user_id="u1")

    async def all_of_them() -> list[AIMessage]:
        rooms = [ROOM.model_copy(update={"speaker": name}) for name in ("小婉", "小刚") * 10]
        return await asyncio.gather(*(model.ainvoke([HELLO], group=room) for room in rooms))

    assert [answer.name for answer in asyncio.run(all_of_them())] == ["小婉", "小刚"] * 10
