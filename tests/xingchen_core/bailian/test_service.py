"""The service's codes: which error each becomes, and whether the same request may be sent again."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from xingchen_core import (
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    BillingError,
    ContentFilterError,
    ContextOverflowError,
    InternalServerError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
)
from xingchen_core.bailian import BailianSettings, ModelMessage, ModelRequest, generate
from xingchen_core.bailian._service import read_failure

Connect = Callable[..., Any]

ROWS: list[tuple[int, str, str, type[APIStatusError], bool]] = [
    (400, "InvalidParameter", "temperature", BadRequestError, False),
    (400, "BadRequest.EmptyInput", "", BadRequestError, False),
    (400, "BadRequest.EmptyParameters", "", BadRequestError, False),
    (400, "BadRequest.IllegalInput", "", BadRequestError, False),
    (400, "BadRequest.TooLarge", "", BadRequestError, False),
    (400, "BadRequest.InputDownloadFailed", "", BadRequestError, False),
    (400, "InvalidURL.Timeout", "", BadRequestError, False),
    (400, "DataInspectionFailed", "", ContentFilterError, False),
    (400, "CustomRoleBlocked", "", ContentFilterError, False),
    (400, "FaqRuleBlocked", "", ContentFilterError, False),
    (400, "Arrearage", "", BillingError, False),
    (401, "InvalidApiKey", "", AuthenticationError, False),
    (401, "NOT AUTHORIZED", "", AuthenticationError, False),
    (403, "App.AccessDenied", "", PermissionDeniedError, False),
    (403, "Workspace.AccessDenied", "", PermissionDeniedError, False),
    (403, "AccessDenied", "", PermissionDeniedError, False),
    (403, "AccessDenied.Unpurchased", "", PermissionDeniedError, False),
    (403, "Model.AccessDenied", "", PermissionDeniedError, False),
    (403, "Endpoint.AccessDenied", "", PermissionDeniedError, False),
    (403, "AllocationQuota.FreeTierOnly", "", PermissionDeniedError, False),
    (404, "WorkSpaceNotFound", "", NotFoundError, False),
    (404, "NotFound", "", NotFoundError, False),
    (404, "ModelNotFound", "", NotFoundError, False),
    (404, "model_not_found", "", NotFoundError, False),
    (404, "model_not_supported", "", NotFoundError, False),
    (408, "RequestTimeOut", "", InternalServerError, True),
    (413, "", "", BadRequestError, False),
    (429, "Throttling", "", RateLimitError, True),
    (429, "Throttling.RateQuota", "", RateLimitError, True),
    (429, "LimitRequests", "", RateLimitError, True),
    (429, "limit_requests", "", RateLimitError, True),
    (429, "Throttling.BurstRate", "", RateLimitError, True),
    (429, "limit_burst_rate", "", RateLimitError, True),
    (429, "Throttling.AllocationQuota", "Allocated quota exceeded.", RateLimitError, True),
    (429, "insufficient_quota", "", RateLimitError, True),
    (429, "Throttling.AllocationQuota", "Free allocated quota exceeded.", BillingError, False),
    (429, "Throttling.Concurrency", "", RateLimitError, True),
    (429, "Throttling.NobodyKnows", "", RateLimitError, True),
    (429, "CommodityNotPurchased", "", BillingError, False),
    (429, "PrepaidBillOverdue", "", BillingError, False),
    (429, "PostpaidBillOverdue", "", BillingError, False),
    (500, "InternalError", "", InternalServerError, True),
    (500, "InternalError.Algo", "", InternalServerError, True),
    (500, "InternalError.Timeout", "", InternalServerError, True),
    (500, "SystemError", "", InternalServerError, True),
    (500, "ModelServiceFailed", "", InternalServerError, True),
    (500, "RequestTimeOut", "", InternalServerError, False),
    (500, "ModelServingError", "", InternalServerError, True),
    (503, "ModelUnavailable", "", InternalServerError, True),
    (
        400,
        "InternalError.Algo.InvalidParameter",
        "Range of input length should be [1, 30720]",
        ContextOverflowError,
        False,
    ),
    (400, "InvalidParameter", "This model only support stream mode", BadRequestError, False),
    (200, "BailianGateway.Workspace.NotAuthorised", "", PermissionDeniedError, False),
]


@pytest.mark.parametrize(("status", "code", "message", "kind", "retryable"), ROWS)
def test_each_code_has_its_class(
    status: int, code: str, message: str, kind: type[APIStatusError], retryable: bool
) -> None:
    """Class and retry follow the code; the service's own words are kept."""
    error = read_failure(status, {"code": code, "message": message, "request_id": "r1"})
    assert type(error) is kind
    assert error.is_retryable is retryable
    assert (error.code or "", error.request_id) == (code, "r1")
    assert error.status_code == (403 if status == 200 else status)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("AppProcessFailed", ""),
        ("InvokePluginFailed", ""),
        ("RewriteFailed", ""),
        ("RetrivalFailed", ""),
        ("InternalError.Algo", "Expecting ',' delimiter: line 1 column 30 (char 29)"),
    ],
)
def test_some_failures_are_tried_once_more_only(code: str, message: str) -> None:
    """A failed step, or broken JSON written by the model, is worth one repetition."""
    error = read_failure(500, {"code": code, "message": message})
    assert type(error) is InternalServerError
    assert (error.is_retryable, error.retry_limit) == (True, 1)


