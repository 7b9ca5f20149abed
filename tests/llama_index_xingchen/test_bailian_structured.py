"""Objects from models on Bailian: by JSON schema, by a forced call, or in text, as the model can (items 36 to 38)."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core.program.utils import FlexibleModel
from llama_index.core.prompts import PromptTemplate
from llama_index.core.types import PydanticProgramMode
from pydantic import BaseModel

from llama_index_xingchen import Bailian
from llm_cases import BAILIAN, Case
from xingchen_core import ConfigurationError
from xingchen_core.emulator import Emulator

Make = Callable[..., Bailian]


class Track(BaseModel):
    """A piece."""

    name: str
    seconds: int


class Album(BaseModel):
    """A record."""

    title: str
    tracks: list[Track]


JSON = '{"title": "星尘", "tracks": [{"name": "春", "seconds": 61}, {"name": "夏", "seconds": 62}]}'
ALBUM = Album(title="星尘", tracks=[Track(name="春", seconds=61), Track(name="夏", seconds=62)])
PROMPT = PromptTemplate("给我一张{kind}专辑。")
WAYS = ("structured_predict", "astructured_predict", "stream_structured_predict", "astream_structured_predict")

MODELS: dict[str, tuple[dict[str, Any], str]] = {
    "a model with JSON schema": ({"model": "qwen3.7-max"}, "schema"),
    "JSON schema, while thinking": ({"model": "qwen3.7-max", "enable_thinking": True}, "text"),
    "a model with functions": ({"model": "qwen-plus"}, "call"),
    "functions, while thinking": ({"model": "qwen-plus", "enable_thinking": True}, "text"),
    "thinking unless told not to": ({"model": "qwen3-32b"}, "text"),
    "told not to think": ({"model": "qwen3-32b", "enable_thinking": False}, "call"),
    "a model that always thinks": ({"model": "qwq-plus"}, "text"),
    "a model without functions": ({"model": "qwen-plus-character"}, "text"),
    "functions that are not used": ({"is_function_calling_model": False}, "text"),
    "text by wish": ({"model": "qwen3.7-max", "pydantic_program_mode": PydanticProgramMode.LLM}, "text"),
    "a call by wish": ({"model": "qwen3.7-max", "pydantic_program_mode": PydanticProgramMode.FUNCTION}, "call"),
}


@pytest.fixture
def case() -> Case:
    """Models only."""
    return BAILIAN


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    """Each of the four."""
    name: str = request.param
    return name


def predict(llm: Any, way: str, **llm_kwargs: Any) -> list[Any]:
    """All objects that one of the four gives."""
    arguments: dict[str, Any] = {"output_cls": Album, "prompt": PROMPT, "kind": "民谣"}
    arguments["llm_kwargs"] = llm_kwargs or None

    async def collect() -> list[Any]:
        got = await getattr(llm, way)(**arguments)
        return [one async for one in got] if "stream" in way else [got]

    if way.startswith("a"):
        return asyncio.run(collect())
    got = getattr(llm, way)(**arguments)
    return list(got) if "stream" in way else [got]


def asked(emulator: Emulator) -> str:
    """How the newest request asked for the object."""
    parameters = emulator.requests[-1].json["parameters"]
    if "response_format" in parameters:
        schema = parameters["response_format"]["json_schema"]
        assert parameters["response_format"]["type"] == "json_schema"
        assert (schema["name"], schema["strict"]) == ("Album", True)
        assert schema["schema"]["required"] == ["title", "tracks"]
        return "schema"
    if "tools" in parameters:
        assert parameters["tool_choice"] == {"type": "function", "function": {"name": "Album"}}
        assert parameters["parallel_tool_calls"] is False
        return "call"
    return "text"


@pytest.mark.parametrize("kind", MODELS)
def test_each_model_is_asked_in_the_way_it_can(make: Make, emulator: Emulator, way: str, kind: str) -> None:
    """Item 36: whichever way the model has, each of the four gives the whole object."""
    fields, how = MODELS[kind]
    if how == "call":
        emulator.reply(tool_calls=[{"name": "Album", "arguments": JSON}])
    else:
        emulator.reply(JSON, chunks=6, thoughts="想" if "thinking" in kind else None)
    assert predict(make(**fields), way)[-1] == ALBUM
    assert asked(emulator) == how
    [message] = emulator.requests[-1].json["input"]["messages"]
    assert message["content"].startswith("给我一张民谣专辑。")
    assert ("JSON schema" in message["content"]) is (how == "text")


@pytest.mark.parametrize(
    ("fields", "how"),
    [({"model": "qwen3.7-max"}, "schema"), ({"enable_thinking": True}, "text"), ({"top_k": 3}, "call")],
)
def test_a_call_may_choose_the_model(
    make: Make, emulator: Emulator, way: str, fields: dict[str, Any], how: str
) -> None:
    """Item 9: keywords of the call count for the way to ask, too; the caller's things are left as they were."""
    given = dict(fields)
    emulator.reply(**({"tool_calls": [{"name": "Album", "arguments": JSON}]} if how == "call" else {"text": JSON}))
    assert predict(make(), way, **given)[-1] == ALBUM
    assert asked(emulator) == how
    assert given == fields
    emulator.reply("我不会。")
    with pytest.raises(ValueError, match=f"{fields.get('model', 'qwen-plus')} gave no Album"):
        predict(make(), way, **given)
    assert PROMPT.output_parser is None


