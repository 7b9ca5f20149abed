"""What shapes a request: ranges, contradictions, and the choice of tools."""

from typing import Any

import pytest
from pydantic import ValidationError

from xingchen_core import ConfigurationError, UnsupportedOperationError
from xingchen_core.bailian import DEFAULT_MODEL, ModelMessage, ModelParameters, ModelRequest, generate, stream_generate
from xingchen_core.chat import ToolCall

USER = ModelMessage(role="user", content="你好")


def _tool(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "description": "", "parameters": {"type": "object"}}}


ONE, TWO = [_tool("one")], [_tool("one"), _tool("two")]


def _request(**fields: Any) -> ModelRequest:
    return ModelRequest(**({"messages": [USER]} | fields))


def _parameters(**fields: Any) -> dict[str, Any]:
    body: dict[str, Any] = generate(_request(**fields)).json
    return body if fields.get("endpoint") == "compatible" else body["parameters"]


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("temperature", [0, 1.99], [-0.1, 2]),
        ("top_p", [0.01, 1], [0, 1.1]),
        ("top_k", [0, 101], [-1]),
        ("repetition_penalty", [0.1, 2], [0]),
        ("presence_penalty", [-2, 2], [-2.1, 2.1]),
        ("max_tokens", [1], [0]),
        ("max_completion_tokens", [1], [0]),
        ("n", [1, 4], [0, 5]),
        ("top_logprobs", [0, 5], [-1, 6]),
        ("logit_bias", [{"1": -100}, {"1": 100}], [{"1": -101}, {"1": 101}]),
        ("stop", [["a", "b"], [1, 2], [[1], [2, 3]]], [["a", 1], [1, [2]]]),
        ("model", ["qwen-max"], [""]),
        ("endpoint", ["text", "multimodal", "compatible", "auto"], ["rpc"]),
    ],
)
def test_ranges(name: str, good: list[Any], bad: list[Any]) -> None:
    """What the documents agree on is checked before sending, and the message names the field."""
    for value in good:
        assert getattr(ModelParameters(**{name: value}), name) == value
    for value in bad:
        with pytest.raises(ValidationError, match=name):
            ModelParameters(**{name: value})


def test_the_model_has_a_default_and_two_names() -> None:
    """`model_name` is what some callers say."""
    assert ModelParameters().model == DEFAULT_MODEL == "qwen-plus"
    assert ModelParameters(model_name="qwen-max").model == "qwen-max"  # type: ignore[call-arg]


@pytest.mark.parametrize("stop", ["", [], None], ids=repr)
def test_an_empty_stop_is_none(stop: Any) -> None:
    """Frameworks that have nothing to stop at give an empty list."""
    assert "stop" not in _parameters(stop=stop)


def test_a_single_stop_is_a_list() -> None:
    """The service takes both; one form is enough to read."""
    assert _parameters(stop="END")["stop"] == ["END"]


def test_what_is_not_given_is_not_sent() -> None:
    """No default of ours reaches the service but the two whose own defaults differ by model."""
    assert generate(_request()).json["parameters"] == {"result_format": "message"}
    assert stream_generate(_request()).json["parameters"] == {"result_format": "message", "incremental_output": True}


def test_false_and_zero_are_sent() -> None:
    """`enable_search=False` switches off what a model may have on; 0 is a temperature."""
    sent = _parameters(enable_search=False, enable_thinking=False, temperature=0, seed=0, logprobs=False)
    assert sent == {
        "result_format": "message",
        "enable_search": False,
        "enable_thinking": False,
        "temperature": 0,
        "seed": 0,
        "logprobs": False,
    }


def test_a_bias_is_sent_as_given() -> None:
    """A whole number stays one; token ids may be numbers."""
    assert str(_parameters(logit_bias={"9909": -100, 7: 0.5})["logit_bias"]) == "{'9909': -100, 7: 0.5}"


def test_the_unknown_goes_through() -> None:
    """`model_kwargs` is merged into the parameters last."""
    sent = _parameters(model_kwargs={"skill": [{"type": "doc"}], "top_k": 5}, top_k=3)
    assert sent == {"result_format": "message", "skill": [{"type": "doc"}], "top_k": 5}


