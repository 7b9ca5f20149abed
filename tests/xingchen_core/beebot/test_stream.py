"""Streams over a real connection: the captured answer byte for byte, sessions in line, the URL out of sight."""

import asyncio
import gc
import json
import logging
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from raw_server import STREAM_HEAD, RawServer, chunk, json_answer, stream_answer
from toy_service import until
from xingchen_core import APIConnectionError, AsyncClient, Client, ConfigurationError, XingchenError
from xingchen_core.beebot import BeebotRequest, BeebotSettings, chat, open_chat
from xingchen_core.emulator import Emulator

CAPTURE = (Path(__file__).parents[2] / "fixtures/beebot_capture.sse").read_bytes()
ANSWER = "我是个大模型,能够回答问题、创作文字,比如写故事、写公文、写邮件、写剧本等等,还能表达观点,玩游戏等。"
CANARIES = {"AccessToken": "canary-token", "ChannelId": "canary-channel", "StreamSecret": "canary-secret"}
TOKEN = json_answer(json.dumps(CANARIES).encode())
KEYS = {"access_key_id": "testid", "access_key_secret": "testsecret"}

MakeSettings = Callable[..., BeebotSettings]


def request(**fields: Any) -> BeebotRequest:
    """A question to the demo robot."""
    return BeebotRequest(**{"instance_id": "chatbot-cn-demo", "utterance": "你有什么技能?", **fields})


async def pieces(client: Any, url: str, **fields: Any) -> list[str]:
    """The pieces of a streamed answer."""
    settings = BeebotSettings(**KEYS, base_url=url)
    stream = await client.stream(await client.run(open_chat(request(**fields), settings)))
    return [delta.text async for delta in stream]


def in_steps(data: bytes, size: int) -> list[bytes]:
    """The bytes in packets of this size."""
    return [data[at : at + size] for at in range(0, len(data), size)]


@pytest.mark.parametrize("size", [1, 7, 512, 100_000])
async def test_the_captured_stream(connect: Any, size: int) -> None:
    """The twelve captured events, however torn, give each addition once; the request is the sample's."""
    with RawServer(TOKEN, stream_answer(*in_steps(CAPTURE, size))) as server:
        found = await pieces(connect(server.url, BeebotSettings, **KEYS), server.url)
    assert found == [ANSWER[:9], ANSWER[9:22], ANSWER[22:32], ANSWER[32:45], ANSWER[45:], ""]
    head, _, body = server.requests[1].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /sse/paas4Json/canary-token/canary-channel/")
    lines = head.lower().split(b"\r\n")
    assert {b"content-type: application/json", b"accept: text/event-stream", b"accept-encoding: identity"} <= {*lines}
    assert not any(line.startswith(b"authorization") for line in lines)
    assert json.loads(body)["action"] == "TongyiBeebotChat"


async def test_not_waiting_for_the_server_to_close(connect: Any) -> None:
    """After the end mark the answer is over, whether or not the server ends the stream."""
    hung_up = threading.Event()

    def keep_open(connection: Any) -> None:
        connection.send(STREAM_HEAD)
        connection.send(chunk(CAPTURE))
        if connection.hung_up():
            hung_up.set()

    with RawServer(TOKEN, keep_open) as server:
        client = connect(server.url, BeebotSettings, **KEYS, stream_chunk_timeout=5)
        stream = await client.stream(
            await client.run(open_chat(request(), BeebotSettings(**KEYS, base_url=server.url)))
        )
        async for delta in stream:
            if delta.last:
                break
        await stream.aclose()
        await asyncio.to_thread(hung_up.wait, 5)
    assert hung_up.is_set()


async def test_sessions_in_line(emulator: Emulator, settings: MakeSettings) -> None:
    """Questions of one session wait for each other, streamed or not; those of others do not."""
    emulator.wire(delay=0.01)
    async with AsyncClient(settings()) as client:

        async def ask(session: str) -> None:
            stream = await client.stream(await client.run(open_chat(request(session_id=session), settings())))
            async for _ in stream:
                pass

        await asyncio.gather(*(ask("s1") for _ in range(4)), client.send(chat(request(session_id="s1"))), ask("s2"))
    assert emulator.beebot.overlaps == []
    assert len(emulator.beebot.sessions["chatbot-cn-demo", "s1"].questions) == 5


def test_sessions_in_line_between_threads(emulator: Emulator, settings: MakeSettings) -> None:
    """The same for threads: the second question of a session is sent when the first is answered."""
    emulator.wire(delay=0.01)

    def ask() -> None:
        with Client(settings()) as client:
            for _ in client.stream(client.run(open_chat(request(session_id="s1"), settings()))):
                pass

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert emulator.beebot.overlaps == []
    assert len(emulator.beebot.sessions["chatbot-cn-demo", "s1"].questions) == 3


def test_a_question_inside_an_unfinished_answer(emulator: Emulator, settings: MakeSettings) -> None:
    """Asking again in the same session before the answer is read would wait for ever: it is an error."""
    with Client(settings()) as client:
        first = client.stream(client.run(open_chat(request(session_id="s1"), settings())))
        with pytest.raises(ConfigurationError, match="read it to its end or close it"):
            client.stream(client.run(open_chat(request(session_id="s1"), settings())))
        first.close()
        assert list(client.stream(client.run(open_chat(request(session_id="s1"), settings()))))


