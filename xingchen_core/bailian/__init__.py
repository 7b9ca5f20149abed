"""Bailian (百炼, Model Studio, DashScope): applications, models, knowledge bases, memory.

| file | about |
| --- | --- |
| `apps.py` | agent and workflow applications: `POST /api/v1/apps/{app_id}/completion` |
| `knowledge.py` | knowledge bases: retrieve, make, fill, look after |
| `memory.py` | long-term memory: the Memory Library, and the older memory bodies |
| `models.py` | qwen and others: native `text-generation` and `multimodal-generation`, or the compatible endpoint |
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from xingchen_core._lazy import lazy_names

if TYPE_CHECKING:
    from xingchen_core.bailian import apps, knowledge, memory, references
    from xingchen_core.bailian._openapi import KnowledgeSettings
    from xingchen_core.bailian._service import BailianSettings, workspace_url
    from xingchen_core.bailian.app_models import AppParameters, AppRequest, RagOptions
    from xingchen_core.bailian.app_replies import AppReader
    from xingchen_core.bailian.model_messages import ModelMessage
    from xingchen_core.bailian.model_parameters import DEFAULT_MODEL, ModelParameters, ModelRequest
    from xingchen_core.bailian.model_replies import citations
    from xingchen_core.bailian.models import generate, only_streams, stream_generate
    from xingchen_core.bailian.profiles import profile
    from xingchen_core.bailian.references import without_references

_held = lazy_names(
    __name__,
    {
        "_openapi": ("KnowledgeSettings",),
        "_service": ("BailianSettings", "workspace_url"),
        "app_models": ("AppParameters", "AppRequest", "RagOptions"),
        "app_replies": ("AppReader",),
        "model_messages": ("ModelMessage",),
        "model_parameters": ("DEFAULT_MODEL", "ModelParameters", "ModelRequest"),
        "model_replies": ("citations",),
        "models": ("generate", "only_streams", "stream_generate"),
        "profiles": ("profile",),
        "references": ("without_references",),
    },
)


def __getattr__(name: str) -> Any:
    """Load a file when it is first used, by its own name (`bailian.apps.complete`) or one that it holds."""
    return import_module(f"{__name__}.{name}") if name in ("apps", "knowledge", "memory", "references") else _held(name)


__all__ = [
    "DEFAULT_MODEL",
    "AppParameters",
    "AppReader",
    "AppRequest",
    "BailianSettings",
    "KnowledgeSettings",
    "ModelMessage",
    "ModelParameters",
    "ModelRequest",
    "RagOptions",
    "apps",
    "citations",
    "generate",
    "knowledge",
    "memory",
    "only_streams",
    "profile",
    "references",
    "stream_generate",
    "without_references",
    "workspace_url",
]
