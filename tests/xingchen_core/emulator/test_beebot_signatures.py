"""ACS3 signatures from the server's side: the vendor's own are accepted, and nothing else is."""

import hashlib
import json
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from beebot_api import BeebotApi, date, refusal
from xingchen_core.emulator import Emulator
from xingchen_core.emulator._acs3 import AccessKey, SignatureRefusedError, Signatures, SignedRequest

FIXTURE = Path(__file__).parents[2] / "fixtures/acs3_vectors.json"
VECTORS: list[dict[str, Any]] = json.loads(FIXTURE.read_text(encoding="utf-8"))["vectors"]


def request_of(vector: dict[str, Any], **changes: Any) -> SignedRequest:
    """The vector as it came over the wire: as recorded, where it was."""
    given = vector["input"]
    if "wire" in vector:
        path, _, query = vector["wire"]["request_target"].partition("?")
    else:
        path = given["path"]
        query = urlencode({name: value for name, value in given["query"].items() if value is not None})
    signature = ("Authorization", vector["expected"]["authorization"])
    parts = {
        "method": given["method"],
        "path": path,
        "query": query,
        "headers": (*((name, value) for name, value in given["headers"].items() if value is not None), signature),
        "body": (given["body"] or "").encode(),
        **changes,
    }
    return SignedRequest(**parts)


def signatures(vector: dict[str, Any]) -> Signatures:
    """What knows the vector's key, at the vector's time."""
    signed = datetime.fromisoformat(vector["input"]["headers"]["x-acs-date"]).timestamp()
    keys = {vector["access_key_id"]: AccessKey(vector["access_key_secret"])}
    return Signatures(keys=keys, clock=lambda: signed)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_the_vendor_s_signatures_are_accepted(vector: dict[str, Any]) -> None:
    """Every vector, signed by the vendor's own code or page, is accepted, in the form it had on the wire."""
    assert signatures(vector).verify(request_of(vector)) == vector["access_key_id"]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
@pytest.mark.parametrize("what", ["method", "path", "query", "secret"])
def test_nothing_signed_may_change(vector: dict[str, Any], what: str) -> None:
    """Another method, path, query or secret than the signed one does not match."""
    checker, changes = signatures(vector), {}
    if what == "secret":
        checker.keys = {vector["access_key_id"]: AccessKey("another")}
    elif what == "query":
        changes = {"query": request_of(vector).query + "&Another=1"}
    else:
        changes = {"method": "PATCH"} if what == "method" else {"path": "/another"}
    with pytest.raises(SignatureRefusedError) as caught:
        checker.verify(request_of(vector, **changes))
    assert caught.value.code == "SignatureDoesNotMatch"
    assert "ACS3-HMAC-SHA256\n" in caught.value.message


@pytest.fixture
def api(emulator: Emulator) -> Any:
    """Plain HTTP to the emulator."""
    client = BeebotApi(emulator.url)
    with client.http:
        yield client


WELCOME = {"InstanceId": "chatbot-cn-demo"}


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_a_signed_call(api: BeebotApi, method: str) -> None:
    """Both methods of the API are taken, with parameters in the query."""
    response = api.call("BeginSession", WELCOME, method=method)
    assert response.status_code == 200, response.text


def test_query_and_form_are_merged(api: BeebotApi) -> None:
    """A parameter counts wherever it stands; Chinese, spaces and reserved characters are signed as they mean."""
    query = {"AgentKey": "a b+c*~/中"}
    response = api.call("BeginSession", query, {**WELCOME, "VendorParam": '{"名": "b c*~+/"}'})
    assert response.status_code == 200, response.text


@pytest.mark.parametrize(
    "missing",
    ["x-acs-date", "x-acs-signature-nonce", "x-acs-content-sha256", "x-acs-version"],
)
def test_a_header_is_missing(api: BeebotApi, missing: str) -> None:
    """Each of the platform's headers must be there."""
    response = api.call("BeginSession", WELCOME, headers={missing: None})
    assert refusal(response) == (400, "IncompleteSignature")
    assert missing in response.json()["Message"]


@pytest.mark.parametrize("name", ["x-acs-extra", "content-type"])
def test_what_must_be_signed_is(api: BeebotApi, name: str) -> None:
    """A platform header that was added behind the signature is refused."""
    request = api.call("BeginSession", WELCOME).request
    request.headers[name] = "text/plain"
    request.headers["x-acs-signature-nonce"] = "another"
    response = api.http.send(request)
    assert refusal(response) == (400, "IncompleteSignature")
    assert name in response.json()["Message"]


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer test-key",
        "ACS3-HMAC-SM3 Credential=testid,SignedHeaders=host,Signature=00",
        "ACS3-HMAC-SHA256 Credential=testid,Signature=00",
        "ACS3-HMAC-SHA256",
    ],
)
def test_not_this_kind_of_authorization(api: BeebotApi, header: str) -> None:
    """Anything but a complete ACS3 header is an incomplete signature."""
    request = api.call("BeginSession", WELCOME).request
    request.headers["authorization"] = header
    assert refusal(api.http.send(request)) == (400, "IncompleteSignature")


