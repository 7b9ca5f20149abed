"""Keeps tests on this machine, and the settings of whoever runs them out."""

import socket
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Any

import pytest

SETTINGS = (
    "ALIBABA_CLOUD_",
    "BAILIAN_",
    "BEEBOT_",
    "DASHSCOPE_",
    "LANGCHAIN_",
    "LANGSMITH_",
    "LC_OUTPUT_VERSION",
    "XINGCHEN_",
)
PROXIES = ("ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
# Where `make interop` put the vendor's SDK: a setting of the suite, not of the packages.
KEPT = ("XINGCHEN_SDK_PYTHON",)


def callers_settings(names: Iterable[str]) -> list[str]:
    """Returns those variables that could hand a test somebody's keys, addresses, proxies or tracing."""
    return [name for name in names if name not in KEPT and (name.startswith(SETTINGS) or name.upper() in PROXIES)]


class NetworkBlockedError(RuntimeError):
    """A test reached for the network. No OSError: the code under test must not take it for a failed connection."""


def _is_loopback(host: Any) -> bool:
    name = host.decode() if isinstance(host, bytes) else host
    if not name or name == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def block_network(patch: pytest.MonkeyPatch) -> None:
    """Makes connecting and looking up names fail at once for everything but loopback, also under asyncio."""

    def guarded(connect: Any) -> Any:
        def connect_if_loopback(self: socket.socket, address: Any) -> Any:
            if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_loopback(address[0]):
                raise NetworkBlockedError(f"a test tried to connect to {address[0]}")
            return connect(self, address)

        return connect_if_loopback

    look_up = socket.getaddrinfo

    def look_up_if_loopback(host: Any, *args: Any, **kwargs: Any) -> Any:
        if not _is_loopback(host):
            raise NetworkBlockedError(f"a test tried to look up {host}")
        return look_up(host, *args, **kwargs)

    patch.setattr(socket.socket, "connect", guarded(socket.socket.connect))
    patch.setattr(socket.socket, "connect_ex", guarded(socket.socket.connect_ex))
    patch.setattr(socket, "getaddrinfo", look_up_if_loopback)
