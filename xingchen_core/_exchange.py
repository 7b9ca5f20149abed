"""What a call and its answer have to do with HTTP, apart from sending and waiting: the same for both clients."""

import logging
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from itertools import chain
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode

import httpx
from pydantic_core import from_json, to_json

from xingchen_core import _http
from xingchen_core._call import Call, Request, StreamCall
from xingchen_core._config import ConnectionSettings
from xingchen_core._errors import (
    APIConnectionError,
    APIResponseError,
    APIStatusError,
    APITimeoutError,
    ConfigurationError,
    XingchenError,
    excerpt,
    retry_after,
    status_error,
)
from xingchen_core._locks import ProcessLock
from xingchen_core._redaction import hide_paths_like, hide_url, redacted, without_secrets
from xingchen_core._retry import FirstAttempt, policy
from xingchen_core._service import Service
from xingchen_core._sse import ServerSentEvent, SSEDecoder

T = TypeVar("T")

logger = logging.getLogger("xingchen_core")

_SHOWN_HEADERS = ("accept", "accept-encoding", "content-length", "content-type", "host", "user-agent")
BAD_SHAPE = (KeyError, TypeError, IndexError, AttributeError, ValueError)
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol, httpx.ProxyError)


class Exchange:
    """What both clients know: the settings, and everything about a call that needs no waiting."""

    def __init__(self, settings: ConnectionSettings) -> None:
        timeout = settings.call_timeout()
        silence = settings.silence_limit()
        self._service = settings.service
        self._origin = settings.origin()
        self._origins = settings.origins()
        self._auth = settings.auth()
        self._account = settings.account()
        self._max_retries = settings.max_retries
        self._headers = _named(settings.service.headers, settings.default_headers or {})
        self._timeout = timeout
        self._stream_timeout = httpx.Timeout(
            connect=timeout.connect, read=silence, write=timeout.write, pool=timeout.pool
        )
        self._silence = silence
        self._proxy = settings.proxy
        self._lock = settings.chat_lock or ProcessLock
        self._injected = settings.http_client
        self._injected_async = settings.http_async_client

    def _key(self, call: Request) -> _http.HttpKey:
        return _http.HttpKey(self._origin_of(call), self._proxy, tuple(self._timeout.as_dict().values()))

    def _origin_of(self, call: Request) -> str:
        return call.origin or self._origins.get(call.service, self._origin)

    def _request(
        self, call: Request, client: httpx.Client | httpx.AsyncClient, timeout: httpx.Timeout, *, stream: bool = False
    ) -> httpx.Request:
        if call.renew is not None:
            call = call.renew()
        headers = _named(call.headers) if call.content is not None else {**self._headers, **_named(call.headers)}
        content = call.content
        if call.form is not None:
            content = urlencode(sorted(call.form.items())).encode()
            headers["content-type"] = ("Content-Type", "application/x-www-form-urlencoded")
        elif call.json is not None:
            content = _json(call.json)
            headers["content-type"] = ("Content-Type", "application/json")
        headers["accept"] = ("Accept", "text/event-stream" if stream else "application/json")
        if stream:
            headers["accept-encoding"] = _UNCOMPRESSED
        url = (_url if call.shown_path is None else httpx.URL)(self._origin_of(call) + call.path)
        params = call.query or None
        if client is self._injected or client is self._injected_async:  # whose own settings count, too
            sent = list(headers.values())
            return client.build_request(call.method, url, params=params, headers=sent, content=content, timeout=timeout)
        # A client of ours adds nothing but its headers: what httpx takes a tenth of a call for is known beforehand.
        sent = list({**_own_headers(client), **headers}.values())
        limits = {"timeout": timeout.as_dict()}
        return httpx.Request(call.method, url, params=params, headers=sent, content=content, extensions=limits)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn httpx's exceptions into ours. No URL goes into a message: it can carry a token."""
        try:
            yield
        except httpx.LocalProtocolError:
            raise ConfigurationError(  # from None: the text below has the whole header, which can be a key
                "The request cannot be written as HTTP: look for line breaks in the headers of your HTTP client.",
                service=self._service.name,
            ) from None
        except httpx.RequestError as error:
            hide_url(error)
            raise self._from_httpx(error) from error
        except XingchenError as error:
            error.service = error.service or self._service.name
            raise

    def _from_httpx(self, error: httpx.RequestError) -> XingchenError:
        service = self._service.name
        if isinstance(error, httpx.DecodingError):
            return APIResponseError("The answer's compression is damaged.", service=service)
        if not isinstance(error, httpx.TransportError):
            return APIResponseError(f"No usable answer: {type(error).__name__}.", service=service)
        kind, what = APIConnectionError, "connection failed"
        if isinstance(error, httpx.TimeoutException):
            phase = type(error).__name__.removesuffix("Timeout").lower() or "request"
            kind, what = APITimeoutError, f"timed out ({phase})"
        text = excerpt(str(error))
        made = kind(f"{what} at {error.request.url.host}" + (f": {text}" if text else ""), service=service)
        made.was_sent = not isinstance(error, _NEVER_SENT)
        return made

    def _read(self, call: Call[T], response: httpx.Response) -> T:
        """Return what a complete answer says, or raise what it reports."""
        if not call.is_json and response.is_success:
            return call.parse(None)
        try:
            body = from_json(response.content)
        except ValueError:
            raise self._no_json(response) from None
        self._raise_failure(call, response, body)
        try:
            return (call.by_account(self._account) if call.by_account else call.parse)(body)
        except BAD_SHAPE as error:
            raise APIResponseError(
                f"{call.path} answered in an unexpected shape ({type(error).__name__}: {excerpt(str(error))}).",
                service=self._service.name,
                request_id=response.headers.get("x-request-id"),
            ) from error

    def _raise_failure(self, call: Request, response: httpx.Response, body: Any) -> None:
        error = call.service.read_failure(response.status_code, body)
        if error is None:
            return
        raise self._answered(error, response, call.service)

    def _answered(
        self, error: APIStatusError, response: httpx.Response, service: Service | None = None
    ) -> APIStatusError:
        """Add what the response knows of a refusal."""
        service = service or self._service
        if service.advise is not None and (advice := service.advise(error, response.url.host)):
            error.message = f"{error.message.rstrip('.')}. {advice}"
            error.args = (error.message,)
        error.service = service.name
        error.request_id = error.request_id or response.headers.get("x-request-id")
        error.retry_after = retry_after(response.headers)
        error.response = without_secrets(response, {*_SHOWN_HEADERS, *service.headers})
        return error

    def _no_json(self, response: httpx.Response) -> XingchenError:
        start = excerpt(redacted(response.text))
        if response.is_success:
            return APIResponseError(
                f"The answer is no JSON ({response.headers.get('content-type', 'no content type')}): {start!r}. "
                "Is base_url right?",
                service=self._service.name,
                request_id=response.headers.get("x-request-id"),
            )
        text = f"HTTP {response.status_code}" + (f": {start!r}" if start else "")
        return self._answered(status_error(None, text, status_code=response.status_code), response)

    def _check_stream(self, call: StreamCall[T], reading: "Reading[T]", response: httpx.Response) -> None:
        """Raise what a refused stream says. Its body has been read: it is not the answer."""
        try:
            body = from_json(response.content)
        except ValueError:
            self._raise_error_event(reading, response)
            raise self._no_json(response) from None
        self._raise_failure(call, response, body)
        raise APIResponseError(
            f"{call.path} answered with JSON where a stream was asked for.",
            service=self._service.name,
            request_id=response.headers.get("x-request-id"),
        )

    def _raise_error_event(self, reading: "Reading[T]", response: httpx.Response) -> None:
        """Raise the error event that came under a refusing status, if that is what the body is."""
        try:
            deque(chain(reading.feed(response.content), reading.end()), maxlen=0)
        except APIStatusError as error:
            raise self._answered(error, response) from None
        except APIResponseError:
            pass  # neither JSON nor events: a page of some proxy

    @contextmanager
    def _logged(self, call: Request) -> Iterator[None]:
        """Write one debug line per attempt. Neither bodies nor query: they hold what people said."""
        if call.shown_path is not None:
            hide_paths_like(call.shown_path)
        outcome: object = "ok"
        try:
            yield
        except BaseException as error:
            outcome = type(error).__name__
            raise
        finally:
            logger.debug("%s %s %s: %s", self._service.name, call.method, call.shown_path or call.path, outcome)

    @contextmanager
    def _breaking(self, reading: "Reading[Any]") -> Iterator[None]:
        """Keep what was said on the error that ended the stream; ignore trouble after the end of the answer."""
        try:
            with self._translated():
                yield
        except XingchenError as error:
            if reading.reader.finished and isinstance(error, APIConnectionError):
                return
            error.partial_text = error.partial_text or reading.reader.text
            raise

    def _policy(self, call: Request, first: FirstAttempt) -> dict[str, Any]:
        return policy(call, self._max_retries, first.spent)

    def _auth_of(self, call: Request) -> httpx.Auth | None:
        return self._auth if call.is_signed else None


