"""Middleware for LangChain's `create_agent`; needs the extra `agents`."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, NotRequired

from xingchen_core import ConfigurationError, Flow

try:
    from langchain.agents.middleware import AgentMiddleware, AgentState, ModelRequest, ModelResponse
    from langchain.agents.middleware.types import PrivateStateAttr
    from langgraph.config import get_config
    from langgraph.runtime import Runtime
    from langgraph.types import Overwrite
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] not in ("langchain", "langgraph"):
        raise
    raise ImportError(
        "langchain_xingchen.middleware needs LangChain's agents: pip install 'xingchen-integrations[agents]'",
        name=error.name,
    ) from error

from langchain_core.messages import AnyMessage

from langchain_xingchen._flow_tools import UserIdFrom
from langchain_xingchen._history_messages import PROVIDER, to_message
from langchain_xingchen._memory_middleware import BailianMemoryMiddleware, BailianMemoryState
from langchain_xingchen._platform_tools import connection
from langchain_xingchen.chat_models import ChatXingchen
from xingchen_core.characters import XingchenSettings
from xingchen_core.characters.conversation import whole_history

__all__ = ["BailianMemoryMiddleware", "BailianMemoryState", "XingchenHistoryMiddleware", "XingchenHistoryState"]


class XingchenHistoryState(AgentState[Any]):
    """The state of an agent, and whose conversation has been brought into it."""

    xingchen_history_of: NotRequired[Annotated[str, PrivateStateAttr]]


class XingchenHistoryMiddleware(AgentMiddleware[XingchenHistoryState, Any, Any]):
    """Makes the platform's conversation the memory of an agent whose model is a character.

    ```python
    model = ChatXingchen(character_id="...")
    agent = create_agent(model, middleware=[XingchenHistoryMiddleware(model=model)])
    agent.invoke({"messages": [("user", "你好")]}, {"configurable": {"thread_id": "u1"}})
    ```

    The platform keeps one conversation for each character and user, so an agent anywhere continues it: only the newest
    turn is sent, and the character remembers the rest. So that the rest can be seen, too, it is brought into the
    agent's state before the agent runs, once in a thread: messages in front of what the caller brought, under the
    platform's ids. A state that already holds messages of that conversation is left as it is.

    Args:
        character_id: The stored character; of `model` if not given.
        model: Whose character and connection to use: the agent's own model.
        user_id: Your id of the user, or what reads it from the config of a run, such as
            `lambda config: config["configurable"]["user_id"]`. Default: the run's thread id.
        limit: Bring the newest so many messages into the state. `None` for all; the service gives 50 per request.
        settings: As for `XingchenSettings` (`api_key`, `base_url`, ...), in place of the model's.

    Raises:
        ConfigurationError: There is no character, no user id in a run, or the agent's model is another character.
    """

    state_schema = XingchenHistoryState

    def __init__(
        self,
        character_id: str | None = None,
        *,
        model: ChatXingchen | None = None,
        user_id: str | UserIdFrom | None = None,
        limit: int | None = 50,
        **settings: Any,
    ) -> None:
        super().__init__()
        if model is not None:
            character_id = character_id or model.character_id
            settings = {**connection(model), **settings}
        if not character_id:
            raise ConfigurationError("Say whose history: pass character_id, or model with a stored character.")
        self.character_id = character_id
        self.user_id = user_id
        self.limit = limit
        self.settings = XingchenSettings(**settings)

    def before_agent(self, state: XingchenHistoryState, runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Bring the conversation into the state."""
        return self.settings.client().run(self._load(state, self._user()))

    async def abefore_agent(self, state: XingchenHistoryState, runtime: Runtime[Any]) -> dict[str, Any] | None:
        """As `before_agent`."""
        return await self.settings.async_client().run(self._load(state, self._user()))

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        """Let the platform keep this turn."""
        return handler(self._on_platform(request))

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ModelResponse[Any]:
        """As `wrap_model_call`."""
        return await handler(self._on_platform(request))

    def _load(self, state: XingchenHistoryState, user_id: str) -> Flow[dict[str, Any] | None]:
        """Return the update that puts the conversation in front of what the caller brought."""
        if state.get("xingchen_history_of") == user_id:
            return None
        update: dict[str, Any] = {"xingchen_history_of": user_id}
        if any(self._is_of_conversation(message, user_id) for message in state["messages"]):
            return update
        rows = yield from whole_history(self.character_id, user_id, limit=self.limit)
        if rows:
            history = [to_message(row, self.character_id, user_id) for row in rows]
            # Not RemoveMessage and all of them anew: a list would go out to `stream_mode="messages"` as if just said.
            update["messages"] = Overwrite([*history, *state["messages"]])
        return update

    def _is_of_conversation(self, message: AnyMessage, user_id: str) -> bool:
        told = message.response_metadata
        return (
            told.get("model_provider") == PROVIDER
            and told.get("user_id") == user_id
            and told.get("character_id") == self.character_id
        )

    def _on_platform(self, request: ModelRequest[Any]) -> ModelRequest[Any]:
        model = request.model
        if not isinstance(model, ChatXingchen) or model.character_id != self.character_id:
            raise ConfigurationError(
                f"The history is that of character {self.character_id!r}, and the agent's model is not "
                f"ChatXingchen(character_id={self.character_id!r}): its answers would not be in the history."
            )
        kept = {"platform_history": True, "user_id": self._user()}
        return request.override(model_settings={**request.model_settings, **kept})

    def _user(self) -> str:
        if isinstance(self.user_id, str):
            return self.user_id
        config = get_config()
        user_id = self.user_id(config) if self.user_id else (config.get("configurable") or {}).get("thread_id")
        if not user_id:
            raise ConfigurationError(
                "Whose conversation is it? Run the agent with config={'configurable': {'thread_id': <the user's id>}}, "
                "or pass user_id to XingchenHistoryMiddleware."
            )
        return str(user_id)

    def close(self) -> None:
        """Give back the HTTP client the history is read by; the model has its own."""
        self.settings.close()

    async def aclose(self) -> None:
        """As `close`, the client of the running loop too."""
        await self.settings.aclose()


__all__ = ["BailianMemoryMiddleware", "BailianMemoryState", "XingchenHistoryMiddleware", "XingchenHistoryState"]
