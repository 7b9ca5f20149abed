"""`Xingchen` itself: characters, histories, system messages, stopping, and LlamaIndex's chat engines."""

import asyncio
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.prompts import PromptTemplate
from llama_index.core.settings import Settings

from llama_index_xingchen import Character, GroupChat, GroupMember, Scenario, Xingchen
from llm_cases import XINGCHEN, Case
from xingchen_core import ConfigurationError, UnsupportedOperationError

HISTORY = [ChatMessage(role="user", content="我叫小明。"), ChatMessage(role="assistant", content="你好呀,小明。")]


@pytest.fixture
def case() -> Case:
    """Characters only."""
    return XINGCHEN


def test_what_is_sent_for_a_stored_character(make: Any, ask: Any, emulator: Any) -> None:
    """The whole body of a call, but for the seed, which is fresh each time."""
    llm = make(user_name="小明", version=1, scenario="在早点铺", temperature=0.9, max_tokens=64)
    ask(llm, "chat", [*HISTORY, ChatMessage(role="user", content="我叫什么?")])
    ask(llm, "chat")
    body, second = (request.json for request in emulator.requests)
    assert body["parameters"].pop("seed") != second["parameters"]["seed"]
    assert body == {
        "parameters": {"temperature": 0.9, "maxLength": 64},
        "input": {
            "messages": [
                {"role": "user", "content": "我叫小明。"},
                {"role": "assistant", "content": "你好呀,小明。"},
                {"role": "user", "content": "我叫什么?"},
            ],
            "aca": {
                "botProfile": {"characterId": "demo", "version": 1},
                "userProfile": {"userId": "u1", "userName": "小明"},
                "scenario": {"description": "在早点铺"},
                "context": {"useChatHistory": False},
            },
        },
    }


def test_an_inline_character(make: Any, ask: Any, emulator: Any, method: str) -> None:
    """A described character needs no platform, and can take the place of a stored one for one call."""
    wan = Character(name="小婉", content="你是小婉,17 岁。")
    ask(make(character_id=None, character=wan), method)
    ask(make(), method, character=wan)
    profiles = [request.json["input"]["aca"]["botProfile"] for request in emulator.requests]
    assert profiles == [{"name": "小婉", "content": "你是小婉,17 岁。"}] * 2


def test_exactly_one_character(make: Any, ask: Any, emulator: Any, method: str) -> None:
    """A call that does not say who answers, or says it twice, is refused before it is sent."""
    wan = Character(name="小婉", content="你是小婉。")
    for llm in (make(character_id=None), make(character=wan)):
        with pytest.raises(ConfigurationError, match="character_id, character or group"):
            ask(llm, method)
    assert emulator.requests == []


def test_a_group_names_its_speakers(make: Any, ask: Any, emulator: Any, stream_method: str) -> None:
    """In a group chat the answer says who speaks, and the history too."""
    members = (GroupMember(name="小婉", content="你是小婉。"), GroupMember(name="阿明", content="你是阿明。"))
    group = GroupChat(name="茶馆", members=members, speaker="阿明")
    said = ChatMessage(role="assistant", content="来了。", additional_kwargs={"name": "小婉"})
    history = [ChatMessage(role="user", content="开饭了!"), said, ChatMessage(role="user", content="阿明呢?")]
    last = ask(make(character_id=None, group=group), stream_method, history)[-1]
    assert last.message.additional_kwargs["name"] == "阿明"
    assert [m.get("name") for m in emulator.requests[-1].json["input"]["messages"]] == [None, "小婉", None]


def test_a_group_without_a_speaker_asks_for_one(make: Any, ask: Any, emulator: Any, method: str) -> None:
    """Who speaks next is asked first, by the same client."""
    group = GroupChat(name="茶馆", members=(GroupMember(name="小婉", content="你是小婉。"),))
    ask(make(character_id=None, group=group), method)
    paths = [request.path for request in emulator.requests]
    assert paths == ["/v2/api/groupchat/nextSpeaker", "/v2/api/groupchat/send"]
    assert emulator.requests[-1].json["input"]["aca"]["replySetting"]["botName"] == "小婉"


@pytest.mark.parametrize("given", [{}, {"scenario": Scenario(description="在早点铺", is_real_time=True)}])
def test_system_messages_become_the_scenario(case: Any, make: Any, ask: Any, emulator: Any, given: Any) -> None:
    """System and developer messages, and `system_prompt` before them, join the scenario of a stored character."""
    messages = [
        ChatMessage(role="system", content="下着雨。"),
        ChatMessage(role="developer", content="说短句。"),
        ChatMessage(role="user", content="你好"),
    ]
    ask(make(system_prompt="清晨。", **given), "chat", messages)
    body = emulator.requests[-1].json
    before = "在早点铺\n" if given else ""
    assert case.system(body) == f"{before}清晨。\n下着雨。\n说短句。"
    assert case.texts(body) == ["你好"]


@pytest.mark.parametrize("way", ["chat", "complete", "predict", "engine"])
def test_the_system_prompt_is_sent_once(case: Any, make: Any, ask: Any, emulator: Any, way: str) -> None:
    """`system_prompt` reaches the wire, and only once where LlamaIndex puts it into the messages itself."""
    llm = make(system_prompt="说短句。")
    if way == "predict":
        llm.predict(PromptTemplate("你好,{name}"), name="小婉")
    elif way == "engine":
        memory = ChatMemoryBuffer.from_defaults(token_limit=1000)
        SimpleChatEngine.from_defaults(llm=llm, memory=memory, system_prompt="说短句。").chat("你好")
    else:
        ask(llm, way)
    assert case.system(emulator.requests[-1].json) == "说短句。"


