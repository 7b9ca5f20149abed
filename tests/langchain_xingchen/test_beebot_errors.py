"""What failed calls of `ChatBeebot` raise, how often they are sent, and what nobody gets to see."""

import logging
import pickle
import socket
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import langchain_core.exceptions as langchain
import pytest
from langchain_core.load import dumps
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.tracers.base import BaseTracer
from langchain_core.tracers.schemas import Run

import xingchen_core as core
from langchain_xingchen import ChatBeebot
from xingchen_core.beebot import stream
from xingchen_core.emulator import Emulator

KEYS = {"access_key_id": "testid", "access_key_secret": "testsecret"}

MakeRobot = Callable[..., ChatBeebot]
Way = Callable[..., AIMessage]
Chunks = Callable[..., list[AIMessageChunk]]


@pytest.fixture
def make(emulator: Emulator) -> Iterator[MakeRobot]:
    """Builds models of the seeded robot. They are closed after the test."""
    stream._tokens.clear()
    with ExitStack() as made:

        def make_robot(**fields: Any) -> ChatBeebot:
            usual = {"instance_id": "chatbot-cn-demo", **KEYS, "base_url": emulator.url}
            return made.enter_context(ChatBeebot(**{**usual, **fields}))

        yield make_robot


def failing(way: Callable[..., Any], model: ChatBeebot, **kwargs: Any) -> Any:
    """The error that a call ends with."""
    with pytest.raises(core.XingchenError) as caught:
        way(model, "你好", **kwargs)
    return caught.value


def sent(emulator: Emulator) -> int:
    """How many questions were sent, either way."""
    return sum(
        received.path.startswith("/sse") or received.headers.get("x-acs-action") == "Chat"
        for received in emulator.requests
    )


# The service's code, our class, LangChain's, and how often a question is sent.
REFUSALS: dict[str, tuple[type[core.APIStatusError], type[Exception], int]] = {
    "InvalidParameter": (core.BadRequestError, langchain.ModelInvalidRequestError, 1),
    "InvalidInstance.NotFound": (core.NotFoundError, langchain.ModelNotFoundError, 1),
    "InstanceFreezing": (core.BillingError, langchain.ModelPermissionDeniedError, 1),
    "Forbidden": (core.PermissionDeniedError, langchain.ModelPermissionDeniedError, 1),
    "Throttling.User": (core.RateLimitError, langchain.ModelRateLimitError, 3),
    "InternalError": (core.InternalServerError, langchain.ModelAPIError, 1),
    "ServiceUnavailable": (core.InternalServerError, langchain.ModelAPIError, 1),
}


@pytest.mark.parametrize("code", REFUSALS)
def test_refused_calls(make: MakeRobot, emulator: Emulator, way: Way, code: str) -> None:
    """A refused `Chat` call raises the class of both trees that its code means, with what the service said."""
    ours, theirs, times = REFUSALS[code]
    emulator.fail("status", code=code, times=10)
    error = failing(way, make(api="rpc"))
    assert type(error).__name__ == ours.__name__
    assert isinstance(error, ours)
    assert isinstance(error, theirs)
    assert (error.code, error.service) == (code, "beebot")
    assert error.request_id == error.response.json()["RequestId"]
    assert sent(emulator) == times


@pytest.mark.parametrize("code", REFUSALS)
def test_refused_streams(make: MakeRobot, emulator: Emulator, way: Way, code: str) -> None:
    """The same for an event that refuses; it has no HTTP response."""
    ours, theirs, times = REFUSALS[code]
    emulator.fail("error_event", code=code, times=10)
    error = failing(way, make())
    assert isinstance(error, ours)
    assert isinstance(error, theirs)
    assert (error.code, error.service, error.response) == (code, "beebot", None)
    assert error.request_id
    assert sent(emulator) == times


@pytest.mark.parametrize("api", ["stream", "rpc"])
@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"access_key_id": "nobody"}, "InvalidAccessKeyId.NotFound"),
        ({"access_key_secret": "wrong"}, "SignatureDoesNotMatch"),
        ({"security_token": "invalid"}, "InvalidSecurityToken.Malformed"),
    ],
)
def test_wrong_keys(make: MakeRobot, emulator: Emulator, way: Way, api: str, fields: dict[str, str], code: str) -> None:
    """Keys that do not fit are an authentication error that says what to check; nothing is repeated."""
    error = failing(way, make(api=api, **fields))
    assert isinstance(error, langchain.ModelAuthenticationError)
    assert error.code == code
    assert "AccessKey" in str(error)
    assert len(emulator.requests) == 1


