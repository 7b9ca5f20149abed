"""What the chat endpoints check in a request before they answer it."""

from collections.abc import Sequence
from typing import Any

from xingchen_core.emulator.xingchen_errors import invalid
from xingchen_core.emulator.xingchen_fields import member, objects, required_text, strings, text, whole

LARGEST_SEED = 2**63 - 1
ROLES = ("system", "user", "assistant", "function")
# "Custom character chat": user and assistant alternate; results stand between a function call and the next turn.
_MAY_FOLLOW = {
    None: ("user", "assistant"),
    "user": ("assistant",),
    "assistant": ("user", "function"),
    "function": ("function", "assistant", "user"),
}


def check_chat(body: dict[str, Any], *, streaming: bool) -> None:
    """Chat with one character."""
    _check_common(body, streaming=streaming)
    aca = body["input"]["aca"]
    stored = check_profile(member(body, "input.aca.botProfile", dict, required=True))
    if stored or "userProfile" in aca:
        required_text(body, "input.aca.userProfile.userId")

    platform_history = stored and (member(body, "input.aca.context.useChatHistory", bool) is not False)
    regenerates = member(body, "input.aca.context.isRegenerate", bool)
    query_id = text(body, "input.aca.context.queryId")
    text(body, "input.aca.context.answerId")
    if regenerates and platform_history:
        if not query_id:
            raise invalid("input.aca.context.queryId is required to regenerate with platform history")
        return  # the messages are not looked at
    messages = _messages(body)
    check_turns(messages)


def check_profile(profile: dict[str, Any]) -> bool:
    """True for a stored character, false for one described in the request."""
    whole(profile, "version", 1, 2**31 - 1)
    if text(profile, "characterId", where="botProfile."):
        return True
    required_text(profile, "name", where="botProfile.")
    required_text(profile, "content", where="botProfile.")
    return False


def check_group(body: dict[str, Any], *, streaming: bool) -> None:
    """Group chat, and the choice of its next speaker."""
    _check_common(body, streaming=streaming)
    profiles = objects(body, "input.aca.botProfiles", required=True)
    if len(profiles) > 10:
        raise invalid("input.aca.botProfiles must have 1..10 members")
    for profile in profiles:
        required_text(profile, "name", where="botProfiles[].")
        for name in ("characterId", "content", "traits", "task"):
            text(profile, name, where="botProfiles[].")
        whole(profile, "version", 1, 2**31 - 1)
    required_text(body, "input.aca.userProfile.userId")
    if member(body, "input.aca.groupInfo", dict):
        required_text(body, "input.aca.groupInfo.name")
    if member(body, "input.aca.replySetting", dict):
        name = required_text(body, "input.aca.replySetting.botName")
        if name not in [profile["name"] for profile in profiles]:
            raise invalid(f"input.aca.replySetting.botName {name!r} is not one of botProfiles")
    _messages(body)


def check_parameters(parameters: dict[str, Any], *, top_p: str = "topP") -> None:
    """Sampling parameters; `seed` and `temperature` have one name everywhere, `top_p` has two."""
    value = member(parameters, top_p, float)
    if value is not None and not 0 < value < 1:
        raise invalid(f"{top_p} must be greater than 0 and less than 1")
    temperature = member(parameters, "temperature", float)
    if temperature is not None and temperature < 0:
        raise invalid("temperature must not be negative")
    whole(parameters, "seed", 0, LARGEST_SEED)


def check_turns(messages: Sequence[dict[str, Any]]) -> None:
    """Users and assistants take turns, and the caller has the last word."""
    previous: str | None = None
    called = False
    for index, message in enumerate(messages):
        role = message["role"]
        if role == "system":
            if index:
                raise invalid("a system message must be the first message")
            continue
        if role not in _MAY_FOLLOW[previous] or (role == "function" and previous == "assistant" and not called):
            raise invalid(f"messages[{index}]: {role} must not follow {previous}; user and assistant must alternate")
        previous, called = role, "functionCall" in message
    if previous not in ("user", "function"):
        raise invalid("the last message must be the user's")


def _check_common(body: dict[str, Any], *, streaming: bool) -> None:
    text(body, "model")
    member(body, "input", dict, required=True)
    member(body, "input.aca", dict, required=True)
    parameters: dict[str, Any] = member(body, "parameters", dict) or {}
    check_parameters(parameters)
    whole(parameters, "maxLength", 1, 2**31 - 1)
    whole(parameters, "minLength", 0, 2**31 - 1)
    whole(parameters, "topK", 0, 2**31 - 1)
    member(parameters, "incrementalOutput", bool)
    count = whole(body, "input.aca.context.resultCount", 1, 100)
    if count is not None and count > 1 and streaming:
        raise invalid("input.aca.context.resultCount above 1 cannot be streamed")
    _check_functions(body)
    for plugin in objects(body, "input.aca.platformPlugins"):
        required_text(plugin, "name", where="platformPlugins[].")
    objects(body, "input.aca.sampleMessages")
    for name in ("context", "scenario", "memory", "advancedSettings", "userProfile"):
        member(body, f"input.aca.{name}", dict)
    strings(body, "input.aca.advancedSettings.knowledgeBases")


def _check_functions(body: dict[str, Any]) -> None:
    functions = objects(body, "input.aca.functionList")
    for function in functions:
        required_text(function, "name", where="functionList[].")
        text(function, "description", required=True, where="functionList[].")
        member(function, "parameters", dict, required=True, where="functionList[].")
    choice: dict[str, Any] = member(body, "input.aca.functionChoice", dict) or {}
    # The Go SDK calls the member functionChoiceType.
    kind = text(choice, "type") or text(choice, "functionChoiceType")
    if kind not in (None, "none", "auto", "specific"):
        raise invalid(f"input.aca.functionChoice.type must be none, auto or specific, not {kind!r}")
    names = strings(choice, "names")
    if kind == "specific" and not (names and names[0] in [function["name"] for function in functions]):
        raise invalid("input.aca.functionChoice.names must name a function of functionList")


def _messages(body: dict[str, Any]) -> list[dict[str, Any]]:
    messages = objects(body, "input.messages", required=True)
    if len(messages) > 10000:
        raise invalid("input.messages must have 1..10000 members")
    for message in messages:
        role = required_text(message, "role", where="messages[].")
        if role not in ROLES:
            raise invalid(f"messages[].role must be one of {', '.join(ROLES)}, not {role!r}")
        text(message, "name", where="messages[].")
        calls = member(message, "functionCall", dict, where="messages[].")
        if member(message, "content", str, required=calls is None, where="messages[].") is None:
            continue
        if not message["content"] and calls is None and role == "user":
            raise invalid("messages[].content must not be empty")
    return messages
