"""`BailianRetriever` in hostile hands: failures of every kind, limits, what surrounds it, traces, cancellation."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from langchain_core.documents import Document
from langchain_core.rate_limiters import BaseRateLimiter
from langchain_core.runnables import RunnableParallel
from langchain_core.tools import create_retriever_tool
from langchain_core.tracers import BaseTracer

from langchain_xingchen import BailianRetriever
from xingchen_core import AuthenticationError, BadRequestError, NotFoundError
from xingchen_core.emulator import Emulator

MakeRetriever = Callable[..., BailianRetriever]
Ask = Callable[..., list[Document]]
SIGNED = {"access_key_id": "testid", "access_key_secret": "testsecret", "workspace_id": "llm-demo"}


@pytest.fixture
def make(retriever_of: MakeRetriever) -> MakeRetriever:
    """Makes retrievers."""
    return retriever_of


def titles(documents: list[Document]) -> list[str]:
    """The titles, in order."""
    return [document.metadata["title"] for document in documents]


@pytest.mark.parametrize(
    "body",
    [
        {"success": False, "code": "InvalidParameter", "message": "no"},
        {"Success": False, "Code": "InvalidParameter", "Message": "no"},
        {"status": 400, "code": "InvalidParameter", "message": "no"},
        {"status_code": 400, "message": "no"},
        {"code": "InvalidParameter", "message": "no", "data": {"nodes": []}},
    ],
    ids=["success", "Success", "status", "status_code", "code"],
)
def test_failures_under_http_200(ask: Ask, body: dict[str, Any]) -> None:
    """What the body calls a failure is one, and not an empty result."""
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json=body))
    clients = {
        "http_client": httpx.Client(transport=transport),
        "http_async_client": httpx.AsyncClient(transport=transport),
    }
    with clients["http_client"], pytest.raises(BadRequestError, match="no"):
        ask(BailianRetriever(index_id="kbdemo0001", api_key="test-key", **clients), "退货")


def test_an_empty_answer(ask: Ask) -> None:
    """Success without chunks, in any of its shapes, is an empty list."""
    for data in ({"nodes": []}, {"nodes": None}, {}, None):
        body = {"success": True, "code": "Success", "data": data}
        transport = httpx.MockTransport(lambda request, body=body: httpx.Response(200, json=body))  # type: ignore[misc]
        with httpx.Client(transport=transport) as client:
            mine = {"http_client": client, "http_async_client": httpx.AsyncClient(transport=transport)}
            assert ask(BailianRetriever(index_id="kbdemo0001", api_key="test-key", **mine), "退货") == []


def test_places_that_are_not_there(make: MakeRetriever, ask: Ask) -> None:
    """A wrong key, an index and a service that nobody has are errors that say so, and never an empty list."""
    with pytest.raises(AuthenticationError, match="key"):
        ask(make(api_key="invalid"), "退货")
    with pytest.raises(NotFoundError, match="nonexist01"):
        ask(make(index_id="nonexist01"), "退货")
    with pytest.raises(BadRequestError, match="aid-none"):
        ask(make(agent_id="aid-none"), "退货")


def test_an_unpublished_service(make: MakeRetriever, emulator: Emulator, ask: Ask) -> None:
    """It has a draft only, which `beta` asks."""
    emulator.bailian.knowledge.services["aid-demo"].published = 0
    with pytest.raises(BadRequestError):
        ask(make(agent_id="aid-demo"), "电子发票")
    assert titles(ask(make(agent_id="aid-demo", agent_version="beta"), "电子发票")) == ["发票指南"]


@pytest.mark.parametrize("fields", [{}, {"agent_id": "aid-demo"}, SIGNED, {"route": "pipeline"}])
def test_more_than_the_service_gives(make: MakeRetriever, emulator: Emulator, ask: Ask, fields: dict[str, Any]) -> None:
    """It returns twenty at most, and is not asked for more."""
    for number in range(25):
        emulator.bailian.knowledge.add_document("kbdemo0001", f"茶{number}.md", "茶叶")
    emulator.bailian.knowledge.services["aid-demo"].top_n = 20
    assert len(ask(make(**fields), "茶叶", k=50)) == 20
    assert len(ask(make(k=50, **fields), "茶叶", k=3)) == 3


def test_what_surrounds_a_retriever(make: MakeRetriever) -> None:
    """A tool of it, retries, fallbacks, bound keywords, parallel steps: all of it reaches the call."""
    retriever = make()
    tool = create_retriever_tool(retriever, "kb", "查知识库", response_format="content_and_artifact")
    called = tool.invoke({"type": "tool_call", "id": "c1", "name": "kb", "args": {"query": "电子发票"}})
    assert called.content == "在订单详情里点「申请发票」，电子发票当天开好。"
    assert titles(called.artifact) == ["发票指南"]
    both = "退货 发票"
    assert len(retriever.invoke(both)) > 1
    assert len(retriever.with_retry().invoke(both, k=1)) == 1
    assert len(retriever.bind(k=1).invoke(both)) == 1
    assert titles(make(index_id="nonexist01").with_fallbacks([retriever]).invoke("电子发票")) == ["发票指南"]
    parallel = RunnableParallel(a=retriever, b=retriever.bind(k=1)).invoke(both)
    assert (len(parallel["a"]) > 1, len(parallel["b"])) == (True, 1)


def test_what_traces_show(make: MakeRetriever, ask: Ask) -> None:
    """Question and documents, under a name of ours; no key, no header."""
    tracer = Tracer()
    found = ask(make(default_headers={"x-mine": "canary"}), "电子发票", config={"callbacks": [tracer]})
    [run] = tracer.finished
    assert (run.run_type, run.name) == ("retriever", "BailianRetriever")
    assert (run.inputs, run.outputs) == ({"query": "电子发票"}, {"documents": found})
    told = repr(run.__dict__)
    assert run.extra["metadata"]["ls_retriever_name"] == "bailian"
    assert "test-key" not in told
    assert "canary" not in told


def test_cancelled(make: MakeRetriever) -> None:
    """A query that waits can be cancelled, and the loop is free meanwhile."""
    limiter = Never()

    async def run() -> list[Document]:
        async with make(rate_limiter=limiter) as waiting, make() as other:
            task = asyncio.create_task(waiting.ainvoke("电子发票"))
            await limiter.entered.wait()
            found = await other.ainvoke("电子发票")
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return found

    assert titles(asyncio.run(run())) == ["发票指南"]


class Never(BaseRateLimiter):
    """Lets nobody through."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()

    def acquire(self, *, blocking: bool = True) -> bool:
        raise AssertionError("the other colour")

    async def aacquire(self, *, blocking: bool = True) -> bool:
        self.entered.set()
        await asyncio.Event().wait()
        return False


class Tracer(BaseTracer):
    """Keeps what ended."""

    def __init__(self) -> None:
        super().__init__()
        self.finished: list[Any] = []

    def _persist_run(self, run: Any) -> None:
        self.finished.append(run)
