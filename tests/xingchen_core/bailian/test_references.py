"""Markers in an answer's text, and the documents they name."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app_events import REFERENCE, deltas, output
from xingchen_core.bailian import without_references
from xingchen_core.bailian.references import citations, documents, retrieved, with_sources

SECOND = {"index_id": "2", "title": "平板", "doc_id": "file_fake_2", "doc_name": "pads", "text": "P7", "images": None}
TEXT = "推荐 Z9<ref>[1]</ref>,或者 P7<ref>[2]</ref>。"
FOUND = [
    {
        "start": 5,
        "end": 19,
        "number": 1,
        "title": "手机",
        "doc_id": "file_fake_1",
        "doc_name": "phones",
        "url": None,
        "text": "Z9 售价 2999 元",
        "images": [],
        "page_number": [3],
    },
    {
        "start": 25,
        "end": 39,
        "number": 2,
        "title": "平板",
        "doc_id": "file_fake_2",
        "doc_name": "pads",
        "url": None,
        "text": "P7",
        "images": None,
        "page_number": None,
    },
]
OBSERVED = [
    {"content": "【正文】P7", "title": "平板", "dataId": "file_fake_2", "dataName": "pads", "referenceIndex": 2},
    {"content": "【正文】Z9", "title": "手机", "dataId": "file_fake_1", "dataName": "phones", "referenceIndex": 1},
]


def numbers(text: str, references: Any = ()) -> list[tuple[str, int, str | None]]:
    """(marker, number, title) of each citation."""
    return [(text[c["start"] : c["end"]], c["number"], c["title"]) for c in citations(text, references)]


def test_citations() -> None:
    """Trap 8: a marker's number is the `index_id` of a document, a text; indices slice the whole text."""
    assert list(citations(TEXT, [SECOND, REFERENCE])) == FOUND
    assert [TEXT[c["start"] : c["end"]] for c in FOUND] == ["<ref>[1]</ref>", "<ref>[2]</ref>"]


@pytest.mark.parametrize(
    "marker", ["<ref>[1,2]</ref>", "<ref>[1][2]</ref>", "<ref>[1], [2]</ref>", "<ref>[1，2]</ref>"]
)
def test_several_in_one_marker(marker: str) -> None:
    """Each number of a marker is a citation, with the same place."""
    assert numbers(marker, [REFERENCE, SECOND]) == [(marker, 1, "手机"), (marker, 2, "平板")]
    assert without_references(f"好{marker}。") == "好。"


def test_by_position() -> None:
    """References without numbers are counted from 1; a number that names none still has its place."""
    unnumbered = [{"title": "甲"}, {"title": "乙"}]
    assert numbers("<ref>[2]</ref><ref>[3]</ref>", unnumbered) == [
        ("<ref>[2]</ref>", 2, "乙"),
        ("<ref>[3]</ref>", 3, None),
    ]


@pytest.mark.parametrize(
    "text", ["", "[1]", "<ref>1</ref>", "<ref>[a]</ref>", "<ref>[1]<ref>", f"<ref>[{'1' * 5000}]</ref>"]
)
def test_no_marker(text: str) -> None:
    """What only resembles a marker is text."""
    assert (numbers(text, [REFERENCE]), without_references(text)) == ([], text)


def test_hostile_text_is_quick() -> None:
    """A marker that never closes costs no more than its length."""
    assert numbers("<ref>" + "[1]   " * 20_000) == []


def test_retrieved() -> None:
    """What a knowledge search found serves as references; other thoughts and broken observations are passed over."""
    thoughts = [
        {"action_type": "agentRag", "observation": json.dumps(OBSERVED, ensure_ascii=False)},
        {"action_type": "agentRag", "observation": "[]"},
        {"action_type": "agentRag", "observation": "没有"},
        {"action_type": "agentRag"},
        {"action_type": "api", "observation": '["2026-11-21: 喜欢手机"]'},
    ]
    found = [(r["index_id"], r["title"], r["doc_id"], r["doc_name"], r["text"]) for r in retrieved(thoughts)]
    assert found == [
        ("2", "平板", "file_fake_2", "pads", "【正文】P7"),
        ("1", "手机", "file_fake_1", "phones", "【正文】Z9"),
    ]


def test_retrieved_stands_in() -> None:
    """An application that does not send its references shows them in its thoughts."""
    rag = {"action_type": "agentRag", "action": "rag", "observation": json.dumps(OBSERVED)}
    last = deltas([output("Z9<ref>[1]</ref>", thoughts=[rag]), output("", reason="stop")])[-1]
    assert last.additional is not None
    assert [(c["number"], c["doc_id"]) for c in last.additional["citations"]] == [(1, "file_fake_1")]
    assert "doc_references" not in last.metadata


@given(st.sets(st.integers(1, len(TEXT) - 1)), st.booleans())
def test_cut_anywhere(cuts: set[int], incremental: bool) -> None:
    """Wherever events cut the text, and in both ways of streaming, the citations and the text are the same."""
    ends = [*sorted(cuts), len(TEXT)]
    starts = [0, *ends[:-1]] if incremental else [0] * len(ends)
    pieces = [TEXT[start:end] for start, end in zip(starts, ends, strict=True)]
    bodies = [output(piece, doc_references=[REFERENCE]) for piece in pieces]
    final = output("" if incremental else TEXT, reason="stop", doc_references=[REFERENCE, SECOND])
    found = deltas([*bodies, final], incremental_output=incremental)
    assert "".join(delta.text for delta in found) == TEXT
    assert found[-1].additional == {"citations": FOUND}
    assert found[-1].metadata["doc_references"] == [REFERENCE, SECOND]


def test_after_the_cut() -> None:
    """Citations are of the text that is shown: none of what a stop sequence cut off."""
    last = deltas([output(TEXT, doc_references=[REFERENCE, SECOND]), output("", reason="stop")], stop=",")[-1]
    assert last.additional == {"citations": FOUND[:1]}


def test_with_sources() -> None:
    """For a model to read: markers in short, and once each what they name, by number; unknown ones stay numbers."""
    text = "甲<ref>[2]</ref>乙<ref>[1][2]</ref>丙<ref>[7]</ref>。"
    assert with_sources(text, citations(text, [SECOND, REFERENCE])) == "甲[2]乙[1][2]丙[7]。\n[1] 手机\n[2] 平板"
    untitled = {**SECOND, "title": None}
    assert with_sources("甲<ref>[2]</ref>", citations("甲<ref>[2]</ref>", [untitled])) == "甲[2]\n[2] pads"
    assert with_sources("甲。", ()) == "甲。"


def test_documents() -> None:
    """References as sent, with the chunk and the score that only the search tells; else what the search found."""
    items = [{**OBSERVED[1], "id": "chunk_fake_1", "score": 0.8}, OBSERVED[0]]
    thoughts = [{"action_type": "agentRag", "observation": json.dumps(items)}]
    assert documents([REFERENCE, SECOND], thoughts) == [
        {**REFERENCE, "chunk_id": "chunk_fake_1", "score": 0.8},
        {**SECOND, "chunk_id": None, "score": None},
    ]
    assert documents([SECOND], None) == [{**SECOND, "chunk_id": None, "score": None}]
    assert [(each["index_id"], each["chunk_id"], each["score"]) for each in documents(None, thoughts)] == [
        ("1", "chunk_fake_1", 0.8),
        ("2", None, None),
    ]
    assert documents(None, None) == []
