"""Settings: argument, then environment, then default. Read when an object is made, never at import."""

import math
import os
import re
from collections.abc import Callable
from hashlib import sha256
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    field_validator,
    model_validator,
)

from xingchen_core._errors import ConfigurationError
from xingchen_core._service import Service

if TYPE_CHECKING:
    import httpx

    from xingchen_core._client import AsyncClient, Client

    TimeoutTypes = float | httpx.Timeout | None
    HttpClient = httpx.Client | None
    HttpAsyncClient = httpx.AsyncClient | None
else:  # naming httpx's classes here would import httpx, the slowest part of a start, before anything is sent
    TimeoutTypes = HttpClient = HttpAsyncClient = Any

ACCESS_KEY_VARIABLES = {
    "access_key_id": "ALIBABA_CLOUD_ACCESS_KEY_ID",
    "access_key_secret": "ALIBABA_CLOUD_ACCESS_KEY_SECRET",
    "security_token": "ALIBABA_CLOUD_SECURITY_TOKEN",
}

_API_PATHS = ("/api/v1", "/compatible-mode/v1")


def origin(url: str, name: str = "base_url") -> str:
    """Return `url` as an origin: no trailing slash and none of the API paths people copy with it.

    Raises:
        ConfigurationError: It is none. `name` says which setting; its text is not repeated, it may hold a password.
    """
    url = url.strip()
    try:
        parts = urlsplit(url)
        is_origin = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        is_origin = False
    if not is_origin or "@" in parts.netloc or parts.query or parts.fragment:
        raise ConfigurationError(
            f"{name} must be https://host, or http://127.0.0.1:port for a local server; "
            "a user name, a password, a query or a fragment cannot be part of it."
        )
    url = url.rstrip("/")
    for path in _API_PATHS:
        url = url.removesuffix(path)
    return url.rstrip("/")


def _given_origin(url: str | None) -> str | None:
    return None if url is None else origin(url)


def environment(variable: str) -> str | None:
    """Return an environment variable; an empty one counts as unset."""
    return os.environ.get(variable) or None


