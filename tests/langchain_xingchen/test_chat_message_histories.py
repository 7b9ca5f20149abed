"""The platform's conversation as a LangChain history: read, written, reset and rated, sync and async from one text."""

import asyncio
import copy
import pickle
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    messages_from_dict,
    messages_to_dict,
)
from langchain_core.runnables import RunnableLambda
from langchain_core.runnables.history import RunnableWithMessageHistory

from langchain_xingchen import ChatXingchen, XingchenChatMessageHistory
from xingchen_core import (
    APIConnectionError,
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    InternalServerError,
    NotFoundError,
    UnsupportedOperationError,
    characters,
)
from xingchen_core.characters.batches import Progress
from xingchen_core.emulator import Emulator

MakeHistory = Callable[..., XingchenChatMessageHistory]
MakeModel = Callable[..., ChatXingchen]


class Sync:
    """A history, used the blocking way."""

    def __init__(self, history: XingchenChatMessageHistory) -> None:
        self.history = history

    def read(self) -> list[BaseMessage]:
        return self.history.messages

    def walk(self, page_size: int = 50) -> list[BaseMessage]:
        return list(self.history.iter_messages(page_size))

    def add(self, *messages: BaseMessage) -> None:
        self.history.add_messages(messages)

    def clear(self) -> None:
        self.history.clear()

    def rate(self, *args: Any) -> bool:
        return self.history.rate(*args)


class Async(Sync):
    """The same history with asyncio; each call in an event loop of its own."""

    def read(self) -> list[BaseMessage]:
        return asyncio.run(self.history.aget_messages())

    def walk(self, page_size: int = 50) -> list[BaseMessage]:
        async def collect() -> list[BaseMessage]:
            return [message async for message in self.history.aiter_messages(page_size)]

        return asyncio.run(collect())

    def add(self, *messages: BaseMessage) -> None:
        asyncio.run(self.history.aadd_messages(messages))

    def clear(self) -> None:
        asyncio.run(self.history.aclear())

    def rate(self, *args: Any) -> bool:
        return asyncio.run(self.history.arate(*args))


@pytest.fixture
def make_history(emulator: Emulator) -> Iterator[MakeHistory]:
    """Builds histories of a character without an opening line, so that a test sees only what it stored."""
    emulator.xingchen.add_character("quiet")
    with ExitStack() as made:

        def make(character_id: str = "quiet", user_id: str = "u1", **fields: Any) -> XingchenChatMessageHistory:
            fields = {"api_key": "test-key", "base_url": emulator.url, **fields}
            return made.enter_context(XingchenChatMessageHistory(character_id, user_id, **fields))

        yield make


@pytest.fixture(params=[Sync, Async], ids=["sync", "async"])
def use(request: pytest.FixtureRequest, make_history: MakeHistory) -> Callable[..., Sync]:
    """A history to be used one of both ways."""
    return lambda **fields: request.param(make_history(**fields))


@pytest.fixture
def model(make: MakeModel) -> ChatXingchen:
    """The character, with the platform keeping the history."""
    return make(character_id="quiet", user_id="u1", platform_history=True)


def said(messages: Sequence[BaseMessage]) -> list[tuple[str, str]]:
    """Who said what."""
    return [(message.type, str(message.content)) for message in messages]


def texts(messages: Sequence[BaseMessage]) -> list[str]:
    """What was said."""
    return [str(message.content) for message in messages]


def reminders(emulator: Emulator) -> list[str]:
    """What was written as the character's own words, refused attempts included."""
    return [request.json["content"] for request in emulator.requests if request.path.endswith("/reminder")]


# Reading


def test_messages(emulator: Emulator, use: Callable[..., Sync]) -> None:
    """Messages carry what the platform tells of them, as plain JSON data, under the platform's ids."""
    emulator.xingchen.add_character("host", openingLine="欢迎")
    rows: list[dict[str, Any]] = [
        {"content": "你好", "messageType": "user", "messageId": "q1", "chatId": "c1", "gmtCreate": 1700000001000},
        {
            "content": "你好呀",
            "messageType": "character",
            "messageId": "a1",
            "chatId": "c1",
            "gmtCreate": 1700000002500,
            "rating": 4,
        },
    ]
    emulator.xingchen.add_messages("quiet", "u1", rows)
    question, answer = use().read()

    session = question.response_metadata["session_id"]
    common = {"model_provider": "xingchen", "character_id": "quiet", "user_id": "u1", "session_id": session}
    assert question == HumanMessage(
        "你好",
        id="q1",
        name="u1",
        response_metadata=common
        | {
            "message_id": "q1",
            "chat_id": "c1",
            "created_at": "2023-11-14T22:13:21+00:00",
            "message_type": "user",
            "regenerate_times": 0,
            "is_saved": True,
        },
    )
    assert answer == AIMessage(
        "你好呀",
        id="a1",
        name="quiet",
        response_metadata=common
        | {
            "message_id": "a1",
            "chat_id": "c1",
            "created_at": "2023-11-14T22:13:22.500000+00:00",
            "message_type": "character",
            "rating": 4,
            "regenerate_times": 0,
            "is_saved": True,
        },
    )
    assert messages_from_dict(messages_to_dict([question, answer])) == [question, answer]


