"""The work of `BailianIndex` that takes several calls, once for both colours."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from llama_index.core.data_structs.data_structs import IndexDict
from llama_index.core.indices.managed.base import BaseManagedIndex
from llama_index.core.schema import BaseNode, Document

from llama_index_xingchen._index_files import files_at, files_of, name_of
from xingchen_core import ConfigurationError, Flow, NotFoundError, Work, XingchenError
from xingchen_core.bailian import knowledge
from xingchen_core.bailian.knowledge_building import Building, NewFile, documents_of, find_all, removal


class FilledIndex(BaseManagedIndex):
    """A knowledge base as flows. Its struct is {the service's id of a file: id of its document}."""

    index_name: str | None
    _building: Building
    _parser: str

    def _resolve(self) -> Flow[str]:
        if not self.index_id:
            found = yield from knowledge.find_index(self.index_name or "", signed_for=self._building.signed_for)
            self._is_now(found.id)
        return self.index_id

    def _is_now(self, index_id: str) -> None:
        """Note the id; what the storage knows of the index is kept."""
        known = self._storage_context.index_store.get_index_struct(index_id)
        self.set_index_id(index_id)
        if isinstance(known, IndexDict):
            self._index_struct.nodes_dict.update(known.nodes_dict)

    # Documents and files to add: with the hashes by which `refresh_...` knows what has changed.

    def _of(self, nodes: Sequence[BaseNode], tags: Sequence[str] = ()) -> tuple[list[NewFile], dict[str, str]]:
        return files_of(nodes, parser=self._parser, tags=tags), {node.node_id: node.hash for node in nodes}

    def _at(self, paths: Sequence[str | Path], tags: Sequence[str]) -> Flow[tuple[list[NewFile], dict[str, str]]]:
        found: tuple[list[NewFile], dict[str, str]] = yield Work(
            lambda: files_at(paths, parser=self._parser, tags=tags)
        )
        return found

    def _make(self, new: Sequence[NewFile], hashes: Mapping[str, str], options: Mapping[str, Any]) -> Flow[None]:
        spec = self._building.plan(self.index_name or "", options)
        yield from self._building.refuse_taken(spec.name)
        files = yield from self._building.upload(new)
        job = yield from self._building.create(spec, tuple(files))
        self._is_now(job.index_id)
        try:
            yield from self._import(job, files, hashes)
        except XingchenError as error:
            error.message += f" The knowledge base is there: BailianIndex({job.index_id!r})."
            error.args = (error.message,)
            raise

    def _make_of_files(
        self, paths: Sequence[str | Path], tags: Sequence[str], options: Mapping[str, Any]
    ) -> Flow[None]:
        new, hashes = yield from self._at(paths, tags)
        yield from self._make(new, hashes, options)

    def _add(self, new: Sequence[NewFile], hashes: Mapping[str, str]) -> Flow[None]:
        index_id = yield from self._resolve()
        files = yield from self._building.upload(new)
        job = yield from self._building.start(index_id, tuple(files))
        yield from self._import(job, files, hashes)

    def _add_files(self, paths: Sequence[str | Path], tags: Sequence[str]) -> Flow[None]:
        new, hashes = yield from self._at(paths, tags)
        yield from self._add(new, hashes)

    def _refresh_files(self, paths: Sequence[str | Path], tags: Sequence[str] | None) -> Flow[list[bool]]:
        new, hashes = yield from self._at(paths, tags or ())
        known = {file.id: self.docstore.get_document_hash(file.id) for file in new}
        changed = [hashes[file.id] != known[file.id] for file in new]
        for file, is_changed in zip(new, changed, strict=True):
            if is_changed and known[file.id] is None:
                yield from self._add([file], hashes)
            elif is_changed:
                yield from self._put_in_place(file, hashes, tags)
        return changed

    def _import(self, job: knowledge.IndexJob, files: Mapping[str, str], hashes: Mapping[str, str]) -> Flow[None]:
        """Wait for an import, and note what is in: `files` tells the document of each file."""
        ready = set(files)  # also those that are not done in time: the service goes on with them
        try:
            yield from self._building.wait(job, files)
        except knowledge.DocumentsFailedError as error:
            ready = {document.id for document in error.ready}
            raise
        finally:
            for file_id, ref_doc_id in files.items():
                if file_id in ready:
                    self._index_struct.nodes_dict[file_id] = ref_doc_id
                    if ref_doc_id in hashes:
                        self.docstore.set_document_hash(ref_doc_id, hashes[ref_doc_id])
            self._storage_context.index_store.add_index_struct(self._index_struct)

    def _replace(self, document: Document, tags: Sequence[str] | None) -> Flow[None]:
        [new], hashes = self._of([document], tags or ())
        yield from self._put_in_place(new, hashes, tags)

    def _put_in_place(self, new: NewFile, hashes: Mapping[str, str], tags: Sequence[str] | None) -> Flow[None]:
        """Add a file, and then take out the one it is a new version of. Without `tags` it gets those of the old one."""
        old = yield from self._find(new.id, new.name)
        if tags is None:
            with suppress(NotFoundError):
                before: knowledge.FileInfo = yield knowledge.describe_file(old[0], signed_for=self._building.signed_for)
                new = replace(new, tags=before.tags)
        yield from self._add([new], hashes)
        yield from self._take_out(old, with_file=True)

    # What is there

    def _remove(self, ref_doc_id: str, *, with_file: bool) -> Flow[None]:
        old = yield from self._find(ref_doc_id, ref_doc_id, name_of(ref_doc_id, {}))
        yield from self._take_out(old, with_file=with_file)

    def _find(self, ref_doc_id: str, *names: str) -> Flow[list[str]]:
        """Return the service's ids of a document: noted here, or its own, or that of the file of one of these names."""
        index_id = yield from self._resolve()
        if known := [file for file, ref in self._index_struct.nodes_dict.items() if ref == ref_doc_id]:
            return known
        listed = yield from find_all(
            {ref_doc_id: tuple(dict.fromkeys(names))}, index_id, signed_for=self._building.signed_for
        )
        found = listed.get(ref_doc_id)
        if not found:
            raise NotFoundError(
                f"The knowledge base has no document {ref_doc_id!r}: name its id, or the whole name of its file.",
                status_code=404,
                service="bailian",
            )
        if len(found) > 1:
            raise ConfigurationError(
                f"{len(found)} documents are called {ref_doc_id!r}: name one of {', '.join(found)}."
            )
        return list(found)

    def _list(self) -> Flow[list[knowledge.DocumentStatus]]:
        index_id = yield from self._resolve()
        return (yield from documents_of(index_id, signed_for=self._building.signed_for))

    def _take_out(self, files: Sequence[str], *, with_file: bool) -> Flow[None]:
        index_id = yield from self._resolve()
        yield from removal(index_id, files, with_file=with_file, signed_for=self._building.signed_for)
        struct = self._index_struct.nodes_dict
        gone = {struct.pop(file_id) for file_id in files if file_id in struct}
        for ref_doc_id in gone.difference(struct.values()):
            self.docstore.delete_document(ref_doc_id, raise_error=False)  # what it was like: to be inserted again
        self._storage_context.index_store.add_index_struct(self._index_struct)

    def _delete(self) -> Flow[None]:
        index_id = yield from self._resolve()
        yield knowledge.delete_index(index_id, signed_for=self._building.signed_for)
        for ref_doc_id in set(self._index_struct.nodes_dict.values()):
            self.docstore.delete_document(ref_doc_id, raise_error=False)
        self._index_struct.nodes_dict.clear()
        self._storage_context.index_store.delete_index_struct(index_id)

    def _delete_chunks(self, node_ids: Sequence[str]) -> Flow[None]:
        index_id = yield from self._resolve()
        for start in range(0, len(node_ids), 10):
            yield knowledge.delete_chunks(index_id, node_ids[start : start + 10], signed_for=self._building.signed_for)
