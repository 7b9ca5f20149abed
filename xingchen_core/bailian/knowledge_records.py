"""What is read of knowledge bases beside chunks: the same names for both APIs, whose own differ from call to call."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict
from pydantic.alias_generators import to_snake

from xingchen_core._call import Page
from xingchen_core.bailian._openapi import data_of

T = TypeVar("T")

LARGEST_PAGE = 100
"""The limit of the list of indexes. That the other lists take as many is UNVERIFIED."""


def plain(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object with names in snake_case: the same thing is `docId`, `doc_id` and `DocId`."""
    return {to_snake(name): value for name, value in entry.items()}


def data(answer: Any) -> dict[str, Any]:
    """Return what an answer is about, with plain names."""
    return plain(data_of(answer) or {})


class Record(BaseModel):
    """An object of the service. Members not known here are kept, under their plain names."""

    model_config = ConfigDict(
        extra="allow", frozen=True, populate_by_name=True, coerce_numbers_to_str=True, defer_build=True
    )


def _blank_is_none(value: Any) -> Any:
    return None if value == "" else value


Number = Annotated[float | None, BeforeValidator(_blank_is_none)]
"""A number that may come as text, or as none."""


class IndexInfo(Record):
    """A knowledge base."""

    id: str
    name: str = ""
    description: str | None = None
    structure_type: str | None = None
    knowledge_type: str | None = None
    source_type: str | None = None
    embedding_model_name: str | None = None
    rerank_model_name: str | None = None
    rerank_min_score: Number = None
    chunk_size: Number = None
    overlap_size: Number = None


class IndexJob(Record):
    """An import that was started."""

    index_id: str
    job_id: str


class DocumentStatus(Record):
    """A document in a knowledge base, or on its way into one. `message` is the service's reason for a failure."""

    id: str = ""
    name: str = ""
    status: str = ""
    code: str | None = None
    message: str | None = None

    @property
    def is_ready(self) -> bool:
        """Whether it can be searched."""
        return self.status == "FINISH" and not self.has_failed

    @property
    def has_failed(self) -> bool:
        """Whether it will not become searchable."""
        return self.status in ("INSERT_ERROR", "DELETED") or any(
            "FAILED" in word.upper() for word in (self.status, self.code or "")
        )


class JobStatus(Record):
    """An import: its own state, and the documents of one page. `total` is 0 before the service has counted."""

    status: str = ""
    total: int = 0
    documents: tuple[DocumentStatus, ...] = ()


class FileInfo(Record):
    """A file of the data centre."""

    id: str
    name: str = ""
    status: str = ""
    category_id: str | None = None
    tags: tuple[str, ...] = ()

    @property
    def is_ready(self) -> bool:
        """Whether it was parsed and can be imported."""
        return self.status in ("PARSE_SUCCESS", "FILE_IS_READY")

    @property
    def has_failed(self) -> bool:
        """Whether it could not be parsed. Words that nobody documents count as work in progress."""
        return "FAIL" in self.status.upper() or self.status.upper() == "ERROR"


class Category(Record):
    """A folder of the data centre. The one called `default` is always there."""

    category_id: str
    category_name: str = ""
    is_default: bool | None = None


@dataclass(frozen=True, slots=True)
class TokenPage(Generic[T]):
    """A part of a list that is read on with a token, `None` at its end."""

    items: tuple[T, ...]
    next_token: str | None


def read_document(entry: Mapping[str, Any]) -> DocumentStatus:
    """Read a document of a knowledge base."""
    row = plain(entry)
    found = {"id": _first(row, "doc_id", "id", "file_id"), "name": _first(row, "doc_name", "name", "file_name")}
    return DocumentStatus.model_validate(_without_none({**row, **found}))


def read_file(entry: Mapping[str, Any]) -> FileInfo:
    """Read a file of the data centre."""
    row = plain(entry)
    found = {"id": _first(row, "file_id", "id"), "name": _first(row, "file_name", "name")}
    return FileInfo.model_validate(_without_none({**row, **found}))


def read_index(entry: Mapping[str, Any]) -> IndexInfo:
    """Read a knowledge base."""
    return IndexInfo.model_validate(_without_none(plain(entry)))


def read_job(answer: Any) -> JobStatus:
    """Read a page of an import's status."""
    found = data(answer)
    rows = found.get("rows") or found.get("documents") or ()
    return JobStatus(
        status=_first(found, "ingestion_status", "status") or "",
        total=found.get("total_count") or found.get("total") or 0,
        documents=tuple(map(read_document, rows)),
    )


def page_of(read: Callable[[Mapping[str, Any]], T], *lists: str) -> Callable[[Any], Page[T]]:
    """Return a parser of pages, whose items are in a member of one of these names."""

    def parse(answer: Any) -> Page[T]:
        found = data(answer)
        total = _first(found, "total_count", "total")
        return Page(
            tuple(map(read, _first(found, *lists) or ())),
            number=int(_first(found, "page_number", "page_num") or 1),
            size=int(found.get("page_size") or 0) or None,
            total=None if total is None else int(total),
        )

    return parse


def token_page_of(read: Callable[[Mapping[str, Any]], T], *lists: str) -> Callable[[Any], TokenPage[T]]:
    """Return a parser of parts of a list that is read on with a token."""

    def parse(answer: Any) -> TokenPage[T]:
        found = data(answer)
        return TokenPage(tuple(map(read, _first(found, *lists) or ())), found.get("next_token") or None)

    return parse


def _first(row: Mapping[str, Any], *names: str) -> Any:
    return next((row[name] for name in names if row.get(name) is not None), None)


def _without_none(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if value is not None}


def nothing(answer: Any) -> None:
    """Read an answer that says no more than that it is done."""
