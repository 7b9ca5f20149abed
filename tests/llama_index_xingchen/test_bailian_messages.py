"""LlamaIndex's messages as those of a model: roles, media, cache points, calls and results, and what is repaired."""

import io
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from llama_index.core.base.llms.types import (
    AudioBlock,
    CacheControl,
    CachePoint,
    ChatMessage,
    CitableBlock,
    CitationBlock,
    DocumentBlock,
    ImageBlock,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)
from pydantic import ValidationError

from llama_index_xingchen._model_messages import to_model_messages
from xingchen_core import ConfigurationError, ToolCall, UnsupportedOperationError
from xingchen_core.bailian import ModelMessage

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
PNG_URI = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUg=="
CACHED = CachePoint(cache_control=CacheControl(type="ephemeral"))
EPHEMERAL = {"cache_control": {"type": "ephemeral"}}


def user(*blocks: Any) -> ChatMessage:
    """A user's message."""
    return ChatMessage(role="user", blocks=list(blocks))


def only(message: ChatMessage) -> ModelMessage:
    """A conversation of one message."""
    [made] = to_model_messages([message])
    return made


@pytest.mark.parametrize(
    ("role", "expected"),
    [
        ("system", "system"),
        ("developer", "system"),
        ("user", "user"),
        ("assistant", "assistant"),
        ("chatbot", "assistant"),
        ("model", "assistant"),
    ],
)
def test_roles(role: Any, expected: str) -> None:
    """Item 10: each role has its counterpart; results of functions are in the tests below."""
    assert only(ChatMessage(role=role, content="你好")) == ModelMessage(
        role=expected, content="你好", reasoning_content="" if expected == "assistant" else None
    )


def test_texts_are_joined_as_the_caller_sees_them() -> None:
    """Several blocks of text are one text, with the newlines of `message.content`; citable text is text."""
    message = user(TextBlock(text="一"), CitableBlock(title="书", source="s", content=[TextBlock(text="二")]))
    assert only(message).content == "一\n二"


@pytest.mark.parametrize(
    ("block", "part"),
    [
        (ImageBlock(url="https://example.com/猫.png"), {"image": "https://example.com/%E7%8C%AB.png"}),
        (ImageBlock(url="oss://bucket/a.png"), {"image": "oss://bucket/a.png"}),
        (ImageBlock(url=PNG_URI), {"image": PNG_URI}),
        (ImageBlock(image=PNG), {"image": PNG_URI}),
        (VideoBlock(url="https://example.com/a.mp4"), {"video": "https://example.com/a.mp4"}),
        (
            VideoBlock(url="https://example.com/a.mp4", fps=2),
            {"video": "https://example.com/a.mp4", "fps": 2},
        ),
        (VideoBlock(video=b"??", video_mimetype="video/mp4"), {"video": "data:video/mp4;base64,Pz8="}),
        (AudioBlock(url="https://example.com/a.wav"), {"audio": "https://example.com/a.wav"}),
        (AudioBlock(audio=b"??", format="mp3"), {"audio": "data:audio/mp3;base64,Pz8="}),
    ],
)
def test_media(block: Any, part: dict[str, Any]) -> None:
    """Item 51: a URL goes as it is, bytes and open files as data URIs with their type."""
    assert only(user(TextBlock(text="看"), block)).parts == ({"text": "看"}, part)


def test_media_from_an_open_file() -> None:
    """Item 51: what is open is read from its beginning."""
    picture = io.BytesIO(PNG)
    picture.read()
    try:
        block = ImageBlock(image=picture)
    except ValidationError:
        pytest.skip("an older LlamaIndex takes no open files")
    assert only(user(block)).parts == ({"image": PNG_URI},)


def test_media_from_a_path(tmp_path: Path) -> None:
    """Item 51: a file is read, and its type comes from its content where its name tells none."""
    for name in ("a.png", "a"):
        path = tmp_path / name
        path.write_bytes(PNG)
        assert only(user(ImageBlock(path=path))).parts == ({"image": PNG_URI},)


