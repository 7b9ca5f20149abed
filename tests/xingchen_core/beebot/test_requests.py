"""What is asked: the sign of a stream's URL, the body in three layers of JSON, the signed calls' parameters."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from xingchen_core import ConfigurationError
from xingchen_core.beebot import (
    BeebotRequest,
    BeebotSettings,
    StreamToken,
    associate,
    begin_session,
    cancel_chat,
    chat,
    feedback,
    stream,
    stream_access_token,
    stream_chat,
    stream_secret_sign,
)

# "Chat API signature": the page's example. The second is what the HTML-damaged form of the page would give.
SECRET, TIMESTAMP = "cc9e88c0-4f41-4f1d-a1a9-91a72d2aa27d", "1706787526795"  # not a secret: the vendor page's example
SIGN, DAMAGED_SIGN = "0cf433c733c90f72a0e73df1d4ed732e", "95b446b0afdf88b4b4dd2019c0d69525"  # not a secret: of it


def request(utterance: str = "你有什么技能?", **fields: Any) -> BeebotRequest:
    """A question to the demo robot."""
    return BeebotRequest(**{"instance_id": "chatbot-cn-demo", "utterance": utterance, **fields})


def test_trap_1_the_sign() -> None:
    """The parts are joined by `&timestamp=`; the form in which `&times` became a multiplication sign is not used."""
    assert stream_secret_sign(SECRET, TIMESTAMP) == SIGN
    assert stream_secret_sign(SECRET, TIMESTAMP) != DAMAGED_SIGN


def test_trap_7_the_url_has_milliseconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Token, channel, sign and time in milliseconds, in this order, on the stream's host; nothing is signed twice."""
    monkeypatch.setattr(stream, "now_seconds", lambda: 1706787526.795)
    token = StreamToken(SecretStr("token-1"), SecretStr("channel-1"), SecretStr(SECRET), 0.0)
    call = stream_chat(request(), token, "https://stream.invalid")
    assert call.renew is not None
    sent = call.renew()
    assert (sent.method, sent.origin) == ("POST", "https://stream.invalid")
    assert sent.path == f"/sse/paas4Json/token-1/channel-1/{SIGN}/{TIMESTAMP}"
    assert not sent.is_signed
    assert call.path == call.shown_path == sent.shown_path == "/sse/paas4Json/***"


def test_trap_17_each_attempt_is_another_message() -> None:
    """The service drops repeated message ids: every attempt has its own, and all else stays."""
    token = StreamToken(SecretStr("token-1"), SecretStr("channel-1"), SecretStr("secret-1"), 0.0)
    call = stream_chat(request(), token, "https://stream.invalid")
    assert call.renew is not None
    first, second = call.renew().json, call.renew().json
    assert first.pop("messageId") != second.pop("messageId")
    assert first == second


def test_the_body() -> None:
    """The body of the vendor's sample, to the letter."""
    assert stream.stream_body(request(), "m1") == {
        "messageId": "m1",
        "action": "TongyiBeebotChat",
        "version": "2022-04-08",
        "data": [
            {"type": "JSON_TEXT", "value": '{"InstanceId":"chatbot-cn-demo","Utterance":"你有什么技能?"}'},
        ],
    }


def test_every_parameter() -> None:
    """All parameters of the documents: JSON text, arrays and booleans where they want them."""
    asked = request(
        session_id="s1",
        sender_id="u1",
        sender_nick="张三",
        vendor_params={"phone": 123, "docLabels": "t1,t2"},
        perspective=["demoview01"],
        sandbox=True,
        knowledge_id="30",
        intent_name="i",
        command="TIMEOUT",
        temperature=0.5,
        top_p=0.5,
        max_tokens=5,
        model="qwen",
        model_kwargs={"Future": [1]},
    )
    common = {
        "InstanceId": "chatbot-cn-demo",
        "Utterance": "你有什么技能?",
        "SessionId": "s1",
        "SenderId": "u1",
        "SenderNick": "张三",
        "KnowledgeId": "30",
        "IntentName": "i",
        "Future": [1],
        "Perspective": ["demoview01"],
        "SandBox": True,
    }
    text = '{"phone":123,"docLabels":"t1,t2"}'
    assert asked.stream_parameters() == {**common, "Command": "TIMEOUT", "VendorParam": text}
    assert chat(asked, "k1").query == {
        **common,
        "AgentKey": "k1",
        "Future": "[1]",
        "Perspective": '["demoview01"]',
        "SandBox": "true",
        "VendorParam": text,
    }


