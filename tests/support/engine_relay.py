"""Own a relay in front of an engine's socket: it holds up the requests that a test names, on any connection."""

import asyncio
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support import relay

_BLOCK_BYTES = 1 << 16
_POLL_S = 0.02
_REQUEST = re.compile(rb"([A-Z]+) (\S+) HTTP/1\.1\r\n")  # docker-py sends the head of each in one piece


@dataclass(kw_only=True)
class EngineRelay:
    """A relay that runs; `address` is for DOCKER_HOST, and `reached` is set once a request is held up."""

    address: str
    upstream: str
    reached: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._held: re.Pattern[str] | None = None

    def hold(self, request: str) -> None:
        """Keep requests waiting whose `METHOD /path` has the pattern `request`."""
        self.reached.clear()
        self._held = re.compile(request)

    def release(self) -> None:
        """Let go on what waits, and what comes later."""
        self._held = None

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take one connection to the engine."""
        try:
            engine, to_engine = await asyncio.open_unix_connection(self.upstream)
        except OSError:  # the engine has ended
            writer.close()
            return
        await asyncio.gather(self._forward(reader, to_engine), relay.pump(engine, writer))

    async def _forward(self, reader: asyncio.StreamReader, to_engine: asyncio.StreamWriter) -> None:
        """Pass on what a client sends; a request whose client has gone by the time of its release is dropped."""
        try:
            while data := await reader.read(_BLOCK_BYTES):
                found = _REQUEST.match(data)
                request = f"{found[1].decode()} {found[2].decode()}" if found else ""
                while request and self._held and self._held.search(request) and not reader.at_eof():
                    self.reached.set()
                    await asyncio.sleep(_POLL_S)
                if request and reader.at_eof():
                    return
                to_engine.write(data)
                await to_engine.drain()
        except OSError:
            return  # either side may end the connection
        finally:
            to_engine.close()


@contextmanager
def relayed(upstream: str, *, folder: Path) -> Iterator[EngineRelay]:
    """Run a relay to the engine at `upstream`, a `unix://` address, with its socket in `folder`."""
    path = folder / "engine.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        started = EngineRelay(address=f"unix://{path}", upstream=upstream.removeprefix("unix://"))
        with relay.served(started.answer, listener=listener):
            try:
                yield started
            finally:
                started.release()
