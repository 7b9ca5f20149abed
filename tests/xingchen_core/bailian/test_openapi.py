"""The two APIs behind knowledge bases: how they fail, who is asked with what, and what of it goes over the wire."""

import copy
import hashlib
import hmac
import json
import pickle
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote_plus

import httpx
import pytest

from raw_server import RawServer, json_answer
from xingchen_core import (
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    BillingError,
    ConfigurationError,
    InternalServerError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
)
from xingchen_core.bailian import BailianSettings, KnowledgeSettings, knowledge
from xingchen_core.bailian._openapi import KNOWLEDGE, OPENAPI, PIPELINE
from xingchen_core.bailian._openapi_failures import read_failure

Connect = Callable[..., Any]

PAIR = {"access_key_id": "testid", "access_key_secret": "testsecret"}
KEY = {"api_key": "test-key"}


GOOD: list[Any] = [
    {"code": "Success", "status_code": 200, "status": "SUCCESS", "success": True, "message": "success", "data": {}},
    {"RequestId": "r-1", "Code": "Success", "Message": "success", "Status": 200, "Success": True, "Data": {}},
    {"RequestId": "r-1", "Code": "success", "Status": "200", "Success": "true", "Data": {}},
    {"code": "200", "success": True, "data": {}},
    {"code": "", "data": {}},
    {"code": None, "data": {}},
    {"data": {}},
    {"code": "Success", "status": "RUNNING", "ingestion_status": "FAILED"},
    [],
]


@pytest.mark.parametrize("body", GOOD)
def test_what_is_good(body: Any) -> None:
    """A success is told by `success`, `Success`, a status and a code, in every spelling, or by none of them."""
    assert read_failure(200, body) is None


BAD: list[tuple[str, int, Any, type[APIStatusError], int, bool]] = [
    ("HTTP", 400, {"code": "InvalidParameter"}, BadRequestError, 400, False),
    ("HTTP alone", 503, {}, InternalServerError, 503, True),
    ("HTTP beside success", 400, {"success": True, "code": "Success"}, BadRequestError, 400, False),
    ("success", 200, {"success": False, "code": "InvalidApiKey"}, AuthenticationError, 401, False),
    ("Success", 200, {"Success": False, "Code": "Index.InvalidParameter"}, BadRequestError, 400, False),
    ("Success without a code", 200, {"Success": False}, BadRequestError, 400, False),
    ("Success as text", 200, {"Success": "false"}, BadRequestError, 400, False),
    ("a good code", 200, {"success": False, "code": "Success"}, BadRequestError, 400, False),
    ("importing", 200, {"code": "InvalidParameter", "status": 400, "requestId": "r-1"}, BadRequestError, 400, False),
    ("a status alone", 200, {"status": 404}, NotFoundError, 404, False),
    ("a status as text", 200, {"Status": "500"}, InternalServerError, 500, True),
    ("status_code", 200, {"status_code": 429, "code": "Throttling"}, RateLimitError, 429, True),
    ("a word", 200, {"status": "FAILED"}, BadRequestError, 400, False),
    ("a code alone", 200, {"code": "Forbidden"}, PermissionDeniedError, 403, False),
    ("a template with a code", 200, {"Code": "Index.InvalidParameter", "Success": True}, BadRequestError, 400, False),
    ("nested", 200, {"error": {"code": "RATE_LIMITED"}, "request_id": "r-1"}, RateLimitError, 429, True),
    ("nested, without a code", 200, {"error": {"message": "m"}}, BadRequestError, 400, False),
    ("nested, upper case", 400, {"error": {"code": "KB_NOT_FOUND"}}, NotFoundError, 400, False),
]


@pytest.mark.parametrize(("case", "status", "body", "kind", "code", "retryable"), BAD, ids=[row[0] for row in BAD])
def test_what_is_bad(case: str, status: int, body: Any, kind: type[APIStatusError], code: int, retryable: bool) -> None:
    """Trap 3: HTTP 200 proves nothing; one sign of failure is enough, also beside signs of success."""
    error = read_failure(status, body)
    assert type(error) is kind
    assert (error.status_code, error.is_retryable) == (code, retryable)


