"""The LLMs of `llama_index_xingchen` under conformance, each with what is particular to its service."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from llama_index.core.llms.llm import LLM

from llama_index_xingchen import Bailian, BailianApp, Beebot, Xingchen
from xingchen_core.emulator import Emulator, ReceivedRequest


@dataclass(frozen=True)
class Case:
    """A class under conformance, and what is particular to its service."""

    cls: type[LLM]
    class_name: str
    """Golden: dumps and traces carry it."""
    fields: dict[str, Any]
    model_name: str
    body: dict[str, Any]
    """A whole answer: "我叫小婉。", 1336 tokens in and 5 out."""
    events: bytes
    """The same as a stream."""
    texts: Callable[[Any], list[str]]
    """The texts of the conversation in a request's body."""
    system: Callable[[Any], str | None]
    temperature: Callable[[Any], float | None]
    running: Callable[[Emulator], int]
    """How many streams the emulator is sending."""
    user: Callable[[Any], str] | None = None
    """Who asks, in a request's body; `None` where the service does not know its users."""
    calls_functions: bool = False
    """What `is_function_calling_model` is by default; objects then come as the arguments of a call."""
    refused: tuple[str, ...] = ("image", "audio", "video", "document")
    """Blocks that are no part of a request; the others are sent, with the fields of `seeing`."""
    seeing: dict[str, Any] = field(default_factory=dict)
    keys: dict[str, Any] = field(default_factory=lambda: {"api_key": "test-key"})
    questions: Callable[[Emulator], list[ReceivedRequest]] = attrgetter("requests")
    """The requests that ask for an answer; a service may have others before them."""
    apart: dict[str, str] = field(default_factory=dict)
    """Tests, or files of them, that are not for this service, and why; its own file holds what is true instead."""

    def give_object(self, emulator: Emulator, text: str) -> None:
        """Script the answer to the question for an object; `text` is its JSON."""
        if self.calls_functions:
            emulator.reply(tool_calls=[{"name": "any", "arguments": text}])
        else:
            emulator.reply(text, chunks=6)


def _events(*bodies: dict[str, Any]) -> bytes:
    return "".join(f"data:{json.dumps(body, ensure_ascii=False)}\n\n" for body in bodies).encode()


def _said(text: str, **more: Any) -> dict[str, Any]:
    return {"requestId": "r1", "choices": [{"messages": [{"role": "assistant", "content": text, **more}]}]}


_END = {
    "usage": {"inputTokens": 1336, "outputTokens": 5, "userTokens": 7},
    "context": {"sessionId": "s1", "chatId": "c1", "messageId": "m1", "chatRoomId": 7},
    "stop": True,
}

XINGCHEN = Case(
    cls=Xingchen,
    class_name="xingchen_llm",
    fields={"character_id": "demo", "user_id": "u1"},
    model_name="xingchen-plus-v2",
    body={
        "requestId": "r1",
        "code": 200,
        "success": True,
        "data": {**_said("我叫小婉。", finishReason="stop"), **_END},
    },
    events=_events(_said("我叫"), _said("小婉"), _said("。"), {**_said("", finishReason="stop"), **_END}),
    texts=lambda body: [message["content"] for message in body["input"]["messages"]],
    system=lambda body: body["input"]["aca"].get("scenario", {}).get("description"),
    temperature=lambda body: body["parameters"].get("temperature"),
    user=lambda body: body["input"]["aca"]["userProfile"]["userId"],
    running=lambda emulator: len(emulator.xingchen.busy_users),
)


def _output(text: str, output_tokens: int, finish_reason: str = "null") -> dict[str, Any]:
    """An answer of a model, or an event of it: usage counts what came so far."""
    message = {"role": "assistant", "content": text}
    usage = {"input_tokens": 1336, "output_tokens": output_tokens, "total_tokens": 1336 + output_tokens}
    choice = {"message": message, "finish_reason": finish_reason}
    return {"output": {"choices": [choice]}, "usage": usage, "request_id": "r1"}


def _contents(body: Any, *, system: bool) -> list[str]:
    return [message["content"] for message in body["input"]["messages"] if (message["role"] == "system") is system]


