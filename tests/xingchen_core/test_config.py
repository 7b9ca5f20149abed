import copy
import math
import pickle
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr, ValidationError

from toy_service import ABROAD, HOME, ToySettings, settings
from xingchen_core._client import AsyncClient, Client
from xingchen_core._config import ConnectionSettings, environment, origin, plain_timeout
from xingchen_core._errors import ConfigurationError

ROOT = Path(__file__).parents[2]
SECRETS = ("test-key", "hunter2", "test-header-secret")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("https://home.invalid", "https://home.invalid"),
        ("https://home.invalid/", "https://home.invalid"),
        ("https://home.invalid//", "https://home.invalid"),
        ("https://home.invalid/api/v1", "https://home.invalid"),
        ("https://home.invalid/api/v1/", "https://home.invalid"),
        ("https://home.invalid/compatible-mode/v1", "https://home.invalid"),
        ("https://home.invalid/compatible-mode/v1/", "https://home.invalid"),
        ("http://127.0.0.1:8900", "http://127.0.0.1:8900"),
        ("http://[::1]:8900/", "http://[::1]:8900"),
        ("https://gateway.invalid/team/xingchen", "https://gateway.invalid/team/xingchen"),
        ("https://gateway.invalid/team/api/v1", "https://gateway.invalid/team"),
        ("https://gateway.invalid/my-api/v1", "https://gateway.invalid/my-api/v1"),
        (" https://home.invalid/\n", "https://home.invalid"),
    ],
)
def test_origin(given: str, expected: str) -> None:
    """What people copy becomes an origin; a path of a gateway of theirs is kept."""
    assert origin(given) == expected


def test_account() -> None:
    """One key at one origin is one account, however it was said and whatever else is sent; it shows no secret."""
    account = settings(api_key="hunter2").account()
    same = [
        settings(api_key="hunter2", base_url=f"{HOME}/"),
        settings(api_key=SecretStr("hunter2"), default_headers={"X-Trace": "1"}, max_retries=0),
        pickle.loads(pickle.dumps(settings(api_key="hunter2"))),
    ]
    assert {one.account() for one in same} == {account}
    assert settings(api_key="hunter3").account() != account
    assert settings(api_key="hunter2", base_url=ABROAD).account() != account
    assert "hunter2" not in account


@pytest.mark.parametrize(
    "given",
    [
        "",
        "home.invalid",
        "ftp://home.invalid",
        "https://",
        "https://home.invalid?region=x",
        "https://home.invalid/#top",
        "https://[::1",
        "https://home.invalid:port",
    ],
)
def test_origin_refuses(given: str) -> None:
    """What cannot be an origin is refused at once, with the argument's name, and not as a failed connection later."""
    with pytest.raises(ConfigurationError, match="base_url"):
        origin(given)


@pytest.mark.parametrize("given", ["https://u:hunter2@home.invalid", "u:hunter2@home.invalid", "hunter2"])
def test_origin_refuses_without_echo(given: str) -> None:
    """A password in a URL would end in every repr and dump: it is refused, and the message does not repeat it."""
    with pytest.raises(ConfigurationError, match="base_url") as caught:
        settings(base_url=given)
    assert "hunter2" not in str(caught.value)


def test_key_argument_then_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The argument wins over the variable; an empty variable counts as unset."""
    monkeypatch.setenv("TOY_API_KEY", "from-environment")
    assert ToySettings(api_key="given").api_key == SecretStr("given")
    assert ToySettings().api_key == SecretStr("from-environment")
    monkeypatch.setenv("TOY_API_KEY", "")
    with pytest.raises(ConfigurationError):
        ToySettings()


@pytest.mark.parametrize("key", [None, "", "  "])
def test_no_key(key: str | None) -> None:
    """Without a key the error, not wrapped by pydantic, names the argument, the variable and the keyless way."""
    with pytest.raises(ConfigurationError) as caught:
        ToySettings(api_key=key)
    assert type(caught.value) is ConfigurationError
    for word in ("api_key", "TOY_API_KEY", "xingchen_core.emulator", "base_url"):
        assert word in str(caught.value)


def test_base_url_argument_then_environment_then_region(monkeypatch: pytest.MonkeyPatch) -> None:
    """The argument wins over the variable, that over the region's public host, the home region's by default."""
    assert settings().origin() == HOME
    assert settings(region="abroad").origin() == ABROAD
    monkeypatch.setenv("TOY_BASE_URL", "http://127.0.0.1:8900/api/v1/")
    assert settings(region="abroad").origin() == "http://127.0.0.1:8900"
    assert settings(base_url="https://given.invalid/").origin() == "https://given.invalid"
    monkeypatch.setenv("TOY_BASE_URL", "")
    assert settings().origin() == HOME


def test_region_is_of_this_object() -> None:
    """Two objects may use two regions at once."""
    abroad, home = settings(region="abroad"), settings(region="home")
    assert (abroad.origin(), home.origin()) == (ABROAD, HOME)


def test_unknown_region() -> None:
    """The error lists the regions there are."""
    with pytest.raises(ConfigurationError, match="home, abroad, got 'moon'"):
        settings(region="moon")


def test_empty_environment_is_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shells and compose files set variables to nothing when they mean unset."""
    monkeypatch.setenv("TOY_BASE_URL", "")
    assert environment("TOY_BASE_URL") is None
    assert environment("TOY_NEVER_SET") is None


