"""One answer of a robot, however it is asked for: `invoke`, the sum of `stream`, their async twins, and v3 events."""

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk

from langchain_xingchen import ChatBeebot
from xingchen_core.beebot import stream
from xingchen_core.emulator import Emulator

Ways = dict[str, Callable[..., AIMessage]]
Script = Callable[[Emulator], None]

KEYS = {"access_key_id": "testid", "access_key_secret": "testsecret"}
SYS_TO_AGENT = {"sysToAgent": {"skillGroup": "12"}}
REFERENCES = [{"Title": "手册", "Content": "略", "ReferenceExt": {}}]
LISTED = {"Number": 1, "ContentType": "PLAIN_TEXT", "DataSource": "DOCUMENT", **REFERENCES[0]}

# name: (what the robot is told to say, the model's fields, the text, the finish reason, what else belongs to it)
ANSWERS: dict[str, tuple[Script, dict[str, Any], str, str, dict[str, Any]]] = {
    "plain": (lambda e: e.beebot.reply("Fine, thank you."), {}, "Fine, thank you.", "stop", {}),
    "unicode": (lambda e: e.beebot.reply("你好👋🏽\u2028e\u0301"), {}, "你好👋🏽\u2028e\u0301", "stop", {}),
    "whitespace": (lambda e: e.beebot.reply(chunks=[" ", "\n"]), {}, " \n", "stop", {}),
    "looks like events": (lambda e: e.beebot.reply("data: x\n\nevent:"), {}, "data: x\n\nevent:", "stop", {}),
    "empty": (lambda e: e.beebot.reply(""), {}, "", "stop", {}),
    "hand-over": (
        lambda e: e.beebot.reply("请稍等", commands=SYS_TO_AGENT),
        {},
        "请稍等",
        "handover",
        {"commands": SYS_TO_AGENT},
    ),
    "only a command": (
        lambda e: e.beebot.reply("", commands=SYS_TO_AGENT),
        {},
        "",
        "handover",
        {"commands": SYS_TO_AGENT},
    ),
    "clarify": (
        lambda e: e.beebot.reply("哪一项?", choices=["退货", "退款"], title="请选择"),
        {},
        "哪一项?",
        "clarify",
        {"clarify_list": ["退货", "退款"], "clarify_title": "请选择"},
    ),
    "no answer": (
        lambda e: e.beebot.reply("还不会", policy="NO_ANSWER", related=["怎么退货?"]),
        {},
        "还不会",
        "no_answer",
        {"related_questions": ["怎么退货?"]},
    ),
    "references": (
        lambda e: e.beebot.reply(paragraphs=[("甲。", 1), ("乙。", None)], references=REFERENCES),
        {},
        "甲。乙。",
        "stop",
        {"references": [LISTED], "citations": [{"start": 0, "end": 2, "number": 1}]},
    ),
    "stop sequence": (
        lambda e: e.beebot.reply(chunks=["今天", "很好。明", "天见"]),
        {"stop": ["。"]},
        "今天很好",
        "stop",
        {},
    ),
    "no stop sequence after all": (
        lambda e: e.beebot.reply(chunks=["下次", "再"]),
        {"stop": ["再见"]},
        "下次再",
        "stop",
        {},
    ),
}
IN_RPC: dict[str, tuple[str, str, dict[str, Any]]] = {
    "clarify": (
        "请选择\n1. 退货\n2. 退款",
        "clarify",
        {
            "recommends": [
                {"KnowledgeId": "1000", "Score": 0.6, "AnswerSource": "KNOWLEDGE", "Title": "退货"},
                {"KnowledgeId": "1001", "Score": 0.6, "AnswerSource": "KNOWLEDGE", "Title": "退款"},
            ]
        },
    ),
    "no answer": ("还不会", "no_answer", {}),
    "references": ("甲。乙。", "stop", {"knowledge": {"id": "4549", "title": "手册", "category": "常见问题"}}),
}
"""What the older call says in other words."""

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
        stream._tokens.clear()  # of an emulator that had the same port
        with Emulator() as emulator:
            emulator.wire(**WIRES[wire])
            script(emulator)
            usual = {"instance_id": "chatbot-cn-demo", **KEYS, "base_url": emulator.url}
            with ChatBeebot(**{**usual, **usual_fields, **fields}) as model:
                answers[way] = ask(model, "你好")
    return answers


def expected(name: str, api: str) -> tuple[str, str, dict[str, Any]]:
    """Text, finish reason and the rest of an answer."""
    _, _, text, reason, additional = ANSWERS[name]
    return IN_RPC.get(name, (text, reason, additional)) if api == "rpc" else (text, reason, additional)


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("name", ["unicode", "empty", "references", "no stop sequence after all"])
def test_the_shape_of_the_stream_is_invisible(ways: Ways, name: str, wire: str) -> None:
    """Line ends, spaces, torn characters and keep-alives change nothing in the answer."""
    text, reason, additional = expected(name, "stream")
    for message in answer(ways, name, wire).values():
        assert message.content == text
        assert message.response_metadata["finish_reason"] == reason
        assert message.additional_kwargs == additional