def test_an_unknown_key(api: BeebotApi) -> None:
    """An AccessKey id nobody has."""
    response = api.call("BeginSession", WELCOME, key_id="nobody")
    assert refusal(response) == (404, "InvalidAccessKeyId.NotFound")


def test_a_wrong_secret(api: BeebotApi) -> None:
    """The right id with a wrong secret: the message shows what the server would have signed."""
    response = api.call("BeginSession", WELCOME, secret="wrong")
    assert refusal(response) == (400, "SignatureDoesNotMatch")
    assert "ACS3-HMAC-SHA256" in response.json()["Message"]


def test_the_body_is_protected_by_its_hash(api: BeebotApi) -> None:
    """A form that is not the hashed one is refused."""
    response = api.call("BeginSession", {}, WELCOME, body=b"InstanceId=chatbot-cn-other")
    assert refusal(response) == (400, "SignatureDoesNotMatch")
    assert "x-acs-content-sha256" in response.json()["Message"]


@pytest.mark.parametrize(
    ("off", "code"),
    [(-901, "InvalidTimeStamp.Expired"), (901, "InvalidTimeStamp.Expired"), (-890, None), (890, None)],
)
def test_the_clock_may_be_a_quarter_of_an_hour_off(
    api: BeebotApi, emulator: Emulator, off: float, code: str | None
) -> None:
    """The caller's clock may differ by fifteen minutes, either way."""
    emulator.beebot.clock = lambda: 1_800_000_000.0
    response = api.call("BeginSession", WELCOME, headers={"x-acs-date": date(1_800_000_000 + off)})
    assert response.json().get("Code") == code


@pytest.mark.parametrize("text", ["2027-01-15", "1800000000", "2027-13-45T00:00:00Z", "2027-01-15T08:00:00.000Z"])
def test_a_date_in_another_form(api: BeebotApi, text: str) -> None:
    """Seconds, UTC, no fraction: nothing else is a time."""
    response = api.call("BeginSession", WELCOME, headers={"x-acs-date": text})
    assert refusal(response) == (400, "InvalidTimeStamp.Format")


def test_a_nonce_counts_once(api: BeebotApi) -> None:
    """The same request twice is refused the second time, but not if the first was refused."""
    request = api.call("BeginSession", WELCOME).request
    assert refusal(api.http.send(request)) == (400, "SignatureNonceUsed")
    refused = api.call("BeginSession", WELCOME, headers={"x-acs-signature-nonce": "n1"}, secret="wrong")
    assert refused.status_code == 400
    assert api.call("BeginSession", WELCOME, headers={"x-acs-signature-nonce": "n1"}).status_code == 200


@pytest.mark.parametrize(
    ("token", "code"),
    [
        (None, "InvalidSecurityToken.Malformed"),
        ("wrong", "InvalidSecurityToken.Malformed"),
        ("CAIS-test", None),
    ],
)
def test_temporary_keys(api: BeebotApi, emulator: Emulator, token: str | None, code: str | None) -> None:
    """A temporary key needs its token."""
    emulator.beebot.add_access_key("STS.test", "temporary", security_token="CAIS-test", expires_in=60)
    keys = {"key_id": "STS.test", "secret": "temporary"}
    response = api.call("BeginSession", WELCOME, headers={"x-acs-security-token": token}, **keys)
    assert response.json().get("Code") == code


def test_temporary_keys_end(api: BeebotApi, emulator: Emulator) -> None:
    """After its time a temporary key is refused, by its own code."""
    emulator.beebot.add_access_key("STS.test", "temporary", security_token="CAIS-test", expires_in=60)
    emulator.beebot.advance(60)
    keys = {"key_id": "STS.test", "secret": "temporary"}
    response = api.call("BeginSession", WELCOME, headers={"x-acs-security-token": "CAIS-test"}, **keys)
    assert refusal(response) == (400, "InvalidSecurityToken.Expired")


@pytest.mark.parametrize(("token", "status"), [("CAIS-any", 200), ("invalid", 400)])
def test_the_test_pair_takes_any_token(api: BeebotApi, token: str, status: int) -> None:
    """`testid` works as a permanent and as a temporary key; `invalid` is the token that never does."""
    assert api.call("BeginSession", WELCOME, headers={"x-acs-security-token": token}).status_code == status


def test_signed_headers_must_be_in_order(api: BeebotApi) -> None:
    """SignedHeaders names each header once, sorted; else the canonical request would have two readings."""
    request = api.call("BeginSession", WELCOME).request
    algorithm, _, rest = request.headers["authorization"].partition("SignedHeaders=")
    names, _, signature = rest.partition(",")
    backwards = ";".join(reversed(names.split(";")))
    request.headers["authorization"] = f"{algorithm}SignedHeaders={backwards},{signature}"
    assert refusal(api.http.send(request)) == (400, "IncompleteSignature")


def test_an_empty_body_has_a_hash(api: BeebotApi) -> None:
    """Without a body the hash is the one of no bytes, to the letter."""
    request = api.call("BeginSession", WELCOME).request
    assert request.headers["x-acs-content-sha256"] == hashlib.sha256(b"").hexdigest()
    assert request.headers["x-acs-content-sha256"] == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
