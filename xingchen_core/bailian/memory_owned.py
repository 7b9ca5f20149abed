"""Reading, changing and deleting one memory, after a look at whose it is: the service does not look.

Source: Model Studio, "long-term memory (new) API".
"""

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from xingchen_core._call import Call, Flow
from xingchen_core._errors import NotFoundError
from xingchen_core.bailian._openapi import segment
from xingchen_core.bailian.memory_finding import all_nodes
from xingchen_core.bailian.memory_nodes import MemoryNode, deleted_by, owner_of, read_node, with_owner
from xingchen_core.bailian.memory_wire import (
    LONGEST_TEXT,
    MEMORY,
    Record,
    account_call,
    call,
    check_length,
    checked_library,
    checked_user,
    nothing,
    seconds,
)


def get_node(node_id: str, *, user_id: str, library_id: str | None = None) -> Flow[MemoryNode]:
    """Read a memory: `GET /memory_nodes/{id}`, and see whose it is.

    One that was stored by another program names no owner. It is the user's if it is among those that the service lists
    for the user in its project, which takes at least one call more (one for each hundred memories).

    Raises:
        NotFoundError: There is no such memory, it is deleted, or it is another user's: all three look alike.
    """
    _, found = yield from _find(node_id, user_id, library_id)
    return found


def _find(node_id: str, user_id: str, library_id: str | None) -> Flow[tuple[str, MemoryNode]]:
    """Return the account that asked, and a memory that is there and the user's."""
    checked_user(user_id)
    read: Call[tuple[str, Any]] = account_call(
        "GET", f"memory_nodes/{segment(node_id)}", lambda account, answer: (account, answer.get("memory_node"))
    )
    missing = NotFoundError(
        f"No memory {node_id!r} of this user.", status_code=404, code="NotFound", service=MEMORY.name
    )
    try:
        account, entry = yield read
    except NotFoundError as error:
        raise missing from error
    if not entry:
        raise missing
    found = read_node(entry, user_id)
    owner = owner_of(entry)
    if found.is_deleted or deleted_by(account).hides(found, library_id) or owner not in (None, user_id):
        raise missing
    if owner is None and not (yield from _is_listed(found, library_id)):
        raise missing
    return account, found


def _is_listed(wanted: MemoryNode, library_id: str | None) -> Flow[bool]:
    listing = all_nodes(wanted.user_id, library_id=library_id, project_id=wanted.project_id)
    number = 1
    while True:
        page = yield listing.page(number)
        if any(found.id == wanted.id for found in page.items):
            return True
        if listing.is_last(number, page):
            return False
        number += 1


def update_node(
    node_id: str,
    text: str | None = None,
    *,
    user_id: str,
    metadata: Mapping[str, Any] | None = None,
    timestamp: datetime | int | None = None,
    library_id: str | None = None,
) -> Flow[None]:
    """Change a memory: `PATCH /memory_nodes/{id}`, after `get_node`, which costs a call and sees whose it is.

    Args:
        node_id: Which.
        text: The new text, at most 512 characters. Default: the one there is, since the service takes no change
            without a text; what is changed between the two calls is lost.
        user_id: Whose it must be.
        metadata: Merged into what there is: members cannot be removed.
        timestamp: When it happened; an `int` is in seconds. Default: stays.
        library_id: Default: the account's default library. A memory cannot move.

    Raises:
        NotFoundError: As for `get_node`.
    """
    if text is not None:
        check_length("A text to remember", text, LONGEST_TEXT)
    moment = seconds("timestamp", timestamp)
    checked_library(library_id)
    found = yield from get_node(node_id, user_id=user_id, library_id=library_id)
    new = found.text if text is None else text
    check_length("A text to remember", new, LONGEST_TEXT)
    body = {
        "custom_content": new,
        "user_id": user_id,
        "meta_data": with_owner(metadata, user_id),
        "timestamp": moment,
        "memory_library_id": library_id,
    }
    yield call("PATCH", f"memory_nodes/{segment(node_id)}", nothing, body=body)


def delete_node(node_id: str, *, user_id: str, library_id: str | None = None) -> Flow[None]:
    """Delete a memory: `DELETE /memory_nodes/{id}`, after `get_node`, which costs a call and sees whose it is.

    It cannot be undone, and search and list find it no more; the service keeps it readable by its id, though not
    through `get_node`. In this process it stays deleted also for reads that lag.

    Raises:
        NotFoundError: As for `get_node`.
    """
    checked_library(library_id)
    account, _ = yield from _find(node_id, user_id, library_id)
    query = {"memory_library_id": library_id}
    with suppress(NotFoundError):  # a repetition after an answer that was lost; it was there a moment ago
        yield call("DELETE", f"memory_nodes/{segment(node_id)}", nothing, query=query)
    deleted_by(account).add(user_id, node_id)


class SkillText(Record):
    """A skill as a text to take away. The names of its members are UNVERIFIED; all that comes is kept."""

    name: str | None = None
    description: str | None = None
    tags: tuple[str, ...] | str | None = None
    content: str | None = None


def export_skill(node_id: str, *, user_id: str, library_id: str | None = None) -> Flow[SkillText]:
    """Read a skill as a text: `GET /skill/export/{id}`, after `get_node`. Not in the public reference.

    Raises:
        NotFoundError: As for `get_node`.
    """
    yield from get_node(node_id, user_id=user_id, library_id=library_id)
    path = f"skill/export/{segment(node_id)}"
    text = yield call("GET", path, lambda answer: SkillText.model_validate(answer.get("skill") or answer))
    return text  # type: ignore[no-any-return]  # what a flow is sent is untyped
