"""The emulated signed calls of Beebot, by plain HTTP."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from beebot_api import BeebotApi, refusal
from xingchen_core.emulator import Emulator

DEMO = {"InstanceId": "chatbot-cn-demo"}
TOO_MANY = json.dumps(["a"] * 21)


@pytest.fixture
def api(emulator: Emulator) -> Iterator[BeebotApi]:
    """Plain HTTP to the emulator."""
    client = BeebotApi(emulator.url)
    with client.http:
        yield client


def chat(api: BeebotApi, utterance: str, **parameters: str) -> Any:
    """The answer of a `Chat` call that must go well."""
    return api.good("Chat", {**DEMO, "Utterance": utterance, **parameters})


def test_a_token(api: BeebotApi) -> None:
    """A token has three parts, all different, and no time of expiry."""
    token = api.token()
    assert set(token) == {"RequestId", "AccessToken", "ChannelId", "StreamSecret"}
    assert len(token["AccessToken"]) == 32
    assert len({*token.values()}) == 4
    assert api.token()["AccessToken"] != token["AccessToken"]


def test_chat_keeps_the_conversation(api: BeebotApi) -> None:
    """A session begun by the robot is continued by its id; another one knows nothing of it."""
    first = chat(api, "我叫小明")
    assert set(first) == {"RequestId", "SessionId", "MessageId", "QuerySegList", "Messages"}
    again = chat(api, "我叫什么？", SessionId=first["SessionId"])
    assert again["SessionId"] == first["SessionId"]
    assert again["MessageId"] != first["MessageId"]
    assert again["Messages"][0]["Text"]["Content"] == "您叫小明。"
    assert chat(api, "我叫什么？")["Messages"][0]["Text"]["Content"] == "您还没有告诉我您的名字。"


def test_a_session_of_the_caller_s(api: BeebotApi) -> None:
    """The caller may choose the id of a session."""
    assert chat(api, "你好", SessionId="s1")["SessionId"] == "s1"
    assert "「你好」" in chat(api, "我刚才问什么？", SessionId="s1")["Messages"][0]["Text"]["Content"]


def test_answers_are_always_the_same(api: BeebotApi) -> None:
    """The same question in two sessions has the same answer."""
    assert chat(api, "怎么退货？")["Messages"] == chat(api, "怎么退货？")["Messages"]


def test_knowledge(api: BeebotApi) -> None:
    """What stands in the knowledge base comes as `Knowledge`."""
    [message] = chat(api, "怎么开发票？")["Messages"]
    assert message["AnswerType"] == "Knowledge"
    assert set(message["Knowledge"]) >= {"Id", "Title", "Content", "Summary", "ContentType", "Category", "Score"}


def test_a_counter_question(api: BeebotApi) -> None:
    """An unclear question is answered by recommendations."""
    [message] = chat(api, "退")["Messages"]
    assert message["AnswerType"] == "Recommend"
    assert [each["Title"] for each in message["Recommends"]] == ["退货", "退款"]
    assert all(each["KnowledgeId"] for each in message["Recommends"])


def test_hand_over(api: BeebotApi) -> None:
    """Who asks for a human gets a command whose value is JSON text."""
    [message] = chat(api, "转人工")["Messages"]
    assert message["Text"]["AnswerSource"] == "COMMANDS"
    assert message["Text"]["Commands"]["sysToAgent"].startswith('{"skillGroup":"12"')
    assert message["Knowledge"] == {}


def test_no_answer(api: BeebotApi) -> None:
    """What the robot does not know is marked as such."""
    [message] = chat(api, "宇宙有多大")["Messages"]
    assert message["Text"]["AnswerSource"] == "NO_ANSWER"


def test_scripted_answers(api: BeebotApi, emulator: Emulator) -> None:
    """Common and own scripts stand in one line; raw members replace the usual ones; other services' are left alone."""
    emulator.reply("别人的", service="xingchen")
    emulator.reply("一", service="beebot")
    emulator.beebot.reply("二", answer_source="ChitChat", kind="cardAnswer", content_type="CARD_TEMPLATE")
    emulator.beebot.reply("三", body={"Messages": []})
    emulator.reply("四", images=["https://example.invalid/a.png"])
    assert chat(api, "你好")["Messages"][0]["Text"]["Content"] == "一"
    [second] = chat(api, "你好")["Messages"]
    assert (second["AnswerType"], second["Text"]["AnswerSource"]) == ("cardAnswer", "ChitChat")
    assert second["Text"]["ContentType"] == "CARD_TEMPLATE"
    assert chat(api, "你好")["Messages"] == []
    [fourth] = chat(api, "你好")["Messages"]
    assert fourth["Text"]["Content"] == '四<img src="https://example.invalid/a.png">'
    assert fourth["Text"]["ContentType"] == "RICH_TEXT"


