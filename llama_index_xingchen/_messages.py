"""Messages both ways: LlamaIndex's to the services', replies and deltas to LlamaIndex's."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from llama_index.core.base.llms.types import (
    CachePoint,
    ChatMessage,
    ChatResponse,
    CitableBlock,
    CitationBlock,
    CompletionResponse,
    ContentBlock,
    LogProb,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from pydantic_core import from_json

from xingchen_core import Answer, ChatDelta, ChatReply, Message, ToolCall, UnsupportedOperationError, Usage
from xingchen_core.chat import Role, ToolCallPiece, written_call

_ROLES: dict[MessageRole, Role] = {
    MessageRole.SYSTEM: "system",
    MessageRole.DEVELOPER: "system",
    MessageRole.USER: "user",
    MessageRole.ASSISTANT: "assistant",
    MessageRole.CHATBOT: "assistant",
    MessageRole.MODEL: "assistant",
    MessageRole.TOOL: "function",
    MessageRole.FUNCTION: "function",
}

_SILENT = (ThinkingBlock, CitationBlock, CachePoint, ToolCallBlock)
"""Blocks of earlier answers, maybe another provider's, that are not said again. Tool calls travel apart."""


def to_messages(messages: Sequence[ChatMessage]) -> list[Message]:
    """Return LlamaIndex's messages as the services'.

    Raises:
        UnsupportedOperationError: A message holds something other than text.
        ValueError: A message has an unknown role.
    """
    names = {call.tool_call_id: call.tool_name for message in messages for call in _calls(message)}
    return [_to_message(message, names) for message in messages]


def _to_message(message: ChatMessage, function_names: Mapping[str | None, str]) -> Message:
    role = _ROLES.get(message.role)
    if role is None:
        raise ValueError(f"A message of role {message.role.value!r} has no counterpart here: use user or assistant.")
    name = message.additional_kwargs.get("name")
    if role == "function":
        name = name or function_names.get(message.additional_kwargs.get("tool_call_id"))
    calls = _calls(message) if role == "assistant" else []
    return Message(
        role=role,
        # Joined as in `message.content`: what the caller sees there is what is sent.
        content="\n".join(text for block in message.blocks if (text := _text(block, message.role)) is not None),
        name=name,
        tool_calls=tuple(ToolCall(c.tool_name, arguments(c.tool_kwargs), c.tool_call_id or "") for c in calls),
    )


def _calls(message: ChatMessage) -> list[ToolCallBlock]:
    return [block for block in message.blocks if isinstance(block, ToolCallBlock)]


def _text(block: ContentBlock, role: MessageRole) -> str | None:
    if isinstance(block, TextBlock):
        return block.text
    if isinstance(block, CitableBlock):
        return "\n".join(text for part in block.content if (text := _text(part, role)) is not None)
    if isinstance(block, _SILENT):
        return None
    raise UnsupportedOperationError(
        f"A {role.value} message holds a block of type {block.block_type!r}; this service reads text only. "
        "Send the text of it."
    )


def arguments(value: dict[str, Any] | str | None) -> dict[str, Any]:
    """Return the arguments of a call; what can be read of them while their JSON is still growing."""
    if isinstance(value, str):
        try:
            value = from_json(value, allow_partial=True) if value.strip() else {}
        except ValueError:
            return {}
    return value if isinstance(value, dict) else {}


def to_response(reply: ChatReply) -> ChatResponse:
    """Return a whole answer; the first of several, all of which are in `raw["answers"]`."""
    answer = reply.answers[0]
    raw = _raw(answer.finish_reason, reply.usage, reply.metadata | answer.metadata | answer.additional)
    if len(reply.answers) > 1:
        raw["answers"] = [_alternative(one) for one in reply.answers]
    return ChatResponse(
        message=_to_chat_message(answer, reply.metadata),
        raw=raw,
        logprobs=_logprobs(raw),
        additional_kwargs=_counts(reply.usage),
    )


def _alternative(answer: Answer) -> dict[str, Any]:
    return {"text": answer.text, **_finish(answer.finish_reason), **answer.metadata}


def to_completion(response: ChatResponse) -> CompletionResponse:
    """Return an answer, or a piece of one, without its message."""
    return CompletionResponse(
        text=response.message.content or "",
        delta=response.delta,
        raw=response.raw,
        logprobs=response.logprobs,
        additional_kwargs={**response.message.additional_kwargs, **response.additional_kwargs},
    )


_ASSISTANT = MessageRole.ASSISTANT


