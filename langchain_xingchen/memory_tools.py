"""`BailianMemoryToolkit`: lets an agent remember, find, read, correct and forget what concerns its user."""

import json
from typing import Any, Self

from langchain_core.documents import Document
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, BaseToolkit
from pydantic import BaseModel, Field, model_validator

from langchain_xingchen._base import MODEL_CONFIG
from langchain_xingchen._flow_tools import FlowTool, Schema, UserIdFrom
from langchain_xingchen.memory_retriever import require_key, require_user, to_document
from xingchen_core import Flow
from xingchen_core.bailian import memory
from xingchen_core.bailian.memory import MemoryNode, MemorySettings

LONGEST_TEXT = 512
"""Characters of one memory."""


class MemoryPlace(MemorySettings):
    """Whose memories, and where: the settings that the toolkit and its tools share.

    Attributes:
        user_id: Your id of the user; at most 64 characters. The agent never chooses it.
        user_id_from: Reads it from the config of each run instead, to serve many users.
        library_id: Default: the account's default library.
        project_id: Default: the library's default project, whose memories expire after 180 days.
        min_score: Of a search, 0 to 1. The service's default, 0.3, hides weak matches.
        plan_version: Of a search: `pro` (the service's default: reranked, dearer) or `lite`.
    """

    user_id: str | None = Field(default=None, min_length=1, max_length=64)
    user_id_from: UserIdFrom | None = Field(default=None, exclude=True, repr=False)
    library_id: str | None = None
    project_id: str | None = None
    min_score: float | None = Field(default=None, ge=0, le=1)
    plan_version: str | None = None

    @model_validator(mode="after")
    def _check_user(self) -> Self:
        require_key(self)
        require_user(self.user_id, self.user_id_from)
        return self


class _MemoryTool(FlowTool, MemoryPlace):
    """A tool on the memories of one user."""

    model_config = MODEL_CONFIG

    def _whose(self, config: RunnableConfig) -> dict[str, Any]:
        return {"user_id": self._user_of(config) or "", "library_id": self.library_id}


class Remembering(BaseModel):
    """What adding is called with."""

    text: str = Field(min_length=1, max_length=LONGEST_TEXT, description="One fact about the user, complete in itself.")


class AddMemoryTool(_MemoryTool):
    """Stores one text as it is. The artifact is the list of what changed, as plain data."""

    name: str = "add_memory"
    description: str = "Remember a fact about the user for later conversations. Search first, to store nothing twice."
    args_schema: Schema = Remembering

    def _flow(self, config: RunnableConfig, text: str) -> Flow[tuple[str, list[dict[str, Any]]]]:
        changes = yield memory.add(text, project_id=self.project_id, **self._whose(config))
        ids = ", ".join(change.node_id for change in changes if change.node_id)
        return f"Remembered (memory id {ids}).", [change.model_dump(mode="json") for change in changes]


class Searching(BaseModel):
    """What the search is called with."""

    query: str = Field(min_length=1, description="What to look for, as a question or in key words.")
    limit: int = Field(default=5, ge=1, le=100, description="How many at most.")


class SearchMemoriesTool(_MemoryTool):
    """Finds memories by meaning, best first. The artifact is a list of documents, as `BailianMemoryRetriever`'s."""

    name: str = "search_memories"
    description: str = "Find what is remembered of the user from earlier conversations, with the id of each memory."
    args_schema: Schema = Searching

    def _flow(self, config: RunnableConfig, query: str, limit: int = 5) -> Flow[tuple[str, list[Document]]]:
        found = yield memory.search(
            query,
            top_k=limit,
            min_score=self.min_score,
            project_ids=[self.project_id] if self.project_id else None,
            plan_version=self.plan_version,
            **self._whose(config),
        )
        return _shown(found.nodes)


class Listing(BaseModel):
    """What the list is called with."""

    page: int = Field(default=1, ge=1, description="Which page, from 1.")
    limit: int = Field(default=20, ge=1, le=100, description="How many on a page.")


