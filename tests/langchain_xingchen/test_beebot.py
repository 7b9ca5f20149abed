"""`ChatBeebot`: what is sent, sessions, the calls around a conversation, and models over time."""

import asyncio
import copy
import json
import logging
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any
from unittest import mock

import httpx
import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.globals import set_llm_cache
from langchain_core.load import dumps
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.runnables import ConfigurableField
from langchain_core.tracers.base import BaseTracer
from langchain_core.tracers.schemas import Run
from pydantic import ValidationError

import langchain_xingchen
from langchain_xingchen import ChatBeebot, init_xingchen_model
from xingchen_core import ConfigurationError, UnsupportedOperationError
from xingchen_core.beebot import stream
from xingchen_core.emulator import Emulator

KEYS = {"access_key_id": "testid", "access_key_secret": "testsecret"}

MakeRobot = Callable[..., ChatBeebot]
Way = Callable[..., AIMessage]


@pytest.fixture
def make(emulator: Emulator) -> Iterator[MakeRobot]:
    """Builds models of the seeded robot; a test names only what it is about. They are closed after it."""
    stream._tokens.clear()
    with ExitStack() as made:

        def make_robot(**fields: Any) -> ChatBeebot:
            usual = {"instance_id": "chatbot-cn-demo", **KEYS, "base_url": emulator.url}
            return made.enter_context(ChatBeebot(**{**usual, **fields}))

        yield make_robot


def questions(emulator: Emulator) -> list[dict[str, Any]]:
    """The parameters of each question, whichever way it was asked."""
    asked: list[dict[str, Any]] = []
    for received in emulator.requests:
        if received.path.startswith("/sse"):
            asked.append(json.loads(received.json["data"][0]["value"]))
        elif received.headers["x-acs-action"] == "Chat":
            asked.append(dict(received.query))
    return asked


@pytest.mark.parametrize("api", ["stream", "rpc"])
def test_only_the_newest_human_message_is_sent(make: MakeRobot, emulator: Emulator, way: Way, api: str) -> None:
    """The robot keeps the conversation; standard settings it does not know are accepted and not sent."""
    messages = [SystemMessage("简短"), HumanMessage("你好"), AIMessage("您好"), HumanMessage('他说"好"\n')]
    way(make(api=api, temperature=0.5, top_p=0.5, max_tokens=5, session_id="s1"), messages)
    assert questions(emulator) == [{"InstanceId": "chatbot-cn-demo", "Utterance": '他说"好"\n', "SessionId": "s1"}]


@pytest.mark.parametrize("api", ["stream", "rpc"])
def test_everything_may_be_given_per_call(make: MakeRobot, emulator: Emulator, way: Way, api: str) -> None:
    """What shapes a question may be given for one call, which changes nothing for the next."""
    emulator.beebot.add_robot("chatbot-cn-two")
    model = make(api=api, sender_id="u1")
    before = model.model_dump()
    way(
        model,
        "你好",
        instance_id="chatbot-cn-two",
        session_id="s2",
        sender_id="u2",
        sender_nick="张三",
        vendor_params={"phone": 123},
        perspective=["a"],
        sandbox=True,
        model_kwargs={"Future": "1"},
        stop=["。"],
    )
    way(model, "你好")
    perspective, sandbox = (["a"], True) if api == "stream" else ('["a"]', "true")
    assert questions(emulator) == [
        {
            "InstanceId": "chatbot-cn-two",
            "Utterance": "你好",
            "SessionId": "s2",
            "SenderId": "u2",
            "SenderNick": "张三",
            "VendorParam": '{"phone":123}',
            "Perspective": perspective,
            "SandBox": sandbox,
            "Future": "1",
        },
        {"InstanceId": "chatbot-cn-demo", "Utterance": "你好", "SenderId": "u1"},
    ]
    assert model.model_dump() == before


def test_the_way_to_ask_may_be_given_per_call(make: MakeRobot, emulator: Emulator, way: Way) -> None:
    """One model asks both ways."""
    model = make()
    assert way(model, "你是谁?", api="rpc").content == way(model, "你是谁?").content
    assert [received.headers.get("x-acs-action") for received in emulator.requests] == [
        "Chat",
        "ApplyForStreamAccessToken",
        None,
    ]