class Responses:
    """Turns the deltas of one stream into responses: each with everything said so far, none changed afterwards."""

    def __init__(self) -> None:
        self._text = ""
        self._reasoning = ""
        self._calls: tuple[ToolCall, ...] = ()
        self._growing: dict[int, ToolCall] = {}
        self._name: str | None = None
        self._is_text = True

    def add(self, delta: ChatDelta) -> ChatResponse:
        """Return the response after this delta. What is known only at the end is in the last one's `raw`."""
        new = delta.text
        text = self._text = self._text + new
        if self._is_text and not (
            delta.last or delta.reasoning or delta.pieces or delta.tool_calls or delta.name or delta.additional
        ):  # nearly every delta of nearly every stream
            return ChatResponse(message=ChatMessage(text, role=_ASSISTANT), delta=new, raw={})
        self._is_text = False
        self._reasoning += delta.reasoning
        self._calls += delta.tool_calls
        self._name = delta.name or self._name
        for piece in delta.pieces:
            self._grow(piece)
        calls = self._calls + tuple(call for _, call in sorted(self._growing.items()))
        told = delta.additional or {}
        if delta.last:
            calls = tuple(c if c.written is None else written_call(c.name, c.written, c.id) for c in calls)
        answer = Answer(self._text, self._name, self._reasoning, calls, additional=told)
        additional = {"thinking_delta": delta.reasoning} if delta.reasoning else {}
        return ChatResponse(
            message=_to_chat_message(answer, delta.metadata),
            delta=delta.text,
            raw=_raw(delta.finish_reason, delta.usage, delta.metadata | told) if delta.last else dict(told),
            logprobs=_logprobs(delta.metadata),
            additional_kwargs=additional | _counts(delta.usage),
        )

    def _grow(self, piece: ToolCallPiece) -> None:
        """Add a piece to its call. Until the end the arguments are text: half of an object is none."""
        so_far = self._growing.get(piece.index) or ToolCall("", {}, "", written="")
        self._growing[piece.index] = ToolCall(
            so_far.name + (piece.name or ""), {}, so_far.id or piece.id or "", f"{so_far.written}{piece.arguments}"
        )


_STORED = ("message_id", "chat_id", "query_id", "character_id", "user_id", "is_saved")
"""What a chat store must know of an answer that the service has stored itself, so as not to store it again."""


def _to_chat_message(answer: Answer, metadata: Mapping[str, Any]) -> ChatMessage:
    """Return an answer. It has exactly one text block: LlamaIndex joins several by newlines."""
    blocks: list[ContentBlock] = [TextBlock(text=answer.text)]
    # Prompts that quote a history print the additional keywords, so nothing that can be elsewhere goes there.
    additional: dict[str, Any] = {}
    if answer.reasoning:
        blocks.insert(0, ThinkingBlock(content=answer.reasoning))
    blocks += [_citation(cited, text) for cited in answer.additional.get("citations") or () if (text := _cited(cited))]
    if answer.tool_calls:
        blocks += [
            ToolCallBlock(
                tool_call_id=c.id, tool_name=c.name, tool_kwargs=c.arguments if c.written is None else c.written
            )
            for c in answer.tool_calls
        ]
        additional["tool_calls"] = [_tool_call(call) for call in answer.tool_calls]
    if answer.name:
        additional["name"] = answer.name
    if metadata.get("is_saved"):
        additional |= {name: metadata[name] for name in _STORED if name in metadata}
    return ChatMessage(role=MessageRole.ASSISTANT, blocks=blocks, additional_kwargs=additional)


def _cited(cited: Mapping[str, Any]) -> str:
    """Return what is known of the words cited: of a page on the web only its title."""
    return str(cited.get("text") or cited.get("title") or "")


def _citation(cited: Mapping[str, Any], text: str) -> CitationBlock:
    """Return what a part of the answer refers to; `start` and `end` slice the answer's text."""
    return CitationBlock(
        cited_content=TextBlock(text=text),
        source=str(cited.get("url") or cited.get("doc_id") or cited.get("doc_name") or ""),
        title=str(cited.get("title") or cited.get("doc_name") or ""),
        additional_location_info={name: cited[name] for name in ("start", "end", "number")},
    )


def _tool_call(call: ToolCall) -> dict[str, Any]:
    """Return a call in the form that LlamaIndex's streaming programs look for beside the blocks."""
    written = json.dumps(call.arguments, ensure_ascii=False) if call.written is None else call.written
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": written}}


def _raw(finish_reason: str | None, usage: Usage | None, metadata: Mapping[str, Any]) -> dict[str, Any]:
    return {**metadata, **_finish(finish_reason), **({"usage": _usage(usage)} if usage else {})}


def _logprobs(metadata: Mapping[str, Any]) -> list[list[LogProb]] | None:
    """Return for each token the likeliest ones, or only itself where no others were asked for."""
    content = (metadata.get("logprobs") or {}).get("content")
    if not content:
        return None
    return [
        [LogProb(token=one["token"], logprob=one["logprob"], bytes=one.get("bytes") or []) for one in likeliest]
        for told in content
        for likeliest in (told.get("top_logprobs") or [told],)
    ]


def _finish(reason: str | None) -> dict[str, str]:
    return {"finish_reason": reason} if reason else {}


def _usage(usage: Usage) -> dict[str, Any]:
    """Return the counts under both names that token counters look for."""
    counts: dict[str, Any] = {
        **_counts(usage),
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
    }
    if usage.input_details:
        counts["input_token_details"] = usage.input_details
    if usage.output_details:
        counts["output_token_details"] = usage.output_details
    return counts


def _counts(usage: Usage | None) -> dict[str, int]:
    if usage is None:
        return {}
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
    }
