"""`ChatXingchen`: a Xingchen character as a LangChain chat model."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.content import ImageContentBlock, create_image_block
from langchain_core.runnables import Runnable
from langchain_core.utils.function_calling import convert_to_openai_tool

from langchain_xingchen._base import MODEL_CONFIG, XingchenChatModel
from langchain_xingchen._errors import model_errors
from langchain_xingchen._messages import to_messages
from xingchen_core import (
    Call,
    ChatDelta,
    ChatReply,
    ConfigurationError,
    Flow,
    StreamCall,
    UnsupportedOperationError,
    characters,
)
from xingchen_core.characters import CharacterParameters, ChatRequest, Function, XingchenSettings
from xingchen_core.characters.models import DEFAULT_MODEL, WHO
from xingchen_core.chat import parameters_of

if TYPE_CHECKING:  # named in annotations only: neither is loaded before it is used
    from langchain_core.tools import BaseTool

    from xingchen_core.characters import GeneratedImage


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
    `session_id`, `chat_id`, `message_id`, `answer_id`, `query_id`; `moderation` when it was asked for or struck.

    Raises:
        ConfigurationError: No key, or not exactly one of `character_id`, `character`, `group` in a call.
        AuthenticationError, PermissionDeniedError, NotFoundError, RateLimitError, ...: See `xingchen_core`; each is an
            instance of langchain-core's `ModelError` tree too, and carries `partial_text` if a stream broke.

    Source: Xingchen HTTP API, `POST /v2/api/chat/send`.
    """

    model_config = MODEL_CONFIG

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
        return kwargs.get("model") or kwargs.get("model_name") or self.model or DEFAULT_MODEL

    def _is_stateful(self, kwargs: dict[str, Any]) -> bool:
        return bool(
            kwargs.get("platform_history", self.platform_history)
            or kwargs.get("enable_long_term_memory", self.enable_long_term_memory)
            or kwargs.get("regenerate")
        )

    def _chat(self, messages: list[BaseMessage], stop: list[str] | None, **kwargs: Any) -> Flow[Call[ChatReply]]:
        request = yield from characters.with_speaker(self._request(messages, stop, **kwargs))
        return characters.chat(request)

    def _stream_chat(
        self, messages: list[BaseMessage], stop: list[str] | None, **kwargs: Any
    ) -> Flow[StreamCall[ChatDelta]]:
        request = yield from characters.with_speaker(self._request(messages, stop, **kwargs))
        return characters.stream_chat(request, stop_on_close=self.stop_on_close)

    def _request(self, messages: list[BaseMessage], stop: list[str] | None, **kwargs: Any) -> ChatRequest:
        kwargs.pop("stream", None)  # LangChain's own switch
        if "model_name" in kwargs:
            kwargs["model"] = kwargs.pop("model_name")
        if (tools := kwargs.pop("tools", None)) is not None:
            kwargs["functions"] = [_function(convert_to_openai_tool(tool)) for tool in tools]
        if (choice := kwargs.pop("tool_choice", None)) is not None:
            kwargs["function_choice"] = _function_choice(choice, kwargs.get("functions") or [])
        if stop is not None:
            kwargs["stop"] = stop
        fields = parameters_of(self, CharacterParameters)
        if any(kwargs.get(name) is not None for name in WHO):
            fields |= dict.fromkeys(WHO)  # a call that names another character means that one
        fields |= kwargs
        if fields.get("user_id") is None:
            if fields.get("platform_history"):
                raise ConfigurationError(
                    "platform_history=True needs user_id: the platform keeps one history per character and user."
                )
            fields["user_id"] = characters.fresh_user_id()
        return ChatRequest(**fields, messages=to_messages(messages))

    def bind_tools(
        self,
        tools: "Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool]",
        *,
        tool_choice: dict[str, Any] | str | bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Let the character call functions. It may still answer in words only: that is an answer, not an error.

        Args:
            tools: What LangChain takes for a tool: functions, `BaseTool`s, pydantic classes, OpenAI's dicts.
            tool_choice: `auto` (the service's default), `none`, or the name of the one function to call. `any`
                works with a single tool: with several, the call raises `UnsupportedOperationError` before anything is
                sent, since the service cannot be told to call some function.
            kwargs: Bound to each call.

        Raises:
            ValueError: `tool_choice` names none of the tools.
        """
        formatted = [convert_to_openai_tool(tool) for tool in tools]
        if tool_choice is not None and tool_choice is not False:
            if tool_choice not in _SOME_FUNCTION:
                tool_choice = _function_choice(tool_choice, [_function(tool) for tool in formatted])
            kwargs["tool_choice"] = tool_choice
        return self.bind(tools=formatted, **kwargs)

    def opening_line(self) -> str | None:
        """Return the stored character's opening line: show it first; a chat never returns it.

        An inline character has none. Source: `GET /v2/api/character/details`.
        """
        with model_errors():
            return self.client().run(self._opening_line())

    async def aopening_line(self) -> str | None:
        """As `opening_line`."""
        with model_errors():
            return await self.async_client().run(self._opening_line())

    def _opening_line(self) -> Flow[str | None]:
        if self.character_id is None:
            return None
        character = yield characters.details(self.character_id, self.version)
        return character.opening_line  # type: ignore[no-any-return]  # what a flow is sent is untyped

    def generated_image(self, message: AIMessage, *, timeout: float = 120.0) -> ImageContentBlock:
        """Wait for the picture of an answer of a character that draws (`TextToImagePlugin`).

        The answer comes at once and the picture later; nothing in the answer tells that one is coming (UNVERIFIED).

        Args:
            message: The answer; its `response_metadata` holds `message_id` and `user_id`.
            timeout: Seconds to wait at most.

        Returns:
            An image block with the picture's URL; `extras["urls"]` has all of them if there are several.

        Raises:
            APITimeoutError: No picture in time.
            APIResponseError: The picture could not be made.
            NotFoundError: The answer has no picture.
        """
        with model_errors():
            return _image_block(self.client().run(_wait_for_image(message, timeout)))

    async def agenerated_image(self, message: AIMessage, *, timeout: float = 120.0) -> ImageContentBlock:  # noqa: ASYNC109
        """As `generated_image`. The limit counts the pauses between questions, so it is not `asyncio.timeout`."""
        with model_errors():
            return _image_block(await self.async_client().run(_wait_for_image(message, timeout)))

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


def _function(tool: dict[str, Any]) -> Function:
    function = tool["function"]
    schema = function.get("parameters") or {"type": "object", "properties": {}}
    return Function(name=function["name"], description=function.get("description") or "", parameters=schema)


_SOME_FUNCTION = ("any", "required", True)
"""LangChain's words for "call a function, whichever"."""


def _function_choice(choice: dict[str, Any] | str | bool, functions: list[Function]) -> str:
    """Return LangChain's `tool_choice` as the service's: `auto`, `none` or a name."""
    if isinstance(choice, dict):
        choice = choice.get("function", choice).get("name") or choice.get("type") or ""
    names = [function.name for function in functions]
    if choice in _SOME_FUNCTION:
        if len(names) != 1:
            raise UnsupportedOperationError(
                "The service can be told to call one named function, not any of several: give tool_choice its name."
            )
        return names[0]
    if choice in ("auto", "none"):
        return str(choice)
    if choice not in names:
        raise ValueError(f"tool_choice {choice!r} is none of the tools: {', '.join(names)}")
    return str(choice)


def _wait_for_image(message: AIMessage, timeout: float) -> "Flow[GeneratedImage]":
    ids = message.response_metadata
    if not ids.get("message_id") or not ids.get("user_id"):
        raise ConfigurationError(
            "This message has no message_id and user_id in response_metadata: pass an answer of a stored character."
        )
    return (yield from characters.wait_for_image(ids["message_id"], ids["user_id"], timeout=timeout))


def _image_block(image: "GeneratedImage") -> ImageContentBlock:
    return create_image_block(url=image.urls[0], urls=list(image.urls) if len(image.urls) > 1 else None)
