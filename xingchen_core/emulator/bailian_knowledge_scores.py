"""A small real search, the same in every run, whose scores are simple enough to be worked out by hand.

The terms of a text are its words, in lower case, and its single Chinese characters. Chunks are recalled by BM25 over
the whole base (`sparse`), and by the share of common terms in all terms of both (`dense`). A reranker scores by the
share of the query's terms that the chunk (title included) has; of equals the better by BM25 comes first.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
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
    relevance: float = 0.0
    """By BM25: 0 without a common term, and without a highest value."""


def terms(text: str) -> set[str]:
    """Words in lower case, and single Chinese characters."""
    return set(_terms(text))


def _terms(text: str) -> list[str]:
    return re.findall(r"[\u3400-\u9fff]|[^\W_\u3400-\u9fff]+", text.lower())


def bm25(query: set[str], texts: Sequence[Sequence[str]], k1: float = 1.5, b: float = 0.75) -> list[float]:
    """How relevant each text is to a query: rare terms count for more, and a long text has to have more of them."""
    counts = [Counter(text) for text in texts]
    usual = sum(map(len, texts)) / len(texts) if texts else 0.0
    having = {term: sum(term in count for count in counts) for term in query}
    rarity = {term: math.log(1 + (len(texts) - n + 0.5) / (n + 0.5)) for term, n in having.items()}
    return [
        sum(
            rarity[term] * count[term] * (k1 + 1) / (count[term] + k1 * (1 - b + b * len(text) / usual))
            for term in sorted(query)
            if count[term]
        )
        for text, count in zip(texts, counts, strict=True)
    ]


def coverage(query: set[str], text: set[str]) -> float:
    """The share of the query's terms that the text has."""
    return round(len(query & text) / len(query), 4) if query else 0.0


def similarity(query: set[str], text: set[str]) -> float:
    """The share of common terms in all terms of both."""
    return round(len(query & text) / len(query | text), 4) if query | text else 0.0


def search(index: Index, query: Query, now: float) -> list[Hit]:
    """The best chunks, best first."""
    wanted = terms(query.text)
    found = list(index.found(now))
    texts = [_terms(" ".join([chunk.content, *chunk.headings])) for _, chunk in found]
    hits = []
    for (document, chunk), text, relevance in zip(found, texts, bm25(wanted, texts), strict=True):
        if not matches(query.filters, facts(document), index.searchable, nested=query.nested_filters):
            continue
        pictured = 1.0 if set(query.images) & set(chunk.images) else 0.0
        near, covered = max(similarity(wanted, set(text)), pictured), max(coverage(wanted, set(text)), pictured)
        hits.append(Hit(index, document, chunk, near, near, covered, relevance))
    hits.sort(key=lambda hit: (-hit.similarity, -hit.relevance))
    by_words = sorted((hit for hit in hits if hit.coverage), key=lambda hit: -hit.relevance)
    recalled = {id(hit): hit for hit in [*hits[: query.dense], *by_words[: query.sparse]]}
    if not query.rerank:
        return _best(recalled.values())[:MOST_CHUNKS]
    threshold = index.rerank_min_score if query.min_score is None else query.min_score
    ranked = [replace(hit, score=hit.coverage) for hit in recalled.values()]
    return _best(hit for hit in ranked if hit.score > threshold)[: query.top_n]  # only scores above it are kept


def _best(hits: Iterable[Hit]) -> list[Hit]:
    return sorted(hits, key=lambda hit: (-hit.score, -hit.relevance))


def facts(document: Document) -> dict[str, Any]:
    """What filters can ask about."""
    file = document.file
    return {**document.meta, "tags": file.tags, "doc_id": file.file_id, "doc_name": file.stem}
