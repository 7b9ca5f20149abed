"""What all calls of the Memory Library share: how its failures are told, one kind of call, and limits known beforehand.

Source: Model Studio, "long-term memory (new) API reference" and "limits".
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, model_validator

from xingchen_core._call import Call
from xingchen_core._errors import (
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    status_error,
)
from xingchen_core._service import Service
from xingchen_core.bailian._service import HOSTS, failure
from xingchen_core.bailian.compatible import _content as openai_content
from xingchen_core.bailian.model_messages import ModelMessage, wire_message

T = TypeVar("T")

LONGEST_TEXT = 512
"""Characters, not bytes, of a memory that is stored as given."""
LONGEST_USER_ID = 64
LONGEST_NAME = 32
"""Characters of the names of schemas, attributes and projects, and of a library's id."""
MOST_MESSAGES = 50

_GOOD_CODES = ("", "success", "200", "ok")
_CODES: Mapping[str, type[APIStatusError]] = {
    "invalidapikey": AuthenticationError,
    "forbidden": PermissionDeniedError,
    "notfound": NotFoundError,  # also UserNotFound, EntityNotFound
    "toomanyrequests": RateLimitError,
    "missingparameter": BadRequestError,
    "mutuallyexclusiveparams": BadRequestError,
}
"""How a code ends, in lower case."""
_MISSING = re.compile(r"(not|n't) (exist|found)", re.IGNORECASE)


def read_failure(status: int, body: Any) -> APIStatusError | None:
    """Return the failure an answer reports.

    The documented sign is the HTTP status. A refusing `success` or a code under HTTP 200 is believed too (UNVERIFIED:
    the service's neighbours answer so). A missing schema is told with 400, hence the look at the words.
    """
    body = body if isinstance(body, dict) else {}
    code, message = str(body.get("code") or ""), str(body.get("message") or "")
    refused = any(str(body.get(name)).lower() == "false" for name in ("success", "Success"))
    if status < 400 and not refused and code.lower() in _GOOD_CODES:
        return None
    code = "" if code.lower() in _GOOD_CODES else code
    error = failure(status, code, message or "The service says that it failed.", body.get("request_id"))
    kind = next((kind for end, kind in _CODES.items() if code.lower().endswith(end)), None)
    if kind is None and type(error) is BadRequestError and _MISSING.search(message):
        kind = NotFoundError
    if kind is None:
        return error
    return status_error(
        kind,
        error.message,
        status_code=error.status_code,
        code=error.code,
        request_id=error.request_id,
    )


def advise(error: APIStatusError, host: str) -> str:
    """Say what most often is behind a refusal."""
    if isinstance(error, AuthenticationError):
        return (
            f"This came from {host}. A key works in its own region, and at a workspace's host for that workspace only; "
            "Xingchen keys and coding-plan keys (sk-sp-...) do not work."
        )
    if isinstance(error, PermissionDeniedError):
        return "Check that long-term memory is activated in the console, and that the key may use this workspace."
    return ""


MEMORY = Service(
    name="bailian",
    hosts={"cn-beijing": HOSTS["cn-beijing"]},
    key_variable="DASHSCOPE_API_KEY",
    base_url_variable="DASHSCOPE_BASE_URL",
    read_timeout=300.0,
    read_failure=read_failure,
    advise=advise,
)
"""Other regions are UNVERIFIED: give `base_url`."""


