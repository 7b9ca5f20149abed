"""What comes back from a model on Bailian's native endpoints: whole answers, and the events of a stream.

Source: Model Studio, "Qwen API by DashScope" (responses), "streaming", "function calling", "web search"; captures.
"""

import re
from collections.abc import Callable, Iterable
from typing import Any

from pydantic_core import to_json

from xingchen_core._errors import APIResponseError
from xingchen_core._sse import ServerSentEvent
from xingchen_core.bailian._events import cut_short, event_body, is_final
from xingchen_core.bailian._service import BAILIAN
from xingchen_core.bailian.model_parameters import ModelRequest
from xingchen_core.chat import Answer, ChatDelta, ChatReply, Snapshots, ToolCallPiece, Usage, joined_calls


def read_reply(body: dict[str, Any], request: ModelRequest) -> ChatReply:
    """Return what a plain answer says, in either of the service's formats."""
    output = body["output"]
    metadata = answer_metadata(body.get("request_id"), request, output, body.get("usage"))
    answers = read_answers(output.get("choices") or [_text_choice(output)], request, metadata)
    return ChatReply(answers, read_usage(body.get("usage")), metadata)


def read_answers(choices: list[dict[str, Any]], request: ModelRequest, metadata: dict[str, Any]) -> tuple[Answer, ...]:
    """Return the answers, ordered by the `index` that choices have where there may be several."""

    def place(item: tuple[int, dict[str, Any]]) -> int:
        at, choice = item
        return at if choice.get("index") is None else int(choice["index"])

    return tuple(_answer(choice, request, metadata) for _, choice in sorted(enumerate(choices), key=place))


def _answer(choice: dict[str, Any], request: ModelRequest, metadata: dict[str, Any]) -> Answer:
    message = choice["message"]
    text, parts = flat(message.get("content"))
    reason = choice.get("finish_reason")
    calls = joined_calls(
        ToolCallPiece(at, _arguments(call["function"]), call["function"]["name"], call.get("id") or None)
        for at, call in enumerate(message.get("tool_calls") or ())
    )
    logprobs = (choice.get("logprobs") or {}).get("content")
    return Answer(
        text,
        reasoning=message.get("reasoning_content") or "",
        tool_calls=calls,
        finish_reason=finish_reason(reason if is_final(reason) else None, has_calls=bool(calls)),
        metadata={"logprobs": {"content": logprobs}} if logprobs else {},
        additional=_additional(text, parts, metadata.get("search_info"), request),
    )


def _arguments(function: dict[str, Any]) -> str:
    """Return the arguments of a call, or a piece of them, as text. Models of third parties may write the object."""
    found = function.get("arguments") or ""
    return found if isinstance(found, str) else to_json(found).decode()


def _text_choice(output: dict[str, Any]) -> dict[str, Any]:
    """Return the one answer of the older format (`result_format="text"`) as a choice of the newer one."""
    if output.get("text") is None:
        raise APIResponseError("The service answered without an answer.", service=BAILIAN.name)
    return {"message": {"content": output["text"]}, "finish_reason": output.get("finish_reason")}


def flat(content: Any) -> tuple[str, list[dict[str, Any]]]:
    """Return the text of a message's content, and the parts that are no text."""
    if isinstance(content, str) or not content:
        return content or "", []
    return "".join(part.get("text") or "" for part in content), [part for part in content if "text" not in part]


def finish_reason(reason: str | None, *, has_calls: bool) -> str | None:
    """Return why the answer ended. One that was forced to call a function says "stop"."""
    return "tool_calls" if has_calls and reason == "stop" else reason


def read_usage(usage: dict[str, Any] | None) -> Usage | None:
    """Cached, media and reasoning tokens are parts of the two counts."""
    if not usage:
        return None
    cached = usage.get("prompt_tokens_details") or {}
    given = usage.get("input_tokens_details") or {}
    made = usage.get("output_tokens_details") or {}
    kinds = {kind: given.get(f"{kind}_tokens", usage.get(f"{kind}_tokens")) for kind in ("image", "video", "audio")}
    creation = cached.get("cache_creation_input_tokens", usage.get("cache_creation_input_tokens"))
    return Usage(
        int(usage.get("input_tokens") or 0),
        int(usage.get("output_tokens") or 0),
        _counts(cache_read=cached.get("cached_tokens"), cache_creation=creation, **kinds),
        _counts(reasoning=made.get("reasoning_tokens"), audio=made.get("audio_tokens")),
    )


