from typing import Any

import pytest
from tenacity import Retrying

from toy_service import ask
from xingchen_core._errors import (
    APIConnectionError,
    APIResponseError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    BillingError,
    ConfigurationError,
    ContentFilterError,
    ContextOverflowError,
    InternalServerError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    UnsupportedOperationError,
    XingchenError,
)
from xingchen_core._retry import (
    FIRST_WAIT,
    LONGEST_RETRY_AFTER,
    LONGEST_TOTAL,
    LONGEST_WAIT,
    FirstAttempt,
    may_resend,
    policy,
)
from xingchen_core._retry import seconds_to_wait as wait_of

FORGOTTEN, REMEMBERED = ask(), ask(remembered=True)


def never_sent(kind: type[APIConnectionError] = APIConnectionError) -> APIConnectionError:
    """A failure before the request reached anybody."""
    error = kind("connection refused")
    error.was_sent = False
    return error


def throttled(seconds: float | None) -> RateLimitError:
    """A refusal with `Retry-After`."""
    return RateLimitError("slow down", status_code=429, retry_after=seconds)


@pytest.mark.parametrize(
    ("error", "forgotten", "remembered"),
    [
        (never_sent(), True, True),
        (never_sent(APITimeoutError), True, True),
        (APIConnectionError("reset"), True, False),
        (APITimeoutError("silent"), True, False),
        (throttled(None), True, True),
        (throttled(1.0), True, True),
        (throttled(LONGEST_RETRY_AFTER), True, True),
        (throttled(LONGEST_RETRY_AFTER + 1), False, False),
        (InternalServerError("down", status_code=503), True, False),
        (InternalServerError("down", status_code=503, retry_after=3600.0), False, False),
        (APIStatusError("too slow", status_code=408, is_retryable=True), True, False),
        (InternalServerError("quota", status_code=500, is_retryable=False), False, False),
        (APIStatusError("conflict", status_code=409), False, False),
        (BadRequestError("no", status_code=400), False, False),
        (ContextOverflowError("no", status_code=400), False, False),
        (ContentFilterError("no", status_code=400), False, False),
        (AuthenticationError("no", status_code=401), False, False),
        (BillingError("no", status_code=402), False, False),
        (PermissionDeniedError("no", status_code=403), False, False),
        (NotFoundError("no", status_code=404), False, False),
        (APIResponseError("HTML"), False, False),
        (ConfigurationError("no key"), False, False),
        (UnsupportedOperationError("no"), False, False),
        (XingchenError("?"), False, False),
        (ValueError("a bug"), False, False),
        (KeyboardInterrupt(), False, False),
    ],
    ids=lambda value: f"{type(value).__name__}-{value}" if isinstance(value, BaseException) else None,
)
def test_may_resend(error: BaseException, forgotten: bool, remembered: bool) -> None:
    """What may help is sent again; what the service remembers only if it was never received, or throttled.

    An answer that came, whatever it looked like, was made and paid for: it is never asked for again by itself.
    """
    assert may_resend(error, FORGOTTEN) is forgotten
    assert may_resend(error, REMEMBERED) is remembered


@pytest.mark.parametrize(
    ("attempt", "longest"), [(1, 0.5), (2, 1.0), (3, 2.0), (4, 4.0), (5, 8.0), (6, 8.0), (50, 8.0)]
)
def test_waits_double_and_are_jittered(attempt: int, longest: float) -> None:
    """From half a second, doubled each time up to eight; half of each wait is random, so that callers spread."""
    assert (FIRST_WAIT, LONGEST_WAIT) == (0.5, 8.0)
    drawn = [wait_of(APIConnectionError("x"), attempt) for _ in range(200)]
    assert longest / 2 <= min(drawn) < longest * 0.6
    assert longest * 0.9 < max(drawn) <= longest


@pytest.mark.parametrize("seconds", [0.0, 0.25, 7.0, 60.0])
def test_retry_after_is_obeyed(seconds: float) -> None:
    """The service knows best, whatever the number of the attempt."""
    assert wait_of(throttled(seconds), 1) == seconds
    assert wait_of(throttled(seconds), 4) == seconds


def test_without_retry_after_throttling_waits_as_others_do() -> None:
    """No header, no special wait."""
    assert 0.25 <= wait_of(throttled(None), 1) <= 0.5
    assert 0.25 <= wait_of(None, 1) <= 0.5


def attempts(errors: list[BaseException], max_retries: int, monkeypatch: pytest.MonkeyPatch) -> tuple[int, float]:
    """Play the policy over these failures on a clock of our own; return attempts begun and seconds passed."""
    clock = [0.0]
    made: list[BaseException] = []

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    def attempt() -> Any:
        error = errors[min(len(made), len(errors) - 1)]
        made.append(error)
        raise error

    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    with pytest.raises(type(errors[0])) as caught:
        Retrying(sleep=sleep, **policy(FORGOTTEN, max_retries))(attempt)
    assert caught.value is made[-1]
    return len(made), clock[0]


@pytest.mark.parametrize("max_retries", [0, 1, 2, 5])
def test_attempts_are_counted(max_retries: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One request, and `max_retries` repetitions at most; the last failure is what the caller sees."""
    assert attempts([APIConnectionError("x")], max_retries, monkeypatch)[0] == 1 + max_retries


def test_time_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """No attempt begins after two minutes, however many are left and however long the service asks to wait."""
    assert LONGEST_TOTAL == 120.0
    assert attempts([throttled(50.0)], 100, monkeypatch) == (3, 100.0)
    count, passed = attempts([APIConnectionError("x")], 1000, monkeypatch)
    assert 15 < count < 40
    assert 100 < passed < 120.0


def test_time_before_tenacitys_clock_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A first attempt that took nearly two minutes is not followed by another two minutes of them."""
    clock = [10.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    began, clock[0] = clock[0], 10.0 + LONGEST_TOTAL - 0.1
    first = FirstAttempt(APITimeoutError("silent"), began)
    told = 0

    def attempt() -> None:
        nonlocal told
        told += 1
        first.tell()

    with pytest.raises(APITimeoutError):
        Retrying(sleep=pytest.fail, **policy(FORGOTTEN, 5, first.spent))(attempt)
    assert told == 1
    first.tell()  # the error is told once: what comes next is a new attempt