@given(utterance=st.text(max_size=60), value=st.text(max_size=20))
def test_trap_4_json_in_json_in_json(utterance: str, value: str) -> None:
    """Quotes, newlines, Chinese, whatever the user writes arrives as written, through all three layers."""
    asked = request(utterance, vendor_params={"note": value})
    outer = json.loads(json.dumps(stream.stream_body(asked, "m1")))
    inner = json.loads(outer["data"][0]["value"])
    assert inner["Utterance"] == utterance
    assert json.loads(inner["VendorParam"]) == {"note": value}


def test_traps_11_and_12_booleans_and_arrays() -> None:
    """`SandBox` is a boolean in the stream and `true` by RPC; `Perspective` an array there and JSON text here."""
    asked = request(sandbox=False, perspective=["a", "b"])
    assert asked.stream_parameters()["SandBox"] is False
    assert asked.stream_parameters()["Perspective"] == ["a", "b"]
    assert chat(asked).query["SandBox"] == "false"
    assert chat(asked).query["Perspective"] == '["a","b"]'


def test_trap_15_the_longest_question() -> None:
    """512 characters go out, 513 raise before anything is sent; robots with another limit are provided for."""
    assert request("长" * 512).utterance == "长" * 512
    with pytest.raises(ConfigurationError, match="513 characters, the service takes 512"):
        request("长" * 513)
    with pytest.raises(ConfigurationError, match="129 characters, the service takes 128"):
        request("长" * 129, max_utterance=128)
    assert request("长" * 600, max_utterance=600)


def test_a_robot_is_needed() -> None:
    """Without a robot the error says where its id is."""
    with pytest.raises(ConfigurationError, match="instance_id='chatbot-cn-"):
        BeebotRequest(utterance="你好")


@pytest.mark.parametrize(
    "fields",
    [
        {"session_id": "s" * 65},
        {"session_id": ""},
        {"perspective": ["a"] * 21},
        {"api": "soap"},
        {"max_utterance": 0},
        {"tempreture": "canary-value"},
    ],
)
def test_impossible_values_raise(fields: dict[str, Any]) -> None:
    """What the service cannot take is refused at once, and the error repeats no value."""
    with pytest.raises(ValidationError) as caught:
        request("canary-question", **fields)
    assert "canary" not in str(caught.value)


def test_signed_calls() -> None:
    """Action, and parameters in query or form, as the vendor's SDK was seen to send them."""
    token = stream_access_token("k1")
    assert (token.method, token.path, dict(token.headers)) == (
        "POST",
        "/",
        {"x-acs-action": "ApplyForStreamAccessToken"},
    )
    assert (token.query, token.form, token.json) == ({"AgentKey": "k1"}, None, None)
    assert stream_access_token().query == {}

    begun = begin_session("r1", session_id="s1", vendor_params={"a": "b c"}, sandbox=False, agent_key="k1")
    assert begun.query == {"AgentKey": "k1"}
    assert begun.form == {"InstanceId": "r1", "SessionId": "s1", "VendorParam": '{"a":"b c"}', "SandBox": "false"}

    typed = associate("r1", "发", session_id="s1", limit=3, perspective=["a"])
    assert typed.headers == {"x-acs-action": "Associate"}
    assert typed.query == {
        "InstanceId": "r1",
        "Utterance": "发",
        "SessionId": "s1",
        "RecommendNum": "3",
        "Perspective": '["a"]',
    }

    rated = feedback("r1", "m1", True, session_id="s1", text="很好")
    assert rated.query == {
        "InstanceId": "r1",
        "SessionId": "s1",
        "MessageId": "m1",
        "Feedback": "good",
        "FeedbackContent": "很好",
    }
    labelled = feedback("r1", "m1", False, labels=["不准"]).query
    assert (labelled["Feedback"], labelled["FeedbackContent"]) == ("bad", '{"content":"","feedbackLabels":["不准"]}')

    cancelled = cancel_chat("r1", "s1", "m1", "看到的", agent_key="k1")
    assert cancelled.query == {}
    assert cancelled.form == {
        "AgentKey": "k1",
        "InstanceId": "r1",
        "SessionId": "s1",
        "ChatId": "m1",
        "Type": "Canceled",
        "Answer": "看到的",
    }


