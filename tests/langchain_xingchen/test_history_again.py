"""A question answered again: the history shows the turn once, with the answer that the platform keeps."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from langchain_xingchen import ChatXingchen, XingchenChatMessageHistory
from xingchen_core.emulator import Emulator

Make = Callable[[], XingchenChatMessageHistory]


@pytest.fixture
def make_history(emulator: Emulator) -> Iterator[Make]:
    """Histories of one conversation with a character without an opening line."""
    emulator.xingchen.add_character("quiet")
    with ExitStack() as made:
        yield lambda: made.enter_context(
            XingchenChatMessageHistory("quiet", "u1", api_key="test-key", base_url=emulator.url)
        )


@pytest.fixture
def model(make: Callable[..., ChatXingchen]) -> ChatXingchen:
    """The character, with the platform keeping the history."""
    return make(character_id="quiet", user_id="u1", platform_history=True)


def texts(messages: list[BaseMessage]) -> list[str]:
    """What was said."""
    return [str(message.content) for message in messages]


def ask(emulator: Emulator, model: ChatXingchen, question: str, reply: str, **kwargs: str | bool) -> AIMessage:
    """Asks for a scripted answer."""
    emulator.reply(reply)
    return model.invoke(question, **kwargs)


@pytest.mark.parametrize("lag", [0, 3])
@pytest.mark.parametrize("chosen", ["first", "second"])
@pytest.mark.parametrize("reads", [True, False], ids=["read in between", "not read in between"])
def test_regenerated_and_chosen(
    emulator: Emulator, make_history: Make, model: ChatXingchen, lag: int, chosen: str, reads: bool
) -> None:
    """The new answer takes the place of the first; when the conversation goes on, the chosen one has it."""
    emulator.xingchen.history_lag = lag
    history = make_history()
    first = ask(emulator, model, "一", "一答")
    history.add_messages([HumanMessage("一"), first])
    if reads:
        assert texts(history.messages) == ["一", "一答"]
    query_id = first.response_metadata["query_id"]
    second = ask(emulator, model, "一", "再答", regenerate=True, query_id=query_id)
    history.add_messages([HumanMessage("一"), second])
    if reads:
        assert texts(history.messages) == ["一", "再答"]
    answer_id = (first if chosen == "first" else second).response_metadata["answer_id"]
    third = ask(emulator, model, "二", "二答", answer_id=answer_id)
    history.add_messages([HumanMessage("二"), third])
    for _ in range(lag):
        assert texts(history.messages)[2:] == ["二", "二答"]
    expected = ["一", "一答" if chosen == "first" else "再答", "二", "二答"]
    for _ in range(3):
        assert texts(history.messages) == expected
        assert texts(list(history.iter_messages(2))) == expected
        assert texts(make_history().messages) == expected


def test_an_older_turn_answered_again(emulator: Emulator, make_history: Make, model: ChatXingchen) -> None:
    """The new answer stands behind its question, though it is the newest message by its time."""
    first = ask(emulator, model, "一", "一答")
    ask(emulator, model, "二", "二答")
    ask(emulator, model, "一", "再答", regenerate=True, query_id=first.response_metadata["query_id"])
    assert texts(make_history().messages) == ["一", "再答", "二", "二答"]
