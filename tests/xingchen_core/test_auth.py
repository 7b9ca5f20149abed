"""Signing against the vendor's own implementation (see the notes in `fixtures/acs3_vectors.json`); the auth flows."""

import copy
import json
import pickle
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from pydantic import SecretStr

from xingchen_core._auth import (
    ACS3Auth,
    BearerAuth,
    Credentials,
    authorization,
    canonical_headers,
    canonical_query,
    canonical_request,
    credentials_provider,
    percent_encode,
    string_to_sign,
)
from xingchen_core._errors import ConfigurationError

VECTORS = json.loads((Path(__file__).parents[1] / "fixtures/acs3_vectors.json").read_text(encoding="utf-8"))["vectors"]
BY_NAME = {vector["name"]: vector for vector in VECTORS}
# Those that sign just the headers this project signs; the others also sign what the vendor's client adds.
SIGNED_AS_HERE = ["minimal-headers-rpc", "minimal-headers-rpc-sts", "minimal-headers-json-body", "published-example"]

CREDENTIALS = Credentials("testid", SecretStr("testsecret"))
TEMPORARY = Credentials("testid", SecretStr("testsecret"), SecretStr("CAISexample+token/==~*"))
ORIGIN = "https://bailian.cn-beijing.aliyuncs.com"
CALL = {"x-acs-action": "Demo", "x-acs-version": "2023-12-29"}

every_vector = pytest.mark.parametrize("vector", VECTORS, ids=BY_NAME)


def wire_query(vector: dict[str, Any]) -> str:
    """Return the query as a client sends it: as the vendor's did where that was recorded, else form-encoded."""
    if "wire" in vector:
        return str(vector["wire"]["request_target"].partition("?")[2])
    return urlencode({name: value for name, value in vector["input"]["query"].items() if value is not None})


def signed_request(auth: httpx.Auth, request: httpx.Request) -> httpx.Request:
    """Return what the flow sends first."""
    return next(auth.sync_auth_flow(request))


async def async_signed_request(auth: httpx.Auth, request: httpx.Request) -> httpx.Request:
    """Return what the flow sends first in an async client."""
    flow = auth.async_auth_flow(request)
    signed = await anext(flow)
    await flow.aclose()
    return signed


def fixed_auth(credentials: Credentials | Callable[[], Credentials], date: str, nonce: str) -> ACS3Auth:
    """Return a signer whose clock and nonce stand still."""
    return ACS3Auth(credentials, now=lambda: datetime.fromisoformat(date), nonce=lambda: nonce)


# The steps, in the order in which a mistake would show


@every_vector
def test_canonical_query(vector: dict[str, Any]) -> None:
    """The query on the wire, in whatever order and encoding of spaces, is signed decoded, sorted and encoded anew."""
    assert canonical_query(wire_query(vector)) == vector["expected"]["canonical_query"]
    assert canonical_query(wire_query(vector).replace("+", "%20")) == vector["expected"]["canonical_query"]


@every_vector
def test_canonical_request(vector: dict[str, Any]) -> None:
    """Method, path, query, headers and the hash of the body are laid out as the vendor's signer does."""
    given, expected = vector["input"], vector["expected"]
    headers = canonical_headers(given["headers"].items())
    assert ";".join(headers) == expected["signed_headers"]
    canonical = canonical_request(
        given["method"], given["path"], wire_query(vector), headers, expected["x-acs-content-sha256"]
    )
    assert canonical == expected["canonical_request"]


@every_vector
def test_string_to_sign(vector: dict[str, Any]) -> None:
    """The canonical request is hashed as UTF-8, under the algorithm's name."""
    assert string_to_sign(vector["expected"]["canonical_request"]) == vector["expected"]["string_to_sign"]


@every_vector
def test_authorization(vector: dict[str, Any]) -> None:
    """The signature and the header around it are the vendor's."""
    credentials = Credentials(vector["access_key_id"], SecretStr(vector["access_key_secret"]))
    expected = vector["expected"]
    header = authorization(credentials, expected["signed_headers"].split(";"), expected["string_to_sign"])
    assert header == expected["authorization"]
    assert header.endswith(f",Signature={expected['signature']}")


