"""CPU time of a streamed event, beside what httpx and the framework cost without us.

    make bench ARGS="--events 2000 --rounds 7"

A server in a process of its own sends the same stream to every reader of a service: one event per HTTP chunk, shaped
like the service's. Readers take turns; a ratio is taken inside each round, and the median of the rounds is printed,
since the microseconds of a shared machine say little and the ratios a lot. The floors: httpx with `iter_lines` and
`json.loads`; a model of the framework that yields ready texts.
"""

import argparse
import asyncio
import gc
import json
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse, LLMMetadata
from llama_index.core.llms.callbacks import llm_chat_callback
from llama_index.core.llms.custom import CustomLLM

from langchain_xingchen import ChatBailian, ChatBailianApp, ChatXingchen
from llama_index_xingchen import Bailian, BailianApp, Xingchen

TEXT = "今年"
ID = "0123456789abcdef0123456789abcdef"


def xingchen_event(at: int, last: bool) -> dict[str, Any]:
    """Return an event of a character."""
    message = {"role": "assistant", "content": "" if last else TEXT} | ({"finishReason": "stop"} if last else {})
    return {
        "requestId": ID,
        "choices": [{"messages": [message]}],
        "usage": {"inputTokens": 12, "outputTokens": at, "userTokens": 3},
        "context": {"chatRoomId": 1, "sessionId": ID, "chatId": ID, "messageId": ID},
        **({"stop": True} if last else {}),
    }


def bailian_event(at: int, last: bool) -> dict[str, Any]:
    """Return an event of a model."""
    message = {"content": "" if last else TEXT, "role": "assistant"}
    return {
        "output": {"choices": [{"message": message, "finish_reason": "stop" if last else "null"}]},
        "usage": {
            "total_tokens": at + 12,
            "output_tokens": at,
            "input_tokens": 12,
            "prompt_tokens_details": {"cached_tokens": 0},
        },
        "request_id": ID,
    }


def app_event(at: int, last: bool) -> dict[str, Any]:
    """Return an event of an application."""
    return {
        "output": {"session_id": ID, "finish_reason": "stop" if last else "null", "text": "" if last else TEXT},
        "usage": {"models": [{"input_tokens": 12, "output_tokens": at, "model_id": "qwen-plus"}]},
        "request_id": ID,
    }


@dataclass(frozen=True)
class Service:
    """One service: where it answers, what it says, and who reads it."""

    path: str
    event: Callable[[int, bool], dict[str, Any]]
    text: Callable[[Any], str]
    chat_model: type[Any]
    llm: type[Any]
    fields: dict[str, Any]


SERVICES = (
    Service(
        "/v2/api/chat/send",
        xingchen_event,
        lambda body: body["choices"][0]["messages"][0]["content"],
        ChatXingchen,
        Xingchen,
        {"character_id": "c", "user_id": "u"},
    ),
    Service(
        "/api/v1/services/aigc/text-generation/generation",
        bailian_event,
        lambda body: body["output"]["choices"][0]["message"]["content"],
        ChatBailian,
        Bailian,
        {"model": "qwen-plus"},
    ),
    Service(
        "/api/v1/apps/a/completion",
        app_event,
        lambda body: body["output"]["text"],
        ChatBailianApp,
        BailianApp,
        {"app_id": "a"},
    ),
)


def serve(events: int) -> None:
    """Answer every request to a service with the same stream; print the port first."""
    answers = {service.path.encode(): _answer(service, events) for service in SERVICES}
    with socket.create_server(("127.0.0.1", 0)) as server:
        print(server.getsockname()[1], flush=True)
        while True:
            peer, _ = server.accept()
            threading.Thread(target=_answer_all, args=(peer, answers), daemon=True).start()


