"""What both chat stores do with the platform's history: one description, to be run by either client."""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, TypeVar

from llama_index.core.base.llms.types import (
    CachePoint,
    ChatMessage,
    CitationBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from pydantic import Field, PrivateAttr, SerializationInfo, SerializerFunctionWrapHandler, model_serializer

from llama_index_xingchen._base import plain_settings
from xingchen_core import ConfigurationError, Flow, UnsupportedOperationError
from xingchen_core.characters import HistoryMessage, XingchenSettings
from xingchen_core.characters.batches import write_batch
from xingchen_core.characters.conversation import Conversation, Entry, whole_history
from xingchen_core.characters.storing import (
    CAPABILITIES,
    Capabilities,
    Draft,
    Unsupported,
    clear,
    storable,
    writing,
)

T = TypeVar("T")

CACHE_SECONDS = 2.0
"""Long enough for the reads of one agent turn, which follow one another at once; short enough that what other programs
write is seen soon."""

_ASSISTANT = (MessageRole.ASSISTANT, MessageRole.CHATBOT, MessageRole.MODEL)
_SILENT = (ThinkingBlock, CitationBlock, CachePoint)
"""Blocks beside what was said; they are left out."""


class ReadCache:
    """What was read last of each conversation. Safe between threads; copies begin empty."""

    def __init__(self) -> None:
        self._reads: dict[str, tuple[float, int, list[HistoryMessage]]] = {}
        self._lock = threading.Lock()

    def get(self, key: str, version: int, seconds: float) -> list[HistoryMessage] | None:
        """Return what was read of `key` in the last `seconds`, if this program has written nothing since."""
        with self._lock:
            read_at, read_version, rows = self._reads.get(key, (0.0, -1, []))
        return rows if read_version == version and time.monotonic() - read_at < seconds else None

    def put(self, key: str, version: int, seconds: float, rows: list[HistoryMessage]) -> None:
        """Keep what was read of `key`, and drop what has become too old of any key."""
        now = time.monotonic()
        with self._lock:
            self._reads.pop(key, None)
            while self._reads and now - next(iter(self._reads.values()))[0] >= seconds:
                del self._reads[next(iter(self._reads))]
            self._reads[key] = now, version, rows

    def drop(self, key: str) -> None:
        """Forget what was read of `key`."""
        with self._lock:
            self._reads.pop(key, None)

    def __reduce__(self) -> tuple[Any, ...]:
        return ReadCache, ()


def split_key(key: str) -> tuple[str, str]:
    """Return character and user of a key; the user's id may itself contain `/`.

    Raises:
        ConfigurationError: The key has another form.
    """
    character_id, _, user_id = key.partition("/")
    if not character_id or not user_id:
        raise ConfigurationError(f"A key is '<character_id>/<user_id>', got {key!r}.")
    return character_id, user_id


def to_draft(message: ChatMessage) -> Draft[ChatMessage]:
    """Return a message as what is to be stored of it."""
    obstacle = "function calls" if message.additional_kwargs.get("tool_calls") else None
    for block in message.blocks:
        if isinstance(block, ToolCallBlock):
            obstacle = "function calls"
        elif not isinstance(block, (TextBlock, *_SILENT)):
            obstacle = f"a block of type {block.block_type!r}"
    return Draft(
        payload=message.model_copy(deep=True),
        role="assistant" if message.role in _ASSISTANT else message.role.value,
        text=message.content or "",
        metadata=message.additional_kwargs,
        obstacle=obstacle,
    )


def to_messages(entries: Sequence[Entry[ChatMessage]]) -> list[ChatMessage]:
    """Return entries as messages of the caller's own: changing them changes nothing here.

    What the platform lists carries `message_id`, `created_at` (milliseconds since 1970) and, where they say something,
    `message_type` (`opening_remarks`, `sys_greetings`) and `rating`. Nothing else: LlamaIndex counts and quotes
    additional keywords as part of the message.
    """
    return [_to_message(entry) for entry in entries]


def _to_message(entry: Entry[ChatMessage]) -> ChatMessage:
    row = entry.row
    if row is None:
        assert entry.own is not None  # one of them is there
        return entry.own.payload.model_copy(deep=True)
    told = row.model_dump(mode="json", include={"message_id", "gmt_create", "message_type", "rating"})
    told["created_at"] = told.pop("gmt_create")
    if told["message_type"] in ("user", "character"):
        del told["message_type"]
    return ChatMessage(
        role=MessageRole.USER if row.is_user else MessageRole.ASSISTANT,
        content=row.content,
        additional_kwargs={name: value for name, value in told.items() if value is not None},
    )


class RemoteHistory(XingchenSettings):
    """The settings and the logic of a store on the platform's history.

    Attributes:
        cache_seconds: How long what was read of a conversation serves further reads, from the end of the read. Ended
            early by every write of this object that changes the platform. 0 reads each time.
        limit: Only the newest so many messages of a conversation. Default: all; the service gives 50 per request.
        unsupported: `raise` on a message the platform cannot hold, before anything of its batch is written; or `skip`.
    """

    cache_seconds: float = Field(default=CACHE_SECONDS, ge=0)
    limit: int | None = Field(default=None, gt=0)
    unsupported: Unsupported = "raise"

    _conversations: dict[str, Conversation[ChatMessage]] = PrivateAttr(default_factory=dict)
    _keys: dict[str, None] = PrivateAttr(default_factory=dict)
    _cache: ReadCache = PrivateAttr(default_factory=ReadCache)

    @classmethod
    def class_name(cls) -> str:
        """Return the name that dumps carry."""
        return cls.__name__

    @property
    def capabilities(self) -> Capabilities:
        """What the platform can hold, known beforehand: each field says what becomes of it."""
        return CAPABILITIES

    def _conversation(self, key: str) -> Conversation[ChatMessage]:
        return self._conversations.setdefault(key, Conversation())

    def _read(self, key: str) -> Flow[list[Entry[ChatMessage]]]:
        """Read a conversation, oldest first."""
        character_id, user_id = split_key(key)
        conversation = self._conversation(key)
        version = conversation.version
        rows = self._cache.get(key, version, self.cache_seconds)
        if rows is None:
            rows = yield from whole_history(character_id, user_id, limit=self.limit)
            self._cache.put(key, version, self.cache_seconds, rows)
            conversation.has_read = True
        entries = conversation.merge(rows, self.limit)
        if entries:
            self._keys[key] = None
        return entries

    def _add(self, key: str, messages: Sequence[ChatMessage]) -> Flow[list[str]]:
        """Store messages; return their ids."""
        character_id, user_id = split_key(key)
        drafts = storable(map(to_draft, messages), self.unsupported)
        if any(draft.role == "user" for draft in drafts):
            yield from self._read(key)  # so that older messages alike are not taken for its echo
        ids = yield from write_batch(self._conversation(key), drafts, self.account(), character_id, user_id)
        if ids:
            self._keys[key] = None
        return ids

    def _continue(
        self, key: str, messages: Sequence[ChatMessage], counts: Callable[[Entry[ChatMessage]], bool]
    ) -> Flow[list[str]]:
        """Store what `messages` has beyond the entries that count."""
        drafts = storable(map(to_draft, messages), self.unsupported)
        there = [entry for entry in (yield from self._read(key)) if counts(entry)]
        same = [(entry.is_user, entry.text) for entry in there] == [
            (draft.role == "user", draft.text) for draft in drafts[: len(there)]
        ]
        if not same:
            raise UnsupportedOperationError(
                f"The platform history of {key!r} cannot be edited: set_messages takes what is there "
                f"({len(there)} messages) and what follows. delete_messages begins anew.",
                service="xingchen",
            )
        return (yield from self._add(key, [draft.payload for draft in drafts[len(there) :]]))

    def _clear(self, key: str) -> Flow[list[Entry[ChatMessage]]]:
        """Reset a conversation; return what was there."""
        self._cache.drop(key)  # what others have stored since is older than the reset, too
        entries = yield from self._read(key)
        yield from clear(self._conversation(key), self.account(), *split_key(key))
        self._keys.pop(key, None)
        return entries

    def _take_back(self, key: str, entries: Sequence[Entry[ChatMessage]]) -> list[ChatMessage]:
        """Forget messages that are only pending; return them.

        Raises:
            UnsupportedOperationError: The platform has one of them.
        """
        if not all(entry.is_pending for entry in entries):
            raise UnsupportedOperationError(
                "The platform cannot delete single messages, only those that are still pending here. "
                "delete_messages resets the whole conversation.",
                service="xingchen",
            )
        for entry in entries:
            self._conversation(key).forget(entry.id)
        return to_messages(entries)

    def _run(self, flow: Flow[T], writes: str | None = None) -> T:
        """Run a flow; those that write to one conversation, named by its key, wait for each other."""
        with writing(self, *split_key(writes)) if writes is not None else nullcontext():
            return self.client().run(flow)

    async def _arun(self, flow: Flow[T], writes: str | None = None) -> T:
        """As `_run`."""
        async with writing(self, *split_key(writes)) if writes is not None else nullcontext():
            return await self.async_client().run(flow)

    @model_serializer(mode="wrap")
    def custom_model_dump(self, handler: SerializerFunctionWrapHandler, info: SerializationInfo) -> dict[str, Any]:
        """Dump the settings as plain data, without those that are secret or may hold a secret, and no messages."""
        return {**plain_settings(self, handler(self)), "class_name": self.class_name()}

    def __setstate__(self, state: dict[Any, Any]) -> None:
        """Take settings and own messages over; LlamaIndex's own way would lose the messages."""
        XingchenSettings.__setstate__(self, state)