@pytest.mark.parametrize(
    ("choice", "tools", "endpoint", "sent"),
    [
        ("auto", TWO, "text", "auto"),
        ("none", TWO, "text", "none"),
        ("two", TWO, "text", {"type": "function", "function": {"name": "two"}}),
        (
            {"type": "function", "function": {"name": "one"}},
            TWO,
            "text",
            {"type": "function", "function": {"name": "one"}},
        ),
        ("required", ONE, "text", {"type": "function", "function": {"name": "one"}}),
        ("any", ONE, "multimodal", {"type": "function", "function": {"name": "one"}}),
        ("required", TWO, "compatible", "required"),
        ("any", TWO, "compatible", "required"),
        (None, TWO, "text", None),
        ("auto", None, "text", None),
    ],
)
def test_the_choice_of_tools(choice: Any, tools: Any, endpoint: str, sent: Any) -> None:
    """`required` is the compatible endpoint's own; natively one tool can be named instead. Without tools: nothing."""
    assert _parameters(tool_choice=choice, tools=tools, endpoint=endpoint).get("tool_choice") == sent


def test_required_is_never_weakened() -> None:
    """Several tools, of which any must be called: the native endpoints cannot say it, and "auto" is not the same."""
    with pytest.raises(UnsupportedOperationError, match="or 'compatible'"):
        generate(_request(tool_choice="any", tools=TWO, endpoint="text"))
    with pytest.raises(UnsupportedOperationError, match="or 'compatible'"):
        stream_generate(_request(tool_choice="required", tools=TWO, endpoint="multimodal"))
    call = generate(_request(tool_choice="any", tools=TWO))
    assert call.path == "/compatible-mode/v1/chat/completions"  # unless the caller fixed the endpoint
    assert call.json["tool_choice"] == "required"


@pytest.mark.parametrize("choice", ["required", "any", "one", {"type": "function", "function": {"name": "one"}}])
def test_a_thinking_model_cannot_be_forced(choice: Any) -> None:
    """The server refuses it; the error says both ways out."""
    with pytest.raises(ConfigurationError, match="enable_thinking=False"):
        _request(tools=ONE, tool_choice=choice, enable_thinking=True)
    with pytest.raises(ConfigurationError, match="enable_thinking=False"):
        _request(tools=ONE, tool_choice=choice, model="qwen3-32b")  # thinks unless told not to
    _request(tools=ONE, tool_choice="auto", enable_thinking=True)
    _request(tools=ONE, tool_choice=choice, enable_thinking=False)


def test_tools_allow_one_answer() -> None:
    """The service would silently make it one."""
    with pytest.raises(UnsupportedOperationError, match="n=1"):
        _request(tools=ONE, n=2)


def test_parallel_calls_are_off_unless_asked_for() -> None:
    """The service's default differs from OpenAI's, so both values are sent when given."""
    assert "parallel_tool_calls" not in _parameters(tools=ONE)
    assert _parameters(tools=ONE, parallel_tool_calls=True)["parallel_tool_calls"] is True
    assert _parameters(tools=ONE, parallel_tool_calls=False)["parallel_tool_calls"] is False


def test_some_models_need_their_calls_streamed() -> None:
    """GLM returns no calls otherwise; the caller's word counts more."""
    assert _parameters(model="glm-4.6", tools=ONE)["tool_stream"] is True
    assert _parameters(model="glm-4.6", tools=ONE, tool_stream=False)["tool_stream"] is False
    assert "tool_stream" not in _parameters(tools=ONE)


@pytest.mark.parametrize("text", ["answer in JSON", "以json格式回答"])
def test_json_mode_needs_the_word(text: str) -> None:
    """Any case, in any message; without it the server answers 400."""
    object_mode = {"type": "json_object"}
    with pytest.raises(ConfigurationError, match='"json"'):
        _request(response_format=object_mode)
    _request(response_format=object_mode, messages=[ModelMessage(role="system", content=text), USER])
    _request(response_format=object_mode, messages=[ModelMessage(role="user", content=({"text": text},))])
    _request(response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": {}}})


def test_json_mode_while_thinking_is_sent_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """The vendor's pages contradict each other, so neither is it refused nor is thinking switched off."""
    asked = [ModelMessage(role="user", content="用 JSON 回答")]
    sent = _parameters(messages=asked, response_format={"type": "json_object"}, enable_thinking=True)
    assert sent["enable_thinking"] is True
    assert sent["response_format"] == {"type": "json_object"}
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    caplog.clear()
    _parameters(messages=asked, response_format={"type": "json_object"})
    assert not caplog.records


def test_messages_of_a_call_can_be_built_from_dicts() -> None:
    """Members of a message are validated with the request's."""
    request = _request(messages=[{"role": "user", "content": [{"text": "你好"}]}])
    assert request.messages[0].content == ({"text": "你好"},)
    assert ModelMessage(role="assistant", tool_calls=[{"name": "f", "arguments": {}}]).tool_calls == (
        ToolCall("f", {}),
    )  # type: ignore[arg-type, list-item]
