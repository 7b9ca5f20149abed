"""Prompts as the native protocol writes them, checked as the service checks them."""

from typing import Any

from xingchen_core.emulator.bailian_brain import Message, Prompt
from xingchen_core.emulator.bailian_call import Call
from xingchen_core.emulator.bailian_errors import Refusal, invalid


def read_prompt(call: Call, *, multimodal: bool) -> Prompt:
    """The prompt of a request to one of the two native paths; refuses what the service refuses."""
    body = call.body
    given = body.get("input") or {}
    messages = given.get("messages") or [{"role": "user", "content": given.get("prompt")}]
    read = [Message(each["role"], _text(each.get("content"))) for each in messages]
    return Prompt(body["model"], read, body.get("parameters") or {})


def _text(content: Any) -> str:
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content or ())
