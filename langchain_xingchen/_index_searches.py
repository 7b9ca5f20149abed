"""How `BailianIndex` is searched."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from langchain_core.documents import Document
from langchain_core.vectorstores import VectorStore

from langchain_xingchen._base import loaded_async_client
from langchain_xingchen._index_work import IndexWork
from langchain_xingchen.retrievers import PER_CALL, BailianRetriever, check_keywords, to_document, to_history
from xingchen_core import Flow, UnsupportedOperationError
from xingchen_core.bailian import knowledge

T = TypeVar("T")


class SearchableIndex(VectorStore):
    """A knowledge base as what LangChain searches."""

    settings: knowledge.KnowledgeSettings
    _work: IndexWork

    @property
    def index_id(self) -> str | None:
        """The knowledge base; `None` while only its name is known."""
        return self._work.index_id

    @property
    def index_name(self) -> str | None:
        """The name that was given."""
        return self._work.index_name

    def as_retriever(  # type: ignore[override]  # one of ours: it needs no vector store between
        self,
        *,
        search_type: str = "similarity",
        search_kwargs: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> BailianRetriever:
        """Return a retriever with this index's settings. `fields`, and `search_kwargs` too, are its own: `k`, ...

        Raises:
            UnsupportedOperationError: `search_type` is none of `similarity` and `similarity_score_threshold`.
        """
        wanted = {**(search_kwargs or {}), **fields}
        if search_type == "similarity_score_threshold":
            wanted.setdefault("rerank_min_score", wanted.pop("score_threshold", None))
        elif search_type != "similarity":
            raise UnsupportedOperationError(f"search_type={search_type!r} needs vectors, which the service keeps.")
        own = {name: getattr(self.settings, name) for name in self.settings.model_fields_set | {"api_key"}}
        place = {"index_id": self.index_id} if self.index_id else {"index_name": self.index_name}
        return BailianRetriever(**{**own, **place, **wanted})

    def similarity_search(self, query: str, k: int = 5, **kwargs: Any) -> list[Document]:
        """Return chunks, best first. `kwargs` are those of a `BailianRetriever`'s call: `filters`, `rerank`, ..."""
        return self._run(self._search(query, k, kwargs))

    async def asimilarity_search(self, query: str, k: int = 5, **kwargs: Any) -> list[Document]:
        """As `similarity_search`."""
        return await self._arun(self._search(query, k, kwargs))

    def similarity_search_with_score(self, query: str, k: int = 5, **kwargs: Any) -> list[tuple[Document, float]]:
        """As `similarity_search`, each chunk with its score: 0 to 1, higher is better."""
        return _scored(self.similarity_search(query, k, **kwargs))

    async def asimilarity_search_with_score(
        self, query: str, k: int = 5, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """As `similarity_search_with_score`."""
        return _scored(await self.asimilarity_search(query, k, **kwargs))

    def _select_relevance_score_fn(self) -> Any:
        return float  # scores are from 0 to 1 already

    def _run(self, flow: Flow[T]) -> T:
        return self.settings.client().run(flow)

    async def _arun(self, flow: Flow[T]) -> T:
        return await (await loaded_async_client(self.settings)).run(flow)

    def _search(self, query: str, k: int, wanted: Mapping[str, Any]) -> Flow[list[Document]]:
        check_keywords(wanted, PER_CALL - {"k"})
        if "history" in wanted:
            wanted = {**wanted, "history": to_history(wanted["history"])}
        index_id = yield from self._work.resolve()
        request = knowledge.RetrieveRequest(query=query, k=k, index_id=index_id, **wanted)
        return list(map(to_document, (yield from knowledge.retrieve(request, self.settings))))


def _scored(documents: Sequence[Document]) -> list[tuple[Document, float]]:
    return [(document, document.metadata["score"] or 0.0) for document in documents]
