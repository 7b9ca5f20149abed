"""Messages of a model on Bailian, and what the service demands of their sequence.

Source: Model Studio, "Qwen API by DashScope" (`messages`) and "error codes". A message is kept in the native form of
the multimodal endpoint, which can say everything; the other two endpoints' forms are made from it.
"""

from collections.abc import Sequence
from itertools import takewhile
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import to_json

from xingchen_core._errors import ConfigurationError
from xingchen_core.chat import ToolCall

MEDIA = ("image", "video", "audio")
"""Keys of the parts that only the multimodal endpoint takes."""


class ModelMessage(BaseModel):
    """One message sent to a model.

    Attributes:
        role: `system`, `user`, `assistant`, or `tool` for the result of a function.
        content: A text, or parts keyed by modality: `{"text": "…"}`, `{"image": url}`, `{"video": url or [urls of
            frames], "fps": 2}`, `{"audio": url}`. A URL is public, `data:…;base64,…` or `oss://…`. Any part may have
            `"cache_control": {"type": "ephemeral"}`. A function's result is text.
        tool_calls: Functions an assistant message called.
        tool_call_id: Of a `tool` message: the id of the call it answers.
        partial: The last message is the beginning of the answer, and the model writes on.
        reasoning_content: What the model thought; sent back only where thinking is preserved.
        name: Not sent: the native endpoints have no such member.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, defer_build=True)

    role: Literal["system", "user", "assistant", "tool"]
    content: str | tuple[dict[str, Any], ...] = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    partial: bool = False
    reasoning_content: str | None = None
    name: str | None = None

    @model_validator(mode="after")
    def _is_native(self) -> Self:
        if any("type" in part or not part for part in self.parts):
            raise ConfigurationError('A part is keyed by its modality: {"text": "…"}, {"image": url}, without "type".')
        if self.role == "tool" and any("text" not in part for part in self.parts):
            raise ConfigurationError("The result of a function must be text: serialise it, and send media as user.")
        return self

    @property
    def parts(self) -> tuple[dict[str, Any], ...]:
        """The parts, none for a plain text."""
        return () if isinstance(self.content, str) else self.content

    @property
    def text(self) -> str:
        """The text, without what is no text."""
        if isinstance(self.content, str):
            return self.content
        return "".join(part["text"] for part in self.content if "text" in part)

    @property
    def has_media(self) -> bool:
        """Whether a part is a picture, a video or sound."""
        return any(kind in part for part in self.parts for kind in MEDIA)

    @property
    def in_oss(self) -> bool:
        """Whether a part is in the vendor's temporary storage, which takes a header to resolve."""
        values = (part.get(kind) for part in self.parts for kind in MEDIA)
        urls = (url for value in values for url in (value if isinstance(value, (list, tuple)) else (value,)))
        return any(isinstance(url, str) and url.startswith("oss://") for url in urls)


def text_content(message: ModelMessage) -> Any:
    """Return the content for the text endpoint: a string, since it refuses parts that do not mark a cache."""
    if message.role != "tool" and any("cache_control" in part for part in message.parts):
        return list(message.parts)
    return message.text


def multimodal_content(message: ModelMessage) -> Any:
    """Return the content for the multimodal endpoint: parts, but the result of a function is a string here too.

    That an empty text beside `tool_calls` is a part as well is UNVERIFIED: the captures show none.
    """
    if message.role == "tool":
        return message.text
    return list(message.parts) if message.parts else [{"text": message.text}]


def wire_message(message: ModelMessage, content: Any, *, with_reasoning: bool) -> dict[str, Any]:
    """Return a message with this content; the rest is the same at every endpoint."""
    body: dict[str, Any] = {"role": message.role, "content": content}
    if message.tool_calls:
        body["tool_calls"] = [_wire_call(at, call) for at, call in enumerate(message.tool_calls)]
    if message.tool_call_id is not None:
        body["tool_call_id"] = message.tool_call_id
    if message.partial:
        body["partial"] = True
    if with_reasoning and message.reasoning_content:
        body["reasoning_content"] = message.reasoning_content
    return body


def _wire_call(at: int, call: ToolCall) -> dict[str, Any]:
    try:
        arguments = to_json(call.arguments).decode() if call.written is None else call.written
    except ValueError as error:
        raise ConfigurationError(
            f"The arguments of the call to {call.name} in the history must be plain data, which JSON can hold."
        ) from error
    return {
        "id": call.id,
        "type": "function",
        "index": at,
        "function": {"name": call.name, "arguments": arguments},
    }


def one_system(messages: Sequence[ModelMessage]) -> list[ModelMessage]:
    """Join the system messages at the beginning: the service wants at most one, and first."""
    system = list(takewhile(lambda message: message.role == "system", messages))
    if len(system) < 2:
        return list(messages)
    content: Any = "\n".join(message.text for message in system)
    if any(message.parts for message in system):  # they may mark a cache
        content = tuple(part for message in system for part in message.parts or ({"text": message.text},))
    return [ModelMessage(role="system", content=content), *messages[len(system) :]]


def check_sequence(messages: Sequence[ModelMessage], *, may_end_with_answer: bool) -> None:
    """Refuse what the service certainly refuses.

    Raises:
        ConfigurationError: Nothing to answer, or the result of a call that nobody made.
    """
    if not messages:
        raise ConfigurationError("messages is empty: add a user message.")
    last = messages[-1]
    if not any(message.role in ("user", "tool") for message in messages) and not last.partial:
        raise ConfigurationError("messages hold no user message: add one.")
    if last.role == "assistant" and not last.partial and not may_end_with_answer:
        raise ConfigurationError(
            "The last message must be the user's (or a function's result): add one, or set partial=True on the "
            "assistant message for the model to write on."
        )
    open_calls: set[str] = set()
    for message in messages:
        open_calls.update(call.id for call in message.tool_calls)
        if message.role != "tool":
            continue
        if message.tool_call_id not in open_calls:
            raise ConfigurationError(
                f"A tool message answers the call {message.tool_call_id!r}, which no assistant message before it has "
                "made, or which is answered already: send one result for each call."
            )
        open_calls.remove(message.tool_call_id)