def test_percent_encode_keeps_only_unreserved_characters() -> None:
    """RFC 3986: also `/`, `+`, `*` and space are encoded, in upper-case hex of UTF-8."""
    assert percent_encode("aZ09-_.~") == "aZ09-_.~"
    assert percent_encode(" +*/!'()=&%\n中") == "%20%2B%2A%2F%21%27%28%29%3D%26%25%0A%E4%B8%AD"


def test_names_of_parameters_are_encoded_too() -> None:
    """The vendor's page asks for it; its Python signer, and so no vector, does it."""
    assert (
        canonical_query("%E5%9F%8E%E5%B8%82=%E6%9D%AD%E5%B7%9E&a+b=1")
        == "a%20b=1&%E5%9F%8E%E5%B8%82=%E6%9D%AD%E5%B7%9E"
    )


def test_parameters_without_a_value_stay() -> None:
    """`name=` and `name` are both signed as `name=`."""
    assert canonical_query("b=&a") == "a=&b="


def test_an_empty_path_is_a_slash() -> None:
    """The canonical request always has a path."""
    assert canonical_request("GET", "", "", {}, "0").startswith("GET\n/\n\n")


# The flow


@pytest.mark.parametrize("name", SIGNED_AS_HERE)
def test_the_flow_signs_as_the_vendor(name: str) -> None:
    """A whole request, with the vector's clock and nonce, gets the vendor's Authorization header."""
    vector = BY_NAME[name]
    given = vector["input"]
    sent = ("x-acs-action", "x-acs-version", "content-type")
    request = httpx.Request(
        given["method"],
        f"https://{given['headers']['host']}{given['path']}",
        params=given["query"],
        headers={header: given["headers"][header] for header in sent if header in given["headers"]},
        content=(given["body"] or "").encode(),
    )
    token = given["headers"].get("x-acs-security-token")
    credentials = Credentials(
        vector["access_key_id"], SecretStr(vector["access_key_secret"]), SecretStr(token) if token else None
    )
    auth = fixed_auth(credentials, given["headers"]["x-acs-date"], given["headers"]["x-acs-signature-nonce"])

    signed = signed_request(auth, request)

    assert signed.headers["authorization"] == vector["expected"]["authorization"]
    assert {header: signed.headers[header] for header in given["headers"]} == given["headers"]


@pytest.mark.parametrize(
    "name", ["rpc-chat-unicode-and-reserved", "rpc-flattened-arrays-objects", "roa-get-path-params"]
)
def test_the_flow_signs_the_url_that_httpx_sends(name: str) -> None:
    """Path and query reach the signature as httpx puts them on the wire, with reserved and Chinese characters.

    The vendor signed these with two more headers, so what is compared is the URL's part of the canonical request.
    """
    given, expected = BY_NAME[name]["input"], BY_NAME[name]["expected"]
    url = httpx.Request(given["method"], ORIGIN + given["path"], params=given["query"]).url
    path, _, query = url.raw_path.decode().partition("?")
    assert (path, canonical_query(query)) == (given["path"], expected["canonical_query"])


@pytest.fixture
def ticking() -> ACS3Auth:
    """A signer whose clock moves by a second, and whose nonce counts, at each request."""
    dates = (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC) + timedelta(seconds=second) for second in range(9))
    nonces: Iterator[str] = (f"nonce{number}" for number in range(9))
    return ACS3Auth(CREDENTIALS, now=lambda: next(dates), nonce=lambda: next(nonces))


def test_each_attempt_is_signed_anew(ticking: ACS3Auth) -> None:
    """A request that is sent again has a new date, nonce and signature: the service refuses a nonce it has seen."""
    request = httpx.Request("POST", ORIGIN, headers=CALL)
    attempts = [dict(signed_request(ticking, request).headers) for _ in range(2)]
    names = ("x-acs-date", "x-acs-signature-nonce", "authorization")
    first, second = ([sent[name] for name in names] for sent in attempts)
    assert first[:2] == ["2026-01-02T03:04:05Z", "nonce0"]
    assert second[:2] == ["2026-01-02T03:04:06Z", "nonce1"]
    assert first[2] != second[2]
    assert len(request.headers.get_list("authorization")) == 1


def test_the_flow_ends_after_one_answer() -> None:
    """Whatever is answered, to retry is the business of the client."""
    flow = ACS3Auth(CREDENTIALS).auth_flow(httpx.Request("POST", ORIGIN, headers=CALL))
    next(flow)
    with pytest.raises(StopIteration):
        flow.send(httpx.Response(400))


