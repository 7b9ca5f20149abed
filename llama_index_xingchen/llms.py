"""`Xingchen`: a Xingchen character as a LlamaIndex LLM."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    ImageBlock,
    LLMMetadata,
)
from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]  # missing in its __all__
from pydantic import Field

from llama_index_xingchen._base import MODEL_CONFIG
from llama_index_xingchen._function_calling import FunctionCallingXingchenLLM
from llama_index_xingchen._messages import to_messages
from llama_index_xingchen._tools import function_choice, to_functions
from xingchen_core import Call, ChatDelta, ChatReply, ConfigurationError, Flow, StreamCall, characters
from xingchen_core.characters import CharacterParameters, ChatRequest, XingchenSettings
from xingchen_core.characters.models import DEFAULT_MODEL, WHO

if TYPE_CHECKING:
    from llama_index.core.tools.types import BaseTool

    from xingchen_core.characters import GeneratedImage

dispatcher = get_dispatcher(__name__)

CONTEXT_WINDOW = 8192
"""The service publishes no limit (UNVERIFIED). A character's prompt alone may take thousands of tokens; this is small
enough to be safe with any model behind it."""

NUM_OUTPUT = 512
"""More than a character says in one turn."""


class Xingchen(FunctionCallingXingchenLLM, CharacterParameters, XingchenSettings):
    """A Xingchen (通义星尘) character: one stored on the platform, or one described here.

    ```python
    from llama_index.core.llms import ChatMessage
    from llama_index_xingchen import Xingchen

    llm = Xingchen(character_id="...", user_id="u1", user_name="小明")  # key from XINGCHEN_API_KEY
    for response in llm.stream_chat([ChatMessage(role="user", content="你多大了?")]):
        print(response.delta, end="", flush=True)
    ```

    An inline character needs no platform: `Xingchen(character=Character(name="小婉", content="你是小婉……"))`.

    The fields are those of `CharacterParameters` (what is asked), `ConnectionSettings` (how) and LlamaIndex's own; each
    of the first may also be given per call: `llm.chat(messages, user_id="u2", temperature=0.9)`. System messages become
    part of the scenario of a stored character, and of the persona of an inline one. Consecutive messages of one role
    are joined by a newline, since the service wants the roles to alternate.

    Of a response, `raw` holds `usage`, `model_name`, `finish_reason`, `request_id`, `user_id` and, for stored
    characters, `session_id`, `chat_id`, `message_id`, `answer_id`, `query_id`; `moderation` when moderation was asked
    for or struck; `answers` when `n` asked for several. In a stream the last response has it, the others have `{}`.

    Attributes:
        context_window: Default 8192: the service publishes no limit. Raise it if your model reads more.
        num_output: Default `max_tokens`, else 512.
        is_function_calling_model: Whether agents and programs hand tools to the character as functions. Default False:
            a character plays its part better than it calls functions, so agents reason in text (ReAct).
        stop_on_close: Tell the service to stop generating when a stream is closed early. Closing the connection alone
            is not documented to do so.

    Raises:
        ConfigurationError: No key, or not exactly one of `character_id`, `character`, `group` in a call.
        UnsupportedOperationError: A message holds an image, a sound, a video or a document.
        AuthenticationError, PermissionDeniedError, NotFoundError, RateLimitError, ...: See `xingchen_core`. An error
            that broke a stream carries `partial_text`.
        TypeError: A call was given a keyword that is none of these fields.

    Source: Xingchen HTTP API, `POST /v2/api/chat/send`.
    """

    model_config = MODEL_CONFIG

    context_window: int = Field(default=CONTEXT_WINDOW, gt=0)
    num_output: int | None = Field(default=None, gt=0)
    is_function_calling_model: bool = False
    stop_on_close: bool = False

    @classmethod
    def class_name(cls) -> str:
        """Return the name that dumps and traces carry."""
        return "xingchen_llm"

    @property
    def metadata(self) -> LLMMetadata:
        """What LlamaIndex sizes prompts and chooses agents by."""
        return LLMMetadata(
            context_window=self.context_window,
            num_output=self.num_output or self.max_tokens or NUM_OUTPUT,
            is_chat_model=True,
            is_function_calling_model=self.is_function_calling_model,
            model_name=self.model or DEFAULT_MODEL,
        )

    def _chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Flow[Call[ChatReply]]:
        request = yield from characters.with_speaker(self._request(messages, **kwargs))
        return characters.chat(request)

    def _stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Flow[StreamCall[ChatDelta]]:
        request = yield from characters.with_speaker(self._request(messages, **kwargs))
        return characters.stream_chat(request, stop_on_close=self.stop_on_close)

    def _request(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatRequest:
        fields = self._fields(ChatRequest, kwargs)
        if any(kwargs.get(name) is not None for name in WHO):
            fields |= {name: kwargs.get(name) for name in WHO}  # a call that names another character means that one
        if fields.get("user_id") is None:
            if fields.get("platform_history"):
                raise ConfigurationError(
                    "platform_history=True needs user_id: the platform keeps one history per character and user."
                )
            fields["user_id"] = characters.fresh_user_id()
        return ChatRequest(**fields, messages=to_messages(messages))

    def _tool_keywords(
        self, tools: Sequence["BaseTool"], choice: str | dict[str, Any] | None, *, required: bool, parallel: bool
    ) -> dict[str, Any]:
        functions = to_functions(tools)
        chosen = function_choice(choice, required, [function.name for function in functions])
        return {"functions": functions or None, "function_choice": chosen}

    @dispatcher.span
    def opening_line(self) -> str | None:
        """Return the stored character's opening line: show it first; a chat never returns it.

        An inline character has none. Source: `GET /v2/api/character/details`.
        """
        return self.client().run(self._opening_line())

    @dispatcher.span
    async def aopening_line(self) -> str | None:
        """As `opening_line`."""
        return await self.async_client().run(self._opening_line())

    def _opening_line(self) -> Flow[str | None]:
        if self.character_id is None:
            return None
        character = yield characters.details(self.character_id, self.version)
        return character.opening_line  # type: ignore[no-any-return]  # what a flow is sent is untyped

    @dispatcher.span
    def generated_image(self, answer: "Answered", *, timeout: float = 120.0) -> ImageBlock:
        """Wait for the picture of an answer of a character that draws (`TextToImagePlugin`).

        The answer comes at once and the picture later; nothing in the answer tells that one is coming (UNVERIFIED).

        Args:
            answer: The response (of a stream the last), or its message where the platform stored it.
            timeout: Seconds to wait at most between the questions.

        Returns:
            A block with the picture's URL; of several pictures the first. `characters.wait_for_image` has all of them.

        Raises:
            APITimeoutError: No picture in time.
            APIResponseError: The picture could not be made.
            NotFoundError: The answer has no picture.
        """
        return ImageBlock(url=self.client().run(_wait_for_image(answer, timeout)).urls[0])

    @dispatcher.span
    async def agenerated_image(self, answer: "Answered", *, timeout: float = 120.0) -> ImageBlock:  # noqa: ASYNC109
        """As `generated_image`. The limit counts the pauses between questions, so it is not `asyncio.timeout`."""
        return ImageBlock(url=(await self.async_client().run(_wait_for_image(answer, timeout))).urls[0])

    @dispatcher.span
    def stop_generation(self, request_id: str, shown_text: str) -> bool:
        """End a running answer.

        Args:
            request_id: `request_id` of the answer's `raw`.
            shown_text: What the user has seen; the platform keeps it as the answer.
        """
        return self.client().send(characters.stop_generation(request_id, shown_text))

    @dispatcher.span
    async def astop_generation(self, request_id: str, shown_text: str) -> bool:
        """As `stop_generation`."""
        return await self.async_client().send(characters.stop_generation(request_id, shown_text))


Answered = ChatResponse | CompletionResponse | ChatMessage


def _wait_for_image(answer: Answered, timeout: float) -> "Flow[GeneratedImage]":
    ids = answer.additional_kwargs if isinstance(answer, ChatMessage) else answer.raw or {}
    if not ids.get("message_id") or not ids.get("user_id"):
        raise ConfigurationError(
            "This answer has no message_id and user_id: pass the response of a stored character, of a stream the last."
        )
    return (yield from characters.wait_for_image(ids["message_id"], ids["user_id"], timeout=timeout))
