"""`Beebot`: what the conformance suite leaves to it, its second API, and what only robots do (items by number)."""

import asyncio
import copy
import inspect
import json
import logging
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, LLMMetadata, TextBlock
from llama_index.core.callbacks import CallbackManager, LlamaDebugHandler, TokenCountingHandler
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import LLM
from llama_index.core.memory import ChatMemoryBuffer
from pydantic import ValidationError

from llama_index_xingchen import Beebot
from llama_index_xingchen._base import XingchenLLM
from xingchen_core import (
    APIConnectionError,
    APIResponseError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    ConfigurationError,
    InternalServerError,
    UnsupportedOperationError,
    XingchenError,
    _http,
)
from xingchen_core.beebot import stream
from xingchen_core.emulator import Emulator

KEYS = {"access_key_id": "testid", "access_key_secret": "testsecret"}
HELLO = [ChatMessage(role="user", content="你好")]
SYS_TO_AGENT = {"sysToAgent": {"skillGroup": "12"}}

Make = Callable[..., Beebot]
Ask = Callable[..., list[Any]]


@pytest.fixture
def make(emulator: Emulator) -> Iterator[Make]:
    """Builds LLMs of the seeded robot; a test names only what it is about."""
    stream._tokens.clear()
    with ExitStack() as made:

        def make_robot(**fields: Any) -> Beebot:
            usual = {"instance_id": "chatbot-cn-demo", **KEYS, "base_url": emulator.url}
            return made.enter_context(Beebot(**{**usual, **fields}))

        yield make_robot


def said(response: Any) -> str:
    """The text of either kind of response."""
    text: str = response.message.content if hasattr(response, "message") else response.text
    return text


def questions(emulator: Emulator) -> list[dict[str, Any]]:
    """The parameters of each question, whichever way it was asked."""
    asked: list[dict[str, Any]] = []
    for received in emulator.requests:
        if received.path.startswith("/sse"):
            asked.append(json.loads(received.json["data"][0]["value"]))
        elif received.headers["x-acs-action"] == "Chat":
            asked.append(dict(received.query))
    return asked


@pytest.fixture(params=["stream", "rpc"])
def api(request: pytest.FixtureRequest) -> str:
    """Both ways to ask a robot."""
    name: str = request.param
    return name


def test_construction_needs_keys_and_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Item 1: made from keys alone, without opening anything; without keys the error says what to do."""

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("a client was made")

    monkeypatch.setattr(httpx, "Client", refuse)
    monkeypatch.setattr(httpx, "AsyncClient", refuse)
    assert isinstance(Beebot(**KEYS), LLM)
    with pytest.raises(ConfigurationError, match="ALIBABA_CLOUD_ACCESS_KEY_ID"):
        Beebot(instance_id="chatbot-cn-demo")


def test_names_and_sizes() -> None:
    """Items 2 and 3: the golden class name; sizes positive and in order; what the user gives wins."""
    assert Beebot.class_name() == "beebot_llm"
    metadata = Beebot(instance_id="chatbot-cn-demo", **KEYS).metadata
    assert isinstance(metadata, LLMMetadata)
    assert metadata.context_window > metadata.num_output > 0
    assert (metadata.is_chat_model, metadata.is_function_calling_model) == (True, False)
    assert metadata.model_name == "chatbot-cn-demo"
    given = Beebot(**KEYS, context_window=9000, num_output=100, model="qwen").metadata
    assert (given.context_window, given.num_output, given.model_name) == (9000, 100, "qwen")
    assert Beebot(**KEYS, max_tokens=99).metadata.num_output == 99


def test_no_functions() -> None:
    """Items 4 and 35: all eight methods are this package's, and nothing promises functions."""
    for name in ("chat", "achat", "stream_chat", "astream_chat", "complete", "acomplete"):
        owner = next(cls for cls in Beebot.__mro__ if name in cls.__dict__)
        assert issubclass(owner, XingchenLLM)
        assert inspect.iscoroutinefunction(getattr(Beebot, name)) is name.startswith("a")
    assert not issubclass(Beebot, FunctionCallingLLM)


