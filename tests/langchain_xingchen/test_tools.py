"""The tools: LangChain's suites for each, whose conversation a call is, and what a model is told."""

import asyncio
import copy
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import BaseTool, ToolException
from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_tests.integration_tests import ToolsIntegrationTests
from langchain_tests.unit_tests import ToolsUnitTests

from langchain_xingchen import XingchenCharacterTool, XingchenToolkit
from langchain_xingchen.tools import (
    XingchenHistoryTool,
    XingchenRatingTool,
    XingchenReminderTool,
    XingchenSearchTool,
    _tool_name,
)
from xingchen_core import AuthenticationError, ConfigurationError, NotFoundError
from xingchen_core.emulator import Emulator

Invoke = Callable[..., Any]


def invoke(tool: BaseTool, *args: Any) -> Any:
    """The blocking way."""
    return tool.invoke(*args)


def ainvoke(tool: BaseTool, *args: Any) -> Any:
    """The way with asyncio."""
    return asyncio.run(tool.ainvoke(*args))


@pytest.fixture(params=[invoke, ainvoke], ids=["sync", "async"])
def use(request: pytest.FixtureRequest) -> Invoke:
    """Invokes a tool one of both ways."""
    way: Invoke = request.param
    return way


@pytest.fixture
def connection(emulator: Emulator) -> dict[str, Any]:
    """Where the emulator is."""
    return {"api_key": "test-key", "base_url": emulator.url}


def call(tool: BaseTool, **args: Any) -> dict[str, Any]:
    """A model's call of a tool."""
    return {"type": "tool_call", "id": "call_1", "name": tool.name, "args": args}


# LangChain's suites


Subject = tuple[type[BaseTool], dict[str, Any], dict[str, Any]]

WHOSE = {"character_id": "demo", "user_id": "u1"}
SUBJECTS: dict[str, Subject] = {
    "character": (XingchenCharacterTool, {**WHOSE, "platform_history": True}, {"question": "你多大了?"}),
    "any character": (XingchenCharacterTool, {}, {"question": "你多大了?", "character_id": "demo"}),
    "search": (XingchenSearchTool, {}, {"name": "小婉", "scope": "public", "limit": 3}),
    "history": (XingchenHistoryTool, WHOSE, {"limit": 5}),
    "reminder": (XingchenReminderTool, WHOSE, {"content": "记得吃饭"}),
    "rating": (XingchenRatingTool, WHOSE, {"message_id": "a1", "rating": -1, "reason": "答非所问"}),
}
"""What the suites run over: class, arguments, and the arguments of a call."""


class _Suite:
    """Runs a suite over every subject, on an emulator with an answer to rate."""

    subject: Subject
    connection: dict[str, Any]

    @pytest.fixture(autouse=True, params=SUBJECTS.values(), ids=SUBJECTS.keys())
    def _choose(self, request: pytest.FixtureRequest) -> Iterator[None]:
        self.subject = request.param
        with Emulator() as emulator:
            emulator.xingchen.add_messages("demo", "u1", ["在吗", {"content": "在呀", "messageId": "a1"}])
            self.connection = {"api_key": "test-key", "base_url": emulator.url}
            yield

    @property
    def tool_constructor(self) -> type[BaseTool]:
        return self.subject[0]

    @property
    def tool_constructor_params(self) -> dict[str, Any]:
        return {**self.subject[1], **self.connection}

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        return dict(self.subject[2])


class TestUnit(_Suite, ToolsUnitTests):
    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        environment = {"XINGCHEN_API_KEY": "test-key", "XINGCHEN_BASE_URL": "http://127.0.0.1:8900"}
        expected = {"api_key": "test-key", "base_url": "http://127.0.0.1:8900"}
        return environment, self.subject[1], expected


class TestIntegration(_Suite, ToolsIntegrationTests):
    pass


# Asking


