"""What a conversation makes of reads that lag, of messages never listed, and of answers without ids. Pure."""

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


# Reads that lag behind earlier ones


def test_a_stale_read_keeps_the_order_of_one_time() -> None:
    """Own messages of one time that a later read lacks stand where the platform listed them, others' between them."""
    conversation = Conversation[str]()
    for text in ("一", "二", "三"):
        conversation.add_reminder("", text)
    conversation.add_answer("", "答", {"message_id": "a4"})  # recognised first, by its id
    listed = [
        row("r1", "一", at=5),
        row("x", "别人", at=5),
        *(row(f"r{n}", t, at=5) for n, t in ((2, "二"), (3, "三"))),
    ]
    listed.append(row("a4", "答", at=5))
    conversation.merge(listed)
    everything = ["一", "别人", "二", "三", "答"]
    for lacking in ([], listed[:1], listed[:2], listed[3:], [listed[1]], [listed[0], listed[4]]):
        shown = texts(conversation.merge(lacking))
        assert shown == [text for text in everything if text != "别人" or listed[1] in lacking]
    assert texts(conversation.merge(listed)) == everything


def test_a_stale_read_without_times() -> None:
    """The same where the service tells no times, and what is new stays behind what is known."""
    conversation = Conversation[str]()
    conversation.merge([row("q0", "旧")])
    for text in ("一", "二"):
        conversation.add_reminder("", text)
    conversation.merge([row("q0", "旧"), row("r1", "一"), row("x", "别人"), row("r2", "二")])
    assert texts(conversation.merge([row("q0", "旧"), row("x", "别人")])) == ["旧", "一", "别人", "二"]
    assert texts(conversation.merge([row("q0", "旧"), row("x", "别人"), row("y", "新")])) == [
        "旧",
        "一",
        "别人",
        "二",
        "新",
    ]


# What is never listed


def test_what_is_never_listed_keeps_its_place() -> None:
    """A reminder that the platform accepted and never lists stays between what was said before and after it."""
    conversation = Conversation[str]()
    rows = [row("q0", "旧", at=0)]
    conversation.merge(rows)
    conversation.add_reminder("", "从未列出")
    for number in range(1, 300):
        conversation.add_reminder("", f"第{number}句")
        rows += [
            row(f"x{number}", f"别人{number}", at=2 * number),
            row(f"r{number}", f"第{number}句", at=2 * number + 1),
        ]
        shown = texts(conversation.merge(rows))
        assert shown[:3] == ["旧", "从未列出", "别人1"]
        assert len(shown) == len(rows) + 1
        assert texts(conversation.merge(rows, limit=2)) == [f"别人{number}", f"第{number}句"]
        assert texts(conversation.merge(rows[-2:], limit=2)) == [f"别人{number}", f"第{number}句"]
    assert [own.text for own in conversation._own] == ["从未列出"]
    assert len(conversation._listed) == Conversation.REMEMBERED
    assert len(conversation._places) <= Conversation.PLACES


@pytest.mark.parametrize("timed", [True, False])
def test_a_later_message_alike_is_not_its_echo(timed: bool) -> None:
    """Once something said later is listed, the same words behind that are somebody's new words."""
    conversation = Conversation[str]()
    lost = conversation.add_reminder("", "早")
    conversation.add_reminder("", "吃了吗")
    rows = [row("r1", "吃了吗", at=1 if timed else None)]
    conversation.merge(rows)
    rows.append(row("r2", "早", at=2 if timed else None))
    entries = conversation.merge(rows)
    assert [(entry.id == lost, entry.text) for entry in entries] == [(True, "早"), (False, "吃了吗"), (False, "早")]
    late = [row("r0", "早", at=0 if timed else None), *rows]  # the platform lists it after all
    assert [entry.id == lost for entry in conversation.merge(late)] == [True, False, False]
    assert texts(conversation.merge(late)) == ["早", "吃了吗", "早"]


