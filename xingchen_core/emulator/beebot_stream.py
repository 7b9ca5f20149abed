"""The streamed chat: a URL that is its own credential, and an answer told in snapshots, each the whole of it so far."""

import hashlib
import json
from collections.abc import Awaitable, Callable, Generator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from starlette.requests import Request

from xingchen_core.emulator._script import Fault, Turn
from xingchen_core.emulator._wire import Answer, Event, EventStream, json_text
from xingchen_core.emulator.beebot_calls import LONGEST_SESSION_ID, MOST_PERSPECTIVES, VERSION
from xingchen_core.emulator.beebot_errors import Refusal, error_event, html, invalid, missing, refuse, scripted
from xingchen_core.emulator.beebot_script import BeebotReply, commands, message_body
from xingchen_core.emulator.xingchen_texts import pieces

if TYPE_CHECKING:
    from xingchen_core.emulator.beebot import Beebot, Session, Token

ACTION = "TongyiBeebotChat"
CLOCKS_APART = 900.0
"""Seconds by which a URL may be from the future."""


def endpoint(beebot: "Beebot") -> "Callable[[Request], Awaitable[Answer | EventStream]]":
    """The ASGI endpoint of streams."""

    async def handle(request: Request) -> Answer | EventStream:
        path = request.scope["path"]
        token = _token(beebot, request.path_params)
        if token is None or request.method != "POST":
            return html(beebot.core, beebot.bad_url_status)
        request_id, message_id = beebot.new_id("request"), ""
        try:
            body = _body(await request.body())
            message_id = _message_id(body)
            _check_envelope(beebot, body)
            question = _Question.read(beebot, token, _parameters(body))
            turn = beebot.take_turn(path, question.utterance)
        except Refusal as refusal:
            return _refusing(beebot, refusal, message_id, request_id)
        if turn.fault and turn.fault.instead_of_answer:
            return refuse(beebot.core, turn.fault, request_id)
        return _answering(beebot, question, turn, message_id)

    return handle


def _token(beebot: "Beebot", path: Mapping[str, str]) -> "Token | None":
    """The token of a URL whose parts fit together and whose time is not over."""
    token, timestamp = beebot.tokens.get(path["token"]), path["timestamp"]
    if token is None or path["channel"] != token.channel_id or not timestamp.isdigit():
        return None
    sign = hashlib.md5(f"streamSecret={token.stream_secret}&timestamp={timestamp}".encode(), usedforsecurity=False)
    if sign.hexdigest() != path["sign"]:
        return None
    now, signed = beebot.clock(), int(timestamp) / 1000
    # How long a signed URL is good is not documented: here, as long as its token.
    if now - token.born > beebot.token_seconds or not -CLOCKS_APART < now - signed < beebot.token_seconds:
        return None
    return token


def _body(raw: bytes) -> dict[str, Any]:
    try:
        body = json.loads(raw)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise invalid("body", "it must be a JSON object")
    return body


def _message_id(body: Mapping[str, Any]) -> str:
    message_id = body.get("messageId")
    if not message_id or not isinstance(message_id, str):
        raise missing("messageId")
    return message_id


def _check_envelope(beebot: "Beebot", body: Mapping[str, Any]) -> None:
    if body.get("action") != ACTION:
        raise invalid("action", ACTION)
    if body.get("version") != VERSION:
        raise invalid("version", VERSION)
    if not beebot.is_first_use(body["messageId"]):
        # The service drops repeated ids; what it answers then is not documented.
        raise invalid("messageId", "it has been used")


def _parameters(body: Mapping[str, Any]) -> dict[str, Any]:
    data = body.get("data")
    if not isinstance(data, list) or len(data) != 1 or not isinstance(data[0], dict):
        raise invalid("data", "one element")
    if data[0].get("type") != "JSON_TEXT":
        raise invalid("data.type", "JSON_TEXT")
    try:
        parameters = json.loads(data[0].get("value") or "")
    except (TypeError, ValueError):
        parameters = None
    if not isinstance(parameters, dict):
        raise invalid("data.value", "the parameters as JSON text")
    return {name: value for name, value in parameters.items() if value is not None}


