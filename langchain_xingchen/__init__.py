"""Alibaba's conversational services in LangChain.

```python
from langchain_xingchen import ChatXingchen

ChatXingchen(character_id="...").invoke("你好")
```
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langchain_xingchen._factory import init_xingchen_model
    from langchain_xingchen._load import loads
    from langchain_xingchen.bailian import ChatBailian
    from langchain_xingchen.bailian_app import ChatBailianApp
    from langchain_xingchen.bailian_app_tool import BailianAppTool
    from langchain_xingchen.beebot import ChatBeebot
    from langchain_xingchen.beebot_tool import BeebotTool
    from langchain_xingchen.chat_message_histories import XingchenChatMessageHistory
    from langchain_xingchen.chat_models import ChatXingchen
    from langchain_xingchen.indices import BailianIndex
    from langchain_xingchen.memory_retriever import BailianMemoryRetriever
    from langchain_xingchen.memory_tools import BailianMemoryToolkit
    from langchain_xingchen.retrievers import BailianRetriever
    from langchain_xingchen.tools import XingchenCharacterTool, XingchenToolkit
    from xingchen_core.bailian import RagOptions
    from xingchen_core.characters import (
        Character,
        GroupChat,
        GroupMember,
        Memory,
        MemoryTag,
        Scenario,
    )

_LAZY = {
    "BailianAppTool": "langchain_xingchen.bailian_app_tool",
    "BailianIndex": "langchain_xingchen.indices",
    "BailianMemoryRetriever": "langchain_xingchen.memory_retriever",
    "BailianMemoryToolkit": "langchain_xingchen.memory_tools",
    "BailianRetriever": "langchain_xingchen.retrievers",
    "BeebotTool": "langchain_xingchen.beebot_tool",
    "ChatBailian": "langchain_xingchen.bailian",
    "ChatBailianApp": "langchain_xingchen.bailian_app",
    "ChatBeebot": "langchain_xingchen.beebot",
    "ChatXingchen": "langchain_xingchen.chat_models",
    "XingchenCharacterTool": "langchain_xingchen.tools",
    "XingchenChatMessageHistory": "langchain_xingchen.chat_message_histories",
    "XingchenToolkit": "langchain_xingchen.tools",
    "init_xingchen_model": "langchain_xingchen._factory",
    "loads": "langchain_xingchen._load",
    "RagOptions": "xingchen_core.bailian",
    **dict.fromkeys(
        ("Character", "GroupChat", "GroupMember", "Memory", "MemoryTag", "Scenario"), "xingchen_core.characters"
    ),
}
"""Loaded when first named, so that importing the package costs nothing that is not used."""


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(_LAZY[name]), name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "langchain_core":
            raise
        raise ImportError(
            "langchain_xingchen needs LangChain: pip install 'xingchen-integrations[langchain]'", name=error.name
        ) from error


__all__ = [
    "BailianAppTool",
    "BailianIndex",
    "BailianMemoryRetriever",
    "BailianMemoryToolkit",
    "BailianRetriever",
    "BeebotTool",
    "Character",
    "ChatBailian",
    "ChatBailianApp",
    "ChatBeebot",
    "ChatXingchen",
    "GroupChat",
    "GroupMember",
    "Memory",
    "MemoryTag",
    "RagOptions",
    "Scenario",
    "XingchenCharacterTool",
    "XingchenChatMessageHistory",
    "XingchenToolkit",
    "init_xingchen_model",
    "loads",
]
