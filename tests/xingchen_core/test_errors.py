import copy
import pickle
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

import xingchen_core
from xingchen_core import _errors
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
    excerpt,
    retry_after,
    status_error,
)

PARENTS = {
    ConfigurationError: XingchenError,
    UnsupportedOperationError: XingchenError,
    APIConnectionError: XingchenError,
    APITimeoutError: APIConnectionError,
    APIResponseError: XingchenError,
    APIStatusError: XingchenError,
    BadRequestError: APIStatusError,
    ContextOverflowError: BadRequestError,
    ContentFilterError: BadRequestError,
    AuthenticationError: APIStatusError,
    PermissionDeniedError: APIStatusError,
    NotFoundError: APIStatusError,
    BillingError: APIStatusError,
    RateLimitError: APIStatusError,
    InternalServerError: APIStatusError,
}
CLASSES = [XingchenError, *PARENTS]


def make(kind: type[XingchenError]) -> XingchenError:
    """An error of `kind` with every attribute set."""
    details = {"code": "Busy", "request_id": "r-1", "service": "toy", "partial_text": "你", "is_retryable": True}
    if not issubclass(kind, APIStatusError):
        return kind("忙", **details)
    error = kind("忙", status_code=503, retry_after=2.5, **details)
    error.response = httpx.Response(503, text="忙", request=httpx.Request("POST", "https://home.invalid/ask"))
    return error


@pytest.mark.parametrize(("kind", "parent"), PARENTS.items())
def test_the_tree(kind: type[XingchenError], parent: type[XingchenError]) -> None:
    """Each class has the documented parent and is public."""
    assert kind.__bases__ == (parent,)
    assert getattr(xingchen_core, kind.__name__) is kind


def test_nothing_is_outside_the_tree() -> None:
    """The module defines no exception that this file does not know."""
    defined = {v for v in vars(_errors).values() if isinstance(v, type) and issubclass(v, BaseException)}
    assert defined == set(CLASSES)


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("way", [lambda e: pickle.loads(pickle.dumps(e)), copy.deepcopy, copy.copy])
def test_copies_keep_everything(kind: type[XingchenError], way: object) -> None:
    """Errors cross process boundaries (task queues, multiprocessing) with all they carry."""
    error = make(kind)
    error.add_note("while testing")
    copied = way(error)  # type: ignore[operator]
    assert type(copied) is kind
    assert copied.args == error.args == ("忙",)
    assert str(copied) == str(error)
    assert copied.__notes__ == ["while testing"]
    for name in ("message", "code", "request_id", "service", "partial_text", "is_retryable"):
        assert getattr(copied, name) == getattr(error, name)
    if isinstance(error, APIStatusError):
        assert (copied.status_code, copied.retry_after) == (503, 2.5)
        assert (copied.response.status_code, copied.response.text) == (503, "忙")


def test_defaults() -> None:
    """An error made of a message alone has every documented attribute."""
    error = XingchenError("broken")
    assert (error.code, error.request_id, error.service, error.partial_text, error.is_retryable) == (
        None,
        None,
        None,
        "",
        False,
    )
    refused = NotFoundError("no such character", status_code=404)
    assert (refused.status_code, refused.retry_after, refused.response, refused.is_retryable) == (
        404,
        None,
        None,
        False,
    )


@pytest.mark.parametrize("kind", CLASSES)
def test_what_may_succeed_later(kind: type[XingchenError]) -> None:
    """Transport, throttling and the service's own trouble pass; refusals do not."""
    error = kind("x", status_code=500) if issubclass(kind, APIStatusError) else kind("x")
    retryable = {APIConnectionError, APITimeoutError, APIResponseError, RateLimitError, InternalServerError}
    assert error.is_retryable is (kind in retryable)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (XingchenError("broken"), "broken"),
        (XingchenError("broken", service="toy"), "toy: broken"),
        (XingchenError("broken", code="E1"), "E1: broken"),
        (XingchenError("broken (E1)", service="toy", code="E1"), "toy: broken (E1)"),
        (XingchenError("broken", service="toy", code="E1", request_id="r-1"), "toy E1: broken (request id r-1)"),
        (NotFoundError("没有", status_code=404, code="404", request_id="r-1"), "404: 没有 (request id r-1)"),
    ],
)
def test_str(error: XingchenError, text: str) -> None:
    """The text names service, code and request id, each once and only if known."""
    assert str(error) == text


