"""Objects out of answers in text: while the JSON is still growing, and errors that say what came instead.

LlamaIndex's own program for models without functions streams blank objects when the JSON stands in a code fence or
never comes, and reads no list before it is complete.
"""

from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import aclosing, closing, contextmanager, suppress
from typing import Generic, TypeVar

from llama_index.core.base.llms.types import ChatResponse, ChatResponseAsyncGen, ChatResponseGen
from llama_index.core.program.utils import FlexibleModel, create_flexible_model
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

M = TypeVar("M", bound=BaseModel)


class ObjectReader(Generic[M]):
    """Reads an object out of the growing answer of a model that was asked for JSON."""

    def __init__(self, output_cls: type[M], model_name: str) -> None:
        self._output_cls = output_cls
        self._partial_cls = create_flexible_model(output_cls)
        self._model_name = model_name
        self._text = ""

    def read(self, response: ChatResponse) -> M | FlexibleModel | None:
        """Return the object as far as it has come: fields that are missing are `None`. `None` if there is none yet."""
        self._text = response.message.content or ""
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
        with naming_the_answer(self._output_cls, self._model_name):
            try:
                return self._output_cls.model_validate(self._value(partial=False))
            except ValueError as error:
                raise ValueError(f"{error}\nThe answer was: {self._text}") from error

    def _value(self, *, partial: bool) -> object:
        """Return the JSON object in the text, whatever stands before and behind it."""
        start = self._text.find("{")
        if start < 0:
            raise ValueError("There is no JSON object in it.")
        if partial:
            with suppress(ValueError):
                return from_json(self._text[start:], allow_partial="trailing-strings")
        return from_json(self._text[start : self._text.rfind("}") + 1])


@contextmanager
def naming_the_answer(output_cls: type[BaseModel], model_name: str) -> Iterator[None]:
    """Say in the error which model failed to give which object."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{model_name} gave no {output_cls.__name__}. {error}") from error


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
