"""The documents of a knowledge base, and their chunks.

Source: Model Studio, "RAG API" (`/api/v1/indices/rag/index/...`), and the OpenAPI 2023-12-29 (`ListIndexDocuments`,
`ListChunks` and others). Every function describes the call with an API key, or with `signed_for=` (the workspace's id)
its signed twin.
"""

import json
from collections.abc import Sequence
from typing import Any

from xingchen_core._call import Call, Listing, Page
from xingchen_core._errors import ConfigurationError
from xingchen_core.bailian._openapi import keyed, signed
from xingchen_core.bailian.knowledge_nodes import RetrievedNode, read_node
from xingchen_core.bailian.knowledge_records import LARGEST_PAGE, DocumentStatus, data, nothing, page_of, read_document

MOST_DELETED = 10
"""Chunks that one call deletes."""


def list_documents(
    index_id: str,
    *,
    page: int = 1,
    page_size: int = LARGEST_PAGE,
    name: str | None = None,
    status: str | None = None,
    signed_for: str | None = None,
) -> Call[Page[DocumentStatus]]:
    """Read one page of a knowledge base's documents: `index/files`, or `ListIndexDocuments` (newest first).

    `name` (a part of it) and `status` select with an AccessKey only.
    """
    parse = page_of(read_document, "rows", "documents")
    if signed_for is None:
        if name is not None or status is not None:
            raise ConfigurationError("Documents can be selected by name or status with an AccessKey only.")
        # One page of the documents calls it page_num, another page_number.
        query = {"index_id": index_id, "page_num": page, "page_number": page, "page_size": page_size}
        return keyed("GET", "indices/rag/index/files", parse, query=query)
    query = {
        "IndexId": index_id,
        "DocumentName": name,
        "EnableNameLike": None if name is None else True,
        "DocumentStatus": status,
        "PageNumber": page,
        "PageSize": page_size,
    }
    return signed("ListIndexDocuments", "GET", signed_for, "/index/list_index_documents", parse, query=query)


def all_documents(
    index_id: str, *, page_size: int = LARGEST_PAGE, signed_for: str | None = None
) -> Listing[DocumentStatus]:
    """List every document of a knowledge base, for a client's `iterate`."""
    return Listing(
        lambda number: list_documents(index_id, page=number, page_size=page_size, signed_for=signed_for),
        page_size,
        key=lambda document: document.id,
    )


def document_details(
    index_id: str, *, page: int = 1, page_size: int = LARGEST_PAGE, signed_for: str
) -> Call[Page[DocumentStatus]]:
    """Read one page of a knowledge base's documents with what the service knows of each: `ListIndexFileDetails`."""
    query = {"IndexId": index_id, "PageNumber": page, "PageSize": page_size}
    parse = page_of(read_document, "rows", "documents", "files")
    path = "/index/list_index_file_detail"
    return signed("ListIndexFileDetails", "POST", signed_for, path, parse, query=query)


def delete_documents(
    index_id: str, document_ids: Sequence[str], *, signed_for: str | None = None
) -> Call[tuple[str, ...]]:
    """Take documents out of a knowledge base: `delete_file`, or `DeleteIndexDocument`. Their files stay.

    Returns the ids that were deleted. Only documents that are ready or have failed can be: the rest is left out.
    """
    ids = list(document_ids)
    if not ids:
        raise ConfigurationError("Name the documents to delete.")

    def parse(answer: Any) -> tuple[str, ...]:
        found = data(answer)
        return tuple(map(str, found.get("deleted") or found.get("deleted_document") or ()))

    if signed_for is None:
        return keyed("POST", "indices/rag/index/delete_file", parse, body={"index_id": index_id, "doc_ids": ids})
    query = {"IndexId": index_id, "DocumentIds": ids}
    return signed("DeleteIndexDocument", "POST", signed_for, "/index/delete_index_document", parse, query=query)


