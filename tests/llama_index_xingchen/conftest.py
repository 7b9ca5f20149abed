"""What the tests of `llama_index_xingchen` share: the classes under conformance, and one way to ask all eight methods.

The conformance tests (`test_conformance_*.py`) are numbered after one checklist and run for every class in `CASES`.
"""

import asyncio
import inspect
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.llms.llm import LLM

from chat_store_words import ASYNC_NAMES
from llama_index_xingchen import Bailian, BailianApp, Xingchen, XingchenChatStore
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


@dataclass(frozen=True)
class Case:
    """A class under conformance, and what is particular to its service."""

    cls: type[LLM]
    class_name: str
    """Golden: dumps and traces carry it."""
    fields: dict[str, Any]
    model_name: str
    body: dict[str, Any]
    """A whole answer: "我叫小婉。", 1336 tokens in and 5 out."""
    events: bytes
    """The same as a stream."""
    texts: Callable[[Any], list[str]]
    """The texts of the conversation in a request's body."""
    system: Callable[[Any], str | None]
    temperature: Callable[[Any], float | None]
    running: Callable[[Emulator], int]
    """How many streams the emulator is sending."""
    user: Callable[[Any], str] | None = None
    """Who asks, in a request's body; `None` where the service does not know its users."""
    calls_functions: bool = False
    """What `is_function_calling_model` is by default; objects then come as the arguments of a call."""
    refused: tuple[str, ...] = ("image", "audio", "video", "document")
    """Blocks that are no part of a request; the others are sent, with the fields of `seeing`."""
    seeing: dict[str, Any] = field(default_factory=dict)

    def give_object(self, emulator: Emulator, text: str) -> None:
        """Script the answer to the question for an object; `text` is its JSON."""
        if self.calls_functions:
            emulator.reply(tool_calls=[{"name": "any", "arguments": text}])
        else:
            emulator.reply(text, chunks=6)


def _events(*bodies: dict[str, Any]) -> bytes:
    return "".join(f"data:{json.dumps(body, ensure_ascii=False)}\n\n" for body in bodies).encode()


def _said(text: str, **more: Any) -> dict[str, Any]:
    return {"requestId": "r1", "choices": [{"messages": [{"role": "assistant", "content": text, **more}]}]}


_END = {
    "usage": {"inputTokens": 1336, "outputTokens": 5, "userTokens": 7},
    "context": {"sessionId": "s1", "chatId": "c1", "messageId": "m1", "chatRoomId": 7},
    "stop": True,
}

XINGCHEN = Case(
    cls=Xingchen,
    class_name="xingchen_llm",
    fields={"character_id": "demo", "user_id": "u1"},
    model_name="xingchen-plus-v2",
    body={
        "requestId": "r1",
        "code": 200,
        "success": True,
        "data": {**_said("我叫小婉。", finishReason="stop"), **_END},
    },
    events=_events(_said("我叫"), _said("小婉"), _said("。"), {**_said("", finishReason="stop"), **_END}),
    texts=lambda body: [message["content"] for message in body["input"]["messages"]],
    system=lambda body: body["input"]["aca"].get("scenario", {}).get("description"),
    temperature=lambda body: body["parameters"].get("temperature"),
    user=lambda body: body["input"]["aca"]["userProfile"]["userId"],
    running=lambda emulator: len(emulator.xingchen.busy_users),
)


def _output(text: str, output_tokens: int, finish_reason: str = "null") -> dict[str, Any]:
    """An answer of a model, or an event of it: usage counts what came so far."""
    message = {"role": "assistant", "content": text}
    usage = {"input_tokens": 1336, "output_tokens": output_tokens, "total_tokens": 1336 + output_tokens}
    choice = {"message": message, "finish_reason": finish_reason}
    return {"output": {"choices": [choice]}, "usage": usage, "request_id": "r1"}


def _contents(body: Any, *, system: bool) -> list[str]:
    return [message["content"] for message in body["input"]["messages"] if (message["role"] == "system") is system]


BAILIAN = Case(
    cls=Bailian,
    class_name="bailian_llm",
    fields={"tool_stream": True},  # else arguments that are lists come in one piece
    model_name="qwen-plus",
    body=_output("我叫小婉。", 5, "stop"),
    events=_events(_output("我叫", 2), _output("小婉", 4), _output("。", 5), _output("", 5, "stop")),
    texts=lambda body: _contents(body, system=False),
    system=lambda body: next(iter(_contents(body, system=True)), None),
    temperature=lambda body: body["parameters"].get("temperature"),
    running=lambda emulator: len(emulator.bailian.running),
    calls_functions=True,
    refused=("document",),
    seeing={"model": "qwen-omni-turbo"},
)


def _of_app(text: str, output_tokens: int, finish_reason: str = "null") -> dict[str, Any]:
    """An answer of an application, or an event of it. It may take several models: here two."""
    models = [
        {"model_id": "qwen-plus", "input_tokens": 1300, "output_tokens": 0},
        {"model_id": "qwen-max", "input_tokens": 36, "output_tokens": output_tokens},
    ]
    output = {"text": text, "finish_reason": finish_reason, "session_id": "s1"}
    return {"output": output, "usage": {"models": models}, "request_id": "r1"}


def _prompt_or_contents(body: Any) -> list[str]:
    return [body["input"]["prompt"]] if "prompt" in body["input"] else _contents(body, system=False)


BAILIAN_APP = Case(
    cls=BailianApp,
    class_name="bailian_app_llm",
    fields={"app_id": "demo"},
    model_name="demo",
    body=_of_app("我叫小婉。", 5, "stop"),
    events=_events(_of_app("我叫", 2), _of_app("小婉", 4), _of_app("。", 5), _of_app("", 5, "stop")),
    texts=_prompt_or_contents,
    system=lambda body: next(iter(_contents(body, system=True)), None),
    temperature=lambda body: body["parameters"].get("temperature"),
    running=lambda emulator: len(emulator.bailian.running),
)

CASES = (XINGCHEN, BAILIAN, BAILIAN_APP)


@pytest.fixture(params=CASES, ids=lambda case: case.cls.__name__)
def case(request: pytest.FixtureRequest) -> Case:
    """Every class under conformance."""
    found: Case = request.param
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
            given = {"api_key": "test-key", "base_url": emulator.url, **case.fields, **fields}
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
        return self._case.cls(**{"api_key": "test-key", **self._case.fields, **clients, **async_clients, **fields})

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
