"""Files of the data centre, from which knowledge bases are made, and the folders they are in.

Source: Model Studio, "data import API" (`/api/v1/connector/dash/...`), and the OpenAPI 2023-12-29 (`AddFile`, ...).
Every function describes the call with an API key, or with `signed_for=` (the workspace's id) its signed twin. An upload
takes three calls, see `upload_file`.
"""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from xingchen_core._call import Call
from xingchen_core._errors import APIResponseError, ConfigurationError, UnsupportedOperationError
from xingchen_core.bailian._openapi import KNOWLEDGE, data_of, keyed, segment, signed
from xingchen_core.bailian.knowledge_records import (
    Category,
    FileInfo,
    TokenPage,
    data,
    nothing,
    plain,
    read_file,
    token_page_of,
)

DOCUMENTS = "UNSTRUCTURED"
SESSION_FILES = "SESSION_FILE"
"""Kinds of category: files for knowledge bases, and files for one conversation with an application."""


@dataclass(frozen=True, slots=True)
class Lease:
    """Leave to upload one file. Its URL is a credential that soon expires."""

    id: str
    url: str = field(repr=False)
    method: str
    headers: Mapping[str, str] = field(repr=False)


def apply_lease(
    name: str, content: bytes, *, category_id: str = "default", kind: str = DOCUMENTS, signed_for: str | None = None
) -> Call[Lease]:
    """Ask leave to upload a file: `applyFileUploadLease`, or `ApplyFileUploadLease`.

    Args:
        name: With its extension, which says how it is read.
        content: The file. Its size and digest are sent, nothing else.
        category_id: The folder.
        kind: `DOCUMENTS`, or `SESSION_FILES` with an AccessKey.
        signed_for: The workspace, to sign the call.

    Raises:
        ConfigurationError: The file is empty, which the service refuses as too large.
    """
    if not content:
        raise ConfigurationError(f"{name} is empty: there is nothing to upload.")
    digest = hashlib.md5(content, usedforsecurity=False)
    if signed_for is None:
        body = {
            "category": category_id,
            "fileName": name,
            "sizeBytes": str(len(content)),  # a number is refused
            "contentMd5": base64.b64encode(digest.digest()).decode(),  # the page's example shows hex: base64 works
        }
        return keyed("POST", "connector/dash/applyFileUploadLease", _read_lease, body=body, remembered=True)
    form = {
        "FileName": name,
        "Md5": digest.hexdigest(),
        "SizeInBytes": str(len(content)),
        "CategoryType": kind,
        "UseInternalEndpoint": False,
    }
    path = f"/datacenter/category/{segment(category_id)}"
    return signed("ApplyFileUploadLease", "POST", signed_for, path, _read_lease, form=form, remembered=True)


def _read_lease(answer: Any) -> Lease:
    found = plain(data_of(answer))
    parameters = plain(found["param"])
    headers = parameters.get("headers") or {}
    headers = json.loads(headers) if isinstance(headers, str) else headers
    return Lease(
        id=found.get("lease_id") or found["file_upload_lease_id"],  # another page calls it so
        url=parameters["url"],
        method=parameters.get("method") or "PUT",
        headers={name: value or "" for name, value in headers.items()},
    )


