"""Each setting of `ChatXingchen` in the service's words, given in every way LangChain has for giving it."""

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langchain_core.runnables import ConfigurableField

from langchain_xingchen import Character, ChatXingchen, GroupChat, Memory, MemoryTag, Scenario
from xingchen_core import Message
from xingchen_core.characters import CharacterParameters, TextToImagePlugin
from xingchen_core.emulator import Emulator

MakeModel = Callable[..., ChatXingchen]
Way = Callable[..., AIMessage]

# Field: (value, path to what is sent for it, what is sent).
WIRE: dict[str, tuple[Any, str, Any]] = {
    "character_id": ("demo", "input.aca.botProfile", {"characterId": "demo"}),
    "version": (1, "input.aca.botProfile", {"characterId": "demo", "version": 1}),
    "character": (
        Character(name="小婉", content="你是小婉。", traits="短句", type="virtual"),
        "input.aca.botProfile",
        {"name": "小婉", "content": "你是小婉。", "traits": "短句", "type": "virtual"},
    ),
    "group": (
        GroupChat(name="群", members=(Character(name="甲", content="你是甲。"),), speaker="甲"),
        "input.aca.botProfiles",
        [{"name": "甲", "content": "你是甲。"}],
    ),
    "character_type": ("assistant", "input.aca.botProfile", {"characterId": "demo", "type": "assistant"}),
    "user_id": ("u2", "input.aca.userProfile.userId", "u2"),
    "user_name": ("小明", "input.aca.userProfile.userName", "小明"),
    "user_info": ("爱打球", "input.aca.userProfile.basicInfo", "爱打球"),
    "scenario": (
        Scenario(description="放学路上", is_real_time=True, topics=("考试",)),
        "input.aca.scenario",
        {"description": "放学路上", "isRealTime": True, "topics": ["考试"]},
    ),
    "sample_messages": (
        [Message(role="user", content="在吗"), Message(role="assistant", content="在呀")],
        "input.aca.sampleMessages",
        [{"role": "user", "content": "在吗"}, {"role": "assistant", "content": "在呀"}],
    ),
    "memory": (
        Memory(summaries=("养猫",), tags=(MemoryTag(role="user", key="宠物", value=("猫",)),)),
        "input.aca.memory",
        {"summaries": ["养猫"], "tags": [{"role": "user", "key": "宠物", "value": ["猫"]}]},
    ),
    "knowledge_base_ids": (
        ["kb1"],
        "input.aca.advancedSettings",
        {"enableCharacterKbSearch": True, "knowledgeBases": ["kb1"]},
    ),
    "enable_web_search": (True, "input.aca.advancedSettings", {"enableWebSearch": True}),
    "search_enhanced_keyword": ("杭州", "input.aca.advancedSettings", {"searchEnhancedKeyword": "杭州"}),
    "enable_long_term_memory": (True, "input.aca.advancedSettings", {"enableLongTermMemory": True}),
    "platform_plugins": (
        [TextToImagePlugin(image_style="auto")],
        "input.aca.platformPlugins",
        [{"name": "text_to_image_plugin", "enabled": True, "imageStyle": "auto"}],
    ),
    "platform_history": (True, "input.aca.context", {"useChatHistory": True}),
    "model": ("xingchen-plus", "model", "xingchen-plus"),
    "temperature": (0.0, "parameters.temperature", 0.0),
    "top_p": (0.5, "parameters.topP", 0.5),
    "top_k": (50, "parameters.topK", 50),
    "max_tokens": (99, "parameters.maxLength", 99),
    "min_tokens": (0, "parameters.minLength", 0),
    "seed": (0, "parameters.seed", 0),
    "n": (2, "input.aca.context", {"useChatHistory": False, "resultCount": 2}),
    "model_kwargs": ({"repetitionPenalty": 1.1}, "parameters.repetitionPenalty", 1.1),
}
ELSEWHERE = {"data_inspection", "incremental_output", "stop", "require_end_mark"}
"""Not in the body of a plain call: each has a test of its own."""


