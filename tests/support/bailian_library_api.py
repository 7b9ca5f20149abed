"""Bailian's knowledge bases and memory by plain HTTP, bodies and signatures by hand: neither half tests itself."""

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any
from urllib.parse import quote, urlencode

import httpx

from beebot_api import authorization, date
from xingchen_core.emulator import Emulator

RAG = "/api/v1/indices/rag/index/"
DASH = "/api/v1/connector/dash/"
PIPELINE = "/api/v1/indices/pipeline"
MEMORY = "/api/v2/apps/memory/"
WORKSPACE = "llm-demo"
INDEX = "kbdemo0001"
VERSION = "2023-12-29"

_numbers = count(1)


class LibraryApi:
    """Calls of one API key, and of the AccessKey `testid`."""

    def __init__(self, url: str, key: str = "test-key") -> None:
        headers = {"Authorization": f"Bearer {key}"}
        self.http = httpx.Client(base_url=url, headers=headers, timeout=10, trust_env=False, verify=False)
        self.bare = httpx.Client(base_url=url, timeout=10, trust_env=False, verify=False)

    def data(self, path: str, body: dict[str, Any] | None = None, **query: Any) -> Any:
        """`data` of a management or retrieval call that must go well: POST with a body, else GET."""
        response = self.http.post(path, json=body) if body is not None else self.http.get(path, params=query)
        answer = response.json()
        told = {name: answer[name] for name in ("code", "status_code", "status", "success")}
        assert told == {"code": "Success", "status_code": 200, "status": "SUCCESS", "success": True}, response.text
        assert answer["request_id"] == response.headers["x-request-id"]
        return answer["data"]

    def refused(self, path: str, body: dict[str, Any] | None = None, **query: Any) -> tuple[int, str, str]:
        """(HTTP status, code, message) of such a call, having checked the shape."""
        response = self.http.post(path, json=body) if body is not None else self.http.get(path, params=query)
        answer = response.json()
        assert (answer["success"], answer["status"]) == (False, "FAILED"), response.text
        assert "data" not in answer
        return response.status_code, answer["code"], answer["message"]

    def dash(self, call: str, body: dict[str, Any]) -> Any:
        """`data` of a data-centre call that must go well: an integer `status`, and no `success`."""
        answer = self.http.post(DASH + call, json=body).json()
        assert (answer["code"], answer["status"], "success" in answer) == ("Success", 200, False), answer
        return answer["data"]

    def retrieve(self, query: str, index: str = INDEX, **more: Any) -> list[tuple[str, float]]:
        """(document, score) of what is found in one base."""
        nodes = self.data(RAG + "retrieve", {"index_id": index, "query": query, **more})["nodes"]
        return [(node["metadata"]["doc_name"], node["score"]) for node in nodes]

    def memory(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """The body of a memory call that must go well, without its request id."""
        response = self.http.request(method, MEMORY + path, json=body, params=query)
        assert response.status_code == 200, response.text
        answer = response.json()
        assert answer.pop("request_id") == response.headers["x-request-id"]
        return answer

    def memory_refused(self, method: str, path: str, body: Any = None, **query: Any) -> tuple[int, str]:
        """(HTTP status, code) of a memory call."""
        response = self.http.request(method, MEMORY + path, json=body, params=query)
        answer = response.json()
        assert sorted(answer) == ["code", "message", "request_id"], response.text
        return response.status_code, answer["code"]

    def signed(
        self,
        action: str,
        method: str,
        path: str,
        query: dict[str, str] | None = None,
        form: dict[str, str] | None = None,
        content: bytes | None = None,
        *,
        workspace: str = WORKSPACE,
        headers: dict[str, str] | None = None,
        plus: bool = False,
        **keys: str,
    ) -> httpx.Response:
        """A signed call. `plus`: spaces of the query are `+` on the wire, while the signature has `%20`."""
        body = urlencode(form).encode() if form else content or b""
        kind = "application/x-www-form-urlencoded" if form else "application/json; charset=utf-8"
        signed = {
            "host": f"{self.bare.base_url.host}:{self.bare.base_url.port}",
            "x-acs-action": action,
            "x-acs-version": VERSION,
            "x-acs-date": date(time.time()),
            "x-acs-signature-nonce": f"bailian-{next(_numbers)}",
            "x-acs-content-sha256": hashlib.sha256(body).hexdigest(),
            **({"content-type": kind} if body else {}),
            **(headers or {}),
        }
        whole = f"/{workspace}{path}"
        signed["authorization"] = authorization(method, whole, query or {}, signed, body, **keys)
        wire = urlencode(query or {}) if plus else urlencode(query or {}, quote_via=quote)
        url = f"{self.bare.base_url}".rstrip("/") + whole + (f"?{wire}" if wire else "")
        return self.bare.request(method, url, headers=signed, content=body)

    def call(self, action: str, method: str, path: str, *parts: Any, **options: Any) -> Any:
        """`Data` of a signed call that must go well."""
        response = self.signed(action, method, path, *parts, **options)
        answer = response.json()
        assert (response.status_code, answer["Code"], answer["Success"]) == (200, "Success", True), response.text
        return answer["Data"]


@contextmanager
def library(emulator: Emulator) -> Iterator[LibraryApi]:
    """Calls to an emulator whose base `kbtest` has three documents."""
    knowledge = emulator.bailian.knowledge
    knowledge.add_index("测试", "kbtest")
    knowledge.add_document("kbtest", "a.txt", "red apple", tags=["fruit"], meta={"year": 2020, "by": "Li"})
    knowledge.add_document("kbtest", "b.txt", "red car green car blue car", tags=["car"], meta={"year": 2024})
    cake = {"year": "2022.0", "by": "Zhang", "job": "tech_lead"}
    knowledge.add_document("kbtest", "c.txt", "green apple pie", tags=["fruit", "cake"], meta=cake)
    client = LibraryApi(emulator.url)
    with client.http, client.bare:
        yield client


def store(api: LibraryApi, content: str, user: str = "u1", **more: Any) -> str:
    """The id of a memory stored as given."""
    added = api.memory("POST", "add", {"user_id": user, "custom_content": content, **more})["memory_nodes"]
    assert [(node["content"], node["event"]) for node in added] == [(content, "ADD")]
    node_id: str = added[0]["memory_node_id"]
    return node_id


def search(api: LibraryApi, query: str, user: str = "u1", **more: Any) -> list[tuple[str, float]]:
    """(content, score) of what is found."""
    body = {"user_id": user, "messages": [{"role": "user", "content": query}], **more}
    nodes = api.memory("POST", "memory_nodes/search", body)["memory_nodes"]
    return [(node["content"], node["score"]) for node in nodes]


def listed(api: LibraryApi, user: str = "u1", **query: Any) -> list[str]:
    """Contents of one page of a user's list."""
    return [node["content"] for node in api.memory("GET", "memory_nodes", user_id=user, **query)["memory_nodes"]]
