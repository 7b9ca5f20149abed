"""The Xingchen service: its state, its routes, and what its gateway checks before any of them."""

import hashlib
import json
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.routing import Route

from xingchen_core.emulator import (
    xingchen_characters,
    xingchen_chat,
    xingchen_completions,
    xingchen_generation,
    xingchen_group,
    xingchen_history,
    xingchen_knowledge,
    xingchen_memory,
    xingchen_rooms,
)
from xingchen_core.emulator._script import Turn
from xingchen_core.emulator._wire import Answer, Core, EventStream
from xingchen_core.emulator.xingchen_errors import (
    Refusal,
    both_layers,
    business,
    error_answer,
    gateway,
    refuse,
    scripted,
)
from xingchen_core.emulator.xingchen_fields import without_nulls

SERVICE = "xingchen"


class Xingchen:
    """State of the service, in memory, and knobs for tests. Everything a key owns belongs to that key alone."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.characters = xingchen_characters.Characters(self)
        self.rooms = xingchen_rooms.Rooms(self)
        self.knowledge = xingchen_knowledge.KnowledgeBases(self)
        self.conversions: dict[int, xingchen_knowledge.Conversion] = {}
        self.running: dict[str, xingchen_generation.Running] = {}
        self.busy_users: set[tuple[str, str]] = set()

        self.prompts: list[list[dict[str, Any]]] = []
        """The messages each answered chat was generated from, platform history included; oldest chat first."""
        self.history_lag = 0
        """A message written from now on is missing from so many history reads."""
        self.history_overlap = 0
        """So many rows of a history page come again on the next one; never all of them."""
        self.history_behind = 0
        """History queries lack so many of the messages written last, like a replica that lags behind."""
        self.history_oldest_first = False
        """History queries list the oldest first, whatever was asked for."""
        self.history_without_total = False
        """History pages do not say how many messages there are."""
        self.history_without_times = False
        """Rows of the history do not say when they were written."""
        self.same_gmt_create = False
        """Messages written from now on all carry the same time."""
        self.reset_hides_history = False
        """History queries after a reset no longer list what was before it. (The documents leave it open.)"""
        self.one_chat_per_user = False
        """A second chat of a user is refused while the first is still being answered."""
        self.polls_until_done = 2
        """So many polls find a picture, a document conversion or a knowledge base file unfinished."""
        self.failing_files: set[str] = set()
        """Names or URLs of files whose ingestion or conversion fails."""

        self._counters: dict[str, int] = {}
        self._last_time = 0
        self.characters.seed_demo()

    def new_id(self, kind: str) -> str:
        """32 hex digits, the same in every run, never the same for two things."""
        return hashlib.md5(f"{kind}-{self.count(kind)}".encode(), usedforsecurity=False).hexdigest()

    def new_uuid(self, kind: str) -> str:
        """The same in the form of a UUID."""
        return str(uuid.UUID(self.new_id(kind)))

    def count(self, kind: str) -> int:
        """1, 2, 3, ... for each kind."""
        self._counters[kind] = self._counters.get(kind, 0) + 1
        return self._counters[kind]

    def now(self) -> int:
        """Milliseconds; every call later than the one before, unless `same_gmt_create`."""
        if not self.same_gmt_create or not self._last_time:
            self._last_time = max(int(time.time() * 1000), self._last_time + 1)
        return self._last_time

    def add_character(self, character_id: str, *, api_key: str = "test-key", **fields: Any) -> None:
        """Stores version 1 of a character with the members of the create call; name and persona have defaults."""
        self.characters.add(
            api_key, {"name": character_id[:20], "basicInformation": "一位朋友", **fields}, character_id
        )

    def add_messages(
        self,
        character_id: str,
        user_id: str,
        messages: Iterable[str | Mapping[str, Any]],
        *,
        api_key: str = "test-key",
    ) -> list[str]:
        """Writes messages into the platform history of a pair, oldest first, and returns their ids.

        A string is an utterance, user and character by turns. A mapping has `content` and what else is to be set of
        the members a history row has: `messageType`, `messageId`, `chatId`, `gmtCreate`, `rating`, ...
        """
        return self.rooms.open(api_key, character_id, user_id).add_rows(messages)


@dataclass
class Call:
    """One request that has passed the gateway. `body` has no nulls; `account` is the API key."""

    xingchen: Xingchen
    operation: "Operation"
    account: str
    headers: Mapping[str, str]
    query: dict[str, str]
    path: str
    path_values: dict[str, str]
    body: dict[str, Any]
    request_id: str
    streaming: bool

    def script(self) -> Turn:
        """What was scripted for this generation call."""
        return self.xingchen.core.script.take(SERVICE, self.path)


Handler = Callable[[Call], Any]


@dataclass(frozen=True)
class Operation:
    """A row of the endpoint table. `streams`: has a `-sse` twin. `generates`: uses scripted replies and faults."""

    method: str
    path: str
    service: str
    handler: Handler
    streams: bool = False
    generates: bool = False

    @property
    def openai_shaped(self) -> bool:
        """Answers without the envelope; the vendor's SDK recognises an error by `errorCode` there."""
        return self.path.endswith("completions")


