"""Making and changing knowledge bases and their chunks, for calls of every kind."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from xingchen_core.emulator.bailian_errors import Refusal
from xingchen_core.emulator.bailian_files_parsing import Chunking, settings_of
from xingchen_core.emulator.bailian_index_store import Chunk, Document, Index
from xingchen_core.emulator.bailian_knowledge_fields import Fields, invalid

if TYPE_CHECKING:
    from xingchen_core.emulator.bailian_knowledge import Knowledge

SCENES = {
    "basic_document_qa": "document",
    "visual_perception_qa": "document",
    "lite_document_qa": "document",
    "basic_table_qa": "table",
    "image_qa": "image",
    "basic_multimedia_qa": "multimedia",
}
STRUCTURES = ("structured", "unstructured")


def chunking_of(fields: Fields, names: Mapping[str, str], usual: Chunking | None = None) -> Chunking:
    """Chunking as a call asks for it; what it leaves out is the usual."""
    usual = usual or Chunking()
    return Chunking.of(
        fields.text(names["mode"], usual.mode or ""),
        fields.integer(names["size"], usual.size, 1, 6000),
        fields.integer(names["overlap"], usual.overlap, 0, 1024),
        fields.text(names["separator"], usual.separator or ""),
    )


def make_index(
    knowledge: "Knowledge", fields: Fields, names: Mapping[str, str], workspace: str, *, unique: bool
) -> Index:
    """A new knowledge base. `names`: how this call spells its members. `unique`: with an API key, a name only once."""
    name = fields.text(names["name"], most=20)
    structure = fields.text(names["structure"])
    if structure not in STRUCTURES:
        raise invalid(f"structureType must be one of {', '.join(STRUCTURES)}")
    kind, scene = fields.text("knowledgeType", ""), fields.text("knowledgeScene", "")
    if (kind or scene) and SCENES.get(scene) != kind:
        raise invalid(f"knowledgeType {kind} and knowledgeScene {scene} do not go together")
    # The signed call has no parameter for the model.
    pictured = unique and scene in ("image_qa", "visual_perception_qa")
    if pictured and not fields.text("multimodalEmbeddingModelName", ""):
        raise invalid("multimodalEmbeddingModelName is required")
    if unique and any(each.name == name and each.workspace == workspace for each in knowledge.indexes.values()):
        raise Refusal("KB_NAME_CONFLICT", f"the name is taken: {name}", status=409)
    columns = fields.objects(names["columns"])
    settings = {
        "structureType": structure,
        "sinkType": fields.text(names["sink"]),
        "sourceType": fields.text(names["source"], ""),
        "embeddingModelName": fields.text(names["embedding"], "text-embedding-v4"),
        "rerankModelName": fields.text(names["reranker"], "qwen3-rerank-hybrid"),
        "enableRewrite": fields.boolean(names["rewrite"], default=False),
        "knowledgeType": kind or "document",
        "knowledgeScene": scene or "basic_document_qa",
    }
    return knowledge.add_index(
        name,
        workspace=workspace,
        description=fields.text(names["description"], ""),
        rerank_min_score=fields.number(names["min_score"], 0.01, 0.01, 1.0),
        settings=settings_of(settings),
        chunking=chunking_of(fields, names),
        meta={
            each.get("Key", ""): each["Value"] for each in columns if each.get("Type") == "constant" and "Value" in each
        },
        searchable={each.get("Key", "") for each in columns if each.get("EnableSearch")},
    )


def update_index(index: Index, fields: Fields, names: Mapping[str, str]) -> None:
    """Name, description and threshold; nothing else can change."""
    index.name = fields.text(names["name"], index.name, most=20)
    index.description = fields.text(names["description"], index.description)
    if names["min_score"] in fields:
        # A number here, a text there.
        loose = Fields({"rerankMinScore": str(fields.values[names["min_score"]])}, written=True)
        index.rerank_min_score = loose.number("rerankMinScore", index.rerank_min_score, 0.01, 1.0)


def document_of(knowledge: "Knowledge", index: Index, file_id: str) -> Document:
    """A document of a base, by its file."""
    found = (each for each in index.listed(knowledge.now) if each.file.file_id == file_id)
    document = next(found, None)
    if document is None:
        raise invalid(f"file not exist in index, file_id: {file_id}")
    return document


def add_chunk(knowledge: "Knowledge", index: Index, file_id: str, field: Mapping[str, Any], images: list[str]) -> None:
    """A chunk written by hand, at the end of a document."""
    document, content = document_of(knowledge, index, file_id), Fields(field)
    number = len({chunk.chunk_id for chunk in document.versions})
    document.versions.append(
        Chunk(
            index.chunk_id(file_id, number),
            _checked_content(content.text("content")),
            _headings((), content.text("title", "", most=50)),
            tuple(images),
            source=1,
            since=knowledge.now + knowledge.write_lag_seconds,
        )
    )


def update_chunk(knowledge: "Knowledge", index: Index, chunk_id: str, fields: Fields, displayed_name: str) -> None:
    """Another content, title or visibility."""
    chunk = _chunk(knowledge, index, chunk_id)
    index.replace_chunk(
        chunk,
        knowledge.now,
        knowledge.write_lag_seconds,
        content=_checked_content(fields.text("content", chunk.content)),
        headings=_headings(chunk.headings, fields.text("title", "", most=50)),
        displayed=fields.boolean(displayed_name, default=chunk.displayed),
    )


def delete_chunks(knowledge: "Knowledge", index: Index, chunk_ids: list[str]) -> None:
    """All of them, or none."""
    if not 1 <= len(chunk_ids) <= 10:
        raise invalid("chunkIds: 1 to 10 ids")
    for chunk in [_chunk(knowledge, index, each) for each in chunk_ids]:
        index.delete_chunk(chunk, knowledge.now, knowledge.delete_lag_seconds)


def _chunk(knowledge: "Knowledge", index: Index, chunk_id: str) -> Chunk:
    chunk = index.chunk(chunk_id, knowledge.now)
    if chunk is None:
        raise invalid(f"chunk not exist, chunk_id: {chunk_id}")
    return chunk


def _checked_content(content: str) -> str:
    if not 10 <= len(content) <= 6000:
        raise invalid("content must have 10 to 6000 characters")
    return content


def _headings(before: tuple[str, ...], title: str) -> tuple[str, ...]:
    return (*before[:-1], title) if title else before
