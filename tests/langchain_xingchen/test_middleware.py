"""Agents whose memory is the platform's conversation: loaded once, continued anywhere, sync and async from one text."""

import asyncio
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, BaseMessage, RemoveMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph.message import REMOVE_ALL_MESSAGES

from langchain_xingchen import ChatXingchen
from langchain_xingchen.middleware import XingchenHistoryMiddleware
from xingchen_core import ConfigurationError
from xingchen_core.emulator import Emulator

MakeModel = Callable[..., ChatXingchen]
Run = Callable[..., list[BaseMessage]]


def config_of(thread: str | None, configurable: dict[str, str]) -> dict[str, Any]:
    """The config of a run in this thread."""
    return {"configurable": {**configurable, "thread_id": thread} if thread else configurable}


def invoke(agent: Any, text: str, thread: str | None = "u1", **configurable: str) -> list[BaseMessage]:
    """One turn of an agent: the messages of its state."""
    messages: list[BaseMessage] = agent.invoke({"messages": [("user", text)]}, config_of(thread, configurable))[
        "messages"
    ]
    return messages


def ainvoke(agent: Any, text: str, thread: str | None = "u1", **configurable: str) -> list[BaseMessage]:
    """The same with asyncio."""
    state = asyncio.run(agent.ainvoke({"messages": [("user", text)]}, config_of(thread, configurable)))
    messages: list[BaseMessage] = state["messages"]
    return messages


@pytest.fixture(params=[invoke, ainvoke], ids=["sync", "async"])
def run(request: pytest.FixtureRequest) -> Run:
    """A turn of an agent, one of both ways."""
    way: Run = request.param
    return way


@pytest.fixture
def make_agent(emulator: Emulator, make: MakeModel) -> Callable[..., Any]:
    """Builds agents of a character without an opening line, each with a model and a middleware of its own."""
    emulator.xingchen.add_character("quiet")

    def make_agent(tools: Any = (), checkpointer: Any = None, **fields: Any) -> Any:
        model = make(character_id="quiet")
        middleware = XingchenHistoryMiddleware(**{"model": model, **fields})
        return create_agent(model, list(tools), middleware=[middleware], checkpointer=checkpointer)

    return make_agent


def said(messages: list[BaseMessage]) -> list[tuple[str, str]]:
    """Who said what."""
    return [(message.type, str(message.content)) for message in messages]


def reads(emulator: Emulator) -> int:
    """How often the history was read."""
    return sum(request.path.endswith("/histories") for request in emulator.requests)


def chats(emulator: Emulator) -> list[dict[str, Any]]:
    """What was sent to the character."""
    return [request.json["input"] for request in emulator.requests if request.path.endswith("/chat/send")]


def test_two_agents_continue_one_conversation(emulator: Emulator, make_agent: Callable[..., Any], run: Run) -> None:
    """An agent that knows nothing shows what another one and its user said, under the platform's ids, and its
    character remembers it; only the newest message is sent.
    """
    for text in ("答一", "答二"):
        emulator.reply(text)
    first = run(make_agent(), "一")
    second = run(make_agent(), "二")

    assert said(first) == [("human", "一"), ("ai", "答一")]
    assert said(second) == [("human", "一"), ("ai", "答一"), ("human", "二"), ("ai", "答二")]
    ids = first[1].response_metadata
    assert [message.id for message in second[:2]] == [ids["query_id"], ids["message_id"]]
    assert [message["content"] for message in emulator.xingchen.prompts[-1]] == ["一", "答一", "二"]
    sent = chats(emulator)[-1]
    assert sent["messages"] == [{"role": "user", "content": "二"}]
    assert sent["aca"]["userProfile"]["userId"] == "u1"
    assert sent["aca"]["context"]["useChatHistory"] is True


def test_loaded_once_in_a_thread(emulator: Emulator, make_agent: Callable[..., Any], run: Run) -> None:
    """With a checkpointer the conversation is brought in before the first turn only, and nothing is there twice."""
    emulator.xingchen.add_messages("quiet", "u1", ["旧问", "旧答"])
    for text in ("答一", "答二", "答三"):
        emulator.reply(text)
    agent = make_agent(checkpointer=InMemorySaver())
    for text in ("一", "二"):
        run(agent, text)
    last = run(agent, "三")
    expected = ["旧问", "旧答", "一", "答一", "二", "答二", "三", "答三"]
    assert [message.content for message in last] == expected
    assert len({message.id for message in last}) == len(expected)
    assert reads(emulator) == 1


