"""Retrieval with an API key: from one knowledge base, through a retrieval service, and by the legacy pipeline."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from xingchen_core.emulator.bailian_knowledge_fields import Fields, invalid
from xingchen_core.emulator.bailian_knowledge_filters import check
from xingchen_core.emulator.bailian_knowledge_gateway import KeyCall
from xingchen_core.emulator.bailian_knowledge_nodes import node
from xingchen_core.emulator.bailian_knowledge_scores import Hit, Query

if TYPE_CHECKING:
    from xingchen_core.emulator.bailian_knowledge import SearchService

RERANKERS = {"qwen3-rerank", "qwen3-rerank-hybrid", "qwen3-vl-rerank", "gte-rerank", "gte-rerank-hybrid"}


def read_query(fields: Fields, names: Mapping[str, str], *, lowest_score: float, history: bool = True) -> Query:
    """The query of one base. `names` are a route's own; `history` False: rewriting and images go unheeded."""
    images = _images(fields, names["images"]) if history else []
    text = fields.text(names["query"], "" if images else None)
    dense = fields.integer(names["dense"], 100, 0, 100)
    sparse = fields.integer(names["sparse"], 100, 0, 100)
    _check_rerankers(fields.objects(names["rerank"]), names)
    min_score = None
    if names["min_score"] in fields and history:
        min_score = fields.number(names["min_score"], 0.0, lowest_score, 1.0)
    # Without enable_rewrite the history is ignored.
    if history and fields.boolean(names["rewrite"], default=False):
        said = [turn.get("content", "") for turn in fields.objects(names["history"]) if turn.get("role") == "user"]
        text = " ".join([*said[-1:], text])
    return Query(
        text,
        images,
        dense,
        sparse,
        fields.boolean(names["reranking"], default=True),
        fields.integer(names["top_n"], 5, 1, 20),
        min_score,
        fields.array(names["filters"]),
    )


SNAKE = {
    "query": "query",
    "images": "images",
    "dense": "dense_similarity_top_k",
    "sparse": "sparse_similarity_top_k",
    "reranking": "enable_reranking",
    "rerank": "rerank",
    "top_n": "rerank_top_n",
    "min_score": "rerank_min_score",
    "rewrite": "enable_rewrite",
    "history": "query_history",
    "filters": "search_filters",
    "model": "model_name",
    "mode": "rerank_mode",
    "instruct": "rerank_instruct",
}


def retrieve(call: KeyCall) -> dict[str, Any]:
    """`POST /api/v1/indices/rag/index/retrieve`."""
    knowledge = call.bailian.knowledge
    index = knowledge.index(call.body.text("index_id"), call.workspace)
    query = read_query(call.body, SNAKE, lowest_score=0.0, history=knowledge.index_route_takes_more)
    hits = knowledge.retrieve(index, query)
    return {"total": len(hits), "nodes": [node(knowledge, hit, "index") for hit in hits]}


def pipeline_retrieve(call: KeyCall) -> dict[str, Any]:
    """`POST /api/v1/indices/pipeline/{id}/retrieve`: every result wraps a serialised node."""
    knowledge = call.bailian.knowledge
    index = knowledge.index(call.path("pipeline_id"), call.workspace)
    # The plug-ins send a threshold of 0.0, below what is documented.
    hits = knowledge.retrieve(index, read_query(call.body, SNAKE, lowest_score=0.0))
    nodes = []
    for hit in hits:
        found = node(knowledge, hit, "pipeline")
        inner = {"id_": hit.chunk.chunk_id, "text": found["text"], "metadata": found["metadata"]}
        nodes.append({"score": hit.score, "node": inner})
    return {"total": len(nodes), "nodes": nodes}


def search(call: KeyCall) -> dict[str, Any]:
    """`POST /api/v1/indices/knowledge/search`. Only what the published service leaves open can be asked."""
    knowledge = call.bailian.knowledge
    service = _service(call)
    images = call.body.texts("images")
    text = call.body.text("query", "")
    if not text and not images:
        raise invalid("query is required")
    asked = _filters_by_index(call, service)
    hits: list[Hit] = []
    for index_id in service.index_ids:
        filters = [*service.filters, *asked.get(index_id, [])]
        query = Query(text, images, top_n=20, filters=filters, nested_filters=True)
        hits += knowledge.retrieve(knowledge.index(index_id, call.workspace), query)
    weighted = sorted(((_weight(service, hit) * hit.score, hit) for hit in hits), key=lambda pair: -pair[0])
    nodes = []
    for score, hit in weighted[: service.top_n]:
        found = node(knowledge, hit, "search")
        found["metadata"].update({"_score_with_weight": round(score, 4), "_rank_weight": _weight(service, hit)})
        nodes.append(found)
    return {"total": len(nodes), "cost_time": 12, "nodes": nodes}


def _service(call: KeyCall) -> "SearchService":
    agent_id, version = call.body.text("agent_id", ""), call.body.text("agent_version", "")
    if not agent_id:
        raise invalid("agent_id is required")
    service = call.bailian.knowledge.services.get(agent_id)
    if service is None or service.workspace != call.workspace:
        raise invalid(f"agent not exist: {agent_id}")
    if version != "beta" and (not service.published or (version and version != str(service.published))):
        raise invalid(f"agent is not published: {agent_id}")
    return service


def _filters_by_index(call: KeyCall, service: "SearchService") -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for number, config in enumerate(call.body.array("kb_search_configs")):
        index_id = config.get("id") if isinstance(config, dict) else None
        if not index_id:
            raise invalid(f"kb_search_configs[{number}].id is required")
        if index_id not in service.index_ids:
            raise invalid(f"kb not bound to agent: {index_id}")
        if index_id in found:
            raise invalid(f"duplicate kb id in kb_search_configs: {index_id}")
        found[index_id] = Fields(config).array("search_filters")
        check(found[index_id], strict=call.bailian.knowledge.strict_search_filters)
    return found


def _weight(service: "SearchService", hit: Hit) -> float:
    by_index = service.weights.get(hit.index.index_id, 1.0)
    return service.weights.get(hit.document.file.file_id, by_index)


def _images(fields: Fields, name: str) -> list[str]:
    if fields.written:  # URLs joined by commas, not JSON
        return [url for url in fields.text(name, "").split(",") if url]
    return fields.texts(name)


def _check_rerankers(rerankers: list[dict[str, Any]], names: Mapping[str, str]) -> None:
    for each in rerankers:
        given = Fields(each)
        model, mode = given.text(names["model"], ""), given.text(names["mode"], "qa")
        if model and model not in RERANKERS:
            raise invalid(f"rerank model {model} is not supported")
        if mode not in ("qa", "similar", "custom"):
            raise invalid(f"{names['mode']} must be qa, similar or custom")
        if given.text(names["instruct"], "", most=500) and mode != "custom":
            raise invalid(f"{names['instruct']} is only for {names['mode']} custom")
