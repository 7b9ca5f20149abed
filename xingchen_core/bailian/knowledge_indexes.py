"""Knowledge bases themselves: list, find, change, delete. How they are made is in `knowledge_imports.py`.

Source: Model Studio, "RAG API" (`/api/v1/indices/rag/...`), and the OpenAPI 2023-12-29 (`ListIndices` and others).
Every function describes the call with an API key, or with `signed_for=` (the workspace's id) its signed twin.
"""

from typing import Any

from xingchen_core._call import Call, Flow, Listing, Page
from xingchen_core._errors import ConfigurationError, NotFoundError, UnsupportedOperationError, status_error
from xingchen_core.bailian._openapi import keyed, signed
from xingchen_core.bailian.knowledge_records import LARGEST_PAGE, IndexInfo, data, nothing, page_of, read_index


def list_indexes(
    name: str | None = None, *, page: int = 1, page_size: int = LARGEST_PAGE, signed_for: str | None = None
) -> Call[Page[IndexInfo]]:
    """Read one page of the knowledge bases whose name contains `name`: `index/list`, or `ListIndices`."""
    parse = page_of(read_index, "rows", "indices")
    if signed_for is None:
        query = {"page_number": page, "page_size": page_size, "pipeline_name": name}
        return keyed("GET", "indices/rag/index/list", parse, query=query)
    query = {"IndexName": name, "PageNumber": page, "PageSize": page_size}
    return signed("ListIndices", "GET", signed_for, "/index/list_indices", parse, query=query)


def all_indexes(
    name: str | None = None, *, page_size: int = LARGEST_PAGE, signed_for: str | None = None
) -> Listing[IndexInfo]:
    """List every knowledge base whose name contains `name`, for a client's `iterate`."""
    return Listing(
        lambda number: list_indexes(name, page=number, page_size=page_size, signed_for=signed_for),
        page_size,
        key=lambda index: index.id,
    )


def find_index(name: str, *, signed_for: str | None = None) -> Flow[IndexInfo]:
    """Find the one knowledge base of this name. Keep its id: this takes a call or more.

    Raises:
        NotFoundError: None is called so.
        ConfigurationError: Several are, which the service allows: choose one by id.
    """
    listing = all_indexes(name, signed_for=signed_for)
    exact: dict[str, IndexInfo] = {}
    number = 1
    while True:
        page = yield listing.page(number)
        exact |= {index.id: index for index in page.items if index.name == name}
        if listing.is_last(number, page):
            break
        number += 1
    if not exact:
        raise status_error(NotFoundError, f"No knowledge base is called {name!r}.", status_code=404, service="bailian")
    if len(exact) > 1:
        raise ConfigurationError(
            f"{len(exact)} knowledge bases are called {name!r}: pass index_id=, one of {', '.join(exact)}."
        )
    return next(iter(exact.values()))


def update_index(
    index_id: str,
    *,
    name: str | None = None,
    description: str | None = None,
    rerank_min_score: float | None = None,
    dense_top_k: int | None = None,
    sparse_top_k: int | None = None,
    signed_for: str | None = None,
) -> Call[None]:
    """Change what can be changed of a knowledge base: `index/update`, or `UpdateIndex`, which alone takes the top_k.

    Raises:
        UnsupportedOperationError: A top_k without `signed_for`.
    """
    if signed_for is None:
        if dense_top_k is not None or sparse_top_k is not None:
            raise UnsupportedOperationError("dense_top_k and sparse_top_k can be changed with an AccessKey only.")
        body = {"id": index_id, "name": name, "description": description, "rerankMinScore": rerank_min_score}
        return keyed("POST", "indices/rag/index/update", nothing, body=body)
    query = {
        "Id": index_id,
        "Name": name,
        "Description": description,
        "RerankMinScore": rerank_min_score,
        "DenseSimilarityTopK": dense_top_k,
        "SparseSimilarityTopK": sparse_top_k,
    }
    return signed("UpdateIndex", "POST", signed_for, "/index/update", nothing, query=query)


def delete_index(index_id: str, *, signed_for: str | None = None) -> Call[None]:
    """Delete a knowledge base, not its files: `index/delete`, or `DeleteIndex`. One in use by an application stays."""
    if signed_for is None:
        return keyed("POST", "indices/rag/index/delete", nothing, body={"index_id": index_id})
    return signed("DeleteIndex", "POST", signed_for, "/index/delete", nothing, query={"IndexId": index_id})


def index_monitor(index_id: str, start: int, end: int, *, signed_for: str) -> Call[dict[str, Any]]:
    """Read how a knowledge base was used between two times, in seconds since 1970: `GetIndexMonitor`."""
    query = {"IndexId": index_id, "StartTimestamp": start, "EndTimestamp": end}
    return signed("GetIndexMonitor", "GET", signed_for, "/rag/index/monitor", data, query=query)
