"""Beebot (智能对话机器人): a typed function for every call of a conversation; each returns a `Call` or a `Flow`.

| file | about |
| --- | --- |
| `stream.py` | chat with a large-model robot: token, signed URL, snapshots |
| `calls.py` | the signed calls: `Chat`, welcome, suggestions, feedback, cancel |
| `answers.py` | what a robot answers, both ways |
| `models.py` | what a question is made of |
"""

from xingchen_core.beebot._service import BeebotSettings
from xingchen_core.beebot.answers import Snapshot
from xingchen_core.beebot.calls import Suggestion, Welcome, associate, begin_session, cancel_chat, chat, feedback
from xingchen_core.beebot.models import BEEBOT_NAME, BeebotParameters, BeebotRequest, newest_question
from xingchen_core.beebot.stream import (
    BeebotReader,
    StreamToken,
    forget_token,
    open_chat,
    stream_access_token,
    stream_chat,
    stream_secret_sign,
    token,
)

__all__ = [
    "BEEBOT_NAME",
    "BeebotParameters",
    "BeebotReader",
    "BeebotRequest",
    "BeebotSettings",
    "Snapshot",
    "StreamToken",
    "Suggestion",
    "Welcome",
    "associate",
    "begin_session",
    "cancel_chat",
    "chat",
    "feedback",
    "forget_token",
    "newest_question",
    "open_chat",
    "stream_access_token",
    "stream_chat",
    "stream_secret_sign",
    "token",
]
