"""How a file becomes chunks: an invented parser that reads everything as text."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from xingchen_core.emulator.bailian_knowledge_fields import invalid

_HEADING = re.compile(r"(#{1,6})\s+(.+)")
CHUNK_MODES = {"h1", "h2", "h3", "h4", "h5", "length", "page", "regex"}


@dataclass(frozen=True)
class Piece:
    """A chunk to be: its text, and the headings it stands under, outermost first."""

    content: str
    headings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Chunking:
    """How to cut. Without a mode, at blank lines. Sizes are in characters; the cut may be finer, never coarser."""

    mode: str | None = None
    size: int = 500
    overlap: int = 0
    separator: str | None = None

    @classmethod
    def of(cls, mode: str, size: int, overlap: int, separator: str) -> "Chunking":
        """Checked settings; an empty text is none."""
        if mode and mode not in CHUNK_MODES:
            raise invalid(f"chunkMode must be one of {', '.join(sorted(CHUNK_MODES))}.")
        if mode == "regex" and not separator:
            raise invalid("separator is required when chunkMode is regex.")
        if overlap >= size:
            raise invalid("overlapSize must be less than chunkSize.")
        try:
            re.compile(separator)
        except re.error:
            raise invalid("separator must be a regular expression.") from None
        return cls(mode or None, size, overlap, separator or None)


def pieces_of(text: str, chunking: Chunking) -> list[Piece]:
    """The chunks of a file."""
    return [
        Piece(part, piece.headings)
        for piece in _sections(text, chunking)
        for part in _cut(piece.content, chunking)
        if part.strip()
    ]


def _sections(text: str, chunking: Chunking) -> Iterator[Piece]:
    mode = chunking.mode
    if mode == "length":
        yield Piece(text.strip())
    elif mode == "page":
        yield from (Piece(page.strip()) for page in text.split("\f"))
    elif mode == "regex":
        yield from (Piece(part.strip()) for part in re.split(chunking.separator or "", text) if part)
    else:
        yield from _under_headings(text, int(mode[1]) if mode else None)


def _under_headings(text: str, deepest: int | None) -> Iterator[Piece]:
    """Cut at headings as deep as this; None: at every heading and blank line."""
    headings: list[str] = []
    block: list[str] = []
    for line in [*text.splitlines(), None]:
        heading = _HEADING.match(line) if line is not None else None
        if heading and deepest and len(heading[1]) > deepest:
            heading = None
        if heading or line is None or (deepest is None and not line.strip()):
            if block:
                yield Piece("\n".join(block).strip(), tuple(headings))
            block = []
        elif line is not None:
            block.append(line)
        if heading:
            headings = [*headings[: len(heading[1]) - 1], heading[2].strip()]


def _cut(text: str, chunking: Chunking) -> Iterator[str]:
    step = chunking.size - chunking.overlap
    start = 0
    while start == 0 or start + chunking.overlap < len(text):
        yield text[start : start + chunking.size]
        start += step


def settings_of(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """The settings an index lists of its own, without those that are not set."""
    return {name: value for name, value in values.items() if value not in (None, "")}
