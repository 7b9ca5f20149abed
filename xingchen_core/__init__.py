"""The wire of Xingchen, Beebot and Bailian, for no framework in particular.

Describe a call, then send it:

```python
from xingchen_core import Client, Message, characters

with Client(characters.XingchenSettings()) as client:
    request = characters.ChatRequest(character_id="...", user_id="u1", messages=[Message(role="user", content="你好")])
    print(client.send(characters.chat(request)).answers[0].text)
```
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from xingchen_core._errors import (
    APIConnectionError,
    APIResponseError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    BillingError,
    ConfigurationError,
    ContentFilterError,
    ContextOverflowError,
    InternalServerError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    UnsupportedOperationError,
    XingchenError,
)

if TYPE_CHECKING:
    from xingchen_core import bailian, beebot, characters
    from xingchen_core._call import Call, Flow, Pause, StreamCall, Work
    from xingchen_core._client import AsyncClient, Client
    from xingchen_core.bailian._service import BailianSettings
    from xingchen_core.bailian.app_models import RagOptions
    from xingchen_core.beebot._service import BeebotSettings
    from xingchen_core.characters.models import (
        Character,
        GroupChat,
        GroupMember,
        Memory,
        MemoryTag,
        Scenario,
        XingchenSettings,
    )
    from xingchen_core.chat import Answer, ChatDelta, ChatReply, Message, ToolCall, Usage

__version__ = "0.1.0"

_LAZY = {
    "BailianSettings": "xingchen_core.bailian._service",
    "BeebotSettings": "xingchen_core.beebot._service",
    "RagOptions": "xingchen_core.bailian.app_models",
    **dict.fromkeys(("AsyncClient", "Client"), "xingchen_core._client"),
    **dict.fromkeys(("Call", "Flow", "Pause", "StreamCall", "Work"), "xingchen_core._call"),
    **dict.fromkeys(("Answer", "ChatDelta", "ChatReply", "Message", "ToolCall", "Usage"), "xingchen_core.chat"),
    **dict.fromkeys(
        ("Character", "GroupChat", "GroupMember", "Memory", "MemoryTag", "Scenario", "XingchenSettings"),
        "xingchen_core.characters.models",
    ),
}
"""Loaded when first named: a program that needs one service should not pay for the others."""


def __getattr__(name: str) -> Any:
    if name in ("bailian", "beebot", "characters"):
        return import_module(f"xingchen_core.{name}")
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)


__all__ = [
    "APIConnectionError",
    "APIResponseError",
    "APIStatusError",
    "APITimeoutError",
    "Answer",
    "AsyncClient",
    "AuthenticationError",
    "BadRequestError",
    "BailianSettings",
    "BeebotSettings",
    "BillingError",
    "Call",
    "Character",
    "ChatDelta",
    "ChatReply",
    "Client",
    "ConfigurationError",
    "ContentFilterError",
    "ContextOverflowError",
    "Flow",
    "GroupChat",
    "GroupMember",
    "InternalServerError",
    "Memory",
    "MemoryTag",
    "Message",
    "NotFoundError",
    "Pause",
    "PermissionDeniedError",
    "RagOptions",
    "RateLimitError",
    "Scenario",
    "StreamCall",
    "ToolCall",
    "UnsupportedOperationError",
    "Usage",
    "Work",
    "XingchenError",
    "XingchenSettings",
    "__version__",
    "bailian",
    "beebot",
    "characters",
]
