"""What a workflow's nodes say while it runs. Source: Model Studio, "call a workflow", "application API reference"."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from xingchen_core.bailian.references import json_of
from xingchen_core.chat import ChatDelta

ANSWERING = ("End", "Output")
"""Nodes whose content is the answer, as text. The others' is JSON in a text."""


@dataclass(slots=True)
class Node:
    """A node, as far as it has come. `result` is what it has made."""

    id: str
    name: str | None
    type: str | None
    status: str | None = None
    result: str = ""
    reasoning: str = ""


class Workflow:
    """Follows the nodes of one run, and adds what is new of them to a delta.

    Text of the nodes that answer, reasoning of the others; and as `additional["workflow_messages"]` what the service
    said, without the many messages that only carry a piece of the answer.
    """

    def __init__(self, *, incremental: bool) -> None:
        self._incremental = incremental
        self._nodes: dict[str, Node] = {}

    def read_message(self, message: Mapping[str, Any], delta: ChatDelta) -> None:
        """Add what a `workflow_message` says."""
        if message.get("parent_node_id"):  # inside a loop: JSON for each round, whole, and never the answer
            _tell(delta, message)
            return
        node = self._node(message.get("node_id") or "", message.get("node_name"), message.get("node_type"))
        status, node.status = node.status, message.get("node_status")
        content = (message.get("message") or {}).get("content") or ""
        if node.type in ANSWERING:
            delta.text += self._answer(node, content)
            if status == node.status and not is_true(message.get("node_is_completed")):
                return
        else:
            delta.reasoning += _take(node, content, "")
        _tell(delta, message)

    def read_nodes(self, nodes: Iterable[Mapping[str, Any]], delta: ChatDelta) -> None:
        """Add what the nodes of `full_thoughts` say. Every event lists all of them from the first on."""
        for told in nodes:
            node = self._node(told.get("nodeId") or told.get("nodeName") or "", told.get("nodeName"), told["nodeType"])
            status, node.status = node.status, told.get("nodeStatus")
            before, content = node.result, told.get("nodeResult") or ""
            if node.type in ANSWERING:
                delta.text += self._answer(node, _said(content))
                is_new = False
            else:
                reasoning = _take(node, content, reasoning_of(told))
                delta.reasoning += reasoning
                is_new = node.result != before or reasoning != ""
            if is_new or status != node.status:
                _tell(delta, _as_message(told, content))

    def summary(self) -> list[dict[str, Any]]:
        """Return what the nodes have made that do not answer, in the order they began."""
        return [
            {
                "node_id": node.id,
                "node_name": node.name,
                "node_type": node.type,
                "node_status": node.status,
                "result": node.result,
            }
            for node in self._nodes.values()
            if node.type not in ANSWERING
        ]

    def _node(self, id: str, name: str | None, type: str | None) -> Node:
        if (node := self._nodes.get(id)) is None:
            node = self._nodes[id] = Node(id, name, type)
        return node

    def _answer(self, node: Node, content: str) -> str:
        if self._incremental or not content:
            return content
        # UNVERIFIED: the documents show new text even where whole texts were asked for.
        node.result, new = grown(node.result, content)
        return new


def _take(node: Node, content: str, reasoning: str) -> str:
    """Add what a node has made, and return what is new of its reasoning.

    UNVERIFIED: by one document the members of its JSON are whole each time, by another they are new text.
    """
    body = json_of(content)
    body = body if isinstance(body, dict) else {}
    reasoning = reasoning_of(body) or reasoning
    if isinstance(result := body.get("result"), str):
        node.result, _ = grown(node.result, result)
    elif content and not reasoning_of(body):  # the closing one is empty
        node.result = content
    node.reasoning, new = grown(node.reasoning, reasoning)
    return new


def grown(before: str, content: str) -> tuple[str, str]:
    """Return the whole text and what is new of it, from what may be the whole text or only what is new.

    New text that happens to begin with all that came before is taken for the whole: nothing tells the two apart.
    """
    if content.startswith(before):
        return content, content[len(before) :]
    return before + content, content


def node_of(thought: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the node that a thought of `full_thoughts` describes, `None` for a thought of an agent."""
    response = thought.get("response")
    if thought.get("action_type") or not isinstance(response, str) or response[:1] != "{":
        return None
    node = json_of(response)
    if not isinstance(node, dict) or "nodeType" not in node:
        return None
    return node | ({"reasoningContent": told} if (told := reasoning_of(thought)) else {})


def _as_message(node: Mapping[str, Any], content: str) -> dict[str, Any]:
    """Return a node of `full_thoughts` in the shape of a `workflow_message`."""
    return {
        "node_id": node.get("nodeId"),
        "node_name": node.get("nodeName"),
        "node_type": node.get("nodeType"),
        "node_status": node.get("nodeStatus"),
        "node_exec_time": node.get("nodeExecTime"),
        "message": {"role": "assistant", "content": content},
    }


def _said(content: str) -> str:
    """Return what a node that answers said in `full_thoughts`: a text, or JSON in a text with the text as `result`."""
    body = json_of(content)
    said = body.get("result") if isinstance(body, dict) else None
    return said if isinstance(said, str) else content


def _tell(delta: ChatDelta, message: Mapping[str, Any]) -> None:
    delta.additional = delta.additional or {"workflow_messages": []}
    delta.additional["workflow_messages"].append(message)


def reasoning_of(members: Mapping[str, Any]) -> str:
    """Return the reasoning of a thought or a node: documents and public clients spell it differently."""
    return members.get("reasoningContent") or members.get("reasoning_content") or ""


def is_true(value: Any) -> bool:
    """Whether a boolean is true: JSON's by the documents, a text in one SDK."""
    return value is True or value == "true"
