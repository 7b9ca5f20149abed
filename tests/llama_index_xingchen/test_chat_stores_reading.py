"""Keys, whole conversations, the cache, and many writers at once (items 67 to 69 of the checklist)."""

import asyncio
import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from chat_store_words import HISTORY, KEY, assistant, calls, reminders, said, user
from llama_index_xingchen import XingchenChatStore
from xingchen_core import ConfigurationError
from xingchen_core.emulator import Emulator

Do = Callable[..., Any]


# Keys (item 68)


@pytest.mark.parametrize(
    ("key", "character_id", "user_id"),
    [
        ("quiet/u1", "quiet", "u1"),
        ("quiet/a/b", "quiet", "a/b"),
        ("quiet//", "quiet", "/"),
        ("quiet/小明 😀?x=1&y", "quiet", "小明 😀?x=1&y"),
    ],
)
def test_keys(store: XingchenChatStore, do: Do, emulator: Emulator, key: str, character_id: str, user_id: str) -> None:
    """A key is split at its first slash; the user's id may hold anything."""
    do(store, "add_message", key, assistant("好"))
    assert reminders(emulator) == [{"characterId": character_id, "bizUserId": user_id, "content": "好"}]
    assert said(do(store, "get_messages", key)) == [("assistant", "好")]
    assert do(store, "get_keys") == [key]


@pytest.mark.parametrize("key", ["", "chat_history", "/u1", "quiet/"])
@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("get_messages", ()),
        ("add_message", (user("x"),)),
        ("set_messages", ([],)),
        ("delete_messages", ()),
        ("delete_message", (0,)),
        ("delete_last_message", ()),
    ],
)
def test_a_key_of_another_form(
    store: XingchenChatStore, do: Do, emulator: Emulator, key: str, name: str, args: tuple[Any, ...]
) -> None:
    """The error shows the form, and nothing is sent."""
    with pytest.raises(ConfigurationError, match="<character_id>/<user_id>"):
        do(store, name, key, *args)
    assert emulator.requests == []


def test_keys_are_those_this_object_used(store: XingchenChatStore, do: Do, emulator: Emulator) -> None:
    """Others' conversations are neither listed nor read; a reset conversation and an empty one are not listed."""
    emulator.xingchen.add_messages("quiet", "u1", ["你好"])
    emulator.xingchen.add_messages("quiet", "stranger", ["秘密"])
    emulator.xingchen.add_messages("quiet", "u1", ["别的账号"], api_key="other-key")
    assert do(store, "get_keys") == []
    assert said(do(store, "get_messages", KEY)) == [("user", "你好")]
    do(store, "add_message", "quiet/u2", user("我"))
    do(store, "get_messages", "quiet/nobody")
    assert do(store, "get_keys") == [KEY, "quiet/u2"]
    do(store, "delete_messages", KEY)
    assert do(store, "get_keys") == ["quiet/u2"]


# Reading to the end (item 69)

LONG = [f"第{number}句" for number in range(1, 1002)]


@pytest.mark.parametrize("overlap", [0, 1, 49])
def test_reads_to_the_end(store: XingchenChatStore, do: Do, emulator: Emulator, overlap: int) -> None:
    """1,001 messages come complete, oldest first and once each, though pages may repeat rows."""
    emulator.xingchen.add_messages("quiet", "u1", LONG)
    emulator.xingchen.history_overlap = overlap
    assert [message.content for message in do(store, "get_messages", KEY)] == LONG


@pytest.mark.parametrize(("limit", "requests"), [(1, 1), (50, 1), (51, 2), (2000, 21)])
def test_limit(make_store: Do, do: Do, emulator: Emulator, limit: int, requests: int) -> None:
    """`limit` keeps the newest messages, own ones included, and reads no more pages than it needs."""
    emulator.xingchen.add_messages("quiet", "u1", LONG)
    store = make_store(limit=limit)
    assert [message.content for message in do(store, "get_messages", KEY)] == LONG[-limit:]
    assert calls(emulator, HISTORY) == requests
    do(store, "add_message", KEY, user("新"))
    assert [message.content for message in do(store, "get_messages", KEY)] == [*LONG, "新"][-limit:]


def test_equal_times(store: XingchenChatStore, do: Do, emulator: Emulator) -> None:
    """Messages of one time keep their order, a question before its answer."""
    emulator.xingchen.same_gmt_create = True
    emulator.xingchen.add_messages("quiet", "u1", LONG[:120])
    assert [message.content for message in do(store, "get_messages", KEY)] == LONG[:120]


# Cache


def test_cache(store: XingchenChatStore, do: Do, emulator: Emulator) -> None:
    """One read serves the reads that follow at once, until this object writes to the platform, for one key only. An
    answer without ids is looked for in a read of its own.
    """
    do(store, "get_messages", KEY)
    do(store, "add_message", KEY, user("你好"))
    do(store, "get_messages", KEY)
    assert calls(emulator, HISTORY) == 1
    do(store, "add_message", KEY, assistant("好"))
    assert calls(emulator, HISTORY) == 2
    do(store, "get_messages", KEY)
    do(store, "get_messages", KEY)
    assert calls(emulator, HISTORY) == 3
    do(store, "get_messages", "quiet/u2")
    assert calls(emulator, HISTORY) == 4


