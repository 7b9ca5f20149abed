"""LangChain's messages as those of a model on Bailian: pictures, videos and sounds beside text, tool calls with ids."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, message_chunk_to_message
from pydantic_core import to_json

from langchain_xingchen._messages import SILENT
from xingchen_core import ToolCall, UnsupportedOperationError
from xingchen_core.bailian import ModelMessage
from xingchen_core.bailian.model_messages import MEDIA

_ROLES: dict[str, Literal["system", "user", "assistant", "tool"]] = {
    "system": "system",
    "developer": "system",
    "human": "user",
    "user": "user",
    "ai": "assistant",
    "assistant": "assistant",
    "tool": "tool",
}

_TEXT = ("text", "input_text", "output_text")

_MEDIA_TYPES = {
    "image": "image",
    "image_url": "image",
    "input_image": "image",
    "video": "video",
    "video_url": "video",
    "audio": "audio",
    "input_audio": "audio",
}
"""Types of LangChain's, OpenAI's and Anthropic's blocks, and the native part's key."""

_BESIDE = ("fps", "max_frames", "min_pixels", "max_pixels", "total_pixels", "cache_control")
"""What else a native part may hold; in a block at the top or in `extras`."""


def to_model_messages(messages: Sequence[BaseMessage]) -> list[ModelMessage]:
    """Return LangChain's messages as the models'.

    Raises:
        UnsupportedOperationError: A message has an unknown role, or holds what no model takes: a file, a picture in a
            tool's result.
    """
    last = len(messages) - 1
    return [_to_message(message_chunk_to_message(m), is_last=at == last) for at, m in enumerate(messages)]


def _to_message(message: BaseMessage, *, is_last: bool) -> ModelMessage:
    role = _ROLES.get(message.role if isinstance(message, ChatMessage) else message.type)
    if role is None:
        raise UnsupportedOperationError(
            f"A {type(message).__name__} has no counterpart here: use system, human, AI or tool messages."
        )
    blocks = [message.content] if isinstance(message.content, str) else message.content
    if role == "tool":
        return ModelMessage(
            role=role,
            content="".join(_result_text(block) for block in blocks),
            tool_call_id=getattr(message, "tool_call_id", None),
        )
    parts = [part for block in blocks if (part := _part(block, role))]
    plain = all(part.keys() == {"text"} for part in parts)
    fields: dict[str, Any] = {"content": "".join(part["text"] for part in parts) if plain else tuple(parts)}
    if isinstance(message, AIMessage):
        fields["tool_calls"] = _calls(message)
        fields["reasoning_content"] = _reasoning(message)
        fields["partial"] = is_last and bool(message.additional_kwargs.get("partial"))
    return ModelMessage(role=role, **fields)


def _calls(message: AIMessage) -> tuple[ToolCall, ...]:
    """Return the calls, those that could not be read as the model wrote them: a tool message may answer them too."""
    calls = [ToolCall(call["name"], call["args"], call["id"] or "") for call in message.tool_calls]
    unread = [
        ToolCall(call["name"] or "", {}, call["id"] or "", written=call["args"] or "")
        for call in message.invalid_tool_calls
    ]
    return (*calls, *unread)


def _reasoning(message: AIMessage) -> str | None:
    """Return what the model thought. The core sends it to models that want it back, and to no other."""
    found: str = message.additional_kwargs.get("reasoning_content") or "".join(
        block.get("reasoning") or "" for block in message.content if isinstance(block, dict)
    )
    return found or None


def _part(block: str | dict[Any, Any], role: str) -> dict[str, Any] | None:
    """Return a content block as a native part, `None` for what is not said again."""
    if isinstance(block, str):
        return {"text": block} if block else None
    kind = block.get("type")
    if kind is None and any(key in block for key in ("text", *MEDIA)):
        return {name: value for name, value in block.items() if value is not None} or None  # a native part
    if kind in SILENT or (role == "assistant" and kind not in _TEXT):
        return None  # of an answer, maybe another provider's, only the text is said again
    beside = {name: value for name in _BESIDE if (value := _told(block, name)) is not None}
    if kind in _TEXT:
        return {"text": str(block.get("text") or ""), **beside}
    if kind in _MEDIA_TYPES and (url := _url(block, _MEDIA_TYPES[kind])):
        return {_MEDIA_TYPES[kind]: url, **beside}
    raise UnsupportedOperationError(
        f"A {role} message holds a block of type {kind!r} that cannot be sent: models read text, and images, videos "
        "and audio by URL or base64. Send the text of a file, or pictures of its pages."
    )


def _told(block: Mapping[str, Any], name: str) -> Any:
    return block.get(name, (block.get("extras") or {}).get(name))


def _url(block: Mapping[str, Any], kind: str) -> Any:
    """Return the URL of a medium, a data URI for base64, a list of URLs for the frames of a video."""
    told: Any = block
    for key in (f"{kind}_url", f"input_{kind}", kind, "source"):  # OpenAI's, the vendor's, Anthropic's
        told = block.get(key) or told
    if not isinstance(told, Mapping):
        return told
    if url := told.get("url"):
        return url
    data = told.get("base64") or told.get("data")
    if not isinstance(data, str) or data.startswith(("http://", "https://", "oss://", "data:")):
        return data
    mime = told.get("mime_type") or told.get("media_type") or f"{kind}/{told.get('format') or _USUAL_FORMAT[kind]}"
    return f"data:{mime};base64,{data}"


_USUAL_FORMAT = {"image": "jpeg", "video": "mp4", "audio": "wav"}


def _result_text(block: str | dict[Any, Any]) -> str:
    """Return a block of a tool's result as text, which is all a result can be: other data as JSON."""
    if isinstance(block, str):
        return block
    kind = block.get("type")
    if kind in _TEXT or (kind is None and "text" in block):
        return str(block.get("text") or "")
    if kind in _MEDIA_TYPES or kind == "file":
        raise UnsupportedOperationError(
            f"A tool message holds a block of type {kind!r}; a tool's result is text. Return a text, and send the "
            "medium in a human message after it."
        )
    return to_json(block.get("json", block) if kind == "json" else block, fallback=str).decode()
