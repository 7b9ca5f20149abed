"""What is sent to an application, beside what the official Python SDK sent (fixtures/dashscope_sdk_requests.jsonl).

Equal in method, path, routing headers and meaning of the body. Not compared, because they are the SDK's habits:
`model: ""`, and the explicit mode and increments with which we stream.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

import xingchen_core
from app_events import SESSION, output, question
from xingchen_core import (
    BailianSettings,
    Client,
    ConfigurationError,
    Message,
    RagOptions,
    ToolCall,
    UnsupportedOperationError,
    bailian,
)
from xingchen_core.bailian import AppParameters, AppRequest, apps

FIXTURE = Path(__file__).parents[2] / "fixtures" / "dashscope_sdk_requests.jsonl"
LINES = {line["case"]: line for line in map(json.loads, FIXTURE.read_text("utf-8").splitlines()) if "case" in line}
APPS = {case: line for case, line in LINES.items() if case.startswith(("app.", "v2.app"))}

EXCEPTIONS = {
    "app.history_deprecated": "history is deprecated: whole messages say the same",
    "app.messages_plus_prompt_plus_session": "the SDK sends messages, for which the service ignores the session",
    "app.debug_kwarg": "debug is documented nowhere",
    "app.empty_session_and_memory": "an empty id is none: it is not sent",
    "app.headers_kwarg": "a header of the caller's: default_headers of the settings; ours is set for oss:// links",
    "app.stream.incremental_false": "the SDK asks for new text and joins it; we ask for what the caller asked for",
}

USER = [Message(role="user", content="hi")]
TALK = [
    Message(role="system", content="You are terse."),
    *USER,
    Message(role="assistant", content="hello"),
    Message(role="user", content="again"),
]
TOKENS = {"tool_fake_1": {"user_token": "fake-user-token"}}
AGENT_PARAMS = {
    "user_prompt_params": {"city": "Hangzhou"},
    "user_defined_params": {"tool_fake_1": {"article_index": 2}},
    "user_defined_tokens": TOKENS,
}
RAG = RagOptions(
    pipeline_ids=["fake-kb-1", "fake-kb-2"],
    file_ids=["file_fake_1"],
    metadata_filter={"author": "x", "source": ["a", "b"]},
    structured_filter={"year": 2024, "dept": ["t", "p"]},
    tags=["t1"],
    session_file_ids=["file_session_fake_1"],
)
MODEL = {"model": "qwen-plus", "temperature": 0.5, "top_p": 0.9, "top_k": 5, "seed": 7}
OURS: dict[str, dict[str, Any]] = {
    "app.plain": {},
    "app.stream": {},
    "app.stream.incremental_true": {},
    "app.session_id": {"session_id": "fake-session-0001"},
    "app.messages": {"messages": TALK},
    "app.rag_options": {"rag": RAG},
    "app.memory_id": {"memory_id": "fake-memory-id"},
    "app.biz_params.agent": {"biz_params": AGENT_PARAMS},
    "app.biz_params.workflow": {"biz_params": {"city": "Hangzhou"}},
    "app.has_thoughts": {"has_thoughts": True},
    "app.enable_thinking_kwarg": {"enable_thinking": True},
    "app.doc_reference_type": {"doc_reference_type": "indexed", "doc_tag_codes": ["t1"]},
    "app.image_list_file_list": {
        "image_urls": ["https://example.com/a.png"],
        "file_urls": ["https://example.com/a.pdf"],
    },
    "app.workspace": {},
    "app.flow_stream_mode_kwarg": {"flow_stream_mode": "message_format"},
    "app.model_controls_kwargs": {
        **MODEL,
        "enable_web_search": True,
        "enable_system_time": False,
        "dialog_round": 3,
        "mcp_servers": ["fake-mcp"],
    },
    "app.timeout_kwarg": {},
    "v2.app.plain": {},
    "v2.app.stream": {},
    "v2.app.stream.default": {},
    "v2.app.rag_memory": {
        "memory_id": "fake-memory-id",
        "rag": RagOptions(pipeline_ids=["fake-kb-1"]),
        "flow_stream_mode": "message_format",
        "enable_thinking": True,
    },
}


def test_every_line_is_accounted_for() -> None:
    """Each request of the SDK is compared, or has a reason why not."""
    assert OURS.keys() | EXCEPTIONS.keys() == APPS.keys()
    assert not OURS.keys() & EXCEPTIONS.keys()


@pytest.mark.parametrize("case", OURS)
def test_as_the_sdk(case: str) -> None:
    """The request is the SDK's in meaning."""
    line = APPS[case]
    headers = {name.lower(): value for name, value in line["headers"].items()}
    request = AppRequest(**{"app_id": "fake-app-id", "messages": USER, **OURS[case]})
    send: Callable[..., Any] = apps.stream if "x-dashscope-sse" in headers else apps.complete
    call = send(request, headers.get("x-dashscope-workspace"))
    assert (call.method, call.path) == (line["method"], line["path"])
    for name in ("x-dashscope-sse", "x-dashscope-workspace"):
        assert {key.lower(): value for key, value in call.headers.items()}.get(name) == headers.get(name)
    expected = line["body"]
    expected.pop("model", None)
    if send is apps.stream:
        expected["parameters"] = {"incremental_output": True, "flow_stream_mode": "message_format"} | expected[
            "parameters"
        ]
    assert call.json == expected


