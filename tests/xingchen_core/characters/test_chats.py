"""What a chat asks: the whole body and the routing headers, as the documents print them."""

import json
from typing import Any

import pytest
from pydantic_core import to_json

from xingchen_core import ConfigurationError, Message, UnsupportedOperationError
from xingchen_core._call import Request
from xingchen_core.characters import (
    Character,
    ChatRequest,
    Function,
    GroupChat,
    GroupMember,
    Memory,
    MemoryTag,
    RejectAnswerPlugin,
    RejectCondition,
    RejectKeyword,
    Scenario,
    TextToImagePlugin,
    chat,
    fresh_user_id,
    stop_generation,
    stream_chat,
)
from xingchen_core.chat import ToolCall, join_roles

CHARACTER = "0123456789abcdef0123456789abcdef"
WEATHER_SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
WEATHER = Function(name="get_weather", description="Weather by city", parameters=WEATHER_SCHEMA)


def user(content: str, name: str | None = None) -> Message:
    """What the user says."""
    return Message(role="user", content=content, name=name)


def said(content: str, name: str | None = None) -> Message:
    """What a character says."""
    return Message(role="assistant", content=content, name=name)


def request(*messages: Message, **fields: Any) -> ChatRequest:
    """A request of user u1 to a stored character, unless told otherwise."""
    if not fields.keys() & {"character", "group"}:
        fields = {"character_id": CHARACTER, **fields}
    return ChatRequest(**{"user_id": "u1", "messages": messages or [user("Hi")], **fields})


def body(call: Request) -> Any:
    """What goes over the wire, read back."""
    return json.loads(to_json(call.json))


def aca(**fields: Any) -> Any:
    """The `aca` object of a plain call."""
    return body(chat(request(**fields)))["input"]["aca"]


def test_a_stored_character_with_platform_history() -> None:
    """The first example of the documents."""
    made = request(
        user("How old are you?", "Ming"),
        seed=731942,
        user_name="Ming",
        scenario="Neighbours chatting",
        platform_history=True,
    )
    assert body(chat(made)) == {
        "parameters": {"seed": 731942},
        "input": {
            "messages": [{"role": "user", "name": "Ming", "content": "How old are you?"}],
            "aca": {
                "botProfile": {"characterId": "0123456789abcdef0123456789abcdef"},
                "userProfile": {"userId": "u1", "userName": "Ming"},
                "scenario": {"description": "Neighbours chatting"},
                "context": {"useChatHistory": True},
            },
        },
    }


def test_a_stream_with_the_callers_history() -> None:
    """The second example: caller-kept history, in pieces."""
    made = request(user("Hi"), said("Hello."), user("How old are you?"), seed=731943, version=1)
    assert body(stream_chat(made)) == {
        "parameters": {"seed": 731943, "incrementalOutput": True},
        "input": {
            "messages": [
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": "Hello."},
                {"role": "user", "content": "How old are you?"},
            ],
            "aca": {
                "botProfile": {"characterId": "0123456789abcdef0123456789abcdef", "version": 1},
                "userProfile": {"userId": "u1"},
                "context": {"useChatHistory": False},
            },
        },
    }


def test_an_inline_character() -> None:
    """The third example: search, knowledge base, memory and several answers."""
    made = request(
        user("What shall we do today?"),
        model="xingchen-plus-v2",
        seed=731944,
        top_p=0.95,
        temperature=0.92,
        character=Character(name="Wan", content="You are Wan, a 17 year old student.", traits="short sentences"),
        user_info="likes sports",
        sample_messages=[user("There?"), said("Here!")],
        enable_web_search=True,
        search_enhanced_keyword="Hangzhou",
        knowledge_base_ids=["kb1"],
        enable_long_term_memory=True,
        memory=Memory(
            summaries=("they plan to play basketball",),
            tags=(MemoryTag(role="user", key="likes", value=("martial arts",)),),
        ),
        n=2,
    )
    assert body(chat(made)) == {
        "model": "xingchen-plus-v2",
        "parameters": {"seed": 731944, "topP": 0.95, "temperature": 0.92},
        "input": {
            "messages": [{"role": "user", "content": "What shall we do today?"}],
            "aca": {
                "botProfile": {
                    "name": "Wan",
                    "content": "You are Wan, a 17 year old student.",
                    "traits": "short sentences",
                },
                "userProfile": {"userId": "u1", "basicInfo": "likes sports"},
                "sampleMessages": [
                    {"role": "user", "content": "There?"},
                    {"role": "assistant", "content": "Here!"},
                ],
                "advancedSettings": {
                    "enableWebSearch": True,
                    "searchEnhancedKeyword": "Hangzhou",
                    "enableCharacterKbSearch": True,
                    "knowledgeBases": ["kb1"],
                    "enableLongTermMemory": True,
                },
                "memory": {
                    "summaries": ["they plan to play basketball"],
                    "tags": [{"role": "user", "key": "likes", "value": ["martial arts"]}],
                },
                "context": {"useChatHistory": False, "resultCount": 2},
            },
        },
    }


