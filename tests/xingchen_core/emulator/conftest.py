"""A plain HTTP client with hand-written bodies: the emulator is never tested through our own client."""

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import httpx
import pytest

from xingchen_core.emulator import Emulator

# "Xingchen HTTP API, role interface": the gateway routes on the pair of path and service name.
SERVICES = {
    "chat/send": "aca-chat-send",
    "chat/stop": "aca-chat-stop",
    "groupchat/send": "aca-groupchat-send",
    "groupchat/nextSpeaker": "aca-groupchat-nextspeaker",
    "completions": "aca-completion",
    "chat/completions": "aca-chat-completions",
    "chat/message/histories": "aca-message-history",
    "chat/rating": "aca-message-rating",
    "chat/reminder": "aca-chat-reminder",
    "chat/reset": "aca-chat-reset",
    "chat/polling/image": "aca-polling-image",
    "character/create": "aca-character-create",
    "character/update": "aca-character-update",
    "character/createOrUpdateVersion": "aca-character-version-mgmt",
    "character/details": "aca-character-details",
    "character/search": "aca-character-search",
    "character/delete": "aca-character-delete",
    "character/versions": "aca-character-versions",
    "character/newversion/recommend": "aca-character-version-recommend",
    "character/auto/desc": "aca-char-auto-desc",
    "extract/kv": "aca-extract-memory-kv",
    "extract/summary": "aca-extract-memory-summary",
    "common/file/asyn/upload": "aca-doc-converter-submit",
    "common/file/asyn/download": "aca-doc-converter-result",
    "knowledge_base/create": "aca-kb-create",
    "knowledge_base/update": "aca-kb-update",
    "knowledge_base/search": "aca-kb-search",
    "knowledge_base/delete": "aca-kb-delete",
    "knowledge_base/detail/upload": "aca-kb-detail-upload",
    "knowledge_base/detail/update": "aca-kb-detail-update",
    "knowledge_base/detail/search": "aca-kb-detail-search",
    "knowledge_base/detail/delete": "aca-kb-detail-delete",
}


class Api:
    """Calls by the path behind `/v2/api/`, with the headers the gateway wants."""

    services = SERVICES

    def __init__(self, url: str, key: str = "test-key") -> None:
        self.url = url
        self.http = httpx.Client(
            base_url=url + "/v2/api/",
            headers={"Authorization": f"Bearer {key}", "x-fag-appcode": "aca"},
            timeout=10,
            trust_env=False,
            verify=False,  # no TLS here, and loading certificates takes longer than most tests
        )

    def post(self, path: str, body: Any, headers: dict[str, str] | None = None, **query: Any) -> httpx.Response:
        named = {"x-fag-servicename": SERVICES[path], **(headers or {})}
        return self.http.post(path, json=body, headers=named, params=query)

    def get(self, path: str, item: str = "", **query: Any) -> httpx.Response:
        return self.http.get(f"{path}/{item}" if item else path, headers=self.named(path), params=query)

    def named(self, path: str, *, sse: bool = False) -> dict[str, str]:
        if sse:
            return {"x-fag-servicename": SERVICES[path] + "-sse", "X-AcA-SSE": "enable"}
        return {"x-fag-servicename": SERVICES[path]}

    def stream(self, path: str, body: Any) -> httpx.Response:
        """The whole stream, read to its end."""
        return self.post(path, body, self.named(path, sse=True))

    def open(self, body: Any, **options: Any) -> AbstractContextManager[httpx.Response]:
        """A chat stream that is read by the caller."""
        return self.http.stream("POST", "chat/send", json=body, headers=self.named("chat/send", sse=True), **options)

    def broken(self, body: Any) -> bytes:
        """What came of a chat stream before its connection broke, as it must."""
        received = b""
        with pytest.raises(httpx.RemoteProtocolError, match="incomplete chunked read"), self.open(body) as response:  # noqa: PT012 - only reading on shows the break
            for chunk in response.iter_raw():
                received += chunk
        return received

    def data(self, path: str, body: Any, **query: Any) -> Any:
        """`data` of a call that must go well."""
        return self._good(self.post(path, body, **query))

    def found(self, path: str, item: str = "", **query: Any) -> Any:
        """`data` of a GET that must go well."""
        return self._good(self.get(path, item, **query))

    def _good(self, response: httpx.Response) -> Any:
        answer = response.json()
        assert (response.status_code, answer["code"], answer["success"]) == (200, 200, True), response.text
        return answer["data"]

    def say(self, text: str, **changes: Any) -> Any:
        """One sync chat; returns its `data`."""
        return self.data("chat/send", self.body(text, **changes))

    @staticmethod
    def body(
        text: str = "你好",
        *,
        messages: list[dict[str, Any]] | None = None,
        character: str = "demo",
        user: str = "u1",
        parameters: dict[str, Any] | None = None,
        **aca: Any,
    ) -> dict[str, Any]:
        """A chat request; further keywords become members of `aca`."""
        body: dict[str, Any] = {
            "input": {
                "messages": messages if messages is not None else [{"role": "user", "content": text}],
                "aca": {"botProfile": {"characterId": character}, "userProfile": {"userId": user}, **aca},
            }
        }
        return body if parameters is None else {**body, "parameters": parameters}

    @staticmethod
    def events(text: str) -> list[tuple[str | None, dict[str, Any]]]:
        """(type, data) of each event of a stream in the plain shape."""
        found = []
        for block in text.split("\n\n"):
            fields = dict(line.partition(":")[::2] for line in block.split("\n") if line)
            if "data" in fields:
                found.append((fields.get("event"), json.loads(fields["data"])))
        return found

    def contents(self, text: str) -> list[str]:
        """The content of each event of a chat stream."""
        return [data["choices"][0]["messages"][0]["content"] for _, data in self.events(text)]

    @staticmethod
    def refusal(response: httpx.Response) -> tuple[int, Any, Any]:
        """(HTTP status, code, errorMessageKey) of a business error, having checked its shape."""
        body = response.json()
        assert body["success"] is False, response.text
        assert body["data"] is None
        assert body["requestId"]
        assert body["errorMessage"]
        return response.status_code, body["code"], body["errorMessageKey"]

    def history(self, **changes: Any) -> list[dict[str, Any]]:
        """One page of history of u1 and demo, oldest first."""
        body = {"where": {"characterId": "demo", "bizUserId": "u1"}, "orderBy": ["gmtCreate asc"], "pageSize": 50}
        rows: list[dict[str, Any]] = self.data("chat/message/histories", {**body, **changes})["list"]
        return rows


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """A running emulator with nothing scripted."""
    with Emulator() as running:
        yield running


@pytest.fixture
def api(emulator: Emulator) -> Iterator[Api]:
    """A client of the account `test-key`."""
    client = Api(emulator.url)
    with client.http:
        yield client


@pytest.fixture
def stranger(emulator: Emulator) -> Iterator[Api]:
    """Another account."""
    client = Api(emulator.url, "strangers-key")
    with client.http:
        yield client
