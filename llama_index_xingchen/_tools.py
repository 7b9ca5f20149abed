"""LlamaIndex's tools as the services' functions, and the calls that come back."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llama_index.core.base.llms.types import ChatResponse, ToolCallBlock
from llama_index.core.llms.llm import ToolSelection

from llama_index_xingchen._messages import arguments
from xingchen_core import UnsupportedOperationError
from xingchen_core.characters import Function

if TYPE_CHECKING:
    from llama_index.core.tools.types import BaseTool


def to_tools(tools: Sequence["BaseTool"]) -> list[dict[str, Any]]:
    """Return the tools in OpenAI's form; a parameter schema always says what is `required`."""
    told = [tool.metadata.to_openai_tool(skip_length_check=True)["function"] for tool in tools]
    return [
        {
            "type": "function",
            "function": {
                "name": one["name"],
                "description": one["description"] or "",
                "parameters": {"required": [], **one["parameters"]},
            },
        }
        for one in told
    ]


def to_functions(tools: Sequence["BaseTool"]) -> list[Function]:
    """Return the tools as a character's functions."""
    return [Function(**tool["function"]) for tool in to_tools(tools)]


def tool_choice(choice: str | dict[str, Any] | None, required: bool, names: Sequence[str]) -> str | None:
    """Return LlamaIndex's choice of a tool as `auto`, `none`, `required` or a name; `None` if it says nothing.

    Raises:
        ValueError: The choice names none of the tools.
    """
    if isinstance(choice, dict):
        choice = str((choice.get("function") or choice).get("name"))
    if not names:
        return None
    if choice in ("required", "any") or (required and choice in (None, "auto")):
        return "required"
    if choice not in (None, "auto", "none", *names):
        raise ValueError(f"tool_choice {choice!r} is none of the tools: {', '.join(names)}.")
    return choice


def function_choice(choice: str | dict[str, Any] | None, required: bool, names: Sequence[str]) -> str | None:
    """Return LlamaIndex's choice of a tool as `auto`, `none` or the name of a function; `None` if there are none.

    Raises:
        UnsupportedOperationError: Some function must be called, and there are several: the service knows only one that
            must be.
        ValueError: The choice names none of the functions.
    """
    chosen = tool_choice(choice, required, names)
    if chosen != "required":
        return chosen or ("auto" if names else None)
    if len(names) > 1:
        raise UnsupportedOperationError(
            f"The service cannot be told to call one of several functions ({', '.join(names)}): name one of them "
            "as tool_choice, or give one tool."
        )
    return names[0]


def to_tool_selections(response: ChatResponse) -> list[ToolSelection]:
    """Return the calls of a response, which may still be growing."""
    calls = [block for block in response.message.blocks if isinstance(block, ToolCallBlock)]
    return [
        ToolSelection(
            tool_id=call.tool_call_id or f"call_{at}", tool_name=call.tool_name, tool_kwargs=arguments(call.tool_kwargs)
        )
        for at, call in enumerate(calls)
    ]


def first_call_only(response: ChatResponse) -> ChatResponse:
    """Return a response without all calls but the first."""
    message = response.message
    first = next((block for block in message.blocks if isinstance(block, ToolCallBlock)), None)
    if first is None:
        return response
    blocks = [block for block in message.blocks if block is first or not isinstance(block, ToolCallBlock)]
    additional = {**message.additional_kwargs, "tool_calls": message.additional_kwargs["tool_calls"][:1]}
    return response.model_copy(
        update={"message": message.model_copy(update={"blocks": blocks, "additional_kwargs": additional})}
    )
