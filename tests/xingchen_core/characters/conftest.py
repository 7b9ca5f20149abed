"""What the tests of the Xingchen calls share: an emulator, and clients of both colours that talk to it."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from xingchen_core.characters import XingchenSettings
from xingchen_core.emulator import Emulator

Connect = Callable[..., Any]


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """An emulator of its own for each test."""
    with Emulator() as running:
        yield running


@pytest.fixture
def client(emulator: Emulator, connect: Connect) -> Any:
    """A client of the emulator: `Client` and `AsyncClient` in turn, both used with `await`."""
    return connect(emulator.url, XingchenSettings, api_key="test-key")


@pytest.fixture
def service(connect: Connect) -> Connect:
    """Makes clients of a service that gives the answers in turn, the last one again and again.

    An answer is the `data` of the service's envelope, or a function that makes a whole response.
    """

    def make(*answers: Any, **fields: Any) -> Any:
        left = list(answers)

        def answer(request: httpx.Request) -> httpx.Response:
            given = left.pop(0) if len(left) > 1 else left[0]
            if callable(given):
                response: httpx.Response = given()
                return response
            return httpx.Response(200, json={"requestId": "r1", "code": 200, "success": True, "data": given})

        return connect(answer, XingchenSettings, api_key="test-key", **fields)

    return make


@pytest.fixture
def refusal() -> Callable[..., Callable[[], httpx.Response]]:
    """Makes answers for `service` that refuse, by the members of the service's error object."""

    def make(http_status: int = 400, **members: Any) -> Callable[[], httpx.Response]:
        return lambda: httpx.Response(http_status, json={"requestId": "r1", "success": False, **members})

    return make
