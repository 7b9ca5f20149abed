"""Long-term memory with many users, threads and processes: nobody meets another's, none is lost or doubled."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from langchain.agents import create_agent
from langchain_core.documents import Document
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver

from langchain_xingchen import BailianMemoryRetriever, BailianMemoryToolkit
from langchain_xingchen.middleware import BailianMemoryMiddleware
from memory_library import new_user
from xingchen_core import APITimeoutError, ConfigurationError, NotFoundError
from xingchen_core.emulator import Emulator

Ask = Callable[..., list[Document]]
ROOT = Path(__file__).parents[2]
MARK = "xingchen_user_id"


def whose(config: Any) -> str:
    """The user of a run."""
    user: str = config["configurable"]["user_id"]
    return user


class Model(FakeListChatModel):
    """Says 好的 and notes what it was asked."""

    responses: list[str] = ["好的"]
    asked: list[list[BaseMessage]] = []

    def _call(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> str:
        self.asked.append(messages)
        return super()._call(messages, *args, **kwargs)

    def _stream(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> Any:
        self.asked.append(messages)
        return super()._stream(messages, *args, **kwargs)

    def _astream(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> Any:
        self.asked.append(messages)
        return super()._astream(messages, *args, **kwargs)


@pytest.fixture
def connection(emulator: Emulator) -> dict[str, Any]:
    """How to reach the emulator; what is added is stored at once."""
    emulator.bailian.memory.polls_until_done = 0
    return {"api_key": "test-key", "base_url": emulator.url}


@pytest.fixture
def middleware(connection: dict[str, Any]) -> Iterator[BailianMemoryMiddleware]:
    """Serves the user of the run."""
    made = BailianMemoryMiddleware(whose, **connection)
    yield made
    made.close()


def config_of(user: str, **more: str) -> Any:
    """The config of a user's run."""
    return {"configurable": {"user_id": user, **more}}


def prompts(model: Model) -> dict[str, str]:
    """What the model was told beside each question."""
    told = {}
    for messages in model.asked:
        system = [str(message.content) for message in messages if message.type == "system"]
        told[str(messages[-1].content)] = system[0].partition("\n")[2] if system else ""
    return told


def check_each_has_its_own(emulator: Emulator, model: Model, users: list[str]) -> None:
    """Each user's question came with that user's memory, and what each said is stored for that user."""
    assert prompts(model) == {f"{user}喜欢喝什么": f'"{user}喜欢喝茶{user}"' for user in users}
    stored = {
        (request.json["user_id"], request.json["messages"][0]["content"])
        for request in emulator.requests
        if request.path.endswith("/add-async")
    }
    assert stored == {(user, f"{user}喜欢喝什么") for user in users}


def test_many_users_in_threads(
    emulator: Emulator, connection: dict[str, Any], middleware: BailianMemoryMiddleware
) -> None:
    """One agent serves them at once."""
    users = [f"u{number}" for number in range(12)]
    for user in users:
        emulator.bailian.memory.add(user, f"{user}喜欢喝茶{user}")
    model = Model(asked=[])
    agent = create_agent(model, middleware=[middleware], checkpointer=InMemorySaver())

    def run(user: str) -> None:
        agent.invoke({"messages": [("user", f"{user}喜欢喝什么")]}, config_of(user, thread_id=user))

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(run, users))
    middleware.flush()
    check_each_has_its_own(emulator, model, users)


def test_many_users_in_one_loop(emulator: Emulator, middleware: BailianMemoryMiddleware) -> None:
    """The same with asyncio, streamed; the memories are in no message that streams out."""
    users = [f"u{number}" for number in range(12)]
    for user in users:
        emulator.bailian.memory.add(user, f"{user}喜欢喝茶{user}")
    model = Model(asked=[])
    agent = create_agent(model, middleware=[middleware])

    async def run(user: str) -> str:
        question = {"messages": [("user", f"{user}喜欢喝什么")]}
        parts = [part async for part, _ in agent.astream(question, config_of(user), stream_mode="messages")]
        return "".join(str(part.text) for part in parts)

    async def all_runs() -> list[str]:
        said = await asyncio.gather(*map(run, users))
        await middleware.aflush()
        await middleware.aclose()
        return said

    assert asyncio.run(all_runs()) == ["好的"] * 12
    check_each_has_its_own(emulator, model, users)


