"""Generation: what a character answers, and the answer as one JSON body or as a stream that may be stopped."""

import asyncio
import json
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from xingchen_core.emulator import xingchen_texts as texts
from xingchen_core.emulator._script import Fault, Reply, Turn, magic_fault
from xingchen_core.emulator._wire import Answer, Event, EventStream
from xingchen_core.emulator.xingchen_errors import error_event, invalid, scripted

if TYPE_CHECKING:
    from xingchen_core.emulator.xingchen import Call
    from xingchen_core.emulator.xingchen_rooms import Message

DEFAULT_MODEL = "xingchen-plus-v2"


@dataclass
class Generated:
    """One answer, before it is put on the wire."""

    text: str
    pieces: Sequence[str]
    finish_reason: str = "stop"
    function_call: dict[str, Any] | None = None
    meta: Mapping[str, Any] | None = None
    speaker: str | None = None

    def message(self, content: str, *, closing: bool) -> dict[str, Any]:
        """A response message; what belongs to the whole answer comes with the closing one only."""
        message: dict[str, Any] = {"role": "assistant", "content": content}
        if self.speaker:
            message["name"] = self.speaker
        if closing:
            extra = {"functionCall": self.function_call, "meta": self.meta, "finishReason": self.finish_reason}
            message.update((name, value) for name, value in extra.items() if value)
        return message

    def choice(self, content: str) -> dict[str, Any]:
        """A finished choice."""
        return {"messages": [self.message(content, closing=True)], "stopReason": self.finish_reason}


@dataclass
class Running:
    """A chat whose answer may still be stopped. `saved` is the row to overwrite once the client has gone."""

    account: str
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    stopped: bool = False
    kept: str | None = None
    done: bool = False
    saved: "Message | None" = None


def check_free(call: "Call") -> None:
    """Refuses a second chat of a user while the first is being answered, where the switch says so."""
    if call.xingchen.one_chat_per_user and _user(call) in call.xingchen.busy_users:
        raise invalid(f"the previous answer to user {_user(call)[1]} has not finished")


def _user(call: "Call") -> tuple[str, str]:
    return call.account, call.body["input"]["aca"].get("userProfile", {}).get("userId", "")


def take_turn(call: "Call", messages: Sequence[Mapping[str, Any]]) -> Turn:
    """The script of this call; a fault may also be asked for in the user's words."""
    turn = call.script()
    if turn.fault is None and messages:
        try:
            return Turn(turn.reply, magic_fault(str(messages[-1].get("content", ""))))
        except ValueError as mistake:
            raise invalid(str(mistake)) from None
    return turn


def generate(
    call: "Call",
    reply: Reply | None,
    persona: texts.Persona,
    messages: Sequence[Mapping[str, Any]],
    *,
    first_variant: int = 0,
    speaker: str | None = None,
) -> list[Generated]:
    """As many answers as the request asks for."""
    aca = call.body["input"]["aca"]
    count = aca.get("context", {}).get("resultCount", 1)
    limit = call.body.get("parameters", {}).get("maxLength")
    said = str(messages[-1].get("content", "")) if messages else ""
    calls = list(reply.tool_calls) if reply else _chosen_function(aca, said, messages)
    if calls:
        listed = [{"apiName": each["name"], "parameters": each.get("arguments", {})} for each in calls]
        thought = reply.thoughts if reply and isinstance(reply.thoughts, str) else f"需要调用{calls[0]['name']}"
        words = reply.text if reply else ""
        return [Generated(words, [], function_call={"thought": thought, "apiCallList": listed}, speaker=speaker)]
    answers = []
    for index in range(count):
        spoken = texts.answer(persona, messages, first_variant + index)
        if reply:
            spoken = (reply.text, *reply.alternatives)[index] if index <= len(reply.alternatives) else spoken
        pieces = reply.pieces if reply and reply.pieces and index == 0 else texts.pieces(spoken)
        finish = reply.finish_reason if reply else "stop"
        if limit and texts.tokens(spoken) > limit:
            spoken, finish = spoken[:limit], "length"
            pieces = texts.pieces(spoken)
        answers.append(Generated(spoken, pieces, finish, meta=reply.meta if reply else None, speaker=speaker))
    return answers


