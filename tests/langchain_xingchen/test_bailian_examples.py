"""What the examples of models on Bailian show, run as a user runs them; `tests/test_examples.py` runs all examples."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from xingchen_core.emulator import Emulator

ROOT = Path(__file__).parents[2]

SHOWN = {
    "qwen_tools_langgraph.py": [
        "（查询 weather {'city': '杭州'}）",
        "（查询 weather {'city': '成都'}）",
        "（结果 杭州：小雨，18 度）",
        "（结果 成都：晴，25 度）",
        "根据工具返回的结果：",
        "用户：我刚才问了什么？",
        "杭州和成都今天的天气怎么样？",
    ],
    "structured_extraction.py": [
        "函数调用：Order(dish='",
        "count=2, city='杭州')",
        "JSON 模式：Order(dish='",
        "解析结果：2 份，解析错误：None，用了 ",
        "发送之前就知道不行：qwen-plus is not known to take a JSON schema",
        "JSON Schema：Order(dish='",
    ],
    "thinking_live.py": ["【思考】", "【回答】", "个 token，其中思考 ", "不思考时：['text']"],
}


@pytest.mark.parametrize("example", SHOWN)
def test_example_shows(example: str) -> None:
    """The lines an example is about come in this order, without a warning."""
    with Emulator() as emulator:
        settings = {
            "DASHSCOPE_API_KEY": "test-key",
            "DASHSCOPE_BASE_URL": emulator.url,
            "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
            "PYTHONUTF8": "1",
        }
        command = [sys.executable, "-W", "error::ResourceWarning", str(ROOT / "examples" / example)]
        done = subprocess.run(
            command, env=os.environ | settings, capture_output=True, encoding="utf-8", timeout=120, check=False
        )
    assert (done.returncode, done.stderr) == (0, "")
    rest = done.stdout
    for line in SHOWN[example]:
        _, found, rest = rest.partition(line)
        assert found, f"{line} is not shown, or too early:\n{done.stdout}"