def test_everything_a_chat_may_carry(api: BeebotApi) -> None:
    """All parameters of the documents, in both spellings of a boolean."""
    parameters = {
        "SenderId": "u1",
        "SenderNick": "张三",
        "KnowledgeId": "30",
        "IntentName": "i",
        "Perspective": '["a","b"]',
        "VendorParam": '{"phone":123}',
        "AgentKey": "k1",
    }
    assert chat(api, "天气+*~/怎么样?\n", SandBox="True", **parameters)["Messages"]
    assert chat(api, "天气", SandBox="false", **parameters)["Messages"]


@pytest.mark.parametrize(
    ("action", "parameters", "expected"),
    [
        ("Chat", {}, (400, "MissingInstanceId")),
        ("Chat", DEMO, (400, "MissingUtterance")),
        ("Chat", {**DEMO, "Utterance": ""}, (400, "MissingUtterance")),
        ("Chat", {**DEMO, "Utterance": "长" * 513}, (400, "InvalidParameter")),
        ("Chat", {**DEMO, "Utterance": "你好", "SessionId": "s" * 65}, (400, "InvalidParameter")),
        ("Chat", {**DEMO, "Utterance": "你好", "VendorParam": "phone=1"}, (400, "InvalidParameter")),
        ("Chat", {**DEMO, "Utterance": "你好", "VendorParam": "[]"}, (400, "InvalidParameter")),
        ("Chat", {**DEMO, "Utterance": "你好", "Perspective": '"a"'}, (400, "InvalidParameter")),
        (
            "Chat",
            {**DEMO, "Utterance": "你好", "Perspective": TOO_MANY},
            (400, "InvalidParameter"),
        ),
        ("Chat", {**DEMO, "Utterance": "你好", "SandBox": "yes"}, (400, "InvalidParameter")),
        ("Chat", {"InstanceId": "chatbot-cn-other", "Utterance": "你好"}, (404, "InvalidInstance.NotFound")),
        ("BeginSession", {}, (400, "MissingInstanceId")),
        ("BeginSession", {**DEMO, "SessionId": "s" * 65}, (400, "InvalidParameter")),
        ("BeginSession", {"InstanceId": "chatbot-cn-other"}, (404, "InvalidInstance.NotFound")),
        ("Associate", DEMO, (400, "MissingUtterance")),
        ("Associate", {**DEMO, "Utterance": "发", "RecommendNum": "11"}, (400, "InvalidParameter")),
        ("Associate", {**DEMO, "Utterance": "发", "RecommendNum": "0"}, (400, "InvalidParameter")),
        ("Associate", {**DEMO, "Utterance": "发", "RecommendNum": "many"}, (400, "InvalidParameter")),
        ("Feedback", DEMO, (400, "MissingMessageId")),
        ("Feedback", {**DEMO, "MessageId": "m1"}, (400, "MissingFeedback")),
        ("Feedback", {**DEMO, "MessageId": "m1", "Feedback": "fine"}, (400, "InvalidParameter")),
        ("Feedback", {**DEMO, "MessageId": "m1", "Feedback": "good"}, (400, "InvalidParameter")),
        ("CancelChat", DEMO, (400, "MissingSessionId")),
        ("CancelChat", {**DEMO, "SessionId": "s1", "ChatId": "c1", "Type": "Stop"}, (400, "InvalidParameter")),
        ("DeleteEverything", DEMO, (404, "InvalidApi.NotFound")),
        ("chat", {**DEMO, "Utterance": "你好"}, (404, "InvalidApi.NotFound")),
    ],
)
def test_refused(api: BeebotApi, action: str, parameters: dict[str, str], expected: tuple[int, str]) -> None:
    """Each wrong call is refused by the code for it."""
    assert refusal(api.call(action, parameters)) == expected


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_no_signed_call_at_all(api: BeebotApi, method: str) -> None:
    """Whoever opens the root without an action finds nothing there."""
    assert refusal(api.http.request(method, "/")) == (404, "InvalidApi.NotFound")


def test_another_version_of_the_api(api: BeebotApi) -> None:
    """A version that is not this API's is refused, by the odd code the documents have for it."""
    response = api.call("BeginSession", DEMO, headers={"x-acs-version": "2017-10-11"})
    assert refusal(response) == (400, "400")
    assert response.json()["Message"] == "Specified parameter Version is not valid."


def test_begin_session(api: BeebotApi, emulator: Emulator) -> None:
    """A welcome names no session, and may begin one of the caller's."""
    emulator.beebot.add_robot("chatbot-cn-two", welcome="欢迎光临")
    answer = api.good("BeginSession", None, {"InstanceId": "chatbot-cn-two", "SessionId": "s1", "SandBox": "False"})
    assert answer.pop("RequestId")
    assert answer == {
        "WelcomeMessage": "欢迎光临",
        "SilenceReplyTimeout": 10,
        "Interruptible": True,
        "AsrMaxEndSilence": 800,
    }


