"""Reading the platform's history whole and in order, whichever way it is listed. Pure: nothing is sent."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xingchen_core import Call
from xingchen_core._call import Page
from xingchen_core.characters import HistoryMessage
from xingchen_core.characters.conversation import Conversation
from xingchen_core.characters.reading import in_order, order_messages, whole_history


def row(id: str, content: str = "", *, at: int | None = None, chat: str | None = None) -> HistoryMessage:
    """A listed message. The id says who spoke: q... is the user, anything else the character."""
    return HistoryMessage(
        message_id=id,
        content=content or id,
        message_type="user" if id.startswith("q") else "character",
        gmt_create=at,  # type: ignore[arg-type]  # milliseconds are read into a time
        chat_id=chat,
    )


def ids(rows: Sequence[HistoryMessage]) -> list[str]:
    """The ids, in order."""
    return [one.message_id for one in rows]


# Order


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        pytest.param([("a1", 2), ("q1", 1)], ["q1", "a1"], id="newest first"),
        pytest.param([("q1", 1), ("a1", 2)], ["q1", "a1"], id="oldest first"),
        pytest.param([("q2", 3), ("a1", 2), ("q1", 1), ("a1", 2)], ["q1", "a1", "q2"], id="repeated"),
        pytest.param([("a2", None), ("q2", None)], ["q2", "a2"], id="without times as asked for"),
        pytest.param([("q3", 9), ("b", None), ("q1", 1)], ["q1", "b", "q3"], id="one without a time"),
        pytest.param([], [], id="empty"),
    ],
)
def test_order_by_time(listed: list[tuple[str, int | None]], expected: list[str]) -> None:
    """Messages come out oldest first and once, however they were listed."""
    assert ids(order_messages([row(name, at=at) for name, at in listed])) == expected


@pytest.mark.parametrize("listed", [["q1", "a1", "q2", "a2"], ["a2", "q2", "a1", "q1"], ["a1", "q1", "q2", "a2"]])
def test_order_of_equal_times(listed: list[str]) -> None:
    """At one time a question stands before its answer, and exchanges stay together."""
    rows = [row(name, at=7, chat=name[1:]) for name in listed]
    assert ids(order_messages(rows)) == ["q1", "a1", "q2", "a2"]


def test_order_of_equal_times_without_questions() -> None:
    """Nothing shows the direction of reminders of the same time: they stay as listed."""
    assert ids(order_messages([row("r1", at=7), row("r2", at=7)])) == ["r1", "r2"]


def test_an_exchange_shows_the_direction_of_its_time() -> None:
    """Reminders beside a backwards exchange of the same time are turned round with it."""
    rows = [row("r2", at=7), row("a1", at=7, chat="c"), row("q1", at=7, chat="c"), row("r1", at=7)]
    assert ids(order_messages(rows)) == ["r1", "q1", "a1", "r2"]


@pytest.mark.parametrize("newest_first", [True, False])
def test_an_old_question_answered_again(newest_first: bool) -> None:
    """The new answer is the newest message by its time, and yet stands behind its question."""
    true = [
        row("q1", at=1, chat="c1"),
        row("a9", at=9, chat="c1"),
        row("q2", at=3, chat="c2"),
        row("a2", at=4, chat="c2"),
    ]
    listed = sorted(true, key=lambda one: one.gmt_create or 0, reverse=newest_first)
    assert ids(order_messages(listed)) == ids(true)
    assert ids(in_order(in_order(true))) == ids(true)


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param([("q1", "c1"), ("r1", "r1"), ("a1", "c1")], id="a reminder while the answer was made"),
        pytest.param([("q1", "c"), ("a1", "c"), ("q2", "c"), ("a2", "c")], id="one id for all"),
        pytest.param([("q1", "c"), ("q2", "x"), ("a1", "c"), ("a2", "c")], id="two answers"),
    ],
)
def test_times_decide_the_rest(rows: list[tuple[str, str]]) -> None:
    """Only an answer that another question came before is moved, and only the one answer of its question."""
    listed = [row(name, at=at, chat=chat) for at, (name, chat) in enumerate(rows)]
    assert ids(order_messages(listed)) == [name for name, _ in rows]


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=8), st.randoms(use_true_random=False))
def test_order_loses_nothing(exchanges: list[tuple[int, bool]], random: Any) -> None:
    """Shuffled pages give every message once, times never fall, and no answer precedes its question."""
    rows = []
    for number, (at, answered) in enumerate(exchanges):
        rows.append(row(f"q{number}", at=at, chat=str(number)))
        if answered:
            rows.append(row(f"a{number}", at=at, chat=str(number)))
    shuffled = rows * 2
    random.shuffle(shuffled)

    ordered = order_messages(shuffled)

    assert sorted(ids(ordered)) == sorted(ids(rows))
    times = [one.gmt_create for one in ordered if one.gmt_create]
    assert times == sorted(times)
    for number, (_, answered) in enumerate(exchanges):
        assert not answered or ids(ordered).index(f"q{number}") < ids(ordered).index(f"a{number}")


# Reading to the end


class Platform:
    """Answers the calls of `whole_history` from a list, in pages."""

    def __init__(self, rows: Sequence[HistoryMessage], page_size: int) -> None:
        self.rows, self.page_size, self.pages = rows, page_size, 0

    def run(self, **arguments: Any) -> list[str]:
        return ids(self.read(**arguments))

    def read(self, **arguments: Any) -> list[HistoryMessage]:
        flow = whole_history("demo", "u1", page_size=self.page_size, **arguments)
        page: Page[HistoryMessage] | None = None
        try:
            while True:
                call = flow.send(page)  # type: ignore[arg-type]  # None starts it
                assert isinstance(call, Call)
                assert call.json["orderBy"] == [arguments.get("order", "gmtCreate desc")]
                start = (call.json["pageNum"] - 1) * self.page_size
                page = Page(tuple(self.rows[start : start + self.page_size]), total=len(self.rows))
                self.pages += 1
        except StopIteration as done:
            result: list[HistoryMessage] = done.value
            return result


ELEVEN = [f"r{number:02}" for number in range(1, 12)]


def eleven(direction: int) -> list[HistoryMessage]:
    """Their messages, oldest first (1) or newest first (-1)."""
    return [row(name, at=int(name[1:])) for name in ELEVEN][::direction]


@pytest.mark.parametrize("direction", [1, -1], ids=["ignores desc", "obeys desc"])
@pytest.mark.parametrize(("limit", "expected"), [(None, ELEVEN), (4, ELEVEN[-4:]), (99, ELEVEN), (11, ELEVEN), (0, [])])
def test_whole_history(direction: int, limit: int | None, expected: list[str]) -> None:
    """All pages are read, or the newest `limit` messages, even from a service that ignores the direction."""
    assert Platform(eleven(direction), 3).run(limit=limit) == expected


def test_limit_saves_pages() -> None:
    """Of a service that obeys, only the pages that are needed are read: two of three for four messages."""
    platform = Platform(eleven(-1), 3)
    platform.run(limit=4)
    assert platform.pages == 2


@pytest.mark.parametrize("direction", [1, -1], ids=["ignores desc", "obeys desc"])
def test_limit_of_one_message(direction: int) -> None:
    """One message does not show which way a list goes: a second is read."""
    rows = [row("q1", chat="1"), row("a1", chat="1")]
    assert Platform(rows[::direction], 1).run(limit=1) == ["a1"]


@pytest.mark.parametrize("direction", [1, -1], ids=["ignores desc", "obeys desc"])
def test_limit_within_one_time(direction: int) -> None:
    """Messages of one time may be listed the other way round: the newest of them are found behind the limit."""
    rows = [row(f"{side}{number}", at=7, chat=str(number)) for number in range(5) for side in "qa"]
    assert Platform(rows[::direction], 3).run(limit=2) == ["q4", "a4"]


def test_asked_for_oldest_first() -> None:
    """What is asked for decides where nothing else does."""
    rows = [row("r1"), row("r2")]
    assert Platform(rows, 3).run(order="gmtCreate asc") == ["r1", "r2"]
    assert Platform(rows, 3).run() == ["r2", "r1"]


# The true conversation

TIMES = st.sampled_from(["all", "none", "some"])


@st.composite
def conversations(draw: st.DrawFn) -> list[HistoryMessage]:
    """A true conversation of exchanges and reminders: with times, some of them equal, with few times, or with none.

    An exchange begins it, and shows the direction where times do not. Reminders have times of their own: nothing could
    tell how those of one time follow each other.
    """
    times, rows, now = draw(TIMES), [], 0
    for number in range(draw(st.integers(1, 8))):
        exchange = number == 0 or draw(st.booleans())
        for side in "qa" if exchange else "r":
            now += draw(st.integers(0 if side == "a" and times == "all" else 1, 2))
            known = times == "all" or (times == "some" and draw(st.booleans()))
            rows.append(row(f"{side}{number}", at=now if known else None, chat=str(number) if exchange else None))
    return rows


@settings(max_examples=400, deadline=None)
@given(conversations(), st.booleans(), st.integers(1, 5), st.none() | st.integers(0, 9))
def test_the_true_order(true: list[HistoryMessage], newest_first: bool, page_size: int, limit: int | None) -> None:
    """However it is listed, what is read and then merged is the conversation as it was; merging again turns nothing."""
    platform = Platform(true[::-1] if newest_first else true, page_size)
    expected = ids(true) if limit is None else ids(true)[max(0, len(true) - limit) :]
    read = platform.read(limit=limit)
    assert ids(read) == expected
    conversation = Conversation[str]()
    for _ in range(2):
        read = [entry.row for entry in conversation.merge(read) if entry.row is not None]
        assert ids(read) == expected
    assert ids(in_order(in_order(true))) == ids(true)
