"""A model inside a LangGraph node: the graph turns its `invoke` into a stream."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langgraph.graph import START, MessagesState, StateGraph

from langchain_xingchen import ChatXingchen
from xingchen_core.emulator import Emulator

MakeModel = Callable[..., ChatXingchen]
PROMPT = {"messages": [HumanMessage("你好")]}


def graph_of(node: Any) -> Any:
    """A graph of this one node."""
    graph = StateGraph(MessagesState)
    graph.add_node("character", node)
    graph.add_edge(START, "character")
    return graph.compile()


def stream(model: ChatXingchen, **kwargs: Any) -> list[Any]:
    """What a graph with `invoke` in its node streams."""
    graph = graph_of(lambda state: {"messages": [model.invoke(state["messages"], **kwargs)]})
    return list(graph.stream(PROMPT, stream_mode=["messages", "values"]))


def astream(model: ChatXingchen, **kwargs: Any) -> list[Any]:
    """What a graph with `ainvoke` in its node streams."""

    async def node(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await model.ainvoke(state["messages"], **kwargs)]}

    async def collect() -> list[Any]:
        return [item async for item in graph_of(node).astream(PROMPT, stream_mode=["messages", "values"])]

    return asyncio.run(collect())


@pytest.fixture(params=[stream, astream], ids=["sync", "async"])
def run(request: pytest.FixtureRequest) -> Callable[..., tuple[list[AIMessageChunk], AIMessage]]:
    """Runs a graph of one node that invokes the model: what was streamed, and what the node returned."""

    def run_graph(model: ChatXingchen, **kwargs: Any) -> tuple[list[AIMessageChunk], AIMessage]:
        items = request.param(model, **kwargs)
        final = [value for mode, value in items if mode == "values"][-1]["messages"][-1]
        return [value[0] for mode, value in items if mode == "messages"], final

    return run_graph


def test_tokens_stream_out_of_a_node(make: MakeModel, emulator: Emulator, run: Any) -> None:
    """`stream_mode="messages"` passes on each piece as it comes; the node's result is their sum."""
    emulator.reply("你好，小明。", chunks=["你好", "，", "小明。"])
    chunks, final = run(make(user_id="u1"))

    assert [chunk.content for chunk in chunks if chunk.content] == ["你好", "，", "小明。"]
    assert final.content == "你好，小明。"
    assert {chunk.id for chunk in chunks} == {final.id}
    assert [chunk.usage_metadata for chunk in chunks if chunk.usage_metadata] == [final.usage_metadata]
    assert final.response_metadata["user_id"] == "u1"
    assert final.response_metadata["finish_reason"] == "stop"
    assert emulator.requests[0].headers["x-fag-servicename"] == "aca-chat-send-sse"


@pytest.mark.parametrize("given", ["to the model", "to the call"])
def test_several_answers_are_not_streamed(make: MakeModel, emulator: Emulator, run: Any, given: str) -> None:
    """With `n` > 1 a node's `invoke` stays a plain call: the service cannot stream several answers."""
    emulator.reply("你好。", alternatives=["您好。"])
    fields: dict[str, Any] = {"n": 2}
    _, final = run(make(**fields)) if given == "to the model" else run(make(), **fields)

    assert final.content == "你好。"
    assert [request.headers["x-fag-servicename"] for request in emulator.requests] == ["aca-chat-send"]
