"""What moderation did to an answer: passed, flagged, rewritten, or blocked."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from llama_index_xingchen import Xingchen
from xingchen_core import BadRequestError, ContentFilterError
from xingchen_core.emulator import Emulator

Make = Callable[..., Xingchen]

FLAGGED = {"hasRisk": True, "safetyStdAnswer": "我们换个话题吧。"}


@pytest.fixture
def make_one(emulator: Emulator) -> Iterator[Make]:
    """Makes LLMs of the emulator's character; a test names only what it is about."""
    with ExitStack() as made:

        def make(**fields: Any) -> Xingchen:
            given = {"api_key": "test-key", "base_url": emulator.url, "character_id": "demo", **fields}
            return made.enter_context(Xingchen(**given))

        yield make


@pytest.mark.parametrize(
    ("inspection", "meta", "outcome"),
    [
        (None, None, None),
        (True, None, {"outcome": "passed"}),
        (True, {"hasRisk": False}, {"outcome": "passed"}),
        (None, FLAGGED, {"outcome": "flagged", "safe_answer": "我们换个话题吧。"}),
        (True, {"hasRisk": True, "rewriteContent": "不好说。"}, {"outcome": "rewritten", "rewritten_text": "不好说。"}),
    ],
)
def test_outcomes(
    make_one: Make, emulator: Emulator, ask: Any, method: str, inspection: bool | None, meta: Any, outcome: Any
) -> None:
    """Each of the eight tells in `raw` what moderation found; nothing where it was neither asked for nor struck."""
    emulator.reply("这个嘛……", meta=meta)
    last = ask(make_one(data_inspection=inspection), method, "聊点别的")[-1]
    assert last.raw.get("moderation") == outcome
    asked = {True: "enable", None: None}[inspection]
    assert emulator.requests[0].headers.get("x-aca-datainspection") == asked


def test_block(make_one: Make, emulator: Emulator, ask: Any, method: str) -> None:
    """A block is an error of its own, and is never asked again."""
    emulator.fail("status", code="DataInspectionFailed", times=2)
    with pytest.raises(ContentFilterError, match="inappropriate content") as caught:
        ask(make_one(max_retries=5), method, "……")
    assert isinstance(caught.value, BadRequestError)
    assert caught.value.is_retryable is False
    assert (caught.value.status_code, caught.value.code) == (400, "DataInspectionFailed")
    assert len(emulator.requests) == 1


@pytest.mark.parametrize("stream", ["stream_chat", "astream_chat", "stream_complete", "astream_complete"])
def test_block_in_a_stream(make_one: Make, emulator: Emulator, ask: Any, stream: str) -> None:
    """After half of the answer: what came stays with the caller, and is on the error; nothing is sent again."""
    emulator.reply("", chunks=["这个", "我知道", "，就是"])
    emulator.fail("error_event", code="DataInspectionFailed", after=2)
    came: list[Any] = []
    with pytest.raises(ContentFilterError) as caught:
        ask(make_one(max_retries=5), stream, "……", into=came)
    assert [response.delta for response in came] == ["这个", "我知道"]
    assert caught.value.partial_text == "这个我知道"
    assert len(emulator.requests) == 1
