"""The stores over whatever way of listing the documents leave open: each message once, in order."""

from collections.abc import Callable
from typing import Any

import pytest

from chat_store_words import KEY, REMINDER, assistant, calls, said, user
from llama_index_xingchen import XingchenChatStore
from xingchen_core.emulator import Emulator

Do = Callable[..., Any]

KNOBS: dict[str, dict[str, Any]] = {
    "no total": {"history_without_total": True},
    "oldest first": {"history_oldest_first": True},
    "whole pages again": {"history_overlap": 60},
    "no times": {"history_without_times": True},
    "no times, oldest first": {"history_without_times": True, "history_oldest_first": True},
    "equal times, oldest first": {"same_gmt_create": True, "history_oldest_first": True},
}
LONG = [f"第{number}句" for number in range(122)]


@pytest.fixture(params=KNOBS)
def service(request: pytest.FixtureRequest, emulator: Emulator, quiet: None) -> Any:
    """A service that lists in its own way, with a long conversation."""
    for name, value in KNOBS[request.param].items():
        setattr(emulator.xingchen, name, value)
    emulator.xingchen.add_messages("quiet", "u1", LONG)
    return emulator.xingchen


@pytest.mark.parametrize("limit", [None, 5, 60])
def test_a_long_conversation(
    make_store: Do, do: Do, answer_to: Do, emulator: Emulator, service: Any, limit: int | None
) -> None:
    """A turn of ours, an answer without its ids, and words of the application's own follow what was there; a replica
    that is behind takes none of them away.
    """
    store = make_store(limit=limit, cache_seconds=0)
    expected = [("user" if number % 2 == 0 else "assistant", text) for number, text in enumerate(LONG)]
    for has_ids in (True, False):
        do(store, "add_message", KEY, user("你好"))
        answer = answer_to("你好")
        do(store, "add_message", KEY, answer if has_ids else assistant(answer.content or ""))
        expected += [("user", "你好"), ("assistant", answer.content or "")]
    do(store, "add_message", KEY, assistant("早"))
    expected.append(("assistant", "早"))
    for behind in (0, 1, 3, 5, 0):
        service.history_behind = behind
        assert said(do(store, "get_messages", KEY)) == expected[-(limit or len(expected)) :]
    assert calls(emulator, REMINDER) == 1
    assert said(make_store(XingchenChatStore).get_messages(KEY)) == expected
