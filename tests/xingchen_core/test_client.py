"""One call, one answer, by `Client` and `AsyncClient` alike. Streams are in `test_client_streams.py`."""

import asyncio
import gzip
import logging
import pickle
import threading
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from raw_server import RawServer, json_answer
from toy_service import HOME, ask, settings, until
from xingchen_core._call import Call, Flow, Listing, Page, Pause, Work
from xingchen_core._client import AsyncClient
from xingchen_core._errors import (
    APIConnectionError,
    APIResponseError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    InternalServerError,
    NotFoundError,
    RateLimitError,
    XingchenError,
)
from xingchen_core._exchange import Exchange

Connect = Callable[..., Any]
GOOD = httpx.Response(200, json={"answer": "好"})


class Script:
    """Answers with each response in turn, the last one again and again; exceptions are raised."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self._answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


async def test_what_is_sent(connect: Connect) -> None:
    """The exact request: UTF-8 JSON without escapes, the service's headers, the key, and no `Expect`."""
    script = Script(GOOD)
    client = connect(script, default_headers={"x-mine": "1"})
    assert await client.send(ask("你好", headers={"x-route": "ask"}, query={"n": "1 2"})) == "好"
    (request,) = script.requests
    assert (request.method, str(request.url.copy_with(query=None))) == ("POST", f"{HOME}/ask")
    assert request.url.params.multi_items() == [("n", "1 2")]
    assert request.content == '{"text":"你好"}'.encode()
    headers = request.headers
    assert headers["authorization"] == "Bearer test-key"
    assert headers["content-type"] == headers["accept"] == "application/json"
    assert (headers["x-toy"], headers["x-mine"], headers["x-route"]) == ("1", "1", "ask")
    assert "expect" not in headers


async def test_a_call_without_body(connect: Connect) -> None:
    """A GET has neither a body nor a content type."""
    script = Script(GOOD)
    call = Call(service=ask().service, method="GET", path="/ask/%E4%BD%A0", parse=lambda body: body["answer"])
    assert await connect(script).send(call) == "好"
    (request,) = script.requests
    assert (request.method, request.url.raw_path, request.content) == ("GET", b"/ask/%E4%BD%A0", b"")
    assert "content-type" not in request.headers


def of_kind(kind: str, text: str) -> Call[str]:
    """A call whose body is of one kind."""
    call = ask(text, headers={"X-Route": text})
    changes: dict[str, dict[str, Any]] = {
        "json": {},
        "query": {"query": {"n": f"{text} 2"}},
        "form": {"json": None, "form": {"n": f"{text} 2"}},
        "form and query": {"json": None, "form": {"n": "1"}, "query": {"n": "2"}},
        "file": {"json": None, "content": text.encode()},
        "nothing": {"json": None, "method": "GET"},
        "unsigned": {"is_signed": False},
    }
    return replace(call, **changes[kind])


@pytest.mark.parametrize("kind", ["json", "query", "form", "form and query", "file", "nothing", "unsigned"])
async def test_a_client_of_ours_sends_the_same(connect: Connect, kind: str) -> None:
    """Our own client's requests are put together a shorter way than a caller's: what arrives is the same, each time."""
    mine = {"X-Toy": "mine", "User-Agent": "me"}
    with RawServer(json_answer('{"answer":"好"}'.encode())) as server:
        calls = [of_kind(kind, text) for text in ("a", "a", "bb", "ccc")]
        client = connect(server.url, default_headers=mine)
        for call in calls:
            await client.send(call)
        async with httpx.AsyncClient() as theirs_async:
            with httpx.Client() as theirs:
                clients = {"http_client": theirs, "http_async_client": theirs_async}
                for call in calls:
                    await connect(server.url, default_headers=mine, **clients).send(call)
    assert len(server.requests) == 8
    for ours, other in zip(server.requests[:4], server.requests[4:], strict=True):
        assert sorted(ours.lower().split(b"\r\n")) == sorted(other.lower().split(b"\r\n"))