@pytest.mark.parametrize("api", ["stream", "rpc"])
@pytest.mark.parametrize("name", ANSWERS)
def test_all_ways_agree(ways: Ways, event_ways: Ways, name: str, api: str) -> None:
    """Content and metadata are what the robot said by all six ways, and equal."""
    text, reason, additional = expected(name, api)
    answers = answer(ways, name, api=api)
    first = answers["invoke"]
    said = {"finish_reason": reason, "model_name": "chatbot-cn-demo", "model_provider": "beebot"}
    assert said.items() <= first.response_metadata.items()
    assert all(first.response_metadata[name] for name in ("session_id", "message_id", "request_id", "source"))

    for message in answers.values():
        assert message.content == text
        assert message.additional_kwargs == additional
        assert message.response_metadata == first.response_metadata
        assert message.usage_metadata is None
        assert message.id is not None
        assert message.id.startswith("lc_run-")
    for message in answer(event_ways, name, api=api).values():
        assert without_index(message.content_blocks) == first.content_blocks
        assert message.response_metadata == {**first.response_metadata, "output_version": "v1"}


@pytest.mark.parametrize("api", ["stream", "rpc"])
@pytest.mark.parametrize("name", ["plain", "empty", "hand-over"])
def test_all_ways_agree_in_v1(ways: Ways, event_ways: Ways, name: str, api: str) -> None:
    """With `output_version="v1"` the content is blocks by every way, and the metadata stays as it is."""
    text = ANSWERS[name][2]
    blocks = [{"type": "text", "text": text}] if text else []
    plain = answer({"invoke": ways["invoke"]}, name, api=api)["invoke"]
    for message in answer({**ways, **event_ways}, name, api=api, output_version="v1").values():
        assert without_index(message.content) == blocks
        assert message.response_metadata == {**plain.response_metadata, "output_version": "v1"}


def without_index(blocks: Any) -> list[dict[str, Any]]:
    """Streams number their blocks; whole answers do not."""
    return [{key: value for key, value in block.items() if key != "index"} for block in blocks]


@pytest.fixture
def robot(emulator: Emulator) -> ChatBeebot:
    """A model of the seeded robot."""
    stream._tokens.clear()
    return ChatBeebot(instance_id="chatbot-cn-demo", **KEYS, base_url=emulator.url)


Chunks = Callable[..., list[AIMessageChunk]]


def test_chunks(robot: ChatBeebot, emulator: Emulator, chunks_of: Chunks) -> None:
    """A stream shows what is new, and tells what is known only at the end on its last chunk."""
    emulator.beebot.reply(chunks=["我是", "小蜜", "。"])
    chunks = chunks_of(robot, "你是谁?")
    assert [chunk.content for chunk in chunks] == ["我是", "小蜜", "。", ""]
    assert [chunk.chunk_position for chunk in chunks] == [None, None, None, "last"]
    for chunk in chunks[:-1]:
        assert chunk.response_metadata == {"model_provider": "beebot"}
        assert chunk.additional_kwargs == {}


def test_the_older_call_streams_in_one_piece(robot: ChatBeebot, emulator: Emulator, chunks_of: Chunks) -> None:
    """What does not stream gives its answer as the only chunk."""
    emulator.beebot.reply("我是小蜜。")
    [chunk] = chunks_of(robot, "你是谁?", api="rpc")
    assert (chunk.content, chunk.chunk_position) == ("我是小蜜。", "last")


REWRITTEN = {"snapshots": ["这个嘛", "这个嘛,其实", "换个话题吧。"]}


def test_a_rewritten_answer_streamed(robot: ChatBeebot, emulator: Emulator, chunks_of: Chunks) -> None:
    """What was shown stays as it was; the last chunk says that it is not the answer, and what is."""
    emulator.beebot.reply(**REWRITTEN)
    chunks = chunks_of(robot, "你好")
    assert [chunk.content for chunk in chunks] == ["这个嘛", ",其实", ""]
    assert chunks[-1].response_metadata["rewritten"] is True
    assert chunks[-1].response_metadata["final_text"] == "换个话题吧。"


def test_a_rewritten_answer_whole(robot: ChatBeebot, emulator: Emulator, ask: Callable[..., AIMessage]) -> None:
    """`invoke` waits for the end and returns the final text."""
    emulator.beebot.reply(**REWRITTEN)
    assert ask(robot, "你好").content == "换个话题吧。"