def upload(lease: Lease, content: bytes) -> Call[None]:
    """Upload a file's bytes, with the headers that the lease demands and without a key.

    An empty `Content-Type` is demanded at times, and part of what the URL was signed for.

    Raises:
        APIResponseError: The lease has no usable URL.
    """
    parts = urlsplit(lease.url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise APIResponseError("The service gave a lease without a usable URL.", service=KNOWLEDGE.name)
    first, _, rest = parts.path.lstrip("/").partition("/")
    return Call(
        service=KNOWLEDGE,
        method=lease.method,
        origin=f"{parts.scheme}://{parts.netloc}",
        path=f"{parts.path or '/'}?{parts.query}",
        shown_path=f"/{first}/***" if rest else f"/{first}?***",
        headers=lease.headers,
        content=content,
        is_signed=False,
        is_json=False,
        remembered=True,
        parse=nothing,
    )


def add_file(
    lease_id: str,
    *,
    category_id: str = "default",
    parser: str = "AUTO_SELECT",
    parser_config: Mapping[str, str] | None = None,
    tags: Sequence[str] = (),
    original_url: str | None = None,
    kind: str = DOCUMENTS,
    signed_for: str | None = None,
) -> Call[str]:
    """Register an uploaded file and have it parsed: `addFile`, or `AddFile`. Returns its id; see `wait_for_files`.

    Args:
        lease_id: Of the upload.
        category_id: As given to `apply_lease`.
        parser: `AUTO_SELECT`, `DOCMIND`, `DOCMIND_DIGITAL`, `DOCMIND_LLM_VERSION`, `DASH_QWEN_VL_PARSER` or
            `DOCMIND_LLM_VERSION_MEDIA`.
        parser_config: Model and prompt of `DASH_QWEN_VL_PARSER`: `model_name`, `model_prompt`.
        tags: Chunks can be filtered by them.
        original_url: Where the original is: chunks carry it as `document_url`.
        kind: As given to `apply_lease`.
        signed_for: The workspace, to sign the call.
    """
    config = parser_config or {}
    if signed_for is None:
        body = {
            "leaseId": lease_id,
            "category": category_id,
            "categoryType": kind,
            "parser": parser,
            "parserConfig": _named(config, "modelName", "modelPrompt"),
            "tags": list(tags) or None,
            "originalFileUrl": original_url,
        }
        return keyed("POST", "connector/dash/addFile", _read_file_id, body=body, remembered=True)
    form = {
        "LeaseId": lease_id,
        "CategoryId": category_id,
        "CategoryType": kind,
        "Parser": parser,
        "ParserConfig": _named(config, "ModelName", "ModelPrompt"),
        "Tags": list(tags) or None,
        "OriginalFileUrl": original_url,
    }
    return signed("AddFile", "PUT", signed_for, "/datacenter/file", _read_file_id, form=form, remembered=True)


def describe_file(file_id: str, *, signed_for: str | None = None) -> Call[FileInfo]:
    """Look at a file: `describeFile`, or `DescribeFile`."""

    def parse(answer: Any) -> FileInfo:
        return read_file({"file_id": file_id, **data(answer)})

    if signed_for is None:
        return keyed("POST", "connector/dash/describeFile", parse, body={"fileId": file_id})
    return signed("DescribeFile", "GET", signed_for, f"/datacenter/file/{segment(file_id)}/", parse)


def list_files(
    category_id: str,
    *,
    name: str | None = None,
    file_ids: Sequence[str] = (),
    page_size: int = 20,
    next_token: str | None = None,
    signed_for: str,
) -> Call[TokenPage[FileInfo]]:
    """Read a part of a category's files: `ListFile`."""
    query = {
        "CategoryId": category_id,
        "FileName": name,
        "FileIds": list(file_ids) or None,
        "MaxResults": page_size,
        "NextToken": next_token,
    }
    return signed(
        "ListFile", "GET", signed_for, "/datacenter/files", token_page_of(read_file, "file_list"), query=query
    )


def set_tags(file_id: str, tags: Sequence[str], *, append: bool = False, signed_for: str | None = None) -> Call[None]:
    """Set the tags of a file: `batchUpdateFileTag`, or `UpdateFileTag`.

    Raises:
        UnsupportedOperationError: `append` with an AccessKey, which sets all tags at once.
    """
    if signed_for is None:
        body = {
            "fileInfos": [{"fileId": file_id, "tags": list(tags)}],
            "updateMode": "APPEND" if append else "OVERWRITE",
        }
        return keyed("POST", "connector/dash/batchUpdateFileTag", nothing, body=body)
    if append:
        raise UnsupportedOperationError("Tags can be appended with an API key only: give all of them.")
    path = f"/datacenter/file/{segment(file_id)}"
    return signed("UpdateFileTag", "PUT", signed_for, path, nothing, form={"Tags": list(tags)})


def delete_file(file_id: str, *, signed_for: str | None = None) -> Call[None]:
    """Delete a file: `deleteFile`, or `DeleteFile`. Knowledge bases that use it break."""
    if signed_for is None:
        return keyed("POST", "connector/dash/deleteFile", nothing, body={"fileId": file_id})
    return signed("DeleteFile", "DELETE", signed_for, f"/datacenter/file/{segment(file_id)}/", nothing)


def delete_files(file_ids: Sequence[str], *, signed_for: str) -> Call[None]:
    """Delete several files: `DeleteFiles`."""
    if not file_ids:
        raise ConfigurationError("Name the files to delete.")
    form = {"FileIds": list(file_ids)}
    return signed("DeleteFiles", "POST", signed_for, "/datacenter/file/delete", nothing, form=form)


def list_categories(
    name: str | None = None,
    *,
    kind: str = DOCUMENTS,
    page_size: int = 20,
    next_token: str | None = None,
    signed_for: str | None = None,
) -> Call[TokenPage[Category]]:
    """Read a part of the categories: `listCategory`, or `ListCategory`. `name` selects with an AccessKey only."""
    parse = token_page_of(lambda entry: Category.model_validate(plain(entry)), "category_list")
    if signed_for is None:
        if name is not None:
            raise UnsupportedOperationError("Categories can be selected by name with an AccessKey only.")
        body = {"type": kind, "maxResult": page_size, "nextToken": next_token}  # in the signed twin it is MaxResults
        return keyed("POST", "connector/dash/listCategory", parse, body=body)
    form = {"CategoryType": kind, "CategoryName": name, "MaxResults": page_size, "NextToken": next_token}
    return signed("ListCategory", "POST", signed_for, "/datacenter/categories", parse, form=form)


def add_category(
    name: str, *, parent_id: str | None = None, kind: str = DOCUMENTS, signed_for: str | None = None
) -> Call[str]:
    """Make a category: `addCategory`, or `AddCategory`. Returns its id."""

    def parse(answer: Any) -> str:
        return str(data(answer)["category_id"])

    if signed_for is None:
        body = {"categoryName": name, "categoryType": kind, "parentCategoryId": parent_id}
        return keyed("POST", "connector/dash/addCategory", parse, body=body, remembered=True)
    form = {"CategoryName": name, "CategoryType": kind, "ParentCategoryId": parent_id}
    return signed("AddCategory", "POST", signed_for, "/datacenter/category/", parse, form=form, remembered=True)


def delete_category(category_id: str, *, signed_for: str) -> Call[None]:
    """Delete a category: `DeleteCategory`."""
    return signed("DeleteCategory", "DELETE", signed_for, f"/datacenter/category/{segment(category_id)}/", nothing)


def _read_file_id(answer: Any) -> str:
    return str(data(answer)["file_id"])


def _named(config: Mapping[str, str], model: str, prompt: str) -> dict[str, str] | None:
    names = {"model_name": model, "model_prompt": prompt}
    if unknown := config.keys() - names.keys():
        raise ConfigurationError(f"parser_config has model_name and model_prompt, not {', '.join(sorted(unknown))}.")
    return {names[name]: value for name, value in config.items()} or None
