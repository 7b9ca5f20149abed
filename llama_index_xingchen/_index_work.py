"""The work of `BailianIndex` that takes several calls."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from llama_index.core.schema import BaseNode, MetadataMode, TransformComponent
from tqdm.auto import tqdm  # type: ignore[import-untyped]  # as LlamaIndex's own bars

from xingchen_core import APIResponseError, ConfigurationError, Flow, NotFoundError, XingchenError
from xingchen_core.bailian import knowledge


@dataclass(frozen=True)
class Text:
    """What becomes one file. `id`: of the document."""

    id: str
    name: str
    content: bytes


def sources(nodes: Sequence[BaseNode]) -> list[Text]:
    """Return nodes as files, one for each document; nodes of one document are joined by blank lines.

    Raises:
        ConfigurationError: There are none, or one has no text.
    """
    if not nodes:
        raise ConfigurationError("There are no documents to insert.")
    texts: dict[str, list[BaseNode]] = {}
    for node in nodes:
        if not node.get_content(MetadataMode.NONE).strip():
            raise ConfigurationError(f"The document {node.node_id!r} has no text, which is all that is uploaded.")
        texts.setdefault(node.ref_doc_id or node.node_id, []).append(node)
    return [
        Text(
            ref,
            name_of(ref, parts[0].metadata),
            "\n\n".join(part.get_content(MetadataMode.EMBED) for part in parts).encode(),
        )
        for ref, parts in texts.items()
    ]


def name_of(ref_doc_id: str, metadata: Mapping[str, Any]) -> str:
    """Return the name of a document's file. What is uploaded is text, whatever the document was read from."""
    name = str(metadata.get("file_name") or ref_doc_id).replace("/", "_").replace("\\", "_")
    return name if name.endswith((".txt", ".md")) else f"{name}.txt"


@dataclass(frozen=True)
class Filling:
    """How documents get into a knowledge base."""

    show_progress: bool
    category_id: str
    wait_timeout: float
    poll_interval: float
    chunking: knowledge.Chunking | None
    signed_for: str | None

    def refuse_taken(self, name: str) -> Flow[None]:
        """Refuse a name that is taken, which the service would not."""
        try:
            found = yield from knowledge.find_index(name, signed_for=self.signed_for)
        except NotFoundError:
            return
        raise ConfigurationError(
            f"There is a knowledge base called {name!r}: insert into BailianIndex({found.id!r}), or take another name."
        )

    def upload(self, texts: Sequence[Text]) -> Flow[dict[str, str]]:
        """Upload files and have them parsed; if one cannot be, none stays. Returns {file id: document id}."""
        files: dict[str, Text] = {}
        try:
            with self._bar("Uploading", len(texts)) as progress:
                for text in texts:
                    file_id = yield from knowledge.upload_file(
                        text.content, text.name, category_id=self.category_id, signed_for=self.signed_for
                    )
                    files[file_id] = text
                    progress(len(files), len(texts))
            with self._bar("Parsing", len(texts)) as progress:
                names = {file_id: text.name for file_id, text in files.items()}
                yield from knowledge.wait_for_files(names, on_progress=progress, **self._patience())
        except XingchenError:
            for file_id in files:
                with suppress(XingchenError):
                    yield knowledge.delete_file(file_id, signed_for=self.signed_for)
            raise
        return {file_id: text.id for file_id, text in files.items()}

    def wait(self, job: knowledge.IndexJob, files: Mapping[str, str]) -> Flow[None]:
        """Wait until an import is over. What failed is taken out again."""
        try:
            with self._bar("Importing", len(files)) as progress:
                yield from knowledge.wait_for_job(
                    job.index_id, job.job_id, names=files, on_progress=progress, **self._patience()
                )
        except knowledge.DocumentsFailedError as error:
            with suppress(XingchenError):
                failed = [document.id for document in error.failed]
                yield from removal(job.index_id, failed, with_file=True, signed_for=self.signed_for)
            raise

    def _patience(self) -> dict[str, Any]:
        return {"timeout": self.wait_timeout, "interval": self.poll_interval, "signed_for": self.signed_for}

    @contextmanager
    def _bar(self, doing: str, total: int) -> Iterator[Callable[[int, int], None]]:
        with tqdm(desc=doing, total=total, disable=not self.show_progress) as bar:

            def progress(done: int, total: int) -> None:
                bar.total = total
                bar.update(done - bar.n)

            yield progress


def documents_of(index_id: str, *, signed_for: str | None) -> Flow[list[knowledge.DocumentStatus]]:
    """Read the whole list of documents."""
    listing = knowledge.all_documents(index_id, signed_for=signed_for)
    steps = listing.steps()
    found: list[knowledge.DocumentStatus] = []
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


def find(ref_doc_id: str, documents: Sequence[knowledge.DocumentStatus], file_name: str) -> str:
    """Return the service's id of a document that is told by this id or by its file's name.

    Raises:
        NotFoundError: There is none.
        ConfigurationError: Several have the name.
    """
    if any(document.id == ref_doc_id for document in documents):
        return ref_doc_id
    names = {file_name, file_name.rpartition(".")[0]}  # lists leave out the extension, as chunks do, or they do not
    named = [document.id for document in documents if document.name in names]
    if not named:
        raise NotFoundError(f"The knowledge base has no document {ref_doc_id!r}.", status_code=404, service="bailian")
    if len(named) > 1:
        raise ConfigurationError(f"{len(named)} documents are called {file_name!r}: name one of {', '.join(named)}.")
    return named[0]


def removal(index_id: str, files: Sequence[str], *, with_file: bool, signed_for: str | None) -> Flow[None]:
    """Take documents out of a knowledge base, and their files out of the data centre.

    Raises:
        APIResponseError: One was not deleted.
    """
    deleted = yield knowledge.delete_documents(index_id, files, signed_for=signed_for)
    if left := set(files) - set(deleted):
        raise APIResponseError(
            f"Not deleted: {', '.join(sorted(left))}. What is still being imported cannot be: try again later.",
            service="bailian",
        )
    if with_file:
        for file_id in files:
            yield knowledge.delete_file(file_id, signed_for=signed_for)


class AsItIs(TransformComponent):
    """In place of LlamaIndex's splitter: documents go whole, and the service cuts them."""

    def __call__(self, nodes: Sequence[BaseNode], **kwargs: Any) -> Sequence[BaseNode]:
        return nodes
