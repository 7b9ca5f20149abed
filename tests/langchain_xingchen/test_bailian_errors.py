"""What failed calls of `ChatBailian` raise, what they keep, and how often they are sent."""

import pickle
from collections.abc import Callable
from typing import Any

import langchain_core.exceptions as langchain
import pytest
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.tracers.base import BaseTracer
from langchain_core.tracers.schemas import Run

import xingchen_core as core
from langchain_xingchen import ChatBailian
from xingchen_core.emulator import Emulator

Way = Callable[..., AIMessage]
Make = Callable[..., ChatBailian]
Chunks = Callable[..., list[AIMessageChunk]]


@pytest.fixture
def bailian(emulator: Emulator) -> Make:
    """Builds models at the emulator."""
    return lambda **fields: ChatBailian(**{"api_key": "test-key", "base_url": emulator.url, **fields})


def failing(way: Callable[..., Any], model: Any, prompt: Any = "你好", **kwargs: Any) -> Any:
    """The error that a call ends with."""
    with pytest.raises(core.XingchenError) as caught:
        way(model, prompt, **kwargs)
    return caught.value


# Code: (status, message, our class, LangChain's, how often it is sent).
REFUSALS: dict[str, tuple[int, str, type[core.APIStatusError], type[Exception], int]] = {
    "InvalidParameter": (400, "", core.BadRequestError, langchain.ModelInvalidRequestError, 1),
    "InternalError.Algo.InvalidParameter": (
        400,
        "Range of input length should be [1, 30720]",
        core.ContextOverflowError,
        langchain.ContextOverflowError,
        1,
    ),
    "DataInspectionFailed": (400, "", core.ContentFilterError, langchain.ModelInvalidRequestError, 1),
    "Arrearage": (400, "", core.BillingError, langchain.ModelPermissionDeniedError, 1),
    "InvalidApiKey": (401, "", core.AuthenticationError, langchain.ModelAuthenticationError, 1),
    "Model.AccessDenied": (403, "", core.PermissionDeniedError, langchain.ModelPermissionDeniedError, 1),
    "ModelNotFound": (404, "", core.NotFoundError, langchain.ModelNotFoundError, 1),
    "Throttling.RateQuota": (429, "", core.RateLimitError, langchain.ModelRateLimitError, 3),
    "Throttling.AllocationQuota": (429, "", core.RateLimitError, langchain.ModelRateLimitError, 3),
    "PostpaidBillOverdue": (429, "", core.BillingError, langchain.ModelPermissionDeniedError, 1),
    "InternalError": (500, "", core.InternalServerError, langchain.ModelAPIError, 3),
    "ModelUnavailable": (503, "", core.InternalServerError, langchain.ModelAPIError, 3),
}


@pytest.mark.parametrize("kind", ["status", "error_event"])
@pytest.mark.parametrize("code", REFUSALS)
def test_refusals(bailian: Make, emulator: Emulator, way: Way, code: str, kind: Any) -> None:
    """A refusal is of the class of both trees that its code means, whether it comes as a status or as an event."""
    status, message, ours, theirs, times = REFUSALS[code]
    emulator.fail(kind, status=status, code=code, message=message or None, times=5, service="bailian")
    error = failing(way, bailian())
    assert type(error).__name__ == ours.__name__
    assert isinstance(error, ours)
    assert isinstance(error, theirs)
    assert (error.code, error.status_code, error.service) == (code, status, "bailian")
    assert error.request_id
    assert error.partial_text == ""
    assert isinstance(error, langchain.ModelError)
    assert error.is_retryable is (times > 1)
    assert len(emulator.requests) == times


def test_a_blocked_request_is_a_refusal(bailian: Make, emulator: Emulator, way: Way) -> None:
    """Where langchain-core has an error for refusals, it is one."""
    emulator.fail("status", code="DataInspectionFailed")
    error = failing(way, bailian())
    refusal = getattr(langchain, "ModelRefusalError", None)
    assert refusal is None or isinstance(error, refusal)


def test_a_wrong_key_names_the_regions(bailian: Make, way: Way) -> None:
    """Keys belong to a region; the error says which host refused this one, and where else it may fit."""
    error = failing(way, bailian(api_key="invalid"))
    assert isinstance(error, langchain.ModelAuthenticationError)
    assert "127.0.0.1" in str(error)
    assert "region='ap-southeast-1' (https://dashscope-intl.aliyuncs.com)" in str(error)