CODES: list[tuple[int, str, type[APIStatusError], bool]] = [
    (401, "InvalidApiKey", AuthenticationError, False),
    (401, "UNAUTHORIZED", AuthenticationError, False),
    (403, "Forbidden", PermissionDeniedError, False),
    (403, "Index.Forbidden", PermissionDeniedError, False),
    (403, "FORBIDDEN", PermissionDeniedError, False),
    (400, "InvalidParameter", BadRequestError, False),
    (400, "Index.InvalidParameter", BadRequestError, False),
    (400, "INVALID_PARAMETER", BadRequestError, False),
    (400, "Index.IndexNotExist", NotFoundError, False),
    (400, "KB_NOT_FOUND", NotFoundError, False),
    (400, "Index.FileEmptyError", BadRequestError, False),
    (409, "KB_NAME_CONFLICT", BadRequestError, False),
    (400, "DataCenter.FileTooLarge", BadRequestError, False),
    (413, "", BadRequestError, False),
    (500, "SystemError", BadRequestError, False),
    (429, "Throttling.User", RateLimitError, True),
    (400, "Throttling", RateLimitError, True),
    (429, "RATE_LIMITED", RateLimitError, True),
    (429, "QUOTA_EXCEEDED", RateLimitError, True),
    (500, "InternalError", InternalServerError, True),
    (502, "SYNC_SOURCE_UNREACHABLE", InternalServerError, True),
    (504, "RETRIEVAL_TIMEOUT", InternalServerError, True),
    (404, "InvalidAccessKeyId.NotFound", AuthenticationError, False),
    (400, "SignatureDoesNotMatch", AuthenticationError, False),
    (400, "InvalidTimeStamp.Expired", AuthenticationError, True),
    (400, "InvalidSecurityToken.Expired", AuthenticationError, True),
    (400, "InvalidSecurityToken.Malformed", AuthenticationError, False),
    (400, "SignatureNonceUsed", RateLimitError, True),
    (400, "AgentApp.NotFound", NotFoundError, False),
    (400, "InvalidWorkspace.NotFound", NotFoundError, False),
    (400, "Arrearage", BillingError, False),
    (418, "NobodyKnows", APIStatusError, False),
]


@pytest.mark.parametrize(("status", "code", "kind", "retryable"), CODES)
def test_codes(status: int, code: str, kind: type[APIStatusError], retryable: bool) -> None:
    """Every documented code is an error of its kind, repeated where that can help; its text is the service's."""
    error = read_failure(status, {"Code": code, "Message": "没有", "RequestId": "r-1"})
    assert error is not None
    assert (type(error), error.is_retryable) == (kind, retryable)
    assert (error.code, error.message, error.request_id) == (code or None, "没有", "r-1")


@pytest.mark.parametrize(("code", "sent"), [("RETRIEVAL_TIMEOUT", 3), ("SignatureNonceUsed", 2), ("InternalError", 5)])
async def test_how_often_it_is_repeated(connect: Connect, code: str, sent: int) -> None:
    """A timeout of the service twice, a used nonce once, the rest as often as the caller allows."""
    requests = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(504, json={"code": code, "message": "m"})

    client = connect(answer, KnowledgeSettings, max_retries=4, **KEY)
    with pytest.raises(APIStatusError):
        await client.send(knowledge.list_indexes())
    assert len(requests) == sent


async def test_a_create_is_not_repeated_after_a_timeout(connect: Connect) -> None:
    """The service may have done it: a second one would make a second index."""
    requests = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        raise httpx.ReadTimeout("slow", request=request)

    client = connect(answer, KnowledgeSettings, **KEY)
    spec = knowledge.IndexSpec(name="手册", source=knowledge.Source(document_ids=("file_fake_1",)))
    with pytest.raises(APITimeoutError):
        await client.run(knowledge.create_index(spec))
    assert len(requests) == 1
    with pytest.raises(APITimeoutError):
        await client.send(knowledge.list_indexes())
    assert len(requests) == 4


# Who is asked, with what


def _asked(settings: KnowledgeSettings) -> tuple[str, str, str]:
    return settings.origin(), settings.origins()[OPENAPI], settings.origins()[PIPELINE]


