"""How the streams of workflows are read, in each mode: the caller does not know the kind of an application."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app_events import USAGE, deltas, event, flow_node, node, output, question, texts, told
from xingchen_core import InternalServerError, Usage
from xingchen_core.bailian import AppReader
from xingchen_core.bailian.app_replies import read_reply
from xingchen_core.chat import gathered

DONE = {"node_status": "success", "node_is_completed": True}
END = output("你好呀", reason="stop")


def llm(result: str = "", reasoning: str = "", **members: Any) -> dict[str, Any]:
    """A message of an LLM node: JSON in a text."""
    content = json.dumps({"result": result, "reasoningContent": reasoning}, ensure_ascii=False)
    return node(content, id="LLM_fake", type="LLM", **members)


@pytest.mark.parametrize("incremental", [True, False])
@pytest.mark.parametrize(
    "bodies",
    [
        [node("你好"), node("呀", **DONE)],
        [node("你好"), node("呀"), node("", **DONE)],
        [node("你好呀", **DONE)],
        [node("你"), node("好", **DONE), node("呀", id="Output_fake", type="Output", **DONE)],
        [],
    ],
    ids=["content with the close", "empty close", "streaming off", "two nodes", "only the end"],
)
def test_message_format(bodies: list[Any], incremental: bool) -> None:
    """Trap 4: the last event has the whole answer again, and it comes out once; new text in both ways of asking."""
    found = deltas([*bodies, END], incremental_output=incremental)
    assert "".join(texts(found)) == "你好呀"
    assert (found[-1].last, found[-1].finish_reason) == (True, "stop")
    assert "final_text" not in found[-1].metadata


@given(st.text("哈ab", min_size=1, max_size=8), st.sets(st.integers(1, 7)), st.booleans())
def test_any_cut(text: str, cuts: set[int], incremental: bool) -> None:
    """However nodes cut the text, it comes out once; so do whole texts, where they were asked for."""
    ends = [*sorted(cut for cut in cuts if cut < len(text)), len(text)]
    starts = [0, *ends[:-1]] if incremental else [0] * len(ends)
    bodies = [node(text[start:end]) for start, end in zip(starts, ends, strict=True)]
    found = deltas([*bodies, output(text, reason="stop")], incremental_output=incremental)
    assert "".join(texts(found)) == text
    assert "final_text" not in found[-1].metadata


def test_agrees_with_the_whole_answer() -> None:
    """A workflow's stream and its whole answer are the same."""
    final = output("你好呀", reason="stop", usage=USAGE)
    streamed = gathered(deltas([node("你好"), node("呀", **DONE), final]))
    whole = read_reply(final, question())
    assert streamed == whole
    assert (whole.answers[0].text, whole.usage) == ("你好呀", Usage(12, 5))


def test_final_text_has_more() -> None:
    """A piece that was not streamed is in the final text, and is shown."""
    assert texts(deltas([node("你"), END])) == ["你", "好呀"]


def test_final_text_differs() -> None:
    """A final text that does not begin with what was shown is the answer: shown text cannot be taken back."""
    found = deltas([node("坏话"), END])
    assert texts(found) == ["坏话"]
    assert (found[-1].metadata["rewritten"], found[-1].metadata["final_text"]) == (True, "你好呀")
    assert gathered(found).answers[0].text == "你好呀"
    assert deltas([node("坏话"), END], stop="呀")[-1].metadata["final_text"] == "你好"


def test_final_text_of_the_last_node() -> None:
    """UNVERIFIED: where a node spoke before the last one, a final text of the last one alone is no other answer."""
    found = deltas([node("请稍候。", id="Output_fake", type="Output", **DONE), node("你好呀", **DONE), END])
    assert texts(found) == ["请稍候。", "你好呀"]
    assert "final_text" not in found[-1].metadata


@pytest.mark.parametrize("stop", [["呀"], None])
def test_stop(stop: list[str] | None) -> None:
    """A stop sequence cuts the text of nodes, and the repeated whole text brings nothing back."""
    assert "".join(texts(deltas([node("你好"), node("呀", **DONE), END], stop=stop))) == ("你好" if stop else "你好呀")


def test_text_beside_nodes() -> None:
    """Text that repeats what nodes said is not shown again while they speak, nor between their messages."""
    beside = node("", node_status="success")
    beside["output"]["text"] = "你"
    between = thoughts(flow_node(""), text="你")
    assert texts(deltas([node("你"), beside, between, node("好呀", **DONE), END])) == ["你", "好呀"]


