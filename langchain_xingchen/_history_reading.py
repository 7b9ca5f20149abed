"""Walking through a long platform history, oldest first, with a few pages in memory."""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence

from langchain_core.messages import BaseMessage

from xingchen_core import Call, Flow
from xingchen_core._call import Page
from xingchen_core.characters import HistoryMessage
from xingchen_core.characters.conversation import Conversation, Entry
from xingchen_core.characters.reading import is_newest_first, order_messages

REMEMBERED = 1000
"""So many messages back a repetition is noticed; so many of one time are put in order together."""


class Walk:
    """One walk through a conversation, page by page.

    The platform lists the newest first, the only order the documents show. The newest page says how many messages there
    are; the pages are then read from the last to the first. What is stored meanwhile is left out, but pushes messages
    onto pages that were read already: the total tells by how many. A service that gives no total, or lists the oldest
    first all the same, is read whole.
    """

    def __init__(
        self,
        conversation: Conversation[BaseMessage],
        page_size: int,
        page: Callable[[int], Call[Page[HistoryMessage]]],
        whole: Callable[[], Flow[list[HistoryMessage]]],
        catch_up: Callable[[], Flow[None]],
    ) -> None:
        self._conversation = conversation
        self._size = page_size
        self._page, self._whole, self._catch_up = page, whole, catch_up
        self._newest: Sequence[HistoryMessage] | None = None
        self._total = 0
        self._left = 0
        self._pushed = 0
        self._is_over = False
        self._held: list[HistoryMessage] = []
        self._shown: OrderedDict[str, None] = OrderedDict()

    def next_page(self) -> Flow[list[Entry[BaseMessage]] | None]:
        """Read on; return None after the last page. A page may turn out empty."""
        if self._newest is None:
            self._newest = yield from self._begin()
        if self._is_over:
            return None
        self._is_over = self._left <= len(self._newest)
        listed = self._newest if self._is_over else (yield from self._read_back())
        rows = self._hold_back(order_messages([*listed, *self._held]))
        return list(self._unshown(self._conversation.merge(rows), rows))

    def _begin(self) -> Flow[Sequence[HistoryMessage]]:
        first: Page[HistoryMessage] = yield self._page(1)
        # Own messages are recognised by all of the newest, never by the few of a small page: two may say the same.
        yield from self._catch_up()
        if first.total is None or not is_newest_first(first.items):
            return (yield from self._whole())
        self._size = first.size or self._size
        self._total = self._left = first.total
        return first.items

    def _read_back(self) -> Flow[list[HistoryMessage]]:
        """Read the page of the oldest message that is left.

        It was number `_left` from the newest when the walk began; those stored since have pushed it down.
        """
        while True:
            number = (self._left - 1 + self._pushed) // self._size + 1
            page: Page[HistoryMessage] = yield self._page(number)
            self._pushed = max(self._pushed, (page.total or 0) - self._total)
            if number * self._size - self._pushed >= self._left:  # else some were pushed off this page just now
                self._left = (number - 1) * self._size - self._pushed
                return list(page.items)

    def _hold_back(self, rows: list[HistoryMessage]) -> list[HistoryMessage]:
        """Keep the newest messages of a page for the next: those of one time are ordered together."""
        self._held = []
        newest = max((row.gmt_create for row in rows if row.gmt_create), default=None)
        held = [row for row in rows if row.gmt_create == newest]
        if self._is_over or newest is None or len(held) > REMEMBERED:
            return rows
        self._held = held
        return [row for row in rows if row.gmt_create != newest]

    def _unshown(
        self, entries: Sequence[Entry[BaseMessage]], rows: Sequence[HistoryMessage]
    ) -> Iterator[Entry[BaseMessage]]:
        """Choose what of the merged conversation belongs to this page: its rows, and own messages between them.

        On the last page also what follows: own messages that no page lists.
        """
        listed = {row.message_id for row in rows}
        places = [at for at, entry in enumerate(entries) if entry.row and entry.row.message_id in listed]
        start, end = (places[0], places[-1]) if places else (-1, -1)
        for at, entry in enumerate(entries):
            if entry.row is not None:
                belongs = entry.row.message_id in listed or (self._is_over and at > start)
            else:
                # What was said before anything had been read may be listed on any of the pages to come.
                has_place = entry.own is not None and entry.own.since.time is not None
                belongs = self._is_over or (has_place and at < end)
            if belongs and entry.id not in self._shown:
                self._shown[entry.id] = None
                if len(self._shown) > REMEMBERED:
                    self._shown.popitem(last=False)
                yield entry
