"""`BailianToolSpec` against the emulator (item 75 of the checklist)."""

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
from llama_index.core.memory import ChatMemoryBuffer
from pydantic import ValidationError

from llama_index_xingchen import BailianToolSpec, Xingchen
from xingchen_core import ConfigurationError, RateLimitError
from xingchen_core.emulator import Emulator

GOLDEN = Path(__file__).parent / "golden" / "bailian_tool_spec.json"

Make = Callable[..., BailianToolSpec]
Use = Callable[..., str]


@pytest.fixture
def make_spec(emulator: Emulator) -> Iterator[Make]:
    """Makes tool specs of the seeded agent."""
    with ExitStack() as made:

        def make(**fields: Any) -> BailianToolSpec:
            given = {"api_key": "test-key", "base_url": emulator.url, "app_id": "demo", **fields}
            return made.enter_context(BailianToolSpec(**given))

        yield make


@pytest.fixture(params=["sync", "async"])
def use(request: pytest.FixtureRequest) -> Use:
    """Asks the application in either colour, as an agent does; returns what its model reads."""

    def call(spec: BailianToolSpec, question: str) -> str:
        [tool] = spec.to_tool_list()
        if request.param == "sync":
            return str(tool.call(question=question).content)
        return str(asyncio.run(tool.acall(question=question)).content)

    return call


def test_every_tool_has_two_colours() -> None:
    """Item 75: each function is a pair of a plain function and a coroutine function, alike but for the waiting."""
    for plain, waiting in BailianToolSpec.spec_functions:
        functions = getattr(BailianToolSpec, plain), getattr(BailianToolSpec, waiting)
        assert [inspect.iscoroutinefunction(function) for function in functions] == [False, True]
        assert inspect.signature(functions[0]) == inspect.signature(functions[1])
        assert all(inspect.getdoc(function) for function in functions)


def test_schemas(make_spec: Make) -> None:
    """Item 75: what a model reads of the tools does not change unnoticed; it chooses nothing but the question."""
    schemas = [tool.metadata.to_openai_tool(skip_length_check=True) for tool in make_spec().to_tool_list()]
    assert schemas == json.loads(GOLDEN.read_text("utf-8"))


def test_the_answer_and_its_sources(make_spec: Make, use: Use, emulator: Emulator) -> None:
    """The model reads the answer and the titles of the documents that its markers name."""
    emulator.bailian.reply("提前一天<ref>[1]</ref>。", references=["制度", "手册"])
    assert use(make_spec(), "怎么请假?") == "提前一天[1]。\n[1] 制度"


def test_what_is_sent(make_spec: Make, use: Use, emulator: Emulator) -> None:
    """The settings shape each question; without a session each is a stranger's."""
    spec = make_spec(rag={"pipeline_ids": ["kb_fake"]}, workspace_id="llm-demo")
    use(spec, "我叫小明")
    assert "小明" not in use(spec, "我叫什么?")
    first, second = emulator.requests
    assert first.json == {"input": {"prompt": "我叫小明"}, "parameters": {"rag_options": {"pipeline_ids": ["kb_fake"]}}}
    assert second.json["input"] == {"prompt": "我叫什么?"}
    assert first.headers["x-dashscope-workspace"] == "llm-demo"


def test_errors(make_spec: Make, use: Use, emulator: Emulator) -> None:
    """Without an application the error says what to do; the service's are of its types."""
    with pytest.raises(ConfigurationError, match="app_id"):
        use(make_spec(app_id=None), "你好")
    assert emulator.requests == []
    emulator.fail("status", status=429, code="Throttling")
    with pytest.raises(RateLimitError):
        use(make_spec(max_retries=0), "你好")


@pytest.mark.filterwarnings(
    # LlamaIndex's workflows look at every attribute of an agent, pydantic's deprecated ones too.
    "ignore::pydantic.warnings.PydanticDeprecatedSince20",
    "ignore::pydantic.warnings.PydanticDeprecatedSince211",
)
async def test_an_agent_uses_it(make_spec: Make, emulator: Emulator) -> None:
    """An agent asks the application and tells what it said."""
    call = {"name": "ask_app", "arguments": {"question": "怎么请假?"}}
    emulator.reply(tool_calls=[call], service="xingchen")
    emulator.reply("提前一天就行。", service="xingchen")
    emulator.reply("提前一天。", service="bailian")
    llm = Xingchen(api_key="test-key", base_url=emulator.url, character_id="demo", is_function_calling_model=True)
    agent = FunctionAgent(llm=llm, tools=make_spec().to_tool_list())
    response = await agent.run("我想请假", memory=ChatMemoryBuffer.from_defaults(token_limit=8000))
    assert str(response) == "提前一天就行。"
    assert [made.tool_output.content for made in response.tool_calls] == ["提前一天。"]


def test_the_object(make_spec: Make) -> None:
    """Tools of a pickled spec work; no key shows; construction needs a key and known settings only."""
    spec = pickle.loads(pickle.dumps(make_spec()))
    assert spec.ask_app("你好")
    spec.close()
    assert "canary" not in repr(make_spec(api_key="canary"))
    with pytest.raises(ConfigurationError, match="DASHSCOPE_API_KEY"):
        BailianToolSpec()
    with pytest.raises(ValidationError):
        BailianToolSpec(api_key="test-key", app="demo")  # type: ignore[call-arg]
