"""What LangChain adds to every chat model: caches, rate limits, traces, token counts."""

import sys
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler, get_usage_metadata_callback
from langchain_core.globals import set_llm_cache
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.rate_limiters import BaseRateLimiter
from langchain_core.runnables import ConfigurableField

import xingchen_core
from langchain_xingchen import ChatXingchen
from xingchen_core.emulator import Emulator

MakeModel = Callable[..., ChatXingchen]
Way = Callable[..., AIMessage]

HISTORY = {"platform_history": True, "user_id": "u1"}


@pytest.fixture
def global_cache() -> Iterator[None]:
    """The cache that LangChain asks for every model which says nothing about caching."""
    set_llm_cache(InMemoryCache())
    yield
    set_llm_cache(None)


@pytest.mark.usefixtures("global_cache")
@pytest.mark.parametrize(
    ("fields", "call", "requests"),
    [
        ({}, {}, 1),
        # What the platform remembers changes the answer ...
        (HISTORY, {}, 2),
        ({"user_id": "u1"}, {"platform_history": True}, 2),
        ({"enable_long_term_memory": True}, {}, 2),
        ({}, {"enable_long_term_memory": True}, 2),
        # ... a new answer is asked for because the old one is not wanted ...
        ({}, {"regenerate": True}, 2),
        # ... and somebody who says `cache` has thought of that.
        ({**HISTORY, "cache": True}, {}, 1),
        ({**HISTORY, "cache": InMemoryCache()}, {}, 1),
        ({"user_id": "u1", "cache": True}, {"platform_history": True}, 1),
        ({"cache": False}, {}, 2),
    ],
)
def test_caches(make: MakeModel, emulator: Emulator, ask: Way, fields: Any, call: Any, requests: int) -> None:
    """A repeated question is answered from the cache only where the answer depends on nothing else."""
    model = make(**fields)
    answers = [ask(model, "你好", **call).content for _ in range(2)]
    assert len(emulator.requests) == requests
    assert all(answers)


@pytest.mark.usefixtures("global_cache")
def test_a_rebuilt_model_keeps_history_out_of_the_cache(make: MakeModel, emulator: Emulator, ask: Way) -> None:
    """`configurable_fields` makes a model from all fields of another; that is nobody asking for the cache."""
    model = make(user_id="u1").configurable_fields(platform_history=ConfigurableField(id="history"))
    for _ in range(2):
        ask(model, "你好", config={"configurable": {"history": True}})
    assert len(emulator.requests) == 2


@pytest.mark.usefixtures("global_cache")
@pytest.mark.parametrize(
    "other",
    [
        {"character_id": None, "character": {"name": "小婉", "content": "你是小婉。"}},
        {"user_info": "爱打球"},
        {"scenario": "下雨了"},
        {"memory": {"summaries": ["养猫"]}},
        {"model_kwargs": {"repetitionPenalty": 1.1}},
        {"temperature": 0.0},
    ],
)
def test_a_cache_tells_models_apart(make: MakeModel, emulator: Emulator, other: dict[str, Any]) -> None:
    """What shapes the answer, nested settings included, is part of the cache's key."""
    make().invoke("你好")
    make(**other).invoke("你好")
    assert len(emulator.requests) == 2


class Permits(BaseRateLimiter):
    """Counts what it permits."""

    def __init__(self) -> None:
        self.asked = 0

    def acquire(self, *, blocking: bool = True) -> bool:
        self.asked += 1
        return True

    async def aacquire(self, *, blocking: bool = True) -> bool:
        self.asked += 1
        return True


def test_rate_limiter(make: MakeModel, ways: dict[str, Way], event_ways: dict[str, Way]) -> None:
    """The caller's limiter is asked once for each call, however it is made."""
    limiter = Permits()
    model = make(rate_limiter=limiter)
    for ask in {**ways, **event_ways}.values():
        ask(model, "你好")
    assert limiter.asked == 6


