"""Calls of a model: which endpoint, which headers, what body."""

import json
from pathlib import Path
from typing import Any

import pytest

from xingchen_core import ConfigurationError, UnsupportedOperationError
from xingchen_core._call import Request
from xingchen_core.bailian import ModelMessage, ModelRequest, generate, only_streams, stream_generate
from xingchen_core.chat import ToolCall

TEXT = "/api/v1/services/aigc/text-generation/generation"
MULTIMODAL = "/api/v1/services/aigc/multimodal-generation/generation"
COMPATIBLE = "/compatible-mode/v1/chat/completions"
USER = ModelMessage(role="user", content="你好")
PICTURE = ModelMessage(role="user", content=({"image": "https://example.com/a.png"}, {"text": "是什么?"}))


def _request(*messages: ModelMessage, **fields: Any) -> ModelRequest:
    return ModelRequest(messages=list(messages or (USER,)), **fields)


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("qwen-plus", TEXT),
        ("qwen3-max", TEXT),
        ("qwen-plus-character", TEXT),
        ("deepseek-v3.2", TEXT),
        ("nobody-knows", TEXT),
        ("qwen-vl-plus", MULTIMODAL),
        ("qwen3-vl-flash", MULTIMODAL),
        ("qvq-max", MULTIMODAL),
        ("qwen3-omni-flash", MULTIMODAL),
        ("qwen2-audio-instruct", MULTIMODAL),
        ("qwen-vl-ocr", MULTIMODAL),
        ("qwen3.7-plus", MULTIMODAL),
        ("qwen3.8-max", MULTIMODAL),
        ("qwen3.8-max-2026-10-01", MULTIMODAL),
        ("Qwen-VL-Max", MULTIMODAL),
    ],
)
def test_the_name_chooses_the_endpoint(model: str, path: str) -> None:
    """The two paths are not interchangeable: a text-only call to a multimodal model goes to its path all the same."""
    assert generate(_request(model=model)).path == stream_generate(_request(model=model)).path == path


@pytest.mark.parametrize("kind", ["image", "video", "audio"])
def test_media_choose_the_endpoint(kind: str) -> None:
    """Whatever the name says."""
    message = ModelMessage(role="user", content=({kind: "https://example.com/a"},))
    assert generate(_request(message)).path == MULTIMODAL


@pytest.mark.parametrize(("endpoint", "path"), [("text", TEXT), ("multimodal", MULTIMODAL), ("compatible", COMPATIBLE)])
def test_the_caller_chooses_first(endpoint: str, path: str) -> None:
    """No rule of ours overrides an explicit endpoint."""
    assert generate(_request(model="qwen-plus", endpoint=endpoint)).path == path
    assert generate(_request(model="qwen-vl-plus", endpoint=endpoint)).path == path


def test_text_takes_no_media() -> None:
    """The contradiction is told before sending."""
    with pytest.raises(ConfigurationError, match="endpoint='text'"):
        generate(_request(PICTURE, endpoint="text"))


def test_a_header_switches_streaming() -> None:
    """Not the body."""
    assert stream_generate(_request()).headers == {"X-DashScope-SSE": "enable"}
    assert "stream" not in stream_generate(_request()).json
    assert generate(_request()).headers == {}


def test_headers_of_settings() -> None:
    """Workspace, moderation and the vendor's storage are told by headers, on every endpoint."""
    stored = ModelMessage(role="user", content=({"video": ["https://example.com/1.png", "oss://bucket/2.png"]},))
    request = _request(stored, data_inspection=True)
    assert generate(request, workspace_id="ws-demo").headers == {
        "X-DashScope-WorkSpace": "ws-demo",
        "X-DashScope-DataInspection": '{"input":"cip","output":"cip"}',
        "X-DashScope-OssResourceResolve": "enable",
    }
    assert stream_generate(request, "ws-demo").headers.keys() == {
        "X-DashScope-WorkSpace",
        "X-DashScope-DataInspection",
        "X-DashScope-OssResourceResolve",
        "X-DashScope-SSE",
    }
    own = _request(data_inspection={"input": "cip"})
    assert generate(own).headers == {"X-DashScope-DataInspection": '{"input":"cip"}'}
    assert generate(_request(data_inspection=False)).headers == {}


def test_a_stream_has_one_answer() -> None:
    """Choices of several answers would interleave."""
    with pytest.raises(UnsupportedOperationError, match="n=1"):
        stream_generate(_request(n=2))


def test_models_are_forgetful() -> None:
    """Nothing is kept by the service, so every call may be sent again."""
    assert not generate(_request()).remembered
    assert not stream_generate(_request()).remembered


@pytest.mark.parametrize(
    ("model", "enable_thinking", "streams"),
    [
        ("qwen-plus", None, False),
        ("qwen-plus", True, True),
        ("qwen3-max", True, True),
        ("qwen3-8b", None, True),
        ("qwen3-8b", False, False),
        ("qwen3-30b-a3b-instruct-2507", None, False),
        ("qwen3-30b-a3b-thinking-2507", None, True),
        ("qwq-plus", None, True),
        ("qwq-plus", False, True),
        ("qvq-max", None, True),
        ("qwen3-omni-flash", None, True),
        ("qwen-plus-character", None, False),
        ("nobody-knows", None, False),
        ("nobody-knows", True, True),
    ],
)
def test_who_only_streams(model: str, enable_thinking: bool | None, streams: bool) -> None:
    """Thinking does, by wish or by the model's default; some models always do."""
    assert only_streams(_request(model=model, enable_thinking=enable_thinking)) is streams


