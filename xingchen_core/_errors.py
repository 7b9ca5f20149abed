"""The error tree. Every exception this package raises on purpose is an `XingchenError`.

XingchenError
├── ConfigurationError            something is missing or contradictory before anything was sent
├── UnsupportedOperationError     the service has no way to do what was asked
├── APIConnectionError            no answer, or the transport broke inside one
│   └── APITimeoutError
├── APIResponseError              an answer that is not what the API promises
└── APIStatusError                the service said no
    ├── BadRequestError ── ContextOverflowError, ContentFilterError
    ├── AuthenticationError, PermissionDeniedError, NotFoundError, BillingError
    └── RateLimitError, InternalServerError
"""

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from math import isfinite
from time import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx


class XingchenError(Exception):
    """Base of all errors of this package.

    Attributes:
        code: The service's own code, verbatim; `None` if it gave none.
        request_id: The service's id of the request: quote it in a support ticket.
        service: `xingchen`, `beebot`, `bailian`, or `None` when no service was involved.
        partial_text: What the answer had said before it broke.
        is_retryable: Whether the same request may succeed later.
    """

    is_retryable: bool = False

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        request_id: str | None = None,
        service: str | None = None,
        partial_text: str = "",
        is_retryable: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.request_id = request_id
        self.service = service
        self.partial_text = partial_text
        if is_retryable is not None:
            self.is_retryable = is_retryable

    def __str__(self) -> str:
        where = self.service or ""
        if self.code and self.code not in self.message:
            where = f"{where} {self.code}".strip()
        text = f"{where}: {self.message}" if where else self.message
        return f"{text} (request id {self.request_id})" if self.request_id else text

    def as_type(self, cls: "type[XingchenError]") -> "XingchenError":
        """Return this error as an instance of `cls`, a subclass that adds a framework's own base class."""
        other = cls.__new__(cls, *self.args)
        other.args = self.args
        other.__dict__.update(self.__dict__)
        return other.with_traceback(self.__traceback__)

    def __reduce__(self) -> tuple[Any, ...]:
        return _revive, (type(self), self.args, self.__dict__)


def _revive(cls: type[XingchenError], args: tuple[Any, ...], state: dict[str, Any]) -> XingchenError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class ConfigurationError(XingchenError):
    """Something is missing or contradictory, found before anything was sent."""


class UnsupportedOperationError(XingchenError):
    """The service has no way to do what was asked."""


class APIConnectionError(XingchenError):
    """No answer came, or the connection broke inside one.

    `was_sent` is False when the request certainly never reached the service.
    """

    is_retryable = True
    was_sent: bool = True


class APITimeoutError(APIConnectionError):
    """No answer in time, or a stream that fell silent."""


class APIResponseError(XingchenError):
    """The answer is not what the API promises: no JSON, no choices, a stream that ended before its end."""

    is_retryable = True


class APIStatusError(XingchenError):
    """The service refused or failed.

    Attributes:
        status_code: The status the service named, in the body or in the stream; else HTTP's.
        retry_after: Seconds to wait as told by the service, else `None`.
        retry_limit: The most repetitions that make sense, where the service's documents name one.
        response: The `httpx.Response`, without the request's secrets; `None` if the failure came inside a stream.
    """

    def __init__(
        self,
        message: str,
        *,
        status_code: int,
        code: str | None = None,
        request_id: str | None = None,
        service: str | None = None,
        partial_text: str = "",
        is_retryable: bool | None = None,
        retry_after: float | None = None,
        retry_limit: int | None = None,
    ) -> None:
        super().__init__(
            message,
            code=code,
            request_id=request_id,
            service=service,
            partial_text=partial_text,
            is_retryable=is_retryable,
        )
        self.status_code = status_code
        self.retry_after = retry_after
        self.retry_limit = retry_limit
        self.response: httpx.Response | None = None


class BadRequestError(APIStatusError):
    """The request itself is wrong: repeating it will not help."""


class ContextOverflowError(BadRequestError):
    """The input is longer than the model can read."""


class ContentFilterError(BadRequestError):
    """Moderation blocked the input or the answer."""


class AuthenticationError(APIStatusError):
    """The key or signature was refused."""


class PermissionDeniedError(APIStatusError):
    """The key is valid, but may not do this."""


class NotFoundError(APIStatusError):
    """No such character, app, message, knowledge base, model."""


class BillingError(APIStatusError):
    """The account is in arrears or the product was not bought."""


class RateLimitError(APIStatusError):
    """Too many requests."""

    is_retryable = True


class InternalServerError(APIStatusError):
    """The service failed."""

    is_retryable = True


STATUS_CLASSES: Mapping[int, type[APIStatusError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    402: BillingError,
    403: PermissionDeniedError,
    404: NotFoundError,
    413: BadRequestError,
    422: BadRequestError,
    429: RateLimitError,
}
"""From a status number to the class of error, for services whose codes say no more."""


def status_class(status: int) -> type[APIStatusError]:
    return STATUS_CLASSES.get(status, InternalServerError if status >= 500 else APIStatusError)


def status_error(
    kind: type[APIStatusError] | None, message: str, *, status_code: int, **details: Any
) -> APIStatusError:
    """Make the error of a refused request; without `kind` the status decides. 408 may be tried again."""
    if status_code == 408:
        details.setdefault("is_retryable", True)
    return (kind or status_class(status_code))(message, status_code=status_code, **details)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Read `Retry-After` in seconds: a number or an HTTP date. Nonsense is `None`.

    Alibaba Cloud's OpenAPI gateway says `x-acs-retry-after` instead, which its SDK takes for milliseconds (UNVERIFIED).
    """
    if (milliseconds := headers.get("x-acs-retry-after", "").strip()).isdecimal():
        return int(milliseconds) / 1000
    value = headers.get("retry-after", "").strip()
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time()
        except (TypeError, ValueError):
            return None
    return max(0.0, seconds) if isfinite(seconds) else None


def excerpt(text: str) -> str:
    """The start of a body that was no JSON, on one line, fit for a message."""
    flat = " ".join(text.split())
    return flat[:200] + ("..." if len(flat) > 200 else "")
