"""How often a request is sent, and how long is waited in between."""

import socket
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from langchain_core.messages import AIMessage, AIMessageChunk

import xingchen_core as core
from langchain_xingchen import ChatXingchen
from xingchen_core.emulator import Emulator

MakeModel = Callable[..., ChatXingchen]
Way = Callable[..., AIMessage]
Chunks = Callable[..., list[AIMessageChunk]]

HISTORY = {"platform_history": True, "user_id": "u1"}
IMPATIENT = httpx.Timeout(5, read=0.05)


@pytest.mark.parametrize(
    ("fault", "fields", "requests"),
    [
        ({"status": 500}, {}, 3),
        ({"status": 500}, {"max_retries": 0}, 1),
        ({"status": 500}, {"max_retries": 5}, 6),
        ({"status": 503}, {}, 3),
        ({"status": 408}, {}, 3),
        ({"status": 429}, {}, 3),
        ({"kind": "html"}, {}, 3),
        ({"kind": "drop"}, {}, 3),
        ({"kind": "stall"}, {"timeout": IMPATIENT}, 3),
        ({"status": 400}, {}, 1),
        ({"status": 401}, {}, 1),
        ({"status": 403}, {}, 1),
        ({"status": 404}, {}, 1),
        ({"code": 401}, {}, 1),
        ({"code": "DataInspectionFailed"}, {}, 1),
        # What the platform may have heard and remembered is not said twice ...
        ({"status": 500}, HISTORY, 1),
        ({"status": 503}, HISTORY, 1),
        ({"kind": "html"}, HISTORY, 1),
        ({"kind": "drop"}, HISTORY, 1),
        ({"kind": "stall"}, {**HISTORY, "timeout": IMPATIENT}, 1),
        # ... unless it refused to hear it.
        ({"status": 429}, HISTORY, 3),
    ],
)
def test_requests_sent(
    make: MakeModel,
    emulator: Emulator,
    waits: list[float],
    way: Way,
    fault: dict[str, Any],
    fields: dict[str, Any],
    requests: int,
) -> None:
    """A call that keeps failing is sent 1 + `max_retries` times, or once where repeating it cannot help or may harm."""
    emulator.fail(**fault, times=10)
    with pytest.raises(core.XingchenError):
        way(make(**fields), "你好")
    assert len(waits) == requests - 1
    if fields.get("timeout") is not IMPATIENT:  # who hangs up that soon may not have been noticed
        assert len(emulator.requests) == requests


@pytest.mark.parametrize("fields", [{}, HISTORY])
def test_a_service_that_is_not_there(way: Way, waits: list[float], fields: dict[str, Any]) -> None:
    """A connection that cannot be made is tried again in every case: nobody heard the request."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        model = ChatXingchen(character_id="demo", api_key="test-key", base_url=url, **fields)
        with model, pytest.raises(core.APIConnectionError):
            way(model, "你好")
    assert len(waits) == 2


@pytest.mark.parametrize("fields", [{}, HISTORY])
@pytest.mark.parametrize("kind", ["error_event", "cut", "silent_end", "stall"])
def test_a_stream_that_has_spoken_is_not_repeated(
    make: MakeModel, emulator: Emulator, chunks_of: Chunks, kind: Any, fields: dict[str, Any]
) -> None:
    """After its first event a stream is never sent again, whatever breaks it."""
    emulator.fail(kind, status=503, after=1, times=10)
    with pytest.raises(core.XingchenError):
        chunks_of(make(stream_chunk_timeout=0.2 if kind == "stall" else 60, **fields), "你好")
    assert len(emulator.requests) == 1


def test_success_after_failures(make: MakeModel, emulator: Emulator, way: Way, waits: list[float]) -> None:
    """Two failures are not noticed by the caller; the waits grow and are spread at random."""
    emulator.fail(status=500, times=2)
    emulator.reply("来啦。")
    assert way(make(), "你好").content == "来啦。"
    first, second = waits
    assert 0.25 <= first <= 0.5
    assert 0.5 <= second <= 1.0


def test_each_attempt_asks_the_same(make: MakeModel, emulator: Emulator, way: Way) -> None:
    """User, seed and words stay the same when a call is repeated: it is one question."""
    emulator.fail(status=500)
    way(make(), "你好")
    first, second = emulator.requests
    assert first.body == second.body


def test_retry_after_is_obeyed(make: MakeModel, emulator: Emulator, way: Way, waits: list[float]) -> None:
    """The service's `Retry-After` decides how long is waited."""
    emulator.fail(status=429, retry_after=7, times=2)
    way(make(), "你好")
    assert waits == [7.0, 7.0]


def test_a_long_retry_after_is_left_to_the_caller(
    make: MakeModel, emulator: Emulator, way: Way, waits: list[float]
) -> None:
    """Nobody waits for minutes inside a call: the error says how long it would have been."""
    emulator.fail(status=429, retry_after=3600)
    with pytest.raises(core.RateLimitError) as caught:
        way(make(), "你好")
    assert caught.value.retry_after == 3600
    assert waits == []
    assert len(emulator.requests) == 1
