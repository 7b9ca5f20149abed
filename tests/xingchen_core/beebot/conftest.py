"""What the tests of Beebot share: an emulator, clients of both colours, and no token of an earlier test."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from xingchen_core.beebot import BeebotSettings, stream
from xingchen_core.emulator import Emulator

KEYS = {"access_key_id": "testid", "access_key_secret": "testsecret"}

Connect = Callable[..., Any]


@pytest.fixture(autouse=True)
def no_tokens_known() -> Iterator[None]:
    """Each test begins and ends without tokens: emulators of several tests may have the same port."""
    stream._tokens.clear()
    yield
    stream._tokens.clear()


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """An emulator of its own for each test."""
    with Emulator() as running:
        yield running


@pytest.fixture
def settings(emulator: Emulator) -> Callable[..., BeebotSettings]:
    """Makes settings that reach the emulator."""
    return lambda **fields: BeebotSettings(**{**KEYS, "base_url": emulator.url, **fields})


@pytest.fixture
def client(emulator: Emulator, connect: Connect) -> Any:
    """A client of the emulator: `Client` and `AsyncClient` in turn, both used with `await`."""
    return connect(emulator.url, BeebotSettings, **KEYS)
