"""The model interfaces, shaped like OpenAI's: the old `/v2/api/completions` and the new `/v2/api/chat/completions`."""

import json
import re
import time
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from xingchen_core.emulator import xingchen_texts as texts
from xingchen_core.emulator._script import Fault, Turn
from xingchen_core.emulator._wire import Answer, Event, EventStream
from xingchen_core.emulator.xingchen_checks import check_parameters
from xingchen_core.emulator.xingchen_errors import error_event, invalid, refuse, scripted
from xingchen_core.emulator.xingchen_fields import member, objects, required_text, strings, text, whole
from xingchen_core.emulator.xingchen_generation import DEFAULT_MODEL, take_turn

if TYPE_CHECKING:
    from xingchen_core.emulator.xingchen import Call


def old(call: "Call") -> Answer | EventStream:
    """`POST /v2/api/completions`: tools; a stream's chunks have `message`, and `event:stop` ends it."""
    _check(call.body, roles=("system", "user", "assistant", "tool"))
    tools = objects(call.body, "tools")
    if len(tools) > 128:
        raise invalid("tools must have 128 members at most")
    for tool in tools:
        required_text(tool, "function.name", where="tools[].")
        member(tool, "function.parameters", dict, where="tools[].")
    _check_choice(call.body, tools)
    return _complete(call, [], count=1)


def new(call: "Call") -> Answer | EventStream:
    """`POST /v2/api/chat/completions`: `n`, `stop`; a stream's chunks have `delta`, and `[DONE]` ends it.

    The response is not documented; this is OpenAI's.
    """
    _check(call.body, roles=("system", "user", "assistant"))
    count = whole(call.body, "n", 1, 4) or 1
    member(call.body, "logit_bias", dict)
    one_stop = call.body.get("stop")
    stops = [one_stop] if isinstance(one_stop, str) and one_stop else strings(call.body, "stop")
    return _complete(call, stops, count=count)


def _check(body: dict[str, Any], roles: tuple[str, ...]) -> None:
    text(body, "model")
    for message in objects(body, "messages", required=True):
        if required_text(message, "role", where="messages[].") not in roles:
            raise invalid(f"messages[].role must be one of {', '.join(roles)}, not {message['role']!r}")
        calls = objects(message, "tool_calls")
        if member(message, "content", str, required=not calls, where="messages[].") is None:
            message["content"] = ""
    member(body, "stream", bool)
    text(body, "user")
    whole(body, "max_tokens", 1, 1500)
    check_parameters(body, top_p="top_p")


def _check_choice(body: dict[str, Any], tools: list[dict[str, Any]]) -> None:
    choice = body.get("tool_choice")
    if isinstance(choice, dict):
        name = required_text(choice, "function.name", where="tool_choice.")
        if name not in [tool["function"]["name"] for tool in tools]:
            raise invalid(f"tool_choice names {name!r}, which is not in tools")
    elif choice not in (None, "none", "auto", "required"):
        raise invalid(f"tool_choice must be none, auto, required or a function, not {choice!r}")


def _complete(call: "Call", stops: list[str], *, count: int) -> Answer | EventStream:
    core, body = call.xingchen.core, call.body
    turn = take_turn(call, body["messages"])
    if turn.fault and turn.fault.instead_of_answer:
        return refuse(core, turn.fault, call.request_id)
    call.xingchen.prompts.append(body["messages"])
    choices = [_choice(call, turn, index, stops) for index in range(count)]
    produced = [str(choice["message"]) if choice["tool"] else choice["message"]["content"] for choice in choices]
    spent = {
        "prompt_tokens": texts.count_prompt([message["content"] for message in body["messages"]]),
        "completion_tokens": texts.count_prompt(produced),
    }
    spent["total_tokens"] = spent["prompt_tokens"] + spent["completion_tokens"]
    head = {
        "id": "cmpl-" + call.xingchen.new_id("completion"),
        "created": int(time.time()),
        "model": body.get("model", DEFAULT_MODEL),
    }
    if body.get("stream"):

        def error(failed: Fault) -> Event:
            return error_event(failed, call.request_id)

        chunks = _chunks(head, choices, spent, modern=call.path.endswith("/chat/completions"))
        return EventStream(core, chunks, error, turn.fault)
    if turn.fault and turn.fault.kind == "error_event":
        raise scripted(turn.fault)
    listed = [{name: choice[name] for name in ("index", "finish_reason", "message")} for choice in choices]
    return Answer(core, {**head, "choices": listed, "usage": spent}, fault=turn.fault)


