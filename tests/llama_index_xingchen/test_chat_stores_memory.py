"""Chat engines and agents that remember on the platform (items 72 and 73 of the checklist)."""

import asyncio
import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import MessageRole
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.llms import MockLLM
from llama_index.core.memory import ChatMemoryBuffer, Memory
from llama_index.core.storage.chat_store.base_db import MessageStatus

from chat_store_words import HISTORY, KEY, REMINDER, assistant, calls, said, user
from llama_index_xingchen import Xingchen, XingchenChatStore, XingchenDBChatStore
from xingchen_core import UnsupportedOperationError
from xingchen_core.emulator import Emulator

Do = Callable[..., Any]


@pytest.fixture
def make_llm(emulator: Emulator, quiet: None) -> Iterator[Do]:
    """Makes LLMs of the quiet character and the user `u1`."""
    with ExitStack() as made:
        common = {"api_key": "test-key", "base_url": emulator.url, "character_id": "quiet", "user_id": "u1"}
        yield lambda **fields: made.enter_context(Xingchen(**{**common, **fields}))


def engine(llm: Xingchen, memory: Any) -> SimpleChatEngine:
    """A chat engine with this memory."""
    return SimpleChatEngine.from_defaults(llm=llm, memory=memory)


newer = pytest.mark.skipif(
    "chat_store" not in inspect.signature(Memory.from_defaults).parameters,
    reason="older LlamaIndex knows no store for Memory but its own (llama-index-core < 0.14.24)",
)


@pytest.fixture(params=["buffer", pytest.param("memory", marks=newer)])
def make_memory(request: pytest.FixtureRequest, make_store: Do) -> Do:
    """Makes memories of the conversation: LlamaIndex's older kind on one store, its newer one on the other."""

    def make() -> Any:
        if request.param == "buffer":
            store = make_store(XingchenChatStore)
            return ChatMemoryBuffer.from_defaults(token_limit=3000, chat_store=store, chat_store_key=KEY)
        return Memory.from_defaults(session_id=KEY, chat_store=make_store(XingchenDBChatStore))

    return make


async def stream(chat: SimpleChatEngine, text: str) -> None:
    """A streamed turn, to its end."""
    response = await chat.astream_chat(text)
    async for _ in response.async_response_gen():
        pass


def turn(chat: SimpleChatEngine, method: str, text: str) -> None:
    """A turn of a chat engine by any of its four methods."""
    if method == "stream_chat":
        list(chat.stream_chat(text).response_gen)
    elif method == "astream_chat":
        asyncio.run(stream(chat, text))
    else:
        result = getattr(chat, method)(text)
        if method == "achat":
            asyncio.run(result)


@pytest.mark.parametrize("method", ["chat", "achat", "stream_chat", "astream_chat"])
def test_a_conversation_over_two_engines(make_llm: Do, make_memory: Do, emulator: Emulator, method: str) -> None:
    """A second engine goes on where the first ended; each turn is on the platform once, written by the chat itself."""
    llm = make_llm(platform_history=True)
    for text in ("我叫小明", "我叫什么?"):
        emulator.reply(f"回答:{text}")
        turn(engine(llm, make_memory()), method, text)
    expected = [
        ("user", "我叫小明"),
        ("assistant", "回答:我叫小明"),
        ("user", "我叫什么?"),
        ("assistant", "回答:我叫什么?"),
    ]
    assert said(make_memory().get_all()) == expected
    assert calls(emulator, REMINDER) == 0
    assert [message["content"] for message in emulator.xingchen.prompts[-1]] == [
        "我叫小明",
        "回答:我叫小明",
        "我叫什么?",
    ]


def test_memory_without_platform_history(make_llm: Do, make_memory: Do, emulator: Emulator) -> None:
    """The memory may hand the history to the character itself: the platform saves each exchange all the same."""
    for text in ("我叫小明", "我叫什么?"):
        emulator.reply(f"回答:{text}")
        engine(make_llm(), make_memory()).chat(text)
    assert [message["content"] for message in emulator.xingchen.prompts[-1]] == [
        "我叫小明",
        "回答:我叫小明",
        "我叫什么?",
    ]
    assert len(make_memory().get_all()) == 4
    assert calls(emulator, REMINDER) == 0


def test_another_model_remembers_here(make_memory: Do, emulator: Emulator) -> None:
    """Answers of another model become reminders; its questions are pending, and stay where they belong."""
    memory = make_memory()
    chat = SimpleChatEngine.from_defaults(llm=MockLLM(), memory=memory)
    chat.chat("你好")
    chat.chat("再见")
    roles = [message.role.value for message in memory.get_all()]
    assert roles == ["user", "assistant", "user", "assistant"]
    assert calls(emulator, REMINDER) == 2


def test_resetting_an_engine(make_llm: Do, make_memory: Do, emulator: Emulator) -> None:
    """After `reset` character and engine have forgotten."""
    llm, memory = make_llm(platform_history=True), make_memory()
    chat = engine(llm, memory)
    chat.chat("我叫小明")
    chat.reset()
    assert chat.chat_history == []
    chat.chat("我叫什么?")
    assert [message["content"] for message in emulator.xingchen.prompts[-1]] == ["我叫什么?"]


