"""`Bailian` and functions: the wire both ways, and pieces of calls (conformance items 23 to 32, 34 and 36)."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, TextBlock, ToolCallBlock
from llama_index.core.program import FunctionCallingProgram
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

from llama_index_xingchen import Bailian
from llama_index_xingchen._tools import to_tool_selections, to_tools, tool_choice
from llm_cases import BAILIAN, Case
from xingchen_core import ConfigurationError, UnsupportedOperationError
from xingchen_core.emulator import Emulator

Make = Callable[..., Bailian]
Ask = Callable[..., list[Any]]


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
ROUTE_CALL = {"name": "get_route", "arguments": '{"start": "城 站", "end": "西湖"}'}


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


def test_the_schema_is_whole() -> None:
    """Item 32: nested objects keep their definitions, and `required` is there, inside `parameters`, even if empty."""
    weather, clock = to_tools([WEATHER, NOW])
    assert (weather["type"], weather["function"]["name"]) == ("function", "get_weather")
    assert "查询天气。" in weather["function"]["description"]
    assert weather["function"]["parameters"]["required"] == ["place"]
    assert weather["function"]["parameters"]["$defs"]["Place"]["required"] == ["city"]
    assert clock["function"]["parameters"] == {"type": "object", "properties": {}, "required": []}


@pytest.mark.parametrize(
    ("choice", "required", "expected"),
    [
        (None, False, None),
        ("auto", False, "auto"),
        ("none", True, "none"),
        (None, True, "required"),
        ("auto", True, "required"),
        ("any", False, "required"),
        ("now", True, "now"),
        ({"type": "function", "function": {"name": "now"}}, False, "now"),
    ],
)
def test_choices(choice: Any, required: bool, expected: str | None) -> None:
    """Item 30: LlamaIndex's choices in the words of the request; nothing is said where nothing was."""
    assert tool_choice(choice, required, ["get_weather", "now"]) == expected


FORCED = {"type": "function", "function": {"name": "now"}}


@pytest.mark.parametrize(
    ("given", "choice", "parallel"),
    [
        ({}, None, False),
        ({"tool_choice": None, "allow_parallel_tool_calls": True}, None, True),
        ({"tool_choice": "none"}, "none", False),
        ({"tool_choice": "now"}, FORCED, False),
        ({"tool_choice": FORCED}, FORCED, False),
        ({"tool_required": True}, FORCED, False),
    ],
)
@pytest.mark.parametrize("streaming", [False, True])
def test_choices_on_the_wire(
    llm: Bailian, emulator: Emulator, given: dict[str, Any], choice: Any, parallel: bool, streaming: bool
) -> None:
    """Item 30: the choice, the one tool that is required, and whether several may be called."""
    if streaming:
        list(llm.stream_chat_with_tools([NOW], user_msg="你好", **given))
    else:
        llm.chat_with_tools([NOW], user_msg="你好", **given)
    assert [tool["function"]["name"] for tool in sent(emulator)["tools"]] == ["now"]
    assert sent(emulator).get("tool_choice") == choice
    assert sent(emulator)["parallel_tool_calls"] is parallel


@pytest.mark.parametrize("endpoint", ["auto", "compatible"])
def test_one_of_several_tools(make: Make, emulator: Emulator, endpoint: str) -> None:
    """Item 30: "one of these, whichever" exists at the compatible endpoint only, which is asked unless told not to."""
    response = make(endpoint=endpoint).chat_with_tools([WEATHER, NOW], user_msg="你好", tool_required=True)
    assert emulator.requests[-1].path == "/compatible-mode/v1/chat/completions"
    assert emulator.requests[-1].json["tool_choice"] == "required"
    assert to_tool_selections(response)
    with pytest.raises(UnsupportedOperationError, match="'compatible'"):
        make(endpoint="text").chat_with_tools([WEATHER, NOW], user_msg="你好", tool_required=True)
    assert len(emulator.requests) == 1


def test_an_unknown_tool_is_refused(llm: Bailian, emulator: Emulator) -> None:
    """Item 30: a choice that names no tool is a mistake of the caller's."""
    with pytest.raises(ValueError, match="'weather' is none of the tools: now"):
        llm.chat_with_tools([NOW], user_msg="你好", tool_choice="weather")
    with pytest.raises(TypeError, match="tool_chioce"):
        llm.chat_with_tools([NOW], user_msg="你好", tool_chioce="now")
    assert emulator.requests == []