def test_streamed(emulator: Emulator, middleware: BailianMemoryMiddleware) -> None:
    """A blocking stream recalls and stores, too; what streams out as messages is what the model said."""
    emulator.bailian.memory.add("u1", "喜欢喝茶")
    model = Model(asked=[])
    agent = create_agent(model, middleware=[middleware])
    question = {"messages": [("user", "喝茶")]}
    parts: Any = list(agent.stream(question, config_of("u1"), stream_mode="messages"))
    assert "".join(str(part.text) for part, _ in parts) == "好的"
    middleware.flush()
    assert prompts(model) == {"喝茶": '"喜欢喝茶"'}
    assert [request.path.rpartition("/")[2] for request in emulator.requests][:2] == ["search", "add-async"]


def test_a_run_without_a_user(emulator: Emulator, connection: dict[str, Any], middleware: Any, ask: Ask) -> None:
    """Nothing is sent for nobody, also where the config has no such member."""
    agent = create_agent(Model(asked=[]), middleware=[middleware])
    retriever = BailianMemoryRetriever(user_id_from=whose, **connection)
    tools = BailianMemoryToolkit(user_id_from=whose, **connection).get_tools()
    for runnable, given in (
        (agent, {"messages": [("user", "你好")]}),
        (retriever, "茶"),
        *((tool, arguments(tool.name)) for tool in tools),
    ):
        for config in (
            None,
            {"configurable": {}},
            {"configurable": {"user_id": ""}},
            {"configurable": {"user_id": " "}},
        ):
            with pytest.raises(ConfigurationError, match="user"):
                ask(runnable, given, config=config)
    assert emulator.requests == []


def arguments(tool: str) -> dict[str, Any]:
    """What an agent says to a tool."""
    said: dict[str, dict[str, Any]] = {
        "add_memory": {"text": "喜欢喝茶"},
        "search_memories": {"query": "茶"},
        "list_memories": {},
        "update_memory": {"memory_id": "m1", "text": "喜欢喝茶"},
        "delete_memory": {"memory_id": "m1"},
    }
    return said[tool]


def test_strangers_memories_among_the_answers(
    emulator: Emulator, connection: dict[str, Any], middleware: BailianMemoryMiddleware, ask: Ask
) -> None:
    """What the service mixes in of another user is not returned, told, changed or deleted."""
    stranger = emulator.bailian.memory.add("u1", "喝茶的别人", meta_data={MARK: "u2"})
    emulator.bailian.memory.add("u1", "喝茶的自己")
    retriever = BailianMemoryRetriever(user_id="u1", min_score=0, **connection)
    assert [found.page_content for found in ask(retriever, "喝茶")] == ["喝茶的自己"]
    model = Model(asked=[])
    ask(create_agent(model, middleware=[middleware]), {"messages": [("user", "喝茶")]}, config=config_of("u1"))
    middleware.flush()
    assert prompts(model) == {"喝茶": '"喝茶的自己"'}
    kit = {tool.name: tool for tool in BailianMemoryToolkit(user_id="u1", **connection).get_tools()}
    for name, given in (("search_memories", {"query": "喝茶"}), ("list_memories", {})):
        assert "别人" not in str(ask(kit[name], given))
    for name, more in (("update_memory", {"text": "改了"}), ("delete_memory", {})):
        with pytest.raises(NotFoundError):
            ask(kit[name], {"memory_id": stranger.node_id, **more})
    assert (stranger.content, stranger.status) == ("喝茶的别人", "valid")


def test_forgotten_at_once(
    emulator: Emulator, connection: dict[str, Any], middleware: BailianMemoryMiddleware, ask: Ask
) -> None:
    """What was deleted is found by no reader of this process, though the service's own answers lag behind."""
    user = new_user()
    emulator.bailian.memory.delete_lag_seconds = 3600
    node = emulator.bailian.memory.add(user, "喜欢喝茶")
    kit = {tool.name: tool for tool in BailianMemoryToolkit(user_id=user, **connection).get_tools()}
    assert "喜欢喝茶" in str(ask(kit["search_memories"], {"query": "喝茶"}))
    ask(kit["delete_memory"], {"memory_id": node.node_id})
    assert emulator.bailian.memory.visible(user, [emulator.bailian.memory.project("", node.library_id)]) == [node]
    assert ask(BailianMemoryRetriever(user_id=user, min_score=0, **connection), "喝茶") == []
    assert ask(kit["list_memories"], {}) == "Nothing is remembered.\nIn all: 1."
    model = Model(asked=[])
    ask(create_agent(model, middleware=[middleware]), {"messages": [("user", "喝茶")]}, config=config_of(user))
    middleware.flush()
    assert prompts(model) == {"喝茶": ""}


