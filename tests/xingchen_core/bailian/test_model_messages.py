"""Messages of a model: their forms on the wire, and what of their sequence is refused before sending."""

from typing import Any

import pytest
from pydantic import ValidationError

from xingchen_core import ConfigurationError
from xingchen_core.bailian import ModelMessage, ModelRequest, generate
from xingchen_core.chat import ToolCall

USER = ModelMessage(role="user", content="你好")
CALL = ToolCall("get_weather", {"city": "杭州"}, "call_1")
ASKED = ModelMessage(role="assistant", tool_calls=(CALL,))
RESULT = ModelMessage(role="tool", content="晴", tool_call_id="call_1")
IMAGE = {"image": "https://example.com/猫.png"}


def _sent(*messages: ModelMessage, **fields: Any) -> list[dict[str, Any]]:
    body: list[dict[str, Any]] = generate(ModelRequest(messages=messages, **fields)).json["input"]["messages"]
    return body


def test_the_text_endpoint_gets_strings() -> None:
    """It refuses an array even if it holds only text."""
    message = ModelMessage(role="user", content=({"text": "你"}, {"text": "好"}))
    assert _sent(message) == [{"role": "user", "content": "你好"}]


def test_a_marked_cache_keeps_its_parts() -> None:
    """The one exception: parts with `cache_control`."""
    part = {"text": "很长", "cache_control": {"type": "ephemeral"}}
    message = ModelMessage(role="user", content=(part, {"text": "问题"}))
    assert _sent(message) == [{"role": "user", "content": [part, {"text": "问题"}]}]


def test_the_multimodal_endpoint_gets_parts() -> None:
    """Every text becomes a part, the system's and the assistant's too; a function's result stays a string."""
    system = ModelMessage(role="system", content="简短")
    picture = ModelMessage(role="user", content=(IMAGE, {"text": "是什么?"}))
    assert _sent(system, picture, ASKED, RESULT) == [
        {"role": "system", "content": [{"text": "简短"}]},
        {"role": "user", "content": [IMAGE, {"text": "是什么?"}]},
        {
            "role": "assistant",
            "content": [{"text": ""}],
            "tool_calls": [
                {
                    "id": "call_1",
                    "type": "function",
                    "index": 0,
                    "function": {"name": "get_weather", "arguments": '{"city":"杭州"}'},
                }
            ],
        },
        {"role": "tool", "content": "晴", "tool_call_id": "call_1"},
    ]


def test_a_calling_message_keeps_its_empty_text() -> None:
    """`content` is "" beside `tool_calls`, not null and not absent."""
    assert _sent(USER, ASKED, RESULT)[1]["content"] == ""


def test_arguments_that_are_no_object_go_back_as_written() -> None:
    """The model is shown what it wrote, not what we made of it."""
    broken = ModelMessage(role="assistant", tool_calls=(ToolCall("f", {}, "call_1", written='{"a": '),))
    assert _sent(USER, broken, RESULT)[1]["tool_calls"][0]["function"]["arguments"] == '{"a": '


@pytest.mark.parametrize(
    ("model", "preserve", "sent"),
    [
        ("qwen-plus", None, False),
        ("qwen-plus", True, True),
        ("qwen3.8-max", None, True),
        ("qwen3.8-max", False, False),
    ],
)
def test_thoughts_are_sent_back_where_wanted_only(model: str, preserve: bool | None, sent: bool) -> None:
    """Resent reasoning costs tokens and is ignored, except by models that preserve thinking."""
    thought = ModelMessage(role="assistant", content="二", reasoning_content="一加一")
    body = _sent(USER, thought, USER, model=model, preserve_thinking=preserve)[1]
    assert body.get("reasoning_content") == ("一加一" if sent else None)


def test_the_beginning_of_an_answer_is_marked() -> None:
    """Partial mode: the model writes on."""
    assert _sent(USER, ModelMessage(role="assistant", content="从前", partial=True))[1] == {
        "role": "assistant",
        "content": "从前",
        "partial": True,
    }


def test_system_messages_at_the_beginning_become_one() -> None:
    """The service wants at most one, and first; parts stay parts, since they may mark a cache."""
    one, two = ModelMessage(role="system", content="你是猫"), ModelMessage(role="system", content="说短句")
    assert _sent(one, two, USER)[0] == {"role": "system", "content": "你是猫\n说短句"}
    part = {"text": "很长", "cache_control": {"type": "ephemeral"}}
    marked = ModelMessage(role="system", content=(part,))
    assert _sent(one, marked, USER)[0] == {"role": "system", "content": [{"text": "你是猫"}, part]}
    assert len(_sent(one, USER)) == 2


@pytest.mark.parametrize(
    ("messages", "told"),
    [
        ([], "empty"),
        ([ModelMessage(role="system", content="你是猫")], "no user message"),
        ([USER, ModelMessage(role="assistant", content="好")], "last message must be the user's"),
        ([USER, RESULT], "'call_1', which no assistant"),
        ([USER, ASKED, RESULT, RESULT], "answered already"),
        ([USER, ASKED, ModelMessage(role="tool", content="晴")], "the call None"),
        ([RESULT, ASKED, RESULT], "no assistant message before it"),
    ],
)
def test_what_the_server_would_refuse(messages: list[ModelMessage], told: str) -> None:
    """Sequence rules of the vendor's error table, told before anything is sent."""
    with pytest.raises(ConfigurationError, match=told):
        ModelRequest(messages=messages)


def test_what_the_server_accepts() -> None:
    """A function's result may end a conversation, so may a partial answer; a character may speak again."""
    opening = ModelMessage(role="assistant", content="我是张三")
    begun = ModelMessage(role="assistant", content="从前", partial=True)
    assert ModelRequest(messages=[USER, ASKED, RESULT]).messages[-1] == RESULT
    assert ModelRequest(messages=[begun]).messages == [begun]
    assert ModelRequest(messages=[USER, opening], model="qwen-plus-character").messages[-1] == opening


def test_openais_parts_are_told_apart() -> None:
    """A part with a `type` would be refused by the server with less clear words."""
    with pytest.raises(ConfigurationError, match="keyed by its modality"):
        ModelMessage(role="user", content=({"type": "text", "text": "你好"},))


def test_a_result_is_text() -> None:
    """Tool content must be a string: parts of text are joined, anything else is refused."""
    parted = ModelMessage(role="tool", content=({"text": "晴"}, {"text": "朗"}), tool_call_id="call_1")
    assert _sent(USER, ASKED, parted)[2]["content"] == "晴朗"
    with pytest.raises(ConfigurationError, match="must be text"):
        ModelMessage(role="tool", content=(IMAGE,), tool_call_id="call_1")


def test_an_unknown_member_shows_no_value() -> None:
    """Wrong input is refused without repeating what it says."""
    with pytest.raises(ValidationError) as caught:
        ModelMessage(role="user", content="geheim", speaker="geheim")  # type: ignore[call-arg]
    assert "geheim" not in str(caught.value)
    assert "speaker" in str(caught.value)


def test_arguments_that_json_cannot_hold() -> None:
    """A history made by hand may hold anything; what cannot be sent is told before anything is."""
    asked = ModelMessage(role="assistant", tool_calls=(ToolCall("weather", {"city": object()}, "call_1"),))
    result = ModelMessage(role="tool", tool_call_id="call_1", content="晴")
    with pytest.raises(ConfigurationError, match="the call to weather"):
        generate(ModelRequest(messages=[ModelMessage(role="user", content="天气?"), asked, result]))
