"""How Xingchen tells failures: the table of its status page, the gateway's object, and words where there is no code."""

import copy
import json
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xingchen_core import (
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    BillingError,
    Client,
    ConfigurationError,
    ContentFilterError,
    ContextOverflowError,
    InternalServerError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    XingchenSettings,
    characters,
)
from xingchen_core.characters._service import XINGCHEN, read_failure

# (code, errorMessage, errorMessageKey) as printed on the status page, all under HTTP 400, and the class we raise.
TABLE: list[tuple[int, str, str, type[APIStatusError]]] = [
    (400, "Invalid Request", "aca.error.invalid.request", BadRequestError),
    (400, "Invalid Param", "aca.error.invalid.param", BadRequestError),
    (400, "Invalid Request Method", "aca.error.invalid.request.method", BadRequestError),
    (400, "Request Params Unreadable", "aca.error.invalid.request.params.unreadable", BadRequestError),
    (400, "Invalid Token", "aca.error.invalid.token", AuthenticationError),
    (401, "Data Duplicate", "aca.error.data.duplicate", BadRequestError),
    (403, "No Permission", "aca.error.no.permission", PermissionDeniedError),
    (404, "Not Found", "aca.error.notfound", NotFoundError),
    (410, "No accept platform usage agreement", "aca.error.not.accept.agreement.usage", PermissionDeniedError),
    (411, "No Permission to manage character version", "aca.error.no.permission.mgmt.version", PermissionDeniedError),
    (412, "No Permission to open character", "aca.error.no.permission.open.character", PermissionDeniedError),
    (413, "No Permission to open chat with others", "aca.error.no.permission.open.chat", PermissionDeniedError),
    (414, "No Permission to open api", "aca.error.no.permission.open.api", PermissionDeniedError),
]


def failure(status: int, body: Any) -> APIStatusError:
    """The failure of a body that has one."""
    error = read_failure(status, body)
    assert error is not None
    return error


@pytest.mark.parametrize(("code", "message", "key", "kind"), TABLE, ids=[row[2] for row in TABLE])
@pytest.mark.parametrize("status", [400, 200])
def test_the_status_page(status: int, code: int, message: str, key: str, kind: type[APIStatusError]) -> None:
    """Each row, under HTTP 400 as printed and under 200, has its class; none may be tried again.

    Trap 9: 401 is a duplicate and 410 to 414 are permissions, whatever HTTP means by these numbers.
    """
    body = {"requestId": "r-1", "code": code, "success": False, "errorMessage": message, "errorMessageKey": key}
    error = failure(status, body)
    assert type(error) is kind
    assert (error.code, error.request_id, error.is_retryable) == (str(code), "r-1", False)
    assert message in str(error)
    assert key in str(error)


@pytest.mark.parametrize(
    ("code", "message", "key", "kind"), [row for row in TABLE if row[3] is not AuthenticationError]
)
@pytest.mark.parametrize("status", [400, 200, 500])
@pytest.mark.parametrize("written", [int, str])
def test_codes_without_their_key(
    status: int, written: type, code: int, message: str, key: str, kind: type[APIStatusError]
) -> None:
    """The number alone decides before HTTP's status does, as a number or as text (fault 21)."""
    error = failure(status, {"code": written(code), "success": False})
    assert type(error) is kind
    assert error.code == str(code)


@pytest.mark.parametrize(
    ("code", "kind", "retryable"),
    [(429, RateLimitError, True), (500, InternalServerError, True), (503, InternalServerError, True)],
)
def test_codes_that_pass(code: int, kind: type[APIStatusError], retryable: bool) -> None:
    """Rows the status page does not show: throttling and the service's own trouble, under HTTP 200."""
    error = failure(200, {"code": code, "success": False, "errorMessage": "x"})
    assert type(error) is kind
    assert (error.status_code, error.is_retryable) == (code, retryable)


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (400, BadRequestError),
        (401, AuthenticationError),
        (402, BillingError),
        (403, PermissionDeniedError),
        (404, NotFoundError),
        (408, APIStatusError),
        (429, RateLimitError),
        (500, InternalServerError),
        (503, InternalServerError),
    ],
)
@pytest.mark.parametrize("written", [int, str])
@pytest.mark.parametrize("http", [True, False], ids=["same status", "HTTP 200"])
def test_gateway(number: int, kind: type[APIStatusError], written: type, http: bool) -> None:
    """The gateway's `errorCode` means what HTTP means. Trap 10: `success` is null there, not false."""
    body = {
        "requestId": "r-1",
        "success": None,
        "code": None,
        "errorCode": written(number),
        "errorName": "SomeName",
        "httpStatusCode": number,
        "errorMessage": "what went wrong",
    }
    error = failure(number if http else 200, body)
    assert type(error) is kind
    assert (error.status_code, error.code, error.request_id) == (number, "SomeName", "r-1")
    assert "what went wrong" in str(error)


