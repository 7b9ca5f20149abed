"""Reading the platform's history whole and in order, and laying own messages over it. Pure: nothing is sent."""

import pickle
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xingchen_core import Call
from xingchen_core._call import Page
from xingchen_core.characters import HistoryMessage
from xingchen_core.characters.conversation import Conversation, Entry, order_messages, whole_history


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


def texts(entries: Sequence[Entry[Any]]) -> list[str]:
    """What is shown, in order."""
    return [entry.text for entry in entries]


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
        flow = whole_history("demo", "u1", page_size=self.page_size, **arguments)
        page: Page[HistoryMessage] | None = None
        try:
            while True:
                call = flow.send(page)  # type: ignore[arg-type]  # None starts it
                assert isinstance(call, Call)
                assert call.json["orderBy"] == ["gmtCreate desc"]
                start = (call.json["pageNum"] - 1) * self.page_size
                page = Page(tuple(self.rows[start : start + self.page_size]), total=len(self.rows))
                self.pages += 1
        except StopIteration as done:
            return ids(done.value)


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


# Own messages


def test_own_messages_are_seen_at_once() -> None:
    """What was said here is shown behind what was read, before the platform lists it."""
    conversation = Conversation[str]()
    conversation.merge([row("q1", "你好", at=1)])
    conversation.add_pending("question", "在吗")
    conversation.add_reminder("reminder", "我在")
    entries = conversation.merge([row("q1", "你好", at=1)])
    assert texts(entries) == ["你好", "在吗", "我在"]
    assert [entry.own.payload if entry.own else None for entry in entries] == [None, "question", "reminder"]
    assert [entry.is_pending for entry in entries] == [False, True, False]
    assert [entry.is_user for entry in entries] == [True, True, False]


@pytest.mark.parametrize(
    ("limit", "shown"), [(None, ["a", "b", "新"]), (2, ["b", "新"]), (9, ["a", "b", "新"]), (0, [])]
)
def test_merge_with_a_limit(limit: int | None, shown: list[str]) -> None:
    """The newest messages are kept, own ones included."""
    conversation = Conversation[str]()
    rows = [row("a", at=1), row("b", at=2)]
    conversation.merge(rows)
    conversation.add_pending("", "新")
    assert texts(conversation.merge(rows, limit)) == shown


def test_an_echo_replaces_the_own_message() -> None:
    """Once listed, a message is shown once, from the list, under the id it had before."""
    conversation = Conversation[str]()
    conversation.merge([])
    pending = conversation.add_pending("", "你好")
    entries = conversation.merge([row("q1", "你好", at=1), row("a1", "你好呀", at=2)])
    assert [(entry.id, entry.text, entry.is_pending) for entry in entries] == [
        (pending, "你好", False),
        ("a1", "你好呀", False),
    ]


def test_old_words_are_no_echo() -> None:
    """The same words said before do not stand for the new message, nor do the character's."""
    conversation = Conversation[str]()
    old = [row("q1", "你好", at=1), row("a1", "你好", at=2)]
    conversation.merge(old)
    conversation.add_pending("", "你好")
    assert texts(conversation.merge(old)) == ["你好", "你好", "你好"]
    assert texts(conversation.merge([*old, row("a2", "你好", at=3)])) == ["你好", "你好", "你好", "你好"]


def test_an_echo_may_lack_white_space() -> None:
    """A service that trims what it stores still echoes it."""
    conversation = Conversation[str]()
    own = conversation.add_reminder("", " 早安\n")
    assert [(entry.id, entry.text) for entry in conversation.merge([row("r1", "早安", at=1)])] == [(own, "早安")]


def test_equal_words_are_echoed_one_by_one() -> None:
    """Of two equal messages the first listed echo replaces the first only."""
    conversation = Conversation[str]()
    first, second = conversation.add_reminder("", "早安"), conversation.add_reminder("", "早安")
    once = conversation.merge([row("r1", "早安", at=1)])
    assert [(entry.id, entry.row is not None) for entry in once] == [(first, True), (second, False)]
    twice = conversation.merge([row("r2", "早安", at=2), row("r1", "早安", at=1)])
    assert [(entry.id, entry.row is not None) for entry in twice] == [(first, True), (second, True)]


