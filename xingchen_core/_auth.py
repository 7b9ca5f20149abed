"""Authentication as `httpx.Auth` flows: a bearer key, and Alibaba Cloud's request signature ACS3-HMAC-SHA256.

The signature is that of the vendor's page "V3 request structure and signature", the same for RPC and ROA calls: a
canonical request is hashed into a string to sign, which the AccessKey secret signs. Each step is a function of values.
"""

import hashlib
import hmac
import re
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol
from urllib.parse import parse_qsl, quote
from uuid import uuid4

import httpx
from pydantic import SecretStr

from xingchen_core._errors import ConfigurationError

_ALGORITHM = "ACS3-HMAC-SHA256"


class BearerAuth(httpx.Auth):
    """Sends `Authorization: Bearer <api_key>`.

    Raises:
        ConfigurationError: The key is empty or cannot stand in a header.
    """

    def __init__(self, api_key: SecretStr) -> None:
        _require_header_value("api_key", api_key.get_secret_value())
        self._api_key = api_key

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Set the header and send."""
        self.sign(request)
        yield request

    def sign(self, request: httpx.Request) -> None:
        """Set the header."""
        request.headers["Authorization"] = f"Bearer {self._api_key.get_secret_value()}"


@dataclass(frozen=True)
class Credentials:
    """An AccessKey pair, or a temporary one of the STS with its token.

    Raises:
        ConfigurationError: A part is empty or cannot stand in a header.
    """

    access_key_id: str = field(repr=False)
    access_key_secret: SecretStr
    security_token: SecretStr | None = None

    def __post_init__(self) -> None:
        _require_header_value("access_key_id", self.access_key_id)
        _require_header_value("access_key_secret", self.access_key_secret.get_secret_value())
        if self.security_token is not None:
            _require_header_value("security_token", self.security_token.get_secret_value())


def _require_header_value(name: str, value: str) -> None:
    """Refuse here what the HTTP layer would refuse with the whole header, secret included, in its error text."""
    if not re.fullmatch(r"[!-~]+", value):
        raise ConfigurationError(
            f"{name} is empty or contains white space, a line break or a character outside ASCII: "
            "check how it was copied."
        )


class SupportsGetCredential(Protocol):
    """What `alibabacloud_credentials.client.Client` is to us. `get_credential_async`, if there, serves async calls."""

    def get_credential(self) -> Any:
        """Return an object with `access_key_id`, `access_key_secret` and `security_token`."""


class CredentialsProvider:
    """The credentials of another object, asked anew for each request: it knows when they run out, we do not."""

    def __init__(self, source: SupportsGetCredential) -> None:
        self._source = source

    def __call__(self) -> Credentials:
        """Return the credentials of this moment."""
        return self._read(self._source.get_credential())

    async def get_async(self) -> Credentials:
        """Return the credentials of this moment; blocks the loop if the object has no `get_credential_async`."""
        get_credential_async = getattr(self._source, "get_credential_async", None)
        return self() if get_credential_async is None else self._read(await get_credential_async())

    def __deepcopy__(self, memo: dict[int, Any]) -> "CredentialsProvider":
        return self  # a copy shares the object and what it cached; most hold locks, which cannot be copied

    def _read(self, found: Any) -> Credentials:
        if isinstance(found, Credentials):
            return found
        if not (found.access_key_id and found.access_key_secret):
            raise ConfigurationError(
                f"{type(self._source).__name__}.get_credential() returned no AccessKey: configure it for an AccessKey, "
                "a RAM role or the STS. A bearer token cannot sign."
            )
        token = found.security_token
        return Credentials(found.access_key_id, SecretStr(found.access_key_secret), SecretStr(token) if token else None)


def credentials_provider(source: SupportsGetCredential) -> CredentialsProvider:
    """Adapt any object with `get_credential()`, such as the client of alibabacloud-credentials.

    Raises:
        ConfigurationError: The object has no such method.
    """
    if not callable(getattr(source, "get_credential", None)):
        raise ConfigurationError(
            f"credentials must have a method get_credential(), as alibabacloud_credentials.client.Client has; "
            f"{type(source).__name__} has none."
        )
    return CredentialsProvider(source)


def percent_encode(text: str) -> str:
    """Encode all but `A-Z a-z 0-9 - _ . ~` as `%XX` of its UTF-8 bytes.

    Use it for the path parameters of signed calls too: httpx would leave a `*` raw, and the signature would not match.
    """
    return quote(text, safe="")


def canonical_query(query: str) -> str:
    """Return a query as it is signed: decoded, sorted by name, names and values percent-encoded.

    Args:
        query: As on the wire, where `+` and `%20` both mean a space.
    """
    parameters = sorted(parse_qsl(query, keep_blank_values=True))
    return "&".join(f"{percent_encode(name)}={percent_encode(value)}" for name, value in parameters)


def canonical_headers(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the headers to sign by lower-case name, sorted; the values of a repeated one sorted and joined."""
    values: dict[str, list[str]] = {}
    for name, value in headers:
        values.setdefault(name.lower(), []).append(value.strip())
    return {name: ",".join(sorted(values[name])) for name in sorted(values)}


