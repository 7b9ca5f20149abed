"""The pytest fixture `xingchen_emulator`, registered for users' own tests by the entry point `pytest11`."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from xingchen_core.emulator import Emulator


@pytest.fixture
def xingchen_emulator() -> "Iterator[Emulator]":
    """A running `Emulator` with nothing scripted; a fresh one for every test."""
    from xingchen_core.emulator import Emulator

    with Emulator() as emulator:
        yield emulator
