"""`BailianAppTool`: LangChain's own suites, sessions by thread, what the agent's model is told, agents."""

import asyncio
import copy
import pickle
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import langchain_core.exceptions as langchain
import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import BaseTool
from langchain_tests.integration_tests import ToolsIntegrationTests
from langchain_tests.unit_tests import ToolsUnitTests
from pydantic import ValidationError

from langchain_xingchen import BailianAppTool, ChatXingchen
from xingchen_core import ConfigurationError, RateLimitError
from xingchen_core.emulator import Emulator

MakeTool = Callable[..., BailianAppTool]
Use = Callable[..., ToolMessage]


class TestUnit(ToolsUnitTests):
    @property
    def tool_constructor(self) -> type[BaseTool]:
        return BailianAppTool

    @property
    def tool_constructor_params(self) -> dict[str, Any]:
        return {"app_id": "demo", "api_key": "test-key", "base_url": "http://127.0.0.1:8900"}

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        return {"question": "怎么请假?"}

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        return {"DASHSCOPE_API_KEY": "test-key"}, {"app_id": "demo"}, {"api_key": "test-key"}


class TestIntegration(ToolsIntegrationTests):
    @pytest.fixture(autouse=True)
    def _emulator(self) -> Iterator[None]:
        with Emulator() as emulator:
            self.url = emulator.url
            yield

    @property
    def tool_constructor(self) -> type[BaseTool]:
        return BailianAppTool

    @property
    def tool_constructor_params(self) -> dict[str, Any]:
        return {"app_id": "demo", "api_key": "test-key", "base_url": self.url}

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        return {"question": "怎么请假?"}


@pytest.fixture
def make(emulator: Emulator) -> Iterator[MakeTool]:
    """Makes tools of the seeded agent. They are closed after the test."""
    with ExitStack() as made:

        def make_tool(**fields: Any) -> BailianAppTool:
            usual = {"app_id": "demo", "api_key": "test-key", "base_url": emulator.url}
            return made.enter_context(BailianAppTool(**{**usual, **fields}))

        yield make_tool


def called(tool: BailianAppTool, question: str) -> dict[str, Any]:
    """A call as agents make it."""
    return {"type": "tool_call", "id": "c1", "name": tool.name, "args": {"question": question}}


def invoke(tool: BailianAppTool, question: str, **config: Any) -> ToolMessage:
    """Calls the tool as an agent does."""
    message: ToolMessage = tool.invoke(called(tool, question), {"configurable": config})
    return message


def ainvoke(tool: BailianAppTool, question: str, **config: Any) -> ToolMessage:
    """The same with asyncio, in a loop of its own."""
    message: ToolMessage = asyncio.run(tool.ainvoke(called(tool, question), {"configurable": config}))
    return message


@pytest.fixture(params=[invoke, ainvoke], ids=["sync", "async"])
def use(request: pytest.FixtureRequest) -> Use:
    """Calls a tool, blocking and with asyncio."""
    way: Use = request.param
    return way


def sessions(emulator: Emulator) -> list[str | None]:
    """The session of each question."""
    return [received.json["input"].get("session_id") for received in emulator.requests if "apps" in received.path]


def test_content_and_artifact(make: MakeTool, emulator: Emulator, use: Use) -> None:
    """The model reads the answer and where it comes from; the program gets the whole message."""
    emulator.bailian.reply("提前一天<ref>[2]</ref>，找主管<ref>[1]</ref><ref>[2]</ref>。", references=["制度", "手册"])
    message = use(make(), "怎么请假?")
    assert message.content == "提前一天[2]，找主管[1][2]。\n[1] 制度\n[2] 手册"
    assert isinstance(message.artifact, AIMessage)
    assert message.artifact.content == "提前一天<ref>[2]</ref>，找主管<ref>[1]</ref><ref>[2]</ref>。"
    assert len(message.artifact.response_metadata["doc_references"]) == 2


def test_an_answer_without_sources(make: MakeTool, emulator: Emulator, use: Use) -> None:
    """Nothing is added to what has none, nor to a marker that names no document."""
    emulator.bailian.reply("提前一天<ref>[7]</ref>。")
    assert use(make(), "怎么请假?").content == "提前一天[7]。"


def test_each_call_is_a_stranger_s(make: MakeTool, emulator: Emulator, use: Use) -> None:
    """Without a session no call knows of another."""
    tool = make()
    use(tool, "我叫小明")
    assert "小明" not in str(use(tool, "我叫什么?").content)
    assert sessions(emulator) == [None, None]
    assert set(tool.args) == {"question"}


def test_a_session_of_the_run(make: MakeTool, emulator: Emulator, use: Use) -> None:
    """An id that the service gave, kept by the program: given once for all, or read from the config of each run."""
    given = use(make(), "我叫小明").artifact.response_metadata["session_id"]
    assert "小明" in str(use(make(session_id=given), "我叫什么?").content)
    tool = make(session_id_from=lambda config: config["configurable"].get("app_session", ""))
    assert "小明" in str(use(tool, "我叫什么?", app_session=given).content)
    assert sessions(emulator) == [None, given, given]
    with pytest.raises(ConfigurationError, match="session_id_from"):
        use(tool, "你好")
    assert len(emulator.requests) == 3


