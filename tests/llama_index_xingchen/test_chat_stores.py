"""What chat stores store, refuse, delete and reset, against the emulator (items 64 to 66 and 70 of the checklist)."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core.base.llms.types import (
    AudioBlock,
    CacheControl,
    CachePoint,
    ChatMessage,
    CitableBlock,
    CitationBlock,
    DocumentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)

from chat_store_words import HISTORY, KEY, REMINDER, assistant, calls, reminders, said, user
from llama_index_xingchen import XingchenChatStore
from xingchen_core import UnsupportedOperationError
from xingchen_core.emulator import Emulator

Do = Callable[..., Any]


# Writing and reading


def test_a_user_message_is_pending(store: XingchenChatStore, do: Do, emulator: Emulator) -> None:
    """What the user says is readable at once, as it was given, and nothing is sent for it but reads."""
    message = ChatMessage(role="user", content="你好 👋", additional_kwargs={"mood": "happy"})
    do(store, "add_message", KEY, message)
    assert do(store, "get_messages", KEY) == [message]
    assert {request.path for request in emulator.requests} == {HISTORY}


def test_the_platform_echoes_a_question(store: XingchenChatStore, do: Do, answer_to: Do) -> None:
    """A question whose answer was never added is shown once, from the platform, with the answer behind it."""
    store.cache_seconds = 0
    do(store, "add_message", KEY, user("你好"))
    answer = answer_to("你好")
    assert said(do(store, "get_messages", KEY)) == [("user", "你好"), ("assistant", answer.content)]


def test_the_platforms_own_answer_is_not_written_again(
    store: XingchenChatStore, do: Do, answer_to: Do, emulator: Emulator
) -> None:
    """An answer of a chat with platform history is recognised, whether or not the service lags."""
    emulator.xingchen.history_lag = 2
    do(store, "add_message", KEY, user("你好"))
    answer = answer_to("你好")
    do(store, "add_message", KEY, answer)
    expected = [("user", "你好"), ("assistant", answer.content)]
    store.cache_seconds = 0
    assert [said(do(store, "get_messages", KEY)) for _ in range(4)] == [expected] * 4
    assert calls(emulator, REMINDER) == 0


def test_another_answer_is_written_as_a_reminder(store: XingchenChatStore, do: Do, emulator: Emulator) -> None:
    """What another model said becomes the character's words on the platform, visible to every other reader."""
    do(store, "add_message", KEY, assistant("好久不见"))
    assert reminders(emulator) == [{"characterId": "quiet", "bizUserId": "u1", "content": "好久不见"}]
    with XingchenChatStore(api_key="test-key", base_url=emulator.url) as other:
        [read] = do(other, "get_messages", KEY)
    assert said([read]) == [("assistant", "好久不见")]
    assert read.additional_kwargs["message_type"] == "sys_greetings"


@pytest.mark.parametrize("changes", [{"user_id": "u2"}, {"is_saved": False}, {"character_id": "other"}])
def test_an_answer_from_elsewhere_is_written(
    store: XingchenChatStore, do: Do, answer_to: Do, emulator: Emulator, changes: dict[str, Any]
) -> None:
    """An answer that the platform stored for somebody else, or not at all, is no answer of this conversation."""
    answer = answer_to("你好")
    answer.additional_kwargs.update(changes)
    do(store, "add_message", KEY, answer)
    assert calls(emulator, REMINDER) == 1


def test_what_the_platform_tells_of_a_message(store: XingchenChatStore, do: Do, emulator: Emulator) -> None:
    """Messages carry the platform's id and time, and kind and rating where they say something."""
    emulator.xingchen.add_messages(
        "quiet",
        "u1",
        [
            {"content": "嗨", "messageType": "opening_remarks", "messageId": "m0", "gmtCreate": 1000},
            {"content": "你好", "messageType": "user", "messageId": "m1", "gmtCreate": 2000},
            {"content": "好", "messageType": "character", "messageId": "m2", "gmtCreate": 3000, "rating": 5},
        ],
    )
    messages = do(store, "get_messages", KEY)
    assert said(messages) == [("assistant", "嗨"), ("user", "你好"), ("assistant", "好")]
    assert [message.additional_kwargs for message in messages] == [
        {"message_id": "m0", "created_at": 1000, "message_type": "opening_remarks"},
        {"message_id": "m1", "created_at": 2000},
        {"message_id": "m2", "created_at": 3000, "rating": 5},
    ]
    json.dumps([message.model_dump(mode="json") for message in messages])


def test_messages_are_the_callers_own(store: XingchenChatStore, do: Do) -> None:
    """Changing what was given or returned changes nothing in the store."""
    given = user("你好")
    do(store, "add_message", KEY, given)
    given.blocks = [TextBlock(text="改")]
    returned = do(store, "get_messages", KEY)
    returned[0].blocks.append(TextBlock(text="改"))
    returned.clear()
    assert said(do(store, "get_messages", KEY)) == [("user", "你好")]


