"""One chat of a user at a time, where the platform keeps the history: from threads, tasks, or both."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import Any, ClassVar, Self

import pytest
from langchain_core.output_parsers import StrOutputParser

from langchain_xingchen import ChatXingchen
from toy_service import until
from xingchen_core import BadRequestError, ConfigurationError, InternalServerError, _locks, characters
from xingchen_core.emulator import Emulator

MakeModel = Callable[..., ChatXingchen]
Way = Callable[..., Any]


@pytest.fixture
def model(make: MakeModel) -> ChatXingchen:
    """A model whose user u1 the platform knows."""
    return make(user_id="u1", platform_history=True)


@pytest.fixture
def strict(emulator: Emulator) -> Emulator:
    """A service that takes one chat of a user at a time, and answers slowly enough for two to meet."""
    emulator.xingchen.one_chat_per_user = True
    emulator.wire(delay=0.003)
    return emulator


Begin = Callable[..., Coroutine[Any, Any, Any]]


async def by_thread(model: ChatXingchen, text: str, **kwargs: Any) -> Any:
    """`invoke` in a thread of its own."""
    return await asyncio.to_thread(model.invoke, text, **kwargs)


async def by_task(model: ChatXingchen, text: str, **kwargs: Any) -> Any:
    """`ainvoke`."""
    return await model.ainvoke(text, **kwargs)


BEGINS = {"thread": by_thread, "task": by_task}
PAIRS = pytest.mark.parametrize(
    ("first", "second"),
    [(BEGINS[a], BEGINS[b]) for a in BEGINS for b in BEGINS],
    ids=[f"{a}, {b}" for a in BEGINS for b in BEGINS],
)


async def test_without_a_lock_they_meet(make: MakeModel, strict: Emulator) -> None:
    """What the tests below rely on: this emulator does refuse chats of one user that overlap."""
    model = make(user_id="u1", streaming=True)  # the caller keeps this history, so nothing waits
    results = await asyncio.gather(*(by_task(model, "你多大了?") for _ in range(5)), return_exceptions=True)
    assert any(isinstance(result, BadRequestError) for result in results)


@PAIRS
async def test_queue(make: MakeModel, strict: Emulator, first: Begin, second: Begin) -> None:
    """Two chats of one user wait for each other, from threads, tasks, or one of each: the service never sees both."""
    model = make(user_id="u1", platform_history=True, streaming=True)
    answers = await asyncio.gather(first(model, "你多大了?"), second(model, "你多大了?"))
    assert [answer.text for answer in answers] == ["我今年十七岁啦，比你想的要小一点吧？"] * 2
    assert len(strict.requests) == 2


@PAIRS
async def test_other_users(make: MakeModel, strict: Emulator, first: Begin, second: Begin) -> None:
    """Chats of different users run side by side: while a stream of u1 is open, u2 is answered."""
    model = make(user_id="u1", platform_history=True)
    chunks = model.astream("你好")
    async with aclosing(chunks):
        await anext(chunks)
        answers = await asyncio.gather(first(model, "你好", user_id="u2"), second(model, "你好", user_id="u3"))
    assert all(answer.text for answer in answers)


@pytest.mark.parametrize("waiter", BEGINS.values(), ids=BEGINS.keys())
@pytest.mark.parametrize("end", ["read", "closed"])
async def test_stream_holds(model: ChatXingchen, strict: Emulator, waiter: Begin, end: str) -> None:
    """An open stream keeps the others of its user waiting until it is read to its end, or closed."""
    chunks = model.astream("你多大了?")
    async with aclosing(chunks):
        await anext(chunks)
        waiting = asyncio.create_task(waiter(model, "你好"))
        await asyncio.sleep(0.005)
        assert len(strict.requests) == 1
        if end == "read":
            async for _ in chunks:
                pass
            assert (await waiting).text
    assert (await waiting).text
    assert len(strict.requests) == 2


def test_blocking_stream_holds(model: ChatXingchen, strict: Emulator) -> None:
    """The same of a blocking stream; dropping it is as good as closing it."""
    chunks = model.stream("你多大了?")
    next(chunks)
    answers: list[Any] = []
    waiting = threading.Thread(target=lambda: answers.append(model.invoke("你好")))
    waiting.start()
    waiting.join(0.005)
    assert waiting.is_alive()
    assert len(strict.requests) == 1
    del chunks
    waiting.join(5)
    assert len(answers) == 1


@pytest.mark.parametrize("steps", [1, 2])
async def test_a_consumer_of_a_chain_asks_again(model: ChatXingchen, steps: int) -> None:
    """Who asks the same user again while it reads a chain is told, and does not wait for itself for ever."""
    chain: Any = model
    for _ in range(steps):
        chain = chain | StrOutputParser()
    pieces = chain.astream("你多大了?")
    async with asyncio.timeout(5), aclosing(pieces):
        await anext(pieces)
        with pytest.raises(ConfigurationError, match="still running here"):
            await model.ainvoke("你好")
        with pytest.raises(ConfigurationError, match="still running here"):
            await anext((model | StrOutputParser()).astream("你好"))
        others = asyncio.create_task(model.ainvoke("你好"))  # another task may wait
        assert "".join([piece async for piece in pieces])
    assert (await others).text


async def test_order(model: ChatXingchen, emulator: Emulator) -> None:
    """The platform hears the questions in the order they were asked."""
    chunks = model.astream("第0个")
    async with aclosing(chunks):
        await anext(chunks)
        waiting = []
        for number in range(1, 7):
            begin = by_thread if number % 2 else by_task
            waiting.append(asyncio.create_task(begin(model, f"第{number}个")))
            await until(lambda number=number: sum(map(len, _locks._lines.values())) > number)  # it stands in line
    await asyncio.gather(*waiting)
    asked = [request.json["input"]["messages"][0]["content"] for request in emulator.requests]
    assert asked == [f"第{number}个" for number in range(7)]


async def test_cancelled_waiter(model: ChatXingchen, emulator: Emulator) -> None:
    """Who stops waiting is not asked for, and the one behind does not wait for it."""
    chunks = model.astream("一")
    async with aclosing(chunks):
        await anext(chunks)
        impatient = asyncio.create_task(model.ainvoke("二"))
        patient = asyncio.create_task(model.ainvoke("三"))
        await asyncio.sleep(0.005)
        impatient.cancel()
        with pytest.raises(asyncio.CancelledError):
            await impatient
    assert (await patient).text
    assert [request.json["input"]["messages"][0]["content"] for request in emulator.requests] == ["一", "三"]


async def test_cancelled_chat(model: ChatXingchen, emulator: Emulator) -> None:
    """A chat that is cancelled while the service thinks lets the next one in."""
    emulator.fail("stall")
    slow = asyncio.create_task(model.ainvoke("一"))
    await until(lambda: emulator.requests)
    slow.cancel()
    with pytest.raises(asyncio.CancelledError):
        await slow
    assert (await model.ainvoke("二")).text


def test_errors_free(model: ChatXingchen, emulator: Emulator, way: Way) -> None:
    """After a failure of any kind the next chat begins at once."""
    for kind, more in (("status", {"status": 500}), ("error_event", {"status": 500, "after": 1})):
        emulator.fail(kind, **more)  # type: ignore[arg-type]  # one of the kinds
        with pytest.raises(InternalServerError):
            way(model, "你好")
    assert way(model, "你好").text


def test_own_stream(model: ChatXingchen) -> None:
    """Chatting while one's own stream of the same user is open would wait for ever: it is an error that says so."""
    chunks = model.stream("你好")
    next(chunks)
    with pytest.raises(ConfigurationError, match="read it to its end or close it"):
        model.invoke("你好")
    with pytest.raises(ConfigurationError, match="read it to its end or close it"):
        asyncio.run(model.ainvoke("你好"))
    assert model.invoke("你好", user_id="u2").text
    assert "".join(chunk.text for chunk in chunks)
    assert model.invoke("你好").text