def test_a_state_that_was_emptied_stays_empty(emulator: Emulator, make_agent: Callable[..., Any], run: Run) -> None:
    """What another middleware, such as a summary, took out of the state is not brought in again."""
    emulator.xingchen.add_messages("quiet", "u1", ["旧问", "旧答"])
    agent = make_agent(checkpointer=InMemorySaver())
    run(agent, "一")
    config = {"configurable": {"thread_id": "u1"}}
    agent.update_state(config, {"messages": [RemoveMessage(id=REMOVE_ALL_MESSAGES)]})
    assert said(run(agent, "二"))[0] == ("human", "二")
    assert reads(emulator) == 1


def test_messages_the_caller_has_already(emulator: Emulator, make_agent: Callable[..., Any], run: Run) -> None:
    """Without a checkpointer a caller may hand the messages of the last turn back: they are not loaded again."""
    agent = make_agent()
    before = run(agent, "一")
    config = {"configurable": {"thread_id": "u1"}}
    after = agent.invoke({"messages": [*before, ("user", "二")]}, config)["messages"]
    assert [message.content for message in after[:3]] == ["一", before[1].content, "二"]
    assert len(after) == 4
    assert reads(emulator) == 1


def test_threads_are_users(emulator: Emulator, make_agent: Callable[..., Any], run: Run) -> None:
    """By default the thread id is the user's: another thread is another conversation."""
    agent = make_agent(checkpointer=InMemorySaver())
    run(agent, "我是甲", "甲")
    other = run(agent, "我是乙", "乙")
    assert said(other)[0] == ("human", "我是乙")
    assert len(other) == 2
    assert [chat["aca"]["userProfile"]["userId"] for chat in chats(emulator)] == ["甲", "乙"]


def test_limit(emulator: Emulator, make_agent: Callable[..., Any], run: Run) -> None:
    """Only the newest so many messages are brought into the state; the character still remembers more."""
    emulator.xingchen.add_messages("quiet", "u1", ["一", "二", "三", "四"])
    assert [message.content for message in run(make_agent(limit=3), "五")[:-1]] == ["二", "三", "四", "五"]
    assert [message["content"] for message in emulator.xingchen.prompts[-1]] == ["一", "二", "三", "四", "五"]


def customer(config: Any) -> str:
    """The user's id, where an application keeps it."""
    user_id: str = config["configurable"].get("customer", "")
    return user_id


def test_user_id(emulator: Emulator, make_agent: Callable[..., Any], run: Run) -> None:
    """The user may be fixed, or be found in the config of the run."""
    run(make_agent(user_id="甲"), "你好", None)
    run(make_agent(user_id=customer), "你好", "t1", customer="乙")
    assert [chat["aca"]["userProfile"]["userId"] for chat in chats(emulator)] == ["甲", "乙"]
    for lost in (make_agent(), make_agent(user_id=customer)):
        with pytest.raises(ConfigurationError, match="thread_id"):
            run(lost, "你好", None)
    assert len(chats(emulator)) == 2


def weather(city: str) -> str:
    """The weather in a city."""
    return f"{city}：晴"


def test_tools(emulator: Emulator, make_agent: Callable[..., Any], run: Run) -> None:
    """An agent with tools works as ever; its call and the result go back to the character."""
    emulator.reply(tool_calls=[{"name": "weather", "arguments": {"city": "杭州"}}])
    emulator.reply("杭州天晴。")
    messages = run(make_agent(tools=[weather]), "杭州天气?")
    assert said(messages) == [("human", "杭州天气?"), ("ai", ""), ("tool", "杭州：晴"), ("ai", "杭州天晴。")]
    assert [message["role"] for message in chats(emulator)[-1]["messages"]] == ["user", "assistant", "function"]
    assert all(chat["aca"]["userProfile"]["userId"] == "u1" for chat in chats(emulator))


def test_old_messages_are_not_streamed(emulator: Emulator, make_agent: Callable[..., Any]) -> None:
    """A stream of messages has the new answer only: what was brought into the state was said long ago."""
    emulator.xingchen.add_messages("quiet", "u1", ["旧问", "旧答"])
    emulator.reply("新答", chunks=["新", "答"])
    agent = make_agent(checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "u1"}}
    stream = agent.stream({"messages": [("user", "新问")]}, config, stream_mode="messages")
    assert [chunk.content for chunk, _ in stream if chunk.content] == ["新", "答"]
    state = agent.get_state(config).values["messages"]
    assert [message.content for message in state] == ["旧问", "旧答", "新问", "新答"]


