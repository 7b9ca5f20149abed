"""What the tests of `xingchen_core` share: clients of both colours, and retries that do not wait."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest

from toy_service import CLIENTS, settings
from xingchen_core._config import ConnectionSettings

Handler = Callable[[httpx.Request], httpx.Response]
Connect = Callable[..., Any]


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Retries and pauses wait for nothing; how long they would have waited, in seconds, is noted here."""
    noted: list[float] = []

    async def note(seconds: float) -> None:
        noted.append(seconds)

    monkeypatch.setattr("xingchen_core._client._sleep", noted.append)
    monkeypatch.setattr("xingchen_core._client._async_sleep", note)
    return noted


@pytest.fixture(params=CLIENTS.values(), ids=CLIENTS.keys())
async def connect(request: pytest.FixtureRequest) -> AsyncIterator[Connect]:
    """Makes clients of one colour, to be used with `await`: of a URL, or of a function that answers requests."""
    async with AsyncExitStack() as opened:

        def make(to: str | Handler, make_settings: Callable[..., ConnectionSettings] = settings, **fields: Any) -> Any:
            if isinstance(to, str):
                fields["base_url"] = to
            else:
                fields["http_client"] = httpx.Client(transport=httpx.MockTransport(to))
                fields["http_async_client"] = httpx.AsyncClient(transport=httpx.MockTransport(to))
            client = request.param(make_settings(**fields))
            opened.push_async_callback(client.aclose)
            return client

        yield make
