"""Storing a batch of messages in the platform's history: what can be stored, and how far it came."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from langchain_core.messages import BaseMessage

from langchain_xingchen._history_messages import PROVIDER, is_read_from, to_draft
from xingchen_core import Flow, UnsupportedOperationError, XingchenError
from xingchen_core.characters.batches import Progress
from xingchen_core.characters.conversation import Conversation, Mark
from xingchen_core.characters.reading import whole_history
from xingchen_core.characters.received import RECEIVED
from xingchen_core.characters.storing import Draft, Unsupported, write

Drafts = dict[int, Draft[BaseMessage]]
"""Messages of a batch, by their place in it."""

REMEMBERED = 1000
"""So many answers are known again when they are added again, and so many batches can be left unfinished."""

LARGEST_PAGE = 50
"""The service's limit on a page of the history."""

_noting = threading.Lock()


@dataclass(frozen=True, slots=True)
class Place:
    """The conversation that is written to; with `session_id` only one run of it is shown."""

    account: str
    character_id: str
    user_id: str
    session_id: str | None

    @property
    def conversation(self) -> tuple[str, str, str]:
        """Whose it is: account, character and user."""
        return self.account, self.character_id, self.user_id

    def must_be_written(self, draft: Draft[BaseMessage]) -> bool:
        """Whether storing the message takes a call: the platform has not made it."""
        return draft.role == "assistant" and not draft.is_answer_to(self.character_id, self.user_id)


class Writer:
    """What one history object has written, and what it knows of it. Without locks of its own: it goes into pickles."""

    def __init__(self) -> None:
        self.conversation: Conversation[BaseMessage] = Conversation()
        self._known: dict[str, None] = {}

    def plan(
        self, messages: Sequence[BaseMessage], place: Place, unsupported: Unsupported, *, is_turn: bool = False
    ) -> Flow[Drafts]:
        """Return what of a batch is to be noted or written.

        Args:
            messages: The batch.
            place: Where it belongs.
            unsupported: What to do with what cannot be stored.
            is_turn: It is a turn of a chain: its answer is one, even if its question did not reach us.

        Raises:
            UnsupportedOperationError: Something cannot be stored and must not be skipped.
        """
        drafts = {
            at: to_draft(message)
            for at, message in enumerate(messages)
            if not is_read_from(message, place.character_id, place.user_id)
        }
        _refuse(drafts, {at: why for at, draft in drafts.items() if (why := draft.refusal())}, unsupported)
        yield from self._recognise(drafts, place, is_turn)
        stored = {at for at, draft in drafts.items() if draft.role == "assistant" and not place.must_be_written(draft)}
        _refuse(drafts, out_of_turn(drafts, stored, place.session_id), unsupported)
        if any(map(place.must_be_written, drafts.values())):
            self._give_up_waiting(unsupported)
        for at, question in turns(drafts, stored):
            told = drafts[at].metadata
            if told["message_id"] in self._known or place.session_id not in (None, told.get("session_id")):
                del drafts[at]
                if question is not None:
                    del drafts[question]
        return drafts

    def _recognise(self, drafts: Drafts, place: Place, is_turn: bool) -> Flow[None]:
        """Give answers that reached us as bare text the ids under which the platform has stored them.

        Only what follows a question can be an answer: else it is the application's own word, though it be said again.
        """
        questions, asked_here, may_answer = self.conversation.questions, None, is_turn
        found: set[str] = set()
        for at, draft in drafts.items():
            if draft.role == "user":
                questions, asked_here = [draft.text], draft.text
                continue
            if (questions or may_answer) and draft.is_bare:
                ids = RECEIVED.find(*place.conversation, questions, draft.text, frozenset(found))
                if ids is None and questions and self.conversation.has_read:  # another process may have asked
                    rows = yield from whole_history(place.character_id, place.user_id, limit=LARGEST_PAGE)
                    ids = self.conversation.find_answer(rows, draft.text, asked_here)
                if ids is not None:
                    found.add(ids["message_id"])
                    here = {"character_id": place.character_id, "user_id": place.user_id}
                    drafts[at] = replace(draft, metadata=ids | here)
            questions, may_answer = [], False

    def _give_up_waiting(self, unsupported: Unsupported) -> None:
        """Forget questions of earlier batches: what follows them was not made by the platform."""
        waiting = [entry.id for entry in self.conversation.merge([]) if entry.is_pending]
        given_up = list(filter(self.conversation.forget, waiting))
        if given_up and unsupported == "raise":
            raise UnsupportedOperationError(
                f"HumanMessage: {len(given_up)} added before still waited for an answer, and the platform history "
                "cannot hold a human message whose answer it did not store (ask with platform_history=True). It is "
                "given up now, and nothing of this batch was stored: add it again, or pass unsupported='skip'.",
                service=PROVIDER,
            )

    def store(self, messages: Sequence[BaseMessage], drafts: Drafts, place: Place) -> Flow[None]:
        """Note or write what no earlier attempt at the same batch has stored."""
        batch = tuple((message.type, message.id, str(message.text)) for message in messages)
        progress = self.conversation.unfinished.get(batch) or Progress()
        todo = {at: draft for at, draft in drafts.items() if at not in progress.done}
        if any(map(place.must_be_written, todo.values())) or not self.conversation.has_read:
            # What is listed now came before these messages, and is not the echo of a reminder, which has no id yet.
            rows = yield from whole_history(place.character_id, place.user_id, limit=LARGEST_PAGE)
            entries = self.conversation.merge(rows)
            if progress.doubtful in todo and progress.find(todo[progress.doubtful].text, entries) is not None:
                progress.done.add(progress.doubtful)
                del todo[progress.doubtful]
            progress.mark = Mark.of(rows)
            self.conversation.has_read = True
        for sends, run in groupby(todo, key=lambda at: place.must_be_written(todo[at])):
            if not sends:
                self._note([todo[at] for at in run], place)
                continue
            for at in run:
                progress.done.update(earlier for earlier in todo if earlier < at)
                progress.doubtful = at
                self.conversation.unfinished[batch] = progress
                try:
                    yield from write(self.conversation, [todo[at]], *place.conversation)
                except XingchenError as error:
                    raise progress.failed(at, error) from error.__cause__
        self.conversation.unfinished.pop(batch, None)
        for notes in (self._known, self.conversation.unfinished):
            while len(notes) > REMEMBERED:
                notes.pop(next(iter(notes)), None)

    def _note(self, drafts: Sequence[Draft[BaseMessage]], place: Place) -> None:
        """Note what needs no call: nobody else's message comes between a question and its answer."""
        with _noting:
            for _ in write(self.conversation, drafts, *place.conversation):
                raise AssertionError("what the platform stored itself is not sent")
        self._known.update((draft.metadata["message_id"], None) for draft in drafts if draft.role == "assistant")


