"""Knowledge bases of characters and their files, which are known by name and read in the background."""

import asyncio
from typing import Any

import httpx
import pytest

from toy_service import until
from xingchen_core import (
    APIResponseError,
    APITimeoutError,
    AsyncClient,
    BadRequestError,
    ConfigurationError,
    NotFoundError,
    Pause,
    characters,
)
from xingchen_core.characters import KnowledgeBase, KnowledgeFile, XingchenSettings
from xingchen_core.emulator import Emulator

URL = "https://example.invalid/a.txt"


async def names(client: Any, base: str, **fields: Any) -> list[str]:
    """The files of a knowledge base."""
    return [file.name async for file in client.iterate(characters.all_files(base, **fields))]


async def test_knowledge_base(client: Any) -> None:
    """A knowledge base is made, listed, renamed and deleted; what is not given stays as it was."""
    base = await client.send(characters.create_knowledge_base("店铺常见问题", "退货、发货"))
    assert isinstance(base, KnowledgeBase)
    assert (base.name, base.description, base.count) == ("店铺常见问题", "退货、发货", 0)
    changed = characters.update_knowledge_base(base.knowledge_base_id, description="退货、发货、换货")
    assert await client.send(changed) is True
    page = await client.send(characters.search_knowledge_bases())
    assert [(b.knowledge_base_id, b.name, b.description) for b in page.items] == [
        (base.knowledge_base_id, "店铺常见问题", "退货、发货、换货")
    ]
    assert await client.send(characters.delete_knowledge_base(base.knowledge_base_id)) is True
    assert (await client.send(characters.search_knowledge_bases())).total == 0
    with pytest.raises(NotFoundError, match=base.knowledge_base_id):
        await client.send(characters.delete_knowledge_base(base.knowledge_base_id))


async def test_unknown_members(service: Any) -> None:
    """What the service tells beyond the documents is kept."""
    row = {"knowledgeBaseId": "kb1", "name": "faq", "id": 7, "quota": {"files": 100}, "count": None}
    base = await service(row).send(characters.create_knowledge_base("faq"))
    assert base.wire() == {"knowledgeBaseId": "kb1", "name": "faq", "id": 7, "quota": {"files": 100}}


async def test_owners(emulator: Emulator, client: Any) -> None:
    """Bases may be kept apart by user: the id of the user goes with every call, and only where it is given."""
    mine = await client.send(characters.create_knowledge_base("我的", user_id="u1"))
    await client.send(characters.create_knowledge_base("你的", user_id="u2"))
    found = [base.name async for base in client.iterate(characters.all_knowledge_bases(user_id="u1"))]
    assert found == ["我的"]
    base = mine.knowledge_base_id
    await client.send(characters.add_files(base, {"a.txt": URL}, user_id="u1"))
    await client.run(characters.wait_for_files(base, ["a.txt"], user_id="u1"))
    await client.send(characters.rename_file(base, "a.txt", "b.txt", user_id="u1"))
    await client.send(characters.delete_file(base, "b.txt", user_id="u1"))
    await client.send(characters.update_knowledge_base(base, name="新的", user_id="u1"))
    await client.send(characters.delete_knowledge_base(base, user_id="u1"))
    assert {request.json["userProfile"]["userId"] for request in emulator.requests[2:]} == {"u1"}
    await client.send(characters.search_knowledge_bases())
    assert "userProfile" not in emulator.requests[-1].json


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": ""}, "name must be 1 to 20 characters, got 0"),
        ({"name": "库" * 21}, "name must be 1 to 20 characters, got 21"),
        ({"name": "库", "description": "详" * 201}, "description must be at most 200 characters, got 201"),
    ],
)
def test_lengths(arguments: dict[str, str], message: str) -> None:
    """Lengths are known before anything is sent, in characters and not bytes; the error says which member."""
    with pytest.raises(ConfigurationError, match=message):
        characters.create_knowledge_base(**arguments)
    with pytest.raises(ConfigurationError, match=message):
        characters.update_knowledge_base("kb1", **arguments)
    characters.create_knowledge_base("库" * 20, "详" * 200)


async def test_all_knowledge_bases(emulator: Emulator, client: Any) -> None:
    """1,010 bases in 21 requests, each once."""
    for number in range(1010):
        emulator.xingchen.knowledge.add("test-key", f"库{number}")
    found = [base.name async for base in client.iterate(characters.all_knowledge_bases())]
    assert found == [f"库{number}" for number in range(1010)]
    assert len(emulator.requests) == 21


