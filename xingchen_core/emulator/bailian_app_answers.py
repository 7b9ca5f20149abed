"""What an application answers: its words, thoughts, references and usage, before they are put on the wire."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from xingchen_core.emulator import bailian_texts as texts
from xingchen_core.emulator._wire import json_text
from xingchen_core.emulator.bailian_app_questions import Question
from xingchen_core.emulator.bailian_nodes import USUAL_RUN, Node, read_nodes
from xingchen_core.emulator.bailian_script import AS_USUAL, BailianReply, references

if TYPE_CHECKING:
    from xingchen_core.emulator.bailian import Bailian


@dataclass
class Said:
    """One answer of an application, with everything a script left open filled in."""

    text: str
    pieces: Sequence[str]
    reasoning: str
    thoughts: list[dict[str, Any]]
    """Whole entries: retrieval, memory, tools. The reasoning comes after them."""
    documents: list[dict[str, Any]]
    nodes: list[Node]
    """A workflow's run; empty for an agent."""
    models: Sequence[str]
    input_tokens: int
    script: BailianReply

    def usage(self, shown: str | None) -> Any:
        """`usage` when so much of reasoning and text has been written: one entry a model call, the last one grows."""
        if self.script.usage is not AS_USUAL:
            return self.script.usage
        if shown is None:
            return {}
        entries = [
            {"input_tokens": self.input_tokens, "output_tokens": 5 * number, "model_id": model}
            for number, model in enumerate(self.models, 1)
        ]
        entries[-1]["output_tokens"] = texts.tokens(shown)
        return {"models": entries}

    def cited(self, shown: str) -> list[dict[str, Any]]:
        """The references whose marks have been written, sorted by number."""
        marks = set(re.findall(r"\[(\d+)\]", shown))
        return [document for document in self.documents if document["index_id"] in marks]


def compose(bailian: "Bailian", question: Question, reply: BailianReply | None) -> Said:
    """The scripted answer, or one made of the question."""
    known = _recall(bailian, question)
    sources = reply.references if reply else _sources(question)
    # "Show answer sources" hides references; what retrieval found stays in the thoughts.
    found = references(sources or ())
    text = reply.text if reply else _text(question, known, found)
    reasoning = reply.thoughts if reply and isinstance(reply.thoughts, str) else ""
    if reply is None and question.app.kind == "agent" and question.parameters.get("enable_thinking") is True:
        reasoning = texts.reasoning(question.said)
    thoughts = [dict(entry) for entry in reply.thoughts] if reply and isinstance(reply.thoughts, list | tuple) else []
    if not thoughts:
        thoughts = [*_memory_thoughts(bailian, question, known), *_retrieval_thoughts(question, sources, found)]
    thoughts += [_tool_thought(called) for called in (reply.tool_calls if reply else ())]
    given = [*question.earlier, question.said, *known, *(document["text"] for document in found)]
    pieces = reply.pieces if reply and reply.pieces is not None else texts.pieces(text)
    nodes = []
    if question.app.kind != "agent":
        run = reply.nodes if reply and reply.nodes is not None else question.app.nodes or USUAL_RUN
        nodes = read_nodes(run, pieces, {"query": question.said, **(question.input.get("biz_params") or {})})
        if not text:
            pieces = [piece for node in nodes if node.speaks for piece in node.pieces]
            text = "".join(pieces)
    return Said(
        text,
        pieces,
        reasoning,
        thoughts,
        found if question.app.shows_sources else [],
        nodes,
        (reply.models if reply else None) or [question.parameters.get("model_id") or question.app.model],
        sum(texts.tokens(part) for part in given),
        reply or BailianReply(text),
    )


def _text(question: Question, known: Sequence[str], found: Sequence[Mapping[str, Any]]) -> str:
    business = question.input.get("biz_params") or {}
    # Tokens of a user's plug-ins are secrets: no answer repeats them.
    shown = {name: value for name, value in business.items() if name != "user_defined_tokens"}
    if shown and (question.app.kind != "agent" or re.search(r"参数|变量|biz_params", question.said)):
        return f"收到「{question.said}」，参数是：{json_text(shown)}。"
    seen = texts.media(
        {
            name: len(question.input.get(f"{name}_list", []))
            for name in ("image", "file")
            if question.app.kind == "agent"
        }
    )
    marks = "".join(f"<ref>[{document['index_id']}]</ref>" for document in found)
    return seen + texts.answer(question.said, [*known, *question.earlier]) + marks


def _sources(question: Question) -> list[str] | None:
    """A document of every knowledge base asked for; None when retrieval is off."""
    options = question.parameters.get("rag_options") or {}
    if question.app.kind != "agent" or not options:
        return None
    return [f"{name}里的文档" for name in [*options.get("pipeline_ids", []), *options.get("session_file_ids", [])]]


def _recall(bailian: "Bailian", question: Question) -> list[str]:
    """What the memory knew before this question; what is worth it is added."""
    memory_id = question.input.get("memory_id")
    if not memory_id or question.app.kind != "agent":
        return []
    memories = bailian.memories.setdefault(memory_id, [])
    known = list(memories)
    told = re.search(r"(我叫|我是|我喜欢|我住)(?!什么|谁|哪)|记住|remember", question.said)
    if told and question.said not in known:
        memories.append(question.said)
    return known


def _memory_thoughts(bailian: "Bailian", question: Question, known: Sequence[str]) -> list[dict[str, Any]]:
    if not question.input.get("memory_id") or question.app.kind != "agent":
        return []
    at = datetime.fromtimestamp(bailian.clock(), UTC).strftime("%Y-%m-%d %H:%M:%S")
    observation = [f"[{at}] {fact}" for fact in known]
    return [_thought("memory", "长期记忆检索", "api", {"query": question.said}, observation)]


def _retrieval_thoughts(
    question: Question, sources: Sequence[Any] | None, found: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    if sources is None or question.app.kind != "agent":
        return []
    observation = [
        {
            "content": document["text"],
            "title": document["title"],
            "dataId": document["doc_id"],
            "dataName": document["doc_name"],
            "id": f"ws_fake_kb_fake_{document['doc_id']}_0_1_{number}",
            "score": round(0.9 - 0.1 * number, 2),
            "referenceIndex": number,
            "images": document["images"],
            "display": True,
            "webSearch": False,
        }
        for number, document in enumerate(found, 1)
    ]
    return [_thought("rag", "知识检索", "agentRag", {"query": question.said}, observation)]


def _tool_thought(called: Mapping[str, Any]) -> dict[str, Any]:
    observation = {"content": [{"type": "text", "text": str(called.get("result", ""))}]}
    return _thought(called["name"], called["name"], "mcp", called.get("arguments", {}), observation)


def _thought(action: str, name: str, kind: str, arguments: Any, observation: Any) -> dict[str, Any]:
    return {
        "action": action,
        "action_name": name,
        "action_type": kind,
        "action_input_stream": json_text(arguments),
        "arguments": json_text(arguments),
        "observation": json_text(observation),
    }