def _chosen_function(aca: dict[str, Any], said: str, messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A function the caller insists on (`specific`) is called without a script too, once."""
    choice = aca.get("functionChoice", {})
    names = choice.get("names", [])
    if (choice.get("type") or choice.get("functionChoiceType")) != "specific" or not names:
        return []
    if messages and messages[-1].get("role") == "function":
        return []
    function = next(each for each in aca["functionList"] if each["name"] == names[0])
    return [{"name": names[0], "arguments": texts.sample_arguments(function["parameters"], said)}]


def usage(
    persona: str, messages: Sequence[Mapping[str, Any]], extras: Sequence[Any], answers: Sequence[Generated]
) -> dict[str, int]:
    """Counts tokens: all the model was given, all it said, and the user's newest words."""
    users = [str(message.get("content", "")) for message in messages if message.get("role") == "user"]
    calls = [json.dumps(each.function_call, ensure_ascii=False) for each in answers if each.function_call]
    return {
        "outputTokens": texts.count_prompt([*(each.text for each in answers), *calls]),
        "inputTokens": texts.count_prompt([persona, *(message.get("content") for message in messages), *extras]),
        "userTokens": texts.tokens(users[-1]) if users else 0,
    }


def basic_context(call: "Call") -> dict[str, Any]:
    """The context of an answer that is kept nowhere."""
    model = call.body.get("model") or call.body.get("parameters", {}).get("modelName") or DEFAULT_MODEL
    model_request_id = call.xingchen.new_uuid("model-request")
    return {"modelName": model, "requestId": call.request_id, "modelRequestId": model_request_id}


def respond(
    call: "Call",
    answers: Sequence[Generated],
    turn: Turn,
    spent: dict[str, int],
    context: "Callable[[Message | None], dict[str, Any]]",
    save: "Callable[[Sequence[Generated]], Message | None]",
) -> Answer | EventStream:
    """The answers as one JSON body or as a stream, kept in the history where there is one."""
    core, fault = call.xingchen.core, turn.fault
    if fault and fault.kind == "error_event" and not call.streaming:
        raise scripted(fault)
    user = _user(call)
    call.xingchen.busy_users.add(user)

    def leave() -> None:
        call.xingchen.busy_users.discard(user)

    if call.streaming:
        running = call.xingchen.running[call.request_id] = Running(call.account)
        events = _events(call, answers[0], running, spent, context, save)

        def error(failed: Fault) -> Event:
            running.done = True  # the generation itself has failed: there is no answer to keep
            return error_event(failed, call.request_id)

        return EventStream(core, events, error, fault, running.wake, leave)
    row = save(answers)
    data = {
        "requestId": call.request_id,
        "choices": [each.choice(each.text) for each in answers],
        "usage": spent,
        "context": context(row),
        "stop": True,
    }
    body = {"requestId": call.request_id, "code": 200, "success": True, "data": data}
    return Answer(core, body, fault=fault, finished=leave)


def _events(
    call: "Call",
    generated: Generated,
    running: Running,
    spent: dict[str, int],
    context: "Callable[[Message | None], dict[str, Any]]",
    save: "Callable[[Sequence[Generated]], Message | None]",
) -> Generator[Event, None, None]:
    """Pieces (or all text so far), then the closing event, which repeats the text or, in pieces, adds nothing."""
    in_pieces = bool(call.body.get("parameters", {}).get("incrementalOutput"))
    shown = ""
    number = 0
    try:
        for piece in generated.pieces:
            if running.stopped:
                generated.text = shown
                break
            shown += piece
            number += 1
            message = generated.message(piece if in_pieces else shown, closing=False)
            yield Event({"requestId": call.request_id, "choices": [{"messages": [message]}]}, id=str(number))
        running.done = True
        whole = generated.text
        if running.kept is not None:
            generated.text = running.kept
        row = save([generated])
        closing = "" if in_pieces and not generated.function_call else whole
        data = {
            "requestId": call.request_id,
            "choices": [generated.choice(closing)],
            "usage": spent,
            "context": context(row),
            "stop": True,
        }
        yield Event(data, event=generated.finish_reason, id=str(number + 1))
    finally:
        if not running.done:
            # The client has gone. Nothing says that this stops the service: the whole answer is kept, unless a stop
            # call still comes.
            running.saved = save([generated])
