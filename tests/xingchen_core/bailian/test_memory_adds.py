"""Adding: what comes of it, waiting for it, and that it is never done twice."""

import asyncio
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import httpx
import pytest

from memory_library import new_user, node_entry, ok, refused
from raw_server import Connection, RawServer, json_answer
from toy_service import until
from xingchen_core import (
    APIConnectionError,
    APIResponseError,
    APITimeoutError,
    AsyncClient,
    InternalServerError,
    NotFoundError,
    Pause,
)
from xingchen_core.bailian import ModelMessage, memory

Connect = Callable[..., Any]
TALK = [ModelMessage(role="user", content="明天十一点叫我")]
EVENT = "evt-fake-1"
OBSERVED = {"memory_type": "observation", "content": "要在十一点被叫醒", "event": "ADD", "memory_node_id": f"{1:032d}"}
HOBBY = {"memory_type": "user_profile", "name": "hobby", "content": "游泳", "event": "ADD"}
REWRITTEN = {"memory_node_id": f"{2:032d}", "content": "喝咖啡", "old_content": "喝茶", "event": "UPDATE"}


@pytest.fixture
def connect(connect: Connect) -> Connect:
    """Clients with a key."""
    return partial(connect, make_settings=memory.MemorySettings, api_key="test-key")


def part(status: str | None = "PENDING", **members: Any) -> dict[str, Any]:
    """What an asynchronous add does to one resource."""
    return {
        "event_id": EVENT,
        "event_type": "ADD_ASYNC",
        "resource_type": "observation",
        "resource_id": "projfake01",
        "user_id": "u1",
        "status": status,
        "result": [],
        "created_at": 1790000000,
        "updated_at": 1790000000,
        **members,
    }


def answering(*answers: httpx.Response) -> Callable[[httpx.Request], httpx.Response]:
    """A service that gives these answers in turn, and the last one again and again."""
    left = list(answers)
    return lambda request: left.pop(0) if len(left) > 1 else left[0]


def started(*parts: dict[str, Any]) -> memory.AddEvent:
    """An add as `add_async` returns it."""
    event: memory.AddEvent = memory.add_async(TALK, user_id="u1").parse(
        {"event_id": EVENT, "events": list(parts or (part(),))}
    )
    return event


def steps(flow: Any, answers: Iterable[Any]) -> tuple[list[float], Any]:
    """Drive a flow by hand: its pauses, and what it returns."""
    paused: list[float] = []
    left = iter(answers)
    answer: Any = None
    while True:
        try:
            step = flow.send(answer)
        except StopIteration as done:
            return paused, done.value
        answer = None
        if isinstance(step, Pause):
            paused.append(step.seconds)
        else:
            answer = step.parse(next(left))


# What comes of an add


async def test_changes(connect: Connect) -> None:
    """One add can make memories, rewrite and delete older ones, and fill a profile."""
    gone = {"memory_node_id": f"{3:032d}", "content": "喝水", "event": "DELETE"}
    client = connect(answering(ok(memory_nodes=[OBSERVED, REWRITTEN, gone, HOBBY])))
    changes = await client.send(memory.add(TALK, user_id=new_user()))
    assert [(change.event, change.node_id, change.text, change.old_text, change.name) for change in changes] == [
        ("ADD", f"{1:032d}", "要在十一点被叫醒", None, None),
        ("UPDATE", f"{2:032d}", "喝咖啡", "喝茶", None),
        ("DELETE", f"{3:032d}", "喝水", None, None),
        ("ADD", None, "游泳", None, "hobby"),
    ]


@pytest.mark.parametrize("found", [{"memory_nodes": []}, {"memory_nodes": None}, {}])
async def test_nothing_worth_keeping(connect: Connect, found: dict[str, Any]) -> None:
    """That nothing was worth keeping is a good answer."""
    assert await connect(answering(ok(**found))).send(memory.add(TALK, user_id="u1")) == ()


# Asynchronous adds


async def test_waiting(connect: Connect, waits: list[float]) -> None:
    """The wait asks, less and less often, until the add has ended, and tells what it did."""
    done = part("SUCCEEDED", result=[OBSERVED, HOBBY])
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(f"{request.method} {request.url.path.removeprefix('/api/v2/apps/memory/')}")
        if request.method == "POST":
            return ok(event_id=EVENT, events=[part()])
        return ok(**(part("PENDING"), part("RUNNING"), part("RUNNING", result=None), done)[len(seen) - 2])

    client = connect(answer)
    event = await client.send(memory.add_async(TALK, user_id="u1"))
    assert (event.id, event.user_id, event.is_pending, event.changes) == (EVENT, "u1", True, ())
    event = await client.run(memory.wait_for_event(event))
    assert (event.is_pending, event.failure) == (False, None)
    assert [(change.text, change.name) for change in event.changes] == [("要在十一点被叫醒", None), ("游泳", "hobby")]
    assert seen == ["POST add-async", *[f"GET events/{EVENT}"] * 4]
    assert waits == [2.0, 3.0, 4.5, 6.75]


