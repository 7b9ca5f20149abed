"""How a whole answer of a chat is read."""

import copy
from typing import Any

import httpx
import pytest
from vcr.cassette import Cassette

from toy_service import CLIENTS
from xingchen_core import Answer, APIResponseError, ChatReply, Message, ToolCall, Usage, XingchenSettings
from xingchen_core.characters import ChatRequest, GroupChat, GroupMember, chat

REQUEST_ID = "00000000-0000-4000-8000-000000000001"

# The one complete sample of the documents; its ids are invented.
SAMPLE: dict[str, Any] = {
    "requestId": REQUEST_ID,
    "code": 200,
    "success": True,
    "data": {
        "requestId": REQUEST_ID,
        "choices": [
            {
                "messages": [{"role": "assistant", "content": "I am Xiaowan.", "finishReason": "stop"}],
                "stopReason": "stop",
            }
        ],
        "usage": {"outputTokens": 5, "inputTokens": 1336, "userTokens": 7},
        "context": {
            "chatRoomId": 1,
            "sessionId": "s1",
            "chatId": "c1",
            "messageId": "m1",
            "enableDataInspection": False,
            "isSave": True,
            "requestId": REQUEST_ID,
            "modelRequestId": "00000000-0000-4000-8000-000000000002",
            "origin": "pass_v2",
            "ext": "chat",
        },
        "stop": True,
    },
}


def request(**fields: Any) -> ChatRequest:
    """A request of user u1 to a stored character."""
    if "group" not in fields:
        fields = {"character_id": "demo", **fields}
    return ChatRequest(**{"user_id": "u1", "messages": [Message(role="user", content="你是谁?")], **fields})


def read(data: dict[str, Any], **fields: Any) -> ChatReply:
    """The reply that these members of `data` make."""
    return chat(request(**fields)).parse({"success": True, "code": 200, "data": data})


def choice(content: str | None = "好", *, reason: str | None = "stop", **members: Any) -> dict[str, Any]:
    """A choice with one message."""
    message = {"role": "assistant", "content": content, "finishReason": reason, **members}
    return {"messages": [message], "stopReason": reason}


def test_the_documents_sample() -> None:
    """Traps 1, 2, 16 and 25: enveloped, `messages` is an array, `chatRoomId` a number, unknown members are ignored."""
    assert chat(request()).parse(copy.deepcopy(SAMPLE)) == ChatReply(
        answers=(Answer("I am Xiaowan.", finish_reason="stop"),),
        usage=Usage(1336, 5, input_details={"user_tokens": 7}),
        metadata={
            "session_id": "s1",
            "chat_id": "c1",
            "message_id": "m1",
            "chat_room_id": 1,
            "model_request_id": "00000000-0000-4000-8000-000000000002",
            "is_saved": True,
            "answer_id": "m1",
            "request_id": REQUEST_ID,
            "user_id": "u1",
            "character_id": "demo",
            "model_name": "xingchen-plus-v2",
        },
    )


@pytest.mark.parametrize("kind", CLIENTS.values(), ids=CLIENTS.keys())
@pytest.mark.cassette("xingchen_core/test_characters/test_published_reply")
async def test_the_published_exchange(kind: Any, cassette: Cassette) -> None:
    """The same as a whole exchange: address, headers and body of the request, and the answer's bytes."""
    client = kind(XingchenSettings())
    reply = await client.send(chat(request(character_id="0123456789abcdef0123456789abcdef", seed=731942)))
    await client.aclose()
    assert reply.answers[0].text == "I am Xiaowan."
    assert reply.usage.total_tokens == 1341
    assert reply.metadata["chat_room_id"] == 1


def test_tokens_are_not_counted_twice() -> None:
    """`userTokens` is part of `inputTokens`; plugin tokens are a detail of the output."""
    usage = read(
        {"choices": [choice()], "usage": {"inputTokens": 9, "outputTokens": 4, "userTokens": 2, "pluginTokens": 1}}
    )
    assert usage.usage == Usage(9, 4, input_details={"user_tokens": 2}, output_details={"plugin_tokens": 1})
    assert usage.usage.total_tokens == 13


@pytest.mark.parametrize("usage", [{}, {"usage": None}, {"usage": {}}])
def test_no_usage(usage: dict[str, Any]) -> None:
    """Unknown is not zero."""
    assert read({"choices": [choice()], **usage}).usage is None


