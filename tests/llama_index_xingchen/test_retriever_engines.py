"""`BailianRetriever` under LlamaIndex's engines and tools, sync and async (conformance item 59)."""

import asyncio
import inspect
import json
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import (
    CitationQueryEngine,
    RetrieverQueryEngine,
    RouterQueryEngine,
    SubQuestionQueryEngine,
)
from llama_index.core.question_gen import LLMQuestionGenerator
from llama_index.core.retrievers import QueryFusionRetriever
from llama_index.core.retrievers.fusion_retriever import FUSION_MODES
from llama_index.core.selectors import LLMSingleSelector
from llama_index.core.tools import QueryEngineTool, RetrieverTool

from llama_index_xingchen import Bailian, BailianApp, BailianRetriever
from xingchen_core.emulator import Emulator
from xingchen_core.emulator.bailian_index_store import Chunk

QUESTION = "无理由退货"
FOUND = "收到商品七天内可以无理由退货。"

ASYNC_NAMES = {"retrieve": "aretrieve", "query": "aquery", "call": "acall"}
Do = Callable[..., Any]


@pytest.fixture
def retriever(emulator: Emulator) -> Iterator[BailianRetriever]:
    """One node of the seeded knowledge base."""
    with BailianRetriever(index_id="kbdemo0001", similarity_top_k=1, api_key="test-key", base_url=emulator.url) as made:
        yield made


@pytest.fixture
def llm(emulator: Emulator) -> Iterator[BailianApp]:
    """Answers what the test scripts."""
    with BailianApp(app_id="demo", api_key="test-key", base_url=emulator.url) as made:
        yield made


@pytest.fixture(params=["sync", "async"])
def do(request: pytest.FixtureRequest) -> Iterator[Do]:
    """Calls a method by its sync name, in either colour.

    Some of LlamaIndex's sync methods take the thread's event loop, and would make one that nobody closes.
    """
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)

    def call(of: Any, name: str, *args: Any, **kwargs: Any) -> Any:
        if request.param == "sync":
            return getattr(of, name)(*args, **kwargs)

        async def run() -> Any:
            return await getattr(of, ASYNC_NAMES[name])(*args, **kwargs)

        return loop.run_until_complete(run())

    yield call
    loop.run_until_complete(loop.shutdown_default_executor())
    asyncio.set_event_loop(None)
    loop.close()


def prompts(emulator: Emulator) -> list[str]:
    """What a model was asked."""
    asked = [each for each in emulator.requests if each.path.endswith(("/completion", "/generation"))]
    return [json.dumps(each.json["input"], ensure_ascii=False) for each in asked]


def queries(emulator: Emulator) -> list[str]:
    """What the knowledge base was asked."""
    return [each.json["query"] for each in emulator.requests if each.path.endswith("/retrieve")]


def test_retriever_query_engine(retriever: BailianRetriever, llm: BailianApp, emulator: Emulator, do: Do) -> None:
    """The model reads the text and its title, and no ids."""
    emulator.bailian.reply("七天。")
    response = do(RetrieverQueryEngine.from_args(retriever, llm=llm), "query", QUESTION)
    assert (str(response), [node.text for node in response.source_nodes]) == ("七天。", [FOUND])
    [prompt] = prompts(emulator)
    assert FOUND in prompt
    assert "document_name: 退货政策" in prompt
    assert "kbdemo0001" not in prompt
    assert "file_" not in prompt


def test_citation_query_engine(retriever: BailianRetriever, do: Do) -> None:
    """Citations keep what a footnote needs."""
    response = do(CitationQueryEngine.from_args(None, retriever=retriever, llm=MockLLM()), "query", QUESTION)
    [source] = response.source_nodes
    assert source.text == f"Source 1:\n{FOUND}\n"
    assert source.metadata["document_name"] == "退货政策"
    assert source.node.ref_doc_id == source.metadata["document_id"]


