"""Group chat: who speaks next, who spoke, and what a room is made of."""

from typing import Any

import pytest

from xingchen_core import (
    APIResponseError,
    BadRequestError,
    ChatDelta,
    ConfigurationError,
    GroupChat,
    GroupMember,
    Message,
    characters,
)
from xingchen_core.characters import Character, ChatRequest, NextSpeaker
from xingchen_core.emulator import Emulator

WAN = Character(name="小婉", content="你是小婉，活泼的学生。", task="欢迎新同学")
GANG = Character(name="小刚", content="你是小刚，热血少年。")
SEND, NEXT = "/v2/api/groupchat/send", "/v2/api/groupchat/nextSpeaker"


def asked(*messages: Message, **room: Any) -> ChatRequest:
    """A request to the class; by default somebody new says hello."""
    group = GroupChat(**{"name": "三年二班", "members": (WAN, GANG), **room})
    said = list(messages) or [Message(role="user", name="小明", content="大家好")]
    return ChatRequest(group=group, user_id="u1", user_name="小明", messages=said)


def paths(emulator: Emulator) -> list[str]:
    """What was asked for."""
    return [request.path for request in emulator.requests]


async def test_next_speaker(emulator: Emulator, client: Any) -> None:
    """The service says who, in which direction, and what finding out cost."""
    speaker = await client.send(characters.next_speaker(asked(Message(role="user", content="小刚在吗？"))))
    assert isinstance(speaker, NextSpeaker)
    assert speaker.name == "小刚"
    assert speaker.thought
    assert speaker.usage.input_tokens > 0
    assert "replySetting" not in emulator.requests[0].json["input"]["aca"]


@pytest.mark.parametrize("data", [{"name": "小刚"}, {"name": "小刚", "thought": "", "usage": None}])
async def test_next_speaker_without_thought(service: Any, data: dict[str, Any]) -> None:
    """Direction and cost may be missing."""
    assert await service(data).send(characters.next_speaker(asked())) == NextSpeaker("小刚")


async def test_no_next_speaker(service: Any) -> None:
    """An answer that names nobody is none."""
    with pytest.raises(APIResponseError, match="nextSpeaker answered in an unexpected shape"):
        await service({"thought": "没人想说话"}).send(characters.next_speaker(asked()))


def test_next_speaker_of_no_group() -> None:
    """Between two there is nothing to ask."""
    request = ChatRequest(character_id="demo", user_id="u1", messages=[Message(role="user", content="你好")])
    with pytest.raises(ConfigurationError, match="group="):
        characters.next_speaker(request)


async def test_with_speaker(emulator: Emulator, client: Any) -> None:
    """A room without a speaker asks for one, and what the service said goes into the chat."""
    request = await client.run(characters.with_speaker(asked(Message(role="user", content="小刚在吗？"))))
    reply = await client.send(characters.chat(request))
    assert reply.answers[0].name == "小刚"
    assert paths(emulator) == [NEXT, SEND]
    setting = emulator.requests[1].json["input"]["aca"]["replySetting"]
    assert setting == {"botName": "小刚", "thought": request.group.thought}
    assert setting["thought"]


async def test_with_a_given_speaker(emulator: Emulator, client: Any) -> None:
    """A room with a speaker, and a chat between two, ask nobody."""
    request = asked(speaker="小婉", thought="热情一点")
    assert await client.run(characters.with_speaker(request)) is request
    alone = ChatRequest(character_id="demo", user_id="u1", messages=[Message(role="user", content="你好")])
    assert await client.run(characters.with_speaker(alone)) is alone
    assert emulator.requests == []
    await client.send(characters.chat(request))
    setting = emulator.requests[0].json["input"]["aca"]["replySetting"]
    assert setting == {"botName": "小婉", "thought": "热情一点"}


async def test_given_direction(client: Any) -> None:
    """The caller's direction is kept, whoever is chosen to speak."""
    request = await client.run(characters.with_speaker(asked(thought="都要夸小明")))
    assert request.group.speaker in ("小婉", "小刚")
    assert request.group.thought == "都要夸小明"


async def test_with_speaker_refused(emulator: Emulator, client: Any) -> None:
    """A refusal to choose is raised, and nobody is made to speak."""
    emulator.fail("status", status=400, code="aca.error.invalid.param", path=NEXT)
    with pytest.raises(BadRequestError):
        await client.run(characters.with_speaker(asked()))
    assert paths(emulator) == [NEXT]


async def test_speaker_of_an_answer(emulator: Emulator, client: Any) -> None:
    """Whole or streamed: who spoke is told with the answer, by name and in the metadata."""
    request = asked(speaker="小婉")
    reply = await client.send(characters.chat(request))
    assert (reply.answers[0].name, reply.answers[0].metadata["speaker"]) == ("小婉", "小婉")
    deltas: list[ChatDelta] = [delta async for delta in await client.stream(characters.stream_chat(request))]
    assert {delta.name for delta in deltas if delta.text} == {"小婉"}
    assert deltas[-1].metadata["speaker"] == "小婉"
    assert "".join(delta.text for delta in deltas) == reply.answers[0].text


async def test_answer_without_name(service: Any) -> None:
    """Where the service does not say who spoke, it was who was asked to."""
    said = {"choices": [{"messages": [{"role": "assistant", "content": "你好", "finishReason": "stop"}]}]}
    reply = await service(said).send(characters.chat(asked(speaker="小婉")))
    assert reply.answers[0].name == "小婉"


async def test_several_in_a_row(emulator: Emulator, client: Any) -> None:
    """Messages keep their speakers and are never joined; the last one may be a character's."""
    said = [
        Message(role="user", name="小明", content="大家好"),
        Message(role="user", name="小明", content="我是新来的"),
        Message(role="assistant", name="小婉", content="欢迎！"),
        Message(role="assistant", name="小刚", content="打球吗？"),
    ]
    await client.send(characters.chat(asked(*said, speaker="小婉")))
    assert emulator.requests[0].json["input"]["messages"] == [
        {"role": "user", "name": "小明", "content": "大家好"},
        {"role": "user", "name": "小明", "content": "我是新来的"},
        {"role": "assistant", "name": "小婉", "content": "欢迎！"},
        {"role": "assistant", "name": "小刚", "content": "打球吗？"},
    ]


async def test_room(emulator: Emulator, client: Any) -> None:
    """Members and room as the service wants them; a stored character brings only its id, name and task."""
    stored = GroupMember(character_id="demo", name="小婉", version=1, task="欢迎")
    await client.send(characters.chat(asked(members=(stored, GANG), description="放学后", speaker="小婉")))
    aca = emulator.requests[0].json["input"]["aca"]
    assert aca == {
        "botProfiles": [
            {"characterId": "demo", "name": "小婉", "version": 1, "task": "欢迎"},
            {"name": "小刚", "content": "你是小刚，热血少年。"},
        ],
        "groupInfo": {"name": "三年二班", "description": "放学后"},
        "replySetting": {"botName": "小婉"},
        "userProfile": {"userId": "u1", "userName": "小明"},
    }
