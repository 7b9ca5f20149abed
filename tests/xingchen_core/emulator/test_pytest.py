"""The fixture for users' own tests, and what it costs those who do not use it."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]

USERS_TEST = """
import httpx

seen = []

def test_one(xingchen_emulator):
    xingchen_emulator.reply("你好")
    assert httpx.get(xingchen_emulator.url, trust_env=False, verify=False).status_code == 404
    seen.append(xingchen_emulator)

def test_two(xingchen_emulator):
    assert xingchen_emulator is not seen[0]
    assert xingchen_emulator.requests == []
"""


def python(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run this interpreter with the project importable, and no plug-in of pytest that was not asked for."""
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_fixture(tmp_path: Path) -> None:
    """A user's test asks for `xingchen_emulator` and gets a fresh, running emulator each time."""
    test = tmp_path / "test_users.py"
    test.write_text(USERS_TEST, encoding="utf-8")
    plugin = ["-p", "xingchen_core.emulator._pytest", "-p", "no:cacheprovider", "-W", "error"]
    ended = python("-m", "pytest", "-q", *plugin, "--rootdir", str(tmp_path), str(test))
    assert "2 passed" in ended.stdout, ended.stdout + ended.stderr


def test_plugin_is_cheap() -> None:
    """Loading the plug-in loads no web server: every pytest run pays for it."""
    heavy = ("starlette", "uvicorn", "xingchen_core.emulator._server")
    code = (
        "import sys, pytest; before = set(sys.modules); import xingchen_core.emulator._pytest; "
        f"print([name for name in {heavy!r} if name in set(sys.modules) - before])"
    )
    ended = python("-c", code)
    assert ended.stdout.strip() == "[]", ended.stdout + ended.stderr


def test_missing_extra() -> None:
    """Without the web server the package imports, and `Emulator` says which extra to install."""
    code = (
        "import sys; sys.modules['uvicorn'] = None\n"
        "import xingchen_core.emulator._pytest\n"
        "from xingchen_core.emulator import Emulator"
    )
    ended = python("-c", code)
    assert ended.returncode == 1
    assert 'pip install "xingchen-integrations[emulator]"' in ended.stderr.splitlines()[-1]


def test_unknown_name() -> None:
    """A misspelt name is an ordinary ImportError."""
    ended = python("-c", "from xingchen_core.emulator import Emulater")
    assert "cannot import name 'Emulater'" in ended.stderr
