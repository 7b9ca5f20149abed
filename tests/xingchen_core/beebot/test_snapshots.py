"""How a streamed answer is read: snapshots, each the whole text so far, become what is new."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xingchen_core import APIResponseError, ChatDelta
from xingchen_core._sse import ServerSentEvent, SSEDecoder
from xingchen_core.beebot import BeebotReader, BeebotRequest

CAPTURE = Path(__file__).parents[2] / "fixtures/beebot_capture.sse"
ANSWER = "我是个大模型,能够回答问题、创作文字,比如写故事、写公文、写邮件、写剧本等等,还能表达观点,玩游戏等。"


def event(value: Any, **envelope: Any) -> ServerSentEvent:
    """An event with this inner object, as text inside JSON."""
    data = [{"type": "JSON_TEXT", "value": json.dumps(value, ensure_ascii=False)}]
    whole = {"data": data, "messageId": "m1", "requestId": "r1", "success": True, **envelope}
    return ServerSentEvent("message", json.dumps(whole, ensure_ascii=False).encode(), "", ())


def inner(body: dict[str, Any] | None, *, ends: bool = False, **more: Any) -> dict[str, Any]:
    """An inner object; without a body it is the acknowledgement."""
    value: dict[str, Any] = {"IsAIGC": body is not None, "MessageId": "a1", "SessionId": "s1", "SequenceId": "x"}
    if body is not None:
        value |= {"MessageBody": body, "Source": "NON_STRUCTURAL_KNOWLEDGE"}
    return {**value, "StreamEnd": ends, **more}


def direct(*contents: str | None, **more: Any) -> dict[str, Any]:
    """`MessageBody` of an answer with these sentences."""
    body = {"ContentType": "PLAIN_TEXT", "SentenceList": [{"Content": content} for content in contents], **more}
    return {"Type": "Direct", "VoiceConfig": {}, "DirectMessageBody": body}


def clarify(**body: Any) -> dict[str, Any]:
    """`MessageBody` of a counter-question."""
    return {"Type": "Clarify", "ClarifyMessageBody": body}


def deltas(values: Iterable[Any], **fields: Any) -> list[ChatDelta]:
    """All results of a stream of these inner objects."""
    reader = BeebotReader(BeebotRequest(instance_id="chatbot-cn-demo", utterance="你好", **fields))
    found = [reader.read(each if isinstance(each, ServerSentEvent) else event(each)) for each in values]
    return [*(delta for delta in found if delta is not None), *reader.end()]


def answer(*snapshots: str, **fields: Any) -> list[ChatDelta]:
    """The results of a stream of these texts, the last of which ends it."""
    *growing, last = [direct(text) for text in snapshots]
    return deltas([inner(None), *(inner(body) for body in growing), inner(last, ends=True)], **fields)


def texts(found: Iterable[ChatDelta]) -> list[str]:
    """The pieces shown, without empty ones."""
    return [delta.text for delta in found if delta.text]


def test_the_captured_stream() -> None:
    """The stream the vendor's sample received gives each addition once, and one last delta with all that is known."""
    reader = BeebotReader(BeebotRequest(instance_id="chatbot-cn-demo", utterance="你有什么技能?"))
    events = SSEDecoder().feed(CAPTURE.read_bytes())
    assert len(events) == 12
    found = [delta for each in events if (delta := reader.read(each)) is not None]
    assert [delta.text for delta in found] == [
        "我是个大模型,能够",
        "回答问题、创作文字,比如写",
        "故事、写公文、写邮件",
        "、写剧本等等,还能表达观点",
        ",玩游戏等。",
        "",
    ]
    assert reader.finished
    assert [delta.last for delta in found] == [False] * 5 + [True]
    assert found[-1].finish_reason == "stop"
    assert found[-1].metadata == {
        "session_id": "000000000000000000000000000000c1",
        "message_id": "000000000000000000000000000000a0",
        "request_id": "00000000000000000000000000000b0b",
        "source": "NON_STRUCTURAL_KNOWLEDGE",
        "is_aigc": True,
        "answer_type": "Direct",
        "content_type": "RICH_TEXT",
        "model_name": "chatbot-cn-demo",
    }
    assert found[-1].additional == {}


