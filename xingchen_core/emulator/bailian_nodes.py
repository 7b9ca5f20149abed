"""The nodes of a workflow's run: what each of them says, in pieces."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xingchen_core.emulator import bailian_texts as texts
from xingchen_core.emulator._wire import json_text

TEXT_TYPES = ("End", "Output")
"""Nodes whose content is text; the content of the others is JSON."""
USUAL_RUN: tuple[Mapping[str, Any], ...] = (
    {"type": "Start", "name": "开始"},
    {"type": "LLM", "name": "大模型"},
    {"type": "End", "name": "结束"},
)


@dataclass
class Node:
    """One node in one run. `parent` and `index`: the sub-canvas it runs in, and the iteration there."""

    type: str
    name: str
    id: str
    pieces: Sequence[str]
    reasoning: str = ""
    parent: str | None = None
    index: int = 0
    fails: str | None = None

    @property
    def text(self) -> str:
        """All it says."""
        return "".join(self.pieces)

    @property
    def speaks(self) -> bool:
        """Whether its words are part of the answer."""
        return self.type in TEXT_TYPES and self.parent is None

    @property
    def status(self) -> str:
        """How it ends."""
        return "fail" if self.fails else "success"

    def content(self, text: str, reasoning: str = "") -> str:
        """`content` of a message: JSON text, of a node whose words are not the answer."""
        if self.type in TEXT_TYPES:
            return text
        return json_text({"result": text, **({"reasoningContent": reasoning} if self.reasoning else {})})

    def sub_canvas_content(self) -> str:
        """`content` of a node inside a loop or a batch."""
        told: dict[str, Any] = {
            "nodeId": self.id,
            "nodeName": self.name,
            "nodeType": self.type,
            "nodeStatus": self.status,
            "input": "{}",
            "output": json_text({"result": self.text}),
            "index": self.index,
            "parentNodeId": self.parent,
            "nodeExecTime": "12ms",
        }
        if self.fails:
            told |= {"errorCode": "NodeFailed", "errorInfo": self.fails}
        return json_text(told)


def read_nodes(given: Sequence[Mapping[str, Any]], pieces: Sequence[str], inputs: Mapping[str, Any]) -> list[Node]:
    """Nodes from their descriptions. One without content says the answer's pieces; Start, the inputs."""
    nodes = []
    for number, each in enumerate(given, 1):
        kind = each["type"]
        content = each.get("content", [json_text(inputs)] if kind == "Start" else pieces)
        nodes.append(
            Node(
                kind,
                each.get("name", kind),
                each.get("id", f"{kind}_fake{number}"),
                texts.pieces(content) if isinstance(content, str) else list(content),
                each.get("reasoning", ""),
                each.get("parent"),
                each.get("index", 0),
                each.get("fails"),
            )
        )
    return nodes
