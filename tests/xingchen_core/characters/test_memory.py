"""What is found in a dialogue, and handed over in the next; personas from texts; documents converted."""

from typing import Any

import pytest

from xingchen_core import APIResponseError, APITimeoutError, BadRequestError, Memory, MemoryTag, Message, characters
from xingchen_core.characters import Character, ChatRequest, Conversion
from xingchen_core.emulator import Emulator

YESTERDAY = [
    Message(role="user", content="我叫小明，喜欢咏春。"),
    Message(role="assistant", content="真厉害！我喜欢看书。"),
]


async def test_extract_facts(client: Any) -> None:
    """Facts come as whose, what about, and which values."""
    memory = await client.send(characters.extract_facts(YESTERDAY, ["姓名", "爱好"]))
    assert memory == Memory(
        tags=(
            MemoryTag(role="user", key="姓名", value=("小明",)),
            MemoryTag(role="user", key="爱好", value=("咏春",)),
            MemoryTag(role="assistant", key="爱好", value=("看书",)),
        )
    )


@pytest.mark.parametrize(
    ("schema", "values"),
    [
        ({"value": ["武术", "书法"]}, ("武术", "书法")),
        ({"value": ["武术"], "confidence": 0.9}, ("武术",)),
        ({"value": "武术"}, ("武术",)),
        ({"value": [17]}, ("17",)),
        ({"value": None}, ()),
        ({}, ()),
    ],
)
async def test_facts_as_they_come(service: Any, schema: dict[str, Any], values: tuple[str, ...]) -> None:
    """A member nobody knows, a single value or none at all is no reason to lose a fact."""
    client = service({"schemas": [{"role": "user", "key": "爱好", **schema}], "usage": {"inputTokens": 30}})
    memory = await client.send(characters.extract_facts(YESTERDAY, ["爱好"]))
    assert memory.tags == (MemoryTag(role="user", key="爱好", value=values),)


@pytest.mark.parametrize("data", [{"schemas": []}, {"schemas": None}, {}])
async def test_no_facts(service: Any, data: dict[str, Any]) -> None:
    """A dialogue may have no facts."""
    assert (await service(data).send(characters.extract_facts(YESTERDAY, ["年龄"]))).tags == ()


async def test_extract_summary(client: Any) -> None:
    """A summary is sentences."""
    memory = await client.send(characters.extract_summary(YESTERDAY))
    assert memory == Memory(summaries=("用户说过：我叫小明，喜欢咏春。",))


async def test_no_dialogue(client: Any) -> None:
    """Nothing to read, or nothing to look for, is refused by the service, which names the member."""
    with pytest.raises(BadRequestError, match="messages"):
        await client.send(characters.extract_summary([]))
    with pytest.raises(BadRequestError, match="kvMemoryConfigs"):
        await client.send(characters.extract_facts(YESTERDAY, []))


async def test_remembered_in_a_chat(emulator: Emulator, client: Any) -> None:
    """What was found yesterday goes into today's request, in the service's words, streamed or not."""
    facts = await client.send(characters.extract_facts(YESTERDAY, ["爱好"]))
    summary = await client.send(characters.extract_summary(YESTERDAY))
    request = ChatRequest(
        character=Character(name="小婉", content="你是小婉。"),
        user_id="u1",
        memory=Memory(summaries=summary.summaries, tags=facts.tags, originals=tuple(YESTERDAY[:1])),
        messages=[Message(role="user", content="还记得我喜欢什么吗？")],
    )
    await client.send(characters.chat(request))
    async for _ in await client.stream(characters.stream_chat(request)):
        pass
    for sent in emulator.requests[-2:]:
        assert sent.json["input"]["aca"]["memory"] == {
            "summaries": ["用户说过：我叫小明，喜欢咏春。"],
            "originals": [{"role": "user", "content": "我叫小明，喜欢咏春。"}],
            "tags": [
                {"role": "user", "key": "爱好", "value": ["咏春"]},
                {"role": "assistant", "key": "爱好", "value": ["看书"]},
            ],
        }


async def test_describe(emulator: Emulator, client: Any) -> None:
    """A persona is written from a text, or from a document that is named with its extension."""
    assert "刘备" in await client.send(characters.describe_text("刘备，字玄德，涿郡人。"))
    written = await client.send(characters.describe_file("https://example.invalid/liubei.docx", "刘备.docx"))
    assert "刘备" in written
    text, file = (request.json for request in emulator.requests)
    assert text == {"type": "text", "text": "刘备，字玄德，涿郡人。"}
    assert file == {"type": "file", "fileUrl": "https://example.invalid/liubei.docx", "fileName": "刘备.docx"}
    with pytest.raises(BadRequestError, match="extension"):
        await client.send(characters.describe_file("https://example.invalid/liubei", "刘备"))


# Documents


async def test_conversion(emulator: Emulator, client: Any, waits: list[float]) -> None:
    """A document is handed in, and asked for every ten seconds until it is there."""
    done = await client.run(characters.converted_document("https://example.invalid/a.xlsx"))
    assert isinstance(done, Conversion)
    assert (type(done.id), done.status, done.url) == (int, "success", "https://example.invalid/a.docx")
    assert [request.path.rpartition("/")[2] for request in emulator.requests] == ["upload"] + ["download"] * 3
    assert {request.query["taskId"] for request in emulator.requests[1:]} == {str(done.id)}
    assert waits == [10, 10, 10]


async def test_conversion_failed(emulator: Emulator, client: Any) -> None:
    """A document that cannot be converted is an error that names the task."""
    emulator.xingchen.failing_files = {"https://example.invalid/a.xlsx"}
    with pytest.raises(APIResponseError, match=r"could not be converted \(task 1\)"):
        await client.run(characters.converted_document("https://example.invalid/a.xlsx"))


@pytest.mark.parametrize("word", ["success", "SUCCESS"])
async def test_conversion_at_once(service: Any, waits: list[float], word: str) -> None:
    """A small document may be done before anybody waits; words count in any case."""
    await service({"id": 7, "status": word, "url": "u"}).run(characters.converted_document("a.xlsx"))
    assert waits == []


@pytest.mark.parametrize(
    ("limit", "interval", "expected"), [(600, 10, [10] * 60), (25, 10, [10, 10, 5]), (5, 10, [5]), (0, 10, [])]
)
@pytest.mark.parametrize("word", ["running", "排队中", None])
async def test_conversion_in_vain(
    service: Any, waits: list[float], limit: float, interval: float, expected: list[float], word: str | None
) -> None:
    """Words nobody knows mean not yet; the pauses add up to the limit."""
    client = service({"id": 7, "status": word})
    with pytest.raises(APITimeoutError, match=f"task 7 is not done within {limit:g} s"):
        await client.run(characters.converted_document("a.xlsx", timeout=limit, interval=interval))
    assert waits == expected


async def test_conversion_refused(emulator: Emulator, client: Any) -> None:
    """A kind of conversion the service does not know is its error, at once."""
    with pytest.raises(BadRequestError, match="type must be excelToDocx"):
        await client.run(characters.converted_document("a.pdf", type="pdfToDocx"))
    assert len(emulator.requests) == 1
