"""One state machine behind the three routes to models: a prompt goes in, choices and usage come out."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from xingchen_core.emulator import bailian_plans as plans
from xingchen_core.emulator import bailian_texts as texts
from xingchen_core.emulator import xingchen_texts
from xingchen_core.emulator._wire import json_text
from xingchen_core.emulator.bailian_arguments import fill
from xingchen_core.emulator.bailian_script import BailianReply

if TYPE_CHECKING:
    from xingchen_core.emulator.bailian import Bailian

MEDIA_TOKENS = 256
"""An invented price: of a picture, a video or a sound."""


@dataclass
class Message:
    """One message in no protocol's shape. `media` counts pictures and the like."""

    role: str
    text: str = ""
    media: dict[str, int] = field(default_factory=dict)
    tool_calls: list[dict[str, Any]] = field(default_factory=list)
    tool_call_id: str | None = None
    partial: bool = False
    cached: list[str] = field(default_factory=list)
    """Texts marked for the explicit cache."""


@dataclass
class Prompt:
    """A request in no protocol's shape."""

    model: str
    messages: list[Message]
    parameters: Mapping[str, Any]
    tools: list[dict[str, Any]] = field(default_factory=list)
    tool_choice: str = "auto"
    """`auto`, `none`, `required`, or `=` and the name of a function."""
    thinking: bool = False
    streaming: bool = False

    @property
    def said(self) -> str:
        """The user's newest words."""
        return next((message.text for message in reversed(self.messages) if message.role == "user"), "")

    @property
    def system(self) -> str:
        """All system messages."""
        return "\n".join(message.text for message in self.messages if message.role == "system")

    @property
    def character(self) -> bool:
        """Whether the model plays a role."""
        return "-character" in self.model

    @property
    def media(self) -> dict[str, int]:
        """Pictures and the like in all messages."""
        total: dict[str, int] = {}
        for message in self.messages:
            for kind, count in message.media.items():
                total[kind] = total.get(kind, 0) + count
        return total


@dataclass
class Choice:
    """One of the answers."""

    text: str
    pieces: Sequence[str]
    reasoning: str = ""
    tool_calls: list[dict[str, str]] = field(default_factory=list)
    """`id`, `name` and `arguments` (JSON text) each."""
    finish_reason: str = "stop"

    @property
    def tokens(self) -> int:
        """Tokens of text and calls."""
        calls = sum(texts.tokens(called["name"] + called["arguments"]) for called in self.tool_calls)
        return texts.tokens(self.text) + calls


@dataclass
class Completion:
    """All a model answers to one prompt."""

    choices: list[Choice]
    prompt: Prompt
    script: BailianReply
    cached_tokens: int = 0
    created_tokens: int = 0
    cache_beside_details: bool = False
    search_results: list[dict[str, Any]] | None = None
    """None: the model did not search."""

    @property
    def input_tokens(self) -> int:
        """Tokens of everything the model was given."""
        written = [message.text for message in self.prompt.messages]
        tools = [json_text(tool) for tool in self.prompt.tools]
        return sum(texts.tokens(text) for text in [*written, *tools]) + self.media_tokens

    @property
    def media_tokens(self) -> int:
        """Tokens of pictures and the like."""
        return MEDIA_TOKENS * sum(self.prompt.media.values())


def think(bailian: "Bailian", prompt: Prompt, reply: BailianReply | None) -> Completion:
    """The scripted answer, or one made of the prompt."""
    parameters = prompt.parameters
    count = 1 if prompt.tools else parameters.get("n") or 1
    choices = []
    for index in range(count):
        text, calls, pieces = _decide(prompt, reply, index)
        choice = Choice(text, pieces if pieces is not None else texts.pieces(text))
        choice.tool_calls = [
            {
                "id": called.get("id") or "call_" + bailian.new_id("call")[:24],
                "name": called["name"],
                "arguments": _arguments(bailian, called),
            }
            for called in calls
        ]
        choice.reasoning = _reasoning(prompt, reply)
        forced = prompt.tool_choice.startswith("=")
        # A forced call ends with `stop`, as captured.
        choice.finish_reason = "tool_calls" if calls and not forced else reply.finish_reason if reply else "stop"
        _shorten(choice, parameters)
        choices.append(choice)
    completion = Completion(choices, prompt, reply or BailianReply(""), bailian.cached_tokens)
    _use_cache(bailian, completion)
    if parameters.get("enable_search") or (reply and reply.references is not None):
        completion.search_results = _search(prompt, reply)
        _cite(completion)
    return completion