class ListMemoriesTool(_MemoryTool):
    """Reads memories page by page. The artifact is a list of documents without scores."""

    name: str = "list_memories"
    description: str = "Read all that is remembered of the user, page by page, with the id of each memory."
    args_schema: Schema = Listing

    def _flow(self, config: RunnableConfig, page: int = 1, limit: int = 20) -> Flow[tuple[str, list[Document]]]:
        whose = self._whose(config)
        found = yield memory.list_nodes(**whose, project_id=self.project_id, page=page, page_size=limit)
        text, documents = _shown(found.items)
        return (text if found.total is None else f"{text}\nIn all: {found.total}."), documents


class Correcting(BaseModel):
    """What updating is called with."""

    memory_id: str = Field(min_length=1, description="Id of the memory, as search and list tell it.")
    text: str = Field(min_length=1, max_length=LONGEST_TEXT, description="The whole new text.")


class UpdateMemoryTool(_MemoryTool):
    """Replaces the text of a memory of this user; of another user's it says that there is none."""

    name: str = "update_memory"
    description: str = "Correct a memory of the user: its text is replaced."
    args_schema: Schema = Correcting

    def _flow(self, config: RunnableConfig, memory_id: str, text: str) -> Flow[tuple[str, dict[str, Any]]]:
        yield from memory.update_node(memory_id, text, **self._whose(config))
        return "Updated.", {"memory_id": memory_id}


class Forgetting(BaseModel):
    """What deleting is called with."""

    memory_id: str = Field(min_length=1, description="Id of the memory, as search and list tell it.")


class DeleteMemoryTool(_MemoryTool):
    """Deletes a memory of this user; of another user's it says that there is none."""

    name: str = "delete_memory"
    description: str = "Forget a memory of the user, for good."
    args_schema: Schema = Forgetting

    def _flow(self, config: RunnableConfig, memory_id: str) -> Flow[tuple[str, dict[str, Any]]]:
        yield from memory.delete_node(memory_id, **self._whose(config))
        return "Deleted.", {"memory_id": memory_id}


def _shown(nodes: tuple[MemoryNode, ...]) -> tuple[str, list[Document]]:
    """Return what the model reads: each text quoted, since it came from people and is no instruction."""
    lines = [f"{json.dumps(node.text, ensure_ascii=False)} (memory id {node.id})" for node in nodes]
    return "\n".join(lines) or "Nothing is remembered.", list(map(to_document, nodes))


class BailianMemoryToolkit(BaseToolkit, MemoryPlace):
    """Tools for an agent that remembers its user: Bailian's long-term memory (长期记忆).

    ```python
    toolkit = BailianMemoryToolkit(user_id_from=lambda config: config["configurable"]["user_id"])
    agent = create_agent("...", tools=toolkit.get_tools())
    ```

    | tool | the agent's model says |
    | --- | --- |
    | `add_memory` | `text` |
    | `search_memories` | `query`, `limit` |
    | `list_memories` | `page`, `limit` |
    | `update_memory` | `memory_id`, `text` |
    | `delete_memory` | `memory_id` |

    The service does not ask whose a memory is that is changed by its id; these tools do, which costs a call.
    `BailianMemoryMiddleware` remembers without being told to.

    Attributes:
        handle_tool_error: Tell the agent's model of errors instead of raising them.

    The other fields are those of `MemoryPlace`.

    Raises:
        ConfigurationError: At construction: there is no API key, or no user.

    Source: Model Studio, "long-term memory (new) API": `/add`, `/memory_nodes`, `/memory_nodes/search`.
    """

    model_config = MODEL_CONFIG

    handle_tool_error: bool = False

    def get_tools(self) -> list[BaseTool]:
        """Return new tools; each reaches the service as this toolkit does."""
        given = {name: value for name in MemoryPlace.model_fields if (value := getattr(self, name)) is not None}
        kinds = (AddMemoryTool, SearchMemoriesTool, ListMemoriesTool, UpdateMemoryTool, DeleteMemoryTool)
        return [kind(**given, handle_tool_error=self.handle_tool_error) for kind in kinds]
