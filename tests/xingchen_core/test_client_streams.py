"""Streams of `Client` and `AsyncClient`: what comes out of them, and how they break."""

import asyncio
import gc
import logging
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from raw_server import STREAM_END, STREAM_HEAD, Connection, RawServer, chunk, json_answer, stream_answer
from toy_service import END, PING, TOY, ToyReader, ask, events, fail, listen, say, settings, until
from xingchen_core._call import StreamCall
from xingchen_core._errors import (
    APIConnectionError,
    APIResponseError,
    APIStatusError,
    APITimeoutError,
    BadRequestError,
    InternalServerError,
    RateLimitError,
    XingchenError,
)

Connect = Callable[..., Any]
WHOLE = [say("你"), say("好"), END]


class Answers:
    """Answers each request with what the next function makes; the last one answers all that follow."""

    def __init__(self, *makers: Callable[[], httpx.Response]) -> None:
        self._makers = list(makers)
        self.requests: list[httpx.Request] = []
        self.responses: list[httpx.Response] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        maker = self._makers.pop(0) if len(self._makers) > 1 else self._makers[0]
        self.responses.append(maker())
        return self.responses[-1]


async def collect(stream: Any) -> tuple[list[str], XingchenError | None]:
    """All results of a stream, and the error that ended it."""
    got: list[str] = []
    try:
        async for text in await stream:
            got.append(text)
    except XingchenError as error:
        return got, error
    return got, None


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that a test moves; `sleep` moves it too."""
    made = SimpleNamespace(now=0.0)
    made.monotonic = lambda: made.now
    made.sleep = lambda seconds: setattr(made, "now", made.now + seconds)
    monkeypatch.setattr("xingchen_core._exchange.time", made)
    return made


async def test_what_is_sent(connect: Connect) -> None:
    """A stream is asked for as such, uncompressed, since a compressor holds events back."""
    answers = Answers(lambda: events(*WHOLE))
    assert await collect(connect(answers).stream(listen(headers={"x-route": "sse"}))) == (["你", "好", "."], None)
    headers = answers.requests[0].headers
    assert (headers["accept"], headers["accept-encoding"]) == ("text/event-stream", "identity")
    assert (headers["content-type"], headers["x-route"]) == ("application/json", "sse")
    assert answers.responses[0].is_closed


async def test_any_chunks(connect: Connect) -> None:
    """Chunks may cut anywhere, inside a character too, and hold many events."""
    body = b"".join(WHOLE)
    for pieces in ([body], [body[i : i + 1] for i in range(len(body))], [body[:17], body[17:]]):
        assert await collect(connect(lambda _, p=pieces: events(*p)).stream(listen())) == (["你", "好", "."], None)


async def test_results_come_as_they_are_said(connect: Connect) -> None:
    """Nothing is held back: each result is there before the service says the next one."""
    said: list[int] = []
    pieces = [say("你"), lambda: said.append(1), say("好"), lambda: said.append(2), END]
    stream = await connect(lambda _: events(*pieces)).stream(listen())
    assert (await anext(stream), said) == ("你", [])
    assert (await anext(stream), said) == ("好", [1])
    assert (await anext(stream), said) == (".", [1, 2])


async def test_stream_waits_for_the_first_result(connect: Connect) -> None:
    """`stream` returns when there is something: its errors are raised there, where they can still be retried."""
    read: list[int] = []
    pieces = [PING, b'data:{"text":""}\n\n', lambda: read.append(1), say("你"), lambda: read.append(2), END]
    stream = await connect(lambda _: events(*pieces)).stream(listen())
    assert read == [1]
    assert [text async for text in stream] == ["你", "."]


@pytest.mark.parametrize(
    ("answer", "kind", "text"),
    [
        (lambda: httpx.Response(200, json={"error": 400, "id": "r-1"}), BadRequestError, "toy says 400"),
        (lambda: httpx.Response(429, json={"error": 429, "id": "r-1"}), RateLimitError, "toy says 429"),
        (lambda: httpx.Response(400, text='{"error":400,"id":"r-1"}'), BadRequestError, "toy says 400"),
        (lambda: httpx.Response(404, content=b'{"error":404,"id":"r-1"}'), APIStatusError, "toy says 404"),
        (lambda: events(fail(400), status=400), BadRequestError, "toy says 400"),
        (lambda: events(fail(400).rstrip(), status=400), BadRequestError, "toy says 400"),
        (lambda: events(fail(429), status=500), RateLimitError, "toy says 429"),
    ],
    ids=["json-200", "json-429", "text-400", "untyped-404", "event-400", "cut-event-400", "event-429-in-500"],
)
async def test_refused_before_streaming(
    connect: Connect, answer: Callable[[], httpx.Response], kind: type[APIStatusError], text: str
) -> None:
    """A refusal is raised whatever it is wrapped in, with the status the service named and all it said."""
    answers = Answers(answer)
    with pytest.raises(kind, match=text) as caught:
        await connect(answers, max_retries=0).stream(listen())
    error = caught.value
    assert (error.status_code, error.request_id, error.service) == (int(text[-3:]), "r-1", "toy")
    assert error.response.status_code == answers.responses[0].status_code
    assert error.partial_text == ""
    assert answers.responses[0].is_closed


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    "body", [fail(400), b"data: slow down\n\n", b"<html>slow down</html>", b""], ids=["event", "text", "html", "empty"]
)
async def test_headers_of_a_refusal_are_read(connect: Connect, status: int, body: bytes) -> None:
    """`Retry-After` counts however the body looks; without anything finer HTTP's status decides."""
    answers = Answers(lambda: events(body, status=status, **{"retry-after": "3", "x-request-id": "r-9"}))
    with pytest.raises(APIStatusError) as caught:
        await connect(answers, max_retries=0).stream(listen())
    assert caught.value.retry_after == 3.0
    if body != fail(400):
        assert (caught.value.status_code, caught.value.request_id) == (status, "r-9")


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (lambda: httpx.Response(200, json={"answer": "好"}), "JSON where a stream was asked for"),
        (lambda: httpx.Response(200, html="<html>登录</html>"), "no JSON.*登录.*base_url"),
    ],
    ids=["json", "html"],
)
async def test_no_stream(connect: Connect, answer: Callable[[], httpx.Response], text: str) -> None:
    """A good answer of the wrong kind is told as such, and asked for once."""
    answers = Answers(answer)
    with pytest.raises(APIResponseError, match=text):
        await connect(answers).stream(listen())
    assert len(answers.requests) == 1


