"""`BailianMemoryBlock`: what is recalled and stored, alone and inside `Memory`."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, TextBlock, ToolCallBlock
from llama_index.core.memory import Memory
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from llama_index_xingchen import BailianMemoryBlock
from llama_index_xingchen.memory import HEADING
from xingchen_core import AuthenticationError, ConfigurationError, InternalServerError
from xingchen_core.emulator import Emulator

SEARCH, ADD, ADD_ASYNC = (f"/api/v2/apps/memory/{path}" for path in ("memory_nodes/search", "add", "add-async"))

Make = Callable[..., BailianMemoryBlock]


@pytest.fixture
def make(emulator: Emulator) -> Iterator[Make]:
    """Builds blocks of the user u1; a test names only what it is about."""
    with ExitStack() as made:

        def make_block(**fields: Any) -> BailianMemoryBlock:
            usual = {"user_id": "u1", "api_key": "test-key", "base_url": emulator.url}
            return made.enter_context(BailianMemoryBlock(**{**usual, **fields}))

        yield make_block


def user(text: str) -> ChatMessage:
    """What the user says."""
    return ChatMessage(role="user", content=text)


def said(text: str) -> ChatMessage:
    """What the assistant says."""
    return ChatMessage(role="assistant", content=text)


def recall(block: BailianMemoryBlock, *messages: ChatMessage, **kwargs: Any) -> str:
    """Reads the block."""
    return asyncio.run(block.aget(list(messages), **kwargs))


def test_recall(make: Make, emulator: Emulator) -> None:
    """What goes with the messages is told, best first, a line each, under a heading."""
    emulator.bailian.memory.add("u1", "喝红茶")
    emulator.bailian.memory.add("u1", "喝绿茶\n不加糖")
    emulator.bailian.memory.add("u2", "喝绿茶和咖啡")
    assert recall(make(min_score=0), user("绿茶"), session_id="s1") == f"{HEADING}\n- 喝绿茶 不加糖\n- 喝红茶"
    [request] = emulator.requests
    assert request.path == SEARCH
    assert request.json == {
        "user_id": "u1",
        "messages": [{"role": "user", "content": "绿茶"}],
        "min_score": 0,
    }


def test_what_is_searched_with(make: Make, emulator: Emulator) -> None:
    """The newest messages of user and assistant, without what they did not say; options go along."""
    options = {"library_id": "lib-demo", "project_id": "proj-demo", "top_k": 3, "plan_version": "lite"}
    call = ToolCallBlock(tool_name="f", tool_kwargs={})
    messages = [
        user("一"),
        said("二"),
        ChatMessage(role="system", content="系统"),
        ChatMessage(role="assistant", blocks=[call]),
        ChatMessage(role="tool", content="结果", additional_kwargs={"tool_call_id": "c"}),
        ChatMessage(role="user", blocks=[TextBlock(text="三")], additional_kwargs={"session_id": "s1"}),
    ]
    recall(make(query_messages=2, **options), *messages)
    assert emulator.requests[0].json == {
        "user_id": "u1",
        "messages": [{"role": "assistant", "content": "二"}, {"role": "user", "content": "三"}],
        "top_k": 3,
        "memory_library_id": "lib-demo",
        "project_ids": ["proj-demo"],
        "plan_version": "lite",
    }


def test_nothing_to_recall(make: Make, emulator: Emulator) -> None:
    """Without messages nothing is asked; without memories nothing is told."""
    assert recall(make()) == ""
    assert asyncio.run(make().aget()) == ""
    assert recall(make(), ChatMessage(role="system", content="系统")) == ""
    assert emulator.requests == []
    assert recall(make(), user("绿茶")) == ""


@pytest.mark.parametrize(("wait", "path"), [(True, ADD), (False, ADD_ASYNC)])
def test_store(make: Make, emulator: Emulator, wait: bool, path: str) -> None:
    """What was said is sent, at once or in the background, for the block's user whatever the session."""
    messages = [user("我喜欢绿茶。"), said("好的"), ChatMessage(role="system", content="系统")]
    asyncio.run(make(wait=wait, project_id="proj-demo").aput(messages, session_id="s1"))
    [request] = emulator.requests
    assert request.path == path
    assert request.json == {
        "user_id": "u1",
        "messages": [{"role": "user", "content": "我喜欢绿茶。"}, {"role": "assistant", "content": "好的"}],
        "project_id": "proj-demo",
        "meta_data": {"xingchen_user_id": "u1"},  # by which the core knows whose a memory is
    }
    if wait:
        assert [node.content for node in emulator.bailian.memory.nodes.values()] == ["我喜欢绿茶"]


