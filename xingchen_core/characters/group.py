"""Who speaks next in a group chat: `POST /v2/api/groupchat/nextSpeaker`. The chat itself is in `chats.py`."""

from dataclasses import dataclass
from typing import Any

from xingchen_core._call import Call, Flow
from xingchen_core._errors import ConfigurationError
from xingchen_core.characters._wire import post
from xingchen_core.characters.chats import group_body
from xingchen_core.characters.models import ChatRequest
from xingchen_core.characters.replies import read_usage
from xingchen_core.chat import Usage


@dataclass(frozen=True, slots=True)
class NextSpeaker:
    """Who should answer, and in which direction. Both go into `GroupChat(speaker=..., thought=...)`."""

    name: str
    thought: str | None = None
    usage: Usage | None = None


def next_speaker(request: ChatRequest) -> Call[NextSpeaker]:
    """Ask which member of `request.group` should answer."""
    if request.group is None:
        raise ConfigurationError("next_speaker needs a request with group=GroupChat(...).")
    return post("groupchat/nextSpeaker", "aca-groupchat-nextspeaker", group_body(request), _speaker)


def _speaker(data: dict[str, Any]) -> NextSpeaker:
    return NextSpeaker(data["name"], data.get("thought") or None, read_usage(data.get("usage")))


def with_speaker(request: ChatRequest) -> Flow[ChatRequest]:
    """Return the request with somebody to answer: a group chat that names no speaker asks the service for one.

    A direction that the caller gave is kept.
    """
    group = request.group
    if group is None or group.speaker is not None:
        return request
    speaker = yield next_speaker(request)
    chosen = group.model_copy(update={"speaker": speaker.name, "thought": group.thought or speaker.thought})
    return request.model_copy(update={"group": chosen})
