"""Own uvicorn: what it listens on, what those who connect may cost, and an end that loses nothing in flight."""

import asyncio
import signal
import socket
from types import FrameType

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from runtime import app
from runtime.errors import StartError
from runtime.service import Service
from runtime.settings import Settings

_BACKLOG = 2048  # connections that may wait to be accepted
_KEEP_ALIVE_S = 75  # above the 60 s after which most load balancers close what is idle
_UNREAD_S = 60  # an answer that is not read in this time is dropped with its connection
_HEAD_S = 10  # the head of a request has to arrive in this time
_HEAD_BYTES = 65_536


class Connection(HttpToolsProtocol):
    """A connection on which the head of a request is short and comes in time; uvicorn waits for good, for any."""

    _head_begun = False
    _head_timer: asyncio.TimerHandle | None = None
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """Wait for the first request."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._forget_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, up to a limit; most heads come whole, and need no timer."""
        super().data_received(data)
        if self._head_begun:
            if self._head_timer is None:
                self._await_head()
            self._head_bytes += len(data)
            if self._head_bytes > _HEAD_BYTES:
                self.send_400_response("The head of the request is too long.")

    def on_message_begin(self) -> None:
        """Wait for the head of the next request."""
        super().on_message_begin()
        self._head_begun = True

    def on_headers_complete(self) -> None:
        """Have the head."""
        self._forget_head()
        super().on_headers_complete()

    def _await_head(self) -> None:
        self._head_begun = True
        self._head_bytes = 0
        self._head_timer = self.loop.call_later(_HEAD_S, self.timeout_keep_alive_handler)

    def _forget_head(self) -> None:
        self._head_begun = False
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class Server(uvicorn.Server):
    """Uvicorn that says at once that it is about to end, and goes on taking connections for a while."""

    def __init__(self, config: uvicorn.Config, *, service: Service, delay_s: float) -> None:
        super().__init__(config)
        self._service = service
        self._delay_s = delay_s
        self._loop = asyncio.get_running_loop()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end; a second signal, and Ctrl-C, does not wait for load balancers to notice."""
        is_first = not self._service.draining
        self._service.drain()
        if is_first and self._delay_s and sig == signal.SIGTERM:
            self._loop.call_soon_threadsafe(self._loop.call_later, self._delay_s, super().handle_exit, sig, None)
        else:
            super().handle_exit(sig, frame)


def run(settings: Settings) -> None:
    """Listen at once, load the models, and serve until a signal.

    Raises StartError.
    """
    service = app.create_service(settings)
    config = uvicorn.Config(
        app.create_app(service, settings=settings),
        loop="uvloop",
        http=Connection,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # nothing here asks who the caller is
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=settings.shutdown_timeout_s,
    )
    with _listen(settings) as listener, asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(_work_and_serve(service, config=config, listener=listener, delay_s=settings.shutdown_delay_s))


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.hostname else socket.AF_INET
    address = (settings.hostname, settings.http_port)
    try:
        listener = socket.create_server(address, family=family, backlog=_BACKLOG)
    except OSError as error:
        raise StartError(f"cannot listen on `{settings.hostname}:{settings.http_port}`: {error.strerror}") from error
    # those that are accepted inherit it
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNREAD_S * 1000)
    return listener


async def _work_and_serve(service: Service, *, config: uvicorn.Config, listener: socket.socket, delay_s: float) -> None:
    server = Server(config, service=service, delay_s=delay_s)
    working = asyncio.create_task(service.work(underway=lambda: len(server.server_state.tasks)))
    serving = asyncio.create_task(server.serve([listener]))
    await asyncio.wait({working, serving}, return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = True
    await serving
    await working
