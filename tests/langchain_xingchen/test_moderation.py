"""What moderation did to an answer: passed, flagged, rewritten, or blocked."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import langchain_core.exceptions as langchain
import pytest
from langchain_core.messages import AIMessageChunk
from langchain_core.runnables import RunnableLambda
from pydantic import BaseModel

import xingchen_core as core
from langchain_xingchen import Character, ChatXingchen
from xingchen_core.emulator import Emulator

MakeModel = Callable[..., ChatXingchen]
Way = Callable[..., Any]

REFUSAL: type[Exception] | None = getattr(langchain, "ModelRefusalError", None)
"""Since langchain-core 1.7.5."""

HARMLESS = {"hasRisk": False}
FLAGGED = {"hasRisk": True, "safetyStdAnswer": "我们换个话题吧。"}
REWRITTEN = {"hasRisk": True, "rewriteContent": "我不太清楚。"}


@pytest.mark.parametrize(
    ("inspection", "meta", "outcome"),
    [
        (None, None, None),
        (False, HARMLESS, None),
        (True, None, {"outcome": "passed"}),
        (True, HARMLESS, {"outcome": "passed"}),
        (True, FLAGGED, {"outcome": "flagged", "safe_answer": "我们换个话题吧。"}),
        (None, FLAGGED, {"outcome": "flagged", "safe_answer": "我们换个话题吧。"}),
        (None, {"hasRisk": True}, {"outcome": "flagged"}),
        (True, REWRITTEN, {"outcome": "rewritten", "rewritten_text": "我不太清楚。"}),
    ],
)
def test_outcomes(
    make: MakeModel, emulator: Emulator, way: Way, inspection: bool | None, meta: Any, outcome: dict[str, str] | None
) -> None:
    """Each way to ask tells what moderation found; nothing where it was neither asked for nor struck."""
    emulator.reply("这个嘛……", meta=meta)
    answer = way(make(data_inspection=inspection), "聊点别的")
    assert answer.content == "这个嘛……"
    assert answer.response_metadata.get("moderation") == outcome
    if isinstance(answer, AIMessageChunk):  # several chunks of one mark would be joined to nonsense
        assert answer.chunk_position == "last"


def test_events(make: MakeModel, emulator: Emulator, event_ways: dict[str, Way]) -> None:
    """The v3 event stream tells it too."""
    for way in event_ways.values():
        emulator.reply("这个嘛……", meta=FLAGGED)
        assert way(make(), "聊点别的").response_metadata["moderation"]["outcome"] == "flagged"


def test_several(make: MakeModel, emulator: Emulator, ask: Way) -> None:
    """Each of several answers has its own outcome."""
    emulator.reply("甲", alternatives=["乙"], meta=FLAGGED)
    model = make(character=Character(name="小婉", content="你是小婉。"), n=2)
    assert ask(model, "你好").response_metadata["moderation"]["outcome"] == "flagged"


def test_replaced(make: MakeModel, emulator: Emulator, chunks_of: Callable[..., list[AIMessageChunk]]) -> None:
    """A stream whose end says something else than what was shown tells what the answer is instead."""
    emulator.reply("我不太清楚。", chunks=["这个", "我知道"])
    chunks = chunks_of(make(incremental_output=False), "你好")
    assert "".join(chunk.text for chunk in chunks) == "这个我知道"
    assert chunks[-1].response_metadata["rewritten"] is True
    assert chunks[-1].response_metadata["final_text"] == "我不太清楚。"


# A block


@pytest.mark.parametrize(
    "fault",
    [
        {"code": "DataInspectionFailed"},
        {"status": 200, "code": "DataInspectionFailed"},
        {"status": 400, "code": 400, "message": "Output data may contain inappropriate content."},
    ],
    ids=["gateway", "under HTTP 200", "by its words"],
)
def test_block(make: MakeModel, emulator: Emulator, way: Way, waits: list[float], fault: dict[str, Any]) -> None:
    """A block is an error of its own in both trees, told by its code or its words, and never asked again."""
    emulator.fail("status", **fault)
    with pytest.raises(core.ContentFilterError) as caught:
        way(make(data_inspection=True, max_retries=5), "……")
    error = caught.value
    assert isinstance(error, core.BadRequestError)
    assert isinstance(error, langchain.ModelInvalidRequestError)
    assert REFUSAL is None or isinstance(error, REFUSAL)
    assert error.is_retryable is False
    assert error.partial_text == ""
    assert error.request_id == error.response.json()["requestId"]
    assert "inappropriate content" in str(error)
    assert len(emulator.requests) == 1
    assert waits == []


def test_block_in_a_stream(
    make: MakeModel, emulator: Emulator, chunks_of: Callable[..., list[AIMessageChunk]], waits: list[float]
) -> None:
    """A block after half of the answer: what had been said is on the error, nothing is sent again."""
    emulator.reply("", chunks=["这个", "我知道", "，就是"])
    emulator.fail("error_event", code="DataInspectionFailed", after=2)
    with pytest.raises(core.ContentFilterError) as caught:
        chunks_of(make(max_retries=5), "……")
    error = caught.value
    assert error.partial_text == "这个我知道"
    assert (error.status_code, error.code, error.is_retryable) == (400, "DataInspectionFailed", False)
    assert REFUSAL is None or isinstance(error, REFUSAL)
    assert len(emulator.requests) == 1
    assert waits == []


def test_block_as_a_value(make: MakeModel, emulator: Emulator) -> None:
    """The error can be pickled and copied, and has what LangChain promises of a refusal: the message, here none."""
    emulator.fail("status", code="DataInspectionFailed")
    with pytest.raises(core.ContentFilterError) as caught:
        make().invoke("……")
    for error in (caught.value, pickle.loads(pickle.dumps(caught.value)), copy.copy(caught.value)):
        assert type(error) is type(caught.value)
        assert str(error) == str(caught.value)
        assert (error.status_code, error.code) == (400, "DataInspectionFailed")
        if REFUSAL is not None:
            assert error.raw_message is None


def test_block_under_structured_output(make: MakeModel, emulator: Emulator, ask: Way) -> None:
    """It is no answer that could not be parsed: it comes out as it is, with `include_raw` too."""

    class Mood(BaseModel):
        """How somebody feels."""

        mood: str

    for include_raw in (False, True):
        emulator.fail("status", code="DataInspectionFailed")
        chain = make().with_structured_output(Mood, include_raw=include_raw)
        with pytest.raises(REFUSAL or langchain.ModelInvalidRequestError):
            ask(chain, "……")


def test_block_and_fallback(make: MakeModel, emulator: Emulator, ask: Way) -> None:
    """A chain may answer a block, and only a block, in its own words."""
    ours = RunnableLambda(lambda _: "我们换个话题吧。")
    model = make(max_retries=0).with_fallbacks([ours], exceptions_to_handle=(core.ContentFilterError,))
    emulator.fail("status", code="DataInspectionFailed")
    assert ask(model, "……") == "我们换个话题吧。"
    emulator.fail("status", status=500)
    with pytest.raises(core.InternalServerError):
        ask(model, "……")
