"""Knowledge bases of characters, and their files. Source: Xingchen HTTP API, "knowledge base".

Files are known by name: two of one name cannot be told apart. A file comes from a public URL; there is no upload.
"""

from collections.abc import Callable, Sequence
from typing import Any

from xingchen_core._call import Call, Flow, Listing, Page
from xingchen_core._errors import APIResponseError, APITimeoutError, ConfigurationError
from xingchen_core._waiting import pauses
from xingchen_core.characters._wire import LARGEST_PAGE, Record, Time, given, page_of, post

LONGEST_NAME = 20
LONGEST_DESCRIPTION = 200


class KnowledgeBase(Record):
    """A knowledge base."""

    knowledge_base_id: str
    name: str | None = None
    description: str | None = None
    count: int | None = None


class KnowledgeFile(Record):
    """A file of a knowledge base. `status` is an open set of words; see `is_ready` and `has_failed`."""

    name: str
    id: int | str | None = None
    knowledge_base_id: str | None = None
    type: str | None = None
    status: str | int | None = None
    gmt_create: Time | None = None
    gmt_modified: Time | None = None

    @property
    def is_ready(self) -> bool:
        """Whether it can be searched. The words are UNVERIFIED: those of the vendor's other services are known."""
        return str(self.status or "").upper() in ("SUCCESS", "SUCCEEDED", "FINISH", "FINISHED", "DONE", "COMPLETED")

    @property
    def has_failed(self) -> bool:
        """Whether it could not be read."""
        return "FAIL" in str(self.status or "").upper() or str(self.status or "").upper() == "ERROR"


def create_knowledge_base(
    name: str, description: str | None = None, *, user_id: str | None = None
) -> Call[KnowledgeBase]:
    """Create a knowledge base: `POST /v2/api/knowledge_base/create`.

    Args:
        name: At most 20 characters.
        description: At most 200 characters.
        user_id: Your id of its owner, if bases are kept apart by user.
    """
    _check_lengths(name, description)
    body = given(name=name, description=description, userProfile=_user(user_id))
    return post("knowledge_base/create", "aca-kb-create", body, KnowledgeBase.model_validate, remembered=True)


def update_knowledge_base(
    knowledge_base_id: str, *, name: str | None = None, description: str | None = None, user_id: str | None = None
) -> Call[bool]:
    """Rename or describe a knowledge base: `POST /v2/api/knowledge_base/update`."""
    _check_lengths(name, description)
    body = given(knowledgeBaseId=knowledge_base_id, name=name, description=description, userProfile=_user(user_id))
    return post("knowledge_base/update", "aca-kb-update", body, bool)


def search_knowledge_bases(
    *, page: int = 1, page_size: int = LARGEST_PAGE, user_id: str | None = None
) -> Call[Page[KnowledgeBase]]:
    """Read one page of knowledge bases: `POST /v2/api/knowledge_base/search`."""
    body = given(pageNum=page, pageSize=page_size, userProfile=_user(user_id))
    return post("knowledge_base/search", "aca-kb-search", body, page_of(KnowledgeBase.model_validate))


def all_knowledge_bases(*, page_size: int = LARGEST_PAGE, user_id: str | None = None) -> Listing[KnowledgeBase]:
    """List every knowledge base, for a client's `iterate`."""
    return Listing(
        lambda number: search_knowledge_bases(page=number, page_size=page_size, user_id=user_id),
        page_size,
        key=lambda base: base.knowledge_base_id,
    )


def delete_knowledge_base(knowledge_base_id: str, *, user_id: str | None = None) -> Call[bool]:
    """Delete a knowledge base and its files: `POST /v2/api/knowledge_base/delete`."""
    body = given(knowledgeBaseId=knowledge_base_id, userProfile=_user(user_id))
    return post("knowledge_base/delete", "aca-kb-delete", body, bool)


def add_files(
    knowledge_base_id: str,
    files: dict[str, str],
    *,
    type: str = "text",
    user_id: str | None = None,
) -> Call[bool]:
    """Add files, {name: public URL}: `POST /v2/api/knowledge_base/detail/upload`.

    They are read in the background; see `wait_for_files`. `type` is the service's word; `text` is the one documented.
    """
    infos = [{"filename": name, "fileUrl": url} for name, url in files.items()]
    body = given(knowledgeBaseId=knowledge_base_id, type=type, fileInfos=infos, userProfile=_user(user_id))
    return post("knowledge_base/detail/upload", "aca-kb-detail-upload", body, bool, remembered=True)


