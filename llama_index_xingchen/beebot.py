"""`Beebot`: a Beebot robot as a LlamaIndex LLM."""

from collections.abc import AsyncGenerator, Generator, Sequence
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, LLMMetadata
from pydantic import Field

from llama_index_xingchen._base import MODEL_CONFIG, XingchenLLM
from llama_index_xingchen._messages import to_messages, to_response
from xingchen_core import Call, ChatDelta, ChatReply, Flow, StreamCall, beebot
from xingchen_core.beebot import BeebotParameters, BeebotRequest, BeebotSettings
from xingchen_core.chat import aone_delta, gathered, one_delta

CONTEXT_WINDOW = 4096
"""Nothing but the newest question is sent, and its limit is one of characters, `max_utterance`. LlamaIndex sizes its
memories by this number; it must be larger than any question."""

NUM_OUTPUT = 512


class Beebot(XingchenLLM, BeebotParameters, BeebotSettings):
    """A Beebot (智能对话机器人) robot of your company.

    ```python
    from uuid import uuid4
    from llama_index.core.chat_engine import SimpleChatEngine
    from llama_index_xingchen import Beebot

    # AccessKey from ALIBABA_CLOUD_ACCESS_KEY_ID and ..._SECRET
    robot = Beebot(instance_id="chatbot-cn-...", session_id=uuid4().hex)
    print(SimpleChatEngine.from_defaults(llm=robot).chat("怎么开发票?"))
    ```

    The robot keeps the conversation: only the newest user message is sent, and `session_id` joins the turns. A session
    is one user's: make a `Beebot` for each conversation (they share connections and tokens), or give `session_id` per
    call; without one the robot begins a session, whose id is in `raw`. System prompts and earlier messages are not
    transmitted, so a robot cannot be an agent's model or write answers from retrieved texts: it has its own knowledge.

    The fields are those of `BeebotParameters` (what is asked), `BeebotSettings` (how) and LlamaIndex's own; each of the
    first may also be given per call. Of a response, `raw` holds `session_id`, `message_id`, `request_id`,
    `finish_reason` (`handover` and `clarify` beside `stop`), `source`, `model_name`, and what is no text: `references`,
    `citations`, `related_questions`, `clarify_list`, `recommends`, `commands`. In a stream the last response has it,
    the others have `{}`. The service reports no tokens.

    A robot may replace its answer while it runs (moderation). A stream then shows nothing more; its last `raw` has
    `rewritten` and `final_text`. `chat` and `complete` return the final text.

    Attributes:
        context_window: Default 4096; see `CONTEXT_WINDOW`.
        num_output: Default `max_tokens`, else 512. Not sent.

    Raises:
        ConfigurationError: No AccessKey, no `instance_id`, or a question longer than the service takes.
        UnsupportedOperationError: A message holds something other than text.
        APIResponseError: The stream ended without its end mark; `partial_text` holds what came.
        TypeError: A call was given a keyword that is none of these fields.

    Source: Beebot, "streaming chat API"; with `api="rpc"` the `Chat` call of API version 2022-04-08.
    """

    model_config = MODEL_CONFIG

    context_window: int = Field(default=CONTEXT_WINDOW, gt=0)
    num_output: int | None = Field(default=None, gt=0)

    @classmethod
    def class_name(cls) -> str:
        """Return the name that dumps and traces carry."""
        return "beebot_llm"

    @property
    def metadata(self) -> LLMMetadata:
        """What LlamaIndex sizes prompts and chooses agents by."""
        return LLMMetadata(
            context_window=self.context_window,
            num_output=self.num_output or self.max_tokens or NUM_OUTPUT,
            is_chat_model=True,
            is_function_calling_model=False,
            model_name=self.model or self.instance_id or beebot.BEEBOT_NAME,
        )

    def _chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Flow[Call[ChatReply]]:
        yield from ()
        return beebot.chat(self._request(messages, **kwargs), self.agent_key)

    def _stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Flow[StreamCall[ChatDelta]]:
        return (yield from beebot.open_chat(self._request(messages, **kwargs), self))

    # A large-model robot has no plain call, and the older call no stream: a stream of one or more serves for both.

    def _reply(self, messages: Sequence[ChatMessage], kwargs: dict[str, Any]) -> ChatResponse:
        return to_response(gathered(self._deltas(messages, kwargs)))

    async def _areply(self, messages: Sequence[ChatMessage], kwargs: dict[str, Any]) -> ChatResponse:
        return to_response(gathered([delta async for delta in await self._adeltas(messages, kwargs)]))

    def _deltas(self, messages: Sequence[ChatMessage], kwargs: dict[str, Any]) -> Generator[ChatDelta]:
        if not self._is_rpc(kwargs):
            return super()._deltas(messages, kwargs)
        client = self.client()
        return one_delta(client.send(client.run(self._chat(messages, **self._own(kwargs)))))

    async def _adeltas(self, messages: Sequence[ChatMessage], kwargs: dict[str, Any]) -> AsyncGenerator[ChatDelta]:
        if not self._is_rpc(kwargs):
            return await super()._adeltas(messages, kwargs)
        client = self.async_client()
        return aone_delta(await client.send(await client.run(self._chat(messages, **self._own(kwargs)))))

    def _is_rpc(self, kwargs: dict[str, Any]) -> bool:
        return bool(kwargs.get("api", self.api) == "rpc")

    def _request(self, messages: Sequence[ChatMessage], **kwargs: Any) -> BeebotRequest:
        fields = self._fields(BeebotParameters, kwargs)
        utterance = beebot.newest_question(to_messages(messages), has_session=fields.get("session_id") is not None)
        return BeebotRequest(**fields, utterance=utterance)