def test_every_parameter_is_tested() -> None:
    """A new parameter needs a line in the table above."""
    assert WIRE.keys() | ELSEWHERE == CharacterParameters.model_fields.keys()


def by_constructor(make: MakeModel, name: str, value: Any) -> AIMessage:
    """The setting belongs to the model."""
    return make(**{"user_id": "u1", **without_demo(name), name: value}).invoke("你好")


def by_call(make: MakeModel, name: str, value: Any) -> AIMessage:
    """The setting belongs to one call."""
    return make(user_id="u1").invoke("你好", **{name: value})


def by_binding(make: MakeModel, name: str, value: Any) -> AIMessage:
    """The setting is bound to the model."""
    answer: AIMessage = make(user_id="u1").bind(**{name: value}).invoke("你好")
    return answer


def by_configuration(make: MakeModel, name: str, value: Any) -> AIMessage:
    """The setting is left open, and given by the configuration of a run."""
    fields = {"user_id": "u1", **without_demo(name)}
    model = make(**fields).configurable_fields(**{name: ConfigurableField(id="setting")})
    answer: AIMessage = model.invoke("你好", config={"configurable": {"setting": value}})
    return answer


def without_demo(name: str) -> dict[str, Any]:
    """Models of inline characters and groups have no stored character beside them."""
    return {"character_id": None} if name in ("character", "group") else {}


@pytest.mark.parametrize("give", [by_constructor, by_call, by_binding, by_configuration])
@pytest.mark.parametrize("name", WIRE)
def test_settings_on_the_wire(
    make: MakeModel, emulator: Emulator, give: Callable[[MakeModel, str, Any], AIMessage], name: str
) -> None:
    """Every setting of a request arrives in the service's words, however it was given."""
    value, path, sent = WIRE[name]
    give(make, name, value)
    found = emulator.requests[-1].json
    for step in path.split("."):
        found = found[step]
    assert found == sent


def test_nothing_is_sent_that_was_not_said(make: MakeModel, emulator: Emulator) -> None:
    """The smallest call leaves the service its defaults, but switches history off and draws a seed."""
    make(user_id="u1").invoke("你好")
    body = emulator.requests[0].json
    assert 0 <= body["parameters"].pop("seed") < 2**31
    assert body == {
        "parameters": {},
        "input": {
            "messages": [{"role": "user", "content": "你好"}],
            "aca": {
                "botProfile": {"characterId": "demo"},
                "userProfile": {"userId": "u1"},
                "context": {"useChatHistory": False},
            },
        },
    }
    assert "x-aca-datainspection" not in emulator.requests[0].headers


@pytest.mark.parametrize(("value", "sent"), [(True, "enable"), (False, "disable")])
def test_data_inspection(make: MakeModel, emulator: Emulator, way: Way, *, value: bool, sent: str) -> None:
    """Moderation is asked for, or declined, in a header."""
    way(make(), "你好", data_inspection=value)
    assert emulator.requests[0].headers["x-aca-datainspection"] == sent


@pytest.mark.parametrize("value", [True, False])
def test_incremental_output(make: MakeModel, emulator: Emulator, chunks_of: Way, *, value: bool) -> None:
    """Streams ask for pieces, or for all text so far."""
    chunks_of(make(incremental_output=value), "你好")
    assert emulator.requests[0].json["parameters"]["incrementalOutput"] is value


def test_require_end_mark(make: MakeModel, emulator: Emulator, chunks_of: Callable[..., list[AIMessage]]) -> None:
    """A stream without the end mark counts as whole when the caller says so."""
    emulator.reply("今天天气", chunks=["今天", "天气"])
    emulator.fail("silent_end", after=2)
    chunks = chunks_of(make(require_end_mark=False), "你好")
    assert "".join(str(chunk.content) for chunk in chunks) == "今天天气"