def test_an_answer_names_its_question() -> None:
    """An answer's ids tell which question was stored, even if the same words were listed late."""
    conversation = Conversation[str]()
    conversation.merge([])
    question = conversation.add_pending("", "你好")
    answer = conversation.add_answer("", "你好呀", {"message_id": "a2", "query_id": "q2", "chat_id": "c2"})
    late = [row("q1", "你好", at=1, chat="c1")]
    assert [entry.id for entry in conversation.merge(late)] == [question, answer, "q1"]
    listed = [*late, row("q2", "你好", at=3, chat="c2"), row("a2", "你好呀", at=4, chat="c2")]
    assert [entry.id for entry in conversation.merge(listed)] == ["q1", question, answer]


def test_an_answer_without_the_question_id() -> None:
    """The exchange's id is enough to know both of its sides; a regenerated answer has a new id of its own."""
    conversation = Conversation[str]()
    question = conversation.add_pending("", "你好")
    answer = conversation.add_answer("", "你好呀", {"message_id": "a1", "chat_id": "c1"})
    regenerated = [row("q1", "你好", at=1, chat="c1"), row("a9", "又见面了", at=2, chat="c1")]
    entries = conversation.merge(regenerated)
    assert [(entry.id, entry.text) for entry in entries] == [(question, "你好"), (answer, "又见面了")]


def test_an_answer_is_noted_once() -> None:
    """Adding an answer again, before or after it is listed, changes nothing."""
    conversation = Conversation[str]()
    told = {"message_id": "a1"}
    first = conversation.add_answer("", "好", told)
    assert conversation.add_answer("", "好", told) == first
    conversation.merge([row("a1", "好", at=1)])
    assert conversation.add_answer("", "好", told) == first
    assert texts(conversation.merge([row("a1", "好", at=1)])) == ["好"]


def test_pending_messages_keep_their_place() -> None:
    """Questions that another model answered are never listed; they stay before the reminders that followed them."""
    conversation = Conversation[str]()
    conversation.merge([row("q1", "零", at=0)])
    for number in ("一", "二"):
        conversation.add_pending("", f"问{number}")
        conversation.add_reminder("", f"答{number}")
    listed = [row("q1", "零", at=0), row("r1", "答一", at=1)]
    assert texts(conversation.merge(listed)) == ["零", "问一", "答一", "问二", "答二"]
    listed = [*listed, row("r2", "答二", at=2)]
    assert texts(conversation.merge(listed)) == ["零", "问一", "答一", "问二", "答二"]


def test_pending_messages_keep_their_place_at_equal_times() -> None:
    """The same with a clock that stands still."""
    conversation = Conversation[str]()
    for number in ("一", "二"):
        conversation.add_pending("", f"问{number}")
        conversation.add_reminder("", f"答{number}")
    listed = [row("r1", "答一", at=5), row("r2", "答二", at=5)]
    assert texts(conversation.merge(listed)) == ["问一", "答一", "问二", "答二"]


def test_only_pending_messages_can_be_forgotten() -> None:
    """What the platform has cannot be taken back."""
    conversation = Conversation[str]()
    pending, stored = conversation.add_pending("", "问"), conversation.add_reminder("", "答")
    assert not conversation.forget(stored)
    assert conversation.forget(pending)
    assert not conversation.forget(pending)
    assert texts(conversation.merge([])) == ["答"]


def test_an_answered_question_is_not_pending() -> None:
    """An answer proves that the platform heard the question, before it lists either."""
    conversation = Conversation[str]()
    question = conversation.add_pending("", "问")
    conversation.add_answer("", "答", {"message_id": "a1"})
    assert not conversation.forget(question)


# Reset


