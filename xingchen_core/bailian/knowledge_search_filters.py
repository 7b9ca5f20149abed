"""How each route is told a filter.

Source: Model Studio, "how to use SearchFilters", and the retrieval service's reference. The service takes a list of
groups, all of which must hold, as all members of a group must. What it cannot be told is looked at in the answers, and
so is what it was told: a condition on a field that was not declared searchable is silently ignored by the service.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

from xingchen_core._errors import ConfigurationError, UnsupportedOperationError
from xingchen_core.bailian.knowledge_filters import (
    OF_SEVERAL,
    OPPOSITES,
    ORDER,
    SERVICE_NAMES,
    Condition,
    Filter,
    Group,
    Operator,
    keys,
)

Route = Literal["index", "service", "openapi", "pipeline"]
"""`index`: one index, with an API key. `service`: a published retrieval service. `openapi`: signed with an AccessKey.
`pipeline`: the older API for keys, which LlamaIndex's and Spring's plug-ins use.
"""

TAGS = "tags"
"""The documents' tags: the one key that answers do not repeat, so that only the service can filter by it."""

LARGEST_FILTERS = 80_000
"""Bytes; the limit of the retrieval service."""


@dataclass(frozen=True, slots=True)
class Translation:
    """A filter as a route is told it.

    Attributes:
        search_filters: For the service. It lets through all that fit, and maybe more.
        check: What is looked at in the answers.
        is_complete: Whether the service was told all of it: if not, ask for as many chunks as there can be.
    """

    search_filters: tuple[dict[str, Any], ...]
    check: Filter | None
    is_complete: bool


def translate(filter: Filter, route: Route, *, tags_only: bool = False) -> Translation:
    """Divide a filter between the service and us.

    `tags_only` is for services which refuse other keys.

    Raises:
        UnsupportedOperationError: `tags` in a way that no service can be told: it cannot be looked at in answers.
    """
    groups: list[dict[str, Any]] = []
    checks: list[Filter] = []
    is_complete = True
    for part in _parts(filter):
        told = _told(part, route)
        if TAGS in keys(part):
            if told is None or any(TAGS not in group for group in told):
                raise UnsupportedOperationError(
                    "Tags can be filtered by eq, in, any, all and contains, joined with other filters by 'and': "
                    "answers do not repeat them, so the rest cannot be done here."
                )
            groups += told
            continue
        checks.append(part)
        if told is None or tags_only:
            is_complete = False
        else:
            groups += told
    check = checks[0] if len(checks) == 1 else Group("and", tuple(checks)) if checks else None
    return Translation(tuple(groups), check, is_complete)


def for_openapi(search_filters: Iterable[Mapping[str, Any]]) -> str:
    """Write groups as the signed API's parameter: lists and operators are JSON text inside the JSON, as in its SDK."""

    def text(value: Any) -> str:
        if isinstance(value, str):
            return value
        return json.dumps({"eq": value} if isinstance(value, (int, float)) else value, ensure_ascii=False)

    groups = [{key: text(value) for key, value in group.items()} for group in search_filters]
    return json.dumps(groups, ensure_ascii=False, separators=(",", ":"))


def check_size(search_filters: Sequence[Mapping[str, Any]]) -> None:
    """Refuse what the retrieval service would.

    Raises:
        ConfigurationError: The filters are too long.
    """
    if len(json.dumps(search_filters, ensure_ascii=False).encode()) >= LARGEST_FILTERS:
        raise ConfigurationError(f"The filters are longer than {LARGEST_FILTERS} bytes: name fewer values.")


def _parts(filter: Filter) -> Iterator[Filter]:
    """Yield filters all of which must hold. A negation is turned into its opposite where that means the same."""
    if isinstance(filter, Condition) or (filter.condition == "or" and len(filter.filters) > 1):
        yield filter
    elif filter.condition != "not":
        yield from chain.from_iterable(map(_parts, filter.filters))
    else:
        for inner in filter.filters:
            if isinstance(inner, Condition) and inner.operator in OPPOSITES:
                yield Condition(inner.key, OPPOSITES[inner.operator], inner.value)
            elif isinstance(inner, Group) and inner.condition != "and":
                yield from _parts(Group("or" if inner.condition == "not" else "not", inner.filters))
            else:
                yield Group("not", (inner,))


