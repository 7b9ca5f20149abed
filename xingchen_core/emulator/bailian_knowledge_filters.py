"""Search filters. Source: "how to use search filters"; all sub-groups and all keys in one must hold."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from xingchen_core.emulator.bailian_knowledge_fields import invalid

Facts = Mapping[str, Any]
OPERATORS = {"eq", "neq", "gt", "gte", "lt", "lte", "like"}


def check(filters: Sequence[Any], *, strict: bool = False) -> None:
    """The checks of a retrieval service. `strict`: only `tags` and `meta`, as one of its two descriptions says."""
    if len(json.dumps(filters, ensure_ascii=False).encode()) >= 80000:
        raise invalid("search_filters total bytes must less than 80000")
    for number, group in enumerate(filters):
        for key, wanted in group.items() if isinstance(group, dict) else ():
            if strict and key not in ("tags", "meta"):
                raise invalid(
                    f"search_filters[{number}] contains invalid key '{key}'. "
                    "Only 'tags' and 'meta' are allowed for unstructured data"
                )
            if key in ("tags", "meta") and isinstance(wanted, list) and len(wanted) > 1000:
                raise invalid(f"search_filters[{number}].{key} array size must not exceed 1000")


def matches(filters: Sequence[Any], facts: Facts, searchable: set[str], *, nested: bool = False) -> bool:
    """Whether a document may be found. `nested`: a retrieval service asks, which knows groups of OR and `doc_id`."""
    return all(_group_holds(group, facts, searchable, nested) for group in filters)


def _group_holds(group: Any, facts: Facts, searchable: set[str], nested: bool) -> bool:
    if not isinstance(group, dict):
        raise invalid("search_filters must be an array of objects.")
    if nested and "_operator" in group:
        holds = [_group_holds(each, facts, searchable, nested) for each in group.get("_conditions", [])]
        return any(holds) if str(group["_operator"]).upper() == "OR" else all(holds)
    return all(_holds(key, _decoded(wanted), facts, searchable, nested) for key, wanted in group.items())


def _decoded(wanted: Any) -> Any:
    """Lists and conditions may be JSON text inside the JSON: the official SDK's types want it."""
    if isinstance(wanted, str) and wanted[:1] in ("[", "{"):
        try:
            return json.loads(wanted)
        except ValueError:
            return wanted
    return wanted


def _holds(key: str, wanted: Any, facts: Facts, searchable: set[str], nested: bool) -> bool:
    if key == "tags":
        tags = wanted if isinstance(wanted, list) else [wanted]
        return any(tag in facts["tags"] for tag in tags)
    if key == "meta" and isinstance(wanted, dict):  # UNVERIFIED: its inner shape is not described
        return _group_holds(wanted, facts, searchable, nested)
    if key not in searchable and not (nested and key == "doc_id"):  # not declared: without effect, and without a word
        return True
    found = facts.get(key)
    if isinstance(wanted, list):
        return any(_same(found, each) for each in wanted)
    if isinstance(wanted, dict):
        return all(_compare(found, operator, value) for operator, value in wanted.items())
    return _same(found, wanted)


def _same(found: Any, wanted: Any) -> bool:
    if _number(found) is not None and _number(wanted) is not None:
        return _number(found) == _number(wanted)
    return found is not None and str(found) == str(wanted)


def _compare(found: Any, operator: str, wanted: Any) -> bool:
    if operator not in OPERATORS:
        raise invalid(f"search_filters: unknown operator {operator!r}.")
    if operator in ("eq", "neq"):
        same = _same(found, wanted) or (found is not None and str(found).lower() == str(wanted).lower())
        return same == (operator == "eq")
    if operator == "like":
        pattern = "".join({"%": ".*", "_": "."}.get(each, re.escape(each)) for each in str(wanted))
        return found is not None and re.fullmatch(pattern, str(found), re.DOTALL) is not None
    left, right = _number(found), _number(wanted)
    if right is None:
        raise invalid(f"search_filters: {operator} needs a number.")
    if left is None:
        return False
    return {"gt": left > right, "gte": left >= right, "lt": left < right, "lte": left <= right}[operator]


def _number(value: Any) -> float | None:
    try:
        return None if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return None
