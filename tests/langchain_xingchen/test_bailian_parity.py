"""One answer of a model, however it is asked for: `invoke`, the sum of `stream`, their async twins, and v3 events."""

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk

from langchain_xingchen import ChatBailian
from xingchen_core.emulator import Emulator

Ways = dict[str, Callable[..., AIMessage]]
Script = Callable[[Emulator], None]

CALL = {"id": "call_a", "name": "weather", "arguments": {"city": "New York"}}
OTHER = {"id": "call_b", "name": "weather", "arguments": {"city": "  杭州"}}
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}]
SEARCH = {"enable_source": True, "enable_citation": True}
SOURCE = {"index": 1, "title": "手册", "url": "https://example.com/1", "site_name": "无", "icon": ""}

# name: (what the model is told to say, the model's fields, the text, the finish reason, what is kept beside the text)
ANSWERS: dict[str, tuple[Script, dict[str, Any], str, str, dict[str, Any]]] = {
    "plain": (lambda e: e.bailian.reply("Fine, thank you."), {}, "Fine, thank you.", "stop", {}),
    "unicode": (lambda e: e.bailian.reply("你好👋🏽\u2028e\u0301"), {}, "你好👋🏽\u2028e\u0301", "stop", {}),
    "repeating": (lambda e: e.bailian.reply(chunks=["ha", "ha", "ha"]), {}, "hahaha", "stop", {}),
    "looks like events": (lambda e: e.bailian.reply("data: [DONE]\n\nid:1"), {}, "data: [DONE]\n\nid:1", "stop", {}),
    "empty": (lambda e: e.bailian.reply(""), {}, "", "stop", {}),
    "length": (lambda e: e.bailian.reply("很久以", finish_reason="length"), {}, "很久以", "length", {}),
    "thinking": (
        lambda e: e.bailian.reply("四。", thoughts="二加二。"),
        {"enable_thinking": True},
        "四。",
        "stop",
        {"reasoning_content": "二加二。"},
    ),
    "calls": (lambda e: e.bailian.reply(tool_calls=[CALL, OTHER]), {"tools": TOOLS}, "", "tool_calls", {}),
    "forced call": (
        lambda e: e.bailian.reply(tool_calls=[CALL]),
        {"tools": TOOLS, "tool_choice": "weather"},
        "",
        "tool_calls",
        {},
    ),
    "thoughts, words and a call": (
        lambda e: e.bailian.reply("查一下。", thoughts="要查天气。", tool_calls=[CALL]),
        {"tools": TOOLS, "enable_thinking": True},
        "查一下。",
        "tool_calls",
        {"reasoning_content": "要查天气。"},
    ),
    "citations": (
        lambda e: e.bailian.reply("见手册[1]。", references=["手册"]),
        {"enable_search": True, "search_options": SEARCH},
        "见手册[1]。",
        "stop",
        {"citations": ({"start": 3, "end": 6, "number": 1, "url": "https://example.com/1", "title": "手册"},)},
    ),
    "logprobs": (lambda e: e.bailian.reply(chunks=["你", "好"]), {"logprobs": True}, "你好", "stop", {}),
    "parts": (lambda e: e.bailian.reply("一张图。"), {"model": "qwen3-vl-plus"}, "一张图。", "stop", {}),
    "only streams": (lambda e: e.bailian.reply("好。"), {"model": "qwen3-omni-flash"}, "好。", "stop", {}),
}
WIRES: dict[str, dict[str, Any]] = {
    "as documented": {},
    "CRLF": {"crlf": True},
    "a space": {"space": True},
    "single bytes": {"split_utf8": True},
    "keep-alives": {"keepalive": 2},
    "all of it": {"crlf": True, "space": True, "split_utf8": 2, "keepalive": True},
}


def answer(ways: Ways, name: str, wire: str = "as documented", **fields: Any) -> dict[str, AIMessage]:
    """The same scripted answer by each way, from an emulator of its own: they all count their ids from 1."""
    script, usual_fields, *_ = ANSWERS[name]
    answers = {}
    for way, ask in ways.items():
        with Emulator() as emulator:
            emulator.wire(**WIRES[wire])
            script(emulator)
            usual = {"api_key": "test-key", "base_url": emulator.url}
            with ChatBailian(**{**usual, **usual_fields, **fields}) as model:
                answers[way] = ask(model, "你好")
    return answers


@pytest.mark.parametrize("incremental", [True, False], ids=["incremental", "cumulative"])
@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("name", ["unicode", "empty", "repeating", "calls", "citations"])
def test_the_shape_of_the_stream_is_invisible(ways: Ways, name: str, wire: str, *, incremental: bool) -> None:
    """Cumulative or incremental events, line ends, torn characters and keep-alives change nothing in the answer."""
    _, _, text, reason, additional = ANSWERS[name]
    for message in answer(ways, name, wire, incremental_output=incremental).values():
        assert message.content == text
        assert message.response_metadata["finish_reason"] == reason
        assert message.additional_kwargs == additional
        if name == "calls":
            assert [call["args"] for call in message.tool_calls] == [{"city": "New York"}, {"city": "  杭州"}]


