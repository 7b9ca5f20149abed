"""LlamaIndex's messages as those of a model on Bailian: media beside text, calls and results in pairs."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from io import IOBase
from pathlib import Path
from typing import Any, Literal

from llama_index.core.base.llms.types import (
    AudioBlock,
    CachePoint,
    ChatMessage,
    CitableBlock,
    CitationBlock,
    ContentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)

from xingchen_core import ToolCall, UnsupportedOperationError
from xingchen_core.bailian import ModelMessage
from xingchen_core.chat import written_call

logger = logging.getLogger(__name__)

_ROLES: dict[MessageRole, Literal["system", "user", "assistant", "tool"]] = {
    MessageRole.SYSTEM: "system",
    MessageRole.DEVELOPER: "system",
    MessageRole.USER: "user",
    MessageRole.ASSISTANT: "assistant",
    MessageRole.CHATBOT: "assistant",
    MessageRole.MODEL: "assistant",
    MessageRole.TOOL: "tool",
    MessageRole.FUNCTION: "tool",
}

_ELSEWHERE = (ThinkingBlock, CitationBlock, ToolCallBlock)
"""Blocks of answers that are no content: thoughts and calls travel beside it, what is cited was said in the text."""

_TYPE_MEMBERS = {"image": "image_mimetype", "video": "video_mimetype", "audio": "format"}


def to_model_messages(messages: Sequence[ChatMessage]) -> list[ModelMessage]:
    """Return LlamaIndex's messages as the models'.

    Histories that were trimmed hold results without their calls, and calls without results. The service refuses both;
    they are left out, with one warning.

    Raises:
        UnsupportedOperationError: A message holds a document, or a cache point that the service does not have.
        ValueError: A message has an unknown role, or a block of media holds nothing or tells no type.
    """
    last = len(messages) - 1
    return _paired([_to_message(message, is_last=at == last) for at, message in enumerate(messages)])


def _to_message(message: ChatMessage, *, is_last: bool) -> ModelMessage:
    role = _ROLES.get(message.role)
    if role is None:
        raise ValueError(f"A message of role {message.role.value!r} has no counterpart here: use user or assistant.")
    parts = list(_parts(message.blocks, message.role))
    is_plain = all(part.keys() == {"text"} for part in parts)
    told: dict[str, Any] = {}
    if role == "assistant":
        told["tool_calls"] = tuple(_calls(message))
        told["reasoning_content"] = "".join(b.content or "" for b in message.blocks if isinstance(b, ThinkingBlock))
        told["partial"] = is_last and bool(message.additional_kwargs.get("partial"))
    if role == "tool":
        told["tool_call_id"] = message.additional_kwargs.get("tool_call_id")
    # Plain text is joined as in `message.content`: what the caller sees there is what is sent.
    content = "\n".join(part["text"] for part in parts) if is_plain else tuple(parts)
    return ModelMessage(role=role, content=content, **told)


def _parts(blocks: Sequence[ContentBlock], role: MessageRole) -> Iterator[dict[str, Any]]:
    part: dict[str, Any] | None = None  # the newest: a cache point marks what stands before it
    for block in blocks:
        if isinstance(block, _ELSEWHERE):
            continue
        if isinstance(block, CachePoint):
            if part is None or block.cache_control.type != "ephemeral" or block.cache_control.ttl != "5m":
                raise UnsupportedOperationError(
                    "A CachePoint marks the block before it, of text or media, as 'ephemeral' for '5m': the service "
                    "knows no other."
                )
            part["cache_control"] = {"type": "ephemeral"}
            continue
        if part is not None:
            yield part
        if isinstance(block, CitableBlock):
            *before, part = _parts(block.content, role)
            yield from before
        else:
            part = _part(block, role)
    if part is not None:
        yield part


def _part(block: ContentBlock, role: MessageRole) -> dict[str, Any]:
    if isinstance(block, TextBlock):
        return {"text": block.text}
    if isinstance(block, (ImageBlock, VideoBlock, AudioBlock)):
        part: dict[str, Any] = {block.block_type: _source(block)}
        return part | ({"fps": block.fps} if isinstance(block, VideoBlock) and block.fps else {})
    raise UnsupportedOperationError(
        f"A {role.value} message holds a block of type {block.block_type!r}; models read text, images, videos and "
        "sounds. Send the text of it, or its pages as images."
    )


def _source(block: ImageBlock | VideoBlock | AudioBlock) -> str:
    """Return a block's URL, or what it holds as a data URI."""
    kind = block.block_type
    held: bytes | IOBase | None = getattr(block, kind)
    if held is None and block.path is None:
        if block.url is None:
            raise ValueError(f"A block of type {kind!r} holds neither data nor a path nor a url.")
        return str(block.url)
    member = _TYPE_MEMBERS[kind]
    if not isinstance(held, bytes):
        # LlamaIndex looks into bytes when a block is made, but into no open file; and of a path it sees the name alone.
        block = type(block)(**{kind: _read(held or block.path), member: getattr(block, member)})
    type_ = getattr(block, member)
    if not type_:
        raise ValueError(f"Nothing tells the type of a block of type {kind!r}: set its {member}.")
    data: bytes = getattr(block, f"resolve_{kind}")(as_base64=True).read()
    return f"data:{type_ if '/' in type_ else f'{kind}/{type_}'};base64,{data.decode()}"


