"""What the tests of `langchain_xingchen` share: an emulator, models that talk to it, and every way to ask one."""

import asyncio
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import reduce
from operator import add
from typing import Any

import pytest
from langchain_core._api import LangChainBetaWarning
from langchain_core.messages import AIMessage, AIMessageChunk

from langchain_xingchen import BailianRetriever, ChatXingchen
from xingchen_core.emulator import Emulator

MakeModel = Callable[..., ChatXingchen]
Way = Callable[..., AIMessage]


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """An emulator of its own for each test: ids and counters begin anew, so that answers can be compared."""
    with Emulator() as running:
        yield running


@pytest.fixture
def make(emulator: Emulator) -> Iterator[MakeModel]:
    """Builds models of the seeded character; a test names only what it is about. They are closed after it."""
    with ExitStack() as made:

        def make_model(**fields: Any) -> ChatXingchen:
            if not fields.keys() & {"character", "group"}:
                fields.setdefault("character_id", "demo")
            return made.enter_context(ChatXingchen(**{"api_key": "test-key", "base_url": emulator.url, **fields}))

        yield make_model


@pytest.fixture
def retriever_of(emulator: Emulator) -> Iterator[Callable[..., BailianRetriever]]:
    """Makes retrievers with an API key unless a test signs. They are closed after it."""
    with ExitStack() as made:

        def make_retriever(**fields: Any) -> BailianRetriever:
            if not fields.keys() & {"index_id", "index_name", "agent_id"}:
                fields["index_id"] = "kbdemo0001"
            if "access_key_id" not in fields:
                fields.setdefault("api_key", "test-key")
            return made.enter_context(BailianRetriever(base_url=emulator.url, **fields))

        yield make_retriever


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Retries wait for nothing; how long they would have waited, in seconds, is noted here."""
    noted: list[float] = []

    async def note(seconds: float) -> None:
        noted.append(seconds)

    monkeypatch.setattr("xingchen_core._client._sleep", noted.append)
    monkeypatch.setattr("xingchen_core._client._async_sleep", note)
    return noted


def total(chunks: list[AIMessageChunk]) -> AIMessage:
    """The sum of a stream's chunks, as applications build it."""
    return reduce(add, chunks)


def stream(model: Any, prompt: Any, /, **kwargs: Any) -> list[AIMessageChunk]:
    """The chunks of `stream`."""
    return list(model.stream(prompt, **kwargs))


def astream(model: Any, prompt: Any, /, **kwargs: Any) -> list[AIMessageChunk]:
    """The chunks of `astream`, in an event loop of its own."""

    async def collect() -> list[AIMessageChunk]:
        return [chunk async for chunk in model.astream(prompt, **kwargs)]

    return asyncio.run(collect())


def invoke(model: Any, prompt: Any, /, **kwargs: Any) -> AIMessage:
    """The answer of `invoke`."""
    answer: AIMessage = model.invoke(prompt, **kwargs)
    return answer


def ainvoke(model: Any, prompt: Any, /, **kwargs: Any) -> AIMessage:
    """The answer of `ainvoke`, in an event loop of its own."""
    return asyncio.run(model.ainvoke(prompt, **kwargs))


def stream_events(model: Any, prompt: Any, /, **kwargs: Any) -> AIMessage:
    """The message that the v3 events of `stream_events` add up to."""
    answer: AIMessage = model.stream_events(prompt, version="v3", **kwargs).output
    return answer


def astream_events(model: Any, prompt: Any, /, **kwargs: Any) -> AIMessage:
    """As `stream_events`, with asyncio."""

    async def output() -> AIMessage:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", LangChainBetaWarning)  # its only note: the API may change
            events = await model.astream_events(prompt, version="v3", **kwargs)
        answer: AIMessage = await events.output
        return answer

    return asyncio.run(output())


WAYS: dict[str, Way] = {
    "invoke": invoke,
    "ainvoke": ainvoke,
    "stream": lambda *args, **kwargs: total(stream(*args, **kwargs)),
    "astream": lambda *args, **kwargs: total(astream(*args, **kwargs)),
}
EVENT_WAYS: dict[str, Way] = {"v3": stream_events, "async v3": astream_events}


@pytest.fixture(params=[invoke, ainvoke], ids=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Way:
    """`invoke`, blocking and with asyncio."""
    way: Way = request.param
    return way


@pytest.fixture(scope="session", params=[stream, astream], ids=["sync", "async"])
def chunks_of(request: pytest.FixtureRequest) -> Callable[..., list[AIMessageChunk]]:
    """`stream`, blocking and with asyncio: the list of its chunks."""
    way: Callable[..., list[AIMessageChunk]] = request.param
    return way


@pytest.fixture(params=WAYS.values(), ids=WAYS.keys())
def way(request: pytest.FixtureRequest) -> Way:
    """Every way to an answer: `invoke`, the sum of `stream`, and their async twins."""
    chosen: Way = request.param
    return chosen


@pytest.fixture
def ways() -> dict[str, Way]:
    """All four of `way`, by name."""
    return WAYS


@pytest.fixture
def event_ways() -> dict[str, Way]:
    """The output of the v3 event stream, blocking and with asyncio."""
    return EVENT_WAYS
