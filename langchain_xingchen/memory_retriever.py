"""`BailianMemoryRetriever`: what is remembered of a user, as a LangChain retriever."""

from typing import Any, Self

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.runnables import RunnableConfig, ensure_config
from pydantic import Field, model_validator

from langchain_xingchen._base import MODEL_CONFIG, loaded_async_client
from langchain_xingchen._flow_tools import UserIdFrom, user_from
from langchain_xingchen.retrievers import ServiceRetriever, check_keywords
from xingchen_core import Call, ConfigurationError
from xingchen_core.bailian import memory
from xingchen_core.bailian.memory import MemoryNode, MemorySearch, MemorySettings

_WANTED = frozenset(("k", "min_score", "project_ids", "memory_types", "plan_version", "enable_judge", "enable_rewrite"))
"""What a call may say otherwise. Whose memories are meant is never among it."""


class BailianMemoryRetriever(ServiceRetriever, MemorySettings):
    """What Bailian's long-term memory (长期记忆) holds of a user, best first.

    ```python
    retriever = BailianMemoryRetriever(user_id="u1")  # key from DASHSCOPE_API_KEY
    for document in retriever.invoke("她喝什么?", k=3):
        print(document.metadata["score"], document.page_content)
    ```

    `k` and what follows it may also be given per call; another keyword raises `TypeError`. Nothing found is `[]`. A
    memory came from people: in a prompt mark it as data.

    A document's `id` is the memory's. Its metadata are `score` (0 to 1), `memory_type`, `project_id`, `timestamp` (when
    it happened), `created_at`, `updated_at` (ISO 8601, UTC), and under `meta_data` what was stored with it.

    Attributes:
        user_id: Your id of the user; at most 64 characters.
        user_id_from: Reads it from the config of each run instead, to serve many users.
        library_id: Default: the account's default library.
        k: How many at most, 1 to 100; the service's default is 10.
        min_score: 0 to 1. The service's default, 0.3, hides weak matches: say 0 for all.
        project_ids: Where to look. Default: the default project only.
        memory_types: `observation`, `skill`. Default: observations.
        plan_version: `pro` (the service's default: reranked, dearer) or `lite`. Searches are billed.
        enable_judge, enable_rewrite: As the service names them; off by default.

    Raises:
        ConfigurationError: There is no API key (memories are not reached with an AccessKey), or no user.

    Source: Model Studio, "long-term memory (new) API", `POST /memory_nodes/search`.
    """

    model_config = MODEL_CONFIG

    user_id: str | None = Field(default=None, min_length=1, max_length=64)
    user_id_from: UserIdFrom | None = Field(default=None, exclude=True, repr=False)
    library_id: str | None = None
    k: int = Field(default=10, ge=1, le=100)
    min_score: float | None = Field(default=None, ge=0, le=1)
    project_ids: tuple[str, ...] | None = None
    memory_types: tuple[str, ...] | None = None
    plan_version: str | None = None
    enable_judge: bool | None = None
    enable_rewrite: bool | None = None

    @model_validator(mode="after")
    def _can_be_asked(self) -> Self:
        require_key(self)
        require_user(self.user_id, self.user_id_from)
        self._search("?", user_id=self.user_id or "?")
        return self

    def invoke(self, input: str, config: RunnableConfig | None = None, **kwargs: Any) -> list[Document]:
        """Return the memories that fit the question best."""
        return super().invoke(input, config, user_id=self._user(config), **kwargs)

    async def ainvoke(self, input: str, config: RunnableConfig | None = None, **kwargs: Any) -> list[Document]:
        """As `invoke`."""
        return await super().ainvoke(input, config, user_id=self._user(config), **kwargs)

    def _user(self, config: RunnableConfig | None) -> str:
        return user_from(self.user_id_from, ensure_config(config)) if self.user_id_from else self.user_id or ""

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, **wanted: Any
    ) -> list[Document]:
        return list(map(to_document, self.client().send(self._search(query, **wanted)).nodes))

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, **wanted: Any
    ) -> list[Document]:
        found = await (await loaded_async_client(self)).send(self._search(query, **wanted))
        return list(map(to_document, found.nodes))

    def _search(self, query: str, *, user_id: str, **wanted: Any) -> Call[MemorySearch]:
        check_keywords(wanted, _WANTED)
        named = {name: getattr(self, name) for name in _WANTED} | wanted
        return memory.search(query, user_id=user_id, library_id=self.library_id, top_k=named.pop("k"), **named)


def require_key(settings: MemorySettings) -> None:
    """Refuse settings that reach only the older memory bodies.

    Raises:
        ConfigurationError: There is no API key.
    """
    if not settings.has_key:
        raise ConfigurationError("Long-term memory needs an API key: pass api_key=... or set DASHSCOPE_API_KEY.")


def require_user(user_id: str | None, user_id_from: UserIdFrom | None) -> None:
    """Refuse what would mix the memories of strangers.

    Raises:
        ConfigurationError: Nothing says whose memories are meant.
    """
    if user_id is None and user_id_from is None:
        raise ConfigurationError("Whose memories? Pass user_id, or user_id_from to read it from the config of a run.")


def to_document(node: MemoryNode) -> Document:
    """Return a memory as a document."""
    times = {"timestamp": node.timestamp, "created_at": node.created_at, "updated_at": node.updated_at}
    metadata = {
        "score": node.score,
        "memory_type": node.memory_type,
        "project_id": node.project_id,
        **{name: time.isoformat() if time else None for name, time in times.items()},
        "meta_data": node.metadata,
    }
    return Document(id=node.id, page_content=node.text, metadata=metadata)
