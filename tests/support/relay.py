"""Own servers on a socket that pass bytes on between two connections; what the bytes mean is not their business."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeAlias

Streams: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Answer: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

_BLOCK_BYTES = 1 << 16


@contextmanager
def served(answer: Answer, *, listener: socket.socket, tls: ssl.SSLContext | None = None) -> Iterator[None]:
    """Have `answer` take every connection to `listener` while the block runs."""
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(answer, sock=listener, ssl=tls))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        loop.run_until_complete(_finish())
        loop.close()


async def exchange(one: Streams, other: Streams) -> None:
    """Pass on what either side sends until both have ended."""
    await asyncio.gather(pump(one[0], other[1]), pump(other[0], one[1]))


async def _finish() -> None:
    if connections := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(connections)


async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Pass on what one side sends until it ends, and end the other one then."""
    try:
        with suppress(OSError):  # either side may end the connection
            while data := await source.read(_BLOCK_BYTES):
                sink.write(data)
                await sink.drain()
    finally:
        sink.close()
