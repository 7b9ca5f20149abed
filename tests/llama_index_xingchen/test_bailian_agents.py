"""`Bailian` as the model of LlamaIndex's agents (conformance items 22 and 33 to 36)."""

import asyncio
from collections.abc import Callable
from inspect import getsource
from typing import Any

import pytest
from llama_index.core.agent.workflow import AgentStream, AgentWorkflow, FunctionAgent, ReActAgent
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

from llama_index_xingchen import Bailian
from llm_cases import BAILIAN, Case
from xingchen_core.emulator import Emulator

Make = Callable[..., Bailian]


class Place(BaseModel):
    """A place."""

    city: str
    district: str | None = None


def get_weather(place: Place) -> str:
    """查询天气。"""
    return "晴,26 度"


def get_route(start: str, end: str) -> str:
    """查询从一地到另一地怎么走。"""
    return f"从{start}到{end}:地铁一号线"


def now() -> str:
    """现在几点。"""
    return "八点"


WEATHER, ROUTE, NOW = (FunctionTool.from_defaults(function) for function in (get_weather, get_route, now))
WEATHER_CALL = {"name": "get_weather", "arguments": {"place": {"city": "杭州"}}}
ROUTE_CALL = {"name": "get_route", "arguments": {"start": "城 站", "end": "西湖"}}


@pytest.fixture
def case() -> Case:
    """Models only."""
    return BAILIAN


@pytest.fixture
def llm(make: Make) -> Bailian:
    """The default model."""
    return make()


def sent(emulator: Emulator) -> dict[str, Any]:
    """The newest request's parameters."""
    parameters: dict[str, Any] = emulator.requests[-1].json["parameters"]
    return parameters


agents = pytest.mark.filterwarnings(
    # LlamaIndex's workflows look at every attribute of an agent, pydantic's deprecated ones too.
    "ignore::pydantic.warnings.PydanticDeprecatedSince20",
    "ignore::pydantic.warnings.PydanticDeprecatedSince211",
    "ignore:is_running called from within a step",
)

PASSES_PARALLEL = "allow_parallel_tool_calls" in getsource(FunctionAgent._get_response)


def run_agent(agent: Any, question: str) -> tuple[str, list[AgentStream]]:
    """The agent's answer, and its stream events."""

    async def run() -> tuple[str, list[AgentStream]]:
        handler = agent.run(question, memory=ChatMemoryBuffer.from_defaults(token_limit=8000))
        streamed = [event async for event in handler.stream_events() if isinstance(event, AgentStream)]
        return str(await handler), streamed

    return asyncio.run(run())


@agents
@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("kind", ["agent", "agent, not streamed", "workflow"])
def test_a_task_of_two_functions(llm: Bailian, emulator: Emulator, kind: str, at_once: bool) -> None:
    """Item 33: one after the other or both at once, the results go back and the agent answers with them."""
    if at_once and kind == "agent, not streamed" and not PASSES_PARALLEL:
        pytest.skip("an older LlamaIndex lets an agent that does not stream call one function at a time")
    calls = [WEATHER_CALL, ROUTE_CALL]
    for asked in [calls] if at_once else [calls[:1], calls[1:]]:
        emulator.reply(tool_calls=asked)
    emulator.reply("适合去,坐地铁。")
    agent: Any = FunctionAgent(tools=[WEATHER, ROUTE], llm=llm, streaming=kind != "agent, not streamed")
    if kind == "workflow":
        agent = AgentWorkflow.from_tools_or_functions([WEATHER, ROUTE], llm=llm)
        assert [type(one) for one in agent.agents.values()] == [FunctionAgent]
    answer, _ = run_agent(agent, "杭州适合去西湖吗?怎么走?")
    assert answer == "适合去,坐地铁。"
    messages = emulator.requests[-1].json["input"]["messages"]
    made = [call["id"] for message in messages for call in message.get("tool_calls", ())]
    results = [message for message in messages if message["role"] == "tool"]
    assert [message["tool_call_id"] for message in results] == made
    assert [message["content"] for message in results] == ["晴,26 度", "从城 站到西湖:地铁一号线"]


