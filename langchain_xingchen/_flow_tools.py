"""What tools that make calls of a service have in common: whose data it is, flows, errors an agent can read."""

from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Literal

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, ToolException
from langchain_core.tools.base import ArgsSchema
from pydantic import Field, SkipValidation

from langchain_xingchen._base import MODEL_CONFIG, loaded_async_client
from xingchen_core import ConfigurationError, Flow, XingchenError
from xingchen_core._config import ConnectionSettings

UserIdFrom = Callable[[RunnableConfig], str | None]
"""Reads the id of the user from the config of a run: `lambda config: config["configurable"]["user_id"]`."""

Schema = Annotated[ArgsSchema | None, SkipValidation()]


def user_from(user_id_from: UserIdFrom, config: RunnableConfig) -> str:
    """Return the user of a run.

    Raises:
        ConfigurationError: The config names none: strangers must not share what is kept.
    """
    try:
        user_id = user_id_from(config)
    except LookupError:  # config["configurable"]["user_id"] of a config without it
        user_id = None
    if not user_id:
        raise ConfigurationError(
            "user_id_from found no user id in the config of this run: pass config={'configurable': {'user_id': ...}}, "
            "or what it reads."
        )
    return str(user_id)


class ServiceTool(BaseTool, ConnectionSettings):
    """A tool on a service: whose data it is, and errors an agent can read."""

    model_config = MODEL_CONFIG

    response_format: Literal["content", "content_and_artifact"] = "content_and_artifact"
    user_id_from: UserIdFrom | None = Field(default=None, exclude=True, repr=False)

    def _user_of(self, config: RunnableConfig) -> str | None:
        given: str | None = getattr(self, "user_id", None)
        return given if self.user_id_from is None else user_from(self.user_id_from, config)

    @contextmanager
    def _tool_errors(self) -> Iterator[None]:
        """Hand an error to the model, if it is to be told of errors; else raise what it is."""
        try:
            yield
        except XingchenError as error:
            if self.handle_tool_error:
                raise ToolException(str(error)) from error
            raise


class FlowTool(ServiceTool):
    """A tool that is described once, as a flow."""

    @abstractmethod
    def _flow(self, config: RunnableConfig, *args: Any, **named: Any) -> Flow[tuple[str, Any]]:
        """Return what is said to the model, and the artifact."""

    def _run(self, *args: Any, config: RunnableConfig, **named: Any) -> tuple[str, Any]:
        with self._tool_errors():
            return self.client().run(self._flow(config, *args, **named))

    async def _arun(self, *args: Any, config: RunnableConfig, **named: Any) -> tuple[str, Any]:
        with self._tool_errors():
            return await (await loaded_async_client(self)).run(self._flow(config, *args, **named))
