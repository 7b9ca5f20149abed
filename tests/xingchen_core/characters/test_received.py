"""The answers a process received lately: found by what they say, taken once, in bounded memory."""

import asyncio
import json
from typing import Any

import pytest

from xingchen_core import Message
from xingchen_core._sse import ServerSentEvent
from xingchen_core.characters import XingchenSettings, chat, received, replies, stream_chat
from xingchen_core.characters.models import ChatRequest
from xingchen_core.characters.received import ANSWERS, CONVERSATIONS, ReceivedAnswers
from xingchen_core.emulator import Emulator

IDS = {"message_id": "a1", "query_id": "q1", "chat_id": "c1", "character_id": "demo", "user_id": "u1"}


def found(
    answers: ReceivedAnswers, text: str, question: str = "", user_id: str = "u1", account: str = "a", **but: Any
) -> str | None:
    """The id of what is found."""
    ids = answers.find(account, "demo", user_id, [question], text, **but)
    return None if ids is None else ids["message_id"]


def test_found_by_what_it_says() -> None:
    """An answer comes with its ids, in its own conversation only, white space around it aside."""
    answers = ReceivedAnswers()
    answers.note("a", "在吗", "在。", {**IDS, "is_saved": True, "usage": 7})
    assert answers.find("a", "demo", "u1", ["在吗"], " 在。\n") == IDS
    assert found(answers, "在。", "换了说法") == "a1"
    assert found(answers, "在") is None
    assert found(answers, "在。", user_id="u2") is None
    assert found(answers, "在。", account="b") is None


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        ("在。", {"is_saved": False}),
        ("在。", {"message_id": None}),
        ("在。", {"character_id": None}),
        (" ", {}),
    ],
)
def test_what_is_not_stored_is_not_noted(text: str, changes: dict[str, Any]) -> None:
    """Answers that the platform does not keep, of described characters, and empty ones are no part of its history."""
    answers = ReceivedAnswers()
    answers.note("a", "在吗", text, {**IDS, **changes})
    assert found(answers, text) is None


def test_answers_alike() -> None:
    """Of answers alike the one to the same question is meant, else the newest; each is taken once."""
    answers = ReceivedAnswers()
    for number in (1, 2, 3):
        answers.note("a", f"问{number}", "好。", {**IDS, "message_id": f"a{number}"})
    assert found(answers, "好。", "问1") == "a1"
    assert found(answers, "好。", "别的") == "a3"
    assert found(answers, "好。", "别的", but=frozenset(["a3"])) == "a2"
    answers.take("a", "demo", "u1", "a1")
    assert found(answers, "好。", "问1") == "a3"
    assert answers.find("a", "demo", "u1", ["别的", "问2"], "好。") == {**IDS, "message_id": "a2"}


def test_which_question_was_answered() -> None:
    """Of questions that wait together the answer's own is named, whether or not a store has the answer."""
    answers = ReceivedAnswers()
    answers.note("a", "问1", "好。", IDS)
    answers.take("a", "demo", "u1", "a1")
    assert answers.question("a", "demo", "u1", "a1", ["问0", "问1"]) == "问1"
    assert answers.question("a", "demo", "u1", "a1", ["问0"]) is None
    assert answers.question("a", "demo", "u1", "a9", ["问1"]) is None
    assert answers.question("b", "demo", "u1", "a1", ["问1"]) is None


def test_answers_before_a_reset() -> None:
    """A reset is told which messages are older, those that a store has included; they are not found any more."""
    answers = ReceivedAnswers()
    answers.note("a", "", "好。", {**IDS, "message_id": "a1", "query_id": "q1"})
    answers.note("a", "", "再见。", {**IDS, "message_id": "a2", "query_id": None})
    answers.take("a", "demo", "u1", "a1")
    older = answers.ids("a", "demo", "u1")
    assert older == {"a1", "q1", "a2"}
    answers.note("a", "", "新的。", {**IDS, "message_id": "a3"})
    answers.forget("a", "demo", "u1", older)
    assert [found(answers, text) for text in ("好。", "再见。", "新的。")] == [None, None, "a3"]


