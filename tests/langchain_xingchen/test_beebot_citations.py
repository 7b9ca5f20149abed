"""References of a robot are citations in `content_blocks`, whose indices slice the answer."""

from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk

from langchain_xingchen import ChatBeebot
from xingchen_core.emulator import Emulator

PARAGRAPHS = [("发票在订单页申请。", 1), ("也可以找客服。", None), ("三天内寄出。", 2)]
REFERENCES = [
    {"Number": 1, "Title": "开票须知", "Content": "在订单页点击申请发票。", "DataSource": "FAQ_DIRECT"},
    {"Number": 2, "Title": "配送说明", "Content": "三个工作日内寄出。", "DataSource": "DOC"},
]


@pytest.fixture
def robot() -> Any:
    """A robot whose next answers cite two documents."""
    with Emulator() as emulator:
        for _ in range(4):
            emulator.beebot.reply(
                paragraphs=PARAGRAPHS,
                references=REFERENCES,
            )
        yield ChatBeebot(
            instance_id="chatbot-cn-demo",
            access_key_id="testid",
            access_key_secret="testsecret",
            base_url=emulator.url,
        )


def check(blocks: list[Any], text: str) -> None:
    """The citations are those of the documents, and slice the sentences that came of them."""
    (block,) = blocks
    assert block["text"] == text == "发票在订单页申请。也可以找客服。三天内寄出。"
    first, second = block["annotations"]
    assert text[first["start_index"] : first["end_index"]] == "发票在订单页申请。"
    assert text[second["start_index"] : second["end_index"]] == "三天内寄出。"
    assert [first["title"], second["title"]] == ["开票须知", "配送说明"]
    assert first["cited_text"] == "在订单页点击申请发票。"
    assert first["extras"]["data_source"] == "FAQ_DIRECT"


def test_invoke(robot: ChatBeebot) -> None:
    """A whole answer has its citations."""
    answer = robot.invoke("怎么开发票?")
    check(answer.content_blocks, answer.text)


def test_summed_stream(robot: ChatBeebot) -> None:
    """So has the sum of a stream's chunks, which is still text for whoever wants text."""
    whole: Any = None
    for chunk in robot.stream("怎么开发票?"):
        whole = chunk if whole is None else whole + chunk
    assert isinstance(whole.content, str)
    check(whole.content_blocks, whole.text)


async def test_async_stream(robot: ChatBeebot) -> None:
    """Async streams are the same."""
    whole: Any = None
    async for chunk in robot.astream("怎么开发票?"):
        whole = chunk if whole is None else whole + chunk
    check(whole.content_blocks, whole.text)


def test_no_citations_is_plain_text() -> None:
    """Without citations langchain-core's own reading serves, for messages and for chunks."""
    told = {"model_provider": "beebot"}
    assert AIMessage("你好", response_metadata=told).content_blocks == [{"type": "text", "text": "你好"}]
    assert AIMessageChunk("你好", response_metadata=told).content_blocks == [{"type": "text", "text": "你好"}]