async def test_each_host_is_named(connect: Connect) -> None:
    """Headers that were made for one host do not go to another."""
    with RawServer(json_answer('{"answer":"好"}'.encode())) as server:
        client, port = connect(server.url), server.url.rpartition(":")[2]
        for origin in (None, f"http://localhost:{port}", None):
            await client.send(replace(ask(), origin=origin))
    named = [line for sent in server.requests for line in sent.split(b"\r\n") if line.startswith(b"Host")]
    assert named == [f"Host: {host}:{port}".encode() for host in ("127.0.0.1", "localhost", "127.0.0.1")]


async def test_headers_of_few_kinds_are_kept(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls that each have a header of their own do not fill the memory."""
    monkeypatch.setattr("xingchen_core._exchange._KINDS", 3)
    exchanges: list[Exchange] = []
    monkeypatch.setattr(Exchange, "_auth_of", lambda self, call: exchanges.append(self))
    with RawServer(json_answer('{"answer":"好"}'.encode())) as server:
        client = connect(server.url)
        for at in range(10):
            await client.send(ask(headers={"X-Route": str(at)}))
            assert len(exchanges[-1]._known_headers) <= 3
    assert [b"x-route: %d\r\n" % at in sent.lower() for at, sent in enumerate(server.requests)] == [True] * 10


async def test_headers_have_one_spelling(connect: Connect) -> None:
    """The caller's headers replace ours whatever their case: a gateway that gets one twice may refuse both."""
    script = Script(GOOD)
    client = connect(script, default_headers={"X-Toy": "mine", "ACCEPT": "text/plain", "x-route": "mine"})
    await client.send(ask(headers={"X-Route": "ask"}))
    headers = script.requests[0].headers
    assert headers.get_list("x-toy") == ["mine"]
    assert headers.get_list("accept") == ["application/json"]
    assert headers.get_list("x-route") == ["ask"]


@pytest.mark.parametrize("body", [{"text": "半个\ud83d"}, {"value": object()}], ids=["surrogate", "object"])
async def test_a_body_that_cannot_be_sent(connect: Connect, body: dict[str, Any]) -> None:
    """What JSON cannot hold is refused with advice, and nothing is sent."""
    with RawServer(json_answer(b"{}")) as server, pytest.raises(ConfigurationError, match="written as JSON") as caught:
        await connect(server.url).send(replace(ask(), json=body))
    assert "lone surrogates" in str(caught.value)
    assert server.requests == []


@pytest.mark.parametrize(
    "headers", [{"x-mine": "小明"}, {"x-mine": "two\nlines"}, {"x mine": "1"}, {"": "1"}], ids=ascii
)
def test_impossible_headers(headers: dict[str, str]) -> None:
    """Headers that HTTP cannot carry are refused at construction, without showing their values."""
    with pytest.raises(ValueError, match="default_headers") as caught:
        settings(default_headers=headers)
    assert "小明" not in str(caught.value)
    assert "lines" not in str(caught.value)


async def test_a_header_that_cannot_be_sent(connect: Connect) -> None:
    """A client of the caller's may carry one too. The HTTP layer's message would show it: it is told in ours alone."""
    with RawServer(json_answer(b"{}")) as server:
        headers = {"x-mine": "test-secret\n"}
        mine = {"http_client": httpx.Client(headers=headers), "http_async_client": httpx.AsyncClient(headers=headers)}
        with pytest.raises(ConfigurationError) as caught:
            await connect(server.url, **mine).send(ask())
        mine["http_client"].close()
        await mine["http_async_client"].aclose()
    assert "test-secret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert server.requests == []


async def test_a_compressed_answer(connect: Connect) -> None:
    """A gateway may compress; the body is read all the same."""
    body = gzip.compress('{"answer":"好"}'.encode())
    with RawServer(json_answer(body, b"Content-Encoding: gzip")) as server:
        assert await connect(server.url).send(ask()) == "好"
    assert b"gzip" in server.requests[0].partition(b"accept-encoding: ")[2] or b"gzip" in server.requests[0]


async def test_a_damaged_compression(connect: Connect) -> None:
    """What cannot be unpacked is no answer."""
    with (
        RawServer(json_answer(b"no gzip", b"Content-Encoding: gzip")) as server,
        pytest.raises(APIResponseError, match="compression") as caught,
    ):
        await connect(server.url).send(ask())
    assert caught.value.service == "toy"
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (httpx.Response(200, html="<html>登录</html>"), ["no JSON", "text/html", "登录", "base_url"]),
        (httpx.Response(200, content=b""), ["no JSON", "no content type"]),
        (httpx.Response(204), ["no JSON"]),
        (httpx.Response(200, json={"other": 1}), ["/ask", "unexpected shape", "answer"]),
        (httpx.Response(200, json=["answer"]), ["unexpected shape"]),
        (httpx.Response(200, content=b"null"), ["unexpected shape"]),
        (httpx.Response(200, content=b'{"answer":"cut'), ["no JSON"]),
    ],
    ids=["html", "empty", "204", "other", "list", "null", "cut"],
)
async def test_an_answer_that_is_none(connect: Connect, answer: httpx.Response, words: list[str]) -> None:
    """What the API does not promise is told with its beginning, and not asked for again."""
    script = Script(answer)
    with pytest.raises(APIResponseError) as caught:
        await connect(script).send(ask())
    assert caught.value.service == "toy"
    for word in words:
        assert word in str(caught.value)
    assert len(script.requests) == 1