BAILIAN = Case(
    cls=Bailian,
    class_name="bailian_llm",
    fields={"tool_stream": True},  # else arguments that are lists come in one piece
    model_name="qwen-plus",
    body=_output("我叫小婉。", 5, "stop"),
    events=_events(_output("我叫", 2), _output("小婉", 4), _output("。", 5), _output("", 5, "stop")),
    texts=lambda body: _contents(body, system=False),
    system=lambda body: next(iter(_contents(body, system=True)), None),
    temperature=lambda body: body["parameters"].get("temperature"),
    running=lambda emulator: len(emulator.bailian.running),
    calls_functions=True,
    refused=("document",),
    seeing={"model": "qwen-omni-turbo"},
)


def _of_app(text: str, output_tokens: int, finish_reason: str = "null") -> dict[str, Any]:
    """An answer of an application, or an event of it. It may take several models: here two."""
    models = [
        {"model_id": "qwen-plus", "input_tokens": 1300, "output_tokens": 0},
        {"model_id": "qwen-max", "input_tokens": 36, "output_tokens": output_tokens},
    ]
    output = {"text": text, "finish_reason": finish_reason, "session_id": "s1"}
    return {"output": output, "usage": {"models": models}, "request_id": "r1"}


def _prompt_or_contents(body: Any) -> list[str]:
    return [body["input"]["prompt"]] if "prompt" in body["input"] else _contents(body, system=False)


BAILIAN_APP = Case(
    cls=BailianApp,
    class_name="bailian_app_llm",
    fields={"app_id": "demo"},
    model_name="demo",
    body=_of_app("我叫小婉。", 5, "stop"),
    events=_events(_of_app("我叫", 2), _of_app("小婉", 4), _of_app("。", 5), _of_app("", 5, "stop")),
    texts=_prompt_or_contents,
    system=lambda body: next(iter(_contents(body, system=True)), None),
    temperature=lambda body: body["parameters"].get("temperature"),
    running=lambda emulator: len(emulator.bailian.running),
)


def _snapshot(text: str, *, ends: bool = False) -> dict[str, Any]:
    """An event of a robot: the whole answer so far."""
    body = {"Type": "Direct", "DirectMessageBody": {"ContentType": "RICH_TEXT", "SentenceList": [{"Content": text}]}}
    value = {"IsAIGC": True, "MessageId": "m1", "SessionId": "s1", "StreamEnd": ends, "MessageBody": body}
    data = [{"type": "JSON_TEXT", "value": json.dumps(value, ensure_ascii=False)}]
    return {"data": data, "messageId": "m0", "requestId": "r1", "success": True}


def _is_question(received: ReceivedRequest) -> bool:
    return received.path.startswith("/sse")


_SESSION = "a robot keeps the conversation, so a question it may have heard is not sent again"
_TOKEN = "a token is asked for first, and anew when it is refused"
_NO_TOKENS = "the service reports no tokens"
_NEWEST = "only the newest question is sent, and a robot has no temperature"

BEEBOT = Case(
    cls=Beebot,
    class_name="beebot_llm",
    fields={"instance_id": "chatbot-cn-demo"},
    model_name="chatbot-cn-demo",
    body={"AccessToken": "t", "ChannelId": "c", "StreamSecret": "s", "RequestId": "r0"},
    events=_events(
        _snapshot("我叫"), _snapshot("我叫小婉"), _snapshot("我叫小婉。"), _snapshot("我叫小婉。", ends=True)
    ),
    texts=lambda body: [json.loads(body["data"][0]["value"])["Utterance"]],
    system=lambda body: None,
    temperature=lambda body: None,
    running=lambda emulator: len(emulator.beebot.running),
    keys={"access_key_id": "testid", "access_key_secret": "testsecret"},
    questions=lambda emulator: [received for received in emulator.requests if _is_question(received)],
    apart={
        "test_all_methods_give_the_answer_and_its_usage": _NO_TOKENS,
        "test_tokens_are_counted_once": _NO_TOKENS,
        "test_per_call_keywords_win": _NEWEST,
        "test_structured": _NEWEST,
        "test_an_injected_client_is_used_and_left_open": _TOKEN,
        "test_a_refused_stream_fails_before_it_is_iterated": _TOKEN,
        "test_a_refusal_is_final": _TOKEN,
        "test_a_refused_call_is_reported": _TOKEN,
        "test_a_server_error_is_tried_again": _SESSION,
        "test_the_rate_limiter_is_asked_once": _SESSION,
        "test_many_async_calls_run_at_once": _TOKEN,
        "test_conformance_secrets": "keys that sign are no bearer's: there is more to hide",
    },
)

CASES = (XINGCHEN, BAILIAN, BAILIAN_APP, BEEBOT)
