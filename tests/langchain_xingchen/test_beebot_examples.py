"""What the Beebot examples show, run as a user runs them; `tests/test_examples.py` runs all examples."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from xingchen_core.emulator import Emulator

ROOT = Path(__file__).parents[2]

SHOWN = {
    "beebot_service_desk.py": [
        "小蜜：您好，我是小蜜，请问有什么可以帮您？",
        "（出处：发票指南）",
        "（请选择：退货、退款）",
        "用户：退货",
        "（您也可以问：怎么开发票？、发票多久能开好？、怎么退货？）",
        "（转给人工，技能组 12，会话 ",
    ],
    "beebot_llama_index.py": [
        "小蜜：您叫小明。",
        "（出处：退货须知）",
        "同时来的访客：您叫小红。 您叫小刚。 您叫小丽。",
        "引擎里留下了 8 条消息。",
    ],
    "beebot_router.py": [
        "用户：怎么开发票？",
        "（机器人：您可以在订单详情里点「申请发票」",
        "接待员：",
        "您可以在订单详情里点「申请发票」",
        "用户：谢谢，再见！",
        "接待员：不客气",
    ],
}


@pytest.mark.parametrize("example", SHOWN)
def test_example_shows(example: str) -> None:
    """The lines an example is about come in this order, without a warning."""
    with Emulator() as emulator:
        settings = {
            "XINGCHEN_API_KEY": "test-key",
            "XINGCHEN_BASE_URL": emulator.url,
            "XINGCHEN_CHARACTER_ID": "demo",
            "DASHSCOPE_API_KEY": "test-key",
            "DASHSCOPE_BASE_URL": emulator.url,
            "ALIBABA_CLOUD_ACCESS_KEY_ID": "testid",
            "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "testsecret",
            "BEEBOT_BASE_URL": emulator.url,
            "BEEBOT_STREAM_BASE_URL": emulator.url,
            "BEEBOT_INSTANCE_ID": "chatbot-cn-demo",
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
