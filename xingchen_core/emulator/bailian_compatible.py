"""`POST /compatible-mode/v1/chat/completions`: models as OpenAI's clients call them."""

from collections.abc import Generator, Mapping
from itertools import zip_longest
from typing import Any

from xingchen_core.emulator import bailian_texts as texts
from xingchen_core.emulator._wire import Answer, Event, EventStream
from xingchen_core.emulator.bailian_brain import Completion, Message, Prompt, think
from xingchen_core.emulator.bailian_call import Call
from xingchen_core.emulator.bailian_errors import invalid
from xingchen_core.emulator.bailian_model_rules import known_model
from xingchen_core.emulator.bailian_prompts import add_text, checked, new_message
from xingchen_core.emulator.bailian_steps import Step, steps
from xingchen_core.emulator.bailian_usage import logprobs, usage_of

CREATED = 1_767_225_600
"""`created` of every answer: the start of 2026, in Unix seconds."""
_MEDIA = {"image_url": "image", "video": "video", "video_url": "video", "input_audio": "audio"}


def respond(call: Call) -> Answer | EventStream:
    """Answers a prompt."""
    prompt = _read_prompt(call)
    reply, fault = call.take_turn(prompt.said)
    call.bailian.prompts.append(call.body)
    completion = think(call.bailian, prompt, reply)
    if call.streaming:
        return call.stream(_events(call, completion), fault)
    body = {
        **_envelope(call, "chat.completion"),
        "choices": [_choice(completion, at) for at in range(len(completion.choices))],
        "usage": _usage(completion),
        **(completion.script.body or {}),
    }
    return call.answer(body, fault)


def _read_prompt(call: Call) -> Prompt:
    body = call.body
    model, given = known_model(body.get("model")), body.get("messages")
    call.check_workspace(call.bailian.model_workspaces.get(model))
    if not isinstance(given, list):
        raise invalid("messages must be an array.")
    messages = [_message(each) for each in given]
    parameters = {**body, "result_format": "message", "incremental_output": True}
    return checked(call, model, messages, parameters, choices=("none", "auto", "required"))


def _message(given: Any) -> Message:
    message = new_message(given)
    content = given.get("content")
    for part in content if isinstance(content, list) else [{"type": "text", "text": content or ""}]:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "text":
            add_text(message, part)
        elif isinstance(kind, str) and kind in _MEDIA and part.get(kind):
            message.media[_MEDIA[kind]] = message.media.get(_MEDIA[kind], 0) + 1
        else:
            raise invalid(f"the type of a part must be text, {', '.join(_MEDIA)}.")
    return message


def _envelope(call: Call, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{call.request_id}",
        "object": kind,
        "created": CREATED,
        "model": call.body["model"],
    }


def _choice(completion: Completion, at: int) -> dict[str, Any]:
    choice = completion.choices[at]
    message: dict[str, Any] = {"role": "assistant", "content": choice.text}
    if choice.reasoning:
        message["reasoning_content"] = choice.reasoning
    if choice.tool_calls:
        message["tool_calls"] = [
            {
                "id": called["id"],
                "type": "function",
                "function": {"name": called["name"], "arguments": called["arguments"]},
                "index": index,
            }
            for index, called in enumerate(choice.tool_calls)
        ]
    told = logprobs(completion, choice.pieces) if completion.prompt.parameters.get("logprobs") else None
    return {"index": at, "message": message, "logprobs": told, "finish_reason": choice.finish_reason}


def _usage(completion: Completion) -> Any:
    native = usage_of(
        completion,
        sum(choice.tokens for choice in completion.choices),
        sum(texts.tokens(choice.reasoning) for choice in completion.choices),
    )
    if not native:
        return native
    spent = {
        "prompt_tokens": native["input_tokens"],
        "completion_tokens": native["output_tokens"],
        "total_tokens": native.get("total_tokens", native["input_tokens"] + native["output_tokens"]),
        "prompt_tokens_details": native.get("prompt_tokens_details", {}),
    }
    if "output_tokens_details" in native:
        spent["completion_tokens_details"] = native["output_tokens_details"]
    return spent


def _events(call: Call, completion: Completion) -> Generator[Event, None, None]:
    """Deltas, the usage when it was asked for, and `[DONE]`."""
    if completion.script.events is not None:
        yield from map(Event, completion.script.events)
        return
    parameters = completion.prompt.parameters
    envelope = _envelope(call, "chat.completion.chunk")
    wants_usage = (parameters.get("stream_options") or {}).get("include_usage") is True
    tracks = [steps(choice, call.bailian.fragments, parameters) for choice in completion.choices]
    for number, row in enumerate(zip_longest(*tracks)):
        choices = [
            {"index": at, "delta": _delta(step, first=number == 0), "finish_reason": step.finish_reason}
            for at, step in enumerate(row)
            if step is not None
        ]
        yield Event({**envelope, "choices": choices, "usage": None})
    if wants_usage:
        yield Event({**envelope, "choices": [], "usage": _usage(completion)})
    yield Event("[DONE]")


def _delta(step: Step, *, first: bool) -> Mapping[str, Any]:
    delta: dict[str, Any] = {"content": None if step.reasoning or step.tool_calls else step.text}
    if first:
        delta["role"] = "assistant"
    if step.reasoning:
        delta["reasoning_content"] = step.reasoning
    if step.tool_calls:
        # Later fragments have no name on the native path, and null here.
        delta["tool_calls"] = [
            {**fragment, "function": {"name": None, **fragment["function"]}} for fragment in step.tool_calls
        ]
    return delta
