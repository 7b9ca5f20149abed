"""What Bailian says when nothing was scripted: always the same answer to the same words."""

import re
from collections.abc import Sequence

from xingchen_core.emulator.xingchen_texts import pieces, tokens

__all__ = ["answer", "media", "pieces", "reasoning", "tokens"]

_PROBED = (
    (r"你叫什么|你是谁|your name|who are you", "我是百炼上的智能助手，很高兴为您服务。"),
    (r"谢谢|多谢|thank", "不客气，很高兴能帮到您。"),
    (r"再见|拜拜|\bbye\b", "再见，祝您生活愉快！"),
    (r"^\s*(你好|您好|hello|hi)\W*$", "您好！我是百炼上的智能助手，请问有什么可以帮您？"),
)


def answer(said: str, earlier: Sequence[str], variant: int = 0) -> str:
    """The answer to a question, given the earlier ones. Other variants say the same in other words."""
    opener = "" if variant == 0 else f"第{variant + 1}种说法："
    return opener + _plain_answer(said.strip(), earlier)


def _plain_answer(said: str, earlier: Sequence[str]) -> str:
    if re.search(r"刚才|之前|上一句|上一个问题", said):
        return f"您刚才说的是「{earlier[-1]}」。" if earlier else "您之前还没有说过话。"
    if re.search(r"我叫什么|我的名字|my name\?", said):
        names = [found.group(1) for text in earlier if (found := re.search(r"我叫(?!什么)([^\s，。！？,.!?]+)", text))]
        return f"您叫{names[-1]}。" if names else "您还没有告诉我您的名字。"
    for pattern, words in _PROBED:
        if re.search(pattern, said, re.IGNORECASE):
            return words
    return f"关于「{said}」：先了解情况，再制定计划，最后动手完成。" if said else "请问您想了解什么？"


def reasoning(said: str) -> str:
    """What a model thinks before it answers."""
    return f"用户说的是「{said.strip()}」。先弄清楚意思，再给出简短的回答。"


def media(counts: dict[str, int]) -> str:
    """What a model saw and heard."""
    units = {"image": "张图片", "video": "段视频", "audio": "段音频", "file": "个文件"}
    seen = [f"{count}{units[kind]}" for kind, count in counts.items() if count]
    return f"我收到了{'、'.join(seen)}。" if seen else ""