def test_cache_off(make_store: Do, do: Do, emulator: Emulator) -> None:
    """With `cache_seconds=0` each read sees what others wrote just now."""
    store = make_store(cache_seconds=0)
    do(store, "get_messages", KEY)
    emulator.xingchen.add_messages("quiet", "u1", ["你好"])
    assert said(do(store, "get_messages", KEY)) == [("user", "你好")]
    assert calls(emulator, HISTORY) == 2


def test_cache_ends(store: XingchenChatStore, do: Do, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read serves for `cache_seconds`, by default 2, and is then dropped, whatever key is read next."""
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    do(store, "get_messages", KEY)
    emulator.xingchen.add_messages("quiet", "u1", ["你好"])
    now = 101.9
    assert do(store, "get_messages", KEY) == []
    now = 102.0
    assert said(do(store, "get_messages", KEY)) == [("user", "你好")]
    now = 200.0
    do(store, "get_messages", "quiet/u2")
    assert list(store._cache._reads) == ["quiet/u2"]


# Many at once (item 67)


@pytest.mark.parametrize("lag", [0, 1000])
async def test_a_hundred_tasks(store: XingchenChatStore, emulator: Emulator, lag: int) -> None:
    """Nothing is lost, and the order is that of acknowledgement, before and after the platform lists it."""
    emulator.xingchen.history_lag = lag
    acknowledged: list[str] = []

    async def add(number: int) -> None:
        message = assistant(f"a{number}") if number % 2 else user(f"q{number}")
        await store.async_add_message(KEY, message)
        acknowledged.append(str(message.content))

    async with asyncio.TaskGroup() as group:
        for number in range(100):
            group.create_task(add(number))
    assert len(acknowledged) == 100
    assert [message.content for message in await store.aget_messages(KEY)] == acknowledged


async def test_readers_do_not_wait_for_each_other() -> None:
    """Async reads of twenty conversations are on their way at the same time, in one thread."""
    waiting: list[int] = []
    threads: set[int] = set()
    everybody = asyncio.Event()

    async def answer(request: httpx.Request) -> httpx.Response:
        threads.add(threading.get_ident())
        waiting.append(len(waiting))
        if len(waiting) == 20:
            everybody.set()
        await asyncio.wait_for(everybody.wait(), 5)
        return httpx.Response(200, json={"code": 200, "success": True, "data": {"list": [], "total": 0}})

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        store = XingchenChatStore(api_key="test-key", http_async_client=client)
        await asyncio.gather(*(store.aget_messages(f"quiet/u{number}") for number in range(20)))
    assert threads == {threading.get_ident()}


async def test_tasks_over_an_uneven_network() -> None:
    """The platform hears the messages in the order of acknowledgement, though some answers travel longer."""
    heard: list[str] = []

    async def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == HISTORY:
            return httpx.Response(200, json={"code": 200, "success": True, "data": {"list": [], "total": 0}})
        heard.append(json.loads(request.content)["content"])
        await asyncio.sleep(0.002 * (len(heard) % 3))
        return httpx.Response(200, json={"code": 200, "success": True, "data": True})

    acknowledged: list[str] = []
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        store = XingchenChatStore(api_key="test-key", http_async_client=client)

        async def add(text: str) -> None:
            await store.async_add_message(KEY, assistant(text))
            acknowledged.append(text)

        await asyncio.gather(*(add(f"a{number}") for number in range(20)))
    assert heard == acknowledged


def test_a_hundred_threads(store: XingchenChatStore, emulator: Emulator) -> None:
    """Nothing is lost among twenty threads, and this object's order is the platform's."""
    emulator.xingchen.history_lag = 1
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda number: store.add_message(KEY, assistant(f"a{number}")), range(100)))
    own = [message.content for message in store.get_messages(KEY)]
    assert sorted(own) == sorted(f"a{number}" for number in range(100))
    store.cache_seconds = 0
    assert [message.content for message in store.get_messages(KEY)] == own
    with XingchenChatStore(api_key="test-key", base_url=emulator.url) as other:
        assert [message.content for message in other.get_messages(KEY)] == own


async def test_threads_and_tasks_together(store: XingchenChatStore) -> None:
    """One object serves threads and tasks at the same time."""
    await asyncio.gather(
        *(store.async_add_message(KEY, assistant(f"t{number}")) for number in range(20)),
        *(asyncio.to_thread(store.add_message, KEY, assistant(f"s{number}")) for number in range(20)),
    )
    read = {message.content for message in await store.aget_messages(KEY)}
    assert read == {f"{kind}{number}" for kind in "ts" for number in range(20)}
