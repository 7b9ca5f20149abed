"""`XingchenChatMessageHistory` against a plain list, by random walks over a platform that lags and repeats itself."""

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from langchain_xingchen import ChatXingchen, XingchenChatMessageHistory
from xingchen_core import UnsupportedOperationError
from xingchen_core.emulator import Emulator

USERS = count()
TEXTS = st.sampled_from(["你好", "在吗", "嗯"])  # few, so that messages are often alike


class Machine(RuleBasedStateMachine):
    """What a history is asked to do, and the list it should show."""

    emulator: Emulator

    @initialize(seeds=st.integers(0, 3), has_read=st.booleans(), lag=st.integers(0, 4))
    def open(self, seeds: int, has_read: bool, lag: int) -> None:
        user_id = f"user-{next(USERS)}"
        knobs = self.emulator.xingchen
        knobs.history_lag, knobs.history_overlap, knobs.same_gmt_create = 0, 0, False
        connection: dict[str, Any] = {"api_key": "test-key", "base_url": self.emulator.url}
        self.history = XingchenChatMessageHistory("quiet", user_id, **connection)
        self.model = ChatXingchen(character_id="quiet", user_id=user_id, platform_history=True, **connection)
        seeded = [f"旧{number}" for number in range(seeds)]
        if seeded:
            knobs.add_messages("quiet", user_id, seeded)
        self.expected = [("human" if at % 2 == 0 else "ai", text) for at, text in enumerate(seeded)]
        self.last_turn: list[BaseMessage] = []
        knobs.history_lag = lag  # the same for all that follows: what was stored first is listed first
        if has_read:
            self.read()

    @rule(rows=st.integers(0, 2))
    def overlap(self, rows: int) -> None:
        self.emulator.xingchen.history_overlap = rows

    @precondition(lambda self: self.emulator.xingchen.history_lag == 0)  # nothing orders what comes late at one time
    @rule(stands_still=st.booleans())
    def clock(self, stands_still: bool) -> None:
        self.emulator.xingchen.same_gmt_create = stands_still

    @rule(text=TEXTS, at_once=st.booleans())
    def turn(self, text: str, at_once: bool) -> None:
        """A turn with the character; the history hears of question and answer at once, or of one after the other."""
        question = HumanMessage(text)
        if not at_once:
            self.history.add_messages([question])
        answer = self.model.invoke([question])
        self.history.add_messages([question, answer] if at_once else [answer])
        self.last_turn = [question, answer]
        self.expected += [("human", text), ("ai", str(answer.content))]

    @rule(texts=st.lists(TEXTS, min_size=1, max_size=3))
    def remind(self, texts: list[str]) -> None:
        self.history.add_messages([AIMessage(text) for text in texts])
        self.expected += [("ai", text) for text in texts]

    @rule(text=TEXTS)
    def refuse(self, text: str) -> None:
        """A question with another model's answer: nothing of the batch is stored."""
        with pytest.raises(UnsupportedOperationError):
            self.history.add_messages([AIMessage("先"), HumanMessage(text), AIMessage("别的模型说的")])

    @precondition(lambda self: self.last_turn)
    @rule()
    def add_again(self) -> None:
        self.history.add_messages(self.last_turn)

    @rule()
    def add_what_was_read(self) -> None:
        self.history.add_messages(self.history.messages)

    @rule()
    def clear(self) -> None:
        self.history.clear()
        self.expected = []
        self.last_turn = []

    @rule()
    def read(self) -> None:
        assert said(self.history.messages) == self.expected

    @rule(page_size=st.integers(1, 6))
    def walk(self, page_size: int) -> None:
        knobs = self.emulator.xingchen
        knobs.history_overlap = min(knobs.history_overlap, page_size - 1)
        assert said(list(self.history.iter_messages(page_size))) == self.expected

    @rule(limit=st.integers(1, 5))
    def newest(self, limit: int) -> None:
        self.history.limit = limit
        assert said(self.history.messages) == self.expected[-limit:]
        self.history.limit = None

    def teardown(self) -> None:
        if hasattr(self, "expected"):
            shown = self.history.messages
            assert said(shown) == self.expected
            ids = [message.id for message in shown if message.id]
            assert len(ids) == len(set(ids))
            self.history.close()
            self.model.close()


def said(messages: list[BaseMessage]) -> list[tuple[str, str]]:
    """Who said what."""
    return [(message.type, str(message.content)) for message in messages]


@pytest.fixture(scope="module")
def machine() -> Iterator[type[Machine]]:
    """The machine over one emulator: each walk has a user of its own."""
    with Emulator() as running:
        running.xingchen.add_character("quiet")
        yield type("OnEmulator", (Machine,), {"emulator": running})


def test_it_is_a_list(machine: type[Machine]) -> None:
    """Whatever is done in whatever order, the history shows exactly what a plain list would, in its order, each
    message once: from the first read on, however late the platform lists it.
    """
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=40, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