def test_end_mark_with_a_node() -> None:
    """An end mark beside a node's message does not lose what follows; without anything it ends the answer."""
    for bodies in ([node("你好", reason="stop"), END], [node("你好呀", reason="stop")]):
        found = deltas(bodies)
        assert ("".join(texts(found)), [delta.last for delta in found][-1]) == ("你好呀", True)


START = node('{"city":"杭州"}', id="Start_fake", type="Start", **DONE)
PLUS = {
    "whole each time": [llm("", "想"), llm("杭", "想一想"), llm("杭州", "想一想")],
    "new text": [llm("", "想"), llm("", "一想"), llm("杭"), llm("州")],
}


@pytest.mark.parametrize("reading", PLUS)
def test_message_format_plus(reading: str) -> None:
    """C1, trap 5: JSON of other nodes is no text of the answer, and is whole each time or new text.

    It reaches the caller as it came; joined either way it is the same, and an LLM node's reasoning is shown.
    """
    closing = node("", id="LLM_fake", type="LLM", **DONE)
    found = deltas([START, *PLUS[reading], closing, node("你好"), node("呀", **DONE), END])
    assert texts(found) == ["你好", "呀"]
    assert "".join(delta.reasoning for delta in found) == "想一想"
    raw = [START, *PLUS[reading], closing]
    end = node("呀", **DONE)
    expected = [body["output"]["workflow_message"] for body in [*raw, node("你好"), end]]
    assert told(found) == expected
    assert (found[-1].additional or {})["workflow_nodes"] == [
        {
            "node_id": "Start_fake",
            "node_name": "结束",
            "node_type": "Start",
            "node_status": "success",
            "result": '{"city":"杭州"}',
        },
        {
            "node_id": "LLM_fake",
            "node_name": "结束",
            "node_type": "LLM",
            "node_status": "success",
            "result": "杭州",
        },
    ]


def test_text_that_looks_like_json() -> None:
    """Trap 5: the type of a node tells what its content is: an End node may answer with JSON."""
    answer = '{"result":"甲"}'
    assert texts(deltas([node(answer, **DONE), output(answer, reason="stop")])) == [answer]


def test_text_is_not_told_twice() -> None:
    """A node that answers is told of when it begins, ends or fails, not with every piece of its text."""
    found = deltas([node("一"), node("二"), node("三"), node("", **DONE), output("一二三", reason="stop")])
    assert [message["message"]["content"] for message in told(found)] == ["一", ""]


@pytest.mark.parametrize("completed", [True, "true"])
def test_completed(completed: Any) -> None:
    """C2: a boolean, or a text in one SDK; "false" is not true."""
    bodies = [node("一"), node("二", node_is_completed="false"), node("三", node_is_completed=completed)]
    assert len(told(deltas([*bodies, output("一二三", reason="stop")]))) == 2


def test_rounds_of_a_loop() -> None:
    """What nodes inside a loop say is JSON for each round: told, never text, whatever their type."""
    rounds = [
        node(json.dumps({"nodeType": "End", "index": at, "output": "甲"}), parent_node_id="Loop_fake", **DONE)
        for at in (0, 1)
    ]
    found = deltas([*rounds, END])
    assert texts(found) == ["你好呀"]
    assert told(found) == [body["output"]["workflow_message"] for body in rounds]


def test_failed_node() -> None:
    """A node that fails is told; an error that ends the stream then is raised."""
    failed = node("", id="Plugin_fake", type="Plugin", node_status="fail")
    found = deltas([failed, END])
    assert told(found)[0]["node_status"] == "fail"
    assert (found[-1].additional or {})["workflow_nodes"][0]["node_status"] == "fail"
    reader = AppReader(question())
    reader.read(event(failed))
    with pytest.raises(InternalServerError) as caught:
        reader.read(event({"code": "AppProcessFailed", "message": "节点失败"}, "error", "HTTP_STATUS/500"))
    assert caught.value.code == "AppProcessFailed"


def thoughts(*nodes: dict[str, Any], text: str | None = None, **fields: Any) -> dict[str, Any]:
    """The body of an event of `full_thoughts`."""
    return output(text, thoughts=list(nodes), **fields)


