"""`BailianRetriever`: a knowledge base on Bailian as a LangChain retriever."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import is_dataclass
from typing import Any, Literal, Self

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.messages import MessageLikeRepresentation, convert_to_messages
from langchain_core.rate_limiters import BaseRateLimiter
from langchain_core.retrievers import BaseRetriever
from pydantic import Field, PrivateAttr, model_validator
from pydantic_core import to_jsonable_python

from langchain_xingchen._base import MODEL_CONFIG, PacedSettings, loaded_async_client
from xingchen_core import Flow, Message
from xingchen_core._config import ACCESS_KEY_VARIABLES, plain_timeout
from xingchen_core.bailian import knowledge
from xingchen_core.bailian.knowledge import Filter, KnowledgeSettings, Rerank, RetrievedNode, RetrieveRequest, Route
from xingchen_core.chat import parameters_of

_WHERE = ("index_id", "index_name", "agent_id", "agent_version", "route")
"""What belongs to the retriever. `configurable_fields` changes it for a call."""

PER_CALL = RetrieveRequest.model_fields.keys() - {"query", *_WHERE}
"""What a call may say otherwise."""


_ROLES: dict[str, Literal["user", "assistant"]] = {"human": "user", "ai": "assistant"}


class ServiceRetriever(BaseRetriever, PacedSettings, KnowledgeSettings):
    """A retriever that `dumps` writes without secrets and `langchain_xingchen.loads` revives."""

    model_config = MODEL_CONFIG

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Return True: `dumps` writes the settings."""
        return True

    @property
    def lc_secrets(self) -> dict[str, str]:
        """Which arguments are secrets, and the variable that holds each when the object is revived."""
        return {"api_key": self.service.key_variable, **ACCESS_KEY_VARIABLES}

    @property
    def lc_attributes(self) -> dict[str, Any]:
        """Nested settings as plain dicts, since `dumps` writes only what it knows."""
        plain = {name: to_jsonable_python(v) for name, v in self if is_dataclass(v) or isinstance(v, Rerank)}
        return plain if self.timeout is None else {**plain, "timeout": plain_timeout(self.timeout)}