def test_the_agents_model_must_be_the_character(emulator: Emulator, make: MakeModel, run: Run) -> None:
    """An agent of another character, or of another provider's model, is told that its answers would not be kept."""
    middleware = XingchenHistoryMiddleware("quiet", api_key="test-key", base_url=emulator.url)
    emulator.xingchen.add_character("quiet")
    for model in (make(character_id="demo"), FakeListChatModel(responses=["好"])):
        with pytest.raises(ConfigurationError, match="character 'quiet'"):
            run(create_agent(model, middleware=[middleware]), "你好")
    assert chats(emulator) == []


def test_settings(emulator: Emulator, make: MakeModel, run: Run) -> None:
    """Character and connection are the model's, or given; without a character there is no history."""
    model = make(character_id="demo", max_retries=0)
    assert XingchenHistoryMiddleware(model=model).settings.max_retries == 0
    given = XingchenHistoryMiddleware("demo", api_key="test-key", base_url=emulator.url)
    assert run(create_agent(model, middleware=[given]), "你好")[-1].type == "ai"
    with pytest.raises(ConfigurationError, match="character_id, or model"):
        XingchenHistoryMiddleware(api_key="test-key")
    with pytest.raises(ConfigurationError, match="XINGCHEN_API_KEY"):
        XingchenHistoryMiddleware("demo")


def test_it_pickles_without_showing_the_key(make: MakeModel) -> None:
    """A middleware goes to another process, and its key is in no text."""
    middleware = XingchenHistoryMiddleware(model=make(character_id="demo", api_key="sk-canary"), user_id=customer)
    copied = pickle.loads(pickle.dumps(middleware))
    assert (copied.character_id, copied.user_id) == ("demo", customer)
    assert copied.settings.api_key.get_secret_value() == "sk-canary"
    assert "sk-canary" not in f"{middleware!r} {middleware.settings!r}"
    middleware.close()
    asyncio.run(middleware.aclose())


@pytest.mark.parametrize("missing", ["langchain", "langgraph"])
def test_the_missing_extra_is_named(missing: str) -> None:
    """Without LangChain's agents the module says what to install."""
    code = (
        "import sys\n"
        f"sys.modules[{missing!r}] = None\n"
        "try:\n"
        "    import langchain_xingchen.middleware\n"
        "except ImportError as error:\n"
        "    assert \"pip install 'xingchen-integrations[agents]'\" in str(error), error\n"
        "else:\n"
        "    raise SystemExit('imported')"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_example(emulator: Emulator) -> None:
    """The example's character asks another one, whose answer it passes on; the next turn begins with what was said."""
    emulator.reply(tool_calls=[{"name": "ask_friend", "arguments": {"question": "种花要注意什么？"}}])
    for text in ("先看光照，再看浇水。", "她说先看光照，再看浇水。", "第一条是光照。"):
        emulator.reply(text)
    root = Path(__file__).parents[2]
    settings = {"XINGCHEN_API_KEY": "test-key", "XINGCHEN_BASE_URL": emulator.url, "XINGCHEN_CHARACTER_ID": "demo"}
    done = subprocess.run(
        [sys.executable, str(root / "examples" / "agent_with_characters.py")],
        env={**os.environ, **settings, "PYTHONPATH": str(root), "PYTHONUTF8": "1"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1:] == [
        "小明：种花要注意什么？帮我问问你的朋友。",
        "（请教：种花要注意什么？）",
        "朋友：先看光照，再看浇水。",
        "角色：她说先看光照，再看浇水。",
        "小明：她说的第一条是什么？",
        "角色：第一条是光照。",
        "（平台记住了 5 条消息）",
    ]


def test_answers_keep_langchains_ids(make_agent: Callable[..., Any], run: Run) -> None:
    """A new answer has the id its stream had; the platform's is beside it."""
    answer = run(make_agent(), "你好")[-1]
    assert isinstance(answer, AIMessage)
    assert str(answer.id).startswith("lc_run--")
    assert answer.response_metadata["message_id"]
