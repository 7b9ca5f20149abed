"""The platform's own history: read, rated, reminded and reset."""

import gc
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from xingchen_core import (
    APIResponseError,
    BadRequestError,
    Message,
    NotFoundError,
    characters,
)
from xingchen_core.characters import ChatRequest, HistoryMessage
from xingchen_core.emulator import Emulator

HISTORIES = "/v2/api/chat/message/histories"


def question(text: str, **fields: Any) -> ChatRequest:
    """A chat of u1 with the demo character, kept by the platform."""
    messages = [Message(role="user", content=text)]
    return ChatRequest(character_id="demo", user_id="u1", platform_history=True, messages=messages, **fields)


def sent_to(emulator: Emulator, path: str) -> list[Any]:
    """The bodies of the requests to one path."""
    return [request.json for request in emulator.requests if request.path == path]


# One page


async def test_history(emulator: Emulator, client: Any) -> None:
    """Messages come typed, newest first: ids, kinds, who said them, and a time that has a zone."""
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    reply = await client.send(characters.chat(question("你多大了?", user_name="小明")))
    page = await client.send(characters.history("demo", "u1"))
    answer, asked, opening = page.items
    assert (page.number, page.size, page.total) == (1, 50, 3)
    assert [m.message_type for m in page.items] == ["character", "user", "opening_remarks"]
    assert [m.is_user for m in page.items] == [False, True, False]
    assert (asked.content, answer.content) == ("你多大了?", reply.answers[0].text)
    assert answer.message_id == reply.metadata["message_id"]
    assert answer.chat_id == asked.chat_id == reply.metadata["chat_id"]
    assert answer.session_id == reply.metadata["session_id"]
    assert (answer.message_issuer.user_id, answer.message_issuer.user_type) == ("demo", "character")
    assert (asked.message_issuer.biz_user_id, asked.message_issuer.user_name) == ("u1", "小明")
    assert opening.is_greeting is True
    assert before < opening.gmt_create < asked.gmt_create < answer.gmt_create < datetime.now(UTC) + timedelta(1)


async def test_filters(emulator: Emulator, client: Any) -> None:
    """Each filter reaches the service, which lists only what fits."""
    emulator.xingchen.add_character("quiet")
    rows = [{"content": f"{n}", "messageId": f"m{n}", "gmtCreate": 1689783510000 + n} for n in range(6)]
    emulator.xingchen.add_messages("quiet", "u1", rows)
    session = (await client.send(characters.history("quiet", "u1"))).items[0].session_id

    async def listed(**filters: Any) -> str:
        page = await client.send(characters.history("quiet", "u1", **filters))
        return "".join(message.content for message in page.items)

    start = datetime(2023, 7, 19, 16, 18, 30, 2000, UTC)
    end = datetime(2023, 7, 20, 0, 18, 30, 4000, timezone(timedelta(hours=8)))
    assert await listed() == "543210"
    assert await listed(order="gmtCreate asc") == "012345"
    assert await listed(start=start, end=end) == "432"
    assert await listed(start=1689783510004) == "54"
    assert await listed(message_ids=["m1", "m5"]) == "51"
    assert await listed(session_id=session) == "543210"
    assert await listed(session_id="another") == ""
    assert await listed(page=2, page_size=4) == "10"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (1689783510026, datetime(2023, 7, 19, 16, 18, 30, 26000, UTC)),
        ("2023-07-19T16:18:30.026Z", datetime(2023, 7, 19, 16, 18, 30, 26000, UTC)),
        ("2023-07-20T00:18:30.026+08:00", datetime(2023, 7, 19, 16, 18, 30, 26000, UTC)),
        ("2023-07-20T00:18:30.026+0800", datetime(2023, 7, 19, 16, 18, 30, 26000, UTC)),
        ("2023-07-19 16:18:30.026", datetime(2023, 7, 19, 16, 18, 30, 26000, UTC)),
        ("1689783510026", datetime(2023, 7, 19, 16, 18, 30, 26000, UTC)),
        (None, None),
    ],
)
def test_times(written: Any, meant: datetime | None) -> None:
    """Milliseconds or ISO text give the same time, always one that can be compared with others."""
    row = HistoryMessage.model_validate({"messageId": "m1", "gmtCreate": written})
    assert row.gmt_create == meant
    assert row.wire().get("gmtCreate") == (None if meant is None else 1689783510026)


async def test_unknown_members(service: Any) -> None:
    """What the service adds is kept, nested too, and written back; what it leaves out or nulls is absent."""
    row = {"messageId": "m1", "mood": {"happy": 1}, "messageIssuer": {"userId": "u", "level": 3}, "rating": None}
    client = service({"list": [row], "page": 1})
    (message,) = (await client.send(characters.history("demo", "u1"))).items
    assert message.wire() == {
        "messageId": "m1",
        "content": "",
        "mood": {"happy": 1},
        "messageIssuer": {"userId": "u", "level": 3},
    }


@pytest.mark.parametrize(
    ("row", "is_user"),
    [
        ({"messageType": "user"}, True),
        ({"messageType": "character"}, False),
        ({"messageType": "opening_remarks"}, False),
        ({"messageType": "sys_greetings", "messageIssuer": {"userType": "user"}}, False),
        ({"messageIssuer": {"userType": "user"}}, True),
        ({"messageIssuer": {"userType": "character"}}, False),
        ({}, False),
    ],
)
def test_is_user(row: dict[str, Any], is_user: bool) -> None:
    """The kind of the message says who spoke; without it, its issuer."""
    assert HistoryMessage.model_validate({"messageId": "m1", **row}).is_user is is_user