def test_what_the_service_remembers() -> None:
    """Turns of a conversation are not sent twice without need; ratings, suggestions and tokens may be."""
    assert chat(request()).remembered
    assert begin_session("r1").remembered
    assert not stream_access_token().remembered
    assert not feedback("r1", "m1", True).remembered
    assert not associate("r1", "发").remembered


def test_one_turn_of_a_session_at_a_time() -> None:
    """Both ways to ask share the lock of a session; without one there is nothing to wait for."""
    token = StreamToken(SecretStr("t"), SecretStr("c"), SecretStr("s"), 0.0)
    asked = request(session_id="s1")
    assert chat(asked).lock == stream_chat(asked, token, "https://stream.invalid").lock is not None
    assert chat(request()).lock is None
    assert stream_chat(request(), token, "https://stream.invalid").lock is None


KEYS = {"access_key_id": "testid", "access_key_secret": "testsecret"}


@pytest.mark.parametrize(
    ("fields", "environment", "signed", "streamed"),
    [
        ({}, {}, "https://chatbot.cn-shanghai.aliyuncs.com", "https://alime-ws.aliyuncs.com"),
        ({"base_url": "https://a.invalid/"}, {}, "https://a.invalid", "https://a.invalid"),
        (
            {"base_url": "https://a.invalid", "stream_base_url": "https://b.invalid/"},
            {},
            "https://a.invalid",
            "https://b.invalid",
        ),
        (
            {"stream_base_url": "https://b.invalid"},
            {},
            "https://chatbot.cn-shanghai.aliyuncs.com",
            "https://b.invalid",
        ),
        (
            {},
            {"BEEBOT_STREAM_BASE_URL": "https://c.invalid"},
            "https://chatbot.cn-shanghai.aliyuncs.com",
            "https://c.invalid",
        ),
        (
            {"base_url": "https://a.invalid"},
            {"BEEBOT_STREAM_BASE_URL": "https://c.invalid"},
            "https://a.invalid",
            "https://a.invalid",
        ),
        (
            {},
            {"BEEBOT_BASE_URL": "https://d.invalid", "BEEBOT_STREAM_BASE_URL": "https://c.invalid"},
            "https://d.invalid",
            "https://c.invalid",
        ),
    ],
)
def test_hosts(
    monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], environment: dict[str, str], signed: str, streamed: str
) -> None:
    """An explicit `base_url` replaces both hosts; else each has its own argument, variable and public host."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    settings = BeebotSettings(**KEYS, **fields)
    assert settings.origin() == signed
    assert settings.stream_origin() == streamed


def test_a_bad_stream_host_is_refused() -> None:
    """A host that is none is found when the settings are made."""
    with pytest.raises(ConfigurationError):
        BeebotSettings(**KEYS, stream_base_url="stream.invalid")


def test_no_access_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a pair the error names argument, variable and the keyless way; half a pair is none."""
    with pytest.raises(ConfigurationError) as caught:
        BeebotSettings()
    for word in ("access_key_id=", "ALIBABA_CLOUD_ACCESS_KEY_SECRET", "credentials=", "testid / testsecret"):
        assert word in str(caught.value)
    with pytest.raises(ConfigurationError):
        BeebotSettings(access_key_id="testid")
    monkeypatch.setenv("ALIBABA_CLOUD_ACCESS_KEY_ID", "testid")
    monkeypatch.setenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "testsecret")
    assert BeebotSettings().access_key_id == SecretStr("testid")
