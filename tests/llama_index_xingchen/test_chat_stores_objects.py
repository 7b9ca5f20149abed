"""Chat stores as objects: names, dumps, copies, construction, errors."""

import copy
import inspect
import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core.storage.chat_store.base import BaseChatStore
from llama_index.core.storage.chat_store.base_db import AsyncDBChatStore
from pydantic import ValidationError

from chat_store_words import ASYNC_NAMES, HISTORY, KEY, calls, said, user
from llama_index_xingchen import XingchenChatStore, XingchenDBChatStore
from xingchen_core import APIStatusError, ConfigurationError
from xingchen_core.emulator import Emulator

Do = Callable[..., Any]


@pytest.mark.parametrize("cls", [XingchenChatStore, XingchenDBChatStore])
def test_class_names(cls: type[Any]) -> None:
    """The names in dumps do not change."""
    assert cls.class_name() == cls.__name__
    assert issubclass(cls, BaseChatStore if cls is XingchenChatStore else AsyncDBChatStore)


@pytest.mark.parametrize("names", ASYNC_NAMES.items(), ids=lambda names: names[0])
def test_both_colours_are_our_own(names: tuple[str, str]) -> None:
    """LlamaIndex's async methods would run the sync ones in threads; ours are coroutines of their own."""
    for name in names:
        assert getattr(XingchenChatStore, name) is not getattr(BaseChatStore, name)
    assert inspect.iscoroutinefunction(getattr(XingchenChatStore, names[1]))


@pytest.mark.parametrize("cls", [XingchenChatStore, XingchenDBChatStore])
def test_dumps(make_store: Do, cls: type[Any], emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dump is plain data without the key or a header; with the key in the environment it makes the same store."""
    store = make_store(cls, api_key="canary", cache_seconds=0.5, limit=7, default_headers={"x": "canary"}, timeout=9)
    dumped = store.to_dict()
    assert "canary" not in json.dumps(dumped) + repr(store)
    assert dumped["class_name"] == cls.__name__
    monkeypatch.setenv("XINGCHEN_API_KEY", "test-key")
    with cls.from_dict(dumped) as again:
        assert (again.cache_seconds, again.limit, again.base_url, again.timeout) == (0.5, 7, emulator.url, 9.0)
        assert again.silence_limit() == store.silence_limit()
        assert again.api_key.get_secret_value() == "test-key"


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda store: pickle.loads(pickle.dumps(store))])
def test_copies_know_what_was_said(store: XingchenChatStore, do: Do, emulator: Emulator, clone: Do) -> None:
    """A pickle and a deep copy take pending messages, resets and keys along, and go their own ways from there."""
    emulator.xingchen.add_messages("quiet", "u1", ["旧的"])
    do(store, "delete_messages", KEY)
    do(store, "add_message", KEY, user("新的"))
    with clone(store) as other:
        assert said(do(other, "get_messages", KEY)) == [("user", "新的")]
        assert do(other, "get_keys") == [KEY]
        do(other, "add_message", KEY, user("只在副本"))
    assert said(do(store, "get_messages", KEY)) == [("user", "新的")]


def test_construction() -> None:
    """No key raises a plain error, an unknown or impossible setting pydantic's; nothing else is needed."""
    with pytest.raises(ConfigurationError, match="XINGCHEN_API_KEY"):
        XingchenChatStore()
    with pytest.raises(ValidationError):
        XingchenChatStore(api_key="test-key", cache=1)  # type: ignore[call-arg]
    with pytest.raises(ValidationError):
        XingchenDBChatStore(api_key="test-key", cache_seconds=-1)
    with pytest.raises(ValidationError):
        XingchenDBChatStore(api_key="test-key", limit=0)
    XingchenChatStore(api_key="test-key")


@pytest.mark.parametrize(("status", "attempts"), [(500, 3), (403, 1)])
def test_errors_of_the_service(
    store: XingchenChatStore, do: Do, emulator: Emulator, status: int, attempts: int
) -> None:
    """Item 45: a failing read raises a typed error, tried as often as the policy says."""
    emulator.fail("status", status=status, times=5, service="xingchen", path=HISTORY)
    with pytest.raises(APIStatusError) as caught:
        do(store, "get_messages", KEY)
    assert caught.value.status_code == status
    assert calls(emulator, HISTORY) == attempts
