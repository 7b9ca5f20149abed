"""`init_xingchen_model`: the right class for a prefix, errors that say what there is, and fields changed per call."""

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage

import langchain_xingchen
from langchain_xingchen import ChatBeebot, ChatXingchen, init_xingchen_model
from langchain_xingchen._factory import MODELS
from xingchen_core import ConfigurationError, UnsupportedOperationError
from xingchen_core.emulator import Emulator


@pytest.fixture
def connection(emulator: Emulator) -> dict[str, Any]:
    """Where the emulator is."""
    return {"api_key": "test-key", "base_url": emulator.url}


def test_a_character(emulator: Emulator, connection: dict[str, Any], ask: Callable[..., AIMessage]) -> None:
    """What follows the prefix is the character; the rest goes to the class."""
    with init_xingchen_model("xingchen:demo", user_id="u1", **connection) as model:  # type: ignore[attr-defined]
        assert isinstance(model, ChatXingchen)
        assert ask(model, "你好").response_metadata["user_id"] == "u1"
    assert emulator.requests[0].json["input"]["aca"]["botProfile"] == {"characterId": "demo"}


def test_a_robot() -> None:
    """Another prefix, another class and argument."""
    model = init_xingchen_model("beebot:chatbot-cn-demo", access_key_id="testid", access_key_secret="testsecret")
    assert isinstance(model, ChatBeebot)
    assert model.instance_id == "chatbot-cn-demo"


def test_only_the_first_colon_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model's own name may hold a colon."""
    monkeypatch.setitem(MODELS, "toy", ("ChatXingchen", "model"))
    model = init_xingchen_model("toy:plus:v2", api_key="test-key")
    assert isinstance(model, ChatXingchen)
    assert model.model == "plus:v2"


@pytest.mark.parametrize("text", ["qwen:plus", "demo", "", ":demo"])
def test_unknown_prefix(text: str) -> None:
    """The error lists the prefixes there are."""
    with pytest.raises(ConfigurationError, match="begin with xingchen:, beebot:, bailian-app:, bailian:; got") as error:
        init_xingchen_model(text)
    assert repr(text) in str(error.value)


def test_announced_but_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """A prefix whose class this release lacks says so."""
    monkeypatch.setitem(MODELS, "bailian-video", ("ChatBailianVideo", "model"))
    with pytest.raises(UnsupportedOperationError, match="no ChatBailianVideo yet"):
        init_xingchen_model("bailian-video:wan")


def test_the_table_names_arguments_of_the_classes() -> None:
    """Each class that is there takes the argument that the table names."""
    there = {name: getattr(langchain_xingchen, name, None) for name, _ in MODELS.values()}
    assert there["ChatXingchen"] is ChatXingchen
    for name, parameter in MODELS.values():
        assert there[name] is None or parameter in there[name].model_fields


@pytest.mark.parametrize(("prefix", "key"), [(None, "temperature"), ("answer", "answer_temperature")])
def test_configurable_fields(
    emulator: Emulator, connection: dict[str, Any], ask: Callable[..., AIMessage], prefix: str | None, key: str
) -> None:
    """Fields named as configurable are taken from the config of a call, under the prefix if there is one."""
    model = init_xingchen_model(
        "xingchen:demo", temperature=0.5, configurable_fields=["temperature"], config_prefix=prefix, **connection
    )
    ask(model, "你好")
    ask(model, "你好", config={"configurable": {key: 0.75, "top_p": 0.125}})
    parameters = [request.json["parameters"] for request in emulator.requests]
    assert [p["temperature"] for p in parameters] == [0.5, 0.75]
    assert not any("topP" in p for p in parameters)


def test_character_per_call(emulator: Emulator, connection: dict[str, Any], ask: Callable[..., AIMessage]) -> None:
    """Without an id the character comes with the call; `any` makes every field of a request configurable."""
    model = init_xingchen_model("xingchen:", configurable_fields="any", **connection)
    ask(model, "你好", config={"configurable": {"character_id": "demo", "user_name": "小明"}})
    aca = emulator.requests[0].json["input"]["aca"]
    assert aca["botProfile"] == {"characterId": "demo"}
    assert aca["userProfile"]["userName"] == "小明"


@pytest.mark.parametrize("field", ["api_key", "base_url", "timeout", "max_retries", "http_client", "nonsense"])
def test_connection_is_not_configurable(connection: dict[str, Any], field: str) -> None:
    """A config cannot change keys, addresses or retries, nor what there is not; `any` leaves them out too."""
    with pytest.raises(ConfigurationError, match=f"{field} of ChatXingchen cannot be configured.*temperature"):
        init_xingchen_model("xingchen:demo", configurable_fields=["temperature", field], **connection)
    anything = init_xingchen_model("xingchen:demo", configurable_fields="any", **connection)
    assert field not in {spec.id for spec in anything.config_specs}


def test_robots_keys_are_not_configurable() -> None:
    """The settings a robot adds to the connection are kept out of configs too."""
    model = init_xingchen_model(
        "beebot:", configurable_fields="any", access_key_id="testid", access_key_secret="testsecret"
    )
    names = {spec.id for spec in model.config_specs}
    assert "instance_id" in names
    assert names.isdisjoint({"access_key_id", "access_key_secret", "security_token", "stream_base_url"})
