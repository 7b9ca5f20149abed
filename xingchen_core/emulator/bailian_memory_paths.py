"""Projects of the memory library, and the paths of everything in it: `/api/v2/apps/memory/...`."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from starlette.routing import Route

from xingchen_core.emulator import bailian_memory_adds as adds
from xingchen_core.emulator import bailian_memory_nodes as nodes
from xingchen_core.emulator import bailian_memory_profiles as profiles
from xingchen_core.emulator.bailian_errors import Refusal
from xingchen_core.emulator.bailian_knowledge_fields import Fields, invalid
from xingchen_core.emulator.bailian_knowledge_gateway import MEMORY, KeyCall, endpoint
from xingchen_core.emulator.bailian_memory_store import Project

if TYPE_CHECKING:
    from xingchen_core.emulator.bailian import Bailian

PREFIX = "/api/v2/apps/memory/"
_OPTIONS = ("plan_version", "instruction_type", "custom_instruction", "support_multi_modal", "extract_scene")


def _write(project: Project, body: Fields) -> Project:
    project.name = body.text("name", project.name, most=32)
    project.expired_in_days = body.integer("expired_in_days", project.expired_in_days, -1, 180)
    if project.expired_in_days == 0:
        raise invalid("expired_in_days must be 1 to 180, or -1.")
    project.auto_refresh = body.boolean("auto_refresh", default=project.auto_refresh)
    project.options.update({name: body.values[name] for name in _OPTIONS if name in body})
    if project.memory_type == "skill" and project.options.get("plan_version") == "lite":
        raise invalid("Skill project only supports plan_version pro.")
    return project


def create_project(call: KeyCall) -> dict[str, Any]:
    """`POST /memory_projects`. (Not in the public reference; nothing deletes a project.)"""
    memory, body = call.bailian.memory, call.body
    library_id, kind = memory.library(body.text("memory_library_id", "")), body.text("memory_type", "observation")
    if kind not in ("observation", "skill"):
        raise invalid("memory_type must be observation or skill.")
    project_id = "proj-" + call.bailian.new_id("project")[:12]
    project = Project(project_id, library_id, body.text("name", most=32), kind, options={"plan_version": "pro"})
    memory.projects[project_id] = _write(project, body)
    return {"project_id": project_id}


def list_projects(call: KeyCall) -> dict[str, Any]:
    """`GET /memory_projects`."""
    memory, query = call.bailian.memory, call.query
    library_id = memory.library(query.text("memory_library_id", ""))
    mine = [project for project in memory.projects.values() if project.library_id == library_id]
    number, size = query.integer("page_num", 1, 1), query.integer("page_size", 10, 1, 100)
    shown = [project.shown() for project in mine[(number - 1) * size : number * size]]
    return {"memory_projects": shown, "total": len(mine), "page_num": number, "page_size": size}


def _project(call: KeyCall) -> Project:
    project = call.bailian.memory.projects.get(call.path("project_id"))
    if project is None:
        raise Refusal("NotFound", "The specified project does not exist.", 404)
    return project


def get_project(call: KeyCall) -> dict[str, Any]:
    """`GET /memory_projects/{id}`."""
    return {"memory_project": _project(call).shown()}


def update_project(call: KeyCall) -> dict[str, Any]:
    """`PATCH /memory_projects/{id}`."""
    _write(_project(call), call.body)
    return {}


def routes(bailian: "Bailian") -> list[Route]:
    """All calls of the memory library; a slash too many at the end is a 404."""
    schema = "profile_schemas/{schema_id}"
    calls: dict[tuple[str, str], Callable[[KeyCall], Any]] = {
        ("POST", "add"): adds.add,
        ("POST", "add-async"): adds.add_async,
        ("GET", "events/{event_id}"): adds.get_event,
        ("POST", "memory_nodes/search"): nodes.search,
        ("GET", "memory_nodes"): nodes.list_nodes,
        ("GET", "memory_nodes/{node_id}"): nodes.get_node,
        ("PATCH", "memory_nodes/{node_id}"): nodes.update_node,
        ("DELETE", "memory_nodes/{node_id}"): nodes.delete_node,
        ("GET", "skill/export/{node_id}"): nodes.export_skill,
        ("DELETE", "entities/user/{user_id}"): nodes.forget_user,
        ("DELETE", "entities_profile/user/{user_id}"): profiles.forget,
        ("POST", "memory_projects"): create_project,
        ("GET", "memory_projects"): list_projects,
        ("GET", "memory_projects/{project_id}"): get_project,
        ("PATCH", "memory_projects/{project_id}"): update_project,
        ("POST", "profile_schemas"): profiles.create,
        ("GET", "profile_schemas"): profiles.list_schemas,
        ("GET", schema): profiles.get,
        ("PATCH", schema): profiles.update,
        ("DELETE", schema): profiles.delete,
        ("GET", schema + "/user_profile"): profiles.get_profile,
        ("PATCH", schema + "/profile_values"): profiles.change_value,
    }
    found = [Route(PREFIX + path, endpoint(bailian, to, MEMORY), methods=[how]) for (how, path), to in calls.items()]
    # Starlette would redirect a slash too many, and a method too many would get an empty 405.
    methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
    return [*found, Route(PREFIX + "{rest:path}", endpoint(bailian, _no_such_url, MEMORY), methods=methods)]


def _no_such_url(call: KeyCall) -> Any:
    raise Refusal("NotFound", f"No such URL: {call.request.method} {call.request.url.path}", 404)
