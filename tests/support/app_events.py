"""Events of Bailian applications, shaped as the vendor's samples and captures show them; all ids are invented."""

import json
from collections.abc import Iterable
from typing import Any

from xingchen_core import ChatDelta, Message
from xingchen_core._sse import ServerSentEvent
from xingchen_core.bailian import AppReader, AppRequest

SESSION = "0123456789abcdef0123456789abcdef"
USAGE = {"models": [{"model_id": "qwen-plus", "input_tokens": 12, "output_tokens": 5}]}
REFERENCE = {
    "index_id": "1",
    "title": "手机",
    "doc_id": "file_fake_1",
    "doc_name": "phones",
    "doc_url": None,
    "text": "Z9 售价 2999 元",
    "images": [],
    "page_number": [3],
}


def question(**fields: Any) -> AppRequest:
    """A question to application `demo`."""
    return AppRequest(**{"app_id": "demo", "messages": [Message(role="user", content="你好")], **fields})


def output(
    text: str | None = None, *, reason: str | None = "null", usage: Any = None, **members: Any
) -> dict[str, Any]:
    """The body of an event; a text that is None is absent."""
    told = {"session_id": SESSION, "finish_reason": reason, **({} if text is None else {"text": text}), **members}
    return {"output": told, "usage": usage or {}, "request_id": "r-1"}


def node(
    content: str, *, id: str = "End_fake", type: str = "End", reason: str = "null", **members: Any
) -> dict[str, Any]:
    """The body of an event with a `workflow_message`."""
    message = {
        "node_id": id,
        "node_name": "结束",
        "node_type": type,
        "node_status": "executing",
        "node_is_completed": False,
        "node_msg_seq_id": 1,
        "message": {"role": "assistant", "content": content},
    }
    return output(reason=reason, workflow_message={**message, **members})


def reasoning(piece: str, text: str = "") -> dict[str, Any]:
    """The body of an event with a piece of an agent's reasoning."""
    thought = {"action": "reasoning", "action_type": "reasoning", "action_name": "思考过程"}
    return output(text, thoughts=[{**thought, "thought": piece, "response": piece}])


def flow_node(result: str | None, *, status: str = "executing", type: str = "End", **members: Any) -> dict[str, Any]:
    """A thought of `full_thoughts`: a node as JSON in a text."""
    told = {"nodeName": type, "nodeType": type, "nodeStatus": status, "nodeId": f"{type}_fake", **members}
    if result is not None:
        told["nodeResult"] = result
    return {"response": json.dumps(told, ensure_ascii=False)}


def event(body: Any, kind: str = "result", *comments: str) -> ServerSentEvent:
    """An event with this JSON."""
    return ServerSentEvent(kind, json.dumps(body, ensure_ascii=False).encode(), "", comments)


def frame(body: Any, kind: str = "result", status: int = 200, end: str = "\n\n") -> bytes:
    """An event as the gateway writes it."""
    return f"id:1\nevent:{kind}\n:HTTP_STATUS/{status}\ndata:{json.dumps(body, ensure_ascii=False)}{end}".encode()


def deltas(bodies: Iterable[Any], **fields: Any) -> list[ChatDelta]:
    """All results of a stream of these bodies."""
    reader = AppReader(question(**fields))
    found = [reader.read(body if isinstance(body, ServerSentEvent) else event(body)) for body in bodies]
    return [*(delta for delta in found if delta is not None), *reader.end()]


def texts(found: Iterable[ChatDelta]) -> list[str]:
    """The texts of a stream, without the empty ones."""
    return [delta.text for delta in found if delta.text]


def told(found: Iterable[ChatDelta]) -> list[dict[str, Any]]:
    """The workflow messages of a stream that came while it ran."""
    return [message for delta in found for message in (delta.additional or {}).get("workflow_messages", ())]
