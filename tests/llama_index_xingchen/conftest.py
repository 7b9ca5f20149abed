"""What the tests of `llama_index_xingchen` share: the classes under conformance, and one way to ask all eight methods.

The conformance tests (`test_conformance_*.py`) are numbered after one checklist and run for every class in `CASES`.
"""

import asyncio
import inspect
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler

from chat_store_words import ASYNC_NAMES
from llama_index_xingchen import Xingchen, XingchenChatStore
from llm_cases import CASES, Case
from xingchen_core.beebot import stream as beebot_stream
from xingchen_core.emulator import Emulator

METHODS = (
    "chat",
    "achat",
    "stream_chat",
    "astream_chat",
    "complete",
    "acomplete",
    "stream_complete",
    "astream_complete",
)


@pytest.fixture(params=CASES, ids=lambda case: case.cls.__name__)
def case(request: pytest.FixtureRequest) -> Case:
    """Every class under conformance."""
    found: Case = request.param
    for name in (request.node.originalname, request.node.path.stem):
        if name in found.apart:
            pytest.skip(found.apart[name])
    beebot_stream._tokens.clear()  # kept for the whole process
    return found


@pytest.fixture(params=METHODS)
def method(request: pytest.FixtureRequest) -> str:
    """Each of the eight entry points."""
    name: str = request.param
    return name


@pytest.fixture(params=["stream_chat", "astream_chat"])
def stream_method(request: pytest.FixtureRequest) -> str:
    """The two that stream messages."""
    name: str = request.param
    return name


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """An emulator of its own for each test."""
    with Emulator() as running:
        yield running


Make = Callable[..., Any]


@pytest.fixture
def make(case: Case, emulator: Emulator) -> Iterator[Make]:
    """Builds LLMs that talk to the emulator; a test names only what it is about."""
    with ExitStack() as made:

        def make_llm(**fields: Any) -> Any:
            given = {**case.keys, "base_url": emulator.url, **case.fields, **fields}
            return made.enter_context(case.cls(**given))  # type: ignore[arg-type]  # our classes are context managers

        yield make_llm


class Canned:
    """Builds LLMs that get the case's answer, byte for byte the same each time, without a network."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self.requests: list[httpx.Request] = []

    def __call__(self, **fields: Any) -> Any:
        transport = httpx.MockTransport(self._answer)
        clients = {"http_client": httpx.Client(transport=transport)}
        async_clients = {"http_async_client": httpx.AsyncClient(transport=transport)}
        return self._case.cls(**{**self._case.keys, **self._case.fields, **clients, **async_clients, **fields})

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if "text/event-stream" in request.headers["accept"]:
            return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=self._case.events)
        return httpx.Response(200, json=self._case.body)


@pytest.fixture
def canned(case: Case) -> Canned:
    """See `Canned`; its `requests` are those that were sent."""
    return Canned(case)


async def _collect(result: Any, into: list[Any]) -> None:
    awaited = await result
    if hasattr(awaited, "__aiter__"):
        async for one in awaited:
            into.append(one)
    else:
        into.append(awaited)


Ask = Callable[..., list[Any]]


@pytest.fixture
def ask() -> Ask:
    """Asks by any of the eight methods and returns all responses: one, or those of the stream.

    `given` is a text or messages. Each async call runs in an event loop of its own. `into` is a list that has what came
    even if an error ends it.
    """

    def ask_llm(
        llm: Any, method: str, given: Any = "你好", *, into: list[Any] | None = None, **kwargs: Any
    ) -> list[Any]:
        into = [] if into is None else into
        if "chat" in method and isinstance(given, str):
            given = [ChatMessage(role="user", content=given)]
        result = getattr(llm, method)(given, **kwargs)
        if inspect.iscoroutine(result):
            asyncio.run(_collect(result, into))
        else:
            into.extend(result if "stream" in method else [result])
        return into

    return ask_llm


class _Recorder(BaseEventHandler):
    seen: list[Any]

    def handle(self, event: Any, **_: Any) -> None:
        self.seen.append(event)


@pytest.fixture
def events() -> Iterator[list[Any]]:
    """Every instrumentation event, kept as tracers and debug handlers keep them."""
    root = get_dispatcher()
    recorder = _Recorder(seen=[])
    root.add_event_handler(recorder)
    yield recorder.seen
    root.event_handlers.remove(recorder)


Eventually = Callable[[Callable[[], Any]], bool]


@pytest.fixture
def eventually() -> Eventually:
    """Waits up to a second for something that another thread brings about."""

    def wait(happened: Callable[[], Any]) -> bool:
        deadline = time.monotonic() + 1.0
        while not happened() and time.monotonic() < deadline:
            time.sleep(0.002)
        return bool(happened())

    return wait


# Chat stores

Do = Callable[..., Any]


@pytest.fixture
def quiet(emulator: Emulator) -> None:
    """A character without an opening line: its conversations begin empty."""
    emulator.xingchen.add_character("quiet")


@pytest.fixture
def make_store(emulator: Emulator, quiet: None) -> Iterator[Do]:
    """Makes chat stores that talk to the emulator."""
    with ExitStack() as made:

        def make(cls: type[Any] = XingchenChatStore, **fields: Any) -> Any:
            return made.enter_context(cls(**{"api_key": "test-key", "base_url": emulator.url, **fields}))

        yield make


@pytest.fixture
def store(make_store: Do) -> XingchenChatStore:
    """A chat store with the defaults."""
    made: XingchenChatStore = make_store()
    return made


@pytest.fixture(params=["sync", "async"])
def do(request: pytest.FixtureRequest) -> Do:
    """Calls an operation of a chat store by its sync name, in either colour; each async call in a loop of its own."""

    def call(store: Any, name: str, *args: Any) -> Any:
        if request.param == "sync":
            return getattr(store, name)(*args)
        return asyncio.run(getattr(store, ASYNC_NAMES[name])(*args))

    return call


@pytest.fixture
def answer_to(emulator: Emulator) -> Iterator[Do]:
    """Asks the quiet character with platform history; returns its answer as the LLM gives it."""
    settings = {"api_key": "test-key", "base_url": emulator.url, "character_id": "quiet", "user_id": "u1"}
    with Xingchen(platform_history=True, **settings) as llm:
        yield lambda text: llm.chat([ChatMessage(role="user", content=text)]).message
