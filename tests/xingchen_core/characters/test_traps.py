"""Traps of the protocol and faults of the vendor's SDK in the calls beyond chat, by their numbers.

Those of chat are tested where chat is: `test_chats.py`, `test_chat_reader.py`, `test_replies.py`, `test_service.py`,
`test_sdk_faults.py`.
"""

import asyncio
import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import httpx
import pytest

from xingchen_core import (
    AsyncClient,
    AuthenticationError,
    Call,
    Character,
    GroupChat,
    Message,
    NotFoundError,
    StreamCall,
    characters,
)
from xingchen_core._call import Page
from xingchen_core.characters import (
    CharacterRecord,
    ChatRequest,
    CompletionRequest,
    GeneratedImage,
    LongTermMemory,
    Permissions,
    XingchenSettings,
)
from xingchen_core.characters._wire import Record
from xingchen_core.emulator import Emulator

TALK = [Message(role="user", content="我喜欢咏春")]
GUAN_YU = CharacterRecord(character_id="c1", version=1, name="关羽", basic_information="你是关羽。")
ROOM = GroupChat(name="三年二班", members=(Character(name="小婉", content="你是小婉。"),))
IN_ROOM = ChatRequest(group=ROOM, user_id="u1", messages=[Message(role="user", content="大家好")])
ASKED = CompletionRequest(messages=[{"role": "user", "content": "你好"}])

ANSWER = {"id": "1", "choices": [{"index": 0, "finish_reason": "stop", "message": {"content": "好"}}]}
PAGE = {"page": 1, "pageSize": 50, "total": 1}
RECORD = {"characterId": "c1", "version": 1, "name": "关羽"}
BASE, FILE = {"knowledgeBaseId": "kb1", "name": "faq"}, {"id": 1, "name": "a.txt", "status": "SUCCESS"}

CALLS: dict[str, tuple[Callable[[], Call[Any]], Any]] = {
    "stop": (lambda: characters.stop_generation("r1", "好"), True),
    "nextSpeaker": (lambda: characters.next_speaker(IN_ROOM), {"name": "小婉"}),
    "histories": (lambda: characters.history("c1", "u1"), {"list": [{"messageId": "m1"}], **PAGE}),
    "rating": (lambda: characters.rate("m1", 5), True),
    "reminder": (lambda: characters.remind("c1", "u1", "在吗"), True),
    "reset": (lambda: characters.reset("c1", "u1"), True),
    "image": (lambda: characters.image("m1", "u1"), {"taskId": "t1", "status": "PENDING"}),
    "create": (lambda: characters.create(GUAN_YU), {"characterId": "c1", "version": 1}),
    "update": (lambda: characters.update(GUAN_YU), True),
    "createOrUpdateVersion": (lambda: characters.save_version(GUAN_YU), RECORD),
    "details": (lambda: characters.details("c1"), RECORD),
    "search": (lambda: characters.search(), {"list": [RECORD], **PAGE}),
    "delete": (lambda: characters.delete("c1"), True),
    "versions": (lambda: characters.versions("c1"), [RECORD]),
    "recommend": (lambda: characters.recommend_version("c1"), RECORD),
    "auto/desc, text": (lambda: characters.describe_text("关羽"), {"content": "姓名：关羽"}),
    "auto/desc, file": (lambda: characters.describe_file("https://example.invalid/a", "a.txt"), {"content": "好"}),
    "extract/kv": (
        lambda: characters.extract_facts(TALK, ["爱好"]),
        {"schemas": [{"role": "user", "key": "爱好", "value": ["咏春"]}]},
    ),
    "extract/summary": (lambda: characters.extract_summary(TALK), {"memoryResults": [{"content": "喜欢咏春"}]}),
    "asyn/upload": (lambda: characters.convert_document("https://example.invalid/a"), {"id": 7, "status": "running"}),
    "asyn/download": (lambda: characters.conversion(7), {"id": 7, "status": "running"}),
    "kb create": (lambda: characters.create_knowledge_base("faq"), BASE),
    "kb update": (lambda: characters.update_knowledge_base("kb1", name="faq"), True),
    "kb search": (lambda: characters.search_knowledge_bases(), {"list": [BASE], **PAGE}),
    "kb delete": (lambda: characters.delete_knowledge_base("kb1"), True),
    "kb upload": (lambda: characters.add_files("kb1", {"a.txt": "https://example.invalid/a"}), True),
    "kb rename": (lambda: characters.rename_file("kb1", "a.txt", "b.txt"), True),
    "kb files": (lambda: characters.search_files("kb1"), {"list": [FILE], **PAGE}),
    "kb delete file": (lambda: characters.delete_file("kb1", "a.txt"), True),
}
"""Every call that answers in the envelope, and the smallest `data` it can be answered with."""

