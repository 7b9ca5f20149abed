"""One retry policy, carried out by tenacity's `Retrying` and `AsyncRetrying`."""

import random
import time
from typing import TYPE_CHECKING, Any

from xingchen_core._call import Request
from xingchen_core._errors import (
    APIConnectionError,
    APIResponseError,
    APIStatusError,
    RateLimitError,
    XingchenError,
)

if TYPE_CHECKING:
    from tenacity import RetryCallState

FIRST_WAIT = 0.5
"""Seconds before the first repetition; each further one doubles it. Half of a wait is random, to spread callers."""
LONGEST_WAIT = 8.0
LONGEST_RETRY_AFTER = 60.0
"""A service that asks for a longer wait is not waited for: the error, with its `retry_after`, says how long."""
LONGEST_TOTAL = 120.0
"""Seconds after which no further attempt begins."""


def may_resend(error: BaseException, request: Request) -> bool:
    """Whether the request may be sent again after this error.

    What the service remembers is resent only if it was never received or was refused by throttling. An answer that
    came, whatever it looked like, was made and paid for: whether to ask again is the caller's decision.
    """
    if not isinstance(error, XingchenError) or not error.is_retryable or isinstance(error, APIResponseError):
        return False
    if isinstance(error, APIStatusError) and (error.retry_after or 0.0) > LONGEST_RETRY_AFTER:
        return False
    if request.remembered:
        return isinstance(error, RateLimitError) or (isinstance(error, APIConnectionError) and not error.was_sent)
    return True


def seconds_to_wait(error: BaseException | None, attempt: int) -> float:
    """Seconds before attempt number `attempt` + 1: what the service asked for, else doubled each time, jittered."""
    if isinstance(error, APIStatusError) and error.retry_after is not None:
        return error.retry_after
    longest = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** (attempt - 1))
    return longest * random.uniform(0.5, 1.0)


class FirstAttempt:
    """An attempt that failed before tenacity was asked: it is told of it as its own first one.

    Nearly every call succeeds at once, and then the policy need not be made at all, which costs a tenth of a call.
    """

    def __init__(self, error: XingchenError, began: float) -> None:
        self._error: XingchenError | None = error
        self.spent = time.monotonic() - began
        """Seconds that it took."""

    def tell(self) -> None:
        """Raise its error, the first time."""
        error, self._error = self._error, None
        if error is not None:
            raise error


def policy(request: Request, max_retries: int, spent: float = 0.0) -> dict[str, Any]:
    """Return the arguments of `tenacity.Retrying` and `tenacity.AsyncRetrying`.

    Args:
        request: What is sent.
        max_retries: How often it may be repeated.
        spent: Seconds that went before tenacity's clock.
    """
    from tenacity import stop_after_attempt, stop_before_delay

    def error_of(state: "RetryCallState") -> BaseException | None:
        return state.outcome.exception() if state.outcome else None

    def worth_it(state: "RetryCallState") -> bool:
        error = error_of(state)
        if error is None or not may_resend(error, request):
            return False
        limit = error.retry_limit if isinstance(error, APIStatusError) else None
        return limit is None or state.attempt_number <= limit

    return {
        "retry": worth_it,
        "stop": stop_after_attempt(1 + max_retries) | stop_before_delay(max(0.0, LONGEST_TOTAL - spent)),
        "wait": lambda state: seconds_to_wait(error_of(state), state.attempt_number),
        "reraise": True,
    }