def test_trap_2_snapshots_are_not_appended() -> None:
    """Each text repeats the one before: only what is new comes out."""
    assert texts(answer("一", "一二", "一二三")) == ["一", "二", "三"]


def test_trap_3_events_without_text() -> None:
    """The acknowledgement, empty snapshots and repeats give nothing, and are no end."""
    found = deltas(
        [inner(None), inner(direct("")), inner(direct("")), inner(direct("好")), inner(direct("好"), ends=True)]
    )
    assert [(delta.text, delta.last) for delta in found] == [("好", False), ("", True)]


def test_trap_8_the_answer_s_id() -> None:
    """Of the three ids the answer's own, inside, is the message's; the request's is the last one."""
    found = deltas([event(inner(None), requestId="r1"), event(inner(direct("好"), ends=True), requestId="r2")])
    assert (found[-1].metadata["message_id"], found[-1].metadata["request_id"]) == ("a1", "r2")


def test_trap_13_rich_text_is_left_alone() -> None:
    """HTML is neither rendered nor stripped; the metadata says what it is."""
    html = '<p>见<a href="https://example.invalid">这里</a></p>'
    found = deltas([inner(direct(html, ContentType="RICH_TEXT"), ends=True)])
    assert texts(found) == [html]
    assert found[-1].metadata["content_type"] == "RICH_TEXT"


def test_trap_14_order_is_arrival() -> None:
    """Sequence numbers are random and order nothing."""
    values = [
        inner(direct("一"), SequenceId="9"),
        inner(direct("一二"), SequenceId="1"),
        inner(direct("一二"), ends=True),
    ]
    assert texts(deltas(values)) == ["一", "二"]


@given(st.text(max_size=30), st.lists(st.integers(0, 30), max_size=6))
def test_any_growth_adds_up(text: str, cuts: list[int]) -> None:
    """However the text grows, the pieces add up to it."""
    found = answer(*(text[:at] for at in sorted(cuts)), text)
    assert "".join(delta.text for delta in found) == text
    assert "rewritten" not in found[-1].metadata


@pytest.mark.parametrize(
    ("snapshots", "shown", "final"),
    [
        (["一二三", "一二"], ["一二三"], "一二"),
        (["一二三", "一二", "一二三"], ["一二三"], None),
        (["一二三", "一二", "一二三四"], ["一二三", "四"], None),
        (["一二三", "换个话题"], ["一二三"], "换个话题"),
        (["一二三", "换个话题", "一二三四"], ["一二三", "四"], None),
        (["一二三", "一二四五"], ["一二三"], "一二四五"),
        (["一二三", ""], ["一二三"], ""),
        (["**一**", "一"], ["**一**"], "一"),
    ],
)
def test_a_text_that_does_not_grow(snapshots: list[str], shown: list[str], final: str | None) -> None:
    """A text that shrank or was rewritten is never pasted behind the old one; the end says what the answer is."""
    found = answer(*snapshots)
    assert texts(found) == shown
    assert found[-1].metadata.get("final_text") == final
    assert found[-1].metadata.get("rewritten") is (None if final is None else True)


def test_a_direct_answer_turned_into_a_question() -> None:
    """A counter-question in place of what was being said is a rewritten answer."""
    found = deltas([inner(direct("您可以")), inner(clarify(ClarifyContent="哪一项?", ClarifyList=["退货"]), ends=True)])
    assert texts(found) == ["您可以"]
    assert found[-1].metadata["final_text"] == "哪一项?"
    assert found[-1].finish_reason == "clarify"


def test_several_sentences() -> None:
    """The entries of the sentence list are one text, whichever way it grows."""
    values = [inner(direct("甲。")), inner(direct("甲。", "乙")), inner(direct("甲。", None, "乙。"), ends=True)]
    assert texts(deltas(values)) == ["甲。", "乙", "。"]


def test_references() -> None:
    """References are kept as they come; citations say which part of the text is from which, by its indices."""
    items = [{"Number": 1, "Title": "手册", "DataSource": "FAQ_DIRECT"}, {"Number": 2, "Title": "附录"}]
    sentences = [{"Content": "甲。", "ReferNumber": 1}, {"Content": "空"}, {"Content": "乙。", "ReferNumber": 2}]
    body = direct(SentenceList=sentences, AnswerReference={"ItemList": items})
    [delta] = deltas([inner(body, ends=True)])
    assert delta.additional is not None
    assert delta.additional["references"] == items
    assert delta.additional["citations"] == [
        {"start": 0, "end": 2, "number": 1},
        {"start": 3, "end": 5, "number": 2},
    ]
    assert [delta.text[each["start"] : each["end"]] for each in delta.additional["citations"]] == ["甲。", "乙。"]


