"""What holds for every test: no network but loopback, no settings from the caller's environment, no waiting."""

import os
import socket
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import yaml
from cassette_format import ACCOUNT, cassette_path, origin, recorder
from vcr.cassette import Cassette

ROOT = Path(__file__).parent.parent
RECORDING = bool(os.environ.get("RECORD_CASSETTES"))
CALLERS_ENVIRONMENT = dict(os.environ)
SETTINGS = (
    "XINGCHEN_",
    "BEEBOT_",
    "DASHSCOPE_",
    "BAILIAN_",
    "ALIBABA_CLOUD_",
    "LANGSMITH_",
    "LANGCHAIN_",
    "LC_OUTPUT_",
)
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
# Where `make interop` put the vendor's SDK: a setting of the suite, not of the packages.
KEPT = ("XINGCHEN_SDK_PYTHON",)


class NetworkBlockedError(RuntimeError):
    """A test reached for the network. No OSError: the code under test must not take it for a failed connection."""


def _is_loopback(host: object) -> bool:
    if host in (None, "", b"", "localhost", b"localhost"):
        return True
    try:
        return ip_address(host.decode() if isinstance(host, bytes) else str(host)).is_loopback
    except ValueError:
        return False


def _guarded(call: Any) -> Any:
    def connect(self: socket.socket, address: Any) -> Any:
        if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_loopback(address[0]):
            raise NetworkBlockedError(f"a test tried to connect to {address[0]}")
        return call(self, address)

    return connect


def _guarded_lookup(host: Any, *args: Any, **kwargs: Any) -> Any:
    if not _is_loopback(host):
        raise NetworkBlockedError(f"a test tried to look up {host}")
    return _getaddrinfo(host, *args, **kwargs)


_getaddrinfo = socket.getaddrinfo


@pytest.fixture(scope="session", autouse=True)
def only_loopback() -> Iterator[None]:
    """Tests reach no address but this machine's own; only `make record` does."""
    with pytest.MonkeyPatch.context() as patch:
        if not RECORDING:
            patch.setattr(socket.socket, "connect", _guarded(socket.socket.connect))
            patch.setattr(socket.socket, "connect_ex", _guarded(socket.socket.connect_ex))
            patch.setattr(socket, "getaddrinfo", _guarded_lookup)
        yield


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key, address or proxy of whoever runs the suite reaches a test."""
    for name in os.environ:
        if name not in KEPT and (name.startswith(SETTINGS) or name.upper() in PROXIES):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def no_waits() -> None:
    """Retries wait for nothing. (The switch of `xingchen_core._retry` belongs here.)"""


_recorded: set[Path] = set()


@pytest.fixture
def cassette(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cassette]:
    """Plays `cassettes/<package>/<test module>/<test>.yaml` to every httpx client, and demands that all of it is played.

    Keys and ids of the account (`cassette_format.ACCOUNT`) are in the environment: invented ones while playing, the
    caller's while recording. `@pytest.mark.cassette("package/test_module/test_name")` names the file of another test.
    """
    marker = request.node.get_closest_marker("cassette")
    name = request.function.__name__ if request.cls is None else f"{request.cls.__name__}.{request.function.__name__}"
    path = (
        (ROOT / "cassettes" / marker.args[0]).with_suffix(".yaml")
        if marker
        else cassette_path(ROOT, request.path, name)
    )
    written_by_hand = path.exists() and origin(yaml.safe_load(path.read_text("utf-8"))) == "documentation"
    if RECORDING and written_by_hand:
        pytest.skip("this cassette is the documentation's sample; delete the file to record the service instead")

    real = {name: CALLERS_ENVIRONMENT[name] for name in ACCOUNT if CALLERS_ENVIRONMENT.get(name)} if RECORDING else {}
    for variable, invented in ACCOUNT.items():
        monkeypatch.setenv(variable, real.get(variable, invented))
    if RECORDING and path not in _recorded:
        path.unlink(missing_ok=True)
        _recorded.add(path)
    # A parametrised test shares one cassette: its first run records, the others play.
    vcr = recorder({value: ACCOUNT[variable] for variable, value in real.items()})
    with vcr.use_cassette(str(path), record_mode="new_episodes" if RECORDING else "none") as playing:
        yield playing
    if not RECORDING:
        assert playing.all_played, f"{path.name} holds interactions that this test no longer makes"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """While recording, only tests with a cassette run."""
    if RECORDING:
        others = [item for item in items if "cassette" not in getattr(item, "fixturenames", ())]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in others]
