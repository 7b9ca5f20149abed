"""Who is measured: our classes, and the floors they are compared with. All of this runs in the processes of `Host`s.

The floors are httpx, as a program without us would read the same service (`iter_lines`, `json.loads`), and each
framework with a model that has its texts ready.
"""

import json
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import Any

import _bench
from _service import TEXT, WIRES

QUESTION = "你今年多大"
KEY = {"api_key": "test-key"}
CHARACTER = {**KEY, "character_id": "c", "user_id": "u"}
ROBOT = {"access_key_id": "testid", "access_key_secret": "testsecret", "instance_id": "i"}

OURS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "ChatXingchen": ("langchain", "xingchen", CHARACTER),
    "ChatBailian": ("langchain", "bailian", {**KEY, "model": "qwen-plus"}),
    "ChatBailianApp": ("langchain", "app", {**KEY, "app_id": "a"}),
    "ChatBeebot": ("langchain", "beebot", ROBOT),
    "Xingchen": ("llama_index", "xingchen", CHARACTER),
    "Bailian": ("llama_index", "bailian", {**KEY, "model": "qwen-plus"}),
    "BailianApp": ("llama_index", "app", {**KEY, "app_id": "a"}),
    "Beebot": ("llama_index", "beebot", ROBOT),
}
"""Class: framework, service, arguments."""

FRAMEWORKS = ("langchain", "llama_index")


@dataclass
class Ways:
    """The ways to ask one client, and how to read what comes."""

    stream: Callable[[], Any]
    astream: Callable[[], AsyncIterator[Any]]
    text: Callable[[Any], str]
    invoke: Callable[[], Any] | None = None
    ainvoke: Callable[[], Any] | None = None
    close: Callable[[], Any] = lambda: None
    aclose: Callable[[], Any] | None = None


@dataclass(frozen=True)
class Reader:
    """Somebody who reads a service, in a process named `host`.

    `name` is a class of ours, `httpx`, or a framework; `options` are further arguments of a class, and for httpx and
    classes `transport="aiohttp"`.
    """

    name: str
    service: str = ""
    options: tuple[tuple[str, Any], ...] = field(default=())

    @property
    def host(self) -> str:
        return OURS[self.name][0] if self.name in OURS else self.name.removesuffix(" over httpx")

    @property
    def floors(self) -> tuple["Reader", "Reader"]:
        """What one of ours is compared with the sum of."""
        return Reader("httpx", self.service), Reader(self.host)


BOTH = Reader("langchain over httpx", "xingchen")
"""The two floors in one process and nothing else: what their sum becomes where both share the processor's caches."""


def shown(reader: Reader) -> str:
    """Return the name of a reader in a table."""
    alone = {
        "langchain": "LangChain alone",
        "llama_index": "LlamaIndex alone",
        "httpx": f"httpx alone ({reader.service})",
        BOTH.name: "both floors in one process",
    }
    arguments = ", ".join(f"{name}={value!r}" for name, value in reader.options)
    return alone.get(reader.name) or (f"{reader.name}({arguments})" if arguments else reader.name)


def ours(*names: str, **options: Any) -> list[Reader]:
    """Return readers of classes of ours, by default of all."""
    return [Reader(name, OURS[name][1], tuple(options.items())) for name in names or OURS]


_open: dict[tuple[Reader, str], Ways] = {}


def ways(reader: Reader, url: str, events: int) -> Ways:
    """Return the client of a reader for a service; there is one, as in a program that holds one model."""
    if (reader, url) not in _open:
        if reader.name == "httpx":
            made = _httpx(url, reader.service, **dict(reader.options))
        elif reader == BOTH:
            made = _both_floors(url, reader.service)
        elif reader.name == "langchain":
            made = _langchain_floor(events)
        elif reader.name == "llama_index":
            made = _llama_index_floor(events)
        else:
            made = _ours(reader, url)
        _open[reader, url] = made
    return _open[reader, url]


def leave(reader: Reader, url: str) -> None:
    """Close a reader's client."""
    found = _open.pop((reader, url), None)
    if found is not None:
        found.close()
        if found.aclose is not None:
            _bench.loop().run_until_complete(found.aclose())


