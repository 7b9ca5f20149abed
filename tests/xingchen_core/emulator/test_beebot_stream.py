"""The emulated stream of Beebot, by plain HTTP: the URL that opens it, and what it says."""

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from beebot_api import BeebotApi, refusal
from xingchen_core.emulator import Emulator

# "Chat API signature": computed from the page's example; the second is what the HTML-damaged form would give.
SECRET, TIMESTAMP = "cc9e88c0-4f41-4f1d-a1a9-91a72d2aa27d", "1706787526795"  # not a secret: the vendor page's example
SIGN, DAMAGED_SIGN = "0cf433c733c90f72a0e73df1d4ed732e", "95b446b0afdf88b4b4dd2019c0d69525"  # not a secret: of it


@pytest.fixture
def api(emulator: Emulator) -> Iterator[BeebotApi]:
    """Plain HTTP to the emulator."""
    client = BeebotApi(emulator.url)
    with client.http:
        yield client


def texts(answers: list[dict[str, Any]]) -> list[str | None]:
    """The text of each event; None for one without `MessageBody`."""
    return [
        "".join(part["Content"] for part in answer["MessageBody"]["DirectMessageBody"]["SentenceList"])
        if "MessageBody" in answer
        else None
        for answer in answers
    ]


def test_an_answer_in_snapshots(api: BeebotApi, emulator: Emulator) -> None:
    """As in the vendor's sample: an acknowledgement, empty snapshots, the whole text again and again, and the end."""
    emulator.reply(chunks=["我是", "小蜜", "。"], service="beebot")
    answers = api.answers(api.stream("你是谁?"))
    assert texts(answers) == [None, "", "", "我是", "我是小蜜", "我是小蜜。", "我是小蜜。", "我是小蜜。"]
    assert [answer["StreamEnd"] for answer in answers] == [False] * 7 + [True]
    assert [answer["IsAIGC"] for answer in answers] == [False] + [True] * 7
    assert [answer.get("Source") for answer in answers] == [None] + ["NON_STRUCTURAL_KNOWLEDGE"] * 7
    assert "".join(answers[1]["QuerySegList"]) == "你是谁?"


def test_ids(api: BeebotApi) -> None:
    """The caller's id is echoed; answer and session keep theirs; requests and sequence numbers never repeat."""
    response = api.http.post(api.path(), json=api.body("你好", message_id="m-mine"))
    envelopes, answers = api.events(response), api.answers(response)
    assert {envelope["messageId"] for envelope in envelopes} == {"m-mine"}
    assert len({envelope["requestId"] for envelope in envelopes}) == len(envelopes)
    assert len({answer["MessageId"] for answer in answers}) == len({answer["SessionId"] for answer in answers}) == 1
    assert len({answer["SequenceId"] for answer in answers}) == len(answers)
    assert envelopes[0]["requestId"] == answers[0]["MessageId"]


def test_layout(api: BeebotApi) -> None:
    """Members stand in alphabetical order, Chinese is not escaped, and no space follows `data:`."""
    text = api.stream("你好").text
    assert text.startswith('data:{"data":[{"type":"JSON_TEXT","value":"{\\"IsAIGC\\":false,\\"MessageId\\":\\"')
    assert "您好" in text
    for answer in api.answers(api.stream("你好")):
        assert list(answer) == sorted(answer)


def test_the_conversation_is_kept(api: BeebotApi) -> None:
    """The session's id, known from the first event on, continues it, also by the signed call."""
    token = api.token()
    session = api.answers(api.stream("我叫小明", api.path(token)))[0]["SessionId"]
    assert texts(api.answers(api.stream("我叫什么?", api.path(token), SessionId=session)))[-1] == "您叫小明。"
    query = {"InstanceId": "chatbot-cn-demo", "Utterance": "我叫什么?", "SessionId": session}
    assert api.good("Chat", query)["Messages"][0]["Text"]["Content"] == "您叫小明。"


def test_a_counter_question(api: BeebotApi) -> None:
    """`Clarify` has its own body and no sentences."""
    last = api.answers(api.stream("退"))[-1]["MessageBody"]
    assert last["Type"] == "Clarify"
    assert last["ClarifyMessageBody"] == {
        "ClarifyContent": "请问您想办理哪一项？",
        "ClarifyList": ["退货", "退款"],
        "Title": "请选择",
    }
    assert "DirectMessageBody" not in last


