"""How Xingchen refuses: business errors, gateway errors, and the error event of a stream."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from xingchen_core.emulator._script import Fault
from xingchen_core.emulator._wire import Answer, Core, Event

# "Status codes" page: errorMessageKey -> (code, errorMessage). They all come under HTTP 400.
BUSINESS: dict[str, tuple[int, str]] = {
    "aca.error.invalid.param": (400, "Invalid Param"),
    "aca.error.invalid.request": (400, "Invalid Request"),
    "aca.error.invalid.request.method": (400, "Invalid Request Method"),
    "aca.error.invalid.request.params.unreadable": (400, "Request Params Unreadable"),
    "aca.error.invalid.token": (400, "Invalid Token"),
    "aca.error.data.duplicate": (401, "Data Duplicate"),
    "aca.error.no.permission": (403, "No Permission"),
    "aca.error.notfound": (404, "Not Found"),
    "aca.error.not.accept.agreement.usage": (410, "No accept platform usage agreement"),
    "aca.error.no.permission.mgmt.version": (411, "No Permission to manage character version"),
    "aca.error.no.permission.open.character": (412, "No Permission to open character"),
    "aca.error.no.permission.open.chat": (413, "No Permission to open chat with others"),
    "aca.error.no.permission.open.api": (414, "No Permission to open api"),
}

# The gateway's words are not documented; these are the emulator's, by HTTP status.
GATEWAY: dict[int, tuple[str, str]] = {
    400: ("BadRequest", "The request is invalid."),
    401: ("Unauthorized", "The API key is missing or invalid."),
    403: ("Forbidden", "The API key has no access to this service."),
    404: ("NotFound", "The requested resource does not exist."),
    408: ("RequestTimeout", "The request timed out."),
    413: ("RequestEntityTooLarge", "The request body is too large."),
    429: ("Throttling.RateQuota", "Requests rate limit exceeded, please try again later."),
    500: ("InternalError", "An internal error has occurred."),
    502: ("BadGateway", "The upstream service gave no valid answer."),
    503: ("ServiceUnavailable", "The service is temporarily unavailable."),
    504: ("GatewayTimeout", "The upstream service did not answer in time."),
}

MODERATION_MESSAGE = "Input data may contain inappropriate content."

HTML_PAGE = "<html>\n<head><title>{status}</title></head>\n<body><h1>{status}</h1><hr>gateway</body>\n</html>\n"


@dataclass(eq=False)  # an exception must stay hashable
class Refusal(Exception):
    """An error the service answers with; `body` still lacks the request id."""

    status: int
    body: dict[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)


def business(key: str, detail: str | None = None, *, status: int = 400) -> Refusal:
    """An error of the service layer. The HTTP status is 400 whatever the body's code, as the table prints it."""
    code, message = BUSINESS[key]
    return Refusal(status, _business_body(code, f"{message}: {detail}" if detail else message, key))


def gateway(status: int, name: str | None = None, message: str | None = None) -> Refusal:
    """An error of the gateway before the service: `code` and `success` are null there."""
    usual_name, usual_message = GATEWAY.get(status, GATEWAY[500])
    body = {
        "success": None,
        "code": None,
        "errorCode": status,
        "errorName": name or usual_name,
        "httpStatusCode": status,
        "errorMessage": message or usual_message,
    }
    return Refusal(status, body)


def invalid(detail: str) -> Refusal:
    """A bad value in the body; the detail names the member."""
    return business("aca.error.invalid.param", detail)


def not_found(what: str) -> Refusal:
    """An id nobody knows."""
    return business("aca.error.notfound", what)


def scripted(fault: Fault) -> Refusal:
    """The error a scripted fault asks for.

    A code that is a number or an `aca.error.*` key makes a business error, any other code a gateway error of that name.
    """
    if isinstance(fault.code, int):
        known = next((key for key, (code, _) in BUSINESS.items() if code == fault.code), None)
        usual = BUSINESS[known][1] if known else GATEWAY.get(fault.code, GATEWAY[500])[1]
        message = fault.message or usual
        refusal = Refusal(fault.status or 400, _business_body(fault.code, message, known))
    elif fault.code and fault.code.startswith("aca.error."):
        code, message = BUSINESS.get(fault.code, (400, "Error"))
        refusal = Refusal(fault.status or 400, _business_body(code, fault.message or message, fault.code))
    else:
        blocked = fault.code == "DataInspectionFailed"
        status = fault.status or (400 if blocked else 500)
        refusal = gateway(status, fault.code, fault.message or (MODERATION_MESSAGE if blocked else None))
    if fault.retry_after is not None:
        refusal.headers = {"Retry-After": f"{fault.retry_after:g}"}
    return refusal


def refuse(core: Core, fault: Fault, request_id: str) -> Answer:
    """The answer to a call that a scripted fault replaces."""
    if fault.kind == "drop":
        return Answer(core, "", fault=fault)
    if fault.kind == "html":
        status = fault.status or 502
        return Answer(core, HTML_PAGE.format(status=status), status, media_type="text/html;charset=UTF-8")
    return error_answer(core, scripted(fault), request_id)


def error_answer(core: Core, refusal: Refusal, request_id: str) -> Answer:
    """The refusal as a response."""
    return Answer(core, {"requestId": request_id, **refusal.body}, refusal.status, refusal.headers)


def error_event(fault: Fault, request_id: str) -> Event:
    """`event:error` with the fields of both layers; without status and code, the documented example."""
    plain = fault.code is None and fault.status is None
    refusal = business("aca.error.invalid.param", fault.message) if plain else scripted(fault)
    data = {"requestId": request_id, **both_layers(refusal), "success": False}
    return Event({name: value for name, value in data.items() if value is not None}, event="error")


def both_layers(refusal: Refusal) -> dict[str, Any]:
    """The body with the gateway's fields added to a business error: who looks for either finds it."""
    body = refusal.body
    if body.get("errorCode") is not None:
        return body
    key: str = body.get("errorMessageKey", "error")
    name = "".join(word.capitalize() for word in key.removeprefix("aca.error.").split("."))
    return {**body, "errorCode": body["code"], "errorName": name, "httpStatusCode": refusal.status}


def _business_body(code: int, message: str, key: str | None) -> dict[str, Any]:
    body: dict[str, Any] = {"code": code, "errorMessage": message, "success": False, "data": None}
    return {**body, "errorMessageKey": key} if key else body
