"""How an agent found its answer: its thoughts. Source: Model Studio, "application API reference", captured streams."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from xingchen_core.bailian.workflows import grown, reasoning_of

_WORDS = ("thought", "response", "reasoningContent", "reasoning_content")
"""Members of a reasoning entry that carry its text, each the same."""


class Thoughts:
    """Gathers the thoughts of one answer. Reasoning grows; of any other entry the latest counts."""

    def __init__(self, *, incremental: bool) -> None:
        self._incremental = incremental
        self._entries: dict[tuple[Any, ...], dict[str, Any]] = {}
        self._reasoning: dict[tuple[Any, ...], str] = {}

    def read(self, thoughts: Iterable[Mapping[str, Any]]) -> str:
        """Take what one event lists, and return what is new of the reasoning.

        An entry is known again by its kind and which of its kind it is, so that a list may be whole or only new.
        """
        new = ""
        seen: Counter[tuple[Any, ...]] = Counter()
        for thought in thoughts:
            kind = (thought.get("action_type"), thought.get("action"), thought.get("action_name"))
            key = (*kind, seen[kind])
            seen[kind] += 1
            entry = self._entries.setdefault(key, {})
            entry.update((name, value) for name, value in thought.items() if value or name not in entry)
            if piece := _reasoning_piece(thought):
                before = self._reasoning.get(key, "")
                # UNVERIFIED: whether reasoning is cumulative where the text is. Both are read.
                whole, piece = (before + piece, piece) if self._incremental else grown(before, piece)
                self._reasoning[key] = whole
                new += piece
        return new

    def all(self) -> list[dict[str, Any]]:
        """Return the entries under the service's names, reasoning in one piece; JSON in texts stays a text."""
        return [
            entry if (whole := self._reasoning.get(key)) is None else entry | dict.fromkeys(_spoken(entry), whole)
            for key, entry in self._entries.items()
        ]


def _is_reasoning(thought: Mapping[str, Any]) -> bool:
    return thought.get("action_type") == "reasoning" or thought.get("action") == "reasoning"


def _reasoning_piece(thought: Mapping[str, Any]) -> str:
    said = (thought.get("thought") or thought.get("response") or "") if _is_reasoning(thought) else ""
    return said or reasoning_of(thought)


def _spoken(entry: Mapping[str, Any]) -> list[str]:
    """Return the members that carry the reasoning of an entry. Of another kind it has a thought of its own."""
    return [name for name in (_WORDS if _is_reasoning(entry) else _WORDS[2:]) if name in entry]
