"""`ChatBailian` over time and in many hands: copies, threads, loops, the factory, and a key that nobody sees."""

import asyncio
import copy
import logging
import pickle
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from blockbuster import blockbuster_ctx
from langchain_core.load import dumpd, dumps
from langchain_core.messages import AIMessage
from langchain_core.tracers.base import BaseTracer
from langchain_core.tracers.schemas import Run

from langchain_xingchen import ChatBailian, init_xingchen_model
from xingchen_core import ConfigurationError, XingchenError
from xingchen_core.emulator import Emulator

Way = Callable[..., AIMessage]
Make = Callable[..., ChatBailian]

CANARY = "canary-key-that-sings"


@pytest.fixture
def bailian(emulator: Emulator) -> Make:
    """Builds models at the emulator."""
    return lambda **fields: ChatBailian(**{"api_key": "test-key", "base_url": emulator.url, **fields})


def pickled(model: ChatBailian) -> ChatBailian:
    """The model after a journey as a pickle."""
    revived: ChatBailian = pickle.loads(pickle.dumps(model))
    return revived


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, ChatBailian.model_copy, pickled])
def test_copies_work(bailian: Make, way: Way, copied: Callable[[ChatBailian], ChatBailian]) -> None:
    """A copy of a used model is equal to it and answers as it does, key included."""
    model = bailian(model="qwen3-max", temperature=0.0, timeout=httpx.Timeout(5, connect=2.5))
    way(model, "你好")
    other = copied(model)
    for name in ChatBailian.model_fields:
        assert getattr(other, name) == getattr(model, name)
    assert way(other, "你是谁？").content == way(model, "你是谁？").content


def test_many_threads(bailian: Make, ask: Way) -> None:
    """Twenty threads share a model, each with its own loop if need be; everyone gets the answer to his question."""
    model = bailian()
    with ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(lambda number: ask(model, f"第{number}句").content, range(60)))
    assert [f"「第{number}句」" in str(answer) for number, answer in enumerate(answers)] == [True] * 60


def test_nothing_blocks_the_loop(bailian: Make, emulator: Emulator) -> None:
    """Building a model, its profile, calls and streams, thinking too, wait for nothing but the loop."""

    async def work() -> None:
        with blockbuster_ctx():
            model = ChatBailian(model="qwen3.7-plus", api_key="test-key", base_url=emulator.url)
            assert model.profile is not None
            assert (await model.ainvoke("你好")).content
            assert [chunk async for chunk in model.astream("你好", enable_thinking=True)]
            await model.aclose()

    asyncio.run(work())


def test_leaving_a_stream_early(bailian: Make, emulator: Emulator) -> None:
    """The connection is given back, and the model can be asked again."""
    emulator.bailian.reply(chunks=["天", "黑了", "。"])
    with bailian() as model:
        for chunk in model.stream("你好"):
            assert chunk.content == "天"
            break
        assert model.invoke("你好").content


def test_clients_of_the_callers(bailian: Make, emulator: Emulator) -> None:
    """A client that was handed in is used, with its own headers, and is not closed by us."""
    with httpx.Client(headers={"x-mine": "1"}, trust_env=False) as client:
        with bailian(http_client=client) as model:
            model.invoke("你好")
        assert emulator.requests[-1].headers["x-mine"] == "1"
        assert not client.is_closed


def test_the_factory(emulator: Emulator, ask: Way) -> None:
    """`bailian:<model>` is this class, with every setting; prefixes keep two models' settings apart."""
    model = init_xingchen_model("bailian:qwen-max", api_key="test-key", base_url=emulator.url, temperature=0.1)
    assert isinstance(model, ChatBailian)
    assert (model.model, model.temperature) == ("qwen-max", 0.1)
    chosen = init_xingchen_model(
        "bailian:qwen-max",
        configurable_fields=["model", "enable_thinking"],
        config_prefix="a",
        api_key="test-key",
        base_url=emulator.url,
    )
    ask(chosen, "你好", config={"configurable": {"a_model": "qwen-plus", "a_enable_thinking": True}})
    [request] = emulator.requests
    assert (request.json["model"], request.json["parameters"]["enable_thinking"]) == ("qwen-plus", True)
    assert request.headers["x-dashscope-sse"] == "enable"


