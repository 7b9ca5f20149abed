"""`BailianAppQueryEngine`: answers, and the documents they refer to as source nodes."""

import asyncio
import copy
import pickle
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from llama_index.core.base.response.schema import AsyncStreamingResponse, Response, StreamingResponse
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.query_engine import RouterQueryEngine
from llama_index.core.schema import MetadataMode, QueryBundle
from llama_index.core.selectors import LLMSingleSelector
from llama_index.core.tools import QueryEngineTool

from llama_index_xingchen import BailianApp, BailianAppQueryEngine
from xingchen_core import AuthenticationError, ConfigurationError
from xingchen_core.emulator import Emulator

ANSWER = "七天内可退<ref>[1]</ref>，三天到账<ref>[2]</ref>。"
MANUAL = {
    "title": "退货",
    "doc_id": "file_fake_a",
    "doc_name": "手册",
    "text": "七天内可以退货。",
    "page_number": [3, 4],
    "doc_url": "https://example.com/a?sign=secret",
    "images": ["https://example.com/i?sign=secret"],
}
GUIDE = {"title": None, "doc_id": "file_fake_b", "doc_name": "指南", "text": "三天到账。"}

Make = Callable[..., BailianAppQueryEngine]
Query = Callable[..., Response]


@pytest.fixture
def make(emulator: Emulator) -> Iterator[Make]:
    """Builds engines of the seeded agent; a test names only what it is about."""
    with ExitStack() as made:

        def make_engine(**fields: Any) -> BailianAppQueryEngine:
            usual = {"app_id": "demo", "api_key": "test-key", "base_url": emulator.url}
            return made.enter_context(BailianAppQueryEngine(**{**usual, **fields}))

        yield make_engine


def query(make: Make, question: Any, **fields: Any) -> Response:
    """Asks for a whole answer."""
    response = make(**fields).query(question)
    assert isinstance(response, Response)
    return response


def aquery(make: Make, question: Any, **fields: Any) -> Response:
    """The same with asyncio."""
    response = asyncio.run(make(**fields).aquery(question))
    assert isinstance(response, Response)
    return response


def streamed(make: Make, question: Any, **fields: Any) -> Response:
    """Reads a stream to its end."""
    response = make(streaming=True, **fields).query(question)
    assert isinstance(response, StreamingResponse)
    return response.get_response()


def astreamed(make: Make, question: Any, **fields: Any) -> Response:
    """The same with asyncio."""

    async def read() -> Response:
        response = await make(streaming=True, **fields).aquery(question)
        assert isinstance(response, AsyncStreamingResponse)
        return await response.get_response()

    return asyncio.run(read())


@pytest.fixture(params=[query, aquery, streamed, astreamed], ids=lambda way: way.__name__)
def ask(request: pytest.FixtureRequest) -> Query:
    """Each way to a whole response."""
    way: Query = request.param
    return way


def test_the_answer_and_its_sources(make: Make, emulator: Emulator, ask: Query) -> None:
    """The documents an answer refers to are nodes, in order, with what the service tells of them."""
    emulator.bailian.reply(ANSWER, references=[MANUAL, GUIDE])
    response = ask(make, "怎么退货?")
    assert response.response == ANSWER
    first, second = response.source_nodes
    assert (first.text, second.text) == ("七天内可以退货。", "三天到账。")
    assert first.metadata == {
        "title": "退货",
        "document_name": "手册",
        "document_id": "file_fake_a",
        "page_numbers": [3, 4],
        "number": "1",
        "document_url": "https://example.com/a?sign=secret",
        "image_urls": ["https://example.com/i?sign=secret"],
    }
    assert second.metadata == {"document_name": "指南", "document_id": "file_fake_b", "number": "2"}
    assert (first.node.ref_doc_id, first.score) == ("file_fake_a", None)
    assert response.metadata is not None
    assert all(response.metadata[name] for name in ("session_id", "request_id", "usage", "citations"))
    assert emulator.requests[0].json["input"] == {"prompt": "怎么退货?"}


def test_ids_are_stable(make: Make, emulator: Emulator, ask: Query) -> None:
    """The same text of a document has the same id in every answer, another has another."""
    ids = []
    for references in ([MANUAL, GUIDE], [GUIDE, MANUAL]):
        emulator.bailian.reply(ANSWER, references=references)
        ids.append([node.node_id for node in ask(make, "怎么退货?").source_nodes])
    assert ids[0] == ids[1][::-1]
    assert len(set(ids[0])) == 2


def test_models_read_no_links(make: Make, emulator: Emulator) -> None:
    """Of the metadata a model reads what says something about the text."""
    emulator.bailian.reply(ANSWER, references=[MANUAL])
    [node] = query(make, "怎么退货?").source_nodes
    for mode in (MetadataMode.LLM, MetadataMode.EMBED):
        read = node.node.get_content(mode)
        assert "手册" in read
        assert "退货" in read
        assert "secret" not in read
        assert "file_fake_a" not in read


