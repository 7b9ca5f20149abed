"""Functions a model may call: how they are bound and chosen, and how its calls come back."""

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from pydantic import BaseModel, Field

from langchain_xingchen import ChatBailian
from xingchen_core import ConfigurationError, UnsupportedOperationError
from xingchen_core.emulator import Emulator

Ways = dict[str, Callable[..., AIMessage]]
Way = Callable[..., AIMessage]

TEXT = "/api/v1/services/aigc/text-generation/generation"
COMPATIBLE = "/compatible-mode/v1/chat/completions"


@tool
def weather(city: str) -> str:
    """查询一个城市现在的天气。"""
    return f"{city}:晴"


def route(start: str, end: str) -> str:
    """查询从一地到另一地怎么走。

    Args:
        start: 起点。
        end: 终点。
    """
    return f"{start}-{end}"


class Now(BaseModel):
    """现在几点。"""

    zone: str = Field(default="Asia/Shanghai", description="时区")


WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "查询一个城市现在的天气。",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@pytest.fixture
def model(emulator: Emulator) -> ChatBailian:
    """A model at the emulator."""
    return ChatBailian(api_key="test-key", base_url=emulator.url)


def sent(emulator: Emulator) -> dict[str, Any]:
    """What shaped the newest request."""
    body: dict[str, Any] = emulator.requests[-1].json
    found: dict[str, Any] = body.get("parameters", body)
    return found


@pytest.mark.parametrize(
    ("given", "name"),
    [
        (weather, "weather"),
        (route, "route"),
        (Now, "Now"),
        (WEATHER, "weather"),
        ({"name": "weather", "description": "查询", "parameters": WEATHER["function"]["parameters"]}, "weather"),  # type: ignore[index]
        ({"name": "pick", "input_schema": {"type": "object", "properties": {}}, "description": "挑"}, "pick"),
    ],
    ids=["BaseTool", "callable", "pydantic", "OpenAI", "OpenAI function", "Anthropic"],
)
def test_every_form_of_a_tool(model: ChatBailian, emulator: Emulator, ask: Way, given: Any, name: str) -> None:
    """Bound, or given per call as it is, a tool is sent in OpenAI's form."""
    ask(model.bind_tools([given]), "你好")
    bound = sent(emulator)["tools"]
    ask(model, "你好", tools=[given])
    assert sent(emulator)["tools"] == bound
    assert [(each["type"], each["function"]["name"]) for each in bound] == [("function", name)]
    assert bound[0]["function"]["parameters"]["type"] == "object"


def test_a_tool_in_full(model: ChatBailian, emulator: Emulator) -> None:
    """Name, description and parameters arrive as the tool says them."""
    model.bind_tools([weather]).invoke("你好")
    assert sent(emulator)["tools"] == [WEATHER]
    assert "tool_choice" not in sent(emulator)
    assert "parallel_tool_calls" not in sent(emulator)


def test_dicts_of_another_kind_are_sent_as_they_are() -> None:
    """What the service may know and LangChain does not is the service's to judge."""
    model = ChatBailian(api_key="test-key")
    bound: Any = model.bind_tools([{"type": "web_search"}, weather], tool_choice="any")
    assert bound.kwargs["tools"][0] == {"type": "web_search"}
    assert bound.kwargs["tool_choice"] == "required"


FORCED = {"type": "function", "function": {"name": "weather"}}


@pytest.mark.parametrize(
    ("choice", "native"),
    [
        (None, None),
        (False, None),
        ("auto", "auto"),
        ("none", "none"),
        ({"type": "auto"}, "auto"),
        ({"type": "none"}, "none"),
        ("weather", FORCED),
        (FORCED, FORCED),
        ({"name": "weather"}, FORCED),
        ({"type": "tool", "name": "weather"}, FORCED),
        ("any", FORCED),
        ("required", FORCED),
        (True, FORCED),
        ({"type": "any"}, FORCED),
    ],
    ids=str,
)
def test_choices_of_one_tool(model: ChatBailian, emulator: Emulator, choice: Any, native: Any) -> None:
    """All of LangChain's forms, OpenAI's and Anthropic's dicts too; `any` of one tool is that tool."""
    model.bind_tools([weather], tool_choice=choice).invoke("你好")
    assert sent(emulator).get("tool_choice") == native
    model.invoke("你好", tools=[weather], tool_choice=choice)
    assert sent(emulator).get("tool_choice") == native
    assert emulator.requests[-1].path == TEXT


