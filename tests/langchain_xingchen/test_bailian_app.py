"""`ChatBailianApp`: what is sent, conversations, caches, and models over time."""

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
from langchain_xingchen import ChatBailianApp, init_xingchen_model
from xingchen_core import ConfigurationError, UnsupportedOperationError
from xingchen_core.bailian import RagOptions
from xingchen_core.emulator import Emulator

MakeApp = Callable[..., ChatBailianApp]
Way = Callable[..., AIMessage]

UNKNOWN = "0123456789abcdef0123456789abcdef"
TOKENS = {"user_defined_tokens": {"tool_fake": {"user_token": "canary-token"}}}
HEADERS = {"user_defined_params": {"mcp_fake": {"Authorization": "canary-token"}}}


@pytest.fixture
def make(emulator: Emulator) -> Iterator[MakeApp]:
    """Builds models of the seeded agent; a test names only what it is about. They are closed after it."""
    with ExitStack() as made:

        def make_app(**fields: Any) -> ChatBailianApp:
            usual = {"app_id": "demo", "api_key": "test-key", "base_url": emulator.url}
            return made.enter_context(ChatBailianApp(**{**usual, **fields}))

        yield make_app


def bodies(emulator: Emulator) -> list[dict[str, Any]]:
    """What was asked, without the switch that only streams have."""
    asked = [received.json for received in emulator.requests]
    for body in asked:
        for name in ("incremental_output", "flow_stream_mode"):
            body["parameters"].pop(name, None)
    return asked


def test_the_whole_conversation_is_sent(make: MakeApp, emulator: Emulator, way: Way) -> None:
    """Without a session nobody else keeps it; consecutive messages of one role are one."""
    said = [
        SystemMessage("简短"),
        HumanMessage("我叫小明"),
        AIMessage("您好"),
        HumanMessage("你好"),
        HumanMessage("在"),
    ]
    way(make(), said)
    way(make(), "你好")
    sent = [("system", "简短"), ("user", "我叫小明"), ("assistant", "您好"), ("user", "你好\n在")]
    assert bodies(emulator) == [
        {"input": {"messages": [{"role": role, "content": text} for role, text in sent]}, "parameters": {}},
        {"input": {"prompt": "你好"}, "parameters": {}},
    ]


def test_a_conversation_that_the_service_keeps(
    make: MakeApp, emulator: Emulator, way: Way, caplog: pytest.LogCaptureFixture
) -> None:
    """The session of an answer, given with the next question, joins the two; only the newest turn is sent."""
    model = make()
    first = way(model, "我叫小明")
    session_id = first.response_metadata["session_id"]
    second = way(model, [HumanMessage("我叫小明"), first, HumanMessage("我叫什么?")], session_id=session_id)
    assert "小明" in second.text
    assert second.response_metadata["session_id"] == session_id
    assert bodies(emulator)[1]["input"] == {"prompt": "我叫什么?", "session_id": session_id}
    assert "小明" not in way(model, "我叫什么?").text
    assert "session_changed" not in second.response_metadata
    assert caplog.records == []


def test_a_session_that_is_gone(make: MakeApp, emulator: Emulator, way: Way, caplog: pytest.LogCaptureFixture) -> None:
    """Another session than the one asked for is told in the metadata and in the log."""
    with caplog.at_level(logging.WARNING):
        answer = way(make(session_id=UNKNOWN), "你好")
    assert answer.response_metadata["session_changed"] is True
    assert answer.response_metadata["session_id"] not in (None, UNKNOWN)
    assert [UNKNOWN in record.getMessage() for record in caplog.records] == [True]


