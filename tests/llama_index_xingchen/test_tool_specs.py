"""`XingchenToolSpec` against the emulator (item 75 of the checklist)."""

import asyncio
import inspect
import json
import pickle
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.tools import FunctionTool
from pydantic import ValidationError

from llama_index_xingchen import Xingchen, XingchenToolSpec
from xingchen_core import ConfigurationError, NotFoundError
from xingchen_core.emulator import Emulator

GOLDEN = Path(__file__).parent / "golden" / "xingchen_tool_spec.json"
PAIRS = [pair for pair in XingchenToolSpec.spec_functions if isinstance(pair, tuple)]

Make = Callable[..., XingchenToolSpec]
Use = Callable[..., str]


@pytest.fixture
def make_spec(emulator: Emulator, quiet: None) -> Iterator[Make]:
    """Makes tool specs that talk to the emulator; the usual character is the quiet one."""
    with ExitStack() as made:

        def make(**fields: Any) -> XingchenToolSpec:
            given = {
                "api_key": "test-key",
                "base_url": emulator.url,
                "character_id": "quiet",
                "user_id": "u1",
                **fields,
            }
            return made.enter_context(XingchenToolSpec(**given))

        yield make


@pytest.fixture(params=["sync", "async"])
def use(request: pytest.FixtureRequest) -> Use:
    """Uses a tool of a spec in either colour, as an agent does; returns what its model reads."""

    def call(spec: XingchenToolSpec, name: str, /, **arguments: Any) -> str:
        [tool] = [tool for tool in spec.to_tool_list() if tool.metadata.name == name]
        output = tool.call(**arguments) if request.param == "sync" else asyncio.run(tool.acall(**arguments))
        return str(output.content)

    return call


def test_every_tool_has_two_colours() -> None:
    """Item 75: each function is a pair of a plain function and a coroutine function, alike but for the waiting."""
    assert len(PAIRS) == len(XingchenToolSpec.spec_functions)
    for names in PAIRS:
        plain, waiting = (getattr(XingchenToolSpec, name) for name in names)
        assert (inspect.iscoroutinefunction(plain), inspect.iscoroutinefunction(waiting)) == (False, True)
        assert inspect.signature(plain) == inspect.signature(waiting)
        assert names[1] == f"a{names[0]}"


@pytest.mark.parametrize("names", PAIRS, ids=lambda names: str(names[0]))
def test_every_tool_is_described(names: tuple[str, str]) -> None:
    """Item 75: each has a docstring, and a type for every parameter and for what it returns."""
    for name in names:
        function = getattr(XingchenToolSpec, name)
        assert inspect.getdoc(function)
        hints = inspect.get_annotations(function, eval_str=True)
        assert set(hints) == {*inspect.signature(function).parameters, "return"} - {"self"}


def test_schemas(make_spec: Make) -> None:
    """Item 75: what a model reads of the tools does not change unnoticed, and names neither key nor user."""
    schemas = [tool.metadata.to_openai_tool(skip_length_check=True) for tool in make_spec().to_tool_list()]
    assert schemas == json.loads(GOLDEN.read_text("utf-8"))
    properties = {name for schema in schemas for name in schema["function"]["parameters"]["properties"]}
    assert properties == {"message", "character_id", "name", "limit", "text"}


def test_ask_character(make_spec: Make, use: Use, emulator: Emulator) -> None:
    """The usual character answers, or the one that is named; the platform's history plays no part."""
    emulator.reply("我叫小静。")
    assert use(make_spec(user_name="小明"), "ask_character", message="你叫什么?") == "我叫小静。"
    emulator.reply("我是小婉。")
    assert use(make_spec(), "ask_character", message="你呢?", character_id="demo") == "我是小婉。"
    first, second = (request.json["input"] for request in emulator.requests)
    assert first["messages"] == [{"role": "user", "content": "你叫什么?"}]
    assert first["aca"]["botProfile"] == {"characterId": "quiet"}
    assert first["aca"]["userProfile"] == {"userId": "u1", "userName": "小明"}
    assert first["aca"]["context"] == {"useChatHistory": False}
    assert second["aca"]["botProfile"] == {"characterId": "demo"}


def test_ask_character_that_remembers(make_spec: Make, use: Use, emulator: Emulator) -> None:
    """With platform history the second question is answered with the first in mind."""
    spec = make_spec(platform_history=True)
    for text in ("我叫小明", "我叫什么?"):
        emulator.reply(f"回答:{text}")
        use(spec, "ask_character", message=text)
    assert [message["content"] for message in emulator.xingchen.prompts[-1]] == [
        "我叫小明",
        "回答:我叫小明",
        "我叫什么?",
    ]


def test_strangers_share_nothing(make_spec: Make, use: Use, emulator: Emulator) -> None:
    """Without a user each question is asked by somebody new."""
    spec = make_spec(user_id=None)
    for _ in range(2):
        use(spec, "ask_character", message="你好")
    users = [request.json["input"]["aca"]["userProfile"]["userId"] for request in emulator.requests]
    assert len(set(users)) == 2
    assert min(map(len, users)) >= 32


