"""Structured output of a model: three methods that do what they say, or raise before anything is sent."""

from collections.abc import Callable
from typing import Any, TypedDict

import pytest
from langchain_core.exceptions import OutputParserException
from langchain_core.tracers.base import BaseTracer
from langchain_core.tracers.schemas import Run
from pydantic import BaseModel, Field, ValidationError

from langchain_xingchen import ChatBailian
from xingchen_core import ConfigurationError, UnsupportedOperationError
from xingchen_core.emulator import Emulator

Way = Callable[..., Any]
Make = Callable[..., ChatBailian]

JSON_PROMPT = "用 JSON 回答：小明几岁？"


class Person(BaseModel):
    """一个人。"""

    name: str = Field(description="名字")
    age: int


class PersonDict(TypedDict):
    """一个人。"""

    name: str
    age: int


SCHEMA = {
    "title": "Person",
    "description": "一个人。",
    "type": "object",
    "properties": {"name": {"type": "string", "description": "名字"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
}
XIAOMING = {"name": "小明", "age": 7}


@pytest.fixture
def bailian(emulator: Emulator) -> Make:
    """Builds models at the emulator."""
    return lambda **fields: ChatBailian(**{"api_key": "test-key", "base_url": emulator.url, **fields})


def parameters(emulator: Emulator) -> dict[str, Any]:
    """What shaped the newest request."""
    found: dict[str, Any] = emulator.requests[-1].json["parameters"]
    return found


def script(emulator: Emulator, method: str) -> None:
    """Make the model answer with 小明, as the method has it."""
    if method == "function_calling":
        emulator.bailian.reply(tool_calls=[{"name": "Person", "arguments": XIAOMING}])
    else:
        emulator.bailian.reply('{"name": "小明", "age": 7}')


METHODS = ["function_calling", "json_schema", "json_mode"]


@pytest.mark.parametrize("schema", [Person, SCHEMA], ids=["class", "schema"])
@pytest.mark.parametrize("method", METHODS)
def test_each_method(bailian: Make, emulator: Emulator, ask: Way, method: Any, schema: Any) -> None:
    """Each asks for what it says, gives an instance for a class, a dict for a schema, and leaves the model alone."""
    model = bailian(model="qwen3.7-max")
    before = model.model_dump()
    structured = model.with_structured_output(schema, method=method)
    script(emulator, method)
    assert ask(structured, JSON_PROMPT) == (Person(**XIAOMING) if schema is Person else XIAOMING)
    asked = parameters(emulator)
    assert model.model_dump() == before
    if method == "function_calling":
        assert asked["tool_choice"] == {"type": "function", "function": {"name": "Person"}}
        assert [tool["function"]["name"] for tool in asked["tools"]] == ["Person"]
        assert "response_format" not in asked
    elif method == "json_schema":
        body = asked["response_format"]["json_schema"]
        assert asked["response_format"]["type"] == "json_schema"
        assert (body["name"], body["strict"], body["schema"]["required"]) == ("Person", True, ["name", "age"])
        assert "tools" not in asked
    else:
        assert asked["response_format"] == {"type": "json_object"}
        assert "tools" not in asked


def test_a_typed_dict(bailian: Make, emulator: Emulator, ask: Way) -> None:
    """Its class names the function; the answer is a dict."""
    emulator.bailian.reply(tool_calls=[{"name": "PersonDict", "arguments": XIAOMING}])
    assert ask(bailian().with_structured_output(PersonDict), "小明几岁？") == XIAOMING


def test_json_mode_without_schema(bailian: Make, emulator: Emulator, ask: Way) -> None:
    """Some JSON, as the prompt has it."""
    emulator.bailian.reply('{"答案": [1, 2]}')
    assert ask(bailian().with_structured_output(method="json_mode"), JSON_PROMPT) == {"答案": [1, 2]}


@pytest.mark.parametrize(
    ("model", "method"),
    [
        ("qwen-plus", "function_calling"),
        ("qwen3-max", "function_calling"),
        ("qwen3.7-plus", "json_schema"),
        ("qwen3.8-max", "json_schema"),
        ("kimi-of-tomorrow", "function_calling"),
    ],
)
def test_the_method_chosen(bailian: Make, model: str, method: str) -> None:
    """By the profile: a schema where the model is known to take one."""
    bound: Any = bailian(model=model).with_structured_output(Person)
    assert bound.first.kwargs["ls_structured_output_format"]["kwargs"]["method"] == method


def test_what_a_model_does_not_take(bailian: Make, emulator: Emulator) -> None:
    """It is refused at once with what does work, unless the caller knows better than the table."""
    with pytest.raises(UnsupportedOperationError, match="qwen-plus is not known to take a JSON schema"):
        bailian(model="qwen-plus").with_structured_output(Person, method="json_schema")
    with pytest.raises(UnsupportedOperationError, match="it takes none or always thinks"):
        bailian(model="qwen-plus-character").with_structured_output(Person)
    for model in (bailian(profile={"structured_output": True}), bailian(model="kimi-of-tomorrow")):
        emulator.bailian.reply('{"name": "小明", "age": 7}')
        assert model.with_structured_output(Person, method="json_schema").invoke("小明几岁？") == Person(**XIAOMING)
        assert parameters(emulator)["response_format"]["type"] == "json_schema"


def test_json_mode_needs_the_word(bailian: Make, emulator: Emulator, way: Way) -> None:
    """The service refuses a prompt without it; so do we, before anything is sent."""
    with pytest.raises(ConfigurationError, match='needs the word "json"'):
        way(bailian().with_structured_output(Person, method="json_mode"), "小明几岁？")
    assert emulator.requests == []


@pytest.mark.parametrize("fields", [{"enable_thinking": True}, {"model": "qwen3-32b"}], ids=["asked for", "by default"])
def test_thinking_is_off_for_a_forced_call(bailian: Make, emulator: Emulator, ask: Way, fields: dict[str, Any]) -> None:
    """For the bound call only: the model thinks on elsewhere."""
    model = bailian(**fields)
    script(emulator, "function_calling")
    assert ask(model.with_structured_output(Person), "小明几岁？") == Person(**XIAOMING)
    assert parameters(emulator)["enable_thinking"] is False
    assert "x-dashscope-sse" not in emulator.requests[-1].headers

    ask(model, "你好")
    assert parameters(emulator).get("enable_thinking") == fields.get("enable_thinking")
    assert emulator.requests[-1].headers["x-dashscope-sse"] == "enable"


@pytest.mark.parametrize("model", ["qwq-plus", "qwen3-235b-a22b-thinking-2507", "deepseek-r1"])
def test_models_that_always_think(bailian: Make, emulator: Emulator, ask: Way, model: str) -> None:
    """They cannot be forced to call a function: JSON mode is what is left."""
    with pytest.raises(UnsupportedOperationError, match=r"always thinks.*json_mode"):
        bailian(model=model).with_structured_output(Person)
    emulator.bailian.reply('{"name": "小明", "age": 7}')
    structured = bailian(model=model).with_structured_output(Person, method="json_mode")
    assert ask(structured, JSON_PROMPT) == Person(**XIAOMING)


@pytest.mark.parametrize("strict", [None, True, False])
def test_strictness(bailian: Make, emulator: Emulator, strict: bool | None) -> None:
    """A schema is strict unless told otherwise, as in the vendor's samples; a function says it only if asked to."""
    model = bailian(model="qwen3.7-plus")
    script(emulator, "json_schema")
    model.with_structured_output(Person, method="json_schema", strict=strict).invoke("小明几岁？")
    assert parameters(emulator)["response_format"]["json_schema"]["strict"] is (strict is not False)
    script(emulator, "function_calling")
    model.with_structured_output(Person, method="function_calling", strict=strict).invoke("小明几岁？")
    assert parameters(emulator)["tools"][0]["function"].get("strict") is strict


@pytest.mark.parametrize("method", METHODS)
def test_raw(bailian: Make, emulator: Emulator, ask: Way, method: Any) -> None:
    """`include_raw` gives the message, what was read, and no error."""
    script(emulator, method)
    found = ask(
        bailian(model="qwen3.7-plus").with_structured_output(Person, method=method, include_raw=True), JSON_PROMPT
    )
    assert (found["parsed"], found["parsing_error"]) == (Person(**XIAOMING), None)
    assert found["raw"].response_metadata["model_name"] == "qwen3.7-plus"


BROKEN: dict[str, tuple[str, dict[str, Any], type[Exception]]] = {
    "no call": ("function_calling", {"text": "我不知道。"}, OutputParserException),
    "a wrong type": (
        "function_calling",
        {"tool_calls": [{"name": "Person", "arguments": {"name": "小明", "age": "七"}}]},
        ValidationError,
    ),
    "no JSON in the call": (
        "function_calling",
        {"tool_calls": [{"name": "Person", "arguments": '{"name": "小'}]},
        OutputParserException,
    ),
    "no JSON": ("json_schema", {"text": '{"name": "小'}, OutputParserException),
    "JSON of another kind": ("json_mode", {"text": '{"name": "小明"}'}, OutputParserException),
}


@pytest.mark.parametrize("case", BROKEN)
def test_answers_that_cannot_be_read(bailian: Make, emulator: Emulator, ask: Way, case: str) -> None:
    """They raise, and are never `None`; with `include_raw` the error stands beside the message."""
    method, reply, error = BROKEN[case]
    model = bailian(model="qwen3.7-plus")
    emulator.bailian.reply(**reply)
    with pytest.raises(error):
        ask(model.with_structured_output(Person, method=method), JSON_PROMPT)  # type: ignore[arg-type]
    emulator.bailian.reply(**reply)
    found = ask(model.with_structured_output(Person, method=method, include_raw=True), JSON_PROMPT)  # type: ignore[arg-type]
    assert found["parsed"] is None
    assert isinstance(found["parsing_error"], error)
    assert found["raw"].type == "ai"


def test_a_missing_call_says_what_came(bailian: Make, emulator: Emulator) -> None:
    """The words and the reason are in the error: a cut answer is told from a refusal."""
    emulator.bailian.reply("我不知道。", finish_reason="length")
    with pytest.raises(OutputParserException, match=r"finish_reason 'length'.*我不知道。") as caught:
        bailian().with_structured_output(SCHEMA).invoke("小明几岁？")
    assert caught.value.llm_output == "我不知道。"


@pytest.mark.parametrize("method", METHODS)
def test_streams(bailian: Make, emulator: Emulator, method: Any) -> None:
    """A dict grows as the answer comes."""
    emulator.bailian.fragments.argument_size = 6
    script(emulator, method)
    grown = list(bailian(model="qwen3.7-plus").with_structured_output(SCHEMA, method=method).stream(JSON_PROMPT))
    assert grown[-1] == XIAOMING
    assert len(grown) > 2


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"schema": Person, "method": "json"}, "function_calling, json_schema, json_mode; got 'json'"),
        ({"schema": Person, "tools": []}, "unsupported arguments tools"),
        ({"method": "function_calling"}, "needs a schema"),
        ({}, "needs a schema"),
    ],
)
def test_misuse(bailian: Make, arguments: dict[str, Any], match: str) -> None:
    """Wrong arguments raise at once."""
    with pytest.raises(ValueError, match=match):
        bailian().with_structured_output(**arguments)


def test_traces_know_the_method(bailian: Make, emulator: Emulator) -> None:
    """Tracing shows which method and schema were meant; neither is sent to the service."""

    class Tracer(BaseTracer):
        options: Any = None

        def _persist_run(self, run: Run) -> None:
            child = next(each for each in run.child_runs if each.run_type == "llm")
            Tracer.options = child.extra["options"]

    script(emulator, "function_calling")
    bailian().with_structured_output(Person).invoke("小明几岁？", config={"callbacks": [Tracer()]})
    assert Tracer.options["ls_structured_output_format"]["kwargs"] == {"method": "function_calling", "strict": None}
    assert "ls_structured_output_format" not in parameters(emulator)
