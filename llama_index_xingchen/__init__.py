"""Alibaba's conversational services in LlamaIndex.

```python
from llama_index_xingchen import Xingchen

Xingchen(character_id="...").complete("你好")
```
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llama_index_xingchen.app_query_engine import BailianAppQueryEngine
    from llama_index_xingchen.bailian import Bailian
    from llama_index_xingchen.bailian_app import BailianApp
    from llama_index_xingchen.bailian_tools import BailianToolSpec
    from llama_index_xingchen.beebot import Beebot
    from llama_index_xingchen.chat_stores import XingchenChatStore, XingchenDBChatStore
    from llama_index_xingchen.indices import BailianIndex
    from llama_index_xingchen.llms import Xingchen
    from llama_index_xingchen.memory import BailianMemoryBlock
    from llama_index_xingchen.retrievers import BailianRetriever
    from llama_index_xingchen.tools import XingchenToolSpec
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
    "Bailian": "llama_index_xingchen.bailian",
    "BailianApp": "llama_index_xingchen.bailian_app",
    "BailianAppQueryEngine": "llama_index_xingchen.app_query_engine",
    "BailianIndex": "llama_index_xingchen.indices",
    "BailianMemoryBlock": "llama_index_xingchen.memory",
    "BailianRetriever": "llama_index_xingchen.retrievers",
    "BailianToolSpec": "llama_index_xingchen.bailian_tools",
    "Beebot": "llama_index_xingchen.beebot",
    "Xingchen": "llama_index_xingchen.llms",
    **dict.fromkeys(("XingchenChatStore", "XingchenDBChatStore"), "llama_index_xingchen.chat_stores"),
    "XingchenToolSpec": "llama_index_xingchen.tools",
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
        if not (error.name or "").startswith("llama_index.core") and error.name != "llama_index":
            raise
        raise ImportError(
            "llama_index_xingchen needs LlamaIndex: pip install 'xingchen-integrations[llama-index]'", name=error.name
        ) from error


__all__ = [
    "Bailian",
    "BailianApp",
    "BailianAppQueryEngine",
    "BailianIndex",
    "BailianMemoryBlock",
    "BailianRetriever",
    "BailianToolSpec",
    "Beebot",
    "Character",
    "GroupChat",
    "GroupMember",
    "Memory",
    "MemoryTag",
    "RagOptions",
    "Scenario",
    "Xingchen",
    "XingchenChatStore",
    "XingchenDBChatStore",
    "XingchenToolSpec",
]
