"""What the examples of applications show, run as a user runs them; `tests/test_examples.py` runs all examples."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from xingchen_core.emulator import Emulator

ROOT = Path(__file__).parents[2]


def a_workflow(emulator: Emulator) -> None:
    """Two nodes before the one that answers."""
    emulator.bailian.reply(
        "去西湖吧。",
        nodes=[
            {"type": "Start", "name": "开始"},
            {"type": "LLM", "name": "规划", "content": ["先看", "天气"]},
            {"type": "End", "name": "结束", "content": ["去西湖", "吧。"]},
        ],
    )


def an_agent(emulator: Emulator) -> None:
    """The model asks the handbook, which cites its sources; twice."""
    for question, answer in (("请假要提前几天", "三天<ref>[1]</ref>。"), ("加班怎么申请", "填单<ref>[1]</ref>。")):
        emulator.bailian.reply(tool_calls=[{"name": "ask_handbook", "arguments": {"question": question}}])
        emulator.bailian.reply(answer, references=["考勤制度"])
        emulator.bailian.reply(f"手册说：{answer[:2]}。")


SHOWN: dict[str, tuple[Callable[[Emulator], None], list[str]]] = {
    "workflow_app_progress.py": (
        a_workflow,
        ["（开始：完成）", "（规划：进行中）", "（规划：完成）", "去西湖吧。", "- 规划：先看天气"],
    ),
    "app_as_tool.py": (
        an_agent,
        [
            "（问手册：请假要提前几天）",
            "手册：三天[1]。\n[1] 考勤制度",
            "助手：手册说：三天。",
            "（问手册：加班怎么申请）",
            "助手：手册说：填单。",
            "应用记住了 1 个对话。",
        ],
    ),
}


@pytest.mark.parametrize("example", SHOWN)
def test_example_shows(example: str) -> None:
    """The lines an example is about come in this order, without a warning."""
    script, lines = SHOWN[example]
    with Emulator() as emulator:
        script(emulator)
        settings = {
            "DASHSCOPE_API_KEY": "test-key",
            "DASHSCOPE_BASE_URL": emulator.url,
            "BAILIAN_APP_ID": "demo",
            "BAILIAN_WORKFLOW_ID": "demo-flow",
            "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
            "PYTHONUTF8": "1",
        }
        command = [sys.executable, "-W", "error::ResourceWarning", str(ROOT / "examples" / example)]
        done = subprocess.run(
            command, env=os.environ | settings, capture_output=True, encoding="utf-8", timeout=120, check=False
        )
        asked = [received.json["input"] for received in emulator.requests if "apps" in received.path]
    assert (done.returncode, done.stderr) == (0, "")
    rest = done.stdout
    for line in lines:
        _, found, rest = rest.partition(line)
        assert found, f"{line} is not shown, or too early:\n{done.stdout}"
    assert [bool(each.get("session_id")) for each in asked] == [False, True][: len(asked)]
