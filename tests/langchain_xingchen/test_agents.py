"""A character with tools finishes a task of two tools under `create_agent`, by every way to run it."""

from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import tool

from xingchen_core.emulator import Emulator

QUESTION = {"messages": [("human", "今天杭州适合去西湖吗?从城站怎么走?")]}
ANSWER = "适合去!坐地铁一号线,四十分钟就到。"


@tool
def weather(city: str) -> str:
    """查询一个城市现在的天气。"""
    return f"{city}:晴,21 度"


@tool
def route(start: str, end: str) -> str:
    """查询从一地到另一地怎么走。"""
    return f"从{start}到{end}:地铁一号线"


async def run(agent: Any, way: str) -> list[Any]:
    """Run the agent and return its messages."""
    if way == "invoke":
        return list(agent.invoke(QUESTION)["messages"])
    if way == "ainvoke":
        return list((await agent.ainvoke(QUESTION))["messages"])
    if way == "stream":
        return list([*agent.stream(QUESTION, stream_mode="values")][-1]["messages"])
    return list([state async for state in agent.astream(QUESTION, stream_mode="values")][-1]["messages"])


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream"])
async def test_one_tool_after_the_other(make: Any, emulator: Emulator, way: str, streaming: bool) -> None:
    """The agent asks for one tool, then for the other, and answers with what both said."""
    emulator.reply("", tool_calls=[{"name": "weather", "arguments": {"city": "杭州"}}])
    emulator.reply("", tool_calls=[{"name": "route", "arguments": {"start": "城站", "end": "西湖"}}])
    emulator.reply(ANSWER)
    said = await run(create_agent(make(streaming=streaming), [weather, route]), way)
    assert [message.type for message in said] == ["human", "ai", "tool", "ai", "tool", "ai"]
    assert said[-1].text == ANSWER
    assert [m.content for m in said if isinstance(m, ToolMessage)] == ["杭州:晴,21 度", "从城站到西湖:地铁一号线"]
    sent = emulator.requests[-1].json["input"]["messages"]
    assert [m["role"] for m in sent] == ["user", "assistant", "function", "assistant", "function"]
    assert [m["name"] for m in sent if m["role"] == "function"] == ["weather", "route"]


@pytest.mark.parametrize("way", ["invoke", "astream"])
async def test_both_tools_at_once(make: Any, emulator: Emulator, way: str) -> None:
    """Parallel calls keep their order and their ids, and both results go back together."""
    calls = [
        {"name": "weather", "arguments": {"city": "杭州"}},
        {"name": "route", "arguments": {"start": "城站", "end": "西湖"}},
    ]
    emulator.reply("", tool_calls=calls)
    emulator.reply(ANSWER)
    said = await run(create_agent(make(), [weather, route]), way)
    asked = next(message for message in said if isinstance(message, AIMessage))
    assert [call["name"] for call in asked.tool_calls] == ["weather", "route"]
    results = [message for message in said if isinstance(message, ToolMessage)]
    assert [result.tool_call_id for result in results] == [call["id"] for call in asked.tool_calls]
    assert said[-1].text == ANSWER


async def test_tokens_come_one_by_one(make: Any, emulator: Emulator) -> None:
    """Under `stream_mode="messages"` the last answer comes in pieces, although the agent invokes the model."""
    emulator.reply("", tool_calls=[{"name": "weather", "arguments": {"city": "杭州"}}])
    emulator.reply(ANSWER, chunks=4)
    agent = create_agent(make(), [weather])
    pieces = [chunk.text async for chunk, _ in agent.astream(QUESTION, stream_mode="messages") if chunk.type != "tool"]
    assert len([piece for piece in pieces if piece]) == 4
    assert "".join(pieces) == ANSWER


async def test_words_instead_of_a_call_are_an_answer(make: Any, emulator: Emulator) -> None:
    """A character may answer in words although it has tools: the agent ends with them."""
    emulator.reply("我不用查,今天天气很好。")
    said = await run(create_agent(make(), [weather]), "ainvoke")
    assert [message.type for message in said] == ["human", "ai"]
    assert said[-1].text == "我不用查,今天天气很好。"
