"""Every request the vendor's own SDK sends is accepted, to the letter."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from xingchen_core.emulator import Emulator

CAPTURE = Path(__file__).parents[2] / "fixtures" / "xingchen_sdk_requests.jsonl"
REQUESTS: list[dict[str, Any]] = [json.loads(line) for line in CAPTURE.read_text(encoding="utf-8").splitlines()[1:]]

CHARACTER = "char0000000000000000000000000001"
KNOWLEDGE_BASE = "kb000000000000000000000000000001"


def seed(emulator: Emulator, api: Any) -> None:
    """Store what the captured requests speak of, under their ids."""
    state = emulator.xingchen
    state.add_character(CHARACTER, name="关云长", roleTypes=["三国"])
    for version in (2, 3):
        state.characters.write(CHARACTER, version, {})
    rows = [
        {"content": "你叫什么名字", "messageId": "query000000000000000000000000001"},
        {"content": "我叫小婉", "messageId": "answer00000000000000000000000001"},
        {"content": "最近好吗", "messageId": "msg00000000000000000000000000001", "messageType": "sys_greetings"},
    ]
    state.add_messages(CHARACTER, "user-0001", rows)
    room = state.rooms.open("test-key", CHARACTER, "user-0001")
    state.rooms.paint(room.messages[-1], "123456", ["https://example.invalid/a.png"])
    state.knowledge.add("test-key", "库", user_id="user-0001", knowledge_base_id=KNOWLEDGE_BASE)
    infos = [{"filename": name, "fileUrl": f"https://example.invalid/{name}"} for name in ("a.txt", "b.txt")]
    api.data("knowledge_base/detail/upload", {"knowledgeBaseId": KNOWLEDGE_BASE, "type": "text", "fileInfos": infos})
    api.data("common/file/asyn/upload", {"type": "excelToDocx", "sourceUrl": "https://example.invalid/a.xlsx"})


def send(api: Any, request: dict[str, Any]) -> httpx.Response:
    """Send a captured request: its headers, its query, its body as the SDK writes JSON."""
    body = None if request["body"] is None else json.dumps(request["body"]).encode()
    return httpx.request(
        request["method"],
        f"{api.url}{request['path']}?{request['query']}".rstrip("?"),
        headers=request["headers"],
        content=body,
        trust_env=False,
        verify=False,
    )


@pytest.mark.parametrize("request_", REQUESTS[:-1], ids=lambda request: request["call"])
def test_accepted(api: Any, emulator: Emulator, request_: dict[str, Any]) -> None:
    """Answered well, and streamed exactly where the SDK asks for a stream."""
    seed(emulator, api)
    response = send(api, request_)
    assert response.status_code == 200, response.text
    body = request_["body"] or {}
    if request_["headers"].get("X-AcA-SSE") == "enable" or body.get("stream"):
        kinds = [kind for kind, _ in api.events(response.text)]
        assert kinds == [None] * (len(kinds) - 1) + ["stop"]
    elif request_["path"] == "/v2/api/completions":
        assert response.json()["choices"][0]["finish_reason"] == "stop"
    else:
        assert response.json()["success"] is True


def test_fault_of_the_sdk_is_refused(api: Any, emulator: Emulator) -> None:
    """The `-sse` service name without the header is a misroute in strict mode."""
    seed(emulator, api)
    response = send(api, REQUESTS[-1])
    assert response.status_code == 400
    assert response.json()["errorName"] == "InvalidServiceName"


def test_every_endpoint_is_captured_or_known(api: Any) -> None:
    """The capture covers all paths but the one no SDK has."""
    captured = {request["path"].removeprefix("/v2/api/").removesuffix(f"/{CHARACTER}") for request in REQUESTS}
    assert set(api.services) - captured == {"chat/completions"}
    assert captured <= set(api.services)
