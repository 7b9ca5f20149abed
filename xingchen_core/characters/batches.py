"""Batches of messages that may fail half way: added again, only the rest of one is written."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from xingchen_core._call import Flow
from xingchen_core._errors import APIConnectionError, APIStatusError, XingchenError
from xingchen_core.characters._wire import LARGEST_PAGE
from xingchen_core.characters.conversation import Conversation, Entry, Mark
from xingchen_core.characters.reading import whole_history
from xingchen_core.characters.storing import Draft, M, write

UNFINISHED = 1000
"""So many batches of one conversation can be left unfinished."""


@dataclass(slots=True)
class Progress:
    """How far a batch came that could not be stored whole.

    Attributes:
        done: The places that are stored.
        ids: Their entries' ids, where somebody asks for them.
        doubtful: The place of a message whose fate is unknown.
        mark: What was listed before that one was written.
    """

    done: set[int] = field(default_factory=set)
    ids: dict[int, str] = field(default_factory=dict)
    doubtful: int | None = None
    mark: Mark = field(default_factory=Mark)

    def find(self, text: str, entries: Sequence[Entry[Any]]) -> str | None:
        """Return the id under which the doubtful message, which says `text`, is listed and not accounted for."""
        for entry in entries:
            row = entry.row
            if row is None or entry.id != row.message_id or self.mark.covers(row):
                continue
            if (row.is_user, row.content.strip()) == (False, text.strip()):
                return entry.id
        return None

    def failed(self, at: int, error: XingchenError) -> XingchenError:
        """Note that the message at this place failed, and return the error with how far the batch came."""
        fate = "may or may not be stored"
        if _is_refusal(error):
            self.doubtful = None
            fate = "is not stored"
        error.message += (
            f" [message {at} of the batch {fate}; those before it are stored, those after it are not: "
            "add the same messages again to store the rest]"
        )
        error.args = (error.message, *error.args[1:])
        return error


def _is_refusal(error: XingchenError) -> bool:
    """Whether the service certainly did not do what it was asked."""
    if isinstance(error, APIConnectionError):
        return not error.was_sent
    return isinstance(error, APIStatusError) and error.status_code < 500


def write_batch(
    conversation: Conversation[M], drafts: Sequence[Draft[M]], account: str, character_id: str, user_id: str
) -> Flow[list[str]]:
    """As `write`, and when it fails half way, or is cancelled: the same batch given again is written from there on.

    A message whose fate is unknown is looked for first: the platform may have it, though nobody was told.
    """
    batch = tuple((draft.role, draft.text, draft.metadata.get("message_id")) for draft in drafts)
    progress: Progress = conversation.unfinished.get(batch) or Progress()
    may_send = any(draft.role != "user" and not draft.is_answer_to(character_id, user_id) for draft in drafts)
    if may_send and (progress.doubtful is not None or not conversation.has_read):
        # What is listed now came before these messages, and is not the echo of a reminder, which has no id yet.
        entries = conversation.merge((yield from whole_history(character_id, user_id, limit=LARGEST_PAGE)))
        conversation.has_read = True
        at = progress.doubtful
        if at is not None and (found := progress.find(drafts[at].text, entries)) is not None:
            progress.ids[at] = found
            conversation.end_waiting()
    for at, draft in enumerate(drafts):
        if at in progress.ids:
            continue
        progress.doubtful = None if draft.role == "user" else at
        progress.mark = conversation.mark
        conversation.unfinished[batch] = progress
        try:
            [progress.ids[at]] = yield from write(conversation, [draft], account, character_id, user_id)
        except XingchenError as error:
            raise progress.failed(at, error) from error.__cause__
    conversation.unfinished.pop(batch, None)
    while len(conversation.unfinished) > UNFINISHED:
        conversation.unfinished.pop(next(iter(conversation.unfinished)), None)
    return [progress.ids[at] for at in range(len(drafts))]
