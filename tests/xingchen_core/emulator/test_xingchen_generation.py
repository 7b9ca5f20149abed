"""Functions, pictures, stopping, and what is kept of an answer that broke."""

from typing import Any

import pytest

from xingchen_core.emulator import Emulator

WEATHER = {
    "name": "get_weather",
    "description": "查询天气",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
INVALID = (400, 400, "aca.error.invalid.param")
NOT_FOUND = (400, 404, "aca.error.notfound")


def text_of(data: dict[str, Any]) -> str:
    """Return the first answer of a result."""
    content: str = data["choices"][0]["messages"][0]["content"]
    return content


def test_function_call(api: Any, emulator: Emulator) -> None:
    """A scripted call: parameters are an object, there is no id, and nothing is kept before the words come."""
    emulator.reply(tool_calls=[{"name": "get_weather", "arguments": {"city": "杭州"}}], thoughts="需要查天气")
    data = api.say("杭州天气？", functionList=[WEATHER])
    assert data["choices"][0]["messages"] == [
        {
            "role": "assistant",
            "content": "",
            "functionCall": {
                "thought": "需要查天气",
                "apiCallList": [{"apiName": "get_weather", "parameters": {"city": "杭州"}}],
            },
            "finishReason": "stop",
        }
    ]
    assert data["context"]["isSave"] is False
    assert [row["messageType"] for row in api.history()] == ["opening_remarks"]


@pytest.mark.parametrize("incremental", [False, True])
def test_function_call_streams_in_one_event(api: Any, emulator: Emulator, incremental: bool) -> None:
    """The whole call comes in one event, which is the last."""
    emulator.reply(
        tool_calls=[{"name": "get_weather", "arguments": {}}, {"name": "get_time", "arguments": {"zone": 8}}]
    )
    body = api.body("杭州？", functionList=[WEATHER], parameters={"incrementalOutput": incremental})
    [(kind, data)] = api.events(api.stream("chat/send", body).text)
    assert kind == "stop"
    calls = data["choices"][0]["messages"][0]["functionCall"]["apiCallList"]
    assert [each["apiName"] for each in calls] == ["get_weather", "get_time"]
    assert data["usage"]["outputTokens"] > 0


def test_function_result(api: Any) -> None:
    """Results go back under the role `function`; then the exchange is kept, words only."""
    messages = [
        {"role": "user", "content": "杭州天气？"},
        {
            "role": "assistant",
            "content": "",
            "functionCall": {"apiCallList": [{"apiName": "get_weather", "parameters": {"city": "杭州"}}]},
        },
        {"role": "function", "name": "get_weather", "content": "21度"},
    ]
    data = api.data("chat/send", api.body(messages=messages, functionList=[WEATHER]))
    assert text_of(data) == "我帮你查到啦：21度"
    assert [row["content"] for row in api.history()][1:] == ["杭州天气？", "我帮你查到啦：21度"]


@pytest.mark.parametrize("key", ["type", "functionChoiceType"])
def test_specific_function(api: Any, key: str) -> None:
    """A function the caller insists on is called without a script; both spellings of the choice are read."""
    choice = {key: "specific", "names": ["get_weather"]}
    data = api.say("杭州", functionList=[WEATHER], functionChoice=choice)
    assert data["choices"][0]["messages"][0]["functionCall"]["apiCallList"] == [
        {"apiName": "get_weather", "parameters": {"city": "杭州"}}
    ]


PICTURE = [{"name": "text_to_image_plugin", "enabled": True, "imageStyle": "auto"}]


def test_picture(api: Any, emulator: Emulator) -> None:
    """The text comes at once; the picture is pending, running, then there under both spellings."""
    emulator.reply("画好啦", images=["https://example.invalid/cat.png"])
    message_id = api.say("画一只猫", platformPlugins=PICTURE)["context"]["messageId"]
    polls = [api.found("chat/polling/image", messageId=message_id, userId="u1") for _ in range(3)]
    assert [poll["status"] for poll in polls] == ["PENDING", "RUNNING", "SUCCEEDED"]
    assert polls[2]["fileUrls"] == polls[2]["fileUrl"] == ["https://example.invalid/cat.png"]
    assert len({poll["taskId"] for poll in polls}) == 1


def test_picture_fails(api: Any, emulator: Emulator) -> None:
    """An empty list of pictures is a picture that could not be made."""
    emulator.xingchen.polls_until_done = 0
    emulator.reply("我试试", images=[])
    message_id = api.say("画一只猫", platformPlugins=PICTURE)["context"]["messageId"]
    poll = api.found("chat/polling/image", messageId=message_id, userId="u1")
    assert poll["status"] == "FAILED"
    assert poll["errorMessage"]
    assert "fileUrls" not in poll


@pytest.mark.parametrize("plugins", [None, [{"name": "text_to_image_plugin", "enabled": False}]])
def test_no_picture(api: Any, emulator: Emulator, plugins: list[Any] | None) -> None:
    """Where the plug-in is off there is no picture to poll: code 404."""
    emulator.reply("画好啦", images=["https://example.invalid/cat.png"])
    message_id = api.say("画一只猫", platformPlugins=plugins)["context"]["messageId"]
    assert api.refusal(api.get("chat/polling/image", messageId=message_id, userId="u1")) == NOT_FOUND


def test_picture_of_a_stored_plugin(api: Any, emulator: Emulator) -> None:
    """The plug-in may be on in the character's own configuration; another user does not get the picture."""
    emulator.xingchen.add_character("painter", advancedConfig={"platformPlugins": PICTURE})
    emulator.reply("画好啦", images=["https://example.invalid/cat.png"])
    message_id = api.say("画一只猫", character="painter")["context"]["messageId"]
    assert api.found("chat/polling/image", messageId=message_id, userId="u1")["status"] == "PENDING"
    assert api.refusal(api.get("chat/polling/image", messageId=message_id, userId="u2")) == NOT_FOUND
    assert api.refusal(api.get("chat/polling/image", messageId=message_id)) == INVALID


def test_stop(api: Any, emulator: Emulator) -> None:
    """A stopped stream ends early with its closing event, and what was shown is kept as the answer."""
    emulator.reply("一二三四五六", chunks=6)
    emulator.fail("stall", after=2)
    text, request_id = "", ""
    with api.open(api.body()) as response:
        for piece in response.iter_text():
            text += piece
            if not request_id and len(events := api.events(text)) == 2:
                request_id = events[0][1]["requestId"]
                assert api.data("chat/stop", {"requestId": request_id, "content": "一二"}) is True
    kind, closing = api.events(text)[-1]
    assert kind == "stop"
    assert closing["choices"][0]["messages"][0]["finishReason"] == "stop"
    assert "六" not in text
    assert [row["content"] for row in api.history()][-2:] == ["你好", "一二"]
    assert api.data("chat/stop", {"requestId": request_id, "content": "一"}) is False


def test_stop_after_the_client_left(api: Any, emulator: Emulator) -> None:
    """Leaving does not stop the service: the whole answer is kept, until a stop says what was shown."""
    emulator.reply("一二三四五六", chunks=6)
    emulator.fail("stall", after=2)
    with api.open(api.body()) as response:
        request_id = api.events(next(response.iter_text()))[0][1]["requestId"]
    for _ in range(200):  # the server hears a moment later that the client has gone
        if (rows := api.history())[-1]["messageType"] == "character":
            break
    assert rows[-1]["content"] == "一二三四五六"
    assert api.data("chat/stop", {"requestId": request_id, "content": "一"}) is True
    assert api.history()[-1]["content"] == "一"
    assert api.data("chat/stop", {"requestId": request_id, "content": "二"}) is False


def test_stop_of_nothing(api: Any, stranger: Any, emulator: Emulator) -> None:
    """Unknown and finished chats, and chats of others, are not stopped; the id is required."""
    assert api.data("chat/stop", {"requestId": "never-was", "content": "一"}) is False
    finished = api.events(api.stream("chat/send", api.body()).text)[0][1]["requestId"]
    assert api.data("chat/stop", {"requestId": finished, "content": "一"}) is False
    assert api.refusal(api.post("chat/stop", {"content": "一"})) == INVALID
    emulator.fail("stall", after=1)
    with api.open(api.body()) as response:
        pieces = response.iter_text()
        running = api.events(next(pieces))[0][1]["requestId"]
        assert stranger.data("chat/stop", {"requestId": running, "content": "一"}) is False


@pytest.mark.parametrize("kind", ["cut", "silent_end"])
@pytest.mark.parametrize("after", [0, 2])
def test_broken_stream_is_remembered(api: Any, emulator: Emulator, kind: str, after: int) -> None:
    """The service has heard the question and keeps its answer, whatever became of the bytes."""
    emulator.reply("一二三", chunks=3)
    emulator.fail(kind, after=after)
    with api.open(api.body()) as response:
        assert response.status_code == 200
    for _ in range(200):
        if len(rows := api.history()) == 3:
            break
    assert [row["content"] for row in rows][1:] == ["你好", "一二三"]


def test_failed_generation_is_forgotten(api: Any, emulator: Emulator) -> None:
    """A stream that ends in an error event has no answer to keep."""
    emulator.fail("error_event", after=1)
    api.stream("chat/send", api.body())
    assert [row["messageType"] for row in api.history()] == ["opening_remarks"]


@pytest.mark.parametrize("kind", ["status", "html"])
def test_refused_chat_is_forgotten(api: Any, emulator: Emulator, kind: str) -> None:
    """A call refused at the door leaves nothing in the history."""
    emulator.fail(kind)
    api.post("chat/send", api.body())
    assert [row["messageType"] for row in api.history()] == ["opening_remarks"]
