"""Chat with a character: `POST /v2/api/chat/send`, `/v2/api/groupchat/send`, `/v2/api/chat/stop`.

Source: Xingchen HTTP API, "platform character chat", "custom character chat", "group chat", streaming. What comes back
is read in `replies.py`.
"""

import secrets
import uuid
from collections.abc import Sequence
from typing import Any

from xingchen_core._call import Call, StreamCall
from xingchen_core._errors import ConfigurationError, UnsupportedOperationError
from xingchen_core.characters._service import XINGCHEN
from xingchen_core.characters._wire import given
from xingchen_core.characters.models import ChatRequest, GroupChat, Scenario, wire_message
from xingchen_core.characters.replies import ChatReader, read_reply
from xingchen_core.chat import ChatDelta, ChatReply, Message, join_roles


def fresh_user_id() -> str:
    """Return a user id nobody else has and nobody can guess."""
    return uuid.uuid4().hex


def chat(request: ChatRequest) -> Call[ChatReply]:
    """Ask for a whole answer. `request.n` may ask for several."""
    path, route = _endpoint(request)
    return Call(
        service=XINGCHEN,
        path=path,
        headers=_headers(route, request),
        json=_payload(request, stream=False),
        remembered=request.platform_history,
        lock=_lock(request),
        parse=lambda body: read_reply(body["data"], request),
        by_account=lambda account: lambda body: read_reply(body["data"], request, account),
    )


def stream_chat(request: ChatRequest, *, stop_on_close: bool = False) -> StreamCall[ChatDelta]:
    """Ask for an answer as it is made.

    With `stop_on_close` a stream left early is followed by the stop call, since closing the connection is not
    documented to end generation.

    Raises:
        UnsupportedOperationError: `request.n` is more than 1.
    """
    if request.n > 1:
        raise UnsupportedOperationError("The service streams one answer only: use n=1, or a call that does not stream.")
    path, route = _endpoint(request)
    return StreamCall(
        service=XINGCHEN,
        path=path,
        headers={**_headers(f"{route}-sse", request), "X-AcA-SSE": "enable"},
        json=_payload(request, stream=True),
        remembered=request.platform_history,
        lock=_lock(request),
        reader=lambda: ChatReader(request),
        by_account=lambda account: lambda: ChatReader(request, account),
        on_abandon=_stop_abandoned if stop_on_close else None,
    )


def stop_generation(request_id: str, shown_text: str) -> Call[bool]:
    """End a running answer. `shown_text` is what the platform keeps as the answer (UNVERIFIED beyond its name)."""
    return Call(
        service=XINGCHEN,
        path="/v2/api/chat/stop",
        headers={"x-fag-servicename": "aca-chat-stop"},
        json={"requestId": request_id, "content": shown_text},
        parse=lambda body: bool(body["data"]),
    )


def _stop_abandoned(reader: "ChatReader") -> Call[bool] | None:
    return stop_generation(reader.request_id, reader.text) if reader.request_id else None


def _endpoint(request: ChatRequest) -> tuple[str, str]:
    if request.group is not None:
        return "/v2/api/groupchat/send", "aca-groupchat-send"
    return "/v2/api/chat/send", "aca-chat-send"


def _lock(request: ChatRequest) -> str | None:
    """One chat at a time per user where the platform keeps the history: two at once would interleave in it."""
    return f"xingchen:{request.character_id}:{request.user_id}" if request.platform_history else None


def _headers(route: str, request: ChatRequest) -> dict[str, str]:
    headers = {"x-fag-servicename": route}
    if request.data_inspection is not None:
        headers["X-AcA-DataInspection"] = "enable" if request.data_inspection else "disable"
    return headers


def _payload(request: ChatRequest, *, stream: bool) -> dict[str, Any]:
    system, messages = _split_system(request.messages)
    parameters = given(
        topP=request.top_p,
        topK=request.top_k,
        temperature=request.temperature,
        maxLength=request.max_tokens,
        minLength=request.min_tokens,
    )
    # The default model repeats itself for a repeated seed, so every call gets its own.
    parameters["seed"] = secrets.randbits(31) if request.seed is None else request.seed
    if stream:
        parameters["incrementalOutput"] = request.incremental_output
    parameters.update(request.model_kwargs)
    return given(
        model=request.model,
        parameters=parameters,
        input={"messages": [wire_message(m) for m in _turns(messages, request)], "aca": _aca(request, system)},
    )