@pytest.mark.parametrize("api", ["stream", "rpc"])
def test_an_unknown_robot(make: MakeRobot, emulator: Emulator, way: Way, api: str) -> None:
    """A robot that does not exist is named, and its token is not blamed."""
    error = failing(way, make(api=api, instance_id="chatbot-cn-nobody"))
    assert isinstance(error, langchain.ModelNotFoundError)
    assert "chatbot-cn-nobody" in str(error)
    assert sent(emulator) == 1


@pytest.mark.parametrize("status", [200, 403])
def test_a_token_refused_for_good(make: MakeRobot, emulator: Emulator, way: Way, status: int) -> None:
    """A stream that opens with no token is an error that quotes the page, after one new token."""
    emulator.beebot.bad_url_status = status
    emulator.beebot.token_seconds = -1.0
    error = failing(way, make())
    assert isinstance(error, langchain.ModelAPIError if status == 200 else langchain.ModelPermissionDeniedError)
    assert "<!DOCTYPE html>" in str(error)
    assert [received.path == "/" for received in emulator.requests] == [True, False, True, False]


BREAKS: dict[str, tuple[dict[str, Any], type[core.XingchenError]]] = {
    "error event": ({"kind": "error_event", "status": 500}, core.InternalServerError),
    "cut": ({"kind": "cut"}, core.APIConnectionError),
    "cut inside an event": ({"kind": "cut", "inside_event": True}, core.APIConnectionError),
    "silent end": ({"kind": "silent_end"}, core.APIResponseError),
    "stall": ({"kind": "stall"}, core.APITimeoutError),
}


@pytest.mark.parametrize("after", [0, 2])
@pytest.mark.parametrize("name", BREAKS)
def test_broken_streams(make: MakeRobot, emulator: Emulator, chunks_of: Chunks, name: str, after: int) -> None:
    """A stream that breaks raises what broke it, with the text that came before, and is asked once."""
    fault, ours = BREAKS[name]
    emulator.reply(chunks=["今天", "天气", "真好。"])
    emulator.fail(**fault, after=after)
    error = failing(chunks_of, make(stream_chunk_timeout=0.1))
    assert isinstance(error, ours)
    assert error.partial_text == ("今天天气" if after else "")
    assert error.service == "beebot"
    assert sent(emulator) == 1


@pytest.mark.parametrize("api", ["stream", "rpc"])
@pytest.mark.parametrize("fault", [{"status": 503}, {"kind": "html"}, {"kind": "drop"}, {"kind": "cut"}], ids=str)
def test_what_may_have_been_heard_is_not_said_twice(
    make: MakeRobot, emulator: Emulator, way: Way, api: str, fault: dict[str, Any]
) -> None:
    """The robot remembers its conversation: after any failure but throttling the question is not repeated."""
    emulator.fail(**fault, times=10)
    failing(way, make(api=api, max_retries=5))
    assert sent(emulator) == 1


@pytest.mark.parametrize("api", ["stream", "rpc"])
def test_a_service_that_is_not_there(way: Way, waits: list[float], api: str) -> None:
    """A connection that cannot be made is tried again: nobody heard the question."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with ChatBeebot(instance_id="chatbot-cn-demo", **KEYS, base_url=url, api=api) as model:
            error = failing(way, model)
    assert isinstance(error, langchain.ModelConnectionError)
    assert len(waits) == 2


def test_tokens_are_asked_for_again(make: MakeRobot, emulator: Emulator, way: Way) -> None:
    """Asking for a token changes nothing: it is repeated as any read."""
    emulator.fail("status", status=503, path="/ApplyForStreamAccessToken", times=2)
    assert way(make(), "你好").text
    assert len(emulator.requests) == 4


def test_fallbacks(make: MakeRobot, emulator: Emulator, way: Way) -> None:
    """A robot that cannot answer hands over to another, before the first chunk."""
    emulator.beebot.add_robot("chatbot-cn-two")
    emulator.fail("error_event", status=500)
    emulator.reply("我来替它。")
    assert way(make().with_fallbacks([make(instance_id="chatbot-cn-two")]), "你好").content == "我来替它。"


@pytest.mark.parametrize("call", ["welcome", "suggest", "rate"])
def test_the_other_calls_raise_the_same(make: MakeRobot, emulator: Emulator, call: str) -> None:
    """The calls around a conversation raise LangChain's errors as well."""
    model = make(max_retries=0)
    given: dict[str, tuple[Any, ...]] = {"suggest": ("发",), "rate": (model.invoke("你好"), True)}
    emulator.fail("status", code="Throttling", path="/", times=1)
    with pytest.raises(langchain.ModelRateLimitError) as caught:
        getattr(model, call)(*given.get(call, ()))
    assert isinstance(caught.value, core.RateLimitError)


