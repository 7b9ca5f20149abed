"""What a failed call raises: the package's errors and LangChain's at once, with everything the service said."""

import pickle
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import httpx
import langchain_core.exceptions as langchain
import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import LLMResult

import xingchen_core as core
from langchain_xingchen import ChatXingchen
from xingchen_core.emulator import Emulator

MakeModel = Callable[..., ChatXingchen]
Way = Callable[..., AIMessage]
Chunks = Callable[..., list[AIMessageChunk]]

REFUSAL: type[Exception] = getattr(langchain, "ModelRefusalError", langchain.ModelInvalidRequestError)
OVERFLOW = "Range of input length should be [1, 30720]"

# name: (what the emulator is told to do, our class, LangChain's class, code, may be tried again)
FAILURES: dict[str, tuple[dict[str, Any], type[Exception], type[Exception], str, bool]] = {
    "gateway, bad request": ({"status": 400}, core.BadRequestError, langchain.ModelInvalidRequestError, "BadRequest", False),
    "gateway, no key": ({"status": 401}, core.AuthenticationError, langchain.ModelAuthenticationError, "Unauthorized", False),
    "gateway, not paid": (
        {"status": 402, "code": "Arrearage"},
        core.BillingError,
        langchain.ModelPermissionDeniedError,
        "Arrearage",
        False,
    ),
    "gateway, forbidden": (
        {"status": 403},
        core.PermissionDeniedError,
        langchain.ModelPermissionDeniedError,
        "Forbidden",
        False,
    ),
    "gateway, not found": ({"status": 404}, core.NotFoundError, langchain.ModelNotFoundError, "NotFound", False),
    "gateway, timeout": ({"status": 408}, core.APIStatusError, langchain.ModelError, "RequestTimeout", True),
    "gateway, unknown": ({"status": 418, "code": "Teapot"}, core.APIStatusError, langchain.ModelError, "Teapot", False),
    "gateway, throttled": (
        {"status": 429, "retry_after": 7},
        core.RateLimitError,
        langchain.ModelRateLimitError,
        "Throttling.RateQuota",
        True,
    ),
    "gateway, 500": ({"status": 500}, core.InternalServerError, langchain.ModelAPIError, "InternalError", True),
    "gateway, 503": ({"status": 503}, core.InternalServerError, langchain.ModelAPIError, "ServiceUnavailable", True),
    "gateway, moderation": (
        {"code": "DataInspectionFailed"},
        core.ContentFilterError,
        REFUSAL,
        "DataInspectionFailed",
        False,
    ),
    "gateway, too long": (
        {"status": 400, "code": "InvalidParameter", "message": OVERFLOW},
        core.ContextOverflowError,
        langchain.ContextOverflowError,
        "InvalidParameter",
        False,
    ),
    "service, bad value": ({"code": 400}, core.BadRequestError, langchain.ModelInvalidRequestError, "400", False),
    "service, bad token": (
        {"code": "aca.error.invalid.token"},
        core.AuthenticationError,
        langchain.ModelAuthenticationError,
        "400",
        False,
    ),
    "service, duplicate": ({"code": 401}, core.BadRequestError, langchain.ModelInvalidRequestError, "401", False),
    **{
        f"service, {code}": (
            {"code": code},
            core.PermissionDeniedError,
            langchain.ModelPermissionDeniedError,
            str(code),
            False,
        )
        for code in (403, 410, 411, 412, 413, 414)
    },
    "service, not found": ({"code": 404}, core.NotFoundError, langchain.ModelNotFoundError, "404", False),
    "service, not found under HTTP 200": (
        {"status": 200, "code": 404},
        core.NotFoundError,
        langchain.ModelNotFoundError,
        "404",
        False,
    ),
    "proxy's HTML": ({"kind": "html"}, core.InternalServerError, langchain.ModelAPIError, "", True),
}


def failing(way: Callable[..., Any], model: ChatXingchen, **kwargs: Any) -> Any:
    """The error that a call ends with."""
    with pytest.raises(core.XingchenError) as caught:
        way(model, "你好", **kwargs)
    return caught.value


@pytest.mark.parametrize("name", FAILURES)
def test_refusals(make: MakeModel, emulator: Emulator, way: Way, name: str) -> None:
    """A refused call raises the class of both trees that its code means, with the code, ids and answer of the service."""
    fault, ours, theirs, code, retryable = FAILURES[name]
    emulator.fail(**fault)
    error = failing(way, make(max_retries=0, api_key="sk-canary"))

    assert type(error).__name__ == ours.__name__
    assert isinstance(error, ours)
    assert isinstance(error, theirs)
    assert error.is_retryable is retryable
    assert error.service == "xingchen"
    assert (error.code or "") == code
    assert error.retry_after == fault.get("retry_after")
    assert error.partial_text == ""
    if fault.get("kind") != "html":
        assert error.request_id == error.response.json()["requestId"]
        assert error.request_id in str(error)
    assert error.response.status_code == fault.get("status", 502 if "kind" in fault else 400)
    assert error.response.request.url.path == "/v2/api/chat/send"
    assert "sk-canary" not in f"{error}{error!r}{vars(error)}{error.response.request.headers.raw}"


