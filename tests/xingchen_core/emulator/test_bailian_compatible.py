"""The emulated models of Bailian as OpenAI's clients call them, by plain HTTP."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from bailian_api import COMPATIBLE, BailianApi, read, tool
from xingchen_core.emulator import Emulator

WEATHER = tool("get_weather", "查询城市的天气", city="string")


@pytest.fixture
def api(emulator: Emulator) -> Iterator[BailianApi]:
    """Plain HTTP to the emulator."""
    client = BailianApi(emulator.url)
    with client.http:
        yield client


def body(said: Any = "你好", **more: Any) -> dict[str, Any]:
    """A request."""
    return {"model": "qwen-plus", "messages": [{"role": "user", "content": said}], **more}


def chunks(api: BailianApi, said: Any = "你好", **more: Any) -> list[Any]:
    """`data` of each event of a stream."""
    response = api.post(COMPATIBLE, body(said, stream=True, **more))
    assert response.status_code == 200, response.text
    return [data for _, data in read(response.text)]


def deltas(events: list[Any]) -> list[Any]:
    """The first choice's delta of each event that has choices."""
    return [event["choices"][0]["delta"] for event in events if event != "[DONE]" and event["choices"]]


def test_an_answer(emulator: Emulator, api: BailianApi) -> None:
    """An answer in one piece has OpenAI's members."""
    emulator.reply("西湖")
    response = api.post(COMPATIBLE, body())
    assert response.json() == {
        "id": "chatcmpl-" + response.headers["x-request-id"],
        "object": "chat.completion",
        "created": 1767225600,
        "model": "qwen-plus",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "西湖"},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 2,
            "completion_tokens": 2,
            "total_tokens": 4,
            "prompt_tokens_details": {"cached_tokens": 0},
        },
    }


def test_a_stream(emulator: Emulator, api: BailianApi) -> None:
    """Deltas with null reasons, a last reason, usage when asked for, and DONE; the header switches nothing on."""
    emulator.reply("西湖", chunks=["西", "湖"])
    events = chunks(api, stream_options={"include_usage": True})
    assert events[-1] == "[DONE]"
    assert events[-2]["choices"] == []
    assert events[-2]["usage"]["completion_tokens"] == 2
    assert [event["usage"] for event in events[:-2]] == [None] * 3
    assert [delta["content"] for delta in deltas(events)] == ["西", "湖", ""]
    assert [event["choices"][0]["finish_reason"] for event in events[:-2]] == [None, None, "stop"]
    assert chunks(api)[-2]["choices"][0]["finish_reason"] == "stop"
    assert api.post(COMPATIBLE, body(), sse=True).headers["content-type"] == "application/json"


def test_streamed_calls(emulator: Emulator, api: BailianApi) -> None:
    """Later fragments have an empty id and a null name."""
    emulator.reply(tool_calls=[{"name": "get_weather", "arguments": {"city": "杭州"}, "id": "call_a"}])
    first, second = (delta["tool_calls"][0] for delta in deltas(chunks(api, tools=[WEATHER])))
    assert (first["id"], first["function"]) == ("call_a", {"name": "get_weather", "arguments": '{"city"'})
    assert (second["id"], second["function"]) == ("", {"name": None, "arguments": ':"杭州"}'})


def test_required(api: BailianApi) -> None:
    """Some function must be called: the one that fits, then one that was not called yet."""
    other = tool("Answer", text="string")
    given: dict[str, Any] = {"tools": [WEATHER, other], "tool_choice": "required"}
    message = api.good(COMPATIBLE, body("杭州的天气", **given))["choices"][0]["message"]
    [called] = message["tool_calls"]
    assert called["function"] == {"name": "get_weather", "arguments": '{"city":"杭州"}'}
    messages = [
        {"role": "user", "content": "杭州的天气"},
        message,
        {"role": "tool", "content": "晴", "tool_call_id": called["id"]},
    ]
    choice = api.good(COMPATIBLE, {"model": "qwen-plus", "messages": messages, **given})["choices"][0]
    assert choice["message"]["tool_calls"][0]["function"]["name"] == "Answer"


def test_thinking(emulator: Emulator, api: BailianApi) -> None:
    """Extras of DashScope stand beside the messages; reasoning has a member of its own."""
    emulator.reply("好", thoughts="嗯")
    events = chunks(api, enable_thinking=True, stream_options={"include_usage": True})
    assert [(delta.get("reasoning_content"), delta["content"]) for delta in deltas(events)] == [
        ("嗯", None),
        (None, "好"),
        (None, ""),
    ]
    assert events[-2]["usage"]["completion_tokens_details"]["reasoning_tokens"] == 1
    refused = api.post(COMPATIBLE, body(enable_thinking=True)).json()["error"]
    assert refused["message"] == "parameter.enable_thinking must be set to false for non-streaming calls"


def test_media(api: BailianApi) -> None:
    """Parts have types, on one path for all models."""
    parts = [
        {"type": "image_url", "image_url": {"url": "https://example.com/1.png"}},
        {"type": "input_audio", "input_audio": {"data": "x"}},
        {"type": "text", "text": "有什么"},
    ]
    answer = api.good(COMPATIBLE, {**body(parts), "model": "qwen-omni-turbo"})
    assert "1张图片、1段音频" in answer["choices"][0]["message"]["content"]
    assert api.post(COMPATIBLE, body([{"image": "https://example.com/1.png"}])).status_code == 400


def test_structured_output(api: BailianApi) -> None:
    """JSON mode answers with an object; without its word it is refused."""
    given = {"response_format": {"type": "json_object"}}
    content = api.good(COMPATIBLE, body("用json回答", **given))["choices"][0]["message"]["content"]
    assert isinstance(json.loads(content), dict)
    assert "must contain the word 'json'" in api.post(COMPATIBLE, body(**given)).json()["error"]["message"]


def test_no_sources(api: BailianApi) -> None:
    """Search sources are not returned here."""
    answer = api.good(COMPATIBLE, body(enable_search=True, search_options={"enable_source": True}))
    assert "search_info" not in json.dumps(answer)


@pytest.mark.parametrize(
    ("more", "status"),
    [({"model": "gpt-4"}, 404), ({"messages": None}, 400), ({"messages": []}, 400), ({"temperature": 2}, 400)],
)
def test_refusals(api: BailianApi, more: dict[str, Any], status: int) -> None:
    """Errors have OpenAI's shape, with DashScope's code."""
    response = api.post(COMPATIBLE, {**body(), **more})
    assert response.status_code == status
    error = response.json()["error"]
    assert sorted(error) == ["code", "message", "param", "type"]
    assert error["type"] == error["code"]


def test_an_error_in_the_stream(emulator: Emulator, api: BailianApi) -> None:
    """An error event has the same shape, and nothing follows it."""
    emulator.reply("一二三", chunks=3)
    emulator.fail("error_event", status=500, after=1)
    first, last = chunks(api)
    assert first["choices"][0]["delta"]["content"] == "一"
    assert last["error"]["code"] == "InternalError"
