"""Own a channel and the server of its calls, at two ends of a real socket."""

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from builder.channel import Channel
from builder.session import Session, Streaming, Unary
from builder.stream import PlainStream

TIMEOUT_S = 20


@contextmanager
def connected(
    unary: Mapping[str, Unary] | None = None, streaming: Mapping[str, Streaming] | None = None
) -> Iterator[Channel]:
    """A channel to a server of the other side, over a real socket."""
    ours, theirs = socket.socketpair()
    served = PlainStream(theirs, timeout_s=TIMEOUT_S)
    with (
        Session(served, unary=unary or {}, streaming=streaming or {}),
        Channel(PlainStream(ours, timeout_s=TIMEOUT_S)) as opened,
    ):
        yield opened
