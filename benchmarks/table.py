"""The recorded figures: docs/performance.md from benchmarks/recorded.json, and how fresh figures compare with them.

python benchmarks/table.py            write the tables of docs/performance.md anew
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from _bench import markdown

RECORDED = Path(__file__).with_name("recorded.json")
PAGE = Path(__file__).parents[1] / "docs/performance.md"
START, END = "<!-- figures: written by `make bench-record` -->", "<!-- end of figures -->"


def recorded() -> dict[str, Any]:
    """Return what was recorded, by benchmark."""
    return dict(json.loads(RECORDED.read_text("utf-8"))) if RECORDED.exists() else {}


def record(found: Mapping[str, Any]) -> None:
    """Keep figures, in place of older ones of the same benchmarks."""
    RECORDED.write_text(json.dumps(recorded() | dict(found), ensure_ascii=False, indent=1) + "\n", "utf-8")


def section(found: Mapping[str, Any]) -> str:
    """Return the part of the page that shows the figures."""
    parts = []
    for name, bench in found.items():
        releases = ", ".join(f"{package} {release}" for package, release in bench["versions"].items())
        parts.append(f"`benchmarks/{name}.py`, {bench['date']}: {releases}.\n")
        parts += [markdown(table) for table in bench["tables"]]
    return "\n".join(parts)


def write_page() -> None:
    """Put the recorded figures into the page, between its marks."""
    before, rest = PAGE.read_text("utf-8").split(START)
    PAGE.write_text(f"{before}{START}\n\n{section(recorded())}\n{END}{rest.split(END)[1]}", "utf-8")


def slower(fresh: Mapping[str, Any], kept: Mapping[str, Any]) -> Iterator[str]:
    """Tell which compared figures are worse than the recorded ones. Times are not compared: machines differ."""
    known = {
        (table["key"], row, title): figure
        for bench in kept.values()
        for table in bench["tables"]
        for row, figures in table["rows"].items()
        for (title, _), figure in zip(table["columns"], figures, strict=False)
    }
    for bench in fresh.values():
        for table in bench["tables"]:
            for row, figures in table["rows"].items():
                for (title, slack), figure in zip(table["columns"], figures, strict=False):
                    before = known.get((table["key"], row, title))
                    if slack is None or not _are_numbers(figure, before):
                        continue
                    factor, amount = slack
                    if figure > max(before, 0) * factor + amount:
                        yield f"{table['title']}: {row}: {title}: {figure:.2f}, recorded {before:.2f}"


def _are_numbers(*figures: Any) -> bool:
    return all(isinstance(figure, (int, float)) for figure in figures)


if __name__ == "__main__":
    write_page()
