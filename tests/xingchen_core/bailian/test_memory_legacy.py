"""Memory bodies: our signed requests beside those of the official SDK (fixtures/bailian_openapi_requests.jsonl)."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_library import ok
from raw_server import RawServer, json_answer
from xingchen_core import (
    APIConnectionError,
    AuthenticationError,
    Call,
    ConfigurationError,
    InternalServerError,
    NotFoundError,
    Pause,
    RateLimitError,
)
from xingchen_core.bailian import memory

Connect = Callable[..., Any]
FIXTURE = Path(__file__).parents[2] / "fixtures" / "bailian_openapi_requests.jsonl"
LINES = {line["case"]: line for line in map(json.loads, FIXTURE.read_text("utf-8").splitlines())}
WS = "llm-fake0workspace"
BODY = "memfake00000000000000000000000001"
NODE = "nodefake0000000000000000000000001"

CALLS: dict[str, Callable[[], Call[Any]]] = {
    "CreateMemory": lambda: memory.create_body(WS, "user A"),
    "GetMemory": lambda: memory.get_body(WS, BODY),
    "UpdateMemory": lambda: memory.update_body(WS, BODY, "user B"),
    "DeleteMemory": lambda: memory.delete_body(WS, BODY),
    "ListMemories": lambda: memory.list_bodies(WS, page_size=10, next_token="tok"),
    "CreateMemoryNode": lambda: memory.create_body_node(WS, BODY, "likes tea"),
    "GetMemoryNode": lambda: memory.get_body_node(WS, BODY, NODE),
    "UpdateMemoryNode": lambda: memory.update_body_node(WS, BODY, NODE, "likes coffee"),
    "DeleteMemoryNode": lambda: memory.delete_body_node(WS, BODY, NODE),
    "ListMemoryNodes": lambda: memory.list_body_nodes(WS, BODY, page_size=10, next_token="tok"),
}


@pytest.fixture
def connect(connect: Connect) -> Connect:
    """Clients with an AccessKey only."""
    return partial(
        connect,
        make_settings=memory.MemorySettings,
        api_key=None,
        access_key_id="testid",
        access_key_secret="testsecret",
    )


def test_every_captured_call_is_here() -> None:
    """No captured call of memory bodies is left out."""
    assert set(CALLS) == {name for name in LINES if "Memor" in name}


@pytest.mark.parametrize("name", CALLS)
async def test_requests(connect: Connect, name: str) -> None:
    """Method, path, query, action and version are the SDK's; there is no body and no content type; it is signed."""
    line = LINES[name]
    sent: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return ok(memoryId="m1", memoryNodeId="n1")

    await connect(answer).send(CALLS[name]())
    (request,) = sent
    assert (request.method, request.url.raw_path.partition(b"?")[0].decode()) == (line["method"], line["path"])
    assert dict(parse_qsl(request.url.query.decode())) == line["query"]
    assert request.url.host == "bailian.cn-beijing.aliyuncs.com"
    assert request.headers["x-acs-action"] == line["headers"]["x-acs-action"] == name
    assert request.headers["x-acs-version"] == "2023-12-29"
    assert (request.content, line["body"], request.headers.get("content-type")) == (b"", "", None)
    assert request.headers["authorization"].startswith("ACS3-HMAC-SHA256 Credential=testid,")


async def test_texts_in_the_url(connect: Connect) -> None:
    """Chinese, spaces, plus signs and line breaks arrive as they were given: nothing is stripped on the way."""
    with RawServer(json_answer(b'{"memoryNodeId":"n1","requestId":"R"}')) as server:
        text = " 喜欢 a+b & 茶\n"
        assert await connect(server.url).send(memory.create_body_node(WS, BODY, text)) == "n1"
        head = server.requests[0].split(b"\r\n")[0]
    target = head.split(b" ")[1].decode()
    assert target.startswith(f"/{WS}/memories/{BODY}/memoryNodes?content=")
    assert parse_qsl(target.partition("?")[2]) == [("content", text)]