def _answer(service: Service, events: int) -> bytes:
    pieces = [b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream;charset=UTF-8\r\nTransfer-Encoding: chunked\r\n\r\n"]
    for at in range(events + 1):
        event = json.dumps(service.event(at, at == events), ensure_ascii=False)
        data = f"id:{at + 1}\nevent:result\n:HTTP_STATUS/200\ndata:{event}\n\n".encode()
        pieces.append(f"{len(data):x}\r\n".encode() + data + b"\r\n")
    return b"".join(pieces) + b"0\r\n\r\n"


def _answer_all(peer: socket.socket, answers: dict[bytes, bytes]) -> None:
    with peer:
        while True:
            received = b""
            while b"\r\n\r\n" not in received:
                piece = peer.recv(65536)
                if not piece:
                    return
                received += piece
            headers, _, rest = received.partition(b"\r\n\r\n")
            length = next(
                (int(x.split(b":")[1]) for x in headers.split(b"\r\n") if x.lower().startswith(b"content-length")), 0
            )
            while len(rest) < length:
                rest += peer.recv(65536)
            peer.sendall(answers[headers.split(b" ", 2)[1]])


class LangChainFloor(BaseChatModel):
    """What LangChain costs by itself."""

    events: int

    @property
    def _llm_type(self) -> str:
        return "floor"

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        raise NotImplementedError

    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        for _ in range(self.events):
            yield ChatGenerationChunk(message=AIMessageChunk(content=TEXT))

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        for _ in range(self.events):
            yield ChatGenerationChunk(message=AIMessageChunk(content=TEXT))


class LlamaIndexFloor(CustomLLM):
    """What LlamaIndex costs by itself."""

    events: int

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata()

    def complete(self, *args: Any, **kwargs: Any) -> CompletionResponse:
        raise NotImplementedError

    def stream_complete(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    @llm_chat_callback()
    def stream_chat(self, messages: Any, **kwargs: Any) -> Any:
        def chunks() -> Iterator[ChatResponse]:
            said = ""
            for _ in range(self.events):
                said += TEXT
                yield ChatResponse(message=ChatMessage(role="assistant", content=said), delta=TEXT)

        return chunks()


@dataclass(frozen=True)
class Reader:
    """Reads one stream and returns how many characters it saw. `floors`: what it is compared with the sum of."""

    read: Callable[[], int]
    floors: tuple[str, str] | None = None


def readers(url: str, events: int) -> dict[str, Reader]:
    """Return what is measured."""
    floor, index_floor = LangChainFloor(events=events), LlamaIndexFloor(events=events)
    asked = [ChatMessage(role="user", content="你好")]
    found = {
        "LangChain floor": Reader(lambda: sum(len(chunk.text) for chunk in floor.stream("你好"))),
        "LlamaIndex floor": Reader(lambda: sum(len(chunk.delta or "") for chunk in index_floor.stream_chat(asked))),
    }
    for service in SERVICES:
        found |= _readers_of(service, url)
    return found


def _readers_of(service: Service, url: str) -> dict[str, Reader]:
    settings = {"api_key": "test-key", "base_url": url, **service.fields}
    client, loop = httpx.Client(), asyncio.new_event_loop()
    model, llm = service.chat_model(**settings), service.llm(**settings)
    asked = [ChatMessage(role="user", content="你好")]
    http = f"httpx, as {service.chat_model.__name__}"

    def plain() -> int:
        seen = 0
        with client.stream("POST", url + service.path, json={}) as response:
            for line in response.iter_lines():
                if line.startswith("data:"):
                    seen += len(service.text(json.loads(line[5:])))
        return seen

    async def gathered() -> int:
        return sum([len(chunk.text) async for chunk in model.astream("你好")])

    return {
        http: Reader(plain),
        f"{service.chat_model.__name__}.stream": Reader(
            lambda: sum(len(chunk.text) for chunk in model.stream("你好")), (http, "LangChain floor")
        ),
        f"{service.chat_model.__name__}.astream": Reader(
            lambda: loop.run_until_complete(gathered()), (http, "LangChain floor")
        ),
        f"{service.llm.__name__}.stream_chat": Reader(
            lambda: sum(len(chunk.delta or "") for chunk in llm.stream_chat(asked)), (http, "LlamaIndex floor")
        ),
    }


def main() -> None:
    """Measure and print a table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--events", type=int, default=2000)
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.serve:
        serve(given.events)
        return
    command = [sys.executable, __file__, "--serve", "--events", str(given.events)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            measure(f"http://127.0.0.1:{server.stdout.readline().strip()}", given.events, given.rounds)
        finally:
            server.kill()


def measure(url: str, events: int, rounds: int) -> None:
    """Run every reader once to warm up and check it, then in turns."""
    found = readers(url, events)
    for name, reader in found.items():
        seen = reader.read()
        assert seen == events * len(TEXT), f"{name} saw {seen} characters"
    times: dict[str, list[float]] = {name: [] for name in found}
    for _ in range(rounds):
        for name, reader in found.items():
            gc.collect()
            began = time.process_time()
            reader.read()
            times[name].append((time.process_time() - began) / events * 1e6)
    print(f"{events} events, {rounds} rounds, CPU time\n")
    print("| reader | us/event | x (httpx + framework floor) |\n| --- | ---: | ---: |")
    for name, spent in times.items():
        ratio = ""
        if floors := found[name].floors:
            sums = zip(spent, *(times[floor] for floor in floors), strict=True)
            ratio = f"{statistics.median(mine / (http + frame) for mine, http, frame in sums):.2f}"
        print(f"| {name} | {statistics.median(spent):.1f} | {ratio} |")


if __name__ == "__main__":
    main()
