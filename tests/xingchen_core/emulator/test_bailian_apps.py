"""The emulated agents of Bailian, by plain HTTP: text, thoughts, references, usage, sessions, memory, limits."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from bailian_api import APPS, BailianApi, question, refusal
from xingchen_core.emulator import Emulator

APP = APPS + "demo/completion"
PIECES = {"incremental_output": True}
PHONES = {
    "title": "手机",
    "doc_id": "file_fake_7",
    "doc_name": "手机",
    "text": "正文",
    "images": ["https://example.com/1"],
}


@pytest.fixture
def api(emulator: Emulator) -> Iterator[BailianApi]:
    """Plain HTTP to the emulator."""
    client = BailianApi(emulator.url)
    with client.http:
        yield client


def test_an_answer(emulator: Emulator, api: BailianApi) -> None:
    """An answer in one piece has these members and no others."""
    emulator.reply("西湖")
    body = api.good(APP, question("你好"))
    session_id = body["output"].pop("session_id")
    assert len(session_id) == 32
    assert body["output"] == {"finish_reason": "stop", "text": "西湖"}
    assert body["usage"] == {"models": [{"model_id": "qwen-plus", "input_tokens": 2, "output_tokens": 2}]}


def test_without_a_script(api: BailianApi) -> None:
    """The same question gets the same answer, which mentions it."""
    assert "怎么煮粥" in api.ask("怎么煮粥")["text"]
    assert api.ask("怎么煮粥")["text"] == api.ask("怎么煮粥")["text"]


def test_pieces(emulator: Emulator, api: BailianApi) -> None:
    """With incremental_output each event has the next piece, the last one none; till then the reason is a text."""
    emulator.reply("西湖很美。", chunks=["西湖", "很美。"])
    outputs = api.watch(parameters=PIECES)
    assert [each["text"] for each in outputs] == ["西湖", "很美。", ""]
    assert [each["finish_reason"] for each in outputs] == ["null", "null", "stop"]
    assert len({each["session_id"] for each in outputs}) == 1


def test_snapshots(emulator: Emulator, api: BailianApi) -> None:
    """Without it each event has all text so far: the documented default."""
    emulator.reply("西湖很美。", chunks=["西湖", "很美。"])
    assert [each["text"] for each in api.watch()] == ["西湖", "西湖很美。", "西湖很美。"]


def reasoning(entry_text: str) -> dict[str, str]:
    """A piece of reasoning as captured."""
    return {
        "action": "reasoning",
        "thought": entry_text,
        "action_type": "reasoning",
        "response": entry_text,
        "action_name": "思考过程",
    }


def test_reasoning(emulator: Emulator, api: BailianApi) -> None:
    """Reasoning comes first, beside an empty text; its entry stays, empty, when the answer has begun."""
    emulator.reply("好。", thoughts="想想")
    outputs = api.watch(parameters={**PIECES, "has_thoughts": True})
    assert [(each["text"], each["thoughts"]) for each in outputs] == [
        ("", [reasoning("想想")]),
        ("好。", [reasoning("")]),
        ("", [reasoning("")]),
    ]


def test_reasoning_in_one_piece(emulator: Emulator, api: BailianApi) -> None:
    """All of it stands beside the answer; nobody sees it without has_thoughts, but it is billed."""
    emulator.reply("好。", thoughts="想想")
    assert api.ask(parameters={"has_thoughts": True})["thoughts"] == [reasoning("想想")]
    emulator.reply("好。", thoughts="想想")
    hidden = api.good(APP, question("你好"))
    assert "thoughts" not in hidden["output"]
    assert hidden["usage"]["models"][0]["output_tokens"] == 4


def test_thinking_on_request(api: BailianApi) -> None:
    """enable_thinking makes an agent think without a script."""
    shown = {"has_thoughts": True, "enable_thinking": True}
    assert "你好" in api.ask(parameters=shown)["thoughts"][0]["thought"]
    assert api.ask(parameters={"has_thoughts": True})["thoughts"] == []


def test_references_grow(emulator: Emulator, api: BailianApi) -> None:
    """A reference is listed from the event that completes its number on; the list is always whole."""
    chunks = ["A<ref>[2]</", "ref>，B", "<ref>[1]</ref>", "。"]
    emulator.reply("".join(chunks), chunks=chunks, references=[PHONES, "相机", "耳机"])
    outputs = api.watch(parameters=PIECES)
    numbers = [[each["index_id"] for each in output.get("doc_references", [])] for output in outputs]
    assert numbers == [["2"], ["2"], ["1", "2"], ["1", "2"], ["1", "2", "3"]]
    assert outputs[-1]["doc_references"][0] == {"index_id": "1", **PHONES}


def test_citations_are_torn(emulator: Emulator, api: BailianApi) -> None:
    """Without pieces of its own, the text is cut inside its citations."""
    emulator.reply("手机<ref>[1]</ref>。", references=["手机"])
    texts = [each["text"] for each in api.watch(parameters=PIECES)]
    assert "".join(texts) == "手机<ref>[1]</ref>。"
    assert not any("<ref>[1]</ref>" in text for text in texts)


def test_hidden_sources(emulator: Emulator, api: BailianApi) -> None:
    """The console's switch hides the references."""
    emulator.bailian.add_app("quiet", shows_sources=False)
    emulator.reply("手机<ref>[1]</ref>。", references=["手机"])
    assert "doc_references" not in api.ask(app="quiet")