def test_every_method_gives_the_answer(make: Make, emulator: Emulator, ask: Ask, method: str, api: str) -> None:
    """Items 5 and 6: each of the eight sends one question and ends with the answer and what belongs to it."""
    emulator.beebot.reply("请稍等", commands=SYS_TO_AGENT)
    last = ask(make(api=api), method, "转人工")[-1]
    assert said(last) == "请稍等"
    assert questions(emulator) == [{"InstanceId": "chatbot-cn-demo", "Utterance": "转人工"}]
    assert last.raw["finish_reason"] == "handover"
    assert last.raw["commands"] == SYS_TO_AGENT
    assert last.raw["model_name"] == "chatbot-cn-demo"
    assert all(last.raw[name] for name in ("session_id", "message_id", "request_id"))
    assert "usage" not in last.raw
    assert last.additional_kwargs == {}


def test_the_ways_agree(make: Make, emulator: Emulator, ask: Ask, api: str) -> None:
    """Item 5: sync and async, whole and streamed, end with the same message and the same facts."""
    found = []
    for method in ("chat", "achat", "stream_chat", "astream_chat"):
        emulator.beebot.reply("甲。", references=["手册"], related=["怎么退货?"])
        last = ask(make(api=api, session_id="s1"), method)[-1]
        ids = {name: last.raw.pop(name) for name in ("message_id", "request_id")}
        assert all(ids.values())
        found.append((last.message, last.raw))
    assert all(each == found[0] for each in found)


def test_what_llama_index_gives_is_kept() -> None:
    """Item 7: LlamaIndex's own fields are accepted by name."""
    manager = CallbackManager([])
    llm = Beebot(**KEYS, system_prompt="简短", callback_manager=manager, pydantic_program_mode="llm")
    assert (llm.system_prompt, llm.callback_manager) == ("简短", manager)


def test_unknown_arguments_are_refused(make: Make, ask: Ask, emulator: Emulator, method: str) -> None:
    """Item 8: nothing a caller gives is ignored, and no value is repeated."""
    with pytest.raises(ValidationError) as refused:
        Beebot(**KEYS, sesion_id="canary")
    assert "canary" not in str(refused.value)
    for unknown in ({"sesion_id": "canary"}, {"timeout": 1}, {"access_key_id": "canary"}):
        with pytest.raises(TypeError, match=next(iter(unknown))) as caught:
            ask(make(), method, **unknown)
        assert "canary" not in str(caught.value)
    assert emulator.requests == []


def test_per_call_keywords_win(make: Make, ask: Ask, emulator: Emulator, method: str, api: str) -> None:
    """Items 9 and 52: a keyword counts for its call only; the framework's own reach no question."""
    llm = make(api=api, session_id="s1", additional_kwargs={"Future": "1"})
    stray = {"tool_required": False, "tool_choice": None, "allow_parallel_tool_calls": False, "verbose": True}
    ask(llm, method, session_id="s2", sender_id="u2", temperature=0.5, model_name="qwen", **stray)
    ask(llm, method)
    common = {"InstanceId": "chatbot-cn-demo", "Utterance": "你好", "Future": "1"}
    assert questions(emulator) == [{**common, "SessionId": "s2", "SenderId": "u2"}, {**common, "SessionId": "s1"}]


def test_the_way_to_ask_per_call(make: Make, ask: Ask, emulator: Emulator, method: str) -> None:
    """Item 9: which API answers may be said per call too."""
    last = ask(make(), method, "你是谁?", api="rpc", model_name="qwen")[-1]
    assert said(last) == "我是智能客服小蜜，能帮您开发票、办退货、查物流。"
    assert last.raw["model_name"] == "qwen"
    assert [received.headers["x-acs-action"] for received in emulator.requests] == ["Chat"]


@pytest.mark.parametrize("role", ["system", "developer", "assistant", "chatbot", "model", "tool", "function"])
def test_only_users_ask(make: Make, ask: Ask, emulator: Emulator, role: Any) -> None:
    """Item 10: what others said is not sent; the newest question is."""
    before = ChatMessage(role=role, content="略")
    ask(make(system_prompt="简短"), "chat", [before, ChatMessage(role="user", content="你好"), before])
    assert questions(emulator)[0]["Utterance"] == "你好"
    with pytest.raises(ConfigurationError, match="no human message"):
        ask(make(), "chat", [before])


