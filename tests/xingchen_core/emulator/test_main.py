"""The emulator as a command."""

import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from xingchen_core.emulator import Emulator

ROOT = Path(__file__).parents[3]
COMMAND = [sys.executable, "-W", "error", "-m", "xingchen_core.emulator"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serves_until_told_to_stop(number: int) -> None:
    """The first line is the URL, printed when it answers; Ctrl-C and SIGTERM end it without a trace."""
    with subprocess.Popen(
        [*COMMAND, "--port", "0"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:")
        assert httpx.get(url, trust_env=False, verify=False).status_code == 404
        process.send_signal(number)
        rest, errors = process.communicate(timeout=10)
    assert (process.returncode, rest, errors) == (0, "", "")


def failing(*options: str) -> "subprocess.CompletedProcess[str]":
    """Run the command to its end."""
    return subprocess.run([*COMMAND, *options], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)


def test_taken_port() -> None:
    """A port in use is said in one line, with the way out."""
    with Emulator() as emulator:
        port = emulator.url.rpartition(":")[2]
        ended = failing("--port", port)
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr.startswith(f"cannot listen on 127.0.0.1:{port}: ")
    assert ended.stderr.endswith("try --port 0\n")


def test_only_loopback() -> None:
    """No other machine is ever served."""
    ended = failing("--host", "0.0.0.0")
    assert ended.returncode == 2
    assert "invalid choice" in ended.stderr