@pytest.mark.parametrize(
    "wrapped", [lambda entry: entry, lambda entry: {"event": entry}, lambda entry: {"events": [entry]}]
)
def test_how_an_event_may_come(wrapped: Callable[[Any], Any]) -> None:
    """Bare, wrapped or in a list: which, is documented for the start of an add only."""
    event = memory.get_event(EVENT, user_id="u1").parse(
        {"request_id": "r", **wrapped(part("SUCCEEDED", result=[HOBBY]))}
    )
    assert (event.id, event.failure, [change.text for change in event.changes]) == (EVENT, None, ["游泳"])
    assert event.parts[0].created_at.timestamp() == 1790000000  # seconds


def test_an_add_of_several_parts() -> None:
    """It has ended when all its parts have, and failed if one has."""
    both = [part("SUCCEEDED", result=[OBSERVED]), part("RUNNING", resource_type="user_profile")]
    paused, event = steps(
        memory.wait_for_event(started(*both)),
        [{"events": both}, {"events": [both[0], part("SUCCEEDED", resource_type="profile", result=[HOBBY])]}],
    )
    assert (len(paused), len(event.changes)) == (2, 2)
    with pytest.raises(APIResponseError, match="QuotaExceeded: too many"):
        steps(memory.wait_for_event(started(both[0], part("FAILED", detail="QuotaExceeded: too many"))), [])


def test_small_talk() -> None:
    """Success without anything is normal, and takes no further look."""
    assert steps(memory.wait_for_event(started(part("SUCCEEDED"))), []) == ([], started(part("SUCCEEDED")))


@pytest.mark.parametrize(
    ("status", "detail", "words"),
    [
        ("FAILED", "InternalError: extraction broke", "InternalError: extraction broke"),
        ("FAILED", None, "FAILED"),
        ("UNRECORDED", None, "UNRECORDED"),
        ("CANCELLED", None, "CANCELLED"),
    ],
)
async def test_failed_adds(connect: Connect, status: str, detail: str | None, words: str) -> None:
    """The wait ends at any status that is not on the way, and only success is success; the reason is told."""
    client = connect(answering(ok(**part(status, detail=detail))))
    with pytest.raises(APIResponseError, match=f"Add {EVENT} failed: {words}") as caught:
        await client.run(memory.wait_for_event(started()))
    assert not caught.value.is_retryable


async def test_the_deadline(connect: Connect, waits: list[float]) -> None:
    """A wait that is too long ends; the pauses together are as long as was allowed, and none is endless."""
    client = connect(answering(ok(**part("RUNNING"))))
    with pytest.raises(APITimeoutError, match=f"{EVENT} has not ended within 120 s"):
        await client.run(memory.wait_for_event(started()))
    assert sum(waits) == pytest.approx(120)
    assert max(waits) <= 30
    assert waits[0] == 2


def test_a_status_that_is_missing() -> None:
    """An event that names no status is on its way."""
    assert started(part(None)).is_pending
    paused, _ = steps(memory.wait_for_event(started(part(None))), [part("SUCCEEDED")])
    assert paused == [2.0]


async def test_cancelling_a_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who cancels the task that waits, waits no longer and asks no more."""
    asked = 0

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal asked
        asked += 1
        return ok(**part("RUNNING"))

    async def forever(seconds: float) -> None:
        if asked:
            await asyncio.Event().wait()

    monkeypatch.setattr("xingchen_core._client._async_sleep", forever)
    http = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    async with AsyncClient(memory.MemorySettings(api_key="test-key", http_async_client=http)) as client:
        task = asyncio.create_task(client.run(memory.wait_for_event(started())))
        await until(lambda: asked)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert asked == 1


async def test_other_users_events(connect: Connect) -> None:
    """Another user's event is not found, and what it tells is not told; one that names no user can be waited for."""
    client = connect(answering(ok(**part("SUCCEEDED", user_id="someone", result=[OBSERVED]))))
    with pytest.raises(NotFoundError, match="No event") as caught:
        await client.send(memory.get_event(EVENT, user_id="u1"))
    assert "十一点" not in str(caught.value)
    client = connect(answering(ok(event_id=EVENT, status="SUCCEEDED", result=[])))
    assert (await client.send(memory.get_event(EVENT, user_id="u1"))).failure is None


