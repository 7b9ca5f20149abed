"""What a conversation is made of, the same for every service."""

from collections.abc import AsyncGenerator, Generator, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from pydantic_core import from_json

Role = Literal["system", "user", "assistant", "function"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function the model wants called."""

    name: str
    arguments: dict[str, Any]
    id: str = ""
    written: str | None = None
    """The arguments as the model wrote them, where that is no JSON object; `arguments` is then empty."""


@dataclass(slots=True)
class ToolCallPiece:
    """A piece of a function call that is still being written. Pieces of one `index` belong together."""

    index: int
    arguments: str = ""
    """To be joined without any change: spaces count."""
    name: str | None = None
    id: str | None = None


def joined_calls(pieces: Iterable[ToolCallPiece]) -> tuple[ToolCall, ...]:
    """Return the calls that pieces make up, ordered by index."""
    calls: dict[int, list[ToolCallPiece]] = {}
    for piece in pieces:
        calls.setdefault(piece.index, []).append(piece)
    return tuple(
        written_call(
            "".join(p.name for p in parts if p.name),
            "".join(p.arguments for p in parts),
            next((p.id for p in parts if p.id), ""),
        )
        for _, parts in sorted(calls.items())
    )


def written_call(name: str, text: str, id: str) -> ToolCall:
    """Return a call from its arguments as text. A model may write what is no JSON object: it is kept as written."""
    try:
        arguments = from_json(text) if text.strip() else {}
    except ValueError:
        arguments = None
    if isinstance(arguments, dict):
        return ToolCall(name, arguments, id)
    return ToolCall(name, {}, id, written=text)


class Message(BaseModel):
    """One message sent to a service.

    Attributes:
        role: `system`, `user`, `assistant`, or `function` for the result of a function.
        content: The text.
        name: The speaker; for a function result the function.
        tool_calls: Functions an assistant message called.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    role: Role
    content: str = ""
    name: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()


def join_roles(messages: Iterable[Message]) -> list[Message]:
    """Join consecutive messages of one role by a newline: several services want user and assistant to alternate.

    Messages of different speakers keep the speakers' names in the text. Function calls and results stay as they are.
    """
    joined: list[Message] = []
    for joinable, run in groupby(messages, key=lambda m: m.role if not m.tool_calls and m.role != "function" else None):
        group = list(run)
        if joinable is None or len(group) == 1:
            joined.extend(group)
            continue
        names = {m.name for m in group}
        texts = [f"{m.name}: {m.content}" if len(names) > 1 and m.name else m.content for m in group]
        joined.append(Message(role=joinable, content="\n".join(texts), name=names.pop() if len(names) == 1 else None))
    return joined


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one answer. The details are parts of the two counts: `cache_read`, `reasoning`, `user_tokens`, ..."""

    input_tokens: int = 0
    output_tokens: int = 0
    input_details: dict[str, int] = field(default_factory=dict)
    output_details: dict[str, int] = field(default_factory=dict)

    @property
    def total_tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, slots=True)
class Answer:
    """One of the answers in a reply; there is more than one only where several were asked for."""

    text: str
    name: str | None = None
    """Who speaks, in a group chat."""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    additional: dict[str, Any] = field(default_factory=dict)
    """What belongs to the answer and is no text: choices to offer, files, a hand-over."""


@dataclass(frozen=True, slots=True)
class ChatReply:
    """A whole answer. `metadata` holds the service's ids in snake_case."""

    answers: tuple[Answer, ...]
    usage: Usage | None = None
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)  # not frozen: one is made per token, and freezing doubles the cost of making it
class ChatDelta:
    """New text of a running answer. The last delta has `last` set and carries what is known only at the end."""

    text: str = ""
    name: str | None = None
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    last: bool = False
    finish_reason: str | None = None
    usage: Usage | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    additional: dict[str, Any] | None = None
    pieces: tuple[ToolCallPiece, ...] = ()
    """Of function calls, where the service sends them in pieces; then `tool_calls` stays empty."""


