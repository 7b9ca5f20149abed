"""The services as far as the benchmarks ask them: ready answers on 127.0.0.1, from a process of their own.

Everything that is sent is made beforehand, one event per HTTP chunk, so that the service is never what is measured. It
checks nothing; `xingchen_core.emulator` is the one that does.
"""

import asyncio
import gc
import json
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

TEXT = "今年"
ID = "0123456789abcdef0123456789abcdef"
USAGE = {"inputTokens": 12, "outputTokens": 40, "userTokens": 3}
CONTEXT = {
    "chatRoomId": 1,
    "sessionId": ID,
    "chatId": ID,
    "messageId": ID,
    "enableDataInspection": False,
    "ext": "chat",
}


def xingchen_event(text: str, at: int, last: bool) -> dict[str, Any]:
    finish = "stop" if last else "null"
    return {
        "requestId": ID,
        "choices": [
            {"messages": [{"role": "assistant", "content": text, "finishReason": finish}], "stopReason": finish}
        ],
        "usage": {**USAGE, "outputTokens": at},
        "context": CONTEXT,
        "stop": last,
    }


def xingchen_answer(text: str) -> dict[str, Any]:
    return {"requestId": ID, "code": 200, "success": True, "data": xingchen_event(text, 40, True)}


def bailian_event(text: str, at: int, last: bool) -> dict[str, Any]:
    finish = "stop" if last else "null"
    return {
        "output": {"choices": [{"message": {"content": text, "role": "assistant"}, "finish_reason": finish}]},
        "usage": {"total_tokens": at + 12, "output_tokens": at, "input_tokens": 12},
        "request_id": ID,
    }


def bailian_answer(text: str) -> dict[str, Any]:
    return bailian_event(text, 40, True)


def app_event(text: str, at: int, last: bool) -> dict[str, Any]:
    return {
        "output": {"session_id": ID, "finish_reason": "stop" if last else "null", "text": text},
        "usage": {"models": [{"input_tokens": 12, "output_tokens": at, "model_id": "qwen-plus"}]},
        "request_id": ID,
    }


def app_answer(text: str) -> dict[str, Any]:
    return app_event(text, 40, True)


def beebot_event(text: str, at: int, last: bool) -> dict[str, Any]:
    body = {"ContentType": "RICH_TEXT", "Ext": {}, "SentenceList": [{"Content": text}]}
    value = {
        "IsAIGC": True,
        "MessageBody": {"DirectMessageBody": body, "Type": "Direct", "VoiceConfig": {}},
        "MessageId": ID,
        "SequenceId": f"{at:032x}",
        "SessionId": ID,
        "Source": "NON_STRUCTURAL_KNOWLEDGE",
        "StreamEnd": last,
    }
    part = {"type": "JSON_TEXT", "value": json.dumps(value, ensure_ascii=False)}
    return {"data": [part], "messageId": ID, "requestId": ID, "success": True}


def beebot_answer(text: str) -> dict[str, Any]:
    """Return a token, the only plain answer that is asked for."""
    return {"AccessToken": "t", "ChannelId": "c", "StreamSecret": "s", "RequestId": ID}


@dataclass(frozen=True)
class Wire:
    """One service: where it answers, and what."""

    path: str
    event: Callable[[str, int, bool], dict[str, Any]]
    answer: Callable[[str], dict[str, Any]]
    is_cumulative: bool = False


WIRES = {
    "xingchen": Wire("/v2/api/chat/send", xingchen_event, xingchen_answer),
    "bailian": Wire("/api/v1/services/aigc/text-generation/generation", bailian_event, bailian_answer),
    "app": Wire("/api/v1/apps/a/completion", app_event, app_answer),
    "beebot": Wire("/sse/paas4Json", beebot_event, beebot_answer, is_cumulative=True),
}
HISTORY = "/v2/api/chat/message/histories"
RETRIEVE = "/api/v1/indices/rag/index/retrieve"
CHUNKS = 5


@dataclass(frozen=True)
class Profile:
    """How the service answers.

    Attributes:
        events: Of a stream; the last one says that it is complete. Plain answers hold as much text.
        delay: Seconds between two events; 0: as fast as they are read.
        first: Seconds before the answer begins.
        is_cumulative: Whether each event repeats the whole text. Beebot's do always.
        messages: How many messages a history has.
    """

    events: int = 20
    delay: float = 0.0
    first: float = 0.0
    is_cumulative: bool = False
    messages: int = 0


class Service:
    """What all connections share: the answers, the clock of paced streams, and what is counted."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.pieces = cache(self._pieces)
        self.whole = cache(lambda name: b"".join(self._pieces(name)))
        self.plain = cache(lambda name: _json_answer(WIRES[name].answer(TEXT * profile.events)))
        self.nodes = _json_answer(retrieved())
        self.opened = self.most = 0
        self.open: set[asyncio.BaseTransport] = set()
        self.left: list[float] = []
        self._due: deque[tuple[float, Connection]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def counts(self) -> dict[str, Any]:
        """Return and forget: connections opened, the most that were open at once, when unfinished streams were left."""
        found = {"opened": self.opened, "most": self.most, "left": self.left}
        self.opened, self.most, self.left = 0, len(self.open), []
        return found

    def _pieces(self, name: str) -> list[bytes]:
        wire, events = WIRES[name], self.profile.events
        grows = self.profile.is_cumulative or wire.is_cumulative
        pieces = [STREAM_HEAD]
        for at in range(1, events + 1):
            event = json.dumps(wire.event(TEXT * at if grows else TEXT, at, at == events), ensure_ascii=False)
            data = f"id:{at}\nevent:result\n:HTTP_STATUS/200\ndata:{event}\n\n".encode()
            pieces.append(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        return [*pieces, b"0\r\n\r\n"]

    def pace(self, connection: "Connection") -> None:
        """Send the pieces of a connection's answer one by one. One timer serves all: each stream keeps its own time."""
        self._due.append((time.monotonic() + self.profile.delay, connection))
        if self._timer is None:
            self._tick()

    def _tick(self) -> None:
        due, delay = self._due, self.profile.delay
        while due and due[0][0] <= time.monotonic():
            moment, connection = due.popleft()
            if connection.send_next():
                due.append((moment + delay, connection))
        self._timer = None
        if due:
            self._timer = asyncio.get_running_loop().call_later(max(0.0, due[0][0] - time.monotonic()), self._tick)

    def page(self, body: bytes) -> bytes:
        """Return a page of the history, newest first."""
        asked = json.loads(body)
        size, number, total = asked["pageSize"], asked["pageNum"], self.profile.messages
        newest = total - size * (number - 1)
        rows = [stored_message(n) for n in range(newest, max(0, newest - size), -1)]
        page = {"list": rows, "page": number, "pageSize": size, "total": total}
        return _json_answer({"requestId": ID, "code": 200, "success": True, "data": page})


