"""`ChatBailian`: what each setting sends, what comes back beside the text, and what a model is known to do."""

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import get_usage_metadata_callback
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from pydantic import ValidationError

from langchain_xingchen import ChatBailian, init_xingchen_model
from xingchen_core import ConfigurationError, UnsupportedOperationError
from xingchen_core.bailian import ModelParameters
from xingchen_core.emulator import Emulator

Way = Callable[..., AIMessage]
Make = Callable[..., ChatBailian]

TEXT = "/api/v1/services/aigc/text-generation/generation"
MULTIMODAL = "/api/v1/services/aigc/multimodal-generation/generation"
COMPATIBLE = "/compatible-mode/v1/chat/completions"
NOW = {"type": "function", "function": {"name": "now", "parameters": {"type": "object", "properties": {}}}}
PICTURE = "https://example.com/a.png"


@pytest.fixture
def bailian(emulator: Emulator) -> Make:
    """Builds models at the emulator."""
    return lambda **fields: ChatBailian(**{"api_key": "test-key", "base_url": emulator.url, **fields})


# Field: (value, what is sent for it in `parameters`); `None` where it is not sent there.
WIRE: dict[str, tuple[Any, dict[str, Any] | None]] = {
    "model": ("qwen-max", None),
    "endpoint": ("compatible", None),
    "temperature": (0.0, {"temperature": 0.0}),
    "top_p": (0.5, {"top_p": 0.5}),
    "top_k": (3, {"top_k": 3}),
    "max_tokens": (99, {"max_tokens": 99}),
    "max_completion_tokens": (99, {"max_completion_tokens": 99}),
    "seed": (0, {"seed": 0}),
    "stop": (["停"], {"stop": ["停"]}),
    "n": (2, {"n": 2}),
    "repetition_penalty": (1.1, {"repetition_penalty": 1.1}),
    "presence_penalty": (-1.0, {"presence_penalty": -1.0}),
    "logprobs": (True, {"logprobs": True}),
    "top_logprobs": (0, {"top_logprobs": 0}),
    "logit_bias": ({"7": -100}, {"logit_bias": {"7": -100}}),
    "tools": ([NOW], {"tools": [NOW]}),
    "tool_choice": ("auto", None),
    "parallel_tool_calls": (True, None),
    "tool_stream": (True, None),
    "enable_thinking": (False, {"enable_thinking": False}),
    "thinking_budget": (50, {"thinking_budget": 50}),
    "reasoning_effort": ("low", {"reasoning_effort": "low"}),
    "preserve_thinking": (False, {"preserve_thinking": False}),
    "response_format": ({"type": "text"}, {"response_format": {"type": "text"}}),
    "enable_search": (False, {"enable_search": False}),
    "search_options": ({"forced_search": True}, {"search_options": {"forced_search": True}}),
    "enable_code_interpreter": (False, {"enable_code_interpreter": False}),
    "vl_high_resolution_images": (True, {"vl_high_resolution_images": True}),
    "data_inspection": (True, None),
    "incremental_output": (True, None),
    "model_kwargs": ({"skill": [{"type": "doc"}]}, {"skill": [{"type": "doc"}]}),
}


def test_every_field_is_tested() -> None:
    """A new field has to say here what it sends."""
    assert WIRE.keys() == ModelParameters.model_fields.keys()


@pytest.mark.parametrize("given", ["to the model", "to the call", "configured"])
@pytest.mark.parametrize("field", WIRE)
def test_each_setting_in_each_way(bailian: Make, emulator: Emulator, ask: Way, field: str, given: str) -> None:
    """A setting shapes the request whether the model has it, the call, or the configuration of a call."""
    value, expected = WIRE[field]
    if given == "to the model":
        ask(bailian(**{field: value}), "你好")
    elif given == "to the call":
        ask(bailian(), "你好", **{field: value})
    else:
        model = init_xingchen_model("bailian:", configurable_fields=[field], api_key="test-key", base_url=emulator.url)
        ask(model, "你好", config={"configurable": {field: value}})
    [request] = emulator.requests
    if expected is not None:
        assert request.path == TEXT
        sent = {name: value for name, value in request.json["parameters"].items() if name != "result_format"}
        assert sent == expected
    assert request.json["model"] == ("qwen-max" if field == "model" else "qwen-plus")
    assert (request.path == COMPATIBLE) == (field == "endpoint")
    assert ("x-dashscope-datainspection" in request.headers) == (field == "data_inspection")


