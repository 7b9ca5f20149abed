"""Bailian (Model Studio): applications, models, knowledge bases and memory behind keys, and knobs for tests."""

import hashlib
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.routing import Route

from xingchen_core.emulator import (
    bailian_apps,
    bailian_compatible,
    bailian_knowledge_paths,
    bailian_memory_legacy,
    bailian_memory_paths,
    bailian_models,
    bailian_openapi,
    bailian_openapi_files,
    bailian_openapi_indexes,
)
from xingchen_core.emulator._acs3 import Signatures
from xingchen_core.emulator._wire import Core
from xingchen_core.emulator.bailian_call import SERVICE, endpoint
from xingchen_core.emulator.bailian_knowledge import Knowledge
from xingchen_core.emulator.bailian_memory import Memory
from xingchen_core.emulator.bailian_script import AS_USUAL, BailianReply, Fragments

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


@dataclass
class App:
    """A published application. The kind is a property of its id; no request names it."""

    app_id: str
    kind: str = "agent"
    """`agent`, `workflow` (one run per call) or `dialog` (a workflow that keeps its conversations)."""
    workspace: str | None = None
    """The sub-workspace whose header is wanted; None: the default one."""
    model: str = "qwen-plus"
    shows_sources: bool = True
    """The console's "show answer sources": without it there are no `doc_references`."""
    streams: bool = True
    """A workflow's "stream output": without it each node sends one message when it ends."""
    nodes: tuple[Mapping[str, Any], ...] = ()
    """A workflow's nodes, as `Bailian.reply` describes them; empty: Start, LLM and End."""


@dataclass
class Session:
    """A conversation the cloud keeps. `used` is when it last heard a question, in Unix seconds."""

    session_id: str
    app_id: str
    used: float
    turns: list[tuple[str, str]] = field(default_factory=list)


