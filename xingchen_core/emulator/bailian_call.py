"""One request to Bailian: what the gateway checks before any service looks at it, and how it is answered."""

import json
from collections.abc import Awaitable, Callable, Generator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.requests import Request

from xingchen_core.emulator._script import Fault, Turn, magic_fault
from xingchen_core.emulator._wire import Answer, Event, EventStream
from xingchen_core.emulator.bailian_errors import HTML_PAGE, Refusal, error_event, invalid, scripted
from xingchen_core.emulator.bailian_script import BailianReply

if TYPE_CHECKING:
    from xingchen_core.emulator.bailian import Bailian

SERVICE = "bailian"

Responder = Callable[["Call"], Answer | EventStream]


class Broken(Exception):
    """Nothing, or a proxy's page, comes instead of an answer."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer


@dataclass
class Call:
    """A request whose bearer key is good."""

    bailian: "Bailian"
    request: Request
    request_id: str
    body: dict[str, Any]
    compatible: bool = False

    @property
    def streaming(self) -> bool:
        """The header alone switches streaming on; compatible: the body."""
        if self.compatible:
            return bool(self.body.get("stream"))
        return self.request.headers.get("x-dashscope-sse", "").lower() == "enable"

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the answer that captures show."""
        return {
            "x-request-id": self.request_id,
            "x-dashscope-call-gateway": "true",
            "x-dashscope-finished": "false" if self.streaming else "true",
            "x-dashscope-timeout": "180",
        }

    def check_workspace(self, home: str | None) -> None:
        """Refuses who comes without the workspace that an application or a model lives in (None: the default one)."""
        named = self.request.headers.get("x-dashscope-workspace") or self.bailian.workspace
        if named not in self.bailian.workspaces:
            raise Refusal("NOT AUTHORIZED")
        if named != (home or self.bailian.workspace):
            raise Refusal("Workspace.AccessDenied")

    def take_turn(self, said: str) -> tuple[BailianReply | None, Fault | None]:
        """The script of this call; a fault may also be asked for in the user's words."""
        turn = self.bailian.core.script.take(SERVICE, self.request.url.path)
        if turn.fault is None:
            try:
                turn = Turn(turn.reply, magic_fault(said))
            except ValueError as mistake:
                raise invalid(str(mistake)) from None
        fault = turn.fault
        if fault and (fault.kind == "status" or (fault.kind == "error_event" and not self.streaming)):
            raise scripted(fault)
        if fault and fault.kind == "drop":
            raise Broken(Answer(self.bailian.core, "", fault=fault))
        if fault and fault.kind == "html":
            status = fault.status or 502
            page = HTML_PAGE.format(status=status)
            raise Broken(Answer(self.bailian.core, page, status, media_type="text/html;charset=UTF-8"))
        return BailianReply.of(turn.reply) if turn.reply else None, fault

    def refuse(self, refusal: Refusal) -> Answer | EventStream:
        """The refusal as a response."""
        core = self.bailian.core
        if self.compatible:
            body = refusal.compatible_body(self.request_id)
        elif self.streaming and self.bailian.refuses_in_stream:
            return self.stream((event for event in [error_event(refusal, self.request_id)]), None)
        else:
            body = refusal.body(self.request_id)
        return Answer(core, body, refusal.status, {**self.headers, **refusal.headers}, "application/json")

    def answer(self, body: Mapping[str, Any], fault: Fault | None, left: Callable[[], None] | None = None) -> Answer:
        """One JSON body."""
        return Answer(self.bailian.core, body, 200, self.headers, "application/json", fault, left)

    def stream(
        self,
        events: Generator[Event, None, None],
        fault: Fault | None,
        left: Callable[[], None] | None = None,
    ) -> EventStream:
        """A stream of events."""

        def error(failed: Fault) -> Event:
            if self.compatible:
                return Event(scripted(failed).compatible_body(self.request_id))
            return error_event(scripted(failed), self.request_id, failed.after + 1)

        running, id_ = self.bailian.running, self.request_id
        if left is None:  # an application counts its answer itself, by its session
            running.append(id_)
        left = left or (lambda: running.remove(id_))
        return EventStream(self.bailian.core, events, error, fault, finished=left, headers=self.headers)


def result(data: Any, number: int) -> Event:
    """One event of an answer."""
    return Event(data, "result", str(number), "HTTP_STATUS/200")


def endpoint(
    bailian: "Bailian", respond: Responder, *, compatible: bool = False
) -> Callable[[Request], Awaitable[Answer | EventStream]]:
    """The ASGI endpoint of calls that `respond` answers."""

    async def handle(request: Request) -> Answer | EventStream:
        call = Call(bailian, request, bailian.new_uuid("request"), {}, compatible)
        try:
            _check_gateway(request)
            call.body = _read(await request.body())
            return respond(call)
        except Refusal as refusal:
            return call.refuse(refusal)
        except Broken as broken:
            return broken.answer

    return handle


def _check_gateway(request: Request) -> None:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip() or key.strip() == "invalid":
        raise Refusal("InvalidApiKey", "" if key else "No API-key provided.")
    if request.method != "POST":
        raise invalid(f"Request method '{request.method}' is not supported.")
    if request.headers.get("x-dashscope-async", "").lower() == "enable":
        raise Refusal("AccessDenied", "Current user api does not support asynchronous calls.")


def _read(raw: bytes) -> dict[str, Any]:
    try:
        body = json.loads(raw)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise Refusal("BadRequest.IllegalInput")
    return body
