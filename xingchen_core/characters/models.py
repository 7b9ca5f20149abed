"""What a chat with a character is made of: characters, groups, scenario, memory, plugins, and the request itself.

Source: Xingchen HTTP API, "platform character chat", "custom character chat", "group chat", "memory".
"""

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, AliasChoices, BaseModel, ConfigDict, Field, model_validator

from xingchen_core._config import ConnectionSettings
from xingchen_core._errors import ConfigurationError, UnsupportedOperationError
from xingchen_core._service import Service
from xingchen_core.characters._service import XINGCHEN
from xingchen_core.characters._wire import WireModel
from xingchen_core.chat import Message

CharacterType = Literal["virtual", "reproduction", "assistant"]
Name = Annotated[str, Field(min_length=1, max_length=20)]

DEFAULT_MODEL = "xingchen-plus-v2"
"""What answers when neither the request nor the stored character names a model."""


class XingchenSettings(ConnectionSettings):
    """How to reach Xingchen. The key is `api_key` or `XINGCHEN_API_KEY`, made in the Xingchen console.

    The one region is `cn-hangzhou` (`https://nlp.aliyuncs.com`).
    """

    service: ClassVar[Service] = XINGCHEN


class Character(WireModel):
    """A character described in the request instead of stored on the platform.

    Attributes:
        name: 1 to 20 characters.
        content: The persona, in the second person ("你是…"). The service refuses an empty one.
        traits: Style of speech and hard requirements.
        type: `virtual` (the service's default), `reproduction` of a known figure, or `assistant`.
        task: In a group chat: what this character is after.
    """

    name: Name
    content: str = Field(min_length=1)
    traits: str | None = None
    type: CharacterType | None = None
    task: str | None = None


class GroupMember(WireModel):
    """A member of a group chat: a stored character by `character_id`, or an inline one by `name` and `content`."""

    name: Name | None = None
    character_id: str | None = None
    version: int | None = None
    content: str | None = None
    traits: str | None = None
    task: str | None = None
    type: CharacterType | None = None

    @model_validator(mode="after")
    def _has_persona(self) -> Self:
        if self.character_id is None and not (self.name and self.content):
            raise ValueError("a group member needs character_id, or name and content")
        return self


class GroupChat(WireModel):
    """A room with several characters.

    Attributes:
        members: 1 to 10, each with a name.
        name: The room's name.
        description: What the room is about.
        speaker: Name of the member who answers. Not given: the service is asked who speaks next.
        thought: Direction for that answer.
    """

    members: tuple[GroupMember | Character, ...] = Field(min_length=1, max_length=10)
    name: str = Field(min_length=1)
    description: str | None = None
    speaker: str | None = None
    thought: str | None = None

    @model_validator(mode="after")
    def _speaker_is_member(self) -> Self:
        if nameless := [at for at, member in enumerate(self.members) if not member.name]:
            raise ValueError(f"members[{nameless[0]}] needs a name, as stored characters do here: it says who speaks")
        if self.speaker is not None and self.speaker not in [member.name for member in self.members]:
            raise ValueError(f"speaker {self.speaker!r} is none of the members")
        return self


class Scenario(WireModel):
    """Where and about what the conversation is.

    Attributes:
        description: Added to the character's own scenario.
        safety_prompt: Handed to the model after a moderation hit.
        is_real_time: Let the character know the time.
    """

    description: str | None = None
    safety_prompt: str | None = None
    is_real_time: bool | None = None
    topics: tuple[str, ...] | None = None
    user_tags: tuple[str, ...] | None = None


class MemoryTag(WireModel):
    """A fact: who, what about, which values. The key/value extraction returns the same shape."""

    role: str
    key: str
    value: tuple[str, ...]


class Memory(WireModel):
    """Long-term memory that you keep and hand over: summaries, earlier messages verbatim, facts."""

    summaries: tuple[str, ...] | None = None
    originals: tuple[Message, ...] | None = None
    tags: tuple[MemoryTag, ...] | None = None

    def wire(self) -> dict[str, Any]:
        """Return the members that are set; earlier messages in the service's shape."""
        body = super().wire()
        if self.originals is not None:
            body["originals"] = [wire_message(message) for message in self.originals]
        return body


class TextToImagePlugin(WireModel):
    """Lets the character draw. The answer comes at once, the picture later: see `generated_image`."""

    name: Literal["text_to_image_plugin"] = "text_to_image_plugin"
    enabled: bool = True
    image_style: str | None = None
    positive_desc: str | None = None
    negative_desc: str | None = None


class RejectKeyword(WireModel):
    """A word that makes a reject condition apply."""

    value: str


class RejectCondition(WireModel):
    """When the character declines. `condition_type` of a sub-condition is an open set (`ancient` is documented)."""

    condition_type: str
    enabled: bool = True
    keywords: tuple[RejectKeyword, ...] | None = None
    sub_reject_condition: "RejectCondition | None" = None


class RejectAnswerPlugin(WireModel):
    """Makes the character decline some questions."""

    name: Literal["reject_answer_plugin"] = "reject_answer_plugin"
    enabled: bool = True
    reject_conditions: tuple[RejectCondition, ...] = ()


PlatformPlugin = Annotated[TextToImagePlugin | RejectAnswerPlugin, Field(discriminator="name")]


class Function(WireModel):
    """A function the character may call. `parameters` is a JSON Schema object."""

    name: str
    description: str = ""
    parameters: dict[str, Any] = Field(default_factory=lambda: {"type": "object", "properties": {}})


