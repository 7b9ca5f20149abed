"""The server's side of Alibaba Cloud's request signature ACS3-HMAC-SHA256: who signed, and whether it still counts.

Source: the vendor's page "V3 request structure and signature". Statuses differ between products; these are the usual.
"""

import hashlib
import hmac
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import parse_qsl

ALGORITHM = "ACS3-HMAC-SHA256"
ALWAYS_SIGNED = (
    "host",
    "x-acs-action",
    "x-acs-version",
    "x-acs-date",
    "x-acs-signature-nonce",
    "x-acs-content-sha256",
)
SECONDS_OFF = 900.0
"""How far the caller's clock may be from ours."""

_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~")


@dataclass
class SignatureRefusedError(Exception):
    """Why a request is refused, in the words of the platform."""

    status: int
    code: str
    message: str


@dataclass(frozen=True)
class AccessKey:
    """The secret of an AccessKey id. A temporary one has a token, and a time (Unix seconds) when it ends.

    Without a token of its own it is taken with any, or none; the token `invalid` is always refused.
    """

    secret: str
    security_token: str | None = None
    expires: float | None = None


@dataclass(frozen=True)
class SignedRequest:
    """A request as it came over the wire. `path` and `query` are still percent-encoded."""

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def values(self, name: str) -> list[str]:
        """Every value of a header, in order."""
        return [value.strip() for each, value in self.headers if each.lower() == name]

    def header(self, name: str) -> str:
        """The header's value as it is signed: several are sorted and joined; empty if there is none."""
        return ",".join(sorted(self.values(name)))


@dataclass
class Signatures:
    """Checks signatures. Knows the pair `testid` / `testsecret`; `clock` gives Unix seconds."""

    keys: dict[str, AccessKey] = field(default_factory=lambda: {"testid": AccessKey("testsecret")})
    clock: Callable[[], float] = time.time
    _nonces: set[tuple[str, str]] = field(default_factory=set)

    def verify(self, request: SignedRequest) -> str:
        """The AccessKey id of who signed.

        Raises:
            SignatureRefusedError: The request does not count.
        """
        key_id, names, signature = _authorization(request.header("authorization"))
        key = self.keys.get(key_id)
        if key is None:
            raise SignatureRefusedError(404, "InvalidAccessKeyId.NotFound", "Specified access key is not found.")
        _check_signed_headers(request, names)
        digest = hashlib.sha256(request.body).hexdigest()
        if request.header("x-acs-content-sha256") != digest:
            raise _mismatch(f"x-acs-content-sha256 is not the hash of the body, which is {digest}.")
        to_sign = string_to_sign(request, names, digest)
        expected = hmac.new(key.secret.encode(), to_sign.encode(), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(expected.encode(), signature.encode()):
            raise _mismatch(f"server string to sign is:{to_sign}")
        self._check_age(request)
        self._check_token(request, key)
        nonce = (key_id, request.header("x-acs-signature-nonce"))
        if nonce in self._nonces:
            raise SignatureRefusedError(400, "SignatureNonceUsed", "The request signature nonce has been used.")
        self._nonces.add(nonce)
        return key_id

    def _check_age(self, request: SignedRequest) -> None:
        text = request.header("x-acs-date")
        if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", text):
            raise SignatureRefusedError(400, "InvalidTimeStamp.Format", "Specified time stamp is not well formatted.")
        try:
            signed = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()
        except ValueError:
            raise SignatureRefusedError(400, "InvalidTimeStamp.Format", "Specified time stamp is no date.") from None
        if abs(self.clock() - signed) > SECONDS_OFF:
            raise SignatureRefusedError(400, "InvalidTimeStamp.Expired", "Specified time stamp is expired.")

    def _check_token(self, request: SignedRequest, key: AccessKey) -> None:
        token = request.header("x-acs-security-token")
        # The codes' spelling for a given product is not documented.
        if token == "invalid" or (key.security_token is not None and token != key.security_token):
            raise SignatureRefusedError(400, "InvalidSecurityToken.Malformed", "Specified SecurityToken is malformed.")
        if key.expires is not None and self.clock() >= key.expires:
            raise SignatureRefusedError(400, "InvalidSecurityToken.Expired", "Specified SecurityToken is expired.")


def string_to_sign(request: SignedRequest, names: Iterable[str], digest: str) -> str:
    """What the caller must have signed, were it these headers."""
    names = list(names)
    canonical = [
        request.method,
        request.path or "/",
        _canonical_query(request.query),
        *(f"{name}:{request.header(name)}" for name in names),
        "",
        ";".join(names),
        digest,
    ]
    return f"{ALGORITHM}\n{hashlib.sha256(chr(10).join(canonical).encode()).hexdigest()}"


def _canonical_query(query: str) -> str:
    pairs = parse_qsl(query, keep_blank_values=True)
    return "&".join(f"{_encoded(name)}={_encoded(value)}" for name, value in sorted(pairs))


def _encoded(text: str) -> str:
    return "".join(chr(byte) if byte in _UNRESERVED else f"%{byte:02X}" for byte in text.encode())


def _authorization(header: str) -> tuple[str, list[str], str]:
    algorithm, _, rest = header.partition(" ")
    parts = dict(part.strip().partition("=")[::2] for part in rest.split(","))
    if algorithm != ALGORITHM or not all(parts.get(name) for name in ("Credential", "SignedHeaders", "Signature")):
        raise SignatureRefusedError(
            400,
            "IncompleteSignature",
            f"The header Authorization must be: {ALGORITHM} Credential=...,SignedHeaders=...,Signature=...",
        )
    return parts["Credential"], parts["SignedHeaders"].split(";"), parts["Signature"]


def _check_signed_headers(request: SignedRequest, names: list[str]) -> None:
    present = {name.lower() for name, _ in request.headers}
    needed = {*ALWAYS_SIGNED, *(name for name in present if name.startswith("x-acs-") or name == "content-type")}
    if missing := sorted(needed - present):
        raise SignatureRefusedError(400, "IncompleteSignature", f"The request lacks the header {missing[0]}.")
    if unsigned := sorted(needed - set(names)):
        raise SignatureRefusedError(400, "IncompleteSignature", f"The header {unsigned[0]} is not signed.")
    if names != sorted(set(names)):
        raise SignatureRefusedError(400, "IncompleteSignature", "SignedHeaders must be sorted, each name once.")


def _mismatch(detail: str) -> SignatureRefusedError:
    message = f"Specified signature is not matched with our calculation. {detail}"
    return SignatureRefusedError(400, "SignatureDoesNotMatch", message)
