"""Knowledge bases: their documents and chunks, and the jobs that import files into them."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from xingchen_core.emulator.bailian_files_parsing import Chunking, pieces_of
from xingchen_core.emulator.bailian_files_store import File

FINAL = ("FINISH", "INSERT_ERROR", "PARSE_FAILED", "DELETED")
DELETABLE = ("FINISH", "INSERT_ERROR")


@dataclass(frozen=True)
class Chunk:
    """One version of a chunk. Retrieval finds it from `since` until `until`, in Unix seconds."""

    chunk_id: str
    content: str
    headings: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    displayed: bool = True
    source: int = 0
    """0: cut from the file, 1: written by hand."""
    since: float = 0.0
    until: float = math.inf

    @property
    def title(self) -> str:
        """The innermost heading."""
        return self.headings[-1] if self.headings else ""


@dataclass
class Document:
    """A file inside a knowledge base. `meta`: what retrieval shows and, where declared, filters by."""

    file: File
    meta: dict[str, Any] = field(default_factory=dict)
    status: str = "RUNNING"
    code: str = ""
    message: str = ""
    modified: float = 0.0
    chunking: Chunking = field(default_factory=Chunking)
    versions: list[Chunk] = field(default_factory=list)
    gone: float = math.inf
    """When it leaves the lists, having been deleted."""

    @property
    def chunks(self) -> list[Chunk]:
        """The latest version of each chunk, in order, with those whose deletion is still to be seen."""
        latest = {chunk.chunk_id: chunk for chunk in self.versions}
        return list(latest.values())

    def end(self, status: str, code: str = "", message: str = "") -> None:
        """Comes to a status, final or not."""
        self.status, self.code, self.message = status, code, message


@dataclass
class Job:
    """One import. `polls` counts the questions for its state, `idle_polls` those after its last document ended."""

    job_id: str
    file_ids: list[str]
    polls: int = 0
    idle_polls: int = 0
    status: str = "PENDING"


@dataclass
class Index:
    """A knowledge base. Settings other than name, description and threshold never change."""

    index_id: str
    name: str
    workspace: str
    description: str = ""
    rerank_min_score: float = 0.01
    settings: dict[str, Any] = field(default_factory=dict)
    chunking: Chunking = field(default_factory=Chunking)
    meta: dict[str, Any] = field(default_factory=dict)
    """Constant metadata of every document imported."""
    searchable: set[str] = field(default_factory=set)
    """Metadata that filters may name. A filter on any other has no effect."""
    documents: dict[str, Document] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    waiting: list[str] | None = None
    """Files that were named when the index was made, to be imported by its first job. None: there was one."""
    used_by_app: bool = False
    """An application uses it: it cannot be deleted."""
    queries: list[float] = field(default_factory=list)
    """When it was searched, for throttling."""

    def job_done(self, job: Job) -> bool:
        """Whether every document of the job has ended, well or not."""
        return all(self.documents[each].status in FINAL for each in job.file_ids if each in self.documents)

    def listed(self, now: float) -> list[Document]:
        """Documents that lists show, newest first."""
        return [document for document in reversed(self.documents.values()) if now < document.gone]

    def found(self, now: float) -> Iterator[tuple[Document, Chunk]]:
        """What retrieval can find."""
        for document in self.documents.values():
            for chunk in document.versions:
                if chunk.displayed and chunk.since <= now < min(chunk.until, document.gone):
                    yield document, chunk

    def chunk_id(self, file_id: str, number: int) -> str:
        """Workspace, index, file, block and number."""
        return f"{self.workspace}_{self.index_id}_{file_id}_0_{number}"

    def fill(self, document: Document, since: float) -> None:
        """Cuts the document's file into chunks that retrieval finds from then on."""
        text = document.file.content.decode("utf-8", errors="ignore")
        document.versions = [
            Chunk(self.chunk_id(document.file.file_id, number), piece.content, piece.headings, since=since)
            for number, piece in enumerate(pieces_of(text, document.chunking))
        ]
        document.end("FINISH", "FINISH")

    def start(self, job_id: str, files: Iterable[File], chunking: Chunking, now: float) -> Job:
        """A job that imports these files; a document that is there already is made anew."""
        job = self.jobs[job_id] = Job(job_id, [])
        for file in files:
            self.documents.pop(file.file_id, None)
            meta = dict(self.meta)
            self.documents[file.file_id] = Document(file, meta, modified=now, chunking=chunking)
            job.file_ids.append(file.file_id)
        return job

    def replace_chunk(self, chunk: Chunk, now: float, lag: float, **changes: Any) -> None:
        """A new version of a chunk; retrieval finds the old one until the lag is over."""
        document = self.owner(chunk)
        document.versions = [self._ended(each, chunk.chunk_id, now + lag) for each in document.versions]
        document.versions.append(replace(chunk, since=now + lag, until=math.inf, **changes))

    def delete_chunk(self, chunk: Chunk, now: float, lag: float) -> None:
        """Retrieval and lists show it until the lag is over."""
        document = self.owner(chunk)
        document.versions = [self._ended(each, chunk.chunk_id, now + lag) for each in document.versions]

    def owner(self, chunk: Chunk) -> Document:
        """The document of a chunk."""
        return next(each for each in self.documents.values() if chunk in each.versions)

    def chunk(self, chunk_id: str, now: float) -> Chunk | None:
        """A chunk that is there, by its id."""
        found = (chunk for document in self.listed(now) for chunk in document.chunks)
        return next((chunk for chunk in found if chunk.chunk_id == chunk_id and now < chunk.until), None)

    @staticmethod
    def _ended(chunk: Chunk, chunk_id: str, until: float) -> Chunk:
        return replace(chunk, until=min(chunk.until, until)) if chunk.chunk_id == chunk_id else chunk


def advance(
    index: Index,
    job: Job,
    *,
    polls_until_done: int,
    polls_running_after_rows: float,
    failing: Callable[[File], bool],
    look: Callable[[File], None],
    now: float,
    since: float,
) -> None:
    """Somebody asks for the job's state: it goes on. Without polls to wait for, it ends at once."""
    for file_id in job.file_ids:
        document = index.documents.get(file_id)
        if document is None or document.status in FINAL:
            continue
        look(document.file)
        if document.file.failed:
            document.end("PARSE_FAILED", "PARSE_FAILED", document.file.error)
        elif not document.file.parsed:
            document.end("DOC_PARSING")
        elif polls_until_done and job.polls <= polls_until_done:
            document.end("RUNNING", "RUNNING")
        elif failing(document.file):
            document.end("INSERT_ERROR", "INSERT_ERROR", "The document cannot be inserted.")
        else:
            index.fill(document, since)
        document.modified = now
    if not index.job_done(job):
        job.status = "PENDING" if job.polls <= 1 else "RUNNING"
        return
    if job.polls:
        job.idle_polls += 1
    job.status = "RUNNING" if job.idle_polls <= polls_running_after_rows else "COMPLETED"