class Bailian:
    """State of the service, in memory, and knobs for tests.

    Faults: `after` counts all events of a stream.
    """

    def __init__(self, core: Core) -> None:
        self.core = core
        self.workspace = "llm-demo"
        """The workspace of every key: the default one, named or not."""
        self.workspaces = {self.workspace}
        self.apps: dict[str, App] = {}
        self.add_app("demo")
        self.add_app("demo-flow", "workflow")
        self.add_app("demo-dialog", "dialog")
        self.model_workspaces: dict[str, str] = {}
        """Sub-workspace by the name of a model that lives in it."""
        self.sessions: dict[str, Session] = {}
        self.running: list[str] = []
        """Sessions of applications whose answers, and requests to models whose streams, are being sent."""
        self.overlaps: list[str] = []
        """Sessions in which a question came while another one was being answered: the documents leave it undefined."""
        self.memories: dict[str, list[str]] = {}
        """What each `memory_id` knows about its user."""
        self.prompts: list[dict[str, Any]] = []
        """Bodies of the calls that were answered, oldest first."""

        self.clock: Callable[[], float] = time.time
        """Unix seconds. Replace it to let time pass."""
        self.session_seconds = 3600.0
        """A session without requests for longer than this is forgotten."""
        self.session_turns = 50
        self.keeps_unknown_sessions = False
        """A session that is unknown or forgotten goes on under its id, instead of a new one. (Not documented.)"""
        self.refuses_in_stream = False
        """A refused stream is an error event under HTTP 200 instead of an HTTP error. Both have been seen."""
        self.completes_with_content = True
        """A workflow node's completing event carries its last piece, instead of an empty one. Both are documented."""
        self.json_snapshots = False
        """`message_format_plus`: JSON of LLM nodes is repeated whole, instead of in pieces. (Two pages disagree.)"""
        self.json_with_thinking = True
        """JSON mode and thinking go together. (Sources disagree.)"""
        self.cached_tokens = 0
        """So many tokens of each prompt were found in the implicit cache."""
        self.cache_beside_details = False
        """What the explicit cache wrote stands in `usage` itself instead of its `prompt_tokens_details`. UNVERIFIED."""
        self.fragments = Fragments()
        """How the streams of models are cut."""
        self.cached_texts: set[str] = set()
        """Texts in the explicit cache."""
        self.signatures = Signatures()
        """AccessKeys of the signed calls. Its clock is its own: what lets sessions age would outdate signatures."""
        self._counters: dict[str, int] = {}
        self.knowledge = Knowledge(self)
        """Knowledge bases, the data centre and retrieval services, with knobs of their own."""
        self.memory = Memory(self)
        """Long-term memory, with knobs of its own."""

    def add_app(self, app_id: str, kind: str = "agent", **options: Any) -> App:
        """Publishes an application; see `App`. Its workspace becomes known."""
        app = self.apps[app_id] = App(app_id, kind, **options)
        if app.workspace:
            self.workspaces.add(app.workspace)
        return app

    def add_model(self, name: str, workspace: str) -> None:
        """Moves a model into a sub-workspace, which becomes known."""
        self.model_workspaces[name] = workspace
        self.workspaces.add(workspace)

    def advance(self, seconds: float) -> None:
        """Lets so much time pass, for this service."""
        before = self.clock
        self.clock = lambda: before() + seconds

    def reply(
        self,
        text: str = "",
        *,
        chunks: Sequence[str] | None = None,
        tool_calls: Sequence[Mapping[str, Any]] = (),
        thoughts: Any = None,
        references: Sequence[Any] | None = None,
        alternatives: Sequence[str] = (),
        finish_reason: str = "stop",
        nodes: Sequence[Mapping[str, Any]] | None = None,
        usage: Any = AS_USUAL,
        models: Sequence[str] | None = None,
        events: Sequence[Any] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> None:
        """Scripts the next answer of an application or a model, like `Emulator.reply`, with what only Bailian says.

        `thoughts`: a text is the reasoning; a list holds whole `thoughts` entries of an application.
        `references`: `doc_references` of an application, search results of a model; a text is a title.
        `nodes`: a workflow's run: `{"type": "LLM", "name": ..., "id": ..., "content": text or pieces, "reasoning": ...,
        "parent": id of the node whose sub-canvas it is in, "index": iteration, "fails": reason}`, only type required.
        `usage`: as it is, `{}` and None too. `models`: the models an application called.
        `events`: `data` of whole events, as they are. `body`: members of `output` (compatible: of the body) that
        replace the usual ones in an answer of one piece.
        """
        self.core.script.add(
            BailianReply(
                text=text or "".join(chunks or ()),
                pieces=None if chunks is None else tuple(chunks),
                tool_calls=tuple(tool_calls),
                thoughts=thoughts,
                references=references,
                alternatives=tuple(alternatives),
                finish_reason=finish_reason,
                service=SERVICE,
                nodes=None if nodes is None else tuple(nodes),
                usage=usage,
                models=None if models is None else tuple(models),
                events=None if events is None else tuple(events),
                body=body,
            )
        )

    def new_id(self, kind: str) -> str:
        """32 hex digits, the same in every run, never the same for two things."""
        self._counters[kind] = self._counters.get(kind, 0) + 1
        return hashlib.md5(f"bailian-{kind}-{self._counters[kind]}".encode(), usedforsecurity=False).hexdigest()

    def new_uuid(self, kind: str) -> str:
        """The same in the form of a UUID."""
        return str(uuid.UUID(self.new_id(kind)))

    def session(self, app: App, session_id: str | None) -> Session:
        """The conversation to go on with, or a new one."""
        now = self.clock()
        known = self.sessions.get(session_id or "")
        if known and known.app_id == app.app_id and now - known.used <= self.session_seconds:
            known.used = now
            return known
        keep = self.keeps_unknown_sessions and session_id
        session = Session(session_id if keep and session_id else self.new_id("session"), app.app_id, now)
        self.sessions[session.session_id] = session
        return session


def routes(bailian: Bailian) -> list[Route]:
    """Applications, models by both native paths and as OpenAI calls them, knowledge bases, memory, signed calls."""
    aigc = "/api/v1/services/aigc/"
    signed = {**bailian_openapi_indexes.ACTIONS, **bailian_openapi_files.ACTIONS, **bailian_memory_legacy.ACTIONS}
    text, media = bailian_models.responder(multimodal=False), bailian_models.responder(multimodal=True)
    return [
        Route("/api/v1/apps/{app_id}/completion", endpoint(bailian, bailian_apps.respond), methods=METHODS),
        Route(aigc + "text-generation/generation", endpoint(bailian, text), methods=METHODS),
        Route(aigc + "multimodal-generation/generation", endpoint(bailian, media), methods=METHODS),
        Route(aigc + "{rest:path}", endpoint(bailian, bailian_models.no_such_url), methods=METHODS),
        Route(
            "/compatible-mode/v1/chat/completions",
            endpoint(bailian, bailian_compatible.respond, compatible=True),
            methods=METHODS,
        ),
        *bailian_knowledge_paths.routes(bailian),
        *bailian_memory_paths.routes(bailian),
        *bailian_openapi.routes(bailian, signed),
    ]