def _refuse(drafts: Drafts, refused: dict[int, str], unsupported: Unsupported) -> None:
    """Take out what cannot be stored, or say which and why."""
    for at, why in sorted(refused.items()):
        if unsupported == "raise":
            raise UnsupportedOperationError(
                f"Message {at} ({type(drafts[at].payload).__name__}): the platform history cannot hold {why}. "
                "Nothing of the batch was stored. Leave the message out, or pass unsupported='skip'.",
                service=PROVIDER,
            )
        del drafts[at]


def out_of_turn(drafts: Drafts, stored: set[int], session_id: str | None) -> dict[int, str]:
    """Return the messages that cannot be stored where they stand, and why.

    Args:
        drafts: The batch.
        stored: The places of answers that the platform stored itself.
        session_id: The one session that is shown, if it is not the whole conversation.
    """
    refused = {}
    question: int | None = None
    for at, draft in drafts.items():
        if draft.role == "user":
            if question is not None:
                refused[question] = "a human message without an answer"
            question = at
            continue
        if at not in stored:
            if question is not None:
                refused[question] = "a human message whose answer it did not store: ask with platform_history=True"
            if at < max(stored, default=-1):
                refused[at] = "an AI message before a turn that it has stored already: it would come after it"
            elif session_id is not None:
                refused[at] = "an AI message of your own in a session you choose: leave session_id out"
        question = None
    return refused


def turns(drafts: Drafts, stored: set[int]) -> list[tuple[int, int | None]]:
    """Return the place of each answer that the platform stored, and of its question if that is in the same batch."""
    found: list[tuple[int, int | None]] = []
    before: int | None = None
    for at, draft in drafts.items():
        if at in stored:
            found.append((at, before))
        before = at if draft.role == "user" else None
    return found