@pytest.mark.skipif(
    "multimodal" not in inspect.signature(CitationQueryEngine).parameters,
    reason="newer than the oldest LlamaIndex we support",
)
def test_citations_of_pictures(
    emulator: Emulator, retriever: BailianRetriever, monkeypatch: pytest.MonkeyPatch, do: Do
) -> None:
    """A picture stays one, and the model sees it (item 57)."""
    knowledge = emulator.bailian.knowledge
    knowledge.add_index("图", "kbfake")
    knowledge.add_document("kbfake", "茶.png", chunks=[Chunk("c1", "红茶", images=("https://e.invalid/a.png",))])
    pictures = retriever.model_copy(update={"index_id": "kbfake"})
    loaded = SimpleNamespace(content=b"GIF89a", raise_for_status=lambda: None)
    monkeypatch.setattr("requests.get", lambda *_, **__: loaded)  # LlamaIndex loads pictures
    emulator.bailian.reply("红茶。")
    with Bailian(model="qwen3-vl-plus", api_key="test-key", base_url=emulator.url) as llm:
        engine = CitationQueryEngine.from_args(None, retriever=pictures, llm=llm, multimodal=True)
        nodes = do(engine, "query", "红茶").source_nodes
    assert '{"image": "data:image/gif;base64,R0lGODlh"}' in prompts(emulator)[0]
    resources = [node.node.image_resource for node in nodes if node.node.image_resource]
    assert [str(resource.url).partition("?")[0] for resource in resources] == ["https://e.invalid/a.png"]
    assert nodes[0].metadata["document_name"] == "茶"


def test_router_query_engine(retriever: BailianRetriever, llm: BailianApp, emulator: Emulator, do: Do) -> None:
    """A router asks the engine that is chosen."""
    engine = RetrieverQueryEngine.from_args(retriever, llm=llm)
    tools = [QueryEngineTool.from_defaults(engine, name=name, description=name) for name in ("returns", "weather")]
    emulator.bailian.reply('[{"choice": 1, "reason": "returns"}]')
    emulator.bailian.reply("七天。")
    selector = LLMSingleSelector.from_defaults(llm=llm)
    router = RouterQueryEngine.from_defaults(tools, llm=llm, selector=selector, select_multi=False)
    response = do(router, "query", QUESTION)
    assert (str(response), [node.text for node in response.source_nodes]) == ("七天。", [FOUND])
    assert queries(emulator) == [QUESTION]


@pytest.mark.parametrize("use_async", [False, True], ids=["in turn", "at once"])
def test_sub_question_query_engine(
    retriever: BailianRetriever, llm: BailianApp, emulator: Emulator, do: Do, use_async: bool
) -> None:
    """Each question that a question is divided into is retrieved for."""
    engine = RetrieverQueryEngine.from_args(retriever, llm=MockLLM())
    tool = QueryEngineTool.from_defaults(engine, name="shop", description="shop")
    emulator.bailian.reply(
        '```json\n{"items": [{"sub_question": "无理由退货", "tool_name": "shop"}, '
        '{"sub_question": "申请发票", "tool_name": "shop"}]}\n```'
    )
    divided = SubQuestionQueryEngine.from_defaults(
        [tool],
        llm=MockLLM(),
        question_gen=LLMQuestionGenerator.from_defaults(llm=llm),
        use_async=use_async,
        verbose=False,
    )
    response = do(divided, "query", "退货和发票?")
    assert sorted(queries(emulator)) == ["无理由退货", "申请发票"]
    assert FOUND in [node.text for node in response.source_nodes]


@pytest.mark.parametrize("use_async", [False, True], ids=["in turn", "at once"])
def test_query_fusion_retriever(
    retriever: BailianRetriever, llm: BailianApp, emulator: Emulator, do: Do, use_async: bool
) -> None:
    """The same chunk found by several queries comes out once."""
    emulator.bailian.reply("退货\n怎么退货")
    fusion = QueryFusionRetriever(
        [retriever], llm=llm, num_queries=3, mode=FUSION_MODES.RECIPROCAL_RANK, use_async=use_async, similarity_top_k=5
    )
    found = do(fusion, "retrieve", QUESTION)
    assert sorted(queries(emulator)) == sorted([QUESTION, "退货", "怎么退货"])
    assert [node.text for node in found].count(FOUND) == 1


@pytest.mark.parametrize("given", [{"args": (QUESTION,)}, {"kwargs": {"input": QUESTION}}], ids=["plain", "named"])
def test_retriever_tool(retriever: BailianRetriever, emulator: Emulator, do: Do, given: dict[str, Any]) -> None:
    """An agent's tool sends the question alone, and tells text, title and no ids."""
    tool = RetrieverTool.from_defaults(retriever, description="shop")
    output = do(tool, "call", *given.get("args", ()), **given.get("kwargs", {}))
    assert queries(emulator) == [QUESTION]
    assert FOUND in output.content
    assert "退货政策" in output.content
    assert "file_" not in output.content


def test_query_engine_tool(retriever: BailianRetriever, emulator: Emulator, do: Do) -> None:
    """An engine as a tool."""
    engine = RetrieverQueryEngine.from_args(retriever, llm=MockLLM())
    output = do(QueryEngineTool.from_defaults(engine, name="shop", description="shop"), "call", input=QUESTION)
    assert queries(emulator) == [QUESTION]
    assert FOUND in output.content
