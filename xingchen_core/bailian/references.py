"""Where an answer comes from: the markers in its text, and the documents they name.

Source: Model Studio, "application API reference". A marker is `<ref>[1]</ref>` and part of the text; `1` is the
`index_id` of a document in `doc_references`, or the `referenceIndex` of one found by a knowledge search.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic_core import from_json

_MARKER = re.compile(r"<ref>(\s*(?:\[[\d\s,，、]{1,40}\][\s,，、]*)+)</ref>")
"""Documented with one number; that several may stand in one marker is UNVERIFIED, `[1,2]` and `[1][2]` are read."""

_NUMBER = re.compile(r"\d+")


def citations(text: str, doc_references: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], ...]:
    """Return what the markers of a text name, in order; a marker with two numbers gives two.

    Each has `start` and `end` (`text[start:end]` is the marker), `number`, and of the document `title`, `doc_id`,
    `doc_name`, `url`, `text`, `images`, `page_number`; a document that is not among the references has None there.
    Links of images are signed and expire.
    """
    if "<ref>" not in text:
        return ()
    documents = _by_number(doc_references)
    return tuple(
        _citation(marker, int(number), documents.get(int(number), {}))
        for marker in _MARKER.finditer(text)
        for number in _NUMBER.findall(marker[1])
    )


def without_references(text: str) -> str:
    """Return a whole text without its markers. In a stream a marker can be cut: join first."""
    return _MARKER.sub("", text)


def with_sources(text: str, cited: Iterable[Mapping[str, Any]]) -> str:
    """Return a whole text for a model to read: markers as `[1]`, and below it the titles, from its `citations`."""
    titles = {each["number"]: each["title"] or each["doc_name"] for each in cited}
    lines = [f"[{number}] {title}" for number, title in sorted(titles.items()) if title]
    return "\n".join([_MARKER.sub(lambda marker: marker[1], text), *lines])


def documents(
    doc_references: Sequence[Mapping[str, Any]] | None, thoughts: Iterable[Mapping[str, Any]] | None
) -> list[dict[str, Any]]:
    """Return the documents behind an answer, with the `chunk_id` and `score` that only a knowledge search tells."""
    found = retrieved(thoughts or ())
    by_number = {document["index_id"]: document for document in found}
    known = ("chunk_id", "score")
    return [
        {**document, **{name: by_number.get(str(document.get("index_id")), {}).get(name) for name in known}}
        for document in doc_references or found
    ]


def _by_number(references: Sequence[Mapping[str, Any]]) -> dict[int, Mapping[str, Any]]:
    """Return the documents by the number that markers have. Where none says its `index_id`, the order numbers them."""
    ids = [str(reference.get("index_id") or "") for reference in references]
    if not any(ids):
        return dict(enumerate(references, 1))
    return {int(name): document for name, document in zip(ids, references, strict=True) if name.isdecimal()}


def _citation(marker: re.Match[str], number: int, document: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "start": marker.start(),
        "end": marker.end(),
        "number": number,
        "title": document.get("title"),
        "doc_id": document.get("doc_id"),
        "doc_name": document.get("doc_name"),
        "url": document.get("doc_url"),
        "text": document.get("text"),
        "images": document.get("images"),
        "page_number": document.get("page_number"),
    }


def retrieved(thoughts: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what knowledge searches found, in the shape of `doc_references`, which not every application sends.

    Beside it `chunk_id` and `score`, which those lack.
    """
    return [
        {
            "index_id": str(item.get("referenceIndex") or ""),
            "title": item.get("title"),
            "doc_id": item.get("dataId"),
            "doc_name": item.get("dataName"),
            "text": item.get("content"),
            "images": item.get("images"),
            "chunk_id": item.get("id"),
            "score": item.get("score"),
        }
        for item in _found(thoughts)
    ]


def _found(thoughts: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for thought in thoughts:
        if thought.get("action_type") == "agentRag":
            items = json_of(thought.get("observation"))
            yield from (item for item in items if isinstance(item, dict)) if isinstance(items, list) else ()


def json_of(value: Any) -> Any:
    """Return what a member that is JSON in a text holds; the value itself if it is something else."""
    if not isinstance(value, str):
        return value
    try:
        return from_json(value)
    except ValueError:
        return value
