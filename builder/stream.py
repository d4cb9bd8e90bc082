"""Own duplex byte streams over connected sockets, plain and TLS, that one thread reads while another writes."""

import select
import socket
import ssl
import threading
from contextlib import suppress
from typing import Protocol


class Stream(Protocol):
    """A duplex stream of bytes; `close` from any thread wakes a reader, and silence beyond the time-out is TimeoutError."""

    def recv(self, size: int, /) -> bytes:
        """Read at most `size` bytes, none at the end."""

    def sendall(self, data: bytes, /) -> None:
        """Write all of `data`."""

    def close(self) -> None:
        """End both directions."""

    def unread(self, data: bytes) -> None:
        """Give back bytes that the next `recv` is to return."""


class PlainStream:
    """A stream over a unix or TCP socket, or an SSH channel that looks like one."""

    def __init__(self, connection: socket.socket, *, timeout_s: float) -> None:
        self._socket = connection
        self._socket.settimeout(timeout_s)
        self._unread = b""

    def recv(self, size: int, /) -> bytes:
        """Read at most `size` bytes, none at the end."""
        if self._unread:
            data, self._unread = self._unread, b""
            return data
        return self._socket.recv(size)

    def sendall(self, data: bytes, /) -> None:
        """Write all of `data`."""
        self._socket.sendall(data)

    def close(self) -> None:
        """End both directions."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def unread(self, data: bytes) -> None:
        """Give back bytes that the next `recv` is to return."""
        self._unread = data


class TlsStream:
    """A stream over TLS; OpenSSL's state is not for two threads, so each turn is under a lock and no turn waits."""

    def __init__(self, connection: ssl.SSLSocket, *, timeout_s: float) -> None:
        self._socket = connection
        self._socket.setblocking(False)
        self._timeout_s = timeout_s
        self._turn = threading.Lock()
        self._unread = b""

    def recv(self, size: int, /) -> bytes:
        """Read at most `size` bytes, none at the end."""
        if self._unread:
            data, self._unread = self._unread, b""
            return data
        while True:
            try:
                with self._turn:
                    return self._socket.recv(size)
            except ssl.SSLWantReadError:
                self._wait(select.POLLIN)
            except ssl.SSLWantWriteError:
                self._wait(select.POLLOUT)

    def sendall(self, data: bytes, /) -> None:
        """Write all of `data`."""
        rest = memoryview(data)
        while rest:
            try:
                with self._turn:
                    sent = self._socket.send(rest)
                rest = rest[sent:]
            except ssl.SSLWantReadError:
                self._wait(select.POLLIN)
            except ssl.SSLWantWriteError:
                self._wait(select.POLLOUT)

    def close(self) -> None:
        """End both directions."""
        with self._turn:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            self._socket.close()

    def unread(self, data: bytes) -> None:
        """Give back bytes that the next `recv` is to return."""
        self._unread = data

    def _wait(self, event: int) -> None:
        descriptor = self._socket.fileno()
        if descriptor < 0:
            raise ConnectionAbortedError("the stream is closed")
        poll = select.poll()
        poll.register(descriptor, event)
        if not poll.poll(self._timeout_s * 1000):
            raise TimeoutError(f"nothing for {self._timeout_s:g} s")