def test_a_refused_key(make: MakeModel, way: Way) -> None:
    """A wrong key is an authentication error that says where keys come from, and not what the key was."""
    error = failing(way, make(api_key="invalid"))
    assert isinstance(error, langchain.ModelAuthenticationError)
    assert "Xingchen console" in str(error)
    assert "Bearer" not in str(error)


def test_an_unknown_character(make: MakeModel, way: Way) -> None:
    """A character that does not exist is a `NotFoundError` that names it."""
    error = failing(way, make(character_id="nobody"))
    assert isinstance(error, core.NotFoundError)
    assert isinstance(error, langchain.ModelNotFoundError)
    assert "nobody" in str(error)


@pytest.mark.parametrize(
    ("body", "kind", "code"),
    [
        # the gateway's failure under HTTP 200, where `success` is null
        (
            '{"requestId":"r1","code":null,"success":null,"errorCode":403,"errorName":"Forbidden","httpStatusCode":403,'
            '"errorMessage":"no"}',
            core.PermissionDeniedError,
            "Forbidden",
        ),
        ('{"requestId":"r1","code":400,"success":false,"errorMessage":"Invalid Param"}', core.BadRequestError, "400"),
        ('{"requestId":"r1","success":null}', core.APIStatusError, "200"),
        ('{"requestId":"r1","code":200,"success":true,"data":null}', core.APIResponseError, None),
        ('{"requestId":"r1","code":200,"success":true,"data":{"choices":[]}}', core.APIResponseError, None),
        ('{"requestId":"r1","code":200,"success":true,"data":{"choices":[{"messages":[]}]}}', core.APIResponseError, None),
        ("not JSON", core.APIResponseError, None),
        ("", core.APIResponseError, None),
        ("[]", core.APIResponseError, None),
    ],
)
def test_http_200_is_no_success_by_itself(way: Way, body: str, kind: type[core.XingchenError], code: str | None) -> None:
    """A failure inside HTTP 200 is raised, and an answer without an answer is never an empty message."""
    transport = httpx.MockTransport(
        lambda request: httpx.Response(200, text=body, headers={"content-type": "application/json"})
    )
    with httpx.Client(transport=transport) as client:
        model = ChatXingchen(
            character_id="demo",
            api_key="test-key",
            max_retries=0,
            http_client=client,
            http_async_client=httpx.AsyncClient(transport=transport),
        )
        error = failing(way, model)
    assert isinstance(error, kind)
    assert isinstance(error, langchain.ModelError)
    assert error.code == code


# name: (what the emulator is told to do inside the stream, our class, LangChain's class, code)
BREAKS: dict[str, tuple[dict[str, Any], type[core.XingchenError], type[Exception], str | None]] = {
    "error event": ({"kind": "error_event"}, core.BadRequestError, langchain.ModelInvalidRequestError, "InvalidParam"),
    "moderation": (
        {"kind": "error_event", "code": "DataInspectionFailed"},
        core.ContentFilterError,
        REFUSAL,
        "DataInspectionFailed",
    ),
    "throttled": (
        {"kind": "error_event", "status": 429},
        core.RateLimitError,
        langchain.ModelRateLimitError,
        "Throttling.RateQuota",
    ),
    "cut": ({"kind": "cut"}, core.APIConnectionError, langchain.ModelConnectionError, None),
    "cut inside an event": (
        {"kind": "cut", "inside_event": True},
        core.APIConnectionError,
        langchain.ModelConnectionError,
        None,
    ),
    "silent end": ({"kind": "silent_end"}, core.APIResponseError, langchain.ModelAPIError, None),
    "stall": ({"kind": "stall"}, core.APITimeoutError, langchain.ModelTimeoutError, None),
}


