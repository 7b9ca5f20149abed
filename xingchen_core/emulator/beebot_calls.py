"""The signed calls: `POST` or `GET /`, the action in a header, parameters in query and form alike."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from starlette.requests import Request

from xingchen_core.emulator import beebot_texts
from xingchen_core.emulator._acs3 import SignatureRefusedError, SignedRequest
from xingchen_core.emulator._wire import Answer
from xingchen_core.emulator.beebot_errors import Refusal, error_answer, invalid, missing, refuse, scripted
from xingchen_core.emulator.beebot_script import rpc_messages
from xingchen_core.emulator.xingchen_texts import pieces

if TYPE_CHECKING:
    from xingchen_core.emulator.beebot import Beebot, Robot

VERSION = "2022-04-08"
LONGEST_SESSION_ID = 64
MOST_PERSPECTIVES = 20


@dataclass
class SignedCall:
    """One call whose signature holds. Parameters are text, as they were sent."""

    beebot: "Beebot"
    action: str
    parameters: dict[str, str]
    request_id: str

    def get(self, name: str) -> str | None:
        """A parameter; an empty one counts as absent."""
        return self.parameters.get(name) or None

    def required(self, name: str) -> str:
        """A parameter that must be there."""
        value = self.get(name)
        if value is None:
            raise missing(name)
        return value

    def robot(self) -> "Robot":
        """The robot the call is about."""
        return self.beebot.robot(self.required("InstanceId"), self.get("AgentKey"))


def endpoint(beebot: "Beebot") -> Callable[[Request], Awaitable[Answer]]:
    """The ASGI endpoint of all actions."""

    async def handle(request: Request) -> Answer:
        request_id = beebot.new_uuid("request").upper()
        action = request.headers.get("x-acs-action", "")
        fault = None if action == "Chat" else beebot.core.script.take_for_path("beebot", f"/{action}")
        try:
            if fault and fault.instead_of_answer:
                return refuse(beebot.core, fault, request_id)
            if fault and fault.kind == "error_event":
                raise scripted(fault)
            handler = ACTIONS.get(action)
            if handler is None:
                raise Refusal("InvalidApi.NotFound", f"Specified api {action!r} is not found.", 404)
            body = await request.body()
            _verify(beebot, request, body)
            if request.headers["x-acs-version"] != VERSION:
                raise Refusal("400", "Specified parameter Version is not valid.")
            answered = handler(SignedCall(beebot, action, _parameters(request, body), request_id))
        except Refusal as refusal:
            return error_answer(beebot.core, refusal, request_id)
        if isinstance(answered, Answer):
            return answered
        return Answer(beebot.core, {"RequestId": request_id, **answered}, fault=fault)

    return handle


def _verify(beebot: "Beebot", request: Request, body: bytes) -> None:
    scope = request.scope
    signed = SignedRequest(
        method=scope["method"],
        path=scope["raw_path"].decode("ascii").partition("?")[0],
        query=scope["query_string"].decode("ascii"),
        headers=tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]),
        body=body,
    )
    try:
        beebot.signatures.verify(signed)
    except SignatureRefusedError as refused:
        raise Refusal(refused.code, refused.message, refused.status) from None


def _parameters(request: Request, body: bytes) -> dict[str, str]:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    form = body.decode() if media_type == "application/x-www-form-urlencoded" else ""
    return {**request.query_params, **dict(parse_qsl(form, keep_blank_values=True))}


def _apply_for_stream_access_token(call: SignedCall) -> dict[str, Any]:
    token = call.beebot.new_token(call.get("AgentKey"))
    return {
        "AccessToken": token.access_token,
        "ChannelId": token.channel_id,
        "StreamSecret": token.stream_secret,
    }


def _chat(call: SignedCall) -> Answer:
    beebot, core = call.beebot, call.beebot.core
    robot, utterance, session_id = call.robot(), call.required("Utterance"), call.get("SessionId")
    _check_session_id(session_id)
    if len(utterance) > beebot.longest_utterance:
        raise invalid("Utterance", f"at most {beebot.longest_utterance} characters")
    _check_json(call.get("VendorParam"), "VendorParam", dict)
    perspective = _check_json(call.get("Perspective"), "Perspective", list)
    if len(perspective or ()) > MOST_PERSPECTIVES:
        raise invalid("Perspective", f"at most {MOST_PERSPECTIVES} codes")
    _check_boolean(call.get("SandBox"))
    turn = beebot.take_turn("/Chat", utterance)
    if turn.fault and turn.fault.instead_of_answer:
        return refuse(core, turn.fault, call.request_id)
    if turn.fault and turn.fault.kind == "error_event":
        raise scripted(turn.fault)
    session = beebot.session(robot, session_id)
    reply = beebot.answer(session, utterance, turn)
    message_id = beebot.new_uuid("message")
    session.message_ids.append(message_id)
    body = {
        "RequestId": call.request_id,
        "SessionId": session.session_id,
        "MessageId": message_id,
        "QuerySegList": pieces(utterance),
        "Messages": rpc_messages(reply),
        **(reply.body or {}),
    }
    return Answer(core, body, fault=turn.fault)


def _begin_session(call: SignedCall) -> dict[str, Any]:
    robot, session_id = call.robot(), call.get("SessionId")
    _check_session_id(session_id)
    _check_json(call.get("VendorParam"), "VendorParam", dict)
    _check_boolean(call.get("SandBox"))
    if session_id:
        call.beebot.session(robot, session_id)
    return {
        "WelcomeMessage": robot.welcome,
        "SilenceReplyTimeout": 10,
        "Interruptible": True,
        "AsrMaxEndSilence": 800,
    }


def _associate(call: SignedCall) -> dict[str, Any]:
    call.robot()
    utterance, session_id = call.required("Utterance"), call.get("SessionId")
    limit = call.get("RecommendNum") or "5"
    if not limit.isdigit() or not 1 <= int(limit) <= 10:
        raise invalid("RecommendNum", "1 to 10")
    _check_json(call.get("Perspective"), "Perspective", list)
    return {
        "Associate": beebot_texts.suggestions(utterance, int(limit)),
        "MessageId": call.beebot.new_uuid("message"),
        "SessionId": session_id or call.beebot.new_id("session"),
    }


def _feedback(call: SignedCall) -> dict[str, Any]:
    robot, message_id, rating = call.robot(), call.required("MessageId"), call.required("Feedback")
    if rating not in ("good", "bad"):
        raise invalid("Feedback", "good or bad")
    if not any(
        message_id in each.message_ids
        for (owner, _), each in call.beebot.sessions.items()
        if owner == robot.instance_id
    ):
        raise invalid("MessageId", "this robot has given no such answer")
    call.beebot.feedback.append(call.parameters)
    return {"MessageId": message_id, "Feedback": rating}


def _cancel_chat(call: SignedCall) -> dict[str, Any]:
    robot, session_id, chat_id = call.robot(), call.required("SessionId"), call.required("ChatId")
    if call.required("Type") != "Canceled":
        raise invalid("Type", "Canceled")
    session = call.beebot.sessions.get((robot.instance_id, session_id))
    call.beebot.cancelled.append(call.parameters)
    return {"CancelResult": session is not None and chat_id in session.message_ids}


ACTIONS: Mapping[str, Callable[[SignedCall], dict[str, Any] | Answer]] = {
    "ApplyForStreamAccessToken": _apply_for_stream_access_token,
    "Chat": _chat,
    "BeginSession": _begin_session,
    "Associate": _associate,
    "Feedback": _feedback,
    "CancelChat": _cancel_chat,
}


def _check_session_id(session_id: str | None) -> None:
    if session_id and len(session_id) > LONGEST_SESSION_ID:
        raise invalid("SessionId", f"at most {LONGEST_SESSION_ID} characters")


def _check_json(text: str | None, name: str, kind: type) -> Any:
    """Read a parameter that is a structure, sent as JSON text."""
    if text is None:
        return None
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, kind):
        raise invalid(name, f"it must be JSON text of {'an object' if kind is dict else 'an array'}")
    return value


def _check_boolean(text: str | None) -> None:
    """The vendor's SDK sends Python's spelling, the documents show JSON's."""
    if text is not None and text.lower() not in ("true", "false"):
        raise invalid("SandBox", "true or false")
