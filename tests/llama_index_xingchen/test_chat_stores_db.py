"""`XingchenDBChatStore`: statuses, windows and batches, against the emulator (item 71 of the checklist)."""

import asyncio
import pickle
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.storage.chat_store.base_db import MessageStatus

from chat_store_words import HISTORY, KEY, REMINDER, assistant, calls, said, user
from llama_index_xingchen import XingchenDBChatStore
from xingchen_core import UnsupportedOperationError
from xingchen_core.emulator import Emulator

ACTIVE, ARCHIVED = MessageStatus.ACTIVE, MessageStatus.ARCHIVED
SIX = ["一", "二", "三", "四", "五", "六"]


@pytest.fixture
def db(make_store: Callable[..., Any]) -> XingchenDBChatStore:
    """A store with the defaults."""
    made: XingchenDBChatStore = make_store(XingchenDBChatStore)
    return made


@pytest.fixture
def six(emulator: Emulator, quiet: None) -> None:
    """Six messages on the platform, the user's and the character's in turn."""
    emulator.xingchen.add_messages("quiet", "u1", SIX)


async def texts(messages: Coroutine[Any, Any, list[ChatMessage]]) -> list[str | None]:
    """What was said."""
    return [message.content for message in await messages]


async def test_archive(db: XingchenDBChatStore, six: None, emulator: Emulator) -> None:
    """The oldest active messages are archived and returned; nothing is written to the platform."""
    assert await texts(db.archive_oldest_messages(KEY, 2)) == SIX[:2]
    assert await texts(db.archive_oldest_messages(KEY, 1)) == SIX[2:3]
    assert await texts(db.get_messages(KEY)) == SIX[3:]
    assert await texts(db.get_messages(KEY, ARCHIVED)) == SIX[:3]
    assert await texts(db.get_messages(KEY, None)) == SIX
    counts = [await db.count_messages(KEY), await db.count_messages(KEY, ARCHIVED), await db.count_messages(KEY, None)]
    assert counts == [3, 3, 6]
    assert {request.path for request in emulator.requests} == {HISTORY}


@pytest.mark.parametrize(("n", "archived"), [(0, 0), (-1, 0), (6, 6), (99, 6)])
async def test_archive_any_number(db: XingchenDBChatStore, six: None, n: int, archived: int) -> None:
    """As many as there are at most; none for a number below one."""
    assert await texts(db.archive_oldest_messages(KEY, n)) == SIX[:archived]
    assert await db.count_messages(KEY) == 6 - archived


@pytest.mark.parametrize(
    ("limit", "offset", "expected"),
    [
        (None, None, SIX),
        (2, None, SIX[:2]),
        (None, 4, SIX[4:]),
        (2, 3, SIX[3:5]),
        (0, 0, []),
        (9, 5, SIX[5:]),
        (1, 6, []),
    ],
)
async def test_limit_and_offset(
    db: XingchenDBChatStore, six: None, limit: int | None, offset: int | None, expected: list[str]
) -> None:
    """They count from the oldest message of the status that is asked for."""
    assert await texts(db.get_messages(KEY, None, limit, offset)) == expected


async def test_offset_counts_within_the_status(db: XingchenDBChatStore, six: None) -> None:
    """Archived messages are not counted when the active ones are asked for."""
    await db.archive_oldest_messages(KEY, 2)
    assert await texts(db.get_messages(KEY, limit=2, offset=1)) == ["四", "五"]


async def test_messages_can_be_added_to_the_archive(db: XingchenDBChatStore) -> None:
    """A status given with a message holds from the beginning, for one and for many."""
    await db.add_message(KEY, user("一"), status=ARCHIVED)
    await db.add_messages(KEY, [assistant("二"), user("三")], status=ARCHIVED)
    await db.add_messages(KEY, [user("四")])
    assert await texts(db.get_messages(KEY, ARCHIVED)) == ["一", "二", "三"]
    assert await texts(db.get_messages(KEY)) == ["四"]


async def test_a_message_stays_archived_when_it_is_listed(
    db: XingchenDBChatStore, answer_to: Callable[[str], ChatMessage], emulator: Emulator
) -> None:
    """Question, answer and reminder keep their status when the platform begins to list them under ids of its own."""
    db.cache_seconds = 0
    emulator.xingchen.history_lag = 2
    answer = await asyncio.to_thread(answer_to, "一")
    await db.add_messages(KEY, [user("一"), answer, assistant("三")], status=ARCHIVED)
    expected = ["一", answer.content, "三"]
    assert [await texts(db.get_messages(KEY, ARCHIVED)) for _ in range(4)] == [expected] * 4
    assert await db.get_messages(KEY) == []
    [first, *_] = await db.get_messages(KEY, ARCHIVED)
    assert "message_id" in first.additional_kwargs


async def test_empty_batch(db: XingchenDBChatStore, emulator: Emulator) -> None:
    """Adding nothing does nothing, not even a read."""
    await db.add_messages(KEY, [])
    assert emulator.requests == []
    assert await db.get_keys() == []


