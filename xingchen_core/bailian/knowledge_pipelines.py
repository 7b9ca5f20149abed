"""The older API for keys, as LlamaIndex's and Spring's plug-ins use it. It is documented nowhere: for what exists only.

Source: the requests of llama-index-indices-managed-dashscope and llama-index-readers-dashscope. Bodies that nobody
documents are passed on as they are given, and answers are returned as they came.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from xingchen_core._call import Call, Flow
from xingchen_core._errors import NotFoundError, status_error
from xingchen_core.bailian._openapi import PIPELINE, keyed, segment
from xingchen_core.chat import Message

Answer = dict[str, Any]


def find_pipeline(name: str) -> Flow[str]:
    """Return the id of a knowledge base: `GET /api/v1/indices/pipeline_simple`.

    Raises:
        NotFoundError: The answer has no id. How the service says so is UNVERIFIED: an error of its own passes through.
    """
    found: str = yield keyed(
        "GET",
        "indices/pipeline_simple",
        lambda answer: str(answer.get("id") or ""),
        query={"pipeline_name": name},
        service=PIPELINE,
    )
    if not found:
        raise status_error(NotFoundError, f"No knowledge base is called {name!r}.", status_code=404, service="bailian")
    return found


def retrieve_prompt(
    pipeline_ids: Sequence[str],
    query: str,
    *,
    history: Sequence[Message] = (),
    system_prompt: str | None = None,
    image_urls: Sequence[str] = (),
    file_ids: Sequence[str] = (),
    max_tokens: int | None = None,
    extra: Mapping[str, Any] | None = None,
) -> Call[list[Answer]]:
    """Have a prompt assembled from several knowledge bases: entries with `text` and `nodes`, for the asking model.

    `extra` is for `prompt_strategy_name`, `maximum_allowed_chunk_num` and `prompt_enable_citation`.
    """
    body = {
        "pipeline_id_list": list(pipeline_ids),
        "query": query,
        "query_history": [{"role": message.role, "content": message.content} for message in history] or None,
        "system_prompt": system_prompt,
        "image_list": list(image_urls) or None,
        "file_id_list": list(file_ids) or None,
        "prompt_max_token_length": None if max_tokens is None else [max_tokens],
        **(extra or {}),
    }
    path = "indices/pipeline/retrieve_prompt"
    return keyed("POST", path, lambda answer: list(answer["data"]), body=body, service=PIPELINE)


def put_pipeline(body: Mapping[str, Any]) -> Call[Answer]:
    """Make a knowledge base, or change the one of this name: `PUT /api/v1/indices/pipeline`."""
    return keyed("PUT", "indices/pipeline", dict, body=body, remembered=True, service=PIPELINE)


def start_ingestion(pipeline_id: str) -> Call[str]:
    """Start the import of a knowledge base's documents: `managed_ingest`. Returns the import's id."""
    path = f"indices/pipeline/{segment(pipeline_id)}/managed_ingest"
    return keyed("POST", path, _ingestion_id, remembered=True, service=PIPELINE)


def ingestion_status(pipeline_id: str, ingestion_id: str) -> Call[Answer]:
    """Look at an import: `ingestion_status` is `PENDING`, `RUNNING`, `COMPLETED` or `FAILED`."""
    path = f"indices/pipeline/{segment(pipeline_id)}/managed_ingest/{segment(ingestion_id)}/status"
    return keyed("GET", path, dict, service=PIPELINE)


def add_pipeline_documents(pipeline_id: str, body: Mapping[str, Any]) -> Call[str]:
    """Import further documents. Returns the import's id."""
    path = f"indices/pipeline/{segment(pipeline_id)}/documents"
    return keyed("PUT", path, _ingestion_id, body=body, remembered=True, service=PIPELINE)


def delete_pipeline_documents(pipeline_id: str, document_ids: Sequence[str]) -> Call[None]:
    """Take documents out of a knowledge base.

    `component` is an object in LlamaIndex's request, and a list in Spring's: one of them is wrong (UNVERIFIED).
    """
    source = {"source_type": "DATA_CENTER_FILE", "component": {"doc_ids": list(document_ids)}}
    path = f"indices/pipeline/{segment(pipeline_id)}/delete"
    return keyed("POST", path, lambda answer: None, body={"data_sources": [source]}, service=PIPELINE)


def split_text(
    text: str,
    *,
    chunk_size: int = 500,
    overlap_size: int = 100,
    separator: str | None = None,
    language: str = "cn",
) -> Call[list[Answer]]:
    """Have a text cut as an import would. Chunks have `chunk_id`, `content`, `title`, `hier_title`, `nid`, `parent`."""
    body = {
        "text": text,
        "file_type": "idp",
        "chunk_size": chunk_size,
        "overlap_size": overlap_size,
        "language": language,
        "separator": separator,
    }
    path = "indices/component/configed_transformations/spliter"  # spelled so
    return keyed("POST", path, lambda answer: list(answer["chunkService"]["chunkResult"]), body=body, service=PIPELINE)


def pipeline_upload_lease(name: str, content: bytes, *, category_id: str = "default") -> Call[Answer]:
    """Ask leave to upload a file. Here the size is a number and the digest hex."""
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    body = {"file_name": name, "size_bytes": len(content), "content_md5": digest}
    return keyed("POST", f"{_category(category_id)}/upload_lease", dict, body=body, remembered=True, service=PIPELINE)


def pipeline_add_file(
    lease_id: str, *, parser: str = "DASHSCOPE_DOCMIND", category_id: str = "default"
) -> Call[Answer]:
    """Register an uploaded file."""
    body = {"lease_id": lease_id, "parser": parser}
    return keyed("POST", f"{_category(category_id)}/add_file", dict, body=body, remembered=True, service=PIPELINE)


def pipeline_query_file(file_id: str, *, category_id: str = "default") -> Call[Answer]:
    """Look at a file."""
    path = f"{_category(category_id)}/file/{segment(file_id)}/query"
    return keyed("POST", path, dict, body={"file_id": file_id}, service=PIPELINE)


def pipeline_download_lease(file_id: str, *, category_id: str = "default") -> Call[Answer]:
    """Ask leave to download what was parsed of a file."""
    path = f"{_category(category_id)}/file/{segment(file_id)}/download_lease"
    return keyed("POST", path, dict, body={"file_id": file_id}, service=PIPELINE)


def _category(category_id: str) -> str:
    return f"datacenter/category/{segment(category_id)}"


def _ingestion_id(answer: Any) -> str:
    return str(answer["ingestionId"] if "ingestionId" in answer else answer["ingestion_id"])
