"""Adding to the memory library, at once or in the background: `/api/v2/apps/memory/add`, `add-async`, `events`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xingchen_core.emulator.bailian_errors import Refusal
from xingchen_core.emulator.bailian_knowledge_gateway import KeyCall
from xingchen_core.emulator.bailian_memory_profiles import schema_of
from xingchen_core.emulator.bailian_memory_store import Event, Project, Schema

MOST_MESSAGES = 50
MOST_CHARACTERS = 512


def user_of(call: KeyCall) -> str:
    """The owner that a call names."""
    if not call.body.text("user_id", ""):
        raise Refusal("MissingParameter", "Required parameter user_id is missing.", 400)
    return call.body.text("user_id", most=64)


def messages_of(call: KeyCall, roles: Sequence[str]) -> list[Mapping[str, Any]]:
    """Checked messages."""
    messages = call.body.array("messages")
    if len(messages) > MOST_MESSAGES:
        raise Refusal("InvalidParameter", f"messages must have at most {MOST_MESSAGES} entries.", 400)
    for each in messages:
        if not isinstance(each, dict) or each.get("role") not in roles:
            raise Refusal("InvalidParameter", f"messages: role must be one of {', '.join(roles)}.", 400)
    return messages


@dataclass(frozen=True)
class _Add:
    user_id: str
    library_id: str
    content: str
    messages: list[Mapping[str, Any]]
    schema: Schema | None
    meta_data: dict[str, Any]
    timestamp: int | None


def _read(call: KeyCall, roles: Sequence[str]) -> _Add:
    body, memory = call.body, call.bailian.memory
    user_id, content = user_of(call), body.text("custom_content", "", most=MOST_CHARACTERS)
    # With custom content, messages are not even looked at.
    messages = [] if content else messages_of(call, roles)
    if not content and not messages:
        raise Refusal("MissingParameter", "Either messages or custom_content is required.", 400)
    library_id = memory.library(body.text("memory_library_id", "", most=32))
    schema_id = body.text("profile_schema", "")
    return _Add(
        user_id,
        library_id,
        content,
        messages,
        schema_of(memory, schema_id, library_id) if schema_id else None,
        body.object("meta_data") or {},
        body.integer("timestamp", 0, 0) if "timestamp" in body else None,
    )


def add(call: KeyCall) -> dict[str, Any]:
    """`POST /add`."""
    memory, given = call.bailian.memory, _read(call, ("user", "assistant"))
    project = memory.project(call.body.text("project_id", ""), given.library_id)
    if given.content:
        return {"memory_nodes": _store(call, given, project)}
    events = memory.learn(given.user_id, given.messages, project, given.meta_data, given.timestamp)
    if given.schema:
        memory.fill_profile(given.user_id, given.messages, given.schema)
    return {"memory_nodes": events}


def _store(call: KeyCall, given: _Add, project: Project) -> list[dict[str, Any]]:
    skill = {name: call.body.values.get(f"skill_{name}") for name in ("name", "description", "tags")}
    if project.memory_type == "skill" and not all(skill.values()):
        raise Refusal("MissingParameter", "skill_name, skill_description and skill_tags are required.", 400)
    node = call.bailian.memory.add(
        given.user_id,
        given.content,
        project=project,
        meta_data=given.meta_data,
        timestamp=given.timestamp,
        skill=skill,
    )
    return [{"memory_node_id": node.node_id, "content": node.content, "event": "ADD"}]


def add_async(call: KeyCall) -> dict[str, Any]:
    """`POST /add-async`."""
    memory, body = call.bailian.memory, call.body
    given = _read(call, ("user", "assistant", "tool"))
    named = body.texts("project_ids")
    if named and given.content:
        raise Refusal(
            "InvalidParameter",
            "custom_content can only be bound to one project, project_ids is not supported when custom_content is "
            "provided.",
            400,
        )
    if named and body.text("project_id", ""):
        raise Refusal("MutuallyExclusiveParams", "project_id and project_ids are mutually exclusive.", 400)
    if len(named) > 5:
        raise Refusal("InvalidParameter", "project_ids must have at most 5 entries.", 400)
    only_profile = body.text("extract_mode", "") == "profile_only"
    if only_profile and (given.content or not given.schema):
        raise Refusal("MissingParameter", "profile_only needs profile_schema and messages.", 400)
    projects = [memory.project(each, given.library_id) for each in named or [body.text("project_id", "")]]
    if given.content:
        _check_skill(call, projects[0])
    resources: list[tuple[str, str]] = []
    works: list[Callable[[], list[dict[str, Any]]]] = []
    for project in [] if only_profile else projects:
        resources.append(
            (f"custom_{project.memory_type}" if given.content else project.memory_type, project.project_id)
        )
        works.append(_work(call, given, project))
    if given.schema and not given.content:
        schema = given.schema
        resources.append(("user_profile", schema.schema_id))
        works.append(lambda: memory.fill_profile(given.user_id, given.messages, schema))
    now = int(memory.now)
    event_id = "evt-" + call.bailian.new_id("event")[:12]
    event = Event(event_id, given.user_id, given.library_id, resources, None, now, now)
    memory.start(event, lambda: [work() for work in works])
    return {"event_id": event.event_id, "events": _entries(event)}


def _work(call: KeyCall, given: _Add, project: Project) -> Callable[[], list[dict[str, Any]]]:
    def work() -> list[dict[str, Any]]:
        if given.content:
            events = _store(call, given, project)
        else:
            memory = call.bailian.memory
            events = memory.learn(given.user_id, given.messages, project, given.meta_data, given.timestamp)
        return [{"memory_type": project.memory_type, **each} for each in events]

    return work


def _check_skill(call: KeyCall, project: Project) -> None:
    named = all(call.body.values.get(f"skill_{name}") for name in ("name", "description", "tags"))
    if project.memory_type == "skill" and not named:
        raise Refusal("MissingParameter", "skill_name, skill_description and skill_tags are required.", 400)


def _entries(event: Event) -> list[dict[str, Any]]:
    results = event.results or [[] for _ in event.resources]
    return [
        {
            "event_id": event.event_id,
            "event_type": "ADD_ASYNC",
            "resource_type": kind,
            "resource_id": resource_id,
            "memory_library_id": event.library_id,
            "user_id": event.user_id,
            "status": event.status,
            "result": result,
            **({"detail": event.detail} if event.detail else {}),
            "created_at": event.created_at,
            "updated_at": event.updated_at,
        }
        for (kind, resource_id), result in zip(event.resources, results, strict=True)
    ]


def get_event(call: KeyCall) -> dict[str, Any]:
    """`GET /events/{event_id}`."""
    event = call.bailian.memory.events.get(call.path("event_id"))
    if event is None:
        raise Refusal("NotFound", "The specified event does not exist.", 404)
    call.bailian.memory.look(event)
    return {"event_id": event.event_id, "events": _entries(event)}
