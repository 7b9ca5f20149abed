"""The vendor's own SDK, dashscope 1.27.8 and 2.0.2, understands the emulator.

Each runs in an interpreter of its own: `DASHSCOPE1_SDK_PYTHON` and `DASHSCOPE2_SDK_PYTHON`, or environments built once
into `.venv-sdk-dashscope1` and `.venv-sdk-dashscope2`.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from vendor_sdk import run_scenario, sdk_python
from xingchen_core.emulator import Emulator

SCENARIOS = Path(__file__).with_name("dashscope_sdk_scenarios.py")
VERSIONS = {"dashscope1": "dashscope==1.27.8", "dashscope2": "dashscope==2.0.2"}
HELLO = "您好！我是百炼上的智能助手，请问有什么可以帮您？"

Run = Callable[..., Any]


@pytest.fixture(scope="session", params=list(VERSIONS))
def python(request: pytest.FixtureRequest) -> str:
    """The interpreter that has one of the SDKs."""
    name: str = request.param
    return sdk_python(name, "dashscope/__init__.py", VERSIONS[name])


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """A running emulator with nothing scripted."""
    with Emulator() as running:
        yield running


@pytest.fixture
def sdk(python: str, emulator: Emulator) -> Run:
    """Runs a scenario and returns what the SDK made of it."""
    return lambda scenario, *key: run_scenario(python, SCENARIOS, scenario, emulator.url, *key)


@pytest.fixture
def sdk2(emulator: Emulator) -> Run:
    """The same with the second version only, which has a new client."""
    python = sdk_python("dashscope2", "dashscope/__init__.py", VERSIONS["dashscope2"])
    return lambda scenario, *key: run_scenario(python, SCENARIOS, scenario, emulator.url, *key)


def test_an_agent(sdk: Run) -> None:
    """Text, session and usage are read, and the session goes on."""
    assert sdk("app") == {
        "status": 200,
        "reason": "stop",
        "text": "您叫小明。",
        "same_session": True,
        "usage": ["qwen-plus", 4],
    }


def test_an_agent_streamed(sdk: Run, emulator: Emulator) -> None:
    """Reasoning first, then pieces, then an empty end."""
    emulator.reply("好。", chunks=["好", "。"], thoughts="嗯")
    assert sdk("app_stream") == [
        ["", "null", ["嗯"]],
        ["好", "null", [""]],
        ["。", "null", [""]],
        ["", "stop", [""]],
    ]


def test_retrieval(sdk: Run) -> None:
    """References are typed, and retrieval stands in the thoughts."""
    assert sdk("app_rag") == {
        "documents": [["1", "kb1里的文档", "file_fake_1"], ["2", "kb2里的文档", "file_fake_2"]],
        "thoughts": [["agentRag", "kb1里的文档"]],
    }


def test_a_workflow(sdk: Run, emulator: Emulator) -> None:
    """Messages of nodes, then the whole text."""
    emulator.reply("Hello", chunks=["Hel", "lo"])
    assert sdk("app_flow") == [["End", "Hel"], ["End", "lo"], ["Hello"]]


def test_an_unknown_application(sdk: Run) -> None:
    """The SDK returns status, code and message of a refusal."""
    assert sdk("app_error") == [403, "App.AccessDenied", "App access denied.", True]


def test_a_refused_key(sdk: Run) -> None:
    """So it does when the key is bad."""
    assert sdk("app_error", "invalid") == [401, "InvalidApiKey", "Invalid API-key provided.", True]


def test_a_model(sdk: Run) -> None:
    """Text, reason and usage are read."""
    assert sdk("text") == {"status": 200, "content": HELLO, "reason": "stop", "usage": [2, 22]}


@pytest.mark.parametrize(
    "wire",
    [{}, {"crlf": True}, {"split_utf8": 5}, {"space": True}, {"gzip": True}],
    ids=lambda wire: next(iter(wire), "plain"),
)
def test_a_model_streamed(sdk: Run, emulator: Emulator, wire: dict[str, Any]) -> None:
    """Pieces are read in every shape of the bytes."""
    emulator.wire(**wire)
    emulator.reply("西湖", chunks=["西", "湖"])
    assert sdk("text_stream") == [["西", "null"], ["湖", "null"], ["", "stop"]]


def test_tools(sdk: Run) -> None:
    """A call is read, its result is taken, and the answer has it."""
    assert sdk("tools") == {
        "called": {"name": "get_weather", "arguments": '{"city":"杭州"}'},
        "answer": "根据工具返回的结果：晴",
    }


def test_thinking(sdk: Run, emulator: Emulator) -> None:
    """Reasoning and text are told apart."""
    emulator.reply("好。", thoughts="嗯嗯")
    assert sdk("thinking") == ["嗯嗯", "好。"]


def test_a_picture(sdk: Run) -> None:
    """Lists of parts are read, in one piece and in a stream."""
    whole, streamed = sdk("media")
    assert whole.startswith("我收到了1张图片。")
    assert streamed == whole


def test_the_asynchronous_class(sdk: Run) -> None:
    """It reads the same."""
    assert sdk("aio") == [HELLO, HELLO]


def test_throttling(sdk: Run, emulator: Emulator) -> None:
    """A refusal is returned with its HTTP status."""
    emulator.fail("status", status=429)
    words = "Requests rate limit exceeded, please try again later."
    assert sdk("text_error") == [429, "Throttling.RateQuota", words, True]


def test_an_error_event(sdk: Run, emulator: Emulator) -> None:
    """An error in the middle of a stream is its last item."""
    emulator.reply("一二", chunks=2)
    emulator.fail("error_event", code="DataInspectionFailed", after=1)
    words = "Input or output data may contain inappropriate content."
    assert sdk("stream_error") == ["一", ["DataInspectionFailed", words]]


def test_the_new_client(sdk2: Run) -> None:
    """Models by the native and by OpenAI's protocol, and an agent, in one piece and as streams."""
    assert sdk2("v2") == {"native": [HELLO, HELLO], "openai": [HELLO, HELLO], "agent": [HELLO, HELLO]}


def test_the_new_client_raises(sdk2: Run, emulator: Emulator) -> None:
    """It raises with status and code."""
    emulator.fail("status", status=429)
    status, code = sdk2("v2_error")
    assert (status, code) == (429, "Throttling.RateQuota")
