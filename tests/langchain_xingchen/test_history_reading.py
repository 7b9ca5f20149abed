"""Walking through a history page by page, driven by hand: what each service's way of listing leads to."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from langchain_core.messages import BaseMessage

from langchain_xingchen._history_reading import REMEMBERED, Walk
from xingchen_core import Call, Flow
from xingchen_core._call import Page
from xingchen_core.characters import HistoryMessage
from xingchen_core.characters.conversation import Conversation, whole_history
from xingchen_core.characters.platform_history import history


def row(number: int, at: int | None = None) -> HistoryMessage:
    """Message `number`, stored in that second unless said otherwise."""
    time = datetime.fromtimestamp(number if at is None else at, UTC)
    return HistoryMessage(message_id=f"m{number}", content=str(number), message_type="user", gmt_create=time)


class Service:
    """Lists messages in pages; what `arriving` holds is stored before the page of that turn is answered."""

    def __init__(self, listed: Sequence[HistoryMessage], *, tells_total: bool = True) -> None:
        self.listed = list(listed)
        self.tells_total = tells_total
        self.arriving: dict[int, list[HistoryMessage]] = {}
        self.asked: list[int] = []

    def answer(self, call: Call[Page[HistoryMessage]]) -> Page[HistoryMessage]:
        number, size = call.json["pageNum"], call.json["pageSize"]
        self.listed[:0] = self.arriving.pop(len(self.asked), [])
        self.asked.append(number)
        rows = tuple(self.listed[(number - 1) * size : number * size])
        return Page(rows, number=number, size=size, total=len(self.listed) if self.tells_total else None)


def walk(service: Service, page_size: int = 3) -> list[list[str]]:
    """The texts of each page of a walk."""

    def nothing() -> Flow[None]:
        yield from ()

    def run(flow: Flow[list[object] | None]) -> list[object] | None:
        result = None
        try:
            while True:
                result = service.answer(flow.send(result))  # type: ignore[arg-type]  # only calls are yielded
        except StopIteration as done:
            value: list[object] | None = done.value
            return value

    walking = Walk(
        Conversation[BaseMessage](),
        page_size,
        page=lambda number: history("demo", "u1", page=number, page_size=page_size),
        whole=lambda: whole_history("demo", "u1"),
        catch_up=nothing,
    )
    pages = []
    while (page := run(walking.next_page())) is not None:  # type: ignore[arg-type]  # entries, as objects
        pages.append([entry.text for entry in page])  # type: ignore[attr-defined]
    return pages


def newest_first(count: int) -> list[HistoryMessage]:
    """So many messages, as the platform lists them."""
    return [row(number) for number in range(count, 0, -1)]


def test_pages_are_read_from_the_last_to_the_first() -> None:
    """The newest page comes first, as it tells the total, and is not read again. A page's newest message waits for the
    next: another of the same time may be there.
    """
    service = Service(newest_first(8))
    assert walk(service) == [["1"], ["2", "3", "4"], ["5", "6", "7", "8"]]
    assert service.asked == [1, 3, 2]


@pytest.mark.parametrize("count", [0, 1, 3, 4, 6, 7])
def test_every_message_once(count: int) -> None:
    """However the pages fill, each message comes out once, in order."""
    pages = walk(Service(newest_first(count)))
    assert [text for page in pages for text in page] == [str(number) for number in range(1, count + 1)]


@pytest.mark.parametrize("turn", [1, 2, 3])
@pytest.mark.parametrize("arrivals", [1, 2, 3, 7])
def test_what_is_stored_meanwhile(turn: int, arrivals: int) -> None:
    """New messages push the old ones down the pages: none of the old is missed, and the new are left out."""
    service = Service(newest_first(10))
    service.arriving[turn] = [row(100 + number) for number in range(arrivals, 0, -1)]
    pages = walk(service)
    assert [text for page in pages for text in page] == [str(number) for number in range(1, 11)]


@pytest.mark.parametrize(
    "service",
    [
        pytest.param(Service(newest_first(8), tells_total=False), id="no total"),
        pytest.param(Service(newest_first(8)[::-1]), id="oldest first"),
    ],
)
def test_services_that_list_otherwise(service: Service) -> None:
    """Without a total, or listed oldest first against the request, the history is read whole and comes out in order."""
    assert walk(service) == [[str(number) for number in range(1, 9)]]


def test_messages_of_one_time_are_ordered_together() -> None:
    """Messages of one time on two pages keep the order they are listed in, as if they were on one."""
    service = Service([row(6), row(3, at=3), row(4, at=3), row(5, at=3), row(2), row(1)])
    assert walk(service) == [["1", "2"], ["3", "4", "5", "6"]]


def test_memory_stays_bounded() -> None:
    """A run of messages of one time that is longer than can be held comes out page by page all the same."""
    count = 2 * REMEMBERED
    pages = walk(Service([row(number, at=7) for number in range(count)]), page_size=50)
    texts = [text for page in pages for text in page]
    assert sorted(texts, key=int) == [str(number) for number in range(count)]
    assert max(map(len, pages)) <= REMEMBERED + 50
