"""Conformance items 42 and 43: the key stays inside, and an object survives every way of being copied."""

import copy
import json
import logging
import pickle
import traceback
from typing import Any

import httpx
import pytest
from llama_index.core.callbacks import CallbackManager, LlamaDebugHandler

from xingchen_core import AuthenticationError

CANARY = "canary-4711"


def test_no_dump_shows_a_secret(case: Any) -> None:
    """Item 42: neither the key nor what may hold another secret is in `repr`, `str` or a dump."""
    llm = case.cls(
        api_key=CANARY,
        default_headers={"X-Token": CANARY},
        proxy=f"http://user:{CANARY}@127.0.0.1:9",
        timeout=httpx.Timeout(5.0, read=9.0),
        **case.fields,
    )
    shown = [repr(llm), str(llm), str(llm.to_dict()), llm.to_json(), str(llm.model_dump()), llm.model_dump_json()]
    shown += [str(getattr(llm, "to_payload", dict)()), str(llm.metadata)]
    assert [text for text in shown if CANARY in text] == []
    assert json.loads(llm.to_json())["class_name"] == case.class_name
    assert llm.to_dict()["timeout"] == {"connect": 5.0, "read": 9.0, "write": 5.0, "pool": 5.0}


def test_no_event_or_log_shows_the_key(
    make: Any, ask: Any, events: list[Any], method: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Item 42: neither events nor callback payloads nor logs of a call hold the key."""
    caplog.set_level(logging.DEBUG)
    debug = LlamaDebugHandler(print_trace_on_end=False)
    ask(make(api_key=CANARY, callback_manager=CallbackManager([debug])), method)
    payloads = [event.payload for pair in debug.get_llm_inputs_outputs() for event in pair]
    assert events
    assert payloads
    assert CANARY not in caplog.text
    assert CANARY not in repr(payloads) + repr(events) + repr([event.model_dump() for event in events])


def test_no_error_shows_the_key(
    make: Any, ask: Any, emulator: Any, events: list[Any], method: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Item 42: a refused call's error, its traceback, attributes, events and logs do not hold the key."""
    caplog.set_level(logging.DEBUG)
    emulator.fail("status", status=401)
    with pytest.raises(AuthenticationError) as caught:
        ask(make(api_key=CANARY), method)
    error = caught.value
    request = error.response.request
    shown = ["".join(traceback.format_exception(error)), repr(error.__dict__), str(request.headers), str(request.url)]
    shown += [caplog.text, repr(events), str(pickle.dumps(error))]
    assert [text for text in shown if CANARY in text] == []


def test_the_dictionary_makes_an_llm_with_the_environment_s_key(
    case: Any, make: Any, ask: Any, emulator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Item 43: `from_dict(to_dict())` works with the key from the environment, by way of JSON too."""
    llm = make(temperature=0.5, timeout=httpx.Timeout(5.0, read=9.0), system_prompt="简短回答。")
    monkeypatch.setenv(case.cls.service.key_variable, "key-of-the-environment")
    for revived in (case.cls.from_dict(llm.to_dict()), case.cls.from_json(llm.to_json())):
        assert ask(revived, "chat")[0].message.content
        assert emulator.requests[-1].headers["authorization"] == "Bearer key-of-the-environment"
        assert case.temperature(emulator.requests[-1].json) == 0.5
        assert revived.call_timeout() == httpx.Timeout(5.0, read=9.0)
        assert revived.silence_limit() == llm.silence_limit()
        assert revived.to_dict() == llm.to_dict()


COPIES = {
    "pickle": lambda llm: pickle.loads(pickle.dumps(llm)),
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
    "model_copy": lambda llm: llm.model_copy(),
}


@pytest.mark.parametrize("way", COPIES)
def test_copies_work(case: Any, make: Any, ask: Any, emulator: Any, way: str, method: str) -> None:
    """Item 43: a copy that was made after a call talks to the same service with the same key and settings."""
    llm = make(temperature=0.5, max_retries=1)
    ask(llm, method)
    with COPIES[way](llm) as copied:
        ask(copied, method)
        assert emulator.requests[-1].headers["authorization"] == "Bearer test-key"
        assert case.temperature(emulator.requests[-1].json) == 0.5
        assert copied.to_dict() == llm.to_dict()
        assert copied.silence_limit() == llm.silence_limit()


def test_a_pickle_leaves_what_cannot_travel(case: Any, canned: Any, ask: Any) -> None:
    """Item 43: the caller's own clients stay behind; the rest of the object is usable."""
    llm = canned(max_retries=1)
    ask(llm, "chat")
    revived = pickle.loads(pickle.dumps(llm))
    assert (revived.http_client, revived.http_async_client) == (None, None)
    assert revived.max_retries == 1
    assert revived.silence_limit() == llm.silence_limit()
    assert isinstance(revived.callback_manager, CallbackManager)