@pytest.mark.parametrize(
    ("model", "endpoint", "advice"),
    [("qwen3-vl-plus", "text", "endpoint='multimodal'"), ("qwen-plus", "multimodal", "endpoint='text'")],
)
def test_the_wrong_path_is_advised_on(bailian: Make, way: Way, model: str, endpoint: str, advice: str) -> None:
    """The service only says "url error"; which option to change is ours to say."""
    error = failing(way, bailian(model=model, endpoint=endpoint))
    assert isinstance(error, core.BadRequestError)
    assert advice in str(error)


def test_no_key() -> None:
    """The error names argument, variable and the way without a key."""
    with pytest.raises(core.ConfigurationError, match=r"api_key=.* or set DASHSCOPE_API_KEY.*xingchen_core\.emulator"):
        ChatBailian()


BREAKS: dict[str, tuple[type[core.XingchenError], type[Exception]]] = {
    "cut": (core.APIConnectionError, langchain.ModelConnectionError),
    "silent_end": (core.APIResponseError, langchain.ModelAPIError),
    "error_event": (core.RateLimitError, langchain.ModelRateLimitError),
}


@pytest.mark.parametrize("kind", BREAKS)
def test_a_broken_stream_keeps_its_text(bailian: Make, emulator: Emulator, chunks_of: Chunks, kind: Any) -> None:
    """What came before the break is on the error, and the stream is not sent again."""
    ours, theirs = BREAKS[kind]
    emulator.bailian.reply(chunks=["天", "黑了", "。"])
    emulator.fail(kind, after=2, status=429 if kind == "error_event" else None)
    error = failing(chunks_of, bailian())
    assert isinstance(error, ours)
    assert isinstance(error, theirs)
    assert error.partial_text == "天黑了"
    assert len(emulator.requests) == 1


def test_a_silent_stream(bailian: Make, emulator: Emulator, chunks_of: Chunks) -> None:
    """Keep-alives do not count as an answer."""
    emulator.wire(keepalive=True)
    emulator.bailian.reply(chunks=["天", "黑了"])
    emulator.fail("stall", after=1)
    error = failing(chunks_of, bailian(stream_chunk_timeout=0.1))
    assert isinstance(error, langchain.ModelTimeoutError)
    assert error.partial_text == "天"


def test_a_stream_that_breaks_under_invoke(bailian: Make, emulator: Emulator, ask: Way) -> None:
    """A model that thinks is streamed under `invoke`: the error is the stream's, with its text."""
    emulator.bailian.reply(chunks=["天", "黑了"], thoughts="想")
    emulator.fail("cut", after=2)
    error = failing(ask, bailian(enable_thinking=True))
    assert isinstance(error, langchain.ModelConnectionError)
    assert error.partial_text == "天"


def test_callbacks_see_the_failure(bailian: Make, emulator: Emulator, chunks_of: Chunks) -> None:
    """They are given the error and the part of the answer that was there."""

    class Listener(BaseTracer):
        seen: Any = None

        def _persist_run(self, run: Run) -> None:
            Listener.seen = (run.error, run.outputs)

    emulator.bailian.reply(chunks=["天", "黑了"])
    emulator.fail("cut", after=1)
    failing(chunks_of, bailian(), config={"callbacks": [Listener()]})
    error, outputs = Listener.seen
    assert "APIConnectionError" in error
    assert outputs["generations"][0][0]["text"] == "天"


def test_errors_travel(bailian: Make, emulator: Emulator, ask: Way) -> None:
    """An error is the same after a pickle, as a worker process sends it."""
    emulator.fail("status", code="ModelNotFound")
    error = failing(ask, bailian())
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert (str(again), again.code, again.request_id) == (str(error), error.code, error.request_id)


def test_fallbacks_and_retries(bailian: Make, emulator: Emulator, way: Way) -> None:
    """LangChain's own wrappers know the errors: another model steps in before anything was shown."""
    emulator.fail("status", code="ModelUnavailable", times=3)
    emulator.bailian.reply("我来。")
    model = bailian().with_fallbacks([bailian(model="qwen-max")], exceptions_to_handle=(langchain.ModelAPIError,))
    assert way(model, "你好").content == "我来。"
    assert [request.json["model"] for request in emulator.requests] == ["qwen-plus"] * 3 + ["qwen-max"]