@pytest.mark.parametrize("endpoint", ["auto", "compatible"])
@pytest.mark.parametrize("name", ANSWERS)
def test_all_ways_agree(ways: Ways, event_ways: Ways, name: str, endpoint: str) -> None:
    """Content, calls, usage and metadata are what the model said by all six ways, and equal."""
    if endpoint == "compatible" and name in ("citations", "logprobs"):
        pytest.skip("that endpoint returns no sources, and is not known to stream logprobs")
    _, fields, text, reason, additional = ANSWERS[name]
    answers = answer(ways, name, endpoint=endpoint)
    first = answers["invoke"]
    said = {"finish_reason": reason, "model_name": fields.get("model", "qwen-plus"), "model_provider": "bailian"}
    assert said.items() <= first.response_metadata.items()
    assert first.response_metadata["request_id"]
    assert first.usage_metadata is not None
    for message in answers.values():
        assert message.content == text
        assert message.additional_kwargs == additional
        assert message.tool_calls == first.tool_calls
        assert message.response_metadata == first.response_metadata
        assert message.usage_metadata == first.usage_metadata
        assert message.content_blocks == first.content_blocks
        assert message.id is not None
        assert message.id.startswith("lc_run-")
    for message in answer(event_ways, name, endpoint=endpoint).values():
        assert without_index(message.content_blocks) == first.content_blocks
        assert message.tool_calls == first.tool_calls
        assert message.response_metadata == {**first.response_metadata, "output_version": "v1"}
        assert message.usage_metadata == first.usage_metadata


@pytest.mark.parametrize("name", ANSWERS)
def test_all_ways_agree_in_v1(ways: Ways, event_ways: Ways, name: str) -> None:
    """With `output_version="v1"` the content is blocks by every way, and the metadata stays as it is."""
    plain = answer({"invoke": ways["invoke"]}, name)["invoke"]
    for message in answer({**ways, **event_ways}, name, output_version="v1").values():
        assert without_index(message.content) == plain.content_blocks
        assert message.tool_calls == plain.tool_calls
        assert message.response_metadata == {**plain.response_metadata, "output_version": "v1"}
        assert message.usage_metadata == plain.usage_metadata


def without_index(blocks: Any) -> list[dict[str, Any]]:
    """Streams number their blocks; whole answers do not."""
    return [{key: value for key, value in block.items() if key != "index"} for block in blocks]


def test_chunks(chunks_of: Callable[..., list[AIMessageChunk]], emulator: Emulator) -> None:
    """A stream shows thoughts, then text, as they come; what is known only at the end is on its last chunk alone."""
    emulator.bailian.reply(chunks=["天", "黑了"], thoughts="想")
    model = ChatBailian(api_key="test-key", base_url=emulator.url, enable_thinking=True)
    chunks = chunks_of(model, "几点?")
    assert [chunk.content for chunk in chunks] == ["", "天", "黑了", ""]
    assert [chunk.additional_kwargs.get("reasoning_content") for chunk in chunks] == ["想", None, None, None]
    assert [chunk.chunk_position for chunk in chunks] == [None, None, None, "last"]
    assert [chunk.usage_metadata is not None for chunk in chunks] == [False, False, False, True]
    for chunk in chunks[:-1]:
        assert chunk.response_metadata == {"model_provider": "bailian"}
    assert chunks[-1].response_metadata.keys() == {"model_provider", "model_name", "finish_reason", "request_id"}
    assert len({chunk.id for chunk in chunks}) == 1


@pytest.mark.parametrize("version", ["v0", "v1"])
@pytest.mark.parametrize("name", ["plain", "calls", "thoughts, words and a call", "citations"])
def test_invoke_that_streams(ways: Ways, name: str, version: str) -> None:
    """With `streaming=True`, and inside a graph, `invoke` is a stream: the answer is the same."""
    asked = {way: ways[way] for way in ("invoke", "ainvoke")}
    plain = answer(asked, name, output_version=version)
    for way, message in answer(asked, name, output_version=version, streaming=True).items():
        assert without_index(message.content_blocks) == plain[way].content_blocks
        assert (message.tool_calls, message.usage_metadata) == (plain[way].tool_calls, plain[way].usage_metadata)
        assert message.response_metadata == plain[way].response_metadata


def event(content: str, arguments: str, reason: str = "null", **function: str) -> dict[str, Any]:
    """An event with words and a piece of a call."""
    call = {"index": 0, "id": "call_a" if function else "", "function": {"arguments": arguments, **function}}
    message = {"role": "assistant", "content": content, "tool_calls": [call]}
    usage = {"input_tokens": 1, "output_tokens": 2}
    return {"output": {"choices": [{"message": message, "finish_reason": reason}]}, "usage": usage, "request_id": "r1"}


@pytest.mark.parametrize("version", ["v0", "v1"])
def test_words_and_calls_in_one_event(ways: Ways, event_ways: Ways, emulator: Emulator, version: str) -> None:
    """The words are text, the pieces a call, though they share an event."""
    streams = {way: ask for way, ask in {**ways, **event_ways}.items() if "invoke" not in way}
    for way, ask in streams.items():
        events = (event("查一下。", '{"city": ', name="weather"), event("", '"杭州"}', "tool_calls"))
        emulator.bailian.reply(events=events)
        model = ChatBailian(api_key="test-key", base_url=emulator.url, output_version=version)
        message = ask(model, "你好")
        assert without_index(message.content_blocks) == [
            {"type": "text", "text": "查一下。"},
            {"type": "tool_call", "name": "weather", "args": {"city": "杭州"}, "id": "call_a"},
        ], way
        assert message.tool_calls[0]["args"] == {"city": "杭州"}
