"""What `BailianIndex` does, once for both colours."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

from langchain_xingchen._index_files import checked_ids, names_of
from xingchen_core import ConfigurationError, Flow, NotFoundError, XingchenError
from xingchen_core.bailian import knowledge
from xingchen_core.bailian.knowledge_building import Building, NewFile, documents_of, find_all, removal

Ids = Sequence[str | None]
"""The ids that the caller gave files, `None` for those that have none."""


class IndexWork:
    """One knowledge base, and how it is filled."""

    def __init__(
        self,
        building: Building,
        index_id: str | None,
        index_name: str | None,
        options: Mapping[str, Any],
        *,
        creates: bool,
        deletes_files: bool,
    ) -> None:
        self.building = building
        self.index_id = index_id
        self.index_name = index_name
        self._options = options
        self._creates = creates
        self._deletes_files = deletes_files
        if creates or options:
            self._plan()  # finds what does not fit; nothing is sent

    def _plan(self) -> knowledge.IndexSpec:
        return self.building.plan(self.index_name or "", self._options)

    def resolve(self) -> Flow[str]:
        """Return the id, which is looked for once."""
        if not self.index_id:
            found = yield from knowledge.find_index(self.index_name or "", signed_for=self.building.signed_for)
            self.index_id = found.id
        return self.index_id

    def making(self) -> Any:
        """Return the lock of whoever may make a knowledge base of this name."""
        return nullcontext() if self.index_id else self.building.making(self.index_name or "")

    def make(self, files: Sequence[NewFile], ids: Ids) -> Flow[list[str]]:
        """Make the knowledge base of files."""
        spec = self._plan()
        yield from self.building.refuse_taken(spec.name)
        return (yield from self._create(spec, files, ids))

    def _create(self, spec: knowledge.IndexSpec, files: Sequence[NewFile], ids: Ids) -> Flow[list[str]]:
        sent = yield from self.building.upload(files)
        job = yield from self.building.create(spec, tuple(sent))
        self.index_id = job.index_id
        try:
            yield from self.building.wait(job, sent)
        except XingchenError as error:
            error.message += f" The knowledge base is there: BailianIndex({job.index_id!r})."
            error.args = (error.message,)
            raise
        return _told(ids, sent)

    def add(self, files: Sequence[NewFile], ids: Ids) -> Flow[list[str]]:
        """Add files; those with ids in place of what has them, which stays until the new ones are in."""
        signed_for = self.building.signed_for
        try:
            index_id = yield from self.resolve()
        except NotFoundError:
            if not self._creates:
                raise
            return (yield from self._create(self._plan(), files, ids))
        named = {file.id: file.name for file, id_ in zip(files, ids, strict=True) if id_}
        old = (yield from find_all(named, index_id, signed_for=signed_for)) if named else {}
        sent = yield from self.building.upload(files)
        job = yield from self.building.start(index_id, tuple(sent))
        ready, failure = set(sent), None
        try:
            yield from self.building.wait(job, sent)
        except knowledge.DocumentsFailedError as error:
            ready, failure = {document.id for document in error.ready}, error
        replaced = [each for file_id, key in sent.items() if file_id in ready for each in old.get(key, ())]
        try:
            yield from removal(index_id, replaced, with_file=True, signed_for=signed_for)
        finally:
            if failure is not None:
                raise failure
        return _told(ids, sent)

    def delete(self, ids: Sequence[str] | None) -> Flow[bool]:
        """Take documents out."""
        if ids is None:
            raise ConfigurationError("Name the documents to delete; delete_index() deletes the knowledge base.")
        wanted = [id_ for id_ in checked_ids(ids) if id_]
        if wanted:
            signed_for = self.building.signed_for
            index_id = yield from self.resolve()
            found = yield from find_all({id_: names_of(id_) for id_ in wanted}, index_id, signed_for=signed_for)
            gone = list(dict.fromkeys(each for several in found.values() for each in several))
            yield from removal(index_id, gone, with_file=self._deletes_files, signed_for=signed_for)
        return True

    def list_documents(self) -> Flow[list[knowledge.DocumentStatus]]:
        """Read the whole list of documents."""
        index_id = yield from self.resolve()
        return (yield from documents_of(index_id, signed_for=self.building.signed_for))

    def delete_index(self) -> Flow[None]:
        """Delete the knowledge base."""
        index_id = yield from self.resolve()
        yield knowledge.delete_index(index_id, signed_for=self.building.signed_for)
        self.index_id = None if self.index_name else index_id


def _told(ids: Ids, sent: Mapping[str, str]) -> list[str]:
    """Return the caller's ids, the service's for what has none."""
    return [id_ or file_id for id_, file_id in zip(ids, sent, strict=True)]
