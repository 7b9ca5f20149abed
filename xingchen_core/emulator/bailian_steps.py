"""How a choice is cut into the steps of a stream: reasoning, then text, then fragments of tool calls."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from xingchen_core.emulator import bailian_texts as texts
from xingchen_core.emulator.bailian_brain import Choice
from xingchen_core.emulator.bailian_script import Fragments


@dataclass
class Step:
    """What one event adds."""

    text: str = ""
    reasoning: str = ""
    tool_calls: list[dict[str, Any]] = field(default_factory=list)
    finish_reason: str | None = None


def steps(choice: Choice, fragments: Fragments, parameters: Mapping[str, Any]) -> list[Step]:
    """The steps; the last one has the reason why the answer ends."""
    made = [Step(reasoning=piece) for piece in texts.pieces(choice.reasoning)]
    made += [Step(piece) for piece in choice.pieces]
    made += _call_steps(choice, fragments, one_piece_lists=not parameters.get("tool_stream"))
    if not made or not (choice.tool_calls or fragments.text_in_final_event):
        made.append(Step())
    made[-1].finish_reason = choice.finish_reason
    return made


def _call_steps(choice: Choice, fragments: Fragments, *, one_piece_lists: bool) -> list[Step]:
    made: list[Step] = []
    for index, called in enumerate(choice.tool_calls):
        opening, *later = _cut(called["arguments"], fragments, one_piece_lists=one_piece_lists)
        function = {"name": called["name"], "arguments": opening}
        first = {"index": index, "id": called["id"], "type": "function", "function": function}
        if fragments.two_calls_in_one_event and made:
            made[-1].tool_calls.append(first)
        else:
            made.append(Step(tool_calls=[first]))
        closing = fragments.empty_closing or fragments.two_calls_in_one_event
        for piece in [*later, ""] if closing else later:
            rest: dict[str, Any] = {"index": index, "id": "", "type": "function", "function": {"arguments": piece}}
            if fragments.without_ids:
                del rest["id"]
            made.append(Step(tool_calls=[rest]))
    return made


def _cut(arguments: str, fragments: Fragments, *, one_piece_lists: bool) -> list[str]:
    if one_piece_lists and _has_lists(arguments):
        return [arguments]
    size = fragments.argument_size or -(-len(arguments) // 2)
    return [arguments[at : at + size] for at in range(0, len(arguments), size)] or [""]


def _has_lists(arguments: str) -> bool:
    """Without `tool_stream`, arguments with arrays or objects in them come in one piece."""
    try:
        values = json.loads(arguments)
    except ValueError:
        return False
    return isinstance(values, dict) and any(isinstance(value, list | dict) for value in values.values())