def _choice(call: "Call", turn: Turn, index: int, stops: list[str]) -> dict[str, Any]:
    """One choice, with the pieces of its text; `tool`: it calls tools instead."""
    reply, messages = turn.reply, call.body["messages"]
    calls = list(reply.tool_calls) if reply else _insisted(call.body)
    if calls:
        listed = [
            {
                "id": f"call_{call.xingchen.new_id('tool call')[:24]}",
                "type": "function",
                "function": {
                    "name": each["name"],
                    "arguments": json.dumps(each.get("arguments", {}), ensure_ascii=False),
                },
            }
            for each in calls
        ]
        content = reply.text if reply else ""
        message = {"role": "assistant", "content": content, "tool_calls": listed}
        return {"index": index, "finish_reason": "tool_calls", "message": message, "pieces": [], "tool": True}
    system = " ".join(message["content"] for message in messages if message["role"] == "system")
    named = re.search(r"你是([^，。,.\s]+)", system)
    spoken = texts.answer(texts.Persona(named.group(1) if named else "小尘", system), messages, index)
    if reply:
        spoken = (reply.text, *reply.alternatives)[index] if index <= len(reply.alternatives) else spoken
    finish = reply.finish_reason if reply else "stop"
    full = spoken
    for mark in stops:
        spoken = spoken.partition(mark)[0]
    if (limit := call.body.get("max_tokens")) and texts.tokens(spoken) > limit:
        spoken, finish = spoken[:limit], "length"
    scripted_pieces = reply.pieces if reply and index == 0 and spoken == full else None
    return {
        "index": index,
        "finish_reason": finish,
        "message": {"role": "assistant", "content": spoken},
        "pieces": scripted_pieces or texts.pieces(spoken),
        "tool": False,
    }


def _insisted(body: dict[str, Any]) -> list[dict[str, Any]]:
    """A tool the caller insists on is called without a script too, once."""
    choice, tools, last = body.get("tool_choice"), body.get("tools", []), body["messages"][-1]
    if not tools or last["role"] == "tool" or not (choice == "required" or isinstance(choice, dict)):
        return []
    name = choice["function"]["name"] if isinstance(choice, dict) else tools[0]["function"]["name"]
    function = next(tool["function"] for tool in tools if tool["function"]["name"] == name)
    return [{"name": name, "arguments": texts.sample_arguments(function.get("parameters", {}), last["content"])}]


def _chunks(
    head: dict[str, Any], choices: list[dict[str, Any]], spent: dict[str, int], *, modern: bool
) -> Generator[Event, None, None]:
    """New text only, choice after choice. In the old interface `message` stands where OpenAI has `delta`."""
    part = "delta" if modern else "message"
    for choice in choices:
        for piece in choice["pieces"]:
            said = {"role": "assistant", "content": piece}
            yield Event({**head, "choices": [{"index": choice["index"], part: said}]})
        last: dict[str, Any] = {"role": "assistant", "content": ""}
        if choice["tool"]:
            last = choice["message"]
            if modern:
                numbered = [{"index": number, **each} for number, each in enumerate(last["tool_calls"])]
                last = {**last, "tool_calls": numbered}
        final: dict[str, Any] = {
            **head,
            "choices": [{"index": choice["index"], part: last, "finish_reason": choice["finish_reason"]}],
        }
        if choice is choices[-1]:
            final["usage"] = spent
        yield Event(final, event="stop" if choice is choices[-1] and not modern else None)
    if modern:
        yield Event("[DONE]")
