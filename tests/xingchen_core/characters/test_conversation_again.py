"""A question answered again: the platform keeps one answer of each exchange, whichever was chosen."""

from collections.abc import Sequence
from typing import Any

import pytest

from xingchen_core.characters import HistoryMessage
from xingchen_core.characters.conversation import Conversation, Entry

FIRST = {"message_id": "a1", "chat_id": "c1", "query_id": "q1"}
AGAIN = {"message_id": "a2", "chat_id": "c1", "query_id": "q1"}
NEXT = {"message_id": "a3", "chat_id": "c2", "query_id": "q3"}


def row(id: str, content: str, at: int, chat: str) -> HistoryMessage:
    """A listed message. The id says who spoke: q... is the user, anything else the character."""
    return HistoryMessage(
        message_id=id,
        content=content,
        message_type="user" if id.startswith("q") else "character",
        gmt_create=at,  # type: ignore[arg-type]  # milliseconds are read into a time
        chat_id=chat,
    )


QUESTION = row("q1", "问", 1, "c1")
ONE, TWO = row("a1", "一", 2, "c1"), row("a2", "二", 3, "c1")
LATER = [row("q3", "再问", 4, "c2"), row("a3", "三", 5, "c2")]


def texts(entries: Sequence[Entry[Any]]) -> list[str]:
    """What is shown, in order."""
    return [entry.text for entry in entries]


def turn(conversation: Conversation[str], question: str | None, answer: str, ids: dict[str, str]) -> str:
    """Adds a turn that the platform stored; the id of the answer's entry."""
    if question is not None:
        conversation.add_pending("", question)
    return conversation.add_answer(answer, answer, ids)


@pytest.mark.parametrize("question", ["问", None], ids=["with its question", "alone"])
def test_before_anything_is_listed(question: str | None) -> None:
    """The new answer stands in the place of the first, and the question is not said twice."""
    conversation = Conversation[str]()
    first = turn(conversation, "问", "一", FIRST)
    turn(conversation, "再问", "三", NEXT)
    assert turn(conversation, question, "二", AGAIN) == first
    assert texts(conversation.merge([])) == ["问", "二", "再问", "三"]
    entries = conversation.merge([QUESTION, TWO, *LATER])
    assert texts(entries) == ["问", "二", "再问", "三"]
    assert entries[1].id == first


@pytest.mark.parametrize("question", ["问", None], ids=["with its question", "alone"])
def test_after_the_first_was_listed(question: str | None) -> None:
    """It replaces the first at once, and does not stand beside it while the platform lags behind."""
    conversation = Conversation[str]()
    turn(conversation, "问", "一", FIRST)
    assert texts(conversation.merge([QUESTION, ONE])) == ["问", "一"]
    again = turn(conversation, question, "二", AGAIN)
    for rows in ([QUESTION, ONE], [QUESTION, TWO], [QUESTION, ONE]):
        entries = conversation.merge(rows)
        assert [entry.is_user for entry in entries] == [True, False]
    assert [(entry.id, entry.text) for entry in conversation.merge([QUESTION, TWO])][1:] == [(again, "二")]


def test_the_first_is_chosen_after_all() -> None:
    """What the platform lists when the conversation goes on is what was chosen."""
    conversation = Conversation[str]()
    turn(conversation, "问", "一", FIRST)
    conversation.merge([QUESTION, ONE])
    turn(conversation, "问", "二", AGAIN)
    assert texts(conversation.merge([QUESTION, ONE])) == ["问", "二"]
    turn(conversation, "再问", "三", NEXT)
    assert texts(conversation.merge([QUESTION, ONE, *LATER])) == ["问", "一", "再问", "三"]
    assert texts(conversation.merge([QUESTION, ONE])) == ["问", "一", "再问", "三"]


def test_the_first_is_chosen_before_anything_is_listed() -> None:
    """As above, when the platform has listed nothing of it before."""
    conversation = Conversation[str]()
    turn(conversation, "问", "一", FIRST)
    turn(conversation, "问", "二", AGAIN)
    turn(conversation, "再问", "三", NEXT)
    assert texts(conversation.merge([QUESTION, ONE, *LATER])) == ["问", "一", "再问", "三"]


def test_a_turn_added_twice() -> None:
    """A turn that is known already leaves no question behind that would wait for ever."""
    conversation = Conversation[str]()
    answer = turn(conversation, "问", "一", FIRST)
    assert turn(conversation, "问", "一", FIRST) == answer
    assert texts(conversation.merge([])) == ["问", "一"]
    assert texts(conversation.merge([QUESTION, ONE])) == ["问", "一"]
    assert turn(conversation, "问", "一", FIRST) == answer
    assert texts(conversation.merge([QUESTION, ONE])) == ["问", "一"]


def test_a_question_that_waits_for_another_answer_stays() -> None:
    """An answer that is known already takes no question away that says something else."""
    conversation = Conversation[str]()
    turn(conversation, "问", "一", FIRST)
    conversation.add_pending("", "别的")
    conversation.add_answer("", "一", FIRST)
    assert texts(conversation.merge([QUESTION, ONE])) == ["问", "一", "别的"]
