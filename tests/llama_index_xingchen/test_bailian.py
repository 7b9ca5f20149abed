"""`Bailian`: what the model table tells, how each model is asked, and what comes beside the text."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core.base.llms.types import (
    CacheControl,
    CachePoint,
    ChatMessage,
    CitationBlock,
    ImageBlock,
    TextBlock,
    ThinkingBlock,
)
from pydantic import ValidationError

from llama_index_xingchen import Bailian
from llm_cases import BAILIAN, Case
from xingchen_core import ConfigurationError, UnsupportedOperationError
from xingchen_core.bailian import profiles
from xingchen_core.emulator import Emulator

Make = Callable[..., Bailian]
Ask = Callable[..., list[Any]]

TEXT_PATH = "/api/v1/services/aigc/text-generation/generation"
MEDIA_PATH = "/api/v1/services/aigc/multimodal-generation/generation"
COMPATIBLE_PATH = "/compatible-mode/v1/chat/completions"


@pytest.fixture
def case() -> Case:
    """Models only."""
    return BAILIAN


def said(response: Any) -> str:
    """The text of either kind of response."""
    text: str = response.message.content if hasattr(response, "message") else response.text
    return text


def test_every_known_model_has_sizes() -> None:
    """Item 3: of each model in the table the window is larger than the answer; what is not known has a default."""
    for name in profiles._table():
        metadata = Bailian(api_key="test-key", model=name).metadata
        assert metadata.context_window > metadata.num_output > 0, name
        assert metadata.model_name == name


@pytest.mark.parametrize(
    ("fields", "window", "output", "functions"),
    [
        ({"model": "qwen-max"}, 32768, 8192, True),
        ({"model": "qwen-max-latest"}, 32768, 8192, True),
        ({"model": "qwen-plus-character"}, 32000, 4096, False),
        ({"model": "someone-else's"}, 32768, 2048, True),
        ({"model": "qwen-plus", "context_window": 8000}, 8000, 4000, True),
        ({"model": "qwen-plus", "max_completion_tokens": 9, "max_tokens": 5}, 1000000, 9, True),
        ({"model": "qwen-vl-max", "is_function_calling_model": True}, 131072, 8192, True),
        ({"model": "qwen-max", "is_function_calling_model": False}, 32768, 8192, False),
    ],
)
def test_metadata(fields: dict[str, Any], window: int, output: int, functions: bool) -> None:
    """Item 3: sizes and functions are the model's own, or the user's."""
    metadata = Bailian(api_key="test-key", **fields).metadata
    assert (metadata.context_window, metadata.num_output) == (window, output)
    assert metadata.is_function_calling_model is functions


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({}, TEXT_PATH),
        ({"model": "qwen-vl-max"}, MEDIA_PATH),
        ({"endpoint": "compatible"}, COMPATIBLE_PATH),
    ],
)
def test_each_endpoint_answers(
    make: Make, ask: Ask, emulator: Emulator, method: str, fields: dict[str, Any], path: str
) -> None:
    """Items 5 and 40: all eight methods give text and usage, whichever endpoint serves the model."""
    emulator.reply("我是小千。", chunks=3)
    last = ask(make(**fields), method)[-1]
    assert said(last) == "我是小千。"
    assert emulator.requests[-1].path == path
    assert last.raw["usage"]["completion_tokens"] > 0
    assert last.raw["finish_reason"] == "stop"
    assert last.raw["request_id"]


@pytest.mark.parametrize(
    "fields",
    [{"model": "qwq-plus"}, {"model": "qwen3-32b"}, {"enable_thinking": True}],
    ids=["only streams", "thinks by default", "is told to think"],
)
def test_what_only_streams_is_streamed(
    make: Make, ask: Ask, emulator: Emulator, method: str, fields: dict[str, Any]
) -> None:
    """A model that gives no whole answers gives them here all the same, with its thoughts."""
    emulator.reply("二。", thoughts="一加一……")
    last = ask(make(**fields), method)[-1]
    assert said(last) == "二。"
    assert emulator.requests[-1].headers["x-dashscope-sse"] == "enable"
    if "chat" in method:
        thought, text = last.message.blocks
        assert (thought.content, text.text) == ("一加一……", "二。")
    details = last.raw["usage"]["output_token_details"]
    assert 0 < details["reasoning"] < last.raw["usage"]["output_tokens"]


def test_a_hybrid_model_that_need_not_think_is_asked_at_once(make: Make, emulator: Emulator) -> None:
    """What thinks by default answers in one piece when thinking is off, per call too."""
    make(model="qwen3-32b").complete("你好", enable_thinking=False)
    assert "x-dashscope-sse" not in emulator.requests[-1].headers


def test_thoughts_stream(make: Make, ask: Ask, emulator: Emulator, stream_method: str) -> None:
    """Item 22: deltas of the thoughts are where agents look for them, and add up to the block."""
    emulator.reply("二。", thoughts="一加一是多少呢?让我想想。")
    seen = ask(make(enable_thinking=True), stream_method)
    thoughts = [response.additional_kwargs.get("thinking_delta", "") for response in seen]
    assert "".join(thoughts) == "一加一是多少呢?让我想想。"
    assert len([piece for piece in thoughts if piece]) > 1
    assert "".join(response.delta for response in seen) == "二。"
    assert [type(block) for block in seen[0].message.blocks] == [ThinkingBlock, TextBlock]
    assert seen[-1].message.blocks[0].content == "一加一是多少呢?让我想想。"


@pytest.mark.parametrize("preserved", [None, True])
def test_thoughts_go_back_where_they_are_preserved(make: Make, emulator: Emulator, preserved: bool | None) -> None:
    """Thoughts of earlier answers stay here, but where the caller wants the model to see them."""
    answer = ChatMessage(role="assistant", blocks=[ThinkingBlock(content="想"), TextBlock(text="二。")])
    hello = ChatMessage(role="user", content="一加一?")
    make(preserve_thinking=preserved).chat([hello, answer, hello])
    sent = emulator.requests[-1].json["input"]["messages"][1]
    assert sent.get("reasoning_content") == ("想" if preserved else None)


@pytest.mark.parametrize("method", ["chat", "achat", "stream_chat", "astream_chat", "complete", "stream_complete"])
@pytest.mark.parametrize("alternatives", [None, 2])
def test_log_probabilities(make: Make, ask: Ask, emulator: Emulator, method: str, alternatives: int | None) -> None:
    """They are in LlamaIndex's field, the likeliest ones of each token, and as the service told them in `raw`."""
    emulator.reply(chunks=["好", "的"])
    responses = ask(make(model="qwen3-vl-plus", logprobs=True, top_logprobs=alternatives), method)
    [told] = [response.logprobs for response in responses if response.logprobs]
    assert [likeliest[0].token for likeliest in told] == ["好", "的"]
    assert [len(likeliest) for likeliest in told] == [alternatives or 1] * 2
    assert told[0][0].bytes == [0xE5, 0xA5, 0xBD]
    assert told[0][0].logprob < 0
    assert len(responses[-1].raw["logprobs"]["content"]) == 2


