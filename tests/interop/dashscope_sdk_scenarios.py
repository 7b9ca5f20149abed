"""Runs one scenario with the vendor's SDK and prints what the SDK made of it, as JSON.

`python dashscope_sdk_scenarios.py <scenario> <url> [<key>]`, in an interpreter that has dashscope, 1 or 2.
"""

import asyncio
import json
import sys
from http import HTTPStatus
from typing import Any

import dashscope
from dashscope import Application, Generation, MultiModalConversation
from dashscope.aigc.generation import AioGeneration

ASKED = [{"role": "user", "content": "杭州的天气怎么样？"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "查询城市的天气",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def failed(response: Any) -> list[Any]:
    """What the SDK understood of an error."""
    return [response.status_code, response.code, response.message, bool(response.request_id)]


def app(url: str, key: str) -> dict[str, Any]:
    """An agent in one piece, and its session."""
    first = Application.call(app_id="demo", prompt="我叫小明")
    second = Application.call(app_id="demo", prompt="我叫什么", session_id=first.output.session_id)
    [model] = first.usage.models
    return {
        "status": first.status_code,
        "reason": first.output.finish_reason,
        "text": second.output.text,
        "same_session": first.output.session_id == second.output.session_id,
        "usage": [model.model_id, model.input_tokens],
    }


def app_stream(url: str, key: str) -> list[Any]:
    """An agent's pieces."""
    stream = Application.call(app_id="demo", prompt="你好", stream=True, incremental_output=True, has_thoughts=True)
    return [
        [each.output.text, each.output.finish_reason, [thought.response for thought in each.output.thoughts or []]]
        for each in stream
    ]


def app_rag(url: str, key: str) -> dict[str, Any]:
    """References and retrieval."""
    output = Application.call(
        app_id="demo", prompt="推荐手机", has_thoughts=True, rag_options={"pipeline_ids": ["kb1", "kb2"]}
    ).output
    return {
        "documents": [[each.index_id, each.title, each.doc_id] for each in output.doc_references],
        "thoughts": [[each.action_type, json.loads(each.observation)[0]["title"]] for each in output.thoughts],
    }


def app_flow(url: str, key: str) -> list[Any]:
    """A workflow's messages."""
    stream = Application.call(app_id="demo-flow", prompt="你好", stream=True, flow_stream_mode="message_format")
    told = []
    for each in stream:
        message = each.output.workflow_message
        told.append([message["node_type"], message["message"]["content"]] if message else [each.output.text])
    return told


def app_error(url: str, key: str) -> list[Any]:
    """An application nobody knows."""
    return failed(Application.call(app_id="nobody", prompt="你好"))


def text(url: str, key: str) -> dict[str, Any]:
    """A model in one piece."""
    response = Generation.call(
        model="qwen-plus", messages=[{"role": "user", "content": "你好"}], result_format="message"
    )
    return {
        "status": response.status_code,
        "content": response.output.choices[0].message.content,
        "reason": response.output.choices[0].finish_reason,
        "usage": [response.usage.input_tokens, response.usage.output_tokens],
    }


def text_stream(url: str, key: str) -> list[Any]:
    """A model's pieces."""
    stream = Generation.call(
        model="qwen-plus", prompt="你好", result_format="message", stream=True, incremental_output=True
    )
    return [[each.output.choices[0].message.content, each.output.choices[0].finish_reason] for each in stream]


def tools(url: str, key: str) -> dict[str, Any]:
    """A call, its result, and the answer."""
    given: dict[str, Any] = {"model": "qwen-plus", "result_format": "message", "tools": [WEATHER]}
    message = Generation.call(messages=ASKED, **given).output.choices[0].message
    [called] = message.tool_calls
    result = {"role": "tool", "content": "晴", "tool_call_id": called["id"]}
    asked = {"role": "assistant", "content": "", "tool_calls": message.tool_calls}
    answer = Generation.call(messages=[*ASKED, asked, result], **given).output.choices[0]
    return {"called": called["function"], "answer": answer.message.content}


def thinking(url: str, key: str) -> list[str]:
    """Reasoning, then text."""
    stream = Generation.call(
        model="qwen-plus",
        messages=ASKED,
        result_format="message",
        enable_thinking=True,
        stream=True,
        incremental_output=True,
    )
    messages = [each.output.choices[0].message for each in stream]
    return ["".join(each.reasoning_content for each in messages), "".join(each.content for each in messages)]


def media(url: str, key: str) -> list[str]:
    """A picture, in one piece and in a stream."""
    parts = [{"image": "https://example.com/1.png"}, {"text": "有什么"}]
    given: dict[str, Any] = {"model": "qwen-vl-plus", "messages": [{"role": "user", "content": parts}]}
    whole = MultiModalConversation.call(**given).output.choices[0].message.content[0]["text"]
    stream = MultiModalConversation.call(stream=True, incremental_output=True, **given)
    contents = [each.output.choices[0].message.content for each in stream]
    return [whole, "".join(part["text"] for content in contents for part in content)]


def aio(url: str, key: str) -> list[Any]:
    """The asynchronous class, in one piece and in a stream."""

    async def run() -> list[Any]:
        given: dict[str, Any] = {"model": "qwen-plus", "prompt": "你好", "result_format": "message"}
        whole = await AioGeneration.call(**given)
        stream = await AioGeneration.call(stream=True, incremental_output=True, **given)
        contents = [each.output.choices[0].message.content async for each in stream]
        return [whole.output.choices[0].message.content, "".join(contents)]

    return asyncio.run(run())


def text_error(url: str, key: str) -> list[Any]:
    """A refused call."""
    return failed(Generation.call(model="qwen-plus", prompt="你好"))


def stream_error(url: str, key: str) -> list[Any]:
    """A stream that fails: what went well, then the error."""
    stream = Generation.call(
        model="qwen-plus", prompt="你好", result_format="message", stream=True, incremental_output=True
    )
    return [
        each.output.choices[0].message.content if each.status_code == HTTPStatus.OK else [each.code, each.message]
        for each in stream
    ]


def v2(url: str, key: str) -> dict[str, Any]:
    """The new client of 2: models by both protocols, and an agent."""
    from dashscope import Client

    asked: dict[str, Any] = {"model": "qwen-plus", "messages": [{"role": "user", "content": "你好"}]}
    found = {}
    for protocol, path in (("native", "/api/v1"), ("openai", "/compatible-mode/v1")):
        client = Client(api_key=key, base_url=url + path, protocol=protocol)
        whole = client.chat.completions.create(**asked)
        stream = client.chat.completions.create(stream=True, **asked)
        found[protocol] = [whole.choices[0].message.content, "".join(stream.text_stream)]
    client = Client(api_key=key, base_url=url + "/api/v1")
    agent = client.apps.completions.create(app_id="demo", prompt="你好")
    pieces = client.apps.completions.create(app_id="demo", prompt="你好", stream=True, incremental_output=True)
    found["agent"] = [agent.text, "".join(pieces.text_stream)]
    return found


def v2_error(url: str, key: str) -> list[Any]:
    """How the new client raises."""
    from dashscope import Client
    from dashscope.v2 import DashScopeError

    client = Client(api_key=key, base_url=url + "/api/v1", max_retries=0)
    try:
        client.chat.completions.create(model="qwen-plus", messages=[{"role": "user", "content": "你好"}])
    except DashScopeError as error:
        return [error.status_code, error.code]
    return []


if __name__ == "__main__":
    scenario, address, *keys = sys.argv[1:]
    dashscope.api_key = keys[0] if keys else "test-key"
    dashscope.base_http_api_url = address + "/api/v1"
    sys.stdout.write(json.dumps(globals()[scenario](address, dashscope.api_key), ensure_ascii=False))