class BailianRetriever(ServiceRetriever):
    """Chunks of a knowledge base on Bailian (百炼知识库), best first.

    ```python
    retriever = BailianRetriever(index_id="...")  # key from DASHSCOPE_API_KEY
    for document in retriever.invoke("怎么退货?", k=3):
        print(document.metadata["score"], document.metadata["document_name"], document.page_content)
    ```

    All but where to look may also be given per call; another keyword raises `TypeError`. Two more are for calls only:
    `history`, the messages before the question, for `rewrite` (what was said in words by the user and the model goes
    out), and `images`, URLs of pictures to look for. Nothing found is `[]`.

    A document's `id` is the chunk's. Its metadata are the chunk's own fields (metadata of yours, columns of a table)
    and `score` (0 to 1, `None` if there is none), `title`, `heading_path`, `document_id`, `document_name`,
    `document_url`, `index_id`, `page_numbers`, `image_urls`, `audio_urls`, `video_urls`: see `RetrievedNode`. URLs of
    media are signed and expire.

    Attributes:
        index_id: The knowledge base. Of a retrieval service: the one of its indexes that filters are for.
        index_name: Its name instead; the first query looks for it.
        agent_id, agent_version: A published retrieval service over several knowledge bases.
        route: `index`, `service`, `openapi` or `pipeline`. Default: `service` with an `agent_id`, else what the
            credentials allow: an API key `index`, an AccessKey with a `workspace_id` `openapi`.
        k: How many documents at most. The service returns no more than 20.
        dense_top_k, sparse_top_k: How many are recalled by meaning and by words, 0 to 100 each; the service's default
            is 100.
        rerank: A `Rerank`, or False for none. Default: the knowledge base's setting.
        rerank_min_score: Only documents that score above it, 0.01 to 1.
        rewrite: Have the question rewritten; needs an AccessKey. Default: if there is a `history`.
        filters: A `Condition` or `Group` of `xingchen_core.bailian.knowledge`, the same on every route.
        search_filters: Filters in the service's own words, sent as they are.
        extra: Further members of the request, under the route's names.
        rate_limiter: Waited for before every query, in batches too. A knowledge base of the standard plan answers one
            query a second. Default: none.

    Raises:
        ConfigurationError, UnsupportedOperationError: At construction, if the credentials or the route do not fit.
        NotFoundError, RateLimitError, ...: While asking, as for the other classes. LangChain has no error classes for
            retrievers.

    Source: Model Studio, "RAG API" and "knowledge retrieval service"; OpenAPI 2023-12-29, `Retrieve`.
    """

    model_config = MODEL_CONFIG

    index_id: str | None = Field(default=None, min_length=1)
    index_name: str | None = Field(default=None, min_length=1)
    agent_id: str | None = Field(default=None, min_length=1)
    agent_version: str | None = None
    route: Route | None = None
    k: int = Field(default=5, ge=1)
    dense_top_k: int | None = Field(default=None, ge=0, le=100)
    sparse_top_k: int | None = Field(default=None, ge=0, le=100)
    rerank: Rerank | bool | None = None
    rerank_min_score: float | None = Field(default=None, ge=0.01, le=1)
    rewrite: bool | None = None
    filters: Filter | None = None
    search_filters: tuple[dict[str, Any], ...] = ()
    extra: dict[str, Any] = Field(default_factory=dict)
    rate_limiter: BaseRateLimiter | None = Field(default=None, exclude=True, repr=False)

    _known: dict[str, str] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _can_be_asked(self) -> Self:
        self._retrieve("?", {})  # describes the query, and so finds what does not fit; nothing is sent
        return self

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, **wanted: Any
    ) -> list[Document]:
        flow = self._retrieve(query, wanted)
        if self.rate_limiter:
            self.rate_limiter.acquire(blocking=True)
        return list(map(to_document, self.client().run(flow)))

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, **wanted: Any
    ) -> list[Document]:
        flow = self._retrieve(query, wanted)
        if self.rate_limiter:
            await self.rate_limiter.aacquire(blocking=True)
        return list(map(to_document, await (await loaded_async_client(self)).run(flow)))

    def _retrieve(self, query: str, wanted: dict[str, Any]) -> Flow[tuple[RetrievedNode, ...]]:
        check_keywords(wanted, PER_CALL)
        if "history" in wanted:
            wanted = {**wanted, "history": to_history(wanted["history"])}
        asked = {**parameters_of(self, RetrieveRequest), **wanted, "query": query}
        return knowledge.retrieve(RetrieveRequest(**asked), self, self._known)

    # A copy may be given another service, where the names are others.

    def __copy__(self) -> Self:
        copied = super().__copy__()
        copied._known = {}
        return copied

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        copied = super().__deepcopy__(memo)
        copied._known = {}
        return copied


def check_keywords(wanted: Mapping[str, Any], known: Set[str]) -> None:
    """Refuse keywords that nobody would heed.

    Raises:
        TypeError: As a function does.
    """
    if unknown := sorted(wanted.keys() - known):
        raise TypeError(
            f"invoke() got an unexpected keyword argument {unknown[0]!r}; known: {', '.join(sorted(known))}"
        )


def to_history(messages: Sequence[Message | MessageLikeRepresentation]) -> list[Message]:
    """Return a conversation as far as the service takes it: what the user and the model said in words."""
    if all(isinstance(message, Message) for message in messages):
        return list(messages)  # type: ignore[arg-type]
    said = [(message.type, str(message.text)) for message in convert_to_messages(messages)]  # type: ignore[arg-type]
    return [Message(role=_ROLES[type_], content=text) for type_, text in said if type_ in _ROLES and text.strip()]


def to_document(node: RetrievedNode) -> Document:
    """Return a chunk as a document. A field of the chunk's that has a name of ours is not shown."""
    metadata = {
        "score": node.score,
        "title": node.title,
        "heading_path": node.heading_path,
        "document_id": node.document_id,
        "document_name": node.document_name,
        "document_url": node.document_url,
        "index_id": node.index_id,
        "page_numbers": list(node.page_numbers),
        "image_urls": list(node.image_urls),
        "audio_urls": list(node.audio_urls),
        "video_urls": list(node.video_urls),
    }
    return Document(id=node.id, page_content=node.text, metadata={**node.fields, **metadata})
