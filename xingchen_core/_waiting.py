"""How often to look for what a service makes in the background."""

from collections.abc import Iterator

from xingchen_core._call import Pause

SHORTEST_PAUSE = 0.1
"""Seconds; an interval of 0 must not flood the service."""

LONGEST_PAUSE = 30.0
"""Seconds that a growing pause grows to."""


def pauses(timeout: float, interval: float, growth: float = 1.0) -> Iterator[Pause]:
    """Yield the pauses between the looks of one wait, `timeout` seconds together: the last look is at its end.

    Args:
        timeout: Seconds; none or less gives no pause, for a single look.
        interval: Seconds of the first pause.
        growth: How many times as long as the one before each further pause is.
    """
    left, pause = timeout, max(interval, SHORTEST_PAUSE)
    while left > 0:
        yield Pause(min(pause, left))
        left -= pause
        pause = max(pause, min(LONGEST_PAUSE, pause * growth))
