"""What every LLM of this package does the same way: LlamaIndex's entry points, once."""

from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import aclosing, closing
from inspect import unwrap
from typing import Any, TypeVar

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
    MessageRole,
)
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.llms.llm import LLM
from llama_index.core.program.utils import FlexibleModel
from llama_index.core.prompts import PromptTemplate
from llama_index.core.types import PydanticProgramMode
from pydantic import BaseModel, ConfigDict, Field, SerializationInfo, SerializerFunctionWrapHandler, model_serializer

from llama_index_xingchen._messages import Responses, to_completion, to_response
from llama_index_xingchen._observed import observed_async_stream, observed_stream
from llama_index_xingchen._structured import ObjectReader, SchemaParser, aobjects, objects, tell_prediction, told_object
from xingchen_core import Call, ChatDelta, ChatReply, Flow, StreamCall
from xingchen_core._config import ConnectionSettings, plain_timeout
from xingchen_core.chat import parameters_of

M = TypeVar("M", bound=BaseModel)

_FRAMEWORK_KEYWORDS = ("formatted", "verbose", "tool_choice", "tool_required", "allow_parallel_tool_calls")
"""LlamaIndex's own, passed along by its programs and agents; they are no part of a request."""

MODEL_CONFIG = ConfigDict(
    extra="forbid",
    hide_input_in_errors=True,
    arbitrary_types_allowed=True,
    populate_by_name=True,
    protected_namespaces=(),
    defer_build=True,
)
"""Of every LLM: it must be said again where LlamaIndex's laxer one would be inherited. The first object, not the
import, pays for pydantic's schema."""

_SECRETS = ("api_key", "access_key_id", "access_key_secret", "security_token")


