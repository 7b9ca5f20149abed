"""Nobody reads, changes or deletes another user's memories, and what is deleted does not come back."""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_library import Library, new_user, node_entry, ok
from xingchen_core import ConfigurationError, NotFoundError
from xingchen_core._call import Page
from xingchen_core.bailian import ModelMessage, memory
from xingchen_core.bailian.memory_nodes import OWNER_KEY, Deleted, NodePage, read_node

Connect = Callable[..., Any]
Flow = Any


@pytest.fixture
def library() -> Library:
    """The service."""
    return Library()


@pytest.fixture
def client(connect: Connect, library: Library) -> Any:
    """A client of it."""
    return connect(library)


@pytest.fixture
def connect(connect: Connect) -> Connect:
    """Clients with a key."""
    return partial(connect, make_settings=memory.MemorySettings, api_key="test-key")


async def add(client: Any, text: str, user: str, **fields: Any) -> str:
    """Store a text and return its id."""
    (change,) = await client.send(memory.add(text, user_id=user, **fields))
    return str(change.node_id)


async def texts(client: Any, user: str) -> list[str]:
    """What search finds for a user; the list of all must agree."""
    found = [node.text for node in (await client.send(memory.search("喝什么", user_id=user))).nodes]
    assert found == [node.text async for node in client.iterate(memory.all_nodes(user))]
    return found


OPERATIONS: dict[str, Callable[[str, str], Flow]] = {
    "get": lambda node_id, user: memory.get_node(node_id, user_id=user),
    "update": lambda node_id, user: memory.update_node(node_id, "改", user_id=user),
    "delete": lambda node_id, user: memory.delete_node(node_id, user_id=user),
    "export": lambda node_id, user: memory.export_skill(node_id, user_id=user),
}
each_operation = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS.keys())


async def test_the_owners_way(client: Any, library: Library) -> None:
    """Whoever stored a memory reads, changes and deletes it; each takes one call to see whose it is, and no more."""
    user = new_user()
    node_id = await add(client, "喜欢喝茶", user, metadata={"k": "pref.drink"})
    node = await client.run(memory.get_node(node_id, user_id=user))
    assert (node.id, node.text, node.user_id, node.metadata) == (node_id, "喜欢喝茶", user, {"k": "pref.drink"})
    await client.run(memory.update_node(node_id, "喜欢喝咖啡", user_id=user, metadata={"sure": True}))
    assert (await client.run(memory.get_node(node_id, user_id=user))).metadata == {"k": "pref.drink", "sure": True}
    assert await texts(client, user) == ["喜欢喝咖啡"]
    del library.seen[:]
    await client.run(memory.delete_node(node_id, user_id=user))
    assert library.calls() == [f"GET memory_nodes/{node_id}", f"DELETE memory_nodes/{node_id}"]
    assert library.text(node_id) == "(deleted)"
    assert await texts(client, user) == []


@each_operation
@pytest.mark.parametrize("is_marked", [True, False], ids=["ours", "of another program"])
async def test_strangers(client: Any, library: Library, operation: Callable[..., Flow], is_marked: bool) -> None:
    """A stranger's memory is neither read nor touched, and looks like one that is not there."""
    owner, stranger = new_user(), new_user()
    node_id = await add(client, "秘密", owner) if is_marked else library.put(owner, 1, content="秘密")
    with pytest.raises(NotFoundError) as refusal:
        await client.run(operation(node_id, stranger))
    missing_id = f"{99:032d}"
    with pytest.raises(NotFoundError) as missing:
        await client.run(operation(missing_id, stranger))
    assert str(refusal.value).replace(node_id, missing_id) == str(missing.value)
    assert library.text(node_id) == "秘密"
    assert not {method for method, _, _, _ in library.seen} & {"PATCH", "DELETE"}


@pytest.mark.parametrize("named", [{"user_id": "someone"}, {"meta_data": {OWNER_KEY: "someone"}}])
@each_operation
async def test_what_names_its_owner_is_believed(
    client: Any, library: Library, operation: Callable[..., Flow], named: dict[str, Any]
) -> None:
    """Even what the service lists for a user is not the user's if it says whose it is."""
    user = new_user()
    node_id = library.put(user, 1, **named)
    with pytest.raises(NotFoundError):
        await client.run(operation(node_id, user))
    assert library.calls() == [f"GET memory_nodes/{node_id}"]


