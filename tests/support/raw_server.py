"""A loopback server that plays scripts byte by byte: for what only a real connection can show."""

import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Self


class Connection:
    """What a script sees of the connection that brought its request."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    def send(self, data: bytes) -> None:
        """Send now, in a packet of its own."""
        self._socket.sendall(data)

    def close(self) -> None:
        """End the connection in good order."""
        self._socket.close()

    def reset(self) -> None:
        """Break the connection: the other side reads "connection reset by peer"."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def hung_up(self) -> bool:
        """Wait, at most five seconds, for the other side to hang up; say whether it did."""
        self._socket.settimeout(5)
        try:
            return self._socket.recv(1) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False


Script = Callable[[Connection], None]
"""Answers one request. The connection stays open for the next one unless the script ends it."""


class RawServer:
    """Plays one script for each request, the last one for all that follow; `with` starts and stops it.

    Attributes:
        accepted: How many connections were made.
        requests: Head and body of each request as received.
    """

    def __init__(self, *scripts: Script) -> None:
        self._scripts = list(scripts)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._lock = threading.Lock()
        self.accepted = 0
        self.requests: list[bytes] = []

    @property
    def url(self) -> str:
        """The server's origin."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept(); close() alone would not
        self._listener.close()
        self._threads[0].join()
        for sock in self._sockets:
            with suppress(OSError):  # it is closed already
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads[1:]:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.accepted += 1
            self._sockets.append(sock)
            thread = threading.Thread(target=self._serve, args=(sock,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        with sock, suppress(OSError):  # the client, the script or the end of the test closed it
            while request := _read_request(sock):
                with self._lock:
                    self.requests.append(request)
                    script = self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]
                script(Connection(sock))


def _read_request(sock: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        if not (more := sock.recv(65536)):
            return b""
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
    while len(body) < length:
        body += sock.recv(65536)
    return head + b"\r\n\r\n" + body


def json_answer(body: bytes, *headers: bytes) -> Script:
    """Return a script that answers 200 with this JSON."""
    lines = [b"HTTP/1.1 200 OK", b"Content-Type: application/json", b"Content-Length: %d" % len(body), *headers]
    whole = b"\r\n".join([*lines, b"", body])
    return lambda connection: connection.send(whole)


STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
STREAM_END = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """Return a piece of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def stream_answer(*pieces: bytes) -> Script:
    """Return a script that streams these pieces and ends in good order."""

    def play(connection: Connection) -> None:
        connection.send(STREAM_HEAD)
        for piece in pieces:
            connection.send(chunk(piece))
        connection.send(STREAM_END)

    return play