def test_opening_line(emulator: Emulator, use: Callable[..., Sync]) -> None:
    """The opening line that the platform stored is an AI message of its own kind."""
    emulator.xingchen.add_character("host", openingLine="欢迎")
    emulator.xingchen.add_messages("host", "u1", ["你好"])
    opening, question = use(character_id="host").read()
    assert said([opening, question]) == [("ai", "欢迎"), ("human", "你好")]
    assert opening.response_metadata["message_type"] == "opening_remarks"


NUMBERS = [str(number) for number in range(123)]


@pytest.mark.parametrize("overlap", [0, 7])
@pytest.mark.parametrize("same_time", [False, True])
def test_all_pages(emulator: Emulator, use: Callable[..., Sync], overlap: int, same_time: bool) -> None:
    """Every page is read, oldest first, each message once, even if pages overlap and all have the same time."""
    emulator.xingchen.same_gmt_create = same_time
    emulator.xingchen.add_messages("quiet", "u1", NUMBERS)
    emulator.xingchen.history_overlap = overlap
    history = use()
    assert texts(history.read()) == NUMBERS
    assert texts(history.walk()) == NUMBERS
    assert texts(history.walk(page_size=10)) == NUMBERS


def test_limit(emulator: Emulator, use: Callable[..., Sync]) -> None:
    """With a limit the newest messages are read, in one request if one page has them."""
    emulator.xingchen.add_messages("quiet", "u1", NUMBERS)
    assert texts(use(limit=3).read()) == ["120", "121", "122"]
    assert len(emulator.requests) == 1


def test_other_conversations_are_not_shown(emulator: Emulator, use: Callable[..., Sync]) -> None:
    """A history shows one character and one user."""
    emulator.xingchen.add_character("other")
    emulator.xingchen.add_messages("quiet", "u2", ["别人的"])
    emulator.xingchen.add_messages("other", "u1", ["别处的"])
    assert use().read() == []


def test_one_session(emulator: Emulator, use: Callable[..., Sync], model: ChatXingchen) -> None:
    """With a session only that run of the conversation is shown, and only its answers are taken."""
    first = model.invoke("一")
    history = use(session_id=first.response_metadata["session_id"])
    use().clear()
    second = model.invoke("二")

    history.add(HumanMessage("一"), first, HumanMessage("二"), second)
    assert texts(history.read()) == ["一", first.content]
    with pytest.raises(UnsupportedOperationError, match=r"Message 0 \(AIMessage\).*session"):
        history.add(AIMessage("自己说的"))


def test_errors_are_raised(emulator: Emulator, use: Callable[..., Sync]) -> None:
    """What the service refuses is an error and not an empty history."""
    history = use(api_key="invalid")
    for call in (history.read, history.walk, history.clear, lambda: history.add(AIMessage("在吗"))):
        with pytest.raises(AuthenticationError):
            call()


# Walking


def test_walk_reads_as_it_goes(emulator: Emulator, make_history: MakeHistory) -> None:
    """The first message of a long conversation takes two requests: the newest page, which says how many there are,
    and the oldest.
    """
    emulator.xingchen.add_messages("quiet", "u1", NUMBERS)
    walk = make_history().iter_messages(page_size=10)
    assert next(walk).content == "0"
    assert [request.json["pageNum"] for request in emulator.requests] == [1, 13]


def test_nothing_is_missed_when_messages_are_stored_during_a_walk(
    emulator: Emulator, make_history: MakeHistory
) -> None:
    """New messages push older ones onto pages that were read already; they come out all the same, once and in order."""
    emulator.xingchen.add_messages("quiet", "u1", NUMBERS)
    walk = make_history().iter_messages(page_size=10)
    seen = []
    for at, message in enumerate(walk):
        if at % 20 == 0:
            emulator.xingchen.add_messages("quiet", "u1", ["新", "新", "新"])
        if message.content != "新":
            seen.append(message.content)
    assert seen == NUMBERS