def test_unknown_argument() -> None:
    """An unknown argument is refused by pydantic, and its value, maybe a misplaced key, is not echoed."""
    with pytest.raises(ValidationError, match="apikey") as caught:
        settings(apikey="hunter2")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "connect", "read"),
    [
        (None, 10.0, 60.0),
        (5, 5.0, 5.0),
        (2.5, 2.5, 2.5),
        (httpx.Timeout(7, connect=1), 1.0, 7.0),
        (httpx.Timeout(None), None, None),
        ({"connect": 1.0, "read": 7.0, "write": None, "pool": None}, 1.0, 7.0),
    ],
)
def test_timeout(given: Any, connect: float | None, read: float | None) -> None:
    """Seconds, an `httpx.Timeout` or its plain form; by default connect 10 s, read what the service needs."""
    timeout = settings(timeout=given).call_timeout()
    assert (timeout.connect, timeout.read) == (connect, read)


@pytest.mark.parametrize("given", [0, -1, -0.5, math.nan, "soon", [1], True])
def test_timeout_refused(given: Any) -> None:
    """What is no length of time is refused at construction: later it would be a TypeError out of a socket."""
    with pytest.raises(ValidationError, match="timeout"):
        settings(timeout=given)


@pytest.mark.parametrize(
    ("given", "limit"),
    [
        ({}, 60.0),
        ({"stream_chunk_timeout": 300}, 300.0),
        ({"stream_chunk_timeout": 5}, 5.0),
        ({"timeout": 5}, 5.0),
        ({"timeout": 300}, 60.0),
        ({"timeout": 300, "stream_chunk_timeout": 200}, 200.0),
        ({"timeout": 5, "stream_chunk_timeout": 200}, 5.0),
        ({"timeout": httpx.Timeout(5, read=20)}, 20.0),
        ({"timeout": httpx.Timeout(None)}, 60.0),
        ({"timeout": httpx.Timeout(None), "stream_chunk_timeout": math.inf}, None),
        ({"stream_chunk_timeout": math.inf}, None),
        ({"timeout": 5, "stream_chunk_timeout": math.inf}, 5.0),
        ({"stream_chunk_timeout": None}, 60.0),
    ],
)
def test_silence_limit(given: dict[str, Any], limit: float | None) -> None:
    """A stream may be silent for the shorter of what was asked for; the default timeout asks for nothing."""
    assert settings(**given).silence_limit() == limit


def test_settings_rebuilt_from_their_fields_are_the_same() -> None:
    """Frameworks rebuild objects from all their fields (configurable fields, from_dict): no limit may get lost."""
    first = settings()
    again = ToySettings(**{name: getattr(first, name) for name in ToySettings.model_fields})
    assert again.silence_limit() == first.silence_limit() == 60.0
    assert again.call_timeout() == first.call_timeout()
    assert again == first


@pytest.mark.parametrize("field", ["max_retries", "stream_chunk_timeout"])
def test_negative_numbers_are_refused(field: str) -> None:
    """Neither retries nor seconds go below zero."""
    with pytest.raises(ValidationError, match=field):
        settings(**{field: -1})


@pytest.mark.parametrize(
    ("timeout", "plain"),
    [
        (None, None),
        (5.0, 5.0),
        (httpx.Timeout(7, connect=1), {"connect": 1, "read": 7, "write": 7, "pool": 7}),
    ],
)
def test_plain_timeout(timeout: Any, plain: Any) -> None:
    """A timeout can be written to JSON, and read again."""
    assert plain_timeout(timeout) == plain
    if timeout is not None:
        assert settings(timeout=plain).call_timeout() == httpx.Timeout(timeout)


