"""Beebot by plain HTTP: a signer and bodies written by hand, since neither emulator nor client may test itself."""

import hashlib
import hmac
import json
import time
from datetime import UTC, datetime
from itertools import count
from typing import Any
from urllib.parse import quote, urlencode

import httpx

VERSION = "2022-04-08"
_numbers = count(1)


def authorization(
    method: str,
    path: str,
    query: dict[str, str],
    headers: dict[str, str],
    body: bytes,
    *,
    key_id: str = "testid",
    secret: str = "testsecret",
) -> str:
    """Sign these headers. Vendor's page: "V3 request structure and signature"."""

    def enc(text: str) -> str:
        return quote(text, safe="~")

    names = sorted(headers)
    canonical = "\n".join(
        [
            method,
            path,
            "&".join(f"{enc(name)}={enc(query[name])}" for name in sorted(query)),
            "".join(f"{name}:{headers[name].strip()}\n" for name in names),
            ";".join(names),
            hashlib.sha256(body).hexdigest(),
        ]
    )
    to_sign = f"ACS3-HMAC-SHA256\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signature = hmac.new(secret.encode(), to_sign.encode(), hashlib.sha256).hexdigest()
    return f"ACS3-HMAC-SHA256 Credential={key_id},SignedHeaders={';'.join(names)},Signature={signature}"


def date(seconds: float) -> str:
    """Unix seconds as the signature wants them."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class BeebotApi:
    """Signed calls and streams of one AccessKey."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, timeout=10, trust_env=False, verify=False)

    def call(
        self,
        action: str,
        query: dict[str, str] | None = None,
        form: dict[str, str] | None = None,
        *,
        method: str = "POST",
        headers: dict[str, str | None] | None = None,
        body: bytes | None = None,
        **keys: str,
    ) -> httpx.Response:
        """Send a signed call. `headers` replace or remove (None) before signing; `body` replaces after it."""
        content = urlencode(form).encode() if form else b""
        signed: dict[str, str | None] = {
            "host": f"{self.http.base_url.host}:{self.http.base_url.port}",
            "x-acs-action": action,
            "x-acs-version": VERSION,
            "x-acs-date": date(time.time()),
            "x-acs-signature-nonce": f"nonce-{next(_numbers)}",
            "x-acs-content-sha256": hashlib.sha256(content).hexdigest(),
            **({"content-type": "application/x-www-form-urlencoded"} if form else {}),
            **(headers or {}),
        }
        kept = {name: value for name, value in signed.items() if value is not None}
        kept["authorization"] = authorization(method, "/", query or {}, kept, content, **keys)
        sent = content if body is None else body
        return self.http.request(method, "/", params=query, headers=kept, content=sent)

    def good(self, action: str, query: dict[str, str] | None = None, form: dict[str, str] | None = None) -> Any:
        """The answer of a call that must go well."""
        response = self.call(action, query, form)
        assert response.status_code == 200, response.text
        return response.json()

    def token(self, **query: str) -> dict[str, str]:
        """A stream token."""
        token: dict[str, str] = self.good("ApplyForStreamAccessToken", query)
        return token

    def path(
        self, token: dict[str, str] | None = None, *, timestamp: str | None = None, sign: str | None = None
    ) -> str:
        """The path of a stream, signed now."""
        token = token or self.token()
        timestamp = timestamp or str(int(time.time() * 1000))
        text = f"streamSecret={token['StreamSecret']}&timestamp={timestamp}"
        sign = sign or hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
        return f"/sse/paas4Json/{token['AccessToken']}/{token['ChannelId']}/{sign}/{timestamp}"

    @staticmethod
    def body(utterance: str = "你好", *, message_id: str | None = None, **parameters: Any) -> dict[str, Any]:
        """The body of a stream; further keywords are parameters."""
        inner = {"InstanceId": "chatbot-cn-demo", "Utterance": utterance, **parameters}
        return {
            "messageId": message_id or f"m{next(_numbers)}",
            "action": "TongyiBeebotChat",
            "version": VERSION,
            "data": [{"type": "JSON_TEXT", "value": json.dumps(inner, ensure_ascii=False)}],
        }

    def stream(self, utterance: str = "你好", path: str | None = None, **parameters: Any) -> httpx.Response:
        """A whole stream, read to its end."""
        return self.http.post(path or self.path(), json=self.body(utterance, **parameters))

    def events(self, response: httpx.Response) -> list[dict[str, Any]]:
        """Envelopes of a stream in the plain shape."""
        assert response.headers["content-type"].startswith("text/event-stream"), response.text
        blocks = response.text.split("\n\n")
        assert blocks.pop() == ""
        assert all(block.startswith("data:{") for block in blocks)
        return [json.loads(block[5:]) for block in blocks]

    def answers(self, response: httpx.Response) -> list[dict[str, Any]]:
        """The inner objects of a stream that went well."""
        return [json.loads(envelope["data"][0]["value"]) for envelope in self.events(response)]


def refusal(response: httpx.Response) -> tuple[int, str]:
    """(HTTP status, code) of an error answer, having checked its shape."""
    body = response.json()
    assert set(body) == {"RequestId", "HostId", "Code", "Message", "Recommend"}
    assert body["Message"]
    return response.status_code, body["Code"]