def _read(source: Any) -> bytes:
    if isinstance(source, IOBase):
        source.seek(0)
        data: bytes = source.read()
        return data
    return Path(source).read_bytes()


def _calls(message: ChatMessage) -> Iterator[ToolCall]:
    """Read the calls of an answer: its blocks, or in older messages `additional_kwargs`.

    A call without an id has the one that `get_tool_calls_from_response` gives it.
    """
    blocks = [block for block in message.blocks if isinstance(block, ToolCallBlock)]
    found: list[tuple[str | None, str, Any]] = [(b.tool_call_id, b.tool_name, b.tool_kwargs) for b in blocks]
    if not blocks:
        for told in message.additional_kwargs.get("tool_calls") or ():
            call = told if isinstance(told, Mapping) else told.model_dump()  # OpenAI's own classes
            found.append((call.get("id"), call["function"]["name"], call["function"].get("arguments") or ""))
    for at, (id_, name, given) in enumerate(found):
        id_ = id_ or f"call_{at}"
        yield written_call(name, given, id_) if isinstance(given, str) else ToolCall(name, given, id_)


def _paired(messages: Sequence[ModelMessage]) -> list[ModelMessage]:
    """Return the messages without results that answer no call, and without calls that have no result.

    A result without an id answers the oldest call that is open.
    """
    open_calls: dict[str, tuple[int, int]] = {}
    answered: set[tuple[int, int]] = set()
    ids: dict[int, str] = {}
    for at, message in enumerate(messages):
        open_calls |= {call.id: (at, nth) for nth, call in enumerate(message.tool_calls)}
        if message.role == "tool":
            id_ = message.tool_call_id or next(iter(open_calls), "")
            if id_ in open_calls:
                answered.add(open_calls.pop(id_))
                ids[at] = id_
    kept, left_out = [], 0
    for at, message in enumerate(messages):
        calls = tuple(call for nth, call in enumerate(message.tool_calls) if (at, nth) in answered)
        lost = len(message.tool_calls) - len(calls)
        is_orphan = message.role == "tool" and at not in ids
        left_out += lost + is_orphan
        if not is_orphan and (calls or message.content or not lost):
            kept.append(message.model_copy(update={"tool_calls": calls, "tool_call_id": ids.get(at)}))
    if left_out:
        logger.warning(
            "%d function calls without a result, or results without their call, are not sent: the service refuses "
            "them. Keep both when a history is trimmed.",
            left_out,
        )
    return kept
