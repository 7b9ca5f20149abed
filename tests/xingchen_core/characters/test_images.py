"""Pictures of answers: asked for until they are there, or it is clear that they will not be."""

from typing import Any

import pytest

from xingchen_core import (
    APIResponseError,
    APITimeoutError,
    Message,
    NotFoundError,
    Pause,
    PermissionDeniedError,
    characters,
)
from xingchen_core.characters import ChatRequest, GeneratedImage, TextToImagePlugin
from xingchen_core.emulator import Emulator

PENDING, RUNNING = {"taskId": "t1", "status": "PENDING"}, {"taskId": "t1", "status": "RUNNING"}
DONE = {"taskId": "t1", "status": "SUCCEEDED", "fileUrls": ["https://example.invalid/a.png"]}


async def test_image(emulator: Emulator, client: Any, waits: list[float]) -> None:
    """The picture of an answer: pending, running, made; its message and its user name it."""
    emulator.reply("画好啦", images=["https://example.invalid/a.png", "https://example.invalid/b.png"])
    request = ChatRequest(
        character_id="demo",
        user_id="u1",
        platform_plugins=[TextToImagePlugin()],
        messages=[Message(role="user", content="画一只猫")],
    )
    reply = await client.send(characters.chat(request))
    picture = await client.run(characters.wait_for_image(reply.metadata["message_id"], "u1"))
    assert picture.urls == ("https://example.invalid/a.png", "https://example.invalid/b.png")
    assert picture.is_done
    assert picture.task_id
    asked = [request.query for request in emulator.requests if request.path == "/v2/api/chat/polling/image"]
    assert asked == [{"messageId": reply.metadata["message_id"], "userId": "u1"}] * 3
    assert waits == [2.5, 2.5]


@pytest.mark.parametrize(
    ("data", "urls"),
    [
        ({"fileUrls": ["a", "b"]}, ("a", "b")),
        ({"fileUrl": ["a"]}, ("a",)),
        ({"fileUrl": "a"}, ("a",)),
        ({"fileUrls": [], "fileUrl": ["a"]}, ("a",)),
        ({}, ()),
    ],
)
def test_image_urls(data: dict[str, Any], urls: tuple[str, ...]) -> None:
    """One SDK reads `fileUrls`, another `fileUrl`: a picture is lost by neither."""
    assert GeneratedImage.model_validate({"status": "SUCCEEDED", **data}).urls == urls


@pytest.mark.parametrize("word", ["SUCCEEDED", "succeeded", "Success"])
async def test_image_done(service: Any, word: str) -> None:
    """Words for success count in any case."""
    picture = await service({**DONE, "status": word}).run(characters.wait_for_image("m1", "u1"))
    assert picture.urls == ("https://example.invalid/a.png",)


@pytest.mark.parametrize(
    "first", [PENDING, RUNNING, {"status": "排队中"}, {"status": "UNKNOWN"}, {}, {"status": "SUCCEEDED"}]
)
async def test_image_not_yet(service: Any, first: Any, waits: list[float]) -> None:
    """Words nobody knows, no word, and success without a picture mean: ask again."""
    picture = await service(first, first, DONE).run(characters.wait_for_image("m1", "u1", interval=2))
    assert picture.urls == ("https://example.invalid/a.png",)
    assert waits == [2, 2]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ({"status": "FAILED", "errorMessage": "画不出来"}, "画不出来"),
        ({"status": "failed"}, "failed"),
        ({"status": "CANCELED"}, "CANCELED"),
    ],
)
async def test_image_failed(service: Any, data: Any, why: str, waits: list[float]) -> None:
    """A failed picture is an error with the service's reason, at once."""
    with pytest.raises(APIResponseError, match=f"could not be made: {why}"):
        await service(PENDING, data).run(characters.wait_for_image("m1", "u1"))
    assert waits == [2.5]


@pytest.mark.parametrize(
    ("limit", "interval", "expected"),
    [(10, 2.5, [2.5] * 4), (1, 2.5, [1]), (5, 2, [2, 2, 1]), (0, 2.5, []), (0.3, 0, [0.1, 0.1, 0.1])],
)
async def test_image_never(
    service: Any, waits: list[float], limit: float, interval: float, expected: list[float]
) -> None:
    """The wait ends after `timeout` seconds of pauses, not later, with a last look at the end."""
    with pytest.raises(APITimeoutError, match=f"no picture for message m1 within {limit:g} s"):
        await service(PENDING).run(characters.wait_for_image("m1", "u1", timeout=limit, interval=interval))
    assert waits == pytest.approx(expected)


async def test_image_unknown_at_first(service: Any, refusal: Any, waits: list[float]) -> None:
    """A picture that was not begun yet is not found: that is no reason to give up at once."""
    not_yet = refusal(code=404, errorMessageKey="aca.error.notfound")
    picture = await service(not_yet, not_yet, DONE).run(characters.wait_for_image("m1", "u1", timeout=10))
    assert picture.urls == ("https://example.invalid/a.png",)
    assert waits == [2.5, 2.5]


async def test_no_image(service: Any, refusal: Any, waits: list[float]) -> None:
    """An answer that has no picture is told after half of the time, by the service's own refusal."""
    not_yet = refusal(code=404, errorMessageKey="aca.error.notfound")
    with pytest.raises(NotFoundError):
        await service(not_yet).run(characters.wait_for_image("m1", "u1", timeout=10))
    assert sum(waits) == 5


async def test_image_refused(service: Any, refusal: Any, waits: list[float]) -> None:
    """Other refusals end the wait at once."""
    with pytest.raises(PermissionDeniedError, match="No Permission"):
        await service(refusal(code=403, errorMessage="No Permission")).run(characters.wait_for_image("m1", "u1"))
    assert waits == []


def test_image_wait_closed() -> None:
    """Whoever closes the flow asks no more."""
    flow = characters.wait_for_image("m1", "u1")
    next(flow)
    assert flow.send(GeneratedImage.model_validate(PENDING)) == Pause(2.5)
    flow.close()
    assert next(flow, "over") == "over"
