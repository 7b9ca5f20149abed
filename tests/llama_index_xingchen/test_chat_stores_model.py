"""Both chat stores behave like a plain list in whatever the platform can do (items 64 and 71 of the checklist).

Each machine plays random operations, sync and async mixed, against the emulator and against a list. The service may
lag, its clock may stand still, or it tells no times; a replica that is behind the others may answer, another program
writes to the same conversation, and the store may be pickled in between.
"""

import asyncio
import itertools
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.storage.chat_store.base_db import MessageStatus

from chat_store_words import ASYNC_NAMES, assistant, said, user
from llama_index_xingchen import Xingchen, XingchenChatStore, XingchenDBChatStore
from xingchen_core import UnsupportedOperationError
from xingchen_core.emulator import Emulator

SETTINGS = settings(
    max_examples=25,
    stateful_step_count=20,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
TEXTS = st.sampled_from(["你好", "嗯", "嗯", "在吗?", " 嗯", "😀\n二"])
OTHERS = "别人"
users = itertools.count()


@dataclass
class Said:
    """A message of the reference list."""

    role: str
    text: str
    is_pending: bool = False
    is_archived: bool = False
    is_others: bool = False


class Machine(RuleBasedStateMachine):
    """What holds for both stores."""

    emulator: Emulator
    cls: type[Any]
    compared = 0
    """So many conversations with something in them were compared."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.Runner()
        self.user_id = f"u{next(users)}/😀"
        self.key = f"quiet/{self.user_id}"
        self.reference: list[Said] = []
        self.lag = 0
        common = {"api_key": "test-key", "base_url": self.emulator.url}
        self.store = self.cls(cache_seconds=0, **common)
        self.llm = Xingchen(character_id="quiet", user_id=self.user_id, platform_history=True, **common)

    @initialize(lag=st.sampled_from([0, 0, 1, 3]), times=st.sampled_from(["distinct", "equal", "none"]))
    def service(self, lag: int, times: str) -> None:
        """How the service behaves during this run."""
        self.lag = self.emulator.xingchen.history_lag = lag
        self.emulator.xingchen.history_behind = 0
        self.emulator.xingchen.same_gmt_create = times == "equal"
        self.emulator.xingchen.history_without_times = times == "none"

    def teardown(self) -> None:
        """The conversation is seen whole in the end. Closes connections and loop."""
        self.emulator.xingchen.history_behind = 0
        assert said(self.do("get_messages", self.key)) == self.shown(False)
        self.loop.run(self.store.aclose())
        self.loop.close()
        self.llm.close()

    def do(self, name: str, *args: Any, is_async: bool = True) -> Any:
        """Calls an operation by its sync name."""
        if not is_async:
            return getattr(self.store, name)(*args)
        if self.cls is XingchenChatStore:
            name = ASYNC_NAMES[name]
        return self.loop.run(getattr(self.store, name)(*args))

    def refuses(self, operation: Callable[[], Any]) -> None:
        """The operation raises; the invariant sees that it changed nothing."""
        with pytest.raises(UnsupportedOperationError):
            operation()

    def answered(self, text: str, *, has_ids: bool) -> ChatMessage:
        """What the character says to the user's words, as an engine passes it on; both are then on the platform."""
        message = self.llm.chat([user(text)]).message
        newest = next(one for one in reversed(self.reference) if one.is_pending)
        newest.is_pending = False
        self.reference.append(Said("assistant", message.content or ""))
        return message if has_ids else assistant(message.content or "")

    def sees_all(self) -> bool:
        """Whether the reads show everything that is on the platform."""
        return self.emulator.xingchen.history_behind == 0 or not any(one.is_others for one in self.reference)

    def is_shown(self, messages: list[ChatMessage], *statuses: bool) -> None:
        """What is shown agrees with the list; others' messages may be missing from a replica that is behind."""
        type(self).compared += bool(messages)
        if self.sees_all():
            assert said(messages) == self.shown(*statuses)
            return
        here = [one for one in said(messages) if not (one[1] or "").startswith(OTHERS)]
        assert here == [one for one in self.shown(*statuses) if not one[1].startswith(OTHERS)]
        rest = iter(self.shown(*statuses))
        assert all(one in rest for one in said(messages))

    def shown(self, *statuses: bool) -> list[tuple[str, str]]:
        """The reference's messages of these statuses (archived or not)."""
        return [(one.role, one.text) for one in self.reference if one.is_archived in statuses]

    @precondition(lambda self: not self.lag)
    @rule(number=st.integers(0, 10**9))
    def others_write(self, number: int) -> None:
        """Another program's exchange appears behind what is there."""
        self.behind(0)  # seen at once: nothing tells the place of pending messages among what was there unseen
        question, answer = f"{OTHERS}问{number}", f"{OTHERS}答{number}"
        self.emulator.xingchen.add_messages(
            "quiet",
            self.user_id,
            [{"content": question, "messageType": "user"}, {"content": answer, "messageType": "character"}],
        )
        self.reference += [Said("user", question, is_others=True), Said("assistant", answer, is_others=True)]

    @rule(rows=st.integers(0, 4))
    def behind(self, rows: int) -> None:
        """From here on a replica answers that has not heard the newest so many messages."""
        self.emulator.xingchen.history_behind = rows

    @rule()
    def pickled(self) -> None:
        """The store goes through a pickle."""
        self.loop.run(self.store.aclose())
        self.store = pickle.loads(pickle.dumps(self.store))


class ChatStoreMachine(Machine):
    """`XingchenChatStore`."""

    cls = XingchenChatStore

    @rule(text=TEXTS, is_async=st.booleans())
    def add_user(self, text: str, is_async: bool) -> None:
        """A user message is added and never sent."""
        self.do("add_message", self.key, user(text), is_async=is_async)
        self.reference.append(Said("user", text, is_pending=True))

    @rule(text=TEXTS, is_async=st.booleans())
    def add_assistant(self, text: str, is_async: bool) -> None:
        """An answer of another model is added."""
        self.do("add_message", self.key, assistant(text), is_async=is_async)
        self.reference.append(Said("assistant", text))

    @rule(text=TEXTS, is_async=st.booleans(), has_ids=st.booleans())
    def turn(self, text: str, is_async: bool, has_ids: bool) -> None:
        """A turn of a chat engine: question, answer of the character, answer added."""
        self.add_user(text, is_async)
        self.do("add_message", self.key, self.answered(text, has_ids=has_ids), is_async=is_async)

    @precondition(Machine.sees_all)
    @rule(texts=st.lists(TEXTS, max_size=3), is_async=st.booleans())
    def set_continuation(self, texts: list[str], is_async: bool) -> None:
        """What is there is set again, with more behind it."""
        messages = self.do("get_messages", self.key, is_async=is_async)
        self.do("set_messages", self.key, [*messages, *map(user, texts)], is_async=is_async)
        self.reference += [Said("user", text, is_pending=True) for text in texts]

    @precondition(Machine.sees_all)
    @precondition(lambda self: self.reference)
    @rule(cut=st.integers(0, 3), is_async=st.booleans())
    def set_something_else(self, cut: int, is_async: bool) -> None:
        """Anything that changes what is there is refused."""
        messages = [ChatMessage(role=one.role, content=one.text) for one in self.reference]
        edited = [*messages[:-1], assistant("改过")] if cut == 0 else messages[: -min(cut, len(messages))]
        self.refuses(lambda: self.do("set_messages", self.key, edited, is_async=is_async))

    @precondition(Machine.sees_all)
    @rule(idx=st.integers(-2, 12), is_async=st.booleans())
    def delete(self, idx: int, is_async: bool) -> None:
        """Only what is pending goes; a number out of range is nothing."""
        self._delete(idx, lambda: self.do("delete_message", self.key, idx, is_async=is_async))

    @precondition(Machine.sees_all)
    @rule(is_async=st.booleans())
    def delete_last(self, is_async: bool) -> None:
        """The same for the last message."""
        self._delete(len(self.reference) - 1, lambda: self.do("delete_last_message", self.key, is_async=is_async))

    def _delete(self, idx: int, operation: Callable[[], ChatMessage | None]) -> None:
        if not 0 <= idx < len(self.reference):
            assert operation() is None
        elif self.reference[idx].is_pending:
            deleted = operation()
            assert deleted is not None
            assert said([deleted]) == [("user", self.reference.pop(idx).text)]
        else:
            self.refuses(operation)

    @precondition(Machine.sees_all)
    @rule(is_async=st.booleans())
    def delete_all(self, is_async: bool) -> None:
        """A reset returns everything and leaves nothing."""
        deleted = self.do("delete_messages", self.key, is_async=is_async)
        assert said(deleted or []) == self.shown(False)
        self.reference.clear()
        assert self.do("get_keys", is_async=is_async) == []

    @invariant()
    def is_the_same_list(self) -> None:
        """Reads in both colours agree with the list."""
        for is_async in (False, True):
            self.is_shown(self.do("get_messages", self.key, is_async=is_async), False)
        assert self.reference == [] or self.do("get_keys") == [self.key]


class DBChatStoreMachine(Machine):
    """`XingchenDBChatStore`."""

    cls = XingchenDBChatStore

    @rule(texts=st.lists(st.tuples(st.booleans(), TEXTS), max_size=4), archived=st.booleans())
    def add(self, texts: list[tuple[bool, str]], archived: bool) -> None:
        """A batch of the user's words and another model's."""
        status = MessageStatus.ARCHIVED if archived else MessageStatus.ACTIVE
        batch = [user(text) if is_user else assistant(text) for is_user, text in texts]
        self.do("add_messages", self.key, batch, status)
        self.reference += [Said("user" if is_user else "assistant", text, is_user, archived) for is_user, text in texts]

    @rule(text=TEXTS, has_ids=st.booleans())
    def turn(self, text: str, has_ids: bool) -> None:
        """A turn of an agent: question, answer of the character, answer added."""
        self.do("add_message", self.key, user(text))
        self.reference.append(Said("user", text, is_pending=True))
        self.do("add_messages", self.key, [self.answered(text, has_ids=has_ids)])

    @precondition(Machine.sees_all)
    @rule(n=st.integers(-1, 5))
    def archive(self, n: int) -> None:
        """The oldest active messages are archived and returned."""
        oldest = [one for one in self.reference if not one.is_archived][: max(n, 0)]
        archived = self.do("archive_oldest_messages", self.key, n)
        assert said(archived) == [(one.role, one.text) for one in oldest]
        for one in oldest:
            one.is_archived = True

    @precondition(Machine.sees_all)
    @rule(n=st.integers(-1, 3))
    def delete_oldest(self, n: int) -> None:
        """The oldest active messages go if all of them are pending."""
        oldest = [one for one in self.reference if not one.is_archived][: max(n, 0)]
        if all(one.is_pending for one in oldest):
            deleted = self.do("delete_oldest_messages", self.key, n)
            assert said(deleted) == [(one.role, one.text) for one in oldest]
            self.reference = [one for one in self.reference if not any(one is gone for gone in oldest)]
        else:
            self.refuses(lambda: self.do("delete_oldest_messages", self.key, n))

    @precondition(Machine.sees_all)
    @rule(idx=st.integers(-2, 12))
    def delete(self, idx: int) -> None:
        """Of the active messages only what is pending goes."""
        active = [one for one in self.reference if not one.is_archived]
        if not 0 <= idx < len(active):
            assert self.do("delete_message", self.key, idx) is None
        elif active[idx].is_pending:
            assert said([self.do("delete_message", self.key, idx)]) == [("user", active[idx].text)]
            self.reference = [one for one in self.reference if one is not active[idx]]
        else:
            self.refuses(lambda: self.do("delete_message", self.key, idx))

    @precondition(Machine.sees_all)
    @rule(status=st.sampled_from([None, MessageStatus.ACTIVE, MessageStatus.ARCHIVED]))
    def delete_all(self, status: MessageStatus | None) -> None:
        """A reset, if the status is that of all messages; nothing, if it is that of none."""
        chosen = [one for one in self.reference if status is None or one.is_archived is (status.value == "archived")]
        if status is None or len(chosen) == len(self.reference):
            self.do("delete_messages", self.key, status)
            self.reference.clear()
        elif chosen:
            self.refuses(lambda: self.do("delete_messages", self.key, status))
        else:
            assert self.do("delete_messages", self.key, status) is None

    @invariant()
    def is_the_same_list(self) -> None:
        """Reads of what is active and of everything agree with the list."""
        self.is_shown(self.do("get_messages", self.key), False)
        self.is_shown(self.do("get_messages", self.key, None), False, True)

    @precondition(Machine.sees_all)
    @rule()
    def count(self) -> None:
        """Counts and the archive agree with the list."""
        assert said(self.do("get_messages", self.key, MessageStatus.ARCHIVED)) == self.shown(True)
        statuses = (MessageStatus.ACTIVE, MessageStatus.ARCHIVED, None)
        counts = [self.do("count_messages", self.key, status) for status in statuses]
        assert counts == [len(self.shown(False)), len(self.shown(True)), len(self.reference)]

    @precondition(Machine.sees_all)
    @rule(limit=st.none() | st.integers(0, 5), offset=st.none() | st.integers(0, 5))
    def window(self, limit: int | None, offset: int | None) -> None:
        """A window of the active messages is a slice of the list."""
        start = offset or 0
        expected = self.shown(False)[start : None if limit is None else start + limit]
        assert said(self.do("get_messages", self.key, MessageStatus.ACTIVE, limit, offset)) == expected


@pytest.mark.parametrize("machine", [ChatStoreMachine, DBChatStoreMachine])
def test_like_a_plain_list(machine: type[Machine], emulator: Emulator, quiet: None) -> None:
    """Any sequence of supported operations gives what a list would; the others raise and change nothing."""
    machine.emulator = emulator
    machine.compared = 0
    run_state_machine_as_test(machine, settings=SETTINGS)
    assert machine.compared > 20
