"""Custom events: what a service tells of its work while it answers, for the callbacks of the run that streams."""

from collections.abc import Sequence
from typing import Any, Protocol
from uuid import UUID

from langchain_core.callbacks import AsyncCallbackManager, BaseCallbackHandler, CallbackManager
from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config, get_callback_manager_for_config
from langchain_core.utils.uuid import uuid7

LISTENERS = "listeners"
"""Keyword by which `stream` names the listeners to `_stream`, to which LangChain does not give its run manager."""

Events = tuple[str, Sequence[Any]]
"""The name of the events, and the data of each."""


class Listeners(Protocol):
    """Who listens to a run; LangChain's run managers are such."""

    handlers: list[BaseCallbackHandler]
    tags: list[str]
    metadata: dict[str, Any]
    run_id: UUID


class _Listeners:
    def __init__(self, manager: Any, run_id: UUID) -> None:
        self.handlers, self.tags, self.metadata = manager.handlers, manager.tags, manager.metadata
        self.run_id = run_id


def listeners_of(model: BaseChatModel, config: RunnableConfig) -> Listeners:
    """Return who will listen to the run of a model, whose id is written into `config`."""
    run_id = config["run_id"] = config.get("run_id") or uuid7()
    manager = CallbackManager.configure(
        config.get("callbacks"),
        model.callbacks,
        model.verbose,
        config.get("tags"),
        model.tags,
        config.get("metadata"),
        model.metadata,
    )
    return _Listeners(manager, run_id)


def tell(events: Events, listeners: Listeners | None) -> None:
    """Dispatch events as `dispatch_custom_event` does; outside of any run nobody listens, and nothing is said."""
    if to := listeners or _around():
        manager = CallbackManager(to.handlers, tags=to.tags, metadata=to.metadata)
        for data in events[1]:
            manager.on_custom_event(events[0], data, run_id=to.run_id)


async def atell(events: Events, listeners: Listeners | None) -> None:
    """As `tell`."""
    if to := listeners or _around():
        manager = AsyncCallbackManager(to.handlers, tags=to.tags, metadata=to.metadata)
        for data in events[1]:
            await manager.on_custom_event(events[0], data, run_id=to.run_id)


def _around() -> Listeners | None:
    """Return who listens to the run that the model is called in: under `invoke` its own is not known either."""
    manager = get_callback_manager_for_config(ensure_config())
    return None if manager.parent_run_id is None else _Listeners(manager, manager.parent_run_id)
