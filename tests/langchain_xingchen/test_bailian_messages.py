"""LangChain's messages as a model's: content of every kind, calls and their results, what is left out or refused."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
    convert_to_messages,
)
from langchain_core.messages.content import create_audio_block, create_image_block, create_video_block

from langchain_xingchen._model_messages import to_model_messages
from xingchen_core import ToolCall, UnsupportedOperationError
from xingchen_core.bailian import ModelMessage

URL = "https://example.com/a.png"


def converted(message: BaseMessage) -> ModelMessage:
    """The one message that becomes of this one."""
    [model_message] = to_model_messages([message])
    return model_message


@pytest.mark.parametrize(
    ("message", "role"),
    [
        (SystemMessage("甲"), "system"),
        (HumanMessage("甲"), "user"),
        (AIMessage("甲"), "assistant"),
        (AIMessageChunk("甲"), "assistant"),
        (ToolMessage("甲", tool_call_id="c1"), "tool"),
        (ChatMessage("甲", role="user"), "user"),
        (ChatMessage("甲", role="assistant"), "assistant"),
        (ChatMessage("甲", role="developer"), "system"),
        (convert_to_messages([{"role": "developer", "content": "甲"}])[0], "system"),
    ],
)
def test_roles(message: BaseMessage, role: str) -> None:
    """Every role a model knows, whichever class says it."""
    assert (converted(message).role, converted(message).content) == (role, "甲")


@pytest.mark.parametrize(
    "message", [RemoveMessage(id="1"), ChatMessage("甲", role="旁白"), FunctionMessage("1", name="f")]
)
def test_unknown_roles_are_refused(message: BaseMessage) -> None:
    """What has no counterpart is not sent as something else."""
    with pytest.raises(UnsupportedOperationError, match="no counterpart"):
        converted(message)


@pytest.mark.parametrize(
    ("block", "part"),
    [
        (create_image_block(url=URL), {"image": URL}),
        (create_image_block(base64="QUJD", mime_type="image/png"), {"image": "data:image/png;base64,QUJD"}),
        ({"type": "image", "base64": "QUJD"}, {"image": "data:image/jpeg;base64,QUJD"}),
        ({"type": "image", "source_type": "url", "url": URL}, {"image": URL}),
        (
            {"type": "image", "source_type": "base64", "data": "QUJD", "mime_type": "image/webp"},
            {"image": "data:image/webp;base64,QUJD"},
        ),
        (
            {"type": "image", "source": {"type": "base64", "media_type": "image/gif", "data": "QUJD"}},
            {"image": "data:image/gif;base64,QUJD"},
        ),
        ({"type": "image", "source": {"type": "url", "url": URL}}, {"image": URL}),
        ({"type": "image_url", "image_url": {"url": URL}}, {"image": URL}),
        ({"type": "image_url", "image_url": URL}, {"image": URL}),
        ({"type": "input_image", "image_url": URL}, {"image": URL}),
        ({"type": "image", "image": "oss://bucket/a.png"}, {"image": "oss://bucket/a.png"}),
        (create_video_block(url="https://example.com/a.mp4"), {"video": "https://example.com/a.mp4"}),
        (create_video_block(base64="QUJD", mime_type="video/webm"), {"video": "data:video/webm;base64,QUJD"}),
        ({"type": "video_url", "video_url": {"url": URL}}, {"video": URL}),
        ({"type": "video", "video": [URL, URL], "fps": 2}, {"video": [URL, URL], "fps": 2}),
        (create_video_block(url=URL, fps=1, max_frames=8), {"video": URL, "fps": 1, "max_frames": 8}),
        (create_audio_block(url="https://example.com/a.wav"), {"audio": "https://example.com/a.wav"}),
        (create_audio_block(base64="QUJD", mime_type="audio/mp3"), {"audio": "data:audio/mp3;base64,QUJD"}),
        (
            {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "wav"}},
            {"audio": "data:audio/wav;base64,QUJD"},
        ),
        ({"type": "input_audio", "input_audio": {"data": URL, "format": "wav"}}, {"audio": URL}),
        ({"type": "input_audio", "input_audio": {"data": "data:;base64,QUJD"}}, {"audio": "data:;base64,QUJD"}),
        ({"image": URL, "min_pixels": 3136}, {"image": URL, "min_pixels": 3136}),
        ({"audio": URL}, {"audio": URL}),
    ],
    ids=lambda each: str({name: value for name, value in each.items() if name != "id"}),  # LangChain's are random
)
def test_blocks(block: dict[str, Any], part: dict[str, Any]) -> None:
    """LangChain's blocks, older ones, OpenAI's, Anthropic's and the vendor's own, each as one native part."""
    assert converted(HumanMessage(["说明", block])).content == ({"text": "说明"}, part)


def test_texts_alone_stay_a_text() -> None:
    """The text endpoint takes no parts."""
    assert converted(HumanMessage(["甲", {"type": "text", "text": "乙"}, {"text": "丙"}])).content == "甲乙丙"
    assert converted(HumanMessage([{"type": "input_text", "text": "甲"}])).content == "甲"
    assert converted(HumanMessage([])).content == ""
    assert converted(HumanMessage([{"text": None}, "甲"])).content == "甲"
    assert converted(HumanMessage([""])).content == ""


def test_a_marked_cache_stays_a_part() -> None:
    """`cache_control` belongs to the part it marks, at the top of a block or in its `extras`."""
    mark = {"type": "ephemeral"}
    marked = ({"text": "很长", "cache_control": mark},)
    assert converted(SystemMessage([{"type": "text", "text": "很长", "cache_control": mark}])).content == marked
    extras: dict[str, Any] = {"type": "text", "text": "很长", "extras": {"cache_control": mark}}
    assert converted(SystemMessage([extras])).content == marked


@pytest.mark.parametrize(
    "block",
    [
        {"type": "file", "base64": "QUJD", "mime_type": "application/pdf"},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,QUJD"}},
        {"type": "image", "file_id": "file_fake_1"},
        {"type": "text-plain", "text": "甲"},
        {"type": "tool_result", "content": "1"},
    ],
    ids=str,
)
def test_files_are_refused(block: dict[str, Any]) -> None:
    """What no model reads is not dropped in silence; the error says what can be sent."""
    with pytest.raises(UnsupportedOperationError, match=r"A user message holds a block of type .*Send the text"):
        converted(HumanMessage([{"type": "text", "text": "看"}, block]))


def test_of_an_answer_the_text_is_said_again() -> None:
    """Thoughts, calls, citations and what other providers put into answers stay behind; calls travel apart."""
    message = AIMessage(
        [
            {"type": "reasoning", "reasoning": "想"},
            {"type": "thinking", "thinking": "thought", "signature": "x"},
            {"type": "text", "text": "好", "annotations": [{"type": "citation", "url": URL}]},
            {"type": "tool_use", "id": "c1", "name": "f", "input": {}},
            {"type": "server_tool_result", "tool_call_id": "s1", "status": "success"},
            {"type": "image", "url": URL},
            {"type": "refusal", "refusal": "不"},
            {"type": "non_standard", "value": {"a": 1}},
        ]
    )
    assert converted(message).content == "好"


def test_calls_go_back_with_their_ids() -> None:
    """Those that were read, and those that were not as the model wrote them."""
    message = AIMessage(
        "",
        tool_calls=[{"name": "weather", "args": {"city": "杭州"}, "id": "call_1"}],
        invalid_tool_calls=[{"name": "route", "args": '{"to": ', "id": "call_2", "error": None}],
    )
    assert converted(message).tool_calls == (
        ToolCall("weather", {"city": "杭州"}, "call_1"),
        ToolCall("route", {}, "call_2", written='{"to": '),
    )


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("晴", "晴"),
        (["晴", {"type": "text", "text": ",21 度"}], "晴,21 度"),
        ([{"type": "text", "text": "晴"}, {"degrees": 21}], '晴{"degrees":21}'),
        ([{"type": "json", "json": {"度": 21}}], '{"度":21}'),
        ([], ""),
    ],
)
def test_results_are_text(content: Any, text: str) -> None:
    """A tool's result is one string with the call's id; data in it is JSON."""
    sent = converted(ToolMessage(content, tool_call_id="call_1", name="weather", status="error"))
    assert (sent.role, sent.content, sent.tool_call_id) == ("tool", text, "call_1")


@pytest.mark.parametrize("message", [HumanMessage, AIMessage, partial(ToolMessage, tool_call_id="call_1")])
def test_a_text_of_null_is_none(message: Callable[..., BaseMessage]) -> None:
    """Stored messages of other providers have such blocks; the word "None" is nothing anybody said."""
    assert converted(message([{"type": "text", "text": None}, {"type": "text", "text": "晴"}])).content == "晴"


@pytest.mark.parametrize("kind", ["image", "image_url", "input_image", "audio", "video", "file"])
def test_results_hold_no_media(kind: str) -> None:
    """The service would take the base64 for text and bill it."""
    with pytest.raises(UnsupportedOperationError, match="send the medium in a human message"):
        converted(ToolMessage([{"type": kind, "url": URL}], tool_call_id="call_1"))


@pytest.mark.parametrize(
    "message",
    [
        AIMessage("好", additional_kwargs={"reasoning_content": "想一想"}),
        AIMessage([{"type": "reasoning", "reasoning": "想一想"}, {"type": "text", "text": "好"}]),
    ],
)
def test_thoughts_are_kept_for_models_that_want_them(message: AIMessage) -> None:
    """They are part of the message here; the request leaves them out unless the model wants them back."""
    assert converted(message).reasoning_content == "想一想"


def test_only_the_last_message_can_be_partial() -> None:
    """The mark on an earlier answer has done its work."""
    begun = AIMessage("从前", additional_kwargs={"partial": True})
    first, _, last = to_model_messages([begun, HumanMessage("接着讲"), begun])
    assert (first.partial, last.partial) == (False, True)
