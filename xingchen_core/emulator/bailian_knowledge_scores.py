"""Ranking: invented, but the same in every run, and simple enough to be worked out by hand.

The terms of a text are its words, in lower case, and its single Chinese characters. Recall scores by the share of
common terms in all terms of both; a reranker by the share of the query's terms that the chunk (title included) has.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from xingchen_core.emulator.bailian_index_store import Chunk, Document, Index
from xingchen_core.emulator.bailian_knowledge_filters import matches

MOST_CHUNKS = 20
"""No query returns more."""


@dataclass(frozen=True)
class Query:
    """One search of one knowledge base. `min_score` None: the base's own threshold."""

    text: str
    images: Sequence[str] = ()
    dense: int = 100
    sparse: int = 100
    rerank: bool = True
    top_n: int = 5
    min_score: float | None = None
    filters: Sequence[Any] = field(default_factory=list)
    nested_filters: bool = False


@dataclass(frozen=True)
class Hit:
    """A chunk that was found."""

    index: Index
    document: Document
    chunk: Chunk
    score: float
    similarity: float
    coverage: float


def terms(text: str) -> set[str]:
    """Words in lower case, and single Chinese characters."""
    return set(re.findall(r"[\u3400-\u9fff]|[^\W_\u3400-\u9fff]+", text.lower()))


def coverage(query: set[str], text: set[str]) -> float:
    """The share of the query's terms that the text has."""
    return round(len(query & text) / len(query), 4) if query else 0.0


def similarity(query: set[str], text: set[str]) -> float:
    """The share of common terms in all terms of both."""
    return round(len(query & text) / len(query | text), 4) if query | text else 0.0


def search(index: Index, query: Query, now: float) -> list[Hit]:
    """The best chunks, best first."""
    wanted = terms(query.text)
    hits = []
    for document, chunk in index.found(now):
        if not matches(query.filters, facts(document), index.searchable, nested=query.nested_filters):
            continue
        has = terms(" ".join([chunk.content, *chunk.headings]))
        pictured = 1.0 if set(query.images) & set(chunk.images) else 0.0
        near, covered = max(similarity(wanted, has), pictured), max(coverage(wanted, has), pictured)
        hits.append(Hit(index, document, chunk, near, near, covered))
    hits.sort(key=lambda hit: -hit.similarity)
    by_words = sorted((hit for hit in hits if hit.coverage), key=lambda hit: -hit.coverage)
    recalled = {id(hit): hit for hit in [*hits[: query.dense], *by_words[: query.sparse]]}
    if not query.rerank:
        return sorted(recalled.values(), key=lambda hit: -hit.score)[:MOST_CHUNKS]
    threshold = index.rerank_min_score if query.min_score is None else query.min_score
    ranked = [
        Hit(index, hit.document, hit.chunk, hit.coverage, hit.similarity, hit.coverage)
        for hit in recalled.values()
        if hit.coverage > threshold  # only scores above it are kept
    ]
    return sorted(ranked, key=lambda hit: -hit.score)[: query.top_n]


def facts(document: Document) -> dict[str, Any]:
    """What filters can ask about."""
    file = document.file
    return {**document.meta, "tags": file.tags, "doc_id": file.file_id, "doc_name": file.stem}
