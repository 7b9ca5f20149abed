"""Pictures a character draws: the answer comes at once, the picture is waited for."""

import asyncio
from collections.abc import Callable
from typing import Any

import langchain_core.exceptions as langchain
import pytest
from langchain_core.messages import AIMessage

from langchain_xingchen import Character, ChatXingchen
from xingchen_core import APIResponseError, APITimeoutError, ConfigurationError, NotFoundError
from xingchen_core.characters import TextToImagePlugin
from xingchen_core.emulator import Emulator

MakeModel = Callable[..., ChatXingchen]
Way = Callable[..., Any]
Draw = Callable[..., Any]

CAT, DOG = "https://example.invalid/cat.png", "https://example.invalid/dog.png"
POLLING = "/v2/api/chat/polling/image"


@pytest.fixture(params=["sync", "async"])
def picture_of(request: pytest.FixtureRequest) -> Draw:
    """`generated_image`, blocking and with asyncio."""
    if request.param == "sync":
        return lambda model, *args, **kwargs: model.generated_image(*args, **kwargs)
    return lambda model, *args, **kwargs: asyncio.run(model.agenerated_image(*args, **kwargs))


@pytest.fixture
def painter(make: MakeModel) -> ChatXingchen:
    """A character that draws."""
    return make(user_id="u1", platform_plugins=[TextToImagePlugin(image_style="auto")])


def answer_of(message_id: str = "no-such-message", user_id: str = "u1") -> AIMessage:
    """An answer as far as pictures are concerned."""
    return AIMessage("画好啦", response_metadata={"message_id": message_id, "user_id": user_id})


def test_one(painter: ChatXingchen, emulator: Emulator, way: Way, picture_of: Draw, waits: list[float]) -> None:
    """The picture of an answer, however it was asked for, is an image block with its URL."""
    emulator.reply("画好啦", images=[CAT])
    answer = way(painter, "画一只猫")
    block = picture_of(painter, answer)
    assert block.pop("id").startswith("lc_")  # LangChain's own
    assert block == {"type": "image", "url": CAT}
    asked = [request.query for request in emulator.requests if request.path == POLLING]
    assert asked == [{"messageId": answer.response_metadata["message_id"], "userId": "u1"}] * 3
    assert waits == [2.5, 2.5]


def test_several(painter: ChatXingchen, emulator: Emulator, ask: Way, picture_of: Draw) -> None:
    """Of several pictures the block shows the first and has all."""
    emulator.reply("画好啦", images=[CAT, DOG])
    block = picture_of(painter, ask(painter, "画一只猫和一只狗"))
    assert (block["url"], block["extras"]) == (CAT, {"urls": [CAT, DOG]})


def test_as_content(painter: ChatXingchen, emulator: Emulator, ask: Way, picture_of: Draw) -> None:
    """The block is content like any other: a message of it shows it as the standard says."""
    emulator.reply("画好啦", images=[CAT])
    block = picture_of(painter, ask(painter, "画一只猫"))
    assert AIMessage(["看：", block]).content_blocks == [{"type": "text", "text": "看："}, block]


def test_any_user(make: MakeModel, emulator: Emulator, ask: Way, picture_of: Draw) -> None:
    """Without a `user_id` the answer knows which one was made for it, and that one is asked with."""
    painter = make(platform_plugins=[TextToImagePlugin()])
    emulator.reply("画好啦", images=[CAT])
    answer = ask(painter, "画一只猫")
    assert picture_of(painter, answer)["url"] == CAT
    assert emulator.requests[-1].query["userId"] == answer.response_metadata["user_id"]


def test_failed(painter: ChatXingchen, emulator: Emulator, ask: Way, picture_of: Draw) -> None:
    """A picture that could not be made is an error of both trees, with the service's reason."""
    emulator.reply("画不出来", images=[])
    answer = ask(painter, "画一只猫")
    with pytest.raises(APIResponseError, match=r"The picture could not be made\.") as caught:
        picture_of(painter, answer)
    assert isinstance(caught.value, langchain.ModelAPIError)


def test_never(painter: ChatXingchen, emulator: Emulator, ask: Way, picture_of: Draw, waits: list[float]) -> None:
    """A picture that does not come is given up after `timeout` seconds."""
    emulator.xingchen.polls_until_done = 10**6
    emulator.reply("正在画", images=[CAT])
    answer = ask(painter, "画一只猫")
    with pytest.raises(APITimeoutError, match="within 7 s") as caught:
        picture_of(painter, answer, timeout=7)
    assert isinstance(caught.value, langchain.ModelTimeoutError)
    assert waits == [2.5, 2.5, 2]


def test_by_default(painter: ChatXingchen, emulator: Emulator, ask: Way, picture_of: Draw, waits: list[float]) -> None:
    """The limit is two minutes."""
    emulator.xingchen.polls_until_done = 10**6
    emulator.reply("正在画", images=[CAT])
    answer = ask(painter, "画一只猫")
    with pytest.raises(APITimeoutError):
        picture_of(painter, answer)
    assert sum(waits) == 120


def test_none(painter: ChatXingchen, picture_of: Draw, waits: list[float]) -> None:
    """An answer without a picture is told as one, not waited for to the end."""
    with pytest.raises(NotFoundError, match="no-such-message") as caught:
        picture_of(painter, answer_of())
    assert isinstance(caught.value, langchain.ModelNotFoundError)
    assert sum(waits) == 60


def test_somebody_elses(painter: ChatXingchen, emulator: Emulator, ask: Way, picture_of: Draw) -> None:
    """The picture belongs to the user it was drawn for."""
    emulator.reply("画好啦", images=[CAT])
    drawn = ask(painter, "画一只猫").response_metadata["message_id"]
    with pytest.raises(NotFoundError):
        picture_of(painter, answer_of(drawn, "u2"))


def test_no_ids(make: MakeModel, emulator: Emulator, ask: Way, picture_of: Draw) -> None:
    """An answer of an inline character has no id to ask with: that is said, and nothing is asked."""
    model = make(character=Character(name="小婉", content="你是小婉。"), platform_plugins=[TextToImagePlugin()])
    answer = ask(model, "画一只猫")
    with pytest.raises(ConfigurationError, match="no message_id and user_id"):
        picture_of(model, answer)
    assert len(emulator.requests) == 1


def test_loop_is_free(painter: ChatXingchen, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting for a picture stops no other task, and ends when its task is cancelled."""
    emulator.reply("画好啦", images=[CAT])
    answer = painter.invoke("画一只猫")

    async def main() -> int:
        pausing = asyncio.Event()

        async def pause(_: float) -> None:
            pausing.set()
            await asyncio.Event().wait()

        monkeypatch.setattr("xingchen_core._client._async_sleep", pause)
        waiting = asyncio.create_task(painter.agenerated_image(answer))
        await pausing.wait()
        assert (await painter.ainvoke("你好")).text
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        return sum(request.path == POLLING for request in emulator.requests)

    assert asyncio.run(main()) == 1
