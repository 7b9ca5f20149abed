"""How the APIs behind knowledge bases tell that they failed: in a handful of spellings, all of which are read here.

Source: Model Studio, "RAG API", "data import API" and their error pages; OpenAPI reference `api-bailian-2023-12-29`.
"""

from collections.abc import Mapping
from typing import Any

from xingchen_core._errors import (
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    InternalServerError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    status_error,
)
from xingchen_core.bailian._service import CODES, _usual_status

KNOWLEDGE_CODES: Mapping[str, type[APIStatusError]] = {
    **CODES,
    "unauthorized": AuthenticationError,
    "invalidaccesskeyid": AuthenticationError,
    "signaturedoesnotmatch": AuthenticationError,
    "incompletesignature": AuthenticationError,
    "invalidtimestamp": AuthenticationError,
    "invalidsecuritytoken": AuthenticationError,
    "forbidden": PermissionDeniedError,
    "nopermission": PermissionDeniedError,
    "index.forbidden": PermissionDeniedError,
    "index.indexnotexist": NotFoundError,
    "index.": BadRequestError,
    "kb_not_found": NotFoundError,
    "kb_name_conflict": BadRequestError,
    "agentapp.notfound": NotFoundError,
    "datacenter.": BadRequestError,
    "missing": BadRequestError,
    "systemerror": BadRequestError,  # here it says that a job id is missing, or that no job runs
    "signaturenonceused": RateLimitError,  # a repetition has a new nonce, and nothing was done
    "rate_limited": RateLimitError,
    "quota_exceeded": RateLimitError,
    "serviceunavailable": InternalServerError,
    "sync_source_unreachable": InternalServerError,
    "retrieval_timeout": InternalServerError,
}
"""As `CODES`. The gateway's codes are UNVERIFIED for this product: they are those of Alibaba Cloud's others."""

RETRY_LIMITS = {
    "signaturenonceused": 1,
    "invalidtimestamp": 1,
    "invalidsecuritytoken.expired": 1,  # credentials are asked for anew
    "retrieval_timeout": 2,
}
_GOOD_CODES = ("", "success", "200", "ok")


def read_failure(status: int, body: Any) -> APIStatusError | None:
    """Return the failure an answer reports: by HTTP status, `success`, `Success`, a status inside, or a code.

    Importing answers a refusal with HTTP 200 and `"status": 400`; the SDK's users know `"Success": false` under 200.
    """
    body = body if isinstance(body, dict) else {}
    inner = body.get("error")  # a page of errors shows them nested (UNVERIFIED)
    told = inner if isinstance(inner, dict) else body
    code = str(told.get("code") or told.get("Code") or "")
    inside = _status_inside(body)
    refused = any(str(body.get(name)).lower() == "false" for name in ("success", "Success"))
    if status < 400 and not refused and inside < 400 and code.lower() in _GOOD_CODES and told is body:
        return None
    message = str(told.get("message") or told.get("Message") or "")
    known_status = status if status >= 400 else inside
    name = code.lower()
    fitting = max((start for start in KNOWLEDGE_CODES if name.startswith(start)), key=len, default=None)
    kind = KNOWLEDGE_CODES[fitting] if fitting else None
    if kind in (None, BadRequestError) and name.endswith((".notfound", "notexist", "_not_found")):
        kind = NotFoundError
    details: dict[str, Any] = {}
    if (limit := next((limit for start, limit in RETRY_LIMITS.items() if name.startswith(start)), None)) is not None:
        details = {"retry_limit": limit, "is_retryable": True}  # signed anew, or asked anew
    return status_error(
        kind,
        message or code or (f"HTTP {status}" if status >= 400 else "the service says that it failed"),
        status_code=known_status if known_status >= 400 else _usual_status(kind),
        code=None if name in _GOOD_CODES else code,
        request_id=body.get("request_id") or body.get("requestId") or body.get("RequestId"),
        **details,
    )


def _status_inside(body: Mapping[str, Any]) -> int:
    """Return the status a body names: a number, a number as text, or a word where the code does not say "success"."""
    for name in ("status_code", "statusCode", "status", "Status"):
        value = str(body.get(name) or "")
        if value.isdecimal() and int(value) >= 400:
            return int(value)
        if value in ("FAILED", "ERROR") and str(body.get("code")).lower() != "success":
            return 400
    return 0


def advise(error: APIStatusError, host: str) -> str:
    """Say what most often is behind a refusal. One without a code is none of the service's: an upload's, a proxy's."""
    if error.code is None:
        return ""
    code = error.code.lower()
    if "accesskey" in code or "signature" in code or "timestamp" in code or "securitytoken" in code:
        return "Check the AccessKey pair and the clock of this machine."
    if isinstance(error, AuthenticationError):
        return (
            f"This came from {host}. A key works in its own region, and at a workspace's host for that workspace only; "
            "Xingchen keys and coding-plan keys (sk-sp-...) do not work."
        )
    if isinstance(error, PermissionDeniedError):
        return (
            "Check workspace_id; an AccessKey of a RAM user needs the policy AliyunBailianDataFullAccess and must be a "
            "member of the workspace."
        )
    if isinstance(error, NotFoundError):
        return "Check the id, and that it is of this workspace (workspace_id=)."
    return ""