def body(**fields: Any) -> dict[str, Any]:
    """The body of a call that does not stream."""
    return dict(apps.complete(question(**fields)).json)


def test_parameters_are_always_sent() -> None:
    """Without the member the service refuses: BadRequest.EmptyParameters."""
    assert body() == {"input": {"prompt": "你好"}, "parameters": {}}


def test_places() -> None:
    """Trap 10: rag_options are parameters; memory, variables, pictures and files are input. `stream` is a header."""
    call = apps.stream(
        question(rag=RAG, memory_id="m", biz_params={"a": 1}, image_urls=["i"], file_urls=["f"]), "llm-demo"
    )
    assert call.json["input"].keys() == {"prompt", "memory_id", "biz_params", "image_list", "file_list"}
    assert call.json["parameters"].keys() == {"incremental_output", "flow_stream_mode", "rag_options"}
    assert (call.headers["X-DashScope-SSE"], call.headers["X-DashScope-WorkSpace"]) == ("enable", "llm-demo")
    assert "X-DashScope-Async" not in call.headers


def test_thinking_is_shown() -> None:
    """Trap 11: thinking without has_thoughts is paid and lost; full_thoughts needs it too."""
    assert body(enable_thinking=True)["parameters"] == {"enable_thinking": True, "has_thoughts": True}
    assert body(enable_thinking=False)["parameters"] == {"enable_thinking": False}
    assert body(flow_stream_mode="full_thoughts")["parameters"]["has_thoughts"] is True


def test_whole_texts() -> None:
    """Trap 3: how the text is to come is always said in a stream, and never elsewhere."""
    call = apps.stream(question(incremental_output=False))
    assert call.json["parameters"] == {"incremental_output": False, "flow_stream_mode": "message_format"}


def test_session() -> None:
    """Trap 9: messages would disable the session, so only what the user says now is sent."""
    talk = [*TALK[1:], Message(role="user", content="and again")]
    assert body(messages=talk, session_id=SESSION)["input"] == {"prompt": "again\nand again", "session_id": SESSION}


def test_session_without_system(caplog: pytest.LogCaptureFixture) -> None:
    """A system message that a session has no place for is not dropped in silence."""
    assert body(messages=TALK, session_id=SESSION)["input"] == {"prompt": "again", "session_id": SESSION}
    assert "System messages are not sent" in caplog.text


def test_consecutive_messages_are_joined() -> None:
    """One message of each role in turn, joined by a newline."""
    talk = [*USER, *USER, Message(role="assistant", content="hello"), *USER]
    assert [m["content"] for m in body(messages=talk)["input"]["messages"]] == ["hi\nhi", "hello", "hi"]
    assert body(messages=[*USER, *USER])["input"] == {"prompt": "hi\nhi"}


def test_empty_ids() -> None:
    """Trap 17: an empty id is none, and makes nothing remembered."""
    call = apps.complete(question(session_id="", memory_id=""))
    assert (call.json["input"], call.remembered, call.lock) == ({"prompt": "你好"}, False, None)


def test_remembered() -> None:
    """What the service keeps is not resent; calls of one session wait for each other, those of others do not."""
    session, memory = question(session_id=SESSION), question(memory_id="m")
    for send in (apps.complete, apps.stream):
        call: Any = send(session)
        assert (call.remembered, call.lock) == (True, f"bailian:demo:{SESSION}")
        assert send(memory).remembered
        assert send(memory).lock is None


def test_what_is_not_known_yet() -> None:
    """Both objects of the request take more; what is accepted only for the frameworks is not sent."""
    found = body(model_kwargs={"enable_premium": True}, extra_input={"history": []}, max_tokens=9, stop="。")
    assert found == {"input": {"prompt": "你好", "history": []}, "parameters": {"enable_premium": True}}


def test_file_variables_are_passed_on() -> None:
    """A workflow's variables are plain data, whatever their shape."""
    file = {"type": "file", "name": "a.pdf", "mimeType": "application/pdf", "source": "url", "url": "https://a/a.pdf"}
    assert body(biz_params={"doc": file})["input"]["biz_params"] == {"doc": file}


