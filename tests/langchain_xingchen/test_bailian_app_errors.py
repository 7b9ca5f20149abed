"""What failed calls of `ChatBailianApp` raise, how often they are sent, and what had been said before."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import langchain_core.exceptions as langchain
import pytest
from langchain_core.messages import AIMessage, AIMessageChunk

import xingchen_core as core
from langchain_xingchen import ChatBailianApp
from xingchen_core.emulator import Emulator

MakeApp = Callable[..., ChatBailianApp]
Way = Callable[..., AIMessage]
Chunks = Callable[..., list[AIMessageChunk]]


@pytest.fixture
def make(emulator: Emulator) -> Iterator[MakeApp]:
    """Builds models of the seeded agent. They are closed after the test."""
    with ExitStack() as made:

        def make_app(**fields: Any) -> ChatBailianApp:
            usual = {"app_id": "demo", "api_key": "test-key", "base_url": emulator.url}
            return made.enter_context(ChatBailianApp(**{**usual, **fields}))

        yield make_app


def failing(way: Callable[..., Any], model: ChatBailianApp, **kwargs: Any) -> Any:
    """The error that a call ends with."""
    with pytest.raises(core.XingchenError) as caught:
        way(model, "你好", **kwargs)
    return caught.value


# HTTP status and the service's code; our class, LangChain's, and how often a question is sent.
REFUSALS: dict[tuple[int, str], tuple[type[core.APIStatusError], type[Exception], int]] = {
    (400, "InvalidParameter"): (core.BadRequestError, langchain.ModelInvalidRequestError, 1),
    (400, "DataInspectionFailed"): (core.ContentFilterError, langchain.ModelInvalidRequestError, 1),
    (400, "Arrearage"): (core.BillingError, langchain.ModelPermissionDeniedError, 1),
    (401, "InvalidApiKey"): (core.AuthenticationError, langchain.ModelAuthenticationError, 1),
    (403, "App.AccessDenied"): (core.PermissionDeniedError, langchain.ModelPermissionDeniedError, 1),
    (404, "WorkSpaceNotFound"): (core.NotFoundError, langchain.ModelNotFoundError, 1),
    (429, "Throttling.RateQuota"): (core.RateLimitError, langchain.ModelRateLimitError, 3),
    (429, "PrepaidBillOverdue"): (core.BillingError, langchain.ModelPermissionDeniedError, 1),
    (500, "InternalError"): (core.InternalServerError, langchain.ModelAPIError, 3),
    (500, "AppProcessFailed"): (core.InternalServerError, langchain.ModelAPIError, 2),
}


@pytest.mark.parametrize("refusal", REFUSALS, ids=str)
def test_refused_calls(make: MakeApp, emulator: Emulator, way: Way, refusal: tuple[int, str]) -> None:
    """A refusal raises the class of both trees that its code means, with what the service said."""
    status, code = refusal
    ours, theirs, times = REFUSALS[refusal]
    emulator.fail("status", status=status, code=code, times=10)
    error = failing(way, make())
    assert isinstance(error, ours)
    assert isinstance(error, theirs)
    assert (error.status_code, error.code, error.service) == (status, code, "bailian")
    assert error.request_id == error.response.json()["request_id"]
    assert len(emulator.requests) == times


def test_refused_in_a_stream(make: MakeApp, emulator: Emulator, chunks_of: Chunks) -> None:
    """An error event under HTTP 200 has the status of its comment; after the first words nothing is repeated."""
    emulator.bailian.reply(chunks=["您", "好"])
    emulator.fail("error_event", status=429, code="Throttling", after=1)
    error = failing(chunks_of, make())
    assert isinstance(error, langchain.ModelRateLimitError)
    assert (error.status_code, error.code, error.partial_text) == (429, "Throttling", "您")
    assert len(emulator.requests) == 1


@pytest.mark.parametrize("fault", ["cut", "silent_end"])
def test_streams_that_break(make: MakeApp, emulator: Emulator, chunks_of: Chunks, fault: Any) -> None:
    """A stream without its last event is an error with what it had said, not an answer."""
    emulator.bailian.reply(chunks=["您", "好"])
    emulator.fail(fault, after=1)
    error = failing(chunks_of, make())
    assert isinstance(error, (langchain.ModelConnectionError, langchain.ModelAPIError))
    assert error.partial_text == "您"


@pytest.mark.parametrize(
    ("asked", "times"), [({}, 3), ({"session_id": "0" * 32}, 1), ({"memory_id": "mem_fake"}, 1)], ids=str
)
def test_what_the_service_may_have_heard(
    make: MakeApp, emulator: Emulator, way: Way, asked: dict[str, str], times: int
) -> None:
    """A question that the service would remember is not sent again when it may have been heard."""
    emulator.fail("status", status=500, code="InternalError", times=10)
    failing(way, make(), **asked)
    assert len(emulator.requests) == times


def test_wrong_applications_and_workspaces(make: MakeApp, emulator: Emulator, way: Way) -> None:
    """An unknown application looks like one that is not published; a sub-workspace has to be named."""
    error = failing(way, make(app_id="nowhere"))
    assert error.code == "App.AccessDenied"
    assert "published" in str(error)
    emulator.bailian.add_app("sub", workspace="ws-fake")
    assert "workspace_id=" in str(failing(way, make(app_id="sub")))
    assert way(make(app_id="sub", workspace_id="ws-fake"), "你好").text


def test_a_node_that_fails(make: MakeApp, emulator: Emulator, way: Way) -> None:
    """A workflow that fails in a node is tried once more."""
    for _ in range(3):
        emulator.bailian.reply(nodes=[{"type": "LLM", "name": "大模型", "fails": "no model"}])
    error = failing(way, make(app_id="demo-flow"))
    assert isinstance(error, langchain.ModelAPIError)
    assert error.code == "AppProcessFailed"
    assert len(emulator.requests) == 2
