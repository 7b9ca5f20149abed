"""Functions: the schema and the choice on the wire, and reading calls back (items 22 to 33 as far as they apply)."""

import asyncio
from inspect import getsource
from typing import Any

import pytest
from llama_index.core.agent.workflow import AgentStream, AgentWorkflow, FunctionAgent, ReActAgent
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, TextBlock, ToolCallBlock
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

from llama_index_xingchen import Xingchen
from llama_index_xingchen._tools import first_call_only, function_choice, to_functions, to_tool_selections
from llm_cases import XINGCHEN, Case
from xingchen_core import UnsupportedOperationError


@pytest.fixture
def case() -> Case:
    """Characters only."""
    return XINGCHEN


class Place(BaseModel):
    """A place."""

    city: str
    district: str | None = None


def get_weather(place: Place) -> str:
    """查询天气。"""
    return "晴,26 度"


def now() -> str:
    """现在几点。"""
    return "八点"


WEATHER = FunctionTool.from_defaults(get_weather)
NOW = FunctionTool.from_defaults(now)


def test_the_schema_is_whole() -> None:
    """Item 32: nested objects keep their definitions, and a function without arguments has an empty `required`."""
    weather, clock = to_functions([WEATHER, NOW])
    assert (weather.name, clock.name) == ("get_weather", "now")
    assert "查询天气。" in weather.description
    assert weather.parameters["required"] == ["place"]
    assert weather.parameters["$defs"]["Place"]["required"] == ["city"]
    assert (clock.parameters["type"], clock.parameters["properties"], clock.parameters["required"]) == (
        "object",
        {},
        [],
    )


@pytest.mark.parametrize(
    ("choice", "required", "names", "expected"),
    [
        (None, False, ["a", "b"], "auto"),
        ("auto", False, ["a"], "auto"),
        ("none", False, ["a"], "none"),
        ("b", False, ["a", "b"], "b"),
        ({"type": "function", "function": {"name": "b"}}, False, ["a", "b"], "b"),
        (None, True, ["a"], "a"),
        ("required", False, ["a"], "a"),
        ("b", True, ["a", "b"], "b"),
        (None, True, [], None),
        (None, False, [], None),
    ],
)
def test_choice(choice: Any, required: bool, names: list[str], expected: str | None) -> None:
    """Item 30: LlamaIndex's choices in the service's three."""
    assert function_choice(choice, required, names) == expected


def test_a_choice_the_service_does_not_have_is_refused() -> None:
    """Item 30: "one of these, whichever" cannot be asked for, and a name must be one of the tools."""
    with pytest.raises(UnsupportedOperationError, match="a, b"):
        function_choice(None, True, ["a", "b"])
    with pytest.raises(ValueError, match="'c'"):
        function_choice("c", False, ["a", "b"])


def with_calls(*calls: ToolCallBlock) -> ChatResponse:
    """A response that holds calls beside a text."""
    listed = [{"id": call.tool_call_id} for call in calls]
    blocks = [TextBlock(text="稍等。"), *calls]
    message = ChatMessage(role="assistant", blocks=blocks, additional_kwargs={"tool_calls": listed})
    return ChatResponse(message=message)


GROWING = '{"city": "New York", "days": [1, 2]}'


def test_half_a_call_is_read_as_far_as_it_goes() -> None:
    """Items 23 and 24: no prefix of a call raises, and the whole has its spaces."""
    seen = [
        to_tool_selections(with_calls(ToolCallBlock(tool_name="f", tool_kwargs=GROWING[:end])))[0].tool_kwargs
        for end in range(len(GROWING) + 1)
    ]
    assert seen[0] == {}
    assert seen[-1] == {"city": "New York", "days": [1, 2]}


def test_calls_without_an_id_get_one() -> None:
    """Item 27: ids are never empty, and the same each time."""
    response = with_calls(ToolCallBlock(tool_name="f"), ToolCallBlock(tool_name="g", tool_call_id="given"))
    assert [selection.tool_id for selection in to_tool_selections(response)] == ["call_0", "given"]


