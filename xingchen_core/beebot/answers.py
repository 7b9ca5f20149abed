"""What a robot answers, in the stream and by RPC: text, and what belongs to it. Source: Beebot, "streaming chat API"
and "Chat"; unknown members never hurt, unknown kinds give no text.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import from_json

from xingchen_core.chat import Answer, ChatReply, cut

PARAGRAPH_JOINER = ""
"""Between the sentences of an answer. The documents call them paragraphs; public clients join them with nothing
(UNVERIFIED)."""


@dataclass(slots=True)  # not frozen: one is made for every event
class Snapshot:
    """The answer as one event of the stream tells it. Ids and source stay from earlier events where one has none."""

    text: str | None = None
    kind: str | None = None
    session_id: str | None = None
    message_id: str | None = None
    source: str | None = None
    is_aigc: bool | None = None
    ends: bool = False
    body: Mapping[str, Any] = field(default_factory=dict)
    """`DirectMessageBody` or `ClarifyMessageBody`."""
    commands: Mapping[str, Any] = field(default_factory=dict)
    unknown: Mapping[str, Any] | None = None
    """The whole `MessageBody` of a kind that is in no document."""

    @property
    def finish_reason(self) -> str:
        """Why the answer ended: `handover`, `clarify`, `no_answer`, or `stop`."""
        if "sysToAgent" in self.commands:
            return "handover"
        if self.kind == "Clarify":
            return "clarify"
        return "no_answer" if self.body.get("HitSystemAskConfig") == "NO_ANSWER" else "stop"

    def metadata(self) -> dict[str, Any]:
        """Return ids and origin of the answer."""
        return _given(
            session_id=self.session_id,
            message_id=self.message_id,
            source=self.source,
            is_aigc=self.is_aigc,
            answer_type=self.kind,
            content_type=self.body.get("ContentType"),
            system_policy=self.body.get("HitSystemAskConfig"),
        )

    def additional(self) -> dict[str, Any]:
        """Return what belongs to the answer and is no text."""
        references = (self.body.get("AnswerReference") or {}).get("ItemList")
        return _given(
            references=references or None,
            citations=_citations(self.body.get("SentenceList")) or None,
            related_questions=self.body.get("RelatedQuestionList") or None,
            clarify_title=self.body.get("Title") or None,
            clarify_list=self.body.get("ClarifyList") or None,
            commands=decoded(self.commands) or None,
            ext=self.body.get("Ext") or None,
            message_body=self.unknown,
        )


def _citations(sentences: Sequence[Mapping[str, Any]] | None) -> list[dict[str, int]]:
    """Return which part of the text, by its indices, comes from which reference, by its `Number`."""
    citations, end = [], 0
    for sentence in sentences or ():
        start, end = end, end + len(sentence.get("Content") or "")
        if sentence.get("ReferNumber") is not None:
            citations.append({"start": start, "end": end, "number": sentence["ReferNumber"]})
        end += len(PARAGRAPH_JOINER)
    return citations


def read_snapshot(value: Mapping[str, Any], before: Snapshot) -> Snapshot:
    """Return the answer as of this event; `before` is the last one's."""
    get = value.get
    message, is_aigc = get("MessageBody"), get("IsAIGC")
    snapshot = Snapshot(
        None,
        before.kind,
        get("SessionId") or before.session_id,
        get("MessageId") or before.message_id,
        get("Source") or before.source,
        before.is_aigc if is_aigc is None else is_aigc,
        bool(get("StreamEnd")),
        before.body,
        (message or _NOTHING).get("Commands") or get("Commands") or before.commands,
    )
    if message:  # there is none in the acknowledgement
        kind = snapshot.kind = message.get("Type")
        body = message.get("ClarifyMessageBody" if kind == "Clarify" else "DirectMessageBody") or _NOTHING
        if kind not in ("Direct", "Clarify"):
            snapshot.unknown = message
        snapshot.text = _text(kind, body, ends=snapshot.ends)
        snapshot.body = body or before.body
    return snapshot


_NOTHING: Mapping[str, Any] = {}


def _text(kind: str | None, body: Mapping[str, Any], *, ends: bool) -> str | None:
    if kind == "Clarify":
        # The heading stands in only for a text that never came: one that is still to come does not extend it.
        return body.get("ClarifyContent") or (body.get("Title") or "" if ends else None)
    sentences = body.get("SentenceList")
    if sentences is None:
        return None
    if len(sentences) == 1:
        return sentences[0].get("Content") or ""
    return PARAGRAPH_JOINER.join([sentence.get("Content") or "" for sentence in sentences])


def decoded(commands: Mapping[str, Any]) -> dict[str, Any]:
    """Return commands with their values, JSON text, read."""
    return {name: _decoded(value) for name, value in commands.items()}


def _decoded(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return from_json(value)
    except ValueError:
        return value


def read_reply(body: Mapping[str, Any], model_name: str, stop: Sequence[str] | None) -> ChatReply:
    """Return the answer of the `Chat` call."""
    messages = body["Messages"] or []
    texts = [_rpc_text(message) for message in messages]
    text, _ = cut("\n".join(text for text in texts if text), stop)
    first = messages[0] if messages else {}
    detail = _detail(first)
    commands = detail.get("Commands") or {}
    metadata = _given(
        session_id=body.get("SessionId"),
        message_id=body.get("MessageId"),
        request_id=body.get("RequestId"),
        answer_type=first.get("AnswerType") or first.get("Type"),
        source=detail.get("AnswerSource") or first.get("AnswerSource"),
        content_type=detail.get("ContentType"),
        score=detail.get("Score"),
        intent_name=detail.get("IntentName"),
        dialog_name=detail.get("DialogName"),
        node_name=detail.get("NodeName"),
        model_name=model_name,
    )
    additional = _given(
        recommends=first.get("Recommends") or None,
        related_knowledges=detail.get("RelatedKnowledges") or None,
        knowledge=_given(id=detail.get("Id"), title=detail.get("Title"), category=detail.get("Category")) or None,
        article_title=detail.get("ArticleTitle") or None,
        slots=detail.get("Slots") or None,
        external_flags=detail.get("ExternalFlags") or None,
        commands=decoded(commands) or None,
        ext=detail.get("Ext") or None,
        messages=messages if len(messages) > 1 else None,
    )
    answer = Answer(text, finish_reason=_rpc_finish_reason(first, detail, commands), additional=additional)
    return ChatReply((answer,), None, metadata)


def _detail(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the member the answer's type selects. An empty `Knowledge` can stand beside a filled `Text`."""
    kind = message.get("AnswerType") or message.get("Type")
    if kind == "Knowledge":
        return message.get("Knowledge") or {}
    return message.get("Text") or message.get("Knowledge") or {}


def _rpc_text(message: Mapping[str, Any]) -> str:
    if message.get("Recommends"):
        titles = [f"{at}. {choice.get('Title', '')}" for at, choice in enumerate(message["Recommends"], 1)]
        heading = message.get("Title") or message.get("VoiceTitle")
        return "\n".join([*([heading] if heading else []), *titles])
    detail = _detail(message)
    return detail.get("Content") or detail.get("Summary") or message.get("Title") or ""


def _rpc_finish_reason(message: Mapping[str, Any], detail: Mapping[str, Any], commands: Mapping[str, Any]) -> str:
    if "sysToAgent" in commands:
        return "handover"
    if message.get("Recommends"):
        return "clarify"
    return "no_answer" if detail.get("AnswerSource") == "NO_ANSWER" else "stop"


def _given(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}
