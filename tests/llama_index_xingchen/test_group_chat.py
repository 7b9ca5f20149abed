"""Group chat: several characters in one room, each under its name."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage
from pydantic import ValidationError

from llama_index_xingchen import Xingchen
from xingchen_core import BadRequestError, Character, GroupChat, UnsupportedOperationError
from xingchen_core.emulator import Emulator

Make = Callable[..., Xingchen]

WAN = Character(name="小婉", content="你是小婉，活泼的学生。")
GANG = Character(name="小刚", content="你是小刚，热血少年。")
ROOM = GroupChat(name="三年二班", members=(WAN, GANG))
CHATS = pytest.mark.parametrize("chat", ["chat", "achat", "stream_chat", "astream_chat"])


@pytest.fixture
def make_one(emulator: Emulator) -> Iterator[Make]:
    """Makes LLMs that talk to the emulator."""
    with ExitStack() as made:
        yield lambda **fields: made.enter_context(
            Xingchen(**{"api_key": "test-key", "base_url": emulator.url, "user_id": "u1", **fields})
        )


def said(text: str, name: str, role: str = "assistant") -> ChatMessage:
    """A message of somebody's."""
    return ChatMessage(role=role, content=text, additional_kwargs={"name": name})


def paths(emulator: Emulator) -> list[str]:
    """What was asked for, in order."""
    return [request.path.rpartition("/")[2] for request in emulator.requests]


@CHATS
def test_names_both_ways(make_one: Make, emulator: Emulator, ask: Any, chat: str) -> None:
    """The speaker's name comes with every piece of the answer, and goes back with the message."""
    llm = make_one(group=ROOM)
    history = [said("大家好", "小明", "user")]
    for name in ("小婉", "小刚"):
        responses = ask(llm, chat, history, group=ROOM.model_copy(update={"speaker": name}))
        assert {r.message.additional_kwargs["name"] for r in responses} == {name}
        assert responses[-1].raw["speaker"] == name
        history.append(responses[-1].message)
    ask(llm, chat, history)
    assert paths(emulator) == ["send", "send", "nextSpeaker", "send"]
    assert emulator.requests[-1].json["input"]["messages"] == [
        {"role": "user", "name": "小明", "content": "大家好"},
        {"role": "assistant", "name": "小婉", "content": history[1].content},
        {"role": "assistant", "name": "小刚", "content": history[2].content},
    ]


@CHATS
def test_no_joining(make_one: Make, emulator: Emulator, ask: Any, chat: str) -> None:
    """Messages of one role in a row stay apart."""
    history = [said("大家好", "小明", "user"), said("欢迎！", "小婉"), said("打球吗？", "小刚"), said("走！", "小刚")]
    ask(make_one(group=ROOM), chat, history)
    sent = emulator.requests[-1].json["input"]["messages"]
    assert [(m["name"], m["content"]) for m in sent] == [
        ("小明", "大家好"),
        ("小婉", "欢迎！"),
        ("小刚", "打球吗？"),
        ("小刚", "走！"),
    ]


def test_ways_agree(make_one: Make, ask: Any) -> None:
    """Text, speaker and usage are the same by every way."""
    llm = make_one(group=ROOM)
    seen = []
    for chat in ("chat", "achat", "stream_chat", "astream_chat"):
        last = ask(llm, chat, [said("大家好", "小明", "user")])[-1]
        seen.append((last.message.content, last.raw["speaker"], last.raw["usage"]))
    assert seen == [seen[0]] * 4


@CHATS
def test_nobody_can_be_chosen(make_one: Make, emulator: Emulator, ask: Any, chat: str) -> None:
    """A refusal to choose ends the call: nobody is made to speak."""
    emulator.fail("status", status=400, path="nextSpeaker")
    with pytest.raises(BadRequestError):
        ask(make_one(group=ROOM), chat)
    assert paths(emulator) == ["nextSpeaker"]


@pytest.mark.parametrize(
    ("room", "message"),
    [
        ({"members": ()}, "members"),
        ({"members": [{"name": f"角色{n}", "content": "你好"} for n in range(11)]}, "members"),
        ({"speaker": "班长"}, "none of the members"),
        ({"name": ""}, "name"),
    ],
)
def test_impossible_rooms(make_one: Make, emulator: Emulator, ask: Any, room: dict[str, Any], message: str) -> None:
    """One to ten members, a name, and a speaker who is one of them: at construction and in a call, before sending."""
    given = {"name": "三年二班", "members": [WAN, GANG], **room}
    with pytest.raises(ValidationError, match=message):
        make_one(group=given)
    with pytest.raises(ValidationError, match=message):
        ask(make_one(group=ROOM), "chat", group=given)
    assert emulator.requests == []


def test_no_platform_history(make_one: Make, emulator: Emulator, ask: Any) -> None:
    """The platform keeps no history of a room."""
    with pytest.raises(UnsupportedOperationError, match="stored characters"):
        ask(make_one(group=ROOM, platform_history=True), "chat")
    assert emulator.requests == []
