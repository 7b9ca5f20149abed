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


def to_functions(tools: Sequence["BaseTool"]) -> list[Function]:
    """Return the tools as functions; a parameter schema always says what is `required`."""
    functions = []
    for tool in tools:
        told = tool.metadata.to_openai_tool(skip_length_check=True)["function"]
        parameters = {"required": [], **told["parameters"]}
        functions.append(Function(name=told["name"], description=told["description"] or "", parameters=parameters))
    return functions


def function_choice(choice: str | dict[str, Any] | None, required: bool, names: Sequence[str]) -> str | None:
    """Return LlamaIndex's choice of a tool as `auto`, `none` or the name of a function; `None` if there are none.

    Raises:
        UnsupportedOperationError: Some function must be called, and there are several: the service knows only one that
            must be.
        ValueError: The choice names none of the functions.
    """
    if isinstance(choice, dict):
        choice = str((choice.get("function") or choice).get("name"))
    if not names:
        return None
    if choice in ("required", "any") or (required and choice in (None, "auto")):
        if len(names) > 1:
            raise UnsupportedOperationError(
                f"The service cannot be told to call one of several functions ({', '.join(names)}): name one of them "
                "as tool_choice, or give one tool."
            )
        return names[0]
    if choice not in (None, "auto", "none", *names):
        raise ValueError(f"tool_choice {choice!r} is none of the tools: {', '.join(names)}.")
    return choice or "auto"


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
