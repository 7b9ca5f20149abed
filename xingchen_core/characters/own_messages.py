"""A program's own messages until the platform lists them, and how they are known again when it does."""

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Generic, Self, TypeVar

from xingchen_core.characters.platform_history import HistoryMessage

M = TypeVar("M")


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a conversation had come when it was read: everything before `time`, and these ids.

    Attributes:
        time: The latest time there was.
        ids: The messages of that time.
        untimed: The messages whose time the service does not tell.
    """

    time: datetime | None = None
    ids: frozenset[str] = frozenset()
    untimed: frozenset[str] = frozenset()

    @classmethod
    def of(cls, rows: Sequence[HistoryMessage]) -> Self:
        """Return the mark after these messages."""
        time = max((row.gmt_create for row in rows if row.gmt_create is not None), default=None)
        untimed = frozenset(row.message_id for row in rows if row.gmt_create is None)
        latest = (row.message_id for row in rows if row.gmt_create is not None and row.gmt_create == time)
        return cls(time, frozenset(latest), untimed)

    def covers(self, row: HistoryMessage) -> bool:
        """Whether the message was there, or is older than one that was."""
        if row.message_id in self.ids or row.message_id in self.untimed:
            return True
        return row.gmt_create is not None and self.time is not None and row.gmt_create < self.time

    def join(self, other: "Mark") -> "Mark":
        """Return the later of the two."""
        untimed = self.untimed if other.untimed <= self.untimed else self.untimed | other.untimed
        if self.time == other.time:
            return Mark(self.time, self.ids | other.ids, untimed)
        if other.time is None or (self.time is not None and self.time > other.time):
            return Mark(self.time, self.ids, untimed)
        return Mark(other.time, other.ids, untimed)


@dataclass(eq=False, slots=True, kw_only=True)
class Own(Generic[M]):
    """A message of this program that the platform has not listed yet.

    Attributes:
        payload: The framework's own message.
        is_stored: The platform has it, or soon will; else it is only pending here.
        message_id, chat_id: The platform's ids, where they are known.
        answer_id: Of a question: the id of its answer, where that is known.
        since: What had been read when it was said: its echo is none of that.
        until: The first message listed that this program said later: its echo is before that.
        is_hidden: It was said before a reset, so its echo is hidden too.
    """

    id: str
    payload: M
    text: str
    is_user: bool
    is_stored: bool
    message_id: str | None = None
    chat_id: str | None = None
    answer_id: str | None = None
    since: Mark = field(default_factory=Mark)
    until: HistoryMessage | None = None
    is_hidden: bool = False


Pairs = list[tuple[Own[M], HistoryMessage]]


def named(own: Sequence[Own[M]], rows: Iterable[HistoryMessage]) -> Pairs[M]:
    """Return own messages and what lists them: by their ids, else by their side of an exchange.

    A regenerated answer has another id, but belongs to the same exchange.
    """
    by_id = {row.message_id: row for row in rows}
    pairs = [(one, by_id.pop(one.message_id)) for one in own if one.message_id in by_id]
    found = {id(one) for one, _ in pairs}
    sides: dict[tuple[str | None, bool], list[HistoryMessage]] = {}
    for row in by_id.values():
        sides.setdefault((row.chat_id, row.is_user), []).append(row)
    for one in own:
        if one.chat_id is not None and id(one) not in found and (side := sides.get((one.chat_id, one.is_user))):
            pairs.append((one, side.pop(0)))
    return pairs


def replacing(own: Sequence[Own[M]], rows: Sequence[HistoryMessage]) -> dict[str, Own[M]]:
    """Return own messages that stand for listed ones, by the ids of these: what was asked for again.

    The platform has one answer of each exchange, so the listed one is the first as long as a read lags behind, and the
    chosen one later on. Where an exchange lists several, nothing tells.
    """
    later = {(one.chat_id, one.is_user): one for one in own if one.chat_id is not None and not one.is_hidden}
    sides: dict[tuple[str | None, bool], list[str]] = {}
    for row in rows if later else ():
        sides.setdefault((row.chat_id, row.is_user), []).append(row.message_id)
    return {sides[side][0]: one for side, one in later.items() if len(sides.get(side, ())) == 1}


def echoed(own: Sequence[Own[M]], rows: Sequence[HistoryMessage], taken: Container[str]) -> Pairs[M]:
    """Return own messages whose ids nobody told us, and what lists them: by their words.

    Both are told in their order, so what is paired must not cross: of all such pairings the one that recognises most,
    and of those the one that recognises the oldest own messages.

    Args:
        own: The own messages, in the order they were said.
        rows: What is listed, oldest first.
        taken: Ids of what is known already.
    """
    bare = [one for one in own if one.message_id is None and one.chat_id is None]
    words = {(one.is_user, one.text.strip()) for one in bare}
    places = {row.message_id: at for at, row in enumerate(rows)}
    following = {row.message_id: later.message_id for row, later in pairwise(rows)}
    free = [row for row in rows if row.message_id not in taken and (row.is_user, row.content.strip()) in words]

    def fits(one: Own[M], row: HistoryMessage) -> bool:
        if (one.is_user, one.text.strip()) != (row.is_user, row.content.strip()):
            return False
        if one.answer_id is not None and following.get(row.message_id) == one.answer_id:
            return True
        return not one.since.covers(row) and (one.until is None or is_before(row, one.until))

    def is_before(row: HistoryMessage, later: HistoryMessage) -> bool:
        if later.message_id in places:
            return places[row.message_id] < places[later.message_id]
        return row.gmt_create is not None and later.gmt_create is not None and row.gmt_create <= later.gmt_create

    # The longest common subsequence: most[i][j] of own messages from i and listed ones from j.
    most = [[0] * (len(free) + 1) for _ in range(len(bare) + 1)]
    for i in reversed(range(len(bare))):
        for j in reversed(range(len(free))):
            best = max(most[i + 1][j], most[i][j + 1])
            most[i][j] = max(best, most[i + 1][j + 1] + 1) if fits(bare[i], free[j]) else best
    pairs: Pairs[M] = []
    i = j = 0
    while i < len(bare) and j < len(free):
        if most[i][j] == most[i + 1][j + 1] + 1 and fits(bare[i], free[j]):
            pairs.append((bare[i], free[j]))
            i, j = i + 1, j + 1
        elif most[i][j] == most[i][j + 1]:
            j += 1
        else:
            i += 1
    return pairs
