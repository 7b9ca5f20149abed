"""The suite's own promises: nothing leaves the machine, nothing of the caller's environment comes in."""

import asyncio
import os
import socket
from collections.abc import Callable

import pytest

from isolation import NetworkBlockedError, callers_settings

# 192.0.2.0/24 belongs to nobody (RFC 5737): were the guard broken, no host would be disturbed.
ELSEWHERE = ("192.0.2.1", 80)


def _connect() -> None:
    with socket.socket() as sock:
        sock.settimeout(0.01)
        sock.connect(ELSEWHERE)


def _connect_ex() -> None:
    with socket.socket() as sock:
        sock.settimeout(0.01)
        sock.connect_ex(ELSEWHERE)


def _look_up() -> None:
    socket.getaddrinfo("example.invalid", 443)


def _asyncio_connect() -> None:
    asyncio.run(asyncio.wait_for(asyncio.open_connection(*ELSEWHERE), 0.01))


@pytest.mark.parametrize("reach_out", [_connect, _connect_ex, _look_up, _asyncio_connect])
def test_the_network_is_out_of_reach(reach_out: Callable[[], None]) -> None:
    """Connecting elsewhere, blocking or with asyncio, fails at once with an error no client would catch and retry."""
    with pytest.raises(NetworkBlockedError, match="a test tried to"):
        reach_out()


def test_loopback_is_within_reach() -> None:
    """Servers that tests start on this machine can be talked to."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(("localhost", server.getsockname()[1]), timeout=1).close()


def test_settings_of_the_caller_stay_outside() -> None:
    """Keys, addresses, proxies and tracing of whoever runs the suite are removed, and nothing else."""
    foreign = [
        "XINGCHEN_API_KEY",
        "DASHSCOPE_BASE_URL",
        "ALIBABA_CLOUD_ACCESS_KEY_ID",
        "LANGSMITH_TRACING",
        "https_proxy",
    ]
    assert callers_settings([*foreign, "PATH", "LC_ALL", "XINGCHEN_SDK_PYTHON"]) == foreign
    assert callers_settings(os.environ) == []