def test_configurable_fields(make: MakeRobot, emulator: Emulator, way: Way) -> None:
    """The same by LangChain's `configurable_fields`."""
    model = make().configurable_fields(session_id=ConfigurableField(id="session"))
    way(model.with_config(configurable={"session": "s9"}), "你好")
    assert questions(emulator)[0]["SessionId"] == "s9"


@pytest.mark.parametrize("unknown", [{"sesion_id": "canary-1"}, {"timeout": 1}, {"access_key_id": "canary-1"}])
def test_unknown_keywords_of_a_call(make: MakeRobot, emulator: Emulator, way: Way, unknown: dict[str, Any]) -> None:
    """What a call cannot change is refused before anything is sent, without its value."""
    with pytest.raises(ValidationError) as caught:
        way(make(), "你好", **unknown)
    assert "canary" not in str(caught.value)
    assert emulator.requests == []


@pytest.mark.parametrize("api", ["stream", "rpc"])
def test_a_conversation(make: MakeRobot, way: Way, api: str) -> None:
    """The session of the first answer, given with the second question, joins the two."""
    model = make(api=api)
    first = way(model, "我叫小明")
    session_id = first.response_metadata["session_id"]
    second = way(model, "我叫什么?", session_id=session_id)
    assert second.content == "您叫小明。"
    assert second.response_metadata["session_id"] == session_id
    assert "还没有" in way(model, "我叫什么?").text


@pytest.mark.parametrize(
    ("messages", "session_id", "warns"),
    [
        ([HumanMessage("一")], None, False),
        ([SystemMessage("简短"), HumanMessage("一"), AIMessage("好")], None, False),
        ([HumanMessage("一"), AIMessage("好"), HumanMessage("二")], None, True),
        ([HumanMessage("一"), AIMessage("好"), HumanMessage("二")], "s1", False),
    ],
)
def test_a_forgotten_session_is_logged(
    make: MakeRobot, way: Way, caplog: pytest.LogCaptureFixture, messages: Any, session_id: str | None, warns: bool
) -> None:
    """Several human messages without a session are a mistake in most cases: a warning says what to do, no text."""
    with caplog.at_level(logging.WARNING):
        way(make(), messages, session_id=session_id)
    found = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(found) == warns
    if warns:
        assert "session_id" in found[0]
        assert "2 human messages" in found[0]


@pytest.mark.parametrize(
    ("messages", "error"),
    [
        ([], (ConfigurationError, ValueError)),
        ([SystemMessage("你好")], ConfigurationError),
        ([AIMessage("你好")], ConfigurationError),
        ([HumanMessage([{"type": "image", "url": "https://example.invalid/a.png"}])], UnsupportedOperationError),
        ("长" * 513, ConfigurationError),
    ],
    ids=["none", "system only", "answer only", "picture", "too long"],
)
def test_what_cannot_be_asked(make: MakeRobot, emulator: Emulator, way: Way, messages: Any, error: Any) -> None:
    """Nothing to ask, a picture, a question longer than the service takes: said before anything is sent."""
    with pytest.raises(error):
        way(make(), messages)
    assert emulator.requests == []


def test_results_of_tools_are_not_questions(make: MakeRobot, emulator: Emulator, way: Way) -> None:
    """The newest human message counts, whatever came after it."""
    call = {"name": "f", "args": {}, "id": "c1"}
    way(make(), [HumanMessage("你好"), AIMessage("", tool_calls=[call]), ToolMessage("1", tool_call_id="c1")])
    assert questions(emulator)[0]["Utterance"] == "你好"


def test_no_robot(make: MakeRobot, way: Way) -> None:
    """A model may be made without a robot; asking needs one."""
    with pytest.raises(ConfigurationError, match="instance_id="):
        way(make(instance_id=None), "你好")
    assert way(make(instance_id=None), "你好", instance_id="chatbot-cn-demo").text


def both(model: ChatBeebot, name: str, *args: Any, **kwargs: Any) -> list[Any]:
    """The results of a method and of its async twin."""
    method, twin = getattr(model, name), getattr(model, f"a{name}")
    return [method(*args, **kwargs), asyncio.run(twin(*args, **kwargs))]