async def test_the_service_before_the_mark(client: Any, library: Library) -> None:
    """If the service says whose a memory is, a mark in the metadata says nothing."""
    user = new_user()
    node_id = library.put("someone", 1, user_id="someone", meta_data={OWNER_KEY: user})
    with pytest.raises(NotFoundError):
        await client.run(memory.get_node(node_id, user_id=user))


@pytest.mark.parametrize("position", [1, 100, 101, 250])
async def test_memories_of_other_programs(client: Any, library: Library, position: int) -> None:
    """What has no mark is the user's if the service lists it for the user, in its project, on whatever page."""
    user = new_user()
    ids = [library.put(user, number, project_id="projfake07") for number in range(1, 251)]
    await client.run(memory.update_node(ids[position - 1], "改", user_id=user))
    assert library.text(ids[position - 1]) == "改"
    listed = [query for method, path, query, _ in library.seen if path == "memory_nodes"]
    assert [query["page_num"] for query in listed] == ["1", "2", "3"][: (position + 99) // 100]
    assert {query["project_id"] for query in listed} == {"projfake07"}
    assert {query["user_id"] for query in listed} == {user}
    del library.seen[:]
    await client.run(memory.get_node(ids[position - 1], user_id=user))  # marked by the update: no list any more
    assert library.calls() == [f"GET memory_nodes/{ids[position - 1]}"]


async def test_a_mark_cannot_be_given(client: Any, library: Library) -> None:
    """Metadata of the caller's, which may be a model's, does not give a memory to somebody else."""
    user, victim = new_user(), new_user()
    node_id = await add(client, "假的", user, metadata={OWNER_KEY: victim})
    await client.run(memory.update_node(node_id, "还是假的", user_id=user, metadata={OWNER_KEY: victim}))
    assert library.seen[-1][3]["meta_data"] == {OWNER_KEY: user}
    with pytest.raises(NotFoundError):
        await client.run(memory.get_node(node_id, user_id=victim))


async def test_strangers_in_results(client: Any, library: Library, caplog: pytest.LogCaptureFixture) -> None:
    """Should search or list ever return another user's memory, it is dropped with a warning that does not tell it."""
    user = new_user()
    await add(client, "喜欢喝茶", user)
    library.strangers = [node_entry(7, content="秘密", user_id="someone", meta_data=None)]
    library.strangers += [node_entry(8, content="秘密", meta_data={OWNER_KEY: "someone"})]
    with caplog.at_level(logging.WARNING, "xingchen_core"):
        assert await texts(client, user) == ["喜欢喝茶"]
    assert "dropped 2 memories of other users" in caplog.text
    assert "秘密" not in caplog.text
    assert "someone" not in caplog.text


async def test_results_that_name_no_owner(client: Any, library: Library, caplog: pytest.LogCaptureFixture) -> None:
    """The documents' nodes name no owner: what is found for a user is the user's, without a warning."""
    user = new_user()
    library.put(user, 1)
    assert await texts(client, user) == ["喜欢喝茶"]
    assert caplog.text == ""


@pytest.mark.parametrize("user", ["", "   ", "用" * 65, None])
def test_nobody(user: Any) -> None:
    """No call is described without a user; one that touches one memory sends nothing."""
    calls: list[Callable[[], Any]] = [
        lambda: memory.add("喝茶", user_id=user),
        lambda: memory.add_async("喝茶", user_id=user),
        lambda: memory.get_event("evt-fake-1", user_id=user),
        lambda: memory.search("喝茶", user_id=user),
        lambda: memory.list_nodes(user),
        lambda: memory.get_profile("schemafake01", user_id=user),
        lambda: memory.forget_profile("schemafake01", user_id=user),
        lambda: next(memory.edit_profile("schemafake01", "attrfake01", "add", user_id=user, value="茶")),
        lambda: next(memory.forget_user(user)),
        *(lambda operation=operation: next(operation("nodefake01", user)) for operation in OPERATIONS.values()),
    ]
    for call in calls:
        with pytest.raises(ConfigurationError, match="user_id"):
            call()


def test_the_longest_user_id() -> None:
    """The limit is on characters, not bytes."""
    assert memory.list_nodes("用" * 64).query["user_id"] == "用" * 64


@pytest.mark.parametrize("bad", ["", " ", ".", ".."])
def test_ids_that_are_none(bad: str) -> None:
    """An id that a model made up cannot lead to another path."""
    with pytest.raises(ConfigurationError, match="is no id"):
        next(memory.delete_node(bad, user_id="u1"))


async def test_ids_are_quoted(connect: Connect) -> None:
    """Slashes and question marks of an id are part of it."""
    sent: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request.url.raw_path)
        return ok(memory_node=node_entry(1, user_id="u1"))

    await connect(answer).run(memory.get_node("../entities/user/u1?x=1", user_id="u1"))
    assert sent == [b"/api/v2/apps/memory/memory_nodes/..%2Fentities%2Fuser%2Fu1%3Fx%3D1"]


