"""Own a BuildKit that stands alone: that of an engine, whose `/grpc` is served on a socket as `buildkitd` serves it."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support import relay

_REQUEST = b"POST /grpc HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"


@contextmanager
def served(engine: str, *, folder: Path) -> Iterator[str]:
    """Serve the BuildKit of the engine at `engine`, a `unix://` address; yields the address for the driver `remote`."""
    upstream = engine.removeprefix("unix://")

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_engine, to_engine = await asyncio.open_unix_connection(upstream)
        to_engine.write(_REQUEST)
        head = await from_engine.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head
        await relay.exchange((reader, writer), (from_engine, to_engine))

    path = folder / "buildkit.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        with relay.served(answer, listener=listener):
            yield f"unix://{path}"
