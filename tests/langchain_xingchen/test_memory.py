"""What was found in yesterday's dialogue is remembered in today's."""

from collections.abc import Callable
from typing import Any

from langchain_xingchen import Character, ChatXingchen, Memory
from xingchen_core import Message, characters
from xingchen_core.emulator import Emulator

YESTERDAY = [Message(role="user", content="我叫小明，喜欢咏春。"), Message(role="assistant", content="真厉害！")]


def test_extracted_memory(make: Callable[..., ChatXingchen], emulator: Emulator, way: Callable[..., Any]) -> None:
    """Facts and summary of the extraction calls fit the model's `memory`, at construction and in a call."""
    model = make(character=Character(name="小婉", content="你是小婉。"), user_id="u1")
    facts = model.client().send(characters.extract_facts(YESTERDAY, ["爱好"]))
    summary = model.client().send(characters.extract_summary(YESTERDAY))
    memory = Memory(tags=facts.tags, summaries=summary.summaries)
    way(make(character=model.character, memory=memory), "还记得我喜欢什么吗？")
    way(model, "还记得我喜欢什么吗？", memory=memory)
    for request in emulator.requests[2:]:
        assert request.json["input"]["aca"]["memory"] == {
            "summaries": ["用户说过：我叫小明，喜欢咏春。"],
            "tags": [{"role": "user", "key": "爱好", "value": ["咏春"]}],
        }
    way(model, "还记得我喜欢什么吗？")
    assert "memory" not in emulator.requests[-1].json["input"]["aca"]