async def test_leaving_early_closes_the_connection(client: Any, emulator: Emulator, settings: MakeSettings) -> None:
    """Whoever stops listening is gone for the service at once."""
    emulator.fail("stall", after=1)
    stream = await client.stream(await client.run(open_chat(request(), settings())))
    async for _ in stream:
        break
    assert len(emulator.beebot.running) == 1
    await stream.aclose()
    await until(lambda: not emulator.beebot.running)


# How each stream goes wrong, or does not.
FATES: dict[str, tuple[Any, ...]] = {
    "answered": (stream_answer(CAPTURE),),
    "cut": (lambda connection: [connection.send(STREAM_HEAD + chunk(CAPTURE[:4000])), connection.reset()],),
    "no answer": (lambda connection: connection.reset(),),
    "silent": (lambda connection: connection.hung_up(),),
    "page": (
        lambda connection: connection.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>"
        ),
    ),
    "refused": (json_answer(b'{"Code":"Forbidden","Message":"no"}'),),
    "broken HTTP": (lambda connection: [connection.send(b"nonsense\r\n\r\n"), connection.close()],),
    "error event": (stream_answer(b'data:{"success":false,"code":"InternalError","message":"x"}\n\n'),),
    "no end": (stream_answer(CAPTURE[:5000]),),
    "no JSON": (stream_answer(b"data:no JSON\n\n"),),
    "redirect": (
        lambda connection: connection.send(b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"),
    ),
    "wrong length": (
        lambda connection: [
            connection.send(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 99999\r\n\r\n" + CAPTURE
            ),
            connection.close(),
        ],
    ),
}


def chain(error: BaseException | None) -> list[BaseException]:
    """An error and what caused it."""
    found = []
    while error is not None:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


def shown_of(error: BaseException | None) -> str:
    """An error with its causes, attributes and answer, as logs and tracers show them."""
    shown = "".join(traceback.format_exception(error)) if error else ""
    for each in chain(error):
        shown += f"{each!s}{each!r}{vars(each) if isinstance(each, XingchenError) else each.args}"
        response = getattr(each, "response", None)
        if isinstance(response, httpx.Response):
            shown += f"{response.request.url}{response.request!r}{response.text}{response.headers}"
    return shown


@pytest.mark.parametrize("fate", FATES)
async def test_the_url_is_shown_nowhere(connect: Any, caplog: pytest.LogCaptureFixture, fate: str) -> None:
    """However a stream ends, its URL, which is a credential, is in no log at any level and in no error."""
    caplog.set_level(logging.DEBUG)
    error: XingchenError | None = None
    found: list[str] = []
    with RawServer(TOKEN, *FATES[fate], *FATES[fate] * 3) as server:
        client = connect(server.url, BeebotSettings, **KEYS, timeout=0.2, max_retries=0)
        try:
            found = await pieces(client, server.url)
        except XingchenError as caught:
            error = caught
    assert (error is None) is (fate in ("answered", "wrong length"))
    assert any(b"canary-token" in received for received in server.requests)
    assert "/sse/paas4Json/***" in caplog.text
    shown = "".join(f"{record.getMessage()}{record.args}{record.exc_text}" for record in caplog.records)
    shown += shown_of(error) + repr(found)
    assert "canary" not in shown
    assert "HTTP Request: POST" in shown
    gc.collect()


async def test_where_nobody_listens(connect: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A stream's host that is not there is named, its path is not."""
    caplog.set_level(logging.DEBUG)
    with RawServer(TOKEN) as server:
        client = connect(server.url, BeebotSettings, **KEYS)
        settings = BeebotSettings(**KEYS, base_url=server.url, stream_base_url="http://127.0.0.1:1")
        with pytest.raises(APIConnectionError, match=r"127\.0\.0\.1") as caught:
            await client.stream(await client.run(open_chat(request(), settings)))
    assert "canary" not in shown_of(caught.value) + caplog.text


REPEATING = b"<html>No such page: /sse/paas4Json/canary-token/canary-channel/x/1</html>"


async def test_a_page_that_repeats_the_url(connect: Any) -> None:
    """Web servers like to repeat the address they refuse: it is still not shown."""
    length = str(len(REPEATING)).encode()
    head = b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\nContent-Length: " + length + b"\r\n\r\n"
    with RawServer(TOKEN, lambda connection: connection.send(head + REPEATING)) as server:
        client = connect(server.url, BeebotSettings, **KEYS)
        with pytest.raises(XingchenError) as caught:
            await pieces(client, server.url)
    assert "canary" not in shown_of(caught.value)


async def test_the_cause_has_no_url(connect: Any) -> None:
    """Tools that show the attributes of every exception in a chain do not come by the URL either."""
    with RawServer(TOKEN, lambda connection: connection.reset()) as server:
        client = connect(server.url, BeebotSettings, **KEYS)
        with pytest.raises(APIConnectionError) as caught:
            await pieces(client, server.url)
    assert "canary" not in "".join(f"{vars(each)}" for each in chain(caught.value))


def test_settings_and_calls_show_no_secret(settings: MakeSettings) -> None:
    """Neither settings, nor calls, nor tokens show what they hold."""
    made = settings(agent_key="canary-space")
    with RawServer(TOKEN) as server, Client(settings(base_url=server.url)) as client:
        call = client.run(open_chat(request(), settings(base_url=server.url)))
    assert "canary" not in repr(made) + str(made) + repr(call)
    assert "testsecret" not in repr(made) + repr(made.model_dump())
