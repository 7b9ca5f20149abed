"""`BailianToolSpec` against the emulator (item 75 of the checklist)."""

import asyncio
import inspect
import json
import pickle
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.memory import ChatMemoryBuffer
from pydantic import ValidationError

from llama_index_xingchen import BailianMemoryBlock, BailianRetriever, BailianToolSpec, Xingchen
from xingchen_core import APIStatusError, ConfigurationError, NotFoundError, RateLimitError
from xingchen_core.emulator import Emulator

GOLDEN = Path(__file__).parent / "golden" / "bailian_tool_spec.json"

MEMORY_TOOLS = ["add_memory", "search_memories", "list_memories", "update_memory", "delete_memory"]

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


@pytest.fixture
def everything(emulator: Emulator) -> Iterator[dict[str, Any]]:
    """A knowledge base to search and a user to remember."""
    reach = {"api_key": "test-key", "base_url": emulator.url}
    retriever = BailianRetriever(index_id="kbdemo0001", similarity_top_k=1, **reach)
    with retriever, BailianMemoryBlock(user_id="u1", **reach) as memory:
        yield {"retriever": retriever, "memory": memory}


@pytest.fixture(params=["sync", "async"])
def use(request: pytest.FixtureRequest) -> Use:
    """Uses a tool (the first, unless named) in either colour, as an agent does; returns what its model reads."""

    def call(spec: BailianToolSpec, name: str | None = None, /, **given: Any) -> str:
        tools = {tool.metadata.name: tool for tool in spec.to_tool_list([*spec.spec_functions] if name else None)}
        tool = tools[name] if name else next(iter(tools.values()))
        output = tool.call(**given) if request.param == "sync" else asyncio.run(tool.acall(**given))
        return str(output.content)

    return call


def test_every_tool_has_two_colours() -> None:
    """Item 75: each function is a pair of a plain function and a coroutine function, alike but for the waiting."""
    for plain, waiting in BailianToolSpec.spec_functions:
        functions = getattr(BailianToolSpec, plain), getattr(BailianToolSpec, waiting)
        assert [inspect.iscoroutinefunction(function) for function in functions] == [False, True]
        assert inspect.signature(functions[0]) == inspect.signature(functions[1])
        assert all(inspect.getdoc(function) for function in functions)


def test_schemas(make_spec: Make, everything: dict[str, Any]) -> None:
    """Item 75: what a model reads of the tools does not change unnoticed; it chooses neither place nor person."""
    tools = make_spec(**everything).to_tool_list()
    schemas = [tool.metadata.to_openai_tool(skip_length_check=True) for tool in tools]
    assert schemas == json.loads(GOLDEN.read_text("utf-8"))


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({}, ["ask_app"]),
        ({"app_id": None}, ["ask_app"]),
        ({"retriever": "kept"}, ["ask_app", "search_knowledge"]),
        ({"app_id": None, "retriever": "kept"}, ["search_knowledge"]),
        ({"app_id": None, "memory": "kept"}, MEMORY_TOOLS),
    ],
)
def test_tools_of_what_there_is(
    make_spec: Make, everything: dict[str, Any], fields: dict[str, Any], names: list[str]
) -> None:
    """An agent is offered what can be done; others can be named."""
    spec = make_spec(**{name: everything[name] if value else value for name, value in fields.items()})
    assert [tool.metadata.name for tool in spec.to_tool_list()] == names
    assert [tool.metadata.name for tool in spec.to_tool_list(["search_knowledge"])] == ["search_knowledge"]


def test_other_tools_need_no_key_of_applications(everything: dict[str, Any]) -> None:
    """Without an application it is the retriever's and the memory's keys that count."""
    assert BailianToolSpec(retriever=everything["retriever"]).search_knowledge("退货")
    with pytest.raises(ConfigurationError, match="DASHSCOPE_API_KEY"):
        BailianToolSpec(app_id="demo", retriever=everything["retriever"])


