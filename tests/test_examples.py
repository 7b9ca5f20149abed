"""Every example runs as a user would run it: as a program of its own, here against the emulator."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from xingchen_core.emulator import Emulator

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted(
    path.name for path in (ROOT / "examples").glob("*.py") if path.name != "demo.py"
)  # demo.py starts an emulator of its own, and `make demo` runs it


def _two_tools(emulator: Emulator) -> None:
    emulator.reply("", tool_calls=[{"name": "weather", "arguments": {"city": "杭州"}}])
    emulator.reply("", tool_calls=[{"name": "route", "arguments": {"start": "城站", "end": "西湖"}}])
    emulator.reply("适合去！坐地铁一号线，四十分钟就到。")


SCRIPTS: dict[str, Callable[[Emulator], None]] = {"character_with_tools.py": _two_tools}

SHOWN = {
    "character_from_document.py": ["刘备：", "改后的说话风格： 说话带古风"],
    "character_with_tools.py": [
        "（查询 weather {'city': '杭州'}）",
        "晴，21 度",
        "ai：适合去！坐地铁一号线，四十分钟就到。",
    ],
    "group_chat.py": ["小明：大家好，我是新来的小明！", "小婉：", "刚子："],
    "group_chat_langgraph.py": ["小明：周末一起去爬山吗？", "小婉：", "刚子：", "班长："],
    "history_two_processes.py": ["小明：我叫小明，我喜欢下围棋。", "小明：你还记得我叫什么吗？", "条历史）"],
    "role_play_with_memory.py": ["记住的事实：", "对话摘要：", "小婉："],
}
"""What must be among the lines an example prints; for the others, some Chinese text."""


def run(example: str, emulator: Emulator) -> subprocess.CompletedProcess[str]:
    """Run an example with the settings of a newcomer who has an emulator instead of keys."""
    settings = {
        "XINGCHEN_API_KEY": "test-key",
        "XINGCHEN_BASE_URL": emulator.url,
        "XINGCHEN_CHARACTER_ID": "demo",
        "DASHSCOPE_API_KEY": "test-key",
        "DASHSCOPE_BASE_URL": emulator.url,
        "BAILIAN_APP_ID": "demo",
        "BAILIAN_WORKFLOW_ID": "demo-flow",
        "ALIBABA_CLOUD_ACCESS_KEY_ID": "testid",
        "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "testsecret",
        "BEEBOT_BASE_URL": emulator.url,
        "BEEBOT_STREAM_BASE_URL": emulator.url,
        "BEEBOT_INSTANCE_ID": "chatbot-cn-demo",
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "PYTHONUTF8": "1",
    }
    command = [sys.executable, "-W", "error::ResourceWarning", str(ROOT / "examples" / example)]
    return subprocess.run(
        command, env=os.environ | settings, capture_output=True, text=True, encoding="utf-8", timeout=120, check=False
    )


@pytest.mark.parametrize("example", EXAMPLES)
def test_example_runs(example: str) -> None:
    """An example ends without an error and shows what it promises."""
    with Emulator() as emulator:
        SCRIPTS.get(example, lambda _: None)(emulator)
        done = run(example, emulator)
    assert done.returncode == 0, done.stderr
    for line in SHOWN.get(example, []):
        assert line in done.stdout
    assert any("\u4e00" <= character <= "\u9fff" for character in done.stdout)