def gathered(deltas: Iterable[ChatDelta]) -> ChatReply:
    """Return a stream as a whole answer, for what only streams. Where the text was replaced, it is the new text."""
    pieces = list(deltas)
    last = pieces[-1]
    answer = Answer(
        last.metadata.get("final_text", "".join(piece.text for piece in pieces)),
        name=next((piece.name for piece in pieces if piece.name), None),
        reasoning="".join(piece.reasoning for piece in pieces),
        tool_calls=(
            *(call for piece in pieces for call in piece.tool_calls),
            *joined_calls(part for piece in pieces for part in piece.pieces),
        ),
        finish_reason=last.finish_reason,
        additional=last.additional or {},
    )
    return ChatReply((answer,), last.usage, last.metadata)


def one_delta(reply: ChatReply) -> Generator[ChatDelta]:
    """Return a whole answer as a stream of one, for what does not stream."""
    answer = reply.answers[0]
    yield ChatDelta(
        answer.text,
        answer.name,
        answer.reasoning,
        answer.tool_calls,
        last=True,
        finish_reason=answer.finish_reason,
        usage=reply.usage,
        metadata={**reply.metadata, **answer.metadata},
        additional=answer.additional,
    )


async def aone_delta(reply: ChatReply) -> AsyncGenerator[ChatDelta]:
    """As `one_delta`."""
    for delta in one_delta(reply):
        yield delta


def parameters_of(settings: BaseModel, parameters: type[BaseModel]) -> dict[str, Any]:
    """Return which of a request's parameters an object sets. What is None is left out: to check it would take time."""
    values = settings.__dict__
    return {name: value for name in parameters.model_fields if (value := values.get(name)) is not None}


def estimate_tokens(text: str) -> int:
    """Estimate the tokens of a text: one for each Chinese character, one for four of any other.

    The services publish no tokenizer; this errs to the high side for Chinese, so that what is trimmed to fit does fit.
    """
    wide = sum(1 for character in text if character >= "\u2e80")
    return wide + -(-(len(text) - wide) // 4)


class Snapshots:
    """Turns texts that each repeat the whole answer into new text.

    A snapshot that does not extend what was shown (moderation replaced it, it shrank) shows nothing: `rewritten` then
    says that `latest` is the answer, and what was shown is not.
    """

    def __init__(self) -> None:
        self.shown = ""
        self.latest = ""

    def feed(self, snapshot: str) -> str:
        """Return the text to show next."""
        self.latest = snapshot
        if not snapshot.startswith(self.shown):
            return ""
        new = snapshot[len(self.shown) :]
        self.shown = snapshot
        return new

    @property
    def rewritten(self) -> bool:
        """Whether the answer is not what was shown."""
        return self.latest != self.shown


class StopCutter:
    """Cuts a growing text before the first stop sequence, for services that know none.

    Text that may be the beginning of a stop sequence is held back until it is decided, so that the result does not
    depend on how the text was cut into pieces.
    """

    def __init__(self, stop: Iterable[str]) -> None:
        self._stop = tuple(s for s in stop if s)
        self._held = ""
        self.stopped = False

    def feed(self, text: str) -> str:
        """Return the text that is certainly before any stop sequence."""
        if self.stopped:
            return ""
        text = self._held + text
        open_at = len(text) - max((_overlap(text, s) for s in self._stop), default=0)
        at = self._find(text)
        if at is not None and at <= open_at:
            self.stopped, self._held = True, ""
            return text[:at]
        self._held = text[open_at:]
        return text[:open_at]

    def flush(self) -> str:
        """Return what was held back: the text ended, so the stop sequence it began did not come."""
        held, self._held = self._held, ""
        at = self._find(held)  # a shorter one may be inside what could have become a longer one
        self.stopped = self.stopped or at is not None
        return held[:at]

    def _find(self, text: str) -> int | None:
        return min((at for s in self._stop if (at := text.find(s)) >= 0), default=None)


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that begins `stop`."""
    for length in range(min(len(text), len(stop) - 1), 0, -1):
        if stop.startswith(text[len(text) - length :]):
            return length
    return 0


def cut(text: str, stop: Sequence[str] | None) -> tuple[str, bool]:
    """Return `text` up to the first stop sequence, and whether there was one."""
    if not stop:
        return text, False
    cutter = StopCutter(stop)
    return cutter.feed(text) + cutter.flush(), cutter.stopped
