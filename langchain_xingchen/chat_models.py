"""`ChatXingchen`: a Xingchen character as a LangChain chat model."""

from typing import Any, ClassVar

from langchain_core.messages import BaseMessage
from pydantic import ConfigDict

from langchain_xingchen._base import XingchenChatModel
from langchain_xingchen._errors import model_errors
from langchain_xingchen._messages import to_messages
from xingchen_core import Call, ChatDelta, ChatReply, ConfigurationError, Flow, StreamCall, characters
from xingchen_core.characters import CharacterParameters, ChatRequest, XingchenSettings
from xingchen_core.characters.models import DEFAULT_MODEL, WHO


class ChatXingchen(XingchenChatModel, CharacterParameters, XingchenSettings):
    """A Xingchen (通义星尘) character: one stored on the platform, or one described here.

    ```python
    from langchain_xingchen import ChatXingchen

    model = ChatXingchen(character_id="...", user_id="u1", user_name="小明")  # key from XINGCHEN_API_KEY
    for chunk in model.stream("你多大了?"):
        print(chunk.text, end="", flush=True)
    ```

    An inline character needs no platform: `ChatXingchen(character=Character(name="小婉", content="你是小婉……"))`.

    The fields are those of `CharacterParameters` (what is asked) and `ConnectionSettings` (how); each of the former may
    also be given per call: `model.invoke("你好", user_id="u2", temperature=0.9)`. System messages become part of the
    scenario of a stored character, and of the persona of an inline one. Consecutive messages of one role are joined by
    a newline, since the service wants the roles to alternate.

    `response_metadata` holds `model_name`, `finish_reason`, `request_id`, `user_id` and, for stored characters,
    `session_id`, `chat_id`, `message_id`, `answer_id`, `query_id`; `moderation` when moderation was asked for or struck.

    Raises:
        ConfigurationError: No key, or not exactly one of `character_id`, `character`, `group` in a call.
        AuthenticationError, PermissionDeniedError, NotFoundError, RateLimitError, ...: See `xingchen_core`; each is an
            instance of langchain-core's `ModelError` tree too, and carries `partial_text` if a stream broke.

    Source: Xingchen HTTP API, `POST /v2/api/chat/send`.
    """

    model_config = ConfigDict(
        extra="forbid",
        hide_input_in_errors=True,
        arbitrary_types_allowed=True,
        populate_by_name=True,
        protected_namespaces=(),
    )

    provider: ClassVar[str] = "xingchen"

    stop_on_close: bool = False
    """Tell the service to stop generating when a stream is closed early. Closing the connection alone is not documented
    to do so."""

    @property
    def model_name(self) -> str | None:
        """The same as `model`."""
        return self.model

    @property
    def _llm_type(self) -> str:
        return "xingchen-chat"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        named = ("character_id", "version", "temperature", "top_p", "top_k", "max_tokens", "seed", "n")
        return {"model": self._model_of({}), **{name: getattr(self, name) for name in named}}

    def _model_of(self, kwargs: dict[str, Any]) -> str:
        return kwargs.get("model") or self.model or DEFAULT_MODEL

    def _is_stateful(self, kwargs: dict[str, Any]) -> bool:
        return bool(kwargs.get("platform_history", self.platform_history))

    def _chat(self, messages: list[BaseMessage], stop: list[str] | None, **kwargs: Any) -> Flow[Call[ChatReply]]:
        yield from ()
        return characters.chat(self._request(messages, stop, **kwargs))

    def _stream_chat(
        self, messages: list[BaseMessage], stop: list[str] | None, **kwargs: Any
    ) -> Flow[StreamCall[ChatDelta]]:
        yield from ()
        return characters.stream_chat(self._request(messages, stop, **kwargs), stop_on_close=self.stop_on_close)

    def _request(self, messages: list[BaseMessage], stop: list[str] | None, **kwargs: Any) -> ChatRequest:
        kwargs.pop("stream", None)  # LangChain's own switch
        if stop is not None:
            kwargs["stop"] = stop
        fields = {name: getattr(self, name) for name in CharacterParameters.model_fields}
        if any(kwargs.get(name) is not None for name in WHO):
            fields |= dict.fromkeys(WHO)  # a call that names another character means that one
        fields |= kwargs
        if fields["user_id"] is None:
            if fields["platform_history"]:
                raise ConfigurationError(
                    "platform_history=True needs user_id: the platform keeps one history per character and user."
                )
            fields["user_id"] = characters.fresh_user_id()
        return ChatRequest(**fields, messages=to_messages(messages))

    def stop_generation(self, request_id: str, shown_text: str) -> bool:
        """End a running answer.

        Args:
            request_id: `request_id` of the answer's `response_metadata`.
            shown_text: What the user has seen; the platform keeps it as the answer.
        """
        with model_errors():
            return self.client().send(characters.stop_generation(request_id, shown_text))

    async def astop_generation(self, request_id: str, shown_text: str) -> bool:
        """As `stop_generation`."""
        with model_errors():
            return await self.async_client().send(characters.stop_generation(request_id, shown_text))
