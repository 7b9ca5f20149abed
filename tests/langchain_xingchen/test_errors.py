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

OVERFLOW = "Range of input length should be [1, 30720]"

# Our class, and LangChain's that its instances belong to as well.
TREES: dict[type[core.XingchenError], type[Exception]] = {
    core.APIConnectionError: langchain.ModelConnectionError,
    core.APITimeoutError: langchain.ModelTimeoutError,
    core.APIResponseError: langchain.ModelAPIError,
    core.APIStatusError: langchain.ModelError,
    core.BadRequestError: langchain.ModelInvalidRequestError,
    core.ContextOverflowError: langchain.ContextOverflowError,
    core.ContentFilterError: getattr(langchain, "ModelRefusalError", langchain.ModelInvalidRequestError),
    core.AuthenticationError: langchain.ModelAuthenticationError,
    core.PermissionDeniedError: langchain.ModelPermissionDeniedError,
    core.BillingError: langchain.ModelPermissionDeniedError,
    core.NotFoundError: langchain.ModelNotFoundError,
    core.RateLimitError: langchain.ModelRateLimitError,
    core.InternalServerError: langchain.ModelAPIError,
}
RETRYABLE = {"gateway 408", "gateway 429", "gateway 500", "gateway 503", "proxy"}

# What the emulator is told to do, our class, and the service's code.
FAILURES: dict[str, tuple[dict[str, Any], type[core.XingchenError], str]] = {
    "gateway 400": ({"status": 400}, core.BadRequestError, "BadRequest"),
    "gateway 401": ({"status": 401}, core.AuthenticationError, "Unauthorized"),
    "gateway 402": ({"status": 402, "code": "Arrearage"}, core.BillingError, "Arrearage"),
    "gateway 403": ({"status": 403}, core.PermissionDeniedError, "Forbidden"),
    "gateway 404": ({"status": 404}, core.NotFoundError, "NotFound"),
    "gateway 408": ({"status": 408}, core.APIStatusError, "RequestTimeout"),
    "gateway 418": ({"status": 418, "code": "Teapot"}, core.APIStatusError, "Teapot"),
    "gateway 429": ({"status": 429, "retry_after": 7}, core.RateLimitError, "Throttling.RateQuota"),
    "gateway 500": ({"status": 500}, core.InternalServerError, "InternalError"),
    "gateway 503": ({"status": 503}, core.InternalServerError, "ServiceUnavailable"),
    "moderation": ({"code": "DataInspectionFailed"}, core.ContentFilterError, "DataInspectionFailed"),
    "overflow": ({"status": 400, "code": "Invalid", "message": OVERFLOW}, core.ContextOverflowError, "Invalid"),
    "business 400": ({"code": 400}, core.BadRequestError, "400"),
    "business token": ({"code": "aca.error.invalid.token"}, core.AuthenticationError, "400"),
    "business 401, a duplicate": ({"code": 401}, core.BadRequestError, "401"),
    "business 403": ({"code": 403}, core.PermissionDeniedError, "403"),
    "business 404": ({"code": 404}, core.NotFoundError, "404"),
    "business 404 under HTTP 200": ({"status": 200, "code": 404}, core.NotFoundError, "404"),
    "business 410": ({"code": 410}, core.PermissionDeniedError, "410"),
    "business 411": ({"code": 411}, core.PermissionDeniedError, "411"),
    "business 412": ({"code": 412}, core.PermissionDeniedError, "412"),
    "business 413": ({"code": 413}, core.PermissionDeniedError, "413"),
    "business 414": ({"code": 414}, core.PermissionDeniedError, "414"),
    "proxy": ({"kind": "html"}, core.InternalServerError, ""),
}


def failing(way: Callable[..., Any], model: ChatXingchen, **kwargs: Any) -> Any:
    """The error that a call ends with."""
    with pytest.raises(core.XingchenError) as caught:
        way(model, "你好", **kwargs)
    return caught.value


