"""What a character says when nothing was scripted: always the same answer to the same words."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Persona:
    """Who answers. `text` is the whole description, used for the character's age and for counting tokens."""

    name: str
    text: str

    @property
    def age(self) -> str:
        """As the description says it."""
        found = re.search(r"(\d+|[一二三四五六七八九十百]+)\s*岁", self.text)
        return found.group(1) if found else "十八"


_OPENERS = ("", "换个说法：", "再想一想，", "或者这么说吧：", "认真地说，")


def answer(persona: Persona, messages: Sequence[Mapping[str, Any]], variant: int = 0) -> str:
    """The answer to the last message. Other variants say the same in other words."""
    last = messages[-1] if messages else {}
    opener = _OPENERS[variant] if variant < len(_OPENERS) else f"第{variant + 1}种说法："
    return opener + _plain_answer(persona, str(last.get("content", "")), last.get("role", "user"), messages)


def _plain_answer(persona: Persona, said: str, role: str, messages: Sequence[Mapping[str, Any]]) -> str:
    if role in ("function", "tool"):
        return f"我帮你查到啦：{said}"
    earlier = [str(message.get("content", "")) for message in messages[:-1] if message.get("role") == "user"]
    if re.search(r"刚才|之前|上一句", said):
        return f"你刚才说的是「{earlier[-1]}」，我都记着呢。" if earlier else "你之前还没跟我说过话呀。"
    if re.search(r"我叫什么|我的名字", said):
        names = [found.group(1) for text in earlier if (found := re.search(r"我叫([^\s，。！？,.!?]+)", text))]
        return f"你叫{names[-1]}呀，我怎么会忘。" if names else "你还没告诉我你的名字呢。"
    for pattern, words in _ANSWERS:
        if re.search(pattern, said, re.IGNORECASE):
            return words.format(name=persona.name, age=persona.age)
    return f"嗯嗯，「{said}」，我听见啦。再多跟我讲讲好不好？" if said else "怎么不说话呀？我在听呢。"


_ANSWERS = (
    (r"多大|几岁|年龄|how old", "我今年{age}岁啦，比你想的要小一点吧？"),
    (r"你叫什么|你的名字|你是谁|your name|who are you", "我叫{name}，很高兴认识你。"),
    (r"早上好|早安", "早呀！吃过早饭了吗？我刚煮了粥，要不要来一碗？"),
    (r"晚安|睡觉", "晚安，做个好梦。明天见！"),
    (r"天气", "今天天气真好，阳光暖暖的，要不要一起出去走走？"),
    (r"吃|饿", "说到吃的我可就不困了，巷口那家小馄饨特别香，改天一起去吧。"),
    (r"难过|累|烦|伤心", "辛苦你了。先坐下来歇一歇，慢慢说，我陪着你。"),
    (r"喜欢.*(什么|吗)|爱好", "我喜欢种花、看书，还喜欢傍晚的时候和邻居们聊聊天。"),
    (r"谢谢|多谢|thank", "跟我还客气什么呀，应该的。"),
    (r"再见|拜拜|bye", "再见，路上小心，常来找我玩。"),
    (r"你好|您好|嗨|在吗|hello|\bhi\b", "你好呀，我是{name}。今天过得怎么样？"),
)


def pieces(text: str) -> list[str]:
    """The text in the pieces a stream has by default: of two to five characters, torn at no punctuation."""
    return re.findall(r".{1,4}[，。！？、：；…,.!?]|.{1,4}", text, re.DOTALL)


def tokens(text: str) -> int:
    """An invented measure: one for a Chinese character, one for four other characters begun."""
    chinese = len(re.findall(r"[\u3400-\u9fff]", text))
    return chinese + -(-(len(text) - chinese) // 4)


def sample_arguments(schema: Mapping[str, Any], said: str) -> dict[str, Any]:
    """Arguments that fit a function's JSON Schema: the user's words for strings, plain values for the rest."""
    plain: dict[Any, Any] = {"integer": 1, "number": 1.0, "boolean": True, "array": [], "object": {}}
    described: Any = schema.get("properties")
    properties: dict[str, Any] = described if isinstance(described, dict) else {}
    required: Any = schema.get("required")
    arguments = {}
    for name, kind in properties.items():
        if isinstance(kind, dict) and (not isinstance(required, list) or name in required):
            choices, type_ = kind.get("enum"), kind.get("type")
            usual = plain.get(type_, said) if isinstance(type_, str) else said
            arguments[name] = choices[0] if isinstance(choices, list) and choices else usual
    return arguments


def count_prompt(parts: Sequence[Any]) -> int:
    """Tokens of everything the model was given; what is not text is counted as its JSON."""
    texts = (part if isinstance(part, str) else json.dumps(part, ensure_ascii=False) for part in parts if part)
    return sum(tokens(text) for text in texts)