def test_an_assistant() -> None:
    """The fourth: a stored character of the assistant kind."""
    assert aca(character_type="assistant")["botProfile"] == {
        "characterId": "0123456789abcdef0123456789abcdef",
        "type": "assistant",
    }


def test_regenerating_and_going_on() -> None:
    """The fifth: another answer to an old question, then the turn after one of the answers was chosen."""
    again = request(user("ignored"), seed=731945, platform_history=True, regenerate=True, query_id="q1")
    assert body(chat(again)) == {
        "parameters": {"seed": 731945},
        "input": {
            "messages": [{"role": "user", "content": "ignored"}],
            "aca": {
                "botProfile": {"characterId": "0123456789abcdef0123456789abcdef"},
                "userProfile": {"userId": "u1"},
                "context": {"useChatHistory": True, "isRegenerate": True, "queryId": "q1"},
            },
        },
    }
    on = request(user("And then?"), seed=731946, platform_history=True, answer_id="a2")
    assert body(chat(on))["input"]["aca"]["context"] == {"useChatHistory": True, "answerId": "a2"}


def test_the_result_of_a_function() -> None:
    """The sixth, but for the thought, which an application need not keep: arguments are an object, there is no id."""
    call = ToolCall("get_weather", {"city": "Hangzhou"}, id="call_r-1_0")
    made = request(
        user("Weather in Hangzhou?"),
        Message(role="assistant", tool_calls=(call,)),
        Message(role="function", name="get_weather", content='{"temp":21}'),
        seed=731947,
        functions=[WEATHER],
    )
    assert body(chat(made)) == {
        "parameters": {"seed": 731947},
        "input": {
            "messages": [
                {"role": "user", "content": "Weather in Hangzhou?"},
                {
                    "role": "assistant",
                    "content": "",
                    "functionCall": {"apiCallList": [{"apiName": "get_weather", "parameters": {"city": "Hangzhou"}}]},
                },
                {"role": "function", "name": "get_weather", "content": '{"temp":21}'},
            ],
            "aca": {
                "botProfile": {"characterId": "0123456789abcdef0123456789abcdef"},
                "userProfile": {"userId": "u1"},
                "functionList": [
                    {
                        "name": "get_weather",
                        "description": "Weather by city",
                        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
                    }
                ],
                "context": {"useChatHistory": False},
            },
        },
    }


def test_a_group() -> None:
    """The example of the group page: no alternation, no platform history, who speaks and how."""
    room = GroupChat(
        name="Class 3",
        members=(
            Character(name="Wan", content="cheerful student", task="welcome newcomers"),
            GroupMember(name="Gang", content="hot-blooded boy"),
        ),
        speaker="Wan",
        thought="greet warmly",
    )
    made = request(user("Hi all", "Ming"), group=room, model="xingchen-plus-v2", seed=42, user_name="Ming")
    call = chat(made)
    assert (call.path, call.headers) == ("/v2/api/groupchat/send", {"x-fag-servicename": "aca-groupchat-send"})
    assert body(call) == {
        "model": "xingchen-plus-v2",
        "parameters": {"seed": 42},
        "input": {
            "messages": [{"name": "Ming", "role": "user", "content": "Hi all"}],
            "aca": {
                "botProfiles": [
                    {"name": "Wan", "content": "cheerful student", "task": "welcome newcomers"},
                    {"name": "Gang", "content": "hot-blooded boy"},
                ],
                "replySetting": {"botName": "Wan", "thought": "greet warmly"},
                "userProfile": {"userId": "u1", "userName": "Ming"},
                "groupInfo": {"name": "Class 3"},
            },
        },
    }