def test_associate(api: BeebotApi) -> None:
    """Suggestions hold what was typed; `Meta` is JSON text."""
    found = api.good("Associate", {**DEMO, "Utterance": "退款", "RecommendNum": "1", "Perspective": '["a"]'})
    assert found["Associate"] == [{"Title": "怎么退款？", "Meta": '{"source":"FAQ"}'}]
    assert found["SessionId"]
    assert api.good("Associate", {**DEMO, "Utterance": "(", "SessionId": "s1"})["Associate"] == []


def test_feedback(api: BeebotApi, emulator: Emulator) -> None:
    """An answer of this robot can be rated, one of another cannot."""
    emulator.beebot.add_robot("chatbot-cn-two")
    message_id = chat(api, "你好")["MessageId"]
    rating = {"MessageId": message_id, "Feedback": "bad", "FeedbackContent": "不对"}
    assert api.good("Feedback", {**DEMO, **rating})["Feedback"] == "bad"
    assert emulator.beebot.feedback == [{**DEMO, **rating}]
    other = api.call("Feedback", {"InstanceId": "chatbot-cn-two", **rating})
    assert refusal(other) == (400, "InvalidParameter")


def test_cancel_chat(api: BeebotApi, emulator: Emulator) -> None:
    """What was cancelled is noted; whether it could be is answered."""
    begun = chat(api, "你好")
    form = {**DEMO, "SessionId": begun["SessionId"], "ChatId": begun["MessageId"], "Type": "Canceled", "Answer": "您"}
    assert api.good("CancelChat", None, form)["CancelResult"] is True
    assert api.good("CancelChat", None, {**form, "ChatId": "another"})["CancelResult"] is False
    assert [each["Answer"] for each in emulator.beebot.cancelled] == ["您", "您"]


def test_business_spaces(api: BeebotApi, emulator: Emulator) -> None:
    """A robot in a space of its own is out of reach without the key of the space."""
    emulator.beebot.add_robot("chatbot-cn-two", agent_key="k1")
    call = {"InstanceId": "chatbot-cn-two", "Utterance": "你好"}
    assert refusal(api.call("Chat", call)) == (403, "Forbidden")
    assert api.good("Chat", {**call, "AgentKey": "k1"})["Messages"]


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"code": "Throttling.User"}, (400, "Throttling.User")),
        ({"status": 429}, (429, "Throttling.User")),
        ({"status": 500}, (500, "InternalError")),
        ({"status": 503}, (503, "ServiceUnavailable")),
        ({"code": "InstanceFreezing"}, (403, "InstanceFreezing")),
        ({"code": "InvalidAccessKeyId.Inactive"}, (404, "InvalidAccessKeyId.Inactive")),
        ({"kind": "error_event", "code": "InternalError"}, (500, "InternalError")),
        ({}, (400, "InvalidParameter")),
    ],
)
def test_scripted_refusals(
    api: BeebotApi, emulator: Emulator, fault: dict[str, Any], expected: tuple[int, str]
) -> None:
    """A scripted failure has the code's usual status, or the status's usual code; the next call goes well."""
    emulator.fail(**fault, service="beebot")
    assert refusal(api.call("Chat", {**DEMO, "Utterance": "你好"})) == expected
    assert chat(api, "你好")["Messages"]


def test_throttling_says_how_long(api: BeebotApi, emulator: Emulator) -> None:
    """The platform's own header says after how long to come again, in thousandths of a second."""
    emulator.fail("status", code="Throttling.Api", retry_after=1.5)
    response = api.call("Chat", {**DEMO, "Utterance": "你好"})
    assert response.headers["x-acs-retry-after"] == "1500"
    assert "retry-after" not in response.headers


@pytest.mark.parametrize("action", ["ApplyForStreamAccessToken", "BeginSession"])
def test_faults_of_one_action(api: BeebotApi, emulator: Emulator, action: str) -> None:
    """Calls that answer no question fail by their action's name, and only they."""
    emulator.fail("status", status=503, path=f"/{action}")
    assert chat(api, "你好")["Messages"]
    assert refusal(api.call(action, DEMO)) == (503, "ServiceUnavailable")
    assert api.call(action, DEMO).status_code == 200


@pytest.mark.parametrize(("kind", "status"), [("html", 502), ("cut", None), ("drop", None)])
def test_broken_answers(api: BeebotApi, emulator: Emulator, kind: Any, status: int | None) -> None:
    """A proxy's page, an answer cut in two, and none at all."""
    emulator.fail(kind, path="/BeginSession")
    if status:
        response = api.call("BeginSession", DEMO)
        assert (response.status_code, response.headers["content-type"]) == (status, "text/html;charset=UTF-8")
    else:
        with pytest.raises(httpx.RemoteProtocolError):
            api.call("BeginSession", DEMO)


def test_a_fault_in_the_user_s_words(api: BeebotApi) -> None:
    """For an emulator in another process: the question itself asks for the failure."""
    assert refusal(api.call("Chat", {**DEMO, "Utterance": "/fail status code=Throttling"})) == (400, "Throttling")
    assert refusal(api.call("Chat", {**DEMO, "Utterance": "/fail sideways"})) == (400, "InvalidParameter")
