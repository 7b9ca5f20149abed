"""The queues of replies and faults, without a server."""

from typing import Any

import pytest

from xingchen_core.emulator import Emulator
from xingchen_core.emulator._script import Fault, Reply, Script, Turn, magic_fault

CALL = ("xingchen", "/v2/api/chat/send")


def script(*items: Reply | Fault) -> Script:
    """Return a script of these items, each once."""
    made = Script()
    for item in items:
        made.add(item)
    return made


def test_first_in_first_out() -> None:
    """Replies and refusals are used in the order they were scripted, one a call; then nothing is scripted."""
    made = script(Reply("一"), Fault("status", status=429), Reply("二"))
    assert made.take(*CALL) == Turn(Reply("一"))
    assert made.take(*CALL) == Turn(fault=Fault("status", status=429))
    assert made.take(*CALL) == Turn(Reply("二"))
    assert made.take(*CALL) == Turn()


@pytest.mark.parametrize("kind", ["cut", "stall", "silent_end", "error_event"])
def test_fault_inside_an_answer_spoils_the_reply_before_it(kind: str) -> None:
    """Reply, then such a fault: both belong to one call."""
    made = script(Reply("一"), Fault(kind, after=2), Reply("二"))
    assert made.take(*CALL) == Turn(Reply("一"), Fault(kind, after=2))
    assert made.take(*CALL) == Turn(Reply("二"))


def test_fault_alone_leaves_the_next_reply() -> None:
    """A fault first in the queue is a call of its own."""
    made = script(Fault("cut"), Reply("一"))
    assert made.take(*CALL) == Turn(fault=Fault("cut"))
    assert made.take(*CALL) == Turn(Reply("一"))


def test_times() -> None:
    """A fault may hit several calls."""
    made = Script()
    made.add(Fault("status", status=500), times=2)
    assert [made.take(*CALL).fault is not None for _ in range(3)] == [True, True, False]


def test_after_lets_calls_pass() -> None:
    """For faults in place of an answer, `after` counts calls."""
    made = script(Fault("status", after=2))
    assert [made.take(*CALL).fault is not None for _ in range(4)] == [False, False, True, False]


def test_service_filter() -> None:
    """What is meant for one service waits for it; what is meant for none is anybody's."""
    made = script(Reply("甲", service="beebot"), Reply("乙", service="xingchen"), Reply("丙"))
    assert made.take(*CALL) == Turn(Reply("乙", service="xingchen"))
    assert made.take("beebot", "/sse") == Turn(Reply("甲", service="beebot"))
    assert made.take("bailian", "/apps") == Turn(Reply("丙"))


def test_path_faults_are_apart() -> None:
    """A fault for a path waits for that path; generation calls elsewhere do not use it up."""
    made = script(Fault("status", status=503, path="histories"), Reply("一"))
    assert made.take(*CALL) == Turn(Reply("一"))
    assert made.take_for_path("xingchen", "/v2/api/chat/rating") is None
    assert made.take_for_path("xingchen", "/v2/api/chat/message/histories") == Fault(
        "status", status=503, path="histories"
    )
    assert made.take_for_path("xingchen", "/v2/api/chat/message/histories") is None


def test_path_fault_inside_an_answer_joins_the_reply() -> None:
    """A generation call hit by path still says what was scripted, until it breaks."""
    made = script(Fault("cut", after=1, path="chat/send"), Reply("一"))
    assert made.take(*CALL) == Turn(Reply("一"), Fault("cut", after=1, path="chat/send"))


def test_unknown_kind() -> None:
    """A misspelt kind is an error where it was written, with the kinds there are."""
    with pytest.raises(ValueError, match=r"unknown fault 'explode'; choose one of status, html, drop"):
        Fault("explode")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("/fail cut after=2 inside_event", Fault("cut", after=2, inside_event=True)),
        ("/fail status status=429 retry_after=0.5", Fault("status", status=429, retry_after=0.5)),
        ("/fail status code=404", Fault("status", code=404)),
        ("/fail error_event code=DataInspectionFailed", Fault("error_event", code="DataInspectionFailed")),
        ("你好", None),
        ("/failed", None),
    ],
)
def test_magic_words(text: str, fault: Fault | None) -> None:
    """The user's own text may ask for a fault, for an emulator in another process."""
    assert magic_fault(text) == fault


@pytest.mark.parametrize(
    "shape",
    [
        {"thoughts": ["想一想"]},
        {"thoughts": {"thought": "想一想"}},
        {"references": "文档"},
        {"references": [1]},
        {"tool_calls": ["get_weather"]},
        {"tool_calls": [{"arguments": {}}]},
    ],
)
def test_a_shape_of_no_answer(shape: dict[str, Any]) -> None:
    """Whoever scripts it is told at once, and by name; the client under test would only see HTTP 500."""
    [name] = shape
    with Emulator() as emulator:
        for reply in (emulator.reply, emulator.bailian.reply):
            with pytest.raises(TypeError, match=name):
                reply("好", **shape)
    assert Reply("好", thoughts="想", references=["文档", {"title": "二"}], tool_calls=({"name": "f"},)).text == "好"
