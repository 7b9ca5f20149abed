"""Chat with one character: answers, streams, platform history, regeneration, several results."""

from typing import Any

import pytest

from xingchen_core.emulator import Emulator

INLINE = {"name": "小刚", "content": "你是小刚，今年十九岁，热血少年。"}
INVALID = (400, 400, "aca.error.invalid.param")
NOT_FOUND = (400, 404, "aca.error.notfound")


def text_of(data: dict[str, Any]) -> str:
    """Return the first answer of a result."""
    content: str = data["choices"][0]["messages"][0]["content"]
    return content


def test_sync_shape(api: Any, emulator: Emulator) -> None:
    """The answer is wrapped in an envelope; messages is an array; context names room, session and messages."""
    emulator.reply("我叫小婉。")
    answer = api.post("chat/send", api.body("你叫什么名字")).json()
    data = answer["data"]
    assert answer["requestId"] == data["requestId"] == data["context"]["requestId"]
    assert data["choices"] == [
        {"messages": [{"role": "assistant", "content": "我叫小婉。", "finishReason": "stop"}], "stopReason": "stop"}
    ]
    assert data["stop"] is True
    context = data["context"]
    assert (context["isSave"], context["enableDataInspection"]) == (True, False)
    assert (context["origin"], context["ext"]) == ("pass_v2", "chat")
    # 6 Chinese characters asked; 4 and a full stop (one token) answered
    assert data["usage"]["userTokens"] == 6
    assert data["usage"]["outputTokens"] == 5
    assert data["usage"]["inputTokens"] > 50  # the persona


def test_stream_cumulative(api: Any, emulator: Emulator) -> None:
    """By default each event has all text so far, and the closing event repeats it with usage and context."""
    emulator.reply("我叫小婉。", chunks=["我叫", "小婉。"])
    response = api.stream("chat/send", api.body())
    assert response.headers["content-type"] == "text/event-stream;charset=UTF-8"
    events = api.events(response.text)
    request_id = events[0][1]["requestId"]
    assert events[0] == (
        None,
        {"requestId": request_id, "choices": [{"messages": [{"role": "assistant", "content": "我叫"}]}]},
    )
    assert events[1] == (
        None,
        {"requestId": request_id, "choices": [{"messages": [{"role": "assistant", "content": "我叫小婉。"}]}]},
    )
    kind, closing = events[2]
    assert kind == "stop"
    assert closing["choices"] == [
        {"messages": [{"role": "assistant", "content": "我叫小婉。", "finishReason": "stop"}], "stopReason": "stop"}
    ]
    assert closing["stop"] is True
    assert set(closing["usage"]) == {"inputTokens", "outputTokens", "userTokens"}
    assert closing["context"]["requestId"] == request_id
    assert len(events) == 3
    assert not {"code", "success", "data"} & set(closing)


def test_stream_bytes(api: Any, emulator: Emulator) -> None:
    """Numbered events, no space after the colon, no [DONE]."""
    emulator.reply("甲乙", chunks=2)
    lines = api.stream("chat/send", api.body()).text.split("\n")
    assert [line.partition("data:{")[0] for line in lines] == [
        *("id:1", "", "", "id:2", "", "", "id:3", "event:stop", "", "", "")
    ]


def test_stream_incremental(api: Any, emulator: Emulator) -> None:
    """With incrementalOutput each event has the new piece only, and the closing event adds nothing."""
    emulator.reply("我叫小婉。", chunks=["我叫", "小婉。"])
    response = api.stream("chat/send", api.body(parameters={"incrementalOutput": True}))
    assert api.contents(response.text) == ["我叫", "小婉。", ""]


def test_stream_length(api: Any, emulator: Emulator) -> None:
    """A stream cut by the length limit ends with the event `length`."""
    emulator.reply("一二三四五六", chunks=2, finish_reason="length")
    events = api.events(api.stream("chat/send", api.body()).text)
    assert events[-1][0] == "length"
    assert events[-1][1]["choices"][0]["stopReason"] == "length"
    assert events[-1][1]["choices"][0]["messages"][0]["finishReason"] == "length"


def test_max_length(api: Any) -> None:
    """`maxLength` cuts an answer short and says so."""
    data = api.say("你好", parameters={"maxLength": 3})
    assert text_of(data) == "你好呀"
    assert data["choices"][0]["stopReason"] == "length"


def test_moderated_stream(api: Any, emulator: Emulator) -> None:
    """Pieces that do not add up to the text: the closing snapshot replaces what was shown."""
    emulator.reply("我们换个话题吧。", chunks=["这件事", "其实是"])
    assert api.contents(api.stream("chat/send", api.body()).text) == ["这件事", "这件事其实是", "我们换个话题吧。"]