@pytest.mark.parametrize("model", ["qwen3.7-max", "qwen-plus", "qwen3-32b"])
@pytest.mark.parametrize("way", ["stream_structured_predict", "astream_structured_predict"])
def test_objects_grow(make: Make, emulator: Emulator, model: str, way: str) -> None:
    """Item 36: while text or arguments grow, so does the object; no field that came is lost, and none is blank."""
    emulator.bailian.fragments.argument_size = 1
    chunks = list(JSON)
    if model == "qwen-plus":
        emulator.reply(tool_calls=[{"name": "Album", "arguments": JSON}])
    else:
        emulator.reply(chunks=chunks)
    got = predict(make(model=model, tool_stream=True), way)
    sizes = [len(str(one.model_dump(exclude_none=True))) for one in got]
    assert sizes == sorted(sizes)
    assert isinstance(got[0], FlexibleModel)
    assert got[0].title is not None
    assert {len(one.tracks or ()) for one in got} == {0, 1, 2}
    assert got[-1] == ALBUM


@pytest.mark.parametrize("model", ["qwen3.7-max", "qwen-plus", "qwen3-32b"])
def test_text_instead_of_the_object(make: Make, emulator: Emulator, way: str, model: str) -> None:
    """Item 38: an answer in words raises, names model and words, and gives no blank object."""
    emulator.reply("我不会写专辑。")
    with pytest.raises(ValueError, match=rf"{model} gave no Album(.|\n)*我不会写专辑。"):
        predict(make(model=model), way)


def test_an_object_that_was_cut_short(make: Make, emulator: Emulator, way: str) -> None:
    """Item 38: arguments that end too early raise, and the error shows how far they came."""
    emulator.bailian.fragments.broken_arguments = True
    emulator.reply(tool_calls=[{"name": "Album", "arguments": JSON}])
    with pytest.raises(ValueError, match=r"qwen-plus gave no Album(.|\n)*\"seconds\": 62"):
        predict(make(), way)


@pytest.mark.parametrize("model", ["qwen3.7-max", "qwen-plus", "qwen3-32b"])
def test_the_system_prompt_is_sent(make: Make, emulator: Emulator, way: str, model: str) -> None:
    """Item 37: `system_prompt` reaches the wire in all four, once."""
    if model == "qwen-plus":
        emulator.reply(tool_calls=[{"name": "Album", "arguments": JSON}])
    else:
        emulator.reply(JSON)
    predict(make(model=model, system_prompt="你懂音乐。"), way)
    messages = emulator.requests[-1].json["input"]["messages"]
    assert [message["content"] for message in messages if message["role"] == "system"] == ["你懂音乐。"]


def test_a_model_that_thinks_cannot_be_forced_by_wish(make: Make, emulator: Emulator, way: str) -> None:
    """Where the caller demands a call of a model that thinks, the error says what to change."""
    llm = make(enable_thinking=True, pydantic_program_mode=PydanticProgramMode.FUNCTION)
    with pytest.raises(ConfigurationError, match="enable_thinking=False"):
        predict(llm, way)
    assert emulator.requests == []


def test_what_always_thinks_is_never_forced() -> None:
    """A model whose thinking cannot be turned off is not forced by turning it off: the service is to say so."""
    llm = Bailian(api_key="test-key", model="qwq-plus", enable_thinking=False)
    assert llm._ask_for_object(Album, PROMPT, {"kind": "民谣"}, None).keys() == {"messages"}


def test_predictions_are_observed(make: Make, emulator: Emulator, events: list[Any], way: str) -> None:
    """Item 39: a prediction has one start and one end with its object, around one chat."""
    emulator.reply(tool_calls=[{"name": "Album", "arguments": JSON}])
    predict(make(), way)
    names = [type(event).__name__.removeprefix("LLM") for event in events]
    told = [name for name in names if name.endswith(("StartEvent", "EndEvent"))]
    assert told == ["StructuredPredictStartEvent", "ChatStartEvent", "ChatEndEvent", "StructuredPredictEndEvent"]
    assert events[-1].output == ALBUM
    assert events[0].template_args == {"kind": "民谣"}
