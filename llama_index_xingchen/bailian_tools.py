"""`BailianToolSpec`: what an agent can do with Bailian."""

import json
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from llama_index.core.schema import MetadataMode, NodeWithScore
from llama_index.core.tools import FunctionTool, ToolMetadata
from llama_index.core.tools.tool_spec.base import SPEC_FUNCTION_TYPE
from pydantic import Field

from llama_index_xingchen._tool_specs import DocumentedToolSpec
from llama_index_xingchen.memory import BailianMemoryBlock
from llama_index_xingchen.retrievers import BailianRetriever
from xingchen_core import ChatReply, ConfigurationError, Flow, Message
from xingchen_core.bailian import AppParameters, AppRequest, BailianSettings, apps
from xingchen_core.bailian import memory as library
from xingchen_core.bailian.references import with_sources

LARGEST_LIST = 100
"""Memories on a page, and of a search: an agent that asks for more gets this many."""

Question = Annotated[str, "The question, complete in itself, in the user's language."]
Query = Annotated[str, "What to look for, as a question or in key words."]
Fact = Annotated[str, "One fact about the user, complete in itself, at most 512 characters."]
NewText = Annotated[str, "The whole new text, at most 512 characters."]
MemoryId = Annotated[str, "Id of the memory, as search and list tell it."]
Limit = Annotated[int, "How many at most, 1 to 100."]
PageNumber = Annotated[int, "Which page, from 1."]