def test_everything_may_be_given_per_call(make: MakeApp, emulator: Emulator, way: Way) -> None:
    """What shapes a question may be given for one call, which changes nothing for the next."""
    emulator.bailian.add_app("another")
    model = make(has_thoughts=False)
    before = model.model_dump()
    way(
        model,
        "你好",
        app_id="another",
        session_id="",
        memory_id="mem_fake",
        biz_params={"user_prompt_params": {"city": "杭州"}, **TOKENS},
        rag={"pipeline_ids": ["kb_fake"], "tags": ["手机"]},
        enable_thinking=True,
        image_urls=["https://example.com/a.png"],
        file_urls=["https://example.com/a.pdf"],
        model_name="qwen-max",
        temperature=0.5,
        top_p=0.5,
        top_k=5,
        seed=7,
        max_tokens=5,
        enable_web_search=True,
        enable_system_time=False,
        dialog_round=3,
        mcp_servers=["mcp_fake"],
        doc_reference_type="simple",
        doc_tag_codes=["tag"],
        model_kwargs={"future": 1},
        extra_input={"more": 2},
        stop=["。"],
    )
    way(model, "你好")
    assert emulator.requests[0].path == "/api/v1/apps/another/completion"
    assert bodies(emulator) == [
        {
            "input": {
                "prompt": "你好",
                "memory_id": "mem_fake",
                "biz_params": {"user_prompt_params": {"city": "杭州"}, **TOKENS},
                "image_list": ["https://example.com/a.png"],
                "file_list": ["https://example.com/a.pdf"],
                "doc_reference_type": "simple",
                "doc_tag_codes": ["tag"],
                "more": 2,
            },
            "parameters": {
                "has_thoughts": True,
                "enable_thinking": True,
                "model_id": "qwen-max",
                "enable_web_search": True,
                "enable_system_time": False,
                "dialog_round": 3,
                "mcp_servers": ["mcp_fake"],
                "temperature": 0.5,
                "top_p": 0.5,
                "top_k": 5,
                "seed": 7,
                "rag_options": {"pipeline_ids": ["kb_fake"], "tags": ["手机"]},
                "future": 1,
            },
        },
        {"input": {"prompt": "你好"}, "parameters": {"has_thoughts": False}},
    ]
    assert model.model_dump() == before


def test_streams_are_asked_for_new_text(make: MakeApp, emulator: Emulator) -> None:
    """The header makes a stream; the two parameters keep answers from being repeated in it."""
    assert list(make(workspace_id="llm-demo").stream("你好"))
    [received] = emulator.requests
    assert received.headers["x-dashscope-sse"] == "enable"
    assert received.headers["x-dashscope-workspace"] == "llm-demo"
    assert received.json["parameters"] == {"incremental_output": True, "flow_stream_mode": "message_format"}


def test_configurable_fields(make: MakeApp, emulator: Emulator, way: Way) -> None:
    """The same by LangChain's `configurable_fields`."""
    model = make().configurable_fields(memory_id=ConfigurableField(id="memory"))
    way(model.with_config(configurable={"memory": "mem_fake"}), "你好")
    assert bodies(emulator)[0]["input"]["memory_id"] == "mem_fake"


@pytest.mark.parametrize("unknown", [{"sesion_id": "canary"}, {"timeout": 1}, {"api_key": "canary"}])
def test_unknown_keywords_of_a_call(make: MakeApp, emulator: Emulator, way: Way, unknown: dict[str, Any]) -> None:
    """What a call cannot change is refused before anything is sent, without its value."""
    with pytest.raises(ValidationError) as caught:
        way(make(), "你好", **unknown)
    assert "canary" not in str(caught.value)
    assert emulator.requests == []


@pytest.mark.parametrize(
    ("messages", "error"),
    [
        ([HumanMessage("你好"), AIMessage("您好")], ConfigurationError),
        ([HumanMessage([{"type": "image", "url": "https://example.com/a.png"}])], UnsupportedOperationError),
        (
            [
                HumanMessage("你好"),
                AIMessage("", tool_calls=[{"name": "f", "args": {}, "id": "c1"}]),
                ToolMessage("1", tool_call_id="c1"),
            ],
            UnsupportedOperationError,
        ),
    ],
    ids=["answer last", "picture", "tool"],
)
def test_what_cannot_be_asked(make: MakeApp, emulator: Emulator, way: Way, messages: Any, error: Any) -> None:
    """Said before anything is sent."""
    with pytest.raises(error):
        way(make(), messages)
    assert emulator.requests == []


def test_no_app(make: MakeApp, way: Way) -> None:
    """A model may be made without an application; asking needs one."""
    with pytest.raises(ConfigurationError, match="app_id="):
        way(make(app_id=None), "你好")
    assert way(make(app_id=None), "你好", app_id="demo").text


@pytest.fixture
def cache() -> Iterator[InMemoryCache]:
    """A global cache, as applications set one."""
    made = InMemoryCache()
    set_llm_cache(made)
    yield made
    set_llm_cache(None)


