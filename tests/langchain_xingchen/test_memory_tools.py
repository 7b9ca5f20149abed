"""`BailianMemoryToolkit`: what each tool does, whose memories it reaches, what the agent's model is told."""

import asyncio
import pickle
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool
from langchain_tests.integration_tests import ToolsIntegrationTests
from langchain_tests.unit_tests import ToolsUnitTests
from pydantic import ValidationError

from langchain_xingchen import BailianMemoryToolkit, ChatXingchen
from langchain_xingchen.memory_tools import AddMemoryTool
from memory_library import new_user
from xingchen_core import ConfigurationError, NotFoundError
from xingchen_core.emulator import Emulator

Use = Callable[..., ToolMessage]
Tools = Callable[..., dict[str, BaseTool]]


class TestUnit(ToolsUnitTests):
    @property
    def tool_constructor(self) -> type[BaseTool]:
        return AddMemoryTool

    @property
    def tool_constructor_params(self) -> dict[str, Any]:
        return {"user_id": "u1", "api_key": "test-key", "base_url": "http://127.0.0.1:8900"}

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        return {"text": "喜欢喝茶"}

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        return {"DASHSCOPE_API_KEY": "test-key"}, {"user_id": "u1"}, {"api_key": "test-key"}


class TestIntegration(ToolsIntegrationTests):
    @pytest.fixture(autouse=True)
    def _emulator(self) -> Iterator[None]:
        with Emulator() as emulator:
            self.url = emulator.url
            yield

    @property
    def tool_constructor(self) -> type[BaseTool]:
        return AddMemoryTool

    @property
    def tool_constructor_params(self) -> dict[str, Any]:
        return {"user_id": "u1", "api_key": "test-key", "base_url": self.url}

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        return {"text": "喜欢喝茶"}


@pytest.fixture
def tools(emulator: Emulator) -> Iterator[Tools]:
    """The tools of a toolkit by name, for user u1 unless a test says otherwise. They are closed after it."""
    with ExitStack() as made:

        def make_tools(**fields: Any) -> dict[str, BaseTool]:
            whose = {} if "user_id_from" in fields else {"user_id": "u1"}
            toolkit = BailianMemoryToolkit(**{**whose, "api_key": "test-key", "base_url": emulator.url, **fields})
            return {tool.name: made.enter_context(tool) for tool in toolkit.get_tools()}  # type: ignore[type-var]

        yield make_tools


def called(tool: BaseTool, args: dict[str, Any]) -> dict[str, Any]:
    """A call as agents make it."""
    return {"type": "tool_call", "id": "c1", "name": tool.name, "args": args}


def invoke(tool: BaseTool, config: Any = None, **args: Any) -> ToolMessage:
    """Calls a tool as an agent does."""
    message: ToolMessage = tool.invoke(called(tool, args), config)
    return message


def ainvoke(tool: BaseTool, config: Any = None, **args: Any) -> ToolMessage:
    """The same with asyncio, in a loop of its own."""
    message: ToolMessage = asyncio.run(tool.ainvoke(called(tool, args), config))
    return message


@pytest.fixture(params=[invoke, ainvoke], ids=["sync", "async"])
def use(request: pytest.FixtureRequest) -> Use:
    """Calls a tool, blocking and with asyncio."""
    way: Use = request.param
    return way


def remembered(emulator: Emulator, user_id: str) -> list[str]:
    """The texts of a user that are not deleted."""
    nodes = emulator.bailian.memory.nodes.values()
    return [node.content for node in nodes if node.user_id == user_id and node.status == "valid"]


def test_a_memory_s_life(tools: Tools, emulator: Emulator, use: Use) -> None:
    """Added, found, corrected, listed, forgotten; the model sees ids and quoted texts."""
    user = new_user()  # the emulator's ids begin anew in each test, and what was deleted stays so in this process
    kit = tools(user_id=user)
    added = use(kit["add_memory"], text='喜欢喝"茶"')
    [node_id] = emulator.bailian.memory.nodes
    assert added.content == f"Remembered (memory id {node_id})."
    assert [(change["event"], change["node_id"]) for change in added.artifact] == [("ADD", node_id)]

    found = use(kit["search_memories"], query="喝茶")
    assert found.content == f'"喜欢喝\\"茶\\"" (memory id {node_id})'
    assert [document.id for document in found.artifact] == [node_id]

    assert use(kit["update_memory"], memory_id=node_id, text="喜欢喝咖啡").content == "Updated."
    listed = use(kit["list_memories"])
    assert listed.content == f'"喜欢喝咖啡" (memory id {node_id})\nIn all: 1.'
    assert [document.page_content for document in listed.artifact] == ["喜欢喝咖啡"]

    assert use(kit["delete_memory"], memory_id=node_id).content == "Deleted."
    assert remembered(emulator, user) == []
    assert use(kit["search_memories"], query="咖啡").content == "Nothing is remembered."


def test_pages(tools: Tools, emulator: Emulator, use: Use) -> None:
    """A list has as many as the model asks for, and says how many there are."""
    for text in ("一", "二", "三"):
        emulator.bailian.memory.add("u1", text)
    second = use(tools()["list_memories"], page=2, limit=2)
    assert [document.page_content for document in second.artifact] == ["一"]
    assert str(second.content).endswith("In all: 3.")