def canonical_request(method: str, path: str, query: str, headers: Mapping[str, str], body_sha256: str) -> str:
    """Return the text whose hash is signed.

    Args:
        method: Upper case.
        path: As on the wire, percent-encoded already; it is not encoded again.
        query: As on the wire, without `?`.
        headers: From `canonical_headers`.
        body_sha256: Lower-case hex digest of the body as sent.
    """
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())  # its last newline makes an empty line
    return "\n".join([method, path or "/", canonical_query(query), lines, ";".join(headers), body_sha256])


def string_to_sign(canonical: str) -> str:
    """Return the algorithm's name and the hash of a canonical request."""
    return f"{_ALGORITHM}\n{hashlib.sha256(canonical.encode()).hexdigest()}"


def authorization(credentials: Credentials, signed_headers: Iterable[str], to_sign: str) -> str:
    """Sign, and return the value of the `Authorization` header."""
    key = credentials.access_key_secret.get_secret_value().encode()
    signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
    return (
        f"{_ALGORITHM} Credential={credentials.access_key_id},"
        f"SignedHeaders={';'.join(signed_headers)},Signature={signature}"
    )


def _now() -> datetime:
    return datetime.now(UTC)


def _nonce() -> str:
    return uuid4().hex


class ACS3Auth(httpx.Auth):
    """Signs each request, and each retry anew, with ACS3-HMAC-SHA256.

    One object serves all calls of one account: each request brings its own `x-acs-action` and `x-acs-version` headers.
    Signed are the URL, the body and the headers `host`, `content-type` and `x-acs-*`; proxies may change the others.

    Args:
        credentials: Fixed ones, or a function that is asked for each request; see `credentials_provider`.
        now: The clock. The service refuses requests more than 15 minutes off.
        nonce: Makes a text that no other request has.

    Raises:
        ConfigurationError: While sending: a request without action or version, or no usable credentials.
    """

    requires_request_body = True

    def __init__(
        self,
        credentials: Credentials | Callable[[], Credentials],
        *,
        now: Callable[[], datetime] = _now,
        nonce: Callable[[], str] = _nonce,
    ) -> None:
        self._credentials = credentials
        self._now = now
        self._nonce = nonce

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Sign and send."""
        self._sign(request, self._current())
        yield request

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Sign and send, after asking a `CredentialsProvider` without blocking the loop, where it can."""
        await request.aread()
        provider = self._credentials
        current = await provider.get_async() if isinstance(provider, CredentialsProvider) else self._current()
        self._sign(request, current)
        yield request

    def _current(self) -> Credentials:
        return self._credentials if isinstance(self._credentials, Credentials) else self._credentials()

    def _sign(self, request: httpx.Request, credentials: Credentials) -> None:
        headers = request.headers
        if not (headers.get("x-acs-action") and headers.get("x-acs-version")):
            raise ConfigurationError(
                f"{request.method} {request.url.path} cannot be signed: set the headers x-acs-action and x-acs-version."
            )
        body_sha256 = hashlib.sha256(request.content).hexdigest()
        headers["x-acs-date"] = self._now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        headers["x-acs-signature-nonce"] = self._nonce()
        headers["x-acs-content-sha256"] = body_sha256
        for name in ("x-acs-accesskey-id", "x-acs-security-token"):  # of other credentials, when it is sent again
            headers.pop(name, None)
        if credentials.security_token is not None:
            headers["x-acs-accesskey-id"] = credentials.access_key_id
            headers["x-acs-security-token"] = credentials.security_token.get_secret_value()

        path, _, query = request.url.raw_path.decode("ascii").partition("?")
        # `host` is taken from the headers: httpx made it from `url.netloc`, and it is what goes over the wire.
        signed = canonical_headers(
            (name, value)
            for name, value in headers.multi_items()
            if name in ("host", "content-type") or name.startswith("x-acs-")
        )
        canonical = canonical_request(request.method, path, query, signed, body_sha256)
        headers["Authorization"] = authorization(credentials, signed, string_to_sign(canonical))
