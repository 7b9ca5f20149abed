"""Models over time: streams left early, copies, threads, event loops, connections."""

import asyncio
import copy
import json
import pickle
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cloudpickle
import httpx
import pytest
from blockbuster import blockbuster_ctx
from langchain_core.messages import AIMessage

from langchain_xingchen import ChatXingchen
from raw_server import Connection, RawServer, json_answer
from xingchen_core.emulator import Emulator

MakeModel = Callable[..., ChatXingchen]
Way = Callable[..., AIMessage]


async def soon(true: Callable[[], bool]) -> bool:
    """Whether it becomes true within two seconds."""
    end = time.monotonic() + 2
    while not true() and time.monotonic() < end:  # noqa: ASYNC110  # what is waited for happens in another thread
        await asyncio.sleep(0.001)
    return true()


async def close(model: ChatXingchen, left: Callable[[], bool]) -> bool:
    """Closes a stream."""
    stream = model.stream("你好")
    assert next(stream).content == "今天"
    stream.close()  # type: ignore[attr-defined]  # it is a generator
    return await soon(left)


async def forget(model: ChatXingchen, left: Callable[[], bool]) -> bool:
    """Leaves a loop over a stream."""
    for chunk in model.stream("你好"):
        assert chunk.content == "今天"
        break
    return await soon(left)


async def aclose(model: ChatXingchen, left: Callable[[], bool]) -> bool:
    """Closes an async stream."""
    stream = model.astream("你好")
    assert (await anext(stream)).content == "今天"
    await stream.aclose()  # type: ignore[attr-defined]  # it is a generator
    return await soon(left)


async def aforget(model: ChatXingchen, left: Callable[[], bool]) -> bool:
    """Leaves an async loop over a stream."""
    async for chunk in model.astream("你好"):
        assert chunk.content == "今天"
        break
    return await soon(left)


async def cancel(model: ChatXingchen, left: Callable[[], bool]) -> bool:
    """Cancels the task that reads a stream."""
    spoken = asyncio.Event()

    async def listen() -> None:
        async for _ in model.astream("你好"):
            spoken.set()

    task = asyncio.create_task(listen())
    await spoken.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return await soon(left)


LEAVING = [close, forget, aclose, aforget, cancel]


@pytest.mark.parametrize("leave", LEAVING)
@pytest.mark.parametrize("stop_on_close", [True, False])
def test_leaving_a_stream_early(make: MakeModel, emulator: Emulator, leave: Any, *, stop_on_close: bool) -> None:
    """The connection is closed at once, and the service is told to stop, once, where that was asked for."""
    emulator.wire(delay=60)
    emulator.reply("今天天气真好。", chunks=["今天", "天气", "真好。"])

    def stops() -> list[Any]:
        return [request.json for request in emulator.requests if request.path == "/v2/api/chat/stop"]

    def left() -> bool:
        return not emulator.xingchen.busy_users and len(stops()) == int(stop_on_close)

    assert asyncio.run(leave(make(stop_on_close=stop_on_close), left))
    [running] = emulator.xingchen.running
    assert stops() == ([{"requestId": running, "content": "今天"}] if stop_on_close else [])


def test_a_stream_read_to_its_end_is_not_stopped(make: MakeModel, emulator: Emulator, chunks_of: Way) -> None:
    """There is nothing left to stop."""
    chunks_of(make(stop_on_close=True), "你好")
    assert [request.path for request in emulator.requests] == ["/v2/api/chat/send"]


def test_stopping_by_hand(make: MakeModel, emulator: Emulator) -> None:
    """`stop_generation` ends the running answer; afterwards there is none to end."""
    emulator.wire(delay=60)
    emulator.reply("今天天气真好。", chunks=["今天", "天气", "真好。"])
    model = make()
    stream = model.stream("你好")
    next(stream)
    [running] = emulator.xingchen.running
    assert model.stop_generation(running, "今天") is True
    assert [chunk.content for chunk in stream] == [""]
    assert asyncio.run(model.astop_generation(running, "今天")) is False


def pickled(model: ChatXingchen) -> ChatXingchen:
    """The model after a journey as a pickle."""
    revived: ChatXingchen = pickle.loads(pickle.dumps(model))
    return revived


def cloudpickled(model: ChatXingchen) -> ChatXingchen:
    """The model after a journey as cloudpickle sends it to workers."""
    revived: ChatXingchen = pickle.loads(cloudpickle.dumps(model))
    return revived


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, ChatXingchen.model_copy, pickled, cloudpickled])
def test_copies_work(make: MakeModel, way: Way, copied: Callable[[ChatXingchen], ChatXingchen]) -> None:
    """A copy of a used model is equal to it and answers as it does, key included."""
    model = make(user_id="u1", scenario="放学路上", timeout=httpx.Timeout(5, connect=2.5))
    way(model, "你好")
    with copied(model) as other:
        for name in ChatXingchen.model_fields:
            assert getattr(other, name) == getattr(model, name)
        assert other.model_fields_set == model.model_fields_set
        assert way(other, "你多大了?").content == way(model, "你多大了?").content


def test_copies_of_a_model_with_a_client_of_the_callers(make: MakeModel) -> None:
    """Copies share the caller's client; a pickle, which cannot hold sockets, leaves it out."""
    with httpx.Client() as client:
        model = make(http_client=client)
        assert copy.deepcopy(model).http_client is client
        assert pickled(model).http_client is None