@pytest.mark.parametrize(
    ("name", "message", "kind"),
    [
        ("DataInspectionFailed", "Input data may contain inappropriate content.", ContentFilterError),
        ("DataInspectionFailed", "", ContentFilterError),
        ("InvalidParameter", "Output data may contain inappropriate content.", ContentFilterError),
        ("Throttling.RateQuota", "slow down", RateLimitError),
        ("Throttling", "", RateLimitError),
        ("Busy", "Requests rate limit exceeded, please try again later.", RateLimitError),
        ("Busy", "You exceeded your current quota.", RateLimitError),
        ("InvalidParameter", "Range of input length should be [1, 30720]", ContextOverflowError),
        ("Refused", "Invalid token.", AuthenticationError),
    ],
)
def test_words(name: str, message: str, kind: type[APIStatusError]) -> None:
    """Moderation, throttling and overflow have no documented code: the name or the message tells (UNVERIFIED)."""
    for body in (
        {"success": None, "errorCode": 400, "errorName": name, "errorMessage": message},
        {"success": False, "code": 400, "errorMessage": f"{name} {message}"},
    ):
        error = failure(400, body)
        assert type(error) is kind
        assert error.is_retryable is (kind is RateLimitError)


def test_words_do_not_beat_the_key() -> None:
    """What the service names by key is that, though a message quotes words of the caller's."""
    body = {"success": False, "code": 404, "errorMessage": "no 'rate limit'", "errorMessageKey": "aca.error.notfound"}
    assert type(failure(400, body)) is NotFoundError
    key = "aca.error.invalid.request.params.unreadable"
    body = {"success": False, "code": 400, "errorMessage": "invalid token at position 3", "errorMessageKey": key}
    assert type(failure(400, body)) is BadRequestError


@pytest.mark.parametrize(
    "body",
    [
        {"success": True, "code": 200, "data": {}},
        {"success": True, "data": True},
        {"success": True, "code": "200", "data": {}},
        {"success": True, "code": 200, "errorCode": None, "data": {}},
        {"success": True, "code": 200, "errorCode": "", "errorMessage": "", "errorMessageKey": "aca.error.success"},
        {"choices": []},
        {"choices": [], "code": None, "errorCode": None},
        [],
        "text",
        None,
    ],
    ids=json.dumps,
)
def test_successes(body: Any) -> None:
    """HTTP 2xx, `success` true or absent, `code` absent or 200, no `errorCode`."""
    assert read_failure(200, body) is None


@pytest.mark.parametrize(
    "body",
    [
        {"success": False},
        {"success": None},
        {"success": False, "code": 200},
        {"success": "true", "code": 200},
        {"code": 400},
        {"code": "InvalidParam", "message": "x"},
        {"success": True, "code": 200, "errorCode": 500},
        {"success": True, "code": 200, "errorCode": "Throttling"},
        {"errorCode": 0},
    ],
    ids=json.dumps,
)
def test_failures_under_200(body: dict[str, Any]) -> None:
    """Everything else under HTTP 200 is a failure (fault 9: the SDK returned it as an answer)."""
    assert isinstance(read_failure(200, body), APIStatusError)


def test_a_code_in_words_is_kept() -> None:
    """A code that is no number is the code, verbatim."""
    assert failure(200, {"code": "InvalidParam", "message": "x"}).code == "InvalidParam"
    assert failure(200, {"errorCode": "Throttling.User"}).code == "Throttling.User"
    assert type(failure(200, {"errorCode": "Throttling.User"})) is RateLimitError


