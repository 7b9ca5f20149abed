"""Structured output of models on Bailian: which way serves a model, what is bound, and how the answer is read."""

from operator import itemgetter
from typing import Any, Literal, get_args

from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import BaseOutputParser, JsonOutputParser, PydanticOutputParser
from langchain_core.output_parsers.openai_tools import JsonOutputKeyToolsParser, PydanticToolsParser
from langchain_core.outputs import ChatGeneration, Generation
from langchain_core.runnables import Runnable, RunnableMap, RunnablePassthrough
from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from langchain_core.utils.pydantic import is_basemodel_subclass

from xingchen_core import UnsupportedOperationError

Method = Literal["function_calling", "json_schema", "json_mode"]
Schema = dict[str, Any] | type


def choose_method(asked: str | None, model: str, known: dict[str, Any]) -> Method:
    """Return how a model is made to answer in a structure.

    Args:
        asked: The caller's wish; `None`: `json_schema` where the model is known for it, else `function_calling`.
        model: Its name, for the texts of errors.
        known: The model's profile.

    Raises:
        ValueError: There is no such method.
        UnsupportedOperationError: The model is known not to have it.
    """
    method = asked or ("json_schema" if known.get("structured_output") else "function_calling")
    if method not in get_args(Method):
        raise ValueError(f"method must be one of {', '.join(get_args(Method))}; got {method!r}")
    if method == "json_schema" and known.get("structured_output") is False:
        raise UnsupportedOperationError(
            f"{model} is not known to take a JSON schema: use method='function_calling' or 'json_mode'. If it does, "
            "say so with profile={'structured_output': True}."
        )
    if method == "function_calling" and False in (known.get("tool_calling"), known.get("tool_choice")):
        raise UnsupportedOperationError(
            f"{model} cannot be made to call a function, as it takes none or always thinks: use method='json_mode' and "
            "describe the JSON in the prompt, or another model."
        )
    return method  # type: ignore[return-value]  # checked against the literal's values


def response_format(schema: Schema | None, method: Method, strict: bool | None) -> dict[str, Any]:
    """Return the request's `response_format`. The vendor's samples are strict, so that is the default."""
    if method == "json_mode":
        return {"type": "json_object"}
    found = convert_to_json_schema(schema)  # type: ignore[arg-type]  # a schema is there: with_structured_output saw it
    body = {"name": found.get("title") or "answer", "schema": found, "strict": strict is not False}
    return {"type": "json_schema", "json_schema": body}


def parser_of(schema: Schema | None, method: Method) -> BaseOutputParser[Any]:
    """Return what reads the answer: as the class, where the schema is a pydantic one, else as a dict."""
    is_class = isinstance(schema, type) and is_basemodel_subclass(schema)
    if method != "function_calling":
        return PydanticOutputParser(pydantic_object=schema) if is_class else JsonOutputParser()  # type: ignore[arg-type]
    if is_class:
        return _CalledClass(tools=[schema], first_tool_only=True)  # type: ignore[list-item]
    return _CalledKey(key_name=tool_name(schema), first_tool_only=True)


def tool_name(schema: Any) -> str:
    """Return the name of the function that stands for a schema."""
    name: str = convert_to_openai_tool(schema)["function"]["name"]
    return name


def with_raw(model: Runnable[Any, Any], parser: Runnable[Any, Any]) -> Runnable[Any, Any]:
    """Return the answer beside what it was read as, and the error if it could not be."""
    parsed = RunnablePassthrough.assign(parsed=itemgetter("raw") | parser, parsing_error=lambda _: None)
    unread = RunnablePassthrough.assign(parsed=lambda _: None)
    return RunnableMap(raw=model) | parsed.with_fallbacks([unread], exception_key="parsing_error")


def _require_call(result: list[Generation]) -> None:
    """Refuse an answer without the call: langchain-core would read it as `None`, even where it was cut short.

    Raises:
        OutputParserException: There is no call, or its arguments are not JSON; it holds what the model wrote.
    """
    message = result[0].message if isinstance(result[0], ChatGeneration) else None
    if isinstance(message, AIMessage) and not message.tool_calls:
        written = "".join(call["args"] or "" for call in message.invalid_tool_calls) or message.text
        reason = message.response_metadata.get("finish_reason")
        raise OutputParserException(
            f"The answer calls no function with readable arguments (finish_reason {reason!r}): {written!r}",
            llm_output=written,
        )


class _CalledClass(PydanticToolsParser):
    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        if not partial:
            _require_call(result)
        return super().parse_result(result, partial=partial)


class _CalledKey(JsonOutputKeyToolsParser):
    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        if not partial:
            _require_call(result)
        return super().parse_result(result, partial=partial)
