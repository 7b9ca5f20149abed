"""`XingchenChatStore` and `XingchenDBChatStore`: the platform's history as LlamaIndex's two kinds of chat store."""

from typing import Any, Self

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.storage.chat_store.base import BaseChatStore
from llama_index.core.storage.chat_store.base_db import AsyncDBChatStore, MessageStatus
from pydantic import ConfigDict, PrivateAttr

from llama_index_xingchen._remote_history import RemoteHistory, to_messages
from xingchen_core import Flow, UnsupportedOperationError
from xingchen_core.characters.conversation import Entry

_CONFIG = ConfigDict(extra="forbid", hide_input_in_errors=True, arbitrary_types_allowed=True, protected_namespaces=())


class XingchenChatStore(RemoteHistory, BaseChatStore):
    """The history that Xingchen keeps of each character and user, as a chat store.

    ```python
    from llama_index.core.chat_engine import SimpleChatEngine
    from llama_index.core.memory import ChatMemoryBuffer
    from llama_index_xingchen import Xingchen, XingchenChatStore

    llm = Xingchen(character_id="...", user_id="u1", platform_history=True)
    memory = ChatMemoryBuffer.from_defaults(llm=llm, chat_store=XingchenChatStore(), chat_store_key=".../u1")
    SimpleChatEngine.from_defaults(llm=llm, memory=memory).chat("还记得我吗?")
    ```

    A key is `"<character_id>/<user_id>"`, split at the first `/`.

    What is added goes three ways. A user message is pending, and readable here, until the platform lists it: a chat
    stores it with its answer. An answer of `Xingchen` that the platform stored itself is recognised by the ids in its
    `additional_kwargs` and not written again; an engine that loses them (`CondensePlusContextChatEngine`) will do too:
    behind its question an answer is recognised by its text, if this process received it or the platform lists it. Any
    other assistant message is written by the reminder call, as the character's own words. Messages of one conversation
    are written one after another.

    The platform edits and deletes nothing and lists no conversations. `set_messages` takes what is there and what
    follows; `delete_message` and `delete_last_message` take back what is only pending; `delete_messages` resets the
    conversation, after which this object shows only what is newer; `get_keys` knows the keys this object has used.
    `capabilities` says the same beforehand. Reasoning, citations and fields of your own are not stored.

    Pending messages and resets are kept in this object, for as long as it lives: a pickle takes them along, another
    object knows nothing of them.

    Raises:
        UnsupportedOperationError: The platform cannot hold the message, or cannot do the operation.
        ConfigurationError: No key of Xingchen, or a key of another form.
        APIStatusError, APIConnectionError, ...: See `xingchen_core`.

    Source: Xingchen HTTP API, `POST /v2/api/chat/message/histories`, `/v2/api/chat/reminder`, `/v2/api/chat/reset`.
    """

    model_config = _CONFIG

    @classmethod
    def class_name(cls) -> str:
        """Return the name that dumps carry."""
        return "XingchenChatStore"

    def get_messages(self, key: str) -> list[ChatMessage]:
        """Return the conversation, oldest first."""
        return to_messages(self._run(self._read(key)))

    async def aget_messages(self, key: str) -> list[ChatMessage]:
        """As `get_messages`."""
        return to_messages(await self._arun(self._read(key)))

    def add_message(self, key: str, message: ChatMessage) -> None:
        """Store a message behind the others."""
        self._run(self._add(key, [message]), writes=key)

    async def async_add_message(self, key: str, message: ChatMessage) -> None:
        """As `add_message`."""
        await self._arun(self._add(key, [message]), writes=key)

    def set_messages(self, key: str, messages: list[ChatMessage]) -> None:
        """Store what follows the conversation so far, with which `messages` must begin."""
        self._run(self._continue(key, messages, _all), writes=key)

    async def aset_messages(self, key: str, messages: list[ChatMessage]) -> None:
        """As `set_messages`."""
        await self._arun(self._continue(key, messages, _all), writes=key)

    def delete_messages(self, key: str) -> list[ChatMessage] | None:
        """Reset the conversation: the character forgets it. Return what it was, `None` if there was nothing."""
        return to_messages(self._run(self._clear(key), writes=key)) or None

    async def adelete_messages(self, key: str) -> list[ChatMessage] | None:
        """As `delete_messages`."""
        return to_messages(await self._arun(self._clear(key), writes=key)) or None

    def delete_message(self, key: str, idx: int) -> ChatMessage | None:
        """Take back a pending message and return it; `None` if there is no message number `idx` (from 0)."""
        return self._run(self._delete(key, idx), writes=key)

    async def adelete_message(self, key: str, idx: int) -> ChatMessage | None:
        """As `delete_message`."""
        return await self._arun(self._delete(key, idx), writes=key)

    def delete_last_message(self, key: str) -> ChatMessage | None:
        """Take back the last message if it is pending, and return it; `None` if there is none."""
        return self._run(self._delete(key, None), writes=key)

    async def adelete_last_message(self, key: str) -> ChatMessage | None:
        """As `delete_last_message`."""
        return await self._arun(self._delete(key, None), writes=key)

    def get_keys(self) -> list[str]:
        """Return the keys under which this object has found or stored messages: the platform lists none."""
        return list(self._keys)

    async def aget_keys(self) -> list[str]:
        """As `get_keys`."""
        return self.get_keys()

    def _delete(self, key: str, idx: int | None) -> Flow[ChatMessage | None]:
        entries = yield from self._read(key)
        at = len(entries) - 1 if idx is None else idx
        return self._take_back(key, [entries[at]])[0] if 0 <= at < len(entries) else None