class Trace(BaseCallbackHandler):
    """Notes what a tracer is told."""

    def __init__(self) -> None:
        self.starts: list[dict[str, Any]] = []
        self.tokens: list[str] = []

    def on_chat_model_start(
        self, serialized: dict[str, Any], messages: list[list[BaseMessage]], *, run_id: UUID, **kwargs: Any
    ) -> None:
        self.starts.append(kwargs)

    def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
        self.tokens.append(token)


@pytest.mark.parametrize(
    ("fields", "call", "expected"),
    [
        ({}, {}, {"ls_model_name": "xingchen-plus-v2"}),
        ({"model": "xingchen-plus"}, {}, {"ls_model_name": "xingchen-plus"}),
        ({"model": "xingchen-plus"}, {"model": "xingchen-base"}, {"ls_model_name": "xingchen-base"}),
        ({"model": "xingchen-plus"}, {"model_name": "xingchen-base"}, {"ls_model_name": "xingchen-base"}),
        ({"temperature": 0.5, "max_tokens": 9}, {"stop": ["。"]}, {"ls_temperature": 0.5, "ls_max_tokens": 9}),
        ({"temperature": 0.5}, {"temperature": 0.7, "stop": ["。"]}, {"ls_temperature": 0.7, "ls_stop": ["。"]}),
    ],
)
def test_traces(make: MakeModel, way: Way, fields: Any, call: Any, expected: dict[str, Any]) -> None:
    """A trace names the service, the model that answered, its settings and our version."""
    trace = Trace()
    way(make(**fields), "你好", config={"callbacks": [trace]}, **call)
    [start] = trace.starts
    metadata = start["metadata"]
    assert {"ls_provider": "xingchen", "ls_model_type": "chat", **expected}.items() <= metadata.items()
    assert metadata["lc_versions"]["xingchen-integrations"] == xingchen_core.__version__
    assert start["invocation_params"]["_type"] == "xingchen-chat"
    assert start["invocation_params"]["character_id"] == "demo"


def test_usage_callback(make: MakeModel, ways: dict[str, Way]) -> None:
    """LangChain's usage callback counts every way to ask the same, under the model's name."""
    for ask in ways.values():
        with get_usage_metadata_callback() as callback:
            answer = ask(make(), "你好")
        assert callback.usage_metadata == {"xingchen-plus-v2": answer.usage_metadata}


def test_each_piece_is_told_once(make: MakeModel, emulator: Emulator, ways: dict[str, Way], event_ways: Any) -> None:
    """Callbacks hear every piece of a stream once, as it is passed on; of the v3 events too."""
    for name, ask in {**ways, **event_ways}.items():
        emulator.reply("今天天气真好。", chunks=["今天", "天气", "真好。"])
        trace = Trace()
        ask(make(), "你好", config={"callbacks": [trace]})
        told = [token for token in trace.tokens if token]
        assert told == ([] if name in ("invoke", "ainvoke") else ["今天", "天气", "真好。"]), name


@pytest.mark.parametrize(("text", "tokens"), [("", 0), ("你好", 2), ("abcd", 1), ("abcde", 2), ("你好 world", 4)])
def test_token_estimate(monkeypatch: pytest.MonkeyPatch, make: MakeModel, text: str, tokens: int) -> None:
    """One token for a Chinese character, one for four others begun; no tokenizer has to be installed."""
    for package in ("transformers", "tiktoken"):
        monkeypatch.setitem(sys.modules, package, None)
    assert make().get_num_tokens(text) == tokens
    assert len(make().get_token_ids(text)) == tokens


def test_token_estimate_of_messages(monkeypatch: pytest.MonkeyPatch, make: MakeModel) -> None:
    """A conversation is its words and its speakers' roles."""
    monkeypatch.setitem(sys.modules, "transformers", None)
    messages = [HumanMessage("你好"), AIMessage("你好呀")]  # counted as "Human: 你好" and "AI: 你好呀"
    assert make().get_num_tokens_from_messages(messages) == 8


def test_own_tokenizer(make: MakeModel) -> None:
    """Whoever has a tokenizer may give it."""
    assert make(custom_get_token_ids=lambda text: [7] * len(text)).get_num_tokens("你好吗") == 3
