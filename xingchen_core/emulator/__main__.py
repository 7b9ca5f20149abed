"""`python -m xingchen_core.emulator --port 8900`: the emulator in the foreground, until Ctrl-C or SIGTERM."""

import argparse
import signal
import sys
import threading

from xingchen_core.emulator import Emulator


def main() -> int:
    """Prints the URL when the port listens, then serves. Returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m xingchen_core.emulator",
        description="Serves the emulated services on a loopback port until Ctrl-C or SIGTERM.",
        epilog="A user's message such as '/fail status status=429 retry_after=1' or '/fail cut after=2' makes the call "
        "fail that way. Kinds: status, html, drop, cut, stall, silent_end, error_event.",
    )
    parser.add_argument("--port", type=int, default=8900, help="0 takes a free one (default: 8900)")
    parser.add_argument("--host", choices=["127.0.0.1", "localhost", "::1"], default="127.0.0.1")
    parser.add_argument("--lenient", action="store_true", help="forgive missing or mismatched gateway headers")
    options = parser.parse_args()

    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    emulator = Emulator(host=options.host, port=options.port, strict=not options.lenient)
    try:
        emulator.start()
    except OSError as error:
        print(f"cannot listen on {options.host}:{options.port}: {error.strerror}; try --port 0", file=sys.stderr)
        return 1
    try:
        print(emulator.url, flush=True)
        stop.wait()
    finally:
        emulator.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