# Deleted stays deleted


async def test_reads_that_lag(client: Any, library: Library) -> None:
    """A search or a list that still shows what this process deleted does not bring it back."""
    user = new_user()
    library.lags = True
    first, second = await add(client, "一", user), await add(client, "二", user)
    assert await texts(client, user) == ["一", "二"]
    await client.run(memory.delete_node(first, user_id=user))
    assert await texts(client, user) == ["二"]
    with pytest.raises(NotFoundError):
        await client.run(memory.delete_node(first, user_id=user))
    assert library.text(second) == "二"


async def test_deleted_nodes_are_readable_by_id(client: Any, library: Library) -> None:
    """The service still shows a node that another program deleted, with a status; we do not."""
    user = new_user()
    node_id = library.put(user, 1, status="delete", meta_data={OWNER_KEY: user})
    for operation in OPERATIONS.values():
        with pytest.raises(NotFoundError, match="No memory"):
            await client.run(operation(node_id, user))
    library.lags = True
    assert await texts(client, user) == []


async def test_a_repeated_delete(connect: Connect) -> None:
    """A delete whose answer was lost is repeated, and that there is nothing left to delete is no failure."""
    user = new_user()
    library = Library()
    node_id = library.put(user, 1, meta_data={OWNER_KEY: user})
    deletes = 0

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal deletes
        deletes += request.method == "DELETE"
        if request.method == "DELETE" and deletes == 1:
            library(request)
            raise httpx.ReadTimeout("lost", request=request)
        if request.method == "DELETE":
            return httpx.Response(404, json={"code": "NotFound", "message": "gone"})
        return library(request)

    client = connect(answer)
    await client.run(memory.delete_node(node_id, user_id=user))
    assert (deletes, library.text(node_id)) == (2, "(deleted)")
    library.lags = True
    assert await texts(client, user) == []


async def test_what_an_add_deletes(connect: Connect) -> None:
    """Extraction may delete older memories: they stay deleted, too."""
    user = new_user()
    gone = {"memory_node_id": f"{1:032d}", "content": "喜欢喝茶", "event": "DELETE"}
    answers = [
        ok(memory_nodes=[gone]),
        ok(memory_nodes=[node_entry(1), node_entry(2, content="喜欢喝咖啡")]),
    ]
    client = connect(lambda request: answers.pop(0))
    talk = [ModelMessage(role="user", content="我不喝茶了")]
    (change,) = await client.send(memory.add(talk, user_id=user))
    assert (change.event, change.node_id) == ("DELETE", f"{1:032d}")
    assert [node.text for node in (await client.send(memory.search("喝", user_id=user))).nodes] == ["喜欢喝咖啡"]


async def test_other_users_deletes(client: Any, library: Library) -> None:
    """Deleting one's own memory hides nothing of another user's."""
    user, other = new_user(), new_user()
    await client.run(memory.delete_node(await add(client, "一", user), user_id=user))
    await add(client, "二", other)
    assert await texts(client, other) == ["二"]


