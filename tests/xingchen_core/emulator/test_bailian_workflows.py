"""The emulated workflows of Bailian, by plain HTTP: the ways a stream tells their nodes."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from bailian_api import APPS, BailianApi, question, read, refusal
from xingchen_core.emulator import Emulator

FLOW = APPS + "demo-flow/completion"
PLUS = {"flow_stream_mode": "message_format_plus"}
RUN = [
    {"type": "Start", "id": "Start_1"},
    {"type": "LLM", "id": "LLM_1"},
    {"type": "End", "id": "End_1", "name": "结束"},
]


@pytest.fixture
def api(emulator: Emulator) -> Iterator[BailianApi]:
    """Plain HTTP to the emulator."""
    client = BailianApi(emulator.url)
    with client.http:
        yield client


def watch(api: BailianApi, emulator: Emulator, mode: str, nodes: Any = None, **parameters: Any) -> list[Any]:
    """`output` of each event of a run that says Hel, lo."""
    emulator.bailian.reply(chunks=["Hel", "lo"], nodes=nodes or RUN)
    return api.watch(app="demo-flow", parameters={"flow_stream_mode": mode, **parameters})


def messages(outputs: list[Any]) -> list[tuple[str, str, bool]]:
    """(type, content, completed) of each node's message."""
    told = [each["workflow_message"] for each in outputs if "workflow_message" in each]
    return [(each["node_type"], each["message"]["content"], each["node_is_completed"]) for each in told]


@pytest.mark.parametrize("incremental", [True, False])
def test_message_format(api: BailianApi, emulator: Emulator, incremental: bool) -> None:
    """Words of the End node come in pieces either way, then the whole answer once more, without a message."""
    first, second, last = watch(api, emulator, "message_format", incremental_output=incremental)
    session_id = first["session_id"]
    assert first == {
        "session_id": session_id,
        "workflow_message": {
            "node_status": "executing",
            "node_type": "End",
            "node_msg_seq_id": 1,
            "node_name": "结束",
            "message": {"content": "Hel", "role": "assistant"},
            "node_is_completed": False,
            "node_id": "End_1",
            "parent_node_id": None,
        },
        "finish_reason": "null",
    }
    assert messages([first, second]) == [("End", "Hel", False), ("End", "lo", True)]
    assert second["workflow_message"]["node_status"] == "success"
    assert second["workflow_message"]["node_msg_seq_id"] == 2
    assert last == {"session_id": session_id, "finish_reason": "stop", "text": "Hello"}


def test_completed_without_content(api: BailianApi, emulator: Emulator) -> None:
    """The event that completes a node may be empty."""
    emulator.bailian.completes_with_content = False
    outputs = watch(api, emulator, "message_format")
    assert messages(outputs) == [("End", "Hel", False), ("End", "lo", False), ("End", "", True)]


def test_no_usage(api: BailianApi, emulator: Emulator) -> None:
    """Usage of message_format is empty, as in the official sample."""
    events = api.events(FLOW, question("你好", parameters={"flow_stream_mode": "message_format"}))
    assert [event["usage"] for event in events] == [{}] * len(events)


def test_several_nodes_speak(api: BailianApi, emulator: Emulator) -> None:
    """Output nodes are part of the answer; the other nodes stay silent."""
    nodes = [
        {"type": "Output", "content": ["先说"]},
        {"type": "LLM", "content": "x"},
        {"type": "End", "content": ["后说"]},
    ]
    emulator.bailian.reply(nodes=nodes)
    outputs = api.watch(app="demo-flow", parameters={"flow_stream_mode": "message_format"})
    assert messages(outputs) == [("Output", "先说", True), ("End", "后说", True)]
    assert outputs[-1]["text"] == "先说后说"


def test_all_nodes(api: BailianApi, emulator: Emulator) -> None:
    """message_format_plus tells every node; an LLM node's content is JSON, and its last one is empty."""
    outputs = watch(api, emulator, "message_format_plus")
    assert messages(outputs) == [
        ("Start", '{"query":"你好"}', True),
        ("LLM", '{"result":"Hel"}', False),
        ("LLM", '{"result":"lo"}', False),
        ("LLM", "", True),
        ("End", "Hel", False),
        ("End", "lo", True),
    ]
    assert outputs[-1]["text"] == "Hello"


