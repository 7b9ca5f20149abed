"""Objects out of answers: while their JSON is still growing, and errors that say what came instead.

LlamaIndex's own programs stream blank objects when the JSON stands in a code fence or never comes, and the one for
models without functions reads no list before it is complete.
"""

import json
from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, closing, suppress
from typing import Any, Generic, TypeVar

from llama_index.core.base.llms.types import ChatResponse, ChatResponseAsyncGen, ChatResponseGen, ToolCallBlock
from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]  # missing in its __all__
from llama_index.core.instrumentation.events.llm import LLMStructuredPredictEndEvent, LLMStructuredPredictStartEvent
from llama_index.core.output_parsers.pydantic import PydanticOutputParser
from llama_index.core.program.utils import FlexibleModel, create_flexible_model
from llama_index.core.prompts import PromptTemplate
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

M = TypeVar("M", bound=BaseModel)

dispatcher = get_dispatcher(__name__)


class SchemaParser(PydanticOutputParser[M]):
    """Asks for JSON in LlamaIndex's own words; there the braces of the schema reach the model doubled."""

    def format(self, query: str) -> str:
        """Return the query with the schema behind it."""
        return f"{query}\n\n{self.get_format_string(escape_json=False)}"


class ObjectReader(Generic[M]):
    """Reads an object out of the growing answer of a model that was asked for JSON, or for a function call."""

    def __init__(self, output_cls: type[M], model_name: str) -> None:
        self._output_cls = output_cls
        self._partial_cls = create_flexible_model(output_cls)
        self._model_name = model_name
        self._text = ""

    def read(self, response: ChatResponse) -> M | FlexibleModel | None:
        """Return the object as far as it has come: fields that are missing are `None`. `None` if there is none yet."""
        self._text = _written(response)
        try:
            value = self._value(partial=True)
        except ValueError:
            return None
        try:
            return self._output_cls.model_validate(value)
        except ValidationError:
            return self._partial_cls.model_validate(value) if value else None

    def end(self) -> M:
        """Return the object.

        Raises:
            ValueError: The answer was something else.
        """
        try:
            return self._output_cls.model_validate(self._value(partial=False))
        except ValueError as error:
            raise ValueError(
                f"{self._model_name} gave no {self._output_cls.__name__}. {error}\nThe answer was: {self._text}"
            ) from error

    def whole(self, response: ChatResponse) -> M:
        """Return the object of a whole answer; raises as `end`."""
        self._text = _written(response)
        return self.end()

    def _value(self, *, partial: bool) -> object:
        """Return the JSON object in the text, whatever stands before and behind it."""
        start = self._text.find("{")
        if start < 0:
            raise ValueError("There is no JSON object in it.")
        if partial:
            with suppress(ValueError):
                return from_json(self._text[start:], allow_partial="trailing-strings")
        return from_json(self._text[start : self._text.rfind("}") + 1])


def _written(response: ChatResponse) -> str:
    """Return where the object is: the arguments of the first call, or the text if there is none."""
    for block in response.message.blocks:
        if isinstance(block, ToolCallBlock):
            given = block.tool_kwargs
            return given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
    return response.message.content or ""


def tell_prediction(output_cls: type[BaseModel], prompt: PromptTemplate, prompt_args: dict[str, Any]) -> None:
    """Tell observers what is asked for, as LlamaIndex's own prediction does."""
    dispatcher.event(LLMStructuredPredictStartEvent(output_cls=output_cls, template=prompt, template_args=prompt_args))


def told_object(made: M) -> M:
    """Tell observers what was predicted."""
    dispatcher.event(LLMStructuredPredictEndEvent(output=made))
    return made


def objects(responses: ChatResponseGen, reader: ObjectReader[M]) -> Generator[M | FlexibleModel]:
    """Read a stream of objects out of a stream of answers; the last one is complete."""
    with closing(responses):
        for response in responses:
            if (found := reader.read(response)) is not None:
                yield found
    yield reader.end()


async def aobjects(responses: ChatResponseAsyncGen, reader: ObjectReader[M]) -> AsyncGenerator[M | FlexibleModel]:
    """As `objects`."""
    async with aclosing(responses):
        async for response in responses:
            if (found := reader.read(response)) is not None:
                yield found
    yield reader.end()
