"""One conversation the platform keeps, as one program sees it: what chat stores and message histories are made of.

The platform's list comes in pages, may lag behind what was written, and knows nothing that nobody has sent to the
character yet. A `Conversation` lays this program's own messages over what was read, until the platform lists them.
What it can hold, and how that gets there, is in `storing.py`.
"""

import threading
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Generic, TypeVar

from xingchen_core.characters.own_messages import Mark, Own, echoed, named, replacing
from xingchen_core.characters.platform_history import HistoryMessage
from xingchen_core.characters.reading import in_order, order_messages, whole_history

__all__ = ["Conversation", "Entry", "Mark", "Own", "order_messages", "whole_history"]

M = TypeVar("M")


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
    """What this program has said in one conversation and the platform does not list yet. Safe between threads.

    An own message that the platform never lists is kept: the program was told that it is stored, and what was said must
    not vanish. It keeps its place, behind what had been read when it was said and before what was said later, and no
    later message that says the same is taken for it. Of what is listed only ids and the newest `REMEMBERED` are kept.
    """

    REMEMBERED = 100
    """So many own messages that were listed are shown even if a later read lacks them: replicas differ for a while."""

    PLACES = 1000
    """So many messages back it is known in which order they were listed."""

    def __init__(self) -> None:
        self.version = 0
        """Grows with what this program changes on the platform: what was read before does not show it."""
        self._questions: list[Own[M]] = []
        self.has_read = False
        """Whether it is known what the platform listed before the first message of this program."""
        self.unfinished: dict[Any, Any] = {}
        """Batches that could not be stored whole; see `batches.py`."""
        self._own: list[Own[M]] = []
        self._listed_as: dict[str, str] = {}
        self._listed: deque[HistoryMessage] = deque(maxlen=self.REMEMBERED)
        self._places: list[str] = []
        self._mark = Mark()
        self._reset = Mark()
        self._hidden: set[str] = set()
        self._count = 0
        self._lock = threading.Lock()

    @property
    def questions(self) -> list[str]:
        """What was asked and is not answered yet, listed or not, oldest first.

        Several where turns of one user overlap. Words of the application's own end the waiting.
        """
        return [question.text for question in self._questions]

    def end_waiting(self) -> None:
        """Note that what comes next answers nothing that was asked before."""
        self._questions = []

    @property
    def mark(self) -> Mark:
        """How far the conversation had come by what has been read."""
        return self._mark

    def merge(self, rows: Sequence[HistoryMessage], limit: int | None = None) -> list[Entry[M]]:
        """Return the conversation, oldest first: what was read, and what it does not show yet of our own.

        May be given the same rows again, and older reads after newer ones.

        Args:
            rows: What was read, oldest first: see `whole_history` and `order_messages`.
            limit: Only the newest so many.
        """
        with self._lock:
            listed = self._with_missing(rows)
            self._mark = self._mark.join(Mark.of(listed))
            self._recognise(listed)
            shown = [r for r in listed if not self._reset.covers(r) and r.message_id not in self._hidden]
            entries = self._interleave(shown)
            return entries if limit is None else entries[max(0, len(entries) - limit) :]

    def _with_missing(self, rows: Sequence[HistoryMessage]) -> list[HistoryMessage]:
        """Return what was read, with the own messages that an earlier read listed and this one lacks.

        They stand where they were listed. A regenerated answer replaces the first.
        """
        known = {row.message_id: row for row in rows}
        places = woven(self._places, list(known))
        self._places = places[-self.PLACES :]
        sides = {(row.chat_id, row.is_user) for row in rows if row.chat_id is not None}
        missing = [r for r in self._listed if r.message_id not in known and (r.chat_id, r.is_user) not in sides]
        known |= {row.message_id: row for row in missing}
        forgotten = {row.message_id for row in missing}.difference(places)  # older than all whose place is known
        return in_order([known[one] for one in [*forgotten, *places] if one in known])

    def _recognise(self, rows: Sequence[HistoryMessage]) -> None:
        """Drop the own messages that are listed by now. The surest sign goes first."""
        for own, row in named(self._own, [row for row in rows if row.message_id not in self._listed_as]):
            self._drop(own, row)
        for own, row in echoed(self._own, rows, self._listed_as):
            self._drop(own, row)
        # The platform has one answer of each exchange. An own one in its place was asked for again, and was not chosen
        # if what was said after it is listed already.
        given_up = {own.id for own in replacing(self._own, rows).values() if own.until is not None}
        self._own = [own for own in self._own if own.id not in given_up]

    def _drop(self, own: Own[M], row: HistoryMessage) -> None:
        self._listed_as[row.message_id] = own.id
        self._listed.append(row)
        if own.is_hidden:
            self._hidden.add(row.message_id)
        at = self._own.index(own)
        del self._own[at]
        for later in self._own[at:]:
            later.since = later.since.join(Mark.of([row]))
        for earlier in self._own[:at]:
            # Else something said in between is listed already. A question that waits may be asked after the answer to
            # another.
            if earlier.until is own.until and (own.is_user or earlier not in self._questions):
                earlier.until = row

    def _interleave(self, rows: Sequence[HistoryMessage]) -> list[Entry[M]]:
        """Put each own message behind everything that was there when it was said."""
        again = replacing(self._own, rows)
        entries: list[Entry[M]] = [
            Entry(again[r.message_id].id, own=again[r.message_id])
            if r.message_id in again
            else Entry(self._listed_as.get(r.message_id, r.message_id), row=r)
            for r in rows
        ]
        placed = {own.id for own in again.values()}
        at = len(rows)
        for own in reversed(self._own):  # `since` never goes back from one to the next, so neither do the places
            if not own.is_hidden and own.id not in placed:
                while at and not own.since.covers(rows[at - 1]):
                    at -= 1
                entries.insert(at, Entry(own.id, own=own))
        return entries

    def find_answer(
        self, rows: Sequence[HistoryMessage], text: str, question: str | None = None
    ) -> dict[str, Any] | None:
        """Find the answer that says `text` to a question that is listed now; return its ids for `add_answer`.

        Only what is listed after the question was added counts: the same may have been said before.

        Args:
            rows: What was read just now, oldest first.
            text: What the answer says.
            question: What the question says, if it is not added yet; only what no earlier read listed counts. By
                default any that is not answered yet.
        """
        seen = self._mark
        for asked, answer in pairwise(self.merge(rows)):
            if asked.row is None or answer.row is None or answer.is_user or answer.text.strip() != text.strip():
                continue
            if question is None:
                is_asked = any(asked.id == one.id for one in self._questions)
            else:
                is_asked = asked.is_user and asked.text.strip() == question.strip() and not seen.covers(asked.row)
            if is_asked and answer.row.message_id not in self._listed_as:
                ids = {"message_id": answer.row.message_id, "query_id": asked.row.message_id}
                return ids | {"chat_id": answer.row.chat_id, "session_id": answer.row.session_id}
        return None

    def add_pending(self, payload: M, text: str) -> str:
        """Note a message of the user's: the platform stores it together with its answer. Return the entry's id."""
        with self._lock:
            self._questions = [*self._questions[-self.REMEMBERED :], self._add(payload, text, is_user=True)]
            return self._questions[-1].id

    def add_reminder(self, payload: M, text: str) -> str:
        """Note a message that was written by `remind`. Return the entry's id."""
        with self._lock:
            self._questions = []
            return self._add(payload, text, is_user=False, is_stored=True).id

    def add_answer(self, payload: M, text: str, metadata: Mapping[str, Any], question: str | None = None) -> str:
        """Note an answer that the platform stored, and that it stored the question before it.

        Args:
            payload: The framework's message.
            text: What was said.
            metadata: Of the answer: `message_id`, and `chat_id` and `query_id` where known.
            question: What was asked, if that is known; by default the question that was added last.
        """
        message_id, chat_id, query_id = metadata["message_id"], metadata.get("chat_id"), metadata.get("query_id")
        with self._lock:
            said = self._said_as(query_id)
            asked = self._asked(question)
            waiting = asked if asked in self._own else None
            known = [self._listed_as[message_id]] if message_id in self._listed_as else []
            known += [own.id for own in self._own if own.message_id == message_id]
            if known:
                if waiting is not None and waiting.text.strip() == said:
                    self._take_away(waiting)  # the whole turn was added again
                return known[0]
            if said is not None and waiting is not None:
                self._take_away(waiting)  # it was answered again, and the platform has it once
            if asked is None:
                waiting = next((own for own in reversed(self._own) if not own.is_stored), None)
            if said is None and waiting is not None:
                waiting.is_stored = True
                waiting.message_id, waiting.chat_id = query_id, chat_id
                waiting.answer_id = message_id
            self._questions = [one for one in self._questions if one is not asked]
            first = [own for own in self._own if (own.chat_id, own.is_user) == (chat_id, False)]
            if said is None or chat_id is None or not first:
                ids = {"message_id": message_id, "chat_id": chat_id}
                return self._add(payload, text, is_user=False, is_stored=True, **ids).id
            self._answer_again(first[0], payload, text, message_id)
            return first[0].id

    def _asked(self, question: str | None) -> Own[M] | None:
        """Return the question an answer belongs to: the last that says so, else the last of all."""
        same = [one for one in self._questions if question is not None and one.text.strip() == question.strip()]
        candidates = same or self._questions
        return candidates[-1] if candidates else None

    def _answer_again(self, first: Own[M], payload: M, text: str, message_id: str) -> None:
        """Put another answer to the same question in the place of the first: the platform has one of them."""
        for own in self._own:
            if own.answer_id == first.message_id:
                own.answer_id = message_id
        first.payload, first.text, first.message_id = payload, text, message_id
        self.version += 1

    def _take_away(self, waiting: Own[M]) -> None:
        self._own.remove(waiting)
        self._questions.remove(waiting)

    def _said_as(self, query_id: str | None) -> str | None:
        """Return what a question says that the platform has, if it is one of ours."""
        if query_id is None:
            return None
        said = [own.text for own in self._own if own.message_id == query_id]
        said += [row.content for row in self._listed if row.message_id == query_id]
        return said[0].strip() if said else None

    def _add(self, payload: M, text: str, *, is_user: bool, is_stored: bool = False, **known: Any) -> Own[M]:
        self._count += 1
        self.version += is_stored
        own = Own(
            id=f"own-{self._count}",
            payload=payload,
            text=text,
            is_user=is_user,
            is_stored=is_stored,
            since=self._mark,
            **known,
        )
        self._own.append(own)
        return own

    def forget(self, id: str) -> bool:
        """Take back a pending message; return whether there was one with this id."""
        with self._lock:
            kept = [own for own in self._own if own.id != id or own.is_stored]
            found = len(kept) < len(self._own)
            self._own = kept
            if found:
                self._questions = [one for one in self._questions if one.id != id]
            return found

    def reset(self, older: Iterable[str] = ()) -> None:
        """Note that the platform has reset the conversation: only what is newer is shown from here on.

        Whether the platform still lists what was before is UNVERIFIED; if it does, it is hidden.

        Args:
            older: Ids of messages that are older for certain, listed or not.
        """
        with self._lock:
            self.version += 1
            self._reset = self._mark
            self._hidden.update(older)
            self.unfinished.clear()
            self._questions = []
            self._own = [own for own in self._own if own.is_stored]
            for own in self._own:
                own.is_hidden = True

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())


def woven(before: Sequence[str], now: Sequence[str]) -> list[str]:
    """Return `now` with what else stood in `before`, each behind what it stood behind there."""
    present = set(now)
    behind: dict[str | None, list[str]] = {}
    last = None
    for one in before:
        if one in present:
            last = one
        else:
            behind.setdefault(last, []).append(one)
    result = []
    first = next((one for one in before if one in present), now[0] if now else None)
    for one in now:
        if one == first:
            result += behind.get(None, [])
        result += [one, *behind.get(one, [])]
    return result if now else list(before)