def test_soft_moderation(api: Any, emulator: Emulator) -> None:
    """Marks of moderation stand in the message's `meta`."""
    meta = {"hasRisk": True, "safetyStdAnswer": "换个话题吧", "rewriteContent": "……"}
    emulator.reply("好的", meta=meta)
    emulator.reply("好的", meta=meta)
    assert api.say("你好")["choices"][0]["messages"][0]["meta"] == meta
    events = api.events(api.stream("chat/send", api.body()).text)
    assert events[-1][1]["choices"][0]["messages"][0]["meta"] == meta


def test_unscripted_answers(api: Any) -> None:
    """The same words get the same answer, in Chinese, from the character."""
    assert text_of(api.say("你多大了？")) == "我今年十七岁啦，比你想的要小一点吧？"
    assert text_of(api.say("你叫什么名字")) == "我叫小婉，很高兴认识你。"
    assert text_of(api.say("随便聊聊")) == "嗯嗯，「随便聊聊」，我听见啦。再多跟我讲讲好不好？"
    assert text_of(api.say("随便聊聊")) == text_of(api.say("随便聊聊", user="u2"))


def test_unscripted_stream_has_several_pieces(api: Any) -> None:
    """A demonstration shows a stream, not one block."""
    pieces = api.contents(api.stream("chat/send", api.body("你多大了", parameters={"incrementalOutput": True})).text)
    assert "".join(pieces) == "我今年十七岁啦，比你想的要小一点吧？"
    assert len(pieces) == 6


def test_inline_character(api: Any, emulator: Emulator) -> None:
    """A character described in the request answers as itself; the context is short, and nothing is kept."""
    body = api.body("你多大了")
    body["input"]["aca"]["botProfile"] = INLINE
    data = api.data("chat/send", body)
    assert text_of(data) == "我今年十九岁啦，比你想的要小一点吧？"
    assert set(data["context"]) == {"modelName", "requestId", "modelRequestId"}
    assert api.data("chat/message/histories", {})["list"] == []
    assert emulator.xingchen.prompts == [[{"role": "user", "content": "你多大了"}]]


def test_model_name(api: Any) -> None:
    """The context names the model: the request's, or the default."""
    assert api.say("你好")["context"]["modelName"] == "xingchen-plus-v2"
    body = {**api.body(), "model": "xingchen-base"}
    assert api.data("chat/send", body)["context"]["modelName"] == "xingchen-base"


@pytest.mark.parametrize(
    "profile",
    [{"characterId": "nobody"}, {"characterId": "demo", "version": 7}],
)
def test_unknown_character(api: Any, profile: dict[str, Any]) -> None:
    """An unknown character or version is code 404 under HTTP 400."""
    body = api.body()
    body["input"]["aca"]["botProfile"] = profile
    assert api.refusal(api.post("chat/send", body)) == NOT_FOUND
    assert api.refusal(api.stream("chat/send", body)) == NOT_FOUND


def test_someone_elses_character(api: Any, stranger: Any, emulator: Emulator) -> None:
    """A character not opened for chat by API is refused to other accounts with code 403."""
    emulator.xingchen.add_character("mine")
    assert api.say("你好", character="mine")["stop"] is True
    response = stranger.post("chat/send", api.body(character="mine"))
    assert api.refusal(response) == (400, 403, "aca.error.no.permission")


def test_platform_history(api: Any, emulator: Emulator) -> None:
    """By default the service prepends what it has kept, opening line included."""
    emulator.reply("在呀")
    api.say("在吗")
    assert text_of(api.say("我刚才说了什么？")) == "你刚才说的是「在吗」，我都记着呢。"
    assert emulator.xingchen.prompts[-1] == [
        {"role": "assistant", "content": "嗨，你回来啦？我刚烤了曲奇，要不要尝一块？"},
        {"role": "user", "content": "在吗"},
        {"role": "assistant", "content": "在呀"},
        {"role": "user", "content": "我刚才说了什么？"},
    ]


def test_history_not_used_is_saved_all_the_same(api: Any, emulator: Emulator) -> None:
    """With useChatHistory false the model sees only what was sent, yet the exchange is kept."""
    api.say("在吗")
    own = [
        {"role": "user", "content": "我叫小明"},
        {"role": "assistant", "content": "好的"},
        {"role": "user", "content": "我叫什么名字？"},
    ]
    data = api.data("chat/send", api.body(messages=own, context={"useChatHistory": False}))
    assert text_of(data) == "你叫小明呀，我怎么会忘。"
    assert data["context"]["isSave"] is True
    assert emulator.xingchen.prompts[-1] == own
    assert [row["content"] for row in api.history()][-2:] == ["我叫什么名字？", "你叫小明呀，我怎么会忘。"]


def test_short_term_memory(api: Any, emulator: Emulator) -> None:
    """Only so many rounds are joined as the character's configuration says."""
    emulator.xingchen.add_character("forgetful", advancedConfig={"shortTermMemoryRound": 1})
    for text in ("一", "二", "三"):
        api.say(text, character="forgetful")
    assert [message["content"] for message in emulator.xingchen.prompts[-1] if message["role"] == "user"] == [
        "二",
        "三",
    ]


