"""The emulator's search: BM25 by hand, and what it decides."""

from math import log

import pytest

from xingchen_core.emulator import Emulator
from xingchen_core.emulator.bailian_index_store import Chunk
from xingchen_core.emulator.bailian_knowledge_scores import Query, bm25, search


def test_bm25_by_hand() -> None:
    """Two texts of the usual length, one term in one of them: its weight is ln 2, and its frequency counts 1."""
    assert bm25({"a"}, [["a", "b"], ["c", "d"]]) == pytest.approx([log(2), 0])


def test_rare_terms_and_short_texts_count_for_more() -> None:
    """The rarer of two terms weighs more; a term said twice more than once, but less than twice; a long text less."""
    rare, common, *_ = bm25({"rare", "all"}, [["rare", "x"], ["all", "x"], ["all", "y"], ["all", "z"]])
    assert rare > common
    once, twice = bm25({"a"}, [["a", "x"], ["a", "a"]])
    assert once < twice < 2 * once
    short, long = bm25({"a"}, [["a"], ["a", "x", "y"]])
    assert short > long


def test_nothing_to_rank() -> None:
    """No texts, empty ones, and an empty query."""
    assert bm25({"a"}, []) == []
    assert bm25({"a"}, [[], ["b"]]) == [0, 0]
    assert bm25(set(), [["a"]]) == [0]


@pytest.mark.parametrize("rerank", [True, False])
def test_of_equals_the_rarer_comes_first(rerank: bool) -> None:
    """Both chunks have one of two terms; only one has the term that hardly any chunk has."""
    with Emulator() as emulator:
        index = emulator.bailian.knowledge.add_index("茶", "kbfake")
        texts = ["the tea", "the cup", "the pot", "dragonwell tea"]
        for number, text in enumerate(texts):
            emulator.bailian.knowledge.add_document("kbfake", f"{number}.md", chunks=[Chunk(f"c{number}", text)])
        found = search(index, Query("the dragonwell", rerank=rerank, top_n=2), now=1.0)
        assert [hit.score for hit in found[:2]] == ([0.5, 0.5] if rerank else [0.3333, 0.3333])
        assert found[0].chunk.content == "dragonwell tea"
        recalled = search(index, Query("the dragonwell", dense=0, sparse=1), now=1.0)
        assert [hit.chunk.content for hit in recalled] == ["dragonwell tea"]
