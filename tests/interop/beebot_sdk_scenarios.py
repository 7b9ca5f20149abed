"""Runs one scenario with the vendor's SDK and prints what the SDK made of it, as JSON.

`python beebot_sdk_scenarios.py <scenario> <url> [<key id> <secret> [<security token>]]`, in an interpreter that has
alibabacloud-chatbot20220408 2.5.6.
"""

import hashlib
import json
import sys
import time
import uuid
from typing import Any

import requests
from alibabacloud_chatbot20220408 import models
from alibabacloud_chatbot20220408.client import Client
from alibabacloud_tea_openapi.models import Config

ROBOT = "chatbot-cn-demo"


def conversation(client: Client) -> dict[str, Any]:
    """Everything around a conversation, by the SDK's typed methods."""
    welcome = client.begin_session(
        models.BeginSessionRequest(
            agent_key="k1", instance_id=ROBOT, sand_box=False, session_id="S1", vendor_param='{"a":"b c*~+/中"}'
        )
    ).body
    chat = client.chat(
        models.ChatRequest(
            agent_key="k1",
            instance_id=ROBOT,
            intent_name="i",
            knowledge_id="30",
            perspective=["demoview01", "b"],
            sand_box=True,
            sender_id="u1",
            sender_nick="张三",
            session_id="S1",
            utterance="怎么 开发票+*~/?",
            vendor_param='{"phone":123}',
        )
    ).body
    rated = client.feedback(
        models.FeedbackRequest(
            instance_id=ROBOT,
            session_id=chat.session_id,
            message_id=chat.message_id,
            feedback="good",
            feedback_content='{"content":"好","feedbackLabels":["准"]}',
        )
    ).body
    typed = client.associate(
        models.AssociateRequest(
            instance_id=ROBOT, utterance="退款", session_id="S1", recommend_num=2, perspective=["a"]
        )
    ).body
    cancelled = client.cancel_chat(
        models.CancelChatRequest(
            instance_id=ROBOT, session_id=chat.session_id, chat_id=chat.message_id, type="Canceled", answer="您"
        )
    ).body
    [message] = chat.messages
    return {
        "welcome": [welcome.welcome_message, welcome.silence_reply_timeout, welcome.interruptible],
        "session": chat.session_id,
        "answer": [message.answer_type, message.knowledge.title, message.knowledge.content],
        "rated": [rated.feedback, rated.message_id == chat.message_id],
        "suggested": [each.title for each in typed.associate],
        "cancelled": cancelled.cancel_result,
        "request_ids": all(each.request_id for each in (welcome, chat, rated, typed, cancelled)),
    }


def shapes(client: Client) -> list[Any]:
    """The other kinds of answer of the `Chat` call."""
    found = []
    for utterance in ("退", "转人工", "宇宙有多大"):
        [message] = client.chat(models.ChatRequest(instance_id=ROBOT, utterance=utterance)).body.messages
        text = message.text
        found.append(
            [
                message.answer_type,
                [each.title for each in message.recommends or []],
                text.answer_source if text else None,
                text.commands if text else None,
            ]
        )
    return found


def sample(client: Client) -> dict[str, Any]:
    """The vendor's quick start: the SDK fetches a token, a plain HTTP library reads the stream."""
    token = client.apply_for_stream_access_token(models.ApplyForStreamAccessTokenRequest()).body
    timestamp = str(int(time.time() * 1000))
    sign = hashlib.md5(f"streamSecret={token.stream_secret}&timestamp={timestamp}".encode()).hexdigest()
    url = f"{sys.argv[2]}/sse/paas4Json/{token.access_token}/{token.channel_id}/{sign}/{timestamp}"
    value = json.dumps({"InstanceId": ROBOT, "Utterance": "你有什么技能?"}, ensure_ascii=False)
    body = {
        "messageId": str(uuid.uuid4()),
        "action": "TongyiBeebotChat",
        "version": "2022-04-08",
        "data": [{"type": "JSON_TEXT", "value": value}],
    }
    texts, ends = [], []
    with requests.post(url, json=body, headers={"Content-Type": "application/json"}, stream=True, timeout=10) as answer:
        for line in answer.iter_lines():
            if line:
                inner = json.loads(json.loads(line.decode().removeprefix("data:"))["data"][0]["value"])
                sentences = inner.get("MessageBody", {}).get("DirectMessageBody", {}).get("SentenceList", [])
                texts.append("".join(each["Content"] for each in sentences))
                ends.append(inner["StreamEnd"])
    return {"status": answer.status_code, "text": texts[-1], "grew": texts == sorted(texts, key=len), "ends": ends}


def refused(client: Client) -> dict[str, Any]:
    """What the SDK raises for a call that is refused."""
    try:
        client.begin_session(models.BeginSessionRequest(instance_id=ROBOT))
    except Exception as error:  # noqa: BLE001  the SDK's kinds of error are what is asked for
        return {
            "kind": type(error).__name__,
            "code": getattr(error, "code", None),
            "status": getattr(error, "statusCode", None) or getattr(error, "status_code", None),
            "retry_after": getattr(error, "retry_after", None),
        }
    return {"kind": None}


def welcome(client: Client) -> str:
    """One signed call that goes well."""
    return str(client.begin_session(models.BeginSessionRequest(instance_id=ROBOT)).body.welcome_message)


def main() -> None:
    """Run the scenario named on the command line."""
    scenario, url, *keys = sys.argv[1:]
    key_id, secret, *token = keys or ("testid", "testsecret")
    config = Config(
        access_key_id=key_id,
        access_key_secret=secret,
        security_token=token[0] if token else None,
        endpoint=url.removeprefix("http://"),
        protocol="http",
    )
    sys.stdout.write(json.dumps(globals()[scenario](Client(config)), ensure_ascii=False))


if __name__ == "__main__":
    main()
