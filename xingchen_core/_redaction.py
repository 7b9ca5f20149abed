"""Keeping secrets out of what people see of an exchange: errors, the copies of responses they carry, httpx's log."""

import logging
import re
from collections.abc import Container
from contextlib import suppress

import httpx

_hidden_paths: set[str] = set()


def hide_paths_like(shown_path: str) -> None:
    """Keep httpx's own log from showing a URL that is a credential: it logs every URL at level INFO.

    `shown_path` has `***` where the secrets begin.
    """
    if shown_path not in _hidden_paths:
        _hidden_paths.add(shown_path)
        prefix = shown_path.partition("***")[0]

        def redact(record: logging.LogRecord) -> bool:
            if record.args and any(prefix in str(arg) for arg in record.args):
                record.args = tuple(redacted(str(arg)) if prefix in str(arg) else arg for arg in record.args)
            return True

        logging.getLogger("httpx").addFilter(redact)


def redacted(text: str) -> str:
    """Return a text without the secret part of any path that `hide_paths_like` was told of."""
    for shown in _hidden_paths:
        prefix = shown.partition("***")[0]
        if prefix in text:
            text = re.sub(re.escape(prefix) + r"[^\s\"'<>\\]*", shown, text)
    return text


def _shown_request(request: httpx.Request, headers: list[tuple[str, str]]) -> httpx.Request:
    url = request.url
    return httpx.Request(request.method, redacted(f"{url.scheme}://{url.netloc.decode()}{url.path}"), headers=headers)


def hide_url(error: httpx.RequestError) -> None:
    """Keep a URL that is a credential from whoever looks at the error that caused ours."""
    with suppress(RuntimeError):  # an error that knows no request
        if redacted(error.request.url.path) != error.request.url.path:
            error.request = _shown_request(error.request, [])


def without_secrets(response: httpx.Response, shown_headers: Container[str]) -> httpx.Response:
    """Return a copy for errors, which end in logs: no query, no body of the request, none of the caller's headers."""
    headers = [(k, v) for k, v in response.request.headers.multi_items() if k.lower() in shown_headers]
    content = response.content
    if any(shown.partition("***")[0].encode() in content for shown in _hidden_paths):
        content = redacted(response.text).encode(response.encoding or "utf-8")
    return httpx.Response(
        response.status_code,
        headers=[
            (k, v)
            for k, v in response.headers.multi_items()
            if k.lower() not in ("content-encoding", "content-length", "set-cookie")
        ],
        content=content,
        request=_shown_request(response.request, headers),
    )
