"""`BailianMemoryRetriever`: whose memories, what shapes a search, what comes back."""

import copy
import pickle
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.load import dumps
from langchain_core.runnables import RunnableLambda, RunnablePassthrough
from pydantic import ValidationError

import langchain_xingchen
from langchain_xingchen import BailianMemoryRetriever
from langchain_xingchen.memory_retriever import to_document
from xingchen_core import AuthenticationError, ConfigurationError
from xingchen_core.bailian.memory import MemoryNode
from xingchen_core.emulator import Emulator

MakeRetriever = Callable[..., BailianMemoryRetriever]
Ask = Callable[..., list[Document]]


@pytest.fixture
def make(emulator: Emulator) -> Iterator[MakeRetriever]:
    """Makes retrievers of user u1 unless a test says otherwise. They are closed after it."""
    with ExitStack() as made:

        def make_retriever(**fields: Any) -> BailianMemoryRetriever:
            whose = {} if "user_id_from" in fields else {"user_id": "u1"}
            settings = {"api_key": "test-key", "base_url": emulator.url}
            return made.enter_context(BailianMemoryRetriever(**{**whose, **settings, **fields}))

        yield make_retriever


def texts(documents: list[Document]) -> list[str]:
    """What is remembered, in order."""
    return [document.page_content for document in documents]


def test_a_memory_as_a_document() -> None:
    """What the service tells is in the metadata, in plain types; what was stored with it has a place of its own."""
    node = MemoryNode(
        id="node_fake",
        text="喜欢喝茶",
        user_id="u1",
        score=0.5,
        memory_type="observation",
        project_id="projfake01",
        metadata={"score": "mine"},
        timestamp=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    )
    assert to_document(node) == Document(
        id="node_fake",
        page_content="喜欢喝茶",
        metadata={
            "score": 0.5,
            "memory_type": "observation",
            "project_id": "projfake01",
            "timestamp": "2026-01-02T03:04:05+00:00",
            "created_at": None,
            "updated_at": None,
            "meta_data": {"score": "mine"},
        },
    )


def test_finds_what_is_remembered(make: MakeRetriever, emulator: Emulator, ask: Ask) -> None:
    """Best first, of this user only."""
    emulator.bailian.memory.add("u1", "喜欢喝茶", meta_data={"source": "问卷"})
    emulator.bailian.memory.add("u1", "喜欢喝茶，也喝水")
    emulator.bailian.memory.add("u2", "喜欢喝咖啡")
    found = ask(make(), "喝茶")
    assert sorted(texts(found)) == ["喜欢喝茶", "喜欢喝茶，也喝水"]
    assert {document.metadata["score"] for document in found} == {1.0}
    assert [document.metadata["meta_data"] for document in found if document.page_content == "喜欢喝茶"] == [
        {"source": "问卷"}
    ]


def test_nothing_found(make: MakeRetriever, ask: Ask) -> None:
    """A user of whom nothing is known."""
    assert ask(make(), "喝茶") == []


def test_what_shapes_a_search(make: MakeRetriever, emulator: Emulator, ask: Ask) -> None:
    """A call has the retriever's settings, and its own in their place, for this call only. A zero is sent."""
    retriever = make(k=4, plan_version="lite", min_score=0.5)
    ask(retriever, "喝茶", k=2, min_score=0, memory_types=["observation"])
    ask(retriever, "喝茶")
    first, second = (request.json for request in emulator.requests)
    assert first == {
        "user_id": "u1",
        "messages": [{"role": "user", "content": "喝茶"}],
        "top_k": 2,
        "min_score": 0,
        "memory_types": ["observation"],
        "plan_version": "lite",
    }
    assert (second["top_k"], second["min_score"]) == (4, 0.5)


