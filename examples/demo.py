"""Runs both quickstarts: against a local emulator, or against the service if its key and a character are set."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

EXAMPLES = Path(__file__).parent
QUICKSTARTS = ("quickstart_langchain.py", "quickstart_llama_index.py")


@contextmanager
def emulator() -> Iterator[str]:
    """The URL of an emulator on a free loopback port; it ends with the block."""
    command = [sys.executable, "-m", "xingchen_core.emulator", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            url = process.stdout.readline().strip() if process.stdout else ""
            if not url.startswith("http"):
                sys.exit(f"The emulator did not start: its first line was {url!r} instead of its URL.")
            yield url
        finally:
            process.terminate()


def run(settings: Mapping[str, str]) -> int:
    """Runs each quickstart with these settings in its environment; returns how many failed."""
    failures = 0
    for name in QUICKSTARTS:
        print(f"\n$ python examples/{name}", flush=True)
        # Its own lines go straight to the terminal, piece by piece as the answer streams in.
        command = [sys.executable, "-u", str(EXAMPLES / name)]
        code = subprocess.run(command, env={**os.environ, **settings}, check=False).returncode
        if code:
            failures += 1
            print(f"{name} failed with exit code {code}.", file=sys.stderr, flush=True)
    return failures


def main() -> int:
    """Returns the process's exit code: 0 if every quickstart succeeded."""
    if os.environ.get("XINGCHEN_API_KEY") and os.environ.get("XINGCHEN_CHARACTER_ID"):
        print("XINGCHEN_API_KEY and XINGCHEN_CHARACTER_ID are set: talking to the real service.")
        return 1 if run({}) else 0
    with emulator() as url:
        print(f"Talking to the emulator at {url}: no key, no network. Its answers are canned.")
        settings = {"XINGCHEN_API_KEY": "demo-key", "XINGCHEN_BASE_URL": url, "XINGCHEN_CHARACTER_ID": "demo"}
        return 1 if run(settings) else 0


if __name__ == "__main__":
    sys.exit(main())
