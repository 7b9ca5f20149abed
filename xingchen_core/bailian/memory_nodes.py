"""What is read of memories, and whose they are.

A memory (the service says node) names no owner in the documents, and the service does not ask whose a node is when it
is read, changed or deleted by its id. So all that we store carries its owner in its metadata, and all that comes back
is held against the user it is for.
"""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import AliasChoices, Field

from xingchen_core._call import Page
from xingchen_core.bailian.memory_wire import Record

logger = logging.getLogger("xingchen_core")

OWNER_KEY = "xingchen_user_id"
"""Member of the metadata that holds the owner. It is ours: hidden from `MemoryNode.metadata`, and not to be given."""


class MemoryNode(Record):
    """A memory.

    Attributes:
        id: The service's.
        text: What is remembered. It came from people: in a prompt mark it as data.
        user_id: The user it was asked for, whose it is.
        score: Only of a search: 0 to 1, higher is better. That scores of the two plans cannot be compared is
            UNVERIFIED, and likely.
        memory_type: `observation` or `skill`.
        status: `valid`, or `delete`, which is never returned.
        project_id: Where it is.
        metadata: As stored, `{}` if there is none.
        timestamp: When the fact happened.
        created_at, updated_at: When it was stored and last changed.
        media_urls: Only of a memory read by its id.
    """

    id: str = Field(alias="memory_node_id")
    text: str = Field("", alias="content")
    user_id: str
    score: float | None = None
    memory_type: str | None = Field(None, validation_alias=AliasChoices("memory_type", "memoryType"))
    status: str | None = None
    project_id: str | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)
    timestamp: datetime | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    media_urls: tuple[str, ...] = ()

    @property
    def is_deleted(self) -> bool:
        """Whether it is one of those that the service still shows by their id after they were deleted."""
        return (self.status or "").lower() in ("delete", "deleted")


class MemoryChange(Record):
    """What an add did: `event` is `ADD`, `UPDATE` (then there is an `old_text`) or `DELETE`.

    Attributes:
        node_id: `None` for a value of a profile.
        name: For a value of a profile: the attribute.
    """

    event: str | None = None
    node_id: str | None = Field(None, alias="memory_node_id")
    text: str | None = Field(None, alias="content")
    old_text: str | None = Field(None, alias="old_content")
    memory_type: str | None = None
    name: str | None = None


def read_node(entry: Mapping[str, Any], user_id: str) -> MemoryNode:
    """Read a memory of a user."""
    metadata = {key: value for key, value in (entry.get("meta_data") or {}).items() if key != OWNER_KEY}
    known = {name: value for name, value in entry.items() if name != "meta_data"}
    return MemoryNode.model_validate({**known, "metadata": metadata, "user_id": user_id})


def read_changes(entries: Iterable[Mapping[str, Any]] | None, user_id: str, account: str) -> tuple[MemoryChange, ...]:
    """Read what an add did. Memories it deleted stay deleted for the reads that follow."""
    deleted = deleted_by(account)
    changes = tuple(map(MemoryChange.model_validate, entries or ()))
    for change in changes:
        if change.node_id is not None and change.event == "DELETE":
            deleted.add(user_id, change.node_id)
    return changes


def with_owner(metadata: Mapping[str, Any] | None, user_id: str) -> dict[str, Any]:
    """Return the metadata to store: what the caller gives, and the owner, whatever the caller gives."""
    return {**(metadata or {}), OWNER_KEY: user_id}


def owner_of(entry: Mapping[str, Any]) -> str | None:
    """Return whose a memory is; `None` if it does not say: it was stored by another program.

    That the service names no owner is documented, though not for every call (UNVERIFIED): if it does, it is believed
    before our mark.
    """
    owner = entry.get("user_id") or (entry.get("meta_data") or {}).get(OWNER_KEY)
    return None if owner is None else str(owner)


def own_nodes(
    entries: Iterable[Mapping[str, Any]] | None, user_id: str, library_id: str | None, account: str
) -> tuple[MemoryNode, ...]:
    """Return the memories of a list that was asked for one user.

    One that names no owner is the user's, since search and list are answered for the user only. One that names another
    is dropped, with a warning; so is what was deleted, without one.
    """
    entries = list(entries or ())
    own = [entry for entry in entries if owner_of(entry) in (None, user_id)]
    if len(own) < len(entries):
        strangers = len(entries) - len(own)
        logger.warning("bailian: dropped %d memories of other users, which came for a user's request", strangers)
    nodes, deleted = (read_node(entry, user_id) for entry in own), deleted_by(account)
    return tuple(node for node in nodes if not node.is_deleted and not deleted.hides(node, library_id))


@dataclass(frozen=True, slots=True)
class NodePage(Page[MemoryNode]):
    """One page of a user's memories. `received` counts what the page had before strangers' and deleted ones went."""

    received: int = 0


class Deleted:
    """The memories one account has deleted in this process: reads may lag behind, and what is forgotten must not come
    back. The oldest are forgotten first.
    """

    def __init__(self, limit: int = 10_000) -> None:
        self._limit = limit
        self._nodes: OrderedDict[tuple[str, str], bool] = OrderedDict()
        self._wipes: OrderedDict[tuple[str, str | None], float] = OrderedDict()
        self._guard = threading.Lock()

    def add(self, user_id: str, node_id: str, *, is_deleted: bool = True) -> None:
        """Note that a memory is deleted, or that its id was given out just now, so that it is not."""
        with self._guard:
            _put(self._nodes, (user_id, node_id), is_deleted, self._limit)

    def add_all(self, user_id: str, library_id: str | None) -> None:
        """Note that all memories of a user are deleted."""
        with self._guard:
            for key in [key for key, is_deleted in self._nodes.items() if key[0] == user_id and not is_deleted]:
                del self._nodes[key]
            _put(self._wipes, (user_id, library_id), time.time(), self._limit)

    def hides(self, node: MemoryNode, library_id: str | None) -> bool:
        """Whether a memory that was read is deleted already."""
        with self._guard:
            is_deleted = self._nodes.get((node.user_id, node.id))
            wiped = self._wipes.get((node.user_id, library_id))
        if is_deleted is not None or wiped is None:
            return bool(is_deleted)
        return node.created_at is not None and node.created_at.timestamp() <= wiped


def _put(entries: OrderedDict[Any, Any], key: Any, value: Any, limit: int) -> None:
    entries[key] = value
    entries.move_to_end(key)
    if len(entries) > limit:
        entries.popitem(last=False)


MOST_ACCOUNTS = 1000
_accounts: OrderedDict[str, Deleted] = OrderedDict()
_accounts_guard = threading.Lock()


def deleted_by(account: str) -> Deleted:
    """Return what an account (see `ConnectionSettings.account`) has deleted: another may have a user of the same id."""
    with _accounts_guard:
        found = _accounts.get(account) or Deleted()
        _put(_accounts, account, found, MOST_ACCOUNTS)
    return found