def test_hand_over(api: BeebotApi, emulator: Emulator) -> None:
    """The command comes with the end; a public client also looks for it beside the body."""
    last = api.answers(api.stream("转人工"))[-1]
    assert json.loads(last["MessageBody"]["Commands"]["sysToAgent"])["skillGroup"] == "12"
    emulator.beebot.reply("请稍等", commands={"sysToAgent": "{}"}, commands_on_top=True)
    last = api.answers(api.stream("转人工"))[-1]
    assert last["Commands"] == {"sysToAgent": "{}"}
    assert "Commands" not in last["MessageBody"]


def test_references(api: BeebotApi, emulator: Emulator) -> None:
    """Paragraphs name the number of their reference."""
    emulator.beebot.reply(
        paragraphs=[("甲。", 1), ("乙。", 2), ("丙。", None)],
        references=["手册", {"Title": "附录", "DataSource": "FAQ"}],
    )
    direct = api.answers(api.stream("你好"))[-1]["MessageBody"]["DirectMessageBody"]
    assert direct["SentenceList"] == [
        {"Content": "甲。", "ReferNumber": 1},
        {"Content": "乙。", "ReferNumber": 2},
        {"Content": "丙。"},
    ]
    assert [(item["Number"], item["Title"]) for item in direct["AnswerReference"]["ItemList"]] == [
        (1, "手册"),
        (2, "附录"),
    ]


def test_no_answer(api: BeebotApi) -> None:
    """The built-in policy that answered is named, and other questions are offered."""
    direct = api.answers(api.stream("宇宙有多大"))[-1]["MessageBody"]["DirectMessageBody"]
    assert direct["HitSystemAskConfig"] == "NO_ANSWER"
    assert len(direct["RelatedQuestionList"]) == 3


def test_texts_that_do_not_grow(api: BeebotApi, emulator: Emulator) -> None:
    """A rewritten text and a shrinking one."""
    emulator.reply("换个话题吧。", chunks=["我", "觉得"], service="beebot")
    assert texts(api.answers(api.stream())) == [None, "", "", "我", "我觉得", "换个话题吧。", "换个话题吧。"]
    emulator.beebot.reply(snapshots=["一二三", "一二"])
    assert texts(api.answers(api.stream())) == [None, "", "", "一二三", "一二", "一二", "一二"]


def test_raw_events(api: BeebotApi, emulator: Emulator) -> None:
    """What a test wants to see on the wire, nothing added."""
    emulator.beebot.reply(events=[{"success": True}, "no JSON"])
    assert api.stream().text == 'data:{"success":true}\n\ndata:no JSON\n\n'


def test_an_unknown_type(api: BeebotApi, emulator: Emulator) -> None:
    """A kind of answer that is in no document."""
    emulator.beebot.reply("x", kind="Hologram")
    assert api.answers(api.stream())[-1]["MessageBody"] == {"Type": "Hologram", "VoiceConfig": {}}


def test_shapes_of_the_wire(api: BeebotApi, emulator: Emulator) -> None:
    """CRLF, a space after the colon, comments and torn characters are those of the other services."""
    emulator.wire(crlf=True, space=True, keepalive=True, split_utf8=1)
    text = api.stream("你好").text
    assert text.startswith(': keep-alive\r\n\r\ndata: {"data"')
    assert text.endswith("\r\n\r\n")


@pytest.mark.parametrize("status", [200, 403])
def test_a_url_that_opens_nothing(api: BeebotApi, emulator: Emulator, status: int) -> None:
    """Each part of the URL must be right; the answer to a wrong one is HTML."""
    emulator.beebot.bad_url_status = status
    token = api.token()
    good = api.path(token)
    other = api.token()
    bad = [
        good.replace(token["AccessToken"], "0" * 32),
        good.replace(token["ChannelId"], other["ChannelId"]),
        api.path(token, sign="0" * 32),
        api.path({**token, "StreamSecret": other["StreamSecret"]}),
        api.path(token, timestamp=str(int(time.time()))),
        api.path(token, timestamp=str(int(time.time() * 1000) + 10**9)),
        api.path(token, timestamp="now"),
    ]
    for path in bad:
        response = api.stream(path=path)
        assert (response.status_code, response.headers["content-type"]) == (status, "text/html;charset=UTF-8")
        assert response.text.lstrip().startswith("<")
    assert api.http.get(good).text.startswith("<")
    assert api.answers(api.stream(path=good))


