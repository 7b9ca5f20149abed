"""Examples, run as a user runs them: each a program of its own, here against an emulator."""

import os
import re
import subprocess
import sys
from pathlib import Path

from xingchen_core.emulator import Emulator

ROOT = Path(__file__).parents[2]


def run_example(name: str, emulator: Emulator) -> str:
    """Run an example with the settings of a newcomer who has an emulator instead of keys; return what it printed."""
    settings = {
        "XINGCHEN_API_KEY": "test-key",
        "XINGCHEN_BASE_URL": emulator.url,
        "XINGCHEN_CHARACTER_ID": "demo",
        "DASHSCOPE_API_KEY": "test-key",
        "DASHSCOPE_BASE_URL": emulator.url,
        "BAILIAN_APP_ID": "demo",
        "BAILIAN_WORKFLOW_ID": "demo-flow",
        "BAILIAN_INDEX_ID": "kbdemo0001",
        "ALIBABA_CLOUD_ACCESS_KEY_ID": "testid",
        "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "testsecret",
        "BEEBOT_BASE_URL": emulator.url,
        "BEEBOT_STREAM_BASE_URL": emulator.url,
        "BEEBOT_INSTANCE_ID": "chatbot-cn-demo",
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "PYTHONUTF8": "1",
    }
    command = [sys.executable, "-W", "error::ResourceWarning", str(ROOT / "examples" / name)]
    done = subprocess.run(
        command, env=os.environ | settings, capture_output=True, encoding="utf-8", timeout=120, check=False
    )
    # LlamaIndex's `Memory` leaves the database it keeps in memory open.
    complaints = "" if "aiosqlite" in done.stderr else re.sub(r"[^\r\n]*%\|[^\r\n]*|[\r\n]", "", done.stderr)  # no bars
    assert (done.returncode, complaints) == (0, ""), done.stderr
    return done.stdout