def test_retrieval(api: BailianApi) -> None:
    """A knowledge base asked for is cited, and what was found stands as JSON text in the thoughts."""
    parameters = {"has_thoughts": True, "rag_options": {"pipeline_ids": ["kb1"]}}
    output = api.ask("推荐手机", parameters=parameters)
    assert "<ref>[1]</ref>" in output["text"]
    [entry] = output["thoughts"]
    assert (entry["action_type"], entry["action"], entry["action_name"]) == ("agentRag", "rag", "知识检索")
    [found] = json.loads(entry["observation"])
    assert (found["title"], found["referenceIndex"], found["display"]) == ("kb1里的文档", 1, True)
    assert isinstance(found["score"], float)
    assert json.loads(entry["arguments"]) == {"query": "推荐手机"}


def test_retrieval_without_finds(emulator: Emulator, api: BailianApi) -> None:
    """Nothing found is an empty array in the observation."""
    emulator.reply("没有。", references=[])
    assert api.ask(parameters={"has_thoughts": True})["thoughts"][0]["observation"] == "[]"


def test_tools_in_thoughts(emulator: Emulator, api: BailianApi) -> None:
    """Scripted tool calls are told as MCP tools; whole entries may be scripted too."""
    emulator.reply("晴。", tool_calls=[{"name": "weather", "arguments": {"city": "杭州"}, "result": "晴"}])
    [entry] = api.ask(parameters={"has_thoughts": True})["thoughts"]
    assert (entry["action"], entry["action_type"], entry["arguments"]) == ("weather", "mcp", '{"city":"杭州"}')
    assert json.loads(entry["observation"]) == {"content": [{"type": "text", "text": "晴"}]}
    emulator.reply("晴。", thoughts=[{"action_type": "API", "action": "x"}])
    assert api.ask(parameters={"has_thoughts": True})["thoughts"] == [{"action_type": "API", "action": "x"}]


def test_usage_grows(emulator: Emulator, api: BailianApi) -> None:
    """Usage is a snapshot of all model calls; an application may call one model twice."""
    emulator.bailian.reply("一二三", chunks=["一", "二三"], models=["qwen-plus", "qwen-plus"])
    spent = [event["usage"]["models"] for event in api.events(APP, question("你好", parameters=PIECES))]
    assert [[entry["output_tokens"] for entry in entries] for entries in spent] == [[5, 1], [5, 3], [5, 3]]
    assert {entry["model_id"] for entries in spent for entry in entries} == {"qwen-plus"}


@pytest.mark.parametrize("usage", [{}, None])
def test_no_usage(emulator: Emulator, api: BailianApi, usage: Any) -> None:
    """Usage may be an empty object, or null."""
    emulator.bailian.reply("一", usage=usage)
    assert [event["usage"] for event in api.events(APP, question("你好"))] == [usage, usage]
    emulator.bailian.reply("一", usage=usage)
    assert api.good(APP, question("你好"))["usage"] == usage