def test_an_inline_characters_short_context() -> None:
    """Trap 16: session, chat and message ids may be missing; the model's name is then the one that answered."""
    context = {"modelName": "xingchen-plus", "requestId": "r-1", "modelRequestId": "mr-1"}
    assert read({"choices": [choice()], "context": context}).metadata == {
        "request_id": "r-1",
        "model_request_id": "mr-1",
        "user_id": "u1",
        "character_id": "demo",
        "model_name": "xingchen-plus",
    }
    assert read({"choices": [choice()]}, model="xingchen-base").metadata == {
        "user_id": "u1",
        "character_id": "demo",
        "model_name": "xingchen-base",
    }


@pytest.mark.parametrize(
    ("context", "answer_id", "query_id"),
    [
        ({"messageId": "m1", "replyMessageId": "q1"}, "m1", "q1"),
        ({"answerId": "a1", "queryId": "q2"}, "a1", "q2"),
        ({"messageId": "m1", "answerId": "a1", "replyMessageId": "q1", "queryId": "q2"}, "a1", "q2"),
    ],
)
def test_ids_for_regenerating(context: dict[str, Any], answer_id: str, query_id: str) -> None:
    """The ids a regeneration needs have two spellings each; the dedicated one wins."""
    metadata = read({"choices": [choice()], "context": context}).metadata
    assert (metadata["answer_id"], metadata["query_id"]) == (answer_id, query_id)


def test_several_choices() -> None:
    """Several answers as several choices."""
    reply = read({"choices": [choice("一"), choice("二", reason="length")]}, n=2)
    assert [(a.text, a.finish_reason) for a in reply.answers] == [("一", "stop"), ("二", "length")]


def test_several_messages_of_one_choice() -> None:
    """Several answers as several messages: the documents do not say which way they come."""
    messages = [*choice("一")["messages"], *choice("二", reason=None)["messages"]]
    reply = read({"choices": [{"messages": messages, "stopReason": "stop"}]}, n=2)
    assert [(a.text, a.finish_reason) for a in reply.answers] == [("一", "stop"), ("二", "stop")]


def test_one_answer_in_several_messages() -> None:
    """Where one answer was asked for, several messages are its parts: nothing of them is lost."""
    call = {"thought": "查", "apiCallList": [{"apiName": "f", "parameters": {"x": 1}}]}
    messages = [
        {"role": "assistant", "content": "等一下。", "finishReason": None},
        {"role": "assistant", "content": "", "functionCall": call, "finishReason": "stop", "meta": {"hasRisk": True}},
    ]
    (answer,) = read({"requestId": "r-1", "choices": [{"messages": messages}]}).answers
    assert answer.text == "等一下。"
    assert answer.tool_calls == (ToolCall("f", {"x": 1}, "call_r-1_0"),)
    assert (answer.reasoning, answer.finish_reason) == ("查", "stop")
    assert answer.metadata == {"moderation": {"outcome": "flagged"}}


@pytest.mark.parametrize(
    ("reasons", "finish"),
    [
        ({"finishReason": "stop"}, "stop"),
        ({"finishReason": "length"}, "length"),
        ({"finishReason": None}, "stop_of_choice"),
        ({}, "stop_of_choice"),
    ],
)
def test_finish_reason(reasons: dict[str, Any], finish: str) -> None:
    """The message's own reason, else the choice's."""
    message = {"role": "assistant", "content": "好", **reasons}
    (answer,) = read({"choices": [{"messages": [message], "stopReason": "stop_of_choice"}]}).answers
    assert answer.finish_reason == finish


def test_stop_sequences() -> None:
    """The service knows no stop: the answer is cut by us, and says so."""
    (answer,) = read({"choices": [choice("一。二", reason="length")]}, stop="。").answers
    assert (answer.text, answer.finish_reason) == ("一", "stop")
    (answer,) = read({"choices": [choice("一二", reason="length")]}, stop=["。"]).answers
    assert (answer.text, answer.finish_reason) == ("一二", "length")


@pytest.mark.parametrize(
    ("parameters", "arguments"),
    [
        ({"city": "杭州"}, {"city": "杭州"}),
        ('{"city":"杭州"}', {"city": "杭州"}),
        ("{}", {}),
        ("", {}),
        (" ", {}),
        (None, {}),
        ({}, {}),
    ],
)
def test_arguments_of_a_call(parameters: Any, arguments: dict[str, Any]) -> None:
    """Trap 13: an object; JSON text, as elsewhere, is read too."""
    call = {"apiCallList": [{"apiName": "get_weather", "parameters": parameters}]}
    (answer,) = read({"requestId": "r-1", "choices": [choice("", functionCall=call)]}).answers
    assert answer.tool_calls == (ToolCall("get_weather", arguments, "call_r-1_0"),)


