"""Chat with one character: what the request means, where the exchange is kept, and stopping it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from xingchen_core.emulator import xingchen_texts as texts
from xingchen_core.emulator._script import Reply
from xingchen_core.emulator._wire import Answer, EventStream
from xingchen_core.emulator.xingchen_checks import check_chat
from xingchen_core.emulator.xingchen_errors import refuse
from xingchen_core.emulator.xingchen_fields import required_text, text
from xingchen_core.emulator.xingchen_generation import (
    Generated,
    basic_context,
    check_free,
    generate,
    respond,
    take_turn,
    usage,
)

if TYPE_CHECKING:
    from xingchen_core.emulator.xingchen import Call
    from xingchen_core.emulator.xingchen_rooms import Exchange, Message, Room


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


def stop(call: "Call") -> bool:
    """`POST /v2/api/chat/stop`: false when no such chat of this account is running.

    That `content` is what is kept as the answer is inferred from its name; the documents do not say so.
    """
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