def test_answer(emulator: Emulator, connection: dict[str, Any], use: Invoke) -> None:
    """The content is the answer, the artifact the whole message; the call is traced as a model's."""
    emulator.reply("我十七岁。")
    usage = UsageMetadataCallbackHandler()
    with XingchenCharacterTool(character_id="demo", scenario="放学路上", temperature=0.5, **connection) as tool:
        message = use(tool, call(tool, question="你多大了?"), {"callbacks": [usage]})

    assert isinstance(message, ToolMessage)
    assert message.content == "我十七岁。"
    assert isinstance(message.artifact, AIMessage)
    assert message.artifact.response_metadata["message_id"]
    assert usage.usage_metadata == {"xingchen-plus-v2": message.artifact.usage_metadata}
    body = emulator.requests[0].json
    assert body["input"]["messages"] == [{"role": "user", "content": "你多大了?"}]
    assert body["input"]["aca"]["scenario"] == {"description": "放学路上"}
    assert body["parameters"]["temperature"] == 0.5


def test_a_text_is_the_question(emulator: Emulator, connection: dict[str, Any], use: Invoke) -> None:
    """Without a tool call the tool takes a text, and returns one."""
    emulator.reply("在呀。")
    assert use(XingchenCharacterTool(character_id="demo", **connection), "在吗") == "在呀。"


def test_any_character(emulator: Emulator, connection: dict[str, Any], use: Invoke) -> None:
    """A tool without a character lets the call name one."""
    tool = XingchenCharacterTool(**connection)
    use(tool, call(tool, question="在吗", character_id="demo"))
    assert emulator.requests[0].json["input"]["aca"]["botProfile"] == {"characterId": "demo"}
    assert set(tool.args) == {"question", "character_id"}
    assert set(XingchenCharacterTool(character_id="demo", **connection).args) == {"question"}


def users(emulator: Emulator) -> list[str]:
    """Who asked, by request."""
    return [request.json["input"]["aca"]["userProfile"]["userId"] for request in emulator.requests]


def test_strangers_are_kept_apart(emulator: Emulator, connection: dict[str, Any], use: Invoke) -> None:
    """Without a user each call is another stranger's, and the platform's history is not used."""
    tool = XingchenCharacterTool(character_id="demo", **connection)
    for _ in range(2):
        use(tool, call(tool, question="在吗"))
    assert len(set(users(emulator))) == 2
    assert [r.json["input"]["aca"]["context"]["useChatHistory"] for r in emulator.requests] == [False, False]


def test_one_tool_for_many_users(emulator: Emulator, connection: dict[str, Any], use: Invoke) -> None:
    """The user comes from the config of the run, never from the model, and each is remembered apart."""
    tool = XingchenCharacterTool(
        character_id="demo",
        platform_history=True,
        user_id_from=lambda config: config.get("configurable", {}).get("user_id", ""),
        **connection,
    )
    for user_id in ("u1", "u2", "u1"):
        use(tool, call(tool, question=f"我是{user_id}", user_id="u9"), {"configurable": {"user_id": user_id}})
    assert users(emulator) == ["u1", "u2", "u1"]
    heard = [message["content"] for message in emulator.xingchen.prompts[-1]]
    assert "我是u1" in heard
    assert "我是u2" not in heard
    with pytest.raises(ConfigurationError, match="no user id in the config"):
        use(tool, call(tool, question="我是谁"))


def test_memory_needs_a_user(connection: dict[str, Any]) -> None:
    """Tools on a conversation say at once that they do not know whose it is."""
    with pytest.raises(ConfigurationError, match="user_id, or user_id_from"):
        XingchenCharacterTool(character_id="demo", platform_history=True, **connection)
    for kind in (XingchenHistoryTool, XingchenReminderTool, XingchenRatingTool):
        with pytest.raises(ConfigurationError, match="user_id, or user_id_from"):
            kind(character_id="demo", **connection)


def described(way: Invoke, *args: Any, **fields: Any) -> XingchenCharacterTool:
    """A tool made from a character's record."""
    if way is invoke:
        return XingchenCharacterTool.from_character(*args, **fields)
    return asyncio.run(XingchenCharacterTool.afrom_character(*args, **fields))


