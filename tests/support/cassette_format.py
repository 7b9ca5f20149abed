"""Cassettes that people can read and that hold no secrets: a vcrpy serializer, and what it writes and leaves out.

JSON bodies are YAML structure, everything else is a block of text; Chinese stays Chinese; few headers are kept. The
head of a file says where its bytes come from. See cassettes/README.md.
"""

import base64
import json
import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import vcr
import yaml
from vcr.request import Request

from secret_scan import ACCESS_KEY_ID, API_KEY, HEX_ID, JSON_WEB_TOKEN, looks_invented

ORIGINS = ("service", "documentation", "emulator")

REQUEST_HEADERS = (
    "accept",
    "content-type",
    "x-aca-datainspection",
    "x-aca-sse",
    "x-acs-action",
    "x-acs-version",
    "x-dashscope-sse",
    "x-fag-appcode",
    "x-fag-servicename",
)
RESPONSE_HEADERS = ("content-type", "x-request-id")

# What stands for the account in a cassette. While recording, the real values come from the environment and are replaced
# by these; while playing, the environment is set to these.
ACCOUNT = {
    "XINGCHEN_API_KEY": "test-key",
    "XINGCHEN_CHARACTER_ID": "0123456789abcdef0123456789abcdef",
    "DASHSCOPE_API_KEY": "test-key",
    "DASHSCOPE_WORKSPACE_ID": "llm-demo",
    "BAILIAN_APP_ID": "fedcba9876543210fedcba9876543210",
    "BAILIAN_INDEX_ID": "kbdemo0001",
    "ALIBABA_CLOUD_ACCESS_KEY_ID": "testid",
    "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "testsecret",
    "BEEBOT_INSTANCE_ID": "chatbot-cn-demo",
    "BEEBOT_AGENT_KEY": "demo-agent-key",
}

SCRUBBED = "scrubbed"
_SECRET_PARAMETER = re.compile(
    r"\b((?:x-oss-)?(?:signature|signaturenonce|security-?token|accesstoken|credential)|ossaccesskeyid|accesskeyid|timestamp|expires)"
    r"=[^&\s\"'\\]+",
    re.IGNORECASE,
)
_SECRET_FIELD = re.compile(
    r'(\\?"\w*(?:token|secret|signature|password|apikey|accesskeyid|telephone|mobile|email)\\?"\s*:\s*\\?")[^"\\]+',
    re.IGNORECASE,
)
_BEEBOT_PATH = re.compile(r"(/sse/paas4Json)/[^/?\s\"]+/[^/?\s\"]+/[^/?\s\"]+/[^/?\s\"]+")
_ID_FIELD = re.compile(r'(\\?"(\w*(?:Id|_id|ID|Pk)|id)\\?"\s*:\s*)(?:(\\?")([^"\\]+)|(\d+))')


def hide_volatile(text: str) -> str:
    """Replaces signatures, tokens and times in a URL or a form: they differ in each call and must not be written."""
    return _BEEBOT_PATH.sub(r"\1/token/channel/sign/0", _SECRET_PARAMETER.sub(rf"\1={SCRUBBED}", text))


class Scrubber:
    """Replaces secrets and real ids, every id by the same invented one wherever it occurs in a cassette."""

    def __init__(self, account: Mapping[str, str]) -> None:
        """`account` says what replaces the values known beforehand: real value -> invented value."""
        self.replacements = dict(account)
        self._counts: dict[str, int] = {}

    def __call__(self, text: str) -> str:
        """Returns the text without secrets; a text already scrubbed stays as it is."""
        for real, invented in sorted(self.replacements.items(), key=lambda pair: -len(pair[0])):
            text = re.sub(rf"(?<![\w-]){re.escape(real)}(?![\w-])", invented, text)
        text = _SECRET_FIELD.sub(rf"\g<1>{SCRUBBED}", hide_volatile(text))
        for pattern in (API_KEY, ACCESS_KEY_ID, JSON_WEB_TOKEN):
            text = pattern.sub(SCRUBBED, text)
        text = HEX_ID.sub(lambda match: self._invented(match[0], "id"), text)
        return _ID_FIELD.sub(self._field, text)

    def _field(self, match: re.Match[str]) -> str:
        before, name, quote, string, number = match.groups()
        if number is not None:
            return before + (number if int(number) < 1000 else self._invented(number, name))
        return before + quote + self._invented(string, name)

    def _invented(self, real: str, field: str) -> str:
        if real in self.replacements:
            return self.replacements[real]
        if looks_invented(real):
            return real
        is_hex = HEX_ID.fullmatch(real) is not None
        kind = ("uuid" if "-" in real else "hex") if is_hex else "number" if real.isdigit() else field
        count = self._counts[kind] = self._counts.get(kind, 0) + 1
        if kind == "number":
            invented = str(count)
        elif not is_hex:
            stem = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", re.sub(r"_?(?:id|ID|Id|Pk)$", "", field)).lower() or "id"
            invented = f"{stem}-{count}"
        elif kind == "uuid":
            invented = f"00000000-0000-4000-8000-{count:012x}"
        else:
            invented = f"{count:032x}"
        self.replacements[real] = invented
        return invented