BEGUN = flow_node(None, status="success", type="Start", nodeExecTime="0ms")
FULL = {
    True: [
        output(),
        thoughts(BEGUN),
        thoughts(BEGUN, flow_node('{"result":"杭"}', type="LLM")),
        thoughts(BEGUN, flow_node('{"result":"州"}', type="LLM")),
        thoughts(BEGUN, flow_node("", type="LLM", status="success"), flow_node('{"result":"你好"}')),
        thoughts(BEGUN, flow_node("", type="LLM", status="success"), flow_node('{"result":"呀"}')),
        thoughts(
            BEGUN,
            flow_node("", type="LLM", status="success"),
            flow_node("", status="success"),
            text="你好呀",
            reason="stop",
        ),
    ],
    False: [
        output(),
        thoughts(BEGUN),
        thoughts(BEGUN, flow_node('{"result":"杭"}', type="LLM")),
        thoughts(BEGUN, flow_node('{"result":"杭州"}', type="LLM")),
        thoughts(BEGUN, flow_node('{"result":"杭州"}', type="LLM", status="success"), flow_node("你好")),
        thoughts(BEGUN, flow_node('{"result":"杭州"}', type="LLM", status="success"), flow_node("你好呀")),
        thoughts(
            BEGUN,
            flow_node('{"result":"杭州"}', type="LLM", status="success"),
            flow_node("你好呀", status="success"),
            text="你好呀",
            reason="stop",
        ),
    ],
}
NODES = [
    {"node_id": "Start_fake", "node_name": "Start", "node_type": "Start", "node_status": "success", "result": ""},
    {"node_id": "LLM_fake", "node_name": "LLM", "node_type": "LLM", "node_status": "success", "result": "杭州"},
]


@pytest.mark.parametrize("incremental", [True, False])
def test_full_thoughts(incremental: bool) -> None:
    """Every event lists all nodes so far, JSON in JSON: each is told when it changes, the answer comes out once."""
    found = deltas(FULL[incremental], flow_stream_mode="full_thoughts", incremental_output=incremental)
    assert texts(found) == ["你好", "呀"]
    assert (found[-1].additional or {})["workflow_nodes"] == NODES
    assert [(message["node_type"], message["node_status"]) for message in told(found)] == [
        ("Start", "success"),
        ("LLM", "executing"),
        ("LLM", "executing"),
        ("LLM", "success"),
        ("End", "executing"),
        ("End", "success"),
    ]
    assert told(found)[0] == {
        "node_id": "Start_fake",
        "node_name": "Start",
        "node_type": "Start",
        "node_status": "success",
        "node_exec_time": "0ms",
        "message": {"role": "assistant", "content": ""},
    }
    whole = read_reply(FULL[False][-1], question(flow_stream_mode="full_thoughts")).answers[0]
    assert (whole.text, whole.additional) == ("你好呀", {"workflow_nodes": NODES})


@pytest.mark.parametrize("incremental", [True, False])
def test_full_thoughts_with_text(incremental: bool) -> None:
    """Where the text comes beside the nodes, theirs is the same said twice."""
    bodies = [
        thoughts(BEGUN, text="你"),
        thoughts(BEGUN, flow_node("你好"), text="好" if incremental else "你好"),
        thoughts(BEGUN, flow_node("你好", status="success"), text="你好呀", reason="stop"),
    ]
    found = deltas(bodies, flow_stream_mode="full_thoughts", incremental_output=incremental)
    assert texts(found) == ["你", "好", "呀"]


def test_full_thoughts_without_names() -> None:
    """A node may have no name, its reasoning may stand beside it, and a response that is no JSON is no node."""
    unnamed = {"response": '{"nodeType":"LLM","nodeId":"L","nodeResult":"杭州"}', "reasoningContent": "想"}
    found = deltas([thoughts(unnamed, {"response": "{坏"}, {"response": "[]"}), thoughts(text="好", reason="stop")])
    assert [delta.reasoning for delta in found] == ["想", ""]
    assert found[-1].additional == {
        "thoughts": [{"response": "{坏"}, {"response": "[]"}],
        "workflow_nodes": [
            {"node_id": "L", "node_name": None, "node_type": "LLM", "node_status": None, "result": "杭州"}
        ],
    }


def test_agent_format() -> None:
    """The text of a workflow like that of an agent; UNVERIFIED whether it ends with the whole text: both are read."""
    for final in ("", "你好呀"):
        bodies = [output("你好"), output("呀"), output(final, reason="stop")]
        assert texts(deltas(bodies, flow_stream_mode="agent_format")) == ["你好", "呀"]