async def test_unknown_events(connect: Connect) -> None:
    """An event that does not exist ends the wait."""
    client = connect(answering(refused(404, "NotFound")))
    with pytest.raises(NotFoundError):
        await client.run(memory.wait_for_event(started()))


# Never twice

ADDS = {"add": memory.add("喝茶", user_id="u1"), "add_async": memory.add_async(TALK, user_id="u1")}
each_add = pytest.mark.parametrize("call", ADDS.values(), ids=ADDS.keys())
GOOD = json_answer(b'{"request_id":"r","memory_nodes":[],"event_id":"evt-fake-1","events":[]}')


def breaking(connection: Connection) -> None:
    """Take a request and hang up without an answer."""
    connection.close()


@each_add
async def test_an_add_that_may_have_been_heard(connect: Connect, call: Any) -> None:
    """An add whose answer did not come is not repeated: there is nothing by which the service would know it again."""
    with RawServer(breaking, GOOD) as server:
        with pytest.raises(APIConnectionError):
            await connect(server.url).send(call)
        assert len(server.requests) == 1


@each_add
async def test_an_add_that_timed_out(connect: Connect, call: Any) -> None:
    """Nor is one that took too long."""
    with RawServer(lambda connection: None, GOOD) as server:
        with pytest.raises(APITimeoutError):
            await connect(server.url, timeout=0.05).send(call)
        assert len(server.requests) == 1


@each_add
@pytest.mark.parametrize("status", [500, 502, 503])
async def test_an_add_that_failed(connect: Connect, call: Any, status: int) -> None:
    """Nor is one that failed in the service: it may be stored."""
    seen: list[int] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(status)
        return refused(status, "InternalError")

    with pytest.raises(InternalServerError):
        await connect(answer).send(call)
    assert seen == [status]


@each_add
async def test_an_add_that_was_refused_by_throttling(connect: Connect, call: Any) -> None:
    """One that was throttled was not done: it is repeated. So is one that never reached the service."""
    answers: list[httpx.Response | None] = [
        None,
        refused(429, "TooManyRequests"),
        ok(event_id=EVENT, events=[part()], memory_nodes=[]),
    ]

    def answer(request: httpx.Request) -> httpx.Response:
        response = answers.pop(0)
        if response is None:
            raise httpx.ConnectError("refused", request=request)
        return response

    await connect(answer).send(call)
    assert answers == []


async def test_reads_are_repeated(connect: Connect) -> None:
    """A search that broke is asked again; over a real connection, with the key, as JSON."""
    found = b'{"memory_nodes":[{"memory_node_id":"n1","content":"\xe5\x96\x9d\xe8\x8c\xb6","score":0.676}]}'
    with RawServer(breaking, json_answer(found)) as server:
        result = await connect(server.url, workspace_id="llm-demo").send(memory.search("喝什么", user_id=new_user()))
        head, _, body = server.requests[1].partition(b"\r\n\r\n")
    assert [(node.id, node.text, node.score) for node in result.nodes] == [("n1", "喝茶", 0.676)]
    assert head.startswith(b"POST /api/v2/apps/memory/memory_nodes/search HTTP/1.1\r\n")
    assert b"authorization: bearer test-key" in head.lower()
    assert b'"messages":[{"role":"user","content":"\xe5\x96\x9d\xe4\xbb\x80\xe4\xb9\x88"}]' in body


async def test_deleting_over_a_connection(connect: Connect) -> None:
    """Reads and deletes have no body, and the flow goes over one connection."""
    user = new_user()
    node = node_entry(1, user_id=user)
    read = httpx.Response(200, json={"memory_node": node}).content
    with RawServer(json_answer(read), json_answer(b'{"request_id":"r"}')) as server:
        await connect(server.url).run(memory.delete_node("n1", user_id=user, library_id="libfake01"))
        heads = [request.partition(b"\r\n\r\n") for request in server.requests]
    assert [head.split(b" HTTP")[0] for head, _, _ in heads] == [
        b"GET /api/v2/apps/memory/memory_nodes/n1",
        b"DELETE /api/v2/apps/memory/memory_nodes/n1?memory_library_id=libfake01",
    ]
    assert [body for _, _, body in heads] == [b"", b""]
