"""`BailianRetriever`: a knowledge base on Bailian as a retriever."""

import re
from typing import Any, Self

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.callbacks import CallbackManager
from llama_index.core.schema import IndexNode, NodeWithScore, QueryBundle
from llama_index.core.vector_stores import MetadataFilters
from pydantic import BaseModel, Field, PrivateAttr, model_validator

from llama_index_xingchen._base import MODEL_CONFIG
from llama_index_xingchen._knowledge_filters import to_filter
from llama_index_xingchen._knowledge_nodes import to_node
from llama_index_xingchen._pace import Pace, Travelling
from llama_index_xingchen._said import said
from xingchen_core import ConfigurationError, Flow, Message, NotFoundError
from xingchen_core.bailian.knowledge import (
    KnowledgeSettings,
    Rerank,
    RetrievedNode,
    RetrieveRequest,
    Route,
    choose_route,
    find_index,
    find_pipeline,
    retrieve,
)


class BailianRetriever(KnowledgeSettings, BaseRetriever):
    r"""Retrieves from a knowledge base (知识库) or a retrieval service (知识检索服务) on Bailian.

    ```python
    from llama_index_xingchen import BailianRetriever

    for found in BailianRetriever(index_id="...").retrieve("怎么退货?"):
        print(found.score, found.text, found.metadata["document_name"])
    ```

    A node has the id of its chunk, and in its metadata, as far as the service tells them: `title`, `heading_path`,
    `document_name`, `document_id`, `document_url`, `page_numbers`, `index_id`, `image_urls`, `audio_urls`,
    `video_urls`, and fields of yours. Models read neither ids nor links that may be signed: those of media are, and
    soon expire. A chunk with a picture is an `ImageNode`; one of a document in `object_map` is an `IndexNode` that
    leads to the object. Scores can be compared within one index only; a retrieval service ranks by other ones, and its
    order is kept.

    The question of a `RetrieverTool` comes as `"\ninput is ...\n"`; it is sent without that. `image_path` of a
    `QueryBundle` is the URL of a picture to look for.

    Attributes:
        index_id: The knowledge base.
        index_name: Its name instead; it is looked for once, by the first query.
        agent_id: A published retrieval service (`aid-...`) instead.
        agent_version: Of the service: a number, or `beta` for the draft.
        similarity_top_k: How many nodes, at most 20; fewer may be left by filters.
        filters: With all fourteen operators, `and`, `or`, `not`, and nested. The service is told what it can be, and
            the answers are looked at for all of it; a retrieval service also needs `index_id`.
        search_filters: The same in the service's own words, sent as they are.
        rerank: How chunks are put in order, or False for not at all. Default: as the index is set.
        rerank_min_score: Only chunks above it, 0.01 to 1.
        rewrite: Whether the service rewrites the question. Default: if there is a `history`.
        history: The conversation before the question: `retriever.model_copy(update={"history": [...]})`. Of its
            messages what user and assistant said is sent. Only routes `openapi` and `pipeline` have it.
        dense_top_k, sparse_top_k: How many chunks are recalled by meaning and by words, 0 to 100; 100 by default.
        route: `index`, `service`, `openapi` or `pipeline`. Default: what the credentials allow.
        extra: Further members of the request, under the route's names.
        rate_limiter: Queries a second, evenly spaced (the standard plan allows 1), or one of LlamaIndex's limiters.
            Each query waits for it. Copies share it; in another process it begins anew.
        callback_manager: Receives the event of each retrieval.
        objects: `IndexNode`s in place of `object_map`.
        object_map: What stands behind documents, by their id: nodes, engines or retrievers.
        verbose: Print which objects are entered.

    Raises:
        ConfigurationError: At construction: no credentials, or not one place to look in. In a query: it cannot be sent.
        UnsupportedOperationError: The route lacks what is asked for, or tags are filtered as no route can.
        NotFoundError: There is no such index.
        APIStatusError, APIConnectionError, ...: See `xingchen_core`.

    Source: Model Studio, "RAG API" (`POST /api/v1/indices/rag/index/retrieve`), "knowledge retrieval service", and the
    OpenAPI 2023-12-29, `Retrieve`.
    """

    model_config = MODEL_CONFIG

    index_id: str | None = None
    index_name: str | None = None
    agent_id: str | None = None
    agent_version: str | None = None
    similarity_top_k: int = Field(default=5, ge=1)
    filters: MetadataFilters | None = None
    search_filters: list[dict[str, Any]] = Field(default_factory=list)
    rerank: Rerank | bool | None = None
    rerank_min_score: float | None = Field(default=None, ge=0.01, le=1)
    rewrite: bool | None = None
    history: list[ChatMessage] = Field(default_factory=list, repr=False)
    dense_top_k: int | None = Field(default=None, ge=0, le=100)
    sparse_top_k: int | None = Field(default=None, ge=0, le=100)
    route: Route | None = None
    extra: dict[str, Any] = Field(default_factory=dict)
    rate_limiter: Any = Field(default=None, exclude=True, repr=False)
    callback_manager: CallbackManager = Field(default_factory=CallbackManager, exclude=True, repr=False)
    objects: list[IndexNode] | None = Field(default=None, exclude=True, repr=False)
    object_map: dict[str, Any] = Field(default_factory=dict, exclude=True, repr=False)
    verbose: bool = False

    _found_id: str | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _knows_where(self) -> Self:
        if not (self.index_id or self.index_name or self.agent_id):
            raise ConfigurationError("Say where to look: index_id=..., index_name=... or agent_id=...")
        if self.objects is not None:
            self.__dict__["object_map"] = {node.index_id: node.obj for node in self.objects}
        if self.filters is not None:
            to_filter(self.filters)  # refuses what no query could use
        if isinstance(self.rate_limiter, (int, float)):
            if not self.rate_limiter > 0:
                raise ConfigurationError(f"rate_limiter is queries a second, more than 0; got {self.rate_limiter}.")
            self.__dict__["rate_limiter"] = Pace(self.rate_limiter)
        return self

    @property
    def _verbose(self) -> bool:  # type: ignore[override]  # an attribute there, set by an __init__ that is not ours
        return self.verbose

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        asked = self._describe(query_bundle)
        if self.rate_limiter is not None:
            self.rate_limiter.acquire()
        return self.client().run(asked)

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        asked = self._describe(query_bundle)
        if self.rate_limiter is not None:
            await self.rate_limiter.async_acquire()
        return await self.async_client().run(asked)

    def _describe(self, query: QueryBundle) -> Flow[list[NodeWithScore]]:
        """Describe a query; what cannot be sent is refused before a name is looked for or the limiter waits."""
        named = ("index_id", "index_name", "agent_id", "agent_version", "route", "rerank", "rerank_min_score")
        request = RetrieveRequest(
            **{name: getattr(self, name) for name in (*named, "rewrite", "dense_top_k", "sparse_top_k", "extra")},
            query=_question(query.query_str),
            k=self.similarity_top_k,
            history=tuple(Message(role=speaker, content=text) for speaker, text in said(self.history)),
            images=() if query.image_path is None else (_url(query.image_path),),
            filters=None if self.filters is None else to_filter(self.filters),
            search_filters=tuple(self.search_filters),
        )
        return self._ask(request, retrieve(request, self))

    def _ask(self, request: RetrieveRequest, asked: Flow[tuple[RetrievedNode, ...]]) -> Flow[list[NodeWithScore]]:
        if request.index_id is None and request.index_name is not None:
            if self._found_id is None:
                self._found_id = yield from self._find(request, request.index_name)
            asked = retrieve(request.model_copy(update={"index_id": self._found_id}), self)
        try:
            nodes = yield from asked
        except NotFoundError:
            self._found_id = None  # another one may have the name by now
            raise
        return [to_node(node, self.object_map) for node in nodes]

    def _find(self, request: RetrieveRequest, name: str) -> Flow[str]:
        route = choose_route(request, self)
        if route == "pipeline":
            return (yield from find_pipeline(name))
        index = yield from find_index(name, signed_for=self.workspace_id if route == "openapi" else None)
        return index.id

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        memo = {} if memo is None else memo
        if self.rate_limiter is not None:
            memo[id(self.rate_limiter)] = self.rate_limiter  # what is limited is the service
        return super().__deepcopy__(memo)

    def __getstate__(self) -> dict[Any, Any]:
        state = super().__getstate__()
        if isinstance(self.rate_limiter, BaseModel):
            state["__dict__"] = {**state["__dict__"], "rate_limiter": Travelling(self.rate_limiter)}
        return state

    def __copy__(self) -> Self:
        copied = super().__copy__()
        copied._found_id = None  # a copy may get another name
        return copied


def _question(text: str) -> str:
    """Return a question without what `RetrieverTool` puts around it: its argument's name, and line breaks."""
    told = re.fullmatch(r"\ninput is (.*)\n", text, re.DOTALL)
    return (told[1] if told else text).strip()


def _url(image: str) -> str:
    if not image.startswith(("https://", "http://")):
        raise ConfigurationError("image_path must be the URL of a picture that the service can read.")
    return image