def test_own_messages_keep_their_place_on_small_pages(
    emulator: Emulator, use: Callable[..., Sync], model: ChatXingchen
) -> None:
    """What another program stored between our last read and our turn comes before the turn, on whatever page it is."""
    emulator.xingchen.add_messages("quiet", "u1", ["甲", "乙"])
    history = use()
    history.read()
    emulator.xingchen.add_messages("quiet", "u1", ["丙", "丁", "戊", "己"])
    answer = model.invoke("你好")
    history.add(HumanMessage("你好"), answer)
    assert texts(history.walk(page_size=2)) == ["甲", "乙", "丙", "丁", "戊", "己", "你好", answer.content]


# What the platform stored itself


@pytest.mark.parametrize("lag", [0, 1, 3])
@pytest.mark.parametrize("at_once", [True, False], ids=["in one batch", "one by one"])
def test_a_turn_of_the_platforms_is_not_written_again(
    emulator: Emulator, use: Callable[..., Sync], model: ChatXingchen, lag: int, at_once: bool
) -> None:
    """An answer of the chat model and its question are shown under the platform's ids from the first read on, once,
    and nothing is sent for them.
    """
    history = use()
    history.read()
    emulator.xingchen.history_lag = lag
    question = HumanMessage("你好")
    if not at_once:
        history.add(question)
        assert said(history.read()) == [("human", "你好")]
    answer = model.invoke([question])
    history.add(question, answer) if at_once else history.add(answer)

    for _ in range(5):
        shown = history.read()
        assert said(shown) == [("human", "你好"), ("ai", answer.content)]
        assert [m.id for m in shown] == [answer.response_metadata["query_id"], answer.response_metadata["message_id"]]
        assert said(history.walk()) == said(shown)
    assert reminders(emulator) == []


@pytest.mark.parametrize("lag", [0, 2])
def test_adding_again_changes_nothing(
    emulator: Emulator, use: Callable[..., Sync], model: ChatXingchen, lag: int
) -> None:
    """A turn that was noted, and messages that were read, can be added again."""
    history = use()
    emulator.xingchen.history_lag = lag
    turn = [HumanMessage("你好"), model.invoke("你好")]
    for _ in range(2):
        history.add(*turn)
    history.add(*history.read())
    history.add(AIMessage("记得吃饭"))
    history.add(*history.read())
    assert texts(history.read()) == ["你好", turn[1].content, "记得吃饭"]
    assert reminders(emulator) == ["记得吃饭"]


def test_a_new_history_on_an_old_conversation(
    emulator: Emulator, use: Callable[..., Sync], model: ChatXingchen
) -> None:
    """What is added before anything was read comes after what the platform had, also while it lags."""
    emulator.xingchen.add_messages("quiet", "u1", ["旧", "的"])
    emulator.xingchen.history_lag = 4
    history = use()
    answer = model.invoke("新的")
    history.add(HumanMessage("新的"), answer)
    for _ in range(6):
        assert texts(history.read()) == ["旧", "的", "新的", answer.content]


def test_an_answer_of_another_conversation_is_not_taken_for_stored(
    emulator: Emulator, use: Callable[..., Sync], make: MakeModel
) -> None:
    """An answer that the platform stored for another user is not in this conversation: as one without its question it
    is written.
    """
    answer = make(character_id="quiet", user_id="u2", platform_history=True).invoke("你好")
    history = use()
    history.add(answer)
    assert reminders(emulator) == [answer.content]
    assert texts(history.read()) == [answer.content]


# What is written


@pytest.mark.parametrize("lag", [0, 1, 3])
def test_other_ai_messages_are_written(emulator: Emulator, use: Callable[..., Sync], lag: int) -> None:
    """An AI message of the caller's own becomes the character's words, in order, though some say the same."""
    history = use()
    emulator.xingchen.add_messages("quiet", "u1", [{"content": "早", "messageType": "sys_greetings"}])
    emulator.xingchen.history_lag = lag
    history.add(AIMessage("早"), AIMessage([{"type": "text", "text": "吃了"}, {"type": "text", "text": "吗"}]))
    history.add(ChatMessage(role="assistant", content="早"))
    for _ in range(5):
        assert said(history.read()) == [("ai", "早"), ("ai", "早"), ("ai", "吃了吗"), ("ai", "早")]
    assert reminders(emulator) == ["早", "吃了吗", "早"]
    assert all(message.id for message in history.read())


@pytest.mark.parametrize("lag", [0, 1, 2])
def test_alike_messages_in_small_windows(emulator: Emulator, use: Callable[..., Sync], lag: int) -> None:
    """Two messages that say the same are both recognised, though a page or a limit shows only one of them."""
    emulator.xingchen.history_lag = lag
    for user_id, look in (("u1", lambda history: history.walk(1)), ("u2", lambda history: history.read()[-1:])):
        history = use(user_id=user_id)
        history.add(AIMessage("早"), AIMessage("早"))
        history.history.limit = 1
        for _ in range(3):
            assert texts(look(history)) == (["早", "早"] if user_id == "u1" else ["早"])
        history.history.limit = None
        shown = history.read()
        assert texts(shown) == ["早", "早"]
        assert len({message.id for message in shown}) == 2


