"""Platform history: what is listed, paging, filters, rating, reminders, reset, and the knobs."""

from typing import Any

import pytest

from xingchen_core.emulator import Emulator

INVALID = (400, 400, "aca.error.invalid.param")
NOT_FOUND = (400, 404, "aca.error.notfound")
OPENING = "嗨，你回来啦？我刚烤了曲奇，要不要尝一块？"


def contents(rows: list[dict[str, Any]]) -> list[str]:
    """Return what was said."""
    return [row["content"] for row in rows]


def test_rows(api: Any, emulator: Emulator) -> None:
    """Opening line, question and answer, each with ids, time and who said it."""
    emulator.reply("在呀")
    body = api.body("在吗")
    body["input"]["aca"]["userProfile"]["userName"] = "小明"
    context = api.data("chat/send", body)["context"]
    opening, question, answer = api.history()
    assert (opening["messageType"], opening["isGreeting"], opening["content"]) == ("opening_remarks", True, OPENING)
    assert question["messageIssuer"].items() >= {"bizUserId": "u1", "userName": "小明", "userType": "user"}.items()
    assert question["messageIssuer"]["userId"] != "u1"
    assert answer["messageIssuer"] == {
        "userId": "demo",
        "bizUserId": "",
        "userName": "小婉",
        "userType": "character",
    }
    assert (
        answer.items()
        >= {
            "content": "在呀",
            "messageType": "character",
            "messageId": context["messageId"],
            "sessionId": context["sessionId"],
            "chatId": context["chatId"],
            "isGreeting": False,
            "regenerateTimes": 0,
        }.items()
    )
    assert (question["messageType"], question["messageId"]) == ("user", context["replyMessageId"])
    assert question["chatId"] == answer["chatId"] != opening["chatId"]
    assert opening["gmtCreate"] < question["gmtCreate"] < answer["gmtCreate"]
    assert "rating" not in answer


def test_no_room_yet(api: Any) -> None:
    """Reading a history nobody has begun finds nothing, and begins nothing."""
    assert api.history() == []
    assert api.history() == []


def test_order(api: Any, emulator: Emulator) -> None:
    """Newest first by default and on request, oldest first on request."""
    emulator.xingchen.add_messages("demo", "u1", ["一", "二", "三"])
    where = {"where": {"characterId": "demo"}}
    newest_first = ["三", "二", "一", OPENING]
    assert contents(api.data("chat/message/histories", where)["list"]) == newest_first
    descending = {**where, "orderBy": ["gmtCreate desc"]}
    assert contents(api.data("chat/message/histories", descending)["list"]) == newest_first
    assert contents(api.history(orderBy=["gmtCreate"])) == newest_first[::-1]


def test_pages(api: Any, emulator: Emulator) -> None:
    """Every row once, ten a page by default."""
    emulator.xingchen.add_messages("demo", "u1", [f"第{number}句" for number in range(24)])
    body = {"where": {"characterId": "demo", "bizUserId": "u1"}, "orderBy": ["gmtCreate asc"]}
    pages = [api.data("chat/message/histories", {**body, "pageNum": number}) for number in (1, 2, 3, 4)]
    assert [len(page["list"]) for page in pages] == [10, 10, 5, 0]
    assert {(page["total"], page["pageSize"]) for page in pages} == {(25, 10)}
    assert [page["page"] for page in pages] == [1, 2, 3, 4]
    said = [row for page in pages for row in contents(page["list"])]
    assert said == [OPENING, *(f"第{number}句" for number in range(24))]


@pytest.mark.parametrize(
    "body",
    [
        {"pageSize": 0},
        {"pageSize": 51},
        {"orderBy": ["rating desc"]},
        {"orderBy": ["gmtCreate down"]},
        {"where": {"startTime": "yesterday"}},
        {"where": {"chatRoomId": "1"}},
        {"where": []},
    ],
)
def test_bad_queries(api: Any, body: dict[str, Any]) -> None:
    """Page sizes of 1..50, known columns, times that are times."""
    assert api.refusal(api.post("chat/message/histories", body)) == INVALID


def test_filters(api: Any, emulator: Emulator) -> None:
    """By character, user, session, room and message ids."""
    emulator.xingchen.add_character("other")
    context = api.say("甲")["context"]
    api.say("乙", user="u2")
    api.say("丙", character="other")
    ids = emulator.xingchen.add_messages("demo", "u1", ["丁"])

    def said(**where: Any) -> list[str]:
        rows = api.history(where=where)
        return [row["content"] for row in rows if row["messageType"] == "user"]

    assert said() == ["甲", "乙", "丙", "丁"]
    assert said(characterId="demo") == ["甲", "乙", "丁"]
    assert said(bizUserId="u1") == ["甲", "丙", "丁"]
    assert said(sessionId=context["sessionId"]) == ["甲", "丁"]
    assert said(chatRoomId=context["chatRoomId"]) == ["甲", "丁"]
    assert said(messageIds=ids) == ["丁"]
    assert said(characterId="nobody") == []


