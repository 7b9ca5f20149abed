"""What a question to a robot is made of. Source: Beebot, "streaming chat API", "Chat"."""

import json
import logging
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, AliasChoices, BaseModel, ConfigDict, Field, model_validator

from xingchen_core._errors import ConfigurationError
from xingchen_core.chat import Message

logger = logging.getLogger("xingchen_core")

BEEBOT_NAME = "beebot"
LONGEST_SESSION_ID = 64
LONGEST_UTTERANCE = 512
"""The newer documents say 512 characters, the older ones 128."""


def _texts(value: str | list[str] | None) -> list[str] | None:
    return [value] if isinstance(value, str) else value


class BeebotParameters(BaseModel):
    """Everything that shapes a question, apart from its text.

    Attributes:
        instance_id: The robot, `chatbot-cn-...`.
        api: `stream` for large-model robots; `rpc` for the older `Chat` call, which does not stream.
        session_id: The conversation, at most 64 characters. Not given: the robot begins one and returns its id.
        sender_id, sender_nick: Your id of the end user, and a name.
        vendor_params: Values handed to the robot's engines, as plain Python data (`docLabels`,
            `SYS_IMAGE_ATTACHMENTS`, your own).
        perspective: Codes of the answers' perspectives, at most 20.
        sandbox: Ask the test environment, which is slower and more limited.
        knowledge_id, intent_name: Go straight to a knowledge entry or an intent; documented for `rpc` only.
        command: `TIMEOUT` or `GUIDEPOST`, for dialog flows; `stream` only.
        model, temperature, top_p, max_tokens: Accepted and not sent: a robot is configured with its model. `model` is
            what traces and `model_name` say; not given, the robot's id.
        max_utterance: Longest question in characters that is sent. Longer ones raise before the call.
        stop: The answer is cut before the first of these texts, by us.
        model_kwargs: Merged into the parameters, under the service's names, for what is not known here yet.
    """

    model_config = ConfigDict(
        extra="forbid",
        hide_input_in_errors=True,
        protected_namespaces=(),
        populate_by_name=True,
        defer_build=True,
    )

    instance_id: str | None = None
    api: Literal["stream", "rpc"] = "stream"
    session_id: str | None = Field(default=None, min_length=1, max_length=LONGEST_SESSION_ID)
    sender_id: str | None = None
    sender_nick: str | None = None
    vendor_params: dict[str, Any] | None = None
    perspective: list[str] | None = Field(default=None, max_length=20)
    sandbox: bool | None = None
    knowledge_id: str | None = None
    intent_name: str | None = None
    command: str | None = None
    model: str | None = Field(default=None, validation_alias=AliasChoices("model", "model_name"))
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    max_utterance: int = Field(default=LONGEST_UTTERANCE, gt=0)
    stop: Annotated[str | list[str] | None, AfterValidator(_texts)] = None
    model_kwargs: dict[str, Any] = Field(default_factory=dict)


def newest_question(messages: Sequence[Message], *, has_session: bool) -> str:
    """Return the newest human text of a conversation: the robot keeps the rest.

    Raises:
        ConfigurationError: Nobody asks anything.
    """
    said = [message.content for message in messages if message.role == "user"]
    if not said:
        raise ConfigurationError("There is no human message to send: a robot answers the newest one.")
    if len(said) > 1 and not has_session:
        logger.warning(
            "Only the newest of %d human messages is sent: a Beebot robot keeps the conversation itself. Pass "
            "session_id (it comes back with the answer) to continue one.",
            len(said),
        )
    return said[-1]


class BeebotRequest(BeebotParameters):
    """One question. `utterance` is its text: the robot keeps the conversation, so nothing else of it is sent.

    Raises:
        ConfigurationError: The question is longer than `max_utterance`, or there is no `instance_id`.
    """

    utterance: str

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if not self.instance_id:
            raise ConfigurationError("Say which robot answers: instance_id='chatbot-cn-...', from the Beebot console.")
        if len(self.utterance) > self.max_utterance:
            raise ConfigurationError(
                f"The question has {len(self.utterance)} characters, the service takes {self.max_utterance}: shorten "
                "it, or set max_utterance if your robot takes more."
            )
        return self

    def model_name(self) -> str:
        """Return what stands for the model in metadata and traces."""
        return self.model or self.instance_id or BEEBOT_NAME

    def stream_parameters(self) -> dict[str, Any]:
        """Return the parameters of the streamed chat. `Perspective` is an array here (UNVERIFIED), text in RPC."""
        vendor = self.vendor_params
        return _given(
            InstanceId=self.instance_id,
            Utterance=self.utterance,
            SessionId=self.session_id,
            SenderId=self.sender_id,
            SenderNick=self.sender_nick,
            VendorParam=None if vendor is None else json.dumps(vendor, ensure_ascii=False, separators=(",", ":")),
            Perspective=self.perspective,
            SandBox=self.sandbox,
            KnowledgeId=self.knowledge_id,
            IntentName=self.intent_name,
            Command=self.command,
        ) | dict(self.model_kwargs)

    def rpc_parameters(self) -> dict[str, Any]:
        """Return the parameters of the `Chat` call."""
        return _given(
            InstanceId=self.instance_id,
            Utterance=self.utterance,
            SessionId=self.session_id,
            SenderId=self.sender_id,
            SenderNick=self.sender_nick,
            VendorParam=self.vendor_params,
            Perspective=self.perspective,
            SandBox=self.sandbox,
            KnowledgeId=self.knowledge_id,
            IntentName=self.intent_name,
        ) | dict(self.model_kwargs)


def _given(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}