def test_a_model_that_thinks_is_not_forced(make: Make, emulator: Emulator) -> None:
    """The service refuses it, so it is refused before anything is sent."""
    with pytest.raises(ConfigurationError, match="enable_thinking=False"):
        make(enable_thinking=True).chat_with_tools([NOW], user_msg="几点?", tool_required=True)
    assert emulator.requests == []


def test_no_tools(make: Make, emulator: Emulator) -> None:
    """An agent without tools sends none, nor those of the object: it could not run them."""
    make(tools=to_tools([NOW]), tool_choice="now").chat_with_tools([], user_msg="几点?")
    assert not sent(emulator).keys() & {"tools", "tool_choice", "parallel_tool_calls"}


@pytest.mark.parametrize("user_msg", ["几点?", ChatMessage(role="user", content="几点?")], ids=["str", "message"])
def test_the_caller_s_lists_are_left_alone(llm: Bailian, user_msg: Any) -> None:
    """Item 31: history and tools are as they were, and the new message is a text or a message."""
    history, tools = [ChatMessage(role="user", content="你好"), ChatMessage(role="assistant", content="你好呀")], [NOW]
    prepared = llm._prepare_chat_with_tools(tools, user_msg=user_msg, chat_history=history)
    assert [message.content for message in prepared["messages"]] == ["你好", "你好呀", "几点?"]
    assert (len(history), tools) == (2, [NOW])


CUTS = {
    "in halves": {},
    "at every character": {"argument_size": 1},
    "two calls in one event": {"two_calls_in_one_event": True},
    "empty pieces at the end": {"empty_closing": True, "argument_size": 3},
    "without ids": {"without_ids": True, "argument_size": 2},
}


@pytest.mark.parametrize("cut", CUTS)
def test_calls_in_pieces(make: Make, ask: Ask, emulator: Emulator, stream_method: str, cut: str) -> None:
    """Items 23, 24, 26 and 29: however they are cut, no chunk raises, and the last one has both calls whole."""
    llm = make(tool_stream=True)
    for name, value in CUTS[cut].items():
        setattr(emulator.bailian.fragments, name, value)
    emulator.reply("稍等。", tool_calls=[WEATHER_CALL, ROUTE_CALL])
    tools = to_tools([WEATHER, ROUTE])
    seen = ask(llm, stream_method, "?", tools=tools, parallel_tool_calls=True)
    grown = [llm.get_tool_calls_from_response(response, error_on_no_tool_call=False) for response in seen]
    assert [(one.tool_name, one.tool_kwargs) for one in grown[-1]] == [
        ("get_weather", {"place": {"city": "杭州"}}),
        ("get_route", {"start": "城 站", "end": "西湖"}),
    ]
    assert len({one.tool_id for one in grown[-1]}) == 2
    assert [len(calls) for calls in grown] == sorted(len(calls) for calls in grown)
    last = seen[-1].message
    assert last.content == "稍等。"
    blocks = [block for block in last.blocks if isinstance(block, ToolCallBlock)]
    assert [call["id"] for call in last.additional_kwargs["tool_calls"]] == [block.tool_call_id for block in blocks]
    assert last.additional_kwargs["tool_calls"][1]["function"] == {
        "name": "get_route",
        "arguments": '{"start": "城 站", "end": "西湖"}',
    }
    assert seen[-1].raw["finish_reason"] == "tool_calls"
    begun = next(response for response in seen if len(response.message.blocks) > 1)
    assert isinstance(begun.message.additional_kwargs["tool_calls"], list)


@pytest.mark.parametrize("method", ["chat", "achat", "stream_chat", "astream_chat"])
@pytest.mark.parametrize("arguments", ["", "{}"])
def test_a_function_without_arguments(llm: Bailian, ask: Ask, emulator: Emulator, method: str, arguments: str) -> None:
    """Item 25: no arguments are an empty object."""
    emulator.reply(tool_calls=[{"name": "now", "arguments": arguments}])
    response = ask(llm, method, "几点?", tools=to_tools([NOW]))[-1]
    [call] = llm.get_tool_calls_from_response(response)
    assert (call.tool_name, call.tool_kwargs) == ("now", {})
    assert call.tool_id