def test_welcome(make: MakeRobot, emulator: Emulator) -> None:
    """The robot's greeting, in the session of the call, else in the model's."""
    emulator.beebot.add_robot("chatbot-cn-two", welcome="欢迎光临", agent_key="k1")
    model = make(instance_id="chatbot-cn-two", agent_key="k1", session_id="s1", vendor_params={"a": 1}, sandbox=True)
    assert both(model, "welcome") == ["欢迎光临"] * 2
    assert both(model, "welcome", session_id="s2") == ["欢迎光临"] * 2
    bodies = [received.body.decode() for received in emulator.requests]
    assert bodies[0] == "InstanceId=chatbot-cn-two&SandBox=true&SessionId=s1&VendorParam=%7B%22a%22%3A1%7D"
    assert ["SessionId=s2" in body for body in bodies] == [False, False, True, True]
    assert emulator.requests[0].query == {"AgentKey": "k1"}


def test_suggest(make: MakeRobot) -> None:
    """Questions for somebody who types."""
    assert both(make(), "suggest", "退款") == [["怎么退款？", "退款多久到账？"]] * 2
    assert both(make(perspective=["a"]), "suggest", "退款", limit=1) == [["怎么退款？"]] * 2
    assert both(make(), "suggest", "火箭") == [[], []]


@pytest.mark.parametrize("api", ["stream", "rpc"])
def test_rate(make: MakeRobot, emulator: Emulator, api: str) -> None:
    """An answer is rated by its own id, in its own session, with reasons."""
    model = make(api=api)
    answer = model.invoke("你好")
    both(model, "rate", answer, True)
    both(model, "rate", answer, False, text="不对", labels=["过时"])
    ids = {name: answer.response_metadata[name] for name in ("message_id", "session_id")}
    assert {each["MessageId"] for each in emulator.beebot.feedback} == {ids["message_id"]}
    assert {each["SessionId"] for each in emulator.beebot.feedback} == {ids["session_id"]}
    assert [each["Feedback"] for each in emulator.beebot.feedback] == ["good", "good", "bad", "bad"]
    assert json.loads(emulator.beebot.feedback[-1]["FeedbackContent"]) == {
        "content": "不对",
        "feedbackLabels": ["过时"],
    }


def test_what_is_no_answer_cannot_be_rated(make: MakeRobot, emulator: Emulator) -> None:
    """A message without the id of an answer is refused before anything is sent."""
    for rate in (lambda m: m.rate(AIMessage("好"), True), lambda m: asyncio.run(m.arate(AIMessage("好"), True))):
        with pytest.raises(ConfigurationError, match="message_id"):
            rate(make())
    for name, arguments in (("welcome", ()), ("suggest", ("发",))):
        with pytest.raises(ConfigurationError, match="instance_id="):
            both(make(instance_id=None), name, *arguments)
    assert emulator.requests == []


def test_a_summed_stream_can_be_rated(make: MakeRobot, emulator: Emulator, way: Way) -> None:
    """By whichever way an answer came."""
    model = make()
    model.rate(way(model, "你好"), True)
    assert len(emulator.beebot.feedback) == 1


@pytest.fixture
def cache() -> Iterator[InMemoryCache]:
    """A global cache, as applications set one."""
    made = InMemoryCache()
    set_llm_cache(made)
    yield made
    set_llm_cache(None)


@pytest.mark.parametrize("api", ["stream", "rpc"])
def test_no_cache_answers_in_the_robot_s_place(
    make: MakeRobot, emulator: Emulator, cache: Any, way: Way, api: str
) -> None:
    """The robot remembers what it is asked: the same question twice is asked twice."""
    model = make(api=api)
    way(model, "你好")
    way(model, "你好")
    assert len(questions(emulator)) == 2
    assert cache._cache == {}


def test_a_cache_that_is_asked_for(make: MakeRobot, emulator: Emulator, cache: Any) -> None:
    """`cache` given explicitly is the caller's decision."""
    model = make(cache=True)
    assert model.invoke("你好").content == model.invoke("你好").content
    assert len(questions(emulator)) == 1