def test_reset_hides_what_was() -> None:
    """After a reset only newer messages are shown, whether or not the platform lists the old ones."""
    conversation = Conversation[str]()
    old = [row("q1", "旧", at=1), row("a1", "旧答", at=2)]
    conversation.merge(old)
    conversation.add_pending("", "没人听见")
    conversation.reset()
    conversation.add_reminder("", "新")
    assert texts(conversation.merge(old)) == ["新"]
    assert texts(conversation.merge([*old, row("r1", "新", at=3)])) == ["新"]
    assert texts(conversation.merge([row("r1", "新", at=3)])) == ["新"]


def test_a_reset_forgets_what_was_pending() -> None:
    """The same words said again after a reset are echoed for the new message, not for the old one."""
    conversation = Conversation[str]()
    conversation.add_pending("", "你好")
    conversation.reset()
    again = conversation.add_pending("", "你好")
    [entry] = conversation.merge([row("q1", "你好", at=1)])
    assert (entry.id, entry.row is not None) == (again, True)


def test_reset_hides_what_is_listed_late() -> None:
    """Own messages written before the reset and listed after it stay hidden, and so does anything older."""
    conversation = Conversation[str]()
    conversation.merge([row("q5", "旧", at=5)])
    conversation.add_reminder("", "旧提醒")
    conversation.reset()
    late = [row("a4", "更旧", at=4), row("q5", "旧", at=5), row("r6", "旧提醒", at=6), row("q7", "新", at=7)]
    assert texts(conversation.merge(late)) == ["新"]


def test_reset_at_equal_times() -> None:
    """With a clock that stands still the ids tell old from new."""
    conversation = Conversation[str]()
    conversation.merge([row("q1", "旧", at=5)])
    conversation.reset()
    assert texts(conversation.merge([row("q1", "旧", at=5), row("q2", "新", at=5)])) == ["新"]


def test_what_changes_the_platform_is_counted() -> None:
    """`version` tells whether what was read is out of date: a pending message has not reached the platform."""
    conversation = Conversation[str]()
    versions = []
    conversation.forget(conversation.add_pending("", "问"))
    versions.append(conversation.version)
    conversation.merge([])
    versions.append(conversation.version)
    conversation.add_reminder("", "提醒")
    versions.append(conversation.version)
    conversation.add_answer("", "答", {"message_id": "a1"})
    versions.append(conversation.version)
    conversation.reset()
    versions.append(conversation.version)
    assert versions == [0, 0, 1, 2, 3]


def test_an_older_read_hides_nothing_of_ours() -> None:
    """A replica that lags behind the last one asked does not take an own message away again."""
    conversation = Conversation[str]()
    conversation.merge([row("q1", "旧", at=1)])
    own = conversation.add_reminder("", "新")
    conversation.merge([row("q1", "旧", at=1), row("r2", "新", at=2)])
    again = conversation.merge([row("q1", "旧", at=1)])
    assert [(entry.id, entry.text) for entry in again] == [("q1", "旧"), (own, "新")]


def test_a_regenerated_answer_replaces_the_first() -> None:
    """The first answer is not taken for one that a lagging replica lacks."""
    conversation = Conversation[str]()
    conversation.add_answer("", "一", {"message_id": "a1", "chat_id": "c1"})
    conversation.merge([row("q1", "问", at=1, chat="c1"), row("a1", "一", at=2, chat="c1")])
    regenerated = [row("q1", "问", at=1, chat="c1"), row("a9", "二", at=3, chat="c1")]
    assert texts(conversation.merge(regenerated)) == ["问", "二"]


def test_a_conversation_travels() -> None:
    """A pickled conversation knows its own messages and its reset."""
    conversation = Conversation[str]()
    conversation.merge([row("q1", "旧", at=1)])
    conversation.reset()
    conversation.add_reminder("payload", "新")
    copy: Conversation[str] = pickle.loads(pickle.dumps(conversation))
    assert texts(copy.merge([row("q1", "旧", at=1)])) == ["新"]
    copy.add_pending("", "只在副本")
    assert texts(conversation.merge([])) == ["新"]