def test_conveniences(emulator: Emulator, make_history: MakeHistory, model: ChatXingchen) -> None:
    """Texts and single messages are added as LangChain's base class does it."""
    history = make_history()
    history.add_user_message("你好")
    history.add_ai_message(answer := model.invoke("你好"))
    history.add_ai_message("再见")
    history.add_message(HumanMessage("等等"))
    assert said(history.messages) == [("human", "你好"), ("ai", answer.content), ("ai", "再见"), ("human", "等等")]


FOREIGN = AIMessage("别的模型说的")
CALLS = AIMessage("", tool_calls=[{"name": "weather", "args": {}, "id": "call_1", "type": "tool_call"}])
PICTURE = HumanMessage([{"type": "image", "url": "https://example.com/a.png"}])


@pytest.mark.parametrize(
    ("batch", "at", "named", "left"),
    [
        pytest.param([AIMessage("好"), SystemMessage("你是猫")], 1, "SystemMessage", ["好"], id="system"),
        pytest.param([AIMessage("好"), ToolMessage("21", tool_call_id="c")], 1, "ToolMessage", ["好"], id="tool"),
        pytest.param([CALLS, AIMessage("好")], 0, "AIMessage.*function calls", ["好"], id="calls"),
        pytest.param([AIMessage("好"), PICTURE], 1, "HumanMessage.*'image'", ["好"], id="picture"),
        pytest.param([AIMessage("好"), AIMessage(" ")], 1, "AIMessage.*empty", ["好"], id="empty"),
        pytest.param([AIMessage("好"), ChatMessage("嗯", role="bot")], 1, "ChatMessage.*bot", ["好"], id="role"),
        pytest.param([HumanMessage("问"), FOREIGN], 0, "HumanMessage.*did not store", [FOREIGN.content], id="foreign"),
        pytest.param([HumanMessage("一"), HumanMessage("二")], 0, "HumanMessage.*without", ["二"], id="unanswered"),
    ],
)
def test_what_cannot_be_stored(
    emulator: Emulator, use: Callable[..., Sync], batch: list[BaseMessage], at: int, named: str, left: list[str]
) -> None:
    """A batch with such a message is refused before anything is written, and the error says which; or the message is
    skipped.
    """
    history = use()
    with pytest.raises(UnsupportedOperationError, match=rf"Message {at} \({named}"):
        history.add(*batch)
    assert emulator.requests == []
    assert history.read() == []

    skipping = use(unsupported="skip")
    skipping.add(*batch)
    assert texts(skipping.read()) == left


def test_the_platforms_turns_keep_their_place(
    emulator: Emulator, use: Callable[..., Sync], model: ChatXingchen
) -> None:
    """An AI message cannot be put before a turn that is stored already: the order would not be the batch's."""
    turn = [HumanMessage("你好"), model.invoke("你好")]
    history = use()
    with pytest.raises(UnsupportedOperationError, match=r"Message 0 \(AIMessage\).*before a turn"):
        history.add(AIMessage("欢迎"), *turn)
    assert reminders(emulator) == []
    history.add(*turn, AIMessage("再见"))
    assert texts(history.read()) == ["你好", turn[1].content, "再见"]


def test_a_waiting_question_is_given_up_aloud(emulator: Emulator, use: Callable[..., Sync]) -> None:
    """A question whose answer turns out to be another model's is named and forgotten; the same batch then succeeds."""
    history = use()
    history.add(HumanMessage("问"))
    assert said(history.read()) == [("human", "问")]
    with pytest.raises(UnsupportedOperationError, match=r"HumanMessage.*given up"):
        history.add(FOREIGN)
    assert reminders(emulator) == []
    history.add(FOREIGN)
    assert texts(history.read()) == [FOREIGN.content]


def test_a_waiting_question_is_marked(use: Callable[..., Sync], model: ChatXingchen) -> None:
    """Until its answer comes a question is not saved, and has no id of the platform's."""
    history = use()
    history.add(HumanMessage("问", id="mine"))
    (waiting,) = history.read()
    assert (waiting.id, waiting.response_metadata["is_saved"]) == (None, False)
    history.add(model.invoke("问"))
    assert history.read()[0].response_metadata["is_saved"] is True


# When writing fails half way