def warm_up(framework: str) -> None:
    """Import what a host measures, so that hosts start side by side. `langchain/...`: a further host of the kind."""
    framework = framework.partition("/")[0]
    import httpx  # noqa: F401

    if framework == "langchain":
        from langchain_core.language_models import BaseChatModel  # noqa: F401  loaded when first named
    elif framework == "llama_index":
        import llama_index.core.llms  # noqa: F401


def _ours(reader: Reader, url: str) -> Ways:
    options = dict(reader.options)
    given = aiohttp_client() if options.pop("transport", None) == "aiohttp" else None
    made = model(reader.name, url, http_async_client=given, **options)
    found = _langchain(made) if reader.host == "langchain" else _llama_index(made)

    async def aclose() -> None:
        await made.aclose()
        if given is not None:  # a client of the caller's is left alone by ours
            await given.aclose()

    found.close, found.aclose = made.close, aclose
    return found


def model(name: str, url: str, **options: Any) -> Any:
    """Make one of our model objects."""
    return model_class(name)(base_url=url, **OURS[name][2], **options)


def model_class(name: str, framework: str = "") -> Any:
    """Import one of our classes."""
    package = {"langchain": "langchain_xingchen", "llama_index": "llama_index_xingchen"}[framework or OURS[name][0]]
    return getattr(import_module(package), name)


def _langchain(made: Any) -> Ways:
    return Ways(
        stream=lambda: made.stream(QUESTION),
        astream=lambda: made.astream(QUESTION),
        text=lambda chunk: chunk.text,
        invoke=lambda: made.invoke(QUESTION),
        ainvoke=lambda: made.ainvoke(QUESTION),
    )


def _llama_index(made: Any) -> Ways:
    from llama_index.core.base.llms.types import ChatMessage

    asked = [ChatMessage(role="user", content=QUESTION)]

    async def astream() -> AsyncIterator[Any]:
        async for response in await made.astream_chat(asked):
            yield response

    return Ways(
        stream=lambda: made.stream_chat(asked),
        astream=astream,
        text=lambda response: response.delta or "",
        invoke=lambda: made.chat(asked),
        ainvoke=lambda: made.achat(asked),
    )


def aiohttp_client() -> Any:
    """Return an httpx client over aiohttp, without the limit of 100 connections that aiohttp has by itself.

    Raises:
        ImportError: httpx-aiohttp is not installed.
    """
    if str(_bench.EXTRAS) not in sys.path:
        sys.path.append(str(_bench.EXTRAS))
    import aiohttp
    import httpx
    from httpx_aiohttp import AiohttpTransport

    def session() -> aiohttp.ClientSession:
        return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))

    return httpx.AsyncClient(transport=AiohttpTransport(client=session), timeout=120)


def _xingchen_text(body: Any) -> str:
    return str(body["choices"][0]["messages"][0]["content"])


def _bailian_text(body: Any) -> str:
    return str(body["output"]["choices"][0]["message"]["content"])


def _app_text(body: Any) -> str:
    return str(body["output"]["text"])


def _beebot_text(body: Any) -> str:
    value = json.loads(body["data"][0]["value"])
    return str(value["MessageBody"]["DirectMessageBody"]["SentenceList"][0]["Content"])


_TEXTS = {"xingchen": _xingchen_text, "bailian": _bailian_text, "app": _app_text, "beebot": _beebot_text}
_HEADERS = {"xingchen": {"X-AcA-SSE": "enable"}, "bailian": {"X-DashScope-SSE": "enable"}}
_HEADERS |= {"app": _HEADERS["bailian"], "beebot": {}}


def _httpx(url: str, service: str, transport: str = "") -> Ways:
    import httpx

    address, headers = url + WIRES[service].path, _HEADERS[service]
    body = {"input": {"messages": [{"role": "user", "content": QUESTION}]}, "parameters": {"incrementalOutput": True}}
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=100)
    client = httpx.Client(timeout=120, verify=False)
    aclient = httpx.AsyncClient(timeout=120, verify=False, limits=limits) if not transport else aiohttp_client()
    authorization = {"Authorization": "Bearer test-key"}

    def stream() -> Iterator[Any]:
        with client.stream("POST", address, json=body, headers=authorization | headers) as response:
            for line in response.iter_lines():
                if line.startswith("data:"):
                    yield json.loads(line[5:])

    async def astream() -> AsyncIterator[Any]:
        async with aclient.stream("POST", address, json=body, headers=authorization | headers) as response:
            async for line in response.aiter_lines():
                if line.startswith("data:"):
                    yield json.loads(line[5:])

    async def ainvoke() -> Any:
        return (await aclient.post(address, json=body, headers=authorization)).json()

    return Ways(
        stream=stream,
        astream=astream,
        text=_TEXTS[service],
        invoke=lambda: client.post(address, json=body, headers=authorization).json(),
        ainvoke=ainvoke,
        close=client.close,
        aclose=aclient.aclose,
    )


