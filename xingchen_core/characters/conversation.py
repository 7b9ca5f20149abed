"""One conversation the platform keeps, as one program sees it: what chat stores and message histories are made of.

The platform's list comes in pages, may lag behind what was written, and knows nothing that nobody has sent to the
character yet. A `Conversation` lays this program's own messages over what was read, until the platform lists them.
What it can hold, and how that gets there, is in `storing.py`.
"""

import threading
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any, Generic, Self, TypeVar

from xingchen_core._call import Call, Flow
from xingchen_core.characters._wire import LARGEST_PAGE
from xingchen_core.characters.platform_history import HistoryMessage, all_history

M = TypeVar("M")


# Reading


def whole_history(
    character_id: str, user_id: str, *, limit: int | None = None, page_size: int = LARGEST_PAGE, **filters: Any
) -> Flow[list[HistoryMessage]]:
    """Read the whole conversation, or its newest `limit` messages, oldest first and each once.

    Takes what `history` takes. Pages are asked for newest first, the only order the documents show; a service that
    lists oldest first all the same is read to its end.
    """
    rows: list[HistoryMessage] = []
    steps = all_history(character_id, user_id, page_size=page_size, **filters).steps()
    try:
        step = next(steps)
        while limit is None or len(rows) < limit or _is_ascending(rows):
            if isinstance(step, Call):
                step = steps.send((yield step))
            else:
                rows += step
                step = next(steps)
    except StopIteration:
        pass
    ordered = order_messages(rows)
    return ordered if limit is None else ordered[max(0, len(ordered) - limit) :]


def _is_ascending(rows: Sequence[HistoryMessage]) -> bool:
    times = [row.gmt_create for row in rows if row.gmt_create is not None]
    return len(times) > 1 and times[0] < times[-1]


def order_messages(rows: Iterable[HistoryMessage]) -> list[HistoryMessage]:
    """Return messages oldest first, each id once, a question before its answer.

    The documents leave open how messages of the same time are listed. Where a question and its answer show that they
    come backwards, all of them are turned round; else they stay as listed. Without any times the list is taken to be
    what was asked for, newest first.
    """
    unique = list({row.message_id: row for row in rows}.values())
    if _is_backwards(unique):
        unique.reverse()
    latest: datetime | None = next((row.gmt_create for row in unique if row.gmt_create is not None), None)
    timed: list[tuple[datetime | None, HistoryMessage]] = []
    for row in unique:  # a row without a time stays beside its neighbour
        latest = row.gmt_create or latest
        timed.append((latest, row))
    if latest is not None:
        timed.sort(key=lambda pair: pair[0] or latest)
    return [row for _, run in groupby(timed, key=lambda pair: pair[0]) for row in _by_exchange([r for _, r in run])]


def _is_backwards(rows: Sequence[HistoryMessage]) -> bool:
    """Whether messages of the same time are listed newest first."""
    questions: dict[tuple[str | None, datetime | None], int] = {}
    answers: dict[tuple[str | None, datetime | None], int] = {}
    for at, row in enumerate(rows):
        if row.chat_id is not None:
            (questions if row.is_user else answers).setdefault((row.chat_id, row.gmt_create), at)
    pairs = [(at, answers[exchange]) for exchange, at in questions.items() if exchange in answers]
    if not pairs:
        return all(row.gmt_create is None for row in rows)
    return sum(answer < question for question, answer in pairs) * 2 > len(pairs)


def _by_exchange(rows: list[HistoryMessage]) -> list[HistoryMessage]:
    """Put the messages of one exchange together, the question first; else keep the order."""
    first: dict[str, int] = {}
    for at, row in enumerate(rows):
        first.setdefault(row.chat_id or row.message_id, at)
    return sorted(rows, key=lambda row: (first[row.chat_id or row.message_id], not row.is_user))


