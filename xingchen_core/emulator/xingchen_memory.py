"""Memory extraction and the automatic description: small readings of a dialogue, the same every time."""

import re
from typing import TYPE_CHECKING, Any

from xingchen_core.emulator import xingchen_texts as texts
from xingchen_core.emulator.xingchen_errors import invalid
from xingchen_core.emulator.xingchen_fields import member, objects, required_text, text

if TYPE_CHECKING:
    from xingchen_core.emulator.xingchen import Call

# What announces a fact of that name, where it is not the name itself.
_MARKS = {
    "姓名": ("我叫", "名字是"),
    "名字": ("我叫", "名字是"),
    "年龄": ("今年",),
    "爱好": ("喜欢", "爱"),
    "likes": ("love", "like"),
    "name": ("my name is", "I am"),
}


def extract_kv(call: "Call") -> dict[str, Any]:
    """`POST /v2/api/extract/kv`: the words that follow a fact's name (or a usual mark of it)."""
    messages = _dialogue(call.body)
    configs = objects(call.body, "kvMemoryConfigs", required=True)
    schemas: list[dict[str, Any]] = []
    for config in configs:
        key = required_text(config, "memoryText", where="kvMemoryConfigs[].")
        if member(config, "enabled", bool, where="kvMemoryConfigs[].") is False:
            continue
        marks = "|".join(map(re.escape, (key, *_MARKS.get(key, ()))))
        for role in ("user", "assistant"):
            said = [message["content"] for message in messages if message["role"] == role]
            found = [match for line in said for match in re.findall(rf"(?:{marks})\s*([^，。！？,.!?\n]+)", line)]
            if found:
                schemas.append({"role": role, "key": key, "value": found})
    return {"schemas": schemas, **_costs(call, messages, str(schemas))}


def extract_summary(call: "Call") -> dict[str, Any]:
    """`POST /v2/api/extract/summary`: one sentence for each utterance of the user."""
    messages = _dialogue(call.body)
    said = [message["content"] for message in messages if message["role"] == "user"]
    results = [{"content": f"用户说过：{line}"} for line in said]
    return {"memoryResults": results, **_costs(call, messages, "".join(said))}


def describe(call: "Call") -> dict[str, Any]:
    """`POST /v2/api/character/auto/desc`: a description from a text, or from a file (its name is all that is read)."""
    kind = required_text(call.body, "type")
    _model_parameters(call.body)
    if kind == "text":
        source = required_text(call.body, "text")
        subject = re.split(r"[，。,.\s]", source)[0]
    elif kind == "file":
        required_text(call.body, "fileUrl")
        source = required_text(call.body, "fileName")
        subject, dot, extension = source.rpartition(".")
        if not (subject and dot and extension):
            raise invalid("fileName must have an extension")
    else:
        raise invalid(f"type must be file or text, not {kind!r}")
    content = f"姓名：{subject}\n简介：{source}\n性格：沉稳可靠，待人真诚"
    used = {"inputTokens": texts.tokens(source), "outputTokens": texts.tokens(content)}
    return {"content": content, "usage": used, "context": {"requestId": call.request_id}}


def _dialogue(body: dict[str, Any]) -> list[dict[str, Any]]:
    _model_parameters(body)
    messages = objects(body, "messages", required=True)
    for message in messages:
        if required_text(message, "role", where="messages[].") not in ("system", "user", "assistant"):
            raise invalid("messages[].role must be system, user or assistant")
        text(message, "content", required=True, where="messages[].")
    return messages


def _model_parameters(body: dict[str, Any]) -> None:
    """The Python SDK calls the member modelParameter, the Go SDK modelParameters."""
    for name in ("modelParameter", "modelParameters"):
        member(body, name, dict)


def _costs(call: "Call", messages: list[dict[str, Any]], produced: str) -> dict[str, Any]:
    used = {
        "inputTokens": texts.count_prompt([message["content"] for message in messages]),
        "outputTokens": texts.tokens(produced),
    }
    return {"usage": used, "context": {"requestId": call.request_id}}