FIXTURE = Path(__file__).parents[2] / "fixtures" / "dashscope_sdk_requests.jsonl"
LINES = {line["case"]: line for line in map(json.loads, FIXTURE.read_text("utf-8").splitlines())}

SYSTEM = ModelMessage(role="system", content="You are helpful.")
HI = ModelMessage(role="user", content="hi")
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
SCHEMA = {
    "name": "x",
    "strict": True,
    "schema": {
        "type": "object",
        "properties": {"a": {"type": "string"}},
        "required": ["a"],
        "additionalProperties": False,
    },
}
SAMPLING = {"temperature": 0.3, "top_p": 0.8, "top_k": 10, "max_tokens": 64, "seed": 7, "stop": ["END"]}
PENALTIES = {"repetition_penalty": 1.05, "presence_penalty": 0.5}
SEARCH = {
    "enable_source": True,
    "enable_citation": True,
    "citation_format": "[ref_<number>]",
    "forced_search": True,
    "search_strategy": "turbo",
}
CALLED = ModelMessage(role="assistant", tool_calls=(ToolCall("get_weather", {"city": "Hangzhou"}, "call_fake_1"),))
SUNNY = ModelMessage(role="tool", content="sunny", tool_call_id="call_fake_1")
CHARACTER = (
    ModelMessage(role="system", content="You are Zhang San ..."),
    ModelMessage(role="assistant", content="Hi, I am Zhang San"),
    ModelMessage(role="user", content="who are you"),
)
LOOK = ModelMessage(role="user", content=({"image": "https://example.com/a.png"}, {"text": "what is it"}))
STORY = (
    ModelMessage(role="user", content="continue"),
    ModelMessage(role="assistant", content="Once upon", partial=True),
)


def _plain(*messages: ModelMessage, **fields: Any) -> Request:
    return generate(_request(*(messages or (SYSTEM, HI)), **fields))


def _streamed(**fields: Any) -> Request:
    return stream_generate(_request(SYSTEM, HI, **fields))


OURS: dict[str, Request] = {
    "gen.plain": _plain(),
    "gen.aio": _plain(),
    "gen.stream_incremental_true": _streamed(),
    "gen.aio.stream": _streamed(),
    "gen.tools": _plain(tools=[WEATHER], tool_choice="auto", parallel_tool_calls=True),
    "gen.tool_choice_forced": _plain(tools=[WEATHER], tool_choice="get_weather"),
    "gen.tool_result_turn": _plain(SYSTEM, HI, CALLED, SUNNY, tools=[WEATHER]),
    "gen.response_format_json_object": _plain(
        ModelMessage(role="user", content="answer in json"), response_format={"type": "json_object"}
    ),
    "gen.response_format_json_schema": _plain(response_format={"type": "json_schema", "json_schema": SCHEMA}),
    "gen.thinking": _streamed(enable_thinking=True, thinking_budget=128),
    "gen.n_stop_seed": _plain(**SAMPLING, **PENALTIES, n=2),
    "gen.logprobs": _plain(logprobs=True, top_logprobs=2),
    "gen.search": _plain(enable_search=True, search_options=SEARCH),
    "gen.partial": _plain(*STORY),
    "gen.workspace": generate(_request(SYSTEM, HI), workspace_id="fake-workspace"),
    "gen.character": _plain(*CHARACTER, model="qwen-plus-character", n=2, logit_bias={"9909": -100}),
    "mm.image": _plain(LOOK, model="qwen-vl-plus"),
    "mm.stream": stream_generate(_request(ModelMessage(role="user", content="what is it"), model="qwen-vl-plus")),
}

NOT_OFFERED = {
    "gen.prompt_default_format": "`input.prompt` is being retired",
    "gen.stream_default": "snapshots or increments as the model likes: ours always says which",
    "gen.stream_incremental_false": "the SDK asks for increments and adds them up; ours sends false as false",
    "gen.enable_search_false_dropped": "the SDK drops the false for qwen models, so it cannot switch search off",
    "gen.plugins": "the plug-in header is a legacy without documented names",
}


@pytest.mark.parametrize("case", [case for case in LINES if case.startswith(("gen.", "mm."))])
def test_our_request_means_what_the_sdks_does(case: str) -> None:
    """Equal to what `dashscope` 2.0.2 sent to a loopback server: path, routing headers, body.

    But for the format of the answer, which it leaves out for multimodal models, whose default it is.
    """
    if case in NOT_OFFERED:
        assert case not in OURS
        return
    ours, line = OURS[case], LINES[case]
    body = ours.json
    if case.startswith("mm."):
        assert body["parameters"].pop("result_format") == "message"
    assert (ours.method, ours.path, dict(ours.headers)) == (line["method"], line["path"], line["headers"])
    assert body == line["body"]
