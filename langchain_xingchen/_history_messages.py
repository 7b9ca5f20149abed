"""Messages of the platform's history, both ways, and what of a batch can be stored."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, HumanMessage

from xingchen_core import APIConnectionError, APIStatusError, XingchenError
from xingchen_core.characters import HistoryMessage
from xingchen_core.characters.conversation import Entry, Mark
from xingchen_core.characters.storing import Draft

PROVIDER = "xingchen"

_ROLES = {"human": "user", "user": "user", "ai": "assistant", "assistant": "assistant"}
_SILENT = ("text", "input_text", "output_text", "reasoning", "thinking", "reasoning_content")
"""Content blocks that are text, or beside it."""

Drafts = dict[int, Draft[BaseMessage]]
"""Messages of a batch, by their place in it."""


# From the platform


def to_message(row: HistoryMessage, character_id: str, user_id: str) -> BaseMessage:
    """Return what the platform lists as a message."""
    return _message(
        row.is_user,
        row.content,
        {
            "message_id": row.message_id,
            "character_id": character_id,
            "user_id": user_id,
            "session_id": row.session_id,
            "chat_id": row.chat_id,
            "created_at": row.gmt_create.isoformat() if row.gmt_create else None,
            "message_type": row.message_type,
            "rating": row.rating,
            "regenerate_times": row.regenerate_times,
            "is_saved": True,
        },
        name=row.message_issuer.user_name if row.message_issuer else None,
    )


def entry_to_message(entry: Entry[BaseMessage], character_id: str, user_id: str) -> BaseMessage:
    """Return a message that is listed, or that only its writer knows of so far."""
    if entry.row is not None:
        return to_message(entry.row, character_id, user_id)
    own = entry.own
    assert own is not None  # an entry has one of the two
    told = {
        "message_id": own.message_id,
        "character_id": character_id,
        "user_id": user_id,
        "chat_id": own.chat_id,
        "is_saved": own.is_stored,
    }
    return _message(own.is_user, own.text, told)


def _message(is_user: bool, text: str, told: dict[str, Any], name: str | None = None) -> BaseMessage:
    metadata = {key: value for key, value in told.items() if value is not None}
    kind = HumanMessage if is_user else AIMessage
    return kind(
        content=text, id=told["message_id"], name=name, response_metadata={"model_provider": PROVIDER, **metadata}
    )


def is_read_from(message: BaseMessage, character_id: str, user_id: str) -> bool:
    """Whether the message was read from this conversation: then there is nothing to store.

    An answer of the chat model has an id of LangChain's own instead.
    """
    told = message.response_metadata
    return (
        told.get("model_provider") == PROVIDER
        and (told.get("character_id"), told.get("user_id")) == (character_id, user_id)
        and told.get("message_id") == message.id
    )


# To the platform


def to_draft(message: BaseMessage) -> Draft[BaseMessage]:
    """Return a message as what is to be stored of it."""
    role = message.role if isinstance(message, ChatMessage) else message.type
    obstacle = None
    if isinstance(message, AIMessage) and (message.tool_calls or message.invalid_tool_calls):
        obstacle = "function calls"
    for block in message.content if isinstance(message.content, list) else ():
        if isinstance(block, dict) and block.get("type") not in _SILENT:
            obstacle = obstacle or f"a block of type {block.get('type')!r}"
    told = message.response_metadata
    return Draft(
        payload=message,
        role=_ROLES.get(role, role),
        text=str(message.text),
        metadata=told if told.get("model_provider") == PROVIDER else {},
        obstacle=obstacle,
    )


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


# When writing fails half way


@dataclass(slots=True)
class Progress:
    """How far a batch came that could not be stored whole.

    Attributes:
        done: The places that are stored.
        doubtful: The place of a message whose fate is unknown.
        mark: What was listed before that one was written.
    """

    done: set[int] = field(default_factory=set)
    doubtful: int | None = None
    mark: Mark = field(default_factory=Mark)

    def finds(self, text: str, entries: Sequence[Entry[BaseMessage]]) -> bool:
        """Whether the doubtful message, which says `text`, is listed by now and not accounted for."""
        return any(
            entry.id == row.message_id and (row.is_user, row.content.strip()) == (False, text.strip())
            for entry in entries
            if (row := entry.row) is not None and not self.mark.covers(row)
        )

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