def test_the_compatible_endpoint_nests_its_errors() -> None:
    """`error.code` tells the same as a flat `code`."""
    error = read_failure(
        401, {"error": {"message": "Incorrect API key", "type": "invalid_request_error", "code": "invalid_api_key"}}
    )
    assert type(error) is AuthenticationError
    assert error.code == "invalid_api_key"


def test_the_words_of_a_gateway_are_told() -> None:
    """A gateway in front of the service may name its error by a text alone; the status says what kind it is."""
    error = read_failure(403, {"error": "quota of this department used up"})
    assert isinstance(error, PermissionDeniedError)
    assert error.message == "quota of this department used up"


def test_a_code_beside_an_answer_is_no_failure() -> None:
    """Some documented answers hold an empty `code`, or one beside the output."""
    assert read_failure(200, {"code": "", "output": {}}) is None
    assert read_failure(200, {"code": "Success", "output": {}}) is None
    assert isinstance(read_failure(200, {"code": "InvalidParameter", "output": None}), BadRequestError)


REQUEST = ModelRequest(messages=[ModelMessage(role="user", content="你好")])


@pytest.mark.parametrize(("status", "code", "message", "kind", "retryable"), ROWS)
async def test_what_may_help_is_sent_again(
    connect: Connect, status: int, code: str, message: str, kind: type[APIStatusError], retryable: bool
) -> None:
    """A retryable refusal is sent three times with max_retries=2, any other once."""
    sent = []

    def refuse(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(status, json={"code": code, "message": message, "request_id": "r1"})

    client = connect(refuse, BailianSettings, api_key="test-key", max_retries=2)
    with pytest.raises(kind):
        await client.send(generate(REQUEST))
    assert len(sent) == (3 if retryable else 1)


async def test_a_failed_step_is_sent_twice(connect: Connect) -> None:
    """At most one repetition, whatever max_retries allows."""
    sent = []

    def refuse(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(500, json={"code": "AppProcessFailed", "message": "node 3"})

    client = connect(refuse, BailianSettings, api_key="test-key", max_retries=5)
    with pytest.raises(InternalServerError):
        await client.send(generate(REQUEST))
    assert len(sent) == 2


async def test_a_refused_key_names_the_other_regions(connect: Connect) -> None:
    """A key of another region looks invalid: the error says where else it may be good, and never shows it."""

    def refuse(request: httpx.Request) -> httpx.Response:
        return httpx.Response(401, json={"code": "InvalidApiKey", "message": "Invalid API-key provided."})

    client = connect(refuse, BailianSettings, api_key="test-key")
    with pytest.raises(AuthenticationError) as caught:
        await client.send(generate(REQUEST))
    told = str(caught.value)
    assert "Invalid API-key provided. This came from dashscope.aliyuncs.com." in told
    assert "region='ap-southeast-1' (https://dashscope-intl.aliyuncs.com)" in told
    assert "cn-beijing" not in told
    assert "test-key" not in told


@pytest.mark.parametrize(
    ("status", "code", "message", "advice"),
    [
        (400, "InvalidParameter", "url error, please check url！", "endpoint='multimodal'"),
        (403, "Workspace.AccessDenied", "denied", "workspace_id="),
        (403, "App.AccessDenied", "denied", "app_id"),
    ],
)
async def test_a_refusal_says_what_to_do(connect: Connect, status: int, code: str, message: str, advice: str) -> None:
    """Wrong path, workspace and application are told by their codes: the error names the setting."""

    def refuse(request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, content=json.dumps({"code": code, "message": message}))

    client = connect(refuse, BailianSettings, api_key="test-key")
    with pytest.raises(APIStatusError, match=advice):
        await client.send(generate(REQUEST))