@pytest.mark.parametrize(
    ("variables", "fields", "expected"),
    [
        (
            {},
            {},
            (
                "https://dashscope.aliyuncs.com",
                "https://bailian.cn-beijing.aliyuncs.com",
                "https://dashscope.aliyuncs.com",
            ),
        ),
        (
            {"DASHSCOPE_WORKSPACE_ID": "llm-demo"},
            {},
            (
                "https://llm-demo.cn-beijing.maas.aliyuncs.com",
                "https://bailian.cn-beijing.aliyuncs.com",
                "https://dashscope.aliyuncs.com",
            ),
        ),
        (
            {},
            {"region": "ap-southeast-1", "workspace_id": "llm-demo"},
            (
                "https://dashscope-intl.aliyuncs.com",
                "https://bailian.ap-southeast-1.aliyuncs.com",
                "https://dashscope-intl.aliyuncs.com",
            ),
        ),
        (
            {"BAILIAN_BASE_URL": "https://signed.invalid/", "DASHSCOPE_BASE_URL": "https://keyed.invalid/api/v1"},
            {"workspace_id": "llm-demo"},
            ("https://keyed.invalid", "https://signed.invalid", "https://keyed.invalid"),
        ),
        (
            {"DASHSCOPE_BASE_URL": "https://keyed.invalid"},
            {},
            ("https://keyed.invalid", "https://bailian.cn-beijing.aliyuncs.com", "https://keyed.invalid"),
        ),
        (
            {"BAILIAN_BASE_URL": "https://signed.invalid"},
            {"base_url": "http://127.0.0.1:8900"},
            ("http://127.0.0.1:8900",) * 3,
        ),
        (
            {},
            {"base_url": "http://127.0.0.1:8900", "openapi_base_url": "https://bailian-vpc.cn-beijing.aliyuncs.com"},
            ("http://127.0.0.1:8900", "https://bailian-vpc.cn-beijing.aliyuncs.com", "http://127.0.0.1:8900"),
        ),
    ],
)
def test_hosts(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], fields: dict[str, str], expected: tuple[str, ...]
) -> None:
    """Each host: argument, then its variable, then the public one; an explicit base_url replaces them all."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings = KnowledgeSettings(**KEY, **fields)
    assert _asked(settings) == expected
    assert _asked(copy.deepcopy(settings)) == _asked(pickle.loads(pickle.dumps(settings))) == expected


def test_workspace_from_either_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """`DASHSCOPE_WORKSPACE_ID` goes before `BAILIAN_WORKSPACE_ID`."""
    monkeypatch.setenv("BAILIAN_WORKSPACE_ID", "llm-second")
    assert KnowledgeSettings(**KEY).workspace_id == "llm-second"
    monkeypatch.setenv("DASHSCOPE_WORKSPACE_ID", "llm-first")
    assert KnowledgeSettings(**KEY).workspace_id == "llm-first"


def test_credentials_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Either kind will do, and both may be there; with none the message names what to set, and the keyless way."""
    with pytest.raises(ConfigurationError) as caught:
        KnowledgeSettings()
    for name in ("DASHSCOPE_API_KEY", "ALIBABA_CLOUD_ACCESS_KEY_ID", "access_key_secret", "xingchen_core.emulator"):
        assert name in str(caught.value)
    monkeypatch.setenv("ALIBABA_CLOUD_ACCESS_KEY_ID", "testid")
    monkeypatch.setenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "testsecret")
    signing = KnowledgeSettings()
    assert (signing.has_key, signing.has_access_key) == (False, True)
    monkeypatch.setenv("DASHSCOPE_API_KEY", "test-key")
    both = KnowledgeSettings(workspace_id="llm-demo")
    assert (both.has_key, both.has_access_key, both.signed_for()) == (True, True, None)


def test_half_an_access_key_is_a_mistake_even_beside_a_key() -> None:
    """Whoever passes an id without its secret means to sign."""
    with pytest.raises(ConfigurationError, match="access_key_secret"):
        KnowledgeSettings(api_key="test-key", access_key_id="testid")


def test_coding_plan_keys_do_not_count() -> None:
    """Trap 16: they fail on all of this, so they neither suffice nor go before an AccessKey."""
    with pytest.raises(ConfigurationError, match="sk-sp-"):
        KnowledgeSettings(api_key="sk-sp-test")
    assert KnowledgeSettings(api_key="sk-sp-test", workspace_id="llm-demo", **PAIR).signed_for() == "llm-demo"


def test_signing_needs_a_workspace() -> None:
    """It is part of every signed path; a host is never made of an empty or an odd one."""
    with pytest.raises(ConfigurationError, match="workspace_id"):
        KnowledgeSettings(**PAIR).signed_for()
    with pytest.raises(ConfigurationError, match="workspace id"):
        knowledge.list_indexes(signed_for="")
    for odd in ("llm.evil", "a/b", "llm demo"):
        with pytest.raises(ConfigurationError, match="host name"):
            KnowledgeSettings(api_key="test-key", workspace_id=odd)
    assert KnowledgeSettings(api_key="test-key", workspace_id="").origin() == "https://dashscope.aliyuncs.com"


