"""The two APIs behind knowledge bases: one for API keys, one signed with an AccessKey (`bailian`, 2023-12-29, ROA).

Source: Model Studio, "RAG API", "data import API", and the OpenAPI reference `api-bailian-2023-12-29`. Both serve the
same knowledge bases.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self, TypeVar
from urllib.parse import quote, urlencode

from pydantic import AfterValidator, model_validator

from xingchen_core._call import Call
from xingchen_core._config import AccessKeySettings, environment, origin
from xingchen_core._errors import ConfigurationError
from xingchen_core._service import Service
from xingchen_core.bailian._openapi_failures import advise, read_failure
from xingchen_core.bailian._service import HOSTS, BailianSettings, workspace_url

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

VERSION = "2023-12-29"
OPENAPI_VARIABLE = "BAILIAN_BASE_URL"
LONGEST_QUERY = 60_000
"""Bytes. The HTTP client writes no longer URLs; where the service stops is documented nowhere."""

_HABITS: dict[str, Any] = {"read_timeout": 300.0, "read_failure": read_failure, "advise": advise}

_REGIONS = ("cn-beijing", "ap-southeast-1")

KNOWLEDGE = Service(
    name="bailian",
    hosts={region: HOSTS[region] for region in _REGIONS},
    key_variable="DASHSCOPE_API_KEY",
    base_url_variable="DASHSCOPE_BASE_URL",
    **_HABITS,
)
"""For API keys, at the workspace's own host where its id is known."""

PIPELINE = Service(
    name="bailian",
    hosts={region: HOSTS[region] for region in _REGIONS},
    key_variable="DASHSCOPE_API_KEY",
    base_url_variable="DASHSCOPE_BASE_URL",
    headers={"X-DashScope-OpenAPISource": "CloudSDK"},
    **_HABITS,
)
"""The older API for the same keys, at the public host only."""

OPENAPI = Service(
    name="bailian",
    hosts={region: f"https://bailian.{region}.aliyuncs.com" for region in _REGIONS},
    base_url_variable=OPENAPI_VARIABLE,
    **_HABITS,
)
"""Signed with an AccessKey."""


def _openapi_origin(url: str | None) -> str | None:
    return None if url is None else origin(url, "openapi_base_url")


class KnowledgeSettings(AccessKeySettings, BailianSettings):
    """How to reach knowledge bases: with an API key, with an AccessKey, or with both. What is there decides the route.

    Attributes:
        api_key: From `DASHSCOPE_API_KEY` when not given. Coding-plan keys (`sk-sp-...`) do not work here and do not
            count.
        access_key_id, access_key_secret, security_token, credentials: See `AccessKeySettings`.
        base_url: From `DASHSCOPE_BASE_URL`; default the workspace's own host if `workspace_id` is known, else
            `https://dashscope.aliyuncs.com`. Given explicitly, it replaces the signed API's host too.
        openapi_base_url: Host of the signed API: an explicit `base_url`, else `BAILIAN_BASE_URL`, else the public one.
            `https://bailian-vpc.<region>.aliyuncs.com` is its twin inside a VPC.
        region: `cn-beijing` (the default) or `ap-southeast-1`, which is documented for the signed API only.
        workspace_id: From `DASHSCOPE_WORKSPACE_ID`, else `BAILIAN_WORKSPACE_ID`. Signed calls cannot do without.
        timeout: Read 300 s by default: retrieval is slow.
    """

    service: ClassVar[Service] = KNOWLEDGE

    openapi_base_url: Annotated[str | None, AfterValidator(_openapi_origin)] = None

    @model_validator(mode="after")
    def _resolve_hosts(self) -> Self:
        if self.workspace_id is None:
            self.__dict__["workspace_id"] = environment("BAILIAN_WORKSPACE_ID")
        if self.workspace_id and not re.fullmatch(r"[A-Za-z0-9-]{1,63}", self.workspace_id):
            raise ConfigurationError("workspace_id becomes part of a host name: letters, digits and '-' only.")
        if self.openapi_base_url is None and not self._has_own_base_url() and (url := environment(OPENAPI_VARIABLE)):
            self.__dict__["openapi_base_url"] = origin(url, OPENAPI_VARIABLE)
        return self

    def _has_own_base_url(self) -> bool:
        """Whether `base_url` was given in the code: then it replaces every host."""
        return self.base_url is not None and "base_url" in self.model_fields_set

    @property
    def has_key(self) -> bool:
        """Whether there is an API key that works for knowledge bases."""
        key = self.api_key.get_secret_value().strip() if self.api_key else ""
        return bool(key) and not key.startswith("sk-sp-")

    @property
    def has_access_key(self) -> bool:
        """Whether calls can be signed."""
        return self.credentials is not None or (self.access_key_id is not None and self.access_key_secret is not None)

    def signed_for(self) -> str | None:
        """Return the workspace to sign calls for, `None` if an API key is there, which goes first.

        Raises:
            ConfigurationError: Calls must be signed and there is no workspace id, which is part of their paths.
        """
        if self.has_key:
            return None
        if not self.workspace_id:
            raise ConfigurationError("Calls with an AccessKey need workspace_id=... (or DASHSCOPE_WORKSPACE_ID).")
        return self.workspace_id

    def _require_credentials(self) -> None:
        half = (self.access_key_id is None) != (self.access_key_secret is None)
        try:
            super()._require_credentials()
        except ConfigurationError:
            if half:
                raise
            if not self.has_key:
                raise ConfigurationError(
                    "No credentials for Bailian's knowledge bases: pass api_key=... or set DASHSCOPE_API_KEY "
                    "(coding-plan keys, sk-sp-..., do not work); or pass access_key_id=..., access_key_secret=... and "
                    "workspace_id=..., or set ALIBABA_CLOUD_ACCESS_KEY_ID, ALIBABA_CLOUD_ACCESS_KEY_SECRET and "
                    "DASHSCOPE_WORKSPACE_ID. To try without any, run 'python -m xingchen_core.emulator', pass its URL "
                    "as base_url and any text as api_key.",
                    service=self.service.name,
                ) from None

    def auth(self) -> "httpx.Auth":
        """Return what signs the signed calls and gives the others the key."""
        from xingchen_core._auth import BearerAuth
        from xingchen_core.bailian._openapi_auth import EitherAuth

        bearer = BearerAuth(self.api_key) if self.has_key and self.api_key else None
        return EitherAuth(bearer, super().auth() if self.has_access_key else None, self.workspace_id)

    def origin(self) -> str:
        """Return the origin of the calls with an API key."""
        if self.base_url is None and self.workspace_id and self.region in (None, "cn-beijing"):
            return workspace_url(self.workspace_id)
        return super().origin()

    def origins(self) -> dict[Service, str]:
        """Return the origins of the signed API, and of the older one, which knows no hosts of workspaces."""
        region = self.region or OPENAPI.region
        signed = self.openapi_base_url or (self.base_url if self._has_own_base_url() else None)
        return {OPENAPI: signed or OPENAPI.hosts[region], PIPELINE: self.base_url or PIPELINE.hosts[region]}