def test_sessions_by_thread(make: MakeTool, emulator: Emulator, use: Use) -> None:
    """One tool for many threads: each goes on with its own conversation, and the mapping is the caller's."""
    kept: dict[str, str] = {}
    tool = make(sessions=kept)
    use(tool, "我叫小明", thread_id="t1")
    use(tool, "我叫小红", thread_id="t2")
    assert "小明" in str(use(tool, "我叫什么?", thread_id="t1").content)
    assert "小红" in str(use(make(sessions=kept), "我叫什么?", thread_id="t2").content)
    assert sessions(emulator) == [None, None, kept["t1"], kept["t2"]]
    assert kept["t1"] != kept["t2"]


def test_a_session_that_is_gone(make: MakeTool, emulator: Emulator, use: Use) -> None:
    """The session that the service begins in its place is the thread's from then on."""
    kept: dict[str, str] = {}
    tool = make(sessions=kept)
    use(tool, "我叫小明", thread_id="t1")
    before = kept["t1"]
    emulator.bailian.advance(3601)
    assert "小明" not in str(use(tool, "我叫什么?", thread_id="t1").content)
    assert kept["t1"] != before
    use(tool, "你好", thread_id="t1")
    assert sessions(emulator) == [None, before, kept["t1"]]


def test_a_run_without_a_thread(make: MakeTool, emulator: Emulator, use: Use) -> None:
    """A run that does not say whose it is would mix strangers: nothing is sent."""
    with pytest.raises(ConfigurationError, match="thread_id"):
        use(make(sessions={}), "你好")
    assert emulator.requests == []


def test_errors(make: MakeTool, emulator: Emulator, use: Use) -> None:
    """Errors are raised as a model's, or told to the agent's model if that is wanted."""
    emulator.fail("status", status=429, code="Throttling.RateQuota", times=2)
    with pytest.raises(langchain.ModelRateLimitError) as caught:
        use(make(max_retries=0), "你好")
    assert isinstance(caught.value, RateLimitError)
    message = use(make(max_retries=0, handle_tool_error=True), "你好")
    assert message.status == "error"
    assert "Throttling.RateQuota" in str(message.content)


def test_settings_are_passed_on(make: MakeTool, emulator: Emulator, use: Use) -> None:
    """What shapes a question and how the service is reached is the tool's to say."""
    tool = make(rag={"pipeline_ids": ["kb_fake"]}, memory_id="mem_fake", default_headers={"x-mine": "1"}, seed=7)
    use(tool, "你好")
    [received] = emulator.requests
    assert received.json == {
        "input": {"prompt": "你好", "memory_id": "mem_fake"},
        "parameters": {"seed": 7, "rag_options": {"pipeline_ids": ["kb_fake"]}},
    }
    assert received.headers["x-mine"] == "1"


def test_refused_at_once() -> None:
    """No key, a misspelt argument, an empty question."""
    with pytest.raises(ConfigurationError):
        BailianAppTool(app_id="demo")
    with pytest.raises(ValidationError) as caught:
        BailianAppTool(app_id="demo", api_key="test-key", sesion_id="canary")
    assert "canary" not in str(caught.value)
    with pytest.raises(ValidationError):
        BailianAppTool(app_id="demo", api_key="test-key").invoke({"question": ""})


def test_no_secret_is_shown(make: MakeTool) -> None:
    """Neither face of the tool has the key, a user's token or a session."""
    tool = make(biz_params={"user_defined_tokens": {"tool_fake": {"user_token": "canary"}}}, sessions={"t1": "canary"})
    faces = f"{tool!r}{tool}{tool.model_dump()}{tool.tool_call_schema.model_json_schema()}"
    assert "test-key" not in faces
    assert "canary" not in faces


@pytest.mark.parametrize(
    "clone",
    [lambda tool: pickle.loads(pickle.dumps(tool)), copy.copy, copy.deepcopy],
    ids=["pickle", "copy", "deepcopy"],
)
def test_clones_work(make: MakeTool, use: Use, clone: Callable[[BailianAppTool], BailianAppTool]) -> None:
    """A used tool can be copied and sent to another process."""
    tool = make(sessions={})
    use(tool, "我叫小明", thread_id="t1")
    with clone(tool) as other:
        assert "小明" in str(use(other, "我叫什么?", thread_id="t1").content)


def test_a_copy_with_other_settings(make: MakeTool, emulator: Emulator, use: Use) -> None:
    """A copy asks with its own settings, however often the tool was used before."""
    emulator.bailian.add_app("another")
    tool = make()
    use(tool, "你好")
    with tool.model_copy(update={"app_id": "another"}) as other:
        use(other, "你好")
    use(tool, "你好")
    assert [received.path.split("/")[4] for received in emulator.requests] == ["demo", "another", "demo"]


def test_in_an_agent(make: MakeTool, emulator: Emulator) -> None:
    """An agent asks the application in its thread, and uses the answer."""
    call = {"name": "ask_app", "arguments": {"question": "怎么请假?"}}
    emulator.reply(tool_calls=[call], service="xingchen")
    emulator.reply("提前一天找主管。", service="xingchen")
    emulator.reply("提前一天<ref>[1]</ref>。", references=["制度"], service="bailian")
    kept: dict[str, str] = {}
    with ChatXingchen(character_id="demo", api_key="test-key", base_url=emulator.url) as model:
        agent = create_agent(model, tools=[make(sessions=kept)])
        state = agent.invoke({"messages": [("human", "我想请假")]}, {"configurable": {"thread_id": "t1"}})
    assert [message.type for message in state["messages"]] == ["human", "ai", "tool", "ai"]
    assert state["messages"][2].content == "提前一天[1]。\n[1] 制度"
    assert list(kept) == ["t1"]
