"""One answer, however it is asked for: `invoke`, the sum of `stream`, their async twins, and the v3 event stream."""

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage

from langchain_xingchen import ChatXingchen
from xingchen_core.emulator import Emulator

Ways = dict[str, Callable[..., AIMessage]]
Script = Callable[[Emulator], None]

MEMBERS = [{"name": "甲", "content": "你是甲。"}, {"name": "乙", "content": "你是乙。"}]
RISK = {"hasRisk": True, "safetyStdAnswer": "换个话题吧。"}

# name: (what the service is told to say, the model's fields, the text, the finish reason, other metadata)
ANSWERS: dict[str, tuple[Script, dict[str, Any], str, str, dict[str, Any]]] = {
    "plain": (lambda e: e.reply("Fine, thank you."), {}, "Fine, thank you.", "stop", {}),
    "unicode": (lambda e: e.reply("你好👋🏽\u2028e\u0301"), {}, "你好👋🏽\u2028e\u0301", "stop", {}),
    "whitespace": (lambda e: e.reply(" \n", chunks=[" ", "\n"]), {}, " \n", "stop", {}),
    "looks like events": (lambda e: e.reply("data: [DONE]\n\nevent:"), {}, "data: [DONE]\n\nevent:", "stop", {}),
    "empty": (lambda e: e.reply(""), {}, "", "stop", {}),
    "length": (lambda e: e.reply("很久很久以", finish_reason="length"), {}, "很久很久以", "length", {}),
    "flagged": (
        lambda e: e.reply("不说这个。", meta=RISK),
        {},
        "不说这个。",
        "stop",
        {"moderation": {"outcome": "flagged", "safe_answer": "换个话题吧。"}},
    ),
    "passed": (
        lambda e: e.reply("好的。"),
        {"data_inspection": True},
        "好的。",
        "stop",
        {"moderation": {"outcome": "passed"}},
    ),
    "stop sequence": (
        lambda e: e.reply("今天很好。明天见", chunks=["今天", "很好。明", "天见"]),
        {"stop": ["。"]},
        "今天很好",
        "stop",
        {},
    ),
    "stop sequence across pieces": (
        lambda e: e.reply("回头再见吧", chunks=["回头再", "见吧"], finish_reason="length"),
        {"stop": ["见了", "再见"]},
        "回头",
        "stop",
        {},
    ),
    "no stop sequence after all": (
        lambda e: e.reply("下次再", chunks=["下次", "再"], finish_reason="length"),
        {"stop": ["再见"]},
        "下次再",
        "length",
        {},
    ),
    "platform history": (lambda e: e.reply("记住啦。"), {"platform_history": True}, "记住啦。", "stop", {}),
    "group": (
        lambda e: e.reply("大家好。"),
        {"character_id": None, "group": {"name": "群", "members": MEMBERS, "speaker": "乙"}},
        "大家好。",
        "stop",
        {"speaker": "乙"},
    ),
    "stored nowhere": (
        lambda e: e.reply("我是小婉。"),
        {"character_id": None, "character": {"name": "小婉", "content": "你是小婉。"}},
        "我是小婉。",
        "stop",
        {},
    ),
}
WIRES: dict[str, dict[str, Any]] = {
    "as documented": {},
    "CRLF": {"crlf": True},
    "single bytes": {"split_utf8": True},
    "keep-alives": {"keepalive": 2},
    "all of it": {"crlf": True, "split_utf8": 2, "keepalive": True},
}


def answer(ways: Ways, name: str, wire: str = "as documented", **fields: Any) -> dict[str, AIMessage]:
    """The same scripted answer by each way, from an emulator of its own: they all count their ids from 1."""
    script, usual_fields, *_ = ANSWERS[name]
    answers = {}
    for way, ask in ways.items():
        with Emulator() as emulator:
            emulator.wire(**WIRES[wire])
            script(emulator)
            usual = {"character_id": "demo", "api_key": "test-key", "user_id": "u1", "base_url": emulator.url}
            with ChatXingchen(**{**usual, **usual_fields, **fields}) as model:
                answers[way] = ask(model, "你好")
    return answers


@pytest.mark.parametrize("incremental", [True, False], ids=["incremental", "cumulative"])
@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("name", ["unicode", "empty", "stop sequence across pieces", "flagged"])
def test_the_shape_of_the_stream_is_invisible(ways: Ways, name: str, wire: str, *, incremental: bool) -> None:
    """Cumulative or incremental events, line ends, torn characters and keep-alives change nothing in the answer."""
    _, _, text, finish_reason, metadata = ANSWERS[name]
    for message in answer(ways, name, wire, incremental_output=incremental).values():
        assert message.content == text
        assert message.response_metadata["finish_reason"] == finish_reason
        assert metadata.items() <= message.response_metadata.items()


@pytest.mark.parametrize("name", ANSWERS)
def test_all_ways_agree(ways: Ways, event_ways: Ways, name: str) -> None:
    """Content, usage and metadata are what the service said by all six ways, and equal."""
    _, _, text, finish_reason, metadata = ANSWERS[name]
    answers = answer(ways, name)
    expected = answers["invoke"]
    said = {"finish_reason": finish_reason, "user_id": "u1", "model_name": "xingchen-plus-v2", **metadata}
    assert said.items() <= expected.response_metadata.items()
    assert expected.usage_metadata is not None

    for message in answers.values():
        assert message.content == text
        assert message.response_metadata == expected.response_metadata
        assert message.usage_metadata == expected.usage_metadata
        assert message.additional_kwargs == {}
        assert message.id is not None
        assert message.id.startswith("lc_run-")
    for message in answer(event_ways, name).values():
        assert without_index(message.content_blocks) == expected.content_blocks
        assert message.response_metadata == {**expected.response_metadata, "output_version": "v1"}
        assert message.usage_metadata == expected.usage_metadata


@pytest.mark.parametrize("name", ANSWERS)
def test_all_ways_agree_in_v1(ways: Ways, event_ways: Ways, name: str) -> None:
    """With `output_version="v1"` the content is blocks by every way, and metadata and usage stay as they are."""
    text = ANSWERS[name][2]
    blocks = [{"type": "text", "text": text}] if text else []
    plain = answer({"invoke": ways["invoke"]}, name)["invoke"]

    for message in answer({**ways, **event_ways}, name, output_version="v1").values():
        assert without_index(message.content) == blocks
        assert message.response_metadata == {**plain.response_metadata, "output_version": "v1"}
        assert message.usage_metadata == plain.usage_metadata


def without_index(blocks: Any) -> list[dict[str, Any]]:
    """Streams number their blocks; whole answers do not."""
    return [{key: value for key, value in block.items() if key != "index"} for block in blocks]
