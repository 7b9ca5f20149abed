"""How conversations become memories: invented rules, in place of a model.

Every sentence a user says is a fact, unless it is small talk or a question. A fact that is known already changes
nothing. "X instead of Y" (是X，不是Y; 改成X，不要Y) rewrites the newest memory that speaks of Y. "Forget X" (忘记X)
deletes every memory that speaks of X.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

_SMALL_TALK = re.compile(
    r"(你好|您好|嗨|谢谢|多谢|再见|拜拜|好的|嗯+|哈+|早上好|晚安|hello|hi|hey|thanks|thank you|ok|okay|bye)",
    re.IGNORECASE,
)
_FORGET = re.compile(
    r"(?:please )?forget (?:that |about )?(?P<what>.+)|(?:请)?(?:忘记|忘掉|忘了)(?P<was>.+)", re.IGNORECASE
)
_INSTEAD = re.compile(
    r".*\binstead of (?P<old>.+)|.*[，,](?:不是|不再|不要|不喝|不吃)(?P<was>.+?)了?|(?:.*)而不是(?P<than>.+)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Change:
    """What one sentence does. `about`: the words of the memories that it rewrites or deletes."""

    kind: Literal["ADD", "UPDATE", "DELETE"]
    text: str
    about: str = ""


def changes(messages: Sequence[Mapping[str, Any]]) -> list[Change]:
    """What a conversation asks the memory to do, in order."""
    return [_change(sentence) for sentence in sentences(messages)]


def sentences(messages: Sequence[Mapping[str, Any]]) -> list[str]:
    """What users stated."""
    said = " \n".join(text_of(message) for message in messages if message.get("role") == "user")
    found = [part.strip() for part in re.findall(r"[^。！!.；;\n？?]+[？?]?", said)]
    return [part for part in found if part and not _is_question(part) and not _SMALL_TALK.fullmatch(part)]


def text_of(message: Mapping[str, Any]) -> str:
    """The text of a message; of an array, its text parts."""
    content = message.get("content")
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def values(name: str, messages: Sequence[Mapping[str, Any]]) -> list[str]:
    """What users said of an attribute: "my hobby is swimming", 我的爱好是游泳."""
    pattern = re.compile(rf"{re.escape(name)}\s*(?:is|are|是|[:：])\s*(?P<value>.+)", re.IGNORECASE)
    found = (pattern.search(sentence) for sentence in sentences(messages))
    return [match["value"].strip() for match in found if match]


def _is_question(sentence: str) -> bool:
    return sentence.endswith(("?", "？", "吗", "呢"))


def _change(sentence: str) -> Change:
    if match := _FORGET.fullmatch(sentence):
        return Change("DELETE", sentence, (match["what"] or match["was"]).strip())
    if match := _INSTEAD.fullmatch(sentence):
        return Change("UPDATE", sentence, (match["old"] or match["was"] or match["than"]).strip())
    return Change("ADD", sentence)
