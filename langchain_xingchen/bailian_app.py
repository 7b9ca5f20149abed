"""`ChatBailianApp`: an application on Bailian as a LangChain chat model."""

from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing
from typing import Any, ClassVar, cast

from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config

from langchain_xingchen import _citations  # noqa: F401  registers the translator of content_blocks
from langchain_xingchen._base import MODEL_CONFIG, XingchenChatModel
from langchain_xingchen._events import LISTENERS, Events, listeners_of
from langchain_xingchen._messages import to_messages
from xingchen_core import Call, ChatDelta, ChatReply, Flow, StreamCall
from xingchen_core.bailian import AppParameters, AppRequest, BailianSettings, apps
from xingchen_core.bailian.app_models import without_tokens
from xingchen_core.chat import parameters_of

WORKFLOW_EVENT = "bailian_workflow_message"


class ChatBailianApp(XingchenChatModel, AppParameters, BailianSettings):
    """An application on Bailian (百炼): an agent or a workflow, as its id says.

    ```python
    from langchain_xingchen import ChatBailianApp

    app = ChatBailianApp(app_id="...")  # key from DASHSCOPE_API_KEY
    answer = app.invoke("三千元以内的手机有哪些?")
    app.invoke("哪款拍照好?", session_id=answer.response_metadata["session_id"])
    ```

    All messages are sent, unless `session_id` is given: then the service keeps the conversation, and only the newest
    human turn is sent. A session is one user's: give it per call. Where the service began another session than the one
    asked for (they end after an hour), a warning is logged and `response_metadata` has `session_changed`. Answers that
    depend on a session, a memory or a user's tokens are not served from a LangChain cache unless `cache` is given.

    The fields are those of `AppParameters` (what is asked), `BailianSettings` (how) and LangChain's own; each of the
    first may also be given per call.

    Of an answer, `content_blocks` has the reasoning, and the text with a citation for each reference;
    `response_metadata["doc_references"]` has the references as sent, `additional_kwargs` the `thoughts` and what the
    nodes of a workflow made, `workflow_nodes`. With links to documents and images mind that they expire.

    While a workflow streams, what its nodes say beside the answer reaches callbacks as custom events named
    `bailian_workflow_message`, also those of `astream_events` and of a graph around the model; the data is the
    service's message (`node_id`, `node_name`, `node_type`, `node_status`, `message`, ...).
    `flow_stream_mode="message_format_plus"` makes all nodes speak.

    What `biz_params` passes to tools (`user_defined_tokens`, `user_defined_params`) holds tokens of users, so it is in
    no dump and no trace: after `loads` give it anew, best per call.

    Raises:
        ConfigurationError: No key, no `app_id`, or the last message is not a human's.
        UnsupportedOperationError: A message calls functions, or holds other than text: see `image_urls`, `file_urls`.
        APIConnectionError: The stream broke off; `partial_text` holds what came.

    Source: Model Studio, "application API reference", `POST /api/v1/apps/{app_id}/completion`.
    """

    model_config = MODEL_CONFIG

    provider: ClassVar[str] = "bailian"

    @property
    def model_name(self) -> str | None:
        """The same as `model`."""
        return self.model

    @property
    def _llm_type(self) -> str:
        return "bailian-app"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": self._model_of({}), "app_id": self.app_id}

    @property
    def lc_attributes(self) -> dict[str, Any]:
        """As every model's, and `biz_params` without what may be a secret."""
        shown = {"biz_params": without_tokens(self.biz_params)} if self.biz_params else {}
        return {**super().lc_attributes, **shown}

    def _model_of(self, kwargs: dict[str, Any]) -> str:
        named = kwargs.get("model") or kwargs.get("model_name") or self.model
        return named or kwargs.get("app_id") or self.app_id or "bailian-app"

    def _is_stateful(self, kwargs: dict[str, Any]) -> bool:
        asked = {name: kwargs.get(name, getattr(self, name)) for name in ("session_id", "memory_id", "biz_params")}
        biz_params = asked.pop("biz_params")
        # Tools answer to whom a token belongs to, and it is in no key of a cache.
        return any(asked.values()) or (without_tokens(biz_params) or {}) != (biz_params or {})

    def _chat(self, messages: list[BaseMessage], stop: list[str] | None, **kwargs: Any) -> Flow[Call[ChatReply]]:
        yield from ()
        return apps.complete(self._request(messages, stop, **kwargs), self.workspace_id)

    def _stream_chat(
        self, messages: list[BaseMessage], stop: list[str] | None, **kwargs: Any
    ) -> Flow[StreamCall[ChatDelta]]:
        yield from ()
        return apps.stream(self._request(messages, stop, **kwargs), self.workspace_id)

    def _request(self, messages: list[BaseMessage], stop: list[str] | None, **kwargs: Any) -> AppRequest:
        kwargs.pop("stream", None)  # LangChain's own switch
        if "model_name" in kwargs:
            kwargs["model"] = kwargs.pop("model_name")
        if stop is not None:
            kwargs["stop"] = stop
        fields = parameters_of(self, AppParameters) | kwargs
        return AppRequest(**fields, messages=to_messages(messages))

    def _take_events(self, delta: ChatDelta) -> Events | None:
        told = (delta.additional or {}).pop("workflow_messages", None)
        return (WORKFLOW_EVENT, told) if told else None

    # LangChain does not tell `_stream` whose callbacks listen.

    def stream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> Generator[AIMessageChunk]:
        """As every chat model's. Custom events reach the callbacks of `config` and of the model."""
        config = ensure_config(config)
        if self._should_stream(async_api=False, **{**kwargs, "stream": True}):
            kwargs[LISTENERS] = listeners_of(self, config)
        yield from super().stream(input, config, stop=stop, **kwargs)

    async def astream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AsyncGenerator[AIMessageChunk]:
        """As `stream`."""
        config = ensure_config(config)
        if self._should_stream(async_api=True, **{**kwargs, "stream": True}):
            kwargs[LISTENERS] = listeners_of(self, config)
        answer = cast("AsyncGenerator[AIMessageChunk]", super().astream(input, config, stop=stop, **kwargs))
        async with aclosing(answer) as chunks:
            async for chunk in chunks:
                yield chunk

    def _get_invocation_params(self, stop: list[str] | None = None, **kwargs: Any) -> dict[str, Any]:
        """Return what traces show of a call: no secrets of users, no callbacks."""
        kwargs.pop(LISTENERS, None)
        if "biz_params" in kwargs:
            kwargs["biz_params"] = without_tokens(kwargs["biz_params"])
        return super()._get_invocation_params(stop, **kwargs)