@pytest.mark.parametrize("choice", ["any", "required", True])
def test_any_of_several_tools(model: ChatBailian, emulator: Emulator, way: Way, choice: Any) -> None:
    """The endpoint that can be told so is asked; it is never weakened to `auto`."""
    answer = way(model.bind_tools([weather, route], tool_choice=choice), "你好")
    assert (emulator.requests[-1].path, sent(emulator)["tool_choice"]) == (COMPATIBLE, "required")
    assert answer.tool_calls


def test_any_of_several_tools_at_a_fixed_endpoint(model: ChatBailian, emulator: Emulator, way: Way) -> None:
    """Who insists on the native endpoint is told that it cannot be, before anything is sent."""
    bound = model.bind_tools([weather, route], tool_choice="any", endpoint="text")
    with pytest.raises(UnsupportedOperationError, match="name one function"):
        way(bound, "你好")
    assert emulator.requests == []


def test_an_unknown_choice_is_refused(model: ChatBailian) -> None:
    """A choice that names none of the tools is a mistake of the caller's."""
    with pytest.raises(ValueError, match="'time' is none of the tools: weather"):
        model.bind_tools([weather], tool_choice="time")


@pytest.mark.parametrize("given", ["to the model", "to the call", "by default"])
def test_a_model_that_thinks_cannot_be_forced(model: ChatBailian, emulator: Emulator, way: Way, given: str) -> None:
    """The service refuses that; so do we, with what to do."""
    if given == "to the model":
        bound = model.model_copy(update={"enable_thinking": True}).bind_tools([weather], tool_choice="weather")
    elif given == "to the call":
        bound = model.bind_tools([weather], tool_choice="weather", enable_thinking=True)
    else:
        bound = model.bind_tools([weather], tool_choice="weather", model="qwen3-32b")
    with pytest.raises(ConfigurationError, match="enable_thinking=False"):
        way(bound, "你好")
    assert emulator.requests == []


def test_parallel_calls_and_strictness(model: ChatBailian, emulator: Emulator) -> None:
    """Both are sent as given; nothing is sent for what was not."""
    model.bind_tools([weather], parallel_tool_calls=True, strict=True).invoke("你好")
    assert sent(emulator)["parallel_tool_calls"] is True
    assert sent(emulator)["tools"][0]["function"]["strict"] is True
    model.bind_tools([weather], parallel_tool_calls=False).invoke("你好")
    assert sent(emulator)["parallel_tool_calls"] is False
    assert "strict" not in sent(emulator)["tools"][0]["function"]


def test_binding_changes_nothing(model: ChatBailian) -> None:
    """Neither the model nor the tools it is given."""
    before, given = model.model_dump(), [dict(WEATHER)]
    model.bind_tools(given, tool_choice="any", parallel_tool_calls=True).invoke("杭州天气怎么样？")
    assert model.model_dump() == before
    assert given == [WEATHER]


def test_tools_of_the_constructor(emulator: Emulator, ask: Way) -> None:
    """Tools may be a setting like any other; those of a call take their place."""
    model = ChatBailian(api_key="test-key", base_url=emulator.url, tools=[WEATHER], tool_choice="weather")
    ask(model, "你好")
    assert (sent(emulator)["tools"], sent(emulator)["tool_choice"]) == ([WEATHER], FORCED)
    ask(model, "你好", tools=[route], tool_choice="auto")
    assert (sent(emulator)["tools"][0]["function"]["name"], sent(emulator)["tool_choice"]) == ("route", "auto")


