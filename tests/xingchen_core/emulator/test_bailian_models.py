"""The emulated models of Bailian by plain HTTP: text, thinking, parameters, orders of messages."""

from collections.abc import Iterator
from typing import Any

import pytest

from bailian_api import TEXT, BailianApi, prompt, read, refusal, refused
from xingchen_core.emulator import Emulator

STREAM = {"incremental_output": True}


@pytest.fixture
def api(emulator: Emulator) -> Iterator[BailianApi]:
    """Plain HTTP to the emulator."""
    client = BailianApi(emulator.url)
    with client.http:
        yield client


def pieces(choices: list[Any]) -> list[Any]:
    """`content` of each event."""
    return [choice["message"]["content"] for choice in choices]


def test_an_answer(emulator: Emulator, api: BailianApi) -> None:
    """An answer in one piece has these members and no others."""
    emulator.reply("1+1=2")
    body = api.good(TEXT, prompt("1+1=?"))
    del body["request_id"]
    assert body == {
        "output": {"choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": "1+1=2"}}]},
        "usage": {
            "total_tokens": 4,
            "output_tokens": 2,
            "input_tokens": 2,
            "prompt_tokens_details": {"cached_tokens": 0},
        },
    }


def test_without_a_script(api: BailianApi) -> None:
    """The answer mentions the question, knows what was said before, and is the same every time."""
    assert "怎么煮粥" in api.complete("怎么煮粥")["message"]["content"]
    assert api.complete("怎么煮粥") == api.complete("怎么煮粥", seed=7)
    messages = [
        {"role": "user", "content": "我叫小明"},
        {"role": "assistant", "content": "你好"},
        {"role": "user", "content": "我叫什么？"},
    ]
    assert api.complete(messages)["message"]["content"] == "您叫小明。"


@pytest.mark.parametrize(
    ("model", "default"),
    [
        ("qwen-plus", "text"),
        ("qwen-max", "text"),
        ("qwen3-max", "message"),
        ("qwen-long", "message"),
    ],
)
def test_default_format(api: BailianApi, model: str, default: str) -> None:
    """What comes when no format was asked for depends on the model."""
    output = api.good(TEXT, {"model": model, "input": {"prompt": "你好"}})["output"]
    assert ("text" in output, "choices" in output) == (default == "text", default == "message")


def test_text_format_streamed(emulator: Emulator, api: BailianApi) -> None:
    """In text format the pieces stand in `text`."""
    emulator.reply("一二", chunks=2)
    events = api.events(TEXT, prompt(result_format="text", incremental_output=True))
    assert [event["output"] for event in events] == [
        {"finish_reason": "null", "text": "一"},
        {"finish_reason": "null", "text": "二"},
        {"finish_reason": "stop", "text": ""},
    ]


def test_snapshots(emulator: Emulator, api: BailianApi) -> None:
    """Older models repeat all text by default, new ones send pieces."""
    for model, expected in (("qwen-plus", ["一", "一二", "一二"]), ("qwen3-max", ["一", "二", ""])):
        emulator.reply("一二", chunks=2)
        events = api.events(TEXT, prompt(model=model))
        assert [event["output"]["choices"][0]["message"]["content"] for event in events] == expected


def test_the_last_piece_may_end(emulator: Emulator, api: BailianApi) -> None:
    """The final reason may come together with text."""
    emulator.bailian.fragments.text_in_final_event = True
    emulator.reply("一二", chunks=2)
    choices = api.stream()
    assert [(each["message"]["content"], each["finish_reason"]) for each in choices] == [("一", "null"), ("二", "stop")]


def test_usage_is_cumulative(emulator: Emulator, api: BailianApi) -> None:
    """Every event has the usage so far; the first one's may be empty."""
    emulator.bailian.fragments.empty_usage_first = True
    emulator.reply("一二三", chunks=["一", "二三"])
    first, *later = [event["usage"] for event in api.events(TEXT, prompt(**STREAM))]
    assert first == {}
    assert [usage["output_tokens"] for usage in later] == [3, 3]


def test_null_text(emulator: Emulator, api: BailianApi) -> None:
    """Documented samples have null members beside `choices`."""
    emulator.bailian.fragments.null_text = True
    output = api.good(TEXT, prompt())["output"]
    assert (output["text"], output["finish_reason"]) == (None, None)


