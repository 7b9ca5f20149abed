"""What is said without a script, as pure functions."""

from typing import Any

import pytest

from xingchen_core.emulator.xingchen_texts import Persona, answer, pieces, sample_arguments, tokens

XIAOWAN = Persona("小婉", "你是小婉，今年十七岁")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("你多大了", "我今年十七岁啦，比你想的要小一点吧？"),
        ("How old are you?", "我今年十七岁啦，比你想的要小一点吧？"),
        ("你是谁", "我叫小婉，很高兴认识你。"),
        ("晚安", "晚安，做个好梦。明天见！"),
        ("今天天气如何", "今天天气真好，阳光暖暖的，要不要一起出去走走？"),
        ("我刚才说了什么", "你之前还没跟我说过话呀。"),
        ("讲个笑话", "嗯嗯，「讲个笑话」，我听见啦。再多跟我讲讲好不好？"),
        ("", "怎么不说话呀？我在听呢。"),
    ],
)
def test_answers(said: str, expected: str) -> None:
    """Usual questions have usual answers; anything else is taken up."""
    assert answer(XIAOWAN, [{"role": "user", "content": said}]) == expected


def test_answers_know_what_was_said() -> None:
    """The user's name and last words are found in the history that was given."""
    history: list[dict[str, Any]] = [
        {"role": "user", "content": "我叫小明，你好"},
        {"role": "assistant", "content": "你好"},
    ]
    assert answer(XIAOWAN, [*history, {"role": "user", "content": "我叫什么"}]) == "你叫小明呀，我怎么会忘。"
    assert "我叫小明，你好" in answer(XIAOWAN, [*history, {"role": "user", "content": "我刚才说了什么"}])


def test_variants_differ() -> None:
    """Answers given again are others, however many."""
    question = [{"role": "user", "content": "你好"}]
    assert len({answer(XIAOWAN, question, variant) for variant in range(8)}) == 8


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("十八", "十八"),
        ("我今年十七岁啦，好吗？", ["我今年十", "七岁啦，", "好吗？"]),
        ("abc\ndefgh", ["abc\n", "defg", "h"]),
        ("", []),
    ],
)
def test_pieces(text: str, expected: Any) -> None:
    """Pieces add up to the text and keep punctuation with its word."""
    assert pieces(text) == (expected if isinstance(expected, list) else [expected])
    assert "".join(pieces(text)) == text


@pytest.mark.parametrize(
    ("text", "count"), [("", 0), ("你好", 2), ("你好。", 3), ("hello", 2), ("abcd", 1), ("你a", 2)]
)
def test_tokens(text: str, count: int) -> None:
    """One for a Chinese character, one for four others begun."""
    assert tokens(text) == count


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}, {"city": "杭州", "days": 1}),
        ({"properties": {"city": {}, "days": {"type": "integer"}}, "required": ["city"]}, {"city": "杭州"}),
        ({"properties": {"unit": {"type": "string", "enum": ["C", "F"]}}}, {"unit": "C"}),
        ({"properties": {"on": {"type": "boolean"}, "tags": {"type": "array"}}}, {"on": True, "tags": []}),
        ({}, {}),
        ({"properties": 7}, {}),
    ],
)
def test_sample_arguments(schema: dict[str, Any], expected: dict[str, Any]) -> None:
    """Arguments fit the schema: the user's words for strings, plain values for the rest, required ones only."""
    assert sample_arguments(schema, "杭州") == expected