def test_knowledge(make_spec: Make, use: Use, everything: dict[str, Any]) -> None:
    """The model reads numbered passages with where they are from, and no ids."""
    spec = make_spec(app_id=None, retriever=everything["retriever"])
    assert use(spec, query="无理由退货") == (
        "[1] author: 演示\ntitle: 退货政策\nheading_path: 退货政策\ndocument_name: 退货政策\npage_numbers: [0]\n\n"
        "收到商品七天内可以无理由退货。"
    )
    assert use(spec, query="zzz") == "Nothing is found."


def test_memories(make_spec: Make, use: Use, everything: dict[str, Any], emulator: Emulator) -> None:
    """A fact is stored, found, listed, corrected and forgotten; its text is shown as a quotation."""
    spec = make_spec(app_id=None, memory=everything["memory"])
    assert use(spec, "search_memories", query="茶") == "Nothing is remembered."
    told = use(spec, "add_memory", text='喜欢"绿茶"')
    memory_id = told.removeprefix("Remembered (memory id ").removesuffix(").")
    assert emulator.bailian.memory.nodes[memory_id].content == '喜欢"绿茶"'
    line = f'"喜欢\\"绿茶\\"" (memory id {memory_id})'
    assert use(spec, "search_memories", query="绿茶") == line
    assert use(spec, "list_memories") == f"{line}\nIn all: 1."
    assert use(spec, "update_memory", memory_id=memory_id, text="喜欢红茶") == "Updated."
    assert use(spec, "list_memories", page=1, limit=5) == f'"喜欢红茶" (memory id {memory_id})\nIn all: 1.'
    assert use(spec, "delete_memory", memory_id=memory_id) == "Deleted."
    assert use(spec, "list_memories") == "Nothing is remembered.\nIn all: 0."
    with pytest.raises(NotFoundError):
        use(spec, "delete_memory", memory_id=memory_id)


def test_memories_of_others(make_spec: Make, use: Use, everything: dict[str, Any], emulator: Emulator) -> None:
    """Another user's memories look as if there were none, and stay as they are."""
    secret = emulator.bailian.memory.add("u2", "住在杭州").node_id
    spec = make_spec(app_id=None, memory=everything["memory"])
    assert use(spec, "search_memories", query="住在杭州") == "Nothing is remembered."
    assert use(spec, "list_memories") == "Nothing is remembered.\nIn all: 0."
    for tool, rest in (("update_memory", {"text": "住在成都"}), ("delete_memory", {})):
        with pytest.raises(NotFoundError):
            use(spec, tool, memory_id=secret, **rest)
    node = emulator.bailian.memory.nodes[secret]
    assert (node.content, node.status) == ("住在杭州", "valid")


def test_limits_of_a_model(make_spec: Make, use: Use, everything: dict[str, Any], emulator: Emulator) -> None:
    """A model that asks for too much, or for nothing, gets what there can be; too long a fact is refused unsent."""
    spec = make_spec(app_id=None, memory=everything["memory"])
    use(spec, "search_memories", query="茶", limit=5000)
    use(spec, "list_memories", page=0, limit=0)
    searched, listed = emulator.requests
    assert searched.json["top_k"] == 100
    assert (listed.query["page_num"], listed.query["page_size"]) == ("1", "1")
    with pytest.raises(ConfigurationError, match="512"):
        use(spec, "add_memory", text="茶" * 513)
    assert len(emulator.requests) == 2


