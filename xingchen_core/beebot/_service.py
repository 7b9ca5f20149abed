"""The Beebot service (product Chatbot, API version 2022-04-08): hosts, codes, settings, and its signed RPC calls."""

import json
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Self, TypeVar

from pydantic import AfterValidator, Field, model_validator

from xingchen_core._call import Call
from xingchen_core._config import AccessKeySettings, environment, origin
from xingchen_core._errors import (
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    BillingError,
    InternalServerError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    status_error,
)
from xingchen_core._service import Service

T = TypeVar("T")

VERSION = "2022-04-08"
STREAM_HOST = "https://alime-ws.aliyuncs.com"
STREAM_BASE_URL_VARIABLE = "BEEBOT_STREAM_BASE_URL"

CODES: Mapping[str, type[APIStatusError]] = {
    "throttling": RateLimitError,
    "signaturenonceused": RateLimitError,  # a repetition with a new nonce helps, as with throttling
    "invalidaccesskeyid": AuthenticationError,
    "signaturedoesnotmatch": AuthenticationError,
    "incompletesignature": AuthenticationError,
    "invalidtimestamp": AuthenticationError,
    "invalidsecuritytoken": AuthenticationError,
    "instancefreezing": BillingError,
    "forbidden": PermissionDeniedError,
    "nopermission": PermissionDeniedError,
    "invalidapi.notfound": NotFoundError,
    "invalidproduct.notfound": NotFoundError,
    "internalerror": InternalServerError,
    "serviceunavailable": InternalServerError,
    "third party interface error": InternalServerError,
    "missing": BadRequestError,
    "invalidparameter": BadRequestError,
}
"""How a code begins, in lower case. Throttling comes under HTTP 400: the code decides."""

STREAM_WORDS: tuple[tuple[tuple[str, ...], type[APIStatusError]], ...] = (
    (("throttl", "limit", "concurren", "qps", "限流", "并发"), RateLimitError),
    (("token", "sign", "expire", "auth", "channel"), AuthenticationError),
    (("internal", "timeout", "unavailable"), InternalServerError),
    (("freez",), BillingError),
    (("forbidden",), PermissionDeniedError),
    (("notfound",), NotFoundError),
    (("param", "invalid", "missing"), BadRequestError),
)
"""Codes inside the stream are documented nowhere that could be read (UNVERIFIED): they are known by words in them."""

ADVICE: Mapping[type[APIStatusError], str] = {
    AuthenticationError: "Check the AccessKey pair and the clock of this machine.",
    PermissionDeniedError: "Check agent_key (the business space), the RAM permissions and the product edition.",
}


def read_failure(status: int, body: Any) -> APIStatusError | None:
    """Return the failure an RPC answer reports."""
    code = (body.get("Code") or body.get("code")) if isinstance(body, dict) else None
    if status < 400 and not code:
        return None
    message = (body.get("Message") or body.get("message")) if isinstance(body, dict) else None
    text = str(code or "")
    kind = next((cls for start, cls in CODES.items() if text.lower().startswith(start)), None)
    if kind is None and text.lower().endswith(".notfound"):
        kind = NotFoundError  # the platform's codes end so, whatever the status
    if kind is None and status < 500 and not status_known(status):
        kind = BadRequestError
    advice = ADVICE.get(kind) if kind else None
    return status_error(
        kind,
        f"{message or f'HTTP {status}'}{f'. {advice}' if advice else ''}",
        status_code=status if status >= 400 else 400,
        code=text or None,
        request_id=body.get("RequestId") or body.get("requestId") if isinstance(body, dict) else None,
    )


def status_known(status: int) -> bool:
    """Whether an HTTP status says by itself what kind of failure it is."""
    return status in (401, 402, 403, 404, 408, 429)


def stream_failure(envelope: Mapping[str, Any]) -> APIStatusError:
    """Return the failure an event with `success: false` reports."""
    code, message = str(envelope.get("code") or ""), str(envelope.get("message") or "")
    # The code first: "parameter too long, the limit is 512" is no throttling.
    kind = _known_by_words(code) or _known_by_words(message) or BadRequestError
    return status_error(
        kind,
        message or "the robot failed",
        status_code=500 if kind is InternalServerError else 429 if kind is RateLimitError else 400,
        code=code or None,
        request_id=envelope.get("requestId"),
    )


def _known_by_words(text: str) -> type[APIStatusError] | None:
    return next((cls for marks, cls in STREAM_WORDS if any(mark in text.lower() for mark in marks)), None)


BEEBOT = Service(
    name="beebot",
    hosts={"cn-shanghai": "https://chatbot.cn-shanghai.aliyuncs.com"},
    base_url_variable="BEEBOT_BASE_URL",
    headers={"x-acs-version": VERSION},
    read_failure=read_failure,
)


def _stream_origin(url: str | None) -> str | None:
    return None if url is None else origin(url, "stream_base_url")


class BeebotSettings(AccessKeySettings):
    """How to reach Beebot: signed calls to one host, the answers' stream from another.

    Attributes:
        agent_key: The business space (`..._p_beebot_public`); not given: the account's default one.
        stream_base_url: Host of the stream: an explicit `base_url`, else `BEEBOT_STREAM_BASE_URL`, else the public one.
        region: `cn-shanghai` is the one the vendor lists.
    """

    service: ClassVar[Service] = BEEBOT

    agent_key: str | None = Field(default=None, repr=False)
    stream_base_url: Annotated[str | None, AfterValidator(_stream_origin)] = None

    @model_validator(mode="after")
    def _resolve_stream(self) -> Self:
        self.__dict__["api_key"] = None  # some other service's: frameworks hand one to every model
        url = environment(STREAM_BASE_URL_VARIABLE)
        if url and self.stream_base_url is None and not self._has_own_base_url():
            self.__dict__["stream_base_url"] = origin(url, STREAM_BASE_URL_VARIABLE)
        return self

    def _has_own_base_url(self) -> bool:
        """Whether `base_url` was given in the code: then it replaces every host."""
        return self.base_url is not None and "base_url" in self.model_fields_set

    def stream_origin(self) -> str:
        """Return the origin of the stream."""
        if self.stream_base_url is not None:
            return self.stream_base_url
        return self.base_url if self.base_url is not None and self._has_own_base_url() else STREAM_HOST


def rpc(
    action: str,
    parse: Callable[[Any], T],
    *,
    query: Mapping[str, Any] | None = None,
    form: Mapping[str, Any] | None = None,
    remembered: bool = False,
    **more: Any,
) -> Call[T]:
    """Describe a signed RPC call. Members that are None are left out."""
    return Call(
        service=BEEBOT,
        path="/",
        headers={"x-acs-action": action},
        query=_texts(query or {}),
        form=_texts(form) if form is not None else None,
        remembered=remembered,
        parse=parse,
        **more,
    )


def _texts(members: Mapping[str, Any]) -> dict[str, str]:
    return {name: _text(value) for name, value in members.items() if value is not None}


def _text(value: Any) -> str:
    """Return a parameter as text: structures as JSON, booleans as the documents spell them."""
    if isinstance(value, str):
        return value
    if isinstance(value, (dict, list, tuple, bool)):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return str(value)
