"""`BailianIndex`: a knowledge base on Bailian as a managed index."""

from collections.abc import Mapping, Sequence
from inspect import signature
from pathlib import Path
from typing import Any, Self

from llama_index.core.callbacks import CallbackManager
from llama_index.core.data_structs.data_structs import IndexDict
from llama_index.core.schema import BaseNode, Document, TransformComponent
from llama_index.core.storage.docstore.types import RefDocInfo
from llama_index.core.storage.storage_context import StorageContext

from llama_index_xingchen._index_files import AsItIs
from llama_index_xingchen._index_work import FilledIndex
from llama_index_xingchen.retrievers import BailianRetriever
from xingchen_core import ConfigurationError, UnsupportedOperationError
from xingchen_core.bailian import knowledge
from xingchen_core.bailian.knowledge_building import Building, OnProgress


class BailianIndex(FilledIndex):
    """A knowledge base (知识库) on Bailian: made of documents or files, or one that is there.

    ```python
    from llama_index.core import Document
    from llama_index_xingchen import BailianIndex

    index = BailianIndex.from_documents([Document(text="七天内可以退货。", id_="退货")], index_name="手册")
    index = BailianIndex(index_name="手册")  # later
    index.insert(Document(text="三天到账。", id_="退款"))
    print(index.as_query_engine(llm=llm).query("怎么退货?"))
    ```

    Each document is uploaded as a text file, headed by the metadata that its `excluded_embed_metadata_keys` leave, and
    the service cuts it (`chunking`). The file is called by `file_name` in the metadata, else by the document's id;
    `document_url` there is kept as the address of the original. A document without text that has bytes or a path in one
    of its resources goes up as that file. `from_files`, `insert_files` and `refresh_files` take files as they are (PDF,
    docx, pictures, ...), which are then known by their names.

    All methods that change something have async twins, and return when the change can be searched for. One that inserts
    or updates takes `tags=[...]`, by which its documents can be filtered; an update without keeps the old ones.

    A `ref_doc_id` is the id of a document that was inserted through this object or its `storage_context`; else the id
    the service has for it (`ref_doc_id` of a retrieved node), or its file's whole name. Which document is which file is
    kept in the index struct, which, with the hashes for `refresh_...`, goes where `storage_context` is persisted.

    Args:
        index_id: The knowledge base.
        index_name: Its name instead; it is looked for by the first call that needs it.
        show_progress: Show a bar while files are uploaded, parsed and imported.
        on_progress: Called with (`Uploading`, `Parsing` or `Importing`, finished, all) meanwhile. What it raises ends
            the work.
        storage_context: Default: in memory.
        callback_manager: Passed on to retrievers.
        chunking: How documents are cut; default: the service decides.
        category_id: The folder of the data centre for the files.
        parser: How files are read, see `add_file` of `xingchen_core.bailian.knowledge`.
        wait_timeout: Seconds to wait for the parsing, and again for the import. At peak times imports take hours.
        poll_interval: Seconds before the second look at them; later ones wait half as long again, at most 30.
        settings: How to reach the service, see `KnowledgeSettings`.
        connection: The fields of `KnowledgeSettings` instead: `api_key=...`, `workspace_id=...`, ...

    Raises:
        DocumentsFailedError: Some documents could not be read, and none is imported; or some could not be imported,
            and the rest is. It lists them. Their files do not stay.
        ConfigurationError, NotFoundError, APITimeoutError, ...: See `xingchen_core`. After an `APITimeoutError`, or if
            the task that waits is cancelled, the service goes on with what it was told.
        OSError: A file cannot be read.
        TypeError: A keyword that nobody heeds.

    Source: Model Studio, "RAG API" and "data import API"; with an AccessKey their twins of the OpenAPI 2023-12-29.
    """

    index_struct_cls = IndexDict

    def __init__(
        self,
        index_id: str | None = None,
        *,
        index_name: str | None = None,
        show_progress: bool = False,
        storage_context: StorageContext | None = None,
        callback_manager: CallbackManager | None = None,
        chunking: knowledge.Chunking | None = None,
        category_id: str = "default",
        parser: str = "AUTO_SELECT",
        on_progress: OnProgress | None = None,
        wait_timeout: float = 3600.0,
        poll_interval: float = 5.0,
        settings: knowledge.KnowledgeSettings | None = None,
        **connection: Any,
    ) -> None:
        if bool(index_id) == bool(index_name):
            raise ConfigurationError("Say which knowledge base: either index_id=... or index_name=...")
        if settings is not None and connection:
            raise ConfigurationError(f"settings are given: put {', '.join(connection)} there.")
        self.settings = settings or knowledge.KnowledgeSettings(**connection)
        self.index_name = index_name
        context = storage_context or StorageContext.from_defaults()
        known = context.index_store.get_index_struct(index_id) if index_id else None
        super().__init__(
            index_struct=known if isinstance(known, IndexDict) else IndexDict(index_id=index_id or ""),
            storage_context=context,
            show_progress=show_progress,
            callback_manager=callback_manager or CallbackManager(),
            transformations=[AsItIs()],
        )
        self._parser = parser
        self._building = Building(
            category_id=category_id,
            wait_timeout=wait_timeout,
            poll_interval=poll_interval,
            chunking=chunking,
            signed_for=self.settings.signed_for(),
            show_progress=show_progress,
            on_progress=on_progress,
        )

    @classmethod
    def from_documents(  # type: ignore[override]  # there any class of index comes back
        cls,
        documents: Sequence[Document],
        storage_context: StorageContext | None = None,
        show_progress: bool = False,
        callback_manager: CallbackManager | None = None,
        transformations: list[TransformComponent] | None = None,
        *,
        index_name: str,
        index_options: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> Self:
        """Make a knowledge base of documents. `index_options` are further fields of `IndexSpec`.

        Raises:
            ConfigurationError: There is one of that name, or nothing to make it of.
            UnsupportedOperationError: `transformations`: it is the service that cuts documents.
        """
        if transformations:
            raise UnsupportedOperationError("The service cuts documents itself: pass chunking=... (Chunking).")
        tags = kwargs.pop("tags", ())
        options = {"storage_context": storage_context, "show_progress": show_progress, **kwargs}
        index = cls(index_name=index_name, callback_manager=callback_manager, **options)
        with index._building.making(index_name):
            index.settings.client().run(index._make(*index._of(documents, tags), index_options or {}))
        return index

    @classmethod
    async def afrom_documents(
        cls,
        documents: Sequence[Document],
        *,
        index_name: str,
        index_options: Mapping[str, Any] | None = None,
        transformations: list[TransformComponent] | None = None,
        tags: Sequence[str] = (),
        **kwargs: Any,
    ) -> Self:
        """As `from_documents`, whose other arguments are given by name here."""
        if transformations:
            raise UnsupportedOperationError("The service cuts documents itself: pass chunking=... (Chunking).")
        index = cls(index_name=index_name, **kwargs)
        async with index._building.making(index_name):
            await index.settings.async_client().run(index._make(*index._of(documents, tags), index_options or {}))
        return index

    @classmethod
    def from_files(
        cls,
        paths: Sequence[str | Path],
        *,
        index_name: str,
        index_options: Mapping[str, Any] | None = None,
        tags: Sequence[str] = (),
        **kwargs: Any,
    ) -> Self:
        """Make a knowledge base of files as they are. The other arguments are those of `from_documents`.

        Raises:
            ConfigurationError: There is a knowledge base of that name, or two files have one name.
        """
        index = cls(index_name=index_name, **kwargs)
        with index._building.making(index_name):
            index.settings.client().run(index._make_of_files(paths, tags, index_options or {}))
        return index

    @classmethod
    async def afrom_files(
        cls,
        paths: Sequence[str | Path],
        *,
        index_name: str,
        index_options: Mapping[str, Any] | None = None,
        tags: Sequence[str] = (),
        **kwargs: Any,
    ) -> Self:
        """As `from_files`."""
        index = cls(index_name=index_name, **kwargs)
        async with index._building.making(index_name):
            await index.settings.async_client().run(index._make_of_files(paths, tags, index_options or {}))
        return index

    def as_retriever(self, **kwargs: Any) -> BailianRetriever:
        """Return a retriever with this index's settings. `kwargs` are its fields; what is an engine's is left to it.

        Raises:
            TypeError: A keyword is neither.
        """
        if unknown := sorted(kwargs.keys() - BailianRetriever.model_fields.keys() - _keywords_of_engines()):
            raise TypeError(f"as_retriever() got an unexpected keyword argument {unknown[0]!r}")
        own = {name: getattr(self.settings, name) for name in self.settings.model_fields_set | {"api_key"}}
        place = {"index_id": self.index_id} if self.index_id else {"index_name": self.index_name}
        given = {name: value for name, value in kwargs.items() if name in BailianRetriever.model_fields}
        return BailianRetriever(**{"callback_manager": self._callback_manager, **own, **place, **given})

    def insert_files(self, paths: Sequence[str | Path], *, tags: Sequence[str] = ()) -> None:
        """Upload and import files as they are; each is a document whose id is the file's name."""
        self.settings.client().run(self._add_files(paths, tags))

    async def ainsert_files(self, paths: Sequence[str | Path], *, tags: Sequence[str] = ()) -> None:
        """As `insert_files`."""
        await self.settings.async_client().run(self._add_files(paths, tags))

    def refresh_files(self, paths: Sequence[str | Path], *, tags: Sequence[str] | None = None) -> list[bool]:
        """Insert files that are not known by their names, put those that have changed in place of what was there.

        Returns which were inserted or changed. It is `storage_context` that knows: without a persisted one every file
        is new in a new process.
        """
        return self.settings.client().run(self._refresh_files(paths, tags))

    async def arefresh_files(self, paths: Sequence[str | Path], *, tags: Sequence[str] | None = None) -> list[bool]:
        """As `refresh_files`."""
        return await self.settings.async_client().run(self._refresh_files(paths, tags))

    def insert_nodes(self, nodes: Sequence[BaseNode], **insert_kwargs: Any) -> None:
        """Upload and import nodes; those of one document become one file."""
        self._insert(nodes, **insert_kwargs)

    async def ainsert_nodes(self, nodes: Sequence[BaseNode], **insert_kwargs: Any) -> None:
        """As `insert_nodes`."""
        tags = _tags("ainsert_nodes", insert_kwargs)
        await self.settings.async_client().run(self._add(*self._of(nodes, tags or ())))

    def _insert(self, nodes: Sequence[BaseNode], **insert_kwargs: Any) -> None:
        tags = _tags("insert_nodes", insert_kwargs)
        self.settings.client().run(self._add(*self._of(nodes, tags or ())))

    def delete_ref_doc(self, ref_doc_id: str, delete_from_docstore: bool = False, **delete_kwargs: Any) -> None:
        """Take a document out; with `delete_from_docstore` its file in the data centre, too.

        Raises:
            NotFoundError: There is no such document.
            ConfigurationError: Several files have that name: choose one by its id.
            APIResponseError: The service did not delete it; it does so only when the import is over.
        """
        self.settings.client().run(self._remove(ref_doc_id, with_file=delete_from_docstore))

    async def adelete_ref_doc(self, ref_doc_id: str, delete_from_docstore: bool = False, **delete_kwargs: Any) -> None:
        """As `delete_ref_doc`."""
        await self.settings.async_client().run(self._remove(ref_doc_id, with_file=delete_from_docstore))

    def update_ref_doc(self, document: Document, **update_kwargs: Any) -> None:
        """Put a document in place of the one with its id, whose file goes too. The old one stays until the new is in.

        Raises:
            NotFoundError: There is none; nothing is uploaded.
        """
        self.settings.client().run(self._replace(document, _tags("update_ref_doc", update_kwargs)))

    async def aupdate_ref_doc(self, document: Document, **update_kwargs: Any) -> None:
        """As `update_ref_doc`."""
        tags = _tags("aupdate_ref_doc", update_kwargs)
        await self.settings.async_client().run(self._replace(document, tags))

    def insert(self, document: Document, **insert_kwargs: Any) -> None:
        """Upload and import a document."""
        self.insert_nodes([document], **insert_kwargs)

    async def ainsert(self, document: Document, **insert_kwargs: Any) -> None:
        """As `insert`."""
        await self.ainsert_nodes([document], **insert_kwargs)

    def delete_nodes(self, node_ids: list[str], delete_from_docstore: bool = False, **delete_kwargs: Any) -> None:
        """Delete chunks by the ids that retrieved nodes have."""
        self.settings.client().run(self._delete_chunks(node_ids))

    async def adelete_nodes(self, node_ids: list[str], delete_from_docstore: bool = False, **kwargs: Any) -> None:
        """As `delete_nodes`."""
        await self.settings.async_client().run(self._delete_chunks(node_ids))

    def _delete_node(self, node_id: str, **delete_kwargs: Any) -> None:
        self.delete_nodes([node_id])

    @property
    def ref_doc_info(self) -> dict[str, RefDocInfo]:
        """The documents as the service lists them, by its ids: name and status, without their chunks' ids."""
        return {
            each.id: RefDocInfo(metadata={"document_name": each.name, "status": each.status})
            for each in self.list_documents()
        }

    def list_documents(self) -> list[knowledge.DocumentStatus]:
        """List what is in it: the service's `id`, `name` (mostly without the extension), `status`."""
        return self.settings.client().run(self._list())

    async def alist_documents(self) -> list[knowledge.DocumentStatus]:
        """As `list_documents`."""
        return await self.settings.async_client().run(self._list())

    def delete_index(self) -> None:
        """Delete the knowledge base. Its files stay in the data centre; one that an application uses stays, too."""
        self.settings.client().run(self._delete())

    async def adelete_index(self) -> None:
        """As `delete_index`."""
        await self.settings.async_client().run(self._delete())

    def close(self) -> None:
        """Give back the HTTP client."""
        self.settings.close()

    async def aclose(self) -> None:
        """As `close`, that of the running loop too."""
        await self.settings.aclose()


def _keywords_of_engines() -> set[str]:
    """Return what `as_query_engine` and `as_chat_engine` hand to `as_retriever` along with the retriever's own."""
    from llama_index.core import chat_engine, query_engine  # heavy, and loaded by now if there is an engine

    makers: list[Any] = [query_engine.RetrieverQueryEngine.from_args, query_engine.RetrieverQueryEngine.__init__]
    makers += [engine.from_defaults for engine in map(chat_engine.__dict__.get, chat_engine.__all__) if engine]
    return {name for maker in makers for name in signature(maker).parameters}


def _tags(method: str, given: dict[str, Any]) -> Sequence[str] | None:
    """Return the tags in a method's keywords, `None` if there are none; refuse keywords that nobody would heed."""
    if unknown := sorted(given.keys() - {"tags"}):
        raise TypeError(f"{method}() got an unexpected keyword argument {unknown[0]!r}; known: tags")
    tags: Sequence[str] | None = given.get("tags")
    return tags
