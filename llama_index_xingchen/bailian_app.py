"""`BailianApp`: an application on Bailian as a LlamaIndex LLM."""

from collections.abc import Sequence
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, LLMMetadata
from pydantic import Field

from llama_index_xingchen._base import MODEL_CONFIG, XingchenLLM
from llama_index_xingchen._messages import to_messages
from xingchen_core import Call, ChatDelta, ChatReply, Flow, StreamCall
from xingchen_core.bailian import AppParameters, AppRequest, BailianSettings, apps

CONTEXT_WINDOW = 32_768
"""An application's model is chosen in the console, and a call does not tell its limit: this is what older ones read."""

NUM_OUTPUT = 2048


class BailianApp(XingchenLLM, AppParameters, BailianSettings):
    """An application on Bailian (百炼): an agent or a workflow, as its id says.

    ```python
    from llama_index_xingchen import BailianApp

    app = BailianApp(app_id="...")  # key from DASHSCOPE_API_KEY
    print(app.complete("三千元以内的手机有哪些?"))
    ```

    All messages are sent, as chat engines expect. With `session_id` the service keeps the conversation: only the newest
    user turn is sent, and system prompts are not. A session is one user's: make a `BailianApp` for each conversation
    (they share connections), or give `session_id` per call; the first answer's `raw` has the id of a new one. Where the
    service began another session than the one asked for (they end after an hour), `raw` has `session_changed`.

    The fields are those of `AppParameters` (what is asked), `BailianSettings` (how) and LlamaIndex's own; each of the
    first may also be given per call. Tools are given to an application in the console, so agents that bring their own
    reason in text (ReAct). What `biz_params` passes to tools holds tokens of users and is in no dump. Given per call,
    it is in LlamaIndex's events and traces, as every keyword is: where those are kept, give it to a `BailianApp`.

    Of a response, `raw` holds `session_id`, `request_id`, `app_id`, `model_name`, `finish_reason`, `usage` (summed over
    the calls of models in `usage_models`), `doc_references` (as sent), `citations`, `thoughts` and `workflow_nodes`. In
    a stream the last response has these; before it, `raw` is `{}`, or holds `workflow_messages`: what the nodes of a
    workflow say beside the answer (`flow_stream_mode="message_format_plus"` makes all of them speak). Links to
    documents and images expire.

    Attributes:
        context_window: Default 32768; see `CONTEXT_WINDOW`.
        num_output: Default `max_tokens`, else 2048. Not sent.

    Raises:
        ConfigurationError: No key, no `app_id`, or the last message is not the user's.
        UnsupportedOperationError: A message calls functions, or holds other than text: see `image_urls`, `file_urls`.
        APIConnectionError: The stream broke off; `partial_text` holds what came.
        TypeError: A call was given a keyword that is none of these fields.

    Source: Model Studio, "application API reference", `POST /api/v1/apps/{app_id}/completion`.
    """

    model_config = MODEL_CONFIG

    context_window: int = Field(default=CONTEXT_WINDOW, gt=0)
    num_output: int | None = Field(default=None, gt=0)

    @classmethod
    def class_name(cls) -> str:
        """Return the name that dumps and traces carry."""
        return "bailian_app_llm"

    @property
    def metadata(self) -> LLMMetadata:
        """What LlamaIndex sizes prompts and chooses agents by."""
        return LLMMetadata(
            context_window=self.context_window,
            num_output=self.num_output or self.max_tokens or NUM_OUTPUT,
            is_chat_model=True,
            is_function_calling_model=False,
            model_name=self.model or self.app_id or "bailian-app",
        )

    def _chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Flow[Call[ChatReply]]:
        yield from ()
        return apps.complete(self._request(messages, **kwargs), self.workspace_id)

    def _stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Flow[StreamCall[ChatDelta]]:
        yield from ()
        return apps.stream(self._request(messages, **kwargs), self.workspace_id)

    def _request(self, messages: Sequence[ChatMessage], **kwargs: Any) -> AppRequest:
        return AppRequest(**self._fields(AppParameters, kwargs), messages=to_messages(messages))