def keyed(
    method: str,
    path: str,
    parse: Callable[[Any], T],
    *,
    body: Mapping[str, Any] | None = None,
    query: Mapping[str, Any] | None = None,
    remembered: bool = False,
    service: Service = KNOWLEDGE,
) -> Call[T]:
    """Describe a call with an API key. `parse` reads the whole answer; members that are None are left out."""
    return Call(
        service=service,
        method=method,
        path=f"/api/v1/{path}",
        headers=service.headers,
        query=_texts(query or {}),
        json=_given(body),
        remembered=remembered,
        parse=parse,
    )


def signed(
    action: str,
    method: str,
    workspace_id: str,
    path: str,
    parse: Callable[[Any], T],
    *,
    query: Mapping[str, Any] | None = None,
    form: Mapping[str, Any] | None = None,
    body: Mapping[str, Any] | None = None,
    remembered: bool = False,
) -> Call[T]:
    """Describe a signed call. Most take all they are told from the query, also where they are POSTs.

    `parse` reads the whole answer; members that are None are left out.

    Raises:
        ConfigurationError: There is no workspace id, or more than a URL can hold.
    """
    if not workspace_id:
        raise ConfigurationError("Signed calls need a workspace id: it is the first part of their path.")
    texts = _texts(query or {})
    if len(urlencode(texts)) > LONGEST_QUERY:
        raise ConfigurationError(
            f"{action} sends all it is told in the URL, and this is too much for one ({LONGEST_QUERY} bytes): shorten "
            "query, history and filters, or use an API key, whose calls have a body."
        )
    return Call(
        service=OPENAPI,
        method=method,
        path=f"/{quote(workspace_id, safe='')}{path}",
        headers={"x-acs-action": action, "x-acs-version": VERSION},
        query=texts,
        form=None if form is None else _texts(form),
        json=_given(body),
        remembered=remembered,
        parse=parse,
    )


def segment(text: str) -> str:
    """Return an id as a part of a path, as it is sent and signed. It may come from a model: it leads to no other path.

    Raises:
        ConfigurationError: It is empty, or `.` or `..`, which HTTP clients and proxies resolve.
    """
    if text.strip() in ("", ".", ".."):
        raise ConfigurationError(f"{text!r} is no id.")
    return quote(text, safe="")


def data_of(answer: Any) -> Any:
    """Return what an answer is about."""
    return answer["Data"] if "Data" in answer else answer["data"]


def _given(members: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if members is None else {name: value for name, value in members.items() if value is not None}


def _texts(members: Mapping[str, Any]) -> dict[str, str]:
    """Return parameters as text: structures as JSON, booleans as the documents spell them (the SDK writes `True`)."""
    return {
        name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        for name, value in (_given(members) or {}).items()
    }