class Tracer(BaseTracer):
    """Keeps runs as they are sent to a tracing service."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[Run] = []

    def _persist_run(self, run: Run) -> None:
        self.runs.append(run)


def test_tracing(make: MakeRobot, way: Way) -> None:
    """Traces name the service and the robot, or the name given for its model."""
    tracer = Tracer()
    way(make(), "你好", config={"callbacks": [tracer]})
    way(make(model="qwen"), "你好", config={"callbacks": [tracer]})
    found = [(run.extra["metadata"]["ls_provider"], run.extra["metadata"]["ls_model_name"]) for run in tracer.runs]
    assert found == [("beebot", "chatbot-cn-demo"), ("beebot", "qwen")]
    assert make(model="qwen").model_name == "qwen"


def test_tokens_are_estimated(make: MakeRobot) -> None:
    """Without extra packages: one for a Chinese character, one for four others."""
    assert make().get_num_tokens("你好abcd") == 3


def test_keys_from_the_environment(emulator: Emulator) -> None:
    """The pair, the token and both hosts come from the environment when they are not given."""
    emulator.beebot.add_access_key("STS.a", "s", security_token="t")
    environment = {
        "ALIBABA_CLOUD_ACCESS_KEY_ID": "STS.a",
        "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "s",
        "ALIBABA_CLOUD_SECURITY_TOKEN": "t",
        "BEEBOT_BASE_URL": emulator.url,
        "BEEBOT_STREAM_BASE_URL": emulator.url,
    }
    with mock.patch.dict(os.environ, environment):
        model = ChatBeebot(instance_id="chatbot-cn-demo")
    with model:
        assert model.invoke("你好").text
    assert emulator.requests[0].headers["x-acs-security-token"] == "t"


class Credentials:
    """What gives keys of the moment, as the cloud's credentials client does."""

    def __init__(self) -> None:
        self.asked = 0

    def get_credential(self) -> Any:
        self.asked += 1
        return SimpleNamespace(access_key_id="testid", access_key_secret="testsecret", security_token=f"t{self.asked}")


class AsyncCredentials(Credentials):
    """The same for asynchronous callers."""

    async def get_credential_async(self) -> Any:
        return self.get_credential()


@pytest.mark.parametrize("kind", [Credentials, AsyncCredentials])
def test_credentials_object(make: MakeRobot, emulator: Emulator, way: Way, kind: type[Credentials]) -> None:
    """An object is asked for keys at each signed call, and its token may change."""
    credentials = kind()
    model = make(access_key_id=None, access_key_secret=None, credentials=credentials)
    way(model, "你好", api="rpc")
    way(model, "你好", api="rpc")
    assert [received.headers["x-acs-security-token"] for received in emulator.requests] == ["t1", "t2"]


def test_no_keys() -> None:
    """Without keys the error, which pydantic does not wrap, says what to do; another service's key is no help."""
    with pytest.raises(ConfigurationError, match="ALIBABA_CLOUD_ACCESS_KEY_ID"):
        ChatBeebot(instance_id="chatbot-cn-demo", api_key="sk-test")


def test_made_from_a_text() -> None:
    """`beebot:<instance_id>` names a robot where a text has to."""
    made = init_xingchen_model("beebot:chatbot-cn-demo", **KEYS, session_id="s1")
    assert isinstance(made, ChatBeebot)
    assert (made.instance_id, made.session_id) == ("chatbot-cn-demo", "s1")


def test_model_names_per_call(make: MakeRobot, way: Way) -> None:
    """`model_name` does for `model`, as in the constructor."""
    assert way(make(model="qwen"), "你好", model_name="other").response_metadata["model_name"] == "other"


def test_unknown_arguments() -> None:
    """A misspelt argument is refused, and its value is not repeated."""
    with pytest.raises(ValidationError) as caught:
        ChatBeebot(instance_id="chatbot-cn-demo", **KEYS, agentkey="canary")
    assert "canary" not in str(caught.value)


def test_round_trip() -> None:
    """`dumps` and `langchain_xingchen.loads` give an equal model with the keys of the environment, none in the text."""
    model = ChatBeebot(
        instance_id="chatbot-cn-demo",
        **KEYS,
        security_token="test-token",
        base_url="http://127.0.0.1:8900",
        stream_base_url="http://127.0.0.1:8901",
        agent_key="test-space",
        api="rpc",
        session_id="s1",
        vendor_params={"docLabels": "a,b"},
        perspective=["a"],
        sandbox=False,
        stop="。",
        timeout=httpx.Timeout(5, connect=2.5),
        max_utterance=128,
        model="qwen",
        model_kwargs={"Future": 1},
    )
    text = dumps(model)
    environment = {
        "ALIBABA_CLOUD_ACCESS_KEY_ID": "testid",
        "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "other",
        "ALIBABA_CLOUD_SECURITY_TOKEN": "another",
    }
    with mock.patch.dict(os.environ, environment):
        revived = langchain_xingchen.loads(text)
    assert not [secret for secret in ("testid", "testsecret", "test-token") if secret in text]
    assert isinstance(revived, ChatBeebot)
    assert revived.access_key_secret is not None
    assert revived.access_key_secret.get_secret_value() == "other"
    secrets = ("access_key_id", "access_key_secret", "security_token")
    assert {name: getattr(revived, name) for name in ChatBeebot.model_fields if name not in secrets} == {
        name: getattr(model, name) for name in ChatBeebot.model_fields if name not in secrets
    }


