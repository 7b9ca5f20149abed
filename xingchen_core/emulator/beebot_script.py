"""What a robot is told to say, or says by itself, and the shapes in which it says it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from xingchen_core.emulator._script import Reply
from xingchen_core.emulator._wire import json_text
from xingchen_core.emulator.xingchen_texts import pieces


@dataclass(frozen=True)
class BeebotReply(Reply):
    """One answer of a robot: what every service's has, and what only a robot's has."""

    snapshots: tuple[str, ...] | None = None
    """The text of each event as it stands, in place of growing pieces."""
    paragraphs: tuple[tuple[str, int | None], ...] = ()
    """The final text in parts, each with the number of the reference it comes from."""
    choices: tuple[Any, ...] = ()
    """A counter-question's answers: `Clarify` in a stream, recommendations by RPC."""
    title: str | None = None
    related: tuple[str, ...] = ()
    commands: Mapping[str, Any] | None = None
    commands_on_top: bool = False
    """Commands beside `MessageBody` instead of in it: a public client looks there too."""
    source: str = "NON_STRUCTURAL_KNOWLEDGE"
    policy: str | None = None
    answer_source: str | None = None
    content_type: str = "PLAIN_TEXT"
    kind: str | None = None
    """Another `MessageBody.Type`, or `AnswerType`, than what the rest says."""
    events: tuple[Any, ...] | None = None
    """Whole events of the stream, as they are; nothing is added to them."""
    body: Mapping[str, Any] | None = None
    """Members of the RPC answer that replace the usual ones."""

    @classmethod
    def of(cls, reply: Reply) -> "BeebotReply":
        """A reply that was scripted for any service."""
        if isinstance(reply, cls):
            return reply
        return cls(**{field.name: getattr(reply, field.name) for field in fields(Reply)})

    def texts(self) -> list[str]:
        """The growing text, event by event, as far as it is not complete or came in pieces of its own."""
        if self.snapshots is not None:
            return list(self.snapshots)
        grown, shown = [], ""
        whole = self.text or "".join(text for text, _ in self.paragraphs)
        for piece in self.pieces if self.pieces is not None else pieces(whole):
            shown += piece
            grown.append(shown)
        return grown

    def final_text(self) -> str:
        """What the answer is in the end."""
        if self.paragraphs:
            return "".join(text for text, _ in self.paragraphs)
        if self.snapshots:
            return self.snapshots[-1]
        return self.text + "".join(f'<img src="{url}">' for url in self.images or ())


def message_body(reply: BeebotReply, text: str, *, ends: bool) -> dict[str, Any]:
    """`MessageBody` of one snapshot. What belongs to the whole answer comes with the last one."""
    kind = reply.kind or ("Clarify" if reply.choices else "Direct")
    body: dict[str, Any] = {"Type": kind, "VoiceConfig": {}}
    if kind == "Clarify":
        clarify = {"ClarifyContent": text, "ClarifyList": list(reply.choices), "Title": reply.title or ""}
        body["ClarifyMessageBody"] = clarify if text or ends else {}
    elif kind == "Direct":
        body["DirectMessageBody"] = _direct(reply, text, ends=ends)
    if ends and reply.commands is not None and not reply.commands_on_top:
        body["Commands"] = commands(reply.commands)
    return dict(sorted(body.items()))


def _direct(reply: BeebotReply, text: str, *, ends: bool) -> dict[str, Any]:
    sentences: list[dict[str, Any]] = [{"Content": text}]
    if ends and reply.paragraphs:
        sentences = [
            {"Content": part} if number is None else {"Content": part, "ReferNumber": number}
            for part, number in reply.paragraphs
        ]
    direct: dict[str, Any] = {"ContentType": content_type(reply), "Ext": {}, "SentenceList": sentences}
    if ends and reply.references:
        direct["AnswerReference"] = {"ItemList": references(reply.references)}
    if ends and reply.related:
        direct["RelatedQuestionList"] = list(reply.related)
    if reply.policy:
        direct["HitSystemAskConfig"] = reply.policy
    return dict(sorted(direct.items()))


def content_type(reply: BeebotReply) -> str:
    """Pictures stand in the text as HTML."""
    return "RICH_TEXT" if reply.images else reply.content_type


def references(given: Sequence[Any]) -> list[dict[str, Any]]:
    """References as the service lists them, numbered from 1; a text is a title."""
    listed = []
    for number, item in enumerate(given, 1):
        named = {"Title": item} if isinstance(item, str) else dict(item)
        usual = {
            "Number": number,
            "Title": f"文档{number}",
            "Content": "",
            "ContentType": "PLAIN_TEXT",
            "DataSource": "DOCUMENT",
        }
        listed.append({**usual, "ReferenceExt": {"DocName": named.get("Title", f"文档{number}")}, **named})
    return listed


def commands(given: Mapping[str, Any]) -> dict[str, str]:
    """Commands as the service sends them: each value is JSON text."""
    return {name: value if isinstance(value, str) else json_text(value) for name, value in given.items()}


def rpc_messages(reply: BeebotReply) -> list[dict[str, Any]]:
    """`Messages` of the `Chat` call."""
    text = reply.final_text()
    if reply.choices:
        return [_recommendation(reply, text)]
    if reply.references:
        return [_knowledge(reply, text)]
    source = reply.answer_source or ("COMMANDS" if reply.commands is not None else reply.policy or "BotFramework")
    said: dict[str, Any] = {"AnswerSource": source, "Content": text, "ContentType": content_type(reply)}
    if reply.commands is not None:
        said["Commands"] = commands(reply.commands)
    kind = reply.kind or "Text"
    return [{"AnswerType": kind, "Type": kind, "Knowledge": {}, "Text": said}]


def _recommendation(reply: BeebotReply, text: str) -> dict[str, Any]:
    choices = [{"Title": each} if isinstance(each, str) else dict(each) for each in reply.choices]
    message: dict[str, Any] = {
        "AnswerType": "Recommend",
        "AnswerSource": reply.answer_source or "INTENT_FAQ_CLARIFY",
        "VoiceTitle": "还是".join(each["Title"] for each in choices),
        "Recommends": [
            {"KnowledgeId": str(1000 + at), "Score": 0.6, "AnswerSource": "KNOWLEDGE", **each}
            for at, each in enumerate(choices)
        ],
    }
    return {**message, "Title": reply.title or text} if reply.title or text else message


def _knowledge(reply: BeebotReply, text: str) -> dict[str, Any]:
    found = references(reply.references or ())[0]
    knowledge = {
        "Id": str(found.get("Id", "4549")),
        "Title": found["Title"],
        "Content": text,
        "Summary": text,
        "ContentType": content_type(reply),
        "AnswerSource": "KnowledgeBase",
        "Category": "常见问题",
        "Score": 100.0,
    }
    return {"AnswerType": "Knowledge", "Knowledge": knowledge}
