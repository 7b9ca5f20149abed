"""What the LLMs that may call functions do the same way."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, MessageRole
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.program.function_program import get_function_tool
from llama_index.core.prompts import PromptTemplate
from llama_index.core.types import PydanticProgramMode
from pydantic import BaseModel

from llama_index_xingchen._base import MODEL_CONFIG, XingchenLLM
from llama_index_xingchen._tools import first_call_only, to_tool_selections

if TYPE_CHECKING:
    from llama_index.core.tools.types import BaseTool


class FunctionCallingXingchenLLM(XingchenLLM, FunctionCallingLLM):
    """An LLM whose service takes functions; `_tool_keywords` says how."""

    model_config = MODEL_CONFIG

    def _tool_keywords(
        self, tools: Sequence["BaseTool"], choice: str | dict[str, Any] | None, *, required: bool, parallel: bool
    ) -> dict[str, Any]:
        """Return the keywords of `chat` that hand `tools` to the model."""
        raise NotImplementedError

    def _forces_functions(self, llm_kwargs: dict[str, Any]) -> bool:
        """Whether the model can be made to call a function, so that objects come as the arguments of one."""
        return bool(self.metadata.is_function_calling_model)

    def _prepare_chat_with_tools(
        self,
        tools: Sequence["BaseTool"],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        *,
        tool_choice: str | dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Return the arguments of `chat` that hand `tools` to the model as functions."""
        messages = list(chat_history or [])
        if isinstance(user_msg, str):
            user_msg = ChatMessage(role=MessageRole.USER, content=user_msg)
        if user_msg is not None:
            messages.append(user_msg)
        told = self._tool_keywords(tools, tool_choice, required=tool_required, parallel=allow_parallel_tool_calls)
        return {"messages": messages, **told, **kwargs}

    def _validate_chat_with_tools_response(
        self,
        response: ChatResponse,
        tools: Sequence["BaseTool"],
        allow_parallel_tool_calls: bool = False,
        **kwargs: Any,
    ) -> ChatResponse:
        return response if allow_parallel_tool_calls else first_call_only(response)

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[ToolSelection]:
        """Return the functions the model wants called.

        Raises:
            ValueError: There is none, and `error_on_no_tool_call` is set.
        """
        selections = to_tool_selections(response)
        if not selections and error_on_no_tool_call:
            raise ValueError(f"Expected at least one function call, got the text {response.message.content!r}.")
        return selections

    def _ask_for_object(
        self,
        output_cls: type[BaseModel],
        prompt: PromptTemplate,
        prompt_args: dict[str, Any],
        llm_kwargs: dict[str, Any] | None,
    ) -> dict[str, Any] | None:
        """Return the arguments of `chat` that ask for an object: as a function's arguments where that can be forced."""
        mode, given = self.pydantic_program_mode, llm_kwargs or {}
        as_call = mode == PydanticProgramMode.DEFAULT and self._forces_functions(given)
        if not as_call and mode != PydanticProgramMode.FUNCTION:
            return super()._ask_for_object(output_cls, prompt, prompt_args, given)
        messages = prompt.format_messages(llm=self, **prompt_args)
        return self._prepare_chat_with_tools(
            [get_function_tool(output_cls)], chat_history=messages, **{"tool_required": True, **given}
        )
