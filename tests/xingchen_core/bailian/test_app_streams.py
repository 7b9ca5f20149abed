"""Applications over a real connection, with clients of both colours: framing, faults, sessions."""

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from app_events import REFERENCE, SESSION, USAGE, flow_node, frame, node, output, question, reasoning, texts, told
from raw_server import STREAM_HEAD, Connection, RawServer, chunk, json_answer, stream_answer
from toy_service import until
from xingchen_core import (
    APIConnectionError,
    APIResponseError,
    AsyncClient,
    BadRequestError,
    BailianSettings,
    Client,
    InternalServerError,
    PermissionDeniedError,
    RateLimitError,
    Usage,
)
from xingchen_core.bailian import apps

Connect = Callable[..., Any]

AGENT = [
    reasoning("想"),
    output("Z9<ref>[1]</", doc_references=[REFERENCE]),
    output("ref>好", doc_references=[REFERENCE]),
    output("", reason="stop", usage=USAGE, doc_references=[REFERENCE]),
]
FLOW = [
    node("{}", id="Start_fake", type="Start", node_status="success", node_is_completed=True),
    node("Z9<ref>[1]</"),
    node("ref>好", node_status="success", node_is_completed=True),
    output("Z9<ref>[1]</ref>好", reason="stop", usage=USAGE, doc_references=[REFERENCE]),
]
FULL = [
    output(),
    output(thoughts=[flow_node("Z9<ref>[1]</")]),
    output(thoughts=[flow_node("ref>好")]),
    output("Z9<ref>[1]</ref>好", thoughts=[flow_node("", status="success")], reason="stop", doc_references=[REFERENCE]),
]
KINDS = {"agent": AGENT, "workflow": FLOW, "full_thoughts": FULL}


@pytest.fixture
def client(connect: Connect) -> Connect:
    """Makes clients of a server."""
    return lambda server, **fields: connect(server.url, BailianSettings, api_key="test-key", **fields)


async def streamed(client: Any, **fields: Any) -> list[Any]:
    """All deltas of a stream."""
    return [delta async for delta in await client.stream(apps.stream(question(**fields)))]


def body_of(request: bytes) -> Any:
    """The JSON that a server received."""
    return json.loads(request.partition(b"\r\n\r\n")[2])


@pytest.mark.parametrize("end", ["\n\n", "\n"], ids=["blank lines", "no blank lines"])
@pytest.mark.parametrize("size", [1, 13, 100_000])
@pytest.mark.parametrize("kind", KINDS)
async def test_framing(client: Connect, kind: str, size: int, end: str) -> None:
    """Events torn anywhere, inside characters too, with blank lines between them or not, are read alike."""
    data = b"".join(frame(body, end=end) for body in KINDS[kind])
    with RawServer(stream_answer(*(data[at : at + size] for at in range(0, len(data), size)))) as server:
        found = await streamed(client(server))
    assert "".join(texts(found)) == "Z9<ref>[1]</ref>好"
    assert [delta.last for delta in found] == [False] * (len(found) - 1) + [True]
    assert [c["doc_id"] for c in found[-1].additional["citations"]] == ["file_fake_1"]
    assert found[-1].metadata["doc_references"] == [REFERENCE]


async def test_request(client: Connect) -> None:
    """Traps 2 and 10 on the wire: streaming is a header, the key a bearer, the body as documented."""
    with RawServer(stream_answer(*map(frame, AGENT)), json_answer(json.dumps(output("好")).encode())) as server:
        using = client(server, workspace_id="llm-demo")
        await streamed(using, memory_id="m1", enable_thinking=True)
        await using.send(apps.complete(question(), "llm-demo"))
    head, _, _ = server.requests[0].partition(b"\r\n\r\n")
    lines = {line.lower() for line in head.split(b"\r\n")}
    assert head.startswith(b"POST /api/v1/apps/demo/completion HTTP/1.1\r\n")
    expected = {b"x-dashscope-sse: enable", b"authorization: bearer test-key", b"accept-encoding: identity"}
    assert expected | {b"accept: text/event-stream", b"content-type: application/json"} <= lines
    assert body_of(server.requests[0]) == {
        "input": {"prompt": "你好", "memory_id": "m1"},
        "parameters": {
            "incremental_output": True,
            "flow_stream_mode": "message_format",
            "has_thoughts": True,
            "enable_thinking": True,
        },
    }
    head = server.requests[1].partition(b"\r\n\r\n")[0].lower()
    assert b"x-dashscope-sse" not in head
    assert b"x-dashscope-workspace: llm-demo" in head


