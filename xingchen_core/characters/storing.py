"""What of a batch of messages the platform's history can hold, and how it gets there.

Nothing here sends anything: what has to be sent is yielded, for a client to `run`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from xingchen_core._call import Flow
from xingchen_core._config import ConnectionSettings
from xingchen_core._errors import UnsupportedOperationError
from xingchen_core._locks import ProcessLock
from xingchen_core.characters._wire import LARGEST_PAGE
from xingchen_core.characters.conversation import Conversation
from xingchen_core.characters.platform_history import remind, reset
from xingchen_core.characters.reading import whole_history
from xingchen_core.characters.received import RECEIVED

M = TypeVar("M")

Unsupported = Literal["raise", "skip"]
"""What to do with a message the platform cannot hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What of a conversation the platform can hold. What is False raises `UnsupportedOperationError`."""

    user_messages: bool = True
    """Pending, and readable, until the character is asked: a chat with platform history stores it with its answer."""
    assistant_messages: bool = True
    """Stored with the question by a chat; any other is written by the reminder call, as the character's own words."""
    clear: bool = True
    """By a reset: the character forgets; the platform may keep the messages."""
    rate: bool = True
    system_messages: bool = False
    tool_messages: bool = False
    """Neither calls nor results."""
    media: bool = False
    reasoning: bool = False
    """Left out without an error: it is no part of what was said."""
    metadata: bool = False
    """Fields of the caller's own. Left out without an error."""
    edit: bool = False
    delete_one: bool = False
    """Except a message that is only pending."""
    list_conversations: bool = False


CAPABILITIES = Capabilities()


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft(Generic[M]):
    """A message to be stored.

    Attributes:
        payload: The framework's own message.
        role: `user` and `assistant` can be stored.
        text: What was said.
        metadata: Of an answer: the service's ids.
        obstacle: What the message holds that cannot be stored ("an image"), if anything.
    """

    payload: M
    role: str
    text: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    obstacle: str | None = None

    def is_answer_to(self, character_id: str, user_id: str) -> bool:
        """Whether the platform stored this answer itself, in this conversation.

        An answer with an id of its own is stored unless `is_saved` denies it, whether or not the history was used for
        it.
        """
        told = self.metadata
        return (
            self.role == "assistant"
            and bool(told.get("message_id"))
            and told.get("is_saved") is not False
            and told.get("user_id") == user_id
            and told.get("character_id") == character_id
        )

    @property
    def is_bare(self) -> bool:
        """Whether nothing tells which message of the platform's this is."""
        return not self.metadata.get("message_id")

    def refusal(self) -> str | None:
        """Return why the platform cannot hold this message; `None` if it can."""
        if self.role not in ("user", "assistant"):
            return f"a {self.role} message: it holds what the user and the character said"
        if self.obstacle:
            return f"{self.obstacle}: it holds text"
        return None if self.text.strip() else "an empty message"


def storable(drafts: Iterable[Draft[M]], unsupported: Unsupported = "raise") -> list[Draft[M]]:
    """Return the messages that can be stored. To be called before anything of the batch is written.

    Raises:
        UnsupportedOperationError: One cannot, and `unsupported` is `raise`. It says which and why.
    """
    accepted = []
    for at, draft in enumerate(drafts):
        why = draft.refusal()
        if why is None:
            accepted.append(draft)
        elif unsupported == "raise":
            raise UnsupportedOperationError(
                f"Message {at}: the platform history cannot hold {why}. Leave it out, or pass unsupported='skip'.",
                service="xingchen",
            )
    return accepted


def write(
    conversation: Conversation[M], drafts: Iterable[Draft[M]], account: str, character_id: str, user_id: str
) -> Flow[list[str]]:
    """Store messages, in this order, and return their entries' ids.

    A user message becomes pending, an answer the platform stored itself is recognised, another assistant message is
    written by `remind`. To be run under `writing`, so that the platform's order is the order of acknowledgement.
    """
    ids = []
    for draft in drafts:
        if draft.role == "user":
            ids.append(conversation.add_pending(draft.payload, draft.text))
            continue
        told: Mapping[str, Any] | None = draft.metadata
        if not draft.is_answer_to(character_id, user_id):
            told = yield from _recognise(conversation, draft, account, character_id, user_id)
        if told is None:
            yield remind(character_id, user_id, draft.text)
            ids.append(conversation.add_reminder(draft.payload, draft.text))
        else:
            where = (account, character_id, user_id, told["message_id"])
            RECEIVED.take(*where)
            question = RECEIVED.question(*where, conversation.questions)
            ids.append(conversation.add_answer(draft.payload, draft.text, told, question))
    return ids


def clear(conversation: Conversation[Any], account: str, character_id: str, user_id: str) -> Flow[None]:
    """Reset a conversation.

    What is listed by now should have been read before: it is older than the reset, whatever the clocks say. So are the
    answers that this process has received, although the platform may list them later.
    """
    older = RECEIVED.ids(account, character_id, user_id)
    yield reset(character_id, user_id)
    RECEIVED.forget(account, character_id, user_id, older)
    conversation.reset(older)


def _recognise(
    conversation: Conversation[M], draft: Draft[M], account: str, character_id: str, user_id: str
) -> Flow[Mapping[str, Any] | None]:
    """Return the ids of an answer that reached us without them, if the platform has it.

    Only what follows a question can be an answer: else it is the application's own word, though it be said again.
    """
    if not draft.is_bare or not conversation.questions:
        return None
    received = RECEIVED.find(account, character_id, user_id, conversation.questions, draft.text)
    if received is not None:
        return received
    rows = yield from whole_history(character_id, user_id, limit=LARGEST_PAGE)  # another process may have asked
    return conversation.find_answer(rows, draft.text)


def writing(settings: ConnectionSettings, character_id: str, user_id: str) -> Any:
    """Return the lock of a conversation's writers, for `with` and `async with`: `settings.chat_lock`, else our own."""
    return (settings.chat_lock or ProcessLock)(f"xingchen-history:{character_id}:{user_id}")