def stored_message(number: int) -> dict[str, Any]:
    """Return a message of a history: questions and answers by turns."""
    is_user = number % 2 == 1
    return {
        "messageId": f"m{number}",
        "content": TEXT * 10,
        "messageType": "user" if is_user else "character",
        "messageIssuer": {"userId": "u", "bizUserId": "u", "userName": "小明", "userType": "user" if is_user else ""},
        "sessionId": ID,
        "chatId": f"c{(number + 1) // 2}",
        "gmtCreate": 1_700_000_000_000 + 1000 * number,
    }


def retrieved() -> dict[str, Any]:
    """Return chunks of a knowledge base, no two alike: LlamaIndex drops what says the same."""
    nodes = [
        {
            "score": 0.9 - at / 10,
            "text": f"{at}{TEXT * 100}",
            "metadata": {
                "_id": f"chunk{at}",
                "content": f"{at}{TEXT * 100}",
                "doc_id": "file_0",
                "doc_name": "手册",
                "title": "退货",
                "hier_title": "售后>退货",
                "nid": f"chunk{at}",
                "page_number": [at],
                "pipeline_id": "index0",
                "image_url": [],
            },
        }
        for at in range(CHUNKS)
    ]
    return {"status": "SUCCESS", "success": True, "request_id": ID, "code": "success", "data": {"nodes": nodes}}


STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream;charset=UTF-8\r\nTransfer-Encoding: chunked\r\n\r\n"


def _json_answer(body: Any) -> bytes:
    data = json.dumps(body, ensure_ascii=False).encode()
    return f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data


class Connection(asyncio.Protocol):
    """One connection, kept open: requests one after another."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._received = b""
        self._pieces: list[bytes] | None = None
        self._at = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        service = self._service
        service.opened += 1
        service.open.add(transport)
        service.most = max(service.most, len(service.open))

    def connection_lost(self, error: Exception | None) -> None:
        self._service.open.discard(self._transport)
        if self._pieces is not None:
            self._service.left.append(time.time())
        self._pieces = None

    def data_received(self, data: bytes) -> None:
        self._received += data
        while self._pieces is None:
            head, mark, rest = self._received.partition(b"\r\n\r\n")
            lines = head.lower().split(b"\r\n")
            length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
            if not mark or len(rest) < length:
                return
            self._received = rest[length:]
            self._answer(head.split(b" ", 2)[1].decode(), b"sse: enable" in head.lower(), rest[:length])

    def _answer(self, path: str, is_stream: bool, body: bytes) -> None:
        service, path = self._service, path.partition("?")[0]
        if path == HISTORY:
            self._transport.write(service.page(body))
            return
        if path == RETRIEVE:
            self._transport.write(service.nodes)
            return
        name = next((name for name, wire in WIRES.items() if path.startswith(wire.path)), "beebot")
        if not is_stream and not path.startswith(WIRES["beebot"].path):
            self._transport.write(service.plain(name))
        elif service.profile.delay:
            self._pieces, self._at = service.pieces(name), 0
            self.send_next()
            service.pace(self)
        elif service.profile.first:
            self._pieces, self._at = [service.whole(name)], 0
            asyncio.get_running_loop().call_later(service.profile.first, self.send_next)
        else:
            self._transport.write(service.whole(name))

    def send_next(self) -> bool:
        """Send the next piece; return whether more are left."""
        pieces = self._pieces
        if pieces is None:  # the connection is gone
            return False
        self._transport.write(pieces[self._at])
        self._at += 1
        if self._at < len(pieces):
            return True
        self._pieces = None
        if self._received:
            self.data_received(b"")
        return False


def serve(pipe: Any, profile: Profile) -> None:
    """Answer until the other end of `pipe` is gone. It receives the port, then `counts` whenever it sends anything."""
    asyncio.run(_serve(pipe, profile))


async def _serve(pipe: Any, profile: Profile) -> None:
    loop, service, gone = asyncio.get_running_loop(), Service(profile), asyncio.Event()
    server = await loop.create_server(lambda: Connection(service), "127.0.0.1", 0, backlog=4096)

    def asked() -> None:
        try:
            pipe.recv()
            pipe.send(service.counts())
        except (EOFError, OSError):
            loop.remove_reader(pipe.fileno())
            gone.set()

    loop.add_reader(pipe.fileno(), asked)
    pipe.send(server.sockets[0].getsockname()[1])
    gc.freeze()
    gc.disable()
    await gone.wait()
    server.close()
    for transport in list(service.open):
        transport.close()
    await asyncio.sleep(0)
