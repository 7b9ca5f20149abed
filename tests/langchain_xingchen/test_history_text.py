"""Chains that hand an answer on as bare text: the platform's own turns are recognised by what they say."""

import asyncio
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables.history import RunnableWithMessageHistory

from langchain_xingchen import ChatXingchen, XingchenChatMessageHistory
from langchain_xingchen import _history_writing as writing
from xingchen_core import UnsupportedOperationError
from xingchen_core.characters.received import ReceivedAnswers
from xingchen_core.emulator import Emulator

Add = Callable[..., None]


@pytest.fixture
def make_history(emulator: Emulator) -> Iterator[Callable[[], XingchenChatMessageHistory]]:
    """Histories of one conversation with a character without an opening line."""
    emulator.xingchen.add_character("quiet")
    with ExitStack() as made:
        yield lambda: made.enter_context(
            XingchenChatMessageHistory("quiet", "u1", api_key="test-key", base_url=emulator.url)
        )


@pytest.fixture
def history(make_history: Callable[[], XingchenChatMessageHistory]) -> XingchenChatMessageHistory:
    """One of them."""
    return make_history()


@pytest.fixture
def model(make: Callable[..., ChatXingchen]) -> ChatXingchen:
    """The character, with the platform keeping the history."""
    return make(character_id="quiet", user_id="u1", platform_history=True)


@pytest.fixture(params=["sync", "async"])
def add(request: pytest.FixtureRequest, history: XingchenChatMessageHistory) -> Add:
    """Adds messages to the history in either colour."""

    def run(*messages: BaseMessage) -> None:
        if request.param == "sync":
            history.add_messages(messages)
        else:
            asyncio.run(history.aadd_messages(messages))

    return run


def texts(messages: list[BaseMessage]) -> list[str]:
    """What was said."""
    return [str(message.content) for message in messages]


def reminders(emulator: Emulator) -> list[str]:
    """What was written as the character's own words."""
    return [request.json["content"] for request in emulator.requests if request.path.endswith("/reminder")]


@pytest.mark.parametrize("lag", [0, 2])
@pytest.mark.parametrize("at_once", [True, False], ids=["in one batch", "one by one"])
def test_an_answer_as_text(
    emulator: Emulator, history: XingchenChatMessageHistory, model: ChatXingchen, add: Add, lag: int, at_once: bool
) -> None:
    """It is shown once under the platform's ids, and so is the next turn, though it says the same."""
    emulator.xingchen.history_lag = lag
    for question in ("一", "二"):
        emulator.reply("好。")
        if not at_once:
            add(HumanMessage(question))
        answer = AIMessage(model.invoke(question).text + "\n")
        add(HumanMessage(question), answer) if at_once else add(answer)
    for _ in range(4):
        shown = history.messages
        assert [text.strip() for text in texts(shown)] == ["一", "好。", "二", "好。"]
        assert len({message.id for message in shown}) == 4
    assert reminders(emulator) == []


def test_two_turns_in_one_batch(
    emulator: Emulator, history: XingchenChatMessageHistory, model: ChatXingchen, add: Add
) -> None:
    """Two turns that say the same are two."""
    batch: list[BaseMessage] = []
    for _ in range(2):
        emulator.reply("好。")
        batch += [HumanMessage("一"), AIMessage(model.invoke("一").text)]
    add(*batch)
    assert texts(history.messages) == ["一", "好。"] * 2
    with pytest.raises(UnsupportedOperationError, match="did not store"):
        add(*batch[:2])


def test_without_a_question_it_is_said_again(
    emulator: Emulator, history: XingchenChatMessageHistory, model: ChatXingchen, add: Add
) -> None:
    """Words of the application's own are written, even if an answer said the same."""
    emulator.reply("早。")
    model.invoke("早")
    add(AIMessage("早。"))
    assert texts(history.messages) == ["早", "早。", "早。"]
    assert reminders(emulator) == ["早。"]


