"""What the nodes of a workflow say beside the answer reaches callbacks as custom events."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableLambda
from langgraph.graph import END, START, MessagesState, StateGraph

from langchain_xingchen import ChatBailianApp
from xingchen_core.emulator import Emulator

Way = Callable[..., AIMessage]

NODES = [
    {"type": "Start", "name": "开始"},
    {"type": "LLM", "name": "思考", "content": ["先查", "再答"], "reasoning": "想"},
    {"type": "End", "name": "结束", "content": ["您好", "！"]},
]
TOLD = [
    ("开始", "success"),
    ("思考", "executing"),
    ("思考", "executing"),
    ("思考", "executing"),
    ("思考", "success"),
    ("结束", "executing"),
    ("结束", "success"),
]
"""Node and status of each event, oldest first; the pieces of the answer are no events."""


class Listener(BaseCallbackHandler):
    """Keeps custom events, and the ids of the runs they belong to."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []
        self.names: set[str] = set()
        self.runs: set[UUID] = set()
        self.models: set[UUID] = set()
        self.tags: list[str] | None = None

    def on_chat_model_start(self, *args: Any, run_id: UUID, **kwargs: Any) -> None:
        self.models.add(run_id)

    def on_custom_event(
        self, name: str, data: Any, *, run_id: UUID, tags: list[str] | None = None, **kwargs: Any
    ) -> None:
        self.events.append((data["node_name"], data["node_status"]))
        self.names.add(name)
        self.runs.add(run_id)
        self.tags = tags


class AsyncListener(AsyncCallbackHandler, Listener):
    """The same, awaited."""

    async def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
        Listener.on_chat_model_start(self, *args, **kwargs)

    async def on_custom_event(self, *args: Any, **kwargs: Any) -> None:
        Listener.on_custom_event(self, *args, **kwargs)


@pytest.fixture
def flow(emulator: Emulator) -> Iterator[ChatBailianApp]:
    """A workflow whose next answer comes of three nodes, all of which are listened to."""
    emulator.bailian.reply("您好！", nodes=NODES)
    with ChatBailianApp(
        app_id="demo-flow",
        api_key="test-key",
        base_url=emulator.url,
        flow_stream_mode="message_format_plus",
    ) as model:
        yield model


def astream_by_hand(model: Any, prompt: Any, **kwargs: Any) -> AIMessage:
    """A stream of events of version 2, asked for its end only."""

    async def output() -> AIMessage:
        last: Any = None
        async for event in model.astream_events(prompt, version="v2", **kwargs):
            last = event
        found: AIMessage = last["data"]["output"]
        return found

    return asyncio.run(output())


@pytest.fixture
def streaming(ways: dict[str, Way], event_ways: dict[str, Way]) -> dict[str, Way]:
    """The ways that stream."""
    return {"stream": ways["stream"], "astream": ways["astream"], **event_ways, "v2": astream_by_hand}


@pytest.mark.parametrize("name", ["stream", "astream", "v3", "async v3", "v2"])
@pytest.mark.parametrize("kind", [Listener, AsyncListener])
def test_a_model_by_itself(flow: ChatBailianApp, streaming: dict[str, Way], name: str, kind: type[Listener]) -> None:
    """Callbacks given with the call hear all nodes, as events of the model's run; the answer is only the answer."""
    listener = kind()
    answer = streaming[name](flow, "你好", config={"callbacks": [listener], "tags": ["mine"]})
    assert answer.text == "您好！"
    assert "workflow_messages" not in answer.additional_kwargs
    assert listener.events == TOLD
    assert listener.names == {"bailian_workflow_message"}
    assert listener.runs == listener.models
    assert len(listener.models) == 1
    assert "mine" in (listener.tags or ())


def test_callbacks_of_the_model(flow: ChatBailianApp, ways: dict[str, Way]) -> None:
    """So do callbacks that the model was made with."""
    listener = Listener()
    flow.callbacks = [listener]
    ways["stream"](flow, "你好")
    assert listener.events == TOLD


@pytest.mark.parametrize("name", ["stream", "astream", "v3", "async v3", "v2"])
def test_nobody_listens(flow: ChatBailianApp, streaming: dict[str, Way], name: str) -> None:
    """Without callbacks nothing is said, and nothing fails."""
    assert streaming[name](flow, "你好").text == "您好！"


def test_whole_answers_under_a_chain(emulator: Emulator, flow: ChatBailianApp) -> None:
    """A model that streams under `invoke` tells whoever listens to the run around it."""
    flow.streaming = True
    listener = Listener()
    chain: Any = RunnableLambda(lambda question: flow.invoke(question))
    assert chain.invoke("你好", {"callbacks": [listener]}).text == "您好！"
    assert listener.events == TOLD


def test_whole_answers_alone(flow: ChatBailianApp, ask: Way) -> None:
    """With no run around it there is nobody to tell."""
    flow.streaming = True
    listener = Listener()
    assert ask(flow, "你好", config={"callbacks": [listener]}).text == "您好！"
    assert listener.events == []


def graph_of(flow: ChatBailianApp) -> Any:
    """A graph of one node that asks the workflow."""

    async def node(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await flow.ainvoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("ask", node)
    graph.add_edge(START, "ask")
    graph.add_edge("ask", END)
    return graph.compile()


async def test_events_of_a_graph(flow: ChatBailianApp) -> None:
    """The events of a graph around the model have them, between the tokens."""
    seen = [
        (event["data"]["node_name"], event["data"]["node_status"])
        async for event in graph_of(flow).astream_events({"messages": [("human", "你好")]}, version="v2")
        if event["event"] == "on_custom_event"
    ]
    assert seen == TOLD
    await flow.aclose()


async def test_tokens_of_a_graph(flow: ChatBailianApp) -> None:
    """The nodes' messages are no tokens."""
    listener = Listener()
    tokens = [
        chunk.text
        async for chunk, _ in graph_of(flow).astream(
            {"messages": [("human", "你好")]}, {"callbacks": [listener]}, stream_mode="messages"
        )
    ]
    assert "".join(tokens) == "您好！"
    assert listener.events == TOLD
    await flow.aclose()


def test_a_listener_that_fails(flow: ChatBailianApp, ways: dict[str, Way]) -> None:
    """LangChain's rule for callbacks: an error of theirs is logged, unless they want it raised."""

    class Failing(BaseCallbackHandler):
        raise_error = True

        def on_custom_event(self, *args: Any, **kwargs: Any) -> None:
            raise RuntimeError("no room")

    with pytest.raises(RuntimeError, match="no room"):
        ways["stream"](flow, "你好", config={"callbacks": [Failing()]})


def test_what_the_nodes_made(flow: ChatBailianApp, ways: dict[str, Way]) -> None:
    """The last chunk tells what each node has made beside the answer, and a node's reasoning is the answer's."""
    answer = ways["stream"](flow, "你好")
    nodes = answer.additional_kwargs["workflow_nodes"]
    assert [(node["node_name"], node["node_status"]) for node in nodes] == [
        ("开始", "success"),
        ("思考", "success"),
    ]
    assert nodes[1]["result"] == "先查再答"
    assert answer.additional_kwargs["reasoning_content"] == "想"