async def test_forget_user(client: Any, library: Library) -> None:
    """A forgotten user's memories stay away though reads lag; what is added later is there."""
    user = new_user()
    library.lags = True
    await add(client, "一", user)
    assert await client.run(memory.forget_user(user)) is True
    assert await texts(client, user) == []
    assert await client.run(memory.forget_user(user)) is False
    library.put(user, 50, content="以后", created_at=4102444800)  # by another program, in the year 2100
    await add(client, "二", user)
    assert await texts(client, user) == ["以后", "二"]
    assert await client.run(memory.forget_user(user)) is True
    assert await texts(client, user) == ["以后"]


async def test_forgetting_in_one_library(client: Any, library: Library) -> None:
    """A user is forgotten in one library only."""
    user = new_user()
    library.lags = True
    library.put(user, 1)
    await client.run(memory.forget_user(user, library_id="libfake01"))
    assert library.seen[-1][2] == {"memory_library_id": "libfake01"}
    assert await texts(client, user) == ["喜欢喝茶"]
    assert (await client.send(memory.search("喝", user_id=user, library_id="libfake01"))).nodes == ()


async def test_deleted_in_another_library(client: Any, library: Library) -> None:
    """Forgetting a user in one library brings nothing back that was deleted in another."""
    user = new_user()
    library.lags = True
    await client.run(memory.delete_node(await add(client, "一", user), user_id=user))
    await client.run(memory.forget_user(user, library_id="libfake01"))
    assert await texts(client, user) == []


async def test_two_accounts(connect: Connect, library: Library) -> None:
    """A user of another account may have the same id: what is forgotten or deleted there is here all the same."""
    user, theirs = new_user(), Library()
    stranger = connect(theirs, api_key="another-key")
    node_id = library.put(user, 1)
    assert theirs.put(user, 1) == node_id
    await stranger.run(memory.delete_node(node_id, user_id=user))
    await stranger.run(memory.forget_user(user))
    client = connect(library)
    assert await texts(client, user) == ["喜欢喝茶"]
    assert (await client.run(memory.get_node(node_id, user_id=user))).text == "喜欢喝茶"


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=30), st.integers(1, 4))
def test_deleted_is_bounded(events: list[tuple[int, bool]], limit: int) -> None:
    """Only the latest ids are remembered, each as it was noted last."""
    deleted = Deleted(limit)
    latest: dict[int, bool] = {}
    for number, is_deleted in events:
        deleted.add("u1", f"{number:032d}", is_deleted=is_deleted)
        latest.pop(number, None)
        latest[number] = is_deleted
    kept = dict(list(latest.items())[-limit:])
    for number in range(6):
        assert deleted.hides(read_node(node_entry(number), "u1"), None) is kept.get(number, False)


@given(st.lists(st.sampled_from(["own", "stranger", "deleted"]), max_size=25), st.integers(1, 4), st.booleans())
def test_dropping_does_not_end_a_list(kinds: list[str], size: int, tells_total: bool) -> None:
    """Pages that lost some or all of their memories are followed by the next, up to the end and not beyond."""
    marks: dict[str, dict[str, Any]] = {"own": {}, "stranger": {"user_id": "someone"}, "deleted": {"status": "delete"}}
    entries = [node_entry(number, **marks[kind]) for number, kind in enumerate(kinds)]
    listing = memory.all_nodes("u1", page_size=size)
    steps, page, found, asked = listing.steps(), None, [], 0
    while True:
        try:
            step = steps.send(page)
        except StopIteration:
            break
        if isinstance(step, list):
            found += [node.id for node in step]
            page = None
            continue
        asked += 1
        part = entries[(asked - 1) * size : asked * size]
        page = step.parse({"memory_nodes": part, **({"total": len(entries)} if tells_total else {})})
        assert isinstance(page, NodePage)
        assert isinstance(page, Page)
    assert found == [f"{number:032d}" for number, kind in enumerate(kinds) if kind == "own"]
    full = len(entries) // size
    assert asked == (max(1, -(-len(entries) // size)) if tells_total else full + 1)