@pytest.mark.parametrize(
    "choices", [["退货", "退款"], [{"Title": "退货", "KnowledgeId": "1"}]], ids=["texts", "objects"]
)
def test_a_counter_question(choices: list[Any]) -> None:
    """Text, heading and choices of a counter-question; the choices stay as they come."""
    asked = clarify(ClarifyContent="哪一项?", Title="请选择", ClarifyList=choices)
    found = deltas([inner(None), inner(asked), inner(asked, ends=True)])
    assert texts(found) == ["哪一项?"]
    assert found[-1].finish_reason == "clarify"
    assert found[-1].metadata["answer_type"] == "Clarify"
    assert found[-1].additional == {"clarify_title": "请选择", "clarify_list": choices}


def test_a_heading_stands_in_for_the_question() -> None:
    """Without a text the heading is shown, once it is certain that no text comes."""
    heading = clarify(Title="请选择", ClarifyContent="")
    assert texts(deltas([inner(heading), inner(heading, ends=True)])) == ["请选择"]
    found = deltas([inner(heading), inner(clarify(Title="请选择", ClarifyContent="哪一项?"), ends=True)])
    assert texts(found) == ["哪一项?"]
    assert "rewritten" not in found[-1].metadata


COMMAND = {"sysToAgent": '{"skillGroup":"12","ext":"","toAgentReason":"HitKeywords"}'}


@pytest.mark.parametrize(
    "values",
    [
        [inner({**direct("请稍等"), "Commands": COMMAND}, ends=True)],
        [inner(direct("请稍等"), ends=True, Commands=COMMAND)],
        [inner({**direct("请稍等"), "Commands": COMMAND}), inner({**direct("请稍等"), "Commands": {}}, ends=True)],
        [inner(None, Commands=COMMAND), inner(direct("请稍等"), ends=True)],
    ],
    ids=["in the body", "beside it", "before the end", "with the acknowledgement"],
)
def test_hand_over(values: list[dict[str, Any]]) -> None:
    """Wherever the command stands, the answer hands over to a human, and the command is read."""
    found = deltas(values)
    assert found[-1].finish_reason == "handover"
    assert found[-1].additional == {
        "commands": {"sysToAgent": {"skillGroup": "12", "ext": "", "toAgentReason": "HitKeywords"}}
    }


def test_a_command_that_is_no_json() -> None:
    """Values that are something else than JSON text stay as they come."""
    body = {**direct("好"), "Commands": {"sysToAgent": "now", "other": {"a": 1}}}
    [delta] = deltas([inner(body, ends=True)])
    assert delta.additional == {"commands": {"sysToAgent": "now", "other": {"a": 1}}}


def test_only_a_command() -> None:
    """An answer without any text is one."""
    [delta] = deltas([inner({**direct(""), "Commands": COMMAND}, ends=True)])
    assert (delta.text, delta.finish_reason) == ("", "handover")
    assert "rewritten" not in delta.metadata


def test_no_answer() -> None:
    """The policy that answered is named; further questions are kept."""
    body = direct("这个我还不会", HitSystemAskConfig="NO_ANSWER", RelatedQuestionList=["怎么退货?"], Ext={"a": 1})
    [delta] = deltas([inner(body, ends=True)])
    assert delta.finish_reason == "no_answer"
    assert delta.metadata["system_policy"] == "NO_ANSWER"
    assert delta.additional == {"related_questions": ["怎么退货?"], "ext": {"a": 1}}


def test_an_unknown_kind() -> None:
    """A kind that is in no document gives no text, and the whole of it is kept."""
    body = {"Type": "Hologram", "HologramMessageBody": {"Content": "?"}}
    [delta] = deltas([inner(None), inner(body, ends=True)])
    assert (delta.text, delta.finish_reason) == ("", "stop")
    assert delta.metadata["answer_type"] == "Hologram"
    assert delta.additional == {"message_body": body}