def test_only_one_call_is_left_where_one_is_allowed() -> None:
    """Item 30: the text and the first call stay, in both places, and the response it was made from is unchanged."""
    response = with_calls(
        ToolCallBlock(tool_call_id="1", tool_name="f"), ToolCallBlock(tool_call_id="2", tool_name="g")
    )
    reduced = first_call_only(response)
    assert [call.tool_id for call in to_tool_selections(reduced)] == ["1"]
    assert reduced.message.additional_kwargs == {"tool_calls": [{"id": "1"}]}
    assert reduced.message.content == "稍等。"
    assert len(to_tool_selections(response)) == 2
    plain = ChatResponse(message=ChatMessage(role="assistant", content="好"))
    assert first_call_only(plain) is plain


@pytest.fixture
def llm(make: Any) -> Xingchen:
    """A character that is used as a function-calling model."""
    made: Xingchen = make(is_function_calling_model=True)
    return made


@pytest.mark.parametrize(
    "user_msg", ["杭州天气?", ChatMessage(role="user", content="杭州天气?")], ids=["str", "message"]
)
def test_tools_are_prepared_without_touching_the_caller_s(llm: Xingchen, user_msg: Any) -> None:
    """Item 31: history and tools are left as they were, and the new message is a text or a message."""
    history, tools = [ChatMessage(role="user", content="你好"), ChatMessage(role="assistant", content="你好呀")], [NOW]
    prepared = llm._prepare_chat_with_tools(tools, user_msg=user_msg, chat_history=history, tool_choice="now")
    assert [message.content for message in prepared["messages"]] == ["你好", "你好呀", "杭州天气?"]
    assert (len(history), tools) == (2, [NOW])
    assert prepared["function_choice"] == "now"
    assert "tools" not in prepared


def test_functions_reach_the_wire_and_calls_come_back(llm: Xingchen, emulator: Any) -> None:
    """Items 29, 30 and 32: the schema and the choice are sent; the call is read from what the service answers."""
    emulator.reply("稍等。", tool_calls=[{"name": "get_weather", "arguments": {"place": {"city": "杭州"}}}])
    response = llm.chat_with_tools([WEATHER, NOW], user_msg="杭州天气?", tool_choice="get_weather")
    aca = emulator.requests[-1].json["input"]["aca"]
    assert [function["name"] for function in aca["functionList"]] == ["get_weather", "now"]
    assert aca["functionList"][0]["parameters"]["$defs"]["Place"]
    assert aca["functionChoice"] == {"type": "specific", "names": ["get_weather"]}
    (call,) = llm.get_tool_calls_from_response(response)
    assert (call.tool_name, call.tool_kwargs) == ("get_weather", {"place": {"city": "杭州"}})
    assert call.tool_id
    assert response.message.content == "稍等。"


def test_text_instead_of_a_call(llm: Xingchen, emulator: Any) -> None:
    """Without a call there is an empty list, or an error that quotes the text."""
    emulator.reply("不用查。")
    response = llm.chat_with_tools([NOW], user_msg="几点?")
    assert llm.get_tool_calls_from_response(response, error_on_no_tool_call=False) == []
    with pytest.raises(ValueError, match="不用查。"):
        llm.get_tool_calls_from_response(response)


def test_two_calls_are_reduced_to_one(llm: Xingchen, emulator: Any) -> None:
    """Item 30: unless parallel calls are allowed, one is left."""
    calls = [{"name": "now", "arguments": {}}, {"name": "now", "arguments": {}}]
    for allowed, count in ((False, 1), (True, 2)):
        emulator.reply(tool_calls=calls)
        response = llm.chat_with_tools([NOW], user_msg="几点?", allow_parallel_tool_calls=allowed)
        assert len(llm.get_tool_calls_from_response(response)) == count


@pytest.mark.parametrize("streaming", [True, False])
def test_objects_come_as_arguments(llm: Xingchen, emulator: Any, streaming: bool) -> None:
    """Item 36: a character with functions is made to call one, and its arguments are the object."""
    prompt = PromptTemplate("在{city}的哪里?")
    emulator.reply(tool_calls=[{"name": "Place", "arguments": {"city": "杭州", "district": "西湖"}}])
    if streaming:
        *_, made = llm.stream_structured_predict(Place, prompt, city="杭州")
    else:
        made = llm.structured_predict(Place, prompt, city="杭州")
    assert made == Place(city="杭州", district="西湖")
    assert emulator.requests[-1].json["input"]["aca"]["functionChoice"] == {"type": "specific", "names": ["Place"]}


