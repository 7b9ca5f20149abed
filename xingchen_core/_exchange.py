"""What a call and its answer have to do with HTTP, apart from sending and waiting: the same for both clients."""

import logging
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from itertools import chain
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode

import httpx
from pydantic_core import from_json, to_json

from xingchen_core import _http
from xingchen_core._auth import BearerAuth
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
        self._bearer = self._auth if isinstance(self._auth, BearerAuth) else None
        self._keys: dict[str, _http.HttpKey] = {}
        self._known_headers: dict[tuple[Any, ...], httpx.Headers] = {}

    def _key(self, call: Request) -> _http.HttpKey:
        origin = self._origin_of(call)
        if (known := self._keys.get(origin)) is None:
            known = self._keys[origin] = _http.HttpKey(origin, self._proxy, tuple(self._timeout.as_dict().values()))
        return known

    def _origin_of(self, call: Request) -> str:
        return call.origin or self._origins.get(call.service, self._origin)

    def _request(
        self, call: Request, client: httpx.Client | httpx.AsyncClient, timeout: httpx.Timeout, *, stream: bool = False
    ) -> httpx.Request:
        if call.renew is not None:
            call = call.renew()
        content = call.content
        if call.form is not None:
            content = urlencode(sorted(call.form.items())).encode()
        elif call.json is not None:
            content = _json(call.json)
        url = (_url if call.shown_path is None else httpx.URL)(self._origin_of(call) + call.path)
        if client is self._injected or client is self._injected_async:  # whose own settings count, too
            request = client.build_request(
                call.method,
                url,
                params=call.query or None,
                headers=list(self._headers_of(call, stream).values()),
                content=content,
                timeout=timeout,
            )
        else:
            request = self._own_request(call, client, url, content, timeout, stream)
        if self._bearer is not None and call.is_signed:
            self._bearer.sign(request)
        return request

    def _headers_of(self, call: Request, stream: bool) -> "_Headers":
        headers = _named(call.headers) if call.content is not None else {**self._headers, **_named(call.headers)}
        if call.form is not None:
            headers["content-type"] = ("Content-Type", "application/x-www-form-urlencoded")
        elif call.json is not None:
            headers["content-type"] = ("Content-Type", "application/json")
        headers["accept"] = ("Accept", "text/event-stream" if stream else "application/json")
        if stream:
            headers["accept-encoding"] = _UNCOMPRESSED
        return headers

    def _own_request(
        self,
        call: Request,
        client: httpx.Client | httpx.AsyncClient,
        url: httpx.URL,
        content: bytes | None,
        timeout: httpx.Timeout,
        stream: bool,
    ) -> httpx.Request:
        """Return the request that `client.build_request` would make, were it asked: a client of ours adds only headers.

        What httpx takes a tenth of a call for is known beforehand, and for bodies of JSON the same for each call.
        """
        limits = {"timeout": timeout.as_dict()}
        if call.json is None or call.query:
            every = {**_own_headers(client), **self._headers_of(call, stream)}
            return httpx.Request(
                call.method,
                url,
                params=call.query or None,
                headers=list(every.values()),
                content=content,
                extensions=limits,
            )
        kind = (url.netloc, stream, *call.headers.items())
        headers = self._known_headers.get(kind)
        if headers is None:
            host = {"host": ("Host", url.netloc.decode("ascii"))}
            sent = {**host, **_own_headers(client), **self._headers_of(call, stream)}
            headers = httpx.Headers(list(sent.values()))
            if len(self._known_headers) == _KINDS:  # headers of a call that are never the same
                self._known_headers.clear()
            self._known_headers[kind] = headers
        body = content or b""
        request = httpx.Request(call.method, url, headers=headers, stream=httpx.ByteStream(body), extensions=limits)
        request.headers["Content-Length"] = str(len(body))
        request.read()  # so that hooks find `content`, as in requests that httpx makes
        return request

    def _translated(self, error: BaseException) -> BaseException:
        """Return what an exception of an attempt is to callers. No URL goes into a message: it can carry a token."""
        if isinstance(error, httpx.LocalProtocolError):
            refused = ConfigurationError(
                "The request cannot be written as HTTP: look for line breaks in the headers of your HTTP client.",
                service=self._service.name,
            )
            refused.__suppress_context__ = True  # its text has the whole header, which can be a key
            return refused
        if isinstance(error, httpx.RequestError):
            hide_url(error)
            made = self._from_httpx(error)
            made.__cause__ = error
            return made
        if isinstance(error, XingchenError):
            error.service = error.service or self._service.name
        return error

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

    def _hide(self, call: Request) -> None:
        if call.shown_path is not None:
            hide_paths_like(call.shown_path)

    def _log(self, call: Request, error: BaseException | None) -> None:
        """Write one debug line per attempt. Neither bodies nor query: they hold what people said."""
        outcome = "ok" if error is None else type(error).__name__
        logger.debug("%s %s %s: %s", self._service.name, call.method, call.shown_path or call.path, outcome)

    def _policy(self, call: Request, first: FirstAttempt) -> dict[str, Any]:
        return policy(call, self._max_retries, first.spent)

    def _auth_of(self, call: Request) -> httpx.Auth | None:
        """Return what signs a request while it is sent; a bearer key stands in it from the start."""
        return self._auth if call.is_signed and self._bearer is None else None


class Attempt:
    """Stands around an attempt: what goes wrong inside is raised as one of our errors, and a debug line tells of it.

    A class, since to make a generator into a context manager takes longer, and each call needs one.
    """

    __slots__ = ("_call", "_exchange")

    def __init__(self, exchange: Exchange, call: Request) -> None:
        self._exchange = exchange
        self._call = call

    def __enter__(self) -> None:
        self._exchange._hide(self._call)

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        told = None if error is None else self._exchange._translated(error)
        self._exchange._log(self._call, told)
        if told is not error and told is not None:
            raise told


class StreamPart:
    """Stands around a part of a stream, as `Attempt`: its opening if `call` is given, else the rest of it.

    What was said is kept on the error that ended it; trouble after the end of the answer is none.
    """

    __slots__ = ("_call", "_exchange", "_reading")

    def __init__(self, exchange: Exchange, reading: "Reading[Any]", call: Request | None = None) -> None:
        self._exchange = exchange
        self._reading = reading
        self._call = call

    def __enter__(self) -> None:
        if self._call is not None:
            self._exchange._hide(self._call)

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        told = None if error is None else self._exchange._translated(error)
        reader = self._reading.reader
        if isinstance(told, APIConnectionError) and reader.finished:
            told = None
        elif isinstance(told, XingchenError):
            told.partial_text = told.partial_text or reader.text
        if self._call is not None:
            self._exchange._log(self._call, told)
        if told is not error and told is not None:
            raise told
        return told is None


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


_KINDS = 64
"""So many kinds of requests of one client have their headers kept."""

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
