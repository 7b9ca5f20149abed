"""`XingchenHistoryMiddleware`: agents that continue the platform's conversation, by thread id."""

from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver

from langchain_xingchen import ChatXingchen
from langchain_xingchen.middleware import XingchenHistoryMiddleware
from xingchen_core import ConfigurationError
from xingchen_core.emulator import Emulator


@pytest.fixture(params=["sync", "async"])
def run(request: pytest.FixtureRequest) -> Any:
    """Run an agent, one way or the other, and return its messages."""

    async def go(agent: Any, text: str, thread: str | None = "u1", **configurable: Any) -> list[Any]:
        asked = {"messages": [("human", text)]}
        settings = {"thread_id": thread, **configurable} if thread else configurable
        config = {"configurable": settings}
        result = agent.invoke(asked, config) if request.param == "sync" else await agent.ainvoke(asked, config)
        return list(result["messages"])

    return go


def make_agent(emulator: Emulator, tools: Any = (), checkpointer: Any = None, **options: Any) -> Any:
    """Make an agent that shares nothing with another but the service."""
    settings: dict[str, Any] = {"api_key": "test-key", "base_url": emulator.url}
    middleware = XingchenHistoryMiddleware("demo", **options, **settings)
    model = ChatXingchen(character_id="demo", **settings)
    return create_agent(model, list(tools), middleware=[middleware], checkpointer=checkpointer)


def chats(emulator: Emulator) -> list[dict[str, Any]]:
    """What was asked of the character."""
    return [request.json["input"] for request in emulator.requests if request.path == "/v2/api/chat/send"]


async def test_another_agent_continues_the_conversation(emulator: Emulator, run: Any) -> None:
    """A second agent, as in another process, has the first one's turns in its state, with the platform's ids."""
    first = await run(make_agent(emulator), "我叫小明。")
    second = await run(make_agent(emulator), "我叫什么?")
    assert [m.text for m in second if isinstance(m, HumanMessage)] == ["我叫小明。", "我叫什么?"]
    assert first[-1].text in [m.text for m in second]
    brought = [m.id for m in second[:-2]]
    assert len(set(brought)) == len(brought) >= 2
    assert first[-1].response_metadata["message_id"] in brought
    last = chats(emulator)[-1]
    assert [m["content"] for m in last["messages"]] == ["我叫什么?"]
    assert last["aca"]["context"]["useChatHistory"] is True
    assert last["aca"]["userProfile"]["userId"] == "u1"


async def test_a_checkpoint_is_not_brought_twice(emulator: Emulator, run: Any) -> None:
    """With a checkpointer the second turn reads nothing, and no message is there twice."""
    agent = make_agent(emulator, checkpointer=InMemorySaver())
    await run(agent, "你好")
    reads = [r for r in emulator.requests if r.path.endswith("/histories")]
    said = await run(agent, "我叫小明。")
    assert [r for r in emulator.requests if r.path.endswith("/histories")] == reads
    assert [m.text for m in said if isinstance(m, HumanMessage)] == ["你好", "我叫小明。"]
    assert len([m for m in said if isinstance(m, AIMessage)]) == len({m.id for m in said if isinstance(m, AIMessage)})


async def test_threads_are_users(emulator: Emulator, run: Any) -> None:
    """Another thread id is another user: nothing of the first one's conversation is brought."""
    await run(make_agent(emulator), "这是秘密。", "u1")
    said = await run(make_agent(emulator), "你好", "u2")
    assert "这是秘密。" not in [m.text for m in said]


async def test_the_user_can_be_found_elsewhere(emulator: Emulator, run: Any) -> None:
    """`user_id` finds the user where an application keeps it."""
    agent = make_agent(emulator, user_id=lambda config: config["configurable"]["customer"])
    await run(agent, "你好", None, customer="c7")
    assert chats(emulator)[-1]["aca"]["userProfile"]["userId"] == "c7"


async def test_limit(emulator: Emulator, run: Any) -> None:
    """Only the newest messages are brought into the state."""
    for text in ("一", "二", "三"):
        await run(make_agent(emulator), text)
    said = await run(make_agent(emulator, limit=2), "四")
    assert [m.text for m in said if isinstance(m, HumanMessage)] == ["三", "四"]


async def test_tools_work_with_the_platforms_history(emulator: Emulator, run: Any) -> None:
    """A function call and its result go to the character; the platform adds what came before."""

    @tool
    def weather(city: str) -> str:
        """查询天气。"""
        return f"{city}：晴"

    await run(make_agent(emulator), "我叫小明。")
    emulator.reply("", tool_calls=[{"name": "weather", "arguments": {"city": "杭州"}}])
    emulator.reply("今天晴。")
    said = await run(make_agent(emulator, [weather]), "杭州天气怎么样?")
    assert said[-1].text == "今天晴。"
    assert [m["role"] for m in chats(emulator)[-1]["messages"]] == ["user", "assistant", "function"]


async def test_no_thread_id(emulator: Emulator, run: Any) -> None:
    """Without a thread id nobody knows the user: the error says what to pass."""
    with pytest.raises(ConfigurationError, match="thread_id"):
        await run(make_agent(emulator), "你好", None)
    assert chats(emulator) == []