@pytest.mark.parametrize("field", ["api_key", "base_url", "region", "workspace_id", "timeout", "http_client"])
def test_connections_are_not_configurable(field: str) -> None:
    """Where requests go, and as whom, is fixed with the model."""
    with pytest.raises(ConfigurationError, match=field):
        init_xingchen_model("bailian:", configurable_fields=[field], api_key="test-key")


def test_regions_do_not_meet() -> None:
    """Two models of two regions in one process go to two hosts."""
    here = ChatBailian(api_key="test-key")
    there = ChatBailian(api_key="test-key", region="ap-southeast-1")
    assert (here.origin(), there.origin()) == ("https://dashscope.aliyuncs.com", "https://dashscope-intl.aliyuncs.com")


class Tracer(BaseTracer):
    """Keeps whole runs, as they are sent to a tracing service."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[str] = []

    def _persist_run(self, run: Run) -> None:
        self.runs.append(run.model_dump_json(fallback=repr))


def test_the_key_is_in_no_face_of_a_model(bailian: Make) -> None:
    """No way of showing, dumping or tracing a model has the key, nor what headers and proxies hold."""
    headers = {"x-token": f"{CANARY}-of-header"}
    model = bailian(api_key=CANARY, default_headers=headers, proxy=f"http://u:{CANARY}-of-proxy@127.0.0.1:9")
    tools = [{"type": "function", "function": {"name": "now", "parameters": {"type": "object", "properties": {}}}}]
    faces = {
        "repr": repr(model),
        "str": str(model),
        "model_dump": str(model.model_dump()),
        "model_dump_json": model.model_dump_json(),
        "dumps": dumps(model),
        "dumps with tools": dumps(model.bind_tools(tools)),
        "repr with tools": repr(model.bind_tools(tools)),
        "dumpd": str(dumpd(model)),
        "identifying params": str(model._identifying_params),
        "invocation params": str(model._get_invocation_params()),
        "tracing params": str(model._get_ls_params()),
        "cache key": model._get_llm_string(),
    }
    assert {name: text for name, text in faces.items() if CANARY in text} == {}
    assert "qwen-plus" in faces["repr"]


FAULTS: list[dict[str, Any] | None] = [
    None,
    {"kind": "status", "status": 500},
    {"kind": "status", "status": 401},
    {"kind": "html"},
    {"kind": "drop"},
    {"kind": "cut", "after": 1},
    {"kind": "error_event", "after": 1},
    {"kind": "silent_end", "after": 1},
]


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_the_key_is_in_no_trace_of_a_call(
    bailian: Make, emulator: Emulator, caplog: pytest.LogCaptureFixture, way: Way, fault: dict[str, Any] | None
) -> None:
    """Whether a call succeeds or fails: logs, traces, answers and errors, causes included, are free of the key."""
    if fault:
        emulator.fail(**fault, times=3)
    tracer = Tracer()
    found = {}
    with caplog.at_level(logging.DEBUG):
        try:
            found["answer"] = repr(way(bailian(api_key=CANARY), "你好", config={"callbacks": [tracer]}))
        except XingchenError as error:
            found["traceback"] = "".join(traceback.format_exception(error))
            found["attributes"] = repr(vars(error))
    found["trace"] = "".join(tracer.runs)
    found["log"] = "".join(f"{record.getMessage()} {vars(record)}\n" for record in caplog.records)
    assert {name: text for name, text in found.items() if CANARY in text} == {}
    assert emulator.requests[0].headers["authorization"] == f"Bearer {CANARY}"
    assert "你好" in found["trace"]
    assert "你好" not in "".join(record.getMessage() for record in caplog.records if record.name == "xingchen_core")
