"""Conformance items 11 to 20 and 22: what a stream yields, and how it ends."""

import asyncio
import copy
import time
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, TextBlock

from xingchen_core import APIConnectionError, APIResponseError, APIStatusError, XingchenError

HELLO = [ChatMessage(role="user", content="你好")]
STREAMS = ("stream_chat", "astream_chat", "stream_complete", "astream_complete")
TEXT = "小婉说:🎉\u2028第二行,\r\n第三行 naïve 𠮷。"


@pytest.mark.parametrize("method", ["stream_chat", "astream_chat"])
def test_deltas_and_contents_add_up(make: Any, ask: Any, emulator: Any, method: str) -> None:
    """Items 11 to 13: each chunk holds the deltas so far in its one text block, without a newline between them."""
    emulator.reply(chunks=["我叫", "小婉", "。"])
    seen = ask(make(), method)
    assert [r.delta for r in seen if r.delta] == ["我叫", "小婉", "。"]
    assert [r.message.content for r in seen][:3] == ["我叫", "我叫小婉", "我叫小婉。"]
    assert seen[-1].message.content == "我叫小婉。"
    assert all([type(block) for block in r.message.blocks] == [TextBlock] for r in seen)


@pytest.mark.parametrize("method", ["stream_complete", "astream_complete"])
def test_completions_add_up_too(make: Any, ask: Any, emulator: Any, method: str) -> None:
    """Items 11 and 12, for completions: text is the deltas so far."""
    emulator.reply(chunks=["我叫", "小婉", "。"])
    seen = ask(make(), method)
    assert [r.text for r in seen][:3] == ["我叫", "我叫小婉", "我叫小婉。"]
    assert "".join(r.delta for r in seen) == seen[-1].text == "我叫小婉。"


@pytest.mark.parametrize("method", STREAMS)
def test_chunks_are_not_changed_later(canned: Any, method: str) -> None:
    """Item 14: a chunk that was yielded is the same when the stream is over."""
    llm = canned()
    given = HELLO if "chat" in method else "你好"
    pairs: list[tuple[Any, Any]] = []
    if method.startswith("a"):

        async def read() -> None:
            async for chunk in await getattr(llm, method)(given):
                pairs.append((chunk, copy.deepcopy(chunk)))

        asyncio.run(read())
    else:
        pairs += [(chunk, copy.deepcopy(chunk)) for chunk in getattr(llm, method)(given)]
    assert len(pairs) == 4
    assert all(chunk == before for chunk, before in pairs)


@pytest.mark.parametrize("method", STREAMS)
def test_an_empty_answer_yields_a_chunk(make: Any, ask: Any, emulator: Any, method: str) -> None:
    """Item 15: an answer without text still yields one chunk, with an empty text and its usage."""
    emulator.reply("", chunks=[])
    seen = ask(make(), method)
    assert len(seen) == 1
    assert (seen[0].message.content if "chat" in method else seen[0].text) == ""
    assert seen[0].raw["finish_reason"] == "stop"


@pytest.mark.parametrize("step", [1, 2, 3, 5, 7])
def test_text_survives_being_torn(make: Any, ask: Any, emulator: Any, stream_method: str, step: int) -> None:
    """Item 16: written a few bytes at a time, with step 1 at every byte, the text arrives whole."""
    emulator.wire(split_utf8=step)
    emulator.reply(TEXT, chunks=4)
    assert ask(make(), stream_method)[-1].message.content == TEXT


@pytest.mark.parametrize(
    "wire", [{"crlf": True}, {"space": True}, {"keepalive": 3}, {"crlf": True, "keepalive": 1, "split_utf8": 1}]
)
def test_every_shape_of_event_is_read(make: Any, ask: Any, emulator: Any, stream_method: str, wire: Any) -> None:
    """Item 17: line ends, spaces, comments and keep-alives do not matter."""
    emulator.wire(**wire)
    emulator.reply(TEXT, chunks=3)
    seen = ask(make(), stream_method)
    assert seen[-1].message.content == TEXT
    assert seen[-1].raw["finish_reason"] == "stop"


@pytest.mark.parametrize("observed", [False, True], ids=["alone", "with a debug handler"])
@pytest.mark.parametrize("method", ["stream_chat", "stream_complete"])
def test_closing_a_stream_closes_the_connection(
    case: Any, make: Any, emulator: Any, method: str, observed: bool, request: pytest.FixtureRequest, eventually: Any
) -> None:
    """Item 18: the server sees the client leave at once, even where a handler keeps every event."""
    kept = request.getfixturevalue("events") if observed else None
    emulator.reply(chunks=["一", "二", "三"])
    emulator.fail("stall", after=2)
    stream = getattr(make(), method)(HELLO if "chat" in method else "你好")
    assert next(stream).delta == "一"
    assert case.running(emulator) == 1
    stream.close()
    assert eventually(lambda: case.running(emulator) == 0)
    assert kept is None or [event for event in kept if type(event).__name__ == "ExceptionEvent"]


