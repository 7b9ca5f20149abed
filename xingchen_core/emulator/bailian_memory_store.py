"""Things the long-term memory keeps. Times are Unix seconds."""

import math
from dataclasses import dataclass, field
from typing import Any

DAY = 86400


@dataclass
class Node:
    """One memory. A deleted one stays, with the status `delete`."""

    node_id: str
    user_id: str
    library_id: str
    project_id: str
    content: str
    memory_type: str
    meta_data: dict[str, Any]
    timestamp: int
    created_at: int
    updated_at: int
    status: str = "valid"
    skill: dict[str, Any] = field(default_factory=dict)
    seen_from: float = 0.0
    """When search begins to find it."""
    gone: float = math.inf
    """When lists and search cease to show it, having been deleted."""

    def shown(self) -> dict[str, Any]:
        """As every call shows it. It does not name its owner."""
        return {
            "memory_node_id": self.node_id,
            "content": self.content,
            "memory_type": self.memory_type,
            "status": self.status,
            "project_id": self.project_id,
            "meta_data": dict(self.meta_data),
            "timestamp": self.timestamp,
            "created_at": self.created_at,
            "updated_at": self.updated_at,
        }


@dataclass
class Project:
    """A "fragment rule": isolates nodes, says how they are extracted and when they expire (-1: never)."""

    project_id: str
    library_id: str
    name: str = "default"
    memory_type: str = "observation"
    expired_in_days: int = 180
    auto_refresh: bool = False
    options: dict[str, Any] = field(default_factory=dict)

    def shown(self) -> dict[str, Any]:
        """As calls show it."""
        return {
            "project_id": self.project_id,
            "name": self.name,
            "memory_type": self.memory_type,
            "expired_in_days": self.expired_in_days,
            "auto_refresh": self.auto_refresh,
            **self.options,
        }

    def expired(self, node: Node, now: float) -> bool:
        """Whether a memory has lived its time."""
        born = node.updated_at if self.auto_refresh else node.created_at
        return self.expired_in_days >= 0 and now >= born + self.expired_in_days * DAY


@dataclass
class ProfileItem:
    """One value of one attribute."""

    item_id: int
    value: str


@dataclass
class Attribute:
    """Something a profile says of a user."""

    attribute_id: str
    name: str
    description: str = ""
    default_value: str = ""
    immutable: bool = False
    items: dict[str, list[ProfileItem]] = field(default_factory=dict)
    """Values by user."""


@dataclass
class Schema:
    """What is asked about every user."""

    schema_id: str
    library_id: str
    name: str
    description: str = ""
    plan_version: str = "pro"
    attributes: list[Attribute] = field(default_factory=list)


@dataclass
class Event:
    """An asynchronous add: what was asked for, and how far it is. One entry for each resource."""

    event_id: str
    user_id: str
    library_id: str
    resources: list[tuple[str, str]]
    """(type, id) of what it writes to."""
    request: Any
    created_at: int
    updated_at: int
    polls: int = 0
    status: str = "PENDING"
    detail: str = ""
    results: list[list[dict[str, Any]]] = field(default_factory=list)

    @property
    def pending(self) -> bool:
        """Whether it goes on."""
        return self.status in ("PENDING", "RUNNING")


@dataclass
class MemoryBody:
    """A memory of the older kind: short texts by their id."""

    memory_id: str
    description: str
    workspace: str
    nodes: dict[str, str] = field(default_factory=dict)
