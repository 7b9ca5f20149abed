"""Batches that fail half way, or are cancelled: added again, only the rest of one is written."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from llama_index.core.base.llms.types import ChatMessage

from chat_store_words import HISTORY, KEY, REMINDER, assistant, calls, reminders, user
from llama_index_xingchen import XingchenDBChatStore
from xingchen_core import APIConnectionError, APIStatusError, InternalServerError
from xingchen_core.emulator import Emulator

BATCH = [user("问"), assistant("一"), assistant("二"), assistant("一"), assistant("三")]
TEXTS = ["问", "一", "二", "一", "三"]


@pytest.fixture
def db(emulator: Emulator, quiet: None) -> XingchenDBChatStore:
    """A store that reads each time, and repeats nothing by itself."""
    return XingchenDBChatStore(api_key="test-key", base_url=emulator.url, cache_seconds=0, max_retries=0)


@pytest.fixture(autouse=True)
async def closed(db: XingchenDBChatStore) -> AsyncIterator[None]:
    """Gives the connections back."""
    yield
    await db.aclose()


async def texts(db: XingchenDBChatStore) -> list[str | None]:
    """What the store shows."""
    return [message.content for message in await db.get_messages(KEY)]


def sent(emulator: Emulator) -> list[str]:
    """What was written as the character's own words, refused attempts included."""
    return [body["content"] for body in reminders(emulator)]


@pytest.mark.parametrize("status", [400, 503])
async def test_the_rest_is_written_when_repeated(db: XingchenDBChatStore, emulator: Emulator, status: int) -> None:
    """The error says how far the batch came; the same batch again writes what is missing, in order, nothing twice."""
    emulator.fail("status", status=status, path="/chat/reminder", after=2)
    fate = "is not stored" if status == 400 else "may or may not be stored"
    with pytest.raises(APIStatusError, match=f"message 3 of the batch {fate}"):
        await db.add_messages(KEY, BATCH)
    assert await texts(db) == TEXTS[:3]
    await db.add_messages(KEY, BATCH)
    assert await texts(db) == TEXTS
    assert sent(emulator) == ["一", "二", "一", "一", "三"]  # the third was refused once
    await db.add_messages(KEY, BATCH)
    assert await texts(db) == TEXTS * 2


@pytest.mark.parametrize(
    ("kind", "written"),
    [
        pytest.param("drop", ["一", "一"], id="the service never saw it"),
        pytest.param("cut", ["一"], id="only the answer was lost"),
    ],
)
async def test_a_message_of_unknown_fate_is_looked_for(
    db: XingchenDBChatStore, emulator: Emulator, kind: str, written: list[str]
) -> None:
    """If the connection broke, the same message again is written only if the platform does not list it."""
    emulator.xingchen.add_messages("quiet", "u1", ["早", "一"])  # said before: not what is looked for
    emulator.fail(kind, path="/chat/reminder", times=1)  # type: ignore[arg-type]  # one of its words
    with pytest.raises(APIConnectionError, match="message 0 of the batch may or may not be stored"):
        await db.add_message(KEY, assistant("一"))
    await db.add_message(KEY, assistant("一"))
    assert await texts(db) == ["早", "一", "一"]
    assert sent(emulator) == written


async def test_a_failure_before_the_rest_is_written(db: XingchenDBChatStore, emulator: Emulator) -> None:
    """If the second attempt fails before it writes anything, the third still knows how far the first one came."""
    emulator.fail("status", status=400, path="/chat/reminder", after=1)
    with pytest.raises(APIStatusError):
        await db.add_messages(KEY, [assistant("一"), assistant("二")])
    emulator.fail("drop", path="/chat/reminder", times=1)
    with pytest.raises(APIConnectionError):
        await db.add_messages(KEY, [assistant("一"), assistant("二")])
    emulator.fail("status", status=503, path="/histories")
    with pytest.raises(InternalServerError):
        await db.add_messages(KEY, [assistant("一"), assistant("二")])
    await db.add_messages(KEY, [assistant("一"), assistant("二")])
    assert await texts(db) == ["一", "二"]


class Slow(httpx.AsyncHTTPTransport):
    """Lets the service hear a reminder, and keeps its answer back."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await super().handle_async_request(request)
        if request.url.path == REMINDER:
            await response.aread()
            self.heard.set()
            await asyncio.sleep(0 if self.lets_pass else 60)
        return response

    def __init__(self) -> None:
        super().__init__()
        self.heard, self.lets_pass = asyncio.Event(), False


async def test_cancelled_while_it_is_written(emulator: Emulator, quiet: None) -> None:
    """A task that is cancelled after the service has heard its message stores it once, and gives its lock back."""
    slow = Slow()
    async with httpx.AsyncClient(transport=slow) as client:
        db = XingchenDBChatStore(
            api_key="test-key", base_url=emulator.url, cache_seconds=0, max_retries=0, http_async_client=client
        )
        adding = asyncio.create_task(db.add_messages(KEY, BATCH[:3]))
        await slow.heard.wait()
        adding.cancel()
        with pytest.raises(asyncio.CancelledError):
            await adding
        slow.lets_pass = True
        await db.add_messages(KEY, BATCH[:3])
        assert await texts(db) == TEXTS[:3]
        assert sent(emulator) == ["一", "二"]


async def test_one_read_tells_old_words_from_new_ones(db: XingchenDBChatStore, emulator: Emulator) -> None:
    """Before its first words in a conversation a store reads one page; what it writes later costs no read."""
    for text in ("一", "二", "三"):
        await db.add_message(KEY, ChatMessage(role="assistant", content=text))
    assert calls(emulator, HISTORY) == 1