def test_a_plain_request(bailian: Make, emulator: Emulator) -> None:
    """Nothing is sent that nobody asked for but the format, whose default differs by model."""
    bailian(workspace_id="llm-demo").invoke([SystemMessage("短些。"), HumanMessage("你好")])
    [request] = emulator.requests
    assert request.json == {
        "model": "qwen-plus",
        "input": {"messages": [{"role": "system", "content": "短些。"}, {"role": "user", "content": "你好"}]},
        "parameters": {"result_format": "message"},
    }
    assert request.headers["x-dashscope-workspace"] == "llm-demo"
    assert request.headers["authorization"] == "Bearer test-key"


def test_misspelt_settings_are_refused(bailian: Make, emulator: Emulator, ask: Way) -> None:
    """In the constructor and in a call; nothing is sent."""
    with pytest.raises(ValidationError, match="temprature"):
        bailian(temprature=0.5)
    with pytest.raises(ValidationError, match="temprature"):
        ask(bailian(), "你好", temprature=0.5)
    assert emulator.requests == []


@pytest.mark.parametrize(
    ("fields", "content", "path"),
    [
        ({}, "看", TEXT),
        ({}, ["看", {"type": "image", "url": PICTURE}], MULTIMODAL),
        ({"model": "qwen3-vl-plus"}, "看", MULTIMODAL),
        ({"model": "qwen3.7-plus"}, "看", MULTIMODAL),
        ({"model": "qwen3-vl-plus", "endpoint": "compatible"}, ["看", {"type": "image", "url": PICTURE}], COMPATIBLE),
    ],
)
def test_the_endpoint_of_a_model(
    bailian: Make, emulator: Emulator, fields: dict[str, Any], content: Any, path: str
) -> None:
    """By the messages, then by the model; the caller's word counts most."""
    model = bailian(**{"model": "qwen-vl-max" if isinstance(content, list) else "qwen-plus", **fields})
    answer = model.invoke([HumanMessage(content)])
    assert emulator.requests[-1].path == path
    assert isinstance(answer.content, str)
    assert answer.content


def test_thinking_is_streamed_under_invoke(bailian: Make, emulator: Emulator, ask: Way) -> None:
    """The service thinks in streams only; `invoke` gathers one, however thinking was turned on."""
    emulator.bailian.reply("四。", thoughts="二加二。")
    answer = ask(bailian(enable_thinking=True), "2+2?")
    assert answer.content == "四。"
    assert answer.additional_kwargs == {"reasoning_content": "二加二。"}
    assert answer.content_blocks == [{"type": "reasoning", "reasoning": "二加二。"}, {"type": "text", "text": "四。"}]
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["output_token_details"]["reasoning"] > 0

    for model, kwargs in [(bailian(), {"enable_thinking": True}), (bailian(), {"model": "qwq-plus"})]:
        ask(model, "2+2?", **kwargs)
    ask(bailian(model="qwen3-32b"), "2+2?")
    assert [request.headers.get("x-dashscope-sse") for request in emulator.requests] == ["enable"] * 4
    ask(bailian(model="qwen3-32b"), "2+2?", enable_thinking=False)
    assert "x-dashscope-sse" not in emulator.requests[-1].headers


@pytest.mark.parametrize(("model", "sent"), [("qwen-plus", None), ("qwen3.8-max", "二加二。")])
def test_thoughts_go_back_to_models_that_want_them(bailian: Make, emulator: Emulator, model: str, sent: Any) -> None:
    """No other model is sent what was thought before."""
    earlier = AIMessage("四。", additional_kwargs={"reasoning_content": "二加二。"})
    bailian(model=model).invoke([HumanMessage("2+2?"), earlier, HumanMessage("3+3?")])
    assert emulator.requests[-1].json["input"]["messages"][1].get("reasoning_content") == sent