@pytest.mark.parametrize("has_read", [True, False])
def test_an_answer_that_another_process_received(
    emulator: Emulator,
    history: XingchenChatMessageHistory,
    model: ChatXingchen,
    add: Add,
    monkeypatch: pytest.MonkeyPatch,
    has_read: bool,
) -> None:
    """What is listed since the last read is recognised; without an earlier read nothing tells it from older words."""
    monkeypatch.setattr(writing, "RECEIVED", ReceivedAnswers())
    if has_read:
        assert history.messages == []
    emulator.reply("好。")
    model.invoke("一")
    batch = [HumanMessage("一"), AIMessage("好。")]
    if has_read:
        add(*batch)
    else:
        with pytest.raises(UnsupportedOperationError, match="did not store"):
            add(*batch)
    assert texts(history.messages) == ["一", "好。"]
    assert reminders(emulator) == []


@pytest.mark.parametrize("method", ["invoke", "ainvoke", "stream"])
def test_langchains_runnable_over_a_parser(
    emulator: Emulator, history: XingchenChatMessageHistory, model: ChatXingchen, method: str
) -> None:
    """Two turns of a chain that ends in text are four messages on the platform."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        chain: Any = RunnableWithMessageHistory(model | StrOutputParser(), lambda session_id: history)
    config: Any = {"configurable": {"session_id": "u1"}}
    for question in ("一", "二"):
        emulator.reply("好。")
        asked = [HumanMessage(question)]
        if method == "stream":
            said = "".join(chain.stream(asked, config))
        else:
            said = asyncio.run(chain.ainvoke(asked, config)) if method == "ainvoke" else chain.invoke(asked, config)
        assert said == "好。"
    assert texts(history.messages) == ["一", "好。", "二", "好。"]
    with XingchenChatMessageHistory("quiet", "u1", api_key="test-key", base_url=emulator.url) as other:
        assert texts(other.messages) == ["一", "好。", "二", "好。"]


@pytest.mark.parametrize("lag", [0, 3])
def test_turns_of_one_history_at_the_same_time(
    emulator: Emulator, history: XingchenChatMessageHistory, model: ChatXingchen, lag: int
) -> None:
    """Chains that share a history object and overlap store each turn once. LangChain may pass on their questions to
    the wrong turn, or to none.
    """
    emulator.xingchen.history_lag = lag
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        chain: Any = RunnableWithMessageHistory(model | StrOutputParser(), lambda session_id: history)

    async def ask() -> None:
        config: Any = {"configurable": {"session_id": "u1"}}
        await asyncio.gather(*(chain.ainvoke([HumanMessage(question)], config) for question in "一二三"))
        await model.aclose()
        await history.aclose()

    for _ in range(3):
        emulator.reply("好。")
    asyncio.run(ask())
    for _ in range(lag + 1):
        shown = texts(history.messages)
    assert (sorted(shown[::2]), shown[1::2]) == (sorted("一二三"), ["好。"] * 3)
    assert reminders(emulator) == []


@pytest.mark.parametrize("lag", [0, 3])
def test_questions_first_and_answers_later(
    emulator: Emulator, history: XingchenChatMessageHistory, model: ChatXingchen, add: Add, lag: int
) -> None:
    """Two questions may wait at the same time; each answer is known as one."""
    emulator.xingchen.history_lag = lag
    for question in ("一", "二"):
        add(HumanMessage(question))
    for question in ("一", "二"):
        emulator.reply("好。")
        model.invoke(question)
    for _ in range(2):
        add(AIMessage("好。"))
    for _ in range(lag + 1):
        shown = texts(history.messages)
    assert shown == ["一", "好。", "二", "好。"]
    assert reminders(emulator) == []


@pytest.mark.parametrize("has_read", [True, False])
def test_an_answer_that_another_account_received(
    emulator: Emulator, history: XingchenChatMessageHistory, add: Add, has_read: bool
) -> None:
    """Ids and text may be the same in two accounts: a turn that only the other one's platform has is not taken for
    stored here.
    """
    if has_read:
        assert history.messages == []
    with Emulator() as other:
        other.xingchen.add_character("quiet")
        other.reply("好。")
        with ChatXingchen(
            api_key="test-key", base_url=other.url, character_id="quiet", user_id="u1", platform_history=True
        ) as model:
            model.invoke("一")
    with pytest.raises(UnsupportedOperationError, match="did not store"):
        add(HumanMessage("一"), AIMessage("好。"))
    assert history.messages == []
