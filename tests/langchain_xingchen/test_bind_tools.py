"""Functions of a character: what is sent for LangChain's tools, and how calls and results travel."""

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from pydantic import BaseModel, Field

from langchain_xingchen import ChatXingchen
from xingchen_core import UnsupportedOperationError
from xingchen_core.emulator import Emulator

MakeModel = Callable[..., ChatXingchen]
Way = Callable[..., AIMessage]


@tool
def weather(city: str) -> str:
    """Weather of a city."""
    return f"{city}晴"


@tool
def clock() -> str:
    """The time."""
    return "八点"


def aca(emulator: Emulator) -> dict[str, Any]:
    """The character part of the last request."""
    sent: dict[str, Any] = emulator.requests[-1].json["input"]["aca"]
    return sent


def test_tools_on_the_wire(make: MakeModel, emulator: Emulator, way: Way) -> None:
    """A tool becomes a function with its JSON Schema; one without arguments has an empty object."""
    way(make().bind_tools([weather, clock]), "你好")
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    assert aca(emulator)["functionList"] == [
        {"name": "weather", "description": "Weather of a city.", "parameters": schema},
        {"name": "clock", "description": "The time.", "parameters": {"type": "object", "properties": {}}},
    ]
    assert "functionChoice" not in aca(emulator)


@pytest.mark.parametrize(
    ("tool_choice", "sent"),
    [
        ("auto", {"type": "auto"}),
        ("none", {"type": "none"}),
        ("weather", {"type": "specific", "names": ["weather"]}),
        ({"type": "function", "function": {"name": "weather"}}, {"type": "specific", "names": ["weather"]}),
        (None, None),
        (False, None),
    ],
)
def test_tool_choice(make: MakeModel, emulator: Emulator, tool_choice: Any, sent: dict[str, Any] | None) -> None:
    """LangChain's forms of `tool_choice` in the service's words."""
    make().bind_tools([weather, clock], tool_choice=tool_choice).invoke("你好")
    assert aca(emulator).get("functionChoice") == sent


@pytest.mark.parametrize("tool_choice", ["any", "required", True])
def test_any_of_one_tool(make: MakeModel, emulator: Emulator, tool_choice: Any) -> None:
    """With a single tool, calling some function is calling that one."""
    message = make().bind_tools([weather], tool_choice=tool_choice).invoke("杭州")
    assert aca(emulator)["functionChoice"] == {"type": "specific", "names": ["weather"]}
    assert [call["name"] for call in message.tool_calls] == ["weather"]


@pytest.mark.parametrize("tool_choice", ["any", "required", True])
def test_any_of_several_tools(make: MakeModel, emulator: Emulator, way: Way, tool_choice: Any) -> None:
    """The service cannot be told to call some function of several: that is said before anything is sent."""
    with pytest.raises(UnsupportedOperationError, match="give tool_choice its name"):
        way(make().bind_tools([weather, clock], tool_choice=tool_choice), "你好")
    assert emulator.requests == []


def test_a_choice_that_is_no_tool(make: MakeModel) -> None:
    """A mistyped name is refused where it is written."""
    with pytest.raises(ValueError, match="'whether' is none of the tools: weather, clock"):
        make().bind_tools([weather, clock], tool_choice="whether")


def test_binding_changes_nothing(make: MakeModel, emulator: Emulator) -> None:
    """The model that tools were bound to still has none."""
    model = make()
    before = model.model_dump()
    model.bind_tools([weather]).invoke("你好")
    model.invoke("你好")
    assert "functionList" not in aca(emulator)
    assert model.model_dump() == before


def test_the_whole_loop(make: MakeModel, emulator: Emulator, way: Way) -> None:
    """Call and result go back as the service takes them; its calls have no ids, so the name says which is which."""
    emulator.reply(tool_calls=[{"name": "weather", "arguments": {"city": "杭州"}}], thoughts="要看天气")
    emulator.reply("杭州晴天。")
    model = make().bind_tools([weather])
    question = HumanMessage("杭州天气怎么样?")
    call = way(model, [question])
    [wanted] = call.tool_calls
    assert (wanted["name"], wanted["args"]) == ("weather", {"city": "杭州"})
    assert wanted["id"]

    answer = way(model, [question, call, weather.invoke(wanted)])
    assert answer.content == "杭州晴天。"
    assert emulator.requests[-1].json["input"]["messages"] == [
        {"role": "user", "content": "杭州天气怎么样?"},
        {
            "role": "assistant",
            "content": "",
            "functionCall": {"apiCallList": [{"apiName": "weather", "parameters": {"city": "杭州"}}]},
        },
        {"role": "function", "name": "weather", "content": "杭州晴"},
    ]


def test_a_result_without_a_name(make: MakeModel, emulator: Emulator) -> None:
    """A `ToolMessage` that names no tool gets the name of the call it answers."""
    calls = [{"name": "clock", "args": {}, "id": "call_1", "type": "tool_call"}]
    result = ToolMessage("八点", tool_call_id="call_1")
    make().invoke([HumanMessage("几点了?"), AIMessage("", tool_calls=calls), result])
    assert emulator.requests[-1].json["input"]["messages"][-1]["name"] == "clock"


class Person(BaseModel):
    """Somebody who was mentioned."""

    name: str = Field(description="the name")


def test_structured_output(make: MakeModel, emulator: Emulator, way: Way) -> None:
    """`with_structured_output` makes the character call the schema, and parses the call."""
    emulator.reply(tool_calls=[{"name": "Person", "arguments": {"name": "小明"}}])
    assert way(make().with_structured_output(Person), "我叫小明") == Person(name="小明")
    assert aca(emulator)["functionChoice"] == {"type": "specific", "names": ["Person"]}
