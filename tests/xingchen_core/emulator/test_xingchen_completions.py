"""The model interfaces, old and new: no envelope, OpenAI's shape, their own errors."""

import json
from typing import Any

import pytest

from xingchen_core.emulator import Emulator

PATHS = ("completions", "chat/completions")
HELLO = [{"role": "system", "content": "你是小婉，今年十七岁"}, {"role": "user", "content": "你多大了"}]
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "查询天气",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


def error_of(response: Any) -> tuple[int, Any, Any, Any]:
    """Return (HTTP status, errorCode, errorName, code): the SDK takes a body with errorCode for an error."""
    body = response.json()
    assert "choices" not in body
    return response.status_code, body["errorCode"], body["errorName"], body["code"]


@pytest.mark.parametrize("path", PATHS)
def test_sync(api: Any, path: str) -> None:
    """The answer is at the top level; tokens add up."""
    response = api.post(path, {"model": "xingchen-plus-v2", "messages": HELLO, "user": "u1"})
    answer = response.json()
    assert set(answer) == {"id", "created", "model", "choices", "usage"}
    assert answer["model"] == "xingchen-plus-v2"
    assert answer["choices"] == [
        {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": "我今年十七岁啦，比你想的要小一点吧？"},
        }
    ]
    usage = answer["usage"]
    # 9 Chinese characters and a mark, then 4 characters; 16 characters and two marks answered
    assert usage == {"prompt_tokens": 14, "completion_tokens": 17, "total_tokens": 31}


def test_old_stream(api: Any, emulator: Emulator) -> None:
    """The old interface streams new text in `message` and ends with `event:stop`; one service name for both modes."""
    emulator.reply("十七岁", chunks=["十七", "岁"])
    events = api.events(api.post("completions", {"messages": HELLO, "stream": True}).text)
    assert [kind for kind, _ in events] == [None, None, "stop"]
    choices = [data["choices"][0] for _, data in events]
    assert [choice["message"]["content"] for choice in choices] == ["十七", "岁", ""]
    assert [choice.get("finish_reason") for choice in choices] == [None, None, "stop"]
    assert events[-1][1]["usage"]["total_tokens"] > 0
    assert len({data["id"] for _, data in events}) == 1


def test_new_stream(api: Any, emulator: Emulator) -> None:
    """The new interface is taken for OpenAI's: `delta`, and `[DONE]` at the end."""
    emulator.reply("十七岁", chunks=["十七", "岁"])
    text = api.post("chat/completions", {"messages": HELLO, "stream": True}).text
    assert text.endswith("data:[DONE]\n\n")
    events = api.events(text.removesuffix("data:[DONE]\n\n"))
    assert [kind for kind, _ in events] == [None, None, None]
    choices = [data["choices"][0] for _, data in events]
    assert [choice["delta"]["content"] for choice in choices] == ["十七", "岁", ""]
    assert choices[-1]["finish_reason"] == "stop"
    assert "usage" in events[-1][1]


def test_sse_headers_do_not_belong_here(api: Any) -> None:
    """There is no `-sse` variant: the body's `stream` decides, the header changes nothing."""
    answer = api.post("completions", {"messages": HELLO}, {"X-AcA-SSE": "enable"})
    assert answer.headers["content-type"].startswith("application/json")
    misrouted = api.post("completions", {"messages": HELLO}, {"x-fag-servicename": "aca-completion-sse"})
    assert misrouted.json()["errorName"] == "InvalidServiceName"


@pytest.mark.parametrize("stream", [False, True])
def test_tool_calls(api: Any, emulator: Emulator, stream: bool) -> None:
    """Arguments are JSON text here, and calls have ids."""
    emulator.reply(tool_calls=[{"name": "get_weather", "arguments": {"city": "杭州"}}])
    response = api.post("completions", {"messages": HELLO, "tools": [TOOL], "stream": stream})
    choice = (api.events(response.text)[-1][1] if stream else response.json())["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    [call] = choice["message"]["tool_calls"]
    assert call["type"] == "function"
    assert call["id"].startswith("call_")
    assert call["function"]["name"] == "get_weather"
    assert json.loads(call["function"]["arguments"]) == {"city": "杭州"}


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "get_weather"}}])
def test_insisted_tool(api: Any, choice: Any) -> None:
    """A tool the caller insists on is called without a script; its result is then answered in words."""
    body = {"messages": HELLO[1:], "tools": [TOOL], "tool_choice": choice}
    message = api.post("completions", body).json()["choices"][0]["message"]
    assert message["tool_calls"][0]["function"]["arguments"] == '{"city": "你多大了"}'
    result = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "21度"}
    answer = api.post("completions", {**body, "messages": [*HELLO[1:], message, result]}).json()
    assert answer["choices"][0]["message"]["content"] == "我帮你查到啦：21度"