def test_calls() -> None:
    """Several calls in one message, with ids of ours; fault 14: the thought may be missing."""
    calls = [{"apiName": "f", "parameters": {"x": 1}}, {"apiName": "g"}]
    (answer,) = read({"requestId": "r-1", "choices": [choice(None, functionCall={"apiCallList": calls})]}).answers
    assert answer.tool_calls == (ToolCall("f", {"x": 1}, "call_r-1_0"), ToolCall("g", {}, "call_r-1_1"))
    assert (answer.text, answer.reasoning) == ("", "")
    thinking = {"thought": "要查天气", "apiCallList": calls[:1]}
    (answer,) = read({"requestId": "r-1", "choices": [choice("", functionCall=thinking)]}).answers
    assert answer.reasoning == "要查天气"


@pytest.mark.parametrize("call", [None, {}, {"apiCallList": []}, {"apiCallList": None}, {"thought": "想"}])
def test_no_calls(call: Any) -> None:
    """A message is a call if its list is not empty, and by nothing else."""
    (answer,) = read({"choices": [choice("好", functionCall=call)]}).answers
    assert (answer.text, answer.tool_calls) == ("好", ())


def test_ids_of_calls_without_a_request_id() -> None:
    """Two calls of two answers are never mixed up."""
    data = {"choices": [choice("", functionCall={"apiCallList": [{"apiName": "f"}]})]}
    ids = {read(data).answers[0].tool_calls[0].id for _ in range(2)}
    assert len(ids) == 2


@pytest.mark.parametrize(
    ("meta", "asked", "outcome"),
    [
        (None, None, None),
        (None, True, {"outcome": "passed"}),
        ({"hasRisk": False}, None, None),
        ({"hasRisk": False}, True, {"outcome": "passed"}),
        ({"hasRisk": False}, False, None),
        ({"hasRisk": True}, None, {"outcome": "flagged"}),
        ({"hasRisk": True, "safetyStdAnswer": "换个话题吧"}, None, {"outcome": "flagged", "safe_answer": "换个话题吧"}),
        ({"hasRisk": True, "rewriteContent": "改过"}, True, {"outcome": "rewritten", "rewritten_text": "改过"}),
    ],
)
def test_moderation(meta: Any, asked: bool | None, outcome: Any) -> None:
    """Passed, flagged and rewritten are told apart; the fourth outcome, a block, is an error."""
    (answer,) = read({"choices": [choice("好", meta=meta)]}, data_inspection=asked).answers
    assert answer.text == "好"
    assert answer.metadata == ({} if outcome is None else {"moderation": outcome})


def test_who_speaks_in_a_group() -> None:
    """The message's name, else the one that was asked to speak; outside a group nobody is named."""
    room = GroupChat(name="三班", members=(GroupMember(character_id="demo", name="小婉"),), speaker="小婉")
    (answer,) = read({"choices": [choice("好", name="阿刚")]}, group=room).answers
    assert (answer.name, answer.metadata) == ("阿刚", {"speaker": "阿刚"})
    (answer,) = read({"choices": [choice("好")]}, group=room).answers
    assert answer.name == "小婉"
    (answer,) = read({"choices": [choice("好", name="小婉")]}).answers
    assert answer.name is None


@pytest.mark.parametrize(
    "data",
    [{}, {"choices": None}, {"choices": {}}, {"choices": [{}]}, {"choices": [{"messages": []}]}, {"choices": ["好"]}],
)
@pytest.mark.parametrize("kind", CLIENTS.values(), ids=CLIENTS.keys())
async def test_an_answer_without_an_answer(kind: Any, data: Any) -> None:
    """Never an empty message where the service promised one."""

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"requestId": "r-1", "code": 200, "success": True, "data": data})

    mock = httpx.MockTransport(answer)
    mine = {"http_client": httpx.Client(transport=mock), "http_async_client": httpx.AsyncClient(transport=mock)}
    client = kind(XingchenSettings(api_key="test-key", **mine))
    with pytest.raises(APIResponseError) as caught:
        await client.send(chat(request()))
    assert caught.value.service == "xingchen"


def test_an_empty_list_of_choices() -> None:
    """It says whose request it was, for the support ticket."""
    with pytest.raises(APIResponseError, match="without an answer") as caught:
        read({"requestId": "r-1", "choices": []})
    assert caught.value.request_id == "r-1"