async def test_an_error_of_the_parser(connect: Connect) -> None:
    """A parser that says itself what is wrong is not wrapped; the service's name is added."""

    def parse(body: Any) -> str:
        raise APIResponseError("no choices", request_id="r-1")

    call = Call(service=ask().service, path="/ask", parse=parse)
    with pytest.raises(APIResponseError) as caught:
        await connect(Script(GOOD)).send(call)
    assert str(caught.value) == "toy: no choices (request id r-1)"


async def test_a_proxys_error_page(connect: Connect) -> None:
    """HTML under 502: the status decides, the page is quoted, and the response is there to look at."""
    page = httpx.Response(502, html="<html>\n <b>Bad Gateway</b>\n</html>", headers={"x-request-id": "r-9"})
    script = Script(page)
    with pytest.raises(InternalServerError) as caught:
        await connect(script, max_retries=1).send(ask())
    error = caught.value
    assert (error.status_code, error.service, error.request_id, error.code) == (502, "toy", "r-9", None)
    assert "HTTP 502: '<html> <b>Bad Gateway</b> </html>'" in str(error)
    assert error.response.text == "<html>\n <b>Bad Gateway</b>\n</html>"
    assert len(script.requests) == 2


async def test_an_empty_refusal(connect: Connect) -> None:
    """A refusal without a body says at least its status."""
    with pytest.raises(AuthenticationError, match="HTTP 401"):
        await connect(Script(httpx.Response(401))).send(ask())


async def test_a_failure_under_200(connect: Connect) -> None:
    """HTTP 200 with a failure inside is a failure, with everything the service said."""
    answer = httpx.Response(200, json={"error": 404, "id": "r-1"})
    script = Script(answer)
    with pytest.raises(NotFoundError) as caught:
        await connect(script).send(ask())
    error = caught.value
    assert (error.status_code, error.service, error.request_id, error.retry_after) == (404, "toy", "r-1", None)
    assert error.response.json() == {"error": 404, "id": "r-1"}
    assert len(script.requests) == 1