def test_errors_pickle(make: MakeRobot, emulator: Emulator) -> None:
    """An error survives the way to another process with all it carries."""
    emulator.fail("status", code="InstanceFreezing")
    error = failing(ChatBeebot.invoke, make(api="rpc"))
    here = pickle.loads(pickle.dumps(error))
    assert (type(here), str(here), here.code) == (type(error), str(error), "InstanceFreezing")


class Tracer(BaseTracer):
    """Keeps whole runs, as they are sent to a tracing service."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[str] = []

    def _persist_run(self, run: Run) -> None:
        self.runs.append(run.model_dump_json(fallback=repr))


def secrets_of(emulator: Emulator) -> list[str]:
    """Everything that opens something: the secret, the security token, and the parts of each stream's URL."""
    tokens = emulator.beebot.tokens.values()
    parts = [part for token in tokens for part in (token.access_token, token.channel_id, token.stream_secret)]
    signs = [received.path.split("/")[5] for received in emulator.requests if received.path.startswith("/sse")]
    return ["canary-secret", "canary-sts", *parts, *signs]


@pytest.mark.parametrize("api", ["stream", "rpc"])
@pytest.mark.parametrize(
    "fault",
    [
        None,
        {"status": 500},
        {"status": 401},
        {"code": "Throttling"},
        {"kind": "html", "status": 200},
        {"kind": "html"},
        {"kind": "drop"},
        {"kind": "stall"},
        {"kind": "cut", "after": 1},
        {"kind": "error_event", "after": 1},
        {"kind": "silent_end", "after": 1},
    ],
    ids=str,
)
def test_no_secret_is_seen(
    make: MakeRobot,
    emulator: Emulator,
    caplog: pytest.LogCaptureFixture,
    way: Way,
    api: str,
    fault: dict[str, Any] | None,
) -> None:
    """Whether a call succeeds or fails: logs, traces, answers and errors show neither keys nor a stream's URL."""
    emulator.beebot.add_access_key("STS.test", "canary-secret", security_token="canary-sts")
    if fault:
        emulator.fail(**fault, times=4)
    tracer = Tracer()
    keys = {"access_key_id": "STS.test", "access_key_secret": "canary-secret", "security_token": "canary-sts"}
    model = make(api=api, timeout=0.2, max_retries=1, **keys)
    found = {"model": f"{model!r}{model}{model.model_dump()}{dumps(model)}"}
    with caplog.at_level(logging.DEBUG):
        try:
            found["answer"] = repr(way(model, "你好", config={"callbacks": [tracer]}))
        except core.XingchenError as error:
            found["traceback"] = "".join(traceback.format_exception(error))
            found["attributes"] = repr(vars(error))
            if getattr(error, "response", None) is not None:
                response = error.response
                found["response"] = f"{response.request.url}{response.request.headers}{response.headers}{response.text}"
    found["trace"] = "".join(tracer.runs)
    found["log"] = "".join(f"{record.getMessage()}{vars(record)}" for record in caplog.records)

    assert {
        (name, secret) for name, text in found.items() for secret in secrets_of(emulator) if secret in text
    } == set()
    assert "你好" in found["trace"]
    assert "beebot POST /" in found["log"]
    assert emulator.requests[0].headers["x-acs-security-token"] == "canary-sts"
