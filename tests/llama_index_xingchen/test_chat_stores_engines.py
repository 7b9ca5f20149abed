"""Engines that hand an answer on without its ids: it is on the platform once all the same, from the first turn on."""

import asyncio
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.chat_engine import CondensePlusContextChatEngine, SimpleChatEngine
from llama_index.core.llms import MockLLM
from llama_index.core.memory import ChatMemoryBuffer, Memory
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

from chat_store_words import HISTORY, KEY, REMINDER, assistant, calls, reminders, said, user
from llama_index_xingchen import Xingchen, XingchenChatStore, XingchenDBChatStore
from xingchen_core.characters import storing
from xingchen_core.characters.received import ReceivedAnswers
from xingchen_core.emulator import Emulator

Do = Callable[..., Any]
METHODS = ["chat", "achat", "stream_chat", "astream_chat"]


class Notes(BaseRetriever):
    """Finds the same note for every question."""

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return [NodeWithScore(node=TextNode(text="小明住在杭州"), score=1.0)]


@pytest.fixture(autouse=True)
def loop() -> Iterator[None]:
    """An event loop that is closed in the end: LlamaIndex's prompt helper makes one otherwise and leaves it open."""
    made = asyncio.new_event_loop()
    asyncio.set_event_loop(made)
    yield
    asyncio.set_event_loop(None)
    made.close()


@pytest.fixture
def llm(emulator: Emulator, quiet: None) -> Iterator[Xingchen]:
    """The quiet character with the user `u1`, whose history the platform keeps."""
    with Xingchen(
        api_key="test-key", base_url=emulator.url, character_id="quiet", user_id="u1", platform_history=True
    ) as made:
        yield made


MAKERS = {
    # Condensing a question would be one more chat with the character, which the platform would keep.
    "condense": lambda llm, memory: CondensePlusContextChatEngine.from_defaults(
        Notes(), llm=llm, memory=memory, skip_condense=True
    ),
    "simple": lambda llm, memory: SimpleChatEngine.from_defaults(llm=llm, memory=memory),
}


@pytest.fixture(params=["buffer", "memory"])
def make_memory(request: pytest.FixtureRequest, make_store: Do) -> Do:
    """Makes memories of the conversation: LlamaIndex's older kind on one store, its newer one on the other."""
    if request.param == "memory" and "chat_store" not in inspect.signature(Memory.from_defaults).parameters:
        pytest.skip("older LlamaIndex knows no store for Memory but its own (llama-index-core < 0.14.24)")

    def make() -> Any:
        if request.param == "buffer":
            store = make_store(XingchenChatStore)
            return ChatMemoryBuffer.from_defaults(token_limit=3000, chat_store=store, chat_store_key=KEY)
        return Memory.from_defaults(session_id=KEY, chat_store=make_store(XingchenDBChatStore))

    return make


async def _stream(chat: Any, text: str) -> None:
    response = await chat.astream_chat(text)
    async for _ in response.async_response_gen():
        pass


def turn(chat: Any, method: str, text: str) -> None:
    """A turn of a chat engine by any of its four methods."""
    if method == "stream_chat":
        response = chat.stream_chat(text)
        list(response.response_gen)
    elif method == "astream_chat":
        asyncio.run(_stream(chat, text))
    elif method == "achat":
        asyncio.run(chat.achat(text))
    else:
        chat.chat(text)


def on_platform(make_store: Do) -> list[tuple[str, str | None]]:
    """What a program that has said nothing itself is told."""
    return said(make_store().get_messages(KEY))


@pytest.mark.parametrize("lag", [0, 3])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("engine", MAKERS)
def test_two_turns_are_four_messages(
    llm: Xingchen, make_memory: Do, make_store: Do, emulator: Emulator, engine: str, method: str, lag: int
) -> None:
    """Each turn is on the platform once, written by the chat itself, although both answers say the same; the memory
    shows it at once, also while the platform does not list it yet.
    """
    emulator.xingchen.history_lag = lag
    memory = make_memory()
    chat = MAKERS[engine](llm, memory)
    expected: list[tuple[str, str | None]] = []
    for question in ("我住在哪里?", "真的吗?"):
        emulator.reply("杭州。")
        turn(chat, method, question)
        expected += [("user", question), ("assistant", "杭州。")]
        assert said(memory.get_all()) == expected
    assert calls(emulator, REMINDER) == 0
    for _ in range(lag):
        make_store().get_messages(KEY)
    assert on_platform(make_store) == expected
    assert len(on_platform(make_store)) == 4


