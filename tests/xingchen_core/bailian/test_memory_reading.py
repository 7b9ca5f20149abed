"""How answers of the Memory Library are read: nodes, and failures of every kind."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import httpx
import pytest

from memory_library import new_user, node_entry, ok, refused
from xingchen_core import (
    APIResponseError,
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    ContentFilterError,
    InternalServerError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
)
from xingchen_core.bailian import memory
from xingchen_core.bailian.memory_nodes import OWNER_KEY
from xingchen_core.bailian.memory_wire import read_failure

Connect = Callable[..., Any]
MOMENT = datetime(2026, 9, 21, 14, 13, 20, tzinfo=UTC)


@pytest.fixture
def connect(connect: Connect) -> Connect:
    """Clients with a key."""
    return partial(connect, make_settings=memory.MemorySettings, api_key="test-key")


def found(*entries: dict[str, Any], **members: Any) -> memory.MemorySearch:
    """What a search reads from such an answer."""
    result: memory.MemorySearch = memory.search("茶", user_id="u1").parse({"memory_nodes": list(entries), **members})
    return result


def test_nodes() -> None:
    """Everything documented of a node is there, times are UTC, and our mark is not in the metadata."""
    entry = node_entry(
        1, score=0.676, meta_data={"k": "pref.drink", OWNER_KEY: "u1"}, media_urls=["https://e.invalid/a"]
    )
    result = found(entry, plan_version="pro", request_id="req-fake-3")
    (node,) = result.nodes
    assert (node.id, node.text, node.user_id, node.score) == (f"{1:032d}", "喜欢喝茶", "u1", 0.676)
    assert (node.memory_type, node.status, node.project_id) == ("observation", "valid", "projfake01")
    assert (node.timestamp, node.created_at, node.updated_at) == (MOMENT, MOMENT, MOMENT)
    assert (node.metadata, node.media_urls) == ({"k": "pref.drink"}, ("https://e.invalid/a",))
    assert (result.plan_version, result.request_id) == ("pro", "req-fake-3")


def test_bare_nodes() -> None:
    """Members that are absent or null are no reason to fail; those not known here are kept."""
    bare = {"memory_node_id": "n1", "content": None, "meta_data": None, "score": None, "timestamp": None, "new": 7}
    for entry in (bare, {"memory_node_id": "n1", "new": 7}):
        (node,) = found(entry).nodes
        assert (node.id, node.text, node.metadata, node.score, node.timestamp) == ("n1", "", {}, None, None)
        assert node.model_extra == {"new": 7}


def test_the_other_spelling() -> None:
    """One sample says `memoryType`."""
    (node,) = found({"memory_node_id": "n1", "content": "茶", "memoryType": "skill"}).nodes
    assert node.memory_type == "skill"


def test_texts_are_not_touched() -> None:
    """What is stored as given is given back as it is, white space included, and a score of 0 is one."""
    (node,) = found(node_entry(1, content=" 茶 \n", score=0)).nodes
    assert (node.text, node.score) == (" 茶 \n", 0)


@pytest.mark.parametrize("entries", [[], None])
def test_nothing_found(entries: Any) -> None:
    """No memories are a good answer."""
    assert memory.search("茶", user_id="u1").parse({"memory_nodes": entries}).nodes == ()
    assert memory.list_nodes("u1").parse({"memory_nodes": entries, "total": 0}).items == ()


async def test_an_unknown_user_has_no_memories(connect: Connect) -> None:
    """Whether the service answers for a user it does not know with nothing or with a code, there is nothing."""
    client = connect(lambda request: refused(404, "UserNotFound", "The user does not exist."))
    assert (await client.send(memory.search("茶", user_id="u1"))).nodes == ()
    assert [node async for node in client.iterate(memory.all_nodes("u1"))] == []
    with pytest.raises(NotFoundError):
        await client.send(memory.get_profile("schemafake01", user_id="u1"))


async def test_other_answers_are_no_memories(connect: Connect) -> None:
    """An answer of another shape is said to be one, and what it holds is not repeated."""
    for body in (
        {"nodes": []},
        {"memory_nodes": [{"content": "秘密"}]},
        {"memory_nodes": [{"memory_node_id": ["秘密"]}]},
    ):
        with pytest.raises(APIResponseError, match="unexpected shape") as caught:
            await connect(lambda request, body=body: ok(**body)).send(memory.search("茶", user_id=new_user()))
        assert "秘密" not in str(caught.value)


async def test_a_missing_node(connect: Connect) -> None:
    """A good answer without a node is a missing node, too."""
    for body in ({"memory_node": None}, {}):
        with pytest.raises(NotFoundError, match="No memory"):
            await connect(lambda request, body=body: ok(**body)).run(memory.get_node("n1", user_id="u1"))


async def test_pages(connect: Connect) -> None:
    """A list starts at page 1 and is read to its end, each memory once, though one moved to the next page."""
    user = new_user()
    pages = {"1": [3, 2], "2": [2, 1], "3": [0]}

    def answer(request: httpx.Request) -> httpx.Response:
        number = request.url.params["page_num"]
        nodes = [node_entry(n) for n in pages[number]]
        return ok(memory_nodes=nodes, total=5, page_num=int(number), page_size=2)

    listing = memory.all_nodes(user, page_size=2)
    assert [int(node.id) async for node in connect(answer).iterate(listing)] == [3, 2, 1, 0]


def test_pages_as_told() -> None:
    """The total is the service's, and a service that chose another page size is believed."""
    page = memory.list_nodes("u1", page_size=200).parse({"memory_nodes": [node_entry(1)], "total": 8, "page_size": 100})
    assert (page.total, page.size, page.number) == (8, 100, 1)


