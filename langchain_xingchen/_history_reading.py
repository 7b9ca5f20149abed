"""Walking through a long platform history, oldest first, with a few pages in memory."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from math import ceil

from langchain_core.messages import BaseMessage

from xingchen_core import Call, Flow
from xingchen_core._call import Page
from xingchen_core.characters import HistoryMessage
from xingchen_core.characters.conversation import Conversation, Entry

REMEMBERED = 1000
"""So many messages back a repetition is noticed; so many of one time are put in order together."""


class Walk:
    """One walk through a conversation, page by page.

    The platform lists the newest first, the only order the documents show. The newest page says how many there are; the
    pages are then read from the last to the first. What is stored meanwhile pushes messages onto pages that were read
    already: when the total has grown, those pages are read again. A service that lists the oldest first all the same is
    read forwards.
    """

    def __init__(
        self,
        page: Callable[[int], Call[Page[HistoryMessage]]],
        page_size: int,
        conversation: Conversation[BaseMessage],
    ) -> None:
        self._page, self._size = page, page_size
        self._conversation = conversation
        self._newest: tuple[HistoryMessage, ...] = ()
        self._total: int | None = None
        self._numbers: deque[int] | None = None
        self._is_backwards = True
        self._held: list[HistoryMessage] = []
        self._shown: deque[str] = deque(maxlen=REMEMBERED)

    def next_page(self) -> Flow[list[Entry[BaseMessage]] | None]:
        """Read on; return None after the last page. A page may turn out empty."""
        if self._numbers is None:
            self._numbers = yield from self._begin()
        if not self._numbers:
            return None
        number = self._numbers.popleft()
        listed = list(self._newest) if number == 1 else (yield from self._read(number))
        rows = self._hold_back([*listed, *self._held] if self._is_backwards else [*self._held, *listed])
        return list(self._unshown(self._conversation.merge(rows), rows))

    def _begin(self) -> Flow[deque[int]]:
        """Read the newest page and return the numbers of all, oldest first."""
        first: Page[HistoryMessage] = yield self._page(1)
        self._newest, self._total, self._size = first.items, first.total, first.size or self._size
        self._conversation.merge(first.items)  # own messages that are listed here must not come on an older page too
        times = [row.gmt_create for row in first.items if row.gmt_create]
        self._is_backwards = not times or times[0] >= times[-1]
        last = 1
        if first.total is not None:
            last = max(1, ceil(first.total / self._size))
        else:
            page = first
            while len(page.items) >= self._size:
                last += 1
                page = yield self._page(last)
        return deque(range(last, 0, -1) if self._is_backwards else range(1, last + 1))

    def _read(self, number: int) -> Flow[list[HistoryMessage]]:
        page: Page[HistoryMessage] = yield self._page(number)
        rows = list(page.items)
        if page.total is not None and self._total is not None and page.total > self._total:
            if self._is_backwards:
                for pushed in range(1, ceil((page.total - self._total) / self._size) + 1):
                    rows += (yield self._page(number + pushed)).items
            self._total = page.total
        return rows

    def _hold_back(self, rows: list[HistoryMessage]) -> list[HistoryMessage]:
        """Keep the newest messages of a page for the next: those of one time are ordered together."""
        self._held = []
        newest = max((row.gmt_create for row in rows if row.gmt_create), default=None)
        if not self._numbers or newest is None:
            return rows
        held = [row for row in rows if row.gmt_create == newest]
        if len(held) > REMEMBERED:
            return rows
        self._held = held
        return [row for row in rows if row.gmt_create != newest]

    def _unshown(
        self, entries: Sequence[Entry[BaseMessage]], rows: Sequence[HistoryMessage]
    ) -> Iterator[Entry[BaseMessage]]:
        """Choose what of the merged conversation belongs to this page: its rows, and own messages between them.

        On the newest page also what follows: own messages that no page lists.
        """
        listed = {row.message_id for row in rows}
        places = [at for at, entry in enumerate(entries) if entry.row and entry.row.message_id in listed]
        start, end = (places[0], places[-1]) if places else (-1, -1)
        for at, entry in enumerate(entries):
            if entry.row is not None:
                belongs = entry.row.message_id in listed or (not self._numbers and at > start)
            else:
                # What was said before anything had been read may be listed on any of the pages to come.
                has_place = entry.own is not None and entry.own.since.time is not None
                belongs = not self._numbers or (has_place and at < end)
            if belongs and entry.id not in self._shown:
                self._shown.append(entry.id)
                yield entry