@pytest.mark.parametrize("engine", MAKERS)
def test_a_second_engine(llm: Xingchen, make_memory: Do, make_store: Do, emulator: Emulator, engine: str) -> None:
    """An engine with a memory of its own continues; an answer that another one has stored is not taken for its own."""
    for question in ("一", "二"):
        emulator.reply("好。")
        turn(MAKERS[engine](llm, make_memory()), "chat", question)
    expected = [("user", "一"), ("assistant", "好。"), ("user", "二"), ("assistant", "好。")]
    assert on_platform(make_store) == expected
    assert said(make_memory().get_all()) == expected


@pytest.mark.parametrize("has_ids", [True, False])
@pytest.mark.parametrize("lag", [0, 3])
def test_turns_that_overlap(
    store: XingchenChatStore, llm: Xingchen, do: Do, make_store: Do, emulator: Emulator, lag: int, has_ids: bool
) -> None:
    """Two turns of one user that overlap are on the platform once, and each answer belongs to its own question."""
    store.cache_seconds = 0
    emulator.xingchen.history_lag = lag
    for question in ("一", "二"):
        do(store, "add_message", KEY, user(question))
    answers = []
    for question in ("一", "二"):
        emulator.reply("好。")
        answers.append(llm.chat([user(question)]).message)
    shown = []
    for answer in answers:
        do(store, "add_message", KEY, answer if has_ids else assistant("好。"))
        shown = said(do(store, "get_messages", KEY))
        assert [text for who, text in shown if who == "user"] == ["一", "二"]
    for _ in range(lag):
        shown = said(do(store, "get_messages", KEY))
    expected = [("user", "一"), ("assistant", "好。"), ("user", "二"), ("assistant", "好。")]
    assert shown == on_platform(make_store) == expected
    assert calls(emulator, REMINDER) == 0


def test_another_model_may_say_the_same(llm: Xingchen, make_memory: Do, emulator: Emulator) -> None:
    """An answer counts as the platform's once: what another model says after it in the same words is written."""
    emulator.reply("好。")
    memory = make_memory()
    turn(MAKERS["condense"](llm, memory), "chat", "一")
    memory.put(user("二"))
    memory.put(assistant("好。"))
    assert said(memory.get_all()) == [("user", "一"), ("assistant", "好。"), ("user", "二"), ("assistant", "好。")]
    assert calls(emulator, REMINDER) == 1


def test_another_models_engine(make_memory: Do, emulator: Emulator) -> None:
    """An engine over another model: its answers are written, as before."""
    chat = MAKERS["condense"](MockLLM(), make_memory())
    turn(chat, "chat", "一")
    assert calls(emulator, REMINDER) == 1


