"""Own the load on a server: so many callers, each of whom asks again as soon as it is answered; and what it cost.

The processor is shared with the server, so this does no more than it must: requests are made beforehand, connections
stay open, of an answer only its status and its length are looked at, and a single caller needs no event loop.
"""

import asyncio
import json
import socket
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import uvloop

HEAD = "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """What became of a load: how long it took, each answer's latency, and processor time on both sides."""

    seconds: float
    latencies_s: tuple[float, ...]
    client_cpu_s: float


def requests_of(texts: Sequence[str], *, size: int, path: str) -> list[bytes]:
    """Write requests for so many texts each; a single one is not in a list."""
    groups: Iterable[str | Sequence[str]] = texts
    if size > 1:
        groups = [texts[start : start + size] for start in range(0, len(texts), size)]
    bodies = [json.dumps({"input": group}).encode() for group in groups]
    return [HEAD.format(path=path, length=len(body)).encode() + body for body in bodies]


def load(port: int, requests: Sequence[bytes], *, callers: int) -> Load:
    """Send every request once; raises RuntimeError for an answer that is not 200."""
    cpu_before, started = time.process_time(), time.perf_counter()
    latencies = _one_by_one(port, requests) if callers == 1 else _at_a_time(port, requests, callers=callers)
    return Load(
        seconds=time.perf_counter() - started,
        latencies_s=tuple(latencies),
        client_cpu_s=time.process_time() - cpu_before,
    )


def _one_by_one(port: int, requests: Sequence[bytes]) -> list[float]:
    latencies = []
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for request in requests:
            started = time.perf_counter()
            connection.sendall(request)
            head, body = _received(connection)
            latencies.append(time.perf_counter() - started)
            _check(head, body)
    return latencies


def _received(connection: socket.socket) -> tuple[bytes, bytes]:
    received = b""
    while b"\r\n\r\n" not in received:
        received += _more(connection)
    head, _, body = received.partition(b"\r\n\r\n")
    length = _length_of(head)
    while len(body) < length:
        body += _more(connection)
    return head, body


def _more(connection: socket.socket) -> bytes:
    received = connection.recv(65_536)
    if not received:
        raise EOFError("the server has closed the connection")
    return received


def _at_a_time(port: int, requests: Sequence[bytes], *, callers: int) -> list[float]:
    waiting = list(reversed(requests))
    latencies: list[float] = []

    async def call() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while waiting:
            request = waiting.pop()
            started = time.perf_counter()
            writer.write(request)
            await _read_answer(reader)
            latencies.append(time.perf_counter() - started)
        writer.close()
        await writer.wait_closed()

    async def everybody() -> None:
        await asyncio.gather(*(call() for _ in range(callers)))

    uvloop.run(everybody())
    return latencies


async def _read_answer(reader: asyncio.StreamReader) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    _check(head, await reader.readexactly(_length_of(head)))


def _length_of(head: bytes) -> int:
    _, _, length = head.lower().partition(b"content-length:")
    return int(length.partition(b"\r\n")[0])


def _check(head: bytes, body: bytes) -> None:
    if not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"{head.decode()}{body[:500].decode()}")


def resident_bytes(process: int | str) -> int:
    """Read how much memory a process has."""
    (line,) = (line for line in Path(f"/proc/{process}/status").read_text().splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024