def _json(body: Any) -> bytes:
    try:
        return to_json(body)
    except ValueError as error:
        raise ConfigurationError(
            f"The request cannot be written as JSON: {excerpt(str(error))}. Texts must be whole characters (no lone "
            "surrogates), and other values plain data."
        ) from error


def is_event_stream(response: httpx.Response) -> bool:
    """Whether the body can be a stream. Not every service documents its type, so only what is certainly none is out."""
    content_type: str = response.headers.get("content-type", "")
    return not content_type.lower().startswith(("application/json", "text/html", "text/xml", "application/xml"))


_Headers = dict[str, tuple[str, str]]
"""Headers by lower-case name, so that there is one of a name whatever its case: the last that was given."""

_UNCOMPRESSED = ("Accept-Encoding", "identity")
"""For streams: a compressor between us would hold events back."""


def _named(*headers: Mapping[str, str]) -> _Headers:
    return {name.lower(): (name, value) for given in headers for name, value in given.items()}


_default_headers: _Headers = {}


def _own_headers(client: httpx.Client | httpx.AsyncClient) -> _Headers:
    """Return what a client of ours sends with every request: the same for each."""
    if not _default_headers:
        _default_headers.update(_named(client.headers))
    return _default_headers


@lru_cache(maxsize=256)
def _url(url: str) -> httpx.URL:
    """Return a URL, parsed once. Those that hold secrets differ each time and are not kept."""
    return httpx.URL(url)


