"""`BailianIndex`: a knowledge base on Bailian as a managed index."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

from llama_index.core.callbacks import CallbackManager
from llama_index.core.data_structs.data_structs import IndexDict
from llama_index.core.indices.managed.base import BaseManagedIndex
from llama_index.core.schema import BaseNode, Document, TransformComponent
from llama_index.core.storage.docstore.types import RefDocInfo
from llama_index.core.storage.storage_context import StorageContext

from llama_index_xingchen._index_work import AsItIs, Filling, documents_of, find, name_of, removal, sources
from llama_index_xingchen.retrievers import BailianRetriever
from xingchen_core import ConfigurationError, Flow, UnsupportedOperationError, XingchenError
from xingchen_core.bailian import knowledge


class BailianIndex(BaseManagedIndex):
    """A knowledge base (知识库) on Bailian: made of documents, or one that is there.

    ```python
    from llama_index.core import Document
    from llama_index_xingchen import BailianIndex

    index = BailianIndex.from_documents([Document(text="七天内可以退货。", id_="退货")], index_name="手册")
    index = BailianIndex(index_name="手册")  # later
    index.insert(Document(text="三天到账。", id_="退款"))
    print(index.as_query_engine(llm=llm).query("怎么退货?"))
    ```

    Each document is uploaded as a text file, headed by the metadata that its `excluded_embed_metadata_keys` leave, and
    the service cuts it (`chunking`). The file is called by `file_name` in the metadata, else by the document's id.
    All methods that change something have async twins, and return when the change can be searched for.

    A `ref_doc_id` is the id of a document that was inserted through this object or its `storage_context`; else the id
    the service has for it (`ref_doc_id` of a retrieved node), or its file's name. Which document is which file is kept
    in the index struct, which, with the hashes for `refresh_ref_docs`, goes where `storage_context` is persisted.

    Args:
        index_id: The knowledge base.
        index_name: Its name instead; it is looked for by the first call that needs it.
        show_progress: Show a bar while files are uploaded, parsed and imported.
        storage_context: Default: in memory.
        callback_manager: Passed on to retrievers.
        chunking: How documents are cut; default: the service decides.
        category_id: The folder of the data centre for the files.
        wait_timeout: Seconds to wait for the parsing, and again for the import. At peak times imports take hours.
        poll_interval: Seconds before the second look at them; later ones wait half as long again, at most 30.
        settings: How to reach the service, see `KnowledgeSettings`.
        connection: The fields of `KnowledgeSettings` instead: `api_key=...`, `workspace_id=...`, ...

    Raises:
        DocumentsFailedError: Some documents could not be read, and none is imported; or some could not be imported,
            and the rest is. It lists them. Their files do not stay.
        ConfigurationError, NotFoundError, APITimeoutError, ...: See `xingchen_core`.

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
        self._filling = Filling(
            show_progress=show_progress,
            category_id=category_id,
            wait_timeout=wait_timeout,
            poll_interval=poll_interval,
            chunking=chunking,
            signed_for=self.settings.signed_for(),
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
        options = {"storage_context": storage_context, "show_progress": show_progress, **kwargs}
        index = cls._new(index_name, transformations, callback_manager=callback_manager, **options)
        index.settings.client().run(index._make(documents, index_options or {}))
        return index

    @classmethod
    async def afrom_documents(
        cls,
        documents: Sequence[Document],
        *,
        index_name: str,
        index_options: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> Self:
        """As `from_documents`, whose other arguments are given by name here."""
        index = cls._new(index_name, **kwargs)
        await index.settings.async_client().run(index._make(documents, index_options or {}))
        return index

    @classmethod
    def _new(cls, index_name: str, transformations: list[TransformComponent] | None = None, **options: Any) -> Self:
        if transformations:
            raise UnsupportedOperationError("The service cuts documents itself: pass chunking=... (Chunking).")
        return cls(index_name=index_name, **options)

    def as_retriever(self, **kwargs: Any) -> BailianRetriever:
        """Return a retriever with this index's settings. `kwargs` are its fields; what is an engine's is left to it."""
        own = {name: getattr(self.settings, name) for name in self.settings.model_fields_set | {"api_key"}}
        place = {"index_id": self.index_id} if self.index_id else {"index_name": self.index_name}
        given = {name: value for name, value in kwargs.items() if name in BailianRetriever.model_fields}
        return BailianRetriever(**{"callback_manager": self._callback_manager, **own, **place, **given})

    def insert_nodes(self, nodes: Sequence[BaseNode], **insert_kwargs: Any) -> None:
        """Upload and import nodes; those of one document become one file."""
        self._insert(nodes, **insert_kwargs)

    async def ainsert_nodes(self, nodes: Sequence[BaseNode], **insert_kwargs: Any) -> None:
        """As `insert_nodes`."""
        await self.settings.async_client().run(self._add(nodes))

    def _insert(self, nodes: Sequence[BaseNode], **insert_kwargs: Any) -> None:
        self.settings.client().run(self._add(nodes))

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
        self.settings.client().run(self._replace(document))

    async def aupdate_ref_doc(self, document: Document, **update_kwargs: Any) -> None:
        """As `update_ref_doc`."""
        await self.settings.async_client().run(self._replace(document))

    def insert(self, document: Document, **insert_kwargs: Any) -> None:
        """Upload and import a document."""
        self.insert_nodes([document])

    async def ainsert(self, document: Document, **insert_kwargs: Any) -> None:
        """As `insert`."""
        await self.ainsert_nodes([document])

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
        listed = self.settings.client().run(self._list())
        return {each.id: RefDocInfo(metadata={"document_name": each.name, "status": each.status}) for each in listed}

    def close(self) -> None:
        """Give back the HTTP client."""
        self.settings.close()

    async def aclose(self) -> None:
        """As `close`, that of the running loop too."""
        await self.settings.aclose()

    # What the methods do, once for both colours.

    def _resolve(self) -> Flow[str]:
        if not self.index_id:
            found = yield from knowledge.find_index(self.index_name or "", signed_for=self._filling.signed_for)
            self._is_now(found.id)
        return self.index_id

    def _is_now(self, index_id: str) -> None:
        """Note the id; what the storage knows of the index is kept."""
        known = self._storage_context.index_store.get_index_struct(index_id)
        self.set_index_id(index_id)
        if isinstance(known, IndexDict):
            self._index_struct.nodes_dict.update(known.nodes_dict)

    def _make(self, documents: Sequence[Document], options: Mapping[str, Any]) -> Flow[None]:
        texts = sources(documents)
        spec = knowledge.IndexSpec(  # whose source is yet to come: the rest is looked at before anything is sent
            name=self.index_name or "",
            source=knowledge.Source(document_ids=("",)),
            **{"chunking": self._filling.chunking or knowledge.Chunking(), **options},
        )
        yield from self._filling.refuse_taken(spec.name)
        files = yield from self._filling.upload(texts)
        source = knowledge.Source(document_ids=tuple(files))
        spec = spec.model_copy(update={"source": source})
        job = yield from knowledge.create_index(spec, signed_for=self._filling.signed_for)
        self._is_now(job.index_id)
        try:
            yield from self._import(job, files, documents)
        except XingchenError as error:
            error.message += f" The knowledge base is there: BailianIndex({job.index_id!r})."
            error.args = (error.message,)
            raise

    def _add(self, nodes: Sequence[BaseNode]) -> Flow[None]:
        texts = sources(nodes)
        index_id = yield from self._resolve()
        files = yield from self._filling.upload(texts)
        source = knowledge.Source(document_ids=tuple(files))
        job = yield knowledge.import_documents(
            index_id, source, chunking=self._filling.chunking, signed_for=self._filling.signed_for
        )
        yield from self._import(job, files, nodes)

    def _import(self, job: knowledge.IndexJob, files: Mapping[str, str], nodes: Sequence[BaseNode]) -> Flow[None]:
        """Wait for an import, and note what is in: `files` tells the document of each file."""
        ready = set(files)  # also those that are not done in time: the service goes on with them
        try:
            yield from self._filling.wait(job, files)
        except knowledge.DocumentsFailedError as error:
            ready = {document.id for document in error.ready}
            raise
        finally:
            hashes = {node.node_id: node.hash for node in nodes}
            for file_id, ref_doc_id in files.items():
                if file_id in ready:
                    self._index_struct.nodes_dict[file_id] = ref_doc_id
                    if ref_doc_id in hashes:
                        self.docstore.set_document_hash(ref_doc_id, hashes[ref_doc_id])
            self._storage_context.index_store.add_index_struct(self._index_struct)

    def _replace(self, document: Document) -> Flow[None]:
        sources([document])  # refuses what cannot be uploaded
        old = yield from self._find(document.id_, document.metadata)
        yield from self._add([document])
        yield from self._take_out(old, with_file=True)

    def _remove(self, ref_doc_id: str, *, with_file: bool) -> Flow[None]:
        old = yield from self._find(ref_doc_id, {})
        yield from self._take_out(old, with_file=with_file)
        self.docstore.delete_document(ref_doc_id, raise_error=False)

    def _find(self, ref_doc_id: str, metadata: Mapping[str, Any]) -> Flow[list[str]]:
        yield from self._resolve()
        known = [file for file, ref in self._index_struct.nodes_dict.items() if ref == ref_doc_id]
        return known or [find(ref_doc_id, (yield from self._list()), name_of(ref_doc_id, metadata))]

    def _list(self) -> Flow[list[knowledge.DocumentStatus]]:
        index_id = yield from self._resolve()
        return (yield from documents_of(index_id, signed_for=self._filling.signed_for))

    def _take_out(self, files: Sequence[str], *, with_file: bool) -> Flow[None]:
        index_id = yield from self._resolve()
        yield from removal(index_id, files, with_file=with_file, signed_for=self._filling.signed_for)
        for file_id in files:
            self._index_struct.nodes_dict.pop(file_id, None)
        self._storage_context.index_store.add_index_struct(self._index_struct)

    def _delete_chunks(self, node_ids: Sequence[str]) -> Flow[None]:
        index_id = yield from self._resolve()
        for start in range(0, len(node_ids), 10):
            yield knowledge.delete_chunks(index_id, node_ids[start : start + 10], signed_for=self._filling.signed_for)