# What the platform cannot hold (items 66, 70)

IMAGE = ImageBlock(url="https://example.com/a.png")


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (ChatMessage(role="system", content="规则"), "a system message"),
        (ChatMessage(role="developer", content="规则"), "a developer message"),
        (ChatMessage(role="tool", content="18 度"), "a tool message"),
        (ChatMessage(role="function", content="18 度"), "a function message"),
        (ChatMessage(role="assistant", blocks=[ToolCallBlock(tool_name="weather")]), "function calls"),
        (ChatMessage(role="assistant", content="x", additional_kwargs={"tool_calls": [{}]}), "function calls"),
        (ChatMessage(role="user", blocks=[TextBlock(text="看"), IMAGE]), "a block of type 'image'"),
        (ChatMessage(role="user", blocks=[AudioBlock(url="https://example.com/a.wav")]), "type 'audio'"),
        (ChatMessage(role="user", blocks=[VideoBlock(url="https://example.com/a.mp4")]), "type 'video'"),
        (ChatMessage(role="user", blocks=[DocumentBlock(url="https://example.com/a.pdf")]), "type 'document'"),
        (ChatMessage(role="user", blocks=[CitableBlock(title="t", source="s", content=[])]), "type 'citable'"),
        (ChatMessage(role="assistant", content=""), "an empty message"),
    ],
)
def test_what_cannot_be_stored(
    store: XingchenChatStore, do: Do, emulator: Emulator, message: ChatMessage, why: str
) -> None:
    """The error says what and why, nothing is sent; `unsupported="skip"` leaves the message out."""
    with pytest.raises(UnsupportedOperationError, match=why):
        do(store, "add_message", KEY, message)
    assert calls(emulator, REMINDER) == 0
    store.unsupported = "skip"
    do(store, "add_message", KEY, message)
    assert do(store, "get_messages", KEY) == []


@pytest.mark.parametrize("role", [MessageRole.ASSISTANT, MessageRole.CHATBOT, MessageRole.MODEL])
def test_what_is_stored_of_an_answer(store: XingchenChatStore, do: Do, emulator: Emulator, role: MessageRole) -> None:
    """Every word for an assistant will do. Reasoning and citations are left out; until the echo they are readable."""
    blocks = [
        ThinkingBlock(content="想"),
        TextBlock(text="好"),
        CitationBlock(cited_content=TextBlock(text="引"), source="s", title="t", additional_location_info={}),
        CachePoint(cache_control=CacheControl(type="ephemeral")),
    ]
    emulator.xingchen.history_lag = 1
    message = ChatMessage(role=role, blocks=blocks)
    do(store, "add_message", KEY, message)
    store.cache_seconds = 0
    assert do(store, "get_messages", KEY) == [message]
    assert said(do(store, "get_messages", KEY)) == [("assistant", "好")]


def test_capabilities(store: XingchenChatStore) -> None:
    """What raises can be known beforehand."""
    able = store.capabilities
    assert (able.user_messages, able.assistant_messages, able.clear) == (True, True, True)
    assert not any(
        (able.system_messages, able.tool_messages, able.media, able.edit, able.delete_one, able.list_conversations)
    )
    assert not any((able.reasoning, able.metadata))


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param([], id="nothing"),
        pytest.param([user("改过"), assistant("好的")], id="edited"),
        pytest.param([assistant("你好"), assistant("好的")], id="another speaker"),
        pytest.param([user("你好")], id="cut"),
    ],
)
def test_set_messages_edits_nothing(
    store: XingchenChatStore, do: Do, emulator: Emulator, messages: list[ChatMessage]
) -> None:
    """Anything but a continuation raises and changes nothing."""
    emulator.xingchen.add_messages("quiet", "u1", ["你好", "好的"])
    with pytest.raises(UnsupportedOperationError, match="cannot be edited"):
        do(store, "set_messages", KEY, messages)
    assert said(do(store, "get_messages", KEY)) == [("user", "你好"), ("assistant", "好的")]
    assert calls(emulator, REMINDER) == 0


def test_set_messages_continues(store: XingchenChatStore, do: Do, emulator: Emulator) -> None:
    """What is there and what follows is taken: the new part is stored; of an empty conversation everything is new."""
    do(store, "set_messages", KEY, [user("你好"), assistant("好的")])
    do(store, "set_messages", KEY, [*do(store, "get_messages", KEY), assistant("还在吗")])
    do(store, "set_messages", KEY, do(store, "get_messages", KEY))
    expected = [("user", "你好"), ("assistant", "好的"), ("assistant", "还在吗")]
    assert said(do(store, "get_messages", KEY)) == expected
    assert calls(emulator, REMINDER) == 2