@pytest.mark.parametrize(
    ("block", "told"),
    [(ImageBlock(), "neither data nor a path nor a url"), (ImageBlock(image=b"??"), "set its image_mimetype")],
)
def test_media_that_tell_too_little(block: Any, told: str) -> None:
    """Item 51: an empty block, and bytes of an unknown type, are refused with what to do."""
    with pytest.raises(ValueError, match=told):
        only(user(block))


def test_documents_are_refused() -> None:
    """Item 51: no model takes a document; the error says what to send."""
    with pytest.raises(UnsupportedOperationError, match=r"'document'.*text of it"):
        only(user(DocumentBlock(data=b"%PDF-1.4")))


def test_cache_points_mark_what_stands_before_them() -> None:
    """A cache point marks one block; the rest is not marked."""
    message = user(TextBlock(text="长文"), CACHED, TextBlock(text="问题"))
    assert only(message).parts == ({"text": "长文", **EPHEMERAL}, {"text": "问题"})
    of_two = CitableBlock(title="书", source="s", content=[TextBlock(text="一"), TextBlock(text="二")])
    assert only(user(of_two, CACHED)).parts == ({"text": "一"}, {"text": "二", **EPHEMERAL})


@pytest.mark.parametrize(
    "blocks",
    [
        [CACHED, TextBlock(text="问题")],
        [TextBlock(text="长文"), CachePoint(cache_control=CacheControl(type="ephemeral", ttl="1h"))],
        [TextBlock(text="长文"), CachePoint(cache_control=CacheControl(type="forever"))],
    ],
)
def test_other_cache_points_are_refused(blocks: list[Any]) -> None:
    """A point with nothing before it, of another kind or for another time cannot be meant."""
    with pytest.raises(UnsupportedOperationError, match="CachePoint"):
        only(user(*blocks))


ASKED = user(TextBlock(text="杭州天气?"))


def call(id_: str | None, given: Any = None, name: str = "get_weather") -> ToolCallBlock:
    """A call of an answer."""
    return ToolCallBlock(tool_call_id=id_, tool_name=name, tool_kwargs={"city": "杭州"} if given is None else given)


def answer(*blocks: Any, **additional: Any) -> ChatMessage:
    """A model's answer."""
    return ChatMessage(role="assistant", blocks=list(blocks), additional_kwargs=additional)


def result(id_: str | None, text: str = "晴", role: Any = "tool") -> ChatMessage:
    """The result of a call."""
    return ChatMessage(role=role, content=text, additional_kwargs={} if id_ is None else {"tool_call_id": id_})


def test_answers_are_sent_without_what_is_not_theirs_to_say() -> None:
    """Item 34: thoughts and calls travel beside the text, and a citation's words are not repeated."""
    cited = CitationBlock(cited_content=TextBlock(text="页"), source="s", title="t", additional_location_info={})
    _, said, told = to_model_messages(
        [ASKED, answer(ThinkingBlock(content="想"), TextBlock(text="稍等。"), cited, call("c1")), result("c1")]
    )
    assert said == ModelMessage(
        role="assistant",
        content="稍等。",
        reasoning_content="想",
        tool_calls=(ToolCall("get_weather", {"city": "杭州"}, "c1"),),
    )
    assert told == ModelMessage(role="tool", content="晴", tool_call_id="c1")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ('{"city": "New York"}', ToolCall("get_weather", {"city": "New York"}, "c1")),
        ("", ToolCall("get_weather", {}, "c1")),
        ('{"city": ', ToolCall("get_weather", {}, "c1", written='{"city": ')),
    ],
)
def test_arguments_as_text(given: str, expected: ToolCall) -> None:
    """Item 34: arguments that are text go back as they were written, broken ones too."""
    assert to_model_messages([ASKED, answer(call("c1", given)), result("c1")])[1].tool_calls == (expected,)