# Files


@pytest.fixture
def base(emulator: Emulator) -> str:
    """An empty knowledge base."""
    return emulator.xingchen.knowledge.add("test-key", "faq").knowledge_base_id


async def test_files(client: Any, base: str) -> None:
    """Files are added by URL, listed with their state and time, renamed and deleted by name."""
    added = await client.send(characters.add_files(base, {"退货.txt": URL, "发货.txt": URL}))
    assert added is True
    page = await client.send(characters.search_files(base))
    assert [(f.name, f.type, f.status) for f in page.items] == [
        ("退货.txt", "text", "PROCESSING"),
        ("发货.txt", "text", "PROCESSING"),
    ]
    assert {type(f.id) for f in page.items} == {int}
    assert all(f.gmt_create.tzinfo is not None and f.gmt_create <= f.gmt_modified for f in page.items)
    assert await client.send(characters.rename_file(base, "退货.txt", "退换货.txt")) is True
    assert await names(client, base) == ["退换货.txt", "发货.txt"]
    assert await client.send(characters.delete_file(base, "发货.txt")) is True
    assert await names(client, base) == ["退换货.txt"]


async def test_files_of_one_name(client: Any, base: str) -> None:
    """Trap 18: nothing tells two files of one name apart: they are listed both, and deleted together."""
    await client.send(characters.add_files(base, {"a.txt": URL}))
    await client.send(characters.add_files(base, {"a.txt": f"{URL}?2"}))
    assert await names(client, base) == ["a.txt", "a.txt"]
    await client.send(characters.delete_file(base, "a.txt"))
    assert await names(client, base) == []


@pytest.mark.parametrize("name", ["报告 (终稿) #1.pdf", "a/b.txt", '"引号".txt', "emoji😀.txt"])
async def test_file_names(client: Any, base: str, name: str) -> None:
    """A name travels as it is, whatever it is made of."""
    await client.send(characters.add_files(base, {name: URL}))
    (found,) = await client.run(characters.wait_for_files(base, [name]))
    assert found.name == name
    await client.send(characters.rename_file(base, name, f"新{name}"))
    assert await names(client, base) == [f"新{name}"]
    await client.send(characters.delete_file(base, f"新{name}"))
    assert await names(client, base) == []


async def test_file_refusals(client: Any, base: str) -> None:
    """The service refuses what is not there, and nothing at all."""
    with pytest.raises(NotFoundError, match=r"nothing\.txt"):
        await client.send(characters.delete_file(base, "nothing.txt"))
    with pytest.raises(NotFoundError, match=r"nothing\.txt"):
        await client.send(characters.rename_file(base, "nothing.txt", "b.txt"))
    with pytest.raises(NotFoundError, match="kb-nowhere"):
        await client.send(characters.search_files("kb-nowhere"))
    with pytest.raises(BadRequestError, match="fileInfos"):
        await client.send(characters.add_files(base, {}))


async def test_all_files(emulator: Emulator, client: Any, base: str) -> None:
    """1,010 files in 21 requests, each once."""
    await client.send(characters.add_files(base, {f"{number}.txt": URL for number in range(1010)}))
    assert await names(client, base) == [f"{number}.txt" for number in range(1010)]
    assert len(emulator.requests) == 1 + 21


@pytest.mark.parametrize(
    ("status", "is_ready", "has_failed"),
    [
        ("SUCCESS", True, False),
        ("finished", True, False),
        ("FAILED", False, True),
        ("parse_failed", False, True),
        ("ERROR", False, True),
        ("PROCESSING", False, False),
        ("排队", False, False),
        (3, False, False),
        (None, False, False),
    ],
)
def test_status(status: Any, is_ready: bool, has_failed: bool) -> None:
    """The documents list no words for the state of a file: those nobody knows mean not yet."""
    file = KnowledgeFile(name="a.txt", status=status)
    assert (file.is_ready, file.has_failed) == (is_ready, has_failed)


# Waiting for files


def listed(*files: tuple[str, str], **page: Any) -> dict[str, Any]:
    """A page of files, each a name and its state."""
    rows = [{"id": at, "name": name, "status": status} for at, (name, status) in enumerate(files)]
    return {"list": rows, "page": 1, "pageSize": 50, "total": len(rows), **page}


