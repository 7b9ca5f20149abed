"""The vendor's own Python SDK, xingchen 1.1.5, understands the emulator.

It runs in an interpreter of its own, since it wants pydantic 1: `XINGCHEN_SDK_PYTHON`, or an environment built once
into `.venv-sdk-xingchen`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vendor_sdk import run_scenario, sdk_python
from xingchen_core.emulator import Emulator

SCENARIOS = Path(__file__).with_name("xingchen_sdk_scenarios.py")

Run = Callable[..., Any]


@pytest.fixture(scope="session")
def python() -> str:
    """The interpreter that has the SDK, which imports requests but does not declare it."""
    return sdk_python("xingchen", "xingchen/__init__.py", "xingchen==1.1.5", "requests")


@pytest.fixture
def emulator() -> Any:
    """A running emulator with nothing scripted."""
    with Emulator() as running:
        yield running


@pytest.fixture
def sdk(python: str, emulator: Emulator) -> Run:
    """Runs a scenario and returns what the SDK made of it."""
    return lambda scenario, *key: run_scenario(python, SCENARIOS, scenario, emulator.url, *key)


def test_sync_chat(sdk: Run) -> None:
    """Answers are read with usage and context; platform history carries the conversation."""
    first, second = sdk("sync")
    assert first == {
        "success": True,
        "code": 200,
        "error_code": None,
        "error_name": None,
        "error_message_key": None,
        "contents": ["我今年十七岁啦，比你想的要小一点吧？"],
        "stop_reason": "stop",
        "output_tokens": 17,
        "is_save": True,
    }
    assert second["contents"] == ["你刚才说的是「你多大了」，我都记着呢。"]


def test_several_results(sdk: Run, emulator: Emulator) -> None:
    """Several answers arrive as several choices."""
    emulator.reply("甲", alternatives=["乙"])
    assert sdk("several")["contents"] == ["甲", "乙"]


def test_stream_cumulative(sdk: Run, emulator: Emulator) -> None:
    """Each item has all text so far; the last one repeats it with the usage."""
    emulator.reply("我叫小婉。", chunks=["我叫", "小婉。"])
    items = sdk("stream_whole")
    assert [item["contents"] for item in items] == [["我叫"], ["我叫小婉。"], ["我叫小婉。"]]
    assert [item["stop_reason"] for item in items] == [None, None, "stop"]
    assert [item["output_tokens"] for item in items] == [None, None, 5]


@pytest.mark.parametrize(
    "wire",
    [{}, {"crlf": True}, {"split_utf8": 5}, {"keepalive": 2}, {"space": True}],
    ids=lambda wire: next(iter(wire), "plain"),
)
def test_stream_pieces(sdk: Run, emulator: Emulator, wire: dict[str, Any]) -> None:
    """Each item has the new piece, the last one nothing more, in every shape of the bytes."""
    emulator.wire(**wire)
    emulator.reply("我叫小婉。", chunks=["我叫", "小婉。"])
    assert [item["contents"] for item in sdk("stream_pieces")] == [["我叫"], ["小婉。"], [""]]


def test_history(sdk: Run) -> None:
    """A rated answer and a reminder are read back from the history, which the SDK asks for by ISO time."""
    read = sdk("history")
    assert (read["rated"], read["reminded"]) == (True, True)
    assert [(row["type"], row["user"], row["rating"]) for row in read["rows"]] == [
        ("sys_greetings", "", None),
        ("character", "", 4),
        ("user", "u1", None),
        ("opening_remarks", "", None),
    ]
    assert read["rows"][0]["content"] == "好久不见"


def test_reset(sdk: Run) -> None:
    """After a reset the character remembers nothing, and the session is another."""
    read = sdk("reset")
    assert read["done"] is True
    assert read["contents"] == ["你之前还没跟我说过话呀。"]
    assert [read["sessions"].count(session) for session in dict.fromkeys(read["sessions"])] == [2, 3]


def test_characters(sdk: Run) -> None:
    """Characters are created, read, changed, found, listed and deleted."""
    assert sdk("characters") == {
        "version": 1,
        "details": [True, "关云长", "吾乃关云长"],
        "updated": True,
        "found": [1, ["关羽"]],
        "versions": [1],
        "deleted": True,
        "left": 0,
    }


def test_completions(sdk: Run, emulator: Emulator) -> None:
    """The model interface is read at once and streamed."""
    emulator.reply("你好。")
    emulator.reply("你好。", chunks=["你", "好。"])
    assert sdk("completions") == {"whole": ["你好。", "stop", True], "pieces": ["你", "好。", ""]}


def test_knowledge_bases(sdk: Run) -> None:
    """A knowledge base is made and found."""
    assert sdk("knowledge") == ["常见问题", [True]]


def test_bad_key(sdk: Run) -> None:
    """A bad key is an exception with the business error in its body."""
    assert sdk("failing", "invalid") == {
        "status": 400,
        "success": False,
        "code": 400,
        "errorCode": None,
        "errorName": None,
        "errorMessageKey": "aca.error.invalid.token",
    }


def test_throttled(sdk: Run, emulator: Emulator) -> None:
    """Throttling is an exception with the gateway's body."""
    emulator.fail("status", status=429, retry_after=1)
    error = sdk("failing")
    assert (error["status"], error["success"], error["errorName"]) == (429, None, "Throttling.RateQuota")


def test_business_error_under_200(sdk: Run, emulator: Emulator) -> None:
    """The SDK returns such an answer instead of raising: it can be read all the same."""
    emulator.fail("status", status=200, code=404)
    answer = sdk("failing")
    assert (answer["success"], answer["code"], answer["error_message_key"]) == (False, 404, "aca.error.notfound")


def test_error_event(sdk: Run, emulator: Emulator) -> None:
    """An error in the middle of a stream is its last item, found by errorCode."""
    emulator.reply("一二三", chunks=3)
    emulator.fail("error_event", after=2, code="DataInspectionFailed")
    *good, bad = sdk("failing_stream")
    assert [item["contents"] for item in good] == [["一"], ["二"]]
    assert (bad["success"], bad["error_code"], bad["error_name"]) == (False, 400, "DataInspectionFailed")
