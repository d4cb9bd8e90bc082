"""Own the way out for a private engine, which has no network: an HTTP proxy on the loopback that only it sees."""

import asyncio
import ctypes
import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tests.support import relay

CLONE_NEWNET = 0x40000000  # linux/sched.h
SIOCSIFFLAGS = 0x8914  # linux/sockios.h
IFF_UP = 0x1  # linux/if.h


@contextmanager
def opened(process_id: int) -> Iterator[str]:
    """Yield the proxy's address for programs in the network namespace of a process; it goes out from this process."""
    with ThreadPoolExecutor(1) as visitor:  # a namespace is entered by a thread, which ends before it could do harm
        listener = visitor.submit(_listener, process_id).result()
    port = listener.getsockname()[1]
    with relay.served(_answer, listener=listener):
        yield f"http://127.0.0.1:{port}"


def _listener(process_id: int) -> socket.socket:
    """Make a socket in the namespace of a process: it belongs to that wherever it is used."""
    library = ctypes.CDLL(None, use_errno=True)
    with Path(f"/proc/{process_id}/ns/net").open() as namespace:
        if library.setns(namespace.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    listener = socket.socket()
    fcntl.ioctl(listener, SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", IFF_UP))  # a new namespace's loopback is down
    listener.bind(("127.0.0.1", 0))
    return listener


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Open the tunnel that CONNECT asks for, or pass on a request that names the whole address."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        method, target, _ = head.decode("latin-1").split(maxsplit=2)
        asked = urlsplit(f"//{target}" if method == "CONNECT" else target)
        server = await asyncio.open_connection(asked.hostname, asked.port or 80)
    except (OSError, EOFError, ValueError):  # the client's library says it better than we could
        writer.close()
        return
    if method == "CONNECT":
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    else:
        server[1].write(head)  # every server understands the whole address (RFC 9112, 3.2.2)
    await relay.exchange((reader, writer), server)