@pytest.mark.parametrize(
    ("asked", "requests"),
    [
        ({}, 1),
        ({"biz_params": {"city": "杭州"}}, 1),
        ({"session_id": UNKNOWN}, 2),
        ({"memory_id": "mem_fake"}, 2),
        ({"biz_params": TOKENS}, 2),
        ({"biz_params": HEADERS}, 2),
        ({"session_id": UNKNOWN, "cache": True}, 1),
    ],
    ids=["nothing", "variables", "session", "memory", "tokens", "headers", "asked for"],
)
@pytest.mark.parametrize("per_call", [False, True])
def test_what_the_service_remembers_is_in_no_cache(
    make: MakeApp, emulator: Emulator, cache: Any, ask: Way, asked: dict[str, Any], requests: int, per_call: bool
) -> None:
    """Answers that depend on a session, a memory or whose token it is are not another call's, unless wanted."""
    fields = {name: asked[name] for name in asked if name == "cache" or not per_call}
    model = make(**fields)
    given = {name: value for name, value in asked.items() if name not in fields}
    assert ask(model, "你好", **given).text
    assert ask(model, "你好", **given).text
    assert len(emulator.requests) == requests
    assert "canary" not in str(cache._cache)


class Tracer(BaseTracer):
    """Keeps runs as they are sent to a tracing service."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[Run] = []

    def _persist_run(self, run: Run) -> None:
        self.runs.append(run)


def test_tracing(make: MakeApp, way: Way) -> None:
    """Traces name the service and the application, or the model that was asked for."""
    tracer = Tracer()
    way(make(), "你好", config={"callbacks": [tracer]})
    way(make(model="qwen-max"), "你好", config={"callbacks": [tracer]})
    found = [(run.extra["metadata"]["ls_provider"], run.extra["metadata"]["ls_model_name"]) for run in tracer.runs]
    assert found == [("bailian", "demo"), ("bailian", "qwen-max")]
    assert tracer.runs[0].extra["invocation_params"] == {
        "model": "demo",
        "app_id": "demo",
        "_type": "bailian-app",
        "stop": None,
    }
    assert make(model="qwen-max").model_name == "qwen-max"


@pytest.mark.parametrize("secrets", [TOKENS, HEADERS], ids=["tokens", "headers"])
def test_tokens_of_users_are_shown_nowhere(
    make: MakeApp, emulator: Emulator, way: Way, caplog: pytest.LogCaptureFixture, secrets: dict[str, Any]
) -> None:
    """They are sent, and in no text, dump, log or trace; a workflow's variables are."""
    tracer = Tracer()
    biz_params = {"city": "杭州", **secrets}
    model = make(biz_params=biz_params)
    with caplog.at_level(logging.DEBUG):
        way(model, "你好", config={"callbacks": [tracer]})
        way(make(), "你好", biz_params=biz_params, config={"callbacks": [tracer]})
    faces = {
        "text": f"{model}{model!r}",
        "dump": f"{model.model_dump()}{model.model_dump_json()}",
        "dumps": dumps(model),
        "traces": "".join(run.model_dump_json(fallback=repr) for run in tracer.runs),
        "log": "".join(f"{record.getMessage()}{vars(record)}" for record in caplog.records),
    }
    assert [name for name, text in faces.items() if "canary" in text or "test-key" in text] == []
    assert json.loads(faces["dumps"])["kwargs"]["biz_params"] == {"city": "杭州"}
    assert "city" in faces["traces"]
    assert [body["input"]["biz_params"] for body in bodies(emulator)] == [biz_params] * 2


def test_no_key() -> None:
    """Without a key the error, which pydantic does not wrap, says what to do; another service's key is no help."""
    with (
        mock.patch.dict(os.environ, {"XINGCHEN_API_KEY": "test-key"}),
        pytest.raises(ConfigurationError, match="DASHSCOPE_API_KEY"),
    ):
        ChatBailianApp(app_id="demo")


def test_made_from_a_text() -> None:
    """`bailian-app:<app_id>` names an application where a text has to."""
    made = init_xingchen_model("bailian-app:demo", api_key="test-key", memory_id="mem_fake")
    assert isinstance(made, ChatBailianApp)
    assert (made.app_id, made.memory_id) == ("demo", "mem_fake")