def test_scores_of_searches(make: Make, emulator: Emulator, ask: Query) -> None:
    """With thoughts, what a search tells of a chunk is known: its id and its score."""
    response = ask(make, "怎么退货?", has_thoughts=True, rag={"pipeline_ids": ["kb_a", "kb_b"]})
    assert [(node.node_id, node.score) for node in response.source_nodes] == [
        ("ws_fake_kb_fake_file_fake_1_0_1_1", 0.8),
        ("ws_fake_kb_fake_file_fake_2_0_1_2", 0.7),
    ]


def test_sources_of_searches_alone(make: Make, emulator: Emulator, ask: Query) -> None:
    """Where the console's switch for sources is off, the search tells them."""
    emulator.bailian.add_app("silent", shows_sources=False)
    response = ask(make, "怎么退货?", app_id="silent", has_thoughts=True, rag={"pipeline_ids": ["kb_a"]})
    [node] = response.source_nodes
    assert (node.metadata["number"], node.score) == ("1", 0.8)
    assert "kb_a" in node.metadata["document_name"]


def test_no_sources(make: Make, ask: Query) -> None:
    """An answer that refers to nothing has none."""
    response = ask(make, QueryBundle("你好"))
    assert response.response
    assert response.source_nodes == []


def test_streams_come_in_pieces(make: Make, emulator: Emulator) -> None:
    """The text comes as it is made; sources and metadata are there when it ends."""
    emulator.bailian.reply(chunks=["七天", "<ref>[1]</ref>"], references=[MANUAL])
    response = make(streaming=True).query("怎么退货?")
    assert isinstance(response, StreamingResponse)
    assert next(response.response_gen) == "七天"
    assert (response.source_nodes, response.metadata) == ([], {})
    assert "".join(response.response_gen) == "<ref>[1]</ref>"
    assert len(response.source_nodes) == 1
    assert response.metadata["session_id"]


def test_errors(make: Make, emulator: Emulator, ask: Query) -> None:
    """Errors are the LLM's, before there is a response."""
    emulator.fail("status", status=401, code="InvalidApiKey")
    with pytest.raises(AuthenticationError):
        ask(make, "你好")
    with pytest.raises(ConfigurationError, match="app_id"):
        ask(make, "你好", app_id=None)


def test_what_it_takes_is_counted(make: Make, emulator: Emulator, ask: Query) -> None:
    """A query is reported with the call of the application in it, and its tokens once."""
    counter = TokenCountingHandler()
    emulator.bailian.reply(
        "好。", usage={"models": [{"model_id": "qwen-plus", "input_tokens": 11, "output_tokens": 3}]}
    )
    ask(make, "你好", callback_manager=CallbackManager([counter]))
    assert (counter.prompt_llm_token_count, counter.completion_llm_token_count) == (11, 3)


def test_engines_of_engines(make: Make, emulator: Emulator) -> None:
    """It is a tool like any query engine, here of a router; its prompts are the service's."""
    tools = [
        QueryEngineTool.from_defaults(make(), name="shop", description="Returns and refunds"),
        QueryEngineTool.from_defaults(make(app_id="demo-flow"), name="flow", description="Weather"),
    ]
    emulator.bailian.reply('[{"choice": 1, "reason": "returns"}]')
    emulator.bailian.reply(ANSWER, references=[MANUAL])
    with BailianApp(app_id="demo", api_key="test-key", base_url=emulator.url) as llm:
        router = RouterQueryEngine.from_defaults(
            tools, llm=llm, selector=LLMSingleSelector.from_defaults(llm=llm), select_multi=False
        )
        response = router.query("怎么退货?")
        assert isinstance(response, Response)
        assert (response.response, len(response.source_nodes)) == (ANSWER, 1)
    assert make().get_prompts() == {}


@pytest.mark.parametrize("clone", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy, copy.deepcopy])
def test_clones_work(make: Make, emulator: Emulator, clone: Callable[[Any], BailianAppQueryEngine]) -> None:
    """A used engine can be copied and sent to another process; no key is shown."""
    engine = make(rag={"pipeline_ids": ["kb_a"]})
    before = engine.query("你好")
    with clone(engine) as other:
        assert str(other.query("你好")) == str(before)
    assert "test-key" not in f"{engine!r}{engine.model_dump()}"


def test_a_copy_with_other_settings(make: Make, emulator: Emulator) -> None:
    """A copy asks with its own settings, however often the engine was used before."""
    emulator.bailian.add_app("another")
    engine = make()
    engine.query("你好")
    with engine.model_copy(update={"app_id": "another"}) as other:
        other.query("你好")
    engine.query("你好")
    assert [received.path.split("/")[4] for received in emulator.requests] == ["demo", "another", "demo"]