def test_another_model(api: BailianApi) -> None:
    """model_id overrides the application's."""
    body = api.good(APP, question("你好", parameters={"model_id": "qwen-max"}))
    assert body["usage"]["models"][0]["model_id"] == "qwen-max"


def test_scripted_events(emulator: Emulator, api: BailianApi) -> None:
    """Whole events may be scripted, one without text too, and members of an answer in one piece."""
    events = [{"output": {"finish_reason": "null"}}, {"output": {"finish_reason": "stop", "text": "一"}}]
    emulator.bailian.reply(events=events)
    assert api.events(APP, question("你好")) == events
    emulator.bailian.reply("一", body={"doc_references": None})
    assert api.ask()["doc_references"] is None


def test_a_conversation(emulator: Emulator, api: BailianApi) -> None:
    """The session that comes back carries the conversation on."""
    first = api.ask("我叫小明")
    second = api.ask("我叫什么", session_id=first["session_id"])
    assert (second["session_id"], second["text"]) == (first["session_id"], "您叫小明。")
    assert api.ask("我叫什么")["text"] == "您还没有告诉我您的名字。"


def test_forgotten_sessions(emulator: Emulator, api: BailianApi) -> None:
    """A session is forgotten after an hour without requests; what comes then has another id, or by a switch its own."""
    session_id = api.ask("我叫小明")["session_id"]
    emulator.bailian.advance(3599)
    assert api.ask("你好", session_id=session_id)["session_id"] == session_id
    emulator.bailian.advance(3599)
    assert api.ask("我叫什么", session_id=session_id)["text"] == "您叫小明。"
    emulator.bailian.advance(3601)
    other = api.ask("我叫什么", session_id=session_id)
    assert other["session_id"] != session_id
    assert other["text"] == "您还没有告诉我您的名字。"
    emulator.bailian.keeps_unknown_sessions = True
    assert api.ask("你好", session_id="mine")["session_id"] == "mine"


def test_fifty_turns(api: BailianApi) -> None:
    """A session keeps its last 50 turns."""
    session_id = api.ask("我叫小明")["session_id"]
    for _ in range(49):
        api.ask("在吗", session_id=session_id)
    assert api.ask("我叫什么", session_id=session_id)["text"] == "您叫小明。"
    assert api.ask("我叫什么", session_id=session_id)["text"] == "您还没有告诉我您的名字。"


def test_sessions_of_other_applications(emulator: Emulator, api: BailianApi) -> None:
    """A session belongs to one application."""
    emulator.bailian.add_app("other")
    session_id = api.ask("我叫小明")["session_id"]
    assert api.ask("我叫什么", app="other", session_id=session_id)["session_id"] != session_id


def test_messages_win(emulator: Emulator, api: BailianApi) -> None:
    """With messages, session and prompt are ignored, and nothing is kept."""
    session_id = api.ask("我叫小明")["session_id"]
    messages = [
        {"role": "system", "content": "你是助手"},
        {"role": "user", "content": "我叫小红"},
        {"role": "assistant", "content": "好"},
        {"role": "user", "content": "我叫什么"},
    ]
    body = {"input": {"messages": messages, "prompt": "再见", "session_id": session_id}, "parameters": {}}
    output = api.good(APP, body)["output"]
    assert output["text"] == "您叫小红。"
    assert len(output["session_id"]) == 32
    assert output["session_id"] != session_id
    assert list(emulator.bailian.sessions) == [session_id]


def test_memory(emulator: Emulator, api: BailianApi) -> None:
    """What a user says of himself is remembered beyond the session, and told in the thoughts with its time."""
    emulator.bailian.clock = lambda: 1_767_225_600.0
    api.ask("我叫小明", memory_id="mem1")
    output = api.ask("我叫什么", memory_id="mem1", parameters={"has_thoughts": True})
    assert output["text"] == "您叫小明。"
    [entry] = output["thoughts"]
    assert (entry["action"], entry["action_type"], entry["action_name"]) == ("memory", "api", "长期记忆检索")
    assert json.loads(entry["observation"]) == ["[2026-01-01 00:00:00] 我叫小明"]
    assert emulator.bailian.memories == {"mem1": ["我叫小明"]}
    assert api.ask("我叫什么", memory_id="mem2")["text"] == "您还没有告诉我您的名字。"


