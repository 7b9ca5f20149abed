"""`BailianApp`: what is particular to applications. What all LLMs share is in `test_conformance_*.py`."""

import logging
import pickle
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from llama_index.core.agent.workflow import AgentWorkflow, ReActAgent
from llama_index.core.base.llms.types import ChatMessage, CitationBlock, TextBlock, ThinkingBlock
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.memory import ChatMemoryBuffer

from llama_index_xingchen import BailianApp
from xingchen_core import ConfigurationError, UnsupportedOperationError
from xingchen_core.emulator import Emulator

Make = Callable[..., BailianApp]
Ask = Callable[..., list[Any]]

UNKNOWN = "0123456789abcdef0123456789abcdef"
SEARCH = {"action_type": "agentRag", "action": "rag", "action_name": "知识检索", "observation": "[]"}
NODES = [
    {"type": "Start", "name": "开始"},
    {"type": "LLM", "name": "思考", "content": ["先查", "再答"], "reasoning": "想"},
    {"type": "End", "name": "结束", "content": ["您好", "！"]},
]


@pytest.fixture
def make(emulator: Emulator) -> Iterator[Make]:
    """Builds LLMs of the seeded agent; a test names only what it is about."""
    with ExitStack() as made:

        def make_app(**fields: Any) -> BailianApp:
            return made.enter_context(
                BailianApp(**{"app_id": "demo", "api_key": "test-key", "base_url": emulator.url, **fields})
            )

        yield make_app


def said(response: Any) -> str:
    """The text of either kind of response."""
    text: str = response.message.content if hasattr(response, "message") else response.text
    return text


def talk(*texts: str) -> list[ChatMessage]:
    """A conversation in turns, the user first."""
    return [ChatMessage(role="assistant" if at % 2 else "user", content=text) for at, text in enumerate(texts)]


def test_the_whole_conversation_is_sent(make: Make, emulator: Emulator, ask: Ask, stream_method: str) -> None:
    """Without a session nobody else keeps it; with one only the newest turn is sent, and the session."""
    ask(make(system_prompt="简短"), stream_method, talk("你好", "您好", "在吗?"))
    first = ask(make(), "chat", "我叫小明")[-1].raw["session_id"]
    last = ask(make(session_id=first), stream_method, talk("我叫小明", "您好", "我叫什么?"))[-1]
    assert "小明" in said(last)
    assert last.raw["session_id"] == first
    sent = [("system", "简短"), ("user", "你好"), ("assistant", "您好"), ("user", "在吗?")]
    assert [received.json["input"] for received in emulator.requests] == [
        {"messages": [{"role": role, "content": text} for role, text in sent]},
        {"prompt": "我叫小明"},
        {"prompt": "我叫什么?", "session_id": first},
    ]


def test_sessions_are_per_call(make: Make, emulator: Emulator, ask: Ask, method: str) -> None:
    """Item 52: a session given for a call counts for it alone, and the object begins none of its own."""
    llm = make()
    session_id = ask(llm, "chat", "我叫小明")[-1].raw["session_id"]
    assert "小明" in said(ask(llm, method, "我叫什么?", session_id=session_id)[-1])
    assert "小明" not in said(ask(llm, method, "我叫什么?")[-1])
    assert llm.session_id is None


def test_sub_workspaces(make: Make, emulator: Emulator, ask: Ask, method: str) -> None:
    """An application in a sub-workspace is asked there."""
    emulator.bailian.add_app("sub", workspace="ws-fake")
    assert said(ask(make(app_id="sub", workspace_id="ws-fake"), method)[-1])
    assert emulator.requests[0].headers["x-dashscope-workspace"] == "ws-fake"


def test_a_session_that_is_gone(make: Make, ask: Ask, method: str, caplog: pytest.LogCaptureFixture) -> None:
    """Another session than the one asked for is told in `raw` and in the log."""
    with caplog.at_level(logging.WARNING):
        last = ask(make(session_id=UNKNOWN), method)[-1]
    assert last.raw["session_changed"] is True
    assert last.raw["session_id"] != UNKNOWN
    assert [UNKNOWN in record.getMessage() for record in caplog.records] == [True]


def test_what_belongs_to_an_answer(make: Make, emulator: Emulator, ask: Ask, method: str) -> None:
    """References, thoughts and ids are in `raw`, by each of the eight methods."""
    emulator.bailian.reply("可以退<ref>[1]</ref>。", references=["手册"], thoughts=[SEARCH])
    last = ask(make(has_thoughts=True), method)[-1]
    assert said(last) == "可以退<ref>[1]</ref>。"
    assert last.raw["doc_references"][0]["title"] == "手册"
    assert last.raw["thoughts"] == [SEARCH]
    assert [(each["number"], each["start"], each["end"]) for each in last.raw["citations"]] == [(1, 3, 17)]
    assert (last.raw["app_id"], last.raw["model_name"], last.raw["finish_reason"]) == ("demo", "qwen-plus", "stop")
    assert all(last.raw[name] for name in ("session_id", "request_id", "usage_models"))


def test_blocks(make: Make, emulator: Emulator, ask: Ask) -> None:
    """Reasoning and citations are blocks beside the one text, streamed or not."""
    for method in ("chat", "achat", "stream_chat", "astream_chat"):
        emulator.bailian.reply("可以退<ref>[1]</ref>。", references=[{"title": "手册", "text": "略"}], thoughts="想想")
        thinking, text, citation = ask(make(has_thoughts=True), method)[-1].message.blocks
        assert isinstance(thinking, ThinkingBlock)
        assert thinking.content == "想想"
        assert isinstance(text, TextBlock)
        assert text.text == "可以退<ref>[1]</ref>。"
        assert isinstance(citation, CitationBlock)
        assert citation.title == "手册"
        assert isinstance(citation.cited_content, TextBlock)
        assert citation.cited_content.text == "略"
        assert citation.additional_location_info == {"start": 3, "end": 17, "number": 1}