def test_no_log_probabilities(make: Make, ask: Ask, method: str) -> None:
    """Where none were asked for, the field is empty."""
    assert all(response.logprobs is None for response in ask(make(), method))


@pytest.mark.parametrize("method", ["chat", "achat", "stream_chat", "astream_chat"])
def test_search_results_are_cited(make: Make, ask: Ask, emulator: Emulator, method: str) -> None:
    """Each mark in the text is a block that slices it and names the page; the results are in `raw`."""
    emulator.reply("晴[1]。", references=[{"title": "天气网", "url": "https://example.com/w"}])
    options = {"enable_source": True, "enable_citation": True}
    last = ask(make(enable_search=True, search_options=options), method)[-1]
    [cited] = [block for block in last.message.blocks if isinstance(block, CitationBlock)]
    place = cited.additional_location_info
    assert last.message.content == "晴[1]。"
    assert last.message.content[place["start"] : place["end"]] == "[1]"
    assert (cited.source, cited.title, cited.cited_content.text) == ("https://example.com/w", "天气网", "天气网")
    assert last.raw["search_info"]["search_results"][0]["title"] == "天气网"


def test_several_answers(make: Make, ask: Ask, emulator: Emulator) -> None:
    """With `n` the first is the message, and all are in `raw`; a stream has only one."""
    emulator.reply("一", alternatives=["二"])
    response = make(n=2, model="qwen-plus-character").chat([ChatMessage(role="user", content="?")])
    assert response.message.content == "一"
    assert [one["text"] for one in response.raw["answers"]] == ["一", "二"]
    with pytest.raises(UnsupportedOperationError, match="n=1"):
        make(n=2).stream_complete("?")