class Reading(Generic[T]):
    """What both clients do with the bytes of one stream."""

    def __init__(self, client: Exchange, call: StreamCall[T]) -> None:
        self.reader = (call.by_account(client._account) if call.by_account else call.reader)()
        decoder = SSEDecoder(dispatch_on_data=call.dispatch_on_data)
        self.decode, self._flush = decoder.feed, decoder.flush
        self._client = client
        self._limit = client._silence
        self.since = time.monotonic()
        """When it began to wait for an event: the time a consumer takes is not the service's silence."""

    def feed(self, chunk: bytes) -> Iterator[T]:
        """Return the results of the events that `chunk` completes, each read when it is asked for.

        So an error loses nothing that came before it in the same chunk, and the reader knows of no text that the
        consumer has not seen.
        """
        events = self.decode(chunk) or self.silence()
        for event in events:
            if (result := self._read(event)) is not None:
                yield result
        if events:
            self.since = time.monotonic()

    def silence(self) -> tuple[()]:
        """Raise if no event has come for too long; keep-alives are none."""
        if self._limit is not None and time.monotonic() - self.since > self._limit:
            raise APITimeoutError(
                f"no event for {self._limit:g} s, only keep-alives (stream_chunk_timeout)",
                service=self._client._service.name,
            )
        return ()

    def _read(self, event: ServerSentEvent) -> T | None:
        try:
            return self.reader.read(event)
        except BAD_SHAPE as error:
            raise misshapen(error) from error

    def end(self) -> Iterator[T]:
        """Return what is left after the last byte."""
        for event in self._flush():
            result = None
            with suppress(APIResponseError):  # cut in the middle: what matters is that the answer is not complete
                result = self._read(event)
            if result is not None:
                yield result
        yield from self.reader.end()

    def abandoned(self, call: StreamCall[T]) -> Call[Any] | None:
        """Return the call that tells the service that nobody listens any more, if there is one."""
        if self.reader.finished or call.on_abandon is None:
            return None
        return call.on_abandon(self.reader)


def misshapen(error: Exception) -> APIResponseError:
    """Return the error of an event that reading broke on."""
    what = f"{type(error).__name__}: {excerpt(str(error))}"
    return APIResponseError(f"An event of the stream has an unexpected shape ({what}).")