class ModelRateLimitError(Exception):
    """What a framework calls it; takes other arguments, as theirs do."""

    def __init__(self, *, message: str) -> None:
        raise AssertionError("as_type must not call it")


class JoinedRateLimitError(RateLimitError, ModelRateLimitError):
    """Both."""


def test_as_type_keeps_all_but_the_class() -> None:
    """A framework's twin of an error carries everything and leaves the first as it was."""
    try:
        try:
            raise ValueError("below")
        except ValueError as below:
            raise make(RateLimitError) from below
    except RateLimitError as caught:
        error = caught
    twin = error.as_type(JoinedRateLimitError)
    assert type(twin) is JoinedRateLimitError
    assert isinstance(twin, ModelRateLimitError)
    assert twin.args == error.args
    assert str(twin) == str(error)
    assert vars(twin) == vars(error)
    assert vars(twin) is not vars(error)
    assert twin.__traceback__ is error.__traceback__
    assert type(error) is RateLimitError
    assert type(pickle.loads(pickle.dumps(twin))) is JoinedRateLimitError


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        (400, BadRequestError, False),
        (401, AuthenticationError, False),
        (402, BillingError, False),
        (403, PermissionDeniedError, False),
        (404, NotFoundError, False),
        (405, APIStatusError, False),
        (408, APIStatusError, True),
        (409, APIStatusError, False),
        (413, BadRequestError, False),
        (422, BadRequestError, False),
        (429, RateLimitError, True),
        (500, InternalServerError, True),
        (502, InternalServerError, True),
        (503, InternalServerError, True),
        (504, InternalServerError, True),
        (599, InternalServerError, True),
        (302, APIStatusError, False),
    ],
)
def test_status_decides_where_nothing_finer_is_known(status: int, kind: type[APIStatusError], retryable: bool) -> None:
    """Each HTTP status has its class, and 408, 429 and 5xx may be tried again."""
    error = status_error(None, "no", status_code=status)
    assert type(error) is kind
    assert (error.status_code, error.is_retryable) == (status, retryable)


def test_a_known_kind_beats_the_status() -> None:
    """What a code says is finer than the status."""
    error = status_error(ContentFilterError, "no", status_code=500, code="DataInspectionFailed")
    assert type(error) is ContentFilterError
    assert (error.status_code, error.code, error.is_retryable) == (500, "DataInspectionFailed", False)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("1", 1.0),
        ("0", 0.0),
        (" 2.5 ", 2.5),
        ("-3", 0.0),
        ("", None),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("1, 2", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Wed, 99 Oct 2015 07:28:00 GMT", None),
        ("Mon, 01 Jan 0001 00:00:00 -0000", 0.0),
    ],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    """A number of seconds, or an HTTP date in the past; nonsense says nothing."""
    assert retry_after(httpx.Headers({"Retry-After": value})) == seconds


def test_retry_after_date_in_the_future() -> None:
    """An HTTP date is turned into the seconds until then."""
    then = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    found = retry_after({"retry-after": then})
    assert found is not None
    assert 28 < found <= 30


def test_no_retry_after() -> None:
    """Without the header there is nothing to wait for."""
    assert retry_after({}) is None


@given(st.text())
def test_retry_after_never_fails(value: str) -> None:
    """Whatever a proxy writes there, the answer is a finite wait or none, and no other error hides the real one."""
    found = retry_after({"retry-after": value})
    assert found is None or 0 <= found < float("inf")


def test_excerpt() -> None:
    """A body that was no JSON goes into a message as one short line."""
    assert excerpt("<html>\n\n  <body>坏了</body>") == "<html> <body>坏了</body>"
    assert excerpt("x" * 200) == "x" * 200
    assert excerpt("x" * 201) == "x" * 200 + "..."
