"""`BeebotTool`: a Beebot robot as a tool of an agent."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Literal, Self

from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, ToolException
from langchain_core.tools.base import ArgsSchema
from pydantic import BaseModel, Field, PrivateAttr, SkipValidation

from langchain_xingchen._base import MODEL_CONFIG
from langchain_xingchen.beebot import ChatBeebot
from xingchen_core import ConfigurationError, XingchenError
from xingchen_core.beebot import BeebotParameters, BeebotSettings

SessionIdFrom = Callable[[RunnableConfig], str]
"""Reads the id of the session from the config of a run: `lambda config: config["configurable"]["thread_id"]`."""


class BeebotQuestion(BaseModel):
    """What the tool is called with."""

    question: str = Field(min_length=1, description="The question, complete in itself, in the user's language.")


class BeebotTool(BaseTool, BeebotParameters, BeebotSettings):
    """Lets an agent ask a Beebot robot. The content is the answer, the artifact the whole `AIMessage`.

    ```python
    tool = BeebotTool(instance_id="chatbot-cn-...", description="Answers questions about invoices and returns.")
    create_agent("...", tools=[tool])
    ```

    The fields are those of `ChatBeebot`. The agent never chooses the session: each call is a conversation of its own
    unless `session_id` is given, or `session_id_from` reads it from the config of the run (one tool for many users).
    A session is one user's.

    Choices that the robot offers, and its wish to hand over to a human, are said in the content too, since the agent's
    model sees nothing else. The artifact has them as data (`additional_kwargs`).

    Errors are raised as they are. With `handle_tool_error=True` the agent's model gets their text instead.

    Attributes:
        session_id_from: Finds the session of each run.
    """

    model_config = MODEL_CONFIG

    name: str = "ask_beebot"
    description: str = "Ask the company's help desk robot a question and get its answer."
    args_schema: Annotated[ArgsSchema | None, SkipValidation()] = BeebotQuestion
    response_format: Literal["content", "content_and_artifact"] = "content_and_artifact"
    session_id_from: SessionIdFrom | None = Field(default=None, exclude=True, repr=False)

    _robot: ChatBeebot | None = PrivateAttr(default=None)

    def _run(self, question: str, *, config: RunnableConfig) -> tuple[str, AIMessage]:
        with self._tool_errors():
            answer: AIMessage = self._chat_model().invoke(question, config, session_id=self._session_of(config))
            return _shown(answer), answer

    async def _arun(self, question: str, *, config: RunnableConfig) -> tuple[str, AIMessage]:
        with self._tool_errors():
            answer: AIMessage = await self._chat_model().ainvoke(question, config, session_id=self._session_of(config))
            return _shown(answer), answer

    def _session_of(self, config: RunnableConfig) -> str | None:
        if self.session_id_from is None:
            return self.session_id
        session_id = self.session_id_from(config)
        if not session_id:
            raise ConfigurationError("session_id_from found no session id in the config of this run.")
        return session_id

    def _chat_model(self) -> ChatBeebot:
        """Return a model with this tool's settings: its calls are traced as a model's."""
        if self._robot is None:
            names = (*BeebotSettings.model_fields, *BeebotParameters.model_fields)
            self._robot = ChatBeebot(**{name: value for name in names if (value := getattr(self, name)) is not None})
        return self._robot

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
        if self._robot is not None:
            self._robot.close()

    async def aclose(self) -> None:
        """As `close`, that of the running loop too."""
        await super().aclose()
        if self._robot is not None:
            await self._robot.aclose()

    def __copy__(self) -> Self:
        copied = super().__copy__()
        copied._robot = None
        return copied


def _shown(answer: AIMessage) -> str:
    """Return an answer as the agent's model reads it. Recommendations stand in the text already."""
    lines = [str(answer.text)]
    for at, choice in enumerate(answer.additional_kwargs.get("clarify_list", ()), 1):
        lines.append(f"{at}. {choice.get('Title', choice) if isinstance(choice, dict) else choice}")
    if answer.response_metadata.get("finish_reason") == "handover":
        lines.append("(The robot asks to hand over to a human.)")
    return "\n".join(line for line in lines if line)
