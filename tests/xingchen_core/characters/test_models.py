"""What a chat request accepts and refuses before anything is sent."""

import copy
import pickle
from typing import Any

import pytest
from pydantic import ValidationError

from xingchen_core import ConfigurationError, Message, UnsupportedOperationError
from xingchen_core.characters import (
    Character,
    ChatRequest,
    GroupChat,
    GroupMember,
    Memory,
    RejectAnswerPlugin,
    Scenario,
    TextToImagePlugin,
)
from xingchen_core.characters.models import CharacterParameters

HELLO = [Message(role="user", content="你好")]
WAN = Character(name="小婉", content="你是小婉。")
ROOM = GroupChat(name="三班", members=(WAN, GroupMember(character_id="demo", name="阿刚")))


def request(**fields: Any) -> ChatRequest:
    """A request with what is required."""
    if not fields.keys() & {"character", "group", "character_id"}:
        fields["character_id"] = "demo"
    return ChatRequest(**{"user_id": "u1", "messages": HELLO, **fields})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("top_p", 0),
        ("top_p", 1),
        ("top_p", 1.5),
        ("temperature", -0.1),
        ("seed", -1),
        ("seed", 2**63),
        ("max_tokens", 0),
        ("min_tokens", -1),
        ("n", 0),
        ("user_id", ""),
        ("user_id", None),
        ("character_type", "robot"),
        ("platform_plugins", [{"name": "other_plugin"}]),
        ("messages", "你好"),
        ("functions", [{"description": "no name"}]),
        ("no_such_field", 1),
    ],
)
def test_errors_name_the_field(field: str, value: Any) -> None:
    """Trap 20 and others: what the service would refuse, or silently change, is refused here, by name."""
    with pytest.raises(ValidationError, match=field):
        request(**{field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [("top_p", 0.999), ("temperature", 0), ("temperature", 1.2), ("seed", 0), ("seed", 2**63 - 1), ("max_tokens", 1)],
)
def test_the_ends_of_the_ranges(field: str, value: Any) -> None:
    """Trap 11: a seed may be any of 0 to 2**63 - 1; the limits themselves are accepted where they are inside."""
    assert getattr(request(**{field: value}), field) == value


@pytest.mark.parametrize("field", ["api_key", "apikey", "Authorization"])
def test_misplaced_keys_are_not_echoed(field: str) -> None:
    """A key given to a request instead of to the settings shows in no error."""
    with pytest.raises(ValidationError, match=field) as caught:
        request(**{field: "test-secret"})
    assert "test-secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("who", "words"),
    [
        ({}, "got none"),
        ({"character_id": "demo", "character": WAN}, "got character_id and character"),
        ({"character": WAN, "group": ROOM}, "got character and group"),
    ],
)
def test_exactly_one_answers(who: dict[str, Any], words: str) -> None:
    """One of the three ways to say who answers; the error, which pydantic does not wrap, names all three."""
    with pytest.raises(ConfigurationError, match=words) as caught:
        ChatRequest(user_id="u1", messages=HELLO, **who)
    assert "character_id, character or group" in str(caught.value)


def test_platform_history_needs_a_stored_character() -> None:
    """The platform keeps no history for characters it does not know."""
    for who in ({"character": WAN}, {"group": ROOM}):
        with pytest.raises(UnsupportedOperationError, match="character_id"):
            request(platform_history=True, **who)


def test_regenerating_needs_the_question() -> None:
    """Trap 15: with platform history `queryId` is mandatory; without it the caller's messages say what is meant."""
    with pytest.raises(ConfigurationError, match="query_id"):
        request(platform_history=True, regenerate=True)
    assert request(regenerate=True).query_id is None


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: Character(name="", content="x"), "name"),
        (lambda: Character(name="一" * 21, content="x"), "name"),
        (lambda: Character(name="小婉", content=""), "content"),
        (lambda: Character(name="小婉", content="x", mood="glad"), "mood"),
        (lambda: GroupMember(), "character_id, or name and content"),
        (lambda: GroupMember(name="阿刚"), "character_id, or name and content"),
        (lambda: GroupChat(name="三班", members=()), "members"),
        (lambda: GroupChat(name="三班", members=(WAN,) * 11), "members"),
        (lambda: GroupChat(name="", members=(WAN,)), "name"),
        (lambda: GroupChat(name="三班", members=(WAN,), speaker="阿刚"), "none of the members"),
        (lambda: GroupChat(name="三班", members=(WAN, GroupMember(character_id="demo"))), r"members\[1\] needs a name"),
        (lambda: Memory(tags=[{"role": "user", "key": "爱好"}]), "value"),
    ],
)
def test_characters_and_groups_are_checked(make: Any, field: str) -> None:
    """Limits of the service: names of 1 to 20 characters, a persona, 1 to 10 members, a speaker who is one of them."""
    with pytest.raises(ValidationError, match=field):
        make()


def test_plain_data_is_accepted() -> None:
    """Every nested object may be given as a dict, under our names or the service's; a scenario as a text."""
    made = request(
        character={"name": "小婉", "content": "你是小婉。"},
        messages=[{"role": "user", "content": "你好"}],
        scenario="学校门口",
        memory={"tags": [{"role": "user", "key": "爱好", "value": ["武术"]}]},
        platform_plugins=[{"name": "text_to_image_plugin", "imageStyle": "auto"}, {"name": "reject_answer_plugin"}],
        stop="。",
    )
    assert made.character == WAN
    assert made.messages == HELLO
    assert made.scenario == Scenario(description="学校门口")
    assert made.platform_plugins == [TextToImagePlugin(image_style="auto"), RejectAnswerPlugin()]
    assert made.stop == ["。"]


def test_model_name_is_model() -> None:
    """Both spellings are one field."""
    assert request(model_name="xingchen-plus").model == request(model="xingchen-plus").model == "xingchen-plus"


def test_requests_are_values() -> None:
    """A request compares, copies and pickles."""
    made = request(
        character=WAN, memory=Memory(originals=HELLO), scenario="门口", platform_plugins=[TextToImagePlugin()]
    )
    assert made == copy.deepcopy(made) == pickle.loads(pickle.dumps(made)) == made.model_copy()


def test_every_parameter_is_documented() -> None:
    """The class docstring, which is what users read, names every field."""
    for name in CharacterParameters.model_fields:
        assert name in (CharacterParameters.__doc__ or "")