@pytest.mark.parametrize(("remembered", "requests"), [(False, 2), (True, 1)])
async def test_an_error_event_first(connect: Connect, remembered: bool, requests: int) -> None:
    """Under HTTP 200, before any result: tried again if it may pass and nothing is remembered."""
    answers = Answers(lambda: events(fail(503)), lambda: events(*WHOLE))
    got, error = await collect(connect(answers).stream(listen(remembered=remembered)))
    assert len(answers.requests) == requests
    if remembered:
        assert isinstance(error, InternalServerError)
        assert (error.status_code, error.request_id, error.service) == (503, "r-1", "toy")
    else:
        assert (got, error) == (["你", "好", "."], None)
    assert all(response.is_closed for response in answers.responses)


async def test_a_throttled_stream_is_asked_for_again(connect: Connect) -> None:
    """Throttling is refused, not heard: it is repeated even where the service remembers."""
    answers = Answers(lambda: events(fail(429)), lambda: events(*WHOLE))
    assert await collect(connect(answers).stream(listen(remembered=True))) == (["你", "好", "."], None)


@pytest.mark.parametrize("pieces", [[say("你"), fail(503)], [say("你") + fail(503)]], ids=["two chunks", "one chunk"])
async def test_an_error_event_in_the_middle(connect: Connect, pieces: list[bytes]) -> None:
    """Once the stream has spoken it is never resent, and what it said is delivered, however the chunks were cut."""
    answers = Answers(lambda: events(*pieces))
    got, error = await collect(connect(answers).stream(listen()))
    assert got == ["你"]
    assert isinstance(error, InternalServerError)
    assert (error.status_code, error.partial_text, error.service) == (503, "你", "toy")
    assert len(answers.requests) == 1
    assert answers.responses[0].is_closed


@pytest.mark.parametrize("body", [b"[1]", b'{"text":7}', b"null"])
async def test_an_event_of_another_shape(connect: Connect, body: bytes) -> None:
    """An event the reader cannot read is the service's fault, not a TypeError of ours."""
    got, error = await collect(connect(lambda _: events(say("你"), b"data:" + body + b"\n\n", END)).stream(listen()))
    assert got == ["你"]
    assert isinstance(error, APIResponseError)
    assert "unexpected shape" in str(error)
    assert (error.partial_text, error.service) == ("你", "toy")
    assert isinstance(error.__cause__, (TypeError, AttributeError))


