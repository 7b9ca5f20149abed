"""Messages of the platform's history, both ways."""

from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, HumanMessage

from xingchen_core.characters import HistoryMessage
from xingchen_core.characters.conversation import Entry
from xingchen_core.characters.storing import Draft

PROVIDER = "xingchen"

_ROLES = {"human": "user", "user": "user", "ai": "assistant", "assistant": "assistant"}
_SILENT = ("text", "input_text", "output_text", "reasoning", "thinking", "reasoning_content")
"""Content blocks that are text, or beside it."""

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