def test_usage_after_the_model(api: BailianApi, emulator: Emulator) -> None:
    """Usage is there from the event on that completes the LLM node."""
    emulator.bailian.reply(chunks=["Hel", "lo"], nodes=RUN)
    spent = [event["usage"] for event in api.events(FLOW, question("你好", parameters=PLUS))]
    assert spent[:3] == [{}] * 3
    assert [usage["models"][0]["output_tokens"] for usage in spent[3:]] == [2] * 4


def test_json_snapshots(api: BailianApi, emulator: Emulator) -> None:
    """Another page has it that JSON is repeated whole; text never is."""
    emulator.bailian.json_snapshots = True
    contents = [content for _, content, _ in messages(watch(api, emulator, "message_format_plus"))]
    assert contents[1:] == ['{"result":"Hel"}', '{"result":"Hello"}', "", "Hel", "lo"]


def test_reasoning(api: BailianApi, emulator: Emulator) -> None:
    """An LLM node that thinks says so first."""
    nodes = [{"type": "LLM", "reasoning": "嗯"}]
    contents = [json.loads(each[1] or "{}") for each in messages(watch(api, emulator, "message_format_plus", nodes))]
    assert contents[0] == {"result": "", "reasoningContent": "嗯"}
    assert contents[1]["result"] == "Hel"


def test_sub_canvas(api: BailianApi, emulator: Emulator) -> None:
    """A node in a loop tells its iteration, in one event; its failure does not end the run."""
    inside = {"type": "LLM", "id": "LLM_2", "name": "循环体", "parent": "Loop_1", "content": "x"}
    nodes = [{**inside, "index": 0}, {**inside, "index": 1, "fails": "超时"}, {"type": "End"}]
    outputs = watch(api, emulator, "message_format_plus", nodes)
    told = [each["workflow_message"] for each in outputs[:2]]
    assert [each["parent_node_id"] for each in told] == ["Loop_1", "Loop_1"]
    contents = [json.loads(each["message"]["content"]) for each in told]
    assert contents[0] == {
        "nodeId": "LLM_2",
        "nodeName": "循环体",
        "nodeType": "LLM",
        "nodeStatus": "success",
        "input": "{}",
        "output": '{"result":"x"}',
        "index": 0,
        "parentNodeId": "Loop_1",
        "nodeExecTime": "12ms",
    }
    assert (contents[1]["nodeStatus"], contents[1]["index"], contents[1]["errorInfo"]) == ("fail", 1, "超时")
    assert outputs[-1]["text"] == "Hello"


@pytest.mark.parametrize("mode", ["message_format_plus", "message_format", "full_thoughts"])
def test_a_failed_node(api: BailianApi, emulator: Emulator, mode: str) -> None:
    """A node that fails ends the run with an error, in a stream and in one piece."""
    nodes = [{"type": "Start"}, {"type": "LLM", "name": "模型", "fails": "超时"}, {"type": "End"}]
    body = question("你好", parameters={"flow_stream_mode": mode, "has_thoughts": True})
    emulator.bailian.reply("x", nodes=nodes)
    *_, (fields, data) = read(api.post(FLOW, body, sse=True).text)
    assert (fields["event"], fields["status"], data["code"]) == ("error", "500", "AppProcessFailed")
    emulator.bailian.reply("x", nodes=nodes)
    assert refusal(api.post(FLOW, body)) == (500, "AppProcessFailed", "Node 模型 has failed: 超时")


def results(output: Any) -> list[tuple[str, str, str | None]]:
    """(type, status, result) of each node an event lists; the result is JSON in JSON."""
    nodes = [json.loads(each["response"]) for each in output["thoughts"]]
    return [(node["nodeType"], node["nodeStatus"], node.get("nodeResult")) for node in nodes]


