"""Work that takes several calls and its time: uploads, parsing, imports.

All are flows, for a client's `run`. To cancel one, close it or cancel the task that runs it; what the service has been
told to do goes on.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from xingchen_core._call import Call, Flow, Work
from xingchen_core._errors import APIResponseError, APITimeoutError, ConfigurationError
from xingchen_core._waiting import pauses
from xingchen_core.bailian.knowledge_files import DOCUMENTS, Lease, add_file, apply_lease, describe_file, upload
from xingchen_core.bailian.knowledge_imports import job_status
from xingchen_core.bailian.knowledge_records import DocumentStatus, FileInfo, JobStatus

D = TypeVar("D", DocumentStatus, FileInfo)

SMALLEST_PAGE = 10
"""Rows the service returns of a longer list even where it heeds no `page_size`: fewer are the end of it."""

Progress = Callable[[int, int], None]
"""Called with (finished, all) after each look."""


class DocumentsFailedError(APIResponseError):
    """Some documents could not be read or imported; the message lists them.

    Attributes:
        failed: The documents, each with the service's `code` and `message`.
        ready: Those that were imported.
    """

    is_retryable = False
    failed: "tuple[DocumentStatus | FileInfo, ...]" = ()
    ready: "tuple[DocumentStatus | FileInfo, ...]" = ()


def upload_file(
    file: bytes | Path,
    name: str | None = None,
    *,
    category_id: str = "default",
    parser: str = "AUTO_SELECT",
    parser_config: Mapping[str, str] | None = None,
    tags: Sequence[str] = (),
    original_url: str | None = None,
    kind: str = DOCUMENTS,
    signed_for: str | None = None,
) -> Flow[str]:
    """Upload a file to the data centre and have it parsed. Returns its id; see `wait_for_files`.

    `file` is its bytes, which need a `name` with an extension, or where it is: then it is read by a step of the flow,
    with asyncio in a thread. The rest is as in `add_file`. None of the three calls is repeated after a timeout.
    """
    name = name or ("" if isinstance(file, bytes) else file.name)
    if not name:
        raise ConfigurationError("Bytes need a name with an extension: the extension says how they are read.")

    def read() -> tuple[bytes, Call[Lease]]:
        content = file if isinstance(file, bytes) else file.read_bytes()
        return content, apply_lease(name, content, category_id=category_id, kind=kind, signed_for=signed_for)

    content, leasing = yield Work(read)  # also the digest of a large file takes its time
    lease: Lease = yield leasing
    yield upload(lease, content)
    file_id: str = yield add_file(
        lease.id,
        category_id=category_id,
        parser=parser,
        parser_config=parser_config,
        tags=tags,
        original_url=original_url,
        kind=kind,
        signed_for=signed_for,
    )
    return file_id


def wait_for_files(
    files: Sequence[str] | Mapping[str, str],
    *,
    timeout: float = 1800.0,
    interval: float = 3.0,
    on_progress: Progress | None = None,
    signed_for: str | None = None,
) -> Flow[tuple[FileInfo, ...]]:
    """Wait until files are parsed.

    Args:
        files: Their ids, or {id: name} for messages where the service tells no name.
        timeout: Seconds to wait at most between the looks.
        interval: Seconds before the second look; later ones wait half as long again, at most 30 s.
        on_progress: Called with (parsed or failed, all) after each look.
        signed_for: The workspace, to sign the calls.

    Raises:
        DocumentsFailedError: All are done, and some failed.
        APITimeoutError: Some are not done in time; the message lists them.
    """
    names = dict(files) if isinstance(files, Mapping) else dict.fromkeys(files, "")
    found: dict[str, FileInfo] = {}
    left = pauses(timeout, interval, growth=1.5)
    while True:
        for file_id in names:
            if file_id not in found or not (found[file_id].is_ready or found[file_id].has_failed):
                found[file_id] = yield describe_file(file_id, signed_for=signed_for)
        pending = [file for file in found.values() if not (file.is_ready or file.has_failed)]
        if on_progress is not None:
            on_progress(len(found) - len(pending), len(found))
        if not pending:
            return _all_ready(tuple(found.values()), names, "parsed")
        pause = next(left, None)
        if pause is None:
            raise _too_late(pending, names, timeout)
        yield pause


def wait_for_job(
    index_id: str,
    job_id: str,
    *,
    names: Mapping[str, str] | None = None,
    timeout: float = 3600.0,
    interval: float = 5.0,
    on_progress: Progress | None = None,
    signed_for: str | None = None,
) -> Flow[tuple[DocumentStatus, ...]]:
    """Wait until an import is over, by the state of each of its documents.

    The import's own state does not tell: it may be RUNNING for good after all documents are done, and is COMPLETED
    where some have failed.

    Args:
        index_id: Of the import.
        job_id: Of the import.
        names: {document id: name} of what is imported, for messages and for how many documents there will be.
        timeout: Seconds to wait at most between the looks. At peak times imports take hours.
        interval: Seconds before the second look; five is the least the service wants. Later ones wait half as long
            again, at most 30 s.
        on_progress: Called with (imported or failed, all) after each look.
        signed_for: The workspace, to sign the calls.

    Raises:
        DocumentsFailedError: It is over, and documents failed.
        APITimeoutError: It is not over in time; the message lists the documents that are not done.
    """
    names = names or {}
    left = pauses(timeout, interval, growth=1.5)
    while True:
        state, counted, documents = yield from _look(index_id, job_id, signed_for)
        expected = max(counted, len(names))
        pending = [each for each in documents if not (each.is_ready or each.has_failed)]
        if on_progress is not None:
            on_progress(len(documents) - len(pending), max(expected, len(documents)))
        if state == "FAILED":
            raise _failed([each for each in documents if not each.is_ready], documents, names, "imported")
        # While nobody has counted the documents (signed answers never do), "all are done" may be said too early.
        if not pending and len(documents) >= expected and (expected or state == "COMPLETED"):
            return _all_ready(tuple(documents), names, "imported")
        pause = next(left, None)
        if pause is None:
            listed = {each.id for each in documents}
            missing = [DocumentStatus(id=each, status="not listed") for each in names if each not in listed]
            raise _too_late([*pending, *missing], names, timeout)
        yield pause


def _look(index_id: str, job_id: str, signed_for: str | None) -> Flow[tuple[str, int, list[DocumentStatus]]]:
    """Return an import's state, how many documents the service has counted, and what it says of each."""
    documents: dict[str, DocumentStatus] = {}
    page = 1
    while True:
        status: JobStatus = yield job_status(index_id, job_id, page=page, signed_for=signed_for)
        known = len(documents)
        documents |= {each.id: each for each in status.documents}
        is_counted = 0 < status.total <= len(documents)
        if is_counted or len(status.documents) < SMALLEST_PAGE or len(documents) == known:
            return status.status, status.total, list(documents.values())
        page += 1