def test_a_groups_messages_stay_as_they_are() -> None:
    """Several speakers in a row are normal in a group, and the last one may be a character."""
    room = GroupChat(name="三班", members=(GroupMember(character_id="demo", name="小婉"),))
    messages = [user("大家好", "小明"), said("欢迎!", "小婉"), said("你好。", "阿刚")]
    assert body(chat(request(*messages, group=room)))["input"]["messages"] == [
        {"role": "user", "name": "小明", "content": "大家好"},
        {"role": "assistant", "name": "小婉", "content": "欢迎!"},
        {"role": "assistant", "name": "阿刚", "content": "你好。"},
    ]


def test_routing() -> None:
    """Traps 4 and 5: path, method and `x-fag-servicename` go together; a stream needs its header and the -sse name.

    Faults 3, 16 and 26 of the SDK: a stream is an ordinary call of ours, without a way to set one and not the other.
    """
    plain, stream = chat(request()), stream_chat(request())
    assert (plain.method, plain.path, plain.query) == ("POST", "/v2/api/chat/send", {})
    assert plain.headers == {"x-fag-servicename": "aca-chat-send"}
    assert (stream.method, stream.path, stream.query) == ("POST", "/v2/api/chat/send", {})
    assert stream.headers == {"x-fag-servicename": "aca-chat-send-sse", "X-AcA-SSE": "enable"}
    room = GroupChat(name="三班", members=(GroupMember(character_id="demo", name="小婉"),))
    assert stream_chat(request(group=room)).headers == {
        "x-fag-servicename": "aca-groupchat-send-sse",
        "X-AcA-SSE": "enable",
    }
    assert plain.service.headers == {"x-fag-appcode": "aca"}


def test_moderation_is_asked_for_by_a_header() -> None:
    """Fault 25: `data_inspection` is an option; None leaves it to the service."""
    assert chat(request(data_inspection=True)).headers["X-AcA-DataInspection"] == "enable"
    assert stream_chat(request(data_inspection=False)).headers["X-AcA-DataInspection"] == "disable"


def test_stop_generation() -> None:
    """Trap 28 and fault 10: the stop call names the request that the stream's first event named."""
    call = stop_generation("r-1", "I am Xia")
    assert (call.method, call.path) == ("POST", "/v2/api/chat/stop")
    assert call.headers == {"x-fag-servicename": "aca-chat-stop"}
    assert body(call) == {"requestId": "r-1", "content": "I am Xia"}
    assert call.parse({"data": True}) is True
    assert call.parse({"data": False}) is False


@pytest.mark.parametrize(
    ("fields", "member", "value"),
    [
        ({"top_p": 0.8}, "topP", 0.8),
        ({"top_k": 50}, "topK", 50),
        ({"temperature": 0.0}, "temperature", 0.0),
        ({"max_tokens": 300}, "maxLength", 300),
        ({"min_tokens": 0}, "minLength", 0),
        ({"seed": 0}, "seed", 0),
        ({"model_kwargs": {"newThing": {"a": 1}}}, "newThing", {"a": 1}),
        ({"model_kwargs": {"topP": 0.5}, "top_p": 0.8}, "topP", 0.5),
    ],
)
def test_parameters(fields: dict[str, Any], member: str, value: Any) -> None:
    """Each parameter has its member, 0 included; `model_kwargs` adds to them and wins."""
    parameters = body(chat(request(**{"seed": 1, **fields})))["parameters"]
    assert parameters[member] == value
    assert parameters.keys() == {"seed", member}