def test_full_thoughts(api: BailianApi, emulator: Emulator) -> None:
    """The default mode lists all nodes so far; what a node that has ended said turns empty when told in pieces."""
    outputs = watch(api, emulator, "full_thoughts", RUN[:2], has_thoughts=True, incremental_output=True)
    assert sorted(outputs[0]) == ["finish_reason", "session_id"]
    start = ("Start", "success", None)
    assert [results(output) for output in outputs[1:]] == [
        [start],
        [start, ("LLM", "executing", '{"result":"Hel"}')],
        [start, ("LLM", "executing", '{"result":"lo"}')],
        [start, ("LLM", "success", "")],
        [start, ("LLM", "success", "")],
    ]
    assert outputs[-1]["text"] == "Hello"
    node = json.loads(outputs[1]["thoughts"][0]["response"])
    assert (node["nodeId"], node["nodeExecTime"]) == ("Start_1", "0ms")


def test_full_thoughts_grow(api: BailianApi, emulator: Emulator) -> None:
    """Without incremental_output results grow, and stay."""
    outputs = watch(api, emulator, "full_thoughts", has_thoughts=True)
    llm = [results(output)[1][1:] for output in outputs[2:]]
    assert llm[:3] == [
        ("executing", '{"result":"Hel"}'),
        ("executing", '{"result":"Hello"}'),
        ("success", '{"result":"Hello"}'),
    ]
    assert llm[-1] == ("success", '{"result":"Hello"}')
    assert outputs[-1]["text"] == "Hello"


def test_thoughts_nobody_asked_for(api: BailianApi, emulator: Emulator) -> None:
    """Without has_thoughts the default mode tells nothing before the end."""
    outputs = watch(api, emulator, "full_thoughts")
    assert [each.get("text") for each in outputs] == [None, "Hello"]
    assert not any("thoughts" in each for each in outputs)


def test_agent_format(api: BailianApi, emulator: Emulator) -> None:
    """The undocumented mode speaks like an agent."""
    outputs = watch(api, emulator, "agent_format", incremental_output=True)
    assert [each["text"] for each in outputs] == ["Hel", "lo", ""]
    assert outputs[-1]["finish_reason"] == "stop"


def test_streaming_switched_off(api: BailianApi, emulator: Emulator) -> None:
    """A node whose output is not streamed sends one message when it ends."""
    emulator.bailian.add_app("quiet", "workflow", streams=False)
    emulator.bailian.reply(chunks=["Hel", "lo"])
    outputs = api.watch(app="quiet", parameters={"flow_stream_mode": "message_format"})
    assert messages(outputs) == [("End", "Hello", True)]
    assert outputs[-1]["text"] == "Hello"


def test_in_one_piece(api: BailianApi, emulator: Emulator) -> None:
    """An answer in one piece is like an agent's, with the nodes as thoughts when asked for."""
    emulator.bailian.reply("Hello", nodes=RUN)
    output = api.ask(app="demo-flow", parameters={"has_thoughts": True})
    assert output["text"] == "Hello"
    assert results(output)[1] == ("LLM", "success", '{"result":"Hello"}')
    assert "thoughts" not in api.ask(app="demo-flow")


def test_variables_of_the_start_node(api: BailianApi) -> None:
    """Business parameters are the start node's variables, and the answer knows them."""
    outputs = api.watch(app="demo-flow", parameters=PLUS, biz_params={"city": "杭州"})
    assert messages(outputs)[0] == ("Start", '{"query":"你好","city":"杭州"}', True)
    assert '"city":"杭州"' in outputs[-1]["text"]


def test_conversations(api: BailianApi) -> None:
    """A dialog workflow keeps its conversations, a task workflow does not."""
    for app, answer in (("demo-dialog", "您叫小明。"), ("demo-flow", "您还没有告诉我您的名字。")):
        session_id = api.ask("我叫小明", app=app)["session_id"]
        again = api.ask("我叫什么", app=app, session_id=session_id)
        assert again["text"] == answer
        assert (again["session_id"] == session_id) is (app == "demo-dialog")