# Own messages over what was read


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a conversation had come when it was read: everything before `time`, and at that time these ids."""

    time: datetime | None = None
    ids: frozenset[str] = frozenset()

    @classmethod
    def of(cls, rows: Sequence[HistoryMessage]) -> Self:
        """Return the mark after these messages."""
        time = max((row.gmt_create for row in rows if row.gmt_create is not None), default=None)
        return cls(time, frozenset(row.message_id for row in rows if row.gmt_create in (None, time)))

    def covers(self, row: HistoryMessage) -> bool:
        """Whether the message was there, or is older than one that was."""
        if row.message_id in self.ids:
            return True
        return row.gmt_create is not None and self.time is not None and row.gmt_create < self.time

    def join(self, other: "Mark") -> "Mark":
        """Return the later of the two."""
        if self.time == other.time:
            return Mark(self.time, self.ids | other.ids)
        if other.time is None or (self.time is not None and self.time > other.time):
            return self
        return other


@dataclass(eq=False, slots=True, kw_only=True)
class Own(Generic[M]):
    """A message of this program that the platform has not listed yet.

    Attributes:
        payload: The framework's own message.
        is_stored: The platform has it, or soon will; else it is only pending here.
        message_id, chat_id: The platform's ids, where they are known.
        since: What had been read when it was said: its echo is none of that.
        is_hidden: It was said before a reset, so its echo is hidden too.
    """

    id: str
    payload: M
    text: str
    is_user: bool
    since: Mark
    is_stored: bool
    message_id: str | None = None
    chat_id: str | None = None
    is_hidden: bool = False

    def is_named_by(self, row: HistoryMessage) -> bool:
        """Whether the message is this one by its id."""
        return self.message_id == row.message_id

    def is_exchanged_in(self, row: HistoryMessage) -> bool:
        """Whether the message is this side of the same exchange: a regenerated answer has another id."""
        return self.chat_id is not None and (self.chat_id, self.is_user) == (row.chat_id, row.is_user)

    def is_echoed_by(self, row: HistoryMessage) -> bool:
        """Whether the message says the same on the same side, later; for messages whose ids nobody told us."""
        if self.message_id is not None or self.chat_id is not None or self.since.covers(row):
            return False
        return self.is_user == row.is_user and self.text.strip() == row.content.strip()


@dataclass(frozen=True, slots=True)
class Entry(Generic[M]):
    """A message of a conversation: listed by the platform (`row`), or so far only this program's (`own`).

    `id` stays the same when the platform begins to list an own message, as long as the `Conversation` lives.
    """

    id: str
    row: HistoryMessage | None = None
    own: Own[M] | None = None

    @property
    def is_pending(self) -> bool:
        """Whether the platform knows nothing of it yet."""
        return self.own is not None and not self.own.is_stored

    @property
    def is_user(self) -> bool:
        """Whether the user said it."""
        return (self.row or self.own).is_user  # type: ignore[union-attr]  # one of them is there

    @property
    def text(self) -> str:
        """What was said."""
        return self.row.content if self.row is not None else self.own.text  # type: ignore[union-attr]


class Conversation(Generic[M]):
    """What this program has said in one conversation and the platform does not list yet. Safe between threads."""

    REMEMBERED = 100
    """So many own messages that were listed are shown even if a later read lacks them: replicas differ for a while."""

    def __init__(self) -> None:
        self.version = 0
        """Grows with what this program changes on the platform: what was read before does not show it."""
        self._own: list[Own[M]] = []
        self._listed_as: dict[str, str] = {}
        self._listed: deque[HistoryMessage] = deque(maxlen=self.REMEMBERED)
        self._mark = Mark()
        self._reset = Mark()
        self._hidden: set[str] = set()
        self._count = 0
        self._lock = threading.Lock()

    def merge(self, rows: Sequence[HistoryMessage], limit: int | None = None) -> list[Entry[M]]:
        """Return the conversation, oldest first: what was read, and what it does not show yet of our own.

        May be given the same rows again, and older reads after newer ones. With `limit` the newest so many.
        """
        with self._lock:
            listed = order_messages([*rows, *self._missing(rows)])
            self._mark = self._mark.join(Mark.of(listed))
            self._recognise(listed)
            shown = [r for r in listed if not self._reset.covers(r) and r.message_id not in self._hidden]
            entries = self._interleave(shown)
            return entries if limit is None else entries[max(0, len(entries) - limit) :]

    def _missing(self, rows: Sequence[HistoryMessage]) -> list[HistoryMessage]:
        """Return own messages that an earlier read listed and this one does not; a regenerated answer is replaced."""
        ids = {row.message_id for row in rows}
        sides = {(row.chat_id, row.is_user) for row in rows if row.chat_id is not None}
        return [r for r in self._listed if r.message_id not in ids and (r.chat_id, r.is_user) not in sides]

    def _recognise(self, rows: Sequence[HistoryMessage]) -> None:
        """Drop the own messages that are listed by now. The surest sign goes first, the oldest message next."""
        free = [row for row in rows if row.message_id not in self._listed_as]
        for sign in (Own.is_named_by, Own.is_exchanged_in, Own.is_echoed_by):
            for own in list(self._own):
                row = next((row for row in free if sign(own, row)), None)
                if row is None:
                    continue
                free.remove(row)
                self._listed_as[row.message_id] = own.id
                self._listed.append(row)
                if own.is_hidden:
                    self._hidden.add(row.message_id)
                at = self._own.index(own)
                del self._own[at]
                for later in self._own[at:]:
                    later.since = later.since.join(Mark.of([row]))

    def _interleave(self, rows: Sequence[HistoryMessage]) -> list[Entry[M]]:
        """Put each own message behind everything that was there when it was said."""
        entries: list[Entry[M]] = [Entry(self._listed_as.get(r.message_id, r.message_id), row=r) for r in rows]
        for own in reversed(self._own):  # `since` never goes back from one to the next, so neither do the places
            if not own.is_hidden:
                covered = (at + 1 for at in range(len(rows) - 1, -1, -1) if own.since.covers(rows[at]))
                entries.insert(next(covered, 0), Entry(own.id, own=own))
        return entries

    def add_pending(self, payload: M, text: str) -> str:
        """Note a message of the user's: the platform stores it together with its answer. Return the entry's id."""
        with self._lock:
            return self._add(payload, text, is_user=True, is_stored=False)

    def add_reminder(self, payload: M, text: str) -> str:
        """Note a message that was written by `remind`. Return the entry's id."""
        with self._lock:
            return self._add(payload, text, is_user=False, is_stored=True)

    def add_answer(self, payload: M, text: str, metadata: Mapping[str, Any]) -> str:
        """Note an answer that the platform stored, and that it stored the question before it.

        Args:
            payload: The framework's message.
            text: What was said.
            metadata: Of the answer: `message_id`, and `chat_id` and `query_id` where known.
        """
        message_id, chat_id = metadata["message_id"], metadata.get("chat_id")
        with self._lock:
            if message_id in self._listed_as:
                return self._listed_as[message_id]
            if known := next((own for own in self._own if own.message_id == message_id), None):
                return known.id
            question = next((own for own in reversed(self._own) if not own.is_stored), None)
            if question is not None:
                question.is_stored = True
                question.message_id, question.chat_id = metadata.get("query_id"), chat_id
            return self._add(payload, text, is_user=False, is_stored=True, message_id=message_id, chat_id=chat_id)

    def _add(self, payload: M, text: str, **known: Any) -> str:
        self._count += 1
        self.version += known["is_stored"]
        own = Own(id=f"own-{self._count}", payload=payload, text=text, since=self._mark, **known)
        self._own.append(own)
        return own.id

    def forget(self, id: str) -> bool:
        """Take back a pending message; return whether there was one with this id."""
        with self._lock:
            kept = [own for own in self._own if own.id != id or own.is_stored]
            found = len(kept) < len(self._own)
            self._own = kept
            return found

    def reset(self) -> None:
        """Note that the platform has reset the conversation: only what is newer is shown from here on.

        Whether the platform still lists what was before is UNVERIFIED; if it does, it is hidden.
        """
        with self._lock:
            self.version += 1
            self._reset = self._mark
            self._own = [own for own in self._own if own.is_stored]
            for own in self._own:
                own.is_hidden = True

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())
