"""`XingchenChatMessageHistory`: the conversation the platform keeps, as a LangChain history."""

import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import nullcontext
from math import ceil
from typing import TYPE_CHECKING, Any, ClassVar, Self

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.runnables import ensure_config
from pydantic import Field, PrivateAttr

from langchain_xingchen._history_messages import entry_to_message, to_draft
from langchain_xingchen._history_reading import Walk
from langchain_xingchen._history_writing import LARGEST_PAGE, Place, Writer
from xingchen_core import Flow
from xingchen_core import characters as service
from xingchen_core.characters import XingchenSettings
from xingchen_core.characters.conversation import Entry, whole_history
from xingchen_core.characters.storing import CAPABILITIES, Capabilities, Unsupported, clear, writing

if TYPE_CHECKING:
    from langchain_core.chat_history import BaseChatMessageHistory as _Base
else:
    try:
        from langchain_core.chat_history import BaseChatMessageHistory
    except ImportError:  # langchain-core 2 removes it

        class _Base:
            """No base class."""

    else:

        class _Base(BaseChatMessageHistory):
            """The base class, without the annotation that pydantic would take for a field."""

            messages: ClassVar[Any]


LONGEST_TURN = 300.0
"""Seconds for which the two reads of one turn under `RunnableWithMessageHistory` are the same."""