def test_long_conversations_are_split(make: Make, emulator: Emulator) -> None:
    """One add takes fifty messages; what has no words takes none."""
    asyncio.run(make().aput([user(f"{n}") for n in range(101)]))
    assert [len(request.json["messages"]) for request in emulator.requests] == [50, 50, 1]
    asyncio.run(make().aput([ChatMessage(role="system", content="系统"), user("  ")]))
    assert len(emulator.requests) == 3


def test_short_term_memory_can_be_refused(make: Make, emulator: Emulator) -> None:
    """As every block: what leaves the short-term history is stored unless the block says no."""
    asyncio.run(make(accept_short_term_memory=False).aput([user("一")], from_short_term_memory=True))
    assert emulator.requests == []


def test_adds_are_not_repeated(make: Make, emulator: Emulator) -> None:
    """An add that may have been received is not sent again; errors are the caller's."""
    emulator.fail("status", status=500, code="InternalError", path="add-async")
    with pytest.raises(InternalServerError):
        asyncio.run(make().aput([user("一")]))
    assert len(emulator.requests) == 1
    emulator.fail("status", status=401, code="InvalidApiKey", path="search")
    with pytest.raises(AuthenticationError):
        recall(make(), user("一"))


@pytest.mark.parametrize("user_id", ["", "  ", "u" * 65])
def test_there_is_a_user(user_id: str) -> None:
    """Nobody's memories are never everybody's."""
    with pytest.raises(ConfigurationError, match="user_id"):
        BailianMemoryBlock(user_id=user_id, api_key="test-key")
    with pytest.raises(ValueError, match="user_id"):
        BailianMemoryBlock(api_key="test-key")


@pytest.mark.parametrize(
    ("tokens", "left"),
    [(1, f"{HEADING}\n- one\n- two"), (4, f"{HEADING}\n- one"), (1000, None)],
)
def test_the_weakest_go_first(make: Make, tokens: int, left: str | None) -> None:
    """Cutting leaves out the last lines, and the heading with the last of them."""
    content = f"{HEADING}\n- one\n- two\n- three"
    assert asyncio.run(make().atruncate(content, tokens)) == left
    assert asyncio.run(make().atruncate("", tokens)) is None


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_in_a_memory(make: Make, emulator: Emulator, tmp_path: Path, is_async: bool) -> None:
    """`Memory` puts what is recalled in front, and hands over what leaves its history."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/history.db", poolclass=NullPool)
    emulator.bailian.memory.add("u1", "喜欢绿茶")
    memory = Memory.from_defaults(
        session_id="s1",
        token_limit=60,
        token_flush_size=20,
        memory_blocks=[make(wait=True, min_score=0)],
        async_engine=engine,
    )
    talk = [user("我住在杭州。" * 8), said("好的。"), user("推荐茶")]

    async def aread() -> list[ChatMessage]:
        for message in talk:
            await memory.aput(message)
        return await memory.aget()

    def read() -> list[ChatMessage]:
        for message in talk:
            memory.put(message)
        return memory.get()

    messages = asyncio.run(aread()) if is_async else read()
    assert messages[-1].content == "推荐茶"
    assert messages[0].role == "system"
    assert "- 喜欢绿茶" in (messages[0].content or "")
    assert "我住在杭州" in [node.content for node in emulator.bailian.memory.nodes.values()]


def test_no_secrets_in_dumps(make: Make) -> None:
    """No key is shown, and a copy works for its own user."""
    block = make()
    assert "test-key" not in f"{block!r}{block.model_dump()}"
    assert block.model_copy(update={"user_id": "u2"}).user_id == "u2"
