"""The HTTP clients all objects share: one per (origin, proxy, timeout), and for asyncio one per running loop.

A new `httpx.Client` costs tens of milliseconds for its TLS context and begins with no open connection, so objects with
the same settings use the same one. It lives until its last user gives it back.
"""

import asyncio
import atexit
import os
import threading
from collections.abc import AsyncGenerator, Callable
from functools import lru_cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Generic, NamedTuple, TypeVar
from urllib.request import getproxies
from weakref import WeakKeyDictionary, WeakSet

import httpx

from xingchen_core._transports import AsyncPooledTransport, PooledTransport

C = TypeVar("C", bound=httpx.Client | httpx.AsyncClient)

LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=100)
"""No cap on connections: with one, calls beyond it would silently wait in a queue nobody asked for. How many idle ones
are kept is a matter of `_transports`, too."""


class HttpKey(NamedTuple):
    """What two objects must have in common to share a client."""

    origin: str
    proxy: str | None
    timeout: tuple[float | None, ...]


@lru_cache(maxsize=2)
def _tls_context(*, is_checked: bool) -> Any:
    return httpx.create_ssl_context(verify=is_checked)


def client_options(key: HttpKey) -> dict[str, Any]:
    """Return the arguments of `httpx.Client` and `httpx.AsyncClient`."""
    connect, read, write, pool = key.timeout
    # A plain-http origin (the emulator, a sidecar) never needs the certificates, which take the longest to load.
    secure = key.origin.startswith("https://") or key.proxy is not None or bool(os.environ.keys() & _PROXY_VARIABLES)
    return {
        "verify": _tls_context(is_checked=secure),
        "proxy": key.proxy,
        "timeout": httpx.Timeout(connect=connect, read=read, write=write, pool=pool),
        "limits": LIMITS,
        "cookies": CookieJar(DefaultCookiePolicy(allowed_domains=())),  # accounts share the client: none is kept
        "follow_redirects": False,
    }


_PROXY_VARIABLES = {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"}


class SharedClients(Generic[C]):
    """Clients by key, each with the objects that use it."""

    def __init__(self, make: Callable[[HttpKey], C]) -> None:
        self._make = make
        self._lock = threading.RLock()  # the garbage collector may close a forgotten stream, which calls, within `take`
        self._clients: dict[HttpKey, tuple[C, WeakSet[Any]]] = {}

    def take(self, key: HttpKey, user: object) -> C:
        """Return the client of `key`, made if need be, and note that `user` uses it."""
        with self._lock:
            if key not in self._clients or self._clients[key][0].is_closed:
                self._clients[key] = self._make(key), WeakSet()
            client, users = self._clients[key]
            users.add(user)
            return client

    def give_back(self, user: object) -> list[C]:
        """Forget that `user` uses any client; return for closing those which nobody uses any more."""
        unused: list[C] = []
        with self._lock:
            for key, (client, users) in list(self._clients.items()):
                users.discard(user)
                if not users:  # so close those, too, whose users were dropped without close()
                    del self._clients[key]
                    unused.append(client)
        return unused

    def forget(self) -> None:
        """Drop everything unclosed: after a fork the sockets belong to the parent."""
        self._lock = threading.RLock()
        self._clients = {}

    def clients(self) -> list[C]:
        """Return every client that is held."""
        with self._lock:
            return [client for client, _ in self._clients.values()]


class _NoCookies(httpx.Cookies):
    def extract_cookies(self, response: httpx.Response) -> None:
        """Keep none, without what httpx does to find them in each answer: a tenth of a call."""


class _Cookieless:
    """The part of a shared client that concerns cookies: `client_options` keeps them out, this does not even look."""

    _none = _NoCookies()

    @property
    def cookies(self) -> httpx.Cookies:
        return self._none


class _Client(_Cookieless, httpx.Client):  # type: ignore[override]  # cannot be set
    pass


class _AsyncClient(_Cookieless, httpx.AsyncClient):  # type: ignore[override]
    pass


def _make_client(key: HttpKey) -> httpx.Client:
    options = client_options(key)
    if _has_proxy(key):  # which a client with a transport of its own would not see
        return _Client(**options)
    verify, limits = options["verify"], options["limits"]
    return _Client(**options, transport=PooledTransport(lambda: httpx.HTTPTransport(verify=verify, limits=limits)))


def _make_async_client(key: HttpKey) -> httpx.AsyncClient:
    options = client_options(key)
    if _has_proxy(key):
        return _AsyncClient(**options)
    verify, limits = options["verify"], options["limits"]
    pooled = AsyncPooledTransport(lambda: httpx.AsyncHTTPTransport(verify=verify, limits=limits))
    return _AsyncClient(**options, transport=pooled)


def _has_proxy(key: HttpKey) -> bool:
    return key.proxy is not None or bool(getproxies().keys() - {"no"})  # as httpx finds them


sync_clients = SharedClients(_make_client)
_clients_of_loops: "WeakKeyDictionary[asyncio.AbstractEventLoop, SharedClients[httpx.AsyncClient]]" = (
    WeakKeyDictionary()
)
_keepers: "WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncGenerator[None]]" = WeakKeyDictionary()


async def async_clients() -> SharedClients[httpx.AsyncClient]:
    """Return the clients of the running loop; a connection cannot outlive the loop that opened it."""
    loop = asyncio.get_running_loop()
    shared = _clients_of_loops.get(loop)
    if shared is None:
        shared = _clients_of_loops[loop] = SharedClients(_make_async_client)
        keeper = _keepers[loop] = _close_with_loop(shared)
        await anext(keeper)
    return shared


async def _close_with_loop(shared: SharedClients[httpx.AsyncClient]) -> AsyncGenerator[None]:
    """Close the clients when the loop ends.

    `asyncio.run` closes the running async generators of its loop before it closes the loop: the only moment at which
    somebody who never calls `aclose()` can still have the connections closed properly.
    """
    try:
        yield
    finally:
        loop = asyncio.get_running_loop()  # both dictionaries hold what holds the loop: it would never be freed
        _clients_of_loops.pop(loop, None)
        _keepers.pop(loop, None)
        for client in shared.clients():
            await client.aclose()


@atexit.register
def _at_exit() -> None:
    """Close what nobody closed; sockets left to the interpreter's end are warned of."""
    for client in sync_clients.clients():
        client.close()


def _after_fork() -> None:
    sync_clients.forget()
    _clients_of_loops.clear()
    _keepers.clear()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_after_fork)
