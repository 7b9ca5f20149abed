"""Bailian by plain HTTP, with bodies written by hand: neither emulator nor client may test itself."""

import json
from typing import Any

import httpx

APPS = "/api/v1/apps/"
TEXT = "/api/v1/services/aigc/text-generation/generation"
MEDIA = "/api/v1/services/aigc/multimodal-generation/generation"
COMPATIBLE = "/compatible-mode/v1/chat/completions"

MESSAGE: dict[str, Any] = {"result_format": "message"}
PIECES: dict[str, Any] = {"result_format": "message", "incremental_output": True}


class BailianApi:
    """Calls and streams of one key."""

    def __init__(self, url: str, key: str = "test-key") -> None:
        headers = {"Authorization": f"Bearer {key}"}
        self.http = httpx.Client(base_url=url, headers=headers, timeout=10, trust_env=False, verify=False)

    def post(self, path: str, body: Any, *, sse: bool = False, headers: dict[str, str] | None = None) -> httpx.Response:
        switch = {"X-DashScope-SSE": "enable"} if sse else {}
        return self.http.post(path, json=body, headers={**switch, **(headers or {})})

    def good(self, path: str, body: Any) -> Any:
        """The body of a call that must go well."""
        response = self.post(path, body)
        assert response.status_code == 200, response.text
        return response.json()

    def events(self, path: str, body: Any) -> list[Any]:
        """`data` of each event of a stream that must go well."""
        response = self.post(path, body, sse=True)
        assert response.status_code == 200, response.text
        assert ":HTTP_STATUS/200\n" in response.text
        return [data for _, data in read(response.text)]

    def ask(self, prompt: str = "你好", app: str = "demo", **more: Any) -> Any:
        """`output` of an application."""
        return self.good(f"{APPS}{app}/completion", question(prompt, **more))["output"]

    def watch(self, prompt: str = "你好", app: str = "demo", **more: Any) -> list[Any]:
        """`output` of each event of an application's stream."""
        return [event["output"] for event in self.events(f"{APPS}{app}/completion", question(prompt, **more))]

    def complete(self, messages: Any = "你好", path: str = TEXT, model: str = "qwen-plus", **parameters: Any) -> Any:
        """The first choice of a model."""
        return self.good(path, prompt(messages, model, **parameters))["output"]["choices"][0]

    def stream(
        self, messages: Any = "你好", path: str = TEXT, model: str = "qwen-plus", **parameters: Any
    ) -> list[Any]:
        """The first choice of each event of a model's stream."""
        body = prompt(messages, model, **{**PIECES, **parameters})
        return [event["output"]["choices"][0] for event in self.events(path, body)]


def question(prompt: str, *, parameters: dict[str, Any] | None = None, **given: Any) -> dict[str, Any]:
    """A request to an application; keywords are members of `input`."""
    return {"input": {"prompt": prompt, **given}, "parameters": parameters or {}}


def prompt(messages: Any = "你好", model: str = "qwen-plus", **parameters: Any) -> dict[str, Any]:
    """A request to a model by a native path; a text is the user's only message."""
    listed = [{"role": "user", "content": messages}] if isinstance(messages, str) else messages
    return {"model": model, "input": {"messages": listed}, "parameters": {**MESSAGE, **parameters}}


def read(text: str) -> list[tuple[dict[str, str], Any]]:
    """(fields, data) of each event, found by its `data:` line."""
    found, fields = [], {}
    for line in text.split("\n"):
        if line.startswith(":HTTP_STATUS/"):
            fields["status"] = line.removeprefix(":HTTP_STATUS/")
        elif line:
            name, _, value = line.partition(":")
            fields[name] = value
        if line.startswith("data:"):
            body = fields.pop("data")
            found.append((fields, body if body == "[DONE]" else json.loads(body)))
            fields = {}
    return found


def refusal(response: httpx.Response) -> tuple[Any, ...]:
    """(HTTP status, code, message) of an error, having checked its shape."""
    body = response.json()
    assert sorted(body) == ["code", "message", "request_id"], response.text
    assert body["request_id"] == response.headers["x-request-id"]
    return response.status_code, body["code"], body["message"]


def tool(name: str, description: str = "", **properties: Any) -> dict[str, Any]:
    """A function; a property is a type name or a schema, and required."""
    schemas = {key: {"type": value} if isinstance(value, str) else value for key, value in properties.items()}
    schema = {"type": "object", "properties": schemas, "required": list(schemas)}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": schema}}


def user(*parts: Any) -> list[Any]:
    """One user message of parts."""
    return [{"role": "user", "content": list(parts)}]


def refused(api: BailianApi, messages: Any = "你好", path: str = TEXT, *, sse: bool = False, **given: Any) -> list[str]:
    """Code and message of a refusal, which must come under 400."""
    status, *told = refusal(api.post(path, prompt(messages, **given), sse=sse))
    assert status == 400
    return told
