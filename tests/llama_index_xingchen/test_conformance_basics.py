"""Conformance items 1 to 10, 21, 35, 47, 51 and 52: construction, metadata, and what reaches the wire."""

import asyncio
import inspect
from typing import Any

import httpx
import pytest
from llama_index.core.base.llms.types import (
    AudioBlock,
    ChatMessage,
    DocumentBlock,
    ImageBlock,
    LLMMetadata,
    TextBlock,
    VideoBlock,
)
from llama_index.core.callbacks import CallbackManager
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import LLM
from llama_index.core.output_parsers import PydanticOutputParser
from llama_index.core.types import PydanticProgramMode
from pydantic import BaseModel, ValidationError

from llama_index_xingchen._base import XingchenLLM
from xingchen_core import AuthenticationError, ConfigurationError, UnsupportedOperationError, _http

METHODS = (
    "chat",
    "achat",
    "stream_chat",
    "astream_chat",
    "complete",
    "acomplete",
    "stream_complete",
    "astream_complete",
)


class Note(BaseModel):
    text: str


def hello(given: Any) -> str:
    """A prompt function of the caller's."""
    return "你好"


def test_construction_needs_a_key_and_no_network(case: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Item 1: an LLM is made from a key alone, and making it opens nothing."""

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("a client was made")

    monkeypatch.setattr(httpx, "Client", refuse)
    monkeypatch.setattr(httpx, "AsyncClient", refuse)
    assert isinstance(case.cls(**case.keys), LLM)


def test_no_key_is_a_configuration_error(case: Any) -> None:
    """Without a key, construction says what to do; the error is not wrapped by pydantic."""
    with pytest.raises(ConfigurationError, match=r"(api_key|access_key_id)=.* set [A-Z_]+_(API_KEY|KEY_ID)"):
        case.cls(**case.fields)


def test_class_name_is_golden(case: Any) -> None:
    """Item 2: the name in dumps and traces never changes."""
    assert case.cls.class_name() == case.class_name


def test_class_names_are_unique() -> None:
    """Item 2: no two exported LLMs share a name."""
    import llama_index_xingchen

    exported = [getattr(llama_index_xingchen, name) for name in llama_index_xingchen.__all__]
    names = [cls.class_name() for cls in exported if issubclass(cls, LLM)]
    assert names
    assert len(names) == len(set(names))


def test_metadata(case: Any) -> None:
    """Item 3: sizes are positive and in order, and what the user gives wins."""
    metadata = case.cls(**case.keys, **case.fields).metadata
    assert isinstance(metadata, LLMMetadata)
    assert metadata.context_window > metadata.num_output > 0
    assert (metadata.is_chat_model, metadata.is_function_calling_model) == (True, case.calls_functions)
    assert metadata.model_name == case.model_name
    given = case.cls(**case.keys, **case.fields, context_window=32768, num_output=2048, model="other").metadata
    assert (given.context_window, given.num_output, given.model_name) == (32768, 2048, "other")
    assert case.cls(**case.keys, **case.fields, max_tokens=99).metadata.num_output == 99


def test_all_eight_methods_are_our_own(case: Any) -> None:
    """Item 4: none of the eight is inherited from LlamaIndex, and the async streams are coroutines."""
    for name in METHODS:
        owner = next(cls for cls in case.cls.__mro__ if name in cls.__dict__)
        assert issubclass(owner, XingchenLLM)
        assert inspect.iscoroutinefunction(getattr(case.cls, name)) is name.startswith("a")


def test_sync_and_async_agree(canned: Any, ask: Any) -> None:
    """Item 5: the same bytes give the same responses, sync and async, whole and streamed."""
    llm = canned()
    assert ask(llm, "chat") == ask(llm, "achat")
    assert ask(llm, "stream_chat") == ask(llm, "astream_chat")
    assert ask(llm, "complete") == ask(llm, "acomplete")
    assert ask(llm, "stream_complete") == ask(llm, "astream_complete")
    whole, last = ask(llm, "chat")[0], ask(llm, "stream_chat")[-1]
    assert (whole.message, whole.raw, whole.additional_kwargs) == (last.message, last.raw, last.additional_kwargs)


def test_all_methods_give_the_answer_and_its_usage(canned: Any, ask: Any, method: str) -> None:
    """Items 5 and 6: each of the eight ends with the text, and with usage where counters look for it."""
    last = ask(canned(), method)[-1]
    assert (last.message.content if "chat" in method else last.text) == "我叫小婉。"
    assert last.raw["usage"]["prompt_tokens"] == last.raw["usage"]["input_tokens"] == 1336
    assert last.raw["usage"]["completion_tokens"] == last.raw["usage"]["output_tokens"] == 5
    assert last.raw["usage"]["total_tokens"] == 1341
    assert {name: last.additional_kwargs[name] for name in ("prompt_tokens", "completion_tokens", "total_tokens")} == {
        "prompt_tokens": 1336,
        "completion_tokens": 5,
        "total_tokens": 1341,
    }


def test_complete_sends_one_user_message(case: Any, make: Any, ask: Any, emulator: Any, method: str) -> None:
    """Item 6: `complete(p)` and `chat([user p])` send the same conversation."""
    ask(make(), method, "今天天气好吗?")
    assert case.texts(emulator.requests[-1].json) == ["今天天气好吗?"]


def test_the_framework_s_own_fields_are_kept(case: Any) -> None:
    """Item 7: what LlamaIndex's base class takes is accepted by name and kept."""
    given: dict[str, Any] = {
        "system_prompt": "简短回答。",
        "messages_to_prompt": hello,
        "completion_to_prompt": hello,
        "output_parser": PydanticOutputParser(output_cls=Note),
        "pydantic_program_mode": PydanticProgramMode.LLM,
        "callback_manager": CallbackManager([]),
    }
    if "rate_limiter" in LLM.model_fields:  # newer than the oldest LlamaIndex we support
        given["rate_limiter"] = object()
    llm = case.cls(**case.keys, **case.fields, **given)
    assert {name: getattr(llm, name) for name in given} == given


def test_an_unknown_argument_is_refused_without_its_value(case: Any) -> None:
    """Item 8: a misspelt argument raises, and the message does not repeat what may be a secret."""
    with pytest.raises(ValidationError) as caught:
        case.cls(**case.keys, **case.fields, api_kye="canary-value")
    assert "api_kye" in str(caught.value)
    assert "canary-value" not in str(caught.value)


def test_per_call_keywords_win(case: Any, make: Any, ask: Any, emulator: Any, method: str) -> None:
    """Item 9: a keyword of the call replaces the constructor's value, for this call only, in all eight methods."""
    llm = make(temperature=0.5)
    ask(llm, method, temperature=0.25)
    ask(llm, method)
    assert [case.temperature(request.json) for request in emulator.requests] == [0.25, 0.5]


def test_the_framework_s_own_keywords_are_not_sent(make: Any, ask: Any, emulator: Any, method: str) -> None:
    """LlamaIndex's programs and agents pass switches of theirs along: they do no harm and reach no request."""
    stray = {"tool_required": False, "tool_choice": None, "allow_parallel_tool_calls": False, "verbose": True}
    ask(make(), method, **stray, **({} if "chat" in method else {"formatted": True}))
    body = emulator.requests[-1].body.decode()
    assert not [name for name in (*stray, "formatted") if name in body]


@pytest.mark.parametrize("unknown", [{"temprature": 1}, {"timeout": 1}, {"api_key": "canary-value"}])
def test_any_other_unknown_keyword_raises(
    make: Any, ask: Any, emulator: Any, method: str, unknown: dict[str, Any]
) -> None:
    """Nothing a caller asks for is ignored, nothing is sent, and no value is repeated."""
    with pytest.raises(TypeError, match=next(iter(unknown))) as caught:
        ask(make(), method, **unknown)
    assert "canary-value" not in str(caught.value)
    assert emulator.requests == []


def test_a_refused_stream_fails_before_it_is_iterated(make: Any, emulator: Any) -> None:
    """Item 21: both streams are sent at the call: the sync one fails there, the async one at `await`."""
    llm, messages = make(), [ChatMessage(role="user", content="你好")]
    emulator.fail("status", status=401, times=2)
    with pytest.raises(AuthenticationError):
        llm.stream_chat(messages)

    async def only_await() -> None:
        await llm.astream_chat(messages)

    with pytest.raises(AuthenticationError):
        asyncio.run(only_await())
    assert len(emulator.requests) == 2


def test_only_function_calling_classes_are_function_calling_llms(case: Any) -> None:
    """Item 35: what says it can call functions has the methods for it."""
    assert issubclass(case.cls, FunctionCallingLLM) is ("is_function_calling_model" in case.cls.model_fields)


def test_an_injected_client_is_used_and_left_open(canned: Any, ask: Any, method: str) -> None:
    """Item 47: the caller's clients send the requests, and closing the LLM does not close them."""
    llm = canned()
    ask(llm, method)
    llm.close()
    asyncio.run(llm.aclose())
    assert len(canned.requests) == 1
    assert not llm.http_client.is_closed
    assert not llm.http_async_client.is_closed


def test_our_own_clients_are_closed(case: Any, emulator: Any, ask: Any) -> None:
    """Item 47: leaving `with` and `async with` closes what the LLM opened."""
    fields = {**case.keys, "base_url": emulator.url, **case.fields}
    others = _http.sync_clients.clients()
    with case.cls(**fields) as llm:
        ask(llm, "chat")
        opened = [client for client in _http.sync_clients.clients() if client not in others]
    assert opened
    assert all(client.is_closed for client in opened)

    async def use() -> list[httpx.AsyncClient]:
        async with case.cls(**fields) as llm:
            await llm.achat([ChatMessage(role="user", content="你好")])
            return (await _http.async_clients()).clients()

    opened_async = asyncio.run(use())
    assert opened_async
    assert all(client.is_closed for client in opened_async)


URL = "https://example.com/a"
MEDIA = (ImageBlock(url=URL), AudioBlock(url=URL), VideoBlock(url=URL), DocumentBlock(url=URL))


@pytest.mark.parametrize("block", MEDIA, ids=lambda block: block.block_type)
def test_what_is_no_text_is_sent_or_refused(case: Any, make: Any, emulator: Any, block: Any, ask: Any) -> None:
    """Item 51: nothing is left out in silence: a block raises before anything is sent, or it is in the request."""
    messages = [ChatMessage(role="user", blocks=[TextBlock(text="看"), block])]
    if block.block_type in case.refused:
        with pytest.raises(UnsupportedOperationError, match=block.block_type):
            ask(make(), "chat", messages)
        assert emulator.requests == []
    else:
        ask(make(**case.seeing), "chat", messages)
        assert URL in emulator.requests[-1].body.decode()


def test_users_are_told_apart_per_call(case: Any, make: Any, ask: Any, emulator: Any, method: str) -> None:
    """Item 52: a user given for a call counts for it alone; without one, no two calls share a user."""
    if case.user is None:
        pytest.skip("the service does not know its users, and remembers nothing")
    llm = make(user_id=None)
    ask(llm, method, user_id="u7")
    ask(llm, method)
    ask(llm, method)
    first, second, third = (case.user(request.json) for request in emulator.requests)
    assert first == "u7"
    assert len({first, second, third}) == 3
    assert llm.user_id is None
