"""One answer of an application, however it is asked for: `invoke`, the sum of `stream`, async twins, v3 events."""

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk

from langchain_xingchen import ChatBailianApp
from xingchen_core.emulator import Emulator

Ways = dict[str, Callable[..., AIMessage]]
Chunks = Callable[..., list[AIMessageChunk]]

REFERENCES = [{"title": "手册", "text": "七天内可退。", "doc_url": "https://example.com/a"}, "指南"]
SEARCH = {"action_type": "agentRag", "action": "rag", "action_name": "知识检索", "observation": "[]"}
CITED = "可以退<ref>[1]</ref>。三天到账<ref>[2]</ref>。"

# name: (what the application says, the model's fields, the text, the reasoning)
ANSWERS: dict[str, tuple[dict[str, Any], dict[str, Any], str, str]] = {
    "plain": ({"text": "Fine, thank you."}, {}, "Fine, thank you.", ""),
    "unicode": ({"text": "你好👋🏽\u2028e\u0301"}, {}, "你好👋🏽\u2028e\u0301", ""),
    "whitespace": ({"chunks": [" ", "\n"]}, {}, " \n", ""),
    "looks like events": ({"text": "data: x\n\nevent:"}, {}, "data: x\n\nevent:", ""),
    "empty": ({"text": ""}, {}, "", ""),
    "thinking": ({"text": "是的。", "thoughts": "想一想"}, {"has_thoughts": True}, "是的。", "想一想"),
    "search": ({"text": "是的。", "thoughts": [SEARCH]}, {"has_thoughts": True}, "是的。", ""),
    "references": ({"text": CITED, "references": REFERENCES}, {}, CITED, ""),
    "two models": ({"text": "好。", "models": ["qwen-plus", "qwen-max"]}, {}, "好。", ""),
    "no usage": ({"text": "好。", "usage": None}, {}, "好。", ""),
    "stop sequence": ({"chunks": ["今天", "很好。明", "天见"]}, {"stop": ["。"]}, "今天很好", ""),
    "no stop sequence after all": ({"chunks": ["下次", "再"]}, {"stop": ["再见"]}, "下次再", ""),
    "whole texts": ({"text": "今天很好"}, {"incremental_output": False}, "今天很好", ""),
}
WIRES: dict[str, dict[str, Any]] = {
    "as documented": {},
    "CRLF": {"crlf": True},
    "single bytes": {"split_utf8": True},
    "keep-alives": {"keepalive": 2},
}


def answer(ways: Ways, name: str, wire: str = "as documented", **fields: Any) -> dict[str, AIMessage]:
    """The same scripted answer by each way, from an emulator of its own: they all count their ids from 1."""
    said, usual_fields, *_ = ANSWERS[name]
    answers = {}
    for way, ask in ways.items():
        with Emulator() as emulator:
            emulator.wire(**WIRES[wire])
            emulator.bailian.reply(**said)
            usual = {"app_id": "demo", "api_key": "test-key", "base_url": emulator.url}
            with ChatBailianApp(**{**usual, **usual_fields, **fields}) as model:
                answers[way] = ask(model, "你好")
    return answers


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("name", ["unicode", "empty", "references", "thinking", "no stop sequence after all"])
def test_the_shape_of_the_stream_is_invisible(ways: Ways, name: str, wire: str) -> None:
    """Line ends, torn characters and keep-alives change nothing in the answer."""
    _, _, text, reasoning = ANSWERS[name]
    for message in answer(ways, name, wire).values():
        assert message.content == text
        assert message.additional_kwargs.get("reasoning_content", "") == reasoning


@pytest.mark.parametrize("name", ANSWERS)
def test_all_ways_agree(ways: Ways, event_ways: Ways, name: str) -> None:
    """Content and metadata are what the application said by all six ways, and equal."""
    _, _, text, reasoning = ANSWERS[name]
    answers = answer(ways, name)
    first = answers["invoke"]
    said = {"finish_reason": "stop", "app_id": "demo", "model_provider": "bailian"}
    assert said.items() <= first.response_metadata.items()
    assert all(first.response_metadata[name] for name in ("session_id", "request_id", "model_name"))

    for message in answers.values():
        assert message.content == text
        assert message.additional_kwargs == first.additional_kwargs
        assert message.additional_kwargs.get("reasoning_content", "") == reasoning
        assert message.response_metadata == first.response_metadata
        assert message.usage_metadata == first.usage_metadata
        assert without_index(message.content_blocks) == first.content_blocks
    for message in answer(event_ways, name).values():
        assert without_index(message.content_blocks) == first.content_blocks
        assert message.response_metadata == {**first.response_metadata, "output_version": "v1"}
        assert message.usage_metadata == first.usage_metadata


