"""Chats whose history the platform keeps: what is sent, and what counts afterwards."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from langchain_xingchen import Character, ChatXingchen
from xingchen_core import (
    ConfigurationError,
    UnsupportedOperationError,
    characters,
)
from xingchen_core.emulator import Emulator

MakeModel = Callable[..., ChatXingchen]
Way = Callable[..., Any]

WEATHER = {
    "name": "get_weather",
    "description": "查询天气",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}


@pytest.fixture
def model(make: MakeModel) -> ChatXingchen:
    """A model whose user u1 the platform knows."""
    return make(user_id="u1", platform_history=True)


def history(model: ChatXingchen, user_id: str = "u1") -> list[str]:
    """What the platform has stored, oldest first, the opening line apart."""
    listing = characters.all_history("demo", user_id, order="gmtCreate asc")
    return [message.content for message in model.client().iterate(listing)][1:]


# What is sent


def test_the_platform_remembers(model: ChatXingchen, make: MakeModel, way: Way) -> None:
    """The next turn knows the ones before, whichever object, process or program said them."""
    way(model, "我叫小明")
    other = make(user_id="u1", platform_history=True)
    assert "小明" in way(other, "我叫什么?").text
    assert "小明" not in way(other, "我叫什么?", user_id="u2").text


def test_a_new_answer_takes_the_old_ones_place(model: ChatXingchen, emulator: Emulator, way: Way) -> None:
    """`regenerate` asks the same question again: the history has the new answer, or the one that `answer_id` picks."""
    first = way(model, "你多大了?")
    again = way(model, "不看", regenerate=True, query_id=first.response_metadata["query_id"])
    assert again.text != first.text
    assert again.response_metadata["query_id"] == first.response_metadata["query_id"]
    assert history(model) == ["你多大了?", again.text]
    emulator.reply("好的。")
    way(model, "接着说", answer_id=first.response_metadata["answer_id"])
    assert history(model) == ["你多大了?", first.text, "接着说", "好的。"]


def test_regenerate_needs_a_question(model: ChatXingchen, emulator: Emulator, ask: Way) -> None:
    """Without `query_id` nobody knows what to answer again: said before anything is sent."""
    with pytest.raises(ConfigurationError, match="query_id"):
        ask(model, "你好", regenerate=True)
    assert emulator.requests == []


def test_regenerate_without_platform_history(make: MakeModel, emulator: Emulator, ask: Way) -> None:
    """A conversation the caller keeps is sent whole, with a seed of its own for the new answer."""
    model = make(user_id="u1")
    said = [HumanMessage("在吗"), AIMessage("在"), HumanMessage("你多大了?")]
    first, again = ask(model, said), ask(model, said, regenerate=True)
    assert first.text != again.text
    sent = [request.json for request in emulator.requests]
    assert len(sent[1]["input"]["messages"]) == 3
    assert sent[1]["input"]["aca"]["context"] == {"useChatHistory": False, "isRegenerate": True}
    assert sent[0]["parameters"]["seed"] != sent[1]["parameters"]["seed"]


def test_results_of_functions(model: ChatXingchen, emulator: Emulator, way: Way) -> None:
    """After a function call its result is the newest turn, behind the call; what the platform has is not sent again."""
    way(model, "我叫小明")
    emulator.reply("", tool_calls=[{"name": "get_weather", "arguments": {"city": "杭州"}}])
    tools = [{"type": "function", "function": WEATHER}]
    said = [HumanMessage("我叫小明"), AIMessage("你好"), HumanMessage("杭州天气怎么样?")]
    call = way(model, said, tools=tools)
    answer = way(model, [*said, call, ToolMessage("晴", tool_call_id=call.tool_calls[0]["id"])], tools=tools)
    assert "晴" in answer.text
    sent = emulator.requests[-1].json["input"]["messages"]
    assert sent[-2:] == [
        {
            "role": "assistant",
            "content": "",
            "functionCall": {"apiCallList": [{"apiName": "get_weather", "parameters": {"city": "杭州"}}]},
        },
        {"role": "function", "name": "get_weather", "content": "晴"},
    ]
    assert "我叫小明" not in [message["content"] for message in sent]


def test_stored_characters_only(make: MakeModel, emulator: Emulator, ask: Way) -> None:
    """The platform keeps no history of a character it does not know."""
    model = make(character=Character(name="小婉", content="你是小婉。"), user_id="u1", platform_history=True)
    with pytest.raises(UnsupportedOperationError, match="stored characters"):
        ask(model, "你好")
    assert emulator.requests == []


@pytest.mark.parametrize("colour", ["sync", "async"])
def test_opening_line(make: MakeModel, emulator: Emulator, colour: str) -> None:
    """What a stored character says first is asked for, of the version that is pinned; an inline one has nothing."""

    def opening_line(model: ChatXingchen) -> str | None:
        return model.opening_line() if colour == "sync" else asyncio.run(model.aopening_line())

    assert opening_line(make()) == "嗨，你回来啦？我刚烤了曲奇，要不要尝一块？"
    assert emulator.requests[-1].query == {"characterId": "demo"}
    opening_line(make(version=1))
    assert emulator.requests[-1].query == {"characterId": "demo", "version": "1"}
    emulator.xingchen.add_character("quiet")
    assert opening_line(make(character_id="quiet")) is None
    assert opening_line(make(character=Character(name="小婉", content="你是小婉。"))) is None
    assert len(emulator.requests) == 3
