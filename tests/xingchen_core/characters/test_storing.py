"""What of a batch the platform can hold, and the calls that store it."""

from typing import Any

import pytest

from xingchen_core import UnsupportedOperationError
from xingchen_core.characters import XingchenSettings
from xingchen_core.characters.conversation import Conversation
from xingchen_core.characters.storing import CAPABILITIES, Capabilities, Draft, storable, write, writing

ANSWER = {
    "message_id": "a1",
    "query_id": "q1",
    "chat_id": "c1",
    "is_saved": True,
    "character_id": "demo",
    "user_id": "u1",
}


def draft(role: str, text: str = "好", **more: Any) -> Draft[str]:
    """A message to be stored."""
    return Draft(payload=text, role=role, text=text, **more)


def sent(conversation: Conversation[str], drafts: list[Draft[str]]) -> list[Any]:
    """Runs `write`; the bodies of the calls it made."""
    bodies = []
    flow = write(conversation, drafts, "a", "demo", "u1")
    try:
        call = next(flow)
        while True:
            bodies.append(call.json)  # type: ignore[union-attr]  # no pauses here
            call = flow.send(True)
    except StopIteration:
        return bodies


@pytest.mark.parametrize(
    ("refused", "why"),
    [
        (draft("system"), "a system message"),
        (draft("tool"), "a tool message"),
        (draft("assistant", obstacle="function calls"), "function calls"),
        (draft("user", "  "), "an empty message"),
    ],
)
def test_storable(refused: Draft[str], why: str) -> None:
    """What cannot be stored is named before anything is written, or skipped on request."""
    good = draft("user")
    with pytest.raises(UnsupportedOperationError, match=f"Message 1: .* {why}"):
        storable([good, refused])
    assert storable([good, refused], "skip") == [good]


def test_write() -> None:
    """A question waits, the platform's own answer is recognised, any other answer is written as a reminder."""
    conversation = Conversation[str]()
    bodies = sent(
        conversation,
        [draft("user", "你好"), draft("assistant", "你好呀", metadata=ANSWER), draft("assistant", "记得吃饭")],
    )
    assert bodies == [{"characterId": "demo", "bizUserId": "u1", "content": "记得吃饭"}]
    entries = conversation.merge([])
    assert [(entry.text, entry.is_pending) for entry in entries] == [
        ("你好", False),
        ("你好呀", False),
        ("记得吃饭", False),
    ]


@pytest.mark.parametrize(
    ("changes", "is_stored"),
    [
        ({}, True),
        ({"is_saved": None}, True),
        ({"character_id": None}, False),  # of a described character, or of a group: the platform keeps none of them
        ({"character_id": "other"}, False),
        ({"is_saved": False}, False),
        ({"user_id": "u2"}, False),
        ({"message_id": None}, False),
    ],
)
def test_answers_the_platform_stored(changes: dict[str, Any], is_stored: bool) -> None:
    """An answer counts as stored in this conversation only by its ids, and not if the service denies it."""
    answer = draft("assistant", metadata={**ANSWER, **changes})
    assert answer.is_answer_to("demo", "u1") is is_stored
    assert len(sent(Conversation(), [answer])) == (not is_stored)


def test_users_messages_are_no_answers() -> None:
    """A user message that carries an answer's ids is still the user's."""
    assert not draft("user", metadata=ANSWER).is_answer_to("demo", "u1")


def test_capabilities_agree_with_what_is_refused() -> None:
    """What is promised is accepted, and what is denied is refused."""
    assert (CAPABILITIES.user_messages, CAPABILITIES.assistant_messages) == (True, True)
    assert len(storable([draft("user"), draft("assistant")])) == 2
    assert (CAPABILITIES.system_messages, CAPABILITIES.tool_messages, CAPABILITIES.media) == (False, False, False)
    assert storable([draft("system"), draft("tool"), draft("user", obstacle="an image")], "skip") == []
    assert Capabilities() == CAPABILITIES


async def test_writing_takes_the_callers_lock() -> None:
    """A fleet's lock is used for writers too, by conversation; without one writers of this process still wait."""
    keys: list[str] = []

    class Lock:
        def __init__(self, key: str) -> None:
            keys.append(key)

    assert isinstance(writing(XingchenSettings(api_key="test-key", chat_lock=Lock), "demo", "u1"), Lock)
    assert keys == ["xingchen-history:demo:u1"]
    settings = XingchenSettings(api_key="test-key")
    with writing(settings, "demo", "u1"):
        pass
    async with writing(settings, "demo", "u1"):
        pass