def test_a_copy_with_another_address(make: MakeModel, emulator: Emulator) -> None:
    """A changed copy goes where it says, not where the model it was copied from went."""
    model = make()
    model.invoke("你好")
    with Emulator() as other:
        with model.model_copy(update={"base_url": other.url}) as moved:
            moved.invoke("你好")
        assert (len(emulator.requests), len(other.requests)) == (1, 1)


def test_one_loop_after_another(make: MakeModel) -> None:
    """A model outlives the event loops it is used in, also without being closed."""
    model = make()
    for _ in range(3):
        assert asyncio.run(model.ainvoke("你好")).content


def test_many_threads(make: MakeModel, ask: Way) -> None:
    """Twenty threads share a model, each with its own loop if need be; everyone gets the answer to his question."""
    model = make()
    with ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(lambda number: ask(model, f"第{number}句").content, range(60)))
    assert [f"「第{number}句」" in str(answer) for number, answer in enumerate(answers)] == [True] * 60


def test_many_tasks(make: MakeModel) -> None:
    """So do tasks of one loop, streams and calls at once."""
    model = make()

    async def stream(number: int) -> str:
        return "".join([str(chunk.content) async for chunk in model.astream(f"第{number}句")])

    async def call(number: int) -> str:
        return str((await model.ainvoke(f"第{number}句")).content)

    async def all_at_once() -> list[str]:
        return await asyncio.gather(*(ask(number) for number in range(20) for ask in (stream, call)))

    answers = asyncio.run(all_at_once())
    assert [f"「第{number // 2}句」" in answer for number, answer in enumerate(answers)] == [True] * 40


def test_clients_of_the_callers(make: MakeModel, emulator: Emulator, ways: dict[str, Way]) -> None:
    """A client that was handed in is used for everything, with its own headers, and is not closed by us."""
    client = httpx.Client(headers={"x-mine": "1"}, trust_env=False)
    async_client = httpx.AsyncClient(headers={"x-mine": "1"}, trust_env=False)
    model = make(http_client=client, http_async_client=async_client, base_url=emulator.url)

    async def use() -> None:
        async with model:
            await model.ainvoke("你好")
            async for _ in model.astream("你好"):
                pass
        assert not async_client.is_closed
        await async_client.aclose()

    with model:
        model.invoke("你好")
        list(model.stream("你好"))
    assert not client.is_closed
    client.close()
    asyncio.run(use())
    assert [request.headers.get("x-mine") for request in emulator.requests] == ["1"] * 4


ANSWER = {"code": 200, "success": True, "data": {"choices": [{"messages": [{"role": "assistant", "content": "好"}]}]}}


def test_connections_are_shared_and_closed() -> None:
    """Models with the same settings share connections; the last one that is closed closes them, and works again."""
    hung_up: list[bool] = []
    answer = json_answer(json.dumps(ANSWER).encode())

    def answer_and_watch(connection: Connection) -> None:
        answer(connection)
        hung_up.append(connection.hung_up())

    with RawServer(answer, answer_and_watch, answer) as server:
        first, second = (ChatXingchen(character_id="demo", api_key="test-key", base_url=server.url) for _ in range(2))
        first.invoke("你好")
        first.close()
        assert hung_up == []
        second.invoke("你好")
        second.close()
        assert asyncio.run(soon(lambda: hung_up == [True]))
        with first:
            assert first.invoke("你好").content == "好"
        assert server.accepted == 3


def test_async_connections_are_closed() -> None:
    """`aclose`, here at the end of `async with`, closes the connections of the running loop."""
    hung_up: list[bool] = []
    answer = json_answer(json.dumps(ANSWER).encode())

    def answer_and_watch(connection: Connection) -> None:
        answer(connection)
        hung_up.append(connection.hung_up())

    async def use(url: str) -> bool:
        async with ChatXingchen(character_id="demo", api_key="test-key", base_url=url) as model:
            await model.ainvoke("你好")
            assert hung_up == []
        return await soon(lambda: hung_up == [True])

    with RawServer(answer_and_watch) as server:
        assert asyncio.run(use(server.url))


FIRST_REQUEST = """
import asyncio, sys
from blockbuster import blockbuster_ctx
from langchain_xingchen import ChatXingchen

async def main():
    with blockbuster_ctx():
        model = ChatXingchen(character_id="demo", api_key="test-key", base_url=sys.argv[1])
        assert (await model.ainvoke("你好")).content
        assert [chunk async for chunk in model.astream("你好")]
        assert (await model.abatch(["你好"]))[0].content
        await model.aclose()

asyncio.run(main())
"""


def test_nothing_blocks_the_loop(emulator: Emulator) -> None:
    """Neither construction nor the first request of a process does work that the event loop has to wait for."""
    command = [sys.executable, "-c", FIRST_REQUEST, emulator.url]
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    assert done.stderr == ""


def test_blocking_would_be_noticed() -> None:
    """The guard of the test above does notice."""

    async def block() -> None:
        with blockbuster_ctx():
            time.sleep(0)  # noqa: ASYNC251

    with pytest.raises(Exception, match="Blocking call"):
        asyncio.run(block())