def test_limits_of_the_answer(api: Any, emulator: Emulator) -> None:
    """`max_tokens` cuts with finish reason `length`, `stop` cuts before the mark."""
    answer = api.post("completions", {"messages": HELLO, "max_tokens": 3}).json()["choices"][0]
    assert (answer["message"]["content"], answer["finish_reason"]) == ("我今年", "length")
    for stop in ("，", ["。", "，"]):
        emulator.reply("好的，没问题。")
        answer = api.post("chat/completions", {"messages": HELLO, "stop": stop}).json()["choices"][0]
        assert (answer["message"]["content"], answer["finish_reason"]) == ("好的", "stop")


@pytest.mark.parametrize("stream", [False, True])
def test_several_choices(api: Any, stream: bool) -> None:
    """`n` gives so many numbered choices."""
    response = api.post("chat/completions", {"messages": HELLO, "n": 2, "stream": stream})
    if not stream:
        assert [choice["index"] for choice in response.json()["choices"]] == [0, 1]
        return
    texts = {0: "", 1: ""}
    for _, data in api.events(response.text.removesuffix("data:[DONE]\n\n")):
        texts[data["choices"][0]["index"]] += data["choices"][0]["delta"]["content"]
    assert texts == {
        0: "我今年十七岁啦，比你想的要小一点吧？",
        1: "换个说法：我今年十七岁啦，比你想的要小一点吧？",
    }


@pytest.mark.parametrize(
    ("path", "changes"),
    [
        *((path, {"messages": []}) for path in PATHS),
        *((path, {"messages": [{"role": "robot", "content": "x"}]}) for path in PATHS),
        *((path, {"messages": [{"role": "user"}]}) for path in PATHS),
        *((path, {"max_tokens": 1501}) for path in PATHS),
        *((path, {"top_p": 1}) for path in PATHS),
        *((path, {"seed": -1}) for path in PATHS),
        *((path, {"stream": "true"}) for path in PATHS),
        ("chat/completions", {"n": 5}),
        ("chat/completions", {"n": 0}),
        ("chat/completions", {"stop": 7}),
        ("chat/completions", {"messages": [{"role": "tool", "content": "x"}]}),
        ("completions", {"tools": [TOOL] * 129}),
        ("completions", {"tools": [{"type": "function"}]}),
        ("completions", {"tools": [TOOL], "tool_choice": "sometimes"}),
        ("completions", {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "other"}}}),
    ],
)
def test_refusals(api: Any, path: str, changes: dict[str, Any]) -> None:
    """Bad values are refused with errorCode in the body, which is how the SDK tells."""
    response = api.post(path, {"messages": HELLO, **changes})
    assert error_of(response) == (400, 400, "InvalidParam", 400)


def test_scripted_refusals(api: Any, emulator: Emulator) -> None:
    """Scripted errors carry errorCode as well, in a body and in an event."""
    emulator.fail("status", status=429, retry_after=1)
    response = api.post("completions", {"messages": HELLO})
    assert error_of(response) == (429, 429, "Throttling.RateQuota", None)
    assert response.headers["retry-after"] == "1"
    emulator.fail("error_event", after=1, code="DataInspectionFailed")
    events = api.events(api.post("completions", {"messages": HELLO, "stream": True}).text)
    assert [kind for kind, _ in events] == [None, "error"]
    assert events[-1][1]["errorCode"] == 400


def test_bad_key(api: Any) -> None:
    """The service's own refusals, too."""
    headers = {"Authorization": "Bearer invalid"}
    assert error_of(api.post("completions", {"messages": HELLO}, headers)) == (400, 400, "InvalidToken", 400)