def test_thinking(emulator: Emulator, api: BailianApi) -> None:
    """Reasoning precedes the text; both are empty at the end; its tokens are part of the output's."""
    emulator.reply("二", thoughts="嗯嗯")
    events = api.events(TEXT, prompt(enable_thinking=True, **STREAM))
    messages = [event["output"]["choices"][0]["message"] for event in events]
    assert [(each["reasoning_content"], each["content"]) for each in messages] == [("嗯嗯", ""), ("", "二"), ("", "")]
    usage = events[-1]["usage"]
    assert usage["output_tokens"] == 3
    assert usage["output_tokens_details"] == {"reasoning_tokens": 2, "text_tokens": 1}
    assert usage["total_tokens"] == usage["input_tokens"] + 3


def test_thinking_without_a_script(api: BailianApi) -> None:
    """Whoever asks for reasoning gets some."""
    assert "你好" in "".join(each["message"]["reasoning_content"] for each in api.stream(enable_thinking=True))


def test_thinking_wants_a_stream(api: BailianApi) -> None:
    """Commercial and open Qwen3 think in streams only; open ones do so unless told otherwise."""
    words = "parameter.enable_thinking must be set to false for non-streaming calls"
    assert refused(api, enable_thinking=True) == ["InvalidParameter", words]
    assert refused(api, model="qwen3-8b") == ["InvalidParameter", words]
    assert "reasoning_content" not in api.complete(model="qwen3-8b", enable_thinking=False)["message"]
    assert "reasoning_content" in api.stream(model="qwen3-8b")[0]["message"]


def test_thinking_of_others(api: BailianApi) -> None:
    """Third-party models think without a stream, some models always do, others never."""
    assert "reasoning_content" in api.complete(model="deepseek-v4-pro", enable_thinking=True)["message"]
    assert "reasoning_content" in api.complete(model="deepseek-r1")["message"]
    assert "restricted to True" in refused(api, model="deepseek-r1", enable_thinking=False)[1]
    assert "only support stream mode" in refused(api, model="qwq-plus")[1]
    assert refused(api, model="qwen-max", enable_thinking=True)[0] == "InvalidParameter.NotSupportEnableThinking"


def test_what_thinking_excludes(api: BailianApi) -> None:
    """Snapshots, the text format and several answers do not go with thinking."""
    for given in ({"incremental_output": False}, {"result_format": "text"}, {"n": 2}):
        assert refused(api, sse=True, enable_thinking=True, **given)[0] == "InvalidParameter"


def test_several_answers(emulator: Emulator, api: BailianApi) -> None:
    """N answers have their indices, in one piece and in a stream."""
    emulator.reply("甲", alternatives=["乙"])
    choices = api.good(TEXT, prompt(n=2))["output"]["choices"]
    assert [(each["index"], each["message"]["content"]) for each in choices] == [(0, "甲"), (1, "乙")]
    emulator.reply("甲", alternatives=["乙"])
    events = api.events(TEXT, prompt(n=2, **STREAM))
    assert [[choice["index"] for choice in event["output"]["choices"]] for event in events] == [[0, 1], [0, 1]]
    contents = [choice["message"]["content"] for choice in api.good(TEXT, prompt("在吗", n=3))["output"]["choices"]]
    assert len(set(contents)) == 3
    refused(api, model="deepseek-v3.2", n=2)


@pytest.mark.parametrize(("stop", "left"), [("三", "一二"), (["五", "四", "三"], "一二"), ([1, 2], "一二三四五")])
def test_stop(emulator: Emulator, api: BailianApi, stop: Any, left: str) -> None:
    """The text ends before the first stop word."""
    emulator.reply("一二三四五")
    choice = api.complete(stop=stop)
    assert (choice["message"]["content"], choice["finish_reason"]) == (left, "stop")
    emulator.reply("一二三四五")
    assert "".join(pieces(api.stream(stop=stop))) == left


def test_length(emulator: Emulator, api: BailianApi) -> None:
    """max_tokens cuts the answer, and says so."""
    emulator.reply("一二三四五")
    choice = api.complete(max_tokens=2)
    assert (choice["message"]["content"], choice["finish_reason"]) == ("一二", "length")
    emulator.reply("一二三四五")
    assert api.stream(max_tokens=2)[-1]["finish_reason"] == "length"


def test_logprobs(emulator: Emulator, api: BailianApi) -> None:
    """Probabilities stand beside the message."""
    emulator.reply("好", chunks=["好"])
    [token] = api.complete(logprobs=True, top_logprobs=2)["logprobs"]["content"]
    assert (token["token"], token["bytes"], len(token["top_logprobs"])) == ("好", [229, 165, 189], 2)
    emulator.reply("好", chunks=["好"])
    first, last = api.stream(logprobs=True)
    assert first["logprobs"]["content"][0]["token"] == "好"
    assert "logprobs" not in last