def group_body(request: ChatRequest) -> dict[str, Any]:
    """Return the body that asks about a group chat without asking for an answer."""
    return _payload(request, stream=False)


def _split_system(messages: Sequence[Message]) -> tuple[str, list[Message]]:
    system = "\n".join(m.content for m in messages if m.role == "system" and m.content)
    return system, [m for m in messages if m.role != "system"]


def _turns(messages: list[Message], request: ChatRequest) -> list[Message]:
    """Return the messages as the service accepts them.

    Raises:
        ConfigurationError: There is nothing for the character to answer.
    """
    if request.regenerate and request.platform_history:
        return messages[-1:]  # required by the schema, ignored by the service
    if not messages or (messages[-1].role == "assistant" and request.group is None):
        raise ConfigurationError("The last message must be the user's (or a function's result): add one.")
    if request.platform_history:
        return _newest(messages)
    return messages if request.group is not None else join_roles(messages)


def _newest(messages: list[Message]) -> list[Message]:
    """Return the newest user message, with the function calls and results that came of it.

    Whether the platform has kept a question that led to a function call is UNVERIFIED: it is sent with the results.
    """
    return messages[max((at for at, message in enumerate(messages) if message.role == "user"), default=0) :]


def _aca(request: ChatRequest, system: str) -> dict[str, Any]:
    scenario = request.scenario.wire() if isinstance(request.scenario, Scenario) else {}
    aca: dict[str, Any] = {}
    if request.group is not None:
        aca |= _group(request.group)
    else:
        aca["botProfile"] = _bot_profile(request, system)
    if system and request.character is None:
        scenario["description"] = "\n".join(filter(None, [scenario.get("description"), system]))
    aca |= given(
        userProfile=given(userId=request.user_id, userName=request.user_name, basicInfo=request.user_info),
        scenario=scenario or None,
        sampleMessages=[wire_message(m) for m in request.sample_messages] if request.sample_messages else None,
        memory=request.memory.wire() if request.memory else None,
        advancedSettings=_advanced_settings(request) or None,
        platformPlugins=[p.wire() for p in request.platform_plugins] if request.platform_plugins else None,
        functionList=[f.wire() for f in request.functions] if request.functions else None,
        functionChoice=_function_choice(request.function_choice) if request.functions else None,
    )
    if request.group is None:
        aca["context"] = _context(request)
    return aca


def _bot_profile(request: ChatRequest, system: str) -> dict[str, Any]:
    if request.character is None:
        return given(characterId=request.character_id, version=request.version, type=request.character_type)
    profile = request.character.wire()
    if system:
        profile["content"] = f"{profile['content']}\n{system}"
    return profile


def _group(group: GroupChat) -> dict[str, Any]:
    aca: dict[str, Any] = {
        "botProfiles": [member.wire() for member in group.members],
        "groupInfo": given(name=group.name, description=group.description),
    }
    if group.speaker is not None:
        aca["replySetting"] = given(botName=group.speaker, thought=group.thought)
    return aca


def _advanced_settings(request: ChatRequest) -> dict[str, Any]:
    return given(
        enableWebSearch=request.enable_web_search,
        searchEnhancedKeyword=request.search_enhanced_keyword,
        enableCharacterKbSearch=True if request.knowledge_base_ids else None,
        knowledgeBases=request.knowledge_base_ids or None,
        enableLongTermMemory=request.enable_long_term_memory,
    )


def _function_choice(choice: str | None) -> dict[str, Any] | None:
    if choice is None or choice in ("auto", "none"):
        return None if choice is None else {"type": choice}
    return {"type": "specific", "names": [choice]}


def _context(request: ChatRequest) -> dict[str, Any]:
    return given(
        useChatHistory=request.platform_history,  # always sent: the service's default is to keep history
        isRegenerate=True if request.regenerate else None,
        queryId=request.query_id,
        answerId=request.answer_id,
        resultCount=request.n if request.n > 1 else None,
    )