def test_the_nearest_later_message_counts() -> None:
    """What is listed between two later messages of ours is not the echo of an earlier one."""
    conversation = Conversation[str]()
    lost = conversation.add_reminder("", "早")
    for text in ("一", "二"):
        conversation.add_reminder("", text)
    first, second = row("r1", "一", at=1), row("r2", "二", at=3)
    conversation.merge([second])
    conversation.merge([first, second])
    entries = conversation.merge([first, row("x", "早", at=2), second])
    assert [entry.id == lost for entry in entries] == [True, False, False, False]


def test_a_place_behind_what_has_no_time() -> None:
    """A message stays behind what was there when it was said, although that has no time and what is listed then has."""
    conversation = Conversation[str]()
    conversation.add_reminder("", "一")
    conversation.merge([row("x", "别人")])
    conversation.add_reminder("", "二")
    assert texts(conversation.merge([row("r1", "一", at=1), row("x", "别人")])) == ["一", "别人", "二"]


def test_words_are_recognised_in_their_order() -> None:
    """Others' words before our own, that say the same, are not taken for ours if that left others of ours unlisted."""
    conversation = Conversation[str]()
    first, second = conversation.add_reminder("", "早"), conversation.add_reminder("", "嗯")
    entries = conversation.merge([row("x", "嗯", at=1), row("r1", "早", at=2), row("r2", "嗯", at=3)])
    assert [entry.id for entry in entries] == ["x", first, second]


# What others say


@pytest.mark.parametrize("timed", [True, False])
def test_what_is_seen_late_finds_its_place(timed: bool) -> None:
    """Others' older words that become visible late stand behind our own until those are listed: then all is exact."""
    conversation = Conversation[str]()
    own = conversation.add_answer("", "我们的", {"message_id": "a2"})
    other, ours = row("x", "别人", at=1 if timed else None), row("a2", "我们的", at=2 if timed else None)
    assert texts(conversation.merge([])) == ["我们的"]
    assert texts(conversation.merge([other])) == ["我们的", "别人"]
    healed = conversation.merge([other, ours])
    assert [entry.id for entry in healed] == ["x", own]
    assert [entry.id for entry in conversation.merge([other])] == ["x", own]  # a stale read changes nothing


# Answers without ids


def test_an_answer_is_found_behind_its_question() -> None:
    """What the platform lists directly behind the question is its answer, if it says the same; once."""
    conversation = Conversation[str]()
    rows = [row("q1", "在吗", at=1), row("a1", "在。", at=2)]
    conversation.merge(rows)
    conversation.add_pending("", "在吗")
    assert conversation.find_answer(rows, "在。") is None
    rows += [row("q3", "在吗", at=3, chat="c"), row("a3", "在。", at=4, chat="c")]
    assert conversation.find_answer(rows, "不在") is None
    found = conversation.find_answer(rows, " 在。\n")
    assert found == {"message_id": "a3", "query_id": "q3", "chat_id": "c", "session_id": None}
    conversation.add_answer("", "在。", found)
    assert texts(conversation.merge(rows)) == ["在吗", "在。"] * 2
    conversation.add_pending("", "在吗")
    assert conversation.find_answer(rows, "在。") is None


def test_an_answer_to_a_question_not_added_yet() -> None:
    """Of a question that comes with its answer, only what no earlier read listed counts."""
    conversation = Conversation[str]()
    rows = [row("q1", "在吗", at=1), row("a1", "在。", at=2)]
    assert conversation.find_answer(rows, "在。", "在吗")["message_id"] == "a1"  # type: ignore[index]
    assert conversation.find_answer(rows, "在。", "在吗") is None


def test_a_question_is_known_by_its_answer() -> None:
    """Where an answer tells only its own id, the same words directly before it are its question, though seen before."""
    conversation = Conversation[str]()
    rows = [row("q1", "在吗", at=1), row("q2", "在吗", at=2), row("a2", "在。", at=3)]
    conversation.merge(rows)
    question = conversation.add_pending("", "在吗")
    answer = conversation.add_answer("", "在。", {"message_id": "a2"})
    assert [entry.id for entry in conversation.merge(rows)] == ["q1", question, answer]