def test_credentials_objects_are_not_dumped() -> None:
    """A revived model takes its own credentials."""
    text = dumps(ChatBeebot(instance_id="chatbot-cn-demo", credentials=Credentials()))
    assert "Credentials" not in text
    environment = {"ALIBABA_CLOUD_ACCESS_KEY_ID": "testid", "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "testsecret"}
    with mock.patch.dict(os.environ, environment):
        assert langchain_xingchen.loads(text).credentials is None


@pytest.mark.parametrize(
    "clone",
    [lambda m: pickle.loads(pickle.dumps(m)), copy.copy, copy.deepcopy, lambda m: m.model_copy()],
    ids=["pickle", "copy", "deepcopy", "model_copy"],
)
def test_clones_work(make: MakeRobot, emulator: Emulator, way: Way, clone: Callable[[ChatBeebot], ChatBeebot]) -> None:
    """Copies and pickles of a model that has been used work like it, with the same keys."""
    model = make()
    answer = way(model, "你好")
    with clone(model) as other:
        assert {name: getattr(other, name) for name in ChatBeebot.model_fields} == {
            name: getattr(model, name) for name in ChatBeebot.model_fields
        }
        assert way(other, "你好").content == answer.content


def test_event_loops_one_after_another(make: MakeRobot) -> None:
    """One model works in any number of event loops."""
    model = make()

    async def ask() -> str:
        return (await model.ainvoke("你好")).text

    assert asyncio.run(ask()) == asyncio.run(ask()) != ""


def test_threads_mix_no_sessions(make: MakeRobot) -> None:
    """Twenty threads share one model; each goes on with its own conversation."""
    model = make()

    def talk(number: int) -> str:
        first = model.invoke(f"我叫小{number}")
        return model.invoke("我叫什么?", session_id=first.response_metadata["session_id"]).text

    with ThreadPoolExecutor(20) as pool:
        assert list(pool.map(talk, range(20))) == [f"您叫小{number}。" for number in range(20)]


async def test_tasks_of_one_session_wait(make: MakeRobot, emulator: Emulator) -> None:
    """Questions of one session that are asked at once are answered one after another."""
    emulator.wire(delay=0.005)
    model = make(session_id="s1")
    answers = await asyncio.gather(*(model.ainvoke(f"我叫小{number}") for number in range(4)))
    assert sorted(answer.text[:2] for answer in answers) == ["小0", "小1", "小2", "小3"]
    assert emulator.beebot.overlaps == []
    await model.aclose()


FIRST_REQUEST = """
import asyncio, sys
from blockbuster import blockbuster_ctx
from langchain_xingchen import ChatBeebot

async def main():
    with blockbuster_ctx():
        keys = {"access_key_id": "testid", "access_key_secret": "testsecret"}
        model = ChatBeebot(instance_id="chatbot-cn-demo", session_id="s1", base_url=sys.argv[1], **keys)
        assert (await model.ainvoke("你好")).content
        assert [chunk async for chunk in model.astream("你好")]
        assert (await model.ainvoke("你好", api="rpc")).content
        assert await model.awelcome()
        await model.aclose()

asyncio.run(main())
"""


def test_nothing_blocks_the_loop(emulator: Emulator) -> None:
    """Neither construction nor the first request, token included, does work that the event loop has to wait for."""
    command = [sys.executable, "-c", FIRST_REQUEST, emulator.url]
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_batch(make: MakeRobot) -> None:
    """A batch of questions without a session is answered side by side."""
    model = make()
    assert [answer.text for answer in model.batch(["你是谁?", "谢谢"])] == [
        "我是智能客服小蜜，能帮您开发票、办退货、查物流。",
        "不客气，很高兴能帮到您！",
    ]


def test_leaving_a_stream(make: MakeRobot, emulator: Emulator) -> None:
    """A stream closed early leaves the connection, and its session is free."""
    emulator.fail("stall", after=1)
    model = make(session_id="s1")
    reading = model.stream("你好")
    next(reading)
    reading.close()  # type: ignore[attr-defined]  # it is a generator
    assert model.invoke("你好").text