def list_chunks(
    index_id: str,
    document_id: str | None = None,
    *,
    page: int = 1,
    page_size: int = LARGEST_PAGE,
    fields: Sequence[str] | None = None,
    signed_for: str | None = None,
) -> Call[Page[RetrievedNode]]:
    """Read one page of chunks, all with score 0: `chunklist`, or `ListChunks`.

    `document_id` is needed for documents and media, not for tables. `fields` (what is wanted of each chunk) is for an
    AccessKey only.
    """
    parse = page_of(read_node, "nodes")
    if signed_for is None:
        body = {"indexId": index_id, "docId": document_id, "pageNum": page, "pageSize": page_size}
        return keyed("POST", "indices/rag/index/chunklist", parse, body=body)
    wanted = None if fields is None else list(fields)
    twin = {"IndexId": index_id, "FileId": document_id, "Fields": wanted, "PageNum": page, "PageSize": page_size}
    return signed("ListChunks", "POST", signed_for, "/index/list_chunks", parse, body=twin)  # the one with a JSON body


def all_chunks(
    index_id: str, document_id: str | None = None, *, page_size: int = LARGEST_PAGE, signed_for: str | None = None
) -> Listing[RetrievedNode]:
    """List every chunk, for a client's `iterate`."""
    return Listing(
        lambda number: list_chunks(index_id, document_id, page=number, page_size=page_size, signed_for=signed_for),
        page_size,
        key=lambda chunk: chunk.id,
    )


def add_chunk(
    index_id: str,
    document_id: str,
    content: str,
    *,
    title: str | None = None,
    image_urls: Sequence[str] | None = None,
    signed_for: str | None = None,
) -> Call[None]:
    """Add a chunk to a document, not to media: `chunk/create`, or `AddChunk`. `content` is 10 to 6000 characters."""
    members = {"content": content, "title": title, "image_urls": list(image_urls) if image_urls else None}
    field = {name: value for name, value in members.items() if value is not None}
    # The same names in both, by chance: one as a body, the other as a query.
    if signed_for is None:
        body = {"pipelineId": index_id, "dataId": document_id, "field": field}
        return keyed("POST", "indices/rag/index/chunk/create", nothing, body=body, remembered=True)
    query = {"PipelineId": index_id, "dataId": document_id, "field": json.dumps(field, ensure_ascii=False)}
    return signed("AddChunk", "POST", signed_for, "/chunk/create", nothing, query=query, remembered=True)


def update_chunk(
    index_id: str,
    document_id: str,
    chunk_id: str,
    content: str,
    *,
    title: str | None = None,
    is_searchable: bool = True,
    signed_for: str | None = None,
) -> Call[None]:
    """Write a chunk anew, or take it out of retrieval: `chunk/update`, or `UpdateChunk`."""
    if signed_for is None:
        body = {
            "pipelineId": index_id,
            "chunkId": chunk_id,
            "dataId": document_id,
            "content": content,
            "title": title,
            "isDisplayedChunkContent": is_searchable,
        }
        return keyed("POST", "indices/rag/index/chunk/update", nothing, body=body)
    query = {
        "PipelineId": index_id,
        "ChunkId": chunk_id,
        "DataId": document_id,
        "content": content,
        "title": title,
        "IsDisplayedChunkContent": is_searchable,
    }
    return signed("UpdateChunk", "POST", signed_for, "/chunk/update", nothing, query=query)


def delete_chunks(index_id: str, chunk_ids: Sequence[str], *, signed_for: str | None = None) -> Call[None]:
    """Delete up to ten chunks: `chunk/delete`, or `DeleteChunk`.

    Raises:
        ConfigurationError: None, or more than ten.
    """
    if not 1 <= len(chunk_ids) <= MOST_DELETED:
        raise ConfigurationError(f"One call deletes 1 to {MOST_DELETED} chunks, not {len(chunk_ids)}.")
    if signed_for is None:
        body = {"pipelineId": index_id, "chunkIds": list(chunk_ids)}
        return keyed("POST", "indices/rag/index/chunk/delete", nothing, body=body)
    query = {"PipelineId": index_id, "ChunkIds": list(chunk_ids)}
    return signed("DeleteChunk", "POST", signed_for, "/chunk/delete", nothing, query=query)