def test_an_end_without_a_body() -> None:
    """The last event may say nothing but that it is the last."""
    found = deltas([inner(direct("好", HitSystemAskConfig="GPTQA_MODEL")), inner(None, ends=True)])
    assert texts(found) == ["好"]
    assert found[-1].metadata["system_policy"] == "GPTQA_MODEL"
    assert "rewritten" not in found[-1].metadata


def test_an_end_that_says_less() -> None:
    """What the last event leaves out stays as the events before it told it."""
    values = [
        inner(direct("好", HitSystemAskConfig="NO_ANSWER"), Source="SYSTEM_ASK_CONFIG"),
        inner({"Type": "Direct"}, ends=True, Source=None, IsAIGC=None),
    ]
    last = deltas(values)[-1]
    assert last.finish_reason == "no_answer"
    assert (last.metadata["source"], last.metadata["is_aigc"]) == ("SYSTEM_ASK_CONFIG", True)


def test_other_elements_are_passed_over() -> None:
    """Of `data` every JSON text counts, and nothing else; without `data` an event says nothing."""
    several = [
        {"type": "PICTURE", "value": "x"},
        {"type": "JSON_TEXT", "value": json.dumps(inner(direct("一")))},
        {"type": "JSON_TEXT", "value": json.dumps(inner(direct("一二"), ends=True))},
    ]
    assert texts(deltas([event({}, data=None), event({}, data=several)])) == ["一二"]


def test_what_comes_after_the_end() -> None:
    """The answer is complete at its end mark; later events change nothing."""
    found = deltas([inner(direct("好"), ends=True), inner(direct("好的"), ends=True), event({}, success=False)])
    assert [(delta.text, delta.last) for delta in found] == [("好", True)]


@pytest.mark.parametrize(
    ("snapshots", "stop", "shown", "final"),
    [
        (["今天", "今天很好。明", "今天很好。明天"], ["。"], ["今天", "很好"], None),
        (["回头再", "回头再见吧"], ["再见"], ["回头"], None),
        (["下次再", "下次再"], ["再见"], ["下次", "再"], None),
        (["一。二", "一。三"], ["。"], ["一"], None),
        (["一二三", "甲。乙"], ["。"], ["一二三"], "甲"),
        (["一二再", "甲乙"], ["再见"], ["一二"], "甲乙"),
    ],
)
def test_stop_sequences(snapshots: list[str], stop: list[str], shown: list[str], final: str | None) -> None:
    """The text is cut by us before the first of them, a rewritten one too; the rest is read for its metadata."""
    found = answer(*snapshots, stop=stop)
    assert texts(found) == shown
    assert found[-1].metadata.get("final_text") == final
    assert found[-1].metadata["message_id"] == "a1"


def test_a_stream_without_an_end() -> None:
    """A stream that just ends is no answer; what came is kept."""
    with pytest.raises(APIResponseError, match="StreamEnd") as caught:
        deltas([inner(direct("一")), inner(direct("一二"))])
    assert (caught.value.partial_text, caught.value.request_id) == ("一二", "r1")


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"<html>",
        b"[]",
        b'{"data":[{"type":"JSON_TEXT","value":"{"}]}',
        b'{"data":[{"type":"JSON_TEXT","value":"[]"}]}',
    ],
)
def test_no_json(broken: bytes) -> None:
    """An event, or a value in it, that is no JSON object is an error that quotes its start."""
    reader = BeebotReader(BeebotRequest(instance_id="chatbot-cn-demo", utterance="你好"))
    with pytest.raises(APIResponseError, match="no JSON object"):
        reader.read(ServerSentEvent("message", broken, "", ()))


def test_traps_5_and_6_the_answer_s_bytes() -> None:
    """`data:` with and without a space; U+2028, U+2029 and U+0085 inside a text are no line ends."""
    text = "甲\u2028乙\u2029丙\u0085丁\x0b戊"
    value = json.dumps(inner(direct(text), ends=True), ensure_ascii=False)
    envelope = json.dumps({"data": [{"type": "JSON_TEXT", "value": value}], "success": True}, ensure_ascii=False)
    for colon in ("data:", "data: "):
        [each] = SSEDecoder().feed(f": hi\r\nevent: x\r\n{colon}{envelope}\r\n\r\n".encode())
        assert texts(deltas([each])) == [text]
