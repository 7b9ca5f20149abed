"""Laying own messages over what was read of the platform's history. Pure: nothing is sent."""

import pickle
from collections.abc import Sequence
from typing import Any

import pytest

from xingchen_core.characters import HistoryMessage
from xingchen_core.characters.conversation import Conversation, Entry


def row(id: str, content: str = "", *, at: int | None = None, chat: str | None = None) -> HistoryMessage:
    """A listed message. The id says who spoke: q... is the user, anything else the character."""
    return HistoryMessage(
        message_id=id,
        content=content or id,
        message_type="user" if id.startswith("q") else "character",
        gmt_create=at,  # type: ignore[arg-type]  # milliseconds are read into a time
        chat_id=chat,
    )


def texts(entries: Sequence[Entry[Any]]) -> list[str]:
    """What is shown, in order."""
    return [entry.text for entry in entries]


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