async def test_whole_answer(client: Connect) -> None:
    """A whole answer, with usage summed and references."""
    body = output("Z9<ref>[1]</ref>", reason="stop", usage=USAGE, doc_references=[REFERENCE])
    with RawServer(json_answer(json.dumps(body).encode())) as server:
        reply = await client(server).send(apps.complete(question()))
    assert (reply.answers[0].text, reply.usage) == ("Z9<ref>[1]</ref>", Usage(12, 5))
    assert reply.answers[0].additional["citations"][0]["title"] == "手机"


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"code": "BailianGateway.Workspace.NotAuthorised", "message": "no"}, PermissionDeniedError),
        ({"request_id": "r-1"}, APIResponseError),
        ({"output": None, "request_id": "r-1"}, APIResponseError),
    ],
)
async def test_whole_answer_without_output(client: Connect, body: dict[str, Any], error: type[Exception]) -> None:
    """A body under HTTP 200 that has a code, or no answer, is no empty answer."""
    with RawServer(json_answer(json.dumps(body).encode())) as server, pytest.raises(error):
        await client(server).send(apps.complete(question()))


@pytest.mark.parametrize("end", ["\n\n", "\n"])
async def test_nodes_come_while_they_run(client: Connect, end: str) -> None:
    """A node's message reaches the caller before the service says anything more."""
    heard = threading.Event()

    def play(connection: Connection) -> None:
        connection.send(STREAM_HEAD + chunk(frame(FLOW[0], end=end)))
        assert heard.wait(5)
        connection.send(chunk(b"".join(map(frame, FLOW[1:]))) + b"0\r\n\r\n")

    with RawServer(play) as server:
        stream = await client(server).stream(apps.stream(question()))
        first = await anext(stream)
        assert [message["node_type"] for message in told([first])] == ["Start"]
        heard.set()
        rest = [delta async for delta in stream]
    assert texts(rest) == ["Z9<ref>[1]</", "ref>好"]


@pytest.mark.parametrize("kind", KINDS)
async def test_truncated(client: Connect, kind: str) -> None:
    """A stream that ends in good order without its final event raises, with what was said."""
    with RawServer(stream_answer(*map(frame, KINDS[kind][:3]))) as server, pytest.raises(APIResponseError) as caught:
        await streamed(client(server))
    assert (caught.value.partial_text, caught.value.request_id) == ("Z9<ref>[1]</ref>好", "r-1")
    assert len(server.requests) == 1


async def test_broken(client: Connect) -> None:
    """A connection that breaks inside the answer keeps what was said, and nothing is sent again."""

    def play(connection: Connection) -> None:
        connection.send(STREAM_HEAD + chunk(frame(output("一"))))
        connection.close()

    with RawServer(play) as server, pytest.raises(APIConnectionError) as caught:
        await streamed(client(server))
    assert caught.value.partial_text == "一"
    assert len(server.requests) == 1


@pytest.mark.parametrize("line", ["event:error", "event: error"])
@pytest.mark.parametrize("end", ["\n\n", "\n"])
async def test_error_after_text(client: Connect, line: str, end: str) -> None:
    """Trap 6: an error event ends the answer with its own status, and what was said survives."""
    error = frame({"code": "Throttling.RateQuota", "message": "slow down", "request_id": "r-2"}, "error", 429)
    with (
        RawServer(stream_answer(frame(AGENT[1], end=end), error.replace(b"event:error", line.encode()))) as server,
        pytest.raises(RateLimitError) as caught,
    ):
        await streamed(client(server))
    assert (caught.value.status_code, caught.value.request_id) == (429, "r-2")
    assert caught.value.partial_text == "Z9<ref>[1]</"
    assert len(server.requests) == 1


