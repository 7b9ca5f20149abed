"""One retrieval as each of the four routes is asked for it.

| route | call | for |
| --- | --- | --- |
| `index` | `POST /api/v1/indices/rag/index/retrieve` | one index, API key |
| `service` | `POST /api/v1/indices/knowledge/search` | a published retrieval service over several indexes, API key |
| `openapi` | `POST /{workspace}/index/retrieve`, action `Retrieve` | one index, AccessKey |
| `pipeline` | `POST /api/v1/indices/pipeline/{id}/retrieve` | one index, API key; older, documented nowhere |

Source: Model Studio, "RAG API", "knowledge retrieval service", `Retrieve` (2023-12-29). Which one is taken is decided
in `knowledge_retrieval.py`.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from xingchen_core._call import Call
from xingchen_core._errors import ConfigurationError, UnsupportedOperationError
from xingchen_core.bailian._openapi import PIPELINE, keyed, segment, signed
from xingchen_core.bailian.knowledge_filters import Filter, in_service_words, matches
from xingchen_core.bailian.knowledge_nodes import RetrievedNode, nodes_of
from xingchen_core.bailian.knowledge_search_filters import Route, Translation, check_size, for_openapi, translate
from xingchen_core.chat import Message

MOST_CHUNKS = 20
"""The most chunks any route returns."""

REWRITE_MODEL = "conv-rewrite-qwen-1.8b"
"""The only one there is."""

Nodes = tuple[RetrievedNode, ...]


class Rerank(BaseModel):
    """How recalled chunks are put in order, in place of the index's own setting.

    Attributes:
        model: `qwen3-rerank`, `qwen3-rerank-hybrid` (text match too), `qwen3-vl-rerank` (indexes with pictures);
            `gte-rerank` and `gte-rerank-hybrid` are frozen.
        mode: `qa` (the service's default), `similar`, or `custom` with `instruct`.
        instruct: What counts, up to 500 characters.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    model: str | None = None
    mode: Literal["qa", "similar", "custom"] | None = None
    instruct: str | None = Field(default=None, max_length=500)

    @model_validator(mode="after")
    def _instructs_custom_only(self) -> Self:
        if (self.instruct is not None) != (self.mode == "custom"):
            raise ConfigurationError("Rerank: mode='custom' and instruct=... go together.")
        return self


class RetrieveRequest(BaseModel):
    """What to look for, and where.

    Attributes:
        query: The question. Empty only with `images`.
        index_id: The knowledge base. For a retrieval service: the one of its indexes that filters are for.
        index_name: Its name instead, which costs a call: keep the id (`find_index`).
        agent_id: A published retrieval service (`aid-...`); `agent_version`: a number, or `beta` for the draft.
        route: Default: what the credentials allow.
        k: How many chunks, at most 20.
        dense_top_k, sparse_top_k: How many are recalled by meaning and by words, 0 to 100 each; 100 by default.
        rerank: How, or False for not at all. Default: the index's setting.
        rerank_min_score: Only chunks above it, 0.01 to 1.
        rewrite: Whether the question is rewritten with `history`. Default: if there is any.
        history: The conversation before the question.
        images: URLs of pictures to look for.
        filters: Which chunks count; looked at in the answers too, so that fewer than `k` may be left.
        search_filters: The same in the service's own words, sent as they are.
        extra: Further members, under the route's names.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    query: str = ""
    index_id: str | None = None
    index_name: str | None = None
    agent_id: str | None = None
    agent_version: str | None = None
    route: Route | None = None
    k: int = Field(default=5, ge=1)
    dense_top_k: int | None = Field(default=None, ge=0, le=100)
    sparse_top_k: int | None = Field(default=None, ge=0, le=100)
    rerank: Rerank | bool | None = None
    rerank_min_score: float | None = Field(default=None, ge=0.01, le=1)
    rewrite: bool | None = None
    history: tuple[Message, ...] = ()
    images: tuple[str, ...] = ()
    filters: Filter | None = None
    search_filters: tuple[dict[str, Any], ...] = ()
    extra: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _is_a_question(self) -> Self:
        if not self.query and not self.images:
            raise ConfigurationError("query is empty: only with images=... can it be.")
        if self.history and self.rewrite is False:
            raise ConfigurationError("history is for rewriting the question, and rewrite is False.")
        if any(message.role not in ("user", "assistant") for message in self.history):
            raise ConfigurationError("history holds messages of user and assistant only.")
        return self

    @property
    def rewrites(self) -> bool:
        """Whether the question is rewritten."""
        return bool(self.history) if self.rewrite is None else self.rewrite

    def features(self) -> set[str]:
        """Return what the request asks for that not every route has."""
        return {
            name
            for name, is_wanted in {
                "rerank": self.rerank is not None,
                "dense_top_k": self.dense_top_k is not None,
                "sparse_top_k": self.sparse_top_k is not None,
                "rerank_min_score": self.rerank_min_score is not None,
                "rewrite": self.rewrites,
                "history": bool(self.history),
                "images": bool(self.images),
                "agent_id": self.agent_id is not None,
            }.items()
            if is_wanted
        }


_OF_AN_INDEX: frozenset[Route] = frozenset(("index", "openapi", "pipeline"))

ROUTES_WITH: Mapping[str, frozenset[Route]] = {
    "rerank": _OF_AN_INDEX,
    "dense_top_k": _OF_AN_INDEX,
    "sparse_top_k": _OF_AN_INDEX,
    "rerank_min_score": _OF_AN_INDEX,
    "rewrite": frozenset(("openapi", "pipeline")),
    "history": frozenset(("openapi", "pipeline")),
    "images": frozenset(("openapi", "service")),
    "agent_id": frozenset(("service",)),
}
"""Routes by what they alone have. A retrieval service holds weights, rerankers and thresholds itself."""


def lacking(request: RetrieveRequest, route: Route) -> set[str]:
    """Return what a request asks for that a route does not have."""
    return {feature for feature in request.features() if route not in ROUTES_WITH[feature]}


def require(request: RetrieveRequest, route: Route) -> None:
    """Refuse a request that a route cannot fulfil.

    Raises:
        UnsupportedOperationError: It asks for what other routes have: they are named.
        ConfigurationError: The route cannot know where to look.
    """
    if missing := sorted(lacking(request, route)):
        others = "; ".join(f"{name}: route={' or '.join(map(repr, sorted(ROUTES_WITH[name])))}" for name in missing)
        raise UnsupportedOperationError(
            f"The route {route!r} does not have {', '.join(missing)} ({others}). 'openapi' needs an AccessKey.",
            service="bailian",
        )
    if route == "service" and request.agent_id is None:
        raise ConfigurationError("A retrieval service is named by agent_id=...")
    if route != "service" and not request.index_id:
        raise ConfigurationError(f"The route {route!r} needs index_id=... (or index_name=...).")


def from_index(request: RetrieveRequest) -> Call[Nodes]:
    """Retrieve from one index with an API key.

    A threshold is applied to the answers: whether this call takes one is UNVERIFIED.
    """
    require(request, "index")
    told = _told(request, "index")
    body = {
        "index_id": request.index_id,
        "query": request.query,
        "dense_similarity_top_k": request.dense_top_k,
        "sparse_similarity_top_k": request.sparse_top_k,
        "enable_reranking": request.rerank is not False,  # always: what the service does without it is UNVERIFIED
        "rerank": _rerank(request, "model_name", "rerank_mode", "rerank_instruct"),
        "rerank_top_n": _asked_for(request, told),  # top_k, in some examples, is not relied on
        "search_filters": list(told.search_filters) or None,
        **request.extra,
    }
    return keyed("POST", "indices/rag/index/retrieve", _parser(request, told), body=body)


def from_service(request: RetrieveRequest, *, tags_only: bool = False) -> Call[Nodes]:
    """Retrieve from a published retrieval service. Chunks come in its order, which need not be that of `score`.

    Filters are added to the service's own ones, for the index named by `index_id`. `tags_only`: see `translate`.
    """
    require(request, "service")
    told = _told(request, "service", tags_only=tags_only)
    check_size(told.search_filters)
    if told.search_filters and not request.index_id:
        raise ConfigurationError("Filters are for one index of the retrieval service: name it by index_id=...")
    config = {"id": request.index_id, "search_filters": list(told.search_filters)}
    body = {
        "agent_id": request.agent_id,
        "agent_version": request.agent_version,
        "query": request.query,
        "images": list(request.images) or None,
        "kb_search_configs": [config] if told.search_filters else None,
        **request.extra,
    }
    return keyed("POST", "indices/knowledge/search", _parser(request, told), body=body)


def from_openapi(request: RetrieveRequest, *, signed_for: str) -> Call[Nodes]:
    """Retrieve from one index with an AccessKey: `Retrieve`. All of it travels in the URL."""
    require(request, "openapi")
    if any("," in url for url in request.images):
        raise ConfigurationError("URLs of images are joined by commas: write a comma inside one as %2C.")
    told = _told(request, "openapi")
    history = [{"role": message.role, "content": message.content} for message in request.history]
    query = {
        "IndexId": request.index_id,
        "Query": request.query,
        "DenseSimilarityTopK": request.dense_top_k,
        "SparseSimilarityTopK": request.sparse_top_k,
        "EnableReranking": None if request.rerank is None else request.rerank is not False,
        "Rerank": _rerank(request, "ModelName", "RerankMode", "RerankInstruct"),
        "RerankMinScore": request.rerank_min_score,
        "RerankTopN": _asked_for(request, told),
        "EnableRewrite": request.rewrites or None,
        "Rewrite": [{"ModelName": REWRITE_MODEL}] if request.rewrites else None,
        "QueryHistory": history or None,  # ignored by the service unless EnableRewrite is true
        "SearchFilters": for_openapi(told.search_filters) if told.search_filters else None,
        "Images": ",".join(request.images) or None,
        **request.extra,
    }
    return signed("Retrieve", "POST", signed_for, "/index/retrieve", _parser(request, told), query=query)


def from_pipeline(request: RetrieveRequest) -> Call[Nodes]:
    """Retrieve from one index by the older API for keys."""
    require(request, "pipeline")
    told = _told(request, "pipeline")
    rewrite = {"model_name": REWRITE_MODEL, "class_name": "DashScopeTextRewrite"}
    history = [{"role": message.role, "content": message.content} for message in request.history]
    body = {
        "query": request.query,
        "dense_similarity_top_k": request.dense_top_k,
        "sparse_similarity_top_k": request.sparse_top_k,
        "enable_rewrite": request.rewrites,
        "rewrite": [rewrite] if request.rewrites else None,
        "enable_reranking": request.rerank is not False,
        "rerank": _rerank(request, "model_name", "rerank_mode", "rerank_instruct"),
        "rerank_min_score": request.rerank_min_score,
        "rerank_top_n": _asked_for(request, told),
        "query_history": history or None,
        "search_filters": list(told.search_filters) or None,
        **request.extra,
    }
    path = f"indices/pipeline/{segment(request.index_id or '')}/retrieve"
    return keyed("POST", path, _parser(request, told), body=body, service=PIPELINE)


def _told(request: RetrieveRequest, route: Route, *, tags_only: bool = False) -> Translation:
    if request.filters is None:
        return Translation(request.search_filters, None, is_complete=True)
    told = translate(in_service_words(request.filters), route, tags_only=tags_only)
    return Translation((*request.search_filters, *told.search_filters), told.check, told.is_complete)


def _asked_for(request: RetrieveRequest, told: Translation) -> int:
    """Return how many chunks to ask for: as many as there can be, where some are dropped here."""
    return min(request.k, MOST_CHUNKS) if told.is_complete else MOST_CHUNKS


def _rerank(request: RetrieveRequest, model: str, mode: str, instruct: str) -> list[dict[str, str]] | None:
    if not isinstance(request.rerank, Rerank):
        return None
    members = {model: request.rerank.model, mode: request.rerank.mode, instruct: request.rerank.instruct}
    return [{name: value for name, value in members.items() if value is not None}]


def _parser(request: RetrieveRequest, told: Translation) -> Callable[[Any], Nodes]:
    def parse(answer: Any) -> Nodes:
        nodes = nodes_of(answer)
        if told.check is not None:
            nodes = tuple(node for node in nodes if matches(told.check, node.raw))
        if (least := request.rerank_min_score) is not None:
            nodes = tuple(node for node in nodes if node.score is None or node.score > least)
        return nodes[: request.k]

    return parse


__all__ = [
    "Rerank",
    "RetrieveRequest",
    "from_index",
    "from_openapi",
    "from_pipeline",
    "from_service",
]