def test_the_agent_never_chooses_the_user(tools: Tools) -> None:
    """No tool has an argument for the user, the library or the project."""
    arguments = {name: set(tool.args) for name, tool in tools().items()}
    assert arguments == {
        "add_memory": {"text"},
        "search_memories": {"query", "limit"},
        "list_memories": {"page", "limit"},
        "update_memory": {"memory_id", "text"},
        "delete_memory": {"memory_id"},
    }


def test_the_user_of_the_run(tools: Tools, emulator: Emulator, use: Use) -> None:
    """One toolkit for many users: the config of the run says whose memories; one that names none is refused."""
    kit = tools(user_id_from=lambda config: config["configurable"].get("user_id", ""))
    for user in ("u1", "u2"):
        use(kit["add_memory"], {"configurable": {"user_id": user}}, text=f"我是{user}")
    assert (remembered(emulator, "u1"), remembered(emulator, "u2")) == (["我是u1"], ["我是u2"])
    listed = use(kit["list_memories"], {"configurable": {"user_id": "u2"}})
    assert [document.page_content for document in listed.artifact] == ["我是u2"]
    with pytest.raises(ConfigurationError, match="user_id_from"):
        use(kit["list_memories"])


@pytest.mark.parametrize("name", ["update_memory", "delete_memory"])
def test_another_user_s_memory(tools: Tools, emulator: Emulator, use: Use, name: str) -> None:
    """An id of another user's, guessed or injected, is no memory of this one's; nothing is changed."""
    use(tools(user_id="u2")["add_memory"], text="喜欢喝咖啡")
    [node_id] = emulator.bailian.memory.nodes
    args = {"memory_id": node_id, **({"text": "被改了"} if name == "update_memory" else {})}
    with pytest.raises(NotFoundError):
        use(tools()[name], **args)
    message = use(tools(handle_tool_error=True)[name], **args)
    assert message.status == "error"
    assert remembered(emulator, "u2") == ["喜欢喝咖啡"]


def test_settings_are_passed_on(tools: Tools, emulator: Emulator, use: Use) -> None:
    """Where memories are, how they are searched and how the service is reached is the toolkit's to say."""
    emulator.bailian.memory.libraries.add("libfake01")
    kit = tools(
        library_id="libfake01",
        project_id="libfake01-default",
        min_score=0,
        plan_version="lite",
        default_headers={"x-mine": "1"},
    )
    emulator.bailian.memory.project("", "libfake01")
    use(kit["add_memory"], text="喜欢喝茶")
    use(kit["search_memories"], query="喝茶", limit=3)
    use(kit["list_memories"])
    add, search, listing = emulator.requests
    where = {"memory_library_id": "libfake01", "project_id": "libfake01-default"}
    assert where.items() <= add.json.items()
    assert search.json == {
        "user_id": "u1",
        "messages": [{"role": "user", "content": "喝茶"}],
        "top_k": 3,
        "min_score": 0,
        "memory_library_id": "libfake01",
        "project_ids": ["libfake01-default"],
        "plan_version": "lite",
    }
    assert where.items() <= listing.query.items()
    assert {request.headers["x-mine"] for request in emulator.requests} == {"1"}


def test_refused_at_once(emulator: Emulator, tools: Tools, use: Use) -> None:
    """No key, nobody's memories, a misspelt argument; and what the model says wrongly is not sent."""
    with pytest.raises(ConfigurationError, match="DASHSCOPE_API_KEY"):
        BailianMemoryToolkit(user_id="u1")
    with pytest.raises(ConfigurationError, match="API key"):
        BailianMemoryToolkit(user_id="u1", access_key_id="testid", access_key_secret="testsecret")
    with pytest.raises(ConfigurationError, match="Whose"):
        BailianMemoryToolkit(api_key="test-key")
    with pytest.raises(ValidationError) as caught:
        BailianMemoryToolkit(api_key="test-key", user_id="u1", userid="canary")
    assert "canary" not in str(caught.value)
    with pytest.raises(ValidationError):
        use(tools()["add_memory"], text="长" * 513)
    assert emulator.requests == []


def test_no_secret_is_shown_and_pickles_work(tools: Tools, emulator: Emulator, use: Use) -> None:
    """No face of a tool has the key; a tool works in another process."""
    kit = tools()
    toolkit = BailianMemoryToolkit(user_id="u1", api_key="test-key", base_url=emulator.url)
    for face in (*kit.values(), toolkit):
        assert "test-key" not in f"{face!r}{face}{face.model_dump()}"
    use(kit["add_memory"], text="喜欢喝茶")
    with pickle.loads(pickle.dumps(kit["search_memories"])) as other:
        assert len(use(other, query="喝茶").artifact) == 1


def test_in_an_agent(tools: Tools, emulator: Emulator) -> None:
    """An agent looks into its user's memory and answers with it."""
    emulator.bailian.memory.add("u1", "喜欢喝茶")
    emulator.reply(tool_calls=[{"name": "search_memories", "arguments": {"query": "喝茶"}}], service="xingchen")
    emulator.reply("你喜欢喝茶。", service="xingchen")
    kit = tools(user_id_from=lambda config: config["configurable"]["user_id"])
    with ChatXingchen(character_id="demo", api_key="test-key", base_url=emulator.url) as model:
        agent = create_agent(model, tools=list(kit.values()))
        state = agent.invoke({"messages": [("human", "我喜欢喝什么?")]}, {"configurable": {"user_id": "u1"}})
    assert [message.type for message in state["messages"]] == ["human", "ai", "tool", "ai"]
    assert str(state["messages"][2].content).startswith('"喜欢喝茶"')