@pytest.mark.parametrize("status", [400, 503])
def test_the_rest_is_written_when_repeated(emulator: Emulator, use: Callable[..., Sync], status: int) -> None:
    """The error says how far the batch came; the same batch again writes what is missing, in order, nothing twice."""
    history = use(max_retries=0)
    batch = [AIMessage("一"), AIMessage("二"), AIMessage("一"), AIMessage("三")]
    emulator.fail("status", status=status, path="/chat/reminder", after=2)
    fate = "is not stored" if status == 400 else "may or may not be stored"
    with pytest.raises(Exception, match=f"message 2 of the batch {fate}") as failure:
        history.add(*batch)
    assert failure.value.status_code == status  # type: ignore[attr-defined]  # it is the service's own error
    assert texts(history.read()) == ["一", "二"]

    history.add(*batch)
    assert texts(history.read()) == ["一", "二", "一", "三"]
    assert reminders(emulator) == ["一", "二", "一", "一", "三"]  # the third was refused once

    history.add(*batch)
    assert texts(history.read()) == ["一", "二", "一", "三"] * 2


@pytest.mark.parametrize(
    ("kind", "sent"),
    [
        pytest.param("drop", ["一", "二", "二", "三"], id="the service never saw it"),
        pytest.param("cut", ["一", "二", "三"], id="only the answer was lost"),
    ],
)
def test_a_message_of_unknown_fate_is_looked_for(
    emulator: Emulator, use: Callable[..., Sync], kind: Any, sent: list[str]
) -> None:
    """If the connection broke, the same batch again writes the message only if the platform does not list it."""
    history = use()
    batch = [AIMessage("一"), AIMessage("二"), AIMessage("三")]
    if kind == "drop":
        emulator.fail("drop", path="/chat/reminder", after=1)
    else:
        emulator.fail("cut", path="/chat/reminder", times=1)
        batch = batch[1:]
    with pytest.raises(APIConnectionError, match="may or may not be stored"):
        history.add(*batch)
    history.add(*batch)
    expected = ["一", "二", "三"] if kind == "drop" else ["二", "三"]
    assert texts(history.read()) == expected
    assert reminders(emulator) == (sent if kind == "drop" else sent[1:])


def test_a_failure_before_the_rest_is_written(emulator: Emulator, use: Callable[..., Sync]) -> None:
    """If the second attempt fails before it writes anything, the third still knows how far the first one came."""
    history = use(max_retries=0)
    batch = [AIMessage("一"), AIMessage("二")]
    emulator.fail("status", status=400, path="/chat/reminder", after=1)
    with pytest.raises(BadRequestError):
        history.add(*batch)
    emulator.fail("status", status=503, path="/histories")
    with pytest.raises(InternalServerError):
        history.add(*batch)
    history.add(*batch)
    assert texts(history.read()) == ["一", "二"]


async def test_cancelled_while_it_is_written(emulator: Emulator, make_history: MakeHistory) -> None:
    """A task that is cancelled after the service has heard its message stores it once, and gives its lock back."""
    heard, lets_pass = asyncio.Event(), asyncio.Event()

    async def keep_back(response: httpx.Response) -> None:
        if response.request.url.path.endswith("/reminder"):
            heard.set()
            await asyncio.sleep(0 if lets_pass.is_set() else 60)

    async with httpx.AsyncClient(event_hooks={"response": [keep_back]}) as client:
        history = make_history(http_async_client=client)
        batch = [AIMessage("一"), AIMessage("二")]
        adding = asyncio.create_task(history.aadd_messages(batch))
        await heard.wait()
        adding.cancel()
        with pytest.raises(asyncio.CancelledError):
            await adding
        lets_pass.set()
        await history.aadd_messages(batch)
        assert texts(await history.aget_messages()) == ["一", "二"]
    assert reminders(emulator) == ["一", "二"]


def test_a_message_alike_is_not_the_doubtful_one(emulator: Emulator, use: Callable[..., Sync]) -> None:
    """What is looked for is not confused with an earlier message of the batch that says the same."""
    history = use()
    batch = [AIMessage("早"), AIMessage("早")]
    emulator.fail("drop", path="/chat/reminder", after=1)
    with pytest.raises(APIConnectionError, match="message 1 of the batch may or may not be stored"):
        history.add(*batch)
    history.add(*batch)
    assert texts(history.read()) == ["早", "早"]
    assert reminders(emulator) == ["早", "早", "早"]  # the second was lost once


@pytest.mark.parametrize(("was_sent", "fate"), [(False, "is not stored"), (True, "may or may not be stored")])
def test_a_message_that_was_never_sent(was_sent: bool, fate: str) -> None:
    """If no connection came about the message is certainly not stored; if it broke later, nobody knows."""
    error = APIConnectionError("connection failed", code="c1", service="xingchen")
    error.was_sent = was_sent
    told = Progress(doubtful=3).failed(3, error)
    assert told is error
    assert f"connection failed [message 3 of the batch {fate};" in str(told)
    assert pickle.loads(pickle.dumps(told)).code == "c1"