def test_the_sign_of_the_documents(api: BeebotApi, emulator: Emulator) -> None:
    """The published form of the sign opens the stream; the form that HTML damaged does not."""
    token = api.token()
    kept = emulator.beebot.tokens[token["AccessToken"]]
    emulator.beebot.clock = lambda: int(TIMESTAMP) / 1000
    emulator.beebot.tokens[token["AccessToken"]] = type(kept)(
        kept.access_token, kept.channel_id, SECRET, None, int(TIMESTAMP) / 1000
    )
    assert api.answers(api.stream(path=api.path(token, timestamp=TIMESTAMP, sign=SIGN)))
    assert api.stream(path=api.path(token, timestamp=TIMESTAMP, sign=DAMAGED_SIGN)).text.startswith("<")


def test_tokens_end(api: BeebotApi, emulator: Emulator) -> None:
    """A token opens streams for two hours, or as long as the test says, and can be forgotten at once."""
    now = time.time()
    emulator.beebot.clock = lambda: now
    token = api.token()
    emulator.beebot.advance(7200)
    path = api.path(token, timestamp=str(int((now + 7200) * 1000)))
    assert api.answers(api.stream(path=path))
    emulator.beebot.advance(1)
    assert api.stream(path=path).text.startswith("<")
    emulator.beebot.advance(-7201)
    emulator.beebot.token_seconds = 0.5
    emulator.beebot.advance(1)
    assert api.stream(path=api.path(token, timestamp=str(int(now * 1000)))).text.startswith("<")
    emulator.beebot.advance(-1)
    emulator.beebot.forget_tokens()
    assert api.stream(path=api.path(token, timestamp=str(int(now * 1000)))).text.startswith("<")


def test_a_token_is_of_one_business_space(api: BeebotApi, emulator: Emulator) -> None:
    """The space is fixed by the token."""
    emulator.beebot.add_robot("chatbot-cn-two", agent_key="k1")
    [refused] = api.events(api.stream(InstanceId="chatbot-cn-two"))
    assert (refused["success"], refused["code"]) == (False, "Forbidden")
    path = api.path(api.token(AgentKey="k1"))
    assert texts(api.answers(api.stream(path=path, InstanceId="chatbot-cn-two")))[-1]


def broken(**changes: Any) -> dict[str, Any]:
    """A body with other outer members; None takes one away."""
    body = {**BeebotApi.body(), **changes}
    return {name: value for name, value in body.items() if value is not None}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ([], "InvalidParameter"),
        (broken(messageId=None), "MissingmessageId"),
        (broken(action="Chat"), "InvalidParameter"),
        (broken(version="2017-10-11"), "InvalidParameter"),
        (broken(data=None), "InvalidParameter"),
        (broken(data=[]), "InvalidParameter"),
        (broken(data=["x"]), "InvalidParameter"),
        (broken(data=[{"type": "TEXT", "value": "{}"}]), "InvalidParameter"),
        (broken(data=[{"type": "JSON_TEXT", "value": {"Utterance": "你好"}}]), "InvalidParameter"),
        (broken(data=[{"type": "JSON_TEXT", "value": '{"Utterance":"他说"好""}'}]), "InvalidParameter"),
        (BeebotApi.body(InstanceId=None), "MissingInstanceId"),
        (BeebotApi.body(""), "MissingUtterance"),
        (BeebotApi.body("长" * 513), "InvalidParameter"),
        (BeebotApi.body(SessionId="s" * 65), "InvalidParameter"),
        (BeebotApi.body(SessionId=7), "InvalidParameter"),
        (BeebotApi.body(SandBox="false"), "InvalidParameter"),
        (BeebotApi.body(VendorParam={"phone": 1}), "InvalidParameter"),
        (BeebotApi.body(VendorParam="[1]"), "InvalidParameter"),
        (BeebotApi.body(VendorParam="phone"), "InvalidParameter"),
        (BeebotApi.body(Perspective="a"), "InvalidParameter"),
        (BeebotApi.body(Perspective=["a"] * 21), "InvalidParameter"),
        (BeebotApi.body(InstanceId="chatbot-cn-other"), "InvalidInstance.NotFound"),
    ],
)
def test_refused_bodies(api: BeebotApi, body: Any, code: str) -> None:
    """A wrong body is refused inside the stream, under HTTP 200."""
    response = api.http.post(api.path(), json=body)
    [event] = api.events(response)
    assert response.status_code == 200
    assert list(event) == ["code", "message", "messageId", "requestId", "success"]
    assert (event["success"], event["code"]) == (False, code)
    assert event["requestId"]


