"""The Xingchen service: host, headers, and how its failures are told (Xingchen HTTP API, status codes)."""

from collections.abc import Mapping
from typing import Any

from xingchen_core._errors import (
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    ContentFilterError,
    ContextOverflowError,
    InternalServerError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    status_class,
    status_error,
)
from xingchen_core._service import Service

KEYS: Mapping[str, type[APIStatusError]] = {
    "aca.error.invalid.request": BadRequestError,
    "aca.error.invalid.request.method": BadRequestError,
    "aca.error.invalid.request.params.unreadable": BadRequestError,
    "aca.error.invalid.token": AuthenticationError,
    "aca.error.data.duplicate": BadRequestError,
    "aca.error.notfound": NotFoundError,
    "aca.error.not.accept.agreement.usage": PermissionDeniedError,
    "aca.error.no.permission": PermissionDeniedError,
    "aca.error.no.permission.mgmt.version": PermissionDeniedError,
    "aca.error.no.permission.open.character": PermissionDeniedError,
    "aca.error.no.permission.open.chat": PermissionDeniedError,
    "aca.error.no.permission.open.api": PermissionDeniedError,
}
"""`errorMessageKey` of the service layer: the finest thing it says. `aca.error.invalid.param` is not here: what
moderation and overflow say under it, words must tell."""

CODES: Mapping[int, type[APIStatusError]] = {
    400: BadRequestError,
    401: BadRequestError,  # "Data Duplicate", not authentication
    403: PermissionDeniedError,
    404: NotFoundError,
    410: PermissionDeniedError,  # the usage agreement was not accepted
    411: PermissionDeniedError,
    412: PermissionDeniedError,
    413: PermissionDeniedError,
    414: PermissionDeniedError,
    429: RateLimitError,
}
"""`code` of the service layer. It looks like an HTTP status and is none."""

WORDS: Mapping[str, type[APIStatusError]] = {
    "datainspectionfailed": ContentFilterError,
    "inappropriate content": ContentFilterError,
    "throttling": RateLimitError,
    "rate limit": RateLimitError,
    "quota": RateLimitError,
    "range of input length": ContextOverflowError,
    "invalid token": AuthenticationError,
}
"""Moderation, throttling and overflow have no documented code: they are known by words in name or message
(UNVERIFIED against the live service)."""

ADVICE: Mapping[type[APIStatusError], str] = {
    AuthenticationError: "Check the API key: it must come from the Xingchen console; Model Studio keys do not work.",
    PermissionDeniedError: "In the Xingchen console, accept the terms and open the character to the API.",
}


def read_failure(status: int, body: Any) -> APIStatusError | None:
    """Return the failure a body reports, whatever the HTTP status says.

    Two layers share one object: the gateway's `errorCode`, `errorName`, `httpStatusCode`, where `success` is null, and
    the service's `code`, `errorMessageKey`, where it is false.
    """
    if not isinstance(body, dict):
        return None if status < 400 else status_error(None, f"HTTP {status}", status_code=status)
    code, error_code = body.get("code"), body.get("errorCode")
    if code in ("", 200, "200"):
        code = None
    refused = "success" in body and body["success"] is not True
    if status < 400 and not refused and code is None and error_code in (None, ""):
        return None
    key, name = _text(body.get("errorMessageKey")), _text(body.get("errorName"))
    message = _text(body.get("errorMessage")) or _text(body.get("message")) or key or name or f"HTTP {status}"
    said = _number(body.get("httpStatusCode")) or _number(code) or _number(error_code) or 0
    # A code in words is searched like a name.
    words = f"{name} {_text(code)} {_text(error_code)} {message}".lower()
    kind = _kind(status, _number(code), _number(error_code), key, words)
    hint = ADVICE.get(kind, "")
    return status_error(
        kind,
        f"{message} [{key}]{_sentence(hint)}" if key and key != message else f"{message}{_sentence(hint)}",
        status_code=said if 400 <= said <= 599 else status,
        code=name or _text(code) or _text(error_code) or key or str(status),
        request_id=_text(body.get("requestId")) or None,
    )


def _kind(status: int, code: int | None, error_code: int | None, key: str, words: str) -> type[APIStatusError]:
    """Choose by key, then words, then numbers; the body's number is finer than HTTP's status."""
    if key in KEYS:
        return KEYS[key]
    for word, kind in WORDS.items():
        if word in words:
            return kind
    if error_code is not None:
        return status_class(error_code if 400 <= error_code <= 599 else max(status, 400))
    if code is not None and code in CODES and not code == 401 == status:  # under HTTP 401 it is about the key after all
        return CODES[code]
    if code is not None and 500 <= code <= 599:
        return InternalServerError
    return status_class(status) if status >= 400 else BadRequestError


def _sentence(hint: str) -> str:
    return f". {hint}" if hint else ""


def _number(value: Any) -> int | None:
    """Read a code that is an integer in the documents and has been seen as text."""
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _text(value: Any) -> str:
    return "" if value is None else str(value)


XINGCHEN = Service(
    name="xingchen",
    hosts={"cn-hangzhou": "https://nlp.aliyuncs.com"},
    key_variable="XINGCHEN_API_KEY",
    base_url_variable="XINGCHEN_BASE_URL",
    headers={"x-fag-appcode": "aca"},
    read_failure=read_failure,
)