def test_the_default_clock_and_nonce() -> None:
    """The date is now, in UTC to the second; nonces differ."""
    before = datetime.now(UTC).replace(microsecond=0)
    first, second = (
        signed_request(ACS3Auth(CREDENTIALS), httpx.Request("POST", ORIGIN, headers=CALL)).headers for _ in range(2)
    )
    date = datetime.strptime(first["x-acs-date"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    assert before <= date <= datetime.now(UTC)
    assert first["x-acs-signature-nonce"] != second["x-acs-signature-nonce"]
    assert len(first["x-acs-signature-nonce"]) == 32


def test_a_clock_of_another_zone_is_sent_as_utc() -> None:
    """Beijing's 11 o'clock is 3 o'clock."""
    auth = ACS3Auth(CREDENTIALS, now=lambda: datetime(2026, 1, 2, 11, 4, 5, tzinfo=timezone(timedelta(hours=8))))
    signed = signed_request(auth, httpx.Request("POST", ORIGIN, headers=CALL))
    assert signed.headers["x-acs-date"] == "2026-01-02T03:04:05Z"


def signed_names(request: httpx.Request) -> list[str]:
    """Return the names the Authorization header says are signed."""
    return request.headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")


def test_only_headers_that_proxies_keep_are_signed() -> None:
    """Host, content type and x-acs-*, and nothing of what httpx or a proxy adds."""
    headers = {**CALL, "Content-Type": "application/json", "X-Acs-Extra": "e", "Accept": "*/*", "X-Other": "o"}
    signed = signed_request(ACS3Auth(CREDENTIALS), httpx.Request("POST", ORIGIN, headers=headers, content=b"{}"))
    assert signed_names(signed) == [
        "content-type",
        "host",
        "x-acs-action",
        "x-acs-content-sha256",
        "x-acs-date",
        "x-acs-extra",
        "x-acs-signature-nonce",
        "x-acs-version",
    ]


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://127.0.0.1:8900/x", "127.0.0.1:8900"),
        ("https://a.example:443/x", "a.example"),
        ("https://a.example/x", "a.example"),
    ],
)
def test_the_host_is_signed_as_sent(url: str, host: str) -> None:
    """With its port if that is not the default one, as on an emulator."""
    auth = fixed_auth(CREDENTIALS, "2026-01-02T03:04:05Z", "nonce0")
    signed = signed_request(auth, httpx.Request("POST", url, headers=CALL))
    canonical = f"""POST
/x

host:{host}
x-acs-action:Demo
x-acs-content-sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
x-acs-date:2026-01-02T03:04:05Z
x-acs-signature-nonce:nonce0
x-acs-version:2023-12-29

host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version
e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"""
    expected = authorization(CREDENTIALS, signed_names(signed), string_to_sign(canonical))
    assert (signed.headers["host"], signed.headers["authorization"]) == (host, expected)


def streamed() -> Iterator[bytes]:
    """Yield a body in pieces, as an upload does."""
    yield b'{"Query":'
    yield '"你好"}'.encode()


@pytest.mark.parametrize("content", ['{"Query":"你好"}'.encode(), streamed()], ids=["bytes", "stream"])
def test_the_body_is_hashed_as_sent(content: Any) -> None:
    """The digest is that of the very bytes: no JSON is written anew, and a streamed body is read first."""
    request = httpx.Request("POST", ORIGIN, headers={**CALL, "content-type": "application/json"}, content=content)
    signed = signed_request(ACS3Auth(CREDENTIALS), request)
    assert signed.content == '{"Query":"你好"}'.encode()
    digest = "1f56b4aa47a096e0b2c18cffbe12a95d359e61625fcb0c88983a1e09c46f4a35"  # of the vector with this body
    assert signed.headers["x-acs-content-sha256"] == digest


@pytest.mark.parametrize("missing", ["x-acs-action", "x-acs-version"])
def test_a_request_without_action_or_version_is_refused(missing: str) -> None:
    """The error names what to set, before anything is sent."""
    headers = {name: value for name, value in CALL.items() if name != missing}
    with pytest.raises(ConfigurationError, match=r"POST /index/retrieve .*x-acs-action and x-acs-version"):
        signed_request(ACS3Auth(CREDENTIALS), httpx.Request("POST", f"{ORIGIN}/index/retrieve", headers=headers))