def test_times(api: Any, emulator: Emulator) -> None:
    """Start and end are both inside; milliseconds or ISO 8601 text."""
    rows = [
        {"content": text, "gmtCreate": 1_700_000_000_000 + at} for text, at in (("一", 0), ("二", 500), ("三", 1000))
    ]
    emulator.xingchen.add_messages("demo", "u1", rows)

    def said(**times: Any) -> list[str]:
        return [text for text in contents(api.history(where={"characterId": "demo", **times})) if text != OPENING]

    assert said(startTime=1_700_000_000_500) == ["二", "三"]
    assert said(endTime=1_700_000_000_500) == ["一", "二"]
    assert said(startTime=1_700_000_000_001, endTime=1_700_000_000_999) == ["二"]
    assert said(startTime="2023-11-14T22:13:20.500+00:00") == ["二", "三"]
    assert said(endTime="2023-11-15T06:13:20+08:00") == ["一"]
    assert said(endTime="2023-11-14T22:13:20Z") == ["一"]


def test_rating(api: Any) -> None:
    """A rating from -1 to 5 is kept with the message, and the last one counts."""
    message_id = api.say("你好")["context"]["messageId"]
    assert api.data("chat/rating", {"messageId": message_id, "rating": -1, "info": "太短"}) is True
    assert api.data("chat/rating", {"messageId": message_id, "rating": 5}) is True
    assert [row.get("rating") for row in api.history()] == [None, None, 5]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"messageId": "nobody-said", "rating": 5}, NOT_FOUND),
        ({"rating": 5}, INVALID),
        ({"messageId": "m"}, INVALID),
        ({"messageId": "m", "rating": 6}, INVALID),
        ({"messageId": "m", "rating": -2}, INVALID),
        ({"messageId": "m", "rating": 2.5}, INVALID),
    ],
)
def test_bad_ratings(api: Any, body: dict[str, Any], expected: tuple[int, int, str]) -> None:
    """Whole numbers within -1..5, for messages that exist."""
    assert api.refusal(api.post("chat/rating", body)) == expected


def test_rating_is_the_accounts_own(api: Any, stranger: Any) -> None:
    """Another account's message is as good as none."""
    message_id = api.say("你好")["context"]["messageId"]
    assert stranger.refusal(stranger.post("chat/rating", {"messageId": message_id, "rating": 5})) == NOT_FOUND


def test_reminder(api: Any, emulator: Emulator) -> None:
    """The character speaks first: no model call, but the next chat sees what it said."""
    assert api.data("chat/reminder", {"characterId": "demo", "bizUserId": "u1", "content": "好久不见"}) is True
    assert [(row["messageType"], row["content"]) for row in api.history()] == [
        ("opening_remarks", OPENING),
        ("sys_greetings", "好久不见"),
    ]
    assert emulator.xingchen.prompts == []
    api.say("是呀")
    assert contents(emulator.xingchen.prompts[-1]) == [OPENING, "好久不见", "是呀"]
    assert [message["role"] for message in emulator.xingchen.prompts[-1]] == ["assistant", "assistant", "user"]


@pytest.mark.parametrize("missing", ["characterId", "bizUserId", "content"])
def test_bad_reminders(api: Any, missing: str) -> None:
    """All three members are required; here the user is bizUserId."""
    body = {"characterId": "demo", "bizUserId": "u1", "content": "好久不见"}
    assert api.refusal(api.post("chat/reminder", {**body, missing: None})) == INVALID
    assert api.refusal(api.post("chat/reminder", {**body, "characterId": "nobody"})) == NOT_FOUND


def test_reset(api: Any, emulator: Emulator) -> None:
    """A new session: the model no longer sees what was before, the history query still lists it."""
    first = api.say("一")["context"]
    assert api.data("chat/reset", {"characterId": "demo", "userId": "u1"}) is True
    second = api.say("二")["context"]
    assert first["sessionId"] != second["sessionId"]
    assert first["chatRoomId"] == second["chatRoomId"]
    assert contents(emulator.xingchen.prompts[-1]) == ["二"]
    assert [row["content"] for row in api.history() if row["messageType"] == "user"] == ["一", "二"]


def test_reset_may_hide(api: Any, emulator: Emulator) -> None:
    """The documents leave open whether old messages are listed after a reset: a switch for the other reading."""
    emulator.xingchen.reset_hides_history = True
    api.say("一")
    api.data("chat/reset", {"characterId": "demo", "userId": "u1"})
    api.say("二")
    assert [row["content"] for row in api.history() if row["messageType"] == "user"] == ["二"]


