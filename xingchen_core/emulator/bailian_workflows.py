"""Workflows: nodes that speak one after the other, told in the ways of `flow_stream_mode`."""

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from xingchen_core.emulator._wire import json_text
from xingchen_core.emulator.bailian_app_answers import Said
from xingchen_core.emulator.bailian_app_questions import Question
from xingchen_core.emulator.bailian_errors import Refusal
from xingchen_core.emulator.bailian_nodes import Node

if TYPE_CHECKING:
    from xingchen_core.emulator.bailian import Bailian

Output = tuple[dict[str, Any], str | None]
"""`output` of an event, and all that was written so far; None while `usage` is still empty."""


def whole(question: Question, said: Said) -> dict[str, Any]:
    """`output` of a run in one piece."""
    _check_run(said)
    output: dict[str, Any] = {"finish_reason": "stop", "session_id": question.session.session_id, "text": said.text}
    if question.has_thoughts and _mode(question) == "full_thoughts":
        output["thoughts"] = [_thought(node, node.text, node.status) for node in said.nodes]
    return output


def outputs(bailian: "Bailian", question: Question, said: Said) -> Generator[Output, None, None]:
    """The events of a stream. The last one has the whole answer, once more."""
    mode = _mode(question)
    if mode == "full_thoughts":
        yield from _thoughts(question, said)
        return
    billed: str | None = None
    for node in said.nodes:
        if mode == "message_format_plus" or node.speaks:
            for message in _messages(bailian, node, streams=question.app.streams):
                if mode == "message_format_plus" and message["node_is_completed"] and node.type == "LLM":
                    billed = (billed or "") + node.reasoning + node.text
                yield {"workflow_message": message, "finish_reason": "null"}, billed
        if node.fails and node.parent is None:
            raise _failure(node)
    yield {"finish_reason": "stop", "text": said.text}, billed


def _mode(question: Question) -> str:
    mode: str = question.parameters.get("flow_stream_mode", "full_thoughts")
    return mode


def _check_run(said: Said) -> None:
    """A failed node fails the run; one inside a sub-canvas, only its iteration."""
    for node in said.nodes:
        if node.fails and node.parent is None:
            raise _failure(node)


def _failure(node: Node) -> Refusal:
    return Refusal("AppProcessFailed", f"Node {node.name} has failed: {node.fails}")


def _messages(bailian: "Bailian", node: Node, *, streams: bool) -> Generator[dict[str, Any], None, None]:
    """`workflow_message` of each event of a node."""
    contents = _contents(bailian, node) if streams else [node.content(node.text, node.reasoning)]
    if node.parent:
        contents = [node.sub_canvas_content()]
    for number, content in enumerate(contents, 1):
        completed = number == len(contents)
        yield {
            "node_status": node.status if completed else "executing",
            "node_type": node.type,
            "node_msg_seq_id": number,
            "node_name": node.name,
            "message": {"content": content, "role": "assistant"},
            "node_is_completed": completed,
            "node_id": node.id,
            "parent_node_id": node.parent,
        }


def _contents(bailian: "Bailian", node: Node) -> list[str]:
    if node.type not in ("LLM", "Component", "AgentGroup", "End", "Output"):
        return [node.text]
    contents, text = [], ""
    if node.reasoning:
        contents.append(node.content("", node.reasoning))
    for piece in node.pieces:
        text += piece
        snapshot = bailian.json_snapshots and not node.speaks
        contents.append(node.content(text, node.reasoning) if snapshot else node.content(piece))
    closed_empty = not (node.speaks and bailian.completes_with_content and contents)
    return [*contents, ""] if closed_empty else contents


def _thoughts(question: Question, said: Said) -> Generator[Output, None, None]:
    """`full_thoughts`: each event lists all nodes so far."""
    yield {"finish_reason": "null"}, None
    listed: list[dict[str, Any]] = []
    for node in said.nodes:
        text = ""
        for piece in node.pieces if node.type != "Start" else ():
            text += piece
            if question.has_thoughts:
                result = piece if question.incremental else text
                yield {"thoughts": [*listed, _thought(node, result, "executing")], "finish_reason": "null"}, None
        # The result of a node that has ended turns empty where results are told in pieces.
        listed.append(_thought(node, None if question.incremental else text, node.status))
        if question.has_thoughts:
            yield {"thoughts": list(listed), "finish_reason": "null"}, None
        if node.fails and node.parent is None:
            raise _failure(node)
    output: dict[str, Any] = {"finish_reason": "stop", "text": said.text}
    if question.has_thoughts:
        output["thoughts"] = listed
    yield output, said.reasoning + said.text


def _thought(node: Node, result: str | None, status: str) -> dict[str, Any]:
    """JSON in a string; the result is JSON in a string in it."""
    told: dict[str, Any] = {"nodeName": node.name}
    if node.type != "Start":
        told["nodeResult"] = "" if result is None else json_text({"result": result})
    told |= {"nodeType": node.type, "nodeStatus": status, "nodeId": node.id}
    if status != "executing":
        told["nodeExecTime"] = "12ms" if node.type != "Start" else "0ms"
    return {"response": json_text(told)}