def test_nothing_secret_is_shown() -> None:
    """Neither kind of credentials is in what people print."""
    settings = KnowledgeSettings(**KEY, **PAIR, security_token="testtoken", workspace_id="llm-demo")
    for text in (repr(settings), str(settings), str(settings.model_dump())):
        assert not re.search("test-key|testid|testsecret|testtoken", text)


def _recorder(requests: list[httpx.Request]) -> Callable[[httpx.Request], httpx.Response]:
    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(200, json={"code": "Success", "data": {"rows": []}, "Data": {"Indices": []}, "id": "kb"})

    return answer


async def test_one_client_sends_all_three_kinds(connect: Connect) -> None:
    """Each call goes to its own host with its own credentials, and the key's workspace is named."""
    requests: list[httpx.Request] = []
    client = connect(_recorder(requests), KnowledgeSettings, **KEY, **PAIR, workspace_id="llm-demo")
    await client.send(knowledge.list_indexes())
    await client.send(knowledge.list_indexes(signed_for="llm-demo"))
    await client.run(knowledge.find_pipeline("手册"))
    keyed, signed, older = requests
    assert [request.url.host for request in requests] == [
        "llm-demo.cn-beijing.maas.aliyuncs.com",
        "bailian.cn-beijing.aliyuncs.com",
        "dashscope.aliyuncs.com",
    ]
    assert keyed.headers["authorization"] == older.headers["authorization"] == "Bearer test-key"
    assert keyed.headers["x-dashscope-workspace"] == older.headers["x-dashscope-workspace"] == "llm-demo"
    assert older.headers["x-dashscope-openapisource"] == "CloudSDK"
    assert signed.headers["authorization"].startswith("ACS3-HMAC-SHA256 Credential=testid,")
    assert "x-dashscope-workspace" not in signed.headers


async def test_plain_bailian_settings_do_for_calls_with_a_key(connect: Connect) -> None:
    """Calls of knowledge bases are read as such, whatever settings the client was made of."""
    requests: list[httpx.Request] = []
    client = connect(_recorder(requests), BailianSettings, **KEY)
    assert (await client.send(knowledge.list_indexes())).items == ()
    assert requests[0].url.host == "dashscope.aliyuncs.com"


@pytest.mark.parametrize(("fields", "signed_for", "text"), [(KEY, "llm-demo", "is signed"), (PAIR, None, "an API key")])
async def test_credentials_that_a_call_lacks(
    connect: Connect, fields: dict[str, str], signed_for: str | None, text: str
) -> None:
    """It is refused before it is sent, and told what to pass."""
    client = connect(_recorder([]), KnowledgeSettings, **fields)
    with pytest.raises(ConfigurationError, match=text):
        await client.send(knowledge.list_indexes(signed_for=signed_for))


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("InvalidApiKey", "sk-sp-"),
        ("SignatureDoesNotMatch", "clock"),
        ("Forbidden", "AliyunBailianDataFullAccess"),
        ("Index.IndexNotExist", "workspace_id="),
    ],
)
async def test_refusals_say_what_to_do(connect: Connect, code: str, advice: str) -> None:
    """After the service's own words."""
    client = connect(lambda _: httpx.Response(400, json={"Code": code, "Message": "no"}), KnowledgeSettings, **PAIR)
    with pytest.raises(APIStatusError, match=f"no.*{advice}") as caught:
        await client.send(knowledge.list_indexes(signed_for="llm-demo"))
    assert (caught.value.service, caught.value.code) == ("bailian", code)


# The bytes


def _verified(request: bytes) -> dict[str, str]:
    """Check the signature of raw bytes as the gateway would, from the headers they declare; return the query.

    Written for this test from the vendor's description; it shares nothing with the code that signs.
    """
    head, _, body = request.partition(b"\r\n\r\n")
    first, *lines = head.decode("ascii").split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    path, _, raw = target.partition("?")
    query = {unquote_plus(k): unquote_plus(v) for k, _, v in (item.partition("=") for item in raw.split("&") if item)}

    def encode(text: str) -> str:
        safe = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~"
        return "".join(chr(byte) if byte in safe else f"%{byte:02X}" for byte in text.encode())

    declared = re.fullmatch(
        r"ACS3-HMAC-SHA256 Credential=testid,SignedHeaders=([a-z0-9;-]+),Signature=([0-9a-f]{64})",
        headers["authorization"],
    )
    assert declared is not None
    names = declared[1].split(";")
    assert {"host", *(name for name in headers if name.startswith("x-acs-"))} <= set(names)
    assert ("content-type" in names) is ("content-type" in headers)
    digest = hashlib.sha256(body).hexdigest()
    assert headers["x-acs-content-sha256"] == digest
    canonical = "\n".join(
        [
            method,
            path,
            "&".join(f"{encode(name)}={encode(query[name])}" for name in sorted(query)),
            "".join(f"{name}:{headers[name]}\n" for name in names),
            declared[1],
            digest,
        ]
    )
    text = f"ACS3-HMAC-SHA256\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    assert declared[2] == hmac.new(b"testsecret", text.encode(), "sha256").hexdigest()
    return query


