"""`BailianIndex`: a knowledge base on Bailian that is built and kept from LangChain's documents and from files."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, Self, TypeVar

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from langchain_xingchen._index_files import AnyFile, files_as_they_are, files_of_documents
from langchain_xingchen._index_searches import SearchableIndex
from langchain_xingchen._index_work import IndexWork
from xingchen_core import ConfigurationError, Flow, UnsupportedOperationError
from xingchen_core.bailian import knowledge
from xingchen_core.bailian.knowledge_building import Building, NewFile, OnProgress

T = TypeVar("T")


class BailianIndex(SearchableIndex):
    """A knowledge base (知识库) on Bailian: made of documents or files, or one that is there.

    ```python
    index = BailianIndex.from_files(["手册.pdf", "价目.docx"], index_name="手册", show_progress=True)
    index = BailianIndex(index_name="手册")  # later
    index.add_documents([Document("三天到账。", id="退款")])
    retriever = index.as_retriever(k=3)
    ```

    To LangChain it is a `VectorStore`, so that `langchain_core.indexing.index` can keep it up to date. But the service
    reads, cuts and embeds what it is given, and answers with chunks:

    * There are no vectors: no embeddings are taken, and there is no search by vector and no `mmr`.
    * What is found are chunks with ids of their own. `get_by_ids` cannot give back what was added.
    * Documents should be whole: a text splitter before it only makes many small files.
    * The service keeps no metadata of a document but its name, `tags` (a list; filters can use them) and, if `source`
      is a URL, that as `document_url`. What else is to be found is written above the text: see `header_keys`.

    A document with an id (`ids`, else `Document.id`) is a file of that name; what is added takes the place of what has
    that id, from whatever process it came, and chunks tell the id as `document_name` (a `/` in it as `／`, which names
    can hold). What has none is added, and gets the service's id. Methods return when the change can be searched for;
    all that go to the service have async twins.

    Args:
        index_id: The knowledge base.
        index_name: Its name instead; it is looked for by the first call that needs it.
        create_if_missing: What is added first makes the knowledge base, if none has that name.
        index_options: Further fields of `xingchen_core.bailian.knowledge.IndexSpec` for one that is made.
        text_format: How the service reads documents: `md` for texts with headings.
        header_keys: Metadata of documents to be written above the text, a line `key: value` each. Default: none.
        delete_files: `delete` also deletes the files in the data centre, which other knowledge bases may use.
        show_progress: Show bars while files are uploaded, parsed and imported; needs tqdm.
        on_progress: Called with (`Uploading`, `Parsing` or `Importing`, finished, all), under asyncio in the loop. What
            it raises ends the work; what was only uploaded is then deleted.
        chunking: How documents are cut; default: the service decides.
        category_id: The folder of the data centre for the files.
        wait_timeout: Seconds to wait for the parsing, and again for the import. At peak times imports take hours.
        poll_interval: Seconds before the second look at them; later ones wait half as long again, at most 30.
        settings: How to reach the service, see `xingchen_core.bailian.knowledge.KnowledgeSettings`.
        connection: The fields of `KnowledgeSettings` instead: `api_key=...`, `workspace_id=...`, ...

    Raises:
        DocumentsFailedError: Some documents could not be read, and none is imported; or some could not be imported, and
            the rest is. It lists them (`failed`). Their files do not stay, and what they were to replace does.
        APITimeoutError: Not done in time. What the service has been told to import goes on, as after a cancellation.
        ConfigurationError, NotFoundError, ...: See `xingchen_core`.

    Source: Model Studio, "RAG API" and "data import API"; with an AccessKey their twins of the OpenAPI 2023-12-29.
    """

    def __init__(
        self,
        index_id: str | None = None,
        *,
        index_name: str | None = None,
        create_if_missing: bool = False,
        index_options: Mapping[str, Any] | None = None,
        text_format: Literal["txt", "md"] = "txt",
        header_keys: Sequence[str] = (),
        delete_files: bool = False,
        show_progress: bool = False,
        on_progress: OnProgress | None = None,
        chunking: knowledge.Chunking | None = None,
        category_id: str = "default",
        wait_timeout: float = 3600.0,
        poll_interval: float = 5.0,
        settings: knowledge.KnowledgeSettings | None = None,
        **connection: Any,
    ) -> None:
        if bool(index_id) == bool(index_name):
            raise ConfigurationError("Say which knowledge base: either index_id=... or index_name=...")
        if create_if_missing and not index_name:
            raise ConfigurationError("create_if_missing needs index_name=...: the service chooses the id.")
        if settings is not None and connection:
            raise ConfigurationError(f"settings are given: put {', '.join(connection)} there.")
        if index_options and not index_name:
            raise ConfigurationError("index_options are for a knowledge base that is made: give index_name=...")
        if text_format not in ("txt", "md"):
            raise ConfigurationError(f"text_format is 'txt' or 'md', not {text_format!r}.")
        self.settings = settings or knowledge.KnowledgeSettings(**connection)
        self._text_format = text_format
        self._header_keys = tuple(header_keys)
        self._work = IndexWork(
            Building(
                category_id=category_id,
                wait_timeout=wait_timeout,
                poll_interval=poll_interval,
                chunking=chunking,
                signed_for=self.settings.signed_for(),
                show_progress=show_progress,
                on_progress=on_progress,
            ),
            index_id,
            index_name,
            dict(index_options or {}),
            creates=create_if_missing,
            deletes_files=delete_files,
        )

    # Making one

    @classmethod
    def from_documents(  # type: ignore[override]  # there any keyword is taken
        cls,
        documents: Iterable[Document],
        embedding: Embeddings | None = None,
        *,
        index_name: str,
        ids: Sequence[str | None] | None = None,
        **kwargs: Any,
    ) -> Self:
        """Make a knowledge base of documents. `kwargs` are the constructor's.

        Raises:
            ConfigurationError: There is one of that name; nothing is uploaded.
            UnsupportedOperationError: `embedding`: the service embeds, see `embedding_model` of `index_options`.
        """
        index = cls._new(embedding, index_name, kwargs)
        index._change(index._work.make(*index._texts(documents, ids)))
        return index

    @classmethod
    async def afrom_documents(  # type: ignore[override]
        cls,
        documents: Iterable[Document],
        embedding: Embeddings | None = None,
        *,
        index_name: str,
        ids: Sequence[str | None] | None = None,
        **kwargs: Any,
    ) -> Self:
        """As `from_documents`."""
        index = cls._new(embedding, index_name, kwargs)
        await index._achange(index._work.make(*index._texts(documents, ids)))
        return index

    @classmethod
    def from_texts(
        cls,
        texts: Sequence[str],
        embedding: Embeddings | None = None,
        metadatas: Sequence[dict[str, Any]] | None = None,
        **kwargs: Any,
    ) -> Self:
        """As `from_documents`, of texts and metadata."""
        return cls.from_documents(_documents(texts, metadatas), embedding, **kwargs)

    @classmethod
    async def afrom_texts(
        cls,
        texts: Sequence[str],
        embedding: Embeddings | None = None,
        metadatas: Sequence[dict[str, Any]] | None = None,
        **kwargs: Any,
    ) -> Self:
        """As `from_texts`."""
        return await cls.afrom_documents(_documents(texts, metadatas), embedding, **kwargs)

    @classmethod
    def from_files(
        cls,
        files: Iterable[AnyFile],
        *,
        index_name: str,
        ids: Sequence[str | None] | None = None,
        tags: Sequence[str] = (),
        parser: str = "AUTO_SELECT",
        **kwargs: Any,
    ) -> Self:
        """Make a knowledge base of files; see `add_files`. `kwargs` are the constructor's."""
        index = cls._new(None, index_name, kwargs)
        index._change(index._work.make(*files_as_they_are(files, ids, tags, parser)))
        return index

    @classmethod
    async def afrom_files(
        cls,
        files: Iterable[AnyFile],
        *,
        index_name: str,
        ids: Sequence[str | None] | None = None,
        tags: Sequence[str] = (),
        parser: str = "AUTO_SELECT",
        **kwargs: Any,
    ) -> Self:
        """As `from_files`."""
        index = cls._new(None, index_name, kwargs)
        await index._achange(index._work.make(*await asyncio.to_thread(files_as_they_are, files, ids, tags, parser)))
        return index

    # Keeping it

    def add_documents(  # type: ignore[override]
        self, documents: Iterable[Document], *, ids: Sequence[str | None] | None = None, batch_size: int | None = None
    ) -> list[str]:
        """Add documents, each in place of the one with its id. Returns their ids.

        `batch_size` is what `index()` says and is not needed here: each call is one import.
        """
        return self._change(self._work.add(*self._texts(documents, ids)))

    async def aadd_documents(  # type: ignore[override]
        self, documents: Iterable[Document], *, ids: Sequence[str | None] | None = None, batch_size: int | None = None
    ) -> list[str]:
        """As `add_documents`."""
        return await self._achange(self._work.add(*self._texts(documents, ids)))

    def add_files(
        self,
        files: Iterable[AnyFile],
        *,
        ids: Sequence[str | None] | None = None,
        tags: Sequence[str] = (),
        parser: str = "AUTO_SELECT",
    ) -> list[str]:
        """Add files as they are: PDF, Word, tables, pictures, whatever the service reads. Returns their ids.

        Args:
            files: Paths, or `Blob`s: `Blob.from_data(data, path="手册.pdf")` for bytes.
            ids: For files that are to take the place of earlier ones: names with an extension, such as their own.
                Default: files are added, and the service's ids returned.
            tags: Chunks can be filtered by them.
            parser: Which of the service's parsers, see `xingchen_core.bailian.knowledge.add_file`.
        """
        return self._change(self._work.add(*files_as_they_are(files, ids, tags, parser)))

    async def aadd_files(
        self,
        files: Iterable[AnyFile],
        *,
        ids: Sequence[str | None] | None = None,
        tags: Sequence[str] = (),
        parser: str = "AUTO_SELECT",
    ) -> list[str]:
        """As `add_files`. Files are read in threads."""
        return await self._achange(
            self._work.add(*await asyncio.to_thread(files_as_they_are, files, ids, tags, parser))
        )

    def delete(self, ids: Sequence[str] | None = None) -> bool:  # type: ignore[override]
        """Take documents out, by their ids or the service's (`document_id` of a chunk). What is not there is no error.

        Raises:
            ConfigurationError: No ids: `delete_index` deletes all.
            APIResponseError: Some were not deleted; the service does so only when their import is over.
        """
        return self._run(self._work.delete(ids))

    async def adelete(self, ids: Sequence[str] | None = None) -> bool:  # type: ignore[override]
        """As `delete`."""
        return await self._arun(self._work.delete(ids))

    def list_documents(self) -> list[knowledge.DocumentStatus]:
        """List what is in it: the service's `id`, `name` (maybe without the extension), `status`."""
        return self._run(self._work.list_documents())

    async def alist_documents(self) -> list[knowledge.DocumentStatus]:
        """As `list_documents`."""
        return await self._arun(self._work.list_documents())

    def delete_index(self) -> None:
        """Delete the knowledge base. Its files stay in the data centre; one that an application uses stays, too."""
        self._run(self._work.delete_index())

    async def adelete_index(self) -> None:
        """As `delete_index`."""
        await self._arun(self._work.delete_index())

    def close(self) -> None:
        """Give back the HTTP client; retrievers have their own."""
        self.settings.close()

    async def aclose(self) -> None:
        """As `close`, that of the running loop too."""
        await self.settings.aclose()

    @classmethod
    def _new(cls, embedding: Embeddings | None, index_name: str, options: Mapping[str, Any]) -> Self:
        if embedding is not None:
            raise UnsupportedOperationError(
                "The service embeds texts itself: index_options={'embedding_model': ...} names its model."
            )
        return cls(index_name=index_name, **options)

    # The service would make two knowledge bases of one name: who makes one is waited for, in this process.

    def _change(self, flow: Flow[T]) -> T:
        with self._work.making():
            return self._run(flow)

    async def _achange(self, flow: Flow[T]) -> T:
        async with self._work.making():
            return await self._arun(flow)

    def _texts(
        self, documents: Iterable[Document], ids: Sequence[str | None] | None
    ) -> tuple[list[NewFile], list[str | None]]:
        return files_of_documents(documents, ids, self._text_format, self._header_keys)


def _documents(texts: Sequence[str], metadatas: Sequence[dict[str, Any]] | None) -> list[Document]:
    told = metadatas or [{} for _ in texts]
    return [Document(page_content=text, metadata=metadata) for text, metadata in zip(texts, told, strict=True)]