OPERATIONS = (
    Operation("POST", "/v2/api/chat/send", "aca-chat-send", xingchen_chat.send, streams=True, generates=True),
    Operation("POST", "/v2/api/chat/stop", "aca-chat-stop", xingchen_chat.stop),
    Operation(
        "POST", "/v2/api/groupchat/send", "aca-groupchat-send", xingchen_group.send, streams=True, generates=True
    ),
    Operation("POST", "/v2/api/groupchat/nextSpeaker", "aca-groupchat-nextspeaker", xingchen_group.next_speaker),
    Operation("POST", "/v2/api/completions", "aca-completion", xingchen_completions.old, generates=True),
    Operation("POST", "/v2/api/chat/completions", "aca-chat-completions", xingchen_completions.new, generates=True),
    Operation("POST", "/v2/api/chat/message/histories", "aca-message-history", xingchen_history.histories),
    Operation("POST", "/v2/api/chat/rating", "aca-message-rating", xingchen_history.rating),
    Operation("POST", "/v2/api/chat/reminder", "aca-chat-reminder", xingchen_history.reminder),
    Operation("POST", "/v2/api/chat/reset", "aca-chat-reset", xingchen_history.reset),
    Operation("GET", "/v2/api/chat/polling/image", "aca-polling-image", xingchen_history.polling_image),
    Operation("POST", "/v2/api/character/create", "aca-character-create", xingchen_characters.create),
    Operation("POST", "/v2/api/character/update", "aca-character-update", xingchen_characters.update),
    Operation(
        "POST",
        "/v2/api/character/createOrUpdateVersion",
        "aca-character-version-mgmt",
        xingchen_characters.create_or_update_version,
    ),
    Operation("GET", "/v2/api/character/details", "aca-character-details", xingchen_characters.details),
    Operation("POST", "/v2/api/character/search", "aca-character-search", xingchen_characters.search),
    Operation("POST", "/v2/api/character/delete", "aca-character-delete", xingchen_characters.delete),
    Operation(
        "GET", "/v2/api/character/versions/{characterId}", "aca-character-versions", xingchen_characters.versions
    ),
    Operation(
        "GET",
        "/v2/api/character/newversion/recommend/{characterId}",
        "aca-character-version-recommend",
        xingchen_characters.recommend,
    ),
    Operation("POST", "/v2/api/character/auto/desc", "aca-char-auto-desc", xingchen_memory.describe),
    Operation("POST", "/v2/api/extract/kv", "aca-extract-memory-kv", xingchen_memory.extract_kv),
    Operation("POST", "/v2/api/extract/summary", "aca-extract-memory-summary", xingchen_memory.extract_summary),
    Operation("POST", "/v2/api/common/file/asyn/upload", "aca-doc-converter-submit", xingchen_knowledge.convert),
    Operation("GET", "/v2/api/common/file/asyn/download", "aca-doc-converter-result", xingchen_knowledge.converted),
    Operation("POST", "/v2/api/knowledge_base/create", "aca-kb-create", xingchen_knowledge.create),
    Operation("POST", "/v2/api/knowledge_base/update", "aca-kb-update", xingchen_knowledge.update),
    Operation("POST", "/v2/api/knowledge_base/search", "aca-kb-search", xingchen_knowledge.search),
    Operation("POST", "/v2/api/knowledge_base/delete", "aca-kb-delete", xingchen_knowledge.delete),
    Operation("POST", "/v2/api/knowledge_base/detail/upload", "aca-kb-detail-upload", xingchen_knowledge.add_files),
    Operation("POST", "/v2/api/knowledge_base/detail/update", "aca-kb-detail-update", xingchen_knowledge.rename_file),
    Operation("POST", "/v2/api/knowledge_base/detail/search", "aca-kb-detail-search", xingchen_knowledge.list_files),
    Operation("POST", "/v2/api/knowledge_base/detail/delete", "aca-kb-detail-delete", xingchen_knowledge.delete_files),
)