def test_several_answers(bailian: Make, emulator: Emulator, ask: Way) -> None:
    """`n` answers are generations of one result, in a plain call even where streaming is on; usage counts once."""
    emulator.bailian.reply("甲", alternatives=["乙", "丙"])
    result = bailian(n=3, streaming=True).generate([[HumanMessage("你好")]])
    assert [each.text for each in result.generations[0]] == ["甲", "乙", "丙"]
    usages = [each.message.usage_metadata for each in result.generations[0]]  # type: ignore[union-attr]
    assert [usage is not None for usage in usages] == [True, False, False]
    emulator.bailian.reply("甲", alternatives=["乙"])
    assert ask(bailian(), "你好", n=2).content == "甲"


def test_several_answers_do_not_stream(bailian: Make, emulator: Emulator, chunks_of: Way) -> None:
    """A stream carries one answer; nor do tools go with several. Nothing is sent."""
    with pytest.raises(UnsupportedOperationError, match="one answer only"):
        chunks_of(bailian(n=2), "你好")
    with pytest.raises(UnsupportedOperationError, match="use n=1"):
        bailian(n=2).bind_tools([NOW]).invoke("你好")
    assert emulator.requests == []


def test_usage(bailian: Make, emulator: Emulator, way: Way) -> None:
    """Tokens with what they were spent on; LangChain's usage callback counts them by model."""
    emulator.bailian.reply(
        "四。",
        usage={
            "input_tokens": 20,
            "output_tokens": 9,
            "total_tokens": 29,
            "prompt_tokens_details": {"cached_tokens": 5, "cache_creation_input_tokens": 7},
            "output_tokens_details": {"reasoning_tokens": 4, "text_tokens": 5},
        },
    )
    with get_usage_metadata_callback() as counted:
        answer = way(bailian(), "2+2?")
    expected = {
        "input_tokens": 20,
        "output_tokens": 9,
        "total_tokens": 29,
        "input_token_details": {"cache_read": 5, "cache_creation": 7},
        "output_token_details": {"reasoning": 4},
    }
    assert answer.usage_metadata == expected
    assert counted.usage_metadata == {"qwen-plus": expected}


def test_logprobs(bailian: Make, emulator: Emulator, way: Way) -> None:
    """They stand in the metadata of the whole answer, token by token."""
    emulator.bailian.reply(chunks=["你", "好"])
    found = way(bailian(logprobs=True, top_logprobs=1), "你好").response_metadata["logprobs"]["content"]
    assert [each["token"] for each in found] == ["你", "好"]
    assert [len(each["top_logprobs"]) for each in found] == [1, 1]


SEARCH = {"enable_source": True, "enable_citation": True, "citation_format": "[ref_<number>]"}


@pytest.mark.parametrize("prepend", [False, True])
def test_web_search(bailian: Make, emulator: Emulator, way: Way, *, prepend: bool) -> None:
    """Sources are in the metadata, and what the text cites is an annotation that slices it."""
    text = "今天有雨[ref_2]，带伞[ref_1]。"
    emulator.bailian.reply(text, references=["出行建议", {"title": "天气预报", "url": PICTURE}])
    options = {**SEARCH, "prepend_search_result": prepend}
    answer = way(bailian(enable_search=True, search_options=options), "今天出门要带伞吗？")
    results = answer.response_metadata["search_info"]["search_results"]
    assert [(each["index"], each["title"]) for each in results] == [(1, "出行建议"), (2, "天气预报")]
    assert answer.response_metadata["plugins"]["search"]["count"] == 1
    [block] = answer.content_blocks
    cited = [
        (text[each["start_index"] : each["end_index"]], each["title"], each["url"])  # type: ignore[typeddict-item]
        for each in block["annotations"]  # type: ignore[typeddict-item]
    ]
    assert cited == [("[ref_2]", "天气预报", PICTURE), ("[ref_1]", "出行建议", "https://example.com/1")]


def test_marks_that_were_not_asked_for_are_text(bailian: Make, emulator: Emulator, way: Way) -> None:
    """Without citations asked for, `[1]` is what the model wrote."""
    emulator.bailian.reply("数组 a[1]。", references=["手册"])
    answer = way(bailian(enable_search=True, search_options={"enable_source": True}), "怎么取第二个元素？")
    assert answer.content_blocks == [{"type": "text", "text": "数组 a[1]。"}]
    assert answer.response_metadata["search_info"]["search_results"][0]["title"] == "手册"