ROWS: list[tuple[int, dict[str, Any], type[APIStatusError], bool]] = [
    (
        400,
        {"code": "InvalidParameter", "message": "Required parameter min_score must be between 0 and 1.0"},
        BadRequestError,
        False,
    ),
    (400, {"code": "MissingParameter", "message": "user_id is not found"}, BadRequestError, False),
    (400, {"code": "MutuallyExclusiveParams"}, BadRequestError, False),
    (400, {"code": "InvalidParameter", "message": "The profile schema does not exist."}, NotFoundError, False),
    (400, {"code": "InvalidParameter", "message": "profile_schema not found"}, NotFoundError, False),
    (400, {"code": "DataInspectionFailed", "message": "inappropriate content"}, ContentFilterError, False),
    (400, {"message": "Skill project only supports plan_version pro."}, BadRequestError, False),
    (401, {"code": "InvalidApiKey"}, AuthenticationError, False),
    (403, {"code": "Forbidden"}, PermissionDeniedError, False),
    (404, {"code": "NotFound"}, NotFoundError, False),
    (404, {"code": "UserNotFound"}, NotFoundError, False),
    (404, {"code": "EntityNotFound", "message": "The specified entity does not exist."}, NotFoundError, False),
    (404, {}, NotFoundError, False),
    (429, {"code": "TooManyRequests"}, RateLimitError, True),
    (429, {}, RateLimitError, True),
    (400, {"code": "TooManyRequests"}, RateLimitError, True),
    (500, {"code": "InternalServerError"}, InternalServerError, True),
    (502, {}, InternalServerError, True),
    (503, {"code": "ServiceUnavailable"}, InternalServerError, True),
    (200, {"code": "InvalidApiKey"}, AuthenticationError, False),
    (200, {"code": "TooManyRequests"}, RateLimitError, True),
    (200, {"success": False, "message": "no"}, BadRequestError, False),
    (200, {"Success": "false", "code": "NotFound"}, NotFoundError, False),
]


@pytest.mark.parametrize(("status", "body", "kind", "is_retryable"), ROWS)
def test_failures(status: int, body: dict[str, Any], kind: type[APIStatusError], is_retryable: bool) -> None:
    """Each documented failure has its class, by code before status; a refusal under HTTP 200 is one."""
    error = read_failure(status, {"request_id": "req-fake-9", **body})
    assert type(error) is kind
    assert error.is_retryable is is_retryable
    assert error.request_id == "req-fake-9"
    assert error.code == body.get("code")
    assert error.status_code == status if status >= 400 else error.status_code >= 400
    assert body.get("message", "") in error.message


@pytest.mark.parametrize(
    "body", [{}, {"code": ""}, {"code": None}, {"code": "Success", "success": True}, {"code": 200}, []]
)
def test_successes(body: Any) -> None:
    """Success has no sign of its own but the status; what may say so is read as well."""
    assert read_failure(200, body) is None


async def test_advice(connect: Connect) -> None:
    """A refused key and a missing right say what to look for."""
    with pytest.raises(AuthenticationError, match="coding-plan keys"):
        await connect(lambda request: refused(401, "InvalidApiKey")).send(memory.list_nodes("u1"))
    with pytest.raises(PermissionDeniedError, match="long-term memory is activated"):
        await connect(lambda request: refused(403, "Forbidden")).send(memory.list_nodes("u1"))
