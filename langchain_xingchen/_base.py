"""What every chat model of this package does the same way: LangChain's entry points, once."""

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from contextlib import aclosing, closing
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Self

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.base import LangSmithParams
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.rate_limiters import InMemoryRateLimiter
from pydantic import BaseModel, ConfigDict, model_validator

from langchain_xingchen._errors import model_errors
from langchain_xingchen._events import LISTENERS, Events, atell, tell
from langchain_xingchen._messages import to_chunk, to_result
from xingchen_core import Call, ChatDelta, ChatReply, Flow, StreamCall, __version__
from xingchen_core._config import ConnectionSettings, plain_timeout
from xingchen_core.chat import aone_delta, estimate_tokens, gathered, one_delta

if TYPE_CHECKING:
    from xingchen_core import AsyncClient

MODEL_CONFIG = ConfigDict(
    extra="forbid",
    hide_input_in_errors=True,
    arbitrary_types_allowed=True,
    populate_by_name=True,
    protected_namespaces=(),
    defer_build=True,
)
"""Of every chat model: it must be said again where LangChain's laxer one would be inherited. The first object, not the
import, pays for pydantic's schema."""


class PacedSettings(ConnectionSettings):
    """Settings that may have a `rate_limiter`: copies share it, since they share what it is a limit of."""

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        memo = {} if memo is None else memo
        if (limiter := getattr(self, "rate_limiter", None)) is not None:
            memo[id(limiter)] = limiter
        return super().__deepcopy__(memo)

    def __getstate__(self) -> dict[Any, Any]:
        state = super().__getstate__()
        limiter = state["__dict__"].get("rate_limiter")
        if type(limiter) is InMemoryRateLimiter:  # its lock cannot travel: there it begins anew
            state["__dict__"] = {**state["__dict__"], "rate_limiter": _Pace(limiter)}
        return state

    def __setstate__(self, state: dict[Any, Any]) -> None:
        limiter = state["__dict__"].get("rate_limiter")
        if isinstance(limiter, _Pace):
            state["__dict__"]["rate_limiter"] = InMemoryRateLimiter(**vars(limiter))
        super().__setstate__(state)


class _Pace:
    """What makes another limiter like this one."""

    def __init__(self, limiter: InMemoryRateLimiter) -> None:
        self.requests_per_second = limiter.requests_per_second
        self.check_every_n_seconds = limiter.check_every_n_seconds
        self.max_bucket_size = limiter.max_bucket_size