def _scenario(value: Scenario | str | None) -> Scenario | None:
    return Scenario(description=value) if isinstance(value, str) else value


def _texts(value: str | list[str] | None) -> list[str] | None:
    return [value] if isinstance(value, str) else value


class CharacterParameters(BaseModel):
    """Everything that shapes a chat request, apart from the messages.

    Attributes:
        character_id: A character stored on the platform.
        version: Its version; leave it out unless you pin one.
        character: An inline character instead.
        group: A group chat instead.
        character_type: `assistant` for a stored assistant character; else leave it out.
        user_id: Your id of the end user. The platform keeps history by (character, user). Not given: a fresh
            unguessable one per call, so that strangers never share what the platform remembers.
        user_name, user_info: What the character knows of the user.
        scenario: A text or a `Scenario`.
        sample_messages: Example dialogue, for inline characters.
        memory: Long-term memory you keep.
        knowledge_base_ids: Knowledge bases of the same account to search.
        enable_web_search, search_enhanced_keyword: Web search, and a word added to its queries.
        enable_long_term_memory: Use the platform's long-term memory.
        platform_plugins: Drawing and declining.
        data_inspection: Moderation of input and answer; `None` leaves it to the service.
        platform_history: The platform keeps the conversation; only the newest user message is sent.
        model: `None`: what the character is configured with, else `xingchen-plus-v2`.
        temperature: Service default 0.92; above about 1.05 quality falls.
        top_p: Between 0 and 1, both excluded. Service default 0.95.
        top_k: Above 100 the service uses 100.
        max_tokens, min_tokens: Length of the answer in tokens.
        seed: 0 to 2**63 - 1. `None`: a fresh random one per call, which the default model needs.
        stop: The answer is cut before the first of these texts, by us: the service knows no stop.
        n: Number of answers, not in streams.
        incremental_output: Ask streams for new text only. The results are the same; the other way moves more bytes.
        require_end_mark: Raise `APIResponseError` if a stream ends without the service's end mark.
        model_kwargs: Merged into the request's `parameters` object, for what is not known here yet.
    """

    model_config = ConfigDict(
        extra="forbid",
        hide_input_in_errors=True,
        protected_namespaces=(),
        populate_by_name=True,
        defer_build=True,
    )

    character_id: str | None = None
    version: int | None = None
    character: Character | None = None
    group: GroupChat | None = None
    character_type: CharacterType | None = None
    user_id: str | None = Field(default=None, min_length=1)
    user_name: str | None = None
    user_info: str | None = None
    scenario: Annotated[Scenario | str | None, AfterValidator(_scenario)] = None
    sample_messages: list[Message] | None = None
    memory: Memory | None = None
    knowledge_base_ids: list[str] | None = None
    enable_web_search: bool | None = None
    search_enhanced_keyword: str | None = None
    enable_long_term_memory: bool | None = None
    platform_plugins: list[PlatformPlugin] | None = None
    data_inspection: bool | None = None
    platform_history: bool = False
    model: str | None = Field(default=None, validation_alias=AliasChoices("model", "model_name"))
    temperature: float | None = Field(default=None, ge=0)
    top_p: float | None = Field(default=None, gt=0, lt=1)
    top_k: int | None = None
    max_tokens: int | None = Field(default=None, gt=0)
    min_tokens: int | None = Field(default=None, ge=0)
    seed: int | None = Field(default=None, ge=0, le=2**63 - 1)
    stop: Annotated[str | list[str] | None, AfterValidator(_texts)] = None
    n: int = Field(default=1, ge=1)
    incremental_output: bool = True
    require_end_mark: bool = True
    model_kwargs: dict[str, Any] = Field(default_factory=dict)


WHO = ("character_id", "character", "group")
"""The three ways to say who answers; one request uses one of them."""


class ChatRequest(CharacterParameters):
    """One chat request.

    Attributes:
        messages: Oldest first. System messages become part of the scenario (stored character) or the persona (inline).
        user_id: Required here: the caller decides who shares memory with whom.
        functions: Functions the character may call.
        function_choice: `auto`, `none`, or the name of the one it must call.
        regenerate: A new answer to an old question. With platform history `query_id` names the question.
        query_id: Id of the user's message to answer again.
        answer_id: Which of several answers counts from here on: the turn after a regeneration.
    """

    messages: list[Message]
    user_id: str = Field(min_length=1)
    functions: list[Function] | None = None
    function_choice: str | None = None
    regenerate: bool = False
    query_id: str | None = None
    answer_id: str | None = None

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        named = [name for name in WHO if getattr(self, name) is not None]
        if len(named) != 1:
            got = f"got {' and '.join(named)}" if named else "got none"
            raise ConfigurationError(f"Say who answers by one of character_id, character or group; {got}.")
        if self.platform_history and self.character_id is None:
            raise UnsupportedOperationError("The platform keeps history for stored characters (character_id) only.")
        if self.group is not None and self.n > 1:
            raise UnsupportedOperationError("A group chat gives one answer at a time: use n=1.")
        if self.regenerate and self.platform_history and self.query_id is None:
            raise ConfigurationError("regenerate with platform history needs query_id, from response_metadata.")
        return self


def wire_message(message: Message) -> dict[str, Any]:
    """Return a message as the service takes it. Function calls have no id there (UNVERIFIED shape of results)."""
    body: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.name is not None:
        body["name"] = message.name
    if message.tool_calls:
        calls = [{"apiName": call.name, "parameters": call.arguments} for call in message.tool_calls]
        body["functionCall"] = {"apiCallList": calls}
    return body
