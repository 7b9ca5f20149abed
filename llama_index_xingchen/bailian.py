"""`Bailian`: a model on Bailian as a LlamaIndex LLM."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, LLMMetadata
from llama_index.core.prompts import PromptTemplate
from llama_index.core.types import PydanticProgramMode
from pydantic import BaseModel, Field

from llama_index_xingchen._base import MODEL_CONFIG
from llama_index_xingchen._function_calling import FunctionCallingXingchenLLM
from llama_index_xingchen._messages import to_response
from llama_index_xingchen._model_messages import to_model_messages
from llama_index_xingchen._tools import to_tools, tool_choice
from xingchen_core import ChatDelta, Flow, StreamCall
from xingchen_core.bailian import (
    BailianSettings,
    ModelParameters,
    ModelRequest,
    generate,
    only_streams,
    profile,
    stream_generate,
)
from xingchen_core.bailian.model_parameters import thinks
from xingchen_core.chat import gathered

if TYPE_CHECKING:
    from llama_index.core.tools.types import BaseTool

CONTEXT_WINDOW = 32768
"""Of a model that the table of models says nothing about: what the smallest of the current text models read."""

NUM_OUTPUT = 2048


class Bailian(FunctionCallingXingchenLLM, ModelParameters, BailianSettings):
    """A model on Bailian (百炼, Model Studio, DashScope): qwen, qwen-vl, deepseek and others.

    ```python
    from llama_index.core.agent.workflow import FunctionAgent
    from llama_index_xingchen import Bailian

    llm = Bailian(model="qwen-plus")  # key from DASHSCOPE_API_KEY
    agent = FunctionAgent(tools=[get_weather], llm=llm)
    print(await agent.run("杭州天气怎么样?"))
    ```

    The fields are those of `ModelParameters` (what is asked), `BailianSettings` (how) and LlamaIndex's own; each of the
    first may also be given per call: `llm.chat(messages, enable_thinking=True)`. A model that only streams, or that
    thinks, is streamed under `chat` and `complete`, too.

    Messages may hold text, images, videos and sounds (a URL, a path or bytes), and a `CachePoint` behind what is to be
    cached. With `additional_kwargs={"partial": True}` the last message is the beginning of the answer, and the model
    writes on. Thoughts are not sent back, but where `preserve_thinking` says so.

    Of a response, `raw` holds `usage`, `model_name`, `finish_reason`, `request_id`, and where they were asked for
    `search_info`, `citations`, `tool_info`, `logprobs`; `answers` when `n` asked for several. In a stream the last
    response has it.

    Objects (`structured_predict` and the like) come as `json_schema` from models that have it, as the arguments of a
    function from those that can be forced to call one, and as JSON in text from the rest: those that think are never
    forced. `pydantic_program_mode` chooses otherwise.

    Attributes:
        context_window: Default: the model's own, 32768 for one that is not in the table of models.
        num_output: Default `max_completion_tokens` or `max_tokens`, else the most the model writes, but no more than
            half of the window, so that room is left for what is asked.
        is_function_calling_model: Whether agents and programs hand tools to the model as functions. Default: what the
            table says of the model, True for one that is not in it.

    Raises:
        ConfigurationError: No key, or messages the service is known to refuse: no user's among them, forced calls of a
            model that thinks, JSON mode without the word "json".
        UnsupportedOperationError: A message holds a document; several tools of which one must be called, at a native
            `endpoint`; a stream of several answers.
        AuthenticationError, PermissionDeniedError, NotFoundError, RateLimitError, ...: See `xingchen_core`. An error
            that broke a stream carries `partial_text`.
        TypeError: A call was given a keyword that is none of these fields.

    Source: Model Studio, "Qwen API by DashScope": `text-generation`, `multimodal-generation`.
    """

    model_config = MODEL_CONFIG

    context_window: int | None = Field(default=None, gt=0)
    num_output: int | None = Field(default=None, gt=0)
    is_function_calling_model: bool | None = None

    @classmethod
    def class_name(cls) -> str:
        """Return the name that dumps and traces carry."""
        return "bailian_llm"

    @property
    def metadata(self) -> LLMMetadata:
        """What LlamaIndex sizes prompts and chooses agents by."""
        known = profile(self.model)
        window = self.context_window or known.get("context_window", CONTEXT_WINDOW)
        asked_for = self.num_output or self.max_completion_tokens or self.max_tokens
        calls = self.is_function_calling_model
        return LLMMetadata(
            context_window=window,
            num_output=asked_for or min(known.get("max_output_tokens", NUM_OUTPUT), window // 2),
            is_chat_model=True,
            is_function_calling_model=known.get("tool_calling", True) if calls is None else calls,
            model_name=self.model,
        )

    def _stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Flow[StreamCall[ChatDelta]]:
        yield from ()
        return stream_generate(self._request(messages, kwargs), self.workspace_id)

    def _reply(self, messages: Sequence[ChatMessage], kwargs: dict[str, Any]) -> ChatResponse:
        request, client = self._request(self._prompted(messages), self._own(kwargs)), self.client()
        if only_streams(request):
            return to_response(gathered(client.stream(stream_generate(request, self.workspace_id))))
        return to_response(client.send(generate(request, self.workspace_id)))

    async def _areply(self, messages: Sequence[ChatMessage], kwargs: dict[str, Any]) -> ChatResponse:
        request, client = self._request(self._prompted(messages), self._own(kwargs)), self.async_client()
        if only_streams(request):
            stream = await client.stream(stream_generate(request, self.workspace_id))
            return to_response(gathered([delta async for delta in stream]))
        return to_response(await client.send(generate(request, self.workspace_id)))

    def _request(self, messages: Sequence[ChatMessage], kwargs: dict[str, Any]) -> ModelRequest:
        return ModelRequest(**self._fields(ModelParameters, kwargs), messages=to_model_messages(messages))

    def _tool_keywords(
        self, tools: Sequence["BaseTool"], choice: str | dict[str, Any] | None, *, required: bool, parallel: bool
    ) -> dict[str, Any]:
        told = to_tools(tools)
        chosen = tool_choice(choice, required, [tool["function"]["name"] for tool in told])
        return {"tools": told, "tool_choice": chosen, "parallel_tool_calls": parallel}

    def _forces_functions(self, llm_kwargs: dict[str, Any]) -> bool:
        known, is_thinking = self._told_of(llm_kwargs)
        return super()._forces_functions(llm_kwargs) and known.get("tool_choice", True) and not is_thinking

    def _ask_for_object(
        self,
        output_cls: type[BaseModel],
        prompt: PromptTemplate,
        prompt_args: dict[str, Any],
        llm_kwargs: dict[str, Any] | None,
    ) -> dict[str, Any] | None:
        known, is_thinking = self._told_of(llm_kwargs or {})
        by_schema = self.pydantic_program_mode == PydanticProgramMode.DEFAULT and known.get("structured_output")
        # Whether a schema goes together with thinking is UNVERIFIED: the vendor's pages differ. Text always works.
        if not by_schema or is_thinking:
            return super()._ask_for_object(output_cls, prompt, prompt_args, llm_kwargs)
        # `strict` as documented; what it demands of a schema beyond being one is UNVERIFIED.
        schema = {"name": output_cls.__name__, "schema": output_cls.model_json_schema(), "strict": True}
        return {
            "messages": prompt.format_messages(llm=self, **prompt_args),
            "response_format": {"type": "json_schema", "json_schema": schema},
            **(llm_kwargs or {}),
        }

    def _told_of(self, llm_kwargs: dict[str, Any]) -> tuple[dict[str, Any], bool]:
        """Return what is known of the model that a call is for, and whether it will think."""
        asked = ModelParameters(**self._fields(ModelParameters, self._own(llm_kwargs)))
        return profile(asked.model), thinks(asked)