async def test_the_response_has_no_secrets(connect: Connect) -> None:
    """Errors end in logs and trackers: neither the key, nor the caller's headers, query or body are in the response."""
    script = Script(httpx.Response(400, json={"error": 400}, headers={"set-cookie": "session=test-secret"}))
    client = connect(script, default_headers={"x-gateway-key": "test-secret"})
    with pytest.raises(BadRequestError) as caught:
        await client.send(ask("秘密", query={"token": "test-secret"}))
    response = caught.value.response
    assert (str(response.request.url), response.request.method) == (f"{HOME}/ask", "POST")
    assert response.request.headers["x-toy"] == "1"
    shown = f"{response.headers} {response.request.headers} {caught.value!r} {caught.value}".lower()
    assert "test-" not in shown
    revived = pickle.loads(pickle.dumps(caught.value)).response
    assert (revived.status_code, revived.json()) == (400, {"error": 400})
    assert b"test-" not in pickle.dumps(caught.value)
    assert "秘密".encode() not in pickle.dumps(caught.value)


@pytest.mark.parametrize("status", [408, 429, 500, 503])
async def test_sent_again_until_it_works(connect: Connect, status: int, waits: list[float]) -> None:
    """What may pass is repeated, with growing waits, and the caller sees only the answer."""
    script = Script(httpx.Response(status), httpx.Response(status), GOOD)
    assert await connect(script).send(ask()) == "好"
    assert len(script.requests) == 3
    assert 0.25 <= waits[0] <= 0.5 <= waits[1] <= 1.0


@pytest.mark.parametrize("max_retries", [0, 1, 2])
async def test_attempts(connect: Connect, max_retries: int) -> None:
    """1 + `max_retries` requests, and then the last error."""
    script = Script(httpx.Response(503))
    with pytest.raises(InternalServerError):
        await connect(script, max_retries=max_retries).send(ask())
    assert len(script.requests) == 1 + max_retries


async def test_every_attempt_is_a_new_request(connect: Connect) -> None:
    """Each attempt is built and signed anew, with the same body."""
    script = Script(httpx.Response(503), GOOD)
    await connect(script).send(ask())
    first, second = script.requests
    assert first is not second
    assert first.content == second.content
    assert second.headers["authorization"] == "Bearer test-key"


async def test_retry_after_is_obeyed(connect: Connect, waits: list[float]) -> None:
    """The wait is the service's; one longer than a minute is the caller's to decide about."""
    script = Script(httpx.Response(429, headers={"retry-after": "7"}), GOOD)
    assert await connect(script).send(ask()) == "好"
    assert waits == [7.0]
    script = Script(httpx.Response(429, headers={"retry-after": "3600"}))
    with pytest.raises(RateLimitError) as caught:
        await connect(script).send(ask())
    assert caught.value.retry_after == 3600.0
    assert (len(script.requests), waits) == (1, [7.0])


@pytest.mark.parametrize(
    ("failure", "requests"),
    [
        (httpx.ConnectError("refused"), 3),
        (httpx.ConnectTimeout("no answer"), 3),
        (httpx.ReadError("reset"), 1),
        (httpx.ReadTimeout("silent"), 1),
        (httpx.RemoteProtocolError("hung up"), 1),
        (httpx.Response(503), 1),
        (httpx.Response(429), 3),
        (httpx.Response(400), 1),
    ],
    ids=lambda v: getattr(v, "status_code", type(v).__name__),
)
async def test_what_is_remembered_is_not_sent_twice(
    connect: Connect, failure: httpx.Response | Exception, requests: int
) -> None:
    """A service that keeps what it hears may have heard it: only what certainly never arrived, or was throttled."""
    script = Script(failure)
    with pytest.raises(XingchenError):
        await connect(script).send(ask(remembered=True))
    assert len(script.requests) == requests


