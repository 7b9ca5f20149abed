"""A model of Bailian in LangGraph and under `create_agent`: tools, structured answers, summaries, single tokens."""

from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import SummarizationMiddleware
from langchain.agents.structured_output import ToolStrategy
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from pydantic import BaseModel

from langchain_xingchen import ChatBailian
from xingchen_core import ConfigurationError
from xingchen_core.emulator import Emulator

QUESTION = {"messages": [("human", "今天杭州适合去西湖吗?从城站怎么走?")]}
ANSWER = "适合去!坐地铁一号线,四十分钟就到。"
COMPATIBLE = "/compatible-mode/v1/chat/completions"
WAYS = ["invoke", "ainvoke", "stream", "astream"]


@tool
def weather(city: str) -> str:
    """查询一个城市现在的天气。"""
    return f"{city}:晴,21 度"


@tool
def route(start: str, end: str) -> str:
    """查询从一地到另一地怎么走。"""
    return f"从{start}到{end}:地铁一号线"


class Trip(BaseModel):
    """一次出行。"""

    city: str
    minutes: int


CALLS = [
    {"name": "weather", "arguments": {"city": "杭州"}},
    {"name": "route", "arguments": {"start": "城站", "end": "西湖"}},
]


@pytest.fixture
def make(emulator: Emulator) -> Any:
    """Builds models at the emulator."""
    return lambda **fields: ChatBailian(**{"api_key": "test-key", "base_url": emulator.url, **fields})


async def run(agent: Any, way: str) -> dict[str, Any]:
    """Run the agent and return its last state."""
    if way == "invoke":
        return dict(agent.invoke(QUESTION))
    if way == "ainvoke":
        return dict(await agent.ainvoke(QUESTION))
    if way == "stream":
        return dict([*agent.stream(QUESTION, stream_mode="values")][-1])
    return dict([state async for state in agent.astream(QUESTION, stream_mode="values")][-1])


@pytest.mark.parametrize("thinking", [False, True])
@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("way", WAYS)
async def test_one_tool_after_the_other(
    make: Any, emulator: Emulator, way: str, *, streaming: bool, thinking: bool
) -> None:
    """The agent asks for one tool, then for the other, and answers with what both said. Thoughts are not sent back."""
    for call in CALLS:
        emulator.bailian.reply(tool_calls=[call], thoughts="要查一下。" if thinking else None)
    emulator.bailian.reply(ANSWER)
    said = (await run(create_agent(make(streaming=streaming, enable_thinking=thinking), [weather, route]), way))[
        "messages"
    ]
    assert [message.type for message in said] == ["human", "ai", "tool", "ai", "tool", "ai"]
    assert said[-1].text == ANSWER
    assert [m.content for m in said if isinstance(m, ToolMessage)] == ["杭州:晴,21 度", "从城站到西湖:地铁一号线"]
    sent = emulator.requests[-1].json["input"]["messages"]
    assert [m["role"] for m in sent] == ["user", "assistant", "tool", "assistant", "tool"]
    assert [m["tool_call_id"] for m in sent if m["role"] == "tool"] == [
        m["tool_calls"][0]["id"] for m in sent if m["role"] == "assistant"
    ]
    assert not [m for m in sent if "reasoning_content" in m]


@pytest.mark.parametrize("way", WAYS)
async def test_both_tools_at_once(make: Any, emulator: Emulator, way: str) -> None:
    """Parallel calls, allowed by a setting, keep order and ids, and both results go back together."""
    emulator.bailian.reply(tool_calls=CALLS)
    emulator.bailian.reply(ANSWER)
    said = (await run(create_agent(make(parallel_tool_calls=True), [weather, route]), way))["messages"]
    asked = next(message for message in said if isinstance(message, AIMessage))
    assert [call["name"] for call in asked.tool_calls] == ["weather", "route"]
    results = [message for message in said if isinstance(message, ToolMessage)]
    assert [result.tool_call_id for result in results] == [call["id"] for call in asked.tool_calls]
    assert said[-1].text == ANSWER
    assert emulator.requests[0].json["parameters"]["parallel_tool_calls"] is True


async def test_without_a_script(make: Any) -> None:
    """The same without being told what to say: question, calls, results, answer."""
    said = (await create_agent(make(), [weather]).ainvoke({"messages": [("human", "杭州天气怎么样？")]}))["messages"]
    assert [message.type for message in said] == ["human", "ai", "tool", "ai"]
    assert "21 度" in said[-1].text