class XingchenChatModel(BaseChatModel, PacedSettings):
    """A chat model that turns messages into a call and leaves the rest to the client."""

    provider: ClassVar[str]
    """What traces and messages call the service."""

    streaming: bool | None = None
    """True streams under `invoke` too; `None` leaves it to the method that is called."""

    @model_validator(mode="after")
    def _stamp_version_xingchen(self) -> Self:
        self._add_version("xingchen-integrations", __version__)
        return self

    @model_validator(mode="after")
    def _keep_stateful_answers_out_of_the_cache(self) -> Self:
        if self.cache is None and self._is_stateful({}):
            self.__dict__["cache"] = False
        return self

    def _chat(self, messages: list[BaseMessage], stop: list[str] | None, **kwargs: Any) -> Flow[Call[ChatReply]]:
        """Find the call that answers `messages`, with whatever has to be asked first."""
        raise NotImplementedError

    def _stream_chat(
        self, messages: list[BaseMessage], stop: list[str] | None, **kwargs: Any
    ) -> Flow[StreamCall[ChatDelta]]:
        """As `_chat`, for an answer as it is made."""
        raise NotImplementedError

    def _has_stream(self, kwargs: dict[str, Any]) -> bool:
        """Whether a stream can answer this call; if not, `stream` gives the whole answer in one piece."""
        return True

    def _has_plain(self, kwargs: dict[str, Any]) -> bool:
        """Whether a plain call can answer this; if not, `invoke` gathers a stream."""
        return True

    def _is_stateful(self, kwargs: dict[str, Any]) -> bool:
        """Whether the answer depends on what the service remembers; no cache may then answer in its place."""
        return False

    def _take_events(self, delta: ChatDelta) -> Events | None:
        """Take out of a delta what callbacks are told as custom events and is no part of the answer."""
        return None

    def _model_of(self, kwargs: dict[str, Any]) -> str:
        """Return the model a call uses, for traces."""
        raise NotImplementedError

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        client = self.client()
        with model_errors():
            if self._has_plain(kwargs):
                return to_result(client.send(client.run(self._chat(messages, stop, **kwargs))), self.provider)
            deltas = client.stream(client.run(self._stream_chat(messages, stop, **kwargs)))
            return to_result(gathered(deltas), self.provider)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        client = await loaded_async_client(self)
        with model_errors():
            if self._has_plain(kwargs):
                call = await client.run(self._chat(messages, stop, **kwargs))
                return to_result(await client.send(call), self.provider)
            deltas = await client.stream(await client.run(self._stream_chat(messages, stop, **kwargs)))
            return to_result(gathered([delta async for delta in deltas]), self.provider)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        client, provider = self.client(), self.provider
        listeners = kwargs.pop(LISTENERS, run_manager)
        with model_errors():
            if self._has_stream(kwargs):
                deltas = client.stream(client.run(self._stream_chat(messages, stop, **kwargs)))
            else:
                deltas = one_delta(client.send(client.run(self._chat(messages, stop, **kwargs))))
            with closing(deltas):
                for delta in deltas:
                    if delta.additional and (events := self._take_events(delta)):
                        tell(events, listeners)
                    chunk = to_chunk(delta, provider)
                    if run_manager:
                        run_manager.on_llm_new_token(delta.text, chunk=chunk)
                    yield chunk

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        client, provider = await loaded_async_client(self), self.provider
        listeners = kwargs.pop(LISTENERS, run_manager)
        with model_errors():
            if self._has_stream(kwargs):
                deltas = await client.stream(await client.run(self._stream_chat(messages, stop, **kwargs)))
            else:
                call = await client.run(self._chat(messages, stop, **kwargs))
                deltas = aone_delta(await client.send(call))
            async with aclosing(deltas):
                async for delta in deltas:
                    if delta.additional and (events := self._take_events(delta)):
                        await atell(events, listeners)
                    chunk = to_chunk(delta, provider)
                    if run_manager:
                        await run_manager.on_llm_new_token(delta.text, chunk=chunk)
                    yield chunk

    # LangChain decides about caching and streaming in these two, from the instance alone. What a call adds
    # (a session, several answers) can change both.

    def _generate_with_cache(self, *args: Any, **kwargs: Any) -> ChatResult:
        model, kwargs = self._as_called(kwargs)
        return super(XingchenChatModel, model)._generate_with_cache(*args, **kwargs)

    async def _agenerate_with_cache(self, *args: Any, **kwargs: Any) -> ChatResult:
        model, kwargs = self._as_called(kwargs)
        return await super(XingchenChatModel, model)._agenerate_with_cache(*args, **kwargs)

    def _as_called(self, kwargs: dict[str, Any]) -> tuple[Self, dict[str, Any]]:
        if kwargs.get("n", getattr(self, "n", 1)) != 1:
            kwargs = {**kwargs, "stream": False}  # several answers come from the plain call only
        if self.cache is None and self._is_stateful(kwargs):
            return self.model_copy(update={"cache": False}), kwargs
        return self, kwargs

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop, **kwargs)
        params["ls_provider"] = self.provider
        params["ls_model_name"] = self._model_of(kwargs)
        return params

    def get_token_ids(self, text: str) -> list[int]:
        """Return as many ids as `text` has tokens by estimate: the services publish no tokenizer.

        A Chinese character counts as one token, four other characters as one.
        """
        if self.custom_get_token_ids is not None:
            return self.custom_get_token_ids(text)
        return list(range(estimate_tokens(text)))

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Return True: `dumps` writes the settings, `langchain_xingchen.loads` reads them."""
        return True

    @property
    def lc_secrets(self) -> dict[str, str]:
        """Which arguments are secrets, and the variable that holds each when the object is revived."""
        return {"api_key": self.service.key_variable}

    @property
    def lc_attributes(self) -> dict[str, Any]:
        """Nested settings as plain dicts, since `dumps` writes only what it knows."""
        plain = {name: _plain(value) for name, value in self if name in type(self).model_fields and _has_models(value)}
        if self.timeout is not None:
            plain["timeout"] = plain_timeout(self.timeout)
        return plain


def _has_models(value: Any) -> bool:
    return isinstance(value, BaseModel) or (
        isinstance(value, (list, tuple)) and any(isinstance(item, BaseModel) for item in value)
    )


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_none=True)
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


async def loaded_async_client(settings: ConnectionSettings) -> "AsyncClient":
    """Return the async client of an object.

    A process's first one imports httpx: a tenth of a second not to be taken from the loop.
    """
    if not (loading := _loading()).done():
        await asyncio.wrap_future(loading)
    return settings.async_client()


@lru_cache(maxsize=1)
def _loading() -> "Future[None]":
    """Begin to import, once however many tasks ask; the result tells that it is done, or the exception why not."""
    loaded: Future[None] = Future()
    loaded.set_running_or_notify_cancel()  # a task that is cancelled while it waits must not end it for the others

    def load() -> None:
        try:
            for name in ("xingchen_core._client", "httpcore"):  # httpx loads the latter with the first of its clients
                import_module(name)
        except Exception as error:  # noqa: BLE001  handed to everybody who waits
            loaded.set_exception(error)
        else:
            loaded.set_result(None)

    if "xingchen_core._client" in sys.modules:
        loaded.set_result(None)
    else:
        threading.Thread(target=load).start()  # not the loop's executor, whose threads would stay
    return loaded