MODEL_CALLS = {"completions": characters.completion, "chat/completions": characters.chat_completion}


def answered(connect: Any, body: Any, status: int = 200) -> Any:
    """A client that always gets this answer."""
    return connect(lambda _: httpx.Response(status, json=body), XingchenSettings, api_key="test-key", max_retries=0)


def named(name: str) -> Call[Any]:
    """A call of either table."""
    return MODEL_CALLS[name](ASKED) if name in MODEL_CALLS else CALLS[name][0]()


@pytest.mark.parametrize("name", [*CALLS, *MODEL_CALLS])
async def test_trap_5_and_6(connect: Any, name: str) -> None:
    """Every request has the gateway's two headers; what changes something goes by POST, update and delete included."""
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        enveloped = {"code": 200, "success": True, "data": CALLS[name][1] if name in CALLS else None}
        return httpx.Response(200, json=ANSWER if name in MODEL_CALLS else enveloped)

    await connect(answer, XingchenSettings, api_key="test-key").send(named(name))
    (request,) = seen
    assert request.headers["x-fag-appcode"] == "aca"
    assert request.headers["x-fag-servicename"].startswith("aca-")
    reads = {"image", "details", "versions", "recommend", "asyn/download"}
    assert request.method == ("GET" if name in reads else "POST")


@pytest.mark.parametrize("name", [*CALLS, *MODEL_CALLS])
async def test_trap_10(connect: Any, name: str) -> None:
    """On gateway errors `success` is null and not false: whoever looks for false takes them for answers."""
    refused = {"success": None, "code": None, "errorCode": 401, "errorName": "Unauthorized", "httpStatusCode": 401}
    for status in (401, 200):
        with pytest.raises(AuthenticationError) as caught:
            await answered(connect, {"requestId": "r1", **refused}, status).send(named(name))
        assert caught.value.request_id == "r1"


@pytest.mark.parametrize("name", [*CALLS, *MODEL_CALLS])
async def test_fault_9(connect: Any, name: str) -> None:
    """The SDK returned business errors under HTTP 200 as answers: every call raises them."""
    refused = {"requestId": "r1", "code": 404, "success": False, "errorMessageKey": "aca.error.notfound", "data": None}
    with pytest.raises(NotFoundError):
        await answered(connect, refused).send(named(name))


@pytest.mark.parametrize("name", CALLS)
async def test_trap_25(connect: Any, name: str) -> None:
    """The service may say more than the documents: unknown members, wherever they are, spoil no answer."""

    def more(data: Any) -> Any:
        if isinstance(data, dict):
            return {**{key: more(value) for key, value in data.items()}, "someday": {"new": [None]}}
        return [more(item) for item in data] if isinstance(data, list) else data

    call, data = CALLS[name]
    plain = {"code": 200, "success": True, "data": data}
    expected = await answered(connect, plain).send(call())
    got = await answered(connect, {**plain, "data": more(data), "ext": "chat"}).send(call())
    if isinstance(got, Page):
        assert len(got.items) == len(expected.items) == 1
    elif isinstance(got, Record):
        assert {**got.wire(), **expected.wire()} == got.wire()
    elif isinstance(got, tuple):
        assert len(got) == len(expected) == 1
    else:
        assert got == expected


def test_trap_8() -> None:
    """One user has three names: `bizUserId` where the history is read or written, `userId` where it is reset."""
    assert characters.history("c1", "u1").json["where"]["bizUserId"] == "u1"
    assert characters.remind("c1", "u1", "在吗").json["bizUserId"] == "u1"
    assert characters.reset("c1", "u1").json["userId"] == "u1"
    assert characters.image("m1", "u1").query["userId"] == "u1"


def test_trap_12() -> None:
    """`permConfig` is written in integers, whatever it was made of."""
    made = Permissions(is_public=True, allow_chat=False, allow_api=1)  # type: ignore[arg-type]  # what people write
    assert json.dumps(made.wire()) == '{"isPublic": 1, "allowChat": 0, "allowApi": 1}'


def test_trap_17_and_fault_18() -> None:
    """No version unless it is asked for: the SDK's `details` and `delete` meant version 1, whatever was asked."""
    for call in (characters.details("c1"), characters.delete("c1")):
        assert "version" not in call.query
        assert "version" not in (call.json or {})
    assert characters.delete("c1", 3).query == {"characterId": "c1", "version": "3"}
    assert characters.delete("c1", 3).json == {"characterId": "c1", "version": 3}
    assert characters.details("c1", 3).query["version"] == "3"