def _counts(**counts: int | None) -> dict[str, int]:
    return {name: int(count) for name, count in counts.items() if count is not None}


def answer_metadata(
    request_id: str | None, request: ModelRequest, output: dict[str, Any], usage: dict[str, Any] | None
) -> dict[str, Any]:
    """Return what is told of an answer beside it."""
    found = {
        "request_id": request_id,
        "model_name": request.model,
        "search_info": _found(output.get("search_info")),
        "tool_info": output.get("tool_info"),
        "plugins": (usage or {}).get("plugins"),
    }
    return {name: value for name, value in found.items() if value}


def _found(search_info: dict[str, Any] | None) -> dict[str, Any]:
    """Return the lists that are not empty: every event repeats them, and only the first need hold something."""
    return {name: value for name, value in (search_info or {}).items() if value}


def citations(
    text: str, search_info: dict[str, Any] | None, citation_format: str = "[<number>]"
) -> tuple[dict[str, Any], ...]:
    """Return where a text cites the results of a web search.

    Args:
        text: The whole answer.
        search_info: As in the metadata.
        citation_format: As asked for: `[<number>]` or `[ref_<number>]`.

    Returns:
        For each mark whose number is a result's: `start` and `end`, which slice the text, `number`, `url`, `title`.
    """
    sources = {source.get("index"): source for source in (search_info or {}).get("search_results") or ()}
    before, _, after = citation_format.partition("<number>")
    marks = re.finditer(re.escape(before) + "([0-9]{1,6})" + re.escape(after), text)
    return tuple(
        {
            "start": mark.start(),
            "end": mark.end(),
            "number": number,
            "url": source.get("url"),
            "title": source.get("title"),
        }
        for mark in marks
        if (source := sources.get(number := int(mark[1]))) is not None
    )


def _additional(
    text: str, parts: list[dict[str, Any]], search_info: dict[str, Any] | None, request: ModelRequest
) -> dict[str, Any]:
    options = request.search_options or {}
    cited: tuple[dict[str, Any], ...] = ()
    if options.get("enable_citation"):  # else "[1]" is no mark but what the model wrote
        cited = citations(text, search_info, options.get("citation_format") or "[<number>]")
    found = {"parts": parts, "citations": cited}
    return {name: value for name, value in found.items() if value}


class _RunningCall:
    """What a function call has said so far."""

    __slots__ = ("arguments", "id", "name")

    def __init__(self) -> None:
        self.id: str | None = None
        self.name = ""
        self.arguments = Snapshots()