QUESTION = "百炼 X1 多少钱? a+b *~/&=%"


async def test_signed_retrieval_on_the_wire(connect: Connect) -> None:
    """Trap 1: a POST with an empty body, no Content-Type, and all parameters in the URL, signed as they are sent."""
    with RawServer(json_answer(b'{"Success":true,"Data":{"Nodes":[]}}')) as server:
        client = connect(server.url, KnowledgeSettings, **PAIR)
        request = knowledge.RetrieveRequest(
            query=QUESTION, index_id="kbdemo0001", filters=knowledge.Condition("tags", "in", ["A", "B c"])
        )
        assert await client.send(knowledge.from_openapi(request, signed_for="llm-demo")) == ()
    head = server.requests[0].lower()
    assert head.startswith(b"post /llm-demo/index/retrieve?")
    assert b"content-length: 0\r\n" in head
    assert b"content-type:" not in head
    assert _verified(server.requests[0]) == {
        "IndexId": "kbdemo0001",
        "Query": QUESTION,
        "RerankTopN": "5",
        "SearchFilters": '[{"tags":"[\\"A\\", \\"B c\\"]"}]',
    }


CALLS = {
    "json body": lambda: knowledge.list_chunks("kbdemo0001", "file_fake_1", fields=["title"], signed_for="llm-demo"),
    "form": lambda: knowledge.add_category("手册 *~", signed_for="llm-demo"),
    "path": lambda: knowledge.describe_file("file/*~ 1", signed_for="llm-demo"),
}


@pytest.mark.parametrize("name", CALLS)
async def test_other_signed_calls_on_the_wire(connect: Connect, name: str) -> None:
    """Trap 12 and the one JSON body: bodies are hashed as sent, paths keep their slash at the end and no other."""
    answer = json.dumps({"Success": True, "Data": {"Nodes": [], "CategoryId": "cate_fake", "Status": "INIT"}})
    with RawServer(json_answer(answer.encode())) as server:
        await connect(server.url, KnowledgeSettings, **PAIR).send(CALLS[name]())
    _verified(server.requests[0])
    path = server.requests[0].split(b" ")[1]
    assert (
        path
        == {
            "json body": b"/llm-demo/index/list_chunks",
            "form": b"/llm-demo/datacenter/category/",
            "path": b"/llm-demo/datacenter/file/file%2F%2A~%201/",
        }[name]
    )


async def test_each_attempt_is_signed_anew(connect: Connect) -> None:
    """A nonce is used once, also by a repetition."""
    refusal = b'{"Code":"SignatureNonceUsed","Message":"again","RequestId":"r-1"}'
    busy = b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(refusal)
    with RawServer(lambda c: c.send(busy + refusal), json_answer(b'{"Data":{"Indices":[]}}')) as server:
        await connect(server.url, KnowledgeSettings, **PAIR).send(knowledge.list_indexes(signed_for="llm-demo"))
    nonces = [re.search(rb"x-acs-signature-nonce: (\w+)", request.lower()) for request in server.requests]
    assert len({found[1] for found in nonces if found}) == 2


def test_more_than_a_url_can_hold() -> None:
    """Trap 1: long histories are refused with the way out, before the HTTP client fails."""
    from xingchen_core import Message

    history = tuple(Message(role="user", content="很长" * 2000) for _ in range(2))
    request = knowledge.RetrieveRequest(query="q", index_id="kbdemo0001", history=history)
    with pytest.raises(ConfigurationError, match="use an API key"):
        knowledge.from_openapi(request, signed_for="llm-demo")


def test_services_are_told_apart() -> None:
    """All are called `bailian` in errors and logs, and yet are three."""
    assert {service.name for service in (KNOWLEDGE, OPENAPI, PIPELINE)} == {"bailian"}
    assert len({KNOWLEDGE, OPENAPI, PIPELINE}) == 3
