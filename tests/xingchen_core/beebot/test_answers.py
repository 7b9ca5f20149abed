"""How the answers of the signed calls are read, in the shapes the documents show."""

from typing import Any

import httpx
import pytest

from xingchen_core import Answer, APIResponseError
from xingchen_core.beebot import (
    BeebotRequest,
    BeebotSettings,
    Suggestion,
    associate,
    begin_session,
    cancel_chat,
    chat,
    feedback,
    stream_access_token,
)

KNOWLEDGE = {
    "QuerySegList": ["测试"],
    "Messages": [
        {
            "AnswerType": "Knowledge",
            "Knowledge": {
                "Id": "4549",
                "Title": "T",
                "Content": "<p>A</p>",
                "Summary": "A",
                "ContentType": "RICH_TEXT",
                "AnswerSource": "KnowledgeBase",
                "Category": "C",
                "Score": 100.0,
                "RelatedKnowledges": [{"KnowledgeId": "7", "Title": "U"}],
            },
        }
    ],
    "RequestId": "r",
    "SessionId": "s",
    "MessageId": "m",
}
CHOICES = [
    {"Title": "A", "KnowledgeId": "735899", "Score": 0.656, "AnswerSource": "BotFramework"},
    {"Title": "B", "KnowledgeId": "7049", "Score": 0.47, "AnswerSource": "KNOWLEDGE"},
]
RECOMMEND = {
    "Messages": [
        {
            "AnswerType": "Recommend",
            "AnswerSource": "INTENT_FAQ_CLARIFY",
            "VoiceTitle": "A 还是 B",
            "Recommends": CHOICES,
        }
    ],
    "RequestId": "r",
    "SessionId": "s",
    "MessageId": "m",
}


def said(**text: Any) -> dict[str, Any]:
    """An answer of the kind `Text`, with the empty `Knowledge` that old robots put beside it."""
    message = {"AnswerType": "Text", "Type": "Text", "Knowledge": {}, "Text": {"ContentType": "PLAIN_TEXT", **text}}
    return {"Messages": [message], "RequestId": "r", "SessionId": "s", "MessageId": "m"}


def read(body: Any, **fields: Any) -> tuple[Answer, dict[str, Any]]:
    """The one answer in a body of the `Chat` call, and what belongs to the reply."""
    reply = chat(BeebotRequest(instance_id="chatbot-cn-demo", utterance="测试", **fields)).parse(body)
    [answer] = reply.answers
    assert reply.usage is None
    return answer, reply.metadata


IDS = {"session_id": "s", "message_id": "m", "request_id": "r", "model_name": "chatbot-cn-demo"}


def test_knowledge() -> None:
    """An entry of the knowledge base: its content is the text, HTML or not; where it stands is kept."""
    answer, metadata = read(KNOWLEDGE)
    assert (answer.text, answer.finish_reason) == ("<p>A</p>", "stop")
    assert metadata == {
        **IDS,
        "answer_type": "Knowledge",
        "source": "KnowledgeBase",
        "content_type": "RICH_TEXT",
        "score": 100.0,
    }
    assert answer.additional == {
        "knowledge": {"id": "4549", "title": "T", "category": "C"},
        "related_knowledges": [{"KnowledgeId": "7", "Title": "U"}],
    }


def test_the_type_selects() -> None:
    """Of two filled members the one that the type names is the answer."""
    body = {"Messages": [{"AnswerType": "Knowledge", "Text": {"Content": "B"}, "Knowledge": {"Content": "A"}}]}
    assert read(body)[0].text == "A"
    body["Messages"][0]["AnswerType"] = "Text"
    assert read(body)[0].text == "B"


def test_a_knowledge_without_content() -> None:
    """The summary stands in for the content."""
    body = {"Messages": [{"AnswerType": "Knowledge", "Knowledge": {"Id": "1", "Title": "T", "Summary": "A"}}]}
    assert read(body)[0].text == "A"


@pytest.mark.parametrize(
    ("title", "heading"), [({}, "A 还是 B"), ({"Title": "您想问哪个?"}, "您想问哪个?")], ids=["voice", "online"]
)
def test_recommendations(title: dict[str, str], heading: str) -> None:
    """A counter-question: its heading and a numbered list; the choices with the ids to send back."""
    body = {**RECOMMEND, "Messages": [{**RECOMMEND["Messages"][0], **title}]}
    answer, metadata = read(body)
    assert (answer.text, answer.finish_reason) == (f"{heading}\n1. A\n2. B", "clarify")
    assert answer.additional == {"recommends": CHOICES}
    assert (metadata["answer_type"], metadata["source"]) == ("Recommend", "INTENT_FAQ_CLARIFY")


def test_recommendations_without_heading() -> None:
    """The list alone, then; a choice may lack everything but its title."""
    body = {"Messages": [{"AnswerType": "Recommend", "Recommends": [{"Title": "A"}]}]}
    assert read(body)[0].text == "1. A"


def test_hand_over() -> None:
    """The command to hand over to a human, read from its JSON text."""
    answer, metadata = read(
        said(AnswerSource="COMMANDS", Content="正在为您转接人工客服", Commands={"sysToAgent": '{"skillGroup":"12"}'})
    )
    assert (answer.text, answer.finish_reason) == ("正在为您转接人工客服", "handover")
    assert answer.additional == {"commands": {"sysToAgent": {"skillGroup": "12"}}}
    assert metadata == {**IDS, "answer_type": "Text", "source": "COMMANDS", "content_type": "PLAIN_TEXT"}