class ModelReader:
    """Reads the events of one streamed answer of a native endpoint. It runs once per token, so it makes little."""

    _read_usage: Callable[[dict[str, Any] | None], Usage | None] = staticmethod(read_usage)

    def __init__(self, request: ModelRequest) -> None:
        self._request = request
        self._parts: list[str] = []
        self._other_parts: list[dict[str, Any]] = []
        self._is_cumulative = not request.incremental_output
        self._shown = Snapshots()
        self._thought = Snapshots()
        self._calls: dict[int, _RunningCall] = {}
        self._logprobs: list[dict[str, Any]] = []
        self._usage: dict[str, Any] | None = None
        self._output: dict[str, Any] = {}
        self._finish_reason: str | None = None
        self._closed = False
        self.request_id: str | None = None
        self.finished = False

    @property
    def text(self) -> str:
        """What the answer has said so far."""
        return "".join(self._parts)

    def read(self, event: ServerSentEvent) -> ChatDelta | None:
        """Return what is new in an event."""
        if self._closed or (body := event_body(event)) is None:
            return None
        if self.request_id is None:
            self.request_id = body.get("request_id")
        output = body["output"]
        if len(output) > 1:  # more than the choices
            self._note(output)
        choices = output.get("choices")
        choice = choices[0] if choices else {"message": {"content": output.get("text")}, **output}
        return self._take(choice, choice["message"], body.get("usage"))

    def _take(self, choice: dict[str, Any], message: dict[str, Any], usage: dict[str, Any] | None) -> ChatDelta | None:
        """Return what is new in a choice of an event."""
        if usage:
            self._usage = usage  # cumulative: the latest is the answer's
        text, reason = message.get("content"), choice.get("finish_reason")
        if text.__class__ is not str:
            text, others = flat(text)
            self._other_parts += others
        elif (
            text
            and reason == "null"
            and len(message) == len(choice) == 2
            and "role" in message  # so nothing else was said, as in nearly every event
            and not (self._is_cumulative or self.finished)
        ):
            self._parts.append(text)
            return ChatDelta(text)
        reasoning, calls, logprobs = message.get("reasoning_content"), message.get("tool_calls"), choice.get("logprobs")
        if self._is_cumulative:
            text = self._shown.feed(text) if text else ""
            reasoning = self._thought.feed(reasoning) if reasoning else ""
        if text:
            self._parts.append(text)
        delta = ChatDelta(text, None, reasoning or "")
        if calls:
            delta.pieces = self._new_pieces(calls)
        if logprobs:
            self._add_logprobs(logprobs.get("content") or [])
        if reason and reason != "null":
            self._finish_reason, self.finished = reason, True
        if self.finished and usage:
            # All that an answer's end can tell. Nobody need wait for the end of the connection, which is the
            # service's to close.
            self._closed = True
            return self._last(delta)
        return delta if text or reasoning or delta.pieces else None

    def _note(self, output: dict[str, Any]) -> None:
        """Keep what is told beside the choices. Later events repeat the search's results empty."""
        if info := output.get("search_info"):
            self._output["search_info"] = _found(info) | self._output.get("search_info", {})
        if info := output.get("tool_info"):
            self._output["tool_info"] = info

    def _new_pieces(self, calls: list[dict[str, Any]]) -> tuple[ToolCallPiece, ...]:
        pieces = []
        for at, call in enumerate(calls):
            function: dict[str, Any] = call.get("function") or {}
            index: int = at if call.get("index") is None else call["index"]
            known = self._calls.get(index) or self._calls.setdefault(index, _RunningCall())
            arguments = _arguments(function)
            if self._is_cumulative:
                arguments = known.arguments.feed(arguments) if arguments else ""
            name: str = function.get("name") or ""
            if name.startswith(known.name):  # repeated, where an event repeats the whole call
                name = name[len(known.name) :]
            known.name += name
            new_id = None if known.id else call.get("id") or None
            known.id = known.id or new_id
            if arguments or name or new_id:
                pieces.append(ToolCallPiece(index, arguments, name or None, new_id))
        return tuple(pieces)

    def _add_logprobs(self, content: list[dict[str, Any]]) -> None:
        """In snapshots they are taken to repeat like the text (UNVERIFIED: captures show increments only)."""
        self._logprobs = (
            content if self._is_cumulative and len(content) > len(self._logprobs) else [*self._logprobs, *content]
        )

    def end(self) -> Iterable[ChatDelta]:
        """Return the last delta if the last event was not it; raise if the answer was cut."""
        if self._closed:
            return []
        if not self.finished:
            raise cut_short(self.text, self.request_id)
        return [self._last(ChatDelta())]

    def _last(self, delta: ChatDelta) -> ChatDelta:
        """Complete the last delta with what is known only at the end."""
        delta.last = True
        delta.usage = self._read_usage(self._usage)
        delta.finish_reason = finish_reason(self._finish_reason, has_calls=bool(self._calls))
        delta.metadata = answer_metadata(self.request_id, self._request, self._output, self._usage)
        text = self.text
        if self._is_cumulative and self._shown.rewritten:
            text = self._shown.latest
            delta.metadata |= {"rewritten": True, "final_text": text}
        if self._logprobs:
            delta.metadata["logprobs"] = {"content": self._logprobs}
        delta.additional = _additional(text, self._other_parts, self._output.get("search_info"), self._request) or None
        return delta