def test_from_character(emulator: Emulator, connection: dict[str, Any], use: Invoke) -> None:
    """A tool takes its name and description from the character's record, in a form every provider accepts, unless they
    are given.
    """
    emulator.xingchen.add_character("weather-man", name="Weather Man", introduction="knows the weather")
    demo = described(use, "demo", **connection)
    assert demo.name == "ask_demo"
    assert demo.description == ("Ask the character 小婉 (住在隔壁的温柔女孩) and get its answer, in its manner.")
    other = described(use, "weather-man", temperature=0.5, **connection)
    assert (other.name, other.temperature) == ("ask_Weather_Man", 0.5)
    function = convert_to_openai_tool(other)["function"]
    assert function["name"] == "ask_Weather_Man"
    assert "knows the weather" in function["description"]

    named = described(use, "demo", name="neighbour", description="Asks next door.", **connection)
    assert (named.name, named.description) == ("neighbour", "Asks next door.")
    with pytest.raises(NotFoundError):
        described(use, "nobody", **connection)


@pytest.mark.parametrize(
    ("name", "character_id", "expected"),
    [
        ("小婉", "0123456789abcdef0123456789abcdef", "ask_0123456789abcdef0123456789abcdef"),
        (" Dr. Watson ", "demo", "ask_Dr_Watson"),
        ("", "a.b/c", "ask_a_b_c"),
        ("x" * 80, "demo", "ask_" + "x" * 60),
    ],
)
def test_names_are_acceptable(name: str, character_id: str, expected: str) -> None:
    """A tool's name has ASCII letters, digits, `_` and `-` only, 64 at most."""
    assert _tool_name(name, character_id) == expected


# The others


def test_search(emulator: Emulator, connection: dict[str, Any], use: Invoke) -> None:
    """The model is told names, ids and introductions; the artifact is plain data."""
    emulator.xingchen.add_character("one", name="小王", introduction="爱唱歌")
    emulator.xingchen.add_character("two", name="小李")
    tool = XingchenSearchTool(**connection)
    message = use(tool, call(tool))
    assert sorted(message.content.splitlines()) == ["小李 (id two)", "小王 (id one): 爱唱歌"]
    assert {record["characterId"] for record in message.artifact} == {"one", "two"}
    assert use(tool, {"name": "没有这个人"}) == "No character was found."


def test_read_conversation(emulator: Emulator, connection: dict[str, Any], use: Invoke) -> None:
    """The model reads who said what and when, with ids to rate by; the artifact are messages."""
    emulator.xingchen.add_character("quiet", name="小静")
    tool = XingchenHistoryTool(character_id="quiet", user_id="u1", **connection)
    assert use(tool, {}) == "They have not talked yet."
    rows = [
        {"content": "旧的", "messageType": "user", "messageId": "q0", "gmtCreate": 1700000000000},
        {"content": "在吗", "messageType": "user", "messageId": "q1", "gmtCreate": 1700000060000},
        {"content": "在呀", "messageType": "character", "messageId": "a1", "gmtCreate": 1700000120000},
    ]
    emulator.xingchen.add_messages("quiet", "u1", rows)
    message = use(tool, call(tool, limit=2))
    assert message.content == (
        "2023-11-14 22:14 UTC u1: 在吗 (message id q1)\n2023-11-14 22:15 UTC 小静: 在呀 (message id a1)"
    )
    assert [(type(m), m.id) for m in message.artifact] == [(HumanMessage, "q1"), (AIMessage, "a1")]


def test_remind_and_rate(emulator: Emulator, connection: dict[str, Any], use: Invoke) -> None:
    """A reminder becomes the character's words in that user's conversation; a rating reaches the message."""
    emulator.xingchen.add_character("quiet")
    whose = {"character_id": "quiet", "user_id": "u1"}
    assert use(XingchenReminderTool(**whose, **connection), {"content": "记得吃饭"}) == "Sent."
    (message,) = use(reading := XingchenHistoryTool(**whose, **connection), call(reading)).artifact
    assert message.content == "记得吃饭"

    rating = XingchenRatingTool(**whose, **connection)
    assert use(rating, {"message_id": message.id, "rating": 5}) == "Rated."
    (rated,) = use(reading, call(reading)).artifact
    assert rated.response_metadata["rating"] == 5
    with pytest.raises(ValueError, match="less than or equal to 5"):
        use(rating, {"message_id": message.id, "rating": 6})


# Errors


