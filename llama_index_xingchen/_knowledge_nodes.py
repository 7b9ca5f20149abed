"""Chunks of knowledge bases as LlamaIndex's nodes."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from llama_index.core.schema import (
    ImageNode,
    IndexNode,
    NodeRelationship,
    NodeWithScore,
    RelatedNodeInfo,
    TextNode,
)

from xingchen_core.bailian.knowledge import RetrievedNode

_MEDIA = ("images", "audios", "videos")
_NOT_FOR_MODELS = ("doc_id", "index_id", "url", *_MEDIA)
"""Metadata that says nothing about what a text means."""


class _Chunk(TextNode):
    """A node whose hash leaves out links: they are signed anew for each query.

    Where the answers to several queries are fused, the same chunk is known by its hash.
    """

    @property
    def hash(self) -> str:
        lasting = {name: value for name, value in self.metadata.items() if name not in _MEDIA}
        told = json.dumps([self.id_, self.text, lasting], ensure_ascii=False, sort_keys=True, default=str)
        return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()


class _Picture(_Chunk, ImageNode):
    """The same of a chunk with a picture."""


class _Link(_Chunk, IndexNode):
    """The same of a chunk that leads to an object."""


def to_node(chunk: RetrievedNode, objects: Mapping[str, Any]) -> NodeWithScore:
    """Return a chunk as a node; as one that leads to an object if there is one for its document."""
    told = {
        "title": chunk.title,
        "heading_path": chunk.heading_path,
        "doc_name": chunk.document_name,
        "doc_id": chunk.document_id,
        "page_number": list(chunk.page_numbers),
        "url": chunk.document_url,
        "index_id": chunk.index_id,
        "images": list(chunk.image_urls),
        "audios": list(chunk.audio_urls),
        "videos": list(chunk.video_urls),
    }
    told = {name: value for name, value in told.items() if value}
    hidden = [name for name in _NOT_FOR_MODELS if name in told]  # a field of yours by such a name is content
    document_id = chunk.document_id
    fields: dict[str, Any] = {
        "id_": chunk.id,
        "text": chunk.text,
        "metadata": {**chunk.fields, **told},
        "excluded_llm_metadata_keys": hidden,
        "excluded_embed_metadata_keys": list(hidden),
        "relationships": {NodeRelationship.SOURCE: RelatedNodeInfo(node_id=document_id)} if document_id else {},
    }
    node: TextNode
    if document_id in objects:
        node = _Link(**fields, index_id=document_id)
    elif chunk.image_urls:
        node = _Picture(**fields, image_url=chunk.image_urls[0])
    else:
        node = _Chunk(**fields)
    return NodeWithScore(node=node, score=chunk.score)
