"""Putting documents into a knowledge base and taking them out again: the work of the frameworks' `BailianIndex`.

All are flows, for a client's `run`. The calls are those of `knowledge_files.py`, `knowledge_imports.py` and
`knowledge_documents.py`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from xingchen_core._call import Flow
from xingchen_core._errors import (
    APIConnectionError,
    APIResponseError,
    ConfigurationError,
    NotFoundError,
    XingchenError,
)
from xingchen_core._locks import ProcessLock
from xingchen_core.bailian.knowledge_documents import all_documents, delete_documents
from xingchen_core.bailian.knowledge_files import delete_file, describe_file
from xingchen_core.bailian.knowledge_imports import Chunking, IndexSpec, Source, create_index, import_documents
from xingchen_core.bailian.knowledge_indexes import find_index
from xingchen_core.bailian.knowledge_records import DocumentStatus, FileInfo, IndexJob
from xingchen_core.bailian.knowledge_waiting import DocumentsFailedError, upload_file, wait_for_files, wait_for_job

OnProgress = Callable[[str, int, int], None]
"""Called with (`Uploading`, `Parsing` or `Importing`, finished, all). What it raises ends the work."""

LONGEST_NAME = 128
"""Characters of a file's name. The shortest has four."""

MOST_AT_ONCE = 100
"""Documents that one call deletes: a signed one names them in its URL. What the service's limit is, is UNVERIFIED."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewFile:
    """A file that is to be in a knowledge base.

    Attributes:
        id: How the caller knows it.
        name: With the extension, which says how it is read.
        content: Its bytes, or where it is: then it is read when its turn comes.
        tags: Chunks can be filtered by them.
        original_url: Where the original is: chunks carry it as `document_url`.
        parser: As for `add_file`.
    """

    id: str
    name: str
    content: bytes | Path
    tags: tuple[str, ...] = ()
    original_url: str | None = None
    parser: str = "AUTO_SELECT"


@dataclass(frozen=True)
class Building:
    """How documents get into a knowledge base.

    Attributes:
        category_id: The folder of the data centre for the files.
        wait_timeout: Seconds to wait for the parsing, and again for the import. At peak times imports take hours.
        poll_interval: Seconds before the second look at them; later ones wait half as long again, at most 30.
        chunking: How documents are cut; default: the service decides.
        signed_for: The workspace, to sign the calls.
        show_progress: Show bars, by tqdm.
        on_progress: Told of the progress.

    Raises:
        ConfigurationError: Bars are wanted, and there is no tqdm.
    """

    category_id: str = "default"
    wait_timeout: float = 3600.0
    poll_interval: float = 5.0
    chunking: Chunking | None = None
    signed_for: str | None = None
    show_progress: bool = False
    on_progress: OnProgress | None = None

    def __post_init__(self) -> None:
        if self.show_progress and find_spec("tqdm") is None:
            raise ConfigurationError("show_progress=True draws bars by tqdm: pip install tqdm, or pass on_progress=...")

    def making(self, name: str) -> ProcessLock:
        """Return the lock of whoever makes a knowledge base of this name, for `with` or `async with`: of two at once
        the service would make two.
        """
        return ProcessLock(f"bailian knowledge base {name}")

    def refuse_taken(self, name: str) -> Flow[None]:
        """Refuse the name of a knowledge base that is taken, which the service would not."""
        try:
            found = yield from find_index(name, signed_for=self.signed_for)
        except NotFoundError:
            return
        raise ConfigurationError(
            f"There is a knowledge base called {name!r}: insert into BailianIndex({found.id!r}), or take another name."
        )

    def upload(self, files: Sequence[NewFile]) -> Flow[dict[str, str]]:
        """Upload files and have them parsed; if one cannot be, none stays. Returns {file id: `NewFile.id`}.

        Raises:
            DocumentsFailedError: Some could not be parsed.
            OSError: One could not be read.
        """
        sent: dict[str, NewFile] = {}
        try:
            with self._bar("Uploading", len(files)) as progress:
                for file in files:
                    file_id = yield from upload_file(
                        file.content,
                        file.name,
                        category_id=self.category_id,
                        parser=file.parser,
                        tags=file.tags,
                        original_url=file.original_url,
                        signed_for=self.signed_for,
                    )
                    sent[file_id] = file
                    progress(len(sent), len(files))
            with self._bar("Parsing", len(files)) as progress:
                names = {file_id: file.name for file_id, file in sent.items()}
                yield from wait_for_files(names, on_progress=progress, **self._patience())
        except Exception:  # also what `on_progress` raises
            yield from self._discard(tuple(sent))
            raise
        return {file_id: file.id for file_id, file in sent.items()}

    def plan(self, name: str, options: Mapping[str, Any]) -> IndexSpec:
        """Describe a knowledge base before its files are uploaded, and so find what does not fit.

        `options` are further fields of `IndexSpec`. The source is yet to come: see `create`.
        """
        given = {"chunking": self.chunking or Chunking(), **options}
        return IndexSpec(**given, name=name, source=Source(document_ids=("",)))

    def create(self, spec: IndexSpec, file_ids: Sequence[str]) -> Flow[IndexJob]:
        """Make a planned knowledge base of uploaded files, and begin its import."""
        spec = spec.model_copy(update={"source": Source(document_ids=tuple(file_ids))})
        try:
            return (yield from create_index(spec, signed_for=self.signed_for))
        except XingchenError as error:
            if self.signed_for is None:  # signed calls are two: the first may have made what needs the files
                yield from self._discard_unless_unknown(error, file_ids)
            raise

    def start(self, index_id: str, file_ids: Sequence[str]) -> Flow[IndexJob]:
        """Begin to import uploaded files into a knowledge base. If the service refuses, the files do not stay."""
        source = Source(document_ids=tuple(file_ids))
        try:
            job: IndexJob = yield import_documents(index_id, source, chunking=self.chunking, signed_for=self.signed_for)
        except XingchenError as error:
            yield from self._discard_unless_unknown(error, file_ids)
            raise
        return job

    def wait(self, job: IndexJob, files: Mapping[str, str]) -> Flow[None]:
        """Wait until an import is over. `files` tells what is called how. What failed is taken out again.

        Raises:
            DocumentsFailedError: Some could not be imported.
            APITimeoutError: It is not over in time. The service goes on with it.
        """
        try:
            with self._bar("Importing", len(files)) as progress:
                yield from wait_for_job(job.index_id, job.job_id, names=files, on_progress=progress, **self._patience())
        except DocumentsFailedError as error:
            with suppress(XingchenError):
                failed = [document.id for document in error.failed]
                yield from removal(job.index_id, failed, with_file=True, signed_for=self.signed_for)
            raise

    def _patience(self) -> dict[str, Any]:
        return {"timeout": self.wait_timeout, "interval": self.poll_interval, "signed_for": self.signed_for}

    def _discard_unless_unknown(self, error: XingchenError, file_ids: Sequence[str]) -> Flow[None]:
        if not isinstance(error, APIConnectionError):  # after which the import may be going on
            yield from self._discard(file_ids)

    def _discard(self, file_ids: Sequence[str]) -> Flow[None]:
        for file_id in file_ids:
            with suppress(XingchenError):
                yield delete_file(file_id, signed_for=self.signed_for)

    @contextmanager
    def _bar(self, doing: str, total: int) -> Iterator[Callable[[int, int], None]]:
        bar = _tqdm(doing, total) if self.show_progress else None

        def progress(done: int, total: int) -> None:
            if bar is not None:
                bar.total = total
                bar.update(done - bar.n)
            if self.on_progress is not None:
                self.on_progress(doing, done, total)

        try:
            yield progress
        finally:
            if bar is not None:
                bar.close()


def _tqdm(doing: str, total: int) -> Any:
    from tqdm.auto import tqdm  # type: ignore[import-untyped]  # on nobody's import path: only who wants bars needs it

    return tqdm(desc=doing, total=total)


def documents_of(index_id: str, *, signed_for: str | None) -> Flow[list[DocumentStatus]]:
    """Read the whole list of documents."""
    listing = all_documents(index_id, signed_for=signed_for)
    steps = listing.steps()
    found: list[DocumentStatus] = []
    page = None
    while True:
        try:
            step = steps.send(page)
        except StopIteration:
            return found
        page = None
        if isinstance(step, list):
            found += step
        else:
            page = yield step


def find_all(
    wanted: Mapping[str, str | tuple[str, ...]], index_id: str, *, signed_for: str | None
) -> Flow[dict[str, tuple[str, ...]]]:
    """Return the service's ids of documents. `wanted`: {an id, the service's or not: what its file may be called}.

    What there is none of is left out. One call for each hundred documents, and mostly one for each of those found:
    lists tell a name without its extension, and `手册.pdf` is not `手册.docx`.
    """
    documents = yield from documents_of(index_id, signed_for=signed_for)
    ids = {document.id for document in documents}
    called: dict[str, list[DocumentStatus]] = {}
    for document in documents:
        called.setdefault(document.name, []).append(document)
    found: dict[str, tuple[str, ...]] = {}
    for key, name_or_names in wanted.items():
        matching = [key] if key in ids else []
        if not matching:
            for name in (name_or_names,) if isinstance(name_or_names, str) else name_or_names:
                for document in (*called.get(name, ()), *called.get(name.rpartition(".")[0], ())):
                    if (yield from _is_called(document, name, signed_for)):
                        matching.append(document.id)
        if matching:
            found[key] = tuple(dict.fromkeys(matching))
    return found


def _is_called(document: DocumentStatus, name: str, signed_for: str | None) -> Flow[bool]:
    """Look for the whole name of a document whose name in a list fits."""
    kind = str((document.model_extra or {}).get("document_type") or "").lower()
    if kind and name.lower().endswith(f".{kind}"):
        return True
    try:
        file: FileInfo = yield describe_file(document.id, signed_for=signed_for)
    except NotFoundError:
        return True
    return file.name in ("", name) or (file.name == document.name and "." not in file.name)


def removal(index_id: str, files: Sequence[str], *, with_file: bool, signed_for: str | None) -> Flow[None]:
    """Take documents out of a knowledge base, and their files out of the data centre.

    Raises:
        APIResponseError: One was not deleted.
    """
    deleted: set[str] = set()
    for start in range(0, len(files), MOST_AT_ONCE):
        deleted.update((yield delete_documents(index_id, files[start : start + MOST_AT_ONCE], signed_for=signed_for)))
    if with_file:
        for file_id in (each for each in files if each in deleted):
            with suppress(NotFoundError):
                yield delete_file(file_id, signed_for=signed_for)
    if left := set(files) - deleted:
        raise APIResponseError(
            f"Not deleted: {', '.join(sorted(left))}. What is still being imported cannot be: try again later.",
            service="bailian",
        )


__all__ = [
    "LONGEST_NAME",
    "Building",
    "NewFile",
    "OnProgress",
    "documents_of",
    "find_all",
    "removal",
]
