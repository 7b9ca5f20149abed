"""CPU time of a streamed event, beside what httpx and the framework cost without us.

    make bench ARGS="--events 2000 --rounds 7"

A server in a process of its own sends the same stream to every reader: one event per HTTP chunk, shaped like the
service's. Readers take turns; a ratio is taken inside each round, and the median of the rounds is printed, since the
microseconds of a shared machine say little and the ratios a lot. The floors: httpx with `iter_lines` and `json.loads`;
a model of the framework that yields ready texts.
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
from typing import Any

import httpx
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse, LLMMetadata
from llama_index.core.llms.callbacks import llm_chat_callback
from llama_index.core.llms.custom import CustomLLM

from langchain_xingchen import ChatXingchen
from llama_index_xingchen import Xingchen

TEXT = "今年"


def serve(events: int) -> None:
    """Answer every request with the same stream; print the port first."""
    body = []
    for at in range(events + 1):
        last = at == events
        message: dict[str, Any] = {"role": "assistant", "content": "" if last else TEXT}
        event: dict[str, Any] = {"requestId": "r-1", "choices": [{"messages": [message]}]}
        event["usage"] = {"inputTokens": 12, "outputTokens": at, "userTokens": 3}
        event["context"] = {"chatRoomId": 1, "sessionId": "s" * 32, "chatId": "c" * 32, "messageId": "m" * 32}
        if last:
            message["finishReason"], event["stop"] = "stop", True
        data = f"id:{at + 1}\ndata:{json.dumps(event, ensure_ascii=False)}\n\n".encode()
        body.append(f"{len(data):x}\r\n".encode() + data + b"\r\n")
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream;charset=UTF-8\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = head + b"".join(body) + b"0\r\n\r\n"
    with socket.create_server(("127.0.0.1", 0)) as server:
        print(server.getsockname()[1], flush=True)
        while True:
            peer, _ = server.accept()
            threading.Thread(target=_answer_all, args=(peer, answer), daemon=True).start()


def _answer_all(peer: socket.socket, answer: bytes) -> None:
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
            peer.sendall(answer)


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


def readers(url: str, events: int) -> dict[str, Callable[[], int]]:
    """Return what is measured: each reads one stream and returns how many characters it saw."""
    settings: dict[str, Any] = {"character_id": "c", "user_id": "u", "api_key": "test-key", "base_url": url}
    client, loop = httpx.Client(), asyncio.new_event_loop()
    floor, ours = LangChainFloor(events=events), ChatXingchen(**settings)
    index_floor, index = LlamaIndexFloor(events=events), Xingchen(**settings)
    asked = [ChatMessage(role="user", content="你好")]

    def plain() -> int:
        seen = 0
        with client.stream("POST", f"{url}/v2/api/chat/send", json={}) as response:
            for line in response.iter_lines():
                if line.startswith("data:"):
                    seen += len(json.loads(line[5:])["choices"][0]["messages"][0]["content"])
        return seen

    async def gathered(model: BaseChatModel) -> int:
        return sum([len(chunk.text) async for chunk in model.astream("你好")])

    return {
        "httpx": plain,
        "LangChain floor": lambda: sum(len(chunk.text) for chunk in floor.stream("你好")),
        "ChatXingchen.stream": lambda: sum(len(chunk.text) for chunk in ours.stream("你好")),
        "ChatXingchen.astream": lambda: loop.run_until_complete(gathered(ours)),
        "LlamaIndex floor": lambda: sum(len(chunk.delta or "") for chunk in index_floor.stream_chat(asked)),
        "Xingchen.stream_chat": lambda: sum(len(chunk.delta or "") for chunk in index.stream_chat(asked)),
    }


FLOORS = {
    "ChatXingchen.stream": "LangChain floor",
    "ChatXingchen.astream": "LangChain floor",
    "Xingchen.stream_chat": "LlamaIndex floor",
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
    for name, read in found.items():
        seen = read()
        assert seen == events * len(TEXT), f"{name} saw {seen} characters"
    times: dict[str, list[float]] = {name: [] for name in found}
    for _ in range(rounds):
        for name, read in found.items():
            gc.collect()
            began = time.process_time()
            read()
            times[name].append((time.process_time() - began) / events * 1e6)
    print(f"{events} events, {rounds} rounds, CPU time\n")
    print("| reader | us/event | x (httpx + framework floor) |\n| --- | ---: | ---: |")
    for name, spent in times.items():
        ratio = ""
        if name in FLOORS:
            sums = zip(spent, times["httpx"], times[FLOORS[name]], strict=True)
            ratio = f"{statistics.median(mine / (http + frame) for mine, http, frame in sums):.2f}"
        print(f"| {name} | {statistics.median(spent):.1f} | {ratio} |")


if __name__ == "__main__":
    main()