def routes(xingchen: Xingchen) -> list[Route]:
    """Every route takes every method: Xingchen refuses a wrong one itself, in its own words."""
    methods = ["GET", "POST", "PUT", "DELETE", "PATCH"]
    return [
        Route(operation.path, _endpoint(xingchen, operation), methods=methods, name=operation.service)
        for operation in OPERATIONS
    ]


def _endpoint(xingchen: Xingchen, operation: Operation) -> Callable[[Request], Awaitable[Any]]:
    async def endpoint(request: Request) -> Answer | EventStream:
        request_id = xingchen.new_uuid("request")
        core = xingchen.core
        path: str = request.scope["path"]
        fault = None if operation.generates else core.script.take_for_path(SERVICE, path)
        try:
            if fault and fault.instead_of_answer:
                return refuse(core, fault, request_id)
            if fault and fault.kind == "error_event":
                raise scripted(fault)
            call = Call(
                xingchen=xingchen,
                operation=operation,
                account=_account(request.headers),
                headers=request.headers,
                query=dict(request.query_params),
                path=path,
                path_values=dict(request.path_params),
                body={},
                request_id=request_id,
                streaming=_streaming(operation, request.headers, strict=core.strict),
            )
            call.body = _body(operation, request, await request.body())
            answered = operation.handler(call)
        except Refusal as refusal:
            if operation.openai_shaped:
                refusal.body = both_layers(refusal)
            return error_answer(core, refusal, request_id)
        if isinstance(answered, Answer | EventStream):
            return answered
        return Answer(core, envelope(request_id, answered), fault=fault)

    return endpoint


def envelope(request_id: str, data: Any) -> dict[str, Any]:
    """ResultDTO of a call that went well."""
    return {"requestId": request_id, "code": 200, "success": True, "data": data}


def _account(headers: Mapping[str, str]) -> str:
    """The API key, which is the account too. A missing one stops at the gateway, a bad one at the service."""
    scheme, _, key = headers.get("authorization", "").partition(" ")
    if scheme != "Bearer" or not key.strip():
        raise gateway(401)
    if key.strip() == "invalid":
        raise business("aca.error.invalid.token")
    return key.strip()


def _streaming(operation: Operation, headers: Mapping[str, str], *, strict: bool) -> bool:
    """Checks the gateway's headers; true when the call asks for server-sent events.

    What the gateway answers to a misroute is not documented: HTTP 400 in the gateway's shape is the emulator's choice.
    """
    name = headers.get("x-fag-servicename", "")
    switched_on = headers.get("x-aca-sse", "disable").lower() == "enable"
    if not strict:
        return operation.streams and (switched_on or name.endswith("-sse"))
    if headers.get("x-fag-appcode") != "aca":
        raise gateway(400, "InvalidAppCode", "The header x-fag-appcode must be aca.")
    expected = operation.service + ("-sse" if operation.streams and switched_on else "")
    if name != expected:
        raise gateway(400, "InvalidServiceName", f"The header x-fag-servicename must be {expected}, not {name!r}.")
    if headers.get("expect"):
        raise gateway(417, "ExpectationFailed", "The gateway does not answer Expect: 100-continue.")
    return operation.streams and switched_on


def _body(operation: Operation, request: Request, raw: bytes) -> dict[str, Any]:
    if request.method != operation.method:
        raise business("aca.error.invalid.request.method", f"{request.method}, use {operation.method}")
    if operation.method == "GET":
        return {}
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise business("aca.error.invalid.request", f"Content-Type must be application/json, not {media_type!r}")
    try:
        body = json.loads(raw)
    except ValueError:
        raise business("aca.error.invalid.request.params.unreadable") from None
    if not isinstance(body, dict):
        raise business("aca.error.invalid.request.params.unreadable")
    cleaned: dict[str, Any] = without_nulls(body)
    return cleaned