async def test_trap_19(emulator: Emulator, client: Any) -> None:
    """The vendor's page swaps the labels of listing and deleting files: listing them must not delete them."""
    base = emulator.xingchen.knowledge.add("test-key", "faq").knowledge_base_id
    await client.send(characters.add_files(base, {"a.txt": "https://example.invalid/a"}))
    for _ in range(2):
        assert (await client.send(characters.search_files(base))).total == 1
    assert characters.search_files(base).path.endswith("/detail/search")
    await client.send(characters.delete_file(base, "a.txt"))
    assert characters.delete_file(base, "a.txt").path.endswith("/detail/delete")
    assert (await client.send(characters.search_files(base))).total == 0


@pytest.mark.parametrize("name", ["histories", "search", "kb search", "kb files"])
async def test_trap_22(connect: Any, name: str) -> None:
    """Asked for is `pageNum`, answered is `page`. Whether pages begin at 0 or 1 is unclear: the number always goes."""
    call, data = CALLS[name]
    assert call().json["pageNum"] == 1
    assert call().json["pageSize"] == 50
    enveloped = {"code": 200, "success": True, "data": {**data, "page": 4, "pageSize": 20, "total": 61}}
    page = await answered(connect, enveloped).send(call())
    assert (page.number, page.size, page.total) == (4, 20, 61)


def test_trap_26_and_fault_28() -> None:
    """Times go out as milliseconds; the SDK turned them into ISO text."""
    beijing = timezone(timedelta(hours=8))
    where = characters.history(
        "c1", "u1", start=datetime(2023, 7, 20, 0, 18, 30, 26000, beijing), end=1689783510027
    ).json["where"]
    assert (where["startTime"], where["endTime"]) == (1689783510026, 1689783510027)
    whole = characters.history("c1", "u1", start=datetime(1970, 1, 1, tzinfo=UTC)).json["where"]
    assert whole["startTime"] == 0


async def test_fault_17(emulator: Emulator) -> None:
    """The SDK's "async" was a thread: fifty calls at once need none here."""
    async with AsyncClient(XingchenSettings(api_key="test-key", base_url=emulator.url)) as client:
        await client.send(characters.details("demo"))  # the first call may load code in a thread
        before = threading.active_count()
        records = await asyncio.gather(*(client.send(characters.details("demo")) for _ in range(50)))
        assert threading.active_count() == before
    assert {record.name for record in records} == {"小婉"}


def test_fault_19() -> None:
    """A user id is text in the picture call too, and the URLs are found under either spelling."""
    assert characters.image("m1", "user-0001").query == {"messageId": "m1", "userId": "user-0001"}
    for spelling in ("fileUrl", "fileUrls"):
        picture = GeneratedImage.model_validate({"status": "SUCCEEDED", spelling: ["https://example.invalid/a.png"]})
        assert picture.urls == ("https://example.invalid/a.png",)


def test_fault_20() -> None:
    """The SDK read a memory setting as another class and lost its kind: read and written back, it is the same."""
    setting = {"memoryType": "kv", "enabled": False, "kvMemoryConfigs": [{"memoryText": "姓名", "enabled": True}]}
    assert LongTermMemory.model_validate(setting).wire() == setting


def test_fault_29() -> None:
    """The SDK's README says PUT and DELETE, its code sent POST; the service wants POST."""
    for call in (characters.update(GUAN_YU), characters.save_version(GUAN_YU), characters.delete("c1")):
        assert call.method == "POST"


def test_fault_30() -> None:
    """A room can be made by either spelling of its fields, and has all its members."""
    profiles = [{"name": "小婉", "content": "你是小婉。"}, {"characterId": "c1", "name": "小刚"}]
    room = GroupChat.model_validate({"name": "三年二班", "members": profiles})
    assert [member.name for member in room.members] == ["小婉", "小刚"]
    assert room.members[1].character_id == "c1"  # type: ignore[union-attr]  # the stored one
    assert room == GroupChat(name="三年二班", members=tuple(room.members))


async def test_fault_31(emulator: Emulator, connect: Any) -> None:
    """A group streams without a header of the caller's, and a client that was closed works again."""
    call = characters.stream_chat(IN_ROOM)
    assert isinstance(call, StreamCall)
    assert call.headers["X-AcA-SSE"] == "enable"
    client = connect(emulator.url, XingchenSettings, api_key="test-key")
    assert [delta.text async for delta in await client.stream(call)]
    await client.aclose()
    assert (await client.send(characters.details("demo"))).name == "小婉"