@pytest.mark.parametrize(
    ("status", "body", "named"),
    [
        (400, {"success": None, "errorCode": 401, "httpStatusCode": 403}, 403),
        (400, {"success": False, "code": 404}, 404),
        (400, {"success": None, "errorCode": 429}, 429),
        (200, {"success": False, "code": 503}, 503),
        (200, {"success": False, "code": 1001}, 200),
        (502, {}, 502),
        (500, [], 500),
        (403, "no", 403),
    ],
)
def test_status_code(status: int, body: Any, named: int) -> None:
    """The status the body names, `httpStatusCode` first; else HTTP's."""
    assert failure(status, body).status_code == named


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"errorMessage": "bad", "errorMessageKey": "aca.error.invalid.token"}, ["API key", "Xingchen console"]),
        ({"code": 410, "errorMessage": "terms"}, ["accept the terms"]),
        ({"code": 414, "errorMessage": "closed"}, ["open the character to the API"]),
        ({"errorMessage": "only a message"}, ["only a message"]),
        ({"message": "another spelling"}, ["another spelling"]),
        ({"errorName": "OnlyAName"}, ["OnlyAName"]),
        ({}, ["HTTP 400"]),
    ],
)
def test_messages_say_what_to_do(body: dict[str, Any], words: list[str]) -> None:
    """Where something can be done, the message says it; else it says all there is."""
    error = failure(400, {"success": False, **body})
    for word in words:
        assert word in str(error)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=4)
MEMBERS = [
    "success",
    "code",
    "errorCode",
    "errorName",
    "httpStatusCode",
    "errorMessage",
    "errorMessageKey",
    "requestId",
]


@given(st.sampled_from([200, 204, 302, 400, 401, 429, 500]), st.dictionaries(st.sampled_from(MEMBERS), VALUES) | VALUES)
def test_odd_bodies(status: int, body: Any) -> None:
    """A body of odd types is told, not crashed on (fault 21: a text for a number hid the real error)."""
    before = copy.deepcopy(body)
    error = read_failure(status, body)
    if status >= 400:
        assert error is not None
    if error is not None:
        assert str(error)
        assert isinstance(error.code, str | None)
        assert isinstance(error.request_id, str | None)
    assert repr(body) == repr(before)


def test_where_xingchen_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """One region, the v2 host; the key from `XINGCHEN_API_KEY` only, the address from `XINGCHEN_BASE_URL`."""
    monkeypatch.setenv("DASHSCOPE_API_KEY", "test-other-key")
    with pytest.raises(ConfigurationError, match="XINGCHEN_API_KEY"):
        XingchenSettings()
    monkeypatch.setenv("XINGCHEN_API_KEY", "test-key")
    made = XingchenSettings()
    assert made.origin() == "https://nlp.aliyuncs.com"
    assert made.region is None
    assert (made.call_timeout().connect, made.call_timeout().read, made.silence_limit()) == (10.0, 60.0, 60.0)
    with pytest.raises(ConfigurationError, match="cn-hangzhou"):
        XingchenSettings(region="cn-beijing")
    monkeypatch.setenv("XINGCHEN_BASE_URL", "http://127.0.0.1:8900/")
    assert XingchenSettings().origin() == "http://127.0.0.1:8900"
    assert XINGCHEN.headers == {"x-fag-appcode": "aca"}


def test_an_error_through_the_client() -> None:
    """What the client adds: service, response, Retry-After; and a text that names all of it once."""
    body = {"requestId": "r-1", "success": None, "errorCode": 429, "errorName": "Throttling.RateQuota"}
    answer = httpx.Response(429, json=body, headers={"retry-after": "7"})
    with (
        httpx.Client(transport=httpx.MockTransport(lambda _: answer)) as http_client,
        Client(XingchenSettings(api_key="test-key", http_client=http_client, max_retries=0)) as client,
        pytest.raises(RateLimitError) as caught,
    ):
        client.send(characters.stop_generation("r-0", "你"))
    error = caught.value
    assert str(error) == "xingchen: Throttling.RateQuota (request id r-1)"
    assert (error.retry_after, error.response.json(), error.service) == (7.0, body, "xingchen")