@pytest.mark.parametrize(
    ("failure", "kind", "text", "was_sent"),
    [
        (httpx.ConnectError("refused"), APIConnectionError, "connection failed at home.invalid: refused", False),
        (httpx.ReadError(""), APIConnectionError, "connection failed at home.invalid", True),
        (httpx.ConnectTimeout(""), APITimeoutError, "timed out (connect) at home.invalid", False),
        (httpx.ReadTimeout("slow"), APITimeoutError, "timed out (read) at home.invalid: slow", True),
        (httpx.PoolTimeout(""), APITimeoutError, "timed out (pool) at home.invalid", False),
    ],
    ids=lambda v: type(v).__name__ if isinstance(v, Exception) else None,
)
async def test_transport_failures(
    connect: Connect, failure: Exception, kind: type[APIConnectionError], text: str, was_sent: bool
) -> None:
    """Failures of the transport are ours, name the host, and keep the first cause."""
    with pytest.raises(APIConnectionError) as caught:
        await connect(Script(failure), max_retries=0).send(ask(query={"token": "test-secret"}))
    error = caught.value
    assert type(error) is kind
    assert str(error).startswith(f"toy: {text}")
    assert (error.was_sent, error.is_retryable, error.service) == (was_sent, True, "toy")
    assert error.__cause__ is failure
    assert "test-secret" not in str(error)


async def test_the_host_that_failed_is_named(connect: Connect) -> None:
    """A call to a second host of the service names that one."""
    with pytest.raises(APIConnectionError, match=r"at stream\.invalid"):
        await connect(Script(httpx.ConnectError("refused")), max_retries=0).send(ask(origin="https://stream.invalid"))


async def test_too_many_redirects(connect: Connect) -> None:
    """A client of the caller's may follow redirects; a loop of them is no answer."""
    loop = httpx.MockTransport(lambda request: httpx.Response(302, headers={"location": str(request.url)}))
    mine = {
        "http_client": httpx.Client(transport=loop, follow_redirects=True),
        "http_async_client": httpx.AsyncClient(transport=loop, follow_redirects=True),
    }
    client = connect(HOME, **mine)
    with pytest.raises(APIResponseError, match="TooManyRedirects"):
        await client.send(ask())


async def test_nobody_listens(connect: Connect) -> None:
    """A refused connection on a real socket is tried again and told as one."""
    with RawServer(json_answer(b"{}")) as server:
        url = server.url
    with pytest.raises(APIConnectionError, match=r"at 127\.0\.0\.1") as caught:
        await connect(url).send(ask())
    assert not caught.value.was_sent


async def test_a_reset_before_the_answer(connect: Connect) -> None:
    """A connection that breaks before the first byte: sent again unless the service remembers."""
    with RawServer(lambda c: c.reset(), json_answer('{"answer":"好"}'.encode())) as server:
        assert await connect(server.url).send(ask()) == "好"
    assert len(server.requests) == 2
    with RawServer(lambda c: c.reset()) as server, pytest.raises(APIConnectionError) as caught:
        await connect(server.url).send(ask(remembered=True))
    assert len(server.requests) == 1
    assert caught.value.was_sent


async def test_a_silent_service(connect: Connect) -> None:
    """The read timeout ends the wait for an answer that does not come."""
    with RawServer(lambda c: c.hung_up()) as server, pytest.raises(APITimeoutError, match="read"):
        await connect(server.url, timeout=0.03, max_retries=0).send(ask())


async def test_cancelling() -> None:
    """A cancelled task ends at once, is not repeated, and leaves no connection."""
    gone: list[bool] = []
    with RawServer(lambda c: gone.append(c.hung_up())) as server:
        async with settings(base_url=server.url) as made:
            task = asyncio.create_task(made.async_client().send(ask()))
            await until(lambda: server.requests)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await until(lambda: gone)
    assert gone == [True]
    assert len(server.requests) == 1