class ConnectionSettings(BaseModel):
    """Where a service is and how to speak to it. Every public class carries these fields.

    Attributes:
        api_key: The service's key. From the environment when not given; see the class that uses it.
        base_url: Origin of the service, in place of the public host of `region`.
        region: Picks the public host, for this object only.
        timeout: Seconds for each phase, or an `httpx.Timeout`. Default: connect 10 s, read as the service needs.
        stream_chunk_timeout: Longest silence in seconds before the first and between two events of a stream;
            comments and keep-alives do not count as events. `None`: the service's default, 60 s or more; `math.inf`:
            only `timeout` applies.
        max_retries: How often a failed request may be repeated; 1 + `max_retries` requests at most.
        proxy: URL of an HTTP or SOCKS proxy. Default: the environment's (`HTTPS_PROXY`), as httpx reads it. In no dump,
            since it can hold a password.
        default_headers: Sent with every request. In no dump either.
        chat_lock: Makes the lock of a key, an object for `with` and `async with`. Calls the service takes one at a time
            (a chat whose history the platform keeps) hold it. Default: one that works within this process; give one
            over Redis or a database to a fleet.
        http_client: An `httpx.Client` of yours; never closed by us. Default: one shared by all objects.
        http_async_client: An `httpx.AsyncClient` of yours. Default: one shared per running event loop.
    """

    model_config = ConfigDict(
        extra="forbid",
        hide_input_in_errors=True,
        arbitrary_types_allowed=True,
        protected_namespaces=(),
        defer_build=True,  # this one is a base class only
    )

    service: ClassVar[Service]

    api_key: SecretStr | None = Field(default=None, repr=False)
    base_url: Annotated[str | None, AfterValidator(_given_origin)] = None
    region: str | None = None
    timeout: TimeoutTypes = Field(default=None, exclude=True)
    stream_chunk_timeout: float | None = Field(default=None, gt=0)
    max_retries: int = Field(default=2, ge=0)
    proxy: str | None = Field(default=None, exclude=True, repr=False)
    default_headers: dict[str, str] | None = Field(default=None, exclude=True, repr=False)
    chat_lock: Callable[[str], Any] | None = Field(default=None, exclude=True, repr=False)
    http_client: HttpClient = Field(default=None, exclude=True, repr=False)
    http_async_client: HttpAsyncClient = Field(default=None, exclude=True, repr=False)

    _client: "Client | None" = PrivateAttr(default=None)
    _async_client: "AsyncClient | None" = PrivateAttr(default=None)

    @field_validator("timeout", mode="before")
    @classmethod
    def _revive_timeout(cls, value: Any) -> Any:
        """Accept the plain form that `plain_timeout` makes, so that settings survive a dump."""
        if isinstance(value, dict):
            import httpx

            return httpx.Timeout(**value)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < math.inf:
            return float(value)
        if value is None or hasattr(value, "as_dict"):
            return value
        raise ValueError("timeout must be a positive number of seconds or an httpx.Timeout")

    @field_validator("default_headers")
    @classmethod
    def _can_be_sent(cls, value: dict[str, str] | None) -> dict[str, str] | None:
        lines = [f"{name}:{text}" for name, text in (value or {}).items()]
        if not all(re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[ -~\t]*", line) for line in lines):
            raise ValueError("default_headers must have plain names, and values of printable ASCII")
        return value

    @model_validator(mode="after")
    def _resolve_connection(self) -> Self:
        service = self.service
        if self.region is not None and self.region not in service.hosts:
            raise ConfigurationError(f"region must be one of {', '.join(service.hosts)}, got {self.region!r}.")
        if self.base_url is None and (url := environment(service.base_url_variable)):
            self.__dict__["base_url"] = origin(url, service.base_url_variable)
        if self.api_key is None and service.key_variable and (key := environment(service.key_variable)):
            self.__dict__["api_key"] = SecretStr(key)
        self._require_credentials()
        return self

    def _require_credentials(self) -> None:
        if self.api_key is None or not self.api_key.get_secret_value().strip():
            variable = self.service.key_variable
            raise ConfigurationError(
                f"No API key for {self.service.name}: pass api_key=... or set {variable}. To try without a key, run "
                f"'python -m xingchen_core.emulator', pass its URL as base_url and any text as api_key.",
                service=self.service.name,
            )

    def auth(self) -> "httpx.Auth":
        """Return what authenticates each request."""
        from xingchen_core._auth import BearerAuth

        assert self.api_key is not None  # _require_credentials saw it
        return BearerAuth(self.api_key)

    def account(self) -> str:
        """Return what stands for the account that is spoken to: a digest of origin and key, no secret itself.

        Objects with one API key at one origin have one account. Other `default_headers` or HTTP clients make no other:
        the key alone says who asks. A new key counts as another account, since nothing tells whose it is.
        """
        key = self.api_key.get_secret_value() if self.api_key is not None else ""
        return sha256(f"{self.origin()}\n{key}".encode("utf-8", "surrogatepass")).hexdigest()

    def origin(self) -> str:
        """Return the origin calls go to: `base_url`, else the public host of `region`."""
        return self.base_url or self.service.hosts[self.region or self.service.region]

    def origins(self) -> dict[Service, str]:
        """Return the origins of further services that the same client reaches."""
        return {}

    def call_timeout(self) -> "httpx.Timeout":
        """Return the limits of a plain call, in seconds."""
        import httpx

        if self.timeout is None:
            return httpx.Timeout(self.service.read_timeout, connect=10.0)
        return httpx.Timeout(self.timeout)

    def silence_limit(self) -> float | None:
        """Return the longest silence of a stream in seconds: the shorter of what was asked for.

        A `timeout` of the caller's holds for streams too; our default of it must not cut short a longer
        `stream_chunk_timeout`.
        """
        limit = self.stream_chunk_timeout or self.service.stream_chunk_timeout
        own = None if self.timeout is None else self.call_timeout().read
        shortest = limit if own is None else min(limit, own)
        return None if shortest == math.inf else shortest

    def client(self) -> "Client":
        """Return the client of this object; it is made on first use and costs no connection of its own."""
        client = self._client
        if client is None:
            from xingchen_core._client import Client

            self._client = client = Client(self)
        return client

    def async_client(self) -> "AsyncClient":
        """Return the async client of this object, for any running event loop."""
        client = self._async_client
        if client is None:
            from xingchen_core._client import AsyncClient

            self._async_client = client = AsyncClient(self)
        return client

    def close(self) -> None:
        """Give back the shared HTTP client; it is closed when nobody else uses it. A client of yours is left alone."""
        if self._client is not None:
            self._client.close()

    async def aclose(self) -> None:
        """Give back both HTTP clients of this object, the async one of the running loop."""
        self.close()
        if self._async_client is not None:
            await self._async_client.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    # Copies and pickles take the settings and leave the connections: a copy may get another base_url, and sockets
    # cannot travel. A client of the caller's is shared by copies and absent from a pickle.

    def __copy__(self) -> Self:
        copied = super().__copy__()
        copied._client = copied._async_client = None
        return copied

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        memo = {} if memo is None else memo
        for shared in (self.http_client, self.http_async_client, self._client, self._async_client):
            if shared is not None:
                memo[id(shared)] = shared
        copied = super().__deepcopy__(memo)
        copied._client = copied._async_client = None
        return copied

    def __getstate__(self) -> dict[Any, Any]:
        state = super().__getstate__()
        state["__dict__"] = {**state["__dict__"], "http_client": None, "http_async_client": None}
        state["__pydantic_private__"] = {
            **(state.get("__pydantic_private__") or {}),
            "_client": None,
            "_async_client": None,
        }
        return state


class AccessKeySettings(ConnectionSettings):
    """Settings of a service whose requests are signed with an AccessKey.

    Attributes:
        access_key_id, access_key_secret, security_token: From `ALIBABA_CLOUD_ACCESS_KEY_ID`,
            `ALIBABA_CLOUD_ACCESS_KEY_SECRET` and `ALIBABA_CLOUD_SECURITY_TOKEN` when not given.
        credentials: An object with `get_credential()` instead, asked for each request: the client of
            alibabacloud-credentials, which knows roles and refreshes temporary keys.
    """

    access_key_id: SecretStr | None = Field(default=None, repr=False)
    access_key_secret: SecretStr | None = Field(default=None, repr=False)
    security_token: SecretStr | None = Field(default=None, repr=False)
    credentials: Any = Field(default=None, exclude=True, repr=False)

    def _require_credentials(self) -> None:
        if self.credentials is not None:
            return
        if self.access_key_id is None and self.access_key_secret is None:
            for name in ACCESS_KEY_VARIABLES:
                if getattr(self, name) is None and (value := environment(ACCESS_KEY_VARIABLES[name])):
                    self.__dict__[name] = SecretStr(value)
        if self.access_key_id is None or self.access_key_secret is None:
            raise ConfigurationError(
                f"No AccessKey for {self.service.name}: pass access_key_id=... and access_key_secret=..., set "
                "ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET, or pass credentials=... (an object "
                "with get_credential()). To try without one, run 'python -m xingchen_core.emulator' and pass its URL "
                "as base_url with the pair testid / testsecret.",
                service=self.service.name,
            )

    def auth(self) -> "httpx.Auth":
        """Return what signs each request."""
        from xingchen_core._auth import ACS3Auth, Credentials, credentials_provider

        if self.credentials is not None:
            return ACS3Auth(credentials_provider(self.credentials))
        assert self.access_key_id is not None  # _require_credentials saw both
        assert self.access_key_secret is not None
        return ACS3Auth(Credentials(self.access_key_id.get_secret_value(), self.access_key_secret, self.security_token))

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        memo = {} if memo is None else memo
        if self.credentials is not None:
            memo[id(self.credentials)] = self.credentials  # it caches keys behind locks, which cannot be copied
        return super().__deepcopy__(memo)


def plain_timeout(timeout: Any) -> float | dict[str, float | None] | None:
    """Return a timeout as plain data."""
    plain: float | dict[str, float | None] | None = timeout.as_dict() if hasattr(timeout, "as_dict") else timeout
    return plain
