"""Filters on what chunks carry: one model for all routes, and what it means."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import ge, gt, le, lt
from typing import Any, Literal, get_args

from xingchen_core._errors import ConfigurationError

Operator = Literal[
    "eq",
    "ne",
    "gt",
    "gte",
    "lt",
    "lte",
    "in",
    "nin",
    "any",
    "all",
    "contains",
    "text_match",
    "text_match_insensitive",
    "is_empty",
]

ORDER: Mapping[str, Callable[[Any, Any], bool]] = {"gt": gt, "gte": ge, "lt": lt, "lte": le}
OF_SEVERAL = ("in", "nin", "any", "all")
OPPOSITES: Mapping[str, Operator] = {"eq": "ne", "ne": "eq", "in": "nin", "nin": "in"}


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition on one field, with LlamaIndex's fourteen operators.

    Where a field holds several values, one that fits is enough. A missing field fits `ne`, `nin` and `is_empty` only.
    Numbers are compared with numbers and with text that is one, since tables answer with text.

    Attributes:
        key: The field: a column, a metadata key, `tags`, or what a `RetrievedNode` has, such as `document_id`.
        operator: `contains` is an item of a list or a part of a text; `any` and `all` compare with several values.
        value: A sequence for `in`, `nin`, `any`, `all`; not used by `is_empty`.
    """

    key: str
    operator: Operator
    value: Any = None

    def __post_init__(self) -> None:
        if not self.key:
            raise ConfigurationError("A filter needs a key.")
        if self.operator not in get_args(Operator):
            raise ConfigurationError(f"operator must be one of {', '.join(get_args(Operator))}; got {self.operator!r}.")
        if self.operator in OF_SEVERAL and not isinstance(self.value, (list, tuple)):
            raise ConfigurationError(f"{self.operator!r} compares {self.key!r} with a list of values.")
        if self.operator.startswith("text_match") and not isinstance(self.value, str):
            raise ConfigurationError(f"{self.operator!r} compares {self.key!r} with a text.")


@dataclass(frozen=True, slots=True)
class Group:
    """Several filters: `and`: all hold; `or`: one holds; `not`: none holds."""

    condition: Literal["and", "or", "not"]
    filters: "tuple[Filter, ...]"

    def __post_init__(self) -> None:
        if self.condition not in ("and", "or", "not") or not self.filters:
            raise ConfigurationError("A group is 'and', 'or' or 'not', of at least one filter.")


Filter = Condition | Group


def matches(filter: Filter, metadata: Mapping[str, Any]) -> bool:
    """Say whether a chunk with this metadata fits."""
    if isinstance(filter, Condition):
        return _fits(filter, metadata.get(filter.key))
    results = (matches(inner, metadata) for inner in filter.filters)
    return all(results) if filter.condition == "and" else any(results) is (filter.condition == "or")


def _fits(condition: Condition, found: Any) -> bool:
    operator, value = condition.operator, condition.value
    if operator == "is_empty":
        return found is None or found in ("", [], ())
    if operator in ("ne", "nin"):
        return not _fits(Condition(condition.key, OPPOSITES[operator], value), found)
    if found is None:
        return False
    items = found if isinstance(found, (list, tuple)) else (found,)
    if operator in ORDER:
        return any(_ordered(ORDER[operator], item, value) for item in items)
    if operator.startswith("text_match"):
        fold = str.lower if operator.endswith("insensitive") else str
        return any(isinstance(item, str) and fold(value) in fold(item) for item in items)
    if operator == "contains" and isinstance(found, str):
        return isinstance(value, str) and value in found
    if operator == "all":
        return all(_holds(items, wanted) for wanted in value)
    return any(_holds(items, wanted) for wanted in (value if operator in OF_SEVERAL else (value,)))


def _holds(items: Sequence[Any], wanted: Any) -> bool:
    if isinstance(wanted, bool):
        return any(str(item).lower() == str(wanted).lower() for item in items)  # "true" is written for true
    if isinstance(wanted, (int, float)):
        return any(_number(item) == wanted for item in items)
    return wanted in items


def _ordered(compare: Callable[[Any, Any], bool], item: Any, value: Any) -> bool:
    if isinstance(value, str):
        return isinstance(item, str) and compare(item, value)
    number = _number(item)
    return number is not None and _number(value) is not None and compare(number, value)


def _number(value: Any) -> int | float | None:
    if isinstance(value, str) and (written := re.fullmatch(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?", value)):
        return float(value) if written[1] or written[2] else int(value)  # ids have more digits than a float
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def keys(filter: Filter) -> set[str]:
    """Return the fields a filter looks at."""
    return {filter.key} if isinstance(filter, Condition) else set[str]().union(*map(keys, filter.filters))


SERVICE_NAMES: Mapping[str, str] = {
    "heading_path": "hier_title",
    "document_id": "doc_id",
    "document_name": "doc_name",
    "document_url": "doc_url",
    "index_id": "pipeline_id",
    "page_numbers": "page_number",
    "image_urls": "image_url",
    "audio_urls": "audio_url",
    "video_urls": "video_url",
}
"""Filters are read off what is known of a chunk (`RetrievedNode`), whose names are not always the service's."""


def in_service_words(filter: Filter) -> Filter:
    """Return a filter with the service's names of fields."""
    if isinstance(filter, Group):
        return Group(filter.condition, tuple(map(in_service_words, filter.filters)))
    key = SERVICE_NAMES.get(filter.key)
    return filter if key is None else Condition(key, filter.operator, filter.value)
