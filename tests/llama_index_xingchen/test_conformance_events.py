"""Conformance items 39, 40 and 44: events, token counts and rate limits, once per call."""

from typing import Any

import pytest
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler, TokenCountingHandler
from llama_index.core.llms.llm import LLM

from xingchen_core import AuthenticationError, XingchenError


def names(events: list[Any]) -> list[str]:
    """The events of LLM calls, in order, without the word before `Start`, `InProgress` and `End`."""
    kinds = [type(event).__name__.removeprefix("LLMChat").removeprefix("LLMCompletion") for event in events]
    return [kind for kind in kinds if kind in ("StartEvent", "InProgressEvent", "EndEvent", "ExceptionEvent")]


def test_events_of_a_call(case: Any, canned: Any, ask: Any, events: list[Any], method: str) -> None:
    """Item 39: one start, an event per chunk, one end, all with the id of the span of the method that was called."""
    seen = ask(canned(), method)
    chunks = ["InProgressEvent"] * len(seen) if "stream" in method else []
    assert names(events) == ["StartEvent", *chunks, "EndEvent"]
    kind = "LLMChat" if "chat" in method else "LLMCompletion"
    assert all(type(event).__name__.startswith(kind) for event in events)
    (span,) = {event.span_id for event in events}
    assert span.startswith(f"{case.cls.__name__}.{method}-")
    assert events[-1].response == seen[-1]


def test_the_start_event_says_what_was_asked(case: Any, canned: Any, ask: Any, events: list[Any], method: str) -> None:
    """Item 39: the start event names the class and the model, and holds the call's own keywords."""
    ask(canned(), method, "今天天气好吗?", temperature=0.5)
    start = events[0]
    assert start.model_dict["class_name"] == case.class_name
    assert start.additional_kwargs == {"temperature": 0.5}
    asked = start.messages[0].content if "chat" in method else start.prompt
    assert asked == "今天天气好吗?"


def test_a_refused_call_is_reported(make: Any, ask: Any, emulator: Any, events: list[Any], method: str) -> None:
    """Item 39: a call that fails has a start, an error for handlers, and no end."""
    debug = LlamaDebugHandler(print_trace_on_end=False)
    emulator.fail("status", status=401)
    with pytest.raises(AuthenticationError) as caught:
        ask(make(callback_manager=CallbackManager([debug])), method)
    assert names(events) == ["StartEvent"]
    assert [type(event).__name__ for event in events[1:]] == ["SpanDropEvent"]
    ((_, end),) = debug.get_llm_inputs_outputs()
    assert end.payload == {"exception": caught.value}


def test_a_broken_stream_is_reported(make: Any, ask: Any, emulator: Any, events: list[Any], stream_method: str) -> None:
    """Item 39: a stream that breaks has an event per chunk that came, then the exception, and no end."""
    emulator.reply(chunks=["我叫", "小婉"])
    emulator.fail("cut", after=2)
    with pytest.raises(XingchenError) as caught:
        ask(make(), stream_method)
    assert names(events) == ["StartEvent", "InProgressEvent", "InProgressEvent", "ExceptionEvent"]
    assert events[-1].exception is caught.value


def test_tokens_are_counted_once(canned: Any, ask: Any, method: str) -> None:
    """Item 40: LlamaIndex's counter shows the service's counts, once, for each of the eight methods."""
    counter = TokenCountingHandler(tokenizer=list)
    ask(canned(callback_manager=CallbackManager([counter])), method)
    assert len(counter.llm_token_counts) == 1
    assert (counter.prompt_llm_token_count, counter.completion_llm_token_count) == (1336, 5)


def test_one_event_pair_per_call(canned: Any, ask: Any, method: str) -> None:
    """Item 40: handlers of the older kind see one start and one end, so that nothing is counted twice."""
    debug = LlamaDebugHandler(print_trace_on_end=False)
    ask(canned(callback_manager=CallbackManager([debug])), method)
    assert len(debug.get_event_pairs(CBEventType.LLM)) == 1


class Limiter:
    """Counts how often it is asked."""

    def __init__(self) -> None:
        self.acquired = 0

    def acquire(self, num_tokens: int = 0) -> None:
        self.acquired += 1

    async def async_acquire(self, num_tokens: int = 0) -> None:
        self.acquired += 1


@pytest.mark.skipif("rate_limiter" not in LLM.model_fields, reason="newer than the oldest LlamaIndex we support")
def test_the_rate_limiter_is_asked_once(make: Any, ask: Any, emulator: Any, method: str) -> None:
    """Item 44: once per call, not per attempt and not per chunk."""
    limiter = Limiter()
    emulator.fail("status", status=500)
    ask(make(rate_limiter=limiter), method)
    assert len(emulator.requests) == 2
    assert limiter.acquired == 1