def test_adds_are_not_repeated(ask: Ask) -> None:
    """After a timeout nobody knows whether it is stored: the caller is told, and it is sent once."""
    sent: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        sent.append(request.url.path.rpartition("/")[2])
        if sent[-1] in ("add", "add-async"):
            raise httpx.ReadTimeout("slow", request=request)
        return httpx.Response(200, json={"memory_nodes": []})

    with ExitStack() as stack:
        client = stack.enter_context(httpx.Client(transport=httpx.MockTransport(handle)))
        mine = {
            "api_key": "test-key",
            "http_client": client,
            "http_async_client": httpx.AsyncClient(transport=httpx.MockTransport(handle)),
        }
        [add, *_] = BailianMemoryToolkit(user_id="u1", **mine).get_tools()
        with pytest.raises(APITimeoutError):
            ask(add, {"text": "喜欢喝茶"})
        assert sent == ["add"]
        told: list[Exception] = []
        middleware = BailianMemoryMiddleware("u1", on_error=told.append, **mine)
        ask(create_agent(Model(asked=[]), middleware=[middleware]), {"messages": [("user", "喝茶")]})
        middleware.close()
    assert sent == ["add", "search", "add-async"]
    assert [type(error) for error in told] == [APITimeoutError]


def test_a_long_turn(emulator: Emulator, connection: dict[str, Any]) -> None:
    """More than one add holds goes in several: the user's own words come first in them, and none is lost."""
    messages: list[AnyMessage] = [HumanMessage("查一下"), *(AIMessage(f"第{number}步") for number in range(120))]
    middleware = BailianMemoryMiddleware("u1", recalls=False, **connection)
    middleware.after_agent({"messages": messages}, None)  # type: ignore[arg-type]
    middleware.close()
    bodies = [request.json["messages"] for request in emulator.requests if request.path.endswith("/add-async")]
    assert [len(body) for body in bodies] == [50, 50, 21]
    assert [message["content"] for body in bodies for message in body] == [str(message.text) for message in messages]


def test_closed_in_the_middle(emulator: Emulator, connection: dict[str, Any]) -> None:
    """Closing in one thread while others have turns stored loses none, and raises in none."""
    middleware = BailianMemoryMiddleware("u1", recalls=False, **connection)
    state: Any = {"messages": [HumanMessage("喝茶"), AIMessage("好的")]}
    done = threading.Event()

    def close() -> None:
        while not done.is_set():
            middleware.close()

    closer = threading.Thread(target=close)
    closer.start()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: middleware.after_agent(state, None), range(30)))  # type: ignore[arg-type]
    done.set()
    closer.join()
    middleware.close()
    assert sum(request.path.endswith("/add-async") for request in emulator.requests) == 30


PROGRAM = """
import sys
from langchain.agents import create_agent
from langchain_core.language_models import FakeListChatModel
from langchain_xingchen.middleware import BailianMemoryMiddleware

middleware = BailianMemoryMiddleware("u1", api_key="test-key", base_url=sys.argv[1], recalls=False)
agent = create_agent(FakeListChatModel(responses=["好的"]), middleware=[middleware])
for number in range(3):
    agent.invoke({"messages": [("user", f"我喜欢第{number}种茶")]})
"""


def test_a_program_that_just_ends(emulator: Emulator, connection: dict[str, Any]) -> None:
    """What waits to be sent is sent before the interpreter ends, without a close or a flush."""
    command = [sys.executable, "-W", "error", "-c", PROGRAM, emulator.url]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    contents = [node.content for node in emulator.bailian.memory.nodes.values()]
    assert contents == [f"我喜欢第{number}种茶" for number in range(3)]