def test_references_without_text(make: Make, emulator: Emulator, ask: Ask) -> None:
    """A citation that cites nothing is none of LlamaIndex's; `raw` has it."""
    emulator.bailian.reply("可以退<ref>[1]</ref>。", references=[{"title": "", "doc_name": "手册", "text": ""}])
    [response] = ask(make(), "chat")
    assert [type(block) for block in response.message.blocks] == [TextBlock]
    assert response.raw["citations"][0]["doc_name"] == "手册"


def test_reasoning_streams(make: Make, emulator: Emulator, ask: Ask, stream_method: str) -> None:
    """Item 22: reasoning comes in pieces where agents look for it, before the text."""
    emulator.bailian.reply("是的。", thoughts="先想一想，再好好想一想")
    seen = ask(make(enable_thinking=True), stream_method)
    pieces = [response.additional_kwargs.get("thinking_delta", "") for response in seen]
    assert len([piece for piece in pieces if piece]) > 1
    assert "".join(pieces) == "先想一想，再好好想一想"
    assert "".join(response.delta for response in seen) == "是的。"
    assert emulator.requests[0].json["parameters"]["has_thoughts"] is True


def test_a_workflow(make: Make, emulator: Emulator, ask: Ask, stream_method: str) -> None:
    """Nodes that answer are the text; what the others say is in `raw` as it comes, and at the end what they made."""
    emulator.bailian.reply("您好！", nodes=NODES)
    seen = ask(make(app_id="demo-flow", flow_stream_mode="message_format_plus"), stream_method)
    assert [response.delta for response in seen if response.delta] == ["您好", "！"]
    told = [message for response in seen[:-1] for message in response.raw.get("workflow_messages", ())]
    assert [message["node_name"] for message in told if message["node_status"] == "success"] == ["开始", "思考", "结束"]
    assert [node["node_name"] for node in seen[-1].raw["workflow_nodes"]] == ["开始", "思考"]
    assert seen[-1].raw["workflow_nodes"][1]["result"] == "先查再答"


def test_tokens_of_users_are_in_no_dump(make: Make, emulator: Emulator, ask: Ask) -> None:
    """They are sent, also by a pickle's copy, and neither shown nor dumped; a workflow's variables are."""
    biz_params = {"city": "杭州", "user_defined_tokens": {"tool_fake": {"user_token": "canary"}}}
    llm = make(biz_params=biz_params)
    ask(llm, "chat")
    with pickle.loads(pickle.dumps(llm)) as copied:
        ask(copied, "chat")
    assert [received.json["input"]["biz_params"] for received in emulator.requests] == [biz_params] * 2
    assert "canary" not in f"{llm!r}{llm.to_dict()}{llm.to_json()}{llm.model_dump()}"
    assert llm.to_dict()["biz_params"] == {"city": "杭州"}


@pytest.mark.parametrize(
    ("messages", "error"),
    [
        (talk("你好", "您好"), ConfigurationError),
        ([ChatMessage(role="tool", content="1"), *talk("你好")], UnsupportedOperationError),
        ([], ConfigurationError),
    ],
    ids=["answer last", "result of a tool", "nothing"],
)
def test_what_cannot_be_asked(make: Make, emulator: Emulator, ask: Ask, messages: Any, error: Any) -> None:
    """Said before anything is sent."""
    with pytest.raises(error):
        ask(make(), "chat", messages)
    with pytest.raises(ConfigurationError, match="app_id"):
        ask(make(app_id=None), "chat")
    assert emulator.requests == []


def test_a_chat_engine(make: Make, emulator: Emulator) -> None:
    """An engine that keeps the conversation itself sends it whole."""
    memory = ChatMemoryBuffer.from_defaults(token_limit=8000)
    engine = SimpleChatEngine.from_defaults(llm=make(), memory=memory)
    engine.chat("我叫小明")
    assert "小明" in str(engine.chat("我叫什么?"))
    assert [len(received.json["input"].get("messages", ())) for received in emulator.requests] == [0, 3]


@pytest.mark.filterwarnings(
    # LlamaIndex's workflows look at every attribute of an agent, pydantic's deprecated ones too.
    "ignore::pydantic.warnings.PydanticDeprecatedSince20",
    "ignore::pydantic.warnings.PydanticDeprecatedSince211",
    "ignore:is_running called from within a step",
)
async def test_an_agent_reasons_in_text(make: Make, emulator: Emulator) -> None:
    """Item 35: where tools are given, LlamaIndex chooses the agent for models without functions, and it works."""

    def opening_hours(day: str) -> str:
        """Tell when the shop is open."""
        return f"{day}九点到五点"

    emulator.bailian.reply('Thought: look\nAction: opening_hours\nAction Input: {"day": "周一"}')
    emulator.bailian.reply("Thought: I can answer.\nAnswer: 周一九点到五点。")
    async with make() as llm:
        agent = AgentWorkflow.from_tools_or_functions([opening_hours], llm=llm)
        [only] = agent.agents.values()
        assert isinstance(only, ReActAgent)
        memory = ChatMemoryBuffer.from_defaults(token_limit=8000)
        assert "九点到五点" in str(await agent.run("周一几点开门?", memory=memory))
