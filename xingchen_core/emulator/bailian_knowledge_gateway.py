"""Calls with an API key: who asks, for which workspace, and the dialects in which answers and refusals are written."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from starlette.requests import Request

from xingchen_core.emulator._script import Fault
from xingchen_core.emulator._wire import Answer
from xingchen_core.emulator.bailian_call import SERVICE
from xingchen_core.emulator.bailian_errors import HTML_PAGE, Refusal
from xingchen_core.emulator.bailian_knowledge_fields import Fields

if TYPE_CHECKING:
    from xingchen_core.emulator.bailian import Bailian


@dataclass
class KeyCall:
    """A request whose key is good."""

    bailian: "Bailian"
    request: Request
    request_id: str
    workspace: str = ""
    body: Fields = field(default_factory=lambda: Fields({}))

    @property
    def query(self) -> Fields:
        """The query string."""
        return Fields(self.request.query_params, written=True)

    def path(self, name: str) -> str:
        """A part of the path."""
        return str(self.request.path_params[name])


@dataclass(frozen=True)
class Dialect:
    """How one family of calls writes what it says. `refuse` returns (HTTP status, body)."""

    wrap: Callable[[KeyCall, Any], dict[str, Any]]
    refuse: Callable[[KeyCall, Refusal], tuple[int, dict[str, Any]]]
    codes: Mapping[int, str]
    """The code of an HTTP status, for scripted faults."""
    bare_keys: bool = False
    """A key without `Bearer` is taken: a shipped client sends it so."""


Handler = Callable[[KeyCall], Any]


def endpoint(bailian: "Bailian", handler: Handler, dialect: Dialect) -> Callable[[Request], Awaitable[Answer]]:
    """The ASGI endpoint of calls in one dialect."""

    async def handle(request: Request) -> Answer:
        call = KeyCall(bailian, request, bailian.new_uuid("request"))
        fault = bailian.core.script.take_for_path(SERVICE, request.url.path)
        headers: dict[str, str] = {}
        status = 200
        try:
            if fault and fault.kind in ("drop", "html"):
                return broken(bailian, fault)
            if fault and fault.kind in ("status", "error_event"):
                raise scripted(fault, dialect.codes)
            _check_key(request, bare=dialect.bare_keys)
            call.workspace = _workspace(call)
            call.body = Fields(_read(await request.body()))
            body = dialect.wrap(call, handler(call))
        except Refusal as refusal:
            status, body = dialect.refuse(call, refusal)
            headers = dict(refusal.headers)
        return Answer(bailian.core, body, status, {"x-request-id": call.request_id, **headers}, fault=fault)

    return handle


def broken(bailian: "Bailian", fault: Fault) -> Answer:
    """Nothing, or a proxy's page, instead of an answer."""
    if fault.kind == "drop":
        return Answer(bailian.core, "", fault=fault)
    status = fault.status or 502
    return Answer(bailian.core, HTML_PAGE.format(status=status), status, media_type="text/html;charset=UTF-8")


def scripted(fault: Fault, codes: Mapping[int, str]) -> Refusal:
    """The error a scripted fault asks for; without status and code, an internal error."""
    status = fault.status or 500
    code = str(fault.code or codes.get(status, "InternalError" if status >= 500 else "InvalidParameter"))
    retry = {} if fault.retry_after is None else {"Retry-After": f"{fault.retry_after:g}"}
    return Refusal(code, fault.message or "The request has failed.", status, retry)


def _check_key(request: Request, *, bare: bool) -> None:
    header = request.headers.get("authorization", "")
    scheme, _, key = header.partition(" ")
    if bare and header and not key:
        scheme, key = "bearer", header
    key = key.strip()
    # Keys of the coding plan open nothing here.
    if scheme.lower() != "bearer" or not key or key == "invalid" or key.startswith("sk-sp-"):
        raise Refusal("InvalidApiKey", "Invalid API-key provided.", 401)


def _workspace(call: KeyCall) -> str:
    named = call.request.headers.get("x-dashscope-workspace") or call.bailian.workspace
    if named not in call.bailian.workspaces:
        raise Refusal("Forbidden", f"no permission for workspace {named}", 403)
    return named


def _read(raw: bytes) -> dict[str, Any]:
    if not raw:
        return {}
    try:
        body = json.loads(raw)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise Refusal("InvalidParameter", "The request body must be a JSON object.", 400)
    return body


def _rag_body(call: KeyCall, data: Any) -> dict[str, Any]:
    told = {"code": "Success", "status_code": 200, "status": "SUCCESS", "success": True, "message": "success"}
    return {**told, "request_id": call.request_id, "data": data}


def _rag_refusal(call: KeyCall, refusal: Refusal) -> tuple[int, dict[str, Any]]:
    if call.bailian.knowledge.nested_errors:
        error = {"code": refusal.code, "message": refusal.message, "param": None}
        return refusal.status, {"error": error, "request_id": call.request_id}
    body = {"code": refusal.code, "status_code": refusal.status, "message": refusal.message}
    body["request_id"] = call.request_id
    if refusal.status == 429:  # has no other members
        return 429, body
    under_200 = call.bailian.knowledge.rag_failures_under_200 and refusal.status in (400, 409)
    return 200 if under_200 else refusal.status, {**body, "success": False, "status": "FAILED"}


def _import_body(call: KeyCall, data: Any) -> dict[str, Any]:
    return {"code": "Success", "status": 200, "message": "success", "requestId": call.request_id, "data": data}


def _import_refusal(call: KeyCall, refusal: Refusal) -> tuple[int, dict[str, Any]]:
    """Business failures come under HTTP 200; only `status` tells."""
    body = {"code": refusal.code, "status": refusal.status, "message": refusal.message, "requestId": call.request_id}
    return 200 if refusal.status == 400 else refusal.status, {**body, "data": None}


def _flat_body(call: KeyCall, members: Any) -> dict[str, Any]:
    told = {"code": "Success", "status": "SUCCESS", "message": "success", "request_id": call.request_id}
    return {**told, **members}


def _flat_refusal(call: KeyCall, refusal: Refusal) -> tuple[int, dict[str, Any]]:
    body = {"code": refusal.code, "status": "FAILED", "message": refusal.message, "request_id": call.request_id}
    return refusal.status, body


_CODES = {401: "InvalidApiKey", 403: "Forbidden", 429: "Throttling", 504: "RETRIEVAL_TIMEOUT"}
_MEMORY_CODES = {401: "InvalidApiKey", 403: "Forbidden", 404: "NotFound", 429: "TooManyRequests"}

RAG = Dialect(_rag_body, _rag_refusal, _CODES)
"""Retrieval and management: `success`."""
IMPORT = Dialect(_import_body, _import_refusal, _CODES)
"""The data centre: an integer `status`."""
PIPELINE = Dialect(_flat_body, _flat_refusal, _CODES, bare_keys=True)
"""The legacy pipelines: everything at the top."""
MEMORY = Dialect(
    lambda call, members: {"request_id": call.request_id, **members},
    lambda call, refusal: (refusal.status, refusal.body(call.request_id)),
    _MEMORY_CODES,
)
"""The memory library: nothing but the HTTP status tells success."""