def test_memory_is_bounded() -> None:
    """The newest few answers of the conversations used last are kept."""
    answers = ReceivedAnswers()
    for number in range(ANSWERS + 1):
        answers.note("a", "", f"第{number}句", {**IDS, "message_id": f"a{number}"})
    assert [found(answers, f"第{number}句") for number in (0, 1, ANSWERS)] == [None, "a1", f"a{ANSWERS}"]
    for number in range(CONVERSATIONS):
        answers.note("a", "", "好。", {**IDS, "user_id": f"user-{number}"})
    assert found(answers, "第1句") is None
    assert found(answers, "好。", user_id="user-0") == "a1"
    assert len(answers._answers) == CONVERSATIONS


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> ReceivedAnswers:
    """What is noted where replies are read."""
    made = ReceivedAnswers()
    monkeypatch.setattr(replies, "RECEIVED", made)
    return made


REQUEST = ChatRequest(
    messages=[
        Message(role="user", content="早"),
        Message(role="assistant", content="早。"),
        Message(role="user", content="在吗"),
    ],
    character_id="demo",
    user_id="u1",
    platform_history=True,
)
SAID = {"messages": [{"role": "assistant", "content": "在。", "finishReason": "stop"}]}
CONTEXT = {"messageId": "a1", "replyMessageId": "q1", "chatId": "c1", "isSave": True}


def test_replies_are_noted(answers: ReceivedAnswers) -> None:
    """A whole answer is noted when it is read."""
    replies.read_reply({"choices": [SAID], "context": CONTEXT}, REQUEST, "a")
    assert answers.find("a", "demo", "u1", ["在吗"], "在。") == IDS


def event(body: dict[str, Any]) -> ServerSentEvent:
    """An event of a stream."""
    return ServerSentEvent(event="message", data=json.dumps(body).encode(), id="", comments=())


def test_streams_are_noted(answers: ReceivedAnswers) -> None:
    """A streamed answer is noted once it is complete, and not before."""
    reader = replies.ChatReader(REQUEST, "a")
    first = {"choices": [{"messages": [{"role": "assistant", "content": "在"}]}]}
    last = {"choices": [{"messages": [{"content": "。", "finishReason": "stop"}]}], "stop": True, "context": CONTEXT}
    reader.read(event(first))
    assert found(answers, "在") is None
    reader.read(event(last))
    list(reader.end())
    assert answers.find("a", "demo", "u1", ["在吗"], "在。") == IDS


@pytest.mark.parametrize("colour", ["sync", "async"])
@pytest.mark.parametrize("way", ["plain", "streamed"])
def test_noted_for_the_account_that_asked(emulator: Emulator, answers: ReceivedAnswers, colour: str, way: str) -> None:
    """Whoever sends the call, and however: the answer belongs to the sender's account, here told apart by its key."""
    emulator.reply("在。")
    mine, other = (XingchenSettings(api_key=key, base_url=emulator.url) for key in ("test-key-1", "test-key-2"))

    async def ask() -> None:
        async with mine:
            client = mine.async_client()
            if way == "plain":
                await client.send(chat(REQUEST))
            else:
                assert [delta async for delta in await client.stream(stream_chat(REQUEST))]

    if colour == "async":
        asyncio.run(ask())
    else:
        with mine:
            client = mine.client()
            client.send(chat(REQUEST)) if way == "plain" else list(client.stream(stream_chat(REQUEST)))
    assert found(answers, "在。", account=mine.account()) is not None
    assert found(answers, "在。", account=other.account()) is None


def test_without_an_account_nothing_is_noted(answers: ReceivedAnswers) -> None:
    """Who reads an answer without saying who received it leaves nothing for another account to take."""
    assert chat(REQUEST).parse({"data": {"choices": [SAID], "context": CONTEXT}}).answers[0].text == "在。"
    assert len(answers._answers) == 0


def test_one_for_the_process() -> None:
    """What replies note is what stores look up."""
    assert replies.RECEIVED is received.RECEIVED