@pytest.mark.parametrize("name", FAILURES)
def test_refusals(make: MakeModel, emulator: Emulator, way: Way, name: str) -> None:
    """A refused call raises the class of both trees that its code means, with what the service said, and no key."""
    fault, ours, code = FAILURES[name]
    emulator.fail(**fault)
    error = failing(way, make(max_retries=0, api_key="sk-canary"))

    assert type(error).__name__ == ours.__name__
    assert isinstance(error, ours)
    assert isinstance(error, TREES[ours])
    assert error.is_retryable is (name in RETRYABLE)
    assert error.service == "xingchen"
    assert (error.code or "") == code
    if name.startswith("gateway"):
        assert error.status_code == fault["status"]
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


GATEWAY_403 = """{"requestId": "r1", "code": null, "success": null, "errorCode": 403, "errorName": "Forbidden",
                  "httpStatusCode": 403, "errorMessage": "No access"}"""


@pytest.mark.parametrize(
    ("body", "ours", "code"),
    [
        (GATEWAY_403, core.PermissionDeniedError, "Forbidden"),
        ('{"requestId":"r1","code":400,"success":false,"errorMessage":"Invalid Param"}', core.BadRequestError, "400"),
        ('{"requestId":"r1","success":null}', core.APIStatusError, "200"),
        ('{"requestId":"r1","code":200,"success":true,"data":null}', core.APIResponseError, None),
        ('{"requestId":"r1","code":200,"success":true,"data":{"choices":[]}}', core.APIResponseError, None),
        ('{"code":200,"success":true,"data":{"choices":[{"messages":[]}]}}', core.APIResponseError, None),
        ("not JSON", core.APIResponseError, None),
        ("", core.APIResponseError, None),
        ("[]", core.APIResponseError, None),
    ],
)
def test_http_200_is_no_success_by_itself(
    way: Way, body: str, ours: type[core.XingchenError], code: str | None
) -> None:
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
    assert isinstance(error, ours)
    assert isinstance(error, TREES[ours])
    assert error.code == code


SILENCE = 0.2
"""Seconds: short enough to wait for, long enough for a busy machine to say something."""

# What the emulator is told to do inside the stream, our class, and the service's code.
BREAKS: dict[str, tuple[dict[str, Any], type[core.XingchenError], str | None]] = {
    "error event": ({"kind": "error_event"}, core.BadRequestError, "InvalidParam"),
    "moderation": (
        {"kind": "error_event", "code": "DataInspectionFailed"},
        core.ContentFilterError,
        "DataInspectionFailed",
    ),
    "throttled": ({"kind": "error_event", "status": 429}, core.RateLimitError, "Throttling.RateQuota"),
    "cut": ({"kind": "cut"}, core.APIConnectionError, None),
    "cut inside an event": ({"kind": "cut", "inside_event": True}, core.APIConnectionError, None),
    "silent end": ({"kind": "silent_end"}, core.APIResponseError, None),
    "stall": ({"kind": "stall"}, core.APITimeoutError, None),
}


@pytest.mark.parametrize("after", [0, 2])
@pytest.mark.parametrize("name", BREAKS)
def test_broken_streams(make: MakeModel, emulator: Emulator, chunks_of: Chunks, name: str, after: int) -> None:
    """A stream that breaks raises what broke it, with the text that came before; it never just ends."""
    fault, ours, code = BREAKS[name]
    emulator.reply("今天天气真好。", chunks=["今天", "天气", "真好。"])
    emulator.fail(**fault, after=after)
    error = failing(chunks_of, make(max_retries=0, stream_chunk_timeout=SILENCE if name == "stall" else 60))

    assert isinstance(error, ours)
    assert isinstance(error, TREES[ours])
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
    error = failing(chunks_of, make(stream_chunk_timeout=SILENCE))
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
        self.reported.append((error, [generation.text for prompt in response.generations for generation in prompt]))


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
