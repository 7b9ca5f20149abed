"""What the service refuses about a prompt, whichever protocol wrote it."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from xingchen_core.emulator.bailian_errors import Refusal, invalid

if TYPE_CHECKING:
    from xingchen_core.emulator.bailian_brain import Message, Prompt

ROLES = ("system", "user", "assistant", "tool")
MOST_REPETITIONS = 10
"""So many calls in a row that are all the same count as endless. (The number is not documented.)"""


def check_messages(messages: Sequence["Message"], *, character: bool) -> None:
    """The order in which messages may come."""
    if not messages:
        raise invalid("[] is too short - 'messages'")
    if not any(message.role == "user" for message in messages):
        raise invalid("messages must contain a message with role user.")
    waiting: list[str] = []
    for message in messages:
        if message.role == "tool":
            if message.tool_call_id not in waiting:
                raise invalid('messages with role "tool" must be a response to a preceeding message with "tool_calls".')
            waiting.remove(message.tool_call_id)
        elif waiting:
            break
        waiting += [_call_id(called) for called in message.tool_calls]
    if waiting:
        raise invalid(
            'An assistant message with "tool_calls" must be followed by tool messages responding to each '
            f'"tool_call_id". The following tool_call_ids did not have response messages: {", ".join(waiting)}'
        )
    last = messages[-1]
    if last.role not in ("user", "tool") and not (last.role == "assistant" and (last.partial or character)):
        raise Refusal("InternalError.Algo", "list index out of range")
    made = [str(called.get("function")) for message in messages for called in message.tool_calls]
    if len(made) >= MOST_REPETITIONS and len(set(made[-MOST_REPETITIONS:])) == 1:
        raise invalid("Repetitive tool calls detected.")


def _call_id(called: Any) -> str:
    function = called.get("function") if isinstance(called, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise invalid("a tool call must have a function with a name.")
    if not isinstance(function.get("arguments", ""), str):
        raise invalid("the arguments of a tool call must be a string.")
    return str(called.get("id"))


def read_tools(parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The functions of `tools`."""
    tools = parameters.get("tools")
    if tools is None:
        return []
    if not isinstance(tools, list):
        raise invalid("tools must be an array.")
    functions = []
    for tool in tools:
        function = tool.get("function") if isinstance(tool, dict) and tool.get("type") == "function" else None
        if not isinstance(function, dict):
            raise invalid("a tool must have the type function, and a function.")
        name = function.get("name")
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name) or name == "search":
            raise invalid(f"the name of a function must be 1 to 64 letters, digits, _ or -, and not search: {name}")
        _check_schema(function.get("parameters") or {}, f"the parameters of function {name}")
        functions.append(function)
    return functions


def read_tool_choice(choice: Any, tools: Sequence[Mapping[str, Any]], *, strings: Sequence[str]) -> str:
    """`tool_choice` as `Prompt` has it."""
    if choice is None:
        return "auto"
    if isinstance(choice, str):
        if choice not in strings:
            raise invalid('tool_choice is one of the strings that should be ["none", "auto"]')
        return choice
    function = choice.get("function") if isinstance(choice, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    if name not in [tool["name"] for tool in tools]:
        raise invalid(f"tool_choice names a function that is not among the tools: {name}")
    return f"={name}"


def _check_schema(schema: Any, what: str) -> None:
    """Refuses what is no JSON Schema, as far as its shape goes."""
    good = isinstance(schema, dict)
    for name, kind in _SCHEMA_MEMBERS.items() if good else ():
        good = good and (name not in schema or isinstance(schema[name], kind))
    if not good or not all(isinstance(name, str) for name in schema.get("required", [])):
        raise invalid(f"{what} must be a JSON Schema.")
    inside = [schema[name] for name in ("items",) if name in schema]
    for name in ("properties", "$defs", "definitions"):
        inside += schema.get(name, {}).values()
    for name in ("anyOf", "oneOf", "allOf"):
        inside += schema.get(name, [])
    for each in inside:
        _check_schema(each, what)


_SCHEMA_MEMBERS: dict[str, Any] = {
    **dict.fromkeys(("properties", "$defs", "definitions", "items"), dict),
    **dict.fromkeys(("required", "enum", "anyOf", "oneOf", "allOf"), list),
    "$ref": str,
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), (int, float)),
}


def check_together(prompt: "Prompt", *, json_with_thinking: bool) -> None:
    """What does not go together."""
    given = prompt.parameters
    forced = prompt.tool_choice == "required" or prompt.tool_choice.startswith("=")
    if prompt.thinking and forced:
        raise invalid("The tool_choice parameter does not support being set to required or object in thinking mode")
    text_format = given.get("result_format") == "text"
    if (prompt.tools or prompt.thinking) and text_format:
        raise invalid('result_format must be "message" with tools and in thinking mode.')
    wanted = given.get("response_format") or {}
    kind = wanted.get("type", "text")
    if kind not in ("text", "json_object", "json_schema"):
        raise invalid("response_format.type must be text, json_object or json_schema.")
    if kind == "json_schema":
        named = wanted.get("json_schema")
        _check_schema(named.get("schema") if isinstance(named, dict) else None, "response_format.json_schema.schema")
    if kind == "json_object" and not any("json" in message.text.lower() for message in prompt.messages):
        raise invalid(
            "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'."
        )
    # On which models json_schema works is documented; what others do with it is not: UNVERIFIED, so all take it here.
    if kind != "text" and prompt.thinking and not json_with_thinking:
        raise invalid("Json mode response is not supported when enable_thinking is true")
    if prompt.character and (prompt.tools or kind != "text"):
        raise invalid(f"The model {prompt.model} does not support tools or response_format.")


def check_ranges(given: Mapping[str, Any]) -> None:
    """Numbers in their ranges, stop words of one type."""
    for name, (words, fits) in _RANGES.items():
        value = given.get(name)
        if value is not None and not (type(value) in (int, float) and fits(value)):
            raise invalid(words)
    for name in ("response_format", "search_options", "stream_options"):
        if not isinstance(given.get(name) or {}, dict):
            raise invalid(f"{name} must be an object.")
    stop = given.get("stop")
    if not isinstance(stop or "", str | list):
        raise invalid("stop must be a string or an array.")
    if isinstance(stop, list) and len({type(each) for each in stop}) > 1:
        raise invalid("stop must not mix strings and token ids.")


_RANGES: dict[str, tuple[str, Callable[[float], bool]]] = {
    "temperature": ("Temperature should be in [0.0, 2.0)", lambda value: 0 <= value < 2),
    "top_p": ("Range of top_p should be (0.0, 1.0]", lambda value: 0 < value <= 1),
    "presence_penalty": ("Presence_penalty should be in [-2.0, 2.0]", lambda value: -2 <= value <= 2),
    "repetition_penalty": ("Repetition_penalty should be greater than 0.0", lambda value: value > 0),
    "max_tokens": ("Range of max_tokens should be [1, 65536]", lambda value: 1 <= value <= 65536),
    "top_logprobs": ("Range of top_logprobs should be [0, 5]", lambda value: value in range(6)),
}