def _decide(
    prompt: Prompt, reply: BailianReply | None, index: int
) -> tuple[str, Sequence[Mapping[str, Any]], Sequence[str] | None]:
    """Text, tool calls and, where scripted, pieces of one choice."""
    if reply:
        if 0 < index <= len(reply.alternatives):
            return reply.alternatives[index - 1], [], None
        return reply.text, reply.tool_calls, reply.pieces
    calls = plans.calls(prompt)
    if calls:
        return "", calls, None
    return _text(prompt, index), [], None


def _text(prompt: Prompt, index: int) -> str:
    kind = (prompt.parameters.get("response_format") or {}).get("type")
    if kind == "json_schema":
        schema = prompt.parameters["response_format"].get("json_schema", {}).get("schema", {})
        return json_text(fill(schema, prompt.said))
    if kind == "json_object":
        return json_text(plans.json_object(prompt))
    if "Action Input" in prompt.system:
        return plans.react(prompt)
    last = prompt.messages[-1]
    if last.partial:
        return "，后来的事大家都知道了。"
    results = plans.results(prompt)
    if results:
        return "根据工具返回的结果：" + "；".join(results)
    if prompt.character:
        persona = xingchen_texts.Persona(_name(prompt.system), prompt.system)
        spoken = [{"role": message.role, "content": message.text} for message in prompt.messages]
        return xingchen_texts.answer(persona, spoken, index)
    users = [message.text for message in prompt.messages if message.role == "user"]
    return texts.media(prompt.media) + texts.answer(prompt.said, users[:-1], index)


def _name(system: str) -> str:
    found = re.search(r"(?:你是|我是|名叫|叫做|[Yy]ou are )\s*([^\s，。,.]+)", system)
    return found.group(1) if found else "小星"


def _reasoning(prompt: Prompt, reply: BailianReply | None) -> str:
    if reply and isinstance(reply.thoughts, str):
        return reply.thoughts
    return texts.reasoning(prompt.said) if prompt.thinking else ""


def _arguments(bailian: "Bailian", called: Mapping[str, Any]) -> str:
    given = called.get("arguments", {})
    text = given if isinstance(given, str) else json_text(given)
    return text[:-1] if bailian.fragments.broken_arguments else text


def _shorten(choice: Choice, parameters: Mapping[str, Any]) -> None:
    """Cuts the text where a stop word begins, and where its tokens are used up."""
    stop = parameters.get("stop") or []
    words = [stop] if isinstance(stop, str) else [word for word in stop if isinstance(word, str)]
    text = choice.text
    ends = [at for word in words if word and (at := text.find(word)) >= 0]
    if ends:
        text = text[: min(ends)]
    most = parameters.get("max_tokens") or parameters.get("max_completion_tokens")
    while most and texts.tokens(text) > most:
        text = text[:-1]
        choice.finish_reason = "length"
    if text != choice.text:
        choice.text, choice.pieces = text, texts.pieces(text)


def _use_cache(bailian: "Bailian", completion: Completion) -> None:
    """The explicit cache: what is marked for the first time is written, the second time it is read."""
    completion.cache_beside_details = bailian.cache_beside_details
    for message in completion.prompt.messages:
        for text in message.cached:
            if text in bailian.cached_texts:
                completion.cached_tokens += texts.tokens(text)
            else:
                bailian.cached_texts.add(text)
                completion.created_tokens += texts.tokens(text)


def _search(prompt: Prompt, reply: BailianReply | None) -> list[dict[str, Any]]:
    given = reply.references if reply and reply.references is not None else [f"{prompt.said}的资料"]
    found = []
    for number, item in enumerate(given, 1):
        named = {"title": item} if isinstance(item, str) else dict(item)
        usual = {
            "index": number,
            "title": f"资料{number}",
            "url": f"https://example.com/{number}",
            "site_name": "无",
            "icon": "",
        }
        found.append({**usual, **named})
    return found


def _cite(completion: Completion) -> None:
    """Marks of the sources at the end of an answer that was not scripted."""
    options = completion.prompt.parameters.get("search_options") or {}
    if not options.get("enable_citation") or completion.script.text:
        return
    mark = str(options.get("citation_format", "[<number>]"))
    marks = "".join(mark.replace("<number>", str(each["index"])) for each in completion.search_results or ())
    for choice in completion.choices:
        choice.text += marks
        choice.pieces = [*choice.pieces, *texts.pieces(marks)]