def test_a_beginning_is_written_on(make: Make, emulator: Emulator) -> None:
    """Prefix continuation: the answer is what follows."""
    beginning = ChatMessage(role="assistant", content="从前有座山,", additional_kwargs={"partial": True})
    emulator.reply("山里有座庙。")
    response = make().chat([ChatMessage(role="user", content="讲个故事"), beginning])
    assert response.message.content == "山里有座庙。"
    assert emulator.requests[-1].json["input"]["messages"][-1] == {
        "role": "assistant",
        "content": "从前有座山,",
        "partial": True,
    }


def test_a_marked_text_is_cached(make: Make) -> None:
    """An explicit cache: what a cache point marks is written once, and read the second time."""
    mark = CachePoint(cache_control=CacheControl(type="ephemeral"))
    messages = [ChatMessage(role="user", blocks=[TextBlock(text="很长的文章。"), mark, TextBlock(text="总结一下")])]
    first, second = (make().chat(messages).raw["usage"]["input_token_details"] for _ in range(2))
    assert first["cache_creation"] > 0
    assert second["cache_read"] == first["cache_creation"]


def test_a_picture_is_sent(make: Make, ask: Ask, emulator: Emulator, stream_method: str) -> None:
    """Item 51: text and picture are parts of one message; their tokens are counted apart."""
    blocks = [ImageBlock(url="https://example.com/cat.png"), TextBlock(text="这是什么?")]
    emulator.reply("一只猫。")
    last = ask(make(model="qwen-vl-max"), stream_method, [ChatMessage(role="user", blocks=blocks)])[-1]
    assert last.message.content == "一只猫。"
    assert emulator.requests[-1].json["input"]["messages"] == [
        {"role": "user", "content": [{"image": "https://example.com/cat.png"}, {"text": "这是什么?"}]}
    ]
    assert last.raw["usage"]["input_token_details"]["image"] > 0


def test_fields_of_object_and_call(make: Make, ask: Ask, emulator: Emulator, method: str) -> None:
    """Item 9: all that shapes the answer may be given to both; `model_kwargs` win over `additional_kwargs`."""
    llm = make(model_name="qwen-flash", top_p=0.5, additional_kwargs={"future": 1, "newer": 1}, stop="完")
    ask(llm, method, top_k=7, model_kwargs={"newer": 2})
    body = emulator.requests[-1].json
    assert body["model"] == "qwen-flash"
    expected = {"top_p": 0.5, "top_k": 7, "stop": ["完"], "future": 1, "newer": 2, "result_format": "message"}
    assert body["parameters"] == expected | ({"incremental_output": True} if "stream" in method else {})
    ask(llm, method, model_name="qwen-max", additional_kwargs={})
    assert emulator.requests[-1].json["model"] == "qwen-max"
    assert "future" not in emulator.requests[-1].json["parameters"]


def test_the_workspace_is_sent(make: Make, ask: Ask, emulator: Emulator, method: str) -> None:
    """A sub-workspace is a header of every call."""
    ask(make(workspace_id="llm-demo"), method)
    assert emulator.requests[-1].headers["x-dashscope-workspace"] == "llm-demo"


def test_bad_values_are_refused_before_anything_is_sent(make: Make, ask: Ask, emulator: Emulator, method: str) -> None:
    """A value out of range, and a conversation without a question."""
    with pytest.raises(ValidationError, match="temperature"):
        ask(make(), method, temperature=2.5)
    with pytest.raises(ConfigurationError, match="json"):
        ask(make(), method, response_format={"type": "json_object"})
    assert emulator.requests == []


def test_a_conversation_without_a_question(make: Make, ask: Ask, emulator: Emulator, stream_method: str) -> None:
    """There is nothing to answer, and the error says what to add."""
    with pytest.raises(ConfigurationError, match="no user message: add one"):
        ask(make(), stream_method, [ChatMessage(role="system", content="你是小千。")])
    assert emulator.requests == []


def test_a_picture_for_the_text_endpoint_is_refused(make: Make, emulator: Emulator) -> None:
    """Item 51: where the caller chose an endpoint without pictures, none is left out in silence."""
    with pytest.raises(ConfigurationError, match="no image"):
        make(endpoint="text").chat([ChatMessage(role="user", blocks=[ImageBlock(url="https://example.com/a.png")])])
    assert emulator.requests == []


def test_many_calls_of_one_object(make: Make, emulator: Emulator) -> None:
    """Item 50: calls at once do not mix their answers, streamed under `achat` or not."""
    llm = make()

    async def talk() -> list[str]:
        answers = await asyncio.gather(
            *(llm.acomplete(f"第{number}", enable_thinking=bool(number % 2)) for number in range(20))
        )
        return [answer.text for answer in answers]

    assert all(f"第{number}」" in text for number, text in enumerate(asyncio.run(talk())))
