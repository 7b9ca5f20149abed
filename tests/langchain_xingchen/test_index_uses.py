"""`BailianIndex` where LangChain takes a vector store: its indexing API, retrievers, searches by score."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.indexing import InMemoryRecordManager, aindex, index
from langchain_core.vectorstores import VectorStore

from langchain_xingchen import BailianIndex, BailianRetriever
from xingchen_core import UnsupportedOperationError
from xingchen_core.emulator import Emulator

Keep = Callable[..., Any]


@pytest.fixture
def store(emulator: Emulator) -> Iterator[BailianIndex]:
    """An index whose knowledge base is made by its first use."""
    emulator.bailian.knowledge.polls_until_done = 0
    made = BailianIndex(
        index_name="书", create_if_missing=True, delete_files=True, api_key="test-key", base_url=emulator.url
    )
    yield made
    made.close()


def texts(emulator: Emulator, store: BailianIndex) -> list[str]:
    """What is in the knowledge base."""
    found = emulator.bailian.knowledge.indexes[str(store.index_id)].listed(emulator.bailian.clock())
    return sorted(each.file.content.decode() for each in found)


def keep(*args: Any, **kwargs: Any) -> Any:
    """LangChain's `index`."""
    return index(*args, **kwargs)


def akeep(*args: Any, **kwargs: Any) -> Any:
    """LangChain's `aindex`."""
    return asyncio.run(aindex(*args, **kwargs))


def page(source: str, text: str) -> Document:
    """A document that says where it is from."""
    return Document(text, metadata={"source": source})


@pytest.mark.parametrize("way", [keep, akeep], ids=["sync", "async"])
def test_kept_up_to_date(emulator: Emulator, store: BailianIndex, way: Keep) -> None:
    """What is new is added, what has changed is replaced, what is gone is deleted, what is there is left alone."""
    records = InMemoryRecordManager("bailian/书")
    records.create_schema()

    def run(*documents: Document, cleanup: str) -> tuple[int, ...]:
        result = way(
            documents, records, store, cleanup=cleanup, source_id_key="source", key_encoder="sha256", batch_size=2
        )
        return tuple(result[f"num_{what}"] for what in ("added", "updated", "skipped", "deleted"))

    a, b, c = page("a", "甲"), page("b", "乙"), page("c", "丙")
    assert run(a, b, c, cleanup="incremental") == (3, 0, 0, 0)
    assert texts(emulator, store) == ["丙", "乙", "甲"]
    sent = len(emulator.requests)
    assert run(a, b, c, cleanup="incremental") == (0, 0, 3, 0)
    assert len(emulator.requests) == sent
    assert run(page("a", "新甲"), b, cleanup="incremental") == (1, 0, 1, 1)
    assert texts(emulator, store) == ["丙", "乙", "新甲"]
    assert run(b, cleanup="full") == (0, 0, 1, 2)
    assert texts(emulator, store) == ["乙"]
    assert len(emulator.bailian.knowledge.files) == 4  # three are the emulator's own


def test_as_retriever(emulator: Emulator, store: BailianIndex) -> None:
    """One of ours, with the index's settings, in LangChain's words or its own."""
    store.add_documents([Document("七天内可以退货。", id="退货"), Document("发票当天开好。", id="发票")])
    assert isinstance(store, VectorStore)
    retriever = store.as_retriever(search_kwargs={"k": 1}, tags=["kb"])
    assert isinstance(retriever, BailianRetriever)
    assert (retriever.index_id, retriever.k, retriever.tags) == (store.index_id, 1, ["kb"])
    assert [found.metadata["document_name"] for found in retriever.invoke("退货")] == ["退货"]
    threshold = store.as_retriever(search_type="similarity_score_threshold", search_kwargs={"score_threshold": 0.4})
    assert threshold.rerank_min_score == 0.4
    with pytest.raises(UnsupportedOperationError, match="mmr"):
        store.as_retriever(search_type="mmr")


def test_searches(emulator: Emulator, store: BailianIndex) -> None:
    """With and without scores, in both colours; a threshold of LangChain's is heeded."""
    store.add_documents([Document("七天内可以退货。", id="退货"), Document("发票当天开好。", id="发票")])
    [document] = store.similarity_search("怎么退货", k=1)
    for scored in (
        store.similarity_search_with_score("怎么退货", k=1),
        store.similarity_search_with_relevance_scores("怎么退货", k=1),
        asyncio.run(store.asimilarity_search_with_score("怎么退货", k=1)),
        asyncio.run(store.asimilarity_search_with_relevance_scores("怎么退货", k=1)),
    ):
        assert scored == [(document, document.metadata["score"])]
    assert store.similarity_search_with_relevance_scores("怎么退货", score_threshold=0.99) == []
    assert store.search("怎么退货", "similarity", k=1) == [document]
    assert store.add_texts(["九点开门。"], [{"tags": ["A"]}], ids=["营业"]) == ["营业"]
    assert store.similarity_search("几点开门", k=1)[0].metadata["document_name"] == "营业"