@pytest.mark.parametrize("cut", [say("好")[:9], say("好")[:-2], b"da", b""])
async def test_a_clean_end_without_the_end_mark(connect: Connect, cut: bytes) -> None:
    """The service closed in good order, but the answer is not complete, inside an event or between two."""
    with RawServer(stream_answer(say("你"), cut) if cut else stream_answer(say("你"))) as server:
        got, error = await collect(connect(server.url).stream(listen()))
    assert got[:1] == ["你"]
    assert type(error) is APIResponseError
    assert "no end mark" in str(error)
    assert error.partial_text == "".join(got)
    assert len(server.requests) == 1


@pytest.mark.parametrize("cut", [say("好")[:9], b""], ids=["inside an event", "between events"])
@pytest.mark.parametrize("end", [Connection.close, Connection.reset])
async def test_a_broken_connection(connect: Connect, cut: bytes, end: Callable[[Connection], None]) -> None:
    """The transport broke inside the answer: what was said survives, and nothing is sent again."""
    heard = threading.Event()

    def play(connection: Connection) -> None:
        connection.send(STREAM_HEAD + chunk(say("你") + cut))
        heard.wait(5)  # a reset throws away what the other side has not read yet
        end(connection)

    with RawServer(play) as server:
        stream = await connect(server.url).stream(listen())
        assert await anext(stream) == "你"
        heard.set()
        with pytest.raises(APIConnectionError) as caught:
            await anext(stream)
    error = caught.value
    assert type(error) is APIConnectionError
    assert (error.partial_text, error.service, error.was_sent) == ("你", "toy", True)
    assert len(server.requests) == 1


async def test_broken_before_the_first_result(connect: Connect) -> None:
    """Nothing was said yet: the stream is opened again, unless the service remembers."""
    answers = Answers(lambda: events(PING, httpx.ReadError("reset")), lambda: events(*WHOLE))
    assert await collect(connect(answers).stream(listen())) == (["你", "好", "."], None)
    assert len(answers.requests) == 2
    answers = Answers(lambda: events(PING, httpx.ReadError("reset")))
    with pytest.raises(APIConnectionError):
        await connect(answers).stream(listen(remembered=True))
    assert len(answers.requests) == 1


async def test_trouble_after_the_end_of_the_answer(connect: Connect) -> None:
    """Once the service has said that the answer is complete, a broken connection loses nothing."""
    for trouble in (httpx.ReadError("reset"), httpx.ReadTimeout("silent"), httpx.RemoteProtocolError("cut")):
        answers = Answers(lambda t=trouble: events(*WHOLE, t))
        assert await collect(connect(answers).stream(listen())) == (["你", "好", "."], None)
        answers = Answers(lambda t=trouble: events(END, t))
        assert await collect(connect(answers).stream(listen())) == (["."], None)


async def test_a_stalled_stream(connect: Connect) -> None:
    """Silence longer than `stream_chunk_timeout` after the first event ends the stream with what was said."""

    def play(connection: Connection) -> None:
        connection.send(STREAM_HEAD + chunk(say("你")))
        connection.hung_up()

    with RawServer(play) as server:
        got, error = await collect(connect(server.url, stream_chunk_timeout=0.03).stream(listen()))
    assert got == ["你"]
    assert type(error) is APITimeoutError
    assert (error.partial_text, len(server.requests)) == ("你", 1)


async def test_keep_alives_are_no_events(connect: Connect, clock: SimpleNamespace) -> None:
    """Comments every ten seconds do not keep a silent stream alive: after a minute it is over."""
    ticks: list[bytes | Callable[[], object]] = [lambda: clock.sleep(10), PING] * 20
    got, error = await collect(connect(lambda _: events(say("你"), *ticks)).stream(listen()))
    assert got == ["你"]
    assert type(error) is APITimeoutError
    assert "60 s" in str(error)
    assert "stream_chunk_timeout" in str(error)
    assert error.partial_text == "你"
    assert clock.now == 70.0


async def test_keep_alives_before_the_first_event(connect: Connect, clock: SimpleNamespace) -> None:
    """The same before the first event; nothing was said, so it is tried again."""
    ticks: list[bytes | Callable[[], object]] = [lambda: clock.sleep(10), PING] * 20
    answers = Answers(lambda: events(*ticks), lambda: events(*WHOLE))
    assert await collect(connect(answers).stream(listen())) == (["你", "好", "."], None)
    assert (len(answers.requests), clock.now) == (2, 70.0)