class Post:
    """A plain call, as a program without us would make it: a body there, a body back."""

    def __init__(self, address: str) -> None:
        import httpx

        self._address, self._client = address, httpx.Client(timeout=120, verify=False)
        self._headers = {"Authorization": "Bearer test-key"}
        self.close = self._client.close

    def __call__(self, body: Any) -> Any:
        return self._client.post(self._address, json=body, headers=self._headers).json()


httpx_post = cache(Post)


def _langchain_floor(events: int) -> Ways:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessage, AIMessageChunk
    from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

    class Floor(BaseChatModel):
        """What LangChain costs by itself."""

        @property
        def _llm_type(self) -> str:
            return "floor"

        def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
            return ChatResult(generations=[ChatGeneration(message=AIMessage(content=TEXT * events))])

        async def _agenerate(self, *args: Any, **kwargs: Any) -> ChatResult:
            return self._generate()

        def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
            for _ in range(events):
                yield ChatGenerationChunk(message=AIMessageChunk(content=TEXT))

        async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
            for _ in range(events):
                yield ChatGenerationChunk(message=AIMessageChunk(content=TEXT))

    return _langchain(Floor())


def _both_floors(url: str, service: str) -> Ways:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessage, AIMessageChunk
    from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

    http = _httpx(url, service)

    def result(body: Any) -> ChatResult:
        text = body["data"]["choices"][0]["messages"][0]["content"]
        return ChatResult(generations=[ChatGeneration(message=AIMessage(content=text))])

    class Both(BaseChatModel):
        """What somebody writes who checks nothing."""

        @property
        def _llm_type(self) -> str:
            return "both"

        def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
            assert http.invoke is not None
            return result(http.invoke())

        async def _agenerate(self, *args: Any, **kwargs: Any) -> ChatResult:
            assert http.ainvoke is not None
            return result(await http.ainvoke())

        def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
            for body in http.stream():
                yield ChatGenerationChunk(message=AIMessageChunk(content=http.text(body)))

        async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
            async for body in http.astream():
                yield ChatGenerationChunk(message=AIMessageChunk(content=http.text(body)))

    found = _langchain(Both())
    found.close, found.aclose = http.close, http.aclose
    return found


def _llama_index_floor(events: int) -> Ways:
    from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse, LLMMetadata
    from llama_index.core.llms.callbacks import llm_chat_callback
    from llama_index.core.llms.custom import CustomLLM

    def said(text: str, delta: str | None = None) -> ChatResponse:
        return ChatResponse(message=ChatMessage(role="assistant", content=text), delta=delta)

    class Floor(CustomLLM):
        """What LlamaIndex costs by itself."""

        @property
        def metadata(self) -> LLMMetadata:
            return LLMMetadata()

        def complete(self, *args: Any, **kwargs: Any) -> CompletionResponse:
            raise NotImplementedError

        def stream_complete(self, *args: Any, **kwargs: Any) -> Any:
            raise NotImplementedError

        @llm_chat_callback()
        def chat(self, messages: Any, **kwargs: Any) -> ChatResponse:
            return said(TEXT * events)

        @llm_chat_callback()
        async def achat(self, messages: Any, **kwargs: Any) -> ChatResponse:
            return said(TEXT * events)

        @llm_chat_callback()
        def stream_chat(self, messages: Any, **kwargs: Any) -> Any:
            def chunks() -> Iterator[ChatResponse]:
                whole = ""
                for _ in range(events):
                    whole += TEXT
                    yield said(whole, TEXT)

            return chunks()

        @llm_chat_callback()
        async def astream_chat(self, messages: Any, **kwargs: Any) -> Any:
            async def chunks() -> AsyncIterator[ChatResponse]:
                whole = ""
                for _ in range(events):
                    whole += TEXT
                    yield said(whole, TEXT)

            return chunks()

    return _llama_index(Floor())