def test_a_forgotten_session_is_logged(make: Make, ask: Ask, caplog: pytest.LogCaptureFixture) -> None:
    """Several questions without a session are a mistake in most cases."""
    messages = [*HELLO, ChatMessage(role="assistant", content="您好"), *HELLO]
    with caplog.at_level(logging.WARNING):
        ask(make(), "chat", messages, session_id="s1")
        assert caplog.records == []
        ask(make(), "chat", messages)
    assert "session_id" in caplog.records[0].getMessage()


def test_a_stream(make: Make, ask: Ask, emulator: Emulator, stream_method: str) -> None:
    """Items 11 to 13: each chunk holds the deltas so far in one text block; facts come with the last."""
    emulator.beebot.reply(chunks=["我是", "小蜜", "。"], related=["怎么退货?"])
    seen = ask(make(), stream_method)
    assert [response.delta for response in seen] == ["我是", "小蜜", "。", ""]
    assert [response.message.content for response in seen] == ["我是", "我是小蜜", "我是小蜜。", "我是小蜜。"]
    assert all([type(block) for block in response.message.blocks] == [TextBlock] for response in seen)
    assert [response.raw for response in seen[:-1]] == [{}, {}, {}]
    assert seen[-1].raw["related_questions"] == ["怎么退货?"]


def test_an_empty_answer_yields_a_chunk(make: Make, ask: Ask, emulator: Emulator, method: str, api: str) -> None:
    """Item 15: an answer without text is one response."""
    emulator.beebot.reply("", commands=SYS_TO_AGENT)
    [only] = ask(make(api=api), method)
    assert said(only) == ""
    assert only.raw["finish_reason"] == "handover"


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"kind": "error_event", "status": 500}, APIStatusError),
        ({"kind": "cut"}, APIConnectionError),
        ({"kind": "cut", "inside_event": True}, APIConnectionError),
        ({"kind": "silent_end"}, APIResponseError),
        ({"kind": "stall"}, APITimeoutError),
    ],
    ids=str,
)
def test_a_broken_stream(
    make: Make, ask: Ask, emulator: Emulator, method: str, fault: dict[str, Any], error: type[XingchenError]
) -> None:
    """Items 20 and 45: a typed error carries what came; nothing is asked again."""
    emulator.beebot.reply(chunks=["我是", "小蜜", "。"])
    emulator.fail(**fault, after=2)
    with pytest.raises(error) as caught:
        ask(make(stream_chunk_timeout=0.1), method)
    assert (caught.value.partial_text, caught.value.service) == ("我是小蜜", "beebot")
    assert len(questions(emulator)) == 1


def test_a_refused_stream_fails_before_it_is_iterated(make: Make, emulator: Emulator, api: str) -> None:
    """Item 21: both streams are sent at the call: the sync one fails there, the async one at `await`."""
    llm = make(api=api, access_key_secret="wrong")
    with pytest.raises(AuthenticationError):
        llm.stream_chat(HELLO)

    async def only_await() -> None:
        await llm.astream_chat(HELLO)

    with pytest.raises(AuthenticationError):
        asyncio.run(only_await())
    assert len(emulator.requests) == 2


def test_a_rewritten_answer(make: Make, ask: Ask, emulator: Emulator, method: str) -> None:
    """A replaced text is not pasted behind the old one: streams say so at their end, whole answers are the new text."""
    emulator.beebot.reply(snapshots=["这个嘛", "换个话题吧。"])
    last = ask(make(), method)[-1]
    assert said(last) == ("这个嘛" if "stream" in method else "换个话题吧。")
    assert last.raw["final_text"] == "换个话题吧。"


def test_events_come_once(make: Make, ask: Ask, events: list[Any], method: str, api: str) -> None:
    """Items 39 and 40: one start, one end, an event per chunk, one pair for older handlers."""
    counter, debug = TokenCountingHandler(tokenizer=list), LlamaDebugHandler(print_trace_on_end=False)
    seen = ask(make(api=api, callback_manager=CallbackManager([counter, debug])), method)
    kinds = [type(event).__name__ for event in events]
    kind = "LLMChat" if "chat" in method else "LLMCompletion"
    chunks = [f"{kind}InProgressEvent"] * len(seen) if "stream" in method else []
    assert kinds == [f"{kind}StartEvent", *chunks, f"{kind}EndEvent"]
    assert events[0].model_dict["class_name"] == "beebot_llm"
    assert len(counter.llm_token_counts) == 1
    assert len(debug.get_llm_inputs_outputs()) == 1


CANARY = "canary-4711"