def test_search_characters(make_spec: Make, use: Use, emulator: Emulator) -> None:
    """Characters are found by name, in the scope the application chose; nothing found is said in so many words."""
    emulator.xingchen.add_character("poet", name="李白", introduction="唐代诗人")
    found = json.loads(use(make_spec(), "search_characters", name="李"))
    assert found == [{"character_id": "poet", "name": "李白", "introduction": "唐代诗人"}]
    assert use(make_spec(), "search_characters", name="没有这个人") == "[]"
    use(make_spec(scope="public"), "search_characters", limit=1000)
    use(make_spec(), "search_characters", limit=0)
    sent = [(request.json["where"], request.json["pageSize"]) for request in emulator.requests]
    assert sent == [
        ({"characterName": "李", "scope": "my"}, 10),
        ({"characterName": "没有这个人", "scope": "my"}, 10),
        ({"scope": "public"}, 50),
        ({"scope": "my"}, 1),
    ]


def test_read_history(make_spec: Make, use: Use, emulator: Emulator) -> None:
    """The newest messages come oldest first, with speaker and time."""
    rows = [{"content": f"第{number}句", "gmtCreate": number * 1000} for number in range(1, 61)]
    emulator.xingchen.add_messages("quiet", "u1", rows)
    assert json.loads(use(make_spec(), "read_history", limit=2)) == [
        {"speaker": "user", "text": "第59句", "time": "1970-01-01T00:00:59+00:00"},
        {"speaker": "character", "text": "第60句", "time": "1970-01-01T00:01:00+00:00"},
    ]
    assert [len(json.loads(use(make_spec(), "read_history", limit=limit))) for limit in (0, 55, 999)] == [1, 55, 60]
    assert len(json.loads(use(make_spec(), "read_history"))) == 20
    assert use(make_spec(user_id="nobody"), "read_history") == "[]"


def test_send_reminder(make_spec: Make, use: Use, emulator: Emulator) -> None:
    """The words become the character's, in the user's conversation."""
    spec = make_spec()
    assert use(spec, "send_reminder", text="该喝水啦") == "Said."
    [request] = emulator.requests
    assert request.json == {"characterId": "quiet", "bizUserId": "u1", "content": "该喝水啦"}
    assert [row["text"] for row in json.loads(use(spec, "read_history"))] == ["该喝水啦"]


@pytest.mark.parametrize(
    ("name", "arguments", "fields", "why"),
    [
        ("ask_character", {"message": "你好"}, {"character_id": None}, "search_characters finds ids"),
        ("read_history", {}, {"character_id": None}, "search_characters finds ids"),
        ("send_reminder", {"text": "好"}, {"character_id": None}, "search_characters finds ids"),
        ("read_history", {}, {"user_id": None}, "user_id"),
        ("send_reminder", {"text": "好"}, {"user_id": None}, "user_id"),
        ("ask_character", {"message": "你好"}, {"user_id": None, "platform_history": True}, "user_id"),
    ],
)
def test_what_is_missing(
    make_spec: Make, use: Use, emulator: Emulator, name: str, arguments: Any, fields: Any, why: str
) -> None:
    """Without a character or a user the error says what to do, and nothing is sent."""
    with pytest.raises(ConfigurationError, match=why):
        use(make_spec(**fields), name, **arguments)
    assert emulator.requests == []


def test_errors_of_the_service(make_spec: Make, use: Use) -> None:
    """A character that does not exist is the service's error, by its type."""
    with pytest.raises(NotFoundError):
        use(make_spec(), "ask_character", message="你好", character_id="nobody")


@pytest.mark.filterwarnings(
    # LlamaIndex's workflows look at every attribute of an agent, pydantic's deprecated ones too.
    "ignore::pydantic.warnings.PydanticDeprecatedSince20",
    "ignore::pydantic.warnings.PydanticDeprecatedSince211",
)
async def test_an_agent_uses_them(make_spec: Make, emulator: Emulator) -> None:
    """An agent finds a character, asks it, and tells what it said."""
    spec = make_spec(character_id=None)
    emulator.reply(tool_calls=[{"name": "search_characters", "arguments": {"name": "quiet"}}])
    emulator.reply(tool_calls=[{"name": "ask_character", "arguments": {"message": "你好", "character_id": "quiet"}}])
    emulator.reply("我在。")
    emulator.reply("她说她在。")
    llm = Xingchen(api_key="test-key", base_url=emulator.url, character_id="demo", is_function_calling_model=True)
    response = await FunctionAgent(llm=llm, tools=spec.to_tool_list()).run("小静在吗?")
    assert str(response) == "她说她在。"
    assert [call.tool_output.content for call in response.tool_calls][1] == "我在。"


def test_the_object(make_spec: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tools of a pickled spec work; no key shows; construction needs a key and known settings only."""
    spec = pickle.loads(pickle.dumps(make_spec()))
    assert spec.ask_character("你好")
    spec.close()
    assert "canary" not in repr(make_spec(api_key="canary"))
    with pytest.raises(ConfigurationError, match="XINGCHEN_API_KEY"):
        XingchenToolSpec()
    with pytest.raises(ValidationError):
        XingchenToolSpec(api_key="test-key", user="u1")  # type: ignore[call-arg]
    monkeypatch.setenv("XINGCHEN_API_KEY", "test-key")
    assert all(isinstance(tool, FunctionTool) for tool in XingchenToolSpec().to_tool_list())
