"""Group chat, and who speaks next in it."""

from typing import TYPE_CHECKING, Any

from xingchen_core.emulator import xingchen_texts as texts
from xingchen_core.emulator._wire import Answer, EventStream
from xingchen_core.emulator.xingchen_checks import check_group
from xingchen_core.emulator.xingchen_errors import refuse
from xingchen_core.emulator.xingchen_generation import basic_context, check_free, generate, respond, take_turn, usage

if TYPE_CHECKING:
    from xingchen_core.emulator.xingchen import Call


def send(call: "Call") -> Answer | EventStream:
    """`POST /v2/api/groupchat/send`, sync and streaming. No platform history."""
    check_group(call.body, streaming=call.streaming)
    aca, messages = call.body["input"]["aca"], call.body["input"]["messages"]
    personas = _personas(call)
    name = aca.get("replySetting", {}).get("botName") or _next(list(personas), messages)
    check_free(call)
    turn = take_turn(call, messages)
    if turn.fault and turn.fault.instead_of_answer:
        return refuse(call.xingchen.core, turn.fault, call.request_id)
    call.xingchen.prompts.append(messages)
    answers = generate(call, turn.reply, personas[name], messages, speaker=name)
    extras = [aca["botProfiles"], aca.get("replySetting"), aca.get("groupInfo")]
    spent = usage(personas[name].text, messages, extras, answers)
    return respond(call, answers, turn, spent, lambda _: basic_context(call), lambda _: None)


def next_speaker(call: "Call") -> dict[str, Any]:
    """`POST /v2/api/groupchat/nextSpeaker`"""
    body = call.body
    aca: Any = body.get("input", {}).get("aca") if isinstance(body.get("input"), dict) else None
    if isinstance(aca, dict):
        aca.pop("replySetting", None)  # it has no meaning here, whatever it says
    check_group(body, streaming=False)
    messages = body["input"]["messages"]
    name = _next(list(_personas(call)), messages)
    said = str(messages[-1].get("content", ""))
    thought = f"听到「{said}」，轮到{name}接话了"
    return {
        "name": name,
        "thought": thought,
        "usage": {
            "inputTokens": texts.count_prompt([str(message.get("content", "")) for message in messages]),
            "outputTokens": texts.tokens(name + thought),
        },
        "context": basic_context(call),
    }


def _personas(call: "Call") -> dict[str, texts.Persona]:
    """The members by name; a stored one brings its own persona, the request's task and traits come on top."""
    personas = {}
    for profile in call.body["input"]["aca"]["botProfiles"]:
        described = " ".join(str(profile.get(name, "")) for name in ("content", "traits", "task"))
        if character_id := profile.get("characterId"):
            stored = call.xingchen.characters.to_chat(call.account, character_id, profile.get("version"))
            described = f"{stored['basicInformation']} {described}"
        personas[profile["name"]] = texts.Persona(profile["name"], described)
    return personas


def _next(names: list[str], messages: list[dict[str, Any]]) -> str:
    """Who was spoken to; else the one after the last to speak."""
    said = str(messages[-1].get("content", ""))
    speakers = [message.get("name") for message in messages if message["role"] == "assistant"]
    for name in names:
        if name in said and name != messages[-1].get("name"):
            return name
    last = speakers[-1] if speakers else None
    return names[(names.index(last) + 1) % len(names)] if last in names else names[0]