@pytest.mark.parametrize(
    "given",
    [
        {"temperature": 2},
        {"temperature": -0.1},
        {"top_p": 0},
        {"top_p": 1.1},
        {"presence_penalty": 3},
        {"repetition_penalty": 0},
        {"max_tokens": 0},
        {"top_logprobs": 6},
        {"stop": ["a", 1]},
        {"n": 5},
        {"temperature": "1"},
    ],
)
def test_ranges(api: BailianApi, given: dict[str, Any]) -> None:
    """What is out of its documented range is refused."""
    assert refused(api, **given)[0] == "InvalidParameter"


def test_the_edges_of_ranges(api: BailianApi) -> None:
    """The ends of the ranges are inside."""
    edges = {"temperature": 0, "top_p": 1, "presence_penalty": -2, "repetition_penalty": 1.05, "top_logprobs": 0}
    assert api.complete(**edges, max_tokens=1)["finish_reason"] == "length"


def test_partial_mode(api: BailianApi) -> None:
    """Only the continuation comes back."""
    messages = [
        {"role": "user", "content": "讲个故事"},
        {"role": "assistant", "content": "从前有座山", "partial": True},
    ]
    content = api.complete(messages)["message"]["content"]
    assert content
    assert "从前有座山" not in content


def test_characters(api: BailianApi) -> None:
    """Character models play the role of the system message, speak first or twice, and give alternatives."""
    role = {"role": "system", "content": "你是张三，今年二十岁。"}
    messages = [role, {"role": "assistant", "content": "嗨"}, {"role": "user", "content": "你叫什么"}]
    model = "qwen-plus-character"
    assert "张三" in api.complete(messages, model=model)["message"]["content"]
    contents = [
        each["message"]["content"] for each in api.good(TEXT, prompt(messages, model, n=4))["output"]["choices"]
    ]
    assert len(set(contents)) == 4
    api.complete([*messages, {"role": "assistant", "content": "我叫张三"}], model=model)


@pytest.mark.parametrize(
    ("messages", "status", "code"),
    [
        ([], 400, "InvalidParameter"),
        ([{"role": "system", "content": "你是助手"}], 400, "InvalidParameter"),
        ([{"role": "function", "content": "x"}], 400, "InvalidParameter"),
        ([{"role": "user", "content": "你好"}, {"role": "assistant", "content": "x"}], 500, "InternalError.Algo"),
        ([{"role": "user", "content": "你好"}, {"role": "system", "content": "x"}], 500, "InternalError.Algo"),
    ],
)
def test_orders_of_messages(api: BailianApi, messages: list[Any], status: int, code: str) -> None:
    """The order of messages is checked."""
    assert refusal(api.post(TEXT, prompt(messages)))[:2] == (status, code)


def test_a_body_of_another_protocol(api: BailianApi) -> None:
    """Messages beside the model are not seen."""
    body = {"model": "qwen-plus", "messages": [{"role": "user", "content": "你好"}]}
    assert refusal(api.post(TEXT, body))[2].startswith('Either "prompt" or "messages" must exist')


def test_json_mode_wants_its_word(api: BailianApi) -> None:
    """JSON mode without the word json is refused in the documented words."""
    words = "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'."
    assert refused(api, response_format={"type": "json_object"}) == ["InvalidParameter", words]
    api.complete("用JSON回答", response_format={"type": "json_object"})


def test_json_mode_and_thinking(emulator: Emulator, api: BailianApi) -> None:
    """Sources disagree whether the two go together: a switch decides."""
    given: dict[str, Any] = {"response_format": {"type": "json_object"}, "enable_thinking": True}
    api.stream("用json回答", **given)
    emulator.bailian.json_with_thinking = False
    words = "Json mode response is not supported when enable_thinking is true"
    assert refused(api, "用json回答", sse=True, **given) == ["InvalidParameter", words]


def test_an_error_after_the_sources(emulator: Emulator, api: BailianApi) -> None:
    """Faults count every event of a model's stream."""
    emulator.reply("一二三", chunks=3)
    emulator.fail("error_event", code="ModelServingError", after=1)
    first, (fields, data) = read(api.post(TEXT, prompt(**STREAM), sse=True).text)
    assert first[1]["output"]["choices"][0]["message"]["content"] == "一"
    assert (fields["status"], data["code"]) == ("503", "ModelServingError")
