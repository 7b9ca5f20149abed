"""The services on a loopback port, for tests and demonstrations without keys.

```python
from xingchen_core.emulator import Emulator

with Emulator() as emulator:
    emulator.reply("你好，小明。")
    ...  # a client with base_url=emulator.url and any key but "invalid"
```

Names are loaded on first use: pytest imports this package in every run, because the fixture of `_pytest.py` lives in
it, and must not pay for a web server (or fail without one) when no test asks for it.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xingchen_core.emulator._log import ReceivedRequest
    from xingchen_core.emulator._script import Fault, Reply
    from xingchen_core.emulator._server import Emulator
    from xingchen_core.emulator._wire import Wire

__all__ = ["Emulator", "Fault", "ReceivedRequest", "Reply", "Wire"]

_HOMES = {"Emulator": "_server", "ReceivedRequest": "_log", "Fault": "_script", "Reply": "_script", "Wire": "_wire"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    try:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.partition(".")[0] not in ("starlette", "uvicorn", "h11", "anyio"):
            raise
        raise ImportError(
            f"The emulator needs {missing.name}, which is not installed. Install the extra: "
            'pip install "xingchen-integrations[emulator]"'
        ) from missing