def _all_ready(found: tuple[D, ...], names: Mapping[str, str], done: str) -> tuple[D, ...]:
    if failed := [each for each in found if each.has_failed]:
        raise _failed(failed, found, names, done)
    return found


def _failed(failed: Sequence[D], found: Sequence[D], names: Mapping[str, str], done: str) -> DocumentsFailedError:
    listed = "; ".join(f"{_name(each, names)}: {_reason(each)}" for each in failed).rstrip(".")
    count = f"{len(failed)} of {max(len(found), len(names))} documents could not be {done}"
    error = DocumentsFailedError(f"{count}: {listed}." if failed else f"Nothing was {done}.", service="bailian")
    error.failed = tuple(failed)
    error.ready = tuple(each for each in found if each.is_ready)
    return error


def _too_late(pending: Sequence[D], names: Mapping[str, str], timeout: float) -> APITimeoutError:
    listed = ", ".join(f"{_name(each, names)} ({each.status or 'no status'})" for each in pending)
    return APITimeoutError(
        f"not done within {timeout:g} s: {listed or 'not all documents are listed'}", service="bailian"
    )


def _name(document: DocumentStatus | FileInfo, names: Mapping[str, str]) -> str:
    return names.get(document.id) or document.name or document.id


def _reason(document: DocumentStatus | FileInfo) -> str:
    """Return what the service says of a failure. Of a file it is no documented member: any that ends so may have it."""
    if isinstance(document, FileInfo):
        extra = document.model_extra or {}
        words = [document.status, *(str(extra[name]) for name in extra if name.endswith("message") and extra[name])]
    else:
        words = [document.status, document.code or "", document.message or ""]
    return ", ".join(dict.fromkeys(filter(None, words))) or "no reason given"
