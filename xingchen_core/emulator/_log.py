"""The log of requests, in front of all services."""

import json
import traceback
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from starlette.types import ASGIApp, Message, Receive, Scope, Send


@dataclass(frozen=True)
class ReceivedRequest:
    """A request as it arrived. `query` is decoded, header names are lower case."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body read as JSON; None when there is none, `ValueError` when it is something else."""
        return json.loads(self.body) if self.body else None


class RequestLog:
    """An ASGI application that reads each request whole, notes it, and hands it on."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.received: list[ReceivedRequest] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
        self.received.append(
            ReceivedRequest(
                method=scope["method"],
                path=scope["path"],
                query=dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)),
                headers={name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]},
                body=body,
            )
        )
        unread: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def again() -> Message:
            return unread.pop() if unread else await receive()

        try:
            await self._app(scope, again, send)
        except Exception:
            # Only a defect of the emulator comes here: show it to whoever runs the test.
            traceback.print_exc()
            raise