async def test_broken_row(service: Any) -> None:
    """A message without an id is not what the service promises: said as such, not with an empty id."""
    with pytest.raises(APIResponseError, match="histories answered in an unexpected shape"):
        await service({"list": [{"content": "你好"}]}).send(characters.history("demo", "u1"))


# All pages


@pytest.fixture
def long_talk(emulator: Emulator) -> list[str]:
    """1,203 messages of a character without an opening line; their ids, oldest first."""
    emulator.xingchen.add_character("quiet")
    return emulator.xingchen.add_messages("quiet", "u1", (f"第{n}句" for n in range(1203)))


@pytest.mark.parametrize("order", ["gmtCreate desc", "gmtCreate asc"])
@pytest.mark.parametrize("repeated", [0, 7])
async def test_all(emulator: Emulator, client: Any, long_talk: list[str], order: str, repeated: int) -> None:
    """Every message once, in order, in as many requests as there are pages, though rows repeat on the next page."""
    emulator.xingchen.history_overlap = repeated
    listing = characters.all_history("quiet", "u1", order=order)
    ids = [message.message_id async for message in client.iterate(listing)]
    assert ids == (long_talk if order.endswith("asc") else long_talk[::-1])
    assert [body["pageNum"] for body in sent_to(emulator, HISTORIES)] == list(range(1, 26))
    assert {body["pageSize"] for body in sent_to(emulator, HISTORIES)} == {50}


@pytest.mark.parametrize("order", ["gmtCreate desc", "gmtCreate asc"])
async def test_all_while_messages_come(emulator: Emulator, client: Any, long_talk: list[str], order: str) -> None:
    """What is said while we read neither repeats nor hides a message that was there."""
    ids: list[str] = []
    added: list[str] = []
    async for message in client.iterate(characters.all_history("quiet", "u1", order=order)):
        ids.append(message.message_id)
        if len(ids) % 40 == 0 and len(added) < 90:
            added += emulator.xingchen.add_messages("quiet", "u1", ["新的", "话", "来了"])
    assert len(ids) == len(set(ids))
    assert set(long_talk) <= set(ids)
    if order.endswith("asc"):
        assert ids == long_talk + added


async def test_all_holds_one_page(client: Any, long_talk: list[str]) -> None:
    """However long the history, the program holds a page or two of it."""
    most = count = 0
    async for _ in client.iterate(characters.all_history("quiet", "u1")):
        count += 1
        if count % 300 == 25:
            most = max(most, sum(type(thing) is HistoryMessage for thing in gc.get_objects()))
    assert count == 1203
    assert most <= 150


async def test_all_left_early(emulator: Emulator, client: Any, long_talk: list[str]) -> None:
    """Nothing is read ahead: who takes ten messages costs one page."""
    messages = client.iterate(characters.all_history("quiet", "u1"))
    assert [(await anext(messages)).content for _ in range(10)] == [f"第{n}句" for n in range(1202, 1192, -1)]
    await messages.aclose()
    assert len(sent_to(emulator, HISTORIES)) == 1


async def test_all_of_nothing(emulator: Emulator, client: Any) -> None:
    """A user nobody knows has said nothing."""
    assert [message async for message in client.iterate(characters.all_history("demo", "nobody"))] == []
    assert len(sent_to(emulator, HISTORIES)) == 1


# The small calls


@pytest.mark.parametrize("rating", [-1, 0, 5])
async def test_rate(client: Any, rating: int) -> None:
    """A rating is kept with the message."""
    reply = await client.send(characters.chat(question("你好")))
    assert await client.send(characters.rate(reply.metadata["message_id"], rating, "太长了")) is True
    (message,) = (await client.send(characters.history("demo", "u1", message_ids=[reply.metadata["message_id"]]))).items
    assert message.rating == rating


@pytest.mark.parametrize("rating", [-2, 6])
def test_rate_out_of_range(rating: int) -> None:
    """The service's limits are known before anything is sent."""
    with pytest.raises(ValueError, match=f"rating must be -1 to 5, got {rating}"):
        characters.rate("m1", rating)


async def test_rate_unknown(client: Any) -> None:
    """A message that is not there is refused by the service."""
    with pytest.raises(NotFoundError, match="no-such-message"):
        await client.send(characters.rate("no-such-message", 5))


async def test_remind(emulator: Emulator, client: Any) -> None:
    """The character speaks first: no model is asked, and the next chat knows what was said."""
    assert await client.send(characters.remind("demo", "u1", "好久不见,最近好吗?")) is True
    (message, _) = (await client.send(characters.history("demo", "u1"))).items
    assert (message.content, message.is_user) == ("好久不见,最近好吗?", False)
    await client.send(characters.chat(question("还不错")))
    assert {"role": "assistant", "content": "好久不见,最近好吗?"} in emulator.xingchen.prompts[0]


async def test_remind_of_nothing(client: Any) -> None:
    """An empty reminder is refused, and the refusal names the member."""
    with pytest.raises(BadRequestError, match="content"):
        await client.send(characters.remind("demo", "u1", ""))


async def test_reset(emulator: Emulator, client: Any) -> None:
    """After a reset the character knows nothing older, and answers in a new session."""
    first = await client.send(characters.chat(question("我叫小明")))
    assert await client.send(characters.reset("demo", "u1")) is True
    second = await client.send(characters.chat(question("我叫什么?")))
    assert emulator.xingchen.prompts[1] == [{"role": "user", "content": "我叫什么?"}]
    assert second.metadata["session_id"] != first.metadata["session_id"]