# Answers that another process received


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that has received nothing itself."""
    monkeypatch.setattr(storing, "RECEIVED", ReceivedAnswers())


@pytest.mark.parametrize("is_read_before", [False, True])
def test_an_answer_of_another_process(
    store: XingchenChatStore, do: Do, answer_to: Do, emulator: Emulator, forgetful: None, is_read_before: bool
) -> None:
    """An answer that the platform lists behind the question is recognised by what it says."""
    do(store, "add_message", KEY, user("你好"))
    answer = answer_to("你好")
    if is_read_before:
        store.cache_seconds = 0
        do(store, "get_messages", KEY)
    do(store, "add_message", KEY, assistant(answer.content or ""))
    expected = [("user", "你好"), ("assistant", answer.content)]
    assert said(do(store, "get_messages", KEY)) == expected
    assert calls(emulator, REMINDER) == 0
    do(store, "add_message", KEY, assistant(answer.content or ""))  # nobody asked: it is said again
    assert said(do(store, "get_messages", KEY)) == [*expected, ("assistant", answer.content)]
    assert calls(emulator, REMINDER) == 1


def test_an_answer_of_another_account(store: XingchenChatStore, do: Do, emulator: Emulator) -> None:
    """Ids and text may be the same in two accounts: what only the other one's platform has is written here."""
    do(store, "add_message", KEY, user("一"))
    with Emulator() as other:
        other.xingchen.add_character("quiet")
        other.reply("好。")
        settings = {"api_key": "test-key", "base_url": other.url, "character_id": "quiet", "user_id": "u1"}
        with Xingchen(**settings, platform_history=True) as llm:
            llm.chat([user("一")])
    do(store, "add_message", KEY, assistant("好。"))
    assert [body["content"] for body in reminders(emulator)] == ["好。"]
    assert said(do(store, "get_messages", KEY)) == [("user", "一"), ("assistant", "好。")]


@pytest.mark.parametrize("listed", [("你好", "别的"), ("别问", "好呀")], ids=["another answer", "another question"])
def test_what_is_listed_must_be_the_same(
    store: XingchenChatStore, do: Do, emulator: Emulator, forgetful: None, listed: tuple[str, str]
) -> None:
    """An answer is not recognised in another exchange: it is written."""
    do(store, "add_message", KEY, user("你好"))
    emulator.xingchen.add_messages("quiet", "u1", listed)
    do(store, "add_message", KEY, assistant("好呀"))
    assert calls(emulator, REMINDER) == 1


def test_an_older_exchange_is_not_the_answer(
    store: XingchenChatStore, do: Do, emulator: Emulator, forgetful: None
) -> None:
    """The same question and answer, listed before the question was added, are another turn."""
    emulator.xingchen.add_messages("quiet", "u1", ["你好", "好呀"])
    do(store, "add_message", KEY, user("你好"))
    do(store, "add_message", KEY, assistant("好呀"))
    assert calls(emulator, REMINDER) == 1
    assert said(do(store, "get_messages", KEY)) == [("user", "你好"), ("assistant", "好呀")] * 2


def test_the_question_decides_what_is_read(store: XingchenChatStore, do: Do, emulator: Emulator) -> None:
    """Words of the application's own, behind no question, cost no read but the first of a conversation."""
    do(store, "add_message", KEY, assistant("早"))
    do(store, "add_message", KEY, assistant("早"))
    assert calls(emulator, HISTORY) == 1


@pytest.mark.parametrize("lag", [0, 3])
@pytest.mark.parametrize("chosen", [0, 1])
def test_a_question_answered_again(
    store: XingchenChatStore, llm: Xingchen, do: Do, make_store: Do, emulator: Emulator, lag: int, chosen: int
) -> None:
    """The turn is shown once, with the answer asked for last, and in the end with the one that was chosen."""
    store.cache_seconds = 0
    emulator.xingchen.history_lag = lag
    again: dict[str, Any] = {}
    answers = []
    for reply in ("一答", "再答"):
        emulator.reply(reply)
        answers.append(llm.chat([user("一")], **again).message)
        ids = answers[0].additional_kwargs
        again = {"regenerate": True, "query_id": ids["query_id"]}
        do(store, "add_message", KEY, user("一"))
        do(store, "add_message", KEY, answers[-1])
        assert said(do(store, "get_messages", KEY)) == [("user", "一"), ("assistant", reply)]
    emulator.reply("二答")
    answer = llm.chat([user("二")], answer_id=answers[chosen].additional_kwargs["message_id"]).message
    do(store, "add_message", KEY, user("二"))
    do(store, "add_message", KEY, answer)
    for _ in range(lag):
        do(store, "get_messages", KEY)
    expected = [("user", "一"), ("assistant", ("一答", "再答")[chosen]), ("user", "二"), ("assistant", "二答")]
    assert said(do(store, "get_messages", KEY)) == expected
    assert on_platform(make_store) == expected