def test_users_and_accounts_are_apart(api: Any, stranger: Any, emulator: Emulator) -> None:
    """Neither another user nor another account sees the conversation."""
    api.say("秘密")
    for other in (api, stranger):
        other.say("你好", user="u1" if other is stranger else "u2")
        assert [message["content"] for message in emulator.xingchen.prompts[-1]][1:] == ["你好"]
    assert "秘密" not in [row["content"] for row in stranger.history()]


def test_history_makes_the_prompt_longer(api: Any) -> None:
    """The count inputTokens has the history that was joined: two characters asked and the answer's tokens."""
    first, second = api.say("你好"), api.say("你好")
    assert second["usage"]["inputTokens"] == first["usage"]["inputTokens"] + 2 + first["usage"]["outputTokens"]


def test_regenerate(api: Any, emulator: Emulator) -> None:
    """A question answered again: the messages are ignored, the answer is another, the history has the newest."""
    first = api.say("你好")["context"]
    again = api.data(
        "chat/send",
        api.body("ignored", context={"isRegenerate": True, "queryId": first["replyMessageId"]}),
    )
    assert text_of(again) == "换个说法：你好呀，我是小婉。今天过得怎么样？"
    assert emulator.xingchen.prompts[-1][-1] == {"role": "user", "content": "你好"}
    context = again["context"]
    assert context["queryId"] == context["replyMessageId"] == first["replyMessageId"]
    assert context["answerId"] == context["messageId"] != first["messageId"]
    assert context["chatId"] == first["chatId"]
    rows = api.history()
    assert [row["content"] for row in rows[1:]] == ["你好", "换个说法：你好呀，我是小婉。今天过得怎么样？"]
    assert [row["regenerateTimes"] for row in rows[1:]] == [1, 1]


def test_regenerate_needs_no_messages(api: Any) -> None:
    """With platform history the messages may be missing altogether."""
    query_id = api.say("你好")["context"]["replyMessageId"]
    body = api.body(context={"useChatHistory": True, "isRegenerate": True, "queryId": query_id})
    del body["input"]["messages"]
    assert api.data("chat/send", body)["stop"] is True


def test_regenerate_streams(api: Any) -> None:
    """A new answer may be streamed as well."""
    query_id = api.say("你好")["context"]["replyMessageId"]
    events = api.events(api.stream("chat/send", api.body(context={"isRegenerate": True, "queryId": query_id})).text)
    assert events[-1][1]["context"]["queryId"] == query_id


def test_choosing_an_answer(api: Any, emulator: Emulator) -> None:
    """The next turn names the alternative that counts."""
    first = api.say("你好")["context"]
    api.say("ignored", context={"isRegenerate": True, "queryId": first["replyMessageId"]})
    api.say("然后呢", context={"answerId": first["messageId"]})
    assert [message["content"] for message in emulator.xingchen.prompts[-1]][1:] == [
        "你好",
        "你好呀，我是小婉。今天过得怎么样？",
        "然后呢",
    ]


def test_regenerate_without_platform_history(api: Any) -> None:
    """Without platform history the caller sends the messages, and no queryId is needed."""
    data = api.say("你好", context={"useChatHistory": False, "isRegenerate": True})
    assert text_of(data) == "换个说法：你好呀，我是小婉。今天过得怎么样？"


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        ({"isRegenerate": True}, INVALID),
        ({"isRegenerate": True, "queryId": "nobody-asked"}, NOT_FOUND),
        ({"answerId": "nobody-said"}, NOT_FOUND),
        ({"resultCount": 0}, INVALID),
        ({"resultCount": "2"}, INVALID),
    ],
)
def test_bad_context(api: Any, context: dict[str, Any], expected: tuple[int, int, str]) -> None:
    """Unknown ids are not found, impossible settings invalid."""
    assert api.refusal(api.post("chat/send", api.body(context=context))) == expected


def test_several_results(api: Any, emulator: Emulator) -> None:
    """A resultCount gives several choices, different ones; the history has the first."""
    data = api.say("你好", context={"resultCount": 2})
    texts = [choice["messages"][0]["content"] for choice in data["choices"]]
    assert texts == ["你好呀，我是小婉。今天过得怎么样？", "换个说法：你好呀，我是小婉。今天过得怎么样？"]
    assert [row["content"] for row in api.history()][1:] == ["你好", texts[0]]
    emulator.reply("甲", alternatives=["乙"])
    data = api.say("选一个", context={"resultCount": 2})
    assert [choice["messages"][0]["content"] for choice in data["choices"]] == ["甲", "乙"]


def test_several_results_do_not_stream(api: Any) -> None:
    """A resultCount above 1 is for the sync call only."""
    assert api.refusal(api.stream("chat/send", api.body(context={"resultCount": 2}))) == INVALID
    assert api.stream("chat/send", api.body(context={"resultCount": 1})).status_code == 200