# Agents


agents = pytest.mark.filterwarnings(
    # LlamaIndex's workflows look at every attribute of an agent, pydantic's deprecated ones too.
    "ignore::pydantic.warnings.PydanticDeprecatedSince20",
    "ignore::pydantic.warnings.PydanticDeprecatedSince211",
    "ignore:is_running called from within a step",
)


def get_weather(city: str) -> str:
    """查询天气。"""
    return "晴,26 度"


def agent(llm: Xingchen) -> FunctionAgent:
    """An agent with one tool."""
    return FunctionAgent(llm=llm, tools=[get_weather])


@newer
@agents
async def test_reads_of_an_agents_turn(make_llm: Do, make_store: Do, emulator: Emulator) -> None:
    """Item 73: a turn reads the history at most twice, and sees what it wrote itself."""
    memory = Memory.from_defaults(session_id=KEY, chat_store=make_store(XingchenDBChatStore))
    character = agent(make_llm(is_function_calling_model=True))
    for number, question in enumerate(("你好", "在忙吗?", "再见"), 1):
        before = calls(emulator, HISTORY)
        emulator.reply(f"回答{number}")
        await character.run(question, memory=memory)
        assert calls(emulator, HISTORY) - before <= 2
        assert said(await memory.aget_all())[-2:] == [("user", question), ("assistant", f"回答{number}")]
    assert await memory.sql_store.count_messages(KEY) == 6


@newer
@agents
async def test_an_agent_with_functions(make_llm: Do, make_store: Do, emulator: Emulator) -> None:
    """Item 72: over the token limit the memory begins with a user message; no call is kept without its result."""
    store = make_store(XingchenDBChatStore, unsupported="skip")
    memory = Memory.from_defaults(session_id=KEY, chat_store=store, token_limit=400, token_flush_size=50)
    character = agent(make_llm(is_function_calling_model=True))
    for number in range(6):
        emulator.reply(tool_calls=[{"name": "get_weather", "arguments": {"city": f"城{number}"}}])
        emulator.reply(f"第{number}天是晴天," + "记得带帽子," * 10)
        response = await character.run(f"第{number}天天气?", memory=memory)
        assert [call.tool_kwargs for call in response.tool_calls] == [{"city": f"城{number}"}]
        active = await memory.aget()
        assert active[0].role is MessageRole.USER
        assert not any(message.role is MessageRole.TOOL for message in active)
        assert not any("tool_calls" in message.additional_kwargs for message in active)

    everything = await memory.aget_all()
    assert [message.role.value for message in everything] == ["user", "assistant"] * 6
    assert [message.content for message in everything[::2]] == [f"第{number}天天气?" for number in range(6)]
    archived = await memory.aget_all(MessageStatus.ARCHIVED)
    assert 0 < len(archived) < 12
    assert everything == archived + await memory.aget_all(MessageStatus.ACTIVE)
    assert calls(emulator, REMINDER) == 0


@newer
@agents
async def test_an_agent_that_must_not_lose_calls(make_llm: Do, make_store: Do, emulator: Emulator) -> None:
    """Item 70: without `unsupported="skip"` a function call in the memory raises, and says so."""
    memory = Memory.from_defaults(session_id=KEY, chat_store=make_store(XingchenDBChatStore))
    emulator.reply(tool_calls=[{"name": "get_weather", "arguments": {"city": "杭州"}}])
    emulator.reply("晴天")
    with pytest.raises(UnsupportedOperationError, match=r"cannot hold function calls: it holds text.*skip"):
        await agent(make_llm(is_function_calling_model=True)).run("天气?", memory=memory)


@newer
async def test_memory_with_a_history_to_begin_with(make_store: Do, emulator: Emulator) -> None:
    """`chat_history` continues an empty conversation; another one is not overwritten."""
    store = make_store(XingchenDBChatStore)
    memory = await asyncio.to_thread(
        Memory.from_defaults, session_id=KEY, chat_store=store, chat_history=[user("你好"), assistant("你好呀")]
    )
    assert said(await memory.aget()) == [("user", "你好"), ("assistant", "你好呀")]
    await memory.aset([user("你好"), assistant("你好呀"), user("在吗?")])
    assert len(await memory.aget_all()) == 3


@newer
def test_a_memory_is_attached_again(make_store: Do) -> None:
    """LlamaIndex dumps a memory without its store; with the store's own dump it can be made again and goes on."""
    memory = Memory.from_defaults(session_id=KEY, chat_store=make_store(XingchenDBChatStore))
    memory.put(assistant("你好"))
    key, dump = memory.to_dict()["session_id"], memory.sql_store.to_dict()
    store = XingchenDBChatStore.from_dict(dump, api_key="test-key")
    assert said(Memory.from_defaults(session_id=key, chat_store=store).get()) == [("assistant", "你好")]
