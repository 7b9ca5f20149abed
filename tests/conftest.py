"""What holds for every test: no network but loopback, no settings from the caller's environment, no waiting."""

import asyncio
import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from vcr.cassette import Cassette

from cassette_format import ACCOUNT, cassette_path, origin, recorder
from isolation import block_network, callers_settings
from xingchen_core._http import sync_clients
from xingchen_core.characters.received import RECEIVED

ROOT = Path(__file__).parent.parent
RECORDING = bool(os.environ.get("RECORD_CASSETTES"))


@pytest.fixture(scope="session", autouse=True)
def only_loopback() -> Iterator[None]:
    """Tests reach no address but this machine's own; only `make record` does."""
    with pytest.MonkeyPatch.context() as patch:
        if not RECORDING:
            block_network(patch)
        yield


@pytest.fixture(scope="module", autouse=True)
def no_connection_left() -> Iterator[None]:
    """Closes the shared clients that a module's tests have left to the end of the process, as models may."""
    yield
    gc.collect()
    for key, (client, users) in list(sync_clients._clients.items()):
        if not users:
            del sync_clients._clients[key]
            client.close()


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key, address or proxy of whoever runs the suite reaches a test."""
    if not RECORDING:
        for name in callers_settings(os.environ):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries and pauses wait for nothing. A test that looks at the waits replaces these two again."""
    monkeypatch.setattr("xingchen_core._client._sleep", lambda _: None)
    monkeypatch.setattr("xingchen_core._client._async_sleep", lambda _: asyncio.sleep(0))


_recorded: set[Path] = set()


@pytest.fixture
def cassette(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cassette]:
    """Plays `cassettes/<package>/<test module>/<test>.yaml` to every httpx client; all of it must be played.

    Keys and ids of the account (`cassette_format.ACCOUNT`) are in the environment: invented ones while playing, the
    caller's while recording. `@pytest.mark.cassette("package/test_module/test_name")` names the file of another test.
    """
    marker = request.node.get_closest_marker("cassette")
    test = ".".join(part.__name__ for part in (request.cls, request.function) if part)
    path = cassette_path(ROOT, request.path, test)
    if marker:
        path = (ROOT / "cassettes" / marker.args[0]).with_suffix(".yaml")
    if RECORDING:
        if path.exists() and origin(yaml.safe_load(path.read_text("utf-8"))) == "documentation":
            pytest.skip("this cassette is the documentation's sample; delete the file to record the service instead")
        if path in _recorded:
            pytest.skip("recorded by the first test, or the first parameters, that play it")
        _recorded.add(path)
        vcr = recorder({os.environ[name]: invented for name, invented in ACCOUNT.items() if os.environ.get(name)})
        using = vcr.use_cassette(str(path), record_mode="all", drop_unused_requests=True)
    else:
        for name, invented in ACCOUNT.items():
            monkeypatch.setenv(name, invented)
        using = recorder().use_cassette(str(path), record_mode="none")
    with using as playing:
        yield playing
    if not RECORDING:
        assert playing.all_played, f"{path.name} holds interactions that this test no longer makes"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """While recording, only tests with a cassette run."""
    if RECORDING:
        others = [item for item in items if "cassette" not in getattr(item, "fixturenames", ())]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in others]


@pytest.fixture(autouse=True)
def nothing_received() -> Iterator[None]:
    """No test knows another's answers: emulators give the same ids in every run, and ports are given again."""
    yield
    RECEIVED._answers.clear()
