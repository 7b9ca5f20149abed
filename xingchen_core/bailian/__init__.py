"""Bailian (百炼, Model Studio, DashScope): applications, models, knowledge bases, memory.

| file | about |
| --- | --- |
| `apps.py` | agent and workflow applications: `POST /api/v1/apps/{app_id}/completion` |
| `models.py` | qwen and others: native `text-generation` and `multimodal-generation`, or the compatible endpoint |
"""

from typing import TYPE_CHECKING

from xingchen_core._lazy import lazy_names

if TYPE_CHECKING:
    from xingchen_core.bailian._service import BailianSettings, workspace_url

__getattr__ = lazy_names(
    __name__,
    {
        "_service": ("BailianSettings", "workspace_url"),
    },
)

__all__ = [
    "BailianSettings",
    "workspace_url",
]