def test_names() -> None:
    """The file of the calls is found by its name, and what the package promises from the root."""
    for name in ("apps", "references"):
        assert bailian.__getattr__(name) is getattr(bailian, name)
    assert xingchen_core.bailian is bailian
    assert (xingchen_core.RagOptions, xingchen_core.BailianSettings) == (bailian.RagOptions, bailian.BailianSettings)
    with pytest.raises(AttributeError, match="no_such_name"):
        bailian.__getattr__("no_such_name")


def test_temporary_links() -> None:
    """Links into the vendor's temporary storage need a header."""
    assert apps.complete(question(image_urls=["oss://a"])).headers == {"X-DashScope-OssResourceResolve": "enable"}
    assert apps.complete(question(image_urls=["https://a"])).headers == {}


def test_id_in_the_path() -> None:
    """An id cannot leave its place in the path."""
    assert apps.complete(question(app_id="../a?b")).path == "/api/v1/apps/..%2Fa%3Fb/completion"


def test_tokens_are_secret() -> None:
    """Tokens of end users show in no repr and no complaint."""
    fields = {"biz_params": {"user_defined_tokens": TOKENS}, "extra_input": {"a": "fake-user-token"}}
    assert "fake-user-token" not in repr(question(**fields))
    with pytest.raises(ValidationError) as caught:
        AppParameters(**fields, biz_param=fields)  # type: ignore[call-arg]
    assert "fake-user-token" not in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"app_id": ""}, "app_id="),
        ({"messages": []}, "last message"),
        ({"messages": TALK[:3]}, "last message"),
    ],
)
def test_impossible_questions(fields: dict[str, Any], words: str) -> None:
    """What the service could only refuse is refused before, with what to do."""
    with pytest.raises(ConfigurationError, match=words):
        question(**fields)


@pytest.mark.parametrize(
    "message",
    [
        Message(role="function", name="f", content="{}"),
        Message(role="assistant", tool_calls=(ToolCall("f", {}),)),
    ],
)
def test_no_functions(message: Message) -> None:
    """An application's messages have no place for function calls."""
    with pytest.raises(UnsupportedOperationError, match="function"):
        question(messages=[*USER, message, *USER])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pipeline_ids", ["kb"] * 6),
        ("file_ids", ["f"] * 6),
        ("session_file_ids", ["file_session_1"] * 11),
        ("structured_filter", {"year": []}),
        ("structured_filter", {"year": None}),
        ("metadata_filter", {"lang": 3}),
    ],
)
def test_rag_shapes(name: str, value: Any) -> None:
    """Limits and shapes are the documents'; the complaint names the field."""
    with pytest.raises(ValidationError, match=name):
        RagOptions(**{"pipeline_ids": ["kb"], name: value})


@pytest.mark.parametrize("name", ["file_ids", "metadata_filter"])
def test_rag_needs_knowledge_bases(name: str) -> None:
    """Documents and their metadata are found in a knowledge base only."""
    with pytest.raises(ConfigurationError, match=f"{name} needs pipeline_ids"):
        RagOptions(**{name: ["f"] if name == "file_ids" else {"lang": "zh"}})


def test_rag_session_files() -> None:
    """C5 and C6: session files stand alone, inside rag_options; an id of another kind is told apart."""
    rag = RagOptions(session_file_ids=["file_session_1"] * 10)
    assert body(rag=rag)["parameters"] == {"rag_options": {"session_file_ids": ["file_session_1"] * 10}}
    with pytest.raises(ConfigurationError, match=r"session_file_ids.*'file_1'"):
        RagOptions(session_file_ids=["file_session_1", "file_1"])


def test_region_and_host() -> None:
    """C8: the host is a setting, and the path is appended to an origin with or without the documented prefix."""
    seen: list[httpx.URL] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.url)
        return httpx.Response(200, json=output("好", reason="stop"))

    http = httpx.Client(transport=httpx.MockTransport(answer))
    for fields in ({}, {"region": "ap-southeast-1"}, {"base_url": "https://ep-1.example.com/api/v1/"}):
        Client(BailianSettings(api_key="test-key", http_client=http, **fields)).send(apps.complete(question()))
    assert [str(url) for url in seen] == [
        "https://dashscope.aliyuncs.com/api/v1/apps/demo/completion",
        "https://dashscope-intl.aliyuncs.com/api/v1/apps/demo/completion",
        "https://ep-1.example.com/api/v1/apps/demo/completion",
    ]


def test_timeout() -> None:
    """C9: the service works on an answer for up to 300 s."""
    settings = BailianSettings(api_key="test-key")
    assert (settings.call_timeout().read, settings.silence_limit()) == (300.0, 300.0)