class XingchenDBChatStore(RemoteHistory, AsyncDBChatStore):
    """The same history for LlamaIndex's `Memory`: `Memory.from_defaults(session_id=key, chat_store=...)`.

    `Memory` takes a store of others' since llama-index-core 0.14.24.

    What is stored, and how, is as with `XingchenChatStore`. The platform knows no archive: which messages are archived
    is kept in this object, by id. A pickle takes it along; for another object every message is active, so a new
    `Memory` over a long history archives it again, and hands it to its memory blocks again. `limit` bounds that.

    One turn of an agent makes at most two reads of the history; see `cache_seconds`.

    An agent's function calls and their results cannot be stored: `unsupported="skip"` leaves them out, both together,
    and keeps the questions and answers.

    Raises:
        UnsupportedOperationError: The platform cannot hold the message, or cannot do the operation.
        ConfigurationError: No key of Xingchen, or a key of another form.
        APIStatusError, APIConnectionError, ...: See `xingchen_core`.
    """

    model_config = _CONFIG

    _archived: dict[str, set[str]] = PrivateAttr(default_factory=dict)

    @classmethod
    def class_name(cls) -> str:
        """Return the name that dumps carry."""
        return "XingchenDBChatStore"

    async def get_messages(
        self,
        key: str,
        status: MessageStatus | None = MessageStatus.ACTIVE,
        limit: int | None = None,
        offset: int | None = None,
    ) -> list[ChatMessage]:
        """Return the messages of a status (`None`: all), oldest first: `limit` of them, from number `offset` on."""
        start = offset or 0
        end = None if limit is None else start + limit
        return to_messages((await self._arun(self._of(key, status)))[start:end])

    async def count_messages(self, key: str, status: MessageStatus | None = MessageStatus.ACTIVE) -> int:
        """Return how many messages have a status (`None`: any)."""
        return len(await self._arun(self._of(key, status)))

    async def add_message(self, key: str, message: ChatMessage, status: MessageStatus = MessageStatus.ACTIVE) -> None:
        """Store a message behind the others."""
        await self.add_messages(key, [message], status)

    async def add_messages(
        self, key: str, messages: list[ChatMessage], status: MessageStatus = MessageStatus.ACTIVE
    ) -> None:
        """Store messages behind the others; nothing of them if the platform cannot hold one."""
        await self._arun(self._marked(key, status, self._add(key, messages)), writes=key)

    async def set_messages(
        self, key: str, messages: list[ChatMessage], status: MessageStatus = MessageStatus.ACTIVE
    ) -> None:
        """Store what follows the messages of a status so far, with which `messages` must begin."""
        flow = self._continue(key, messages, lambda entry: self._status(key, entry) is status)
        await self._arun(self._marked(key, status, flow), writes=key)

    async def delete_message(self, key: str, idx: int) -> ChatMessage | None:
        """Take back a pending message and return it; `None` if there is no active message number `idx` (from 0)."""
        return await self._arun(self._delete(key, idx), writes=key)

    async def delete_messages(self, key: str, status: MessageStatus | None = None) -> None:
        """Reset the conversation. With a status only if all of it has that status, or nothing: then nothing is done."""
        await self._arun(self._delete_all(key, status), writes=key)

    async def delete_oldest_messages(self, key: str, n: int) -> list[ChatMessage]:
        """Take back the oldest `n` active messages, if all are pending, and return them.

        Raises:
            UnsupportedOperationError: The platform has one of them: use `archive_oldest_messages`.
        """
        return await self._arun(self._delete_oldest(key, n), writes=key)

    async def archive_oldest_messages(self, key: str, n: int) -> list[ChatMessage]:
        """Note the oldest `n` active messages as archived, in this object, and return them."""
        return await self._arun(self._archive_oldest(key, n), writes=key)

    async def get_keys(self) -> list[str]:
        """Return the keys under which this object has found or stored messages: the platform lists none."""
        return list(self._keys)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain data, without secrets and messages."""
        return self.model_dump()

    @classmethod
    def from_dict(cls, data: dict[str, Any], **settings: Any) -> Self:
        """Make a store of what `to_dict` returned; the service's key comes from the environment or `settings`."""
        return cls(**{**{name: value for name, value in data.items() if name != "class_name"}, **settings})

    def _status(self, key: str, entry: Entry[ChatMessage]) -> MessageStatus:
        return MessageStatus.ARCHIVED if entry.id in self._archived.get(key, ()) else MessageStatus.ACTIVE

    def _marked(self, key: str, status: MessageStatus, flow: Flow[list[str]]) -> Flow[None]:
        ids = yield from flow
        if status is MessageStatus.ARCHIVED:
            self._archived.setdefault(key, set()).update(ids)

    def _of(self, key: str, status: MessageStatus | None) -> Flow[list[Entry[ChatMessage]]]:
        entries = yield from self._read(key)
        return [entry for entry in entries if status in (None, self._status(key, entry))]

    def _delete(self, key: str, idx: int) -> Flow[ChatMessage | None]:
        active = yield from self._of(key, MessageStatus.ACTIVE)
        return self._take_back(key, [active[idx]])[0] if 0 <= idx < len(active) else None

    def _delete_oldest(self, key: str, n: int) -> Flow[list[ChatMessage]]:
        return self._take_back(key, (yield from self._of(key, MessageStatus.ACTIVE))[: max(n, 0)])

    def _archive_oldest(self, key: str, n: int) -> Flow[list[ChatMessage]]:
        oldest = (yield from self._of(key, MessageStatus.ACTIVE))[: max(n, 0)]
        self._archived.setdefault(key, set()).update(entry.id for entry in oldest)
        return to_messages(oldest)

    def _delete_all(self, key: str, status: MessageStatus | None) -> Flow[None]:
        if status is not None:
            entries = yield from self._read(key)
            chosen = [entry for entry in entries if self._status(key, entry) is status]
            if not chosen:
                return
            if len(chosen) < len(entries):
                raise UnsupportedOperationError(
                    f"Only {len(chosen)} of {len(entries)} messages are {status.value}, and the platform deletes "
                    "nothing but whole conversations. Pass status=None to reset it.",
                    service="xingchen",
                )
        yield from self._clear(key)
        self._archived.pop(key, None)


def _all(entry: Entry[ChatMessage]) -> bool:
    return True