async def test_events_without_a_result_are_events(connect: Connect, clock: SimpleNamespace) -> None:
    """A service that thinks sends events without text: with them it is not silent, keep-alives between or not."""
    empty = b'data:{"text":""}\n\n'
    ticks: list[bytes | Callable[[], object]] = [lambda: clock.sleep(40), PING, empty] * 5
    for pieces in ([say("你"), *ticks, END], [*ticks, say("你"), END]):
        assert await collect(connect(lambda _, p=pieces: events(*p)).stream(listen())) == (["你", "."], None)


async def test_a_slow_consumer_is_not_a_silent_service(connect: Connect, clock: SimpleNamespace) -> None:
    """The time between results that the consumer takes does not count."""
    pieces = [say("一"), PING, say("二") + say("三"), PING, END]
    got = []
    async for text in await connect(lambda _: events(*pieces)).stream(listen()):
        got.append(text)
        clock.sleep(100)
    assert got == ["一", "二", "三", "."]


async def test_no_limit(connect: Connect, clock: SimpleNamespace) -> None:
    """With `math.inf` a stream may be silent for ever."""
    pieces = [say("你"), lambda: clock.sleep(1e6), PING, END]
    client = connect(lambda _: events(*pieces), stream_chunk_timeout=float("inf"))
    assert await collect(client.stream(listen())) == (["你", "."], None)


def endless(gone: list[bool]) -> Callable[[Connection], None]:
    """A script that says one piece, and then notes whether the other side hangs up."""

    def play(connection: Connection) -> None:
        connection.send(STREAM_HEAD + chunk(say("你") + say("好")))
        gone.append(connection.hung_up())

    return play


@pytest.mark.parametrize("read", [0, 1])
async def test_closing_early(connect: Connect, read: int) -> None:
    """Closing the generator, read or unread, closes the connection at once: the service sees it go."""
    gone: list[bool] = []
    with RawServer(endless(gone)) as server:
        stream = await connect(server.url).stream(listen())
        for _ in range(read):
            await anext(stream)
        await stream.aclose()
        await until(lambda: gone)
        await stream.aclose()
    assert gone == [True]


async def test_a_dropped_stream(connect: Connect) -> None:
    """A generator that nobody holds any more is as good as closed."""
    gone: list[bool] = []
    with RawServer(endless(gone)) as server:
        stream = await connect(server.url).stream(listen())
        await anext(stream)
        del stream
        gc.collect()
        await until(lambda: gone)
    assert gone == [True]


async def test_cancelling() -> None:
    """A cancelled task closes its stream at once."""
    gone: list[bool] = []
    with RawServer(endless(gone)) as server:
        async with settings(base_url=server.url) as made:
            heard: list[str] = []

            async def consume() -> None:
                async for text in await made.async_client().stream(listen()):
                    heard.append(text)

            task = asyncio.create_task(consume())
            await until(lambda: len(heard) == 2)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await until(lambda: gone)
    assert gone == [True]


async def test_cancelling_before_the_first_result() -> None:
    """The same while `stream` still waits."""
    gone: list[bool] = []

    def play(connection: Connection) -> None:
        connection.send(STREAM_HEAD + chunk(PING))
        gone.append(connection.hung_up())

    with RawServer(play) as server:
        async with settings(base_url=server.url) as made:
            task = asyncio.create_task(made.async_client().stream(listen()))
            await until(lambda: server.requests)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await until(lambda: gone)
    assert gone == [True]


def leaving(told: list[str]) -> StreamCall[str]:
    """A stream whose service wants to be told when its consumer leaves."""

    def tell(reader: ToyReader) -> Any:
        told.append(reader.text)
        return ask(reader.text)

    return listen(on_abandon=tell)


async def test_the_service_is_told_of_a_consumer_that_left(connect: Connect) -> None:
    """Once, after the connection is closed, with what the consumer has seen: not with what was only received."""
    told: list[str] = []
    answers = Answers(
        lambda: events(say("你") + say("好") + say("吗"), END), lambda: httpx.Response(200, json={"answer": ""})
    )
    stream = await connect(answers).stream(leaving(told))
    assert [await anext(stream), await anext(stream)] == ["你", "好"]
    await stream.aclose()
    await stream.aclose()
    assert told == ["你好"]
    assert [request.url.path for request in answers.requests] == ["/listen", "/ask"]
    assert answers.responses[0].is_closed


async def test_a_stream_read_to_its_end_was_not_left(connect: Connect) -> None:
    """Nobody is told of a complete answer, nor of one that broke."""
    told: list[str] = []
    answers = Answers(lambda: events(*WHOLE))
    await collect(connect(answers).stream(leaving(told)))
    answers = Answers(lambda: events(say("你"), fail(500)))
    await collect(connect(answers).stream(leaving(told)))
    assert told == []
    assert len(answers.requests) == 1


