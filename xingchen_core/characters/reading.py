"""Reading the platform's history whole, and in order."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import groupby, pairwise
from typing import Any

from xingchen_core._call import Call, Flow
from xingchen_core.characters._wire import LARGEST_PAGE
from xingchen_core.characters.platform_history import HistoryMessage, all_history


def whole_history(
    character_id: str, user_id: str, *, limit: int | None = None, page_size: int = LARGEST_PAGE, **filters: Any
) -> Flow[list[HistoryMessage]]:
    """Read the whole conversation, or its newest `limit` messages, oldest first and each once.

    Takes what `history` takes. Pages are asked for newest first, the only order the documents show; a service that
    lists oldest first all the same is read to its end.
    """
    asked_newest_first = str(filters.get("order", "desc")).endswith("desc")
    rows: list[HistoryMessage] = []
    steps = all_history(character_id, user_id, page_size=page_size, **filters).steps()
    try:
        step = next(steps)
        while limit is None or not _has_newest(rows, limit):
            if isinstance(step, Call):
                step = steps.send((yield step))
            else:
                rows += step
                step = next(steps)
    except StopIteration:
        pass
    ordered = order_messages(rows, asked_newest_first)
    return ordered if limit is None else ordered[max(0, len(ordered) - limit) :]


def _has_newest(rows: Sequence[HistoryMessage], limit: int) -> bool:
    """Whether the newest `limit` messages are for certain among those read so far."""
    if len(rows) < limit or not is_newest_first(rows, asked=limit == 0):
        return False
    # Messages of one time may be listed oldest first among themselves, so that the newest of them come last.
    last = [row.gmt_create for row in [*rows[max(limit - 1, 0) :][:1], *rows[-2:]]]
    return len(rows) < 2 or last[0] is None or len(set(last)) > 1


def order_messages(rows: Iterable[HistoryMessage], asked_newest_first: bool = True) -> list[HistoryMessage]:
    """Return messages as the service listed them oldest first, each id once, a question before its answer.

    Their times tell which way they are listed, else their questions and answers, else it is taken to be the way that
    was asked for. The documents leave open how messages of one time are listed: where their questions and answers show
    that they come backwards, all of them are turned round; else they stay as listed. An answer that was asked for again
    when the conversation had gone on is newer than what followed its question, and stands behind its question.
    """
    listed = list({row.message_id: row for row in rows}.values())
    is_turned = is_newest_first(listed, asked_newest_first)
    ordered = _by_time(listed[::-1] if is_turned else listed)
    turns = sum(_turns(tied) for _, tied, _ in map(_split, _runs(ordered)))
    if turns < 0 or (turns == 0 and is_turned):
        ordered = [row for run in _runs(ordered) for row in _turn_round(run)]
    return _behind_their_questions(row for run in _runs(ordered) for row in _question_first(run))


def in_order(rows: Sequence[HistoryMessage]) -> list[HistoryMessage]:
    """Return messages that stand oldest first in the order of their times: nothing is turned round."""
    return _behind_their_questions(row for run in _runs(_by_time(rows)) for row in _question_first(run))


def _behind_their_questions(rows: Iterable[HistoryMessage]) -> list[HistoryMessage]:
    """Put an answer behind its question if another question came between: it is the answer to the first alone."""
    ordered = list(rows)
    exchanges: dict[str, list[HistoryMessage]] = {}
    for row in ordered:
        if row.chat_id is not None:
            exchanges.setdefault(row.chat_id, []).append(row)
    pairs = {
        pair[0].message_id: pair[1] for pair in exchanges.values() if [one.is_user for one in pair] == [True, False]
    }
    asked = [at for at, row in enumerate(ordered) if row.is_user]
    following = {ordered[at].message_id: later for at, later in pairwise(asked)}
    places = {row.message_id: at for at, row in enumerate(ordered)}
    late = {
        question: answer
        for question, answer in pairs.items()
        if question in following and places[answer.message_id] > following[question]
    }
    if not late:
        return ordered
    moved = {answer.message_id for answer in late.values()}
    result = []
    for row in ordered:
        if row.message_id not in moved:
            result.append(row)
        if row.message_id in late:
            result.append(late[row.message_id])
    return result


def is_newest_first(rows: Sequence[HistoryMessage], asked: bool = True) -> bool:
    """Whether messages are listed newest first; `asked` is the answer if nothing shows it."""
    times = [row.gmt_create for row in rows if row.gmt_create is not None]
    falls = sum((later < earlier) - (later > earlier) for earlier, later in pairwise(times))
    rises = -falls or _turns(rows)
    return rises < 0 if rises else asked


def _turns(rows: Sequence[HistoryMessage]) -> int:
    """Return how many more questions stand before their answers than behind them."""
    sides: dict[tuple[str, bool], int] = {}
    for at, row in enumerate(rows):
        if row.chat_id is not None:
            sides.setdefault((row.chat_id, row.is_user), at)
    pairs = [(at, sides.get((chat, False))) for (chat, is_user), at in sides.items() if is_user]
    return sum((question < answer) - (question > answer) for question, answer in pairs if answer is not None)


def _timed(rows: Sequence[HistoryMessage]) -> list[tuple[datetime | None, HistoryMessage]]:
    """Return each message with its time; one without a time has that of the message before it."""
    latest = next((row.gmt_create for row in rows if row.gmt_create is not None), None)
    timed = []
    for row in rows:
        latest = row.gmt_create or latest
        timed.append((latest, row))
    return timed


def _by_time(rows: Sequence[HistoryMessage]) -> list[HistoryMessage]:
    timed = _timed(rows)
    if timed and timed[0][0] is not None:
        timed.sort(key=lambda pair: pair[0])  # type: ignore[arg-type, return-value]  # all have a time, or none has
    return [row for _, row in timed]


def _runs(rows: Sequence[HistoryMessage]) -> list[list[HistoryMessage]]:
    """Return the messages of each time together."""
    return [[row for _, row in run] for _, run in groupby(_timed(rows), key=lambda pair: pair[0])]


def _split(run: list[HistoryMessage]) -> tuple[list[HistoryMessage], list[HistoryMessage], list[HistoryMessage]]:
    """Split a run into what is of one time for certain, and what is before and behind it: nobody knows its time."""
    timed = [at for at, row in enumerate(run) if row.gmt_create is not None]
    start, end = (timed[0], timed[-1] + 1) if timed else (0, 0)
    return run[:start], run[start:end], run[end:]


def _turn_round(run: list[HistoryMessage]) -> list[HistoryMessage]:
    before, tied, behind = _split(run)
    return before + tied[::-1] + behind


def _question_first(run: list[HistoryMessage]) -> list[HistoryMessage]:
    """Put the messages of each exchange together, the question first, if some answer stands before its question."""
    first: dict[str, int] = {}
    answered: set[str | None] = set()
    is_upset = False
    for at, row in enumerate(run):
        first.setdefault(row.chat_id or row.message_id, at)
        is_upset = is_upset or (row.is_user and row.chat_id is not None and row.chat_id in answered)
        if not row.is_user:
            answered.add(row.chat_id)
    if not is_upset:
        return run
    return sorted(run, key=lambda row: (first[row.chat_id or row.message_id], not row.is_user))
