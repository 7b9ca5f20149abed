"""Reviving what langchain-core's `dumps` wrote for the classes of this package."""

from typing import Any

from langchain_core.load import loads as _loads

from langchain_xingchen.bailian import ChatBailian
from langchain_xingchen.bailian_app import ChatBailianApp
from langchain_xingchen.beebot import ChatBeebot
from langchain_xingchen.chat_models import ChatXingchen
from langchain_xingchen.memory_retriever import BailianMemoryRetriever
from langchain_xingchen.retrievers import BailianRetriever

CLASSES = (BailianMemoryRetriever, BailianRetriever, ChatBailian, ChatBailianApp, ChatBeebot, ChatXingchen)


def loads(text: str) -> Any:
    """Return the object that `langchain_core.load.dumps` wrote as `text`; secrets come from the environment.

    langchain-core's own `loads` refuses classes of packages it does not know. Clients and credentials are not dumped:
    a revived object makes its own.
    """
    return _loads(text, allowed_objects=list(CLASSES), valid_namespaces=["langchain_xingchen"], secrets_from_env=True)
