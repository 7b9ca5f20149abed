"""Reading members of a request body, refusing what Xingchen would refuse."""

from typing import Any

from xingchen_core.emulator.xingchen_errors import invalid

_KINDS: dict[type, tuple[tuple[type, ...], str]] = {
    str: ((str,), "a string"),
    int: ((int,), "an integer"),
    float: ((int, float), "a number"),
    bool: ((bool,), "true or false"),
    list: ((list,), "an array"),
    dict: ((dict,), "an object"),
}


def without_nulls(value: Any) -> Any:
    """The same JSON without `null` members: Xingchen takes them as absent."""
    if isinstance(value, dict):
        return {name: without_nulls(member) for name, member in value.items() if member is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value


def member(body: dict[str, Any], path: str, kind: type, *, required: bool = False, where: str = "") -> Any:
    """The value at a dotted path, None when absent. `where` is put before the path in a refusal's text."""
    value: Any = body
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    if value is None:
        if required:
            raise invalid(f"{where}{path} is required")
        return None
    types, words = _KINDS[kind]
    if not isinstance(value, types) or (isinstance(value, bool) and kind is not bool):
        raise invalid(f"{where}{path} must be {words}")
    return value


def text(
    body: dict[str, Any], path: str, *, required: bool = False, longest: int | None = None, where: str = ""
) -> str | None:
    """A string; when required, not an empty one."""
    value: str | None = member(body, path, str, required=required, where=where)
    if required and not value:
        raise invalid(f"{where}{path} must not be empty")
    if value is not None and longest is not None and len(value) > longest:
        raise invalid(f"{where}{path} must not be longer than {longest} characters")
    return value


def required_text(body: dict[str, Any], path: str, *, longest: int | None = None, where: str = "") -> str:
    """A string that must be there and not be empty."""
    return text(body, path, required=True, longest=longest, where=where) or ""


def whole(body: dict[str, Any], path: str, low: int, high: int, *, required: bool = False) -> int | None:
    """An integer within low..high."""
    value: int | None = member(body, path, int, required=required)
    if value is not None and not low <= value <= high:
        raise invalid(f"{path} must be within {low}..{high}")
    return value


def objects(body: dict[str, Any], path: str, *, required: bool = False) -> list[dict[str, Any]]:
    """An array of objects; when required, not an empty one."""
    value: list[Any] = member(body, path, list, required=required) or []
    if required and not value:
        raise invalid(f"{path} must not be empty")
    for index, item in enumerate(value):
        if not isinstance(item, dict):
            raise invalid(f"{path}[{index}] must be an object")
    return value


def strings(body: dict[str, Any], path: str) -> list[str]:
    """An array of strings; empty when absent."""
    value: list[Any] = member(body, path, list) or []
    if not all(isinstance(item, str) for item in value):
        raise invalid(f"{path} must be an array of strings")
    return value


def page(rows: list[Any], body: dict[str, Any], *, repeated: int = 0) -> dict[str, Any]:
    """The page of rows the request asks for. Page 0 is taken as 1: the documents do not say which comes first.

    `repeated`: so many rows of a page come again on the next, as when rows are inserted while a client pages.
    """
    size = whole(body, "pageSize", 1, 50) or 10
    number = whole(body, "pageNum", 0, 2**31 - 1) or 1
    start = (number - 1) * size - (repeated if number > 1 else 0)
    return {
        "list": rows[max(start, 0) : start + size],
        "page": number,
        "pageSize": size,
        "total": len(rows) + (repeated if number > 1 else 0),
        "pageOffsetValue": (number - 1) * size,
    }
