"""Finding, reading, changing and deleting memories. By its id, anybody's: no call asks whose it is."""

from typing import Any

from xingchen_core.emulator.bailian_errors import Refusal
from xingchen_core.emulator.bailian_knowledge_gateway import KeyCall
from xingchen_core.emulator.bailian_knowledge_scores import coverage, similarity, terms
from xingchen_core.emulator.bailian_memory_adds import MOST_CHARACTERS, messages_of, user_of
from xingchen_core.emulator.bailian_memory_extraction import text_of


def search(call: KeyCall) -> dict[str, Any]:
    """`POST /memory_nodes/search`. The query is the last thing a user said; `pro` scores as a reranker would."""
    memory, body = call.bailian.memory, call.body
    user_id, messages = user_of(call), messages_of(call, ("user", "assistant"))
    if not messages:
        raise Refusal("MissingParameter", "Required parameter messages is missing.", 400)
    top_k = body.integer("top_k", 10, 1, 100)
    try:
        min_score = body.number("min_score", 0.3, 0.0, 1.0)
    except Refusal:
        told = "Required parameter min_score must be between 0 and 1.0"
        raise Refusal("InvalidParameter", f"{told}, but got {body.values['min_score']}.", 400) from None
    plan = body.text("plan_version", "" if body.boolean("enable_rerank", default=True) else "lite") or "pro"
    if plan not in ("pro", "lite"):
        raise Refusal("InvalidParameter", "plan_version must be pro or lite.", 400)
    kinds = body.texts("memory_types") or body.texts("memory_type") or ["observation"]
    library_id = memory.library(body.text("memory_library_id", ""))
    named = body.texts("project_ids") or [body.text("project_id", "")]
    projects = [memory.project(each, library_id) for each in named]
    memory.look()
    said = [text_of(message) for message in messages if message.get("role") == "user"]
    wanted = terms(said[-1] if said else "")
    score = coverage if plan == "pro" else similarity
    found = [
        (score(wanted, terms(node.content)), node)
        for node in memory.visible(user_id, projects)
        if node.memory_type in kinds and memory.now >= node.seen_from
    ]
    best = sorted((pair for pair in found if pair[0] >= min_score), key=lambda pair: -pair[0])[:top_k]
    return {"plan_version": plan, "memory_nodes": [{**node.shown(), "score": points} for points, node in best]}


def list_nodes(call: KeyCall) -> dict[str, Any]:
    """`GET /memory_nodes`: of one project; without one, of the default project. Nobody's list is empty."""
    memory, query = call.bailian.memory, call.query
    if not query.text("user_id", ""):
        raise Refusal("MissingParameter", "Required parameter user_id is missing.", 400)
    library_id = memory.library(query.text("memory_library_id", ""))
    project = memory.project(query.text("project_id", ""), library_id)
    memory.look()
    found = memory.visible(query.text("user_id", most=64), [project])
    # 100 have been accepted; the most there may be is UNVERIFIED.
    number, size = query.integer("page_num", 1, 1), query.integer("page_size", 10, 1, 100)
    shown = [node.shown() for node in found[(number - 1) * size : number * size]]
    return {"memory_nodes": shown, "total": len(found), "page_num": number, "page_size": size}


def get_node(call: KeyCall) -> dict[str, Any]:
    """`GET /memory_nodes/{id}`: deleted ones too."""
    node = call.bailian.memory.node(call.path("node_id"), call.query.text("memory_library_id", ""))
    return {"memory_node": {**node.shown(), "media_urls": []}}


def update_node(call: KeyCall) -> dict[str, Any]:
    """`PATCH /memory_nodes/{id}`: the content is replaced, metadata is merged. `user_id` is not looked at."""
    body = call.body
    node = call.bailian.memory.node(call.path("node_id"), body.text("memory_library_id", ""))
    if not body.text("custom_content", ""):
        raise Refusal("MissingParameter", "Required parameter custom_content is missing.", 400)
    content, meta_data = body.text("custom_content", most=MOST_CHARACTERS), body.object("meta_data") or {}
    timestamp = body.integer("timestamp", 0, 0) if "timestamp" in body else None
    if node.status != "valid":  # what the service does then is UNVERIFIED
        raise Refusal("NotFound", f"The specified memory node {node.node_id} does not exist.", 404)
    call.bailian.memory.rewrite(node, content, meta_data, timestamp)
    return {}


def delete_node(call: KeyCall) -> dict[str, Any]:
    """`DELETE /memory_nodes/{id}`. What a second one gets is UNVERIFIED: success."""
    memory = call.bailian.memory
    memory.delete(memory.node(call.path("node_id"), call.query.text("memory_library_id", "")))
    return {}


def export_skill(call: KeyCall) -> dict[str, Any]:
    """`GET /skill/export/{id}`."""
    node = call.bailian.memory.node(call.path("node_id"), "")
    if node.memory_type != "skill":
        raise Refusal("InvalidParameter", "The memory node is not a skill.", 400)
    return {**node.skill, "content": node.content}


def forget_user(call: KeyCall) -> dict[str, Any]:
    """`DELETE /entities/user/{user_id}`."""
    memory = call.bailian.memory
    memory.forget_user(call.path("user_id"), memory.library(call.query.text("memory_library_id", "")))
    return {}