agents = pytest.mark.filterwarnings(
    # LlamaIndex's workflows look at every attribute of an agent, pydantic's deprecated ones too.
    "ignore::pydantic.warnings.PydanticDeprecatedSince20",
    "ignore::pydantic.warnings.PydanticDeprecatedSince211",
    "ignore:is_running called from within a step",
)


def run_agent(agent: Any, question: str) -> tuple[str, list[AgentStream]]:
    """The agent's answer, and its stream events."""

    async def run() -> tuple[str, list[AgentStream]]:
        handler = agent.run(question, memory=ChatMemoryBuffer.from_defaults(token_limit=8000))
        streamed = [event async for event in handler.stream_events() if isinstance(event, AgentStream)]
        return str(await handler), streamed

    return asyncio.run(run())


@agents
@pytest.mark.parametrize("streaming", [True, False])
def test_a_function_agent_finishes(llm: Xingchen, emulator: Any, streaming: bool) -> None:
    """Items 22 and 33: the agent calls the function, hands the result back, and shows the thought on the way."""
    emulator.reply(tool_calls=[{"name": "get_weather", "arguments": {"place": {"city": "杭州"}}}], thoughts="要查天气")
    emulator.reply("杭州今天晴,26 度。")
    agent = FunctionAgent(tools=[WEATHER], llm=llm, streaming=streaming)
    answer, streamed = run_agent(agent, "杭州天气怎么样?")
    assert answer == "杭州今天晴,26 度。"
    last = emulator.requests[-1].json["input"]["messages"]
    assert [message["role"] for message in last] == ["user", "assistant", "function"]
    assert (last[-1]["name"], last[-1]["content"]) == ("get_weather", "晴,26 度")
    if streaming:
        assert "".join(event.thinking_delta or "" for event in streamed) == "要查天气"
        assert "".join(event.delta for event in streamed) == "杭州今天晴,26 度。"


@agents
def test_a_character_that_is_no_function_calling_model_reasons_in_text(make: Any, emulator: Any) -> None:
    """Item 35: by default the workflow takes a ReAct agent, and it finishes."""
    emulator.reply('Thought: 要查天气\nAction: get_weather\nAction Input: {"place": {"city": "杭州"}}')
    emulator.reply("Thought: I can answer without using any more tools.\nAnswer: 杭州今天晴。")
    workflow = AgentWorkflow.from_tools_or_functions([get_weather], llm=make())
    assert [type(agent) for agent in workflow.agents.values()] == [ReActAgent]
    answer, _ = run_agent(workflow, "杭州天气怎么样?")
    assert answer == "杭州今天晴。"
    assert len(emulator.requests) == 2


def get_route(start: str, end: str) -> str:
    """查询从一地到另一地怎么走。"""
    return f"从{start}到{end}:地铁一号线"


PASSES_PARALLEL = "allow_parallel_tool_calls" in getsource(FunctionAgent._get_response)


@agents
@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("kind", ["agent", "agent, not streamed", "workflow"])
def test_a_task_of_two_functions(llm: Xingchen, emulator: Any, kind: str, at_once: bool) -> None:
    """Item 33: one after the other or both at once, the results go back and the agent answers with them."""
    if at_once and kind == "agent, not streamed" and not PASSES_PARALLEL:
        pytest.skip("an older LlamaIndex lets an agent that does not stream call one function at a time")
    calls = [
        {"name": "get_weather", "arguments": {"place": {"city": "杭州"}}},
        {"name": "get_route", "arguments": {"start": "城站", "end": "西湖"}},
    ]
    for asked in [calls] if at_once else [calls[:1], calls[1:]]:
        emulator.reply(tool_calls=asked)
    emulator.reply("适合去,坐地铁。")
    tools = [WEATHER, FunctionTool.from_defaults(get_route)]
    agent: Any = FunctionAgent(tools=tools, llm=llm, streaming=kind != "agent, not streamed")
    if kind == "workflow":
        agent = AgentWorkflow.from_tools_or_functions(tools, llm=llm)
    answer, _ = run_agent(agent, "杭州适合去西湖吗?怎么走?")
    assert answer == "适合去,坐地铁。"
    sent = emulator.requests[-1].json["input"]["messages"]
    assert [m["name"] for m in sent if m["role"] == "function"] == ["get_weather", "get_route"]
    assert [m["content"] for m in sent if m["role"] == "function"] == ["晴,26 度", "从城站到西湖:地铁一号线"]
