"""Retrieval services: drafts that are published, `/api/v1/indices/rag/app/...`.

Only what the documents tell of: ids under `data`, what a deployment says at the top.
"""

from collections.abc import Callable, Mapping
from typing import Any

from xingchen_core.emulator.bailian_knowledge import SearchService
from xingchen_core.emulator.bailian_knowledge_fields import Fields, invalid
from xingchen_core.emulator.bailian_knowledge_gateway import RAG, Dialect, KeyCall


def respond(call: KeyCall) -> Any:
    """One action, named by the end of the path."""
    action = ACTIONS.get(call.path("action"))
    if action is None:
        raise invalid("no such action", "InvalidURL", 404)
    return action(call)


def _bound(config: Mapping[str, Any]) -> list[str]:
    """The bases a configuration names. Its inner shape is not described: any list of ids or of objects with one."""
    named = config.get("index_ids") or config.get("pipeline_ids") or config.get("kb_configs") or []
    return [each["id"] if isinstance(each, dict) else str(each) for each in named]


def _write(call: KeyCall, service: SearchService) -> SearchService:
    config = call.body.object("agent_config")
    if config is not None:
        if flag := next((name for name, value in config.items() if isinstance(value, bool)), None):
            raise invalid(f"agent_config.{flag} must be the string 'true' or 'false'")
        service.config, service.index_ids = config, _bound(config)
        for index_id in service.index_ids:
            call.bailian.knowledge.index(index_id, call.workspace)
    service.name = call.body.text("agent_name", service.name)
    service.scene = call.body.text("agent_scene", service.scene)
    if service.scene not in ("search", "chat"):
        raise invalid("agent_scene must be search or chat")
    return service


def _create(call: KeyCall) -> dict[str, Any]:
    knowledge = call.bailian.knowledge
    agent_id = "aid-" + call.bailian.new_id("service")[:16]
    service = _write(call, SearchService(agent_id, "", [], call.workspace))
    knowledge.services[agent_id] = service
    return {"agent_id": agent_id, "agent_version": "beta"}


def _service(call: KeyCall) -> SearchService:
    agent_id = call.body.text("agent_id")
    service = call.bailian.knowledge.services.get(agent_id)
    if service is None or service.workspace != call.workspace:
        raise invalid(f"agent not exist: {agent_id}")
    return service


def _update(call: KeyCall) -> dict[str, Any]:
    return {"agent_id": _write(call, _service(call)).agent_id}


def _deploy(call: KeyCall) -> dict[str, Any]:
    service = _service(call)
    service.published += 1
    return {"agent_id": service.agent_id}


def _delete(call: KeyCall) -> bool:
    del call.bailian.knowledge.services[_service(call).agent_id]
    return True


def _get(call: KeyCall) -> dict[str, Any]:
    return _shown(_service(call))


def _list(call: KeyCall) -> dict[str, Any]:
    rows = [_shown(each) for each in call.bailian.knowledge.services.values() if each.workspace == call.workspace]
    return {"total_count": len(rows), "rows": rows}


def _copy(call: KeyCall) -> dict[str, Any]:
    old = _service(call)
    agent_id = "aid-" + call.bailian.new_id("service")[:16]
    copy = SearchService(agent_id, old.name, list(old.index_ids), old.workspace, old.scene, dict(old.config))
    call.bailian.knowledge.services[agent_id] = copy
    return {"agent_id": agent_id, "agent_version": "beta"}


def _shown(service: SearchService) -> dict[str, Any]:
    return {
        "agent_id": service.agent_id,
        "agent_name": service.name,
        "agent_scene": service.scene,
        "agent_version": str(service.published or "beta"),
        "agent_config": service.config,
    }


ACTIONS: Mapping[str, Callable[[KeyCall], Any]] = {
    "create": _create,
    "update": _update,
    "deploy": _deploy,
    "delete": _delete,
    "get": _get,
    "list": _list,
    "copy": _copy,
}


def _wrap(call: KeyCall, data: Any) -> dict[str, Any]:
    body = RAG.wrap(call, data)
    if call.path("action") == "deploy":
        service = call.bailian.knowledge.services[Fields(data).text("agent_id")]
        body.update({"agent_version": str(service.published), "agent_status": "published"})
    return body


SERVICES = Dialect(_wrap, RAG.refuse, RAG.codes)
"""Like the other management calls, but a deployment tells its version at the top level."""