def test_where_memories_are(make_spec: Make, use: Use, emulator: Emulator) -> None:
    """The block says whose memories and where, in each call."""
    place = {"library_id": "lib-demo", "project_id": "proj-demo", "min_score": 0.1, "plan_version": "lite"}
    with BailianMemoryBlock(user_id="u1", api_key="test-key", base_url=emulator.url, **place) as block:
        spec = make_spec(app_id=None, memory=block)
        for tool, given in (
            ("add_memory", {"text": "喝茶"}),
            ("search_memories", {"query": "茶", "limit": 3}),
            ("list_memories", {}),
        ):
            with suppress(APIStatusError):  # the emulator has no such library
                use(spec, tool, **given)
    added, searched, listed = emulator.requests
    assert {"user_id": "u1", "memory_library_id": "lib-demo", "project_id": "proj-demo"}.items() <= added.json.items()
    assert searched.json == {
        "user_id": "u1",
        "messages": [{"role": "user", "content": "茶"}],
        "top_k": 3,
        "min_score": 0.1,
        "memory_library_id": "lib-demo",
        "project_ids": ["proj-demo"],
        "plan_version": "lite",
    }
    assert listed.query == {
        "user_id": "u1",
        "memory_library_id": "lib-demo",
        "project_id": "proj-demo",
        "page_num": "1",
        "page_size": "20",
    }


def test_tools_that_lack_their_field(make_spec: Make, use: Use) -> None:
    """They say what to pass."""
    with pytest.raises(ConfigurationError, match="retriever="):
        use(make_spec(), "search_knowledge", query="茶")
    with pytest.raises(ConfigurationError, match="memory="):
        use(make_spec(), "add_memory", text="茶")


def test_the_answer_and_its_sources(make_spec: Make, use: Use, emulator: Emulator) -> None:
    """The model reads the answer and the titles of the documents that its markers name."""
    emulator.bailian.reply("提前一天<ref>[1]</ref>。", references=["制度", "手册"])
    assert use(make_spec(), question="怎么请假?") == "提前一天[1]。\n[1] 制度"


def test_what_is_sent(make_spec: Make, use: Use, emulator: Emulator) -> None:
    """The settings shape each question; without a session each is a stranger's."""
    spec = make_spec(rag={"pipeline_ids": ["kb_fake"]}, workspace_id="llm-demo")
    use(spec, question="我叫小明")
    assert "小明" not in use(spec, question="我叫什么?")
    first, second = emulator.requests
    assert first.json == {"input": {"prompt": "我叫小明"}, "parameters": {"rag_options": {"pipeline_ids": ["kb_fake"]}}}
    assert second.json["input"] == {"prompt": "我叫什么?"}
    assert first.headers["x-dashscope-workspace"] == "llm-demo"


def test_errors(make_spec: Make, use: Use, emulator: Emulator) -> None:
    """Without an application the error says what to do; the service's are of its types."""
    with pytest.raises(ConfigurationError, match="app_id"):
        use(make_spec(app_id=None), question="你好")
    assert emulator.requests == []
    emulator.fail("status", status=429, code="Throttling")
    with pytest.raises(RateLimitError):
        use(make_spec(max_retries=0), question="你好")


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


def test_the_object(make_spec: Make, everything: dict[str, Any]) -> None:
    """Tools of a pickled spec work; no key shows; construction needs a key and known settings only."""
    spec = pickle.loads(pickle.dumps(make_spec()))
    assert spec.ask_app("你好")
    spec.close()
    assert "canary" not in repr(make_spec(api_key="canary"))
    spec = pickle.loads(pickle.dumps(make_spec(app_id=None, **everything)))
    assert spec.search_knowledge("退货")
    assert spec.list_memories() == "Nothing is remembered.\nIn all: 0."
    held = {"retriever": BailianRetriever(index_id="kb", api_key="canary")}
    held["memory"] = BailianMemoryBlock(user_id="u1", api_key="canary")  # type: ignore[assignment]
    holding = make_spec(**held)
    assert "canary" not in f"{holding!r}{holding.model_dump()}{holding.model_dump_json()}"
    with pytest.raises(ConfigurationError, match="DASHSCOPE_API_KEY"):
        BailianToolSpec()
    with pytest.raises(ValidationError):
        BailianToolSpec(api_key="test-key", app="demo")  # type: ignore[call-arg]