async def test_tokens_come_one_by_one(make: Any, emulator: Emulator) -> None:
    """Under `stream_mode="messages"` the last answer comes in pieces, although the agent invokes the model."""
    emulator.bailian.reply(tool_calls=CALLS[:1])
    emulator.bailian.reply(chunks=["适合", "去", "!"], thoughts="想")
    agent = create_agent(make(enable_thinking=True), [weather])
    chunks = [chunk async for chunk, _ in agent.astream(QUESTION, stream_mode="messages") if chunk.type != "tool"]
    assert [chunk.text for chunk in chunks if chunk.text] == ["适合", "去", "!"]
    assert "".join(c.additional_kwargs.get("reasoning_content", "") for c in chunks).endswith("想")


@pytest.mark.parametrize("way", ["sync", "async"])
async def test_tokens_stream_out_of_a_node(make: Any, emulator: Emulator, way: str) -> None:
    """A node that invokes a model passes on each piece; its result is their sum, usage counted once."""
    emulator.bailian.reply(chunks=["你好", "，", "小明。"])
    model = make()

    def answer(state: MessagesState) -> dict[str, Any]:
        return {"messages": [model.invoke(state["messages"])]}

    async def aanswer(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await model.ainvoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("model", answer if way == "sync" else aanswer)
    graph.add_edge(START, "model")
    asked: Any = {"messages": [HumanMessage("你好")]}
    compiled = graph.compile()
    modes: Any = ["messages", "values"]
    if way == "sync":
        items = list(compiled.stream(asked, stream_mode=modes))
    else:
        items = [item async for item in compiled.astream(asked, stream_mode=modes)]
    chunks: list[Any] = [value[0] for mode, value in items if mode == "messages"]
    final: Any = [value for mode, value in items if mode == "values"][-1]["messages"][-1]

    assert [chunk.content for chunk in chunks if chunk.content] == ["你好", "，", "小明。"]
    assert final.content == "你好，小明。"
    assert {chunk.id for chunk in chunks} == {final.id}
    assert [chunk.usage_metadata for chunk in chunks if chunk.usage_metadata] == [final.usage_metadata]
    assert final.response_metadata["finish_reason"] == "stop"


@pytest.mark.parametrize("way", WAYS)
async def test_a_structured_answer_by_the_models_own_means(make: Any, emulator: Emulator, way: str) -> None:
    """Where the profile says so, a bare schema is asked for as `response_format`, beside the tools."""
    emulator.bailian.reply(tool_calls=CALLS[:1])
    emulator.bailian.reply('{"city": "杭州", "minutes": 40}')
    agent = create_agent(make(model="qwen3.7-plus"), [weather], response_format=Trip)
    assert (await run(agent, way))["structured_response"] == Trip(city="杭州", minutes=40)
    for request in emulator.requests:
        sent = request.json["parameters"]
        assert sent["response_format"]["json_schema"]["name"] == "Trip"
        assert [each["function"]["name"] for each in sent["tools"]] == ["weather"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("schema", [Trip, ToolStrategy(Trip)], ids=["bare", "tool strategy"])
async def test_a_structured_answer_as_a_call(make: Any, emulator: Emulator, way: str, schema: Any) -> None:
    """Elsewhere it is a call, demanded beside the tools: by the endpoint that can be told to call any of several."""
    emulator.bailian.reply(tool_calls=CALLS[:1])
    emulator.bailian.reply(tool_calls=[{"name": "Trip", "arguments": {"city": "杭州", "minutes": 40}}])
    agent = create_agent(make(model="qwen-plus"), [weather], response_format=schema)
    assert (await run(agent, way))["structured_response"] == Trip(city="杭州", minutes=40)
    assert [(r.path, r.json["tool_choice"]) for r in emulator.requests] == [(COMPATIBLE, "required")] * 2


async def test_a_structured_answer_of_a_model_that_thinks(make: Any, emulator: Emulator) -> None:
    """It cannot be forced to call; the error says what to set."""
    agent = create_agent(make(enable_thinking=True), [weather], response_format=ToolStrategy(Trip))
    with pytest.raises(ConfigurationError, match="enable_thinking=False"):
        await run(agent, "ainvoke")
    assert emulator.requests == []


async def test_summaries(make: Any, emulator: Emulator) -> None:
    """A share of the context as trigger needs to know the context: the profile does."""
    model = make(profile={"max_input_tokens": 120})
    middleware: Any = SummarizationMiddleware(model, trigger=("fraction", 0.5), keep=("messages", 2))
    agent = create_agent(model, [], middleware=[middleware], checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "1"}}
    for number in range(8):
        said = await agent.ainvoke({"messages": [HumanMessage(f"第{number}个问题:今天做什么好呢?")]}, config)
    assert len(said["messages"]) < 8
    assert any("summary" in message.text.lower() for message in said["messages"])

    SummarizationMiddleware(make(), trigger=("fraction", 0.8))  # the table knows qwen-plus
    with pytest.raises(ValueError, match="profile"):
        SummarizationMiddleware(make(model="a-model-of-tomorrow"), trigger=("fraction", 0.8))