@agents
def test_an_agent_shows_its_thoughts(make: Make, emulator: Emulator) -> None:
    """Items 22 and 33: thoughts stream apart from the text, while functions are called and after it."""
    emulator.reply(tool_calls=[WEATHER_CALL], thoughts="要查天气")
    emulator.reply("杭州今天晴。", thoughts="查到了")
    agent = FunctionAgent(tools=[WEATHER], llm=make(enable_thinking=True))
    answer, streamed = run_agent(agent, "杭州天气怎么样?")
    assert answer == "杭州今天晴。"
    assert "".join(event.thinking_delta or "" for event in streamed) == "要查天气查到了"
    assert "".join(event.delta for event in streamed) == "杭州今天晴。"
    assert "reasoning_content" not in emulator.requests[-1].body.decode()


@agents
@pytest.mark.parametrize("streaming", [True, False])
def test_agents_hand_off(llm: Bailian, emulator: Emulator, streaming: bool) -> None:
    """Item 33: the first agent hands the task over, the second one calls its function and answers."""
    emulator.reply(tool_calls=[{"name": "handoff", "arguments": {"to_agent": "天气", "reason": "问的是天气"}}])
    emulator.reply(tool_calls=[WEATHER_CALL])
    emulator.reply("杭州今天晴。")
    common = {"llm": llm, "streaming": streaming}
    first = FunctionAgent(name="接待", description="接待用户。", tools=[NOW], can_handoff_to=["天气"], **common)
    second = FunctionAgent(name="天气", description="查天气。", tools=[WEATHER], **common)
    answer, _ = run_agent(AgentWorkflow(agents=[first, second], root_agent="接待"), "杭州天气怎么样?")
    assert answer == "杭州今天晴。"
    offered = [request.json["parameters"]["tools"][0]["function"]["name"] for request in emulator.requests]
    assert offered == ["now", "get_weather", "get_weather"]


@agents
def test_an_agent_ends_with_an_object(llm: Bailian, emulator: Emulator) -> None:
    """Items 33 and 36: the history with calls and results becomes an object by one forced call more."""
    if "output_cls" not in FunctionAgent.model_fields:
        pytest.skip("newer than the oldest LlamaIndex we support")
    emulator.reply(tool_calls=[WEATHER_CALL])
    emulator.reply("杭州今天晴。")
    emulator.reply(tool_calls=[{"name": "Place", "arguments": {"city": "杭州"}}])
    agent = FunctionAgent(tools=[WEATHER], llm=llm, output_cls=Place)

    async def run() -> Any:
        return await agent.run("杭州天气怎么样?", memory=ChatMemoryBuffer.from_defaults(token_limit=8000))

    assert asyncio.run(run()).structured_response == {"city": "杭州", "district": None}
    assert sent(emulator)["tool_choice"] == {"type": "function", "function": {"name": "Place"}}


@agents
@pytest.mark.parametrize("streaming", [True, False])
def test_a_react_agent_finishes(make: Make, emulator: Emulator, streaming: bool) -> None:
    """Items 33 and 35: a model without functions reasons in text; the workflow chooses that by itself."""
    emulator.reply('Thought: 要查天气\nAction: get_weather\nAction Input: {"place": {"city": "杭州"}}')
    emulator.reply("Thought: I can answer without using any more tools.\nAnswer: 杭州今天晴。")
    llm = make(model="qwen-plus-character")
    workflow = AgentWorkflow.from_tools_or_functions([get_weather], llm=llm)
    assert [type(agent) for agent in workflow.agents.values()] == [ReActAgent]
    answer, _ = run_agent(ReActAgent(tools=[WEATHER], llm=llm, streaming=streaming), "杭州天气怎么样?")
    assert answer == "杭州今天晴。"
    assert "tools" not in sent(emulator)
    assert len(emulator.requests) == 2
