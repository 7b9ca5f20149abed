"""Prompts as the native protocol writes them, checked as the service checks them."""

from collections.abc import Mapping
from typing import Any

from xingchen_core.emulator.bailian_brain import Message, Prompt
from xingchen_core.emulator.bailian_call import Call
from xingchen_core.emulator.bailian_errors import Refusal, invalid
from xingchen_core.emulator.bailian_model_rules import (
    check_several_answers,
    known_model,
    lives_at,
    thinks,
    with_defaults,
)
from xingchen_core.emulator.bailian_prompt_checks import (
    ROLES,
    check_messages,
    check_ranges,
    check_together,
    read_tool_choice,
    read_tools,
)

MEDIA = ("image", "video", "audio")
WRONG_URL = "url error, please check url！"


def read_prompt(call: Call, *, multimodal: bool) -> Prompt:
    """The prompt of a request to one of the two native paths; refuses what the service refuses."""
    body = call.body
    model, given = known_model(body.get("model")), body.get("input")
    call.check_workspace(call.bailian.model_workspaces.get(model))
    if not lives_at(model, multimodal=multimodal):
        raise invalid(WRONG_URL)
    if not given:
        # Messages beside the model, as OpenAI has them, are not looked at.
        raise Refusal("BadRequest.EmptyInput") if "messages" not in body else invalid(_NOTHING)
    parameters = body.get("parameters") or {}
    if not isinstance(given, dict) or not isinstance(parameters, dict):
        raise Refusal("BadRequest.IllegalInput")
    messages = given.get("messages")
    if messages is None:
        if not isinstance(given.get("prompt"), str):
            raise invalid(_NOTHING)
        messages = [{"role": "user", "content": [{"text": given["prompt"]}] if multimodal else given["prompt"]}]
    if not isinstance(messages, list):
        raise invalid("messages must be an array.")
    resolves = call.request.headers.get("x-dashscope-ossresourceresolve") == "enable"
    read = [_message(each, multimodal=multimodal, resolves=resolves) for each in messages]
    return checked(call, model, read, parameters, choices=("none", "auto"))


_NOTHING = 'Either "prompt" or "messages" must exist and cannot both be none'


def checked(
    call: Call, model: str, messages: list[Message], parameters: Mapping[str, Any], *, choices: tuple[str, ...]
) -> Prompt:
    """The prompt, when nothing is wrong with it. `choices`: the strings `tool_choice` may be."""
    check_ranges(parameters)
    tools = read_tools(parameters)
    choice = read_tool_choice(parameters.get("tool_choice"), tools, strings=choices)
    thinking = thinks(model, parameters, streaming=call.streaming)
    check_several_answers(model, parameters.get("n") or 1, thinking=thinking)
    prompt = Prompt(model, messages, with_defaults(model, parameters), tools, choice, thinking, call.streaming)
    if thinking:
        prompt.parameters = {**prompt.parameters, "incremental_output": parameters.get("incremental_output", True)}
    check_messages(messages, character=prompt.character)
    check_together(prompt, json_with_thinking=call.bailian.json_with_thinking)
    return prompt


def new_message(given: Any) -> Message:
    """A message whose content is still to be read: everything else both protocols write alike."""
    if not isinstance(given, dict) or given.get("role") not in ROLES:
        raise invalid(f"'role' must be one of {', '.join(ROLES)}.")
    calls = given.get("tool_calls") or []
    if not isinstance(calls, list):
        raise invalid("tool_calls must be an array.")
    partial = given.get("partial") is True
    return Message(given["role"], tool_calls=calls, tool_call_id=given.get("tool_call_id"), partial=partial)


def add_text(message: Message, part: Mapping[str, Any]) -> None:
    """Adds a part that is text, perhaps one to be cached."""
    if not isinstance(part.get("text"), str):
        raise invalid("the text of a part must be a string.")
    message.text += part["text"]
    if "cache_control" in part:
        message.cached.append(part["text"])


def _message(given: Any, *, multimodal: bool, resolves: bool) -> Message:
    message = new_message(given)
    content = given.get("content")
    if content is None and message.tool_calls:
        return message
    if isinstance(content, str):
        message.text = content
        return message
    cached = isinstance(content, list) and any(isinstance(part, dict) and "cache_control" in part for part in content)
    if not isinstance(content, list) or message.role == "tool" or not (multimodal or cached):
        raise invalid("input content must be a string.")
    for part in content:
        _add_part(message, part, resolves=resolves)
    return message


def _add_part(message: Message, part: Any, *, resolves: bool) -> None:
    if not isinstance(part, dict) or not any(kind in part for kind in ("text", *MEDIA)):
        raise invalid("a part of a content must be a text, an image, a video or an audio.")
    if "text" in part:
        add_text(message, part)
    for kind in MEDIA:
        if kind in part:
            urls = part[kind] if isinstance(part[kind], list) else [part[kind]]
            if not urls or not all(isinstance(url, str) and url for url in urls):
                raise invalid(f"{kind} must be a URL.")
            if any(url.startswith("oss://") for url in urls) and not resolves:
                raise Refusal("InvalidURL")
            message.media[kind] = message.media.get(kind, 0) + 1
