"""Bailian's knowledge bases: their state, which all routes share, and knobs for tests."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from xingchen_core.emulator.bailian_errors import Refusal
from xingchen_core.emulator.bailian_files_parsing import Chunking
from xingchen_core.emulator.bailian_files_store import Category, File, Lease
from xingchen_core.emulator.bailian_index_store import Chunk, Document, Index, Job, advance
from xingchen_core.emulator.bailian_knowledge_fields import invalid
from xingchen_core.emulator.bailian_knowledge_scores import Hit, Query, search

if TYPE_CHECKING:
    from xingchen_core.emulator.bailian import Bailian

SAMPLES = {
    "退货政策.md": "# 退货政策\n\n收到商品七天内可以无理由退货。\n\n生鲜商品不支持退货，质量问题除外。",
    "发票指南.md": "# 发票指南\n\n在订单详情里点「申请发票」，电子发票当天开好。",
    "guide.md": "# Guide\n\n## Setup\n\nInstall the app and sign in with your phone number.",
}


@dataclass
class SearchService:
    """A published retrieval service. `weights`: of a base or a file by its id; hits are ordered by score x weight."""

    agent_id: str
    name: str
    index_ids: list[str]
    workspace: str
    scene: str = "search"
    config: dict[str, Any] = field(default_factory=dict)
    published: int = 0
    """The number of the published version; 0: none, and it cannot be asked but as `beta`."""
    filters: list[Any] = field(default_factory=list)
    top_n: int = 5
    weights: dict[str, float] = field(default_factory=dict)


class Knowledge:
    """State of the knowledge bases, and knobs for tests. Times are of `bailian.clock`; `bailian.advance` moves it."""

    def __init__(self, bailian: "Bailian") -> None:
        self.bailian = bailian
        self.polls_until_done = 2
        """So many questions find a file unparsed, or a job's documents unfinished. 0: all is done at once."""
        self.polls_running_after_rows: float = 1
        """So many polls find a job RUNNING though all its documents have ended. `math.inf`: it never completes."""
        self.failing_files: set[str] = set()
        """Names of files that cannot be parsed."""
        self.failing_imports: set[str] = set()
        """Names of files that are parsed, but cannot be inserted into a knowledge base."""
        self.parse_failure = "PARSE_FAILED"
        """How parsing fails; `FAIL` is the other word in use."""
        self.queries_per_second: int | None = None
        """What a knowledge base answers; 1 in the standard plan. None: no limit."""
        self.write_lag_seconds = 0.0
        """How long retrieval does not see what was written."""
        self.delete_lag_seconds = 0.0
        """How long retrieval and lists still see what was deleted."""
        self.lease_seconds = 600.0
        self.lease_content_type: str | None = None
        """The type an upload must have; may be empty. None: by the file's name."""
        self.checks_md5 = False
        """Whether a file whose hash is not the announced one is refused. (Announced by the service, not in force.)"""
        self.url_seconds = 3600.0
        """How long signed URLs in metadata live."""
        self.text_with_fields = {"search"}
        """Routes (`index`, `search`, `signed`, `pipeline`) whose `text` is lines of `field: value`."""
        self.metadata_as_text = False
        """Signed retrieval gives `Metadata` as JSON text, as the reference's example has it."""
        self.index_route_takes_more = False
        """`rag/index/retrieve` heeds rerank_min_score, query_history and images. UNVERIFIED: they go unheeded."""
        self.strict_search_filters = False
        """A retrieval service refuses filters other than `tags` and `meta`. (Its page says both.)"""
        self.signed_failures_under_200 = True
        """Business failures of signed calls come under HTTP 200 with `Success: false`, else under 400."""
        self.rag_failures_under_200 = False
        """Business failures of calls with an API key come under HTTP 200 with `success: false`, else under 400."""
        self.nested_errors = False
        """Failures of calls with an API key stand inside `error`, as one general page has them. UNVERIFIED."""

        self.categories: dict[str, Category] = {}
        self.files: dict[str, File] = {}
        self.leases: dict[str, Lease] = {}
        self.indexes: dict[str, Index] = {}
        self.services: dict[str, SearchService] = {}
        home = bailian.workspace
        self.categories["default"] = Category("default", "默认类目", home, default=True)
        self.add_index("演示知识库", "kbdemo0001", description="退货、发票和使用指南")
        for name, text in SAMPLES.items():
            self.add_document("kbdemo0001", name, text, tags=[name.rpartition(".")[0]], meta={"author": "演示"})
        self.services["aid-demo"] = SearchService("aid-demo", "演示检索", ["kbdemo0001"], home, published=1)

    @property
    def now(self) -> float:
        """The time here."""
        return self.bailian.clock()

    def add_index(self, name: str, index_id: str | None = None, **options: Any) -> Index:
        """Makes an empty knowledge base; see `Index`. Several may have one name."""
        index_id = index_id or "kb" + self.bailian.new_id("index")[:8]
        index = self.indexes[index_id] = Index(index_id, name, options.pop("workspace", self.bailian.workspace))
        for option, value in options.items():
            if not hasattr(index, option):
                raise TypeError(f"an index has no {option}")
            setattr(index, option, value)
        return index

    def add_file(self, name: str, content: str | bytes, tags: Sequence[str] = (), **options: Any) -> File:
        """Puts a parsed file into the data centre; see `File`."""
        options = {"workspace": self.bailian.workspace, "category_id": "default", "status": "PARSE_SUCCESS", **options}
        data = content.encode() if isinstance(content, str) else content
        file_id = f"file_{self.bailian.new_id('file')}_10000001"
        file = File(file_id, name, content=data, tags=list(tags), created=self.now, **options)
        self.files[file_id] = file
        return file

    def add_document(
        self,
        index_id: str,
        name: str,
        text: str = "",
        *,
        chunks: Sequence[Chunk] = (),
        tags: Sequence[str] = (),
        meta: Mapping[str, Any] | None = None,
    ) -> Document:
        """Puts a finished document into a knowledge base, cut from a text or of these chunks.

        Filters may name its metadata.
        """
        index, file = self.indexes[index_id], self.add_file(name, text, tags)
        document = Document(file, dict(meta or {}), modified=self.now, chunking=index.chunking)
        index.searchable |= document.meta.keys()
        index.fill(document, since=0.0)
        document.versions = list(chunks) or document.versions
        index.documents[file.file_id] = document
        return document

    def index(self, index_id: str, workspace: str) -> Index:
        """A knowledge base of a workspace."""
        index = self.indexes.get(index_id)
        if index is None or index.workspace != workspace:
            raise Refusal(
                "Index.IndexNotExist", f"index not exist, index_id: {index_id}, workspace: {workspace}", status=400
            )
        return index

    def file(self, file_id: str, workspace: str) -> File:
        """A file of a workspace."""
        file = self.files.get(file_id)
        if file is None or file.workspace != workspace:
            raise invalid(f"file not exist, file_id: {file_id}")
        return file

    def look(self, file: File) -> None:
        """Somebody asks for a file's status."""
        failure = self.parse_failure if file.name in self.failing_files else None
        file.look(self.polls_until_done, failure)

    def retrieve(self, index: Index, query: Query) -> list[Hit]:
        """One query, if the plan allows another one now."""
        now = self.now
        index.queries = [at for at in index.queries if now - at < 1]
        if self.queries_per_second is not None and len(index.queries) >= self.queries_per_second:
            raise Refusal("Throttling", "Requests rate limit exceeded, please try again later.", status=429)
        index.queries.append(now)
        return search(index, query, now)

    def import_files(self, index: Index, file_ids: Sequence[str], chunking: Chunking | None = None) -> Job:
        """Starts a job."""
        files = [self.files[file_id] for file_id in dict.fromkeys(file_ids)]
        job = index.start(self.bailian.new_id("job"), files, chunking or index.chunking, self.now)
        index.waiting = None
        if not self.polls_until_done:
            self.advance(index, job)
        return job

    def poll(self, index: Index, job_id: str) -> Job:
        """A job that was asked for, one step further."""
        job = index.jobs.get(job_id)
        if job is None:
            raise Refusal("SystemError", f"no job is running, job_id: {job_id}", status=400)
        job.polls += 1
        self.advance(index, job)
        return job

    def advance(self, index: Index, job: Job) -> None:
        """One step of a job, by the knobs."""
        advance(
            index,
            job,
            polls_until_done=self.polls_until_done,
            polls_running_after_rows=self.polls_running_after_rows,
            failing=lambda file: file.name in self.failing_imports,
            look=self.look,
            now=self.now,
            since=self.now + self.write_lag_seconds,
        )

    def files_of(self, source: str, file_ids: Sequence[str], category_ids: Sequence[str], workspace: str) -> list[str]:
        """The files an import names.

        Without a source it is *everything* in the data centre of the workspace, whatever else was named.
        """
        mine = [file for file in self.files.values() if file.workspace == workspace]
        if not source:
            return [file.file_id for file in mine]
        if source == "DATA_CENTER_CATEGORY":
            if not category_ids:
                raise invalid("Required parameter(dataSource.categoryIds) missing")
            return [file.file_id for file in mine if file.category_id in category_ids]
        if source != "DATA_CENTER_FILE":
            raise invalid(f"sourceType {source} is not supported")
        if not file_ids:
            raise invalid("Required parameter(dataSource.fileIds) missing")
        if missing := set(file_ids) - {file.file_id for file in mine}:
            raise Refusal("Index.FileEmptyError", f"file not exist: {sorted(missing)[0]}", status=400)
        return list(file_ids)

    def delete_documents(self, index: Index, file_ids: Sequence[str]) -> list[str]:
        """Deletes what has ended; the rest stays, without a word. Returns the ids of what was deleted."""
        now, deleted = self.now, []
        for document in index.documents.values():
            file_id = document.file.file_id
            if file_id in file_ids and document.status in ("FINISH", "INSERT_ERROR") and document.gone == math.inf:
                document.gone = now + self.delete_lag_seconds
                deleted.append(file_id)
        return deleted

    def delete_file(self, file_id: str, workspace: str) -> None:
        """Deletes a file, and breaks the knowledge bases that use it."""
        self.file(file_id, workspace)
        del self.files[file_id]
        for index in self.indexes.values():
            if document := index.documents.get(file_id):
                document.end("DELETED", "DELETED", "The file has been deleted.")
                document.gone = min(document.gone, self.now + self.delete_lag_seconds)

    def delete_index(self, index_id: str, workspace: str) -> None:
        """Deletes a knowledge base; its files stay in the data centre."""
        if self.index(index_id, workspace).used_by_app:
            raise invalid(f"the index is used by an application, index_id: {index_id}")
        del self.indexes[index_id]

    def signed_url(self, name: str) -> str:
        """A URL that says when it ends. Nothing is behind it."""
        signature = hashlib.sha256(name.encode()).hexdigest()[:16]
        return f"https://oss.example.invalid/{name}?Expires={int(self.now + self.url_seconds)}&Signature={signature}"