def test_no_answer() -> None:
    """The robot knows no answer, and says so."""
    answer, _ = read(said(AnswerSource="NO_ANSWER", Content="..."))
    assert (answer.text, answer.finish_reason) == ("...", "no_answer")


def test_a_dialog_flow() -> None:
    """Intent, node and slots of a dialog flow."""
    answer, metadata = read(
        said(
            AnswerSource="BotFramework",
            Content="哪一天?",
            IntentName="订票",
            DialogName="车票",
            NodeName="日期",
            Slots=[{"Name": "日期", "Value": "", "Hit": False}],
            ExternalFlags={"a": "b"},
            Ext={"IS_SESSION_FINISHED": False},
        )
    )
    assert (metadata["intent_name"], metadata["dialog_name"], metadata["node_name"]) == ("订票", "车票", "日期")
    assert answer.additional == {
        "slots": [{"Name": "日期", "Value": "", "Hit": False}],
        "external_flags": {"a": "b"},
        "ext": {"IS_SESSION_FINISHED": False},
    }


def test_what_a_document_says() -> None:
    """Machine reading names its article."""
    answer, _ = read(said(AnswerSource="MACHINE_READ", Content="A", ArticleTitle="手册"))
    assert answer.additional == {"article_title": "手册"}


def test_a_card() -> None:
    """A card's template is passed on as text, and the metadata says what it is."""
    body = said(AnswerSource="CardAnswer", Content='{"card":1}', ContentType="CARD_TEMPLATE")
    body["Messages"][0]["AnswerType"] = "cardAnswer"
    answer, metadata = read(body)
    assert answer.text == '{"card":1}'
    assert (metadata["answer_type"], metadata["content_type"]) == ("cardAnswer", "CARD_TEMPLATE")


def test_only_the_old_name_of_the_type() -> None:
    """`Type` alone does for `AnswerType`."""
    body = said(Content="好")
    del body["Messages"][0]["AnswerType"]
    assert read(body)[1]["answer_type"] == "Text"


def test_several_messages() -> None:
    """Usually there is one; more are one text by lines, and kept whole."""
    messages = [*said(Content="一")["Messages"], {"AnswerType": "Hologram"}, *said(Content="二")["Messages"]]
    answer, _ = read({"Messages": messages})
    assert answer.text == "一\n二"
    assert answer.additional == {"messages": messages}


@pytest.mark.parametrize("none", [[], None])
def test_no_message(none: Any) -> None:
    """An answer without messages is an empty one."""
    answer, metadata = read({"Messages": none, "RequestId": "r"})
    assert (answer.text, answer.finish_reason, answer.additional) == ("", "stop", {})
    assert metadata == {"request_id": "r", "model_name": "chatbot-cn-demo"}


def test_stop_and_model() -> None:
    """The text is cut by us; a name given for the model is the one that is told."""
    answer, metadata = read(said(Content="今天。明天"), stop="。", model="qwen")
    assert (answer.text, metadata["model_name"]) == ("今天", "qwen")


@pytest.mark.parametrize("body", [{}, [], {"Messages": ["好"]}, {"Messages": 7}, "好", None])
async def test_not_what_the_api_promises(connect: Any, body: Any) -> None:
    """Another shape is an error, never an empty answer."""
    client = connect(
        lambda request: httpx.Response(200, json=body),
        BeebotSettings,
        access_key_id="testid",
        access_key_secret="testsecret",
    )
    with pytest.raises(APIResponseError):
        await client.send(chat(BeebotRequest(instance_id="chatbot-cn-demo", utterance="测试")))


def test_the_other_calls() -> None:
    """What the calls around a conversation answer, and that unknown members do no harm."""
    welcome = begin_session("r1").parse({"WelcomeMessage": "您好", "SilenceReplyTimeout": 10, "Future": 1})
    assert (welcome.welcome_message, welcome.silence_reply_timeout, welcome.interruptible) == ("您好", 10, None)
    assert begin_session("r1").parse({}).welcome_message == ""

    found = associate("r1", "发").parse({"Associate": [{"Title": "怎么开发票?", "Meta": "{}"}, {"Title": "发货"}]})
    assert found == (Suggestion(title="怎么开发票?", meta="{}"), Suggestion(title="发货"))
    assert associate("r1", "发").parse({}) == ()

    assert cancel_chat("r1", "s1", "m1", "").parse({"CancelResult": True}) is True
    assert cancel_chat("r1", "s1", "m1", "").parse({}) is False
    assert feedback("r1", "m1", True).parse({"Feedback": "good"}) is None  # type: ignore[func-returns-value]  # that is the claim

    token = stream_access_token().parse({"AccessToken": "t", "ChannelId": "c", "StreamSecret": "s", "RequestId": "r"})
    parts = (token.access_token, token.channel_id, token.stream_secret)
    assert [part.get_secret_value() for part in parts] == ["t", "c", "s"]
    assert "'t'" not in repr(token)


@pytest.mark.parametrize("missing", ["AccessToken", "ChannelId", "StreamSecret"])
async def test_half_a_token(connect: Any, missing: str) -> None:
    """A token without one of its parts is an error, and the error does not show the others."""
    body = {"AccessToken": "canary-1", "ChannelId": "canary-2", "StreamSecret": "canary-3"}
    del body[missing]
    client = connect(
        lambda request: httpx.Response(200, json=body),
        BeebotSettings,
        access_key_id="testid",
        access_key_secret="testsecret",
    )
    with pytest.raises(APIResponseError) as caught:
        await client.send(stream_access_token())
    assert "canary" not in str(caught.value)