@pytest.mark.parametrize("after", [0, 2])
@pytest.mark.parametrize("name", BREAKS)
def test_broken_streams(make: MakeModel, emulator: Emulator, chunks_of: Chunks, name: str, after: int) -> None:
    """A stream that breaks raises what broke it, with the text that came before; it never just ends."""
    fault, ours, theirs, code = BREAKS[name]
    emulator.reply("今天天气真好。", chunks=["今天", "天气", "真好。"])
    emulator.fail(**fault, after=after)
    error = failing(chunks_of, make(max_retries=0, stream_chunk_timeout=0.05))

    assert isinstance(error, ours)
    assert isinstance(error, theirs)
    assert error.partial_text == ("今天天气" if after else "")
    assert error.code == code
    assert error.service == "xingchen"
    if code:
        assert error.request_id


def test_keep_alives_are_no_answer(make: MakeModel, emulator: Emulator, chunks_of: Chunks) -> None:
    """A service that sends only comments is given up after `stream_chunk_timeout`."""
    emulator.wire(keepalive=True)
    emulator.reply("今天天气真好。", chunks=["今天", "天气", "真好。"])
    emulator.fail("stall", after=1)
    error = failing(chunks_of, make(stream_chunk_timeout=0.05))
    assert isinstance(error, langchain.ModelTimeoutError)
    assert error.partial_text == "今天"
    assert "keep-alives" in str(error)


def test_connection_refused(way: Way) -> None:
    """No service at all is a connection error that names the host only."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        model = ChatXingchen(character_id="demo", api_key="test-key", base_url=f"http://127.0.0.1:{port}")
        error = failing(way, model)
    model.close()
    assert isinstance(error, langchain.ModelConnectionError)
    assert not isinstance(error, core.APITimeoutError)
    assert error.is_retryable
    assert "127.0.0.1" in str(error)
    assert "/v2/api" not in str(error)


class Errors(BaseCallbackHandler):
    """Notes what LangChain reports about a failed run."""

    def __init__(self) -> None:
        self.reported: list[tuple[BaseException, list[str]]] = []

    def on_llm_error(self, error: BaseException, *, response: LLMResult | None = None, **kwargs: Any) -> None:
        assert response is not None
        self.reported.append((error, [generation.text for generations in response.generations for generation in generations]))


def test_callbacks_get_the_partial_answer(make: MakeModel, emulator: Emulator, chunks_of: Chunks) -> None:
    """`on_llm_error` is told the error that the caller gets, and what had been said."""
    handler = Errors()
    emulator.reply("今天天气真好。", chunks=["今天", "天气", "真好。"])
    emulator.fail("error_event", after=2)
    error = failing(chunks_of, make(), config={"callbacks": [handler]})
    [(reported, texts)] = handler.reported
    assert reported is error
    assert texts[0] == "今天天气"


@pytest.mark.parametrize("fault", [{"status": 500}, {"kind": "error_event"}, {"kind": "drop"}, {"kind": "html"}])
def test_fallbacks_take_over_before_the_first_chunk(
    make: MakeModel, emulator: Emulator, way: Way, fault: dict[str, Any]
) -> None:
    """A stream that cannot begin, like a call that fails, hands over to the fallback."""
    emulator.fail(**fault)
    emulator.reply("我来替她。")
    model = make(max_retries=0).with_fallbacks([make(model="xingchen-plus")])
    assert way(model, "你好").content == "我来替她。"
    assert emulator.requests[1].json["model"] == "xingchen-plus"


def test_no_fallback_after_the_first_chunk(make: MakeModel, emulator: Emulator, chunks_of: Chunks) -> None:
    """What was shown cannot be taken back: the error comes out."""
    emulator.reply("今天天气真好。", chunks=["今天", "天气", "真好。"])
    emulator.fail("cut", after=1)
    error = failing(chunks_of, make().with_fallbacks([make()]))
    assert error.partial_text == "今天"
    assert len(emulator.requests) == 1


def test_errors_pickle(make: MakeModel, emulator: Emulator) -> None:
    """An error survives the way to another process, one that has never met its class, with all attributes."""
    emulator.fail(status=429, retry_after=7)
    error = failing(ChatXingchen.invoke, make(max_retries=0))
    here = pickle.loads(pickle.dumps(error))
    assert type(here) is type(error)
    assert str(here) == str(error)
    assert here.response.json() == error.response.json()

    program = (
        "import pickle, sys\n"
        "error = pickle.load(sys.stdin.buffer)\n"
        "from langchain_core.exceptions import ModelRateLimitError\n"
        "from xingchen_core import RateLimitError\n"
        "assert isinstance(error, RateLimitError) and isinstance(error, ModelRateLimitError)\n"
        "print(error.code, error.retry_after, error.status_code, error.response.status_code)"
    )
    done = subprocess.run([sys.executable, "-c", program], input=pickle.dumps(error), capture_output=True, check=False)
    assert done.stderr.decode() == ""
    assert done.stdout.decode().split() == ["Throttling.RateQuota", "7.0", "429", "429"]