def _told(part: Filter, route: Route) -> list[dict[str, Any]] | None:
    """Return one part as groups of the service, `None` if there is no way."""
    if isinstance(part, Condition):
        return _condition_told(part, route)
    if part.condition != "or":
        return None
    if (values := _of_one_key(part)) is not None:
        return _condition_told(values, route)
    if route != "service":
        return None
    branches = [_one_group(inner, route) for inner in part.filters]
    return None if None in branches else [{"_operator": "OR", "_conditions": branches}]


def _of_one_key(group: Group) -> Condition | None:
    """Return "one of these values" for an `or` of equalities of one key."""
    values: list[Any] = []
    for inner in group.filters:
        if not isinstance(inner, Condition) or inner.operator not in ("eq", "in", "any"):
            return None
        values += inner.value if inner.operator != "eq" else [inner.value]
    names = keys(group)
    return Condition(names.pop(), "in", values) if len(names) == 1 else None


def _one_group(filter: Filter, route: Route) -> dict[str, Any] | None:
    """Return a branch of an `or`, if it is one group: each key can be there once, with several operators."""
    merged: dict[str, Any] = {}
    for part in _parts(filter):
        told = None if TAGS in keys(part) else _told(part, route)
        if told is None:
            return None
        for key, value in chain.from_iterable(group.items() for group in told):
            old = merged.get(key, {})
            if key.startswith("_") or (old != {} and not (isinstance(old, dict) and isinstance(value, dict))):
                return None
            if old and old.keys() & value.keys():
                return None
            merged[key] = {**old, **value} if old else value
    return merged


def _condition_told(condition: Condition, route: Route) -> list[dict[str, Any]] | None:
    key, operator, value = condition.key, condition.operator, condition.value
    if key == TAGS:
        return _tags_told(operator, value)
    if not _is_told_of(key, route):
        return None
    if operator == "eq" and _is_plain(value):
        return [{key: value}]  # not {"eq": value}, which ignores upper and lower case
    if operator == "ne" and _is_plain(value) and not _is_loosely_equal(value):
        return [{key: {"neq": value}}]  # whether it finds chunks without the field is UNVERIFIED
    if operator in ORDER and _is_number(value):
        return [{key: {operator: value}}]
    if operator == "in" and value and (all(map(_is_number, value)) or all(map(_is_text, value))):
        return [{key: list(value)}]
    if operator == "text_match" and value:
        # Nothing escapes the wildcards in a text. One of them, `_`, stands for any character, so for itself as well.
        return [{key: {"like": f"%{re.sub('[%_]', '_', value)}%"}}]
    return None


def _tags_told(operator: Operator, value: Any) -> list[dict[str, Any]] | None:
    values = list(value) if operator in OF_SEVERAL else [value]
    if not values or not all(map(_is_text, values)):
        return None
    if operator == "all":
        return [{TAGS: [tag]} for tag in values]
    return [{TAGS: values}] if operator in ("eq", "in", "any", "contains") else None


def _is_told_of(key: str, route: Route) -> bool:
    """Whether a route takes this key: a column or declared metadata, not what the service itself says of a chunk.

    UNVERIFIED for `service`: its examples filter by `doc_id` and by fields, a message of its says "only tags and meta".
    So they are sent, and once more without them if they are refused.
    """
    is_ours = not key.startswith("_") and key != "meta" and key not in SERVICE_NAMES.values()
    return is_ours or (key == "doc_id" and route == "service")


def _is_plain(value: Any) -> bool:
    return _is_number(value) or _is_text(value)


def _is_loosely_equal(value: Any) -> bool:
    """Whether the service may find other texts equal, and so leave out too many of the unequal.

    Its `eq` ignores upper and lower case; that `neq` does, too, or takes texts for numbers, is UNVERIFIED.
    """
    return isinstance(value, str) and (value.lower() != value.upper() or any(map(str.isdigit, value)))


def _is_number(value: Any) -> bool:
    """Whether it is a number that survives JSON and another one's floats."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 2**53


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""
