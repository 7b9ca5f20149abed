"""Every Python block of README and docs runs. Blocks marked `py` instead of `python` are sketches."""

import re
from pathlib import Path

import pytest

from xingchen_core.emulator import Emulator

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "README.zh.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCKS = [
    pytest.param(block, id=f"{page.name}-{at}")
    for page in PAGES
    for at, block in enumerate(re.findall(r"^```python\n(.*?)^```$", page.read_text("utf-8"), re.M | re.S), 1)
]
YOURS = re.compile(r"your (character|app)'s id|你的(角色|应用) id")
YOUR_BASE = re.compile(r"your knowledge base's id|你的知识库 id")


def test_there_are_blocks() -> None:
    """The pattern finds the blocks: both READMEs begin with one."""
    assert {page.name for page in PAGES[:2]} <= {str(block.id).rpartition("-")[0] for block in BLOCKS}


@pytest.mark.parametrize("block", BLOCKS)
def test_block_runs(block: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A reader who copies the block and has set the variables gets no error."""
    with Emulator() as emulator:
        monkeypatch.setenv("XINGCHEN_API_KEY", "test-key")
        monkeypatch.setenv("XINGCHEN_BASE_URL", emulator.url)
        monkeypatch.setenv("DASHSCOPE_API_KEY", "test-key")
        monkeypatch.setenv("DASHSCOPE_BASE_URL", emulator.url)
        monkeypatch.setenv("ALIBABA_CLOUD_ACCESS_KEY_ID", "testid")
        monkeypatch.setenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "testsecret")
        monkeypatch.setenv("BEEBOT_BASE_URL", emulator.url)
        monkeypatch.setenv("BEEBOT_STREAM_BASE_URL", emulator.url)
        ours = YOUR_BASE.sub("kbdemo0001", YOURS.sub("demo", block))
        exec(compile(ours, "block", "exec"), {"__name__": "block"})
    assert "Traceback" not in capsys.readouterr().err
