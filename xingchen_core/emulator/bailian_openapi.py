"""Bailian's signed calls (OpenAPI 2023-12-29, ROA): every action has a method, a path, and a place for parameters."""

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

from starlette.requests import Request
from starlette.routing import Route

from xingchen_core.emulator._acs3 import SignatureRefusedError, SignedRequest
from xingchen_core.emulator._wire import Answer
from xingchen_core.emulator.bailian_call import SERVICE
from xingchen_core.emulator.bailian_errors import Refusal
from xingchen_core.emulator.bailian_knowledge_fields import Fields
from xingchen_core.emulator.bailian_knowledge_gateway import broken, scripted

if TYPE_CHECKING:
    from xingchen_core.emulator.bailian import Bailian

VERSION = "2023-12-29"
HOST_ID = "bailian.cn-beijing.aliyuncs.com"
CODES = {403: "Forbidden", 429: "Throttling", 503: "ServiceUnavailable"}


@dataclass
class SignedCall:
    """A call whose signature holds. `path` has the named parts of its path, `fields` its parameters."""

    bailian: "Bailian"
    request: Request
    request_id: str
    action: "Action"
    workspace: str
    path: Mapping[str, str]
    fields: Fields


@dataclass(frozen=True)
class Action:
    """`path` comes after the workspace; to the signature a slash at its end counts. `place`: query, form or json."""

    method: str
    path: str
    handler: Callable[[SignedCall], Any]
    place: str = "query"
    memory: bool = False
    """A memory's call: members in lower camel case at the top, instead of `Data`."""

    def match(self, method: str, rest: str) -> Mapping[str, str] | None:
        """The named parts of a path that fits."""
        pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", self.path)
        found = re.fullmatch(pattern, rest) if method == self.method else None
        return {name: unquote(value) for name, value in found.groupdict().items()} if found else None


def routes(bailian: "Bailian", actions: Mapping[str, Action]) -> list[Route]:
    """One endpoint below every workspace."""
    last = {"memory": -math.inf}

    async def handle(request: Request) -> Answer:
        request_id = bailian.new_uuid("request").upper()
        fault = bailian.core.script.take_for_path(SERVICE, request.url.path)
        headers: Mapping[str, str] = {}
        status = 200
        try:
            if fault and fault.kind in ("drop", "html"):
                return broken(bailian, fault)
            if fault and fault.kind in ("status", "error_event"):
                refusal = scripted(fault, CODES)
                if fault.retry_after is not None:
                    # The vendor's SDK sleeps so many milliseconds; whether the service means them is not documented.
                    refusal.headers = {"x-acs-retry-after": str(int(fault.retry_after * 1000))}
                raise _Gateway(refusal)
            call = _read(bailian, request, await request.body(), actions, request_id)
            if call.action.memory:
                _pause(bailian, last)
            said = call.action.handler(call)
            body = {"requestId": request_id, **said} if call.action.memory else _body(request_id, said)
        except _Gateway as gateway:
            status, body, headers = _refused(request_id, gateway.refusal)
        except Refusal as refusal:
            status, body, headers = _refused(request_id, refusal)
            memory = request.headers.get("x-acs-action", "").endswith(_MEMORY_ACTIONS)
            if refusal.status != 429 and not memory:
                under_200 = bailian.knowledge.signed_failures_under_200
                status = 200 if under_200 else refusal.status
                body = {**_told(request_id, refusal), "Status": str(refusal.status), "Success": False}
        return Answer(bailian.core, body, status, headers, fault=fault)

    methods = ["GET", "POST", "PUT", "DELETE"]
    families = ("index", "chunk", "datacenter", "rag/index", "memories")
    paths = [f"/{{workspace}}/{family}/{{rest:path}}" for family in families]
    return [Route(path, handle, methods=methods) for path in [*paths, "/{workspace}/memories"]]


_MEMORY_ACTIONS = ("Memory", "Memories", "MemoryNode", "MemoryNodes")


class _Gateway(Exception):
    """A refusal before any service has looked at the call."""

    def __init__(self, refusal: Refusal) -> None:
        self.refusal = refusal


def _read(
    bailian: "Bailian", request: Request, raw: bytes, actions: Mapping[str, Action], request_id: str
) -> SignedCall:
    path = request.scope["raw_path"].decode("ascii").partition("?")[0]
    query = request.scope["query_string"].decode("ascii")
    headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in request.scope["headers"])
    try:
        bailian.signatures.verify(SignedRequest(request.method, path, query, headers, raw))
    except SignatureRefusedError as refused:
        raise _Gateway(Refusal(refused.code, refused.message, refused.status)) from None
    name = request.headers["x-acs-action"]
    action = actions.get(name)
    workspace, _, rest = path.removeprefix("/").partition("/")
    parts = action.match(request.method, "/" + rest) if action else None
    if action is None or parts is None:
        raise _Gateway(Refusal("InvalidAction.NotFound", f"No action {name!r} has this method and path.", 404))
    if request.headers["x-acs-version"] != VERSION:
        raise _Gateway(Refusal("InvalidVersion", "Specified parameter Version is not valid.", 400))
    if unquote(workspace) not in bailian.workspaces:
        raise _Gateway(Refusal("Index.Forbidden", f"no permission for workspace {workspace}", 403))
    return SignedCall(bailian, request, request_id, action, unquote(workspace), parts, _fields(action, query, raw))


def _fields(action: Action, query: str, raw: bytes) -> Fields:
    """Parameters from where they belong. What stands elsewhere is not heard."""
    if action.place == "json":
        try:
            given = json.loads(raw)
        except ValueError:
            given = None
        if not isinstance(given, dict):
            raise Refusal("InvalidParameter", "The body must be a JSON object.", 400)
        return Fields(given)
    pairs = parse_qsl(query if action.place == "query" else raw.decode(), keep_blank_values=True)
    return Fields(dict(pairs), written=True)


def _pause(bailian: "Bailian", last: dict[str, float]) -> None:
    """The memories' calls want time between them; there is none for the refused."""
    since, last["memory"] = bailian.clock() - last["memory"], bailian.clock()
    if since < bailian.memory.legacy_pause_seconds:
        raise _Gateway(Refusal("Throttling.User", "Request was denied due to user flow control.", 429))


def _body(request_id: str, data: Any) -> dict[str, Any]:
    told = {"RequestId": request_id, "Code": "Success", "Message": "success", "Status": "200", "Success": True}
    return {**told, "Data": data}


def _told(request_id: str, refusal: Refusal) -> dict[str, Any]:
    return {"RequestId": request_id, "Code": refusal.code, "Message": refusal.message}


def _refused(request_id: str, refusal: Refusal) -> tuple[int, dict[str, Any], Mapping[str, str]]:
    recommend = f"https://api.example.invalid/troubleshoot?q={refusal.code}"
    body = {**_told(request_id, refusal), "HostId": HOST_ID, "Recommend": recommend}
    return refusal.status, body, refusal.headers