class Record(BaseModel):
    """An object of the service. Members not known here are kept; one that is null is one that is not there."""

    model_config = ConfigDict(
        extra="allow",
        frozen=True,
        populate_by_name=True,
        coerce_numbers_to_str=True,
        hide_input_in_errors=True,
        protected_namespaces=(),
        defer_build=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _without_null(cls, members: Any) -> Any:
        return given(members) if isinstance(members, dict) else members


def call(
    method: str,
    path: str,
    parse: Callable[[Any], T],
    *,
    body: Mapping[str, Any] | None = None,
    query: Mapping[str, Any] | None = None,
    remembered: bool = False,
    service: Service = MEMORY,
) -> Call[T]:
    """Describe a call. `parse` reads the whole answer; members that are None are left out."""
    return Call(
        service=service,
        method=method,
        path=f"/api/v2/apps/memory/{path}",
        query=given(query or {}, str),
        json=None if body is None else given(body),
        remembered=remembered,
        parse=parse,
    )


def account_call(
    method: str,
    path: str,
    parse: Callable[[str, Any], T],
    *,
    body: Mapping[str, Any] | None = None,
    query: Mapping[str, Any] | None = None,
    remembered: bool = False,
    service: Service = MEMORY,
) -> Call[T]:
    """As `call`, where `parse` is also told which account sends: users of two accounts may have one id."""
    described = call(method, path, partial(parse, ""), body=body, query=query, remembered=remembered, service=service)
    return replace(described, by_account=lambda account: partial(parse, account))


def given(members: Mapping[str, Any], convert: Callable[[Any], Any] = lambda value: value) -> dict[str, Any]:
    """Return the members that are not None: a 0 and a False are said, they differ from the service's defaults."""
    return {name: convert(value) for name, value in members.items() if value is not None}


def nothing(_: Any) -> None:
    """Read an answer that says no more than that it is good."""


def checked_user(user_id: str) -> str:
    """Return the owner of memories.

    Raises:
        ConfigurationError: There is none, or it is too long. Nobody's memories are never everybody's.
    """
    if not user_id or not user_id.strip():
        raise ConfigurationError("user_id is empty: memories belong to a user, so say whose they are.")
    check_length("user_id", user_id, LONGEST_USER_ID)
    return user_id


def checked_library(library_id: str | None) -> str | None:
    """Return the id of a library, `None` for the default one."""
    if library_id is not None:
        check_length("library_id", library_id, LONGEST_NAME)
    return library_id


def check_length(name: str, text: str, longest: int) -> None:
    """Refuse what the service refuses.

    Raises:
        ConfigurationError: The text is blank, or longer than so many characters.
    """
    if not text.strip() or len(text) > longest:
        raise ConfigurationError(f"{name} must be 1 to {longest} characters, got {len(text)}.")


def checked_choice(name: str, value: str | None, *choices: str) -> str | None:
    """Return a word of a closed set.

    Raises:
        ConfigurationError: It is another.
    """
    if value is not None and value not in choices:
        raise ConfigurationError(f"{name} must be {' or '.join(map(repr, choices))}, got {value!r}.")
    return value


def seconds(name: str, time: datetime | int | None) -> int | None:
    """Return a time as the service writes it. A naive one is local time, as everywhere in Python.

    Raises:
        ConfigurationError: It is milliseconds, which the service would take for a far future.
    """
    if time is None:
        return None
    moment = int(time.timestamp() if isinstance(time, datetime) else time)
    if not 0 <= moment < 10**11:
        raise ConfigurationError(f"{name} is in seconds since 1970, not in milliseconds; got {moment}.")
    return moment


def conversation(messages: Sequence[ModelMessage], *, with_tools: bool) -> list[dict[str, Any]]:
    """Return what people and the model said, in OpenAI's form.

    System messages are left out, since nobody said them, and empty ones; so are calls and results of functions where
    the service does not take them.

    Raises:
        ConfigurationError: Nothing is left.
    """
    roles = ("user", "assistant", "tool") if with_tools else ("user", "assistant")
    said = []
    for message in messages:
        if not with_tools and message.tool_calls:
            message = message.model_copy(update={"tool_calls": ()})
        if message.role in roles and (message.text.strip() or message.has_media or message.tool_calls):
            said.append(wire_message(message, openai_content(message), with_reasoning=False))
    if not said:
        raise ConfigurationError("messages hold nothing that was said: add a user's or an assistant's message.")
    return said