def test_additional_kwargs_are_model_kwargs(make: Any, ask: Any, emulator: Any, method: str) -> None:
    """Both go into the service's parameters; `model_kwargs` wins, and so does a call."""
    llm = make(additional_kwargs={"a": 1, "b": 1, "seed": 7}, model_kwargs={"b": 2})
    ask(llm, method)
    ask(llm, method, additional_kwargs={"a": 3})
    first, second = (request.json["parameters"] for request in emulator.requests)
    assert (first["a"], first["b"], first["seed"]) == (1, 2, 7)
    assert (second["a"], second["b"]) == (3, 2)


def test_either_name_of_the_model(make: Any, ask: Any, emulator: Any) -> None:
    """`model` and `model_name` are the same, in the constructor and per call."""
    ask(make(model_name="m1"), "chat")
    ask(make(model="m1"), "chat", model_name="m2")
    assert [request.json["model"] for request in emulator.requests] == ["m1", "m2"]


def test_platform_history_needs_a_user(make: Any, ask: Any, emulator: Any, method: str) -> None:
    """Without a user id there would be one history for everybody: refused before it is sent."""
    with pytest.raises(ConfigurationError, match="user_id"):
        ask(make(user_id=None, platform_history=True), method)
    assert emulator.requests == []


def test_platform_history_sends_the_newest_message(case: Any, make: Any, ask: Any, emulator: Any, method: str) -> None:
    """The platform has the rest."""
    history = "我叫什么?" if "complete" in method else [*HISTORY, ChatMessage(role="user", content="我叫什么?")]
    ask(make(platform_history=True), method, history)
    body = emulator.requests[-1].json
    assert case.texts(body) == ["我叫什么?"]
    assert body["input"]["aca"]["context"]["useChatHistory"] is True


def test_several_answers(make: Any, ask: Any, emulator: Any) -> None:
    """`n` answers are in `raw`, the first is the message; streams cannot have several."""
    emulator.reply("甲", alternatives=["乙"])
    (response,) = ask(make(n=2), "chat")
    assert response.message.content == "甲"
    assert [answer["text"] for answer in response.raw["answers"]] == ["甲", "乙"]
    with pytest.raises(UnsupportedOperationError):
        ask(make(n=2), "stream_chat")


def test_stop_cuts_the_answer(make: Any, ask: Any, emulator: Any, method: str) -> None:
    """The service knows no `stop`: the answer is cut by us, whole or streamed, and is not sent there."""
    emulator.reply("一二三四五", chunks=["一二", "三四", "五"])
    last = ask(make(), method, stop="四")[-1]
    assert (last.message.content if "chat" in method else last.text) == "一二三"
    assert "usage" in last.raw
    assert "stop" not in emulator.requests[-1].json["parameters"]


@pytest.mark.parametrize("method", ["stop_generation", "astop_generation"])
def test_stopping_an_answer(make: Any, emulator: Any, method: str) -> None:
    """What was shown is handed over, and the running answer ends."""
    emulator.reply(chunks=["一", "二", "三", "四"])
    emulator.fail("stall", after=1)
    llm = make()
    stream = llm.stream_chat([ChatMessage(role="user", content="你好")])
    assert next(stream).delta == "一"
    (request_id,) = emulator.xingchen.running
    stopped = getattr(llm, method)(request_id, "一")
    assert (asyncio.run(stopped) if method.startswith("a") else stopped) is True
    assert emulator.requests[-1].json == {"requestId": request_id, "content": "一"}
    last = list(stream)[-1]
    assert last.message.content in ("一", "一二")  # one piece may have been on its way
    assert last.raw["request_id"] == request_id


def test_a_stream_left_early_stops_the_answer_if_wanted(make: Any, emulator: Any) -> None:
    """With `stop_on_close` leaving tells the service so; without it nothing is sent."""
    for wanted in (True, False):
        emulator.reply(chunks=["一", "二"])
        emulator.fail("stall", after=1)
        stream = make(stop_on_close=wanted).stream_chat([ChatMessage(role="user", content="你好")])
        next(stream)
        stream.close()
    assert [request.path for request in emulator.requests] == [
        "/v2/api/chat/send",
        "/v2/api/chat/stop",
        "/v2/api/chat/send",
    ]


def test_a_chat_engine_remembers(make: Any, emulator: Any) -> None:
    """LlamaIndex's own chat engine holds a conversation with a character, streamed or not."""
    memory = ChatMemoryBuffer.from_defaults(token_limit=1000, chat_history=HISTORY)
    engine = SimpleChatEngine.from_defaults(llm=make(), memory=memory)
    assert str(engine.chat("你还记得我叫什么吗?")) == "你叫小明呀，我怎么会忘。"
    streamed = engine.stream_chat("谢谢")
    assert "".join(streamed.response_gen) == "跟我还客气什么呀，应该的。"
    assert [m["role"] for m in emulator.requests[-1].json["input"]["messages"]] == [
        "user",
        "assistant",
        "user",
        "assistant",
        "user",
    ]


def test_it_can_be_the_default_llm(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """`Settings.llm` takes it, and may set its callback manager."""
    monkeypatch.setattr(Settings, "_llm", None)
    llm = make()
    Settings.llm = llm
    assert Settings.llm is llm
    assert isinstance(Settings.llm, Xingchen)