def test_a_refused_message_is_not_kept(emulator: Emulator, use: Callable[..., Sync]) -> None:
    """What the service refused is not shown."""
    history = use()
    emulator.fail("status", status=400, path="/chat/reminder")
    with pytest.raises(BadRequestError, match="message 0 of the batch is not stored"):
        history.add(AIMessage("一"))
    assert history.read() == []


# Several at once


def test_threads(emulator: Emulator, make_history: MakeHistory) -> None:
    """Messages that threads add at the same time are all stored, and shown in the platform's order while it lags."""
    history = make_history()
    history.messages  # noqa: B018  # reading is what it does
    emulator.xingchen.history_lag = 30
    acknowledged: list[str] = []
    start = threading.Barrier(4)

    def write(name: str) -> None:
        start.wait()
        for number in range(5):
            history.add_ai_message(f"{name}{number}")
            acknowledged.append(f"{name}{number}")

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    early = texts(history.messages)
    assert sorted(early) == sorted(acknowledged)
    assert len(early) == 20
    for name in "abcd":
        assert [text for text in early if text[0] == name] == [f"{name}{number}" for number in range(5)]
    emulator.xingchen.history_lag = 0
    for _ in range(40):
        assert texts(history.messages) == early
    assert len(reminders(emulator)) == 20


async def test_tasks(emulator: Emulator, make_history: MakeHistory) -> None:
    """The same for tasks of one event loop."""
    history = make_history()
    await history.aget_messages()
    emulator.xingchen.history_lag = 10
    await asyncio.gather(*(history.aadd_messages([AIMessage(str(number))]) for number in range(12)))
    early = texts(await history.aget_messages())
    assert sorted(early, key=int) == [str(number) for number in range(12)]
    for _ in range(12):
        assert texts(await history.aget_messages()) == early
    await history.aclose()


def test_turns_noted_by_threads_stay_whole(emulator: Emulator, make_history: MakeHistory, model: ChatXingchen) -> None:
    """A question and its answer, noted together, are shown together while the platform lags."""
    history = make_history()
    history.messages  # noqa: B018  # reading is what it does
    emulator.xingchen.history_lag = 5
    turns = [(HumanMessage(str(number)), model.invoke(str(number))) for number in range(12)]
    threads = [threading.Thread(target=history.add_messages, args=(turn,)) for turn in turns]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    shown = history.messages
    pairs = {(shown[at].id, shown[at + 1].id) for at in range(0, 24, 2)}
    assert pairs == {(a.response_metadata["query_id"], a.response_metadata["message_id"]) for _, a in turns}


# RunnableWithMessageHistory


class NaiveHistory(BaseChatMessageHistory):
    """A history on the same platform that reads what is listed and writes what it is given."""

    def __init__(self, emulator: Emulator) -> None:
        self._client = characters.XingchenSettings(api_key="test-key", base_url=emulator.url).client()

    @property
    def messages(self) -> list[BaseMessage]:  # type: ignore[override]
        rows = list(self._client.iterate(characters.all_history("quiet", "u1")))[::-1]
        return [(HumanMessage if row.is_user else AIMessage)(row.content) for row in rows]

    def add_messages(self, messages: Sequence[BaseMessage]) -> None:
        for message in messages:
            if message.type == "ai" and not message.response_metadata.get("is_saved"):
                self._client.send(characters.remind("quiet", "u1", message.text))

    def clear(self) -> None:
        self._client.send(characters.reset("quiet", "u1"))