@pytest.mark.parametrize("name", ["plain", "empty", "thinking", "references"])
def test_all_ways_agree_in_v1(ways: Ways, event_ways: Ways, name: str) -> None:
    """With `output_version="v1"` the content is blocks by every way, and the metadata stays as it is."""
    plain = answer({"invoke": ways["invoke"]}, name)["invoke"]
    for message in answer({**ways, **event_ways}, name, output_version="v1").values():
        assert without_index(message.content) == (plain.content_blocks if plain.content else [])
        assert message.response_metadata == {**plain.response_metadata, "output_version": "v1"}


def without_index(blocks: Any) -> list[dict[str, Any]]:
    """Streams number their blocks; whole answers do not."""
    return [{key: value for key, value in block.items() if key != "index"} for block in blocks]


def test_usage_is_the_sum_over_models(ways: Ways) -> None:
    """One answer can take several models; the service has no total. What each took is in the metadata."""
    for message in answer(ways, "two models").values():
        each = message.response_metadata["usage_models"]
        assert [model["model_id"] for model in each] == ["qwen-plus", "qwen-max"]
        assert message.response_metadata["model_name"] == "qwen-plus,qwen-max"
        assert message.usage_metadata is not None
        assert message.usage_metadata["input_tokens"] == each[0]["input_tokens"] + each[1]["input_tokens"]
        assert message.usage_metadata["output_tokens"] == each[0]["output_tokens"] + each[1]["output_tokens"]
    for message in answer(ways, "no usage").values():
        assert message.usage_metadata is None


def test_citations_slice_the_answer(way: Callable[..., AIMessage]) -> None:
    """Each marker in the text is a citation of the document it names; the documents are in the metadata as sent."""
    message = answer({"way": way}, "references")["way"]
    [block] = message.content_blocks
    assert block["type"] == "text"
    assert block["text"] == CITED
    first, second = block["annotations"]
    assert [CITED[each["start_index"] : each["end_index"]] for each in (first, second)] == [
        "<ref>[1]</ref>",
        "<ref>[2]</ref>",
    ]
    assert (first["title"], first["cited_text"], first["url"]) == ("手册", "七天内可退。", "https://example.com/a")
    assert second["title"] == "指南"
    assert [each["title"] for each in message.response_metadata["doc_references"]] == ["手册", "指南"]


def test_thoughts(way: Callable[..., AIMessage]) -> None:
    """Reasoning is a block, and among the thoughts as the service tells them; so are searches."""
    message = answer({"way": way}, "thinking")["way"]
    assert [block["type"] for block in message.content_blocks] == ["reasoning", "text"]
    [thought] = message.additional_kwargs["thoughts"]
    assert (thought["action_type"], thought["thought"]) == ("reasoning", "想一想")
    assert answer({"way": way}, "search")["way"].additional_kwargs["thoughts"] == [SEARCH]


@pytest.mark.parametrize("mode", [None, "message_format", "message_format_plus", "full_thoughts", "agent_format"])
def test_workflows(ways: Ways, event_ways: Ways, mode: str | None) -> None:
    """A workflow's answer is its text, once, by all six ways and in every mode of streaming."""
    nodes = [
        {"type": "Start", "name": "开始"},
        {"type": "Output", "name": "先说", "content": ["您", "好。"]},
        {"type": "LLM", "name": "思考", "content": ["不", "说"]},
        {"type": "End", "name": "结束", "content": ["再", "见。"]},
    ]
    for ask in (ways | event_ways).values():
        with Emulator() as emulator:
            emulator.bailian.reply("您好。再见。", nodes=nodes)
            fields = {"app_id": "demo-flow", "api_key": "test-key", "base_url": emulator.url}
            with ChatBailianApp(**fields, flow_stream_mode=mode) as model:
                assert ask(model, "你好").text == "您好。再见。"


def test_chunks(emulator: Emulator, chunks_of: Chunks) -> None:
    """A stream shows what is new, and tells what is known only at the end on its last chunk."""
    emulator.bailian.reply(chunks=["我是", "助手", "。"])
    with ChatBailianApp(app_id="demo", api_key="test-key", base_url=emulator.url) as model:
        chunks = chunks_of(model, "你是谁?")
    assert [chunk.content for chunk in chunks] == ["我是", "助手", "。", ""]
    assert [chunk.chunk_position for chunk in chunks] == [None, None, None, "last"]
    for chunk in chunks[:-1]:
        assert chunk.response_metadata == {"model_provider": "bailian"}
        assert chunk.usage_metadata is None
        assert chunk.additional_kwargs == {}
