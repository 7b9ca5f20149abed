"""Pictures a character draws, and what it says before anybody spoke to it."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, ImageBlock, TextBlock

from llama_index_xingchen import Xingchen
from xingchen_core import APIResponseError, APITimeoutError, Character, ConfigurationError, NotFoundError
from xingchen_core.characters import TextToImagePlugin
from xingchen_core.emulator import Emulator

CAT, DOG = "https://example.invalid/cat.png?sign=a%2Bb", "https://example.invalid/dog.png"
POLLING = "/v2/api/chat/polling/image"

Make = Callable[..., Xingchen]
Use = Callable[..., Any]


@pytest.fixture
def make_one(emulator: Emulator) -> Iterator[Make]:
    """Makes LLMs of the emulator's character; a test names only what it is about."""
    with ExitStack() as made:

        def make(**fields: Any) -> Xingchen:
            if "character" not in fields:
                fields.setdefault("character_id", "demo")
            return made.enter_context(Xingchen(**{"api_key": "test-key", "base_url": emulator.url, **fields}))

        yield make


@pytest.fixture
def painter(make_one: Make) -> Xingchen:
    """A character that draws."""
    return make_one(user_id="u1", platform_plugins=[TextToImagePlugin(image_style="auto")])


@pytest.fixture(params=["sync", "async"])
def use(request: pytest.FixtureRequest) -> Use:
    """Calls a method by its sync name, in either colour."""

    def call(llm: Xingchen, name: str, *args: Any, **kwargs: Any) -> Any:
        if request.param == "sync":
            return getattr(llm, name)(*args, **kwargs)
        return asyncio.run(getattr(llm, f"a{name}")(*args, **kwargs))

    return call


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long pauses would have been, in seconds."""
    noted: list[float] = []

    async def note(seconds: float) -> None:
        noted.append(seconds)

    monkeypatch.setattr("xingchen_core._client._sleep", noted.append)
    monkeypatch.setattr("xingchen_core._client._async_sleep", note)
    return noted


def test_one(painter: Xingchen, emulator: Emulator, ask: Any, method: str, use: Use, waits: list[float]) -> None:
    """The picture of an answer, by whichever of the eight methods it came, is an image block with its URL."""
    emulator.reply("画好啦", images=[CAT])
    response = ask(painter, method, "画一只猫")[-1]
    block = use(painter, "generated_image", response)
    assert isinstance(block, ImageBlock)
    assert str(block.url) == CAT
    asked = [request.query for request in emulator.requests if request.path == POLLING]
    assert asked == [{"messageId": response.raw["message_id"], "userId": "u1"}] * 3
    assert waits == [2.5, 2.5]


def test_of_a_message(make_one: Make, emulator: Emulator, use: Use) -> None:
    """A message that the platform stored knows its picture too, and takes it in as content."""
    painter = make_one(user_id="u1", platform_history=True, platform_plugins=[TextToImagePlugin()])
    emulator.reply("画好啦", images=[CAT])
    message = painter.chat([ChatMessage(role="user", content="画一只猫")]).message
    message.blocks.append(use(painter, "generated_image", message))
    assert [type(block) for block in message.blocks] == [TextBlock, ImageBlock]


def test_several(painter: Xingchen, emulator: Emulator, use: Use) -> None:
    """Of several pictures the first."""
    emulator.reply("画好啦", images=[DOG, CAT])
    assert str(use(painter, "generated_image", painter.complete("画一只狗")).url) == DOG


def test_failed(painter: Xingchen, emulator: Emulator, use: Use) -> None:
    """A picture that could not be made is an error with the service's reason."""
    emulator.reply("画不出来", images=[])
    response = painter.complete("画一只猫")
    with pytest.raises(APIResponseError, match=r"The picture could not be made\."):
        use(painter, "generated_image", response)


def test_never(painter: Xingchen, emulator: Emulator, use: Use, waits: list[float]) -> None:
    """A picture that does not come is given up after `timeout` seconds, by default two minutes."""
    emulator.xingchen.polls_until_done = 10**6
    emulator.reply("正在画", images=[CAT])
    response = painter.complete("画一只猫")
    with pytest.raises(APITimeoutError, match="within 7 s"):
        use(painter, "generated_image", response, timeout=7)
    assert waits == [2.5, 2.5, 2]
    waits.clear()
    with pytest.raises(APITimeoutError, match="within 120 s"):
        use(painter, "generated_image", response)
    assert sum(waits) == 120


def test_none(painter: Xingchen, use: Use, waits: list[float]) -> None:
    """An answer without a picture is told as one."""
    response = painter.complete("你好")
    with pytest.raises(NotFoundError, match=response.raw["message_id"]):
        use(painter, "generated_image", response)


def test_no_ids(make_one: Make, emulator: Emulator, use: Use) -> None:
    """What has no ids to ask with is refused, and nothing is asked: an inline character, the middle of a stream."""
    inline = make_one(character=Character(name="小婉", content="你是小婉。"))
    first = next(make_one().stream_chat([ChatMessage(role="user", content="画一只猫")]))
    for answer in (inline.complete("画一只猫"), first, ChatMessage(role="assistant", content="画好啦")):
        with pytest.raises(ConfigurationError, match="no message_id and user_id"):
            use(inline, "generated_image", answer)
    with pytest.raises(ConfigurationError, match="no message_id and user_id"):
        use(inline, "generated_image", ChatResponse(message=ChatMessage(role="assistant", content="画好啦")))
    assert POLLING not in [request.path for request in emulator.requests]


def test_opening_line(make_one: Make, emulator: Emulator, use: Use) -> None:
    """What a stored character says first is asked for, of the version that is pinned; an inline one has nothing."""
    assert use(make_one(), "opening_line") == "嗨，你回来啦？我刚烤了曲奇，要不要尝一块？"
    assert emulator.requests[-1].query == {"characterId": "demo"}
    use(make_one(version=1), "opening_line")
    assert emulator.requests[-1].query == {"characterId": "demo", "version": "1"}
    emulator.xingchen.add_character("quiet")
    assert use(make_one(character_id="quiet"), "opening_line") is None
    assert use(make_one(character=Character(name="小婉", content="你是小婉。")), "opening_line") is None
    assert len(emulator.requests) == 3
