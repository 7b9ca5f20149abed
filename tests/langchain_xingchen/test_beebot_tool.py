"""`BeebotTool`: LangChain's own suites, sessions, what the agent's model is told, agents."""

import asyncio
import copy
import json
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

from langchain_xingchen import BeebotTool, ChatXingchen
from xingchen_core import ConfigurationError, RateLimitError
from xingchen_core.beebot import stream
from xingchen_core.emulator import Emulator

KEYS = {"access_key_id": "testid", "access_key_secret": "testsecret"}

MakeTool = Callable[..., BeebotTool]
Use = Callable[..., ToolMessage]


class TestUnit(ToolsUnitTests):
    @property
    def tool_constructor(self) -> type[BaseTool]:
        return BeebotTool

    @property
    def tool_constructor_params(self) -> dict[str, Any]:
        return {"instance_id": "chatbot-cn-demo", **KEYS, "base_url": "http://127.0.0.1:8900"}

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        return {"question": "怎么开发票?"}

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        environment = {"ALIBABA_CLOUD_ACCESS_KEY_ID": "testid", "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "testsecret"}
        return environment, {"instance_id": "chatbot-cn-demo"}, KEYS


class TestIntegration(ToolsIntegrationTests):
    @pytest.fixture(autouse=True)
    def _emulator(self) -> Iterator[None]:
        with Emulator() as emulator:
            self.url = emulator.url
            yield

    @property
    def tool_constructor(self) -> type[BaseTool]:
        return BeebotTool

    @property
    def tool_constructor_params(self) -> dict[str, Any]:
        return {"instance_id": "chatbot-cn-demo", **KEYS, "base_url": self.url}

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        return {"question": "怎么开发票?"}


@pytest.fixture
def make(emulator: Emulator) -> Iterator[MakeTool]:
    """Makes tools of the seeded robot. They are closed after the test."""
    stream._tokens.clear()
    with ExitStack() as made:

        def make_tool(**fields: Any) -> BeebotTool:
            usual = {"instance_id": "chatbot-cn-demo", **KEYS, "base_url": emulator.url}
            return made.enter_context(BeebotTool(**{**usual, **fields}))

        yield make_tool


def invoke(tool: BeebotTool, question: str, **config: Any) -> ToolMessage:
    """Calls the tool as an agent does."""
    call = {"type": "tool_call", "id": "c1", "name": tool.name, "args": {"question": question}}
    message: ToolMessage = tool.invoke(call, {"configurable": config})
    return message


def ainvoke(tool: BeebotTool, question: str, **config: Any) -> ToolMessage:
    """The same with asyncio, in a loop of its own."""
    call = {"type": "tool_call", "id": "c1", "name": tool.name, "args": {"question": question}}
    message: ToolMessage = asyncio.run(tool.ainvoke(call, {"configurable": config}))
    return message


@pytest.fixture(params=[invoke, ainvoke], ids=["sync", "async"])
def use(request: pytest.FixtureRequest) -> Use:
    """Calls a tool, blocking and with asyncio."""
    way: Use = request.param
    return way


def sessions(emulator: Emulator) -> list[str | None]:
    """The session of each question."""
    asked = [received for received in emulator.requests if received.path.startswith("/sse")]
    return [json.loads(received.json["data"][0]["value"]).get("SessionId") for received in asked]


def test_content_and_artifact(make: MakeTool, use: Use) -> None:
    """The model reads the answer; the program gets the whole message."""
    message = use(make(), "怎么开发票?")
    assert message.content == "您可以在订单详情里点「申请发票」，电子发票当天就能开好。"
    assert isinstance(message.artifact, AIMessage)
    assert message.artifact.additional_kwargs["references"]
    assert message.artifact.response_metadata["session_id"]


@pytest.mark.parametrize("api", ["stream", "rpc"])
def test_choices_and_hand_over_are_said(make: MakeTool, use: Use, api: str) -> None:
    """What is no text but matters to who goes on talking stands in the content."""
    tool = make(api=api)
    asked = "请问您想办理哪一项？" if api == "stream" else "请选择"
    assert use(tool, "退").content == f"{asked}\n1. 退货\n2. 退款"
    assert use(tool, "转人工").content == "正在为您转接人工客服，请稍等。\n(The robot asks to hand over to a human.)"


def test_choices_as_objects(make: MakeTool, emulator: Emulator, use: Use) -> None:
    """Choices may be objects with a title; an answer may be nothing but a command."""
    emulator.beebot.reply("哪一项?", choices=[{"Title": "退货", "KnowledgeId": "1"}, {"Id": 2}])
    assert use(make(), "退").content == "哪一项?\n1. 退货\n2. {'Id': 2}"
    emulator.beebot.reply("", commands={"sysToAgent": {}})
    assert use(make(), "转人工").content == "(The robot asks to hand over to a human.)"


def test_each_call_is_a_stranger_s(make: MakeTool, emulator: Emulator, use: Use) -> None:
    """Without a session no call knows of another."""
    tool = make()
    use(tool, "我叫小明")
    assert use(tool, "我叫什么?").content == "您还没有告诉我您的名字。"
    assert sessions(emulator) == [None, None]


def test_a_session_given(make: MakeTool, emulator: Emulator, use: Use) -> None:
    """A tool of one conversation."""
    tool = make(session_id="s1")
    use(tool, "我叫小明")
    assert use(tool, "我叫什么?").content == "您叫小明。"
    assert sessions(emulator) == ["s1", "s1"]


def test_a_session_of_the_run(make: MakeTool, emulator: Emulator, use: Use) -> None:
    """One tool for many users: the run says whose conversation it is, never the agent."""
    tool = make(session_id_from=lambda config: config["configurable"]["thread_id"])
    use(tool, "我叫小明", thread_id="t1")
    use(tool, "我叫小红", thread_id="t2")
    assert use(tool, "我叫什么?", thread_id="t1").content == "您叫小明。"
    assert sessions(emulator) == ["t1", "t2", "t1"]
    assert set(tool.args) == {"question"}


def test_a_run_without_a_session(make: MakeTool, emulator: Emulator, use: Use) -> None:
    """A run that does not say whose it is would mix strangers: nothing is sent."""
    with pytest.raises(ConfigurationError, match="session_id_from"):
        use(make(session_id_from=lambda config: config["configurable"].get("thread_id", "")), "你好")
    assert emulator.requests == []


def test_errors(make: MakeTool, emulator: Emulator, use: Use) -> None:
    """Errors are raised as a model's, or told to the agent's model if that is wanted."""
    emulator.fail("error_event", code="Throttling.User", times=6)
    with pytest.raises(langchain.ModelRateLimitError) as caught:
        use(make(max_retries=0), "你好")
    assert isinstance(caught.value, RateLimitError)
    message = use(make(max_retries=0, handle_tool_error=True), "你好")
    assert message.status == "error"
    assert "Throttling.User" in str(message.content)


def test_settings_are_passed_on(make: MakeTool, emulator: Emulator, use: Use) -> None:
    """What shapes a question and how the service is reached is the tool's to say."""
    tool = make(vendor_params={"docLabels": "a"}, sender_id="u1", default_headers={"x-mine": "1"}, agent_key="k1")
    use(tool, "你好")
    assert emulator.requests[0].query == {"AgentKey": "k1"}
    asked = json.loads(emulator.requests[1].json["data"][0]["value"])
    assert (asked["VendorParam"], asked["SenderId"]) == ('{"docLabels":"a"}', "u1")
    assert emulator.requests[1].headers["x-mine"] == "1"


def test_refused_at_once() -> None:
    """No keys, a misspelt argument, an empty question."""
    with pytest.raises(ConfigurationError):
        BeebotTool(instance_id="chatbot-cn-demo")
    with pytest.raises(ValidationError) as caught:
        BeebotTool(instance_id="chatbot-cn-demo", **KEYS, sesion_id="canary")
    assert "canary" not in str(caught.value)
    with pytest.raises(ValidationError):
        BeebotTool(instance_id="chatbot-cn-demo", **KEYS).invoke({"question": ""})


def test_no_secret_is_shown(make: MakeTool) -> None:
    """Neither face of the tool has the key."""
    tool = make()
    assert "testsecret" not in f"{tool!r}{tool}{tool.model_dump()}{tool.tool_call_schema.model_json_schema()}"


@pytest.mark.parametrize(
    "clone",
    [lambda tool: pickle.loads(pickle.dumps(tool)), copy.copy, copy.deepcopy],
    ids=["pickle", "copy", "deepcopy"],
)
def test_clones_work(make: MakeTool, use: Use, clone: Callable[[BeebotTool], BeebotTool]) -> None:
    """A used tool can be copied and sent to another process."""
    tool = make()
    content = use(tool, "你好").content
    with clone(tool) as other:
        assert use(other, "你好").content == content


def test_in_an_agent(make: MakeTool, emulator: Emulator) -> None:
    """An agent asks the robot in the session of its thread and uses the answer."""
    emulator.reply(tool_calls=[{"name": "ask_beebot", "arguments": {"question": "怎么退货?"}}], service="xingchen")
    emulator.reply("点「申请退货」就好。", service="xingchen")
    tool = make(session_id_from=lambda config: config["configurable"]["thread_id"])
    with ChatXingchen(character_id="demo", api_key="test-key", base_url=emulator.url) as model:
        agent = create_agent(model, tools=[tool])
        state = agent.invoke({"messages": [("human", "我想退货")]}, {"configurable": {"thread_id": "t1"}})
    assert [message.type for message in state["messages"]] == ["human", "ai", "tool", "ai"]
    assert "快递上门取件" in state["messages"][2].content
    assert sessions(emulator) == ["t1"]