def test_deleting_what_is_pending(store: XingchenChatStore, do: Do) -> None:
    """Items 64, 65: pending messages are taken back and returned, and the rest keeps its order."""
    for text in ("一", "二", "三"):
        do(store, "add_message", KEY, user(text))
    assert said([do(store, "delete_message", KEY, 1)]) == [("user", "二")]
    assert said([do(store, "delete_last_message", KEY)]) == [("user", "三")]
    assert said(do(store, "get_messages", KEY)) == [("user", "一")]


@pytest.mark.parametrize("idx", [-1, 2, 99])
def test_deleting_out_of_range(store: XingchenChatStore, do: Do, emulator: Emulator, idx: int) -> None:
    """Item 65: a number that names no message returns None and changes nothing."""
    emulator.xingchen.add_messages("quiet", "u1", ["你好", "好的"])
    assert do(store, "delete_message", KEY, idx) is None
    assert len(do(store, "get_messages", KEY)) == 2


def test_deleting_from_nothing(store: XingchenChatStore, do: Do) -> None:
    """An empty conversation has no last message."""
    assert do(store, "delete_last_message", KEY) is None
    assert do(store, "delete_message", KEY, 0) is None
    assert do(store, "delete_messages", KEY) is None


def test_the_platform_deletes_no_single_message(store: XingchenChatStore, do: Do, answer_to: Do) -> None:
    """Item 70: neither a listed message, nor one that the platform has and does not list yet."""
    do(store, "add_message", KEY, user("你好"))
    do(store, "add_message", KEY, answer_to("你好"))
    for name, args in (("delete_message", (KEY, 0)), ("delete_last_message", (KEY,))):
        with pytest.raises(UnsupportedOperationError, match="cannot delete single messages"):
            do(store, name, *args)
    assert len(do(store, "get_messages", KEY)) == 2


# Reset


@pytest.mark.parametrize("hides", [False, True], ids=["still listed", "no longer listed"])
@pytest.mark.parametrize("standing_clock", [False, True])
def test_delete_messages_resets(
    store: XingchenChatStore, do: Do, answer_to: Do, emulator: Emulator, hides: bool, standing_clock: bool
) -> None:
    """What was there is returned, and forgotten by the character; it is not shown again, even where it is listed."""
    emulator.xingchen.reset_hides_history = hides
    emulator.xingchen.same_gmt_create = standing_clock
    do(store, "add_message", KEY, user("记住 42"))
    do(store, "add_message", KEY, answer_to("记住 42"))
    do(store, "add_message", KEY, user("没说出口"))
    gone = do(store, "delete_messages", KEY)
    assert [message.content for message in gone][::2] == ["记住 42", "没说出口"]
    assert do(store, "get_messages", KEY) == []

    do(store, "add_message", KEY, user("新的"))
    answer = answer_to("新的")
    do(store, "add_message", KEY, answer)
    assert said(do(store, "get_messages", KEY)) == [("user", "新的"), ("assistant", answer.content)]
    assert emulator.xingchen.prompts[-1] == [{"role": "user", "content": "新的"}]


def test_a_reset_hides_what_others_said(store: XingchenChatStore, do: Do, emulator: Emulator) -> None:
    """What another program stored since the last read is older than the reset, too; that read is not served again."""
    assert do(store, "get_messages", KEY) == []
    emulator.xingchen.add_messages("quiet", "u1", ["别的程序说的", "好"])
    assert said(do(store, "delete_messages", KEY)) == [("user", "别的程序说的"), ("assistant", "好")]
    assert do(store, "get_messages", KEY) == []


def test_a_reset_hides_what_this_program_said_elsewhere(
    store: XingchenChatStore, do: Do, answer_to: Do, emulator: Emulator
) -> None:
    """Chats that the store was not told of are hidden, though the platform lists them only later; and no answer from
    before the reset is taken for one to a later question.
    """
    emulator.xingchen.history_lag = 2
    store.cache_seconds = 0
    emulator.reply("好。")
    answer_to("旧")
    do(store, "delete_messages", KEY)
    for _ in range(4):
        assert do(store, "get_messages", KEY) == []
    do(store, "add_message", KEY, user("旧"))
    do(store, "add_message", KEY, assistant("好。"))
    assert [body["content"] for body in reminders(emulator)] == ["好。"]


def test_what_is_listed_after_a_reset_stays_hidden(store: XingchenChatStore, do: Do, emulator: Emulator) -> None:
    """A message written before the reset that the service lists only afterwards is not shown."""
    store.cache_seconds = 0
    emulator.xingchen.history_lag = 3
    do(store, "add_message", KEY, assistant("旧的"))
    do(store, "delete_messages", KEY)
    assert [do(store, "get_messages", KEY) for _ in range(4)] == [[]] * 4
