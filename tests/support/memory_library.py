"""A memory library as the documents describe it, in a few lines: it asks for no owner and names none."""

import json
from collections.abc import Callable
from itertools import count
from typing import Any
from urllib.parse import unquote

import httpx

BASE = "/api/v2/apps/memory/"
_users = count(1)


def new_user() -> str:
    """A user of whom nothing was ever deleted in this process."""
    return f"user-{next(_users)}"


def node_entry(number: int = 1, **members: Any) -> dict[str, Any]:
    """A node as search returns it."""
    return {
        "memory_node_id": f"{number:032d}",
        "content": "喜欢喝茶",
        "memory_type": "observation",
        "status": "valid",
        "project_id": "projfake01",
        "meta_data": {},
        "timestamp": 1790000000,
        "created_at": 1790000000,
        "updated_at": 1790000000,
        **members,
    }


class Library:
    """Answers requests.

    Attributes:
        seen: Method, path below the base, query and body of each request.
        lags: Search and list still show what was deleted.
        strangers: Nodes that search and list return whoever asks.
    """

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, dict[str, str], Any]] = []
        self.lags = False
        self.strangers: list[dict[str, Any]] = []
        self._nodes: dict[str, tuple[str, dict[str, Any]]] = {}
        self._old: dict[str, list[dict[str, Any]]] = {}

    def put(self, user: str, number: int, **members: Any) -> str:
        """Store a node by another program: without our mark."""
        entry = node_entry(number, **members)
        self._nodes[entry["memory_node_id"]] = (user, entry)
        self._old.setdefault(user, []).append(dict(entry))
        return str(entry["memory_node_id"])

    def text(self, node_id: str) -> str:
        """What is stored, `(deleted)` if it is deleted."""
        entry = self._nodes[node_id][1]
        return "(deleted)" if entry["status"] == "delete" else str(entry["content"])

    def calls(self) -> list[str]:
        """Method and path of each request."""
        return [f"{method} {path}" for method, path, _, _ in self.seen]

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer."""
        path = unquote(request.url.raw_path.partition(b"?")[0].decode()).removeprefix(BASE)
        body = json.loads(request.content) if request.content else None
        query = dict(request.url.params)
        self.seen.append((request.method, path, query, body))
        answers: dict[tuple[str, str], Callable[[], httpx.Response]] = {
            ("POST", "add"): lambda: self._add(body),
            ("POST", "memory_nodes/search"): lambda: ok(memory_nodes=self._of(body["user_id"]), plan_version="pro"),
            ("GET", "memory_nodes"): lambda: self._list(query),
        }
        if answer := answers.get((request.method, path)):
            return answer()
        if path.startswith("entities/user/"):
            return self._forget(path.rpartition("/")[2])
        return self._one(request.method, path.removeprefix("memory_nodes/"), body)

    def _of(self, user: str, project: str | None = None) -> list[dict[str, Any]]:
        if self.lags:
            return self._old.get(user, []) + self.strangers
        own = [entry for owner, entry in self._nodes.values() if owner == user and entry["status"] == "valid"]
        return [entry for entry in own if project in (None, entry["project_id"])] + self.strangers

    def _add(self, body: dict[str, Any]) -> httpx.Response:
        number = len(self._nodes) + 1
        node_id = self.put(body["user_id"], number, content=body["custom_content"], meta_data=body.get("meta_data", {}))
        return ok(memory_nodes=[{"memory_node_id": node_id, "content": body["custom_content"], "event": "ADD"}])

    def _list(self, query: dict[str, str]) -> httpx.Response:
        found = self._of(query["user_id"], query.get("project_id"))
        page, size = int(query["page_num"]), int(query["page_size"])
        part = found[(page - 1) * size : page * size]
        return ok(memory_nodes=part, total=len(found), page_num=page, page_size=size)

    def _one(self, method: str, node_id: str, body: Any) -> httpx.Response:
        if node_id not in self._nodes:
            return refused(404, "NotFound", "The node does not exist.")
        entry = self._nodes[node_id][1]
        if method == "GET":
            return ok(memory_node={**entry, "media_urls": []})
        if method == "DELETE":
            entry["status"] = "delete"
        else:
            entry["content"] = body["custom_content"]
            entry["meta_data"] = {**entry["meta_data"], **body.get("meta_data", {})}
        return ok()

    def _forget(self, user: str) -> httpx.Response:
        own = [entry for owner, entry in self._nodes.values() if owner == user and entry["status"] == "valid"]
        for entry in own:
            entry["status"] = "delete"
        return ok() if own else refused(404, "EntityNotFound", "The specified entity does not exist.")


def ok(**members: Any) -> httpx.Response:
    """A good answer."""
    return httpx.Response(200, json={"request_id": "req-fake-1", **members})


def refused(status: int, code: str, message: str = "no") -> httpx.Response:
    """A refusal."""
    return httpx.Response(status, json={"request_id": "req-fake-2", "code": code, "message": message})