def test_business_parameters(api: BailianApi) -> None:
    """They are repeated when asked for, but never a user's tokens."""
    business = {
        "user_prompt_params": {"city": "杭州"},
        "user_defined_tokens": {"tool_fake_1": {"user_token": "fake-user-token"}},
    }
    text = api.ask("参数是什么", biz_params=business)["text"]
    assert '"city":"杭州"' in text
    assert "fake-user-token" not in text


def test_pictures_and_files(api: BailianApi) -> None:
    """The answer counts what was sent along."""
    text = api.ask("看看", image_list=["https://example.com/1.png"], file_list=["https://example.com/1.pdf"] * 2)[
        "text"
    ]
    assert "1张图片、2个文件" in text


@pytest.mark.parametrize(
    ("parameters", "good"),
    [
        ({"rag_options": {"pipeline_ids": ["kb"] * 5}}, True),
        ({"rag_options": {"pipeline_ids": ["kb"] * 6}}, False),
        ({"rag_options": {"pipeline_ids": ["kb"], "file_ids": ["f"] * 6}}, False),
        ({"rag_options": {"file_ids": ["f"]}}, False),
        ({"rag_options": {"session_file_ids": ["file_session_1"] * 10}}, True),
        ({"rag_options": {"session_file_ids": ["file_session_1"] * 11}}, False),
        ({"rag_options": {"session_file_ids": ["file_1"]}}, False),
        ({"rag_options": {"pipeline_ids": "kb"}}, False),
        ({"rag_options": []}, False),
        ({"incremental_output": "true"}, False),
        ({"flow_stream_mode": "all"}, False),
    ],
)
def test_limits(api: BailianApi, parameters: dict[str, Any], good: bool) -> None:
    """Documented limits of retrieval, and types of switches."""
    response = api.post(APP, question("你好", parameters=parameters))
    assert response.status_code == (200 if good else 400)
    if not good:
        assert refusal(response)[1] == "InvalidParameter"


@pytest.mark.parametrize(
    "given",
    [
        {"prompt": ""},
        {"messages": []},
        {"messages": [{"role": "user", "content": [{"text": "你好"}]}]},
        {"messages": [{"role": "tool", "content": "你好"}]},
        {"messages": [{"role": "assistant", "content": "你好"}]},
        {"prompt": "你好", "image_list": "https://example.com/1.png"},
        {"prompt": "你好", "biz_params": []},
        {"prompt": "你好", "biz_params": {"user_prompt_params": {str(number): "" for number in range(11)}}},
    ],
)
def test_inputs_that_cannot_be(api: BailianApi, given: dict[str, Any]) -> None:
    """Wrong shapes are refused."""
    assert refusal(api.post(APP, {"input": given, "parameters": {}}))[:2] == (400, "InvalidParameter")


def test_overlaps(emulator: Emulator, api: BailianApi) -> None:
    """A question into a session that is still answering another is noted; one after the other are not."""
    session_id = api.ask()["session_id"]
    api.ask(session_id=session_id)
    emulator.fail("stall", after=1)
    headers = {"X-DashScope-SSE": "enable"}
    with api.http.stream("POST", APP, json=question("你好", session_id=session_id), headers=headers) as response:
        received = response.iter_text()
        next(received)
        assert emulator.bailian.overlaps == []
        api.ask(session_id=session_id)
    assert emulator.bailian.overlaps == [session_id]


def test_a_failed_turn_may_have_been_kept(emulator: Emulator, api: BailianApi) -> None:
    """An error in the stream leaves the turn in the session; one before it does not."""
    session_id = api.ask("你好")["session_id"]
    emulator.fail("status", status=500)
    api.post(APP, question("一", session_id=session_id))
    emulator.fail("error_event", status=500, after=1)
    api.post(APP, question("二", session_id=session_id), sse=True)
    assert [asked for asked, _ in emulator.bailian.sessions[session_id].turns] == ["你好", "二"]
