"""The pauses of a wait: together as long as asked, not a moment longer."""

import math
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xingchen_core._waiting import LONGEST_PAUSE, SHORTEST_PAUSE, pauses

SECONDS = st.floats(0, 300)


@pytest.mark.parametrize(
    ("limit", "interval", "growth", "expected"),
    [
        (10, 2.5, 1, [2.5, 2.5, 2.5, 2.5]),
        (9, 2.5, 1, [2.5, 2.5, 2.5, 1.5]),
        (1, 10, 1, [1]),
        (0, 10, 1, []),
        (-1, 10, 1, []),
        (0.25, 0, 1, [0.1, 0.1, 0.05]),
        (100, 8, 2, [8, 16, 30, 30, 16]),
        (130, 60, 2, [60, 60, 10]),
    ],
)
def test_pauses(limit: float, interval: float, growth: float, expected: list[float]) -> None:
    """The last pause ends with the wait; pauses grow up to half a minute, unless they were longer from the start."""
    assert [pause.seconds for pause in pauses(limit, interval, growth)] == pytest.approx(expected)


@given(SECONDS, SECONDS, st.floats(1, 3))
def test_any_pauses(limit: float, interval: float, growth: float) -> None:
    """They add up to the limit, are finite in number, and none is too short but the last, or longer than asked."""
    seconds = [pause.seconds for pause in pauses(limit, interval, growth)]
    assert sum(seconds) == pytest.approx(limit)
    assert all(SHORTEST_PAUSE <= pause <= max(LONGEST_PAUSE, interval) for pause in seconds[:-1])
    assert seconds[:-1] == sorted(seconds[:-1])


def test_no_limit() -> None:
    """Without a limit there is always one more."""
    assert [pause.seconds for pause in islice(pauses(math.inf, 5), 1000)] == [5] * 1000
