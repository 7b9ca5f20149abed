"""Xingchen (通义星尘): a typed function for every call of the service; each returns a `Call` for a client to send."""

from xingchen_core.characters.chat import ChatReader, chat, fresh_user_id, stop_generation, stream_chat
from xingchen_core.characters.models import (
    Character,
    CharacterParameters,
    ChatRequest,
    Function,
    GroupChat,
    GroupMember,
    Memory,
    MemoryTag,
    PlatformPlugin,
    RejectAnswerPlugin,
    RejectCondition,
    RejectKeyword,
    Scenario,
    TextToImagePlugin,
    XingchenSettings,
)

__all__ = [
    "Character",
    "CharacterParameters",
    "ChatReader",
    "ChatRequest",
    "Function",
    "GroupChat",
    "GroupMember",
    "Memory",
    "MemoryTag",
    "PlatformPlugin",
    "RejectAnswerPlugin",
    "RejectCondition",
    "RejectKeyword",
    "Scenario",
    "TextToImagePlugin",
    "XingchenSettings",
    "chat",
    "fresh_user_id",
    "stop_generation",
    "stream_chat",
]
