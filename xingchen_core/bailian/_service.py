"""The Bailian service (Model Studio, DashScope): hosts, codes, settings, and how its failures are told.

Source: Model Studio, "error codes" and "regions"; applications and models share hosts, headers, events and codes.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import model_validator

from xingchen_core._config import ConnectionSettings, environment
from xingchen_core._errors import (
    APIStatusError,
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
    status_error,
)
from xingchen_core._service import Service

WORKSPACE_VARIABLE = "DASHSCOPE_WORKSPACE_ID"

HOSTS: Mapping[str, str] = {
    "cn-beijing": "https://dashscope.aliyuncs.com",
    "ap-southeast-1": "https://dashscope-intl.aliyuncs.com",
    "us-east-1": "https://dashscope-us.aliyuncs.com",
}
"""Virginia's host is documented for models; whether it serves applications is UNVERIFIED."""

CODES: Mapping[str, type[APIStatusError]] = {
    "invalidapikey": AuthenticationError,
    "invalid_api_key": AuthenticationError,
    "not authorized": AuthenticationError,
    "arrearage": BillingError,
    "commoditynotpurchased": BillingError,
    "prepaidbilloverdue": BillingError,
    "postpaidbilloverdue": BillingError,
    "datainspectionfailed": ContentFilterError,
    "data_inspection_failed": ContentFilterError,
    "customroleblocked": ContentFilterError,
    "faqruleblocked": ContentFilterError,
    "accessdenied": PermissionDeniedError,
    "access_denied": PermissionDeniedError,
    "app.accessdenied": PermissionDeniedError,
    "workspace.accessdenied": PermissionDeniedError,
    "model.accessdenied": PermissionDeniedError,
    "endpoint.accessdenied": PermissionDeniedError,
    "allocationquota.freetieronly": PermissionDeniedError,
    "bailiangateway.workspace.notauthorised": PermissionDeniedError,
    "workspacenotfound": NotFoundError,
    "notfound": NotFoundError,
    "modelnotfound": NotFoundError,
    "model_not_found": NotFoundError,
    "model_not_supported": NotFoundError,
    "throttling": RateLimitError,
    "limitrequests": RateLimitError,
    "limit_requests": RateLimitError,
    "limit_burst_rate": RateLimitError,
    "insufficient_quota": RateLimitError,
    "internalerror.algo.invalidparameter": BadRequestError,
    "internalerror": InternalServerError,
    "systemerror": InternalServerError,
    "modelservicefailed": InternalServerError,
    "modelservingerror": InternalServerError,
    "modelunavailable": InternalServerError,
    "requesttimeout": InternalServerError,
    "appprocessfailed": InternalServerError,
    "invokepluginfailed": InternalServerError,
    "rewritefailed": InternalServerError,
    "retrivalfailed": InternalServerError,  # spelled so by the service
    "invalidparameter": BadRequestError,
    "invalid_parameter": BadRequestError,
    "invalid_request_error": BadRequestError,
    "invalidurl": BadRequestError,
    "badrequest": BadRequestError,
}
"""How a code begins, in lower case; the longest that fits decides, before the status does."""

ONCE = ("appprocessfailed", "invokepluginfailed", "rewritefailed", "retrivalfailed")
"""Codes of a step of the application: a second try may help, a third will not."""

FINAL_QUOTA = "free allocated quota exceeded"
OVERFLOW = ("range of input length", "context length", "maximum context", "input length")
BLOCKED = ("inappropriate content", "data inspection")


def read_failure(status: int, body: Any) -> APIStatusError | None:
    """Return the failure a body reports: flat, or as `error` on the OpenAI-compatible path. HTTP 200 can be one."""
    body = body if isinstance(body, dict) else {}
    inner = body.get("error")
    told = inner if isinstance(inner, dict) else body
    code = str(told.get("code") or told.get("type") or "")
    if status < 400 and (not code or body.get("output") is not None or "choices" in body):
        return None
    message = told.get("message") or (inner if isinstance(inner, str) else "")  # a text: some gateway's
    return failure(status, code, str(message), body.get("request_id") or body.get("id"))