async def test_closing_after_the_end_mark(connect: Connect) -> None:
    """An answer that is complete cannot be stopped any more."""
    told: list[str] = []
    answers = Answers(lambda: events(*WHOLE))
    stream = await connect(answers).stream(leaving(told))
    assert [await anext(stream) for _ in range(3)] == ["你", "好", "."]
    await stream.aclose()
    assert told == []


@pytest.mark.parametrize("trouble", [lambda: httpx.Response(503), lambda: httpx.Response(200, text="no JSON")])
async def test_telling_is_tried_once(connect: Connect, trouble: Callable[[], httpx.Response]) -> None:
    """Leaving must not take long, nor fail: the service is told by one short attempt."""
    told: list[str] = []
    answers = Answers(lambda: events(*WHOLE), trouble)
    stream = await connect(answers).stream(leaving(told))
    await stream.aclose()
    assert len(answers.requests) == 2
    assert answers.requests[1].extensions["timeout"]["read"] <= 5.0


async def test_a_cancelled_task_tells_too() -> None:
    """Cancelling is leaving: the service is told, and the task still ends as cancelled."""
    told: list[str] = []
    gone: list[bool] = []
    with RawServer(endless(gone), json_answer(b'{"answer":""}')) as server:
        async with settings(base_url=server.url) as made:
            stream = await made.async_client().stream(leaving(told))
            assert [await anext(stream), await anext(stream)] == ["你", "好"]
            task = asyncio.ensure_future(anext(stream))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
    assert told == ["你好"]
    assert (gone, len(server.requests)) == ([True], 2)


async def test_nothing_to_tell(connect: Connect) -> None:
    """`on_abandon` may know of nothing to send."""
    answers = Answers(lambda: events(*WHOLE))
    stream = await connect(answers).stream(listen(on_abandon=lambda _: None))
    await stream.aclose()
    assert len(answers.requests) == 1


async def test_one_log_line_per_attempt(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    """Written when the stream has spoken or failed; without body, query and text."""
    caplog.set_level(logging.DEBUG, "xingchen_core")
    answers = Answers(lambda: events(fail(503)), lambda: events(*WHOLE))
    await collect(connect(answers).stream(listen(query={"token": "test-secret"})))
    lines = [r.getMessage() for r in caplog.records if r.name == "xingchen_core"]
    assert lines == ["toy POST /listen: InternalServerError", "toy POST /listen: ok"]


async def test_another_call_in_place_of_a_refused_one(connect: Connect) -> None:
    """`recover` may open another stream once the first was refused, and only once."""

    def recover(error: XingchenError) -> Any:
        def flow() -> Any:
            answer = yield ask("a new token")
            return StreamCall(service=TOY, path=f"/{answer}", reader=ToyReader)

        return flow() if isinstance(error, BadRequestError) else None

    answers = Answers(
        lambda: httpx.Response(400), lambda: httpx.Response(200, json={"answer": "again"}), lambda: events(*WHOLE)
    )
    assert await collect(connect(answers).stream(listen(recover=recover))) == (["你", "好", "."], None)
    assert [request.url.path for request in answers.requests] == ["/listen", "/ask", "/again"]
    answers = Answers(lambda: httpx.Response(401))
    with pytest.raises(APIStatusError):
        await connect(answers).stream(listen(recover=recover))
    assert len(answers.requests) == 1


async def test_a_stream_without_blank_lines(connect: Connect) -> None:
    """A service that leaves out the blank lines is read line by line."""
    pieces = [say("你").rstrip() + b"\n" + say("好").rstrip() + b"\n", END.rstrip()]
    call = listen(dispatch_on_data=True)
    assert await collect(connect(lambda _: events(*pieces)).stream(call)) == (["你", "好", "."], None)


async def test_a_last_event_without_its_blank_line(connect: Connect) -> None:
    """A service that forgets the last blank line is complete all the same."""
    with RawServer(stream_answer(say("你"), END.rstrip())) as server:
        assert await collect(connect(server.url).stream(listen())) == (["你", "."], None)


async def test_the_end_of_a_chunked_stream(connect: Connect) -> None:
    """The last bytes and the end of the body may come in one packet."""
    with RawServer(lambda c: c.send(STREAM_HEAD + chunk(b"".join(WHOLE)) + STREAM_END)) as server:
        assert await collect(connect(server.url).stream(listen())) == (["你", "好", "."], None)
