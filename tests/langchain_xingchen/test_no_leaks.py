"""A key that is easy to find is used for everything a model can do; then it is looked for wherever it must not be."""

import asyncio
import logging
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain_core.load import dumpd, dumps
from langchain_core.messages import AIMessage
from langchain_core.tracers.base import BaseTracer
from langchain_core.tracers.schemas import Run

from langchain_xingchen import ChatXingchen
from xingchen_core import ConfigurationError, XingchenError
from xingchen_core.emulator import Emulator

MakeModel = Callable[..., ChatXingchen]
Way = Callable[..., AIMessage]

CANARY = "canary-key-that-sings"


class Tracer(BaseTracer):
    """Keeps whole runs, as they are sent to a tracing service."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[str] = []

    def _persist_run(self, run: Run) -> None:
        self.runs.append(run.model_dump_json(fallback=repr))


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Everything anybody logs, httpx and asyncio included."""
    with caplog.at_level(logging.DEBUG):
        yield caplog


def test_the_key_is_in_no_face_of_a_model(make: MakeModel) -> None:
    """No way of showing, dumping or tracing a model has the key; headers and proxies can hold others and stay too."""
    headers = {"x-token": f"{CANARY}-of-header"}
    model = make(api_key=CANARY, default_headers=headers, proxy=f"http://u:{CANARY}-of-proxy@127.0.0.1:9")
    faces = {
        "repr": repr(model),
        "str": str(model),
        "format": f"{model}",
        "model_dump": str(model.model_dump()),
        "model_dump_json": model.model_dump_json(),
        "dumps": dumps(model),
        "dumps of a chain": dumps(model.bind(stop=["。"])),
        "dumpd": str(dumpd(model)),
        "identifying params": str(model._identifying_params),
        "invocation params": str(model._get_invocation_params()),
        "tracing params": str(model._get_ls_params()),
        "cache key": model._get_llm_string(),
    }
    assert {name: text for name, text in faces.items() if CANARY in text} == {}
    assert "demo" in faces["repr"]
    assert "demo" in faces["dumps"]


@pytest.mark.parametrize(
    "fault",
    [
        None,
        {"status": 500},
        {"status": 401},
        {"kind": "html"},
        {"kind": "drop"},
        {"kind": "cut", "after": 1},
        {"kind": "error_event", "after": 1},
        {"kind": "silent_end", "after": 1},
    ],
    ids=str,
)
def test_the_key_is_in_no_trace_of_a_call(
    make: MakeModel, emulator: Emulator, log: pytest.LogCaptureFixture, way: Way, fault: dict[str, Any] | None
) -> None:
    """Whether a call succeeds or fails: logs, traces, answers and errors, causes included, are free of the key."""
    if fault:
        emulator.fail(**fault, times=3)
    tracer = Tracer()
    model = make(api_key=CANARY)
    found = {}
    try:
        found["answer"] = repr(way(model, "你好", config={"callbacks": [tracer]}))
    except XingchenError as error:
        found["traceback"] = "".join(traceback.format_exception(error))
        found["attributes"] = repr(vars(error))
        chain: list[BaseException | None] = [error]
        for each in chain:
            if each is not None:
                found[f"error {len(chain)}"] = f"{each} {each!r} {each.args}"
                chain += [cause for cause in (each.__cause__, each.__context__) if cause not in chain]
    found["trace"] = "".join(tracer.runs)
    found["log"] = "".join(f"{record.getMessage()} {vars(record)}\n" for record in log.records)

    assert {name: text for name, text in found.items() if CANARY in text} == {}
    assert emulator.requests[0].headers["authorization"] == f"Bearer {CANARY}"
    assert "你好" in found["trace"]
    assert "xingchen POST /v2/api/chat/send" in found["log"]
    assert "你好" not in "".join(record.getMessage() for record in log.records if record.name == "xingchen_core")


@pytest.mark.parametrize("key", [f"{CANARY}\n", f"{CANARY}\r\nx: y", f"{CANARY}中", f"{CANARY} "])
def test_a_key_that_cannot_be_sent_is_not_repeated(make: MakeModel, way: Way, key: str) -> None:
    """A key with something copied along is refused without being shown."""
    with pytest.raises(ConfigurationError, match="api_key") as caught:
        way(make(api_key=key), "你好")
    assert CANARY not in f"{caught.value} {caught.value!r}"
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_events_of_other_frameworks_are_clean(make: MakeModel) -> None:
    """LangChain's event streams carry the serialized model along: it has no key either."""

    async def events() -> list[Any]:
        return [event async for event in make(api_key=CANARY).astream_events("你好", version="v2")]

    seen = asyncio.run(events())
    assert len(seen) > 2
    assert CANARY not in repr(seen)