class BailianToolSpec(BailianSettings, AppParameters, DocumentedToolSpec):
    """Tools for agents: ask an application on Bailian (百炼), search a knowledge base, remember the user.

    ```python
    from llama_index.core.agent.workflow import FunctionAgent
    from llama_index_xingchen import BailianMemoryBlock, BailianRetriever, BailianToolSpec

    tools = BailianToolSpec(
        retriever=BailianRetriever(index_id="..."), memory=BailianMemoryBlock(user_id="u1")
    ).to_tool_list()
    agent = FunctionAgent(llm=llm, tools=tools)  # any model that can call functions
    ```

    | tool | there with | the agent's model says |
    | --- | --- | --- |
    | `ask_app` | `app_id` | `question` |
    | `search_knowledge` | `retriever` | `query` |
    | `add_memory` | `memory` | `text` |
    | `search_memories`, `list_memories` | `memory` | `query`; `page`; `limit` |
    | `update_memory`, `delete_memory` | `memory` | `memory_id`; `text` |

    The fields are those of `BailianApp`, and two more. Which application or knowledge base is asked, and for whom, is
    never the agent's choice: each question to an application is a conversation of its own unless `session_id` is given,
    which is one user's, and memories are those of the block's user: others look as if there were none, which costs a
    call where a memory is changed by its id.

    Attributes:
        retriever: Searches a knowledge base, with its own settings.
        memory: Whose memories, and where, with its own settings. A `Memory` with the same block remembers without
            being told to.

    Raises:
        ConfigurationError: No key at construction, where one is needed; in a tool that lacks its field.
        APIStatusError, APIConnectionError, ...: See `xingchen_core`. Agents hand the text of an error to their model.

    Source: Model Studio, "application API reference", `POST /api/v1/apps/{app_id}/completion`; "RAG API"; "long-term
    memory (new) API", `/add`, `/memory_nodes`, `/memory_nodes/search`.
    """

    spec_functions: ClassVar[list[SPEC_FUNCTION_TYPE]] = [  # type: ignore[misc]  # a constant of the class there too
        ("ask_app", "aask_app"),
        ("search_knowledge", "asearch_knowledge"),
        ("add_memory", "aadd_memory"),
        ("search_memories", "asearch_memories"),
        ("list_memories", "alist_memories"),
        ("update_memory", "aupdate_memory"),
        ("delete_memory", "adelete_memory"),
    ]

    retriever: BailianRetriever | None = Field(default=None, repr=False)
    memory: BailianMemoryBlock | None = Field(default=None, repr=False)

    def _require_credentials(self) -> None:
        if self.app_id is not None or (self.retriever is None and self.memory is None):
            super()._require_credentials()

    def to_tool_list(
        self,
        spec_functions: list[SPEC_FUNCTION_TYPE] | None = None,
        func_to_metadata_mapping: dict[str, ToolMetadata] | None = None,
    ) -> list[FunctionTool]:
        """Return the tools of what there is: an application, a retriever, a memory; or those that are named."""
        ask, search, *remember = self.spec_functions
        there: list[SPEC_FUNCTION_TYPE] = [
            *([ask] if self.app_id is not None or (self.retriever is None and self.memory is None) else []),
            *([search] if self.retriever is not None else []),
            *(remember if self.memory is not None else []),
        ]
        return super().to_tool_list(spec_functions or there, func_to_metadata_mapping)

    def ask_app(self, question: Question) -> str:
        """Ask the application and return its answer, with the titles of its sources. It knows nothing of this talk."""
        return self.client().run(self._ask(question))

    async def aask_app(self, question: Question) -> str:
        """As `ask_app`."""
        return await self.async_client().run(self._ask(question))

    def _ask(self, question: str) -> Flow[str]:
        fields = {name: getattr(self, name) for name in AppParameters.model_fields}
        request = AppRequest(**fields, messages=[Message(role="user", content=question)])
        reply: ChatReply = yield apps.complete(request, self.workspace_id)
        [answer] = reply.answers
        return with_sources(answer.text, answer.additional.get("citations", ()))

    def search_knowledge(self, query: Query) -> str:
        """Search the knowledge base and return the passages that fit best, numbered, with where they are from."""
        return _shown_nodes(self._retriever().retrieve(query))

    async def asearch_knowledge(self, query: Query) -> str:
        """As `search_knowledge`."""
        return _shown_nodes(await self._retriever().aretrieve(query))

    def _retriever(self) -> BailianRetriever:
        if self.retriever is None:
            raise ConfigurationError("Which knowledge base? Pass retriever=BailianRetriever(...).")
        return self.retriever

    def add_memory(self, text: Fact) -> str:
        """Remember a fact about the user for later conversations. Search first, to store nothing twice."""
        return self._memory().client().run(self._add(text))

    async def aadd_memory(self, text: Fact) -> str:
        """As `add_memory`."""
        return await self._memory().async_client().run(self._add(text))

    def search_memories(self, query: Query, limit: Limit = 5) -> str:
        """Find what is remembered of the user from earlier conversations, with the id of each memory."""
        return self._memory().client().run(self._search(query, limit))

    async def asearch_memories(self, query: Query, limit: Limit = 5) -> str:
        """As `search_memories`."""
        return await self._memory().async_client().run(self._search(query, limit))

    def list_memories(self, page: PageNumber = 1, limit: Limit = 20) -> str:
        """Read all that is remembered of the user, page by page, with the id of each memory."""
        return self._memory().client().run(self._list(page, limit))

    async def alist_memories(self, page: PageNumber = 1, limit: Limit = 20) -> str:
        """As `list_memories`."""
        return await self._memory().async_client().run(self._list(page, limit))

    def update_memory(self, memory_id: MemoryId, text: NewText) -> str:
        """Correct a memory of the user: its text is replaced."""
        return self._memory().client().run(self._update(memory_id, text))

    async def aupdate_memory(self, memory_id: MemoryId, text: NewText) -> str:
        """As `update_memory`."""
        return await self._memory().async_client().run(self._update(memory_id, text))

    def delete_memory(self, memory_id: MemoryId) -> str:
        """Forget a memory of the user, for good."""
        return self._memory().client().run(self._delete(memory_id))

    async def adelete_memory(self, memory_id: MemoryId) -> str:
        """As `delete_memory`."""
        return await self._memory().async_client().run(self._delete(memory_id))

    def _memory(self) -> BailianMemoryBlock:
        if self.memory is None:
            raise ConfigurationError("Whose memories? Pass memory=BailianMemoryBlock(user_id=...).")
        return self.memory

    def _whose(self) -> dict[str, Any]:
        return {"user_id": self._memory().user_id, "library_id": self._memory().library_id}

    def _add(self, text: str) -> Flow[str]:
        changes = yield library.add(text, project_id=self._memory().project_id, **self._whose())
        ids = ", ".join(change.node_id for change in changes if change.node_id)
        return f"Remembered (memory id {ids})."

    def _search(self, query: str, limit: int) -> Flow[str]:
        block = self._memory()
        found = yield library.search(
            query,
            top_k=max(1, min(limit, LARGEST_LIST)),
            min_score=block.min_score,
            project_ids=None if block.project_id is None else [block.project_id],
            plan_version=block.plan_version,
            **self._whose(),
        )
        return _shown_memories(found.nodes)

    def _list(self, page: int, limit: int) -> Flow[str]:
        size = max(1, min(limit, LARGEST_LIST))
        project_id = self._memory().project_id
        found = yield library.list_nodes(project_id=project_id, page=max(page, 1), page_size=size, **self._whose())
        shown = _shown_memories(found.items)
        return shown if found.total is None else f"{shown}\nIn all: {found.total}."

    def _update(self, memory_id: str, text: str) -> Flow[str]:
        yield from library.update_node(memory_id, text, **self._whose())
        return "Updated."

    def _delete(self, memory_id: str) -> Flow[str]:
        yield from library.delete_node(memory_id, **self._whose())
        return "Deleted."


def _shown_nodes(nodes: Sequence[NodeWithScore]) -> str:
    read = [f"[{n}] {node.node.get_content(MetadataMode.LLM)}" for n, node in enumerate(nodes, start=1)]
    return "\n\n".join(read) or "Nothing is found."


def _shown_memories(nodes: Sequence[library.MemoryNode]) -> str:
    """Return each text quoted, since it came from people and is no instruction."""
    lines = [f"{json.dumps(node.text, ensure_ascii=False)} (memory id {node.id})" for node in nodes]
    return "\n".join(lines) or "Nothing is remembered."