@pytest.mark.parametrize("observed", [False, True], ids=["alone", "with a debug handler"])
@pytest.mark.parametrize("method", ["astream_chat", "astream_complete"])
def test_closing_an_async_stream_closes_the_connection(
    case: Any, make: Any, emulator: Any, method: str, observed: bool, request: pytest.FixtureRequest, eventually: Any
) -> None:
    """Item 18: the same for async streams, and no task is left."""
    kept = request.getfixturevalue("events") if observed else None
    emulator.reply(chunks=["一", "二", "三"])
    emulator.fail("stall", after=2)
    llm = make()

    async def leave_early() -> None:
        before = asyncio.all_tasks()
        stream = await getattr(llm, method)(HELLO if "chat" in method else "你好")
        assert (await anext(stream)).delta == "一"
        assert case.running(emulator) == 1
        await stream.aclose()
        assert await asyncio.to_thread(eventually, lambda: case.running(emulator) == 0)
        assert asyncio.all_tasks() == before

    asyncio.run(leave_early())
    assert kept is None or [event for event in kept if type(event).__name__ == "ExceptionEvent"]


@pytest.mark.parametrize("method", ["stream_chat", "astream_chat"])
def test_a_stream_that_is_never_read_is_given_up(
    case: Any, make: Any, emulator: Any, method: str, eventually: Any
) -> None:
    """Item 18: dropping a stream before its first chunk leaves no connection behind."""
    emulator.reply(chunks=["一", "二", "三"])
    emulator.fail("stall", after=2)
    llm = make()
    if method == "stream_chat":
        llm.stream_chat(HELLO).close()
    else:

        async def open_only() -> None:
            await (await llm.astream_chat(HELLO)).aclose()

        asyncio.run(open_only())
    assert eventually(lambda: case.running(emulator) == 0)


def test_cancelling_reaches_the_caller_and_the_server(case: Any, make: Any, emulator: Any, eventually: Any) -> None:
    """Item 19: a cancelled reader gets `CancelledError`, and the connection is released."""
    emulator.reply(chunks=["一", "二"])
    emulator.fail("stall", after=1)
    llm = make()
    got: list[str] = []

    async def read(started: asyncio.Event) -> None:
        async for chunk in await llm.astream_chat(HELLO):
            got.append(chunk.delta)
            started.set()

    async def cancel() -> None:
        started = asyncio.Event()
        task = asyncio.create_task(read(started))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(eventually, lambda: case.running(emulator) == 0)

    asyncio.run(cancel())
    assert got == ["一"]


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"kind": "error_event", "status": 500}, APIStatusError),
        ({"kind": "cut"}, APIConnectionError),
        ({"kind": "cut", "inside_event": True}, APIConnectionError),
        ({"kind": "silent_end"}, APIResponseError),
    ],
    ids=["error event", "cut", "cut inside an event", "silent end"],
)
@pytest.mark.parametrize("method", STREAMS)
def test_a_broken_stream_raises_with_what_came(
    case: Any, make: Any, ask: Any, emulator: Any, method: str, fault: dict[str, Any], error: type[XingchenError]
) -> None:
    """Item 20: what came is yielded, then a typed error carries it; no empty chunk, no second request."""
    emulator.reply(chunks=["我叫", "小婉", "。"])
    emulator.fail(**fault, after=2)
    got: list[Any] = []
    with pytest.raises(error) as caught:
        ask(make(), method, into=got)
    assert [response.delta for response in got] == ["我叫", "小婉"]
    assert caught.value.partial_text == "我叫小婉"
    assert caught.value.service
    assert len(case.questions(emulator)) == 1


def test_the_first_chunk_does_not_wait_for_the_last(make: Any, emulator: Any) -> None:
    """A stream streams: the first chunk is there long before the answer is complete."""
    emulator.wire(delay=0.05)
    emulator.reply(chunks=list("一二三四五六"))
    began = time.monotonic()
    with_first = None
    for _ in make().stream_chat(HELLO):
        with_first = with_first or time.monotonic() - began
    assert with_first is not None
    assert with_first < (time.monotonic() - began) / 2
