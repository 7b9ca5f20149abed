"""Which tools a model calls, and what it makes of their results, when nothing was scripted."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from xingchen_core.emulator._wire import json_text
from xingchen_core.emulator.bailian_arguments import fill, one_by_one

if TYPE_CHECKING:
    from xingchen_core.emulator.bailian_brain import Message, Prompt

Called = dict[str, Any]
"""`name` and `arguments`."""

_EMPTY_WORDS = frozenset({"get", "apply", "make", "run", "use", "my", "tool", "function", "the", "a", "of", "for"})


def calls(prompt: "Prompt") -> list[Called]:
    """The calls to make now; none when the results are there, or nothing fits.

    `/call name {"a": 1}` in the user's words is obeyed; else tools are compared with the words.
    """
    if not prompt.tools or prompt.tool_choice == "none":
        return []
    forced = prompt.tool_choice.removeprefix("=") if prompt.tool_choice.startswith("=") else None
    if prompt.streaming and prompt.model.startswith("glm") and not prompt.parameters.get("tool_stream"):
        return []  # in streams these models tell their calls only so
    made = [called["function"]["name"] for message in _since_user(prompt) for called in message.tool_calls]
    if forced:
        tool = next(tool for tool in prompt.tools if tool["name"] == forced)
        return [_call(tool, prompt.said)]
    wanted = _ordered(prompt.said) or _wanted(prompt.tools, prompt.said)
    left = _without(wanted, made)
    if not left and prompt.tool_choice == "required":
        new = [tool for tool in prompt.tools if tool["name"] not in made]
        left = [_call((new or prompt.tools)[0], prompt.said)]
    return left if prompt.parameters.get("parallel_tool_calls") else left[:1]


def _ordered(said: str) -> list[Called]:
    found = re.findall(r"/call\s+([\w-]+)\s*(\{[^\n]*\})?", said)
    return [{"name": name, "arguments": json.loads(arguments or "{}")} for name, arguments in found]


def _wanted(tools: Sequence[Mapping[str, Any]], said: str) -> list[Called]:
    """Every tool whose name stands in the words; else the one that fits them best, if one does."""
    named = [tool for tool in tools if re.search(rf"(?<![\w-]){re.escape(tool['name'])}(?![\w-])", said)]
    chosen = named or _fitting(tools, said)
    return [
        {"name": tool["name"], "arguments": arguments}
        for tool in chosen
        for arguments in one_by_one(tool.get("parameters") or {}, said)
    ]


def _fitting(tools: Sequence[Mapping[str, Any]], said: str) -> list[Mapping[str, Any]]:
    scored = [(_score(tool, said), tool) for tool in tools]
    asks = bool(re.search(r"\btools?\b|工具|调用", said, re.IGNORECASE))
    good = [tool for score, tool in scored if score >= 1]
    if not good and asks:
        return [max(scored, key=lambda pair: pair[0])[1]]
    return good


def _score(tool: Mapping[str, Any], said: str) -> float:
    """How much of a tool's name, or of the Chinese in its description, stands in the words."""
    words = [word for word in re.split(r"[_\W]+|(?<=[a-z])(?=[A-Z])", tool["name"]) if word]
    told = [word.lower() for word in words if word.lower() not in _EMPTY_WORDS]
    lower = said.lower()
    score = sum(word in lower for word in told) / len(told) if told else 0.0
    chinese = "".join(re.findall(r"[\u3400-\u9fff]+", str(tool.get("description", ""))))
    pairs = {chinese[at : at + 2] for at in range(len(chinese) - 1)} - _COMMON_PAIRS
    return score + sum(pair in said for pair in pairs)


_COMMON_PAIRS = frozenset(
    ["城市", "用户", "信息", "工具", "查询", "获取", "一个", "返回", "给定", "用于", "可以", "今天", "两个", "指定"]
)


def _call(tool: Mapping[str, Any], said: str) -> Called:
    return {"name": tool["name"], "arguments": fill(tool.get("parameters") or {}, said)}


def _without(wanted: Sequence[Called], made: Sequence[str]) -> list[Called]:
    """What is wanted and not made: so many calls of a function are done as its name has been called."""
    left, done = [], list(made)
    for called in wanted:
        if called["name"] in done:
            done.remove(called["name"])
        else:
            left.append(called)
    return left


def _since_user(prompt: "Prompt") -> list["Message"]:
    newest = max(at for at, message in enumerate(prompt.messages) if message.role == "user")
    return prompt.messages[newest + 1 :]


def results(prompt: "Prompt") -> list[str]:
    """The results of the tools called since the user's newest words."""
    return [message.text for message in _since_user(prompt) if message.role == "tool"]


def json_object(prompt: "Prompt") -> Any:
    """An object for JSON mode: by a schema that stands in the words, by keys that are named there, or plain."""
    written = "\n".join(message.text for message in prompt.messages)
    for at in [found.start() for found in re.finditer(r"\{", written)]:
        try:
            found, _ = json.JSONDecoder().raw_decode(written, at)
        except ValueError:
            continue
        if isinstance(found, dict) and isinstance(found.get("properties"), dict):
            return fill(found, prompt.said.replace(written[at:], ""))
    keys = re.findall(r"['\"`]([A-Za-z_]\w*)['\"`]", written)
    if not keys:
        keys = re.findall(r"\b([a-z_]\w*)\b(?=\s*(?:,|，|、|和|and)\s*[a-z_]\w*\s*(?:字段|键|keys?|fields?))", written)
    properties = {key: {"type": "string"} for key in dict.fromkeys(keys or ["answer"])}
    return fill({"type": "object", "properties": properties, "required": list(properties)}, prompt.said)


_REACT_TOOL = r"Tool Name:\s*(\S+)\s*\n\s*Tool Description:(.*?)\n\s*Tool Args:\s*(\{[^\n]*\})"


def react(prompt: "Prompt") -> str:
    """The next step in words: `Thought:`, then `Action:` or `Answer:`."""
    tools = [
        {"name": name, "description": text, "parameters": json.loads(schema)}
        for name, text, schema in re.findall(_REACT_TOOL, prompt.system, re.DOTALL)
    ]
    spoken = [message for message in prompt.messages if message.role in ("user", "assistant")]
    asked = max(
        at for at, each in enumerate(spoken) if each.role == "user" and not each.text.lstrip().startswith("Observation")
    )
    question, later = spoken[asked].text, [each.text for each in spoken[asked + 1 :]]
    made = [name for text in later for name in re.findall(r"^Action:\s*(\S+)", text, re.MULTILINE)]
    seen = [found for text in later for found in re.findall(r"^Observation:\s*(.*)", text, re.MULTILINE)]
    left = _without(_wanted(tools, question), made)
    if left:
        step = f"Action: {left[0]['name']}\nAction Input: {json_text(left[0]['arguments'])}"
        return f"Thought: 我需要使用工具来回答这个问题。\n{step}"
    answer = "根据工具返回的结果：" + "；".join(seen) if seen else f"关于「{question}」，不需要工具就能回答。"
    return f"Thought: I can answer without using any more tools. 我用用户的语言回答。\nAnswer: {answer}"