def test_a_token_is_not_left_behind() -> None:
    """A request first signed with temporary credentials and sent again with others carries nothing of the first."""
    request = signed_request(ACS3Auth(TEMPORARY), httpx.Request("POST", ORIGIN, headers=CALL))
    assert {"x-acs-security-token", "x-acs-accesskey-id"} <= set(signed_names(request))
    again = signed_request(ACS3Auth(CREDENTIALS), request)
    assert not {"x-acs-security-token", "x-acs-accesskey-id"} & set(again.headers)


# Where credentials come from


class Rotating:
    """Gives other credentials at each request, as the client of alibabacloud-credentials does when they run out."""

    def __init__(self) -> None:
        self.calls = 0

    def get_credential(self) -> Any:
        self.calls += 1
        return SimpleNamespace(
            access_key_id=f"testid{self.calls}", access_key_secret="testsecret", security_token=f"token{self.calls}"
        )


class RotatingAsync(Rotating):
    """The same with an async method, which the sync one must not stand in for."""

    def get_credential(self) -> Any:
        raise AssertionError("the sync method would block the loop")

    async def get_credential_async(self) -> Any:
        return super().get_credential()


def test_a_function_is_asked_for_each_request() -> None:
    """Credentials may change between two requests of one signer."""
    given = iter([CREDENTIALS, replace(CREDENTIALS, access_key_id="testid2")])
    auth = ACS3Auth(lambda: next(given))
    sent = [signed_request(auth, httpx.Request("POST", ORIGIN, headers=CALL)).headers["authorization"] for _ in "12"]
    assert [header.partition(",")[0] for header in sent] == [
        "ACS3-HMAC-SHA256 Credential=testid",
        "ACS3-HMAC-SHA256 Credential=testid2",
    ]


@pytest.mark.parametrize(("source", "is_async"), [(Rotating, False), (Rotating, True), (RotatingAsync, True)])
async def test_a_provider_is_asked_for_each_request(source: type[Rotating], is_async: bool) -> None:
    """Sync and async; in async code by `get_credential_async` where there is one."""
    auth = ACS3Auth(credentials_provider(source()))
    for number in (1, 2):
        request = httpx.Request("POST", ORIGIN, headers=CALL)
        signed = await async_signed_request(auth, request) if is_async else signed_request(auth, request)
        assert f"Credential=testid{number}," in signed.headers["authorization"]
        assert signed.headers["x-acs-security-token"] == f"token{number}"


async def test_both_flows_sign_alike() -> None:
    """The async flow reads the body and gives the same signature as the sync one."""
    vector = BY_NAME["minimal-headers-json-body"]["input"]
    auth = fixed_auth(CREDENTIALS, vector["headers"]["x-acs-date"], vector["headers"]["x-acs-signature-nonce"])

    async def astreamed() -> Any:
        for piece in streamed():
            yield piece

    headers = {name: vector["headers"][name] for name in ("x-acs-action", "x-acs-version", "content-type")}
    sync_request = httpx.Request("POST", ORIGIN + vector["path"], headers=headers, content=streamed())
    async_request = httpx.Request("POST", ORIGIN + vector["path"], headers=headers, content=astreamed())
    sent = [signed_request(auth, sync_request), await async_signed_request(auth, async_request)]
    expected = BY_NAME["minimal-headers-json-body"]["expected"]["authorization"]
    assert [request.headers["authorization"] for request in sent] == [expected, expected]


def test_a_provider_without_a_token() -> None:
    """An empty token, as some providers give for a plain AccessKey, is none."""
    found = SimpleNamespace(access_key_id="testid", access_key_secret="testsecret", security_token="")
    assert credentials_provider(SimpleNamespace(get_credential=lambda: found))() == CREDENTIALS


def test_a_provider_may_return_credentials_of_ours() -> None:
    """Who writes a provider may use our class."""
    assert credentials_provider(SimpleNamespace(get_credential=lambda: TEMPORARY))() is TEMPORARY


