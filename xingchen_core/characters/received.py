"""The answers this process received lately and the platform stored.

Frameworks hand an answer on as bare text, without the platform's ids. By what it says it is known again, and not
written into the platform's history a second time.
"""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

ANSWERS = 8
"""So many answers of one conversation are remembered: those of the turns that a program may still be working on."""

CONVERSATIONS = 1000
"""So many conversations are remembered, those that were used last."""

_IDS = ("message_id", "chat_id", "query_id", "session_id", "character_id", "user_id")


def _digest(text: str) -> bytes:
    """Stand for a text, so that memory is bounded however long answers are. White space around it gets lost on ways."""
    return hashlib.sha256(text.strip().encode("utf-8", "surrogatepass")).digest()


@dataclass(frozen=True, slots=True)
class _Answer:
    said: bytes
    asked: bytes
    ids: dict[str, Any]
    is_taken: bool = False
    """A store has it."""


class ReceivedAnswers:
    """What was received, by account, character and user. Safe between threads. Each answer can be taken once.

    Accounts are told apart as in `ConnectionSettings.account`: what one of them received, another's platform lacks.
    """

    def __init__(self) -> None:
        self._answers: OrderedDict[tuple[str, str, str], list[_Answer]] = OrderedDict()
        self._lock = threading.Lock()

    def note(self, account: str, question: str, text: str, metadata: Mapping[str, Any]) -> None:
        """Note an answer, if it has ids and the platform stored it.

        Args:
            account: Who received it.
            question: What was asked.
            text: The answer.
            metadata: Of the answer, as in replies.
        """
        if not metadata.get("message_id") or not metadata.get("character_id") or metadata.get("is_saved") is False:
            return
        if not text or text.isspace():
            return
        ids = {name: value for name in _IDS if (value := metadata.get(name))}
        key = (account, ids["character_id"], ids["user_id"])
        with self._lock:
            answers = self._answers.setdefault(key, [])
            answers.append(_Answer(_digest(text), _digest(question), ids))
            del answers[:-ANSWERS]
            self._answers.move_to_end(key)
            while len(self._answers) > CONVERSATIONS:
                self._answers.popitem(last=False)

    def find(
        self,
        account: str,
        character_id: str,
        user_id: str,
        questions: Collection[str],
        text: str,
        but: frozenset[str] = frozenset(),
    ) -> dict[str, Any] | None:
        """Return the ids of an answer that says `text`: best to one of the questions, and else the newest.

        Engines may ask in other words than the user's, so the questions only decide between answers alike.

        Args:
            account: Who asks now.
            character_id: The character.
            user_id: The user.
            questions: What the user asked.
            text: The answer.
            but: Message ids of answers that are meant for others.
        """
        with self._lock:
            known = self._answers.get((account, character_id, user_id), [])
            free = [one for one in known if not one.is_taken and one.ids["message_id"] not in but]
            alike = [one for one in free if one.said == _digest(text)]
        asked = {_digest(question) for question in questions}
        alike.sort(key=lambda one: one.asked in asked)
        return dict(alike[-1].ids) if alike else None

    def question(
        self, account: str, character_id: str, user_id: str, message_id: str, questions: Collection[str]
    ) -> str | None:
        """Return which of the questions an answer belongs to, if that is known."""
        with self._lock:
            answers = self._answers.get((account, character_id, user_id), [])
            asked = {one.asked for one in answers if one.ids["message_id"] == message_id}
        return next((question for question in questions if _digest(question) in asked), None)

    def take(self, account: str, character_id: str, user_id: str, message_id: str) -> None:
        """Note that a store has an answer now: it is not found again."""
        with self._lock:
            answers = self._answers.get((account, character_id, user_id), [])
            answers[:] = [
                replace(one, is_taken=True) if one.ids["message_id"] == message_id else one for one in answers
            ]

    def ids(self, account: str, character_id: str, user_id: str) -> frozenset[str]:
        """Return the message ids of a conversation's answers, and of their questions where they are known."""
        with self._lock:
            answers = self._answers.get((account, character_id, user_id), [])
            return frozenset(one.ids[name] for one in answers for name in ("message_id", "query_id") if name in one.ids)

    def forget(self, account: str, character_id: str, user_id: str, ids: frozenset[str]) -> None:
        """Forget answers, by their message ids."""
        with self._lock:
            answers = self._answers.get((account, character_id, user_id), [])
            answers[:] = [one for one in answers if one.ids["message_id"] not in ids]


RECEIVED = ReceivedAnswers()
"""Those of this process."""