def test_the_user_of_the_run(make: MakeRetriever, emulator: Emulator, ask: Ask) -> None:
    """One retriever for many users: its own config says whose memories, or that of the chain around it."""
    emulator.bailian.memory.add("u1", "喜欢喝茶")
    emulator.bailian.memory.add("u2", "喜欢喝咖啡")
    retriever = make(user_id_from=lambda config: config["configurable"].get("user_id", ""))
    assert texts(ask(retriever, "喜欢喝什么", config={"configurable": {"user_id": "u2"}})) == ["喜欢喝咖啡"]
    for chain in (RunnablePassthrough() | retriever, RunnableLambda(lambda query: retriever.invoke(query))):
        assert texts(ask(chain, "喜欢喝什么", config={"configurable": {"user_id": "u1"}})) == ["喜欢喝茶"]
    with pytest.raises(ConfigurationError, match="user_id_from"):
        ask(retriever, "喜欢喝什么")
    assert len(emulator.requests) == 3


@pytest.mark.parametrize("name", ["nonsense", "user_id", "library_id", "top_k", "query_timestamp"])
def test_an_unknown_keyword(make: MakeRetriever, emulator: Emulator, ask: Ask, name: str) -> None:
    """What a call cannot say is not ignored; whose memories is not for it to say."""
    with pytest.raises(TypeError, match=name):
        ask(make(), "喝茶", **{name: "u2"})
    assert emulator.requests == []


def test_refused_at_once() -> None:
    """No key, an AccessKey only, nobody's memories, a value out of bounds, a misspelt argument."""
    with pytest.raises(ConfigurationError, match="DASHSCOPE_API_KEY"):
        BailianMemoryRetriever(user_id="u1")
    with pytest.raises(ConfigurationError, match="API key"):
        BailianMemoryRetriever(user_id="u1", access_key_id="testid", access_key_secret="testsecret")
    with pytest.raises(ConfigurationError, match="Whose"):
        BailianMemoryRetriever(api_key="test-key")
    with pytest.raises(ConfigurationError, match="plan_version"):
        BailianMemoryRetriever(api_key="test-key", user_id="u1", plan_version="max")
    with pytest.raises(ValidationError) as caught:
        BailianMemoryRetriever(api_key="test-key", user_id="u1", topk="canary")
    assert "canary" not in str(caught.value)


def test_failures(make: MakeRetriever, ask: Ask) -> None:
    """A failure is the package's own error."""
    with pytest.raises(AuthenticationError):
        ask(make(api_key="invalid"), "喝茶")


@pytest.mark.parametrize(
    "clone",
    [lambda it: pickle.loads(pickle.dumps(it)), copy.copy, copy.deepcopy],
    ids=["pickle", "copy", "deepcopy"],
)
def test_clones_work(
    make: MakeRetriever, emulator: Emulator, clone: Callable[[BailianMemoryRetriever], BailianMemoryRetriever]
) -> None:
    """A used retriever can be copied and sent to another process."""
    emulator.bailian.memory.add("u1", "喜欢喝茶")
    retriever = make()
    retriever.invoke("喝茶")
    with clone(retriever) as other:
        assert texts(other.invoke("喝茶")) == ["喜欢喝茶"]


def test_no_secret_is_shown(make: MakeRetriever) -> None:
    """Neither face has the key or headers."""
    retriever = make(default_headers={"x-mine": "canary"})
    faces = f"{retriever!r}{retriever}{retriever.model_dump()}{retriever.model_dump_json()}{dumps(retriever)}"
    assert "test-key" not in faces
    assert "canary" not in faces


def test_dumped_and_revived(make: MakeRetriever, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that shapes a search is there again; the key is the environment's."""
    emulator.bailian.memory.add("u1", "喜欢喝茶")
    text = dumps(make(plan_version="lite", memory_types=["observation"]))
    monkeypatch.setenv("DASHSCOPE_API_KEY", "test-key")
    with langchain_xingchen.loads(text) as revived:
        assert (revived.plan_version, revived.memory_types, revived.user_id) == ("lite", ("observation",), "u1")
        assert texts(revived.invoke("喜欢喝茶")) == ["喜欢喝茶"]
