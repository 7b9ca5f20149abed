"""What is known of single models: a table shipped as data (`profiles.json`, with its date and source)."""

from functools import lru_cache
from importlib.resources import files
from typing import Any

from pydantic_core import from_json


@lru_cache(maxsize=1)
def _table() -> dict[str, dict[str, Any]]:
    models: dict[str, dict[str, Any]] = from_json(files(__package__).joinpath("profiles.json").read_bytes())["models"]
    return models


def profile(model: str) -> dict[str, Any]:
    """Return what is known of a model, `{}` for an unknown one. Of the table's names the longest that it begins with.

    Keys are those of langchain-core's `ModelProfile` (`max_input_tokens`, `tool_calling`, …), and of our own:
    `context_window` (tokens), `only_streams`, `thinks` (unless told not to), `endpoint`, `character`, `tool_stream`,
    `preserve_thinking`.
    """
    return dict(_known(model.lower()))


@lru_cache(maxsize=256)
def _known(model: str) -> dict[str, Any]:
    table = _table()
    name = max((start for start in table if model.startswith(start)), key=len, default="")
    return table.get(name, {})