def converse(model: ChatXingchen, history: BaseChatMessageHistory, emulator: Emulator) -> None:
    """Three turns under LangChain's own runnable, while another program writes to the same conversation. After each
    turn the history must show it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        chain = RunnableWithMessageHistory(model, lambda session_id: history)
    config: Any = {"configurable": {"session_id": "u1"}}
    expected: list[str] = []
    for text in ("一", "二", "三"):
        emulator.reply(f"答{text}")
        if isinstance(history, XingchenChatMessageHistory) and text == "三":
            answer = asyncio.run(chain.ainvoke([HumanMessage(text)], config))
        else:
            answer = chain.invoke([HumanMessage(text)], config)
        expected += [text, f"答{text}"]
        assert answer.content == f"答{text}"
        shown = [text for text in texts(history.messages) if text != "插话"]
        assert shown == expected


@pytest.mark.parametrize("lag", [0, 1, 2, 5])
@pytest.mark.parametrize("interruptions", [False, True])
def test_no_turn_is_lost_in_langchains_runnable(
    emulator: Emulator, make_history: MakeHistory, model: ChatXingchen, lag: int, interruptions: bool
) -> None:
    """With a lagging platform, and messages of another program that appear between the two reads of a turn, each turn
    is shown whole right after it, once and in order; and nothing is written twice.
    """
    history = make_history()
    emulator.xingchen.history_lag = lag
    if interruptions:
        emulator.xingchen.history_lag = 1
        emulator.xingchen.add_messages("quiet", "u1", [{"content": "插话", "messageType": "sys_greetings"}])
        emulator.xingchen.history_lag = lag
    converse(model, history, emulator)
    assert reminders(emulator) == []


@pytest.mark.parametrize("lag", [2, 5])
def test_a_naive_history_loses_turns(
    emulator: Emulator, make_history: MakeHistory, model: ChatXingchen, lag: int
) -> None:
    """The test above can fail: a history that shows only what is listed does."""
    make_history()
    emulator.xingchen.history_lag = lag
    with pytest.raises(AssertionError):
        converse(model, NaiveHistory(emulator), emulator)


def test_each_turn_begins_with_a_fresh_read(emulator: Emulator, make_history: MakeHistory, model: ChatXingchen) -> None:
    """A chain is given the turns before this one, and each message once."""
    history = make_history()
    given: list[list[str]] = []

    def note(messages: list[BaseMessage]) -> list[BaseMessage]:
        given.append(texts(messages))
        return messages

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        chain = RunnableWithMessageHistory(RunnableLambda(note) | model, lambda session_id: history)
    for text in ("一", "二", "三"):
        emulator.reply(f"答{text}")
        chain.invoke([HumanMessage(text)], {"configurable": {"session_id": "u1"}})
    assert given == [["一"], ["一", "答一", "二"], ["一", "答一", "二", "答二", "三"]]


def test_reads_outside_of_a_turn_are_fresh(
    emulator: Emulator, make_history: MakeHistory, model: ChatXingchen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is kept for the second read of a turn is no cache: others' messages are seen at once, and a turn that
    failed does not hold the next one back for long.
    """
    history = make_history()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        chain = RunnableWithMessageHistory(model, lambda session_id: history)
    config: Any = {"configurable": {"session_id": "u1"}}
    emulator.fail("status", status=400)
    with pytest.raises(BadRequestError):
        chain.invoke([HumanMessage("一")], config)
    emulator.xingchen.add_messages("quiet", "u1", [{"content": "插话", "messageType": "sys_greetings"}])
    assert texts(history.messages) == ["插话"]

    monkeypatch.setattr("langchain_xingchen.chat_message_histories.LONGEST_TURN", -1.0)
    answer = chain.invoke([HumanMessage("二")], config)
    assert texts(history.messages) == ["插话", "二", answer.content]


# Reset and rating


@pytest.mark.parametrize("hides", [False, True], ids=["old messages still listed", "old messages not listed"])
@pytest.mark.parametrize("lag", [0, 2])
def test_clear(emulator: Emulator, use: Callable[..., Sync], model: ChatXingchen, hides: bool, lag: int) -> None:
    """After a reset only what is newer is shown, whatever the platform still lists, and it may be repeated."""
    emulator.xingchen.reset_hides_history = hides
    emulator.xingchen.add_messages("quiet", "u1", NUMBERS)
    emulator.xingchen.history_lag = lag
    history = use()
    history.add(HumanMessage("旧"), model.invoke("旧"), AIMessage("早"), HumanMessage("等待"))
    history.clear()
    for _ in range(4):
        assert history.read() == []
        assert history.walk() == []
    history.clear()
    answer = model.invoke("新")
    history.add(HumanMessage("新"), answer, AIMessage("早"))
    for _ in range(4):
        assert texts(history.read()) == ["新", answer.content, "早"]
        assert texts(history.walk(page_size=10)) == ["新", answer.content, "早"]
    assert emulator.xingchen.prompts[-1] == [{"role": "user", "content": "新"}]


def test_clear_what_this_program_said_elsewhere(
    emulator: Emulator, use: Callable[..., Sync], model: ChatXingchen
) -> None:
    """A reset hides chats that this history was not told of, though the platform lists them only later; and no answer
    from before it is taken for one to a later question.
    """
    emulator.xingchen.history_lag = 2
    emulator.reply("好。")
    model.invoke("旧")
    history = use()
    history.clear()
    emulator.reply("新的。")
    history.add(HumanMessage("新"), model.invoke("新"))
    for _ in range(4):
        assert texts(history.read()) == ["新", "新的。"]
    with pytest.raises(UnsupportedOperationError, match="did not store"):
        history.add(HumanMessage("旧"), AIMessage("好。"))


