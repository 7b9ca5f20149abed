"""Memory bodies (长期记忆, the older kind): short texts that an application with `memory_id=` reads and writes itself.

Source: OpenAPI reference `api-bailian-2023-12-29`, `CreateMemory` and its nine siblings; signed with an AccessKey.
They have no users, no search and no scores. The custom is one body for each user, and one fact in each node.

All that is said travels in the URL, as this API wants it: it stands in the access logs of proxies, and in httpx's own
log. The vendor asks for a second between requests; who is faster is throttled, and the client repeats.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pydantic import Field

from xingchen_core._call import Call, Flow, Pause
from xingchen_core._errors import ConfigurationError
from xingchen_core.bailian._openapi import segment, signed
from xingchen_core.bailian.knowledge_records import TokenPage
from xingchen_core.bailian.memory_wire import Record, check_length, nothing

T = TypeVar("T")

LONGEST_DESCRIPTION = 50
LONGEST_CONTENT = 200
LARGEST_LIST = 50

_BETWEEN_PAGES = Pause(1.0)


class MemoryBody(Record):
    """A memory body. Its id is the `memory_id` of an application. The service may end texts with a line break."""

    id: str = Field(alias="memoryId")
    description: str | None = None
    workspace_id: str | None = Field(None, alias="workspaceId")


class BodyNode(Record):
    """A fact in a memory body. The service may end its text with a line break."""

    id: str = Field(alias="memoryNodeId")
    text: str = Field("", alias="content")
    body_id: str | None = Field(None, alias="memoryId")


def create_body(workspace_id: str, description: str) -> Call[str]:
    """Make a memory body and return its id: `CreateMemory`. Calling twice makes two.

    Args:
        workspace_id: Of which workspace.
        description: 1 to 50 characters: letters, digits and `: _ . -` (the vendor's samples also hold spaces; the
            service decides).
    """
    query = _description(description)
    return signed(
        "CreateMemory",
        "POST",
        workspace_id,
        "/memories",
        lambda answer: str(answer["memoryId"]),
        query=query,
        remembered=True,
    )


def get_body(workspace_id: str, body_id: str) -> Call[MemoryBody]:
    """Read a memory body: `GetMemory`."""
    return signed("GetMemory", "GET", workspace_id, _body(body_id), MemoryBody.model_validate)


def update_body(workspace_id: str, body_id: str, description: str) -> Call[None]:
    """Describe a memory body anew: `UpdateMemory`. `description` as for `create_body`."""
    return signed("UpdateMemory", "PUT", workspace_id, _body(body_id), nothing, query=_description(description))


def delete_body(workspace_id: str, body_id: str) -> Call[None]:
    """Delete a memory body and its nodes for good: `DeleteMemory`."""
    return signed("DeleteMemory", "DELETE", workspace_id, _body(body_id), nothing)


def list_bodies(
    workspace_id: str, *, page_size: int = LARGEST_LIST, next_token: str | None = None
) -> Call[TokenPage[MemoryBody]]:
    """Read a part of the list of memory bodies: `ListMemories`. `page_size` is 1 to 50."""
    return signed(
        "ListMemories",
        "GET",
        workspace_id,
        "/memories",
        lambda answer: _token_page(answer, "memories", MemoryBody),
        query=_part(page_size, next_token),
    )


def all_bodies(workspace_id: str) -> Flow[tuple[MemoryBody, ...]]:
    """Read every memory body of a workspace, with a second between the requests."""
    return _all(lambda token: list_bodies(workspace_id, next_token=token))


def create_body_node(workspace_id: str, body_id: str, text: str) -> Call[str]:
    """Remember a fact and return its id: `CreateMemoryNode`. Calling twice makes two.

    Args:
        workspace_id: Of which workspace.
        body_id: Of which memory body.
        text: 1 to 200 characters. Which punctuation is allowed, the service decides.
    """
    path = f"{_body(body_id)}/memoryNodes"
    return signed(
        "CreateMemoryNode",
        "POST",
        workspace_id,
        path,
        lambda answer: str(answer["memoryNodeId"]),
        query=_content(text),
        remembered=True,
    )


def get_body_node(workspace_id: str, body_id: str, node_id: str) -> Call[BodyNode]:
    """Read a fact: `GetMemoryNode`."""
    path = _node(body_id, node_id)
    return signed("GetMemoryNode", "GET", workspace_id, path, BodyNode.model_validate)


def update_body_node(workspace_id: str, body_id: str, node_id: str, text: str) -> Call[None]:
    """Replace a fact: `UpdateMemoryNode`. `text` as for `create_body_node`."""
    path = _node(body_id, node_id)
    return signed("UpdateMemoryNode", "PUT", workspace_id, path, nothing, query=_content(text))


def delete_body_node(workspace_id: str, body_id: str, node_id: str) -> Call[None]:
    """Delete a fact: `DeleteMemoryNode`."""
    return signed("DeleteMemoryNode", "DELETE", workspace_id, _node(body_id, node_id), nothing)


def list_body_nodes(
    workspace_id: str, body_id: str, *, page_size: int = LARGEST_LIST, next_token: str | None = None
) -> Call[TokenPage[BodyNode]]:
    """Read a part of a body's facts: `ListMemoryNodes`. `page_size` is 1 to 50."""
    return signed(
        "ListMemoryNodes",
        "GET",
        workspace_id,
        f"{_body(body_id)}/memoryNodes",
        lambda answer: _token_page(answer, "memoryNodes", BodyNode),
        query=_part(page_size, next_token),
    )


def all_body_nodes(workspace_id: str, body_id: str) -> Flow[tuple[BodyNode, ...]]:
    """Read every fact of a memory body, with a second between the requests."""
    return _all(lambda token: list_body_nodes(workspace_id, body_id, next_token=token))


def _all(part: Callable[[str | None], Call[TokenPage[Any]]]) -> Flow[tuple[Any, ...]]:
    """Follow the tokens to their end, which is none, or one that was there before."""
    items: dict[str, Any] = {}
    followed: set[str | None] = {None}
    page = yield part(None)
    while True:
        for item in page.items:
            items.setdefault(item.id, item)
        if page.next_token in followed:
            return tuple(items.values())
        followed.add(page.next_token)
        yield _BETWEEN_PAGES
        page = yield part(page.next_token)


def _token_page(answer: Mapping[str, Any], name: str, record: type[Any]) -> TokenPage[Any]:
    entries = tuple(map(record.model_validate, answer.get(name) or ()))
    return TokenPage(entries, answer.get("nextToken") or None)


def _body(body_id: str) -> str:
    return f"/memories/{segment(body_id)}"


def _node(body_id: str, node_id: str) -> str:
    return f"{_body(body_id)}/memoryNodes/{segment(node_id)}"


def _description(text: str) -> dict[str, str]:
    check_length("description", text, LONGEST_DESCRIPTION)
    return {"description": text}


def _content(text: str) -> dict[str, str]:
    check_length("A text to remember", text, LONGEST_CONTENT)
    return {"content": text}


def _part(page_size: int, next_token: str | None) -> dict[str, Any]:
    if not 1 <= page_size <= LARGEST_LIST:
        raise ConfigurationError(f"page_size must be 1 to {LARGEST_LIST}, got {page_size}.")
    return {"maxResults": page_size, "nextToken": next_token}
