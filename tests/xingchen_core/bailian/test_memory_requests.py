"""What the calls of the Memory Library send, beside the requests of the vendor's reference, and its limits."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from xingchen_core import Call, ConfigurationError, ToolCall
from xingchen_core.bailian import ModelMessage, memory
from xingchen_core.bailian.memory_nodes import OWNER_KEY
from xingchen_core.bailian.memory_wire import MEMORY

MINE = {OWNER_KEY: "user_001"}
SYSTEM = ModelMessage(role="system", content="你是茶馆的老板")
TEA = ModelMessage(role="user", content="我喜欢喝茶")
ANSWER = ModelMessage(role="assistant", content="记住了")
CALLING = ModelMessage(role="assistant", tool_calls=(ToolCall("天气", {"城市": "杭州"}, "call_1"),))
RESULT = ModelMessage(role="tool", content="晴", tool_call_id="call_1")
PICTURE = ModelMessage(role="user", content=({"text": "我的茶杯"}, {"image": "https://example.invalid/cup.png"}))

SAID_TEA = {"role": "user", "content": "我喜欢喝茶"}
SAID_ANSWER = {"role": "assistant", "content": "记住了"}
SAID_PICTURE = {
    "role": "user",
    "content": [
        {"type": "text", "text": "我的茶杯"},
        {"type": "image_url", "image_url": {"url": "https://example.invalid/cup.png"}},
    ],
}
CALLED = {
    "role": "assistant",
    "content": "",
    "tool_calls": [
        {"id": "call_1", "type": "function", "index": 0, "function": {"name": "天气", "arguments": '{"城市":"杭州"}'}}
    ],
}
CAME_BACK = {"role": "tool", "content": "晴", "tool_call_id": "call_1"}


def first(flow: Any) -> Call[Any]:
    """The first call of a flow."""
    call: Call[Any] = next(flow)
    return call


Row = tuple[Callable[[], Call[Any]], str, dict[str, str], Any]
ROWS: dict[str, Row] = {
    "add a text": (
        lambda: memory.add("Prefers tea over coffee", user_id="user_001", metadata={"k": "pref.drink"}),
        "POST add",
        {},
        {
            "user_id": "user_001",
            "custom_content": "Prefers tea over coffee",
            "meta_data": {"k": "pref.drink", **MINE},
        },
    ),
    "add a conversation": (
        lambda: memory.add(
            [SYSTEM, TEA, ANSWER, CALLING, RESULT, PICTURE],
            user_id="user_001",
            library_id="libfake01",
            project_id="projfake01",
            profile_schema_id="schemafake01",
            timestamp=1790000000,
        ),
        "POST add",
        {},
        {
            "user_id": "user_001",
            "messages": [SAID_TEA, SAID_ANSWER, SAID_PICTURE],
            "profile_schema": "schemafake01",
            "memory_library_id": "libfake01",
            "project_id": "projfake01",
            "meta_data": MINE,
            "timestamp": 1790000000,
        },
    ),
    "add in the background": (
        lambda: memory.add_async(
            [SYSTEM, TEA, CALLING, RESULT],
            user_id="user_001",
            project_ids=["projfake01", "projfake02"],
            profile_schema_id="schemafake01",
            profile_only=True,
        ),
        "POST add-async",
        {},
        {
            "user_id": "user_001",
            "messages": [SAID_TEA, CALLED, CAME_BACK],
            "project_ids": ["projfake01", "projfake02"],
            "profile_schema": "schemafake01",
            "extract_mode": "profile_only",
            "meta_data": MINE,
        },
    ),
    "add a skill": (
        lambda: memory.add_async(
            "先洗杯，再泡茶",
            user_id="user_001",
            project_id="projfake03",
            skill=memory.Skill("泡茶", "如何泡茶", ("茶",)),
        ),
        "POST add-async",
        {},
        {
            "user_id": "user_001",
            "custom_content": "先洗杯，再泡茶",
            "project_id": "projfake03",
            "skill_name": "泡茶",
            "skill_description": "如何泡茶",
            "skill_tags": ["茶"],
            "meta_data": MINE,
        },
    ),
    "event": (lambda: memory.get_event("evt-fake-1", user_id="user_001"), "GET events/evt-fake-1", {}, None),
    "search": (
        lambda: memory.search("what does she drink?", user_id="user_001", top_k=5, min_score=0.3),
        "POST memory_nodes/search",
        {},
        {
            "user_id": "user_001",
            "messages": [{"role": "user", "content": "what does she drink?"}],
            "top_k": 5,
            "min_score": 0.3,
        },
    ),
    "search, defaults": (
        lambda: memory.search([SYSTEM, TEA, CALLING, RESULT, ANSWER], user_id="user_001"),
        "POST memory_nodes/search",
        {},
        {"user_id": "user_001", "messages": [SAID_TEA, SAID_ANSWER]},
    ),
    "search, all": (
        lambda: memory.search(
            "她喝什么？",
            user_id="user_001",
            min_score=0,
            library_id="libfake01",
            project_ids=["projfake01", "projfake02"],
            memory_types=["observation", "skill"],
            plan_version="lite",
            enable_rerank=False,
            enable_judge=True,
            enable_rewrite=False,
            query_timestamp=datetime(2026, 9, 21, 13, 33, 20, tzinfo=UTC),
        ),
        "POST memory_nodes/search",
        {},
        {
            "user_id": "user_001",
            "messages": [{"role": "user", "content": "她喝什么？"}],
            "min_score": 0,
            "memory_library_id": "libfake01",
            "project_ids": ["projfake01", "projfake02"],
            "memory_types": ["observation", "skill"],
            "plan_version": "lite",
            "enable_rerank": False,
            "enable_judge": True,
            "enable_rewrite": False,
            "query_timestamp": 1789997600,
        },
    ),
    "list": (
        lambda: memory.list_nodes("user_001", library_id="libfake01", project_id="projfake01", page=2, page_size=10),
        "GET memory_nodes",
        {
            "user_id": "user_001",
            "memory_library_id": "libfake01",
            "project_id": "projfake01",
            "page_num": "2",
            "page_size": "10",
        },
        None,
    ),
    "get": (lambda: first(memory.get_node("nodefake01", user_id="user_001")), "GET memory_nodes/nodefake01", {}, None),
}


@pytest.mark.parametrize("name", ROWS)
def test_requests(name: str) -> None:
    """Path, query and body are those of the reference; what is not asked for is not sent."""
    describe, target, query, body = ROWS[name]
    call = describe()
    method, _, path = target.partition(" ")
    assert (call.service.name, call.method, call.path) == ("bailian", method, f"/api/v2/apps/memory/{path}")
    assert (call.query, call.json) == (query, body)


def test_what_is_remembered() -> None:
    """Adds are resent only if they were never received; reads are resent."""
    assert memory.add("喝茶", user_id="u1").remembered
    assert memory.add_async("喝茶", user_id="u1").remembered
    assert not memory.search("喝茶", user_id="u1").remembered
    assert not memory.list_nodes("u1").remembered


def checked(flow: Any, *answers: Any) -> list[Call[Any]]:
    """The calls of a flow that touches one memory, whose first answer is the memory."""
    calls = [next(flow)]
    for answer in answers:
        try:
            calls.append(flow.send(calls[-1].parse({"memory_node": answer})))
        except StopIteration:
            break
    return calls


NODE = {"memory_node_id": "nodefake01", "content": "喜欢喝茶", "meta_data": {"k": 1, OWNER_KEY: "user_001"}}


def test_update_requests() -> None:
    """The text is always sent, since the service demands it; so is the user, whom it ignores."""
    _, call = checked(
        memory.update_node("nodefake01", "喜欢喝咖啡", user_id="user_001", timestamp=0, library_id="libfake01"), NODE
    )
    assert (call.method, call.path) == ("PATCH", "/api/v2/apps/memory/memory_nodes/nodefake01")
    assert call.json == {
        "custom_content": "喜欢喝咖啡",
        "user_id": "user_001",
        "meta_data": MINE,
        "timestamp": 0,
        "memory_library_id": "libfake01",
    }
    _, call = checked(memory.update_node("nodefake01", user_id="user_001", metadata={"k": 2}), NODE)
    assert call.json == {"custom_content": "喜欢喝茶", "user_id": "user_001", "meta_data": {"k": 2, **MINE}}


def test_delete_and_export_requests() -> None:
    """Deleting names the library in the query and has no body, as has the export of a skill."""
    _, call = checked(memory.delete_node("nodefake01", user_id="user_001", library_id="libfake01"), NODE)
    assert (call.method, call.path) == ("DELETE", "/api/v2/apps/memory/memory_nodes/nodefake01")
    assert (call.query, call.json) == ({"memory_library_id": "libfake01"}, None)
    _, call = checked(memory.export_skill("nodefake01", user_id="user_001"), NODE)
    assert (call.method, call.path, call.json) == ("GET", "/api/v2/apps/memory/skill/export/nodefake01", None)


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "no text": (lambda: memory.add(" ", user_id="u1"), "1 to 512 characters, got 1"),
    "long text": (lambda: memory.add("茶" * 513, user_id="u1"), "1 to 512 characters, got 513"),
    "long text later": (lambda: memory.add_async("茶" * 513, user_id="u1"), "1 to 512"),
    "long new text": (lambda: next(memory.update_node("n", "茶" * 513, user_id="u1")), "1 to 512"),
    "no messages": (lambda: memory.add([], user_id="u1"), "nothing that was said"),
    "only system": (lambda: memory.add([SYSTEM], user_id="u1"), "nothing that was said"),
    "only tools": (lambda: memory.add([CALLING, RESULT], user_id="u1"), "nothing that was said"),
    "51 messages": (lambda: memory.add([TEA] * 51, user_id="u1"), "51 messages"),
    "51 messages later": (lambda: memory.add_async([TEA] * 51, user_id="u1"), "51 messages"),
    "profile of a text": (lambda: memory.add("茶", user_id="u1", profile_schema_id="s"), "from a conversation only"),
    "long library": (lambda: memory.add("茶", user_id="u1", library_id="l" * 33), "library_id must be 1 to 32"),
    "milliseconds": (lambda: memory.add("茶", user_id="u1", timestamp=1790000000000), "seconds since 1970"),
    "projects of a text": (lambda: memory.add_async("茶", user_id="u1", project_ids=["p"]), "for a conversation"),
    "both projects": (
        lambda: memory.add_async([TEA], user_id="u1", project_ids=["p"], project_id="q"),
        "not beside project_id",
    ),
    "6 projects": (lambda: memory.add_async([TEA], user_id="u1", project_ids=["p"] * 6), "1 to 5"),
    "no projects": (lambda: memory.add_async([TEA], user_id="u1", project_ids=[]), "1 to 5"),
    "profile only, no schema": (lambda: memory.add_async([TEA], user_id="u1", profile_only=True), "profile_schema_id"),
    "profile only, a text": (
        lambda: memory.add_async("茶", user_id="u1", profile_only=True, profile_schema_id="s"),
        "needs a conversation",
    ),
    "skill of a conversation": (
        lambda: memory.add_async([TEA], user_id="u1", skill=memory.Skill("a", "b", ("c",))),
        "A skill needs a text",
    ),
    "skill without tags": (lambda: memory.add_async("茶", user_id="u1", skill=memory.Skill("a", "b", ())), "tags"),
    "no question": (lambda: memory.search(" ", user_id="u1"), "nothing that was said"),
    "top_k 0": (lambda: memory.search("茶", user_id="u1", top_k=0), "top_k must be 1 to 100"),
    "top_k 101": (lambda: memory.search("茶", user_id="u1", top_k=101), "top_k must be 1 to 100"),
    "min_score": (lambda: memory.search("茶", user_id="u1", min_score=30), "min_score must be 0 to 1"),
    "min_score below": (lambda: memory.search("茶", user_id="u1", min_score=-0.1), "min_score must be 0 to 1"),
    "plan": (lambda: memory.search("茶", user_id="u1", plan_version="max"), "'pro' or 'lite', got 'max'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_before_sending(name: str) -> None:
    """What the service certainly refuses, or silently ignores, is said before anything is sent."""
    describe, words = REFUSED[name]
    with pytest.raises(ConfigurationError, match=words):
        describe()


def test_just_within_the_limits() -> None:
    """The limits themselves are allowed, in characters; what is left out does not count."""
    assert memory.add("茶" * 512, user_id="u1").json["custom_content"] == "茶" * 512
    assert len(memory.add([SYSTEM, *[TEA] * 50, RESULT], user_id="u1").json["messages"]) == 50
    assert memory.search("茶", user_id="u1", top_k=100, min_score=1).json["top_k"] == 100
    assert memory.add_async([TEA], user_id="u1", project_ids=["p"] * 5).json["project_ids"] == ["p"] * 5


def test_where_calls_go() -> None:
    """The workspace's own host where the workspace is known, else the public one, unless a URL is given."""
    public = memory.MemorySettings(api_key="test-key")
    own = memory.MemorySettings(api_key="test-key", workspace_id="llm-demo")
    given = memory.MemorySettings(api_key="test-key", workspace_id="llm-demo", base_url="http://127.0.0.1:8900/api/v1/")
    assert public.origin() == "https://dashscope.aliyuncs.com"
    assert own.origin() == "https://llm-demo.cn-beijing.maas.aliyuncs.com"
    assert given.origin() == "http://127.0.0.1:8900"
    assert public.service is MEMORY
    assert public.call_timeout().read == 300


def test_credentials() -> None:
    """Without credentials, or with a key of the coding plan only, the error says what to do."""
    with pytest.raises(ConfigurationError, match=r"long-term memory: pass api_key=.* or set DASHSCOPE_API_KEY"):
        memory.MemorySettings()
    with pytest.raises(ConfigurationError, match="access_key_secret"):  # half of a pair is what is wrong
        memory.MemorySettings(access_key_id="testid")
    with pytest.raises(ConfigurationError, match="coding-plan keys, sk-sp-"):
        memory.MemorySettings(api_key="sk-sp-fake")
    with pytest.raises(ConfigurationError, match="region"):
        memory.MemorySettings(api_key="test-key", region="us-east-1")
