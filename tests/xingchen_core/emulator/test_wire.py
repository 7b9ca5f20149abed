"""The bytes of an event, and of whole streams in every shape."""

import time
from typing import Any

import httpx
import pytest

from xingchen_core.emulator import Emulator, Wire
from xingchen_core.emulator._wire import Event


@pytest.mark.parametrize(
    ("event", "wire", "expected"),
    [
        (Event({"a": "婉"}), Wire(), 'data:{"a":"婉"}\n\n'),
        (Event("[DONE]"), Wire(), "data:[DONE]\n\n"),
        (Event({}, event="stop", id="3"), Wire(), "id:3\nevent:stop\ndata:{}\n\n"),
        (Event("", event="result", comment="HTTP_STATUS/200"), Wire(), "event:result\n:HTTP_STATUS/200\ndata:\n\n"),
        (Event({}, event="stop"), Wire(crlf=True), "event:stop\r\ndata:{}\r\n\r\n"),
        (Event({}, event="stop"), Wire(space=True), "event: stop\ndata: {}\n\n"),
        (Event("two\nlines"), Wire(), "data:two\ndata:lines\n\n"),
    ],
)  # fmt: skip
def test_event_bytes(event: Event, wire: Wire, expected: str) -> None:
    """An event is written as the vendor writes it: no space after the colon, Chinese raw, a blank line at the end."""
    assert event.encode(wire) == expected.encode()


def raw_chunks(api: Any) -> list[bytes]:
    """Return a chat stream in the pieces it was written in."""
    with api.open(api.body()) as response:
        return list(response.iter_raw())


def test_one_write_an_event(emulator: Emulator, api: Any) -> None:
    """In the plain shape each event comes in one piece of the chunked body."""
    emulator.reply("甲乙", chunks=2)
    chunks = raw_chunks(api)
    assert [chunk[:5] for chunk in chunks] == [b"id:1\n", b"id:2\n", b"id:3\n"]
    assert all(chunk.endswith(b"\n\n") for chunk in chunks)


@pytest.mark.parametrize(("size", "longest"), [(True, 1), (3, 3), (7, 7)])
def test_split_utf8(emulator: Emulator, api: Any, size: int, longest: int) -> None:
    """Small writes tear characters, and the whole is the same text."""
    emulator.reply("小婉你好", chunks=1)
    plain = raw_chunks(api)
    emulator.reply("小婉你好", chunks=1)
    emulator.wire(split_utf8=size)
    torn = raw_chunks(api)
    assert max(map(len, torn)) == longest
    with pytest.raises(UnicodeDecodeError):
        "".join(chunk.decode() for chunk in torn)
    first_event = b"".join(plain).decode().split("\n\n")[0]
    assert "小婉你好" in first_event
    assert b"".join(torn).decode().split("\n\n")[0].partition("choices")[2] == first_event.partition("choices")[2]


@pytest.mark.parametrize(("keepalive", "count"), [(True, 1), (3, 3)])
def test_keepalive_comments(emulator: Emulator, api: Any, keepalive: int, count: int) -> None:
    """So many comments stand before each event."""
    emulator.reply("甲", chunks=1)
    emulator.wire(keepalive=keepalive)
    text = b"".join(raw_chunks(api)).decode()
    comment = ": keep-alive\n\n" * count
    assert text.startswith(comment + "id:1\n")
    assert text.count(": keep-alive") == 2 * count


def test_crlf_and_space_in_a_stream(emulator: Emulator, api: Any) -> None:
    """Both shapes hold for every line of a stream, and `wire()` without arguments takes them back."""
    emulator.wire(crlf=True, space=True)
    text = b"".join(raw_chunks(api)).decode()
    assert text.startswith("id: 1\r\ndata: {")
    assert text.count("\n") == text.count("\r\n")
    emulator.wire()
    assert b"".join(raw_chunks(api)).startswith(b"id:1\ndata:{")


def test_delay(emulator: Emulator, api: Any) -> None:
    """A delay stands between each two events: four events take three delays at least."""
    emulator.reply("甲乙丙", chunks=3)
    emulator.wire(delay=0.02)
    began = time.monotonic()
    assert len(raw_chunks(api)) == 4
    assert time.monotonic() - began >= 0.06


@pytest.mark.parametrize("after", [0, 2, 4, 5])
def test_cut_between_events(emulator: Emulator, api: Any, after: int) -> None:
    """So many whole events arrive, then the connection breaks without the end of the body."""
    emulator.reply("甲乙丙丁", chunks=4)
    emulator.fail("cut", after=after)
    received = api.broken(api.body())
    assert len(api.events(received.decode())) == after
    assert received == b"" or received.endswith(b"\n\n")


def test_cut_inside_an_event(emulator: Emulator, api: Any) -> None:
    """The break may come in the middle of an event: no line end, no JSON end."""
    emulator.reply("甲乙", chunks=2)
    emulator.fail("cut", after=1, inside_event=True)
    received = api.broken(api.body())
    whole, _, torn = received.decode(errors="replace").partition("\n\n")
    assert whole.startswith("id:1\n")
    assert torn.startswith("id:2\ndata:{")
    assert not torn.endswith(("}", "\n"))


def test_silent_end(emulator: Emulator, api: Any) -> None:
    """The body ends as HTTP wants it, but the closing event never came."""
    emulator.reply("甲乙", chunks=2)
    emulator.fail("silent_end", after=2)
    response = api.stream("chat/send", api.body())
    assert api.contents(response.text) == ["甲", "甲乙"]
    assert "finishReason" not in response.text


def test_sync_answers_break_too(emulator: Emulator, api: Any) -> None:
    """Without a stream: half a body, an empty one, no answer at all."""
    emulator.fail("cut")
    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
        api.post("chat/send", api.body())
    emulator.fail("silent_end")
    assert api.post("chat/send", api.body()).content == b""
    emulator.fail("drop")
    with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
        api.post("chat/send", api.body())


@pytest.mark.parametrize(("status", "expected"), [(None, 502), (503, 503), (200, 200)])
def test_html(emulator: Emulator, api: Any, status: int | None, expected: int) -> None:
    """A proxy's page stands where JSON or events should be, under whatever status."""
    emulator.fail("html", status=status)
    response = api.stream("chat/send", api.body())
    assert response.status_code == expected
    assert response.headers["content-type"].startswith("text/html")
    assert response.text.startswith("<html>")
