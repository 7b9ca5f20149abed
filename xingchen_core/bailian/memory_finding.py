"""Finding memories: by meaning, or all of a user's. Source: Model Studio, "long-term memory (new) API"."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from xingchen_core._call import Call, Listing, Page
from xingchen_core._errors import APIStatusError, ConfigurationError
from xingchen_core.bailian.memory_nodes import MemoryNode, NodePage, own_nodes
from xingchen_core.bailian.memory_wire import (
    MEMORY,
    account_call,
    checked_choice,
    checked_library,
    checked_user,
    conversation,
    seconds,
)
from xingchen_core.bailian.model_messages import ModelMessage

LARGEST_PAGE = 100
"""Known to be accepted. Whether more is, is UNVERIFIED."""


def _read_failure(status: int, body: Any) -> APIStatusError | None:
    """Take a user of whom nothing is known for one without memories.

    Whether the service answers for such a user with an empty list, or with this code, is UNVERIFIED.
    """
    return None if _is_unknown_user(body) else MEMORY.read_failure(status, body)


def _is_unknown_user(body: Any) -> bool:
    return isinstance(body, dict) and body.get("code") == "UserNotFound"


def _entries(answer: Any) -> list[Any]:
    return [] if _is_unknown_user(answer) else answer["memory_nodes"] or []


_FINDING = replace(MEMORY, read_failure=_read_failure)


@dataclass(frozen=True, slots=True)
class MemorySearch:
    """What a search found, best first. `plan_version` is the one that was used, and is billed: `pro` or `lite`."""

    nodes: tuple[MemoryNode, ...]
    plan_version: str | None = None
    request_id: str | None = None


def search(
    query: str | Sequence[ModelMessage],
    *,
    user_id: str,
    top_k: int | None = None,
    min_score: float | None = None,
    library_id: str | None = None,
    project_ids: Sequence[str] | None = None,
    memory_types: Sequence[str] | None = None,
    plan_version: str | None = None,
    enable_rerank: bool | None = None,
    enable_judge: bool | None = None,
    enable_rewrite: bool | None = None,
    query_timestamp: datetime | int | None = None,
) -> Call[MemorySearch]:
    """Find what is remembered of a user: `POST /memory_nodes/search`. There is no filter by metadata and no paging.

    How soon a new memory is found is UNVERIFIED.

    Args:
        query: A question, or the conversation so far.
        user_id: Whose memories.
        top_k: 1 to 100; the service's default is 10.
        min_score: 0 to 1; the service's default, 0.3, hides weak matches: say 0 for all.
        library_id: Default: the account's default library.
        project_ids: Default: the default project only.
        memory_types: Default: `["observation"]`; the other is `skill`.
        plan_version: `pro` (the service's default: reranked, dearer) or `lite`. Wins over `enable_rerank`.
        enable_rerank: Default: the service's.
        enable_judge: Default: off.
        enable_rewrite: Default: off.
        query_timestamp: What "yesterday" is relative to; an `int` is in seconds. Its effect is UNVERIFIED.
    """
    if top_k is not None and not 1 <= top_k <= 100:
        raise ConfigurationError(f"top_k must be 1 to 100, got {top_k}.")
    if min_score is not None and not 0 <= min_score <= 1:
        raise ConfigurationError(f"min_score must be 0 to 1, got {min_score}.")
    asked = (ModelMessage(role="user", content=query),) if isinstance(query, str) else query
    body = {
        "user_id": checked_user(user_id),
        "messages": conversation(asked, with_tools=False),
        "top_k": top_k,
        "min_score": min_score,
        "memory_library_id": checked_library(library_id),
        "project_ids": list(project_ids) if project_ids else None,
        "memory_types": list(memory_types) if memory_types else None,
        "plan_version": checked_choice("plan_version", plan_version, "pro", "lite"),
        "enable_rerank": enable_rerank,
        "enable_judge": enable_judge,
        "enable_rewrite": enable_rewrite,
        "query_timestamp": seconds("query_timestamp", query_timestamp),
    }

    def parse(account: str, answer: Any) -> MemorySearch:
        nodes = own_nodes(_entries(answer), user_id, library_id, account)
        return MemorySearch(nodes, answer.get("plan_version"), answer.get("request_id"))

    return account_call("POST", "memory_nodes/search", parse, body=body, service=_FINDING)


def list_nodes(
    user_id: str,
    *,
    library_id: str | None = None,
    project_id: str | None = None,
    page: int = 1,
    page_size: int = LARGEST_PAGE,
) -> Call[Page[MemoryNode]]:
    """Read one page of a user's memories in one project: `GET /memory_nodes`. See `all_nodes`."""
    query = {
        "user_id": checked_user(user_id),
        "memory_library_id": checked_library(library_id),
        "project_id": project_id,
        "page_num": page,
        "page_size": page_size,
    }

    def parse(account: str, answer: Any) -> Page[MemoryNode]:
        entries = _entries(answer)
        number, size = answer.get("page_num") or page, answer.get("page_size") or page_size
        own = own_nodes(entries, user_id, library_id, account)
        return NodePage(own, number, size, answer.get("total"), received=len(entries))

    return account_call("GET", "memory_nodes", parse, query=query, service=_FINDING)


class _AllNodes(Listing[MemoryNode]):
    """A page is as long as it came: what was dropped from it must not end the list."""

    def is_last(self, number: int, page: Page[Any]) -> bool:
        assert isinstance(page, NodePage)
        whole: Page[Any] = Page((None,) * page.received, page.number, page.size, page.total)
        return super().is_last(number, whole)


def all_nodes(
    user_id: str, *, library_id: str | None = None, project_id: str | None = None, page_size: int = LARGEST_PAGE
) -> Listing[MemoryNode]:
    """List all memories of a user in one project, for a client's `iterate`.

    Args:
        user_id: Whose memories. An unknown user has none.
        library_id: Default: the account's default library.
        project_id: Default: the default project of observations; those of other projects, and skills, are not shown.
        page_size: The service's default is 10.
    """
    return _AllNodes(
        lambda number: list_nodes(
            user_id, library_id=library_id, project_id=project_id, page=number, page_size=page_size
        ),
        page_size,
        key=lambda node: node.id,
    )