def test_answers() -> None:
    """What is read of bodies and nodes; the service's texts are not touched, though some end with a line break."""
    body = memory.get_body(WS, BODY).parse(
        {"memoryId": BODY, "description": "user A\n", "workspaceId": WS, "requestId": "R"}
    )
    assert (body.id, body.description, body.workspace_id) == (BODY, "user A\n", WS)
    node = memory.get_body_node(WS, BODY, NODE).parse(
        {"content": "喜欢喝茶\n", "memoryId": BODY, "memoryNodeId": NODE, "workspaceId": WS, "requestId": "R"}
    )
    assert (node.id, node.text, node.body_id) == (NODE, "喜欢喝茶\n", BODY)
    page = memory.list_bodies(WS).parse({"memories": [{"memoryId": BODY}], "nextToken": "", "totalCount": 1})
    assert ([found.id for found in page.items], page.next_token) == ([BODY], None)
    assert memory.list_body_nodes(WS, BODY).parse({"memoryNodes": None}).items == ()


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "no description": (lambda: memory.create_body(WS, ""), "description must be 1 to 50"),
    "long description": (lambda: memory.update_body(WS, BODY, "茶" * 51), "description must be 1 to 50"),
    "no text": (lambda: memory.create_body_node(WS, BODY, ""), "1 to 200"),
    "long text": (lambda: memory.update_body_node(WS, BODY, NODE, "茶" * 201), "1 to 200"),
    "no workspace": (lambda: memory.get_body("", BODY), "workspace id"),
    "no id": (lambda: memory.delete_body(WS, ""), "is no id"),
    "up": (lambda: memory.delete_body_node(WS, BODY, ".."), "is no id"),
    "page of 51": (lambda: memory.list_bodies(WS, page_size=51), "1 to 50"),
    "page of 0": (lambda: memory.list_body_nodes(WS, BODY, page_size=0), "1 to 50"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_before_sending(name: str) -> None:
    """What the service certainly refuses is said before anything is sent."""
    describe, words = REFUSED[name]
    with pytest.raises(ConfigurationError, match=words):
        describe()


def test_only_lengths_are_checked() -> None:
    """The documents allow no spaces and commas, their samples hold some: the service decides."""
    assert memory.create_body_node(WS, BODY, "likes tea, 不喝咖啡！").query == {"content": "likes tea, 不喝咖啡！"}
    assert memory.create_body(WS, "茶" * 50).query == {"description": "茶" * 50}


@pytest.mark.parametrize("name", CALLS)
async def test_what_may_be_repeated(connect: Connect, name: str) -> None:
    """Only what makes something new is not sent again after an answer that was lost."""
    sent: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request.headers["x-acs-signature-nonce"])
        raise httpx.ReadError("lost", request=request)

    with pytest.raises(APIConnectionError):
        await connect(answer).send(CALLS[name]())
    assert len(set(sent)) == len(sent) == (1 if name.startswith("Create") else 3)  # each signed anew


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "Throttling.User", RateLimitError),
        (404, "Memory.NotFound", NotFoundError),
        (404, "InvalidAccessKeyId.NotFound", AuthenticationError),
        (500, "InternalError", InternalServerError),
    ],
)
async def test_failures(connect: Connect, status: int, code: str, kind: type[Exception]) -> None:
    """The gateway's envelope is read. Which codes these calls have is UNVERIFIED; these are other products'."""
    body = {"Code": code, "Message": "no", "RequestId": "R-1", "HostId": "h", "Recommend": "r"}
    with pytest.raises(kind, match="R-1"):
        await connect(lambda request: httpx.Response(status, json=body)).send(memory.get_body(WS, BODY))


async def test_keys_are_not_mixed_up(connect: Connect) -> None:
    """An AccessKey alone cannot search the library; an API key alone cannot sign."""
    with pytest.raises(ConfigurationError, match="needs an API key"):
        await connect(lambda request: ok()).send(memory.search("茶", user_id="u1"))
    client = connect(lambda request: ok(), api_key="test-key", access_key_id=None, access_key_secret=None)
    with pytest.raises(ConfigurationError, match="is signed"):
        await client.send(memory.get_body(WS, BODY))


async def test_all_of_a_list(connect: Connect, waits: list[float]) -> None:
    """Parts are fetched up to the end, at the pace the vendor asks for."""
    parts = {"": ("a", "t1"), "t1": ("b", "t2"), "t2": ("c", "")}

    def answer(request: httpx.Request) -> httpx.Response:
        name, token = parts[request.url.params.get("nextToken", "")]
        entry = {"memoryId": name, "memoryNodeId": name, "content": name}
        return ok(memories=[entry], memoryNodes=[entry], nextToken=token)

    client = connect(answer)
    assert [body.id for body in await client.run(memory.all_bodies(WS))] == ["a", "b", "c"]
    assert [node.text for node in await client.run(memory.all_body_nodes(WS, BODY))] == ["a", "b", "c"]
    assert waits == [1.0] * 4


@given(
    st.dictionaries(
        st.sampled_from(["", "t1", "t2", "t3"]),
        st.tuples(st.lists(st.integers(0, 4)), st.sampled_from(["", "t1", "t2", "t3"])),
    )
)
def test_lists_always_end(parts: dict[str, tuple[list[int], str]]) -> None:
    """Whatever tokens a service gives, each is followed once, and each node comes out once, in order."""
    flow = memory.all_body_nodes(WS, BODY)
    asked, seen = [], []
    answer: Any = None
    while True:
        try:
            step = flow.send(answer)
        except StopIteration as done:
            result = [int(node.id) for node in done.value]
            break
        answer = None
        if not isinstance(step, Pause):
            token = step.query.get("nextToken", "")
            asked.append(token)
            numbers, following = parts.get(token, ([], ""))
            seen += numbers
            answer = step.parse({"memoryNodes": [{"memoryNodeId": str(n)} for n in numbers], "nextToken": following})
    assert len(set(asked)) == len(asked)
    assert result == list(dict.fromkeys(seen))
