"""The vendor's SDKs: each in an environment of its own, since none of them may be installed beside us."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
INTERPRETER = Path("Scripts", "python.exe") if sys.platform == "win32" else Path("bin", "python")


def sdk_python(name: str, module: str, *requirements: str) -> str:
    """The interpreter that has the SDK: `<NAME>_SDK_PYTHON`, or an environment built once into `.venv-sdk-<name>`.

    `module`: a file of the SDK below `site-packages`, by which a finished environment is known. Skips the test when,
    and only when, that environment cannot be built.
    """
    given = os.environ.get(f"{name.upper()}_SDK_PYTHON")
    if given:
        return given
    home = ROOT / f".venv-sdk-{name}"
    if not _is_installed(home, module):
        # Built aside and moved into place whole: several test processes may be at it.
        building = Path(tempfile.mkdtemp(prefix=f"{home.name}-", dir=ROOT))
        try:
            _run_or_skip(sys.executable, "-m", "venv", str(building))
            pip = (str(building / INTERPRETER), "-m", "pip", "install", "--quiet", "--retries", "1", "--timeout", "15")
            _run_or_skip(*pip, *requirements)
            if not _is_installed(home, module):
                shutil.rmtree(home, ignore_errors=True)
                building.rename(home)
        finally:
            shutil.rmtree(building, ignore_errors=True)
    return str(home / INTERPRETER)


def run_scenario(python: str, scenarios: Path, *arguments: str) -> Any:
    """Runs one scenario there and returns what the SDK made of it."""
    ended = subprocess.run(
        [python, str(scenarios), *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def _is_installed(environment: Path, module: str) -> bool:
    return (environment / INTERPRETER).exists() and any(environment.glob(f"**/site-packages/{module}"))


def _run_or_skip(*command: str) -> None:
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        pytest.skip(f"{command[-1]} cannot be installed: {(ended.stderr or ended.stdout).strip()[-400:]}")