async def test_own_async_stream(model: ChatXingchen) -> None:
    """The same with asyncio, for the task that reads the stream."""
    chunks = model.astream("你好")
    await anext(chunks)
    with pytest.raises(ConfigurationError, match="read it to its end or close it"):
        await model.ainvoke("你好")
    with pytest.raises(ConfigurationError, match="read it to its end or close it"):
        model.invoke("你好")
    await chunks.aclose()  # type: ignore[attr-defined]  # it is a generator
    assert (await model.ainvoke("你好")).text


async def test_many(make: MakeModel, emulator: Emulator) -> None:
    """Fifty threads and fifty tasks of four users: no two of one user meet, and each history has every exchange."""
    emulator.xingchen.one_chat_per_user = True
    model = make(platform_history=True)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(50))
    calls = [BEGINS["task" if n % 2 else "thread"](model, f"第{n}句", user_id=f"u{n // 2 % 4}") for n in range(100)]
    answers = await asyncio.gather(*calls)
    for user in range(4):
        own = [n for n in range(100) if n // 2 % 4 == user]
        said = [answers[n].text for n in own]
        listing = characters.all_history("demo", f"u{user}", order="gmtCreate asc")
        stored = [message.content for message in model.client().iterate(listing)][1:]
        assert sorted(stored[::2]) == sorted(f"第{n}句" for n in own)
        assert sorted(stored[1::2]) == sorted(said)


# A lock of the caller's


class Lock:
    """A lock as a fleet would have one; it notes how it is used."""

    noted: ClassVar[list[str]] = []

    def __init__(self, key: str) -> None:
        self.key = key

    def __enter__(self) -> Self:
        self.noted.append(f"with {self.key}")
        return self

    def __exit__(self, *_: object) -> None:
        self.noted.append("free")

    async def __aenter__(self) -> Self:
        self.noted.append(f"async with {self.key}")
        return self

    async def __aexit__(self, *_: object) -> None:
        self.noted.append("free")


@pytest.fixture
def noted() -> list[str]:
    """What the lock notes."""
    Lock.noted.clear()
    return Lock.noted


@pytest.mark.parametrize("name", ["invoke", "ainvoke", "stream", "astream"])
def test_own_lock(make: MakeModel, ways: dict[str, Way], noted: list[str], emulator: Emulator, name: str) -> None:
    """`chat_lock` is asked for the lock of (character, user), of the call's user, and freed whatever happens."""
    model = make(user_id="u1", platform_history=True, chat_lock=Lock, max_retries=0)
    taken = "async with" if name.startswith("a") else "with"
    ways[name](model, "你好")
    ways[name](model, "你好", user_id="u2")
    assert noted == [f"{taken} xingchen:demo:u1", "free", f"{taken} xingchen:demo:u2", "free"]
    emulator.fail("status", status=500)
    with pytest.raises(InternalServerError):
        ways[name](model, "你好")
    assert noted[4:] == [f"{taken} xingchen:demo:u1", "free"]


def test_own_lock_of_a_stream(make: MakeModel, noted: list[str]) -> None:
    """It is held while the stream is open."""
    chunks = make(user_id="u1", platform_history=True, chat_lock=Lock).stream("你好")
    next(chunks)
    assert noted == ["with xingchen:demo:u1"]
    chunks.close()  # type: ignore[attr-defined]  # it is a generator
    assert noted[1:] == ["free"]


def test_own_lock_is_for_platform_history(make: MakeModel, way: Way, noted: list[str]) -> None:
    """A conversation the caller keeps needs no lock."""
    way(make(user_id="u1", chat_lock=Lock), "你好")
    assert noted == []
