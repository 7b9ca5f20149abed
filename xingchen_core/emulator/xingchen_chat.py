"""Chat with one character: checks, generation, the event stream, and stopping it."""

import asyncio
import json
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from xingchen_core.emulator import xingchen_texts as texts
from xingchen_core.emulator._script import Fault, Reply, Turn, magic_fault
from xingchen_core.emulator._wire import Answer, Event, EventStream
from xingchen_core.emulator.xingchen_checks import check_chat
from xingchen_core.emulator.xingchen_errors import error_event, invalid, refuse, scripted
from xingchen_core.emulator.xingchen_fields import required_text, text

if TYPE_CHECKING:
    from xingchen_core.emulator.xingchen import Call
    from xingchen_core.emulator.xingchen_rooms import Exchange, Message, Room

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


def send(call: "Call") -> Answer | EventStream:
    """`POST /v2/api/chat/send`, sync and streaming."""
    check_chat(call.body, streaming=call.streaming)
    stage = _stage(call)
    check_free(call)
    turn = take_turn(call, stage.messages)
    if turn.fault and turn.fault.instead_of_answer:
        return refuse(call.xingchen.core, turn.fault, call.request_id)
    call.xingchen.prompts.append(stage.messages)
    answers = generate(call, turn.reply, stage.persona, stage.messages, first_variant=stage.variant)
    return respond(call, answers, turn, stage.usage(answers), stage.context, stage.save(turn.reply))


@dataclass
class _Stage:
    """Everything a generation needs: who speaks, what was said, and the room it is kept in (stored characters)."""

    call: "Call"
    persona: texts.Persona
    messages: list[dict[str, Any]]
    character: Mapping[str, Any] = field(default_factory=dict)
    room: "Room | None" = None
    exchange: "Exchange | None" = None

    @property
    def variant(self) -> int:
        return len(self.exchange.answers) if self.exchange else int(_regenerates(self.call.body))

    def usage(self, answers: Sequence[Generated]) -> dict[str, int]:
        aca = self.call.body["input"]["aca"]
        extras = [aca.get(name) for name in ("scenario", "sampleMessages", "memory", "functionList")]
        return usage(self.persona.text, self.messages, extras, answers)

    def save(self, reply: Reply | None) -> "Callable[[Sequence[Generated]], Message | None]":
        aca = self.call.body["input"]["aca"]

        def write(answers: Sequence[Generated]) -> "Message | None":
            """A function call is not an utterance: the exchange is kept when the words come."""
            if self.room is None or answers[0].function_call:
                return None
            if self.exchange is None:
                self.exchange = self.room.ask(self.messages)
            contents = [generated.text for generated in answers]
            row = self.room.answer(self.exchange, contents, regenerated=_regenerates(self.call.body))
            if (urls := _pictures(aca, self.character, reply)) is not None:
                self.call.xingchen.rooms.paint(row, self.room.user_id, urls)
            return row

        return write

    def context(self, row: "Message | None") -> dict[str, Any]:
        """Shorter without a stored character, as the vendor's own samples have it."""
        call = self.call
        context = basic_context(call)
        if self.room is None:
            return context
        context |= {
            "chatRoomId": self.room.number,
            "sessionId": self.room.session_id,
            "enableDataInspection": False,
            "isSave": row is not None,
            "origin": "pass_v2",
            "ext": "chat",
        }
        if row is None:
            return context | {"chatId": call.xingchen.new_id("chat"), "messageId": call.xingchen.new_id("message")}
        assert self.exchange is not None
        query_id = self.exchange.query.message_id
        context |= {"chatId": row.chat_id, "messageId": row.message_id, "replyMessageId": query_id}
        if _regenerates(call.body):
            context |= {"queryId": query_id, "answerId": row.message_id}
        return context


def _stage(call: "Call") -> _Stage:
    body, state = call.body, call.xingchen
    aca = body["input"]["aca"]
    profile = aca["botProfile"]
    sent: list[dict[str, Any]] = body["input"].get("messages", [])
    character_id = profile.get("characterId")
    if not character_id:
        described = f"{profile['content']} {profile.get('traits', '')}"
        return _Stage(call, texts.Persona(profile["name"], described), sent)

    character = state.characters.to_chat(call.account, character_id, profile.get("version"))
    persona = texts.Persona(character["name"], f"{character['basicInformation']} {character.get('traits', '')}")
    user = aca["userProfile"]
    room = state.rooms.open(call.account, character_id, user["userId"], user.get("userName"))
    context = aca.get("context", {})
    if answer_id := context.get("answerId"):
        room.choose(answer_id)
    exchange = room.exchange_of(context["queryId"]) if _regenerates(body) and context.get("queryId") else None
    if context.get("useChatHistory", True):
        rounds = character.get("advancedConfig", {}).get("shortTermMemoryRound", 20)
        history = room.prompt(rounds, before=exchange)
        question = [{"role": "user", "content": exchange.query.content}] if exchange else sent
        return _Stage(call, persona, history + question, character, room, exchange)
    return _Stage(call, persona, sent, character, room, exchange)


def _pictures(aca: dict[str, Any], character: Mapping[str, Any], reply: Reply | None) -> Sequence[str] | None:
    """The pictures to make for an answer: scripted, and only where the plug-in is on."""
    plugins = [*aca.get("platformPlugins", []), *character.get("advancedConfig", {}).get("platformPlugins", [])]
    on = any(plugin.get("name") == "text_to_image_plugin" and plugin.get("enabled") for plugin in plugins)
    return reply.images if on and reply else None


def _regenerates(body: dict[str, Any]) -> bool:
    return bool(body["input"]["aca"].get("context", {}).get("isRegenerate"))


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


def stop(call: "Call") -> bool:
    """`POST /v2/api/chat/stop`: false when no such chat of this account is running."""
    request_id = required_text(call.body, "requestId")
    content = text(call.body, "content")
    running = call.xingchen.running.get(request_id)
    if running is None or running.account != call.account or running.done or running.stopped:
        return False
    running.stopped, running.kept = True, content
    if running.saved is not None and content is not None:
        running.saved.content = content
    running.wake.set()
    return True