@pytest.mark.parametrize(("fields", "sent"), [({}, 2), ({"session_id": SESSION}, 1), ({"memory_id": "m"}, 1)])
async def test_retries(client: Connect, fields: dict[str, Any], sent: int) -> None:
    """Trap 16: an internal error may have stored the turn, so what the service remembers is not said twice."""
    error = frame({"code": "InternalError", "message": "oops"}, "error", 500)
    with RawServer(stream_answer(error), stream_answer(*map(frame, AGENT))) as server:
        if sent == 1:
            with pytest.raises(InternalServerError):
                await streamed(client(server), **fields)
        else:
            assert texts(await streamed(client(server), **fields)) == ["Z9<ref>[1]</", "ref>好"]
    assert len(server.requests) == sent


async def test_throttled_session(client: Connect) -> None:
    """What was throttled was not stored: it is sent again."""
    error = frame({"code": "Throttling", "message": "slow down"}, "error", 429)
    with RawServer(stream_answer(error), stream_answer(*map(frame, AGENT))) as server:
        assert texts(await streamed(client(server), session_id=SESSION))
    assert len(server.requests) == 2


async def test_refused_as_a_stream(client: Connect) -> None:
    """An error event under a refusing HTTP status is read as under HTTP 200."""
    event = frame({"code": "InvalidParameter", "message": "no prompt"}, "error", 400)
    head = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n" % len(event)
    with (
        RawServer(lambda connection: connection.send(head + event)) as server,
        pytest.raises(BadRequestError, match="no prompt"),
    ):
        await streamed(client(server))


async def test_misshapen_event(client: Connect) -> None:
    """Members of another shape are an error that says so, with what was said."""
    odd = frame({"output": {"finish_reason": "null", "thoughts": ["想"]}})
    with (
        RawServer(stream_answer(frame(output("一")), odd)) as server,
        pytest.raises(APIResponseError, match="shape") as caught,
    ):
        await streamed(client(server))
    assert caught.value.partial_text == "一"


def watched(together: int) -> tuple[RawServer, list[int]]:
    """A server, and how many of its answers were running whenever one began; none ends before so many have begun."""
    running = 0
    seen: list[int] = []
    lock = threading.Lock()
    begun = threading.Barrier(together)

    def play(connection: Connection) -> None:
        nonlocal running
        with lock:
            running += 1
            seen.append(running)
        connection.send(STREAM_HEAD + chunk(frame(output("一"))))
        begun.wait(5)
        threading.Event().wait(0.005)  # for another one to begin, if nothing keeps it
        with lock:
            running -= 1
        connection.send(chunk(frame(output("", reason="stop"))) + b"0\r\n\r\n")

    return RawServer(play), seen


@pytest.mark.parametrize(("session", "together"), [(SESSION, 1), (None, 4)])
def test_threads_of_one_session(session: str | None, together: int) -> None:
    """Calls of one session wait for each other; without a session nothing waits."""
    server, seen = watched(together)
    with server, Client(BailianSettings(api_key="test-key", base_url=server.url)) as client:
        threads = [
            threading.Thread(target=lambda: list(client.stream(apps.stream(question(session_id=session)))))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert (len(seen), max(seen)) == (4, together)


async def test_tasks_of_one_session() -> None:
    """As with threads."""
    server, seen = watched(1)
    with server:
        async with AsyncClient(BailianSettings(api_key="test-key", base_url=server.url)) as client:

            async def ask() -> None:
                async for _ in await client.stream(apps.stream(question(session_id=SESSION))):
                    pass

            await asyncio.gather(*(ask() for _ in range(4)))
    assert seen == [1, 1, 1, 1]


async def test_left_early(client: Connect) -> None:
    """Closing the stream closes the connection at once: there is no call that cancels."""
    hung_up: list[bool] = []

    def play(connection: Connection) -> None:
        connection.send(STREAM_HEAD + chunk(frame(output("一"))))
        hung_up.append(connection.hung_up())

    with RawServer(play) as server:
        stream = await client(server).stream(apps.stream(question()))
        await anext(stream)
        await stream.aclose()
        await until(lambda: hung_up == [True])
    assert len(server.requests) == 1
