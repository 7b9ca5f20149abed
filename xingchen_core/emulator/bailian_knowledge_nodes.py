"""Chunks as the routes show them."""

from typing import TYPE_CHECKING, Any

from xingchen_core.emulator.bailian_index_store import Chunk, Document, Index

if TYPE_CHECKING:
    from xingchen_core.emulator.bailian_knowledge import Knowledge
    from xingchen_core.emulator.bailian_knowledge_scores import Hit


def hit_metadata(knowledge: "Knowledge", hit: "Hit", route: str) -> dict[str, Any]:
    """Metadata of a chunk that was found, with the scores nobody should use."""
    index = hit.index
    found = metadata(knowledge, index, hit.document, hit.chunk, ">" if route == "search" else "|")
    found.update({"_score": hit.score, "_rc_score": hit.similarity, "_rc_v_score": hit.similarity})
    found["_rc_t_score"] = round(hit.relevance, 4)
    if route == "search":
        found["_knowledge_type"] = index.settings.get("knowledgeType", "document")
        found["_knowledge_scene"] = index.settings.get("knowledgeScene", "basic_document_qa")
    return found


def metadata(
    knowledge: "Knowledge", index: Index, document: Document, chunk: Chunk, separator: str = "|"
) -> dict[str, Any]:
    """Metadata of any chunk. URLs of media are signed, and end."""
    file = document.file
    return {
        **document.meta,
        "_id": chunk.chunk_id,
        "doc_id": file.file_id,
        "doc_name": file.stem,
        "doc_url": file.url,
        "title": chunk.title,
        "hier_title": separator.join(chunk.headings),
        "content": chunk.content,
        "parent": "",
        "nid": chunk.chunk_id.rpartition("_")[2],
        "page_number": [0],
        "image_url": [_signed(knowledge, url) for url in chunk.images],
        "file_path": knowledge.signed_url(f"parsed/{file.file_id}.json"),
        "pipeline_id": index.index_id,
        "workspace_id": index.workspace,
        "is_displayed_chunk_content": chunk.displayed,
        "source": chunk.source,
    }


def text_of(knowledge: "Knowledge", document: Document, chunk: Chunk, route: str) -> str:
    """`text`: the bare chunk, or lines of `field: value`."""
    if route not in knowledge.text_with_fields:
        return chunk.content
    return f"文档名: {document.file.stem}\n标题: {chunk.title}\n正文: {chunk.content}"


def node(knowledge: "Knowledge", hit: "Hit", route: str) -> dict[str, Any]:
    """One result."""
    text = text_of(knowledge, hit.document, hit.chunk, route)
    return {"score": hit.score, "text": text, "metadata": hit_metadata(knowledge, hit, route)}


def listed_chunks(knowledge: "Knowledge", index: Index, document: Document) -> list[dict[str, Any]]:
    """All chunks of a document, as lists show them: without a score."""
    return [
        {"score": 0, "text": chunk.content, "metadata": metadata(knowledge, index, document, chunk)}
        for chunk in document.chunks
        if knowledge.now < chunk.until
    ]


def _signed(knowledge: "Knowledge", url: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}Expires={int(knowledge.now + knowledge.url_seconds)}"
