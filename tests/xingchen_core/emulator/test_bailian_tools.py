"""Tools and structured output of the emulated models, by plain HTTP: when they are called, and how streams cut them."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from bailian_api import TEXT, BailianApi, prompt, refusal, tool
from xingchen_core.emulator import Emulator

WEATHER = tool("get_weather", "查询城市的天气", city="string")
ADD = tool("add", "Add two numbers.", a="integer", b="integer")
HANGZHOU = {"name": "get_weather", "arguments": {"city": "杭州"}}
SHANGHAI = {"name": "get_weather", "arguments": {"city": "上海"}}
BOTH = "杭州和上海的天气怎么样？"


@pytest.fixture
def api(emulator: Emulator) -> Iterator[BailianApi]:
    """Plain HTTP to the emulator."""
    client = BailianApi(emulator.url)
    with client.http:
        yield client


def called(choice: Any) -> list[tuple[str, Any]]:
    """(name, arguments) of each call."""
    functions = [each["function"] for each in choice["message"].get("tool_calls", [])]
    return [(function["name"], json.loads(function["arguments"])) for function in functions]


def fragments(choices: list[Any]) -> list[list[tuple[Any, ...]]]:
    """(index, id, name or nothing, arguments) of each fragment of each event; `-` for what is not there."""
    return [
        [
            (
                each["index"],
                each.get("id", "-"),
                each["function"].get("name", "-"),
                each["function"]["arguments"],
            )
            for each in choice["message"].get("tool_calls", [])
        ]
        for choice in choices
    ]


def after(said: str, *calls: tuple[str, Any, str]) -> list[Any]:
    """A conversation in which these calls (name, arguments, result) followed the words."""
    made = [
        {"id": f"call_{at}", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
        for at, (name, arguments, _) in enumerate(calls)
    ]
    results = [
        {"role": "tool", "content": result, "tool_call_id": f"call_{at}"} for at, (*_, result) in enumerate(calls)
    ]
    return [{"role": "user", "content": said}, {"role": "assistant", "content": "", "tool_calls": made}, *results]


def test_a_call(emulator: Emulator, api: BailianApi) -> None:
    """A call in one piece, as captured."""
    emulator.reply(tool_calls=[{**HANGZHOU, "id": "call_fake_1"}])
    assert api.complete(tools=[WEATHER]) == {
        "finish_reason": "tool_calls",
        "message": {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {
                    "function": {"name": "get_weather", "arguments": '{"city":"杭州"}'},
                    "index": 0,
                    "id": "call_fake_1",
                    "type": "function",
                }
            ],
        },
    }


def test_streamed_calls(emulator: Emulator, api: BailianApi) -> None:
    """The first fragment of a call has id and name, later ones an empty id and no name; the last one ends."""
    emulator.reply(tool_calls=[{**HANGZHOU, "id": "call_a"}, {**SHANGHAI, "id": "call_b"}])
    choices = api.stream(tools=[WEATHER])
    assert fragments(choices) == [
        [(0, "call_a", "get_weather", '{"city"')],
        [(0, "", "-", ':"杭州"}')],
        [(1, "call_b", "get_weather", '{"city"')],
        [(1, "", "-", ':"上海"}')],
    ]
    assert [choice["finish_reason"] for choice in choices] == ["null", "null", "null", "tool_calls"]
    assert [(choice["index"], choice["message"]["content"]) for choice in choices] == [(0, "")] * 4


def test_two_calls_in_one_event(emulator: Emulator, api: BailianApi) -> None:
    """An event may close one call with nothing and open the next."""
    emulator.bailian.fragments.two_calls_in_one_event = True
    emulator.reply(tool_calls=[{**HANGZHOU, "id": "call_a"}, {**SHANGHAI, "id": "call_b"}])
    assert fragments(api.stream(tools=[WEATHER]))[2:4] == [
        [(0, "", "-", ""), (1, "call_b", "get_weather", '{"city"')],
        [(1, "", "-", ':"上海"}')],
    ]


def test_shapes_of_fragments(emulator: Emulator, api: BailianApi) -> None:
    """Arguments cut at a length, a last fragment with nothing, later fragments without ids."""
    switches = emulator.bailian.fragments
    switches.argument_size, switches.empty_closing, switches.without_ids = 6, True, True
    emulator.reply(tool_calls=[{**HANGZHOU, "id": "call_a"}])
    assert fragments(api.stream(tools=[WEATHER])) == [
        [(0, "call_a", "get_weather", '{"city')],
        [(0, "-", "-", '":"杭州"')],
        [(0, "-", "-", "}")],
        [(0, "-", "-", "")],
    ]


def test_broken_arguments(emulator: Emulator, api: BailianApi) -> None:
    """Arguments need not be JSON: by a switch, or as scripted."""
    emulator.bailian.fragments.broken_arguments = True
    emulator.reply(tool_calls=[HANGZHOU])
    assert api.complete(tools=[WEATHER])["message"]["tool_calls"][0]["function"]["arguments"] == '{"city":"杭州"'
    emulator.bailian.fragments.broken_arguments = False
    emulator.reply(tool_calls=[{"name": "get_weather", "arguments": "{'city'"}])
    assert api.complete(tools=[WEATHER])["message"]["tool_calls"][0]["function"]["arguments"] == "{'city'"


def test_cumulative_calls(emulator: Emulator, api: BailianApi) -> None:
    """Snapshots repeat the whole call each time."""
    emulator.reply(tool_calls=[{**HANGZHOU, "id": "call_a"}])
    assert fragments(api.stream(tools=[WEATHER], incremental_output=False)) == [
        [(0, "call_a", "get_weather", '{"city"')],
        [(0, "call_a", "get_weather", '{"city":"杭州"}')],
    ]


def test_lists_in_one_piece(emulator: Emulator, api: BailianApi) -> None:
    """Arguments with arrays are cut with tool_stream only."""
    add_all = tool("add_all", items={"type": "array", "items": {"type": "integer"}})
    for given, count in (({}, 1), ({"tool_stream": True}, 2)):
        emulator.reply(tool_calls=[{"name": "add_all", "arguments": {"items": [1, 2]}}])
        assert len(api.stream(tools=[add_all], **given)) == count


def test_glm(api: BailianApi) -> None:
    """GLM models tell their calls in streams with tool_stream only."""
    assert fragments(api.stream("杭州天气", model="glm-4.6", tools=[WEATHER]))[0] == []
    assert fragments(api.stream("杭州天气", model="glm-4.6", tools=[WEATHER], tool_stream=True))[0] != []


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("杭州的天气怎么样？", [("get_weather", {"city": "杭州"})]),
        ("Please add 3 and 4", [("add", {"a": 3, "b": 4})]),
        ("你好", []),
        ('/call add {"a": 1, "b": 2}', [("add", {"a": 1, "b": 2})]),
    ],
)
def test_tools_are_called_when_they_fit(api: BailianApi, said: str, expected: list[Any]) -> None:
    """Without a script a tool is called when the words ask for it, with what they say."""
    assert called(api.complete(said, tools=[WEATHER, ADD])) == expected


def test_parallel_calls(api: BailianApi) -> None:
    """Several calls come when they are allowed, which they are not by default; then one after the other."""
    both = [("get_weather", {"city": "杭州"}), ("get_weather", {"city": "上海"})]
    assert called(api.complete(BOTH, tools=[WEATHER], parallel_tool_calls=True)) == both
    assert called(api.complete(BOTH, tools=[WEATHER])) == both[:1]
    history = after(BOTH, ("get_weather", {"city": "杭州"}, "晴"))
    assert called(api.complete(history, tools=[WEATHER])) == both[1:]


def test_results(api: BailianApi) -> None:
    """After the results comes a text with them."""
    history = after(BOTH, ("get_weather", {"city": "杭州"}, "晴"), ("get_weather", {"city": "上海"}, "雨"))
    choice = api.complete(history, tools=[WEATHER], parallel_tool_calls=True)
    assert choice["message"] == {"role": "assistant", "content": "根据工具返回的结果：晴；雨"}
    again = [*history, {"role": "assistant", "content": "好"}, {"role": "user", "content": "那北京的天气呢？"}]
    assert called(api.complete(again, tools=[WEATHER])) == [("get_weather", {"city": "北京"})]


def test_tool_choice(api: BailianApi) -> None:
    """A forced function is called whatever was said, and ends with stop; none calls nothing."""
    forced = {"type": "function", "function": {"name": "add"}}
    choice = api.complete("杭州的天气", tools=[WEATHER, ADD], tool_choice=forced)
    assert (called(choice), choice["finish_reason"]) == ([("add", {"a": 1, "b": 1})], "stop")
    assert called(api.complete("杭州的天气", tools=[WEATHER], tool_choice="none")) == []
    assert called(api.complete("杭州的天气", tools=[WEATHER], tool_choice="auto")) != []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"tool_choice": "required"}, 'tool_choice is one of the strings that should be ["none", "auto"]'),
        ({"tool_choice": {"type": "function", "function": {"name": "other"}}}, "tool_choice names a function"),
        ({"tools": [tool("search")]}, "the name of a function"),
        ({"tools": [tool("天气")]}, "the name of a function"),
        ({"tools": [tool("x" * 65)]}, "the name of a function"),
        ({"tools": [{"name": "add"}]}, "a tool must have"),
        ({"result_format": "text"}, "result_format must be"),
    ],
)
def test_refused_tools(api: BailianApi, given: dict[str, Any], words: str) -> None:
    """What cannot be, and what only the compatible path knows."""
    status, code, message = refusal(api.post(TEXT, prompt(**{"tools": [ADD], **given})))
    assert (status, code) == (400, "InvalidParameter")
    assert message.startswith(words)


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": []},
        {"properties": {"city": "string"}},
        {"required": "city"},
        {"items": {"anyOf": "x"}},
        {"$ref": 1},
        [],
    ],
)
def test_schemas_that_are_none(api: BailianApi, schema: Any) -> None:
    """What is no JSON Schema is refused, in a tool and as a response format."""
    function = {"name": "add", "parameters": schema}
    body = prompt(tools=[{"type": "function", "function": function}])
    if schema:
        assert "must be a JSON Schema" in refusal(api.post(TEXT, body))[2]
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    assert "must be a JSON Schema" in refusal(api.post(TEXT, prompt(response_format=wanted)))[2]


def test_calls_that_are_none(api: BailianApi) -> None:
    """A call in the history has a function, with a name and arguments that are a string."""
    for function in (None, {}, {"name": "add", "arguments": {}}):
        calls = [{"id": "call_0", "type": "function", "function": function}]
        messages = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "", "tool_calls": calls}]
        assert refusal(api.post(TEXT, prompt(messages)))[2].startswith(("a tool call", "the arguments"))


def test_forcing_and_thinking(api: BailianApi) -> None:
    """A thinking model may call, but cannot be made to."""
    forced = {"type": "function", "function": {"name": "get_weather"}}
    body = prompt("杭州的天气", tools=[WEATHER], enable_thinking=True, tool_choice=forced)
    assert "tool_choice" in refusal(api.post(TEXT, body, sse=True))[2]
    choices = api.stream("杭州的天气", tools=[WEATHER], enable_thinking=True)
    assert choices[0]["message"]["reasoning_content"]
    assert choices[-1]["finish_reason"] == "tool_calls"


def test_one_answer_with_tools(api: BailianApi) -> None:
    """N counts for nothing beside tools."""
    assert len(api.good(TEXT, prompt(tools=[ADD], n=3))["output"]["choices"]) == 1


def test_orders_of_results(api: BailianApi) -> None:
    """Every call has its result, every result its call, and both are strings."""
    history = after("杭州", ("get_weather", {}, "晴"), ("get_weather", {}, "雨"))
    asked, calls, first, second = history
    for messages in (
        [asked, calls, first],
        [asked, first],
        [asked, calls, first, second, first],
        [asked, calls, first, asked],
        [asked, calls, first, {**second, "content": [{"text": "雨"}]}],
        [asked, calls, first, {"role": "tool", "content": "雨"}],
    ):
        assert refusal(api.post(TEXT, prompt(messages)))[:2] == (400, "InvalidParameter")
    api.complete([asked, calls, second, first])


def test_endless_repetition(api: BailianApi) -> None:
    """The same call over and over is refused."""
    asked, *turn = after("杭州", ("get_weather", {}, "晴"))
    api.complete([asked, *turn * 9])
    assert refusal(api.post(TEXT, prompt([asked, *turn * 10])))[2] == "Repetitive tool calls detected."


def test_character_models_have_no_tools(api: BailianApi) -> None:
    """They neither call nor answer by schema."""
    for asked in ({"tools": [ADD]}, {"response_format": {"type": "json_object"}}):
        assert refusal(api.post(TEXT, prompt("json", "qwen-plus-character", **asked)))[:2] == (400, "InvalidParameter")


def test_json_schema(api: BailianApi) -> None:
    """The answer is JSON that fits the schema, with what the words say."""
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
        "required": ["name", "age"],
    }
    given = {"type": "json_schema", "json_schema": {"name": "person", "schema": schema, "strict": True}}
    content = api.complete("张三 25岁", response_format=given)["message"]["content"]
    assert json.loads(content) == {"name": "张三", "age": 25}


def test_react(api: BailianApi) -> None:
    """A prompt in the style of ReAct is answered in its words."""
    described = json.dumps(ADD["function"]["parameters"])
    system = f"> Tool Name: add\nTool Description: add numbers\nTool Args: {described}\n\nAction Input: ..."
    messages = [{"role": "system", "content": system}, {"role": "user", "content": "add 3 and 4"}]
    step = api.complete(messages)["message"]["content"]
    assert step.startswith("Thought: ")
    assert step.endswith('\nAction: add\nAction Input: {"a":3,"b":4}')
    messages += [{"role": "assistant", "content": step}, {"role": "user", "content": "Observation: 7"}]
    assert api.complete(messages)["message"]["content"].endswith("\nAnswer: 根据工具返回的结果：7")