class XingchenLLM(LLM, ConnectionSettings):
    """An LLM that turns messages into a call and leaves the rest to the client.

    Attributes:
        additional_kwargs: LlamaIndex's name for `model_kwargs`; both are sent, and of one name the latter's.
        system_prompt: Sent as the first system message of every call, unless the messages have it already.
    """

    model_config = MODEL_CONFIG

    additional_kwargs: dict[str, Any] = Field(default_factory=dict)

    def _chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Flow[Call[ChatReply]]:
        """Find the call that answers `messages`, with whatever has to be asked first."""
        raise NotImplementedError

    def _stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Flow[StreamCall[ChatDelta]]:
        """As `_chat`, for an answer as it is made."""
        raise NotImplementedError

    # The eight entry points. Those of `complete` do not call those of `chat`: an observed call inside an observed call
    # would be reported, and its tokens counted, twice.

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Return the answer."""
        return self._reply(messages, kwargs)

    @llm_chat_callback()
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Return the answer."""
        return await self._areply(messages, kwargs)

    @observed_stream(llm_chat_callback)
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """Send the messages at once, and return the answer as it comes."""
        return _read(self._deltas(messages, kwargs))

    @observed_async_stream(llm_chat_callback)
    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseAsyncGen:
        """Send the messages at once, and return the answer as it comes."""
        return _aread(await self._adeltas(messages, kwargs))

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Return the answer to one user message."""
        return to_completion(self._reply(_user(prompt), kwargs))

    @llm_completion_callback()
    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Return the answer to one user message."""
        return to_completion(await self._areply(_user(prompt), kwargs))

    @observed_stream(llm_completion_callback)
    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        """Send one user message at once, and return the answer as it comes."""
        return _read(self._deltas(_user(prompt), kwargs), to_completion)

    @observed_async_stream(llm_completion_callback)
    async def astream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseAsyncGen:
        """Send one user message at once, and return the answer as it comes."""
        return _aread(await self._adeltas(_user(prompt), kwargs), to_completion)

    def _reply(self, messages: Sequence[ChatMessage], kwargs: dict[str, Any]) -> ChatResponse:
        client = self.client()
        return to_response(client.send(client.run(self._chat(self._prompted(messages), **self._own(kwargs)))))

    async def _areply(self, messages: Sequence[ChatMessage], kwargs: dict[str, Any]) -> ChatResponse:
        client = self.async_client()
        return to_response(
            await client.send(await client.run(self._chat(self._prompted(messages), **self._own(kwargs))))
        )

    def _deltas(self, messages: Sequence[ChatMessage], kwargs: dict[str, Any]) -> Generator[ChatDelta]:
        client = self.client()
        return client.stream(client.run(self._stream_chat(self._prompted(messages), **self._own(kwargs))))

    async def _adeltas(self, messages: Sequence[ChatMessage], kwargs: dict[str, Any]) -> AsyncGenerator[ChatDelta]:
        client = self.async_client()
        return await client.stream(await client.run(self._stream_chat(self._prompted(messages), **self._own(kwargs))))

    def _own(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """Return the keywords of a call that are for the service."""
        fields = type(self).model_fields
        return {name: value for name, value in kwargs.items() if name in fields or name not in _FRAMEWORK_KEYWORDS}

    def _fields(self, request: type[BaseModel], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Return what shapes a request: the object's own fields, and before them those of this call.

        Raises:
            TypeError: A keyword is no field of the request.
        """
        given = {"model" if name == "model_name" else name: value for name, value in kwargs.items()}
        additional = given.pop("additional_kwargs", self.additional_kwargs)
        if unknown := given.keys() - request.model_fields.keys():
            raise TypeError(
                f"{type(self).__name__} got an unexpected keyword for a call: {', '.join(sorted(unknown))}. What "
                "shapes the answer may be given per call; how to reach the service belongs in the constructor."
            )
        fields = parameters_of(self, request) | given
        return fields | {"model_kwargs": {**additional, **fields["model_kwargs"]}}

    def _prompted(self, messages: Sequence[ChatMessage]) -> Sequence[ChatMessage]:
        """Put `system_prompt` first. LlamaIndex does so in some of its methods and forgets it in others."""
        if not self.system_prompt or any(m.role in _SYSTEM and m.content == self.system_prompt for m in messages):
            return messages
        return [ChatMessage(role=MessageRole.SYSTEM, content=self.system_prompt), *messages]

    def structured_predict(
        self, output_cls: type[M], prompt: PromptTemplate, llm_kwargs: dict[str, Any] | None = None, **prompt_args: Any
    ) -> M:
        """As LlamaIndex's; an answer without the object is a `ValueError` that names the model and quotes the text."""
        asked = self._ask_for_object(output_cls, prompt, prompt_args, llm_kwargs)
        if asked is None:
            # Unwrapped: the span of this method is enough.
            made: M = unwrap(super().structured_predict)(output_cls, prompt, llm_kwargs, **prompt_args)
            return made
        tell_prediction(output_cls, prompt, prompt_args)
        return told_object(self._object_reader(output_cls, asked).whole(self.chat(**asked)))

    async def astructured_predict(
        self, output_cls: type[M], prompt: PromptTemplate, llm_kwargs: dict[str, Any] | None = None, **prompt_args: Any
    ) -> M:
        """As `structured_predict`."""
        asked = self._ask_for_object(output_cls, prompt, prompt_args, llm_kwargs)
        if asked is None:
            made: M = await unwrap(super().astructured_predict)(output_cls, prompt, llm_kwargs, **prompt_args)
            return made
        tell_prediction(output_cls, prompt, prompt_args)
        return told_object(self._object_reader(output_cls, asked).whole(await self.achat(**asked)))

    def _structured_stream_call(
        self, output_cls: type[M], prompt: PromptTemplate, llm_kwargs: dict[str, Any] | None = None, **prompt_args: Any
    ) -> Generator[M | list[M] | FlexibleModel | list[FlexibleModel]]:
        asked = self._ask_for_object(output_cls, prompt, prompt_args, llm_kwargs)
        if asked is None:
            return super()._structured_stream_call(output_cls, prompt, llm_kwargs, **prompt_args)
        return objects(self.stream_chat(**asked), self._object_reader(output_cls, asked))

    async def _structured_astream_call(
        self, output_cls: type[M], prompt: PromptTemplate, llm_kwargs: dict[str, Any] | None = None, **prompt_args: Any
    ) -> AsyncGenerator[M | list[M] | FlexibleModel | list[FlexibleModel]]:
        asked = self._ask_for_object(output_cls, prompt, prompt_args, llm_kwargs)
        if asked is None:
            return await super()._structured_astream_call(output_cls, prompt, llm_kwargs, **prompt_args)
        return aobjects(await self.astream_chat(**asked), self._object_reader(output_cls, asked))

    def _object_reader(self, output_cls: type[M], asked: dict[str, Any]) -> ObjectReader[M]:
        return ObjectReader(output_cls, asked.get("model") or asked.get("model_name") or self.metadata.model_name)

    def _ask_for_object(
        self,
        output_cls: type[BaseModel],
        prompt: PromptTemplate,
        prompt_args: dict[str, Any],
        llm_kwargs: dict[str, Any] | None,
    ) -> dict[str, Any] | None:
        """Return the arguments of `chat` that ask for JSON.

        `None` leaves it to that program, where the caller has chosen one of another kind.
        """
        if self.pydantic_program_mode not in (PydanticProgramMode.DEFAULT, PydanticProgramMode.LLM):
            return None
        asking = prompt.model_copy(update={"output_parser": SchemaParser(output_cls=output_cls)})
        return {"messages": asking.format_messages(llm=self, **prompt_args), **(llm_kwargs or {})}

    @model_serializer(mode="wrap")
    def custom_model_dump(self, handler: SerializerFunctionWrapHandler, info: SerializationInfo) -> dict[str, Any]:
        """Dump the settings as plain data, without secrets; `from_dict` takes those from the environment."""
        return {**plain_settings(self, handler(self)), "class_name": self.class_name()}


def plain_settings(settings: ConnectionSettings, data: dict[str, Any]) -> dict[str, Any]:
    """Return what was dumped of an object as plain data, without secrets."""
    plain = {name: value for name, value in data.items() if name not in _SECRETS}
    if settings.timeout is not None:
        plain["timeout"] = plain_timeout(settings.timeout)
    return plain


_SYSTEM = (MessageRole.SYSTEM, MessageRole.DEVELOPER)


def _user(prompt: str) -> list[ChatMessage]:
    return [ChatMessage(role=MessageRole.USER, content=prompt)]


def _read(deltas: Generator[ChatDelta], convert: Callable[[ChatResponse], Any] | None = None) -> Generator[Any]:
    add = Responses().add
    with closing(deltas):
        for delta in deltas:
            yield add(delta) if convert is None else convert(add(delta))


async def _aread(
    deltas: AsyncGenerator[ChatDelta], convert: Callable[[ChatResponse], Any] | None = None
) -> AsyncGenerator[Any]:
    add = Responses().add
    async with aclosing(deltas):
        async for delta in deltas:
            yield add(delta) if convert is None else convert(add(delta))