CALLS = [
    {"id": "call_a", "name": "weather", "arguments": {"city": "New York"}},
    {"id": "call_b", "name": "route", "arguments": {"start": "  城站", "end": "西湖"}},
]
FRAGMENTS: dict[str, dict[str, Any]] = {
    "in halves": {},
    "by character": {"argument_size": 1},
    "two calls in one event": {"two_calls_in_one_event": True},
    "closed by an empty piece": {"empty_closing": True},
    "later pieces without id": {"without_ids": True, "argument_size": 3},
}


@pytest.mark.parametrize("cumulative", [False, True], ids=["increments", "snapshots"])
@pytest.mark.parametrize("cut", FRAGMENTS)
def test_calls_however_they_are_cut(
    model: ChatBailian, emulator: Emulator, way: Way, cut: str, *, cumulative: bool
) -> None:
    """Names, ids and arguments with all their spaces arrive, in order."""
    for name, value in FRAGMENTS[cut].items():
        setattr(emulator.bailian.fragments, name, value)
    emulator.bailian.reply("查一下。", tool_calls=CALLS)
    answer = way(model.bind_tools([weather, route]), "你好", incremental_output=not cumulative)
    assert answer.content == "查一下。"
    assert [(c["name"], c["args"], c["id"]) for c in answer.tool_calls] == [
        ("weather", {"city": "New York"}, "call_a"),
        ("route", {"start": "  城站", "end": "西湖"}, "call_b"),
    ]
    assert answer.response_metadata["finish_reason"] == "tool_calls"
    assert answer.invalid_tool_calls == []


def test_calls_that_cannot_be_read(model: ChatBailian, emulator: Emulator, ask: Way) -> None:
    """Arguments that are no JSON are kept as written, and go back with the result that says so.

    (The sum of a stream's chunks is made by langchain-core, which completes what was cut.)
    """
    emulator.bailian.fragments.broken_arguments = True
    emulator.bailian.reply(tool_calls=CALLS[:1])
    bound = model.bind_tools([weather])
    answer = ask(bound, "天气?")
    [call] = answer.invalid_tool_calls
    assert (call["name"], call["args"], call["id"]) == ("weather", '{"city":"New York"', "call_a")
    assert answer.tool_calls == []

    emulator.bailian.reply("请再说一遍。")
    ask(bound, [HumanMessage("天气?"), answer, ToolMessage("参数不对", tool_call_id="call_a")])
    _, said, result = emulator.requests[-1].json["input"]["messages"]
    assert said["tool_calls"][0]["function"] == {"name": "weather", "arguments": '{"city":"New York"'}
    assert result == {"role": "tool", "content": "参数不对", "tool_call_id": "call_a"}


def test_a_result_without_its_call_is_refused(model: ChatBailian, emulator: Emulator, way: Way) -> None:
    """Histories that were trimmed in the middle of a call fail before they are sent."""
    with pytest.raises(ConfigurationError, match="'call_a', which no assistant message before it has made"):
        way(model, [HumanMessage("天气?"), ToolMessage("晴", tool_call_id="call_a")])
    assert emulator.requests == []


def test_the_pieces_of_a_call_stream(model: ChatBailian, emulator: Emulator, chunks_of: Any) -> None:
    """Each piece is a chunk as it comes; ids and names are on the first only, so that sums keep them whole."""
    emulator.bailian.fragments.argument_size = 8
    emulator.bailian.reply(tool_calls=CALLS[:1])
    pieces = [piece for chunk in chunks_of(model.bind_tools([weather]), "天气?") for piece in chunk.tool_call_chunks]
    assert [(p["name"], p["id"], p["args"], p["index"]) for p in pieces] == [
        ("weather", "call_a", '{"city":', 0),
        (None, None, '"New Yor', 0),
        (None, None, 'k"}', 0),
    ]
