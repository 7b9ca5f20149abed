"""`XingchenChatMessageHistory` against a plain list, by random walks over a platform that lags and repeats itself.

Another process writes to the same conversation; some reads come from a replica that is behind the others.
"""

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
OTHERS = "别人"
LONGEST_LAG = 4
LAGS = st.integers(0, LONGEST_LAG)
TEXTS = st.sampled_from(["你好", "在吗", "嗯"])  # few, so that messages are often alike


class Machine(RuleBasedStateMachine):
    """What a history is asked to do, and the list it should show."""

    emulator: Emulator
    compared = 0
    """So many conversations with something in them were compared."""

    @initialize(
        seeds=st.integers(0, 3), has_read=st.booleans(), lag=st.integers(0, LONGEST_LAG), has_times=st.booleans()
    )
    def open(self, seeds: int, has_read: bool, lag: int, has_times: bool) -> None:
        user_id = f"user-{next(USERS)}"
        knobs = self.emulator.xingchen
        knobs.history_lag, knobs.history_overlap, knobs.same_gmt_create, knobs.history_behind = 0, 0, False, 0
        knobs.history_without_times = not has_times
        self.user_id = user_id
        connection: dict[str, Any] = {"api_key": "test-key", "base_url": self.emulator.url}
        self.history = XingchenChatMessageHistory("quiet", user_id, **connection)
        self.model = ChatXingchen(character_id="quiet", user_id=user_id, platform_history=True, **connection)
        self.expected: list[tuple[str, str]] = []
        self.others = 0
        if seeds:
            self.others_write(seeds)
        self.last_turn: list[BaseMessage] = []
        knobs.history_lag = lag  # the same for all that follows: what was stored first is listed first
        if has_read:
            self.read()

    @rule(rows=st.integers(0, 9))
    def overlap(self, rows: int) -> None:
        self.emulator.xingchen.history_overlap = rows

    @rule(rows=st.integers(0, 4))
    def behind(self, rows: int) -> None:
        """From here on a replica answers that has not heard the newest so many messages."""
        self.emulator.xingchen.history_behind = rows

    @precondition(lambda self: self.emulator.xingchen.history_lag == 0)  # nothing orders what comes late at one time
    @precondition(lambda self: not self.emulator.xingchen.history_without_times)
    @rule(stands_still=st.booleans())
    def clock(self, stands_still: bool) -> None:
        self.emulator.xingchen.same_gmt_create = stands_still

    @rule(messages=st.integers(1, 3))
    def others_write(self, messages: int) -> None:
        """Another process stores a question, an answer, and the next question."""
        rows = []
        for kind in ("user", "character", "user")[:messages]:
            self.others += 1
            rows.append({"content": f"{OTHERS}{self.others}", "messageType": kind})
            self.expected.append(("human" if kind == "user" else "ai", f"{OTHERS}{self.others}"))
        self.emulator.xingchen.add_messages("quiet", self.user_id, rows)

    @rule(text=TEXTS, at_once=st.booleans(), as_text=st.booleans())
    def turn(self, text: str, at_once: bool, as_text: bool) -> None:
        """A turn with the character; the history hears of question and answer at once, or of one after the other, and
        of the answer with its ids, or as bare text.
        """
        question = HumanMessage(text)
        if not at_once:
            self.history.add_messages([question])
        answer = self.model.invoke([question])
        added = AIMessage(answer.text) if as_text else answer
        self.history.add_messages([question, added] if at_once else [added])
        self.last_turn = [] if as_text else [question, answer]
        self.expected += [("human", text), ("ai", answer.text)]

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
        if self.others:
            self.settle()  # nothing tells which of others' messages that come to light after a reset are older
        self.history.clear()
        self.expected = []
        self.others = 0
        self.last_turn = []

    @rule()
    def read(self) -> None:
        self.check(self.history.messages)

    @rule(page_size=st.integers(1, 6))
    def walk(self, page_size: int) -> None:
        self.check(list(self.history.iter_messages(page_size)))

    @precondition(lambda self: not self.others)
    @rule(limit=st.integers(1, 5))
    def newest(self, limit: int) -> None:
        self.history.limit = limit
        assert said(self.history.messages) == self.expected[-limit:]
        self.history.limit = None

    def check(self, messages: list[BaseMessage]) -> None:
        """Our own messages are all there at once; others' appear when the platform shows them, in their order."""
        shown = said(messages)
        type(self).compared += bool(shown)
        knobs = self.emulator.xingchen
        if not self.others or (knobs.history_lag == 0 and knobs.history_behind == 0):
            assert shown == self.expected
        assert [one for one in shown if not is_others(one)] == [one for one in self.expected if not is_others(one)]
        assert is_part([one for one in shown if is_others(one)], self.expected)

    def settle(self) -> None:
        """Once the platform lists everything, the history is exactly the platform's."""
        knobs = self.emulator.xingchen
        lag, behind, knobs.history_lag, knobs.history_behind = knobs.history_lag, knobs.history_behind, 0, 0
        for _ in range(LONGEST_LAG):
            shown = self.history.messages
        shown = self.history.messages
        assert said(shown) == self.expected
        ids = [message.id for message in shown]
        assert None not in ids
        assert len(ids) == len(set(ids))
        knobs.history_lag, knobs.history_behind = lag, behind

    def teardown(self) -> None:
        if hasattr(self, "expected"):
            self.settle()
            self.history.close()
            self.model.close()


def is_others(one: tuple[str, str]) -> bool:
    """Whether another process said it."""
    return one[1].startswith(OTHERS)


def is_part(some: list[tuple[str, str]], everything: list[tuple[str, str]]) -> bool:
    """Whether these are among all, each once, in the same order."""
    rest = iter(everything)
    return all(one in rest for one in some)


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
    message once: from the first read on, however late the platform lists it. What another process says comes to its
    place as soon as the platform lists everything.
    """
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=80, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
    assert machine.compared > 20
