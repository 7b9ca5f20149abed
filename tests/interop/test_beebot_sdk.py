"""The vendor's own SDK, alibabacloud-chatbot20220408 2.5.6, talks to the emulator, which checks its signatures.

It runs in an interpreter of its own: `CHATBOT_SDK_PYTHON`, or an environment built once into `.venv-sdk-chatbot`.
"""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from pydantic import SecretStr

from vendor_sdk import run_scenario, sdk_python
from xingchen_core import Client
from xingchen_core._auth import Credentials, authorization, canonical_request, string_to_sign
from xingchen_core.beebot import BeebotRequest, BeebotSettings, associate, begin_session, cancel_chat, chat, feedback
from xingchen_core.emulator import Emulator
from xingchen_core.emulator._log import ReceivedRequest

SCENARIOS = Path(__file__).with_name("beebot_sdk_scenarios.py")
ROBOT = "chatbot-cn-demo"

Run = Callable[..., Any]


@pytest.fixture(scope="session")
def python() -> str:
    """The interpreter that has the SDK."""
    return sdk_python("chatbot", "alibabacloud_chatbot20220408/client.py", "alibabacloud-chatbot20220408==2.5.6")


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """A running emulator with nothing scripted."""
    with Emulator() as running:
        yield running


@pytest.fixture
def sdk(python: str, emulator: Emulator) -> Run:
    """Runs a scenario and returns what the SDK made of it."""
    return lambda scenario, *keys: run_scenario(python, SCENARIOS, scenario, emulator.url, *keys)


def test_a_conversation(sdk: Run, emulator: Emulator) -> None:
    """Welcome, answer, rating, suggestions and cancelling are understood by the SDK's typed methods."""
    assert sdk("conversation") == {
        "welcome": ["您好，我是小蜜，请问有什么可以帮您？", 10, True],
        "session": "S1",
        "answer": ["Knowledge", "发票指南", "您可以在订单详情里点「申请发票」，电子发票当天就能开好。"],
        "rated": ["good", True],
        "suggested": ["怎么退款？", "退款多久到账？"],
        "cancelled": True,
        "request_ids": True,
    }
    assert [received.headers["x-acs-action"] for received in emulator.requests] == [
        "BeginSession",
        "Chat",
        "Feedback",
        "Associate",
        "CancelChat",
    ]


def test_kinds_of_answers(sdk: Run) -> None:
    """Recommendations, a hand-over and a missing answer, in the SDK's own models."""
    agent = '{"skillGroup":"12","ext":"","toAgentReason":"HitKeywords"}'
    assert sdk("shapes") == [
        ["Recommend", ["退货", "退款"], None, None],
        ["Text", [], "COMMANDS", {"sysToAgent": agent}],
        ["Text", [], "NO_ANSWER", None],
    ]


def test_the_vendor_s_sample(sdk: Run) -> None:
    """The quick start, token by the SDK and stream by hand, gets its answer."""
    found = sdk("sample")
    assert (found["status"], found["grew"]) == (200, True)
    assert found["text"] == "我是智能客服小蜜，能帮您开发票、办退货、查物流。"
    assert found["ends"] == [False] * (len(found["ends"]) - 1) + [True]


@pytest.mark.parametrize(
    ("keys", "kind", "code"),
    [
        (("testid", "wrong"), "ClientException", "SignatureDoesNotMatch"),
        (("nobody", "testsecret"), "ClientException", "InvalidAccessKeyId.NotFound"),
        (("testid", "testsecret", "invalid"), "ClientException", "InvalidSecurityToken.Malformed"),
    ],
)
def test_refused_keys(sdk: Run, keys: tuple[str, ...], kind: str, code: str) -> None:
    """The SDK understands why it is refused; its signatures are really checked."""
    found = sdk("refused", *keys)
    assert (found["kind"], found["code"]) == (kind, code)


def test_throttling(sdk: Run, emulator: Emulator) -> None:
    """The SDK makes its own kind of error of the platform's header, and reads thousandths of a second."""
    emulator.fail("status", code="Throttling.User", retry_after=1.5, path="/BeginSession")
    found = sdk("refused")
    assert (found["kind"], found["code"], found["retry_after"]) == ("ThrottlingException", "Throttling.User", 1500)


def test_temporary_keys(sdk: Run, emulator: Emulator) -> None:
    """A temporary key with its token signs as well."""
    emulator.beebot.add_access_key("STS.test", "temporary", security_token="CAIS+/=test", expires_in=60)
    assert sdk("welcome", "STS.test", "temporary", "CAIS+/=test").startswith("您好")


def parameters(received: ReceivedRequest) -> dict[str, str]:
    """Query and form of a request; booleans in one spelling."""
    merged = {**received.query, **dict(parse_qsl(received.body.decode()))}
    return {name: value.lower() if name == "SandBox" else value for name, value in merged.items()}


def test_we_send_what_the_sdk_sends(sdk: Run, emulator: Emulator) -> None:
    """Our calls and the SDK's carry the same parameters and are accepted alike."""
    sdk("conversation")
    theirs = emulator.requests
    settings = BeebotSettings(access_key_id="testid", access_key_secret="testsecret", base_url=emulator.url)
    question = BeebotRequest(
        instance_id=ROBOT,
        intent_name="i",
        knowledge_id="30",
        perspective=["demoview01", "b"],
        sandbox=True,
        sender_id="u1",
        sender_nick="张三",
        session_id="S1",
        utterance="怎么 开发票+*~/?",
        vendor_params={"phone": 123},
    )
    with Client(settings) as client:
        client.send(
            begin_session(ROBOT, session_id="S1", vendor_params={"a": "b c*~+/中"}, sandbox=False, agent_key="k1")
        )
        ids = client.send(chat(question, "k1")).metadata
        client.send(feedback(ROBOT, ids["message_id"], True, session_id="S1", text="好", labels=["准"]))
        client.send(associate(ROBOT, "退款", session_id="S1", limit=2, perspective=["a"]))
        client.send(cancel_chat(ROBOT, "S1", ids["message_id"], "您"))
    ours = emulator.requests[len(theirs) :]
    assert len(ours) == len(theirs) == 5
    changing = {"MessageId", "ChatId"}
    for mine, its in zip(ours, theirs, strict=True):
        assert (mine.method, mine.path, mine.headers["x-acs-action"]) == (its.method, "/", its.headers["x-acs-action"])
        assert {**parameters(mine), **dict.fromkeys(changing)} == {**parameters(its), **dict.fromkeys(changing)}


def test_our_signer_signs_as_the_sdk(sdk: Run, emulator: Emulator) -> None:
    """Given the headers the SDK chose to sign, our signer comes to the SDK's signature, for every call."""
    sdk("conversation")
    sdk("welcome", "testid", "testsecret", "CAIS+/=test")
    assert len(emulator.requests) == 6
    for received in emulator.requests:
        names = received.headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
        headers = {name: received.headers[name] for name in names}
        digest = hashlib.sha256(received.body).hexdigest()
        canonical = canonical_request(received.method, received.path, urlencode(received.query), headers, digest)
        credentials = Credentials("testid", SecretStr("testsecret"))
        assert authorization(credentials, headers, string_to_sign(canonical)) == received.headers["authorization"]