class XingchenChatMessageHistory(XingchenSettings, _Base):
    """The conversation of a character and a user, which the platform keeps, as a `BaseChatMessageHistory`.

    ```python
    history = XingchenChatMessageHistory("...", "u1")  # key from XINGCHEN_API_KEY
    for message in history.messages:
        print(message.type, message.content)
    ```

    `ChatXingchen(platform_history=True)` needs no history to remember: the platform does. This class shows what is
    there, and lets `RunnableWithMessageHistory` and the like work on it. It reads its own writes, although the platform
    may list them later.

    Messages carry the platform's id as `id`, the speaker as `name`, and in `response_metadata` what the platform tells:
    `message_id`, `session_id`, `chat_id` (of a question and its answer), `created_at` (ISO 8601), `message_type`
    (`user`, `character`, `opening_remarks`, `sys_greetings`), `rating`, `regenerate_times`. `is_saved` is False for a
    question that still waits for its answer. Own messages that are not listed yet have less of it.

    Attributes:
        character_id: The stored character.
        user_id: Your id of the user.
        session_id: Show only this run of the conversation. The service chooses the session of what it stores, so such
            a history takes answers of that session and nothing else.
        limit: `messages` shows the newest so many. Default: all; the service gives 50 per request.
        unsupported: `raise` on a message the platform cannot hold, before anything of its batch is written; or `skip`.

    Source: Xingchen HTTP API, "chat messages": histories, reminder, reset, rating.
    """

    character_id: str = Field(min_length=1, frozen=True)
    user_id: str = Field(min_length=1, frozen=True)
    session_id: str | None = Field(default=None, min_length=1, frozen=True)
    limit: int | None = Field(default=None, gt=0)
    unsupported: Unsupported = "raise"

    _writer: Writer = PrivateAttr(default_factory=Writer)
    _turn: tuple[float, list[BaseMessage]] | None = PrivateAttr(default=None)

    def __init__(
        self, character_id: str, user_id: str, session_id: str | None = None, limit: int | None = None, **settings: Any
    ) -> None:
        named: dict[str, Any] = {
            "character_id": character_id,
            "user_id": user_id,
            "session_id": session_id,
            "limit": limit,
        }
        super().__init__(**named, **settings)

    @property
    def capabilities(self) -> Capabilities:
        """What the platform can hold, known beforehand: each field says what becomes of it."""
        return CAPABILITIES

    @property
    def messages(self) -> list[BaseMessage]:  # type: ignore[override]  # histories are read here, never assigned to
        """The conversation, or its newest `limit` messages, oldest first: a list of your own."""
        kept = self._kept()
        return self._keep(self.client().run(self._read())) if kept is None else kept

    async def aget_messages(self) -> list[BaseMessage]:
        """As `messages`."""
        kept = self._kept()
        return self._keep(await self.async_client().run(self._read())) if kept is None else kept

    def iter_messages(self, page_size: int = 50) -> Iterator[BaseMessage]:
        """Walk the whole conversation, oldest first, with a few pages in memory.

        Args:
            page_size: Messages per request, 1 to 50.
        """
        walk = self._walk(page_size)
        while (page := self.client().run(walk.next_page())) is not None:
            yield from map(self._to_message, page)

    async def aiter_messages(self, page_size: int = 50) -> AsyncIterator[BaseMessage]:
        """As `iter_messages`."""
        walk = self._walk(page_size)
        while (page := await self.async_client().run(walk.next_page())) is not None:
            for entry in page:
                yield self._to_message(entry)

    def add_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Store messages, in this order.

        An answer of `ChatXingchen` that the platform stored itself is only noted, and so is the question before it, in
        this batch or an earlier one. It is known by its ids, and behind a question also by its text: chains may pass on
        no more. Another AI message is written as the character's own words. A human message alone
        is shown, and waits for its answer.

        When writing fails half way the error says how far it came; adding the same messages again writes the rest. A
        message whose fate is unknown (the connection broke) is looked for first.

        Raises:
            UnsupportedOperationError: The platform cannot hold one of them, and nothing was written: a system or tool
                message, tool calls, media, a human message whose answer the platform did not store, an AI message
                before a turn that is stored already. A human message of an earlier batch whose answer turns out to be
                none of the platform's is given up.
        """
        with self._writing(messages):
            self.client().run(self._store(messages))

    async def aadd_messages(self, messages: Sequence[BaseMessage]) -> None:
        """As `add_messages`."""
        async with self._writing(messages):
            await self.async_client().run(self._store(messages))

    def add_message(self, message: BaseMessage) -> None:
        """Store one message."""
        self.add_messages([message])

    def add_user_message(self, message: HumanMessage | str) -> None:
        """Store what the user said: it waits for its answer."""
        self.add_messages([HumanMessage(message) if isinstance(message, str) else message])

    def add_ai_message(self, message: AIMessage | str) -> None:
        """Store what the character said."""
        self.add_messages([AIMessage(message) if isinstance(message, str) else message])

    def clear(self) -> None:
        """Begin a new conversation: the character forgets, and this object shows only what is newer.

        Whether the platform still lists what was before is UNVERIFIED; if so, another history object shows it.
        """
        with writing(self, self.character_id, self.user_id):
            self.client().run(self._clear())

    async def aclear(self) -> None:
        """As `clear`."""
        async with writing(self, self.character_id, self.user_id):
            await self.async_client().run(self._clear())

    def rate(self, message_id: str, rating: int, info: str | None = None) -> bool:
        """Rate an answer.

        Args:
            message_id: `id` of a message read here, or `message_id` in `response_metadata` of an answer.
            rating: -1 to 5.
            info: The reason for a bad mark.

        Raises:
            ValueError: The rating is outside -1..5.
            NotFoundError: There is no such message.
        """
        return self.client().send(service.rate(message_id, rating, info))

    async def arate(self, message_id: str, rating: int, info: str | None = None) -> bool:
        """As `rate`."""
        return await self.async_client().send(service.rate(message_id, rating, info))

    # Reading

    def _read(self) -> Flow[list[BaseMessage]]:
        limit = None if self.limit is None else self._window(self.limit)
        rows = yield from whole_history(self.character_id, self.user_id, session_id=self.session_id, limit=limit)
        self._writer.conversation.has_read = True
        return [self._to_message(entry) for entry in self._writer.conversation.merge(rows, self.limit)]

    def _window(self, limit: int) -> int:
        """Return how many messages to read, in whole pages, so that no own message is listed just outside of them.

        A reminder is recognised by what it says, and two may say the same: it takes both to tell which is listed.
        """
        return ceil((limit + self._unlisted()) / LARGEST_PAGE) * LARGEST_PAGE

    def _unlisted(self) -> int:
        return sum(entry.own is not None for entry in self._writer.conversation.merge([]))

    def _catch_up(self) -> Flow[None]:
        """Recognise the own messages that are listed by now, before pages are read one by one."""
        if self._unlisted():
            yield from self._newest()

    def _newest(self) -> Flow[None]:
        rows = yield from whole_history(self.character_id, self.user_id, limit=self._window(1))
        self._writer.conversation.merge(rows)
        self._writer.conversation.has_read = True

    def _walk(self, page_size: int) -> Walk:
        where: dict[str, Any] = {
            "character_id": self.character_id,
            "user_id": self.user_id,
            "session_id": self.session_id,
        }
        return Walk(
            self._writer.conversation,
            page_size,
            page=lambda number: service.history(**where, page=number, page_size=page_size),
            whole=lambda: whole_history(**where),
            catch_up=self._catch_up,
        )

    def _to_message(self, entry: Entry[BaseMessage]) -> BaseMessage:
        return entry_to_message(entry, self.character_id, self.user_id)

    # RunnableWithMessageHistory reads before and after the model, and takes everything up to the length of the second
    # read for history. What the platform or others store in between must not lengthen it, or the user's message is
    # taken for an old one. Reads outside of it are always fresh.

    def _is_in_turn(self) -> bool:
        return (ensure_config().get("configurable") or {}).get("message_history") is self

    def _kept(self) -> list[BaseMessage] | None:
        turn = self._turn
        if turn is None or time.monotonic() - turn[0] > LONGEST_TURN or not self._is_in_turn():
            return None
        return list(turn[1])

    def _keep(self, messages: list[BaseMessage]) -> list[BaseMessage]:
        if self._is_in_turn():
            self._turn = time.monotonic(), list(messages)
        return messages

    # Writing

    @property
    def _place(self) -> Place:
        return Place(self.account(), self.character_id, self.user_id, self.session_id)

    def _writing(self, messages: Sequence[BaseMessage]) -> Any:
        """Return the lock of writers, if something may have to be sent."""
        if any(self._place.must_be_written(to_draft(message)) for message in messages):
            return writing(self, self.character_id, self.user_id)
        return nullcontext()

    def _store(self, messages: Sequence[BaseMessage]) -> Flow[None]:
        drafts = yield from self._writer.plan(messages, self._place, self.unsupported, is_turn=self._is_in_turn())
        yield from self._writer.store(messages, drafts, self._place)
        self._turn = None

    def _clear(self) -> Flow[None]:
        yield from self._newest()  # what is listed now is older than the reset, whatever the clocks say
        yield from clear(self._writer.conversation, *self._place.conversation)
        self._turn = None

    def __copy__(self) -> Self:
        """Copy the settings. The copy may get another `limit`, but knows nothing of this object's messages."""
        copied = super().__copy__()
        copied._writer, copied._turn = Writer(), None
        return copied
