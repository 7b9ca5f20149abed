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

_MEDIA = ("image_urls", "audio_urls", "video_urls")
_NOT_FOR_MODELS = ("document_id", "index_id", *_MEDIA)
"""Metadata that says nothing about what a text means."""
_NOT_FOR_EMBEDDINGS = (*_NOT_FOR_MODELS, "document_url")


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
        "document_name": chunk.document_name,
        "document_id": chunk.document_id,
        "document_url": chunk.document_url,
        "index_id": chunk.index_id,
        "page_numbers": list(chunk.page_numbers),
        "image_urls": list(chunk.image_urls),
        "audio_urls": list(chunk.audio_urls),
        "video_urls": list(chunk.video_urls),
    }
    told = {name: value for name, value in told.items() if value}
    # A field of yours by such a name is content. A link with a query may be signed.
    hidden = [name for name in _NOT_FOR_MODELS if name in told]
    if "?" in (chunk.document_url or ""):
        hidden.append("document_url")
    document_id = chunk.document_id
    fields: dict[str, Any] = {
        "id_": chunk.id,
        "text": chunk.text,
        "metadata": {**chunk.fields, **told},
        "excluded_llm_metadata_keys": hidden,
        "excluded_embed_metadata_keys": [name for name in _NOT_FOR_EMBEDDINGS if name in told],
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