def test_no_secret_is_shown(
    make: Make, ask: Ask, emulator: Emulator, events: list[Any], method: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Item 42: neither keys nor the stream's URL are in a dump, an event, a callback payload, a log or an error."""
    caplog.set_level(logging.DEBUG)
    emulator.beebot.add_access_key("STS.test", CANARY, security_token=f"{CANARY}-token")
    debug = LlamaDebugHandler(print_trace_on_end=False)
    llm = make(
        access_key_id="STS.test",
        access_key_secret=CANARY,
        security_token=f"{CANARY}-token",
        callback_manager=CallbackManager([debug]),
    )
    ask(llm, method)
    emulator.fail("error_event", status=500)
    with pytest.raises(InternalServerError) as caught:
        ask(llm, method)
    payloads = [event.payload for pair in debug.get_llm_inputs_outputs() for event in pair]
    shown = [repr(llm), str(llm), str(llm.to_dict()), llm.to_json(), llm.model_dump_json(), str(llm.metadata)]
    shown += [repr(events), repr([event.model_dump() for event in events]), repr(payloads), caplog.text]
    shown += [f"{caught.value}{caught.value!r}{vars(caught.value)}"]
    token = next(iter(emulator.beebot.tokens.values()))
    secrets = (CANARY, token.access_token, token.channel_id, token.stream_secret)
    assert [secret for secret in secrets if any(secret in text for text in shown)] == []
    assert "STS.test" not in llm.to_json()


def test_the_dictionary_makes_an_llm(make: Make, ask: Ask, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Item 43: `from_dict(to_dict())` works with the keys from the environment, by way of JSON too."""
    llm = make(session_id="s1", timeout=httpx.Timeout(5.0, read=9.0), vendor_params={"a": 1})
    monkeypatch.setenv("ALIBABA_CLOUD_ACCESS_KEY_ID", "testid")
    monkeypatch.setenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "testsecret")
    for revived in (Beebot.from_dict(llm.to_dict()), Beebot.from_json(llm.to_json())):
        with revived:
            assert said(ask(revived, "chat")[0])
        assert revived.call_timeout() == httpx.Timeout(5.0, read=9.0)
        assert revived.to_dict() == llm.to_dict()
    assert questions(emulator)[-1]["SessionId"] == "s1"


@pytest.mark.parametrize(
    "clone",
    [lambda llm: pickle.loads(pickle.dumps(llm)), copy.deepcopy, copy.copy, lambda llm: llm.model_copy()],
    ids=["pickle", "deepcopy", "copy", "model_copy"],
)
def test_copies_work(make: Make, ask: Ask, clone: Callable[[Beebot], Beebot], method: str) -> None:
    """Item 43: a copy that was made after a call asks the same robot with the same keys."""
    llm = make(session_id="s1")
    first = said(ask(llm, method)[-1])
    with clone(llm) as copied:
        assert said(ask(copied, method)[-1]) == first
        assert copied.to_dict() == llm.to_dict()


def test_pickles_of_an_llm_from_the_environment(ask: Ask, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Item 43: what came from the environment travels along: keys, and both hosts, each its own."""
    stream._tokens.clear()
    monkeypatch.setenv("ALIBABA_CLOUD_ACCESS_KEY_ID", "testid")
    monkeypatch.setenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "testsecret")
    monkeypatch.setenv("BEEBOT_BASE_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("BEEBOT_STREAM_BASE_URL", emulator.url)
    text = pickle.dumps(Beebot(instance_id="chatbot-cn-demo"))
    for name in ("ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET", "BEEBOT_BASE_URL"):
        monkeypatch.delenv(name)
    monkeypatch.delenv("BEEBOT_STREAM_BASE_URL")
    revived = pickle.loads(text)
    assert (revived.origin(), revived.stream_origin()) == ("http://127.0.0.1:1", emulator.url)
    assert revived.access_key_secret.get_secret_value() == "testsecret"


class Limiter:
    """Counts how often it is asked."""

    def __init__(self) -> None:
        self.acquired = 0

    def acquire(self, num_tokens: int = 0) -> None:
        self.acquired += 1

    async def async_acquire(self, num_tokens: int = 0) -> None:
        self.acquired += 1


@pytest.mark.skipif("rate_limiter" not in LLM.model_fields, reason="newer than the oldest LlamaIndex we support")
def test_the_rate_limiter_is_asked_once(make: Make, ask: Ask, emulator: Emulator, method: str, api: str) -> None:
    """Item 44: once per call, not per attempt, not for the token, not per chunk."""
    limiter = Limiter()
    emulator.fail("status", code="Throttling")
    ask(make(api=api, rate_limiter=limiter), method)
    assert len(questions(emulator)) == 2
    assert limiter.acquired == 1


@pytest.mark.parametrize(("fault", "sent"), [({"status": 500}, 1), ({"code": "Throttling.User"}, 3)])
def test_retries(
    make: Make, ask: Ask, emulator: Emulator, method: str, api: str, fault: dict[str, Any], sent: int
) -> None:
    """Item 45: a question the robot may have heard is not repeated, one it refused to hear is."""
    emulator.fail(**fault, times=9)
    with pytest.raises(APIStatusError):
        ask(make(api=api), method)
    assert len(questions(emulator)) == sent


def test_the_time_limit_holds(make: Make, ask: Ask, emulator: Emulator, method: str, api: str) -> None:
    """Item 46: a robot that never answers raises a typed error when the time is over."""
    emulator.fail("stall")
    with pytest.raises(APITimeoutError):
        ask(make(api=api, timeout=0.1), method)


def test_clients(emulator: Emulator, ask: Ask, method: str) -> None:
    """Item 47: our own clients are closed by `with`; a caller's is used and left open."""
    stream._tokens.clear()
    fields = {"instance_id": "chatbot-cn-demo", **KEYS, "base_url": emulator.url}
    others = _http.sync_clients.clients()
    with Beebot(**fields) as llm:
        ask(llm, "chat")
        opened = [client for client in _http.sync_clients.clients() if client not in others]
    assert opened
    assert all(client.is_closed for client in opened)
    with httpx.Client(trust_env=False, verify=False) as own:
        given = Beebot(**fields, http_client=own)
        ask(given, "chat")
        given.close()
        assert not own.is_closed


async def test_many_async_calls_run_at_once(make: Make, emulator: Emulator) -> None:
    """Item 49: questions of 20 sessions are answered side by side, with one token."""
    llm = make()
    answers = await asyncio.gather(*(llm.achat(HELLO, session_id=f"s{number}") for number in range(20)))
    assert len(answers) == 20
    assert [received.path for received in emulator.requests].count("/") == 1
    await llm.aclose()


def test_threads_do_not_mix_their_sessions(make: Make) -> None:
    """Items 50 and 52: 20 threads with one object each go on with their own conversation."""
    llm = make()

    def talk(number: int) -> str:
        first = llm.complete(f"我叫小{number}")
        return llm.complete("我叫什么?", session_id=first.raw["session_id"]).text

    with ThreadPoolExecutor(20) as pool:
        assert list(pool.map(talk, range(20))) == [f"您叫小{number}。" for number in range(20)]


def test_what_is_no_text_is_not_sent(make: Make, ask: Ask, emulator: Emulator, stream_method: str) -> None:
    """Item 51: a picture raises before anything is sent; so does a question that is too long."""
    picture = ChatMessage(role="user", blocks=[TextBlock(text="看"), ImageBlock(url="https://example.invalid/a.png")])
    with pytest.raises(UnsupportedOperationError):
        ask(make(), stream_method, [picture])
    with pytest.raises(ConfigurationError, match="513 characters"):
        ask(make(), stream_method, "长" * 513)
    assert emulator.requests == []


@pytest.mark.parametrize("streaming", [False, True])
def test_a_chat_engine(make: Make, emulator: Emulator, api: str, streaming: bool) -> None:
    """LlamaIndex's engine keeps the history, the robot the session: each turn sends its question only."""
    memory = ChatMemoryBuffer.from_defaults(token_limit=1000)  # the default one opens a database
    engine = SimpleChatEngine.from_defaults(llm=make(api=api, session_id="s1"), memory=memory, system_prompt="简短")
    ask = (
        (lambda text: "".join(engine.stream_chat(text).response_gen)) if streaming else (lambda t: str(engine.chat(t)))
    )
    ask("我叫小明")
    assert ask("我叫什么?") == "您叫小明。"
    assert [question["Utterance"] for question in questions(emulator)] == ["我叫小明", "我叫什么?"]
    assert [message.role.value for message in engine.chat_history] == ["user", "assistant"] * 2
