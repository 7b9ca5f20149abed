"""`ChatBeebot`: a Beebot robot as a LangChain chat model."""

from typing import Any, ClassVar

from langchain_core.messages import AIMessage, BaseMessage

from langchain_xingchen import _citations  # noqa: F401  registers the translator of content_blocks
from langchain_xingchen._base import MODEL_CONFIG, XingchenChatModel
from langchain_xingchen._errors import model_errors
from langchain_xingchen._messages import to_messages
from xingchen_core import Call, ChatDelta, ChatReply, ConfigurationError, Flow, StreamCall, beebot
from xingchen_core._config import ACCESS_KEY_VARIABLES
from xingchen_core.beebot import BeebotParameters, BeebotRequest, BeebotSettings, Suggestion
from xingchen_core.chat import parameters_of


class ChatBeebot(XingchenChatModel, BeebotParameters, BeebotSettings):
    """A Beebot (智能对话机器人) robot of your company.

    ```python
    from langchain_xingchen import ChatBeebot

    robot = ChatBeebot(instance_id="chatbot-cn-...")  # AccessKey from ALIBABA_CLOUD_ACCESS_KEY_ID and ..._SECRET
    answer = robot.invoke("怎么开发票?")
    robot.invoke("电子的呢?", session_id=answer.response_metadata["session_id"])
    ```

    The robot keeps the conversation: only the newest human message is sent, and `session_id`, which comes back in
    `response_metadata`, joins the turns. System and AI messages are not transmitted. A session belongs to one user:
    give it per call. Answers are not served from a LangChain cache unless `cache` is given.

    `additional_kwargs` holds what is no text: `references`, `related_questions`, `clarify_list`, `recommends`,
    `commands` (`sysToAgent` asks to hand over to a human; `finish_reason` is then `handover`), `ext`.

    A robot may replace its answer while it runs (moderation). A stream then shows nothing more; its last chunk has
    `rewritten` and `final_text` in `response_metadata`. `invoke` returns the final text.

    Raises:
        ConfigurationError: No AccessKey, no `instance_id`, or a question longer than the service takes.
        APIResponseError: The stream ended without its end mark; `partial_text` holds what came.

    Source: Beebot, "streaming chat API"; with `api="rpc"` the `Chat` call of API version 2022-04-08.
    """

    model_config = MODEL_CONFIG

    provider: ClassVar[str] = "beebot"

    @property
    def model_name(self) -> str | None:
        """The same as `model`."""
        return self.model

    @property
    def _llm_type(self) -> str:
        return "beebot-chat"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": self._model_of({}), "instance_id": self.instance_id, "api": self.api}

    @property
    def lc_secrets(self) -> dict[str, str]:
        """Which arguments are secrets, and the variable that holds each when the object is revived."""
        return dict(ACCESS_KEY_VARIABLES)

    def _model_of(self, kwargs: dict[str, Any]) -> str:
        named = kwargs.get("model") or kwargs.get("model_name") or self.model
        return named or kwargs.get("instance_id") or self.instance_id or beebot.BEEBOT_NAME

    def _is_stateful(self, kwargs: dict[str, Any]) -> bool:
        return True

    def _has_plain(self, kwargs: dict[str, Any]) -> bool:
        return bool(kwargs.get("api", self.api) == "rpc")

    def _has_stream(self, kwargs: dict[str, Any]) -> bool:
        return not self._has_plain(kwargs)

    def _chat(self, messages: list[BaseMessage], stop: list[str] | None, **kwargs: Any) -> Flow[Call[ChatReply]]:
        yield from ()
        return beebot.chat(self._request(messages, stop, **kwargs), self.agent_key)

    def _stream_chat(
        self, messages: list[BaseMessage], stop: list[str] | None, **kwargs: Any
    ) -> Flow[StreamCall[ChatDelta]]:
        return (yield from beebot.open_chat(self._request(messages, stop, **kwargs), self))

    def _request(self, messages: list[BaseMessage], stop: list[str] | None, **kwargs: Any) -> BeebotRequest:
        kwargs.pop("stream", None)  # LangChain's own switch
        if "model_name" in kwargs:
            kwargs["model"] = kwargs.pop("model_name")
        if stop is not None:
            kwargs["stop"] = stop
        fields = parameters_of(self, BeebotParameters) | kwargs
        utterance = beebot.newest_question(to_messages(messages), has_session=fields.get("session_id") is not None)
        return BeebotRequest(**fields, utterance=utterance)

    def welcome(self, *, session_id: str | None = None) -> str:
        """Return the robot's welcome: `BeginSession`. It names no session: choose one if turns are to follow."""
        with model_errors():
            return self.client().send(self._welcome(session_id)).welcome_message

    async def awelcome(self, *, session_id: str | None = None) -> str:
        """As `welcome`."""
        with model_errors():
            return (await self.async_client().send(self._welcome(session_id))).welcome_message

    def suggest(self, text: str, *, limit: int | None = None) -> list[str]:
        """Return questions that begin like `text`, for somebody who types: `Associate`. `limit` is 1 to 10."""
        with model_errors():
            return [found.title for found in self.client().send(self._suggest(text, limit))]

    async def asuggest(self, text: str, *, limit: int | None = None) -> list[str]:
        """As `suggest`."""
        with model_errors():
            return [found.title for found in await self.async_client().send(self._suggest(text, limit))]

    def rate(self, message: AIMessage, good: bool, *, text: str | None = None, labels: list[str] | None = None) -> None:
        """Rate an answer: `Feedback`. `text` and `labels` say why.

        Raises:
            ConfigurationError: The message is no answer of a robot.
        """
        with model_errors():
            self.client().send(self._rate(message, good, text, labels))

    async def arate(
        self, message: AIMessage, good: bool, *, text: str | None = None, labels: list[str] | None = None
    ) -> None:
        """As `rate`."""
        with model_errors():
            await self.async_client().send(self._rate(message, good, text, labels))

    def _welcome(self, session_id: str | None) -> Call[beebot.Welcome]:
        return beebot.begin_session(
            self._robot(),
            session_id=session_id or self.session_id,
            vendor_params=self.vendor_params,
            sandbox=self.sandbox,
            agent_key=self.agent_key,
        )

    def _suggest(self, text: str, limit: int | None) -> Call[tuple[Suggestion, ...]]:
        return beebot.associate(
            self._robot(),
            text,
            session_id=self.session_id,
            limit=limit,
            perspective=self.perspective,
            agent_key=self.agent_key,
        )

    def _rate(self, message: AIMessage, good: bool, text: str | None, labels: list[str] | None) -> Call[None]:
        ids = message.response_metadata
        if not ids.get("message_id"):
            raise ConfigurationError("This message has no message_id in response_metadata: pass an answer of a robot.")
        return beebot.feedback(
            self._robot(),
            ids["message_id"],
            good,
            session_id=ids.get("session_id"),
            text=text,
            labels=labels,
            agent_key=self.agent_key,
        )

    def _robot(self) -> str:
        if not self.instance_id:
            raise ConfigurationError("Say which robot: instance_id='chatbot-cn-...', from the Beebot console.")
        return self.instance_id
