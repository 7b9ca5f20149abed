"""`examples/qwen_agent_workflow.py`, run as a program of its own."""

import os
import subprocess
import sys
from pathlib import Path

from xingchen_core.emulator import Emulator

ROOT = Path(__file__).parents[2]


def test_the_agents_hand_off(emulator: Emulator) -> None:
    """The host hands over, the guide calls both functions at once and answers with their results."""
    emulator.reply(tool_calls=[{"name": "handoff", "arguments": {"to_agent": "旅行顾问", "reason": "问的是旅行"}}])
    emulator.reply(
        tool_calls=[
            {"name": "get_weather", "arguments": {"city": "杭州"}},
            {"name": "get_route", "arguments": {"start": "城站", "end": "西湖"}},
        ]
    )
    emulator.reply("今天适合去西湖，坐地铁一号线。")
    settings = {
        "DASHSCOPE_API_KEY": "test-key",
        "DASHSCOPE_BASE_URL": emulator.url,
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "PYTHONUTF8": "1",
    }
    command = [sys.executable, "-W", "error::ResourceWarning", str(ROOT / "examples" / "qwen_agent_workflow.py")]
    done = subprocess.run(
        command, env=os.environ | settings, capture_output=True, text=True, encoding="utf-8", timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    handed, *called, answer = done.stdout.splitlines()
    assert handed.startswith("（handoff {'to_agent': '旅行顾问'")
    assert called == [
        "（get_weather {'city': '杭州'} → 杭州：晴，26 度，微风）",
        "（get_route {'start': '城站', 'end': '西湖'} → 从城站到西湖：地铁一号线，四十分钟）",
    ]
    assert answer == "旅行顾问：今天适合去西湖，坐地铁一号线。"
    messages = emulator.requests[-1].json["input"]["messages"]
    assert [m["content"] for m in messages if m["role"] == "tool"][-2:] == [
        "杭州：晴，26 度，微风",
        "从城站到西湖：地铁一号线，四十分钟",
    ]