@dataclass(frozen=True)
class _Question:
    session: "Session"
    utterance: str

    @staticmethod
    def read(beebot: "Beebot", token: "Token", given: Mapping[str, Any]) -> "_Question":
        for name in ("InstanceId", "Utterance"):
            if not given.get(name):
                raise missing(name)
        for name in ("InstanceId", "Utterance", "SessionId", "SenderId", "SenderNick", "VendorParam", "Command"):
            if not isinstance(given.get(name, ""), str):
                raise invalid(name, "it must be a string")
        if len(given["Utterance"]) > beebot.longest_utterance:
            raise invalid("Utterance", f"at most {beebot.longest_utterance} characters")
        if len(given.get("SessionId", "")) > LONGEST_SESSION_ID:
            raise invalid("SessionId", f"at most {LONGEST_SESSION_ID} characters")
        if not isinstance(given.get("SandBox", False), bool):
            raise invalid("SandBox", "it must be a boolean")
        _check_perspective(given.get("Perspective", []))
        _check_vendor_param(given.get("VendorParam"))
        robot = beebot.robot(given["InstanceId"], token.agent_key)
        return _Question(beebot.session(robot, given.get("SessionId")), given["Utterance"])


def _check_perspective(given: Any) -> None:
    """The documents say: an array. Whether its JSON text is taken too, as by the signed call, they leave open."""
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except ValueError:
            raise invalid("Perspective", "an array of codes") from None
    if not isinstance(given, list) or len(given) > MOST_PERSPECTIVES:
        raise invalid("Perspective", f"an array of at most {MOST_PERSPECTIVES} codes")


def _check_vendor_param(text: str | None) -> None:
    try:
        if text is None or isinstance(json.loads(text), dict):
            return
    except ValueError:
        pass
    raise invalid("VendorParam", "it must be JSON text of an object")


def _refusing(beebot: "Beebot", refusal: Refusal, message_id: str, request_id: str) -> EventStream:
    def events() -> Generator[Event, None, None]:
        yield error_event(refusal, message_id, request_id)

    return EventStream(beebot.core, events(), lambda fault: error_event(scripted(fault), message_id, request_id))


def _answering(beebot: "Beebot", question: _Question, turn: Turn, message_id: str) -> EventStream:
    session = question.session
    if session.session_id in beebot.running.values():
        beebot.overlaps.append(session.session_id)
    beebot.running[message_id] = session.session_id
    reply = beebot.answer(session, question.utterance, turn)
    answer_id = beebot.new_id("message")
    session.message_ids.append(answer_id)
    fault = turn.fault
    if fault and fault.after and reply.events is None:
        fault = replace(fault, after=fault.after + 1 + beebot.empty_snapshots)

    def error(failed: Fault) -> Event:
        return error_event(scripted(failed), message_id, beebot.new_id("request"))

    def left() -> None:
        beebot.running.pop(message_id, None)

    events = _events(beebot, reply, message_id, answer_id, question)
    return EventStream(beebot.core, events, error, fault, finished=left)


def _events(
    beebot: "Beebot", reply: BeebotReply, message_id: str, answer_id: str, question: _Question
) -> Generator[Event, None, None]:
    """An acknowledgement, empty snapshots, the growing text, a repetition of it, and another as the end."""
    if reply.events is not None:
        yield from map(Event, reply.events)
        return

    def event(value: Mapping[str, Any], request_id: str | None = None) -> Event:
        common = {
            "MessageId": answer_id,
            "SequenceId": beebot.new_id("sequence"),
            "SessionId": question.session.session_id,
        }
        inner = json_text(dict(sorted({**common, **value}.items())))
        envelope = {
            "data": [{"type": "JSON_TEXT", "value": inner}],
            "messageId": message_id,
            "requestId": request_id or beebot.new_id("request"),
            "success": True,
        }
        return Event(envelope)

    words = pieces(question.utterance)

    def snapshot(text: str, *, ends: bool = False) -> Event:
        value = {
            "IsAIGC": True,
            "Source": reply.source,
            "QuerySegList": words,
            "StreamEnd": ends,
            "MessageBody": message_body(reply, text, ends=ends),
        }
        if ends and reply.commands is not None and reply.commands_on_top:
            value["Commands"] = commands(reply.commands)
        return event(value)

    yield event({"IsAIGC": False, "StreamEnd": False}, request_id=answer_id)
    for text in [""] * beebot.empty_snapshots + reply.texts():
        yield snapshot(text)
    final = reply.final_text()
    yield snapshot(final)
    yield snapshot(final, ends=True)