def rename_file(knowledge_base_id: str, name: str, new_name: str, *, user_id: str | None = None) -> Call[bool]:
    """Rename a file: `POST /v2/api/knowledge_base/detail/update`."""
    body = given(knowledgeBaseId=knowledge_base_id, name=name, newName=new_name, userProfile=_user(user_id))
    return post("knowledge_base/detail/update", "aca-kb-detail-update", body, bool)


def search_files(
    knowledge_base_id: str, *, page: int = 1, page_size: int = LARGEST_PAGE, user_id: str | None = None
) -> Call[Page[KnowledgeFile]]:
    """Read one page of a knowledge base's files: `POST /v2/api/knowledge_base/detail/search`."""
    body = given(knowledgeBaseId=knowledge_base_id, pageNum=page, pageSize=page_size, userProfile=_user(user_id))
    return post("knowledge_base/detail/search", "aca-kb-detail-search", body, page_of(KnowledgeFile.model_validate))


def all_files(
    knowledge_base_id: str, *, page_size: int = LARGEST_PAGE, user_id: str | None = None
) -> Listing[KnowledgeFile]:
    """List every file of a knowledge base, for a client's `iterate`."""
    return Listing(
        lambda number: search_files(knowledge_base_id, page=number, page_size=page_size, user_id=user_id),
        page_size,
        key=lambda file: (file.id, file.name),
    )


def delete_file(knowledge_base_id: str, name: str, *, user_id: str | None = None) -> Call[bool]:
    """Delete a file by name: `POST /v2/api/knowledge_base/detail/delete`. The vendor's page swaps the labels of this
    call and the file list; the path is what counts.
    """
    body = given(knowledgeBaseId=knowledge_base_id, name=name, userProfile=_user(user_id))
    return post("knowledge_base/detail/delete", "aca-kb-detail-delete", body, bool)


def wait_for_files(
    knowledge_base_id: str,
    names: Sequence[str],
    *,
    timeout: float = 600.0,
    interval: float = 3.0,
    user_id: str | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Flow[tuple[KnowledgeFile, ...]]:
    """Wait until the named files can be searched.

    To cancel it, close the flow or cancel the task that runs it; the service goes on reading the files.

    Args:
        knowledge_base_id: Where they were added.
        names: The files to wait for. Of several files of one name, which nothing tells apart, all must be ready.
        timeout: Seconds to wait at most between the looks.
        interval: Seconds before the second look; later ones wait half as long again, at most 30 s.
        user_id: As given to `add_files`.
        on_progress: Called with (ready, all) after each look.

    Raises:
        APIResponseError: Files failed; the message lists them.
        APITimeoutError: Files are not ready in time; the message lists them.
    """
    left = pauses(timeout, interval, growth=1.5)
    while True:
        files = yield from _find_files(knowledge_base_id, names, user_id)
        failed = [name for name, found in files.items() if any(file.has_failed for file in found)]
        if failed:
            raise APIResponseError(f"Files could not be read: {', '.join(failed)}.", service="xingchen")
        pending = [name for name, found in files.items() if not found or not all(file.is_ready for file in found)]
        if on_progress is not None:
            on_progress(len(files) - len(pending), len(files))
        if not pending:
            return tuple(files[name][-1] for name in names)
        pause = next(left, None)
        if pause is None:
            raise APITimeoutError(f"files not ready within {timeout:g} s: {', '.join(pending)}", service="xingchen")
        yield pause


def _find_files(
    knowledge_base_id: str, names: Sequence[str], user_id: str | None
) -> Flow[dict[str, list[KnowledgeFile]]]:
    """Return what there is of each name, nothing included."""
    listing = all_files(knowledge_base_id, user_id=user_id)
    files: dict[str, list[KnowledgeFile]] = {name: [] for name in names}
    number = 1
    while True:
        page = yield listing.page(number)
        for file in page.items:
            if file.name in files:
                files[file.name].append(file)
        if listing.is_last(number, page):
            return files
        number += 1


def _user(user_id: str | None) -> dict[str, Any] | None:
    return None if user_id is None else {"userId": user_id}


def _check_lengths(name: str | None, description: str | None) -> None:
    if name is not None and not 1 <= len(name) <= LONGEST_NAME:
        raise ConfigurationError(f"name must be 1 to {LONGEST_NAME} characters, got {len(name)}.")
    if description is not None and len(description) > LONGEST_DESCRIPTION:
        raise ConfigurationError(
            f"description must be at most {LONGEST_DESCRIPTION} characters, got {len(description)}."
        )