async def test_one_log_line_per_attempt(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    """At level DEBUG, with neither body nor query nor key."""
    caplog.set_level(logging.DEBUG, "xingchen_core")
    script = Script(httpx.Response(503), GOOD)
    await connect(script).send(ask("秘密", query={"token": "test-secret"}))
    lines = [(r.levelname, r.getMessage()) for r in caplog.records if r.name == "xingchen_core"]
    assert lines == [("DEBUG", "toy POST /ask: InternalServerError"), ("DEBUG", "toy POST /ask: ok")]


def twice_after(failure: str) -> Flow[str]:
    """A flow: ask, wait, ask again; a failure it knows is answered by another question."""
    first = yield ask("first")
    yield Pause(2.5)
    try:
        second = yield ask("second")
    except NotFoundError:
        second = yield ask(failure)
    return f"{first}+{second}"


async def test_work_of_a_flow(connect: Connect) -> None:
    """A step without the network has its result, or its `OSError`, in the flow; with asyncio another thread does it."""
    workers: list[int] = []

    def work() -> str:
        workers.append(threading.get_ident())
        return "done"

    def flow() -> Flow[list[Any]]:
        found = yield Work(work)
        with pytest.raises(FileNotFoundError):
            yield Work(Path("/no/such/file").read_bytes)
        return [found, (yield ask("first"))]

    client = connect(Script(GOOD))
    assert await client.run(flow()) == ["done", "好"]
    assert (workers == [threading.get_ident()]) is not isinstance(client, AsyncClient)


async def test_a_flow(connect: Connect, waits: list[float]) -> None:
    """Calls and pauses one after another; each result comes back into the flow, and its return value out of it."""
    script = Script(httpx.Response(200, json={"answer": "1"}), httpx.Response(200, json={"answer": "2"}))
    assert await connect(script).run(twice_after("third")) == "1+2"
    assert waits == [2.5]
    assert [request.content for request in script.requests] == [b'{"text":"first"}', b'{"text":"second"}']


async def test_a_flow_is_told_of_errors(connect: Connect) -> None:
    """An error is raised at the yield, where the flow may know a way on."""
    answers = [
        httpx.Response(200, json={"answer": "1"}),
        httpx.Response(404),
        httpx.Response(200, json={"answer": "3"}),
    ]
    script = Script(*answers)
    assert await connect(script).run(twice_after("third")) == "1+3"
    assert script.requests[-1].content == b'{"text":"third"}'


async def test_an_error_the_flow_does_not_know(connect: Connect) -> None:
    """It ends the flow and reaches the caller, and what the flow has to clean up is cleaned up."""
    ended: list[str] = []

    def flow() -> Flow[str]:
        try:
            return (yield ask())
        finally:
            ended.append("clean")

    with pytest.raises(AuthenticationError):
        await connect(Script(httpx.Response(401))).run(flow())
    assert ended == ["clean"]


async def test_a_flow_that_does_nothing(connect: Connect) -> None:
    """A flow may know its result without a call."""

    def flow() -> Generator[Any, Any, str]:
        yield from ()
        return "known"

    assert await connect(Script(GOOD)).run(flow()) == "known"


async def test_a_list_in_pages(connect: Connect) -> None:
    """Pages are fetched as they are needed; an item that slid onto the next page comes out once."""
    pages = [[1, 2], [2, 3], [4]]
    script = Script(*(httpx.Response(200, json={"answer": page, "total": 5}) for page in pages))
    listing = Listing(
        page=lambda number: Call(
            service=ask().service,
            path=f"/page/{number}",
            parse=lambda body: Page(tuple(body["answer"]), total=body["total"]),
        ),
        page_size=2,
        key=lambda item: item,
    )
    items = connect(script).iterate(listing)
    assert await anext(items) == 1
    assert len(script.requests) == 1
    assert [item async for item in items] == [2, 3, 4]
    assert [request.url.path for request in script.requests] == ["/page/1", "/page/2", "/page/3"]


async def test_what_is_known_is_not_asked(connect: Connect) -> None:
    """A call whose answer is known sends nothing."""
    script = Script(GOOD)
    assert await connect(script).send(ask(known=lambda: "known")) == "known"
    assert script.requests == []
    assert await connect(script).send(ask(known=lambda: None)) == "好"
