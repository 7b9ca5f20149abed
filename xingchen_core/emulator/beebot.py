"""The Beebot service: its state, its two doors (signed calls, streams with a signed URL), and knobs for tests."""

import hashlib
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.routing import Route

from xingchen_core.emulator import beebot_calls, beebot_stream, beebot_texts
from xingchen_core.emulator._acs3 import AccessKey, Signatures
from xingchen_core.emulator._script import Turn, magic_fault
from xingchen_core.emulator._wire import Core
from xingchen_core.emulator.beebot_errors import Refusal, invalid, no_such_robot
from xingchen_core.emulator.beebot_script import BeebotReply

SERVICE = "beebot"


@dataclass(frozen=True)
class Robot:
    """A robot, in the default business space or in the one of `agent_key`."""

    instance_id: str
    welcome: str = beebot_texts.WELCOME
    agent_key: str | None = None


@dataclass(frozen=True)
class Token:
    """What opens streams. `born` is in Unix seconds."""

    access_token: str
    channel_id: str
    stream_secret: str
    agent_key: str | None
    born: float


@dataclass
class Session:
    """One conversation: its questions, and the ids of its answers."""

    session_id: str
    questions: list[str] = field(default_factory=list)
    message_ids: list[str] = field(default_factory=list)


class Beebot:
    """State of the service, in memory, and knobs for tests.

    Faults: `after` counts the events of a stream that carry text; the acknowledgement and the empty snapshots before
    them come first. `path` of a signed call is `/` and its action: `fail("status", path="/ApplyForStreamAccessToken")`.
    """

    def __init__(self, core: Core) -> None:
        self.core = core
        self.signatures = Signatures()
        self.robots = {"chatbot-cn-demo": Robot("chatbot-cn-demo")}
        self.tokens: dict[str, Token] = {}
        self.sessions: dict[tuple[str, str], Session] = {}
        self.running: dict[str, str] = {}
        """Session id by message id of the streams that are being sent."""
        self.overlaps: list[str] = []
        """Sessions in which a question came while another one was being answered: the documents leave it undefined."""
        self.feedback: list[dict[str, str]] = []
        """Parameters of each `Feedback` call."""
        self.cancelled: list[dict[str, str]] = []
        """Parameters of each `CancelChat` call."""

        self.token_seconds = 7200.0
        """How long a token opens streams."""
        self.bad_url_status = 200
        """HTTP status of the HTML that answers a bad stream URL. (The documents leave it open.)"""
        self.empty_snapshots = 2
        """So many events with an empty text come before the first with some."""
        self.longest_utterance = 512

        self._counters: dict[str, int] = {}
        self._message_ids: set[str] = set()

    @property
    def clock(self) -> Callable[[], float]:
        """Unix seconds, for signatures, tokens and stream URLs. Replace it to let time pass."""
        return self.signatures.clock

    @clock.setter
    def clock(self, clock: Callable[[], float]) -> None:
        self.signatures.clock = clock

    def advance(self, seconds: float) -> None:
        """Lets so much time pass, for this service."""
        before = self.clock
        self.clock = lambda: before() + seconds

    def add_access_key(
        self, access_key_id: str, secret: str, *, security_token: str | None = None, expires_in: float | None = None
    ) -> None:
        """Accepts another AccessKey; with a token, a temporary one, until `expires_in` seconds from now."""
        expires = None if expires_in is None else self.clock() + expires_in
        self.signatures.keys[access_key_id] = AccessKey(secret, security_token, expires)

    def add_robot(self, instance_id: str, *, welcome: str = beebot_texts.WELCOME, agent_key: str | None = None) -> None:
        """Adds a robot; with `agent_key` it is found in that business space only."""
        self.robots[instance_id] = Robot(instance_id, welcome, agent_key)

    def forget_tokens(self) -> None:
        """Makes every token given so far unknown, as if its time were over."""
        self.tokens.clear()

    def reply(
        self,
        text: str = "",
        *,
        chunks: Sequence[str] | None = None,
        snapshots: Sequence[str] | None = None,
        paragraphs: Sequence[tuple[str, int | None]] = (),
        choices: Sequence[Any] = (),
        title: str | None = None,
        related: Sequence[str] = (),
        references: Sequence[Any] | None = None,
        commands: Mapping[str, Any] | None = None,
        commands_on_top: bool = False,
        source: str = "NON_STRUCTURAL_KNOWLEDGE",
        policy: str | None = None,
        answer_source: str | None = None,
        content_type: str = "PLAIN_TEXT",
        kind: str | None = None,
        events: Sequence[Any] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> None:
        """Scripts the answer of the next `Chat` call or stream, like `Emulator.reply`, with what only a robot says.

        `chunks`: the pieces by which the text grows; `snapshots`: the text of each event as it stands, to let it shrink
        or change; `paragraphs`: the final text in parts, each with the number of its reference or None.
        `choices`, `title`: a counter-question. `commands`: `{"sysToAgent": {...}}` hands over to a human. `policy`: the
        built-in policy that answered, such as `NO_ANSWER`; `source`, `answer_source`: where the answer is from, in a
        stream and by RPC. `kind`: another type of answer than these say.
        `events`: whole events in place of all this: text as it is to stand after `data:`, or what JSON can hold.
        `body`: members of the RPC answer that replace the usual ones.
        """
        self.core.script.add(
            BeebotReply(
                text=text or "".join(chunks or ()),
                pieces=None if chunks is None else tuple(chunks),
                references=references,
                service=SERVICE,
                snapshots=None if snapshots is None else tuple(snapshots),
                paragraphs=tuple(paragraphs),
                choices=tuple(choices),
                title=title,
                related=tuple(related),
                commands=commands,
                commands_on_top=commands_on_top,
                source=source,
                policy=policy,
                answer_source=answer_source,
                content_type=content_type,
                kind=kind,
                events=None if events is None else tuple(events),
                body=body,
            )
        )

    def new_id(self, kind: str) -> str:
        """32 hex digits, the same in every run, never the same for two things."""
        self._counters[kind] = self._counters.get(kind, 0) + 1
        return hashlib.md5(f"beebot-{kind}-{self._counters[kind]}".encode(), usedforsecurity=False).hexdigest()

    def new_uuid(self, kind: str) -> str:
        """The same in the form of a UUID."""
        return str(uuid.UUID(self.new_id(kind)))

    def new_token(self, agent_key: str | None) -> Token:
        """A token for the streams of a business space."""
        token = Token(self.new_id("token"), self.new_uuid("channel"), self.new_uuid("secret"), agent_key, self.clock())
        self.tokens[token.access_token] = token
        return token

    def robot(self, instance_id: str, agent_key: str | None) -> Robot:
        """The robot of this id, if it is in reach of the business space."""
        robot = self.robots.get(instance_id)
        if robot is None:
            raise no_such_robot(instance_id)
        if robot.agent_key is not None and robot.agent_key != agent_key:
            raise Refusal("Forbidden", "The robot belongs to another business space.", 403)
        return robot

    def session(self, robot: Robot, session_id: str | None) -> Session:
        """The conversation of this id, begun if it is new; an id of ours if none is given."""
        session_id = session_id or self.new_id("session")
        return self.sessions.setdefault((robot.instance_id, session_id), Session(session_id))

    def take_turn(self, path: str, utterance: str) -> Turn:
        """What was scripted for this question; a fault may also be asked for in its words."""
        turn = self.core.script.take(SERVICE, path)
        if turn.fault is None:
            try:
                return Turn(turn.reply, magic_fault(utterance))
            except ValueError as mistake:
                raise invalid("Utterance", str(mistake)) from None
        return turn

    def answer(self, session: Session, utterance: str, turn: Turn) -> BeebotReply:
        """What the robot says; the session keeps the question."""
        reply = BeebotReply.of(turn.reply) if turn.reply else beebot_texts.answer(utterance, session.questions)
        session.questions.append(utterance)
        return reply

    def gave(self, robot: Robot, message_id: str) -> bool:
        """Whether this is the id of an answer of the robot."""
        return any(
            message_id in session.message_ids
            for (instance_id, _), session in self.sessions.items()
            if instance_id == robot.instance_id
        )

    def is_first_use(self, message_id: str) -> bool:
        """Whether no other request had this id: the service drops repeated ones."""
        known = message_id in self._message_ids
        self._message_ids.add(message_id)
        return not known


def routes(beebot: Beebot) -> list[Route]:
    """The two doors."""
    return [
        Route("/", beebot_calls.endpoint(beebot), methods=["GET", "POST"], name="beebot"),
        Route(
            "/sse/paas4Json/{token}/{channel}/{sign}/{timestamp}",
            beebot_stream.endpoint(beebot),
            methods=["GET", "POST"],
            name="beebot-stream",
        ),
    ]