def full() -> ToySettings:
    """Settings with a secret wherever one can be."""
    return settings(
        base_url="https://home.invalid",
        proxy="http://u:hunter2@127.0.0.1:3128",
        default_headers={"x-gateway-key": "test-header-secret"},
        timeout=httpx.Timeout(7, connect=1),
        http_client=httpx.Client(),
        http_async_client=httpx.AsyncClient(),
    )


@pytest.mark.parametrize(
    "show",
    [repr, str, lambda s: str(s.model_dump()), lambda s: s.model_dump_json(), lambda s: str(s.__rich_repr__)],
    ids=["repr", "str", "model_dump", "model_dump_json", "rich"],
)
def test_secrets_are_not_shown(show: Any) -> None:
    """Neither the key, nor the proxy's password, nor what the caller's headers hold."""
    shown = show(full())
    assert shown
    for secret in SECRETS:
        assert secret not in shown


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, lambda s: s.model_copy(), lambda s: s.model_copy(deep=True)])
def test_copies(way: Any) -> None:
    """A copy has all settings and the caller's clients, and connections of its own."""
    first = full()
    client, async_client = first.client(), first.async_client()
    copied = way(first)
    assert dict(copied) == dict(first)
    assert copied.http_client is first.http_client
    assert copied.http_async_client is first.http_async_client
    assert copied.api_key.get_secret_value() == "test-key"
    assert copied.client() is not client
    assert copied.async_client() is not async_client
    assert first.client() is client


def test_a_changed_copy_goes_elsewhere() -> None:
    """A copy with another address must not reuse the client of the first."""
    first = settings()
    first.client()
    copied = first.model_copy(update={"base_url": "https://other.invalid"})
    assert copied.client()._origin == "https://other.invalid"
    assert first.client()._origin == HOME


def test_pickle() -> None:
    """A worker process gets all settings, the key included, but no sockets."""
    first = full()
    first.client()
    first.async_client()
    revived = pickle.loads(pickle.dumps(first))
    assert (revived.http_client, revived.http_async_client) == (None, None)
    assert revived.api_key.get_secret_value() == "test-key"
    assert revived.proxy == first.proxy
    assert revived.default_headers == first.default_headers
    assert revived.call_timeout() == first.call_timeout()
    assert revived._client is None
    assert revived.client() is not None
    assert first.http_client is not None


def test_a_key_of_the_environment_is_pickled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker's environment need not have the variable."""
    monkeypatch.setenv("TOY_API_KEY", "from-environment")
    pickled = pickle.dumps(ToySettings())
    monkeypatch.delenv("TOY_API_KEY")
    assert pickle.loads(pickled).api_key.get_secret_value() == "from-environment"


def test_construction_does_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Making settings and clients opens no file or socket, starts no thread, builds no HTTP client."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("not at construction")

    made = settings(timeout=3)
    for target in ("socket.socket", "builtins.open", "threading.Thread.start", "httpx.Client", "httpx.AsyncClient"):
        monkeypatch.setattr(target, refuse)
    made = settings(timeout=3)
    assert isinstance(made.client(), Client)
    assert isinstance(made.async_client(), AsyncClient)
    assert made.client() is made.client()


def test_the_environment_is_read_at_construction() -> None:
    """Not at import: a program may load its .env after its imports. Nor is httpx loaded before something is sent."""
    program = """
import os, sys, threading
import xingchen_core.characters
os.environ["XINGCHEN_API_KEY"] = "test-key"
os.environ["XINGCHEN_BASE_URL"] = "http://127.0.0.1:8900/"
made = xingchen_core.XingchenSettings()
assert made.api_key.get_secret_value() == "test-key"
assert made.origin() == "http://127.0.0.1:8900"
assert "httpx" not in sys.modules
assert threading.active_count() == 1
"""
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_close_without_use() -> None:
    """Closing what was never used is fine, and so is closing twice."""
    with settings() as made:
        made.close()
        made.client()
        made.close()


async def test_aclose_without_use() -> None:
    """The same under asyncio."""
    async with settings() as made:
        await made.aclose()
        made.async_client()
        await made.aclose()


def test_threads_share_one_client() -> None:
    """Threads that begin at the same time work with one object."""
    made = settings()
    found: list[Client] = []
    start = threading.Barrier(4)

    def use() -> None:
        start.wait()
        found.append(made.client())

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made.client() in found


def test_secrets_are_secret_strings() -> None:
    """No public field holds a key as plain text."""
    fields = ConnectionSettings.model_fields
    assert fields["api_key"].annotation == SecretStr | None
    assert [name for name in fields if "key" in name or "secret" in name or "token" in name] == ["api_key"]
