"""Chunks as they come back, the same whatever the route. Source: Model Studio, "RAG API"; `Retrieve`, `ListChunks`.

Three shapes: `data.nodes[]` with `score`, `text`, `metadata`; the signed API's in PascalCase; and the older API's,
where each entry wraps a `node`.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class RetrievedNode(BaseModel):
    """A chunk.

    Attributes:
        id: Of the chunk, for updates and deletes; from the document's id and the text where the service sends none.
        text: The bare text; for audio and video, which may have none, the description of the clip.
        rendered_text: What the service makes of it for models: with a retrieval service, lines of `field: value`.
        score: 0 to 1, higher is better; of the reranker, if there is one. Not comparable between indexes or models.
            A retrieval service ranks by other, weighted scores: its order stays. 0 for chunks that were only listed.
        title: Of the chunk.
        heading_path: Titles above it and its own, separated by `>`.
        document_id, document_name: Of the file; the name comes without its extension.
        document_url: Where the original is, if its importer said.
        index_id: Of the knowledge base.
        page_numbers: Whether the first page is 0 is UNVERIFIED: as sent.
        image_urls, audio_urls, video_urls: Signed, and soon expired: do not store them.
        is_searchable: Whether it takes part in retrieval; `None` if the service does not say.
        fields: What else the chunk carries: metadata of yours, columns of a table (as text, `"25.0"`).
        raw: All the service sent. `file_path` in it is a signed URL: keep it out of prompts.
    """

    model_config = ConfigDict(frozen=True, defer_build=True)

    id: str
    text: str
    rendered_text: str = ""
    score: float | None = None
    title: str = ""
    heading_path: str = ""
    document_id: str = ""
    document_name: str = ""
    document_url: str | None = None
    index_id: str = ""
    page_numbers: tuple[int, ...] = ()
    image_urls: tuple[str, ...] = ()
    audio_urls: tuple[str, ...] = ()
    video_urls: tuple[str, ...] = ()
    is_searchable: bool | None = None
    fields: dict[str, Any] = Field(default_factory=dict)
    raw: dict[str, Any] = Field(default_factory=dict, repr=False)


_KNOWN = {
    "doc_id", "doc_name", "doc_url", "title", "hier_title", "content", "parent", "nid", "page_number", "file_path",
    "image_url", "audio_url", "video_url", "pipeline_id", "workspace_id", "is_displayed_chunk_content", "source",
}  # fmt: skip


def nodes_of(answer: Any) -> tuple[RetrievedNode, ...]:
    """Read the chunks of any route's answer. None at all is a good answer."""
    data = answer.get("data", answer.get("Data"))
    entries = _member(data, "nodes") if isinstance(data, Mapping) else None
    return tuple(read_node(entry) for entry in entries or _member(answer, "nodes") or ())


def read_node(entry: Mapping[str, Any]) -> RetrievedNode:
    """Read one chunk."""
    score = _member(entry, "score")
    inner = entry.get("node")
    source = inner if isinstance(inner, dict) else entry
    raw = _as_dict(_member(source, "metadata"))
    content = str(raw.get("content") or source.get("content") or "")
    rendered = str(_member(source, "text") or "")
    text = content or rendered or str(raw.get("clip_description") or "")
    document_id = str(raw.get("doc_id") or "")
    searchable = raw.get("is_displayed_chunk_content")
    return RetrievedNode(
        id=str(raw.get("_id") or source.get("id_") or hashlib.sha256(f"{document_id}\n{text}".encode()).hexdigest()),
        text=text,
        rendered_text=rendered,
        score=None if score is None else float(score),
        title=str(raw.get("title") or ""),
        heading_path=str(raw.get("hier_title") or "").replace("|", ">"),  # which one it is, is the route's choice
        document_id=document_id,
        document_name=str(raw.get("doc_name") or source.get("doc_name") or ""),
        document_url=raw.get("doc_url") or None,
        index_id=str(raw.get("pipeline_id") or ""),
        page_numbers=tuple(map(int, _as_list(raw.get("page_number")))),
        image_urls=tuple(map(str, _as_list(raw.get("image_url")))),
        audio_urls=tuple(map(str, _as_list(raw.get("audio_url")))),
        video_urls=tuple(map(str, _as_list(raw.get("video_url")))),
        is_searchable=None if searchable is None else str(searchable).lower() == "true",
        fields={key: value for key, value in raw.items() if key not in _KNOWN and not key.startswith("_")},
        raw=raw,
    )


def _member(entry: Mapping[str, Any], name: str) -> Any:
    value = entry.get(name)
    return entry.get(name.capitalize()) if value is None else value


def _as_dict(value: Any) -> dict[str, Any]:
    """Return metadata, which the reference's example shows as JSON text."""
    return dict(json.loads(value) if isinstance(value, str) else value or {})


def _as_list(value: Any) -> list[Any]:
    """Return a list that may come as a list, as its JSON text, or as its one item."""
    if isinstance(value, str):
        value = json.loads(value) if value.startswith("[") else value or None
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