class _Dumper(yaml.SafeDumper):
    """Block text for what has several lines."""

    def ignore_aliases(self, data: Any) -> bool:
        return True  # a person reads `{}` twice more easily than an anchor


def _string(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _string)


def _headers(headers: Mapping[str, Any], kept: tuple[str, ...], scrub: Scrubber) -> dict[str, str]:
    lower = {name.lower(): value if isinstance(value, str) else ", ".join(value) for name, value in headers.items()}
    return {name: scrub(lower[name]) for name in kept if name in lower}


def _body(content: str | bytes | None, scrub: Scrubber) -> dict[str, Any]:
    if not content:
        return {}
    if isinstance(content, bytes):
        try:
            content = content.decode()
        except UnicodeDecodeError:
            return {"base64": base64.b64encode(content).decode()}
    text = scrub(content)
    try:
        value = json.loads(text)
    except ValueError:
        return {"text": text}
    return {"json": value} if isinstance(value, dict | list) else {"text": text}


def _content(part: Mapping[str, Any]) -> bytes:
    if "json" in part:
        return json.dumps(part["json"], ensure_ascii=False, separators=(",", ":")).encode()
    if "base64" in part:
        return base64.b64decode(part["base64"])
    return str(part.get("text", "")).encode()


class ReadableSerializer:
    """vcrpy's two functions, `serialize` and `deserialize`, for the format of this module."""

    def __init__(self, account: Mapping[str, str]) -> None:
        """`account`: see `Scrubber`."""
        self._account = account

    def serialize(self, cassette: Mapping[str, Any]) -> str:
        """Returns the text of the file."""
        scrub = Scrubber(self._account)
        hosts = sorted({urlsplit(item["request"]["uri"]).hostname or "" for item in cassette["interactions"]})
        local = any(host in ("localhost", "::1") or host.startswith("127.") for host in hosts)
        interactions = [
            {
                "request": {
                    "method": item["request"]["method"],
                    "uri": scrub(item["request"]["uri"]),
                    "headers": _headers(item["request"]["headers"], REQUEST_HEADERS, scrub),
                    **_body(item["request"]["body"], scrub),
                },
                "response": {
                    "status": item["response"]["status"]["code"],
                    "headers": _headers(item["response"]["headers"], RESPONSE_HEADERS, scrub),
                    **_body(item["response"]["body"]["string"], scrub),
                },
            }
            for item in cassette["interactions"]
        ]
        head = {
            "origin": "emulator" if local else "service",
            "source": "recorded from " + ", ".join(hosts),
            "date": date.today().isoformat(),  # noqa: DTZ011  the day where it was recorded is meant
        }
        options: dict[str, Any] = {"allow_unicode": True, "sort_keys": False, "width": 2**16}
        # PyYAML closes a last block of text by a line of three dots, which says nothing.
        return yaml.dump({**head, "interactions": interactions}, Dumper=_Dumper, **options).removesuffix("...\n")

    def deserialize(self, text: str) -> dict[str, Any]:
        """Returns what vcrpy expects; raises `ValueError` if the head does not say where the bytes come from."""
        document = yaml.safe_load(text)
        origin(document)
        interactions = []
        for item in document["interactions"]:
            request, response = item["request"], item["response"]
            interactions.append(
                {
                    "request": {
                        "method": request["method"],
                        "uri": request["uri"],
                        "headers": {name: [value] for name, value in request.get("headers", {}).items()},
                        "body": _content(request),
                    },
                    "response": {
                        "status": {"code": response["status"], "message": None},
                        "headers": {name: [value] for name, value in response.get("headers", {}).items()},
                        "body": {"string": _content(response)},
                    },
                }
            )
        return {"version": 1, "interactions": interactions}


def origin(document: Mapping[str, Any]) -> str:
    """Returns the origin a cassette declares; raises `ValueError` if its head is incomplete."""
    if document.get("origin") not in ORIGINS or not document.get("source") or not document.get("date"):
        raise ValueError(f"a cassette begins with origin ({', '.join(ORIGINS)}), source and date")
    return str(document["origin"])


def _before_record_request(request: Request) -> Request:
    request.headers = {name: value for name, value in request.headers.items() if name.lower() in REQUEST_HEADERS}
    request.uri = hide_volatile(request.uri)
    return request


def _same_body(played: Request, recorded: Request) -> None:
    ours, theirs = (_body(request.body, Scrubber({})) for request in (played, recorded))
    assert ours == theirs, f"{ours} != {theirs}"


def recorder(account: Mapping[str, str] | None = None) -> vcr.VCR:
    """Returns the vcrpy configuration; `account` maps the real values in the environment to invented ones."""
    configured = vcr.VCR(
        before_record_request=_before_record_request,
        decode_compressed_response=True,
        match_on=("method", "scheme", "host", "port", "path", "query", "same_body"),
        serializer="readable",
    )
    configured.register_serializer("readable", ReadableSerializer(account or {}))
    configured.register_matcher("same_body", _same_body)
    return configured


def cassette_path(root: Path, test_file: Path, test_name: str) -> Path:
    """Where the cassette of a test is: tests/a/test_b.py, test_c -> cassettes/a/test_b/test_c.yaml."""
    return (root / "cassettes" / test_file.relative_to(root / "tests").with_suffix("") / test_name).with_suffix(".yaml")
