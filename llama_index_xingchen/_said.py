"""What was said in a conversation, in words."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from llama_index.core.base.llms.types import ChatMessage, MessageRole

_SPEAKERS: Mapping[MessageRole, Literal["user", "assistant"]] = {
    MessageRole.USER: "user",
    MessageRole.ASSISTANT: "assistant",
    MessageRole.CHATBOT: "assistant",
    MessageRole.MODEL: "assistant",
}


def said(messages: Iterable[ChatMessage]) -> Iterator[tuple[Literal["user", "assistant"], str]]:
    """Yield speaker and text of each message of user and assistant that has one."""
    for message in messages:
        if message.role in _SPEAKERS and message.content and message.content.strip():
            yield _SPEAKERS[message.role], message.content