def failure(status: int, code: str, message: str, request_id: str | None) -> APIStatusError:
    """Return the failure of a code. `status` is below 400 where nothing but the code tells."""
    name, words = code.lower(), message.lower()
    fitting = max((start for start in CODES if name.startswith(start)), key=len, default=None)
    kind = CODES[fitting] if fitting else None
    details: dict[str, Any] = {}
    if kind in (BadRequestError, InternalServerError, None):
        if any(mark in words for mark in OVERFLOW) and status < 500:
            kind = ContextOverflowError
        elif any(mark in words for mark in BLOCKED):
            kind = ContentFilterError
    if kind is RateLimitError and FINAL_QUOTA in words:
        kind = BillingError  # "Throttling.AllocationQuota" by code, but it is used up for good
    if name == "requesttimeout" and status >= 500:
        details["is_retryable"] = False  # 300 s were used up; another 300 s are the caller's to spend
    if name in ONCE or (kind is InternalServerError and "delimiter" in words):  # the model wrote broken JSON
        details["retry_limit"] = 1
    return status_error(
        kind,
        message or code or f"HTTP {status}",
        status_code=status if status >= 400 else _usual_status(kind),
        code=code or None,
        request_id=request_id,
        **details,
    )


def _usual_status(kind: type[APIStatusError] | None) -> int:
    """Return the status that such a failure has where one is told."""
    usual: dict[type[APIStatusError] | None, int] = {
        AuthenticationError: 401,
        PermissionDeniedError: 403,
        NotFoundError: 404,
        RateLimitError: 429,
        InternalServerError: 500,
    }
    return usual.get(kind, 400)


def advise(error: APIStatusError, host: str) -> str:
    """Say what most often is behind a refusal, and which other host there is."""
    if isinstance(error, AuthenticationError):
        others = ", ".join(
            f"region={region!r} ({url})" for region, url in HOSTS.items() if not url.endswith(f"/{host}")
        )
        return (
            f"This came from {host}. A key works in its own region only: a key of another one looks invalid here; try "
            f"{others}, or base_url= with the workspace's own host. Xingchen keys do not work."
        )
    code = (error.code or "").lower()
    if code.startswith("workspace"):
        return "Pass workspace_id= (or set DASHSCOPE_WORKSPACE_ID) if the application or model is in a sub-workspace."
    if code.startswith("app."):
        return "Check app_id, that the application is published, and that the key is of its workspace (workspace_id=)."
    if "url error" in error.message.lower():
        return "The model is served on the other path: pass endpoint='multimodal' or endpoint='text'."
    return ""


BAILIAN = Service(
    name="bailian",
    hosts=HOSTS,
    key_variable="DASHSCOPE_API_KEY",
    base_url_variable="DASHSCOPE_BASE_URL",
    read_timeout=300.0,
    stream_chunk_timeout=300.0,
    read_failure=read_failure,
    advise=advise,
)


def workspace_url(workspace_id: str, region: str = "cn-beijing") -> str:
    """Return the origin of a workspace's own host, for `base_url`: newer, and recommended by the vendor."""
    return f"https://{workspace_id}.{region}.maas.aliyuncs.com"


class BailianSettings(ConnectionSettings):
    """How to reach Bailian.

    Attributes:
        api_key: From `DASHSCOPE_API_KEY` when not given. It belongs to one region.
        base_url: From `DASHSCOPE_BASE_URL`. A workspace's own host (`workspace_url`), or a private link.
        region: `cn-beijing` (the default), `ap-southeast-1` (the international site) or `us-east-1`.
        workspace_id: A sub-workspace, sent as `X-DashScope-WorkSpace`; from `DASHSCOPE_WORKSPACE_ID`.
        timeout: Read 300 s by default: so long the service works on an answer that is not streamed.
    """

    service: ClassVar[Service] = BAILIAN

    workspace_id: str | None = None

    @model_validator(mode="after")
    def _resolve_workspace(self) -> Self:
        if self.workspace_id is None and (workspace := environment(WORKSPACE_VARIABLE)):
            self.__dict__["workspace_id"] = workspace
        if self.workspace_id and not self.workspace_id.isascii():
            raise ConfigurationError("workspace_id is sent as a header: it must be ASCII.")
        return self
