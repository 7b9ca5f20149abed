"""What is asked of an application: the request, checked, with the conversation it goes on with."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from xingchen_core.emulator.bailian_call import Call
from xingchen_core.emulator.bailian_errors import Refusal, invalid

if TYPE_CHECKING:
    from xingchen_core.emulator.bailian import App, Session

LONGEST_LISTS = {"pipeline_ids": 5, "file_ids": 5, "session_file_ids": 10}
MOST_VARIABLES = {"user_prompt_params": 10, "user_defined_params": 10}
FLOW_STREAM_MODES = ("full_thoughts", "message_format", "message_format_plus", "agent_format")


@dataclass
class Question:
    """A checked request."""

    app: "App"
    session: "Session"
    said: str
    earlier: list[str]
    remembers: bool
    """Whether the session keeps this turn."""
    input: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def incremental(self) -> bool:
        """Whether events carry pieces instead of all so far."""
        return self.parameters.get("incremental_output") is True

    @property
    def has_thoughts(self) -> bool:
        """Whether thoughts are shown."""
        return self.parameters.get("has_thoughts") is True


def read_question(call: Call) -> Question:
    """The question of a request; refuses what the service refuses."""
    bailian = call.bailian
    app = bailian.apps.get(call.request.path_params["app_id"])
    if app is None:
        raise Refusal("App.AccessDenied")
    call.check_workspace(app.workspace)
    given = call.body.get("input")
    if not given:
        raise Refusal("BadRequest.EmptyInput")
    parameters = call.body.get("parameters")
    if parameters is None:
        if bailian.core.strict:
            raise Refusal("BadRequest.EmptyParameters")
        parameters = {}
    if not isinstance(given, dict) or not isinstance(parameters, dict):
        raise Refusal("BadRequest.IllegalInput")
    _check_input(given)
    _check_parameters(parameters)
    messages = given.get("messages")
    if messages:
        users = [message["content"] for message in messages if message["role"] == "user"]
        return Question(app, _fresh(call, app), users[-1], users[:-1], False, given, parameters)
    keeps = app.kind != "workflow"
    session = bailian.session(app, given.get("session_id")) if keeps else _fresh(call, app)
    return Question(app, session, given["prompt"], [asked for asked, _ in session.turns], keeps, given, parameters)


def _fresh(call: Call, app: "App") -> "Session":
    """A session that nobody can go on with: its id is sent all the same."""
    session = call.bailian.session(app, None)
    del call.bailian.sessions[session.session_id]
    return session


def _check_input(given: Mapping[str, Any]) -> None:
    messages = given.get("messages")
    if messages is not None:
        _check_messages(messages)
    elif not isinstance(given.get("prompt"), str) or not given["prompt"]:
        raise invalid('Either "prompt" or "messages" must exist and cannot both be none')
    for name in ("session_id", "memory_id"):
        if not isinstance(given.get(name, ""), str):
            raise invalid(f"input.{name} must be a string.")
    for name in ("image_list", "file_list"):
        _strings(f"input.{name}", given.get(name, []))
    business = given.get("biz_params", {})
    if not isinstance(business, dict):
        raise invalid("input.biz_params must be an object.")
    for name, most in MOST_VARIABLES.items():
        given_here = business.get(name) or {}
        if not isinstance(given_here, dict) or len(given_here) > most:
            raise invalid(f"input.biz_params.{name} must be an object of at most {most} members.")


def _check_messages(messages: Any) -> None:
    if not isinstance(messages, list) or not messages:
        raise invalid("[] is too short - 'messages'")
    for message in messages:
        if not isinstance(message, dict) or message.get("role") not in ("system", "user", "assistant"):
            raise invalid("the role of a message must be system, user or assistant.")
        if not isinstance(message.get("content"), str):
            raise invalid("input content must be a string.")
    if messages[-1]["role"] != "user":
        raise invalid("the last message must be the user's.")


def _check_parameters(parameters: Mapping[str, Any]) -> None:
    for name in ("incremental_output", "has_thoughts", "enable_thinking", "enable_web_search", "enable_system_time"):
        if not isinstance(parameters.get(name, False), bool):
            raise invalid(f"parameters.{name} must be a boolean.")
    if parameters.get("flow_stream_mode", "full_thoughts") not in FLOW_STREAM_MODES:
        raise invalid(f"parameters.flow_stream_mode must be one of {', '.join(FLOW_STREAM_MODES)}.")
    options = parameters.get("rag_options", {})
    if not isinstance(options, dict):
        raise invalid("parameters.rag_options must be an object.")
    for name, most in LONGEST_LISTS.items():
        if len(_strings(f"rag_options.{name}", options.get(name, []))) > most:
            raise invalid(f"rag_options.{name} has more than {most} elements.")
    if not all(file_id.startswith("file_session_") for file_id in options.get("session_file_ids", [])):
        raise invalid("rag_options.session_file_ids must start with file_session_.")
    # A knowledge base has to be named for its files and filters to mean anything.
    if not options.get("pipeline_ids") and (options.get("file_ids") or options.get("metadata_filter")):
        raise invalid("rag_options.file_ids and metadata_filter need pipeline_ids.")


def _strings(name: str, value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise invalid(f"{name} must be an array of strings.")
    return value
