"""How Beebot refuses: error answers of the signed calls, error events of the stream, HTML for a bad stream URL."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from xingchen_core.emulator._script import Fault
from xingchen_core.emulator._wire import Answer, Core, Event

HOST_ID = "chatbot.cn-shanghai.aliyuncs.com"

# How a code begins: (HTTP status, message). Throttling comes under 400.
CODES: dict[str, tuple[int, str]] = {
    "InvalidApi.NotFound": (404, "Specified api is not found, please check your url and method."),
    "InvalidAccessKeyId": (404, "Specified access key is not found."),
    "InvalidInstance.NotFound": (404, "The specified robot does not exist."),
    "Forbidden": (403, "You are not authorized to do this action."),
    "InstanceFreezing": (403, "The instance is frozen because of an overdue bill."),
    "Throttling": (400, "Request was denied due to user flow control."),
    "InternalError": (500, "The request processing has failed due to some unknown error."),
    "ServiceUnavailable": (503, "The request has failed due to a temporary failure of the server."),
}
STATUSES: dict[int, str] = {
    401: "InvalidAccessToken",
    403: "Forbidden",
    404: "InvalidInstance.NotFound",
    429: "Throttling.User",
    500: "InternalError",
    503: "ServiceUnavailable",
}

HTML_PAGE = "<!DOCTYPE html>\n<html>\n<head><title>{0}</title></head>\n<body><h1>{0}</h1></body>\n</html>\n"


@dataclass(eq=False)  # an exception must stay hashable
class Refusal(Exception):
    """An error the service answers with."""

    code: str
    message: str
    status: int = 400
    headers: Mapping[str, str] = field(default_factory=dict)


def invalid(name: str, detail: str) -> Refusal:
    """A parameter with a value that cannot be."""
    return Refusal("InvalidParameter", f"The specified parameter {name} is not valid: {detail}.")


def missing(name: str) -> Refusal:
    """A required parameter that is absent."""
    return Refusal(f"Missing{name}", f"{name} is mandatory for this action.")


def no_such_robot(instance_id: str) -> Refusal:
    """A robot nobody knows. The documents give no code for it: this is the form the platform's codes usually have."""
    return Refusal("InvalidInstance.NotFound", f"The specified robot {instance_id!r} does not exist.", 404)


def scripted(fault: Fault) -> Refusal:
    """The error a scripted fault asks for; without status and code, a parameter that is not valid."""
    code = str(fault.code or STATUSES.get(fault.status or 400, "InvalidParameter"))
    known = next((found for start, found in CODES.items() if code.startswith(start)), None)
    usual_status, usual_message = known or (400, "The specified parameter is not valid.")
    refusal = Refusal(code, fault.message or usual_message, fault.status or usual_status)
    if fault.retry_after is not None:
        # The vendor's SDK sleeps so many milliseconds; whether the service means them is not documented.
        refusal.headers = {"x-acs-retry-after": str(int(fault.retry_after * 1000))}
    return refusal


def refuse(core: Core, fault: Fault, request_id: str) -> Answer:
    """The answer to a call that a scripted fault replaces."""
    if fault.kind == "drop":
        return Answer(core, "", fault=fault)
    if fault.kind == "html":
        return html(core, fault.status or 502)
    return error_answer(core, scripted(fault), request_id)


def error_answer(core: Core, refusal: Refusal, request_id: str) -> Answer:
    """The refusal as a response."""
    body = {
        "RequestId": request_id,
        "HostId": HOST_ID,
        "Code": refusal.code,
        "Message": refusal.message,
        "Recommend": f"https://api.example.invalid/troubleshoot?q={refusal.code}",
    }
    return Answer(core, body, refusal.status, refusal.headers)


def html(core: Core, status: int) -> Answer:
    """A page for people."""
    title = "Bad request" if status == 200 else f"Error {status}"
    return Answer(core, HTML_PAGE.format(title), status, media_type="text/html;charset=UTF-8")


def error_event(refusal: Refusal, message_id: str, request_id: str) -> Event:
    """`success: false` inside the stream. The codes that stand there are not documented."""
    data: dict[str, Any] = {"code": refusal.code, "message": refusal.message}
    return Event({**data, "messageId": message_id, "requestId": request_id, "success": False})