def test_a_provider_without_an_access_key_is_refused() -> None:
    """A bearer credential cannot sign, and the error says whose it was."""
    found = SimpleNamespace(access_key_id=None, access_key_secret=None, security_token=None)
    with pytest.raises(ConfigurationError, match=r"SimpleNamespace\.get_credential\(\) returned no AccessKey"):
        credentials_provider(SimpleNamespace(get_credential=lambda: found))()


def test_an_object_that_is_no_provider_is_refused() -> None:
    """The error names the method that is missing."""
    with pytest.raises(ConfigurationError, match=r"get_credential\(\).*dict has none"):
        credentials_provider({"access_key_id": "testid"})  # type: ignore[arg-type]  # that is what is tested


# Bearer keys


async def test_bearer() -> None:
    """The key goes into the Authorization header, sync and async."""
    auth = BearerAuth(SecretStr("test-key"))
    assert signed_request(auth, httpx.Request("GET", ORIGIN)).headers["authorization"] == "Bearer test-key"
    assert (await async_signed_request(auth, httpx.Request("GET", ORIGIN))).headers[
        "authorization"
    ] == "Bearer test-key"


# Secrets


@pytest.mark.parametrize("bad", ["", " ", "hush-hush\n", "hush hush", "\thush-hush", "hush-密钥", "hush-hush\x7f"])
@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("api_key", lambda bad: BearerAuth(SecretStr(bad))),
        ("access_key_id", lambda bad: Credentials(bad, SecretStr("testsecret"))),
        ("access_key_secret", lambda bad: Credentials("testid", SecretStr(bad))),
        ("security_token", lambda bad: Credentials("testid", SecretStr("testsecret"), SecretStr(bad))),
    ],
)
def test_a_badly_copied_secret_is_refused_and_not_shown(name: str, make: Callable[[str], object], bad: str) -> None:
    """The HTTP layer would put the whole header, key included, into its own error."""
    with pytest.raises(ConfigurationError, match=f"^{name} is empty or contains white space") as caught:
        make(bad)
    assert "hush" not in f"{caught.value!r}{caught.value}"


class SmallProvider:
    """A provider that can be pickled: a module-level class without locks."""

    def get_credential(self) -> Any:
        return TEMPORARY


SECRETS = ("test-key", "testsecret", "CAISexample")
HOLDERS = [
    BearerAuth(SecretStr("test-key")),
    TEMPORARY,
    ACS3Auth(TEMPORARY),
    ACS3Auth(credentials_provider(SmallProvider())),
]
every_holder = pytest.mark.parametrize("holder", HOLDERS, ids=["bearer", "credentials", "acs3", "acs3-provider"])


@every_holder
def test_no_secret_is_shown(holder: object) -> None:
    """Neither by repr and str, nor by those of the attributes a debugger would list."""
    shown = f"{holder!r} {holder} {vars(holder)}"
    assert [secret for secret in SECRETS if secret in shown] == []


def test_the_access_key_id_is_not_shown_either() -> None:
    """It is half of a key."""
    assert "testid" not in f"{TEMPORARY!r} {TEMPORARY}"


@every_holder
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda holder: pickle.loads(pickle.dumps(holder))])
def test_holders_copy_and_pickle(holder: object, copied: Callable[[object], object]) -> None:
    """A copy, also one in another process, authenticates as the original does."""
    twin = copied(holder)
    if not isinstance(holder, httpx.Auth):
        assert twin == holder
        return
    assert isinstance(twin, httpx.Auth)
    names = ("authorization", "x-acs-security-token")
    sent = [signed_request(auth, httpx.Request("POST", ORIGIN, headers=CALL)).headers for auth in (holder, twin)]
    first, second = ([headers.get(name, "").partition(",")[0] for name in names] for headers in sent)
    assert first == second
    assert first[0].startswith(("Bearer test-key", "ACS3-HMAC-SHA256 Credential=testid"))


def test_a_copied_provider_shares_its_object() -> None:
    """The clients of alibabacloud-credentials hold locks and a cache: they are shared, not copied."""

    class Locked(SmallProvider):
        def __deepcopy__(self, memo: dict[int, Any]) -> "Locked":
            raise TypeError("cannot copy a lock")

    auth = copy.deepcopy(ACS3Auth(credentials_provider(Locked())))
    assert (
        "Credential=testid,"
        in signed_request(auth, httpx.Request("POST", ORIGIN, headers=CALL)).headers["authorization"]
    )