def test_reset_before_anything(api: Any) -> None:
    """Resetting a conversation that never began is no error; both ids are required, the character must exist."""
    assert api.data("chat/reset", {"characterId": "demo", "userId": "u1"}) is True
    assert api.refusal(api.post("chat/reset", {"characterId": "demo", "bizUserId": "u1"})) == INVALID
    assert api.refusal(api.post("chat/reset", {"characterId": "nobody", "userId": "u1"})) == NOT_FOUND


def test_history_lag(api: Any, emulator: Emulator) -> None:
    """A message written with a lag is missing from so many reads."""
    emulator.xingchen.add_messages("demo", "u1", ["早"])
    emulator.xingchen.history_lag = 2
    api.say("晚")
    assert [len(api.history()) for _ in range(3)] == [2, 2, 4]


def test_history_overlap(api: Any, emulator: Emulator) -> None:
    """Rows of one page come again on the next, as when somebody writes while a client pages; none is lost."""
    emulator.xingchen.add_messages("demo", "u1", [str(number) for number in range(19)])
    emulator.xingchen.history_overlap = 2
    body = {"where": {"characterId": "demo"}, "orderBy": ["gmtCreate asc"], "pageSize": 10}
    pages = [contents(api.data("chat/message/histories", {**body, "pageNum": n})["list"]) for n in (1, 2, 3)]
    assert pages[0] == [OPENING, *map(str, range(9))]
    assert pages[1] == [str(number) for number in range(7, 17)]
    assert pages[2] == ["17", "18"]


@pytest.mark.parametrize("overlap", [3, 7])
def test_history_overlap_of_whole_pages(api: Any, emulator: Emulator, overlap: int) -> None:
    """However much of a page comes again, it is never empty and has something new."""
    emulator.xingchen.add_messages("demo", "u1", [str(number) for number in range(5)])
    emulator.xingchen.history_overlap = overlap
    body = {"where": {"characterId": "demo"}, "orderBy": ["gmtCreate asc"], "pageSize": 3}
    pages = [contents(api.data("chat/message/histories", {**body, "pageNum": n})["list"]) for n in (1, 2, 3)]
    assert pages == [[OPENING, "0", "1"], ["0", "1", "2"], ["3", "4"]]


def test_other_ways_of_listing(api: Any, emulator: Emulator) -> None:
    """A service may say no total, ignore the order, tell no times, or lag behind with what came last."""
    emulator.xingchen.add_messages("demo", "u1", ["一", "二"])
    query = {"where": {"characterId": "demo"}, "orderBy": ["gmtCreate desc"]}
    usual = api.data("chat/message/histories", query)
    assert (usual["total"], contents(usual["list"])) == (3, ["二", "一", OPENING])

    emulator.xingchen.history_without_total = emulator.xingchen.history_without_times = True
    emulator.xingchen.history_oldest_first = True
    emulator.xingchen.history_behind = 1
    listed = api.data("chat/message/histories", query)
    assert "total" not in listed
    assert contents(listed["list"]) == [OPENING, "一"]
    assert not any("gmtCreate" in row for row in listed["list"])
    emulator.xingchen.history_behind = 9
    assert api.data("chat/message/histories", query)["list"] == []


def test_equal_times(api: Any, emulator: Emulator) -> None:
    """Messages of one time keep the order of writing in both directions."""
    emulator.xingchen.same_gmt_create = True
    api.say("你好")
    rows = api.history()
    assert len({row["gmtCreate"] for row in rows}) == 1
    kinds = ["opening_remarks", "user", "character"]
    assert [row["messageType"] for row in rows] == kinds
    assert [row["messageType"] for row in api.history(orderBy=["gmtCreate desc"])] == kinds


def test_seeding_messages(api: Any, emulator: Emulator) -> None:
    """Strings are user and character by turns; mappings set what they like; exchanges can be regenerated."""
    ids = emulator.xingchen.add_messages(
        "demo",
        "u1",
        [
            "在吗",
            "在呀",
            {"content": "好久不见", "messageType": "sys_greetings"},
            {"content": "是呀", "messageId": "q9"},
        ],
    )
    rows = api.history()[1:]
    assert [row["messageType"] for row in rows] == ["user", "character", "sys_greetings", "user"]
    assert [row["messageId"] for row in rows] == ids
    assert ids[3] == "q9"
    assert rows[0]["chatId"] == rows[1]["chatId"] != rows[3]["chatId"]
    data = api.say("ignored", context={"isRegenerate": True, "queryId": ids[0]})
    assert data["choices"][0]["messages"][0]["content"].startswith("换个说法：")


def test_seeding_for_another_account(stranger: Any, emulator: Emulator) -> None:
    """History belongs to a key."""
    emulator.xingchen.add_messages("demo", "u1", ["在吗"], api_key="strangers-key")
    assert contents(stranger.history())[1:] == ["在吗"]
