"""Objects out of text: the reader on its own, and conformance items 36 to 38."""

import asyncio
import json
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.core.program.utils import FlexibleModel
from llama_index.core.prompts import PromptTemplate
from pydantic import BaseModel

from llama_index_xingchen._structured import ObjectReader
from xingchen_core import AuthenticationError


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


def response(text: str) -> ChatResponse:
    """An answer so far."""
    return ChatResponse(message=ChatMessage(role="assistant", content=text))


@pytest.mark.parametrize("around", ["{}", "好的:\n```json\n{}\n```\n希望你喜欢。"], ids=["bare", "in a fence"])
def test_the_object_grows(around: str) -> None:
    """Cut at every character, the object only ever gains fields, and ends complete."""
    text = around.replace("{}", JSON)
    reader = ObjectReader(Album, "m")
    fields = 0
    for end in range(len(text) + 1):
        found = reader.read(response(text[:end]))
        now = 0 if found is None else len(str(found.model_dump(exclude_none=True)))
        assert now >= fields
        fields = now
    assert reader.end() == ALBUM


def test_what_is_missing_is_none() -> None:
    """Before an object is complete, it is a flexible one: nested values are there as far as they have come."""
    reader = ObjectReader(Album, "m")
    assert reader.read(response("好的")) is None
    assert reader.read(response("{")) is None
    found = reader.read(response('{"title": "星尘", "tracks": [{"name": "春'))
    assert isinstance(found, FlexibleModel)
    assert found.model_dump() == {"title": "星尘", "tracks": [{"name": "春"}]}


@pytest.mark.parametrize("text", ["我不会。", '{"title": 1}', '{"title": "星尘", "tracks": [', ""])
def test_an_answer_without_the_object_is_named(text: str) -> None:
    """Item 38: the error names the model, the object and the answer."""
    reader = ObjectReader(Album, "xingchen-plus-v2")
    reader.read(response(text))
    with pytest.raises(ValueError, match=r"xingchen-plus-v2 gave no Album") as caught:
        reader.end()
    assert str(caught.value).endswith(f"The answer was: {text}")


WAYS = ("structured_predict", "astructured_predict", "stream_structured_predict", "astream_structured_predict")


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    """Each of the four."""
    name: str = request.param
    return name


def predict(llm: Any, way: str) -> list[Any]:
    """All objects that one of the four gives."""
    arguments: dict[str, Any] = {"output_cls": Album, "prompt": PromptTemplate("给我一张{kind}专辑。"), "kind": "民谣"}

    async def collect() -> list[Any]:
        got = await getattr(llm, way)(**arguments)
        return [one async for one in got] if "stream" in way else [got]

    if way.startswith("a"):
        return asyncio.run(collect())
    got = getattr(llm, way)(**arguments)
    return list(got) if "stream" in way else [got]


def test_the_object_comes(case: Any, make: Any, emulator: Any, way: str) -> None:
    """Item 36: each of the four gives the object, nested and list fields included; streams give parts before."""
    case.give_object(emulator, JSON)
    got = predict(make(), way)
    assert got[-1] == ALBUM
    if "stream" in way:
        assert isinstance(got[0], FlexibleModel)
        assert got[0].title
    (asked,) = case.texts(emulator.requests[-1].json)
    assert asked.startswith("给我一张民谣专辑。")
    if case.calls_functions:
        assert '"seconds"' in emulator.requests[-1].body.decode()
    else:
        assert json.loads(asked[asked.index("{") : asked.rindex("}") + 1]) == Album.model_json_schema()


ASKED_BY = dict(zip(WAYS, ("chat", "achat", "stream_chat", "astream_chat"), strict=True))


def test_each_asks_in_its_own_colour(case: Any, make: Any, emulator: Any, events: list[Any], way: str) -> None:
    """Items 36 and 39: the async ones await an async call, the streams stream; each makes one call."""
    case.give_object(emulator, JSON)
    predict(make(), way)
    (started,) = [event for event in events if type(event).__name__ == "LLMChatStartEvent"]
    assert started.span_id.startswith(f"{case.cls.__name__}.{ASKED_BY[way]}-")


def test_the_system_prompt_is_sent(case: Any, make: Any, emulator: Any, way: str) -> None:
    """Item 37: `system_prompt` reaches the wire in all four, once."""
    case.give_object(emulator, JSON)
    predict(make(system_prompt="你懂音乐。"), way)
    assert case.system(emulator.requests[-1].json) == "你懂音乐。"


def test_text_instead_of_the_object_is_an_error(case: Any, make: Any, emulator: Any, way: str) -> None:
    """Item 38: an answer in words raises, names model and words, and gives no blank object."""
    emulator.reply("我不会写专辑。")
    with pytest.raises(ValueError, match=rf"{case.model_name} gave no Album(.|\n)*我不会写专辑。"):
        predict(make(), way)


def test_a_refusal_stays_what_it_is(make: Any, emulator: Any, way: str) -> None:
    """A service's error is not turned into an error about the object."""
    emulator.fail("status", status=401)
    with pytest.raises(AuthenticationError):
        predict(make(), way)


@pytest.mark.filterwarnings("ignore:The `json` method is deprecated")  # LlamaIndex's structured streams call it
@pytest.mark.parametrize("method", ["chat", "achat", "stream_chat", "astream_chat", "complete", "acomplete"])
def test_a_structured_llm_answers_with_the_object(case: Any, make: Any, ask: Any, emulator: Any, method: str) -> None:
    """Item 36: `as_structured_llm` works wherever LlamaIndex has it (it has no streamed completions)."""
    case.give_object(emulator, JSON)
    last = ask(make().as_structured_llm(Album), method)[-1]
    assert last.raw == ALBUM
    assert Album.model_validate_json(last.message.content if "chat" in method else last.text) == ALBUM