def test_errors_are_raised_as_they_are(connection: dict[str, Any], use: Invoke) -> None:
    """By default a program sees the error itself, with all it carries."""
    tool = XingchenCharacterTool(character_id="nobody", **connection)
    with pytest.raises(NotFoundError) as error:
        use(tool, call(tool, question="在吗"))
    assert error.value.request_id


@pytest.mark.parametrize("kind", [XingchenCharacterTool, XingchenReminderTool])
def test_errors_for_the_model(connection: dict[str, Any], use: Invoke, kind: Any) -> None:
    """With `handle_tool_error` the model is told what went wrong, in words that help."""
    args = {"question": "在吗"} if kind is XingchenCharacterTool else {"content": "在吗"}
    fields = {"character_id": "demo", "user_id": "u1", **connection, "api_key": "invalid"}
    tool = kind(handle_tool_error=True, **fields)
    message = use(tool, call(tool, **args))
    assert message.status == "error"
    assert "Check the API key: it must come from the Xingchen console" in message.content

    told: list[ToolException] = []
    tool = kind(handle_tool_error=lambda error: told.append(error) or "换个人问问", **fields)
    assert use(tool, call(tool, **args)).content == "换个人问问"
    assert isinstance(told[0].__cause__, AuthenticationError)


# The toolkit


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({}, ["search_characters", "ask_character"]),
        ({"character_id": "demo"}, ["search_characters", "ask_character"]),
        (
            {"character_id": "demo", "user_id": "u1"},
            ["search_characters", "ask_character", "read_conversation", "send_reminder", "rate_answer"],
        ),
    ],
)
def test_toolkit(connection: dict[str, Any], fields: dict[str, Any], names: list[str]) -> None:
    """The tools follow from what is known; every argument is explained to the model, and none is the user."""
    tools = XingchenToolkit(**fields, **connection).get_tools()
    assert [tool.name for tool in tools] == names
    for tool in tools:
        parameters = convert_to_openai_tool(tool)["function"]["parameters"]["properties"]
        assert all(parameter["description"] for parameter in parameters.values())
        assert "user_id" not in parameters


def test_toolkit_in_use(emulator: Emulator, connection: dict[str, Any], use: Invoke) -> None:
    """Tools of one toolkit work on one conversation and reach the service alike."""
    toolkit = XingchenToolkit(
        character_id="demo", user_id="u1", handle_tool_error=True, default_headers={"x-team": "t1"}, **connection
    )
    tools = {tool.name: tool for tool in toolkit.get_tools()}
    use(tools["ask_character"], {"question": "你好"})
    use(tools["send_reminder"], {"content": "记得吃饭"})
    use(tools["ask_character"], {"question": "我该做什么?"})
    read = use(tools["read_conversation"], {})
    assert "记得吃饭" in read
    assert {"role": "assistant", "content": "记得吃饭"} in emulator.xingchen.prompts[-1]
    assert all(request.headers["x-team"] == "t1" for request in emulator.requests)
    assert tools["rate_answer"].handle_tool_error is True


def test_copies(emulator: Emulator, connection: dict[str, Any]) -> None:
    """A tool pickles and copies; a copy with other settings uses them."""
    with XingchenCharacterTool(character_id="demo", user_id="u1", **connection) as tool:
        tool.invoke("在吗")
        for copied in (copy.deepcopy(tool), pickle.loads(pickle.dumps(tool))):
            copied.invoke("在吗")
        tool.model_copy(update={"base_url": emulator.url, "default_headers": {"x-team": "t2"}}).invoke("在吗")
    assert users(emulator) == ["u1"] * 4
    assert emulator.requests[-1].headers["x-team"] == "t2"


def test_no_key_is_shown(connection: dict[str, Any]) -> None:
    """Neither tools nor toolkits show the key, and unknown arguments are refused without an echo."""
    secret = {**connection, "api_key": "sk-canary"}
    toolkit = XingchenToolkit(character_id="demo", user_id="u1", **secret)
    for shown in (toolkit, *toolkit.get_tools()):
        assert "sk-canary" not in f"{shown!r} {shown} {shown.model_dump()}"
    for kind in (XingchenToolkit, XingchenCharacterTool, XingchenSearchTool):
        with pytest.raises(ValueError, match="Extra inputs") as error:
            kind(nonsense="sk-canary", **connection)
        assert "sk-canary" not in str(error.value)
