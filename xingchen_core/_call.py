"""One API operation as data: what to send, and how to read what comes back. Nothing here sends anything."""

from collections.abc import Callable, Generator, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from xingchen_core._errors import XingchenError
from xingchen_core._service import Service
from xingchen_core._sse import ServerSentEvent

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class StreamReader(Protocol[T_co]):
    """Turns the events of one stream into results. A new one is made for every attempt."""

    @property
    def text(self) -> str:
        """Everything said so far: it survives on the exception when the stream breaks."""

    @property
    def finished(self) -> bool:
        """True once the service has said that the answer is complete."""

    def read(self, event: ServerSentEvent) -> T_co | None:
        """Return the result of one event, `None` if it carries none; raise what the service reports in it."""

    def end(self) -> Iterable[T_co]:
        """Return what is left after the last byte; raise `APIResponseError` if the answer is not complete."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The part of an operation that goes to the service."""

    service: Service
    path: str
    """Percent-encoded, from the root of the service's origin."""
    method: str = "POST"
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Any = None
    """The body before encoding; `None` for no JSON body."""
    form: Mapping[str, str] | None = None
    """A form as the body instead."""
    content: bytes | None = None
    """A file as the body instead. It goes out with `headers` alone: what an upload's URL was signed for."""
    origin: str | None = None
    """Another host than the one of the settings."""
    is_signed: bool = True
    """False where the URL itself is the credential."""
    shown_path: str | None = None
    """What logs and errors show in place of a path that holds secrets."""
    renew: "Callable[[], Request] | None" = None
    """Makes the request anew for each attempt, where it holds a timestamp or an id that must not be used twice."""
    remembered: bool = False
    """True if the service keeps what it hears: then it is resent only when it was never received or was throttled."""
    lock: str | None = None
    """Calls with the same key wait for each other in this process: the service takes one at a time."""
    by_account: Callable[[str], Callable[..., Any]] | None = None
    """Given the account that sends (see `ConnectionSettings.account`): what to use in place of `parse`, or `reader`,
    where an answer is remembered beyond its call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Request, Generic[T]):
    """An operation answered by one JSON body, which `parse` reads once it is known to be no failure."""

    parse: Callable[[Any], T]
    is_json: bool = True
    """False where nothing is expected of a good answer's body: `parse` gets None."""
    known: Callable[[], T | None] | None = None
    """The answer, if it is known already. Asked once the `lock` is held, so that of many callers one sends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamCall(Request, Generic[T]):
    """An operation answered by server-sent events."""

    reader: Callable[[], StreamReader[T]]
    dispatch_on_data: bool = False
    """True for a service that leaves out the blank line between events."""
    recover: "Callable[[XingchenError], Flow[StreamCall[T]] | None] | None" = None
    """Given the error that kept the stream from its first result: how to find another call to open in its place."""
    on_abandon: Callable[[Any], Call[Any] | None] | None = None
    """Given the reader of a stream that its consumer left early: the call that tells the service so."""


@dataclass(frozen=True, slots=True)
class Pause:
    """A step of a `Flow` that waits."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Work:
    """A step of a `Flow` that keeps the machine busy, such as reading a file. With asyncio it is done in a thread."""

    do: Callable[[], Any]


Flow = Generator[Call[Any] | Pause | Work, Any, T]
"""Several calls in a row, written once: it yields each call and is sent its result; a client `run`s it."""


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list. `total` and `size` are what the service says, where it says so."""

    items: tuple[T, ...]
    number: int = 1
    size: int | None = None
    total: int | None = None


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """A list in pages: a client's `iterate` walks it to the end, one page in memory at a time.

    `key` tells items apart, so that one which moves to the next page while we read (something was added meanwhile)
    comes out once.
    """

    page: Callable[[int], Call[Page[T]]]
    page_size: int
    key: Callable[[T], Hashable]

    def steps(self) -> Generator[Call[Page[T]] | list[T], Page[T] | None, None]:
        """Yield each call, to be sent its page, and after it the new items of that page."""
        seen: set[Hashable] = set()
        number = 1
        while True:
            page = yield self.page(number)
            assert page is not None  # sent by the client for the call
            fresh = {key: item for item in page.items if (key := self.key(item)) not in seen}
            seen.update(fresh)
            yield list(fresh.values())
            if self.is_last(number, page):
                return
            number += 1

    def is_last(self, number: int, page: Page[T]) -> bool:
        """Whether nothing can follow this page. Without a total a page that is not full is the last."""
        size = page.size or self.page_size
        if not page.items:
            return True
        return len(page.items) < size if page.total is None else number * size >= page.total