def test_clear_what_others_said(emulator: Emulator, use: Callable[..., Sync]) -> None:
    """A reset hides what another program stored since our last read, too."""
    history = use()
    history.read()
    emulator.xingchen.add_messages("quiet", "u1", ["别的程序说的", "好"])
    history.clear()
    assert history.read() == []


def test_rate(emulator: Emulator, use: Callable[..., Sync]) -> None:
    """A rating is stored and read back; an impossible one is refused here, an unknown message by the service."""
    (_, answer) = emulator.xingchen.add_messages("quiet", "u1", ["问", "答"])
    history = use()
    assert history.rate(answer, -1, "答非所问") is True
    assert emulator.requests[-1].json == {"messageId": answer, "rating": -1, "info": "答非所问"}
    assert [m.response_metadata.get("rating") for m in history.read()] == [None, -1]
    with pytest.raises(ValueError, match="-1 to 5"):
        history.rate(answer, 6)
    with pytest.raises(NotFoundError):
        history.rate("nobody", 1)


def test_capabilities(make_history: MakeHistory) -> None:
    """What can be stored is known before anything is sent."""
    can = make_history().capabilities
    assert (can.user_messages, can.assistant_messages, can.clear, can.rate) == (True, True, True, True)
    assert (can.system_messages, can.tool_messages, can.media, can.edit, can.delete_one) == (False,) * 5


# The object


def test_it_is_a_history_without_a_warning(emulator: Emulator) -> None:
    """Importing and making one warns of nothing, although LangChain plans to remove the base class."""
    code = (
        "import warnings; warnings.simplefilter('error')\n"
        "from langchain_xingchen import XingchenChatMessageHistory\n"
        "from langchain_core.chat_history import BaseChatMessageHistory\n"
        "assert isinstance(XingchenChatMessageHistory('quiet', 'u1', api_key='test-key'), BaseChatMessageHistory)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_it_works_without_the_base_class(emulator: Emulator, make_history: MakeHistory) -> None:
    """In a langchain-core that has dropped the base class the history reads and writes as before."""
    make_history()
    code = (
        "import sys, langchain_core\n"
        "sys.modules['langchain_core.chat_history'] = None\n"
        "from langchain_xingchen import XingchenChatMessageHistory\n"
        f"history = XingchenChatMessageHistory('quiet', 'u1', api_key='test-key', base_url={emulator.url!r})\n"
        "history.add_ai_message('你好')\n"
        "history.add_user_message('在吗')\n"
        "assert [m.content for m in history.messages] == ['你好', '在吗']\n"
        "assert [m.content for m in history.iter_messages()] == ['你好', '在吗']"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    "revive", [copy.deepcopy, lambda history: pickle.loads(pickle.dumps(history))], ids=["deepcopy", "pickle"]
)
def test_copies_know_what_was_written(
    emulator: Emulator, make_history: MakeHistory, model: ChatXingchen, revive: Any
) -> None:
    """A deep copy, and a pickle in another process, show what this object wrote and the platform does not list yet."""
    history = make_history()
    emulator.xingchen.history_lag = 5
    answer = model.invoke("你好")
    history.add_messages([HumanMessage("你好"), answer, AIMessage("早")])
    with revive(history) as copied:
        assert texts(copied.messages) == ["你好", answer.content, "早"]


def test_a_shallow_copy_may_be_another_users(emulator: Emulator, make_history: MakeHistory) -> None:
    """A copy with another user shows nothing of the first user's messages."""
    history = make_history()
    history.add_user_message("秘密")
    with history.model_copy(update={"user_id": "u2"}) as copied:
        assert copied.messages == []
    assert texts(history.messages) == ["秘密"]


def test_settings(emulator: Emulator) -> None:
    """Both ids are required and fixed, no key is an error that says so, and the key is nowhere to be seen."""
    history = XingchenChatMessageHistory("quiet", "u1", None, 5, api_key="sk-canary", base_url=emulator.url)
    assert (history.character_id, history.user_id, history.session_id, history.limit) == ("quiet", "u1", None, 5)
    assert "sk-canary" not in f"{history!r} {history} {history.model_dump()}"
    with pytest.raises(ValueError, match="frozen"):
        history.user_id = "u2"
    for wrong in ({"user_id": ""}, {"character_id": ""}, {"limit": 0}, {"unsupported": "ignore"}, {"nonsense": 1}):
        with pytest.raises(ValueError, match="1 validation error"):
            XingchenChatMessageHistory(**{"character_id": "quiet", "user_id": "u1", "api_key": "test-key", **wrong})
    with pytest.raises(ConfigurationError, match="XINGCHEN_API_KEY"):
        XingchenChatMessageHistory("quiet", "u1")