async def test_wait(service: Any, waits: list[float]) -> None:
    """All named files are ready, in the order of their names; progress is told after each look."""
    told: list[tuple[int, int]] = []
    client = service(
        listed(("other", "FAILED")),
        listed(("b", "SUCCESS"), ("a", "PROCESSING")),
        listed(("b", "SUCCESS"), ("a", "SUCCESS")),
    )
    found = await client.run(characters.wait_for_files("kb1", ["a", "b"], on_progress=lambda *seen: told.append(seen)))
    assert [(file.name, file.status) for file in found] == [("a", "SUCCESS"), ("b", "SUCCESS")]
    assert told == [(0, 2), (1, 2), (2, 2)]
    assert waits == [3, 4.5]


async def test_wait_on_the_emulator(emulator: Emulator, client: Any, base: str) -> None:
    """Files that are on later pages are found too."""
    await client.send(characters.add_files(base, {f"{number}.txt": URL for number in range(120)}))
    found = await client.run(characters.wait_for_files(base, ["119.txt", "3.txt"]))
    assert [file.name for file in found] == ["119.txt", "3.txt"]
    assert all(file.is_ready for file in found)


async def test_wait_failed(emulator: Emulator, client: Any, base: str) -> None:
    """The files that failed are named, and not those that did not."""
    emulator.xingchen.failing_files = {"坏1.pdf", "坏2.pdf"}
    await client.send(characters.add_files(base, dict.fromkeys(["好.txt", "坏1.pdf", "坏2.pdf"], URL)))
    with pytest.raises(APIResponseError, match=r"could not be read: 坏1.pdf, 坏2.pdf\.$"):
        await client.run(characters.wait_for_files(base, ["好.txt", "坏1.pdf", "坏2.pdf"]))


async def test_wait_same_name(service: Any, waits: list[float]) -> None:
    """An older file of the same name being ready does not mean that the new one is."""
    both = ("a", "SUCCESS"), ("a", "SUCCESS")
    client = service(listed(("a", "SUCCESS"), ("a", "PROCESSING")), listed(("a", "PROCESSING"), both[1]), listed(*both))
    (found,) = await client.run(characters.wait_for_files("kb1", ["a"]))
    assert found.is_ready
    assert len(waits) == 2


@pytest.mark.parametrize(
    ("limit", "interval", "expected"),
    [
        (10, 3, [3, 4.5, 2.5]),
        (2, 3, [2]),
        (0, 3, []),
        (150, 3, [3, 4.5, 6.75, 10.125, 15.1875, 22.78125, 30, 30, 27.65625]),
        (120, 60, [60, 60]),
    ],
)
async def test_wait_in_vain(
    service: Any, waits: list[float], limit: float, interval: float, expected: list[float]
) -> None:
    """Pauses grow by half up to half a minute and add up to the limit; those not ready are named, missing ones too."""
    client = service(listed(("a", "SUCCESS"), ("b", "PROCESSING")))
    with pytest.raises(APITimeoutError, match=f"not ready within {limit:g} s: b, c$"):
        await client.run(characters.wait_for_files("kb1", ["a", "b", "c"], timeout=limit, interval=interval))
    assert waits == expected
    assert sum(waits) == limit


async def test_wait_for_nothing(service: Any, waits: list[float]) -> None:
    """Of no files, all are ready."""
    assert await service(listed()).run(characters.wait_for_files("kb1", [])) == ()
    assert waits == []


def test_wait_closed() -> None:
    """Closing the flow ends the wait."""
    flow = characters.wait_for_files("kb1", ["a"])
    page = next(flow).parse({"data": listed(("a", "PROCESSING"))})  # type: ignore[union-attr]  # it begins with a call
    assert flow.send(page) == Pause(3.0)
    flow.close()
    assert next(flow, "over") == "over"


async def test_wait_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cancelling the task that waits ends the wait at once, and nothing is asked any more."""
    pausing, asked = asyncio.Event(), []

    async def pause(_: float) -> None:
        pausing.set()
        await asyncio.Event().wait()

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json={"code": 200, "success": True, "data": listed(("a", "PROCESSING"))})

    monkeypatch.setattr("xingchen_core._client._async_sleep", pause)
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        client = AsyncClient(XingchenSettings(api_key="test-key", http_async_client=http))
        task = asyncio.create_task(client.run(characters.wait_for_files("kb1", ["a"])))
        await until(pausing.is_set)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert len(asked) == 1