def test_round_trip() -> None:
    """`dumps` and `langchain_xingchen.loads` give an equal model with the key of the environment, none in the text."""
    model = ChatBailianApp(
        app_id="demo",
        api_key="test-key",
        base_url="http://127.0.0.1:8900",
        workspace_id="llm-demo",
        session_id=UNKNOWN,
        biz_params={"city": "杭州"},
        rag=RagOptions(pipeline_ids=["kb_fake"], metadata_filter={"lang": ["zh", "en"]}),
        has_thoughts=True,
        flow_stream_mode="message_format_plus",
        stop="。",
        timeout=httpx.Timeout(5, connect=2.5),
        model="qwen-max",
        model_kwargs={"future": 1},
    )
    text = dumps(model)
    with mock.patch.dict(os.environ, {"DASHSCOPE_API_KEY": "other"}):
        revived = langchain_xingchen.loads(text)
    assert "test-key" not in text
    assert isinstance(revived, ChatBailianApp)
    assert revived.api_key is not None
    assert revived.api_key.get_secret_value() == "other"
    assert {name: getattr(revived, name) for name in ChatBailianApp.model_fields if name != "api_key"} == {
        name: getattr(model, name) for name in ChatBailianApp.model_fields if name != "api_key"
    }


@pytest.mark.parametrize(
    "clone",
    [lambda m: pickle.loads(pickle.dumps(m)), copy.copy, copy.deepcopy, lambda m: m.model_copy()],
    ids=["pickle", "copy", "deepcopy", "model_copy"],
)
def test_clones_work(make: MakeApp, emulator: Emulator, way: Way, clone: Callable[[Any], ChatBailianApp]) -> None:
    """Copies and pickles of a model that has been used ask the same, tokens included."""
    model = make(biz_params=TOKENS, rag={"pipeline_ids": ["kb_fake"]})
    answer = way(model, "你好")
    with clone(model) as other:
        assert way(other, "你好").content == answer.content
    first, second = bodies(emulator)
    assert first == second
    assert first["input"]["biz_params"] == TOKENS


def test_event_loops_one_after_another(make: MakeApp) -> None:
    """One model works in any number of event loops."""
    model = make()

    async def ask() -> str:
        return (await model.ainvoke("你好")).text

    assert asyncio.run(ask()) == asyncio.run(ask()) != ""


def test_threads_mix_no_sessions(make: MakeApp) -> None:
    """Twenty threads share one model; each goes on with its own conversation."""
    model = make()

    def talk(number: int) -> bool:
        first = model.invoke(f"我叫小{number}号")
        second = model.invoke("我叫什么?", session_id=first.response_metadata["session_id"])
        return f"小{number}号" in second.text

    with ThreadPoolExecutor(20) as pool:
        assert all(pool.map(talk, range(20)))


async def test_tasks_of_one_session_wait(make: MakeApp, emulator: Emulator) -> None:
    """Questions of one session that are asked at once are answered one after another."""
    emulator.wire(delay=0.005)
    model = make()
    session_id = (await model.ainvoke("你好")).response_metadata["session_id"]
    await asyncio.gather(*(model.ainvoke(f"{number}", session_id=session_id) for number in range(4)))
    assert emulator.bailian.overlaps == []
    assert len(emulator.requests) == 5
    await model.aclose()


FIRST_REQUEST = """
import asyncio, sys
from blockbuster import blockbuster_ctx
from langchain_xingchen import ChatBailianApp

async def main():
    with blockbuster_ctx():
        model = ChatBailianApp(app_id="demo-flow", api_key="test-key", base_url=sys.argv[1])
        assert (await model.ainvoke("你好")).content
        assert [chunk async for chunk in model.astream("你好")]
        await model.aclose()

asyncio.run(main())
"""


def test_nothing_blocks_the_loop(emulator: Emulator) -> None:
    """Neither construction nor the first request does work that the event loop has to wait for."""
    command = [sys.executable, "-c", FIRST_REQUEST, emulator.url]
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_leaving_a_stream(make: MakeApp, emulator: Emulator) -> None:
    """A stream closed early leaves the connection, and its session is free."""
    model = make()
    session_id = model.invoke("你好").response_metadata["session_id"]
    emulator.fail("stall", after=1)
    reading = model.stream("你好", session_id=session_id)
    next(reading)
    reading.close()
    assert model.invoke("你好", session_id=session_id).text


async def test_leaving_an_async_stream(make: MakeApp, emulator: Emulator) -> None:
    """The same with asyncio."""
    model = make()
    session_id = (await model.ainvoke("你好")).response_metadata["session_id"]
    emulator.fail("stall", after=1)
    reading = model.astream("你好", session_id=session_id)
    await anext(reading)
    await reading.aclose()
    assert (await model.ainvoke("你好", session_id=session_id)).text
    await model.aclose()
