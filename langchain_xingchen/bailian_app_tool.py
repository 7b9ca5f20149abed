"""`BailianAppTool`: an application on Bailian as a tool of an agent."""

from collections.abc import MutableMapping
from typing import Annotated, ClassVar

from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools.base import ArgsSchema
from pydantic import Field, SkipValidation

from langchain_xingchen._asking_tools import AskedQuestion, AskingTool
from langchain_xingchen._base import MODEL_CONFIG, XingchenChatModel
from langchain_xingchen.bailian_app import ChatBailianApp
from xingchen_core import ConfigurationError
from xingchen_core.bailian import AppParameters, BailianSettings
from xingchen_core.bailian.references import with_sources


class BailianAppTool(AskingTool, AppParameters, BailianSettings):
    """Lets an agent ask an application on Bailian. The content is the answer, the artifact the whole `AIMessage`.

    ```python
    tool = BailianAppTool(app_id="...", name="ask_handbook", description="Answers from the employees' handbook.")
    create_agent("...", tools=[tool])
    ```

    The fields are those of `ChatBailianApp`. The agent never chooses the session: each call is a conversation of its
    own unless one of three is given. `session_id`; or `session_id_from`, which reads from the config of the run an id
    that the service gave; or `sessions`, in which the tool keeps the session of each thread
    (`config["configurable"]["thread_id"]`), so that the application knows what it was asked in that thread before. A
    session is one user's, and so must a thread be.

    In the content the sources of the answer are told by number and title, as `[1]`; the artifact has them as data.

    Errors are raised as they are. With `handle_tool_error=True` the agent's model gets their text instead.

    Attributes:
        session_id_from: Finds the session of each run.
        sessions: Session by thread: `{}` within one process, or a mapping over a shared store. A session ends after an
            hour without questions; the one that the service then begins takes its place.
    """

    model_config = MODEL_CONFIG

    model_class: ClassVar[type[XingchenChatModel]] = ChatBailianApp

    name: str = "ask_app"
    description: str = "Ask the company's assistant a question and get its answer."
    args_schema: Annotated[ArgsSchema | None, SkipValidation()] = AskedQuestion
    # Not validated, which would copy it.
    sessions: Annotated[MutableMapping[str, str] | None, SkipValidation()] = Field(
        default=None, exclude=True, repr=False
    )

    def _session_of(self, config: RunnableConfig) -> str | None:
        if self.sessions is None:
            return super()._session_of(config)
        return self.sessions.get(_thread_of(config))

    def _shown(self, answer: AIMessage, config: RunnableConfig) -> str:
        if self.sessions is not None and (session_id := answer.response_metadata.get("session_id")):
            self.sessions[_thread_of(config)] = session_id
        return with_sources(str(answer.text), answer.additional_kwargs.get("citations", ()))


def _thread_of(config: RunnableConfig) -> str:
    thread_id = config.get("configurable", {}).get("thread_id")
    if not thread_id:
        raise ConfigurationError(
            "sessions has the session of each thread, and this run has no thread: pass "
            "config={'configurable': {'thread_id': ...}}."
        )
    return str(thread_id)
