"""Server-sent events from bytes, as the WHATWG says, plus the two liberties the services need.

The rules are those of https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream, with
comments kept (DashScope puts the real HTTP status into one) and, on request, an event per data line.
"""

import re
from dataclasses import dataclass

_BOM = b"\xef\xbb\xbf"
_CR, _LF, _SPACE = b"\r\n "

_WHOLE = re.compile(rb"(?:id: ?([^\0\n]*)\n)?(?:event: ?(.*)\n)?(?:: ?(.*)\n)?data: ?(.*)\n\n")
"""The whole of one event as all three services write it. A chunk of a running answer nearly always is just that."""


@dataclass(slots=True)  # not frozen: one is made for every token, and freezing triples what that costs
class ServerSentEvent:
    r"""One event of a stream.

    Attributes:
        event: Text of the `event` field; "message" when the stream named none, as in browsers.
        data: The data lines joined by `\n`, undecoded, because JSON parsers take bytes. See also `text`.
        id: The last id the stream named, not necessarily in this event; "" before the first.
        comments: The comment lines since the previous event, each without its colon and one space after it:
            `:HTTP_STATUS/400` is "HTTP_STATUS/400".
    """

    event: str
    data: bytes
    id: str
    comments: tuple[str, ...]

    @property
    def text(self) -> str:
        """The data as text; bytes that are not UTF-8 become U+FFFD."""
        return self.data.decode("utf-8", "replace")


class SSEDecoder:
    """Turns the chunks of a response body, cut anywhere, into events.

    Attributes:
        retry: Milliseconds to wait before reconnecting, if the stream has named a valid number.
    """

    def __init__(self, *, dispatch_on_data: bool = False) -> None:
        """Start at the beginning of a body.

        Args:
            dispatch_on_data: Make an event of each data line at once, for a service that may leave out the blank lines
                between events (DashScope). An `event` or comment line then belongs to the next data line only.
        """
        self.retry: int | None = None
        self._dispatch_on_data = dispatch_on_data
        self._at_start = True
        self._between_events = False
        self._after_cr = False
        self._open_line: list[bytes] = []  # pieces of a line without its end; joined once, so that time stays linear
        self._event = ""
        self._data: list[bytes] = []
        self._id = ""
        self._comments: list[str] = []

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """Take the next bytes of the body and return the events they complete."""
        if self._between_events and _CR not in chunk and (whole := _WHOLE.fullmatch(chunk)):
            # What `_read` would come to, in one step: this runs once per token.
            id_, name, comment, data = whole.groups()
            if id_ is not None:
                self._id = id_.decode("utf-8", "replace")
            event = "message" if not name else name.decode("utf-8", "replace")
            comments = () if comment is None else (comment.decode("utf-8", "replace"),)
            return [ServerSentEvent(event, data, self._id, comments)]
        if not chunk:
            return []
        lines = chunk.splitlines()  # of bytes, so it cuts at CR, LF and CRLF only: U+2028 and its like are text
        if self._after_cr and chunk[0] == _LF:
            del lines[0]  # the CR that ended the last chunk ended its line at once; this is the rest of that line end
        self._after_cr = chunk[-1] == _CR
        rest = b"" if self._after_cr or chunk[-1] == _LF else lines.pop()
        if self._open_line and lines:
            lines[0] = b"".join((*self._open_line, lines[0]))
            self._open_line.clear()
        if rest:
            self._open_line.append(rest)
        events = self._read(lines)
        self._between_events = not (
            self._at_start or self._after_cr or self._open_line or self._event or self._data or self._comments
        )
        return events

    def flush(self) -> list[ServerSentEvent]:
        """Return the event that the end of the body left without its line end or blank line; call it once.

        The WHATWG drops such an event; services forget that blank line. A body cut inside a line gives a cut event:
        whether the answer is whole is for the caller to tell from the service's terminal mark.
        """
        lines = [b"".join(self._open_line), b""]
        self._open_line.clear()
        return self._read(lines)

    def _read(self, lines: list[bytes]) -> list[ServerSentEvent]:
        events: list[ServerSentEvent] = []
        if self._at_start and lines:
            self._at_start = False
            lines[0] = lines[0].removeprefix(_BOM)
        for line in lines:
            if not line:
                if self._data:
                    events.append(self._dispatch())
                self._event = ""
                continue
            name, _, value = line.partition(b":")
            if value and value[0] == _SPACE:
                value = value[1:]
            if name == b"data":
                self._data.append(value)
                if self._dispatch_on_data:
                    events.append(self._dispatch())
            elif name == b"id":
                if 0 not in value:  # the WHATWG ignores an id with a NUL
                    self._id = value.decode("utf-8", "replace")
            elif name == b"event":
                self._event = value.decode("utf-8", "replace")
            elif not name:
                self._comments.append(value.decode("utf-8", "replace"))
            elif name == b"retry" and value.isdigit() and len(value) < 16:  # int() raises at thousands of digits
                self.retry = int(value)
        return events

    def _dispatch(self) -> ServerSentEvent:
        event = ServerSentEvent(self._event or "message", b"\n".join(self._data), self._id, tuple(self._comments))
        self._event = ""
        self._data.clear()
        self._comments.clear()
        return event
