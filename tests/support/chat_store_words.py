"""Words about chat stores that their tests share."""

from typing import Any

from llama_index.core.base.llms.types import ChatMessage

from xingchen_core.emulator import Emulator

KEY = "quiet/u1"
HISTORY = "/v2/api/chat/message/histories"
REMINDER = "/v2/api/chat/reminder"

ASYNC_NAMES = {
    "set_messages": "aset_messages",
    "get_messages": "aget_messages",
    "add_message": "async_add_message",
    "delete_messages": "adelete_messages",
    "delete_message": "adelete_message",
    "delete_last_message": "adelete_last_message",
    "get_keys": "aget_keys",
}
"""LlamaIndex's names of each operation: sync, async."""


def user(text: str) -> ChatMessage:
    """What the user says."""
    return ChatMessage(role="user", content=text)


def assistant(text: str) -> ChatMessage:
    """What another model, or the application, says in the character's name."""
    return ChatMessage(role="assistant", content=text)


def said(messages: list[ChatMessage]) -> list[tuple[str, str | None]]:
    """Who said what."""
    return [(message.role.value, message.content) for message in messages]


def calls(emulator: Emulator, path: str) -> int:
    """How often the emulator was asked for this."""
    return sum(request.path == path for request in emulator.requests)


def reminders(emulator: Emulator) -> list[Any]:
    """The bodies of the reminders that were sent."""
    return [request.json for request in emulator.requests if request.path == REMINDER]
