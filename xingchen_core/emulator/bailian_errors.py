"""How Bailian refuses: flat JSON with an HTTP status, or an error event whose status stands in a comment."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from xingchen_core.emulator._script import Fault
from xingchen_core.emulator._wire import Event

# "Status codes" page: code -> (HTTP status, message).
CODES: dict[str, tuple[int, str]] = {
    "InvalidParameter": (400, "Required parameter(s) missing or invalid, please check the request parameters."),
    "InvalidURL": (400, "Invalid URL provided in your request."),
    "BadRequest.EmptyInput": (400, 'Required input parameter "input" missing from request.'),
    "BadRequest.EmptyParameters": (400, 'Required parameter "parameters" missing from request.'),
    "BadRequest.IllegalInput": (400, "The input parameter requires json format."),
    "BadRequest.InputDownloadFailed": (400, "Failed to download the input file."),
    "BadRequest.TooLarge": (413, "Payload Too Large"),
    "DataInspectionFailed": (400, "Input or output data may contain inappropriate content."),
    "Arrearage": (400, "Access denied, please make sure your account is in good standing."),
    "InvalidApiKey": (401, "Invalid API-key provided."),
    "NOT AUTHORIZED": (401, "Access denied: You are not a member of this workspace."),
    "App.AccessDenied": (403, "App access denied."),
    "Workspace.AccessDenied": (403, "Workspace access denied."),
    "AccessDenied": (403, "Access denied."),
    "ModelNotFound": (404, "Model can not be found."),
    "WorkSpaceNotFound": (404, "WorkSpace can not be found."),
    "NotFound": (404, "Not found!"),
    "RequestTimeOut": (408, "Request timed out, please try again later."),
    "Throttling": (429, "Requests throttling triggered."),
    "Throttling.RateQuota": (429, "Requests rate limit exceeded, please try again later."),
    "Throttling.BurstRate": (429, "Request rate increased too quickly. Please scale requests more smoothly over time."),
    "Throttling.AllocationQuota": (429, "Allocated quota exceeded, please increase your quota limit."),
    "Throttling.Concurrency": (429, "Too many concurrent requests."),
    "CommodityNotPurchased": (429, "Commodity has not purchased yet."),
    "PrepaidBillOverdue": (429, "The prepaid bill is overdue."),
    "PostpaidBillOverdue": (429, "The postpaid bill is overdue."),
    "InternalError": (500, "An internal error has occurred, please try again later or contact service support."),
    "InternalError.Algo": (500, "An internal error has occurred during algorithm execution."),
    "InternalError.Timeout": (500, "An internal timeout error has occurred during execution."),
    "AppProcessFailed": (500, "The flow of the application has failed."),
    "InvokePluginFailed": (500, "Failed to invoke a plug-in."),
    "RetrivalFailed": (500, "Failed to retrieve data from documents."),
    "ModelServingError": (503, "Too many requests. Your requests are being throttled due to system capacity limits."),
    "ModelUnavailable": (503, "Model is unavailable, please try again later."),
}
STATUSES: dict[int, str] = {
    401: "InvalidApiKey",
    403: "AccessDenied",
    404: "NotFound",
    408: "RequestTimeOut",
    413: "BadRequest.TooLarge",
    429: "Throttling.RateQuota",
    500: "InternalError",
    503: "ModelUnavailable",
    504: "InternalError.Timeout",
}

HTML_PAGE = "<html>\n<head><title>{status}</title></head>\n<body><h1>{status}</h1><hr>gateway</body>\n</html>\n"


@dataclass(eq=False)  # an exception must stay hashable
class Refusal(Exception):
    """An error the service answers with."""

    code: str
    message: str = ""
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        usual_status, usual_message = CODES.get(self.code, (400, "The request has failed."))
        self.status = self.status or usual_status
        self.message = self.message or usual_message

    def body(self, request_id: str) -> dict[str, Any]:
        """As the native protocol says it."""
        return {"code": self.code, "message": self.message, "request_id": request_id}

    def compatible_body(self, request_id: str) -> dict[str, Any]:
        """As the OpenAI-compatible protocol says it."""
        error = {"message": self.message, "type": self.code, "param": None, "code": self.code}
        return {"error": error, "request_id": request_id}


def invalid(message: str = "") -> Refusal:
    """A bad value; the message says which."""
    return Refusal("InvalidParameter", message)


def scripted(fault: Fault) -> Refusal:
    """The error a scripted fault asks for; without status and code, an internal error."""
    usual = STATUSES.get(fault.status, "InvalidParameter") if fault.status else "InternalError"
    refusal = Refusal(str(fault.code or usual), fault.message or "", fault.status or 0)
    if fault.retry_after is not None:
        refusal.headers = {"Retry-After": f"{fault.retry_after:g}"}
    return refusal


def error_event(refusal: Refusal, request_id: str, number: int = 1) -> Event:
    """The error under HTTP 200, its real status in the comment."""
    return Event(refusal.body(request_id), "error", str(number), f"HTTP_STATUS/{refusal.status}")