def test_no_json_is_refused(api: BeebotApi) -> None:
    """So is a body that is no JSON."""
    [event] = api.events(api.http.post(api.path(), content=b"Utterance=1"))
    assert event["code"] == "InvalidParameter"


def test_everything_a_question_may_carry(api: BeebotApi) -> None:
    """All parameters of the documents; of `Perspective` both readings."""
    given: dict[str, Any] = {
        "SenderId": "u1",
        "SenderNick": "张三",
        "VendorParam": '{"phone":123,"SYS_IMAGE_ATTACHMENTS":["http://example.invalid/a.png"]}',
        "SandBox": True,
        "Command": "TIMEOUT",
        "Unknown": 1,
    }
    assert texts(api.answers(api.stream('他说"好"\n', Perspective=["a"], **given)))[-1]
    assert texts(api.answers(api.stream("你好", Perspective='["a"]', **given)))[-1]


def test_a_message_id_counts_once(api: BeebotApi) -> None:
    """The service drops repeated ids."""
    body = api.body("你好", message_id="m-once")
    assert api.answers(api.http.post(api.path(), json=body))
    [event] = api.events(api.http.post(api.path(), json=body))
    assert (event["code"], event["messageId"]) == ("InvalidParameter", "m-once")


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"status": 429}, (429, "Throttling.User")),
        ({"code": "Throttling.Api", "retry_after": 1}, (400, "Throttling.Api")),
        ({"status": 500}, (500, "InternalError")),
    ],
)
def test_refused_by_the_gateway(
    api: BeebotApi, emulator: Emulator, fault: dict[str, Any], expected: tuple[int, str]
) -> None:
    """A refusal in place of a stream is JSON under its own status."""
    emulator.fail(**fault)
    response = api.stream()
    assert refusal(response) == expected
    assert response.headers.get("x-acs-retry-after") == ("1000" if "retry_after" in fault else None)


def test_a_page_in_place_of_a_stream(api: BeebotApi, emulator: Emulator) -> None:
    """A proxy's page, under any status."""
    emulator.fail("html", status=200)
    assert api.stream().text.startswith("<")


@pytest.mark.parametrize(("after", "heard"), [(0, []), (2, [None, "", "", "一", "一二"])])
def test_an_error_inside_the_stream(api: BeebotApi, emulator: Emulator, after: int, heard: list[str | None]) -> None:
    """`after` counts the events with text; then comes the error, as the last event."""
    emulator.reply(chunks=["一", "二", "三"])
    emulator.fail("error_event", after=after, status=500)
    response = api.stream()
    *good, last = api.events(response)
    assert texts([json.loads(envelope["data"][0]["value"]) for envelope in good]) == heard
    assert (last["success"], last["code"]) == (False, "InternalError")


def test_a_silent_end(api: BeebotApi, emulator: Emulator) -> None:
    """The stream ends well, but never said so."""
    emulator.reply(chunks=["一", "二", "三"])
    emulator.fail("silent_end", after=2)
    answers = api.answers(api.stream())
    assert texts(answers)[-1] == "一二"
    assert not any(answer["StreamEnd"] for answer in answers)


def test_a_cut(api: BeebotApi, emulator: Emulator) -> None:
    """The connection breaks inside an event."""
    emulator.reply(chunks=["一", "二", "三"])
    emulator.fail("cut", after=1, inside_event=True)
    received = b""
    path, body = api.path(), api.body()
    with pytest.raises(httpx.RemoteProtocolError), api.http.stream("POST", path, json=body) as response:  # noqa: PT012 - only reading on shows the break
        for piece in response.iter_raw():
            received += piece
    assert received.count(b"\n\n") == 4


def test_what_runs_is_known(api: BeebotApi, emulator: Emulator) -> None:
    """A stream counts as running until its reader leaves; a second question meanwhile is noted."""
    token = api.token()
    emulator.fail("stall", after=1)
    body = api.body("你好", SessionId="s1")
    with api.http.stream("POST", api.path(token), json=body) as response:
        pieces = response.iter_raw()  # kept: dropping it would close the connection
        next(pieces)
        assert list(emulator.beebot.running.values()) == ["s1"]
        api.stream("在吗", api.path(token), SessionId="s2")
        assert emulator.beebot.overlaps == []
        api.stream("在吗", api.path(token), SessionId="s1")
        assert emulator.beebot.overlaps == ["s1"]
    deadline = time.monotonic() + 1
    while emulator.beebot.running and time.monotonic() < deadline:
        time.sleep(0.002)
    assert emulator.beebot.running == {}