async def test_a_batch_is_stored_whole_or_not(db: XingchenDBChatStore, emulator: Emulator) -> None:
    """A message that cannot be stored is found before any of its batch is written; `skip` stores the others."""
    batch = [assistant("一"), ChatMessage(role="tool", content="18 度"), assistant("二")]
    with pytest.raises(UnsupportedOperationError, match=r"Message 1: .* a tool message"):
        await db.add_messages(KEY, batch)
    assert (calls(emulator, REMINDER), await db.get_messages(KEY)) == (0, [])
    db.unsupported = "skip"
    await db.add_messages(KEY, batch)
    assert await texts(db.get_messages(KEY)) == ["一", "二"]


async def test_set_messages(db: XingchenDBChatStore, six: None) -> None:
    """What has the status, and what follows, is taken; anything else raises."""
    await db.archive_oldest_messages(KEY, 4)
    await db.set_messages(KEY, [user("五"), assistant("六"), user("七")])
    assert await texts(db.get_messages(KEY)) == ["五", "六", "七"]
    with pytest.raises(UnsupportedOperationError, match="cannot be edited"):
        await db.set_messages(KEY, [user("八")])
    with pytest.raises(UnsupportedOperationError, match="cannot be edited"):
        await db.set_messages(KEY, [])
    assert await texts(db.get_messages(KEY, None)) == [*SIX, "七"]


async def test_delete_message(db: XingchenDBChatStore, six: None) -> None:
    """Numbers count the active messages; only a pending one can be taken back."""
    await db.add_message(KEY, user("七"))
    await db.archive_oldest_messages(KEY, 5)
    with pytest.raises(UnsupportedOperationError, match="cannot delete single messages"):
        await db.delete_message(KEY, 0)
    assert [await db.delete_message(KEY, idx) for idx in (-1, 2, 99)] == [None, None, None]
    deleted = await db.delete_message(KEY, 1)
    assert said([deleted] if deleted else []) == [("user", "七")]
    assert await texts(db.get_messages(KEY)) == ["六"]


async def test_delete_oldest(db: XingchenDBChatStore) -> None:
    """Pending messages are taken back; what the platform has raises, and nothing is taken back then."""
    await db.add_messages(KEY, [user("一"), user("二"), assistant("三"), user("四")])
    assert await texts(db.delete_oldest_messages(KEY, 1)) == ["一"]
    assert await texts(db.delete_oldest_messages(KEY, 0)) == []
    with pytest.raises(UnsupportedOperationError, match="cannot delete single messages"):
        await db.delete_oldest_messages(KEY, 2)
    assert await texts(db.get_messages(KEY)) == ["二", "三", "四"]


@pytest.mark.parametrize("status", [None, ACTIVE])
async def test_delete_all(db: XingchenDBChatStore, six: None, emulator: Emulator, status: MessageStatus | None) -> None:
    """Without a status, or with one that all of it has, the conversation is reset; the key is used no more."""
    await db.delete_messages(KEY, status)
    assert calls(emulator, "/v2/api/chat/reset") == 1
    assert (await db.get_messages(KEY, None), await db.get_keys()) == ([], [])


async def test_delete_all_forgets_the_archive(db: XingchenDBChatStore, six: None) -> None:
    """After a reset everything is active again."""
    await db.archive_oldest_messages(KEY, 6)
    await db.delete_messages(KEY)
    await db.add_message(KEY, assistant("新"))
    assert await texts(db.get_messages(KEY)) == ["新"]


async def test_delete_a_part(db: XingchenDBChatStore, six: None, emulator: Emulator) -> None:
    """The platform cannot delete a part; deleting an empty part does nothing."""
    await db.delete_messages(KEY, ARCHIVED)
    await db.archive_oldest_messages(KEY, 2)
    for status, count in ((ACTIVE, 4), (ARCHIVED, 2)):
        with pytest.raises(UnsupportedOperationError, match=f"Only {count} of 6 messages are {status.value}"):
            await db.delete_messages(KEY, status)
    assert calls(emulator, "/v2/api/chat/reset") == 0
    assert await db.count_messages(KEY, None) == 6


async def test_archiving_at_the_same_time(db: XingchenDBChatStore, six: None) -> None:
    """Each message is archived once, whoever asks."""
    archived = await asyncio.gather(*(texts(db.archive_oldest_messages(KEY, 2)) for _ in range(3)))
    assert sorted(archived) == sorted([SIX[:2], SIX[2:4], SIX[4:]])


async def test_a_pickle_keeps_the_archive(db: XingchenDBChatStore, six: None) -> None:
    """What is archived travels with the object, and is unknown to another."""
    await db.archive_oldest_messages(KEY, 2)
    copy = pickle.loads(pickle.dumps(db))
    assert await copy.count_messages(KEY, ARCHIVED) == 2
    other = XingchenDBChatStore(api_key="test-key", base_url=db.base_url)
    assert await other.count_messages(KEY, ARCHIVED) == 0


async def test_keys(db: XingchenDBChatStore, six: None) -> None:
    """The keys are those this object found or stored messages under."""
    await db.get_messages(KEY)
    await db.get_messages("quiet/nobody")
    await db.add_message("quiet/a/b", user("你好"))
    assert await db.get_keys() == [KEY, "quiet/a/b"]
