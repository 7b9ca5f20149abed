"""Messages both ways: LangChain's to the services', replies and deltas to LangChain's."""

import json
from collections.abc import Callable, Sequence
from typing import Any, cast

from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    ToolMessage,
    message_chunk_to_message,
)
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import invalid_tool_call, tool_call_chunk
from langchain_core.messages.tool import tool_call as create_tool_call
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from xingchen_core import Answer, ChatDelta, ChatReply, Message, ToolCall, UnsupportedOperationError, Usage
from xingchen_core.chat import Role

_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "human": "user",
    "user": "user",
    "ai": "assistant",
    "assistant": "assistant",
    "tool": "function",
    "function": "function",
}

SILENT = ("reasoning", "thinking", "reasoning_content", "tool_use", "tool_call", "server_tool_call", "refusal")
"""Content blocks of earlier answers, maybe another provider's, that are not said again. Tool calls travel apart."""


def to_messages(messages: Sequence[BaseMessage]) -> list[Message]:
    """Return LangChain's messages as the services'.

    Raises:
        UnsupportedOperationError: A message holds something other than text, or has an unknown role.
    """
    names = {call["id"]: call["name"] for m in messages if isinstance(m, AIMessage) for call in m.tool_calls}
    return [_to_message(message_chunk_to_message(message), names) for message in messages]


def _to_message(message: BaseMessage, function_names: dict[str | None, str]) -> Message:
    role = _ROLES.get(message.role if isinstance(message, ChatMessage) else message.type)
    if role is None:
        raise UnsupportedOperationError(
            f"A {type(message).__name__} has no counterpart here: use system, human, AI or tool messages."
        )
    # Summing the chunks of a stream loses the name, but not the metadata.
    name = message.name or message.response_metadata.get("speaker")
    if isinstance(message, ToolMessage):
        name = name or function_names.get(message.tool_call_id)
    calls = message.tool_calls if isinstance(message, AIMessage) else []
    return Message(
        role=role,
        content=_text(message),
        name=name,
        tool_calls=tuple(ToolCall(call["name"], call["args"], call["id"] or "") for call in calls),
    )


def _text(message: BaseMessage) -> str:
    if isinstance(message.content, str):
        return message.content
    return "".join(_block_text(block, message.type) for block in message.content)


def _block_text(block: str | dict[Any, Any], role: str) -> str:
    if isinstance(block, str):
        return block
    kind = block.get("type")
    if kind in ("text", "input_text", "output_text") or (kind is None and "text" in block):
        return str(block.get("text") or "")
    if kind in SILENT:
        return ""
    raise UnsupportedOperationError(
        f"A {role} message holds a block of type {kind!r}; this service reads text only. Send the text of it."
    )


def to_result(reply: ChatReply, provider: str) -> ChatResult:
    """Return a whole answer. Usage stands on the first of several answers, so that it is counted once."""
    generations = [
        ChatGeneration(message=_to_ai_message(answer, reply, provider, reply.usage if at == 0 else None))
        for at, answer in enumerate(reply.answers)
    ]
    return ChatResult(generations=generations)


def _to_ai_message(answer: Answer, reply: ChatReply, provider: str, usage: Usage | None) -> AIMessage:
    metadata: dict[str, Any] = {"model_provider": provider}
    if answer.finish_reason:
        metadata["finish_reason"] = answer.finish_reason
    more: dict[str, Any] = {}  # only what is there: each field that is named takes time to check
    if answer.name:
        more["name"] = answer.name
    if answer.reasoning or answer.additional:
        more["additional_kwargs"] = {**_additional(answer.reasoning), **answer.additional}
    if answer.tool_calls:
        more["tool_calls"] = [
            create_tool_call(name=c.name, args=c.arguments, id=c.id) for c in answer.tool_calls if c.written is None
        ]
        more["invalid_tool_calls"] = [
            invalid_tool_call(name=c.name, args=c.written, id=c.id) for c in answer.tool_calls if c.written is not None
        ]
    if usage is not None:
        more["usage_metadata"] = _usage(usage)
    return AIMessage(content=answer.text, response_metadata={**metadata, **reply.metadata, **answer.metadata}, **more)


_chunk: Callable[..., AIMessageChunk] = AIMessageChunk
"""By another name, since mypy's plugin for pydantic does not know that the text may stand first."""


def to_chunk(delta: ChatDelta, provider: str) -> ChatGenerationChunk:
    """Return a piece of an answer. What is known only at the end is on the last chunk: LangChain concatenates strings
    and adds up numbers that come twice.
    """
    if not (delta.last or delta.reasoning or delta.name or delta.tool_calls or delta.pieces or delta.additional):
        # Nearly every delta. The text stands first, since langchain-core takes a longer way for `content=`.
        return ChatGenerationChunk(message=_chunk(delta.text, response_metadata={"model_provider": provider}))
    # Calls must be there when the chunk is made: only then does it parse them.
    calls = [
        tool_call_chunk(name=c.name, args=json.dumps(c.arguments, ensure_ascii=False), id=c.id, index=at)
        for at, c in enumerate(delta.tool_calls)
    ] + [tool_call_chunk(name=p.name, args=p.arguments, id=p.id, index=p.index) for p in delta.pieces]
    message = AIMessageChunk(
        content=delta.text,
        name=delta.name,
        tool_call_chunks=calls,
        response_metadata={"model_provider": provider, **_finish(delta.finish_reason), **delta.metadata},
        usage_metadata=_usage(delta.usage),
        additional_kwargs={**(delta.additional or {}), **_additional(delta.reasoning)},
        # The last chunk's calls are taken for whole ones; after a piece langchain-core adds an empty last chunk.
        chunk_position="last" if delta.last and not delta.pieces else None,
    )
    return ChatGenerationChunk(message=message)


def _finish(reason: str | None) -> dict[str, str]:
    return {"finish_reason": reason} if reason else {}


def _additional(reasoning: str) -> dict[str, Any]:
    return {"reasoning_content": reasoning} if reasoning else {}


def _usage(usage: Usage | None) -> UsageMetadata | None:
    if usage is None:
        return None
    counts: dict[str, Any] = {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
    }
    if usage.input_details:
        counts["input_token_details"] = usage.input_details
    if usage.output_details:
        counts["output_token_details"] = usage.output_details
    return cast("UsageMetadata", counts)
