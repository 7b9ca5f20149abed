"""Values for a JSON Schema, taken from the user's words where they can be found there."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_NUMBER = r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w.]*[A-Za-z_])"
_CITIES = (
    "北京|上海|广州|深圳|杭州|成都|西安|南京|武汉|重庆|苏州|天津|青岛|厦门|香港|台北|东京|巴黎|伦敦|纽约|旧金山|"
    "Beijing|Shanghai|Hangzhou|Shenzhen|Guangzhou|Chengdu|Tokyo|Paris|London|New York|Boston|Berlin|San Francisco"
)
_SEPARATORS = r"[；;\n，,、]|和|以及|\band\b"


def fill(schema: Mapping[str, Any], said: str) -> Any:
    """A value that fits the schema."""
    return _Filling(said, schema).value(schema, "")


def one_by_one(schema: Mapping[str, Any], said: str) -> list[Any]:
    """The same, several times when the words ask for it: of two cities, each has its own value."""
    properties = schema.get("properties") or {}
    required = schema.get("required") or list(properties)
    if len(required) == 1 and _resolve(properties.get(required[0], {}), schema).get("type") == "string":
        cities = list(dict.fromkeys(re.findall(_CITIES, said)))
        if len(cities) > 1 and _is_place(required[0], properties[required[0]]):
            return [{required[0]: city} for city in cities]
    return [fill(schema, said)]


@dataclass
class _Filling:
    """One value being made: each number in the words is used once. `depth`: the lists it is inside of."""

    said: str
    root: Mapping[str, Any]
    depth: int = 0
    numbers: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.numbers = re.findall(r"-?\d+(?:\.\d+)?", re.sub(r"[A-Za-z_]\w*\d\w*", "", self.said))

    def value(self, schema: Mapping[str, Any], name: str) -> Any:
        schema = _resolve(schema, self.root)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return self._one_of(schema["enum"])
        kind = schema.get("type") or ("object" if "properties" in schema else "string")
        if isinstance(kind, list):
            kind = next((each for each in kind if each != "null"), "null")
        if kind == "object":
            return self._object(schema)
        if kind == "array":
            return self._array(schema, name)
        if kind in ("integer", "number"):
            return self._number(schema, name, whole=kind == "integer")
        if kind == "boolean":
            return not re.search(rf"{re.escape(name)}\W+(false|no)|不要|无需|关闭", self.said, re.IGNORECASE)
        return None if kind == "null" else self._string(schema, name)

    def _object(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        properties: Mapping[str, Any] = schema.get("properties") or {}
        required = schema.get("required")
        given = self._given_object(properties)
        if given is not None:
            return given
        wanted = required or [name for name, each in properties.items() if "default" not in each]
        # An optional member is filled when the words name it.
        named = [
            name for name in properties if name not in wanted and re.search(rf"\b{re.escape(name)}\s*[=:：]", self.said)
        ]
        return {name: self.value(properties[name], name) for name in [*wanted, *named] if name in properties}

    def _given_object(self, properties: Mapping[str, Any]) -> dict[str, Any] | None:
        """A JSON object in the words that has these members."""
        for found in re.finditer(r"\{", self.said):
            try:
                value, _ = json.JSONDecoder().raw_decode(self.said, found.start())
            except ValueError:
                continue
            if isinstance(value, dict) and value and set(value) <= set(properties):
                return value
        return None

    def _array(self, schema: Mapping[str, Any], name: str) -> list[Any]:
        items = _resolve(schema.get("items") or {}, self.root)
        least, most = schema.get("minItems", 1), schema.get("maxItems", 100)
        kind = items.get("type") or ("object" if "properties" in items else "string")
        if self.depth > 2 and "minItems" not in schema:
            return []  # a list of what it is itself an element of would never end
        if kind in ("integer", "number"):
            values = [self.value(items, name) for _ in range(max(len(self.numbers), least))]
        else:
            parts = [part.strip() for part in re.split(_SEPARATORS, self.said) if part and part.strip()]
            if kind == "object" and re.search(r"\d", self.said):
                parts = [part for part in parts if re.search(r"\d", part)]
            elif kind == "object":
                parts = parts[:1]
            values = [_Filling(part, self.root, self.depth + 1).value(items, name) for part in parts or [self.said]]
        while len(values) < least:
            values.append(values[-1] if values else self.value(items, name))
        return values[:most]

    def _number(self, schema: Mapping[str, Any], name: str, *, whole: bool) -> int | float:
        named = re.search(rf"\b{re.escape(name)}\W{{1,3}}(-?\d+(?:\.\d+)?)", self.said) if name else None
        if named:
            text = named.group(1)
            if text in self.numbers:
                self.numbers.remove(text)
        else:
            text = self.numbers.pop(0) if self.numbers else "1"
        value = float(text)
        value = max(value, schema.get("minimum", value), schema.get("exclusiveMinimum", value - 1) + 1)
        value = min(value, schema.get("maximum", value), schema.get("exclusiveMaximum", value + 1) - 1)
        return int(value) if whole else value

    def _one_of(self, values: list[Any]) -> Any:
        return next((value for value in values if str(value).lower() in self.said.lower()), values[0])

    def _string(self, schema: Mapping[str, Any], name: str) -> str:
        described = f"{name} {schema.get('description', '')}"
        for pattern in (
            rf"\b{re.escape(name)}\s*(?:=|:|：|is|是)\s*[\"'“「]?([^\"'”」,，;；。\n]+)" if name else None,
            _FORMATS.get(schema.get("format", "")),
            r"[\w.+-]+@[\w.-]+\w" if re.search(r"mail|邮箱", described) else None,
            r"https?://\S+" if re.search(r"\burl\b|链接|网址", described, re.IGNORECASE) else None,
            r"\d{4}-\d\d-\d\d" if re.search(r"\bdate\b|日期", described) else None,
        ):
            found = re.search(pattern, self.said) if pattern else None
            if found:
                return (found.group(1) if found.groups() else found.group(0)).strip()
        if schema.get("format") in _SAMPLES:
            return _SAMPLES[schema["format"]]
        return self._words(described, schema, name)

    def _words(self, described: str, schema: Mapping[str, Any], name: str) -> str:
        if _is_place(name, schema) and (place := _place(self.said)):
            return place
        quoted = re.search(r"[\"'“‘「『]([^\"'”’」』]+)[\"'”’」』]", self.said)
        if quoted:
            return quoted.group(1)
        if re.search(r"name|姓名|名字|名称", described, re.IGNORECASE) and (person := _person(self.said)):
            return person
        if re.search(r"style|language|风格|语言", described) and (
            adjective := re.search(r"(?<!^)\b[A-Z][a-z]+", self.said)
        ):
            return adjective.group(0)
        return self.said.strip()[: schema.get("maxLength", 10_000)] or "无"


_FORMATS = {"date": r"\d{4}-\d\d-\d\d", "date-time": r"\d{4}-\d\d-\d\dT\S+", "email": r"[\w.+-]+@[\w.-]+\w"}
_SAMPLES = {
    "date": "2026-01-01",
    "date-time": "2026-01-01T00:00:00Z",
    "time": "00:00:00",
    "email": "someone@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def _is_place(name: str, schema: Mapping[str, Any]) -> bool:
    words = f"{name} {schema.get('description', '')}"
    return bool(re.search(r"city|location|place|地点|城市|地区", words, re.IGNORECASE))


def _place(said: str) -> str | None:
    english = re.search(r"\b(?:in|at|for)\s+([A-Z]\w+(?:[ ,]+[A-Z]\w*)*)", said)
    city = re.search(_CITIES, said)
    chinese = re.search(r"([\u3400-\u9fff]{2,3})(?:今天|明天|现在)?的?(?:天气|气温)", said)
    found = english or city or chinese
    return found.group(1) if found and found.groups() else found.group(0) if found else None


def _person(said: str) -> str | None:
    for pattern in (
        r"(?:叫|名为|姓名是)\s*([\u3400-\u9fff]{2,4}?)(?=[，。,.\s\d]|$)",
        r"^\W*([\u3400-\u9fff]{2,4}?)(?=[，,\s]*(?:今年)?\d+\s*岁)",
        r"\b(?:named|name is|called|I am|I'm)\s+([A-Z][a-z]+(?: [A-Z][a-z]+)*)",
        r"\b([A-Z][a-z]+(?: [A-Z][a-z]+)*)(?=,? (?:is |aged )?\d+)",
        r"(?<![.!?] )(?<!^)\b([A-Z][a-z]+)\b",
        r"^\W*([A-Z][a-z]+(?: [A-Z][a-z]+)*)",
    ):
        found = re.search(pattern, said)
        if found:
            return found.group(1)
    return None


def _resolve(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema behind references, combinations and optional types."""
    while True:
        if "$ref" in schema:
            found: Any = root
            for part in schema["$ref"].removeprefix("#/").split("/"):
                found = found.get(part, {})
            schema = {**found, **{name: each for name, each in schema.items() if name != "$ref"}}
        elif "allOf" in schema:
            schema = {**schema["allOf"][0], **{name: each for name, each in schema.items() if name != "allOf"}}
        elif "anyOf" in schema or "oneOf" in schema:
            several = "anyOf" if "anyOf" in schema else "oneOf"
            chosen = next((each for each in schema[several] if each.get("type") != "null"), {"type": "null"})
            schema = {**{name: each for name, each in schema.items() if name != several}, **chosen}
        else:
            return schema
