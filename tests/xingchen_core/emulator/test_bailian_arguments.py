"""Values that the emulated models find in the user's words for a JSON Schema."""

from typing import Any

import pytest

from xingchen_core.emulator.bailian_arguments import fill, one_by_one


def schema(**properties: Any) -> dict[str, Any]:
    """An object with these members, all required."""
    return {"type": "object", "properties": properties, "required": list(properties)}


TEXT, WHOLE = {"type": "string"}, {"type": "integer"}
PERSON = schema(name=TEXT, age=WHOLE)


@pytest.mark.parametrize(
    ("given", "said", "expected"),
    [
        (PERSON, "张三 25岁", {"name": "张三", "age": 25}),
        (PERSON, "张三今年25岁", {"name": "张三", "age": 25}),
        (PERSON, "John, 20 years old", {"name": "John", "age": 20}),
        (PERSON, "Extract: his name is Mary Ann, 31", {"name": "Mary Ann", "age": 31}),
        (PERSON, '{"name": "李四", "age": 7}', {"name": "李四", "age": 7}),
        (schema(input=WHOLE), "What is the value of magic_function(3)? Use the tool.", {"input": 3}),
        (schema(a=WHOLE, b={"type": "number"}), "1 + 2.5", {"a": 1, "b": 2.5}),
        (schema(b=WHOLE, a=WHOLE), "a=1, b=2", {"b": 2, "a": 1}),
        (schema(location=TEXT), "What is the weather in San Francisco, CA?", {"location": "San Francisco, CA"}),
        (schema(city=TEXT), "查一下西安的天气", {"city": "西安"}),
        (schema(style=TEXT), "Using the tool, generate a Pirate greeting.", {"style": "Pirate"}),
        (schema(customer_name=TEXT), "Create a customer named '你好啊集团' (Hello)", {"customer_name": "你好啊集团"}),
        (schema(mood={"enum": ["happy", "sad"]}), "I am SAD", {"mood": "sad"}),
        (schema(mood={"enum": ["happy", "sad"]}), "?", {"mood": "happy"}),
        (schema(kind={"const": "x"}), "?", {"kind": "x"}),
        (schema(day={"type": "string", "format": "date"}), "on 2026-03-04", {"day": "2026-03-04"}),
        (schema(day={"type": "string", "format": "date"}), "?", {"day": "2026-01-01"}),
        (schema(email=TEXT), "写信给 a@example.com", {"email": "a@example.com"}),
        (schema(on={"type": "boolean"}), "打开", {"on": True}),
        (schema(on={"type": "boolean"}), "关闭", {"on": False}),
        (schema(nothing={"type": "null"}), "?", {"nothing": None}),
        (schema(count={"type": "integer", "minimum": 5}), "3", {"count": 5}),
        (schema(values={"type": "array", "items": WHOLE}), "1、2和3", {"values": [1, 2, 3]}),
        (schema(age={"anyOf": [WHOLE, {"type": "null"}]}), "30", {"age": 30}),
        (schema(age={"type": ["null", "integer"]}), "30", {"age": 30}),
        (schema(), "?", {}),
    ],
)
def test_values(given: dict[str, Any], said: str, expected: Any) -> None:
    """What the words say is found; what they do not say is plain, and fits the schema."""
    assert fill(given, said) == expected


def test_optional_members() -> None:
    """They are filled when the words name them, or when nothing is required and they have no default."""
    given = {"properties": {"query": TEXT, "limit": {"type": "integer", "default": 5}}, "required": ["query"]}
    assert fill(given, "茶") == {"query": "茶"}
    assert fill(given, "茶 limit: 3")["limit"] == 3
    assert fill({"properties": given["properties"]}, "茶") == {"query": "茶"}


def test_references_and_lists_of_objects() -> None:
    """References are followed, and each part of the words makes one object."""
    given = {**schema(people={"type": "array", "items": {"$ref": "#/$defs/Person"}}), "$defs": {"Person": PERSON}}
    assert fill(given, "张三 25岁，李四 30岁") == {"people": [{"name": "张三", "age": 25}, {"name": "李四", "age": 30}]}


def test_types_that_contain_themselves() -> None:
    """They end."""
    node = schema(name=TEXT, children={"type": "array", "items": {"$ref": "#/$defs/Node"}})
    assert fill({**node, "$defs": {"Node": node}}, "根")["children"][0]["name"] == "根"


def test_several_places() -> None:
    """Two cities make two values, a city with its state only one."""
    assert one_by_one(schema(city=TEXT), "杭州和上海的天气") == [{"city": "杭州"}, {"city": "上海"}]
    assert one_by_one(schema(location=TEXT), "in San Francisco, CA") == [{"location": "San Francisco, CA"}]
