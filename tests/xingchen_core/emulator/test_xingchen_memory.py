"""Memory extraction and the automatic description."""

from typing import Any

import pytest

INVALID = (400, 400, "aca.error.invalid.param")
DIALOGUE = [
    {"role": "user", "content": "我叫小明，喜欢打武术。"},
    {"role": "assistant", "content": "真棒，我喜欢种花！"},
    {"role": "user", "content": "我还喜欢吃火锅"},
]


def test_extract_kv(api: Any) -> None:
    """What follows a fact's name, by role; a fact that was not mentioned is not invented."""
    configs = [{"enabled": True, "memoryText": text} for text in ("喜欢", "姓名", "身高")]
    data = api.data("extract/kv", {"messages": DIALOGUE, "kvMemoryConfigs": configs, "modelParameter": {"seed": 1}})
    assert data["schemas"] == [
        {"role": "user", "key": "喜欢", "value": ["打武术", "吃火锅"]},
        {"role": "assistant", "key": "喜欢", "value": ["种花"]},
        {"role": "user", "key": "姓名", "value": ["小明"]},
    ]
    assert data["usage"]["inputTokens"] == 10 + 8 + 7  # Chinese characters, and one for up to four marks of each line
    assert data["context"]["requestId"]


def test_extract_kv_in_english(api: Any) -> None:
    """The vendor's own example."""
    body = {
        "messages": [
            {"role": "user", "content": "I love martial arts"},
            {"role": "assistant", "content": "Great"},
        ],
        "kvMemoryConfigs": [{"memoryText": "likes"}],
    }
    assert api.data("extract/kv", body)["schemas"] == [{"role": "user", "key": "likes", "value": ["martial arts"]}]


def test_disabled_facts_are_left_out(api: Any) -> None:
    """A switched-off configuration extracts nothing."""
    body = {"messages": DIALOGUE, "kvMemoryConfigs": [{"enabled": False, "memoryText": "喜欢"}]}
    assert api.data("extract/kv", body)["schemas"] == []


def test_extract_summary(api: Any) -> None:
    """One sentence for each utterance of the user; the Go SDK's spelling of the model parameters is accepted."""
    data = api.data("extract/summary", {"messages": DIALOGUE, "modelParameters": {"seed": 1}})
    assert data["memoryResults"] == [
        {"content": "用户说过：我叫小明，喜欢打武术。"},
        {"content": "用户说过：我还喜欢吃火锅"},
    ]
    assert set(data["usage"]) == {"inputTokens", "outputTokens"}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("extract/kv", {"messages": DIALOGUE}),
        ("extract/kv", {"messages": DIALOGUE, "kvMemoryConfigs": []}),
        ("extract/kv", {"messages": DIALOGUE, "kvMemoryConfigs": [{"enabled": True}]}),
        ("extract/kv", {"messages": [], "kvMemoryConfigs": [{"memoryText": "喜欢"}]}),
        ("extract/summary", {}),
        ("extract/summary", {"messages": [{"role": "robot", "content": "x"}]}),
        ("extract/summary", {"messages": [{"role": "user"}]}),
        ("character/auto/desc", {}),
        ("character/auto/desc", {"type": "text"}),
        ("character/auto/desc", {"type": "video", "text": "t"}),
        ("character/auto/desc", {"type": "file", "fileUrl": "https://example.invalid/a.txt"}),
        ("character/auto/desc", {"type": "file", "fileName": "a.txt"}),
        ("character/auto/desc", {"type": "file", "fileUrl": "https://example.invalid/a.txt", "fileName": "a"}),
    ],
)
def test_refusals(api: Any, path: str, body: dict[str, Any]) -> None:
    """A dialogue is required, facts have names, a file name has its extension."""
    assert api.refusal(api.post(path, body)) == INVALID


@pytest.mark.parametrize(
    ("body", "subject"),
    [
        ({"type": "text", "text": "刘备，字玄德"}, "刘备"),
        ({"type": "file", "fileUrl": "https://example.invalid/a.txt", "fileName": "关羽.txt"}, "关羽"),
    ],
)
def test_describe(api: Any, body: dict[str, Any], subject: str) -> None:
    """A description that begins with the name, and what it cost."""
    data = api.data("character/auto/desc", body)
    assert data["content"].startswith(f"姓名：{subject}\n")
    assert data["usage"]["outputTokens"] > data["usage"]["inputTokens"] > 0
