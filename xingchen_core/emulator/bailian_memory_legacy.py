"""The older long-term memory, by signed calls: memory bodies and their nodes, what applications remember included."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from xingchen_core.emulator.bailian_errors import Refusal
from xingchen_core.emulator.bailian_files_routes import page
from xingchen_core.emulator.bailian_memory_store import MemoryBody
from xingchen_core.emulator.bailian_openapi import Action, SignedCall

if TYPE_CHECKING:
    from xingchen_core.emulator.bailian import Bailian


def refresh(bailian: "Bailian", body: MemoryBody) -> None:
    """Takes in what applications have stored under this id since."""
    facts = bailian.memories.setdefault(body.memory_id, [])
    for fact in facts:
        if fact not in body.nodes.values():
            body.nodes[bailian.new_id("memory-node")] = fact


def _write_back(call: SignedCall, body: MemoryBody) -> None:
    call.bailian.memories[body.memory_id] = list(body.nodes.values())


def _body(call: SignedCall) -> MemoryBody:
    memory_id = call.path["memory_id"]
    body = call.bailian.memory.bodies.get(memory_id)
    if body is None or body.workspace != call.workspace:
        # What code and status the service has for it is UNVERIFIED.
        raise Refusal("Memory.NotFound", f"The memory {memory_id} does not exist.", 404)
    refresh(call.bailian, body)
    return body


def _node_id(call: SignedCall, body: MemoryBody) -> str:
    node_id = call.path["node_id"]
    if node_id not in body.nodes:
        raise Refusal("MemoryNode.NotFound", f"The memory node {node_id} does not exist.", 404)
    return node_id


def _create(call: SignedCall) -> dict[str, Any]:
    memory_id = call.bailian.new_id("memory")
    description = call.fields.text("description", most=50)
    call.bailian.memory.bodies[memory_id] = MemoryBody(memory_id, description, call.workspace)
    return {"memoryId": memory_id}


def _get(call: SignedCall) -> dict[str, Any]:
    body = _body(call)
    return {"memoryId": body.memory_id, "description": body.description, "workspaceId": body.workspace}


def _update(call: SignedCall) -> dict[str, Any]:
    _body(call).description = call.fields.text("description", most=50)
    return {}


def _delete(call: SignedCall) -> dict[str, Any]:
    """Its nodes go with it."""
    memory_id = _body(call).memory_id
    del call.bailian.memory.bodies[memory_id]
    call.bailian.memories.pop(memory_id, None)
    return {}


def _listed(call: SignedCall, name: str, rows: list[dict[str, str]]) -> dict[str, Any]:
    size = call.fields.integer("maxResults", 10, 1, 50)
    shown, _, token = page(rows, call.fields, "maxResults", "nextToken", 10)
    return {name: shown, "maxResults": size, "nextToken": token, "totalCount": len(rows)}


def _list(call: SignedCall) -> dict[str, Any]:
    mine = [each for each in call.bailian.memory.bodies.values() if each.workspace == call.workspace]
    rows = [{"memoryId": each.memory_id, "description": each.description} for each in mine]
    return {**_listed(call, "memories", rows), "workspaceId": call.workspace}


def _create_node(call: SignedCall) -> dict[str, Any]:
    body, node_id = _body(call), call.bailian.new_id("memory-node")
    body.nodes[node_id] = call.fields.text("content", most=200)
    _write_back(call, body)
    return {"memoryNodeId": node_id}


def _get_node(call: SignedCall) -> dict[str, Any]:
    body = _body(call)
    node_id = _node_id(call, body)
    shown = {"content": body.nodes[node_id], "memoryId": body.memory_id, "memoryNodeId": node_id}
    return {**shown, "workspaceId": body.workspace}


def _update_node(call: SignedCall) -> dict[str, Any]:
    body = _body(call)
    body.nodes[_node_id(call, body)] = call.fields.text("content", most=200)
    _write_back(call, body)
    return {}


def _delete_node(call: SignedCall) -> dict[str, Any]:
    body = _body(call)
    del body.nodes[_node_id(call, body)]
    _write_back(call, body)
    return {}


def _list_nodes(call: SignedCall) -> dict[str, Any]:
    rows = [{"memoryNodeId": node_id, "content": content} for node_id, content in _body(call).nodes.items()]
    return _listed(call, "memoryNodes", rows)


_MEMORY = "/memories/{memory_id}"
_NODE = _MEMORY + "/memoryNodes/{node_id}"
ACTIONS: Mapping[str, Action] = {
    "CreateMemory": Action("POST", "/memories", _create, memory=True),
    "GetMemory": Action("GET", _MEMORY, _get, memory=True),
    "UpdateMemory": Action("PUT", _MEMORY, _update, memory=True),
    "DeleteMemory": Action("DELETE", _MEMORY, _delete, memory=True),
    "ListMemories": Action("GET", "/memories", _list, memory=True),
    "CreateMemoryNode": Action("POST", _MEMORY + "/memoryNodes", _create_node, memory=True),
    "GetMemoryNode": Action("GET", _NODE, _get_node, memory=True),
    "UpdateMemoryNode": Action("PUT", _NODE, _update_node, memory=True),
    "DeleteMemoryNode": Action("DELETE", _NODE, _delete_node, memory=True),
    "ListMemoryNodes": Action("GET", _MEMORY + "/memoryNodes", _list_nodes, memory=True),
}
