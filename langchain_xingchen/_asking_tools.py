"""What tools that ask one model have in common: the model, the session, errors an agent can read."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ClassVar, Literal, Self

from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, ToolException
from pydantic import BaseModel, Field, PrivateAttr

from langchain_xingchen._base import MODEL_CONFIG, XingchenChatModel
from xingchen_core import ConfigurationError, XingchenError
from xingchen_core._config import ConnectionSettings

SessionIdFrom = Callable[[RunnableConfig], str]
"""Reads the id of the session from the config of a run: `lambda config: config["configurable"]["session_id"]`."""


class AskedQuestion(BaseModel):
    """What such a tool is called with."""

    question: str = Field(min_length=1, description="The question, complete in itself, in the user's language.")


class AskingTool(BaseTool, ConnectionSettings):
    """Asks a model that has the fields of the tool. The content is the answer, the artifact the whole `AIMessage`."""

    model_config = MODEL_CONFIG

    model_class: ClassVar[type[XingchenChatModel]]

    response_format: Literal["content", "content_and_artifact"] = "content_and_artifact"
    session_id_from: SessionIdFrom | None = Field(default=None, exclude=True, repr=False)

    _model: XingchenChatModel | None = PrivateAttr(default=None)

    def _run(self, question: str, *, config: RunnableConfig) -> tuple[str, AIMessage]:
        with self._tool_errors():
            answer: AIMessage = self._chat_model().invoke(question, config, session_id=self._session_of(config))
            return self._shown(answer, config), answer

    async def _arun(self, question: str, *, config: RunnableConfig) -> tuple[str, AIMessage]:
        with self._tool_errors():
            answer: AIMessage = await self._chat_model().ainvoke(question, config, session_id=self._session_of(config))
            return self._shown(answer, config), answer

    def _shown(self, answer: AIMessage, config: RunnableConfig) -> str:
        """Return an answer as the agent's model reads it."""
        raise NotImplementedError

    def _session_of(self, config: RunnableConfig) -> str | None:
        given: str | None = getattr(self, "session_id", None)
        if self.session_id_from is None:
            return given
        session_id = self.session_id_from(config)
        if not session_id:
            raise ConfigurationError("session_id_from found no session id in the config of this run.")
        return session_id

    def _chat_model(self) -> XingchenChatModel:
        """Return a model with this tool's settings: its calls are traced as a model's."""
        if self._model is None:
            ours = type(self).model_fields.keys() - BaseTool.model_fields.keys()
            names = ours & self.model_class.model_fields.keys()
            self._model = self.model_class(**{n: value for n in names if (value := getattr(self, n)) is not None})
        return self._model

    @contextmanager
    def _tool_errors(self) -> Iterator[None]:
        try:
            yield
        except XingchenError as error:
            if self.handle_tool_error:
                raise ToolException(str(error)) from error
            raise

    def close(self) -> None:
        """Give back the HTTP client."""
        super().close()
        if self._model is not None:
            self._model.close()

    async def aclose(self) -> None:
        """As `close`, that of the running loop too."""
        await super().aclose()
        if self._model is not None:
            await self._model.aclose()

    def __copy__(self) -> Self:
        copied = super().__copy__()
        copied._model = None
        return copied
