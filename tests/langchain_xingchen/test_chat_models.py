"""`ChatXingchen`: how it is made, and what it makes of messages, users, seeds, several answers and stop sequences."""

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from pydantic import ValidationError

from langchain_xingchen import Character, ChatXingchen
from xingchen_core import ConfigurationError, UnsupportedOperationError
from xingchen_core.emulator import Emulator

MakeModel = Callable[..., ChatXingchen]
Way = Callable[..., AIMessage]


def test_no_key() -> None:
    """Without a key the error names the argument, the variable and the keyless way; pydantic does not wrap it."""
    with pytest.raises(ConfigurationError) as caught:
        ChatXingchen(character_id="demo")
    for hint in ("api_key", "XINGCHEN_API_KEY", "python -m xingchen_core.emulator", "base_url"):
        assert hint in str(caught.value)


@pytest.mark.parametrize("variable", ["DASHSCOPE_API_KEY", "BAILIAN_API_KEY"])
def test_keys_of_other_services_are_no_keys(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """Model Studio's key is another one: it is not tried."""
    monkeypatch.setenv(variable, "test-key")
    with pytest.raises(ConfigurationError):
        ChatXingchen(character_id="demo")


def test_arguments_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Argument, then environment, then the public host."""
    monkeypatch.setenv("XINGCHEN_API_KEY", "key-of-environment")
    model = ChatXingchen(character_id="demo")
    assert model.api_key is not None
    assert model.api_key.get_secret_value() == "key-of-environment"
    assert model.origin() == "https://nlp.aliyuncs.com"

    monkeypatch.setenv("XINGCHEN_BASE_URL", "http://127.0.0.1:8900/")
    assert ChatXingchen(character_id="demo").origin() == "http://127.0.0.1:8900"
    given = ChatXingchen(character_id="demo", api_key="test-key", base_url="http://127.0.0.1:8901")
    assert given.origin() == "http://127.0.0.1:8901"
    assert given.api_key is not None
    assert given.api_key.get_secret_value() == "test-key"


def test_unknown_arguments_are_refused_unseen() -> None:
    """A mistyped argument is an error that names it and repeats nobody's value."""
    with pytest.raises(ValidationError, match="charakter_id") as caught:
        ChatXingchen(charakter_id="demo", api_key="sk-canary", base_url="http://127.0.0.1:1")  # type: ignore[call-arg]
    assert "sk-canary" not in str(caught.value)
    assert "demo" not in str(caught.value)


WRONG = {
    "temperature": -1,
    "top_p": 1.0,
    "max_tokens": 0,
    "seed": -1,
    "n": 0,
    "user_id": "",
    "stop": 5,
    "platform_history": "perhaps",
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_values_are_refused(make: MakeModel, emulator: Emulator, way: Way, name: str) -> None:
    """A wrong value is found before anything is sent, at construction and in a call, and the error names the field."""
    with pytest.raises(ValidationError, match=name):
        make(**{name: WRONG[name]})
    if name != "stop":  # LangChain's own argument: never seen by the model when it is no list
        with pytest.raises(ValidationError, match=name):
            way(make(user_id="u1"), "你好", **{name: WRONG[name]})
    assert emulator.requests == []


@pytest.mark.parametrize("name", ["api_key", "base_url", "http_client", "timeout", "max_retries", "nonsense"])
def test_what_a_call_does_not_take(make: MakeModel, emulator: Emulator, way: Way, name: str) -> None:
    """Credentials, addresses, retries and mistyped names are refused in a call, and what was given is not repeated."""
    with pytest.raises(ValidationError, match=name) as caught:
        way(make(), "你好", **{name: "sk-canary"})
    assert "sk-canary" not in str(caught.value)
    assert emulator.requests == []


def test_model_and_model_name_are_one(make: MakeModel) -> None:
    """LangChain knows the model under two names."""
    assert make(model="xingchen-plus").model_name == "xingchen-plus"
    assert make(model_name="xingchen-plus").model == "xingchen-plus"


@pytest.mark.parametrize(
    "fields", [{}, {"character_id": "demo", "character": Character(name="小婉", content="你是小婉")}]
)
def test_who_answers(emulator: Emulator, way: Way, fields: dict[str, Any]) -> None:
    """A call needs exactly one of character_id, character and group; else nothing is sent."""
    model = ChatXingchen(api_key="test-key", base_url=emulator.url, **fields)
    with pytest.raises(ConfigurationError, match="character_id, character or group"):
        way(model, "你好")
    assert emulator.requests == []


def test_a_new_answer_to_an_old_question(make: MakeModel, emulator: Emulator, way: Way) -> None:
    """`regenerate` names the question, `answer_id` the answer that counts, by the ids of `response_metadata`."""
    model = make(user_id="u1", platform_history=True)
    emulator.reply("第一个。")
    first = way(model, "你好").response_metadata
    emulator.reply("第二个。")
    way(model, "你好", regenerate=True, query_id=first["query_id"])
    assert emulator.requests[1].json["input"]["aca"]["context"] == {
        "useChatHistory": True,
        "isRegenerate": True,
        "queryId": first["query_id"],
    }
    way(model, "接着说", answer_id=first["answer_id"])
    remembered = [message["content"] for message in emulator.xingchen.prompts[-1]]
    assert remembered[-3:] == ["你好", "第一个。", "接着说"]


def test_no_call_changes_the_model(make: MakeModel, ways: dict[str, Way]) -> None:
    """Settings of a call are gone after it, and nothing else is left on the instance either."""
    model = make(stop=["。"])
    before = (model.model_dump(), set(model.model_fields_set), model.cache, model.timeout)
    for ask in ways.values():
        ask(
            model, "你好", user_id="u2", temperature=0.5, platform_history=True, stop=["！"], model_name="xingchen-plus"
        )
    model.bind_tools([])
    assert (model.model_dump(), set(model.model_fields_set), model.cache, model.timeout) == before


def test_system_messages_of_a_stored_character(make: MakeModel, emulator: Emulator, way: Way) -> None:
    """They join its scenario, after the one that was given."""
    way(make(scenario="放学路上"), [SystemMessage("下雨了"), HumanMessage("你好"), SystemMessage("忘带伞")])
    sent = emulator.requests[0].json["input"]
    assert sent["aca"]["scenario"] == {"description": "放学路上\n下雨了\n忘带伞"}
    assert sent["messages"] == [{"role": "user", "content": "你好"}]


def test_system_messages_of_an_inline_character(make: MakeModel, emulator: Emulator, way: Way) -> None:
    """They join its persona."""
    model = make(character=Character(name="小婉", content="你是小婉。"))
    way(model, [SystemMessage("你怕雷。"), HumanMessage("你好")])
    sent = emulator.requests[0].json["input"]
    assert sent["aca"]["botProfile"] == {"name": "小婉", "content": "你是小婉。\n你怕雷。"}
    assert "scenario" not in sent["aca"]


def test_roles_alternate(make: MakeModel, emulator: Emulator, way: Way) -> None:
    """Messages of one role in a row become one, for the service wants user and assistant by turns."""
    way(
        make(), [HumanMessage("在吗"), HumanMessage("你好"), AIMessage("在"), AIMessage("你好"), HumanMessage("多大了")]
    )
    assert emulator.requests[0].json["input"]["messages"] == [
        {"role": "user", "content": "在吗\n你好"},
        {"role": "assistant", "content": "在\n你好"},
        {"role": "user", "content": "多大了"},
    ]


def test_only_the_newest_goes_to_platform_history(make: MakeModel, emulator: Emulator, way: Way) -> None:
    """The platform has the rest: sending it again would say it twice."""
    way(make(user_id="u1", platform_history=True), [HumanMessage("在吗"), AIMessage("在"), HumanMessage("多大了")])
    assert emulator.requests[0].json["input"]["messages"] == [{"role": "user", "content": "多大了"}]


def test_strangers_share_nothing(make: MakeModel, emulator: Emulator, way: Way) -> None:
    """Without a `user_id` every call is a new user nobody can guess; the answer says which."""
    model = make()
    ids = [way(model, "你好").response_metadata["user_id"] for _ in range(3)]
    assert ids == [request.json["input"]["aca"]["userProfile"]["userId"] for request in emulator.requests]
    assert len(set(ids)) == 3
    assert {len(user_id) for user_id in ids} == {32}


def test_platform_history_needs_a_user(make: MakeModel, emulator: Emulator, way: Way) -> None:
    """Nobody's conversation cannot be kept; the user may come with the call."""
    model = make(platform_history=True)
    with pytest.raises(ConfigurationError, match="needs user_id"):
        way(model, "你好")
    assert emulator.requests == []
    assert way(model, "你好", user_id="u1").response_metadata["user_id"] == "u1"


def test_seeds(make: MakeModel, emulator: Emulator, way: Way) -> None:
    """Each call draws its own seed, for the default model repeats itself with the same one; a fixed seed stays."""
    model = make()
    for _ in range(3):
        way(model, "你好")
    assert len({request.json["parameters"]["seed"] for request in emulator.requests}) == 3
    way(make(seed=7), "你好")
    assert emulator.requests[-1].json["parameters"]["seed"] == 7


def test_several_answers(make: MakeModel, emulator: Emulator) -> None:
    """`generate` returns all of them; usage counts once."""
    emulator.reply("第一个。", alternatives=["第二个。"])
    [generations] = make(n=2).generate([[HumanMessage("你好")]]).generations
    messages = [generation.message for generation in generations]  # type: ignore[union-attr]
    assert [message.content for message in messages] == ["第一个。", "第二个。"]
    assert [message.usage_metadata is not None for message in messages] == [True, False]  # type: ignore[union-attr]


@pytest.mark.parametrize("streaming", [True, None])
def test_several_answers_make_a_plain_call(make: MakeModel, emulator: Emulator, ask: Way, *, streaming: Any) -> None:
    """Also when streaming was asked for: the service streams one answer only."""
    assert ask(make(streaming=streaming), "你好", n=2).content
    assert emulator.requests[0].headers["x-fag-servicename"] == "aca-chat-send"


def test_several_answers_are_not_streamed(make: MakeModel, emulator: Emulator, chunks_of: Way) -> None:
    """Asking for a stream of several answers is refused before anything is sent."""
    for model, kwargs in ((make(n=2), {}), (make(), {"n": 2})):
        with pytest.raises(UnsupportedOperationError, match="n=1"):
            chunks_of(model, "你好", **kwargs)
    assert emulator.requests == []


def test_streaming_under_invoke(make: MakeModel, emulator: Emulator, ask: Way) -> None:
    """`streaming=True` streams under `invoke`; `disable_streaming` does not even under `stream`."""
    ask(make(streaming=True), "你好")
    list(make(disable_streaming=True).stream("你好"))
    routes = [request.headers["x-fag-servicename"] for request in emulator.requests]
    assert routes == ["aca-chat-send-sse", "aca-chat-send"]


@pytest.mark.parametrize(
    ("constructor", "call"),
    [({"stop": ["，"]}, {}), ({}, {"stop": ["，"]}), ({"stop": "，"}, {}), ({"stop": ["。"]}, {"stop": ["，", "。"]})],
)
def test_stop(make: MakeModel, emulator: Emulator, way: Way, constructor: Any, call: Any) -> None:
    """The text ends before the first stop sequence; those of a call replace the model's. The service hears of none."""
    emulator.reply("今天，天气。好", chunks=["今", "天，天", "气。好"])
    message = way(make(**constructor), "你好", **call)
    assert message.content == "今天"
    assert message.response_metadata["finish_reason"] == "stop"
    assert "stop" not in emulator.requests[0].body.decode()