def test_calls_of_older_messages() -> None:
    """Item 34: calls that are in `additional_kwargs` alone are read there, dicts and OpenAI's objects."""
    told = {"id": "c1", "type": "function", "function": {"name": "now", "arguments": '{"zone": "cn"}'}}
    as_object = SimpleNamespace(model_dump=lambda: told)
    for one in (told, as_object):
        _, said, _ = to_model_messages([ASKED, answer(tool_calls=[one]), result("c1")])
        assert said.tool_calls == (ToolCall("now", {"zone": "cn"}, "c1"),)
    _, said, _ = to_model_messages([ASKED, answer(call("c1"), tool_calls=[told]), result("c1")])
    assert [one.name for one in said.tool_calls] == ["get_weather"]


def test_calls_without_ids_have_those_that_agents_were_given() -> None:
    """Item 27: ids made up for an agent are made up again, so that its results fit."""
    messages = [ASKED, answer(call(None), call("", name="now")), result("call_0"), result("call_1", "八点")]
    _, said, first, second = to_model_messages(messages)
    assert [one.id for one in said.tool_calls] == ["call_0", "call_1"]
    assert [first.tool_call_id, second.tool_call_id] == ["call_0", "call_1"]


def test_results_without_ids_answer_the_oldest_open_call() -> None:
    """Item 34: messages of the older role `function` know no ids."""
    messages = [ASKED, answer(call("c1"), call("c2")), result(None, role="function"), result(None, role="function")]
    assert [message.tool_call_id for message in to_model_messages(messages)[2:]] == ["c1", "c2"]


ORPHANS = {
    "result without its call": [result("c0"), ASKED],
    "second result of a call": [ASKED, answer(call("c1")), result("c1"), result("c1", "雨"), ASKED],
    "call without a result": [ASKED, answer(call("c1")), ASKED],
    "one of two calls without a result": [ASKED, answer(call("c1"), call("c2")), result("c2"), ASKED],
    "text beside a call without a result": [ASKED, answer(TextBlock(text="稍等。"), call("c1")), ASKED],
}
KEPT = {
    "result without its call": [("user", "杭州天气?", [])],
    "second result of a call": [
        ("user", "杭州天气?", []),
        ("assistant", "", ["c1"]),
        ("tool", "晴", []),
        ("user", "杭州天气?", []),
    ],
    "call without a result": [("user", "杭州天气?", []), ("user", "杭州天气?", [])],
    "one of two calls without a result": [
        ("user", "杭州天气?", []),
        ("assistant", "", ["c2"]),
        ("tool", "晴", []),
        ("user", "杭州天气?", []),
    ],
    "text beside a call without a result": [
        ("user", "杭州天气?", []),
        ("assistant", "稍等。", []),
        ("user", "杭州天气?", []),
    ],
}


@pytest.mark.parametrize("kind", ORPHANS)
def test_orphans_are_left_out_with_one_warning(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """Item 34: what a trimmed history lost is repaired, and said once."""
    made = to_model_messages(ORPHANS[kind])
    assert [(m.role, m.content, [one.id for one in m.tool_calls]) for m in made] == KEPT[kind]
    [record] = caplog.records
    assert record.getMessage().startswith("1 function calls")


def test_pairs_are_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    """Item 34: a whole history is not warned of, with the same ids in another turn either."""
    caplog.set_level(logging.DEBUG)
    turn = [ASKED, answer(call("c1"), call("c2")), result("c2"), result("c1"), answer(TextBlock(text="晴。"))]
    assert len(to_model_messages([*turn, *turn])) == 10
    assert caplog.records == []


def test_only_the_last_message_is_a_beginning() -> None:
    """Prefix continuation: an older message that was one is an ordinary answer by now."""
    made = to_model_messages(
        [
            answer(TextBlock(text="从前"), partial=True),
            ASKED,
            answer(TextBlock(text="有座山")),
        ]
    )
    assert [message.partial for message in made] == [False, False, False]
    made = to_model_messages([ASKED, answer(TextBlock(text="从前"), partial=True)])
    assert [message.partial for message in made] == [False, True]


def test_media_in_a_result_are_refused() -> None:
    """A result is text: the service takes nothing else there."""
    told = ChatMessage(role="tool", blocks=[ImageBlock(url=PNG_URI)], additional_kwargs={"tool_call_id": "c1"})
    with pytest.raises(ConfigurationError, match="must be text"):
        to_model_messages([ASKED, answer(call("c1")), told])