@pytest.mark.parametrize(
    ("fields", "place", "value"),
    [
        ({"user_name": "小明"}, "userProfile", {"userId": "u1", "userName": "小明"}),
        ({"user_info": "爱运动"}, "userProfile", {"userId": "u1", "basicInfo": "爱运动"}),
        ({"scenario": "门口"}, "scenario", {"description": "门口"}),
        (
            {
                "scenario": Scenario(
                    description="门口",
                    safety_prompt="换个话题",
                    is_real_time=True,
                    topics=("运动",),
                    user_tags=("学生",),
                )
            },
            "scenario",
            {
                "description": "门口",
                "safetyPrompt": "换个话题",
                "isRealTime": True,
                "topics": ["运动"],
                "userTags": ["学生"],
            },
        ),
        ({"memory": Memory(originals=(user("早"),))}, "memory", {"originals": [{"role": "user", "content": "早"}]}),
        ({"enable_web_search": False}, "advancedSettings", {"enableWebSearch": False}),
        (
            {"knowledge_base_ids": ["kb1", "kb2"]},
            "advancedSettings",
            {"enableCharacterKbSearch": True, "knowledgeBases": ["kb1", "kb2"]},
        ),
        ({"enable_long_term_memory": True}, "advancedSettings", {"enableLongTermMemory": True}),
        (
            {"platform_plugins": [TextToImagePlugin(image_style="auto", positive_desc="晴天", negative_desc="雨")]},
            "platformPlugins",
            [
                {
                    "name": "text_to_image_plugin",
                    "enabled": True,
                    "imageStyle": "auto",
                    "positiveDesc": "晴天",
                    "negativeDesc": "雨",
                }
            ],
        ),
        (
            {
                "platform_plugins": [
                    RejectAnswerPlugin(
                        reject_conditions=(
                            RejectCondition(
                                condition_type="knowledge_domain_rule",
                                sub_reject_condition=RejectCondition(
                                    condition_type="ancient", keywords=(RejectKeyword(value="手机"),)
                                ),
                            ),
                        )
                    )
                ]
            },
            "platformPlugins",
            [
                {
                    "name": "reject_answer_plugin",
                    "enabled": True,
                    "rejectConditions": [
                        {
                            "enabled": True,
                            "conditionType": "knowledge_domain_rule",
                            "subRejectCondition": {
                                "enabled": True,
                                "conditionType": "ancient",
                                "keywords": [{"value": "手机"}],
                            },
                        }
                    ],
                }
            ],
        ),
        ({"version": 3}, "botProfile", {"characterId": CHARACTER, "version": 3}),
        ({"n": 3}, "context", {"useChatHistory": False, "resultCount": 3}),
        (
            {"regenerate": True, "query_id": "q1"},
            "context",
            {"useChatHistory": False, "isRegenerate": True, "queryId": "q1"},
        ),
    ],
)
def test_places_in_aca(fields: dict[str, Any], place: str, value: Any) -> None:
    """Each option has its place and its spelling."""
    assert aca(**fields)[place] == value


def test_nothing_that_was_not_asked_for() -> None:
    """Fault 24: no nulls, no magic prompt, no repeated model name; trap 17: no version unless one is pinned."""
    assert body(chat(request(seed=1))) == {
        "parameters": {"seed": 1},
        "input": {
            "messages": [{"role": "user", "content": "Hi"}],
            "aca": {
                "botProfile": {"characterId": CHARACTER},
                "userProfile": {"userId": "u1"},
                "context": {"useChatHistory": False},
            },
        },
    }


def test_history_is_always_decided() -> None:
    """Trap 7: the service's default is to keep history, so ours is always said."""
    assert aca()["context"] == {"useChatHistory": False}
    assert aca(platform_history=True)["context"] == {"useChatHistory": True}


def test_a_seed_of_its_own_for_each_call() -> None:
    """Trap 11: the default model repeats itself for a repeated seed."""
    made = request()
    seeds = {body(chat(made))["parameters"]["seed"] for _ in range(50)}
    assert len(seeds) == 50
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_how_a_stream_speaks_is_always_said() -> None:
    """The service's default is cumulative; a plain call has no such switch."""
    assert body(stream_chat(request()))["parameters"]["incrementalOutput"] is True
    assert body(stream_chat(request(incremental_output=False)))["parameters"]["incrementalOutput"] is False
    assert "incrementalOutput" not in body(chat(request(incremental_output=False)))["parameters"]


def test_several_answers_are_not_streamed() -> None:
    """Trap 14: said before anything is sent."""
    with pytest.raises(UnsupportedOperationError, match="n=1"):
        stream_chat(request(n=2))


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        (None, None),
        ("auto", {"type": "auto"}),
        ("none", {"type": "none"}),
        ("get_weather", {"type": "specific", "names": ["get_weather"]}),
    ],
)
def test_function_choice(choice: str | None, sent: Any) -> None:
    """Fault 13: the SDK could not send it at all."""
    assert aca(functions=[WEATHER], function_choice=choice).get("functionChoice") == sent


def test_a_function_without_parameters() -> None:
    """The service requires all three members."""
    assert aca(functions=[{"name": "now"}])["functionList"] == [
        {"name": "now", "description": "", "parameters": {"type": "object", "properties": {}}}
    ]


