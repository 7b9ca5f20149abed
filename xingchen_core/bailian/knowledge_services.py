"""Retrieval services: several indexes with their weights, rerankers and thresholds, published under one id.

Source: Model Studio, "RAG API", `POST /api/v1/indices/rag/app/...`. What a service is made of (`agent_config`) is the
console's affair and passed on as given; its flags are the texts "true" and "false".
"""

from collections.abc import Mapping
from typing import Any, Literal

from xingchen_core._call import Call
from xingchen_core.bailian._openapi import keyed
from xingchen_core.bailian.knowledge_records import Record, plain


class ServiceState(Record):
    """What an answer says of a service; the rest of it under its plain names. `beta` is the version of a draft."""

    agent_id: str | None = None
    agent_version: str | None = None
    agent_status: str | None = None


def manage_service(
    action: Literal["create", "update", "deploy", "delete", "list", "get", "copy"], body: Mapping[str, Any]
) -> Call[ServiceState]:
    """Create, change, publish, delete, list, read or copy retrieval services.

    Creating makes a draft; `deploy` publishes it, and says so beside `data` where others say it inside.
    """

    def parse(answer: Any) -> ServiceState:
        data = answer.get("data")
        outer = {name: value for name, value in answer.items() if name.startswith("agent_")}
        inner = data if isinstance(data, dict) else {"data": data}
        return ServiceState.model_validate({**plain(outer), **plain(inner)})

    is_new = action in ("create", "copy", "deploy")
    return keyed("POST", f"indices/rag/app/{action}", parse, body=body, remembered=is_new)