@pytest.mark.parametrize("method", ["chat", "achat", "stream_chat", "astream_chat"])
def test_broken_arguments(llm: Bailian, ask: Ask, emulator: Emulator, method: str) -> None:
    """Item 23: what is no JSON is read as far as it goes, and kept as it was written."""
    emulator.bailian.fragments.broken_arguments = True
    emulator.reply(tool_calls=[ROUTE_CALL])
    response = ask(llm, method, "?", tools=to_tools([ROUTE]))[-1]
    [call] = llm.get_tool_calls_from_response(response)
    assert call.tool_kwargs == {"start": "城 站", "end": "西湖"}
    [told] = response.message.additional_kwargs["tool_calls"]
    assert told["function"]["arguments"] == '{"start": "城 站", "end": "西湖"'


def test_two_calls_are_reduced_to_one(llm: Bailian, emulator: Emulator) -> None:
    """Item 30: unless several are allowed, one is left, sync and async."""
    for allowed, count in ((False, 1), (True, 2)):
        emulator.reply(tool_calls=[WEATHER_CALL, ROUTE_CALL])
        response = llm.chat_with_tools([WEATHER, ROUTE], user_msg="?", allow_parallel_tool_calls=allowed)
        assert len(llm.get_tool_calls_from_response(response)) == count
        emulator.reply(tool_calls=[WEATHER_CALL, ROUTE_CALL])
        response = asyncio.run(llm.achat_with_tools([WEATHER, ROUTE], user_msg="?", allow_parallel_tool_calls=allowed))
        assert len(llm.get_tool_calls_from_response(response)) == count


def test_text_instead_of_a_call(llm: Bailian, emulator: Emulator) -> None:
    """Without a call there is an empty list, or an error that quotes the text."""
    emulator.reply("不用查。")
    response = llm.chat_with_tools([NOW], user_msg="你好")
    assert llm.get_tool_calls_from_response(response, error_on_no_tool_call=False) == []
    with pytest.raises(ValueError, match="不用查。"):
        llm.get_tool_calls_from_response(response)


def test_a_turn_with_results_goes_back(llm: Bailian, emulator: Emulator) -> None:
    """Item 34: the answer with calls goes back as it came, each result answers its call, no empty list is sent."""
    emulator.reply("稍等。", tool_calls=[WEATHER_CALL, ROUTE_CALL])
    asked = ChatMessage(role="user", content="?")
    answer = llm.chat_with_tools([WEATHER, ROUTE], user_msg=asked, allow_parallel_tool_calls=True).message
    ids = [block.tool_call_id for block in answer.blocks if isinstance(block, ToolCallBlock)]
    told = [
        ChatMessage(role="tool", blocks=[TextBlock(text=text)], additional_kwargs={"tool_call_id": id_})
        for id_, text in zip(ids, ["晴", "地铁"], strict=True)
    ]
    llm.chat_with_tools([WEATHER, ROUTE], chat_history=[asked, answer, *told])
    first, said, *results = emulator.requests[-1].json["input"]["messages"]
    assert first == {"role": "user", "content": "?"}
    assert (said["role"], said["content"]) == ("assistant", "稍等。")
    assert [(one["id"], one["function"]["name"]) for one in said["tool_calls"]] == [
        (ids[0], "get_weather"),
        (ids[1], "get_route"),
    ]
    assert results == [
        {"role": "tool", "content": "晴", "tool_call_id": ids[0]},
        {"role": "tool", "content": "地铁", "tool_call_id": ids[1]},
    ]


@pytest.mark.parametrize("way", ["call", "acall", "stream_call", "astream_call"])
def test_a_function_calling_program(make: Make, emulator: Emulator, way: str) -> None:
    """Item 36: LlamaIndex's own program forces the one function, and gives the object."""
    emulator.reply(tool_calls=[{"name": "Place", "arguments": {"city": "杭州", "district": "西湖"}}])
    program = FunctionCallingProgram.from_defaults(Place, prompt_template_str="在哪里?{hint}", llm=make())

    async def run() -> Any:
        if way == "acall":
            return await program.acall(hint="湖")
        return [one async for one in await program.astream_call(hint="湖")][-1]

    if way.startswith("a"):
        made = asyncio.run(run())
    else:
        made = program(hint="湖") if way == "call" else list(program.stream_call(hint="湖"))[-1]
    assert made == Place(city="杭州", district="西湖")
    # LlamaIndex forgets to say in its streams that the call is required.
    forced = {"type": "function", "function": {"name": "Place"}}
    assert sent(emulator).get("tool_choice") == (None if "stream" in way else forced)