def test_prefix_continuation(bailian: Make, emulator: Emulator, way: Way) -> None:
    """The beginning goes along as such, and what comes back goes on from it."""
    begun = AIMessage("从前有座山，", additional_kwargs={"partial": True})
    emulator.bailian.reply("山里有座庙。")
    assert way(bailian(), [HumanMessage("讲个故事"), begun]).content == "山里有座庙。"
    assert emulator.requests[-1].json["input"]["messages"][-1] == {
        "role": "assistant",
        "content": "从前有座山，",
        "partial": True,
    }
    with pytest.raises(ConfigurationError, match="partial=True"):
        way(bailian(), [HumanMessage("讲个故事"), AIMessage("从前有座山，")])


def test_a_character_goes_on_by_itself(bailian: Make, emulator: Emulator) -> None:
    """Role-play models may speak twice in a row."""
    emulator.bailian.reply("喂，你在听吗？")
    messages = [SystemMessage("你是小婉。"), HumanMessage("在吗"), AIMessage("在呀。")]
    assert bailian(model="qwen-plus-character").invoke(messages).content == "喂，你在听吗？"


def test_stop(bailian: Make, emulator: Emulator, way: Way) -> None:
    """The argument of a call takes the place of the model's, and the service is told."""
    emulator.bailian.reply("一二三四")
    assert way(bailian(stop=["四"]), "数数", stop=["三"]).content == "一二"
    assert emulator.requests[-1].json["parameters"]["stop"] == ["三"]


@pytest.mark.parametrize(
    ("model", "known"),
    [
        ("qwen-plus", {"structured_output": False, "tool_calling": True, "max_input_tokens": 997952}),
        ("qwen3.7-max", {"structured_output": True, "tool_calling": True}),
        ("qwen3-vl-plus", {"image_inputs": True, "video_inputs": True}),
        ("qwen-plus-character", {"tool_calling": False, "max_output_tokens": 4096}),
        ("qwen-plus-2025-07-28", {"tool_calling": True}),
    ],
)
def test_profiles(model: str, known: dict[str, Any]) -> None:
    """What is known of a model, dated versions included; only what langchain-core has a word for."""
    found = ChatBailian(model=model, api_key="test-key").profile
    assert found is not None
    assert known.items() <= found.items()
    assert found["name"] == model
    assert not found.keys() & {"only_streams", "thinks", "endpoint", "context_window"}


def test_own_profiles() -> None:
    """An unknown model has none; the caller's own is taken as it is, and is not taken to another model's place."""
    assert ChatBailian(model="a-model-of-tomorrow", api_key="test-key").profile is None
    own: Any = {"max_input_tokens": 7, "name": "qwen-max"}
    assert ChatBailian(api_key="test-key", profile=own).profile == own


def test_the_profile_of_a_configured_model(emulator: Emulator) -> None:
    """A model that is chosen per call has that model's profile, not the first one's."""
    model: Any = init_xingchen_model(
        "bailian:qwen-plus", configurable_fields=["model"], api_key="test-key", base_url=emulator.url
    )
    chosen, _ = model._prepare({"configurable": {"model": "qwen3.7-max"}})
    assert (chosen.model, chosen.profile["structured_output"]) == ("qwen3.7-max", True)
    copied = model.default.model_copy(update={"model": "qwen3.7-max"})
    copied.with_structured_output({"title": "A", "type": "object", "properties": {}}, method="json_schema")


def test_tracing_names_the_model(bailian: Make) -> None:
    """Provider, model, also another one of a call, and sampling settings."""
    model = bailian(temperature=0.5, max_tokens=9)
    said: Any = model._get_ls_params(stop=["。"])
    assert said["ls_provider"] == "bailian"
    assert (said["ls_model_name"], said["ls_temperature"], said["ls_max_tokens"]) == ("qwen-plus", 0.5, 9)
    assert model._get_ls_params(model="qwen-max").get("ls_model_name") == "qwen-max"
    assert model._identifying_params == {"model": "qwen-plus", "temperature": 0.5, "max_tokens": 9}
    assert model._llm_type == "bailian-chat"


def test_answers_may_be_cached(bailian: Make, emulator: Emulator) -> None:
    """A model remembers nothing, so a cache may answer; another setting is another question."""
    cache = InMemoryCache()
    for temperature in (0.1, 0.1, 0.2):
        bailian(cache=cache, temperature=temperature).invoke("你好")
    assert len(emulator.requests) == 2
