"""A history over whatever way of listing the documents leave open: each message once, in order."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from langchain_xingchen import ChatXingchen, XingchenChatMessageHistory
from xingchen_core.emulator import Emulator

KNOBS: dict[str, dict[str, Any]] = {
    "no total": {"history_without_total": True},
    "oldest first": {"history_oldest_first": True},
    "whole pages again": {"history_overlap": 60},
    "no times": {"history_without_times": True},
    "no times, oldest first": {"history_without_times": True, "history_oldest_first": True},
    "equal times": {"same_gmt_create": True},
    "equal times, oldest first": {"same_gmt_create": True, "history_oldest_first": True},
    "all but times": {"history_without_total": True, "history_oldest_first": True, "history_overlap": 60},
}
NUMBERS = [str(number) for number in range(123)]


def texts(messages: list[BaseMessage]) -> list[str]:
    """What was said."""
    return [str(message.content) for message in messages]


async def collect(walk: Any) -> list[BaseMessage]:
    """All that an async iterator yields."""
    return [message async for message in walk]


LOOKS: dict[str, Callable[[XingchenChatMessageHistory], list[BaseMessage]]] = {
    "messages": lambda history: history.messages,
    "aget_messages": lambda history: asyncio.run(history.aget_messages()),
    "iter_messages": lambda history: list(history.iter_messages(10)),
    "aiter_messages": lambda history: asyncio.run(collect(history.aiter_messages(7))),
}


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("knobs", KNOBS)
def test_a_long_conversation(emulator: Emulator, make: Callable[..., ChatXingchen], knobs: str, look: str) -> None:
    """What others said, a turn of ours and our own words are shown once, in order, as long as the platform lags and
    afterwards; a limit takes the newest of them.
    """
    service = emulator.xingchen
    service.add_character("quiet")
    for name, value in KNOBS[knobs].items():
        setattr(service, name, value)
    service.add_messages("quiet", "u1", NUMBERS)
    service.history_lag = 2 if "equal" not in knobs else 0
    model = make(character_id="quiet", user_id="u1", platform_history=True)
    with XingchenChatMessageHistory("quiet", "u1", api_key="test-key", base_url=emulator.url) as history:
        answer = model.invoke("你好")
        history.add_messages([HumanMessage("你好"), answer, AIMessage("早"), AIMessage("吃了吗")])
        expected = [*NUMBERS, "你好", answer.text, "早", "吃了吗"]
        for _ in range(3):
            assert texts(LOOKS[look](history)) == expected
        history.limit = 3
        assert texts(history.messages) == expected[-3:]
