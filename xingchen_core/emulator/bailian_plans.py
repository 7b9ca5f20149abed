"""Which tools a model calls, and what it makes of their results, when nothing was scripted."""

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xingchen_core.emulator.bailian_brain import Message, Prompt


def calls(prompt: "Prompt") -> list[dict[str, Any]]:
    """The calls to make now; none when the results are there, or nothing fits."""
    return []


def results(prompt: "Prompt") -> list[str]:
    """The results of the tools called since the user's newest words."""
    return []


def json_object(prompt: "Prompt") -> dict[str, Any]:
    """An object for JSON mode."""
    return {}


def react(prompt: "Prompt") -> str:
    """The next step in words: `Thought:`, then `Action:` or `Answer:`."""
    return ""