def test_system_messages_of_a_stored_character() -> None:
    """Trap 27: the role interface has no system message: for a stored character it becomes part of the scenario."""
    system = Message(role="system", content="说话简短。")
    made = body(chat(request(system, user("Hi"), Message(role="system", content="别用英文。"), user("在吗"))))
    assert made["input"]["aca"]["scenario"] == {"description": "说话简短。\n别用英文。"}
    assert made["input"]["messages"] == [{"role": "user", "content": "Hi\n在吗"}]
    made = body(chat(request(system, user("Hi"), scenario=Scenario(description="门口", is_real_time=True))))
    assert made["input"]["aca"]["scenario"] == {"description": "门口\n说话简短。", "isRealTime": True}


def test_system_messages_of_an_inline_character() -> None:
    """Trap 27: for an inline character it becomes part of the persona, `botProfile.content`."""
    wan = Character(name="小婉", content="你是小婉。")
    made = body(chat(request(Message(role="system", content="说话简短。"), user("Hi"), character=wan)))
    assert made["input"]["aca"]["botProfile"] == {"name": "小婉", "content": "你是小婉。\n说话简短。"}
    assert "scenario" not in made["input"]["aca"]
    assert wan.content == "你是小婉。"


def test_platform_history_sends_the_newest_question_only() -> None:
    """The platform joins what it has stored; sending it again would double it."""
    made = request(user("早"), said("早上好"), user("你是谁"), user("多大了"), platform_history=True)
    assert body(chat(made))["input"]["messages"] == [{"role": "user", "content": "多大了"}]


def test_platform_history_and_functions() -> None:
    """The newest turn is then the question, the call and its results: whether the platform kept the question is not
    known.
    """
    call = Message(role="assistant", tool_calls=(ToolCall("get_weather", {"city": "杭州"}),))
    result = Message(role="function", name="get_weather", content="21")
    made = request(user("早"), said("早上好"), user("天气?"), call, result, platform_history=True, functions=[WEATHER])
    assert [m["role"] for m in body(chat(made))["input"]["messages"]] == ["user", "assistant", "function"]


@pytest.mark.parametrize(
    ("messages", "joined"),
    [
        ([], []),
        ([user("a")], [user("a")]),
        ([user("a"), user("b")], [user("a\nb")]),
        ([user("a"), said("b"), said("c"), user("d")], [user("a"), said("b\nc"), user("d")]),
        ([user("a", "小明"), user("b", "小明")], [user("a\nb", "小明")]),
        ([user("a", "小明"), user("b", "小红")], [user("小明: a\n小红: b")]),
        ([user("a", "小明"), user("b")], [user("小明: a\nb")]),
    ],
)
def test_join_roles(messages: list[Message], joined: list[Message]) -> None:
    """User and assistant alternate; who said what stays readable."""
    assert join_roles(messages) == joined


def test_calls_and_results_are_not_joined() -> None:
    """Two results in a row are two answers to two calls."""
    call = Message(role="assistant", tool_calls=(ToolCall("f", {}), ToolCall("g", {})))
    results = [Message(role="function", name=name, content="1") for name in "fg"]
    messages = [user("a"), call, *results]
    assert join_roles(messages) == messages


@pytest.mark.parametrize("messages", [[], [user("Hi"), said("Hello.")], [Message(role="system", content="x")]])
def test_somebody_must_have_asked(messages: list[Message]) -> None:
    """The last message must be the user's or a function's result; the error says so before anything is sent."""
    with pytest.raises(ConfigurationError, match="last message"):
        chat(ChatRequest(character_id=CHARACTER, user_id="u1", messages=messages))


def test_what_the_service_remembers() -> None:
    """With platform history a call is not repeated blindly, and calls of one user and character wait for each other."""
    plain, kept = chat(request()), stream_chat(request(platform_history=True))
    assert (plain.remembered, plain.lock) == (False, None)
    assert kept.remembered
    assert kept.lock is not None
    assert kept.lock == chat(request(platform_history=True)).lock
    assert kept.lock != chat(request(platform_history=True, user_id="u2")).lock
    assert kept.lock != chat(request(platform_history=True, character_id="demo")).lock


def test_fresh_user_ids() -> None:
    """Strangers never share what the platform remembers."""
    ids = {fresh_user_id() for _ in range(100)}
    assert len(ids) == 100
    assert all(len(one) == 32 for one in ids)
