"""Own what happens to the work for a caller who hangs up: it is cancelled; who that is and what it is, is not known."""

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # their names are enough: the protocol is ASGI's
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


_MOMENT_S = 0.01


class Disconnects:
    """Middleware: cancel the application once its caller has hung up; nothing else tells it before it answers.

    It is the body that is waited for first, so what watches begins when the application has read it all; and a moment
    after that, for most answers are there by then, and a task that watches takes longer to make than to wait.
    """

    def __init__(self, app: "ASGIApp") -> None:
        self._app = app

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answer as the application does, or not at all."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        call = _Call(receive, send)
        try:
            await self._app(scope, call.receive, call.send)
        except asyncio.CancelledError:
            if not call.gone:
                raise
            call.task.uncancel()
        finally:
            call.end()


class _Call:
    """One request, and the task that works on it."""

    def __init__(self, receive: "Receive", send: "Send") -> None:
        task = asyncio.current_task()
        assert task is not None, "an ASGI application runs in a task"  # noqa: S101 - for the type checker
        self.task = task
        self.gone = False
        self._receive = receive
        self._send = send
        self._loop = task.get_loop()
        self._next: asyncio.Handle | None = None
        self._watch: asyncio.Task[None] | None = None

    async def receive(self) -> "Message":
        """Pass on what comes, and watch for the end of the connection after the body."""
        message = await self._receive()
        if message["type"] == "http.request" and not message.get("more_body", False):
            self._next = self._loop.call_soon(self._wait_a_moment)  # which answers that need no waiting come before
        return message

    async def send(self, message: "Message") -> None:
        """Pass on the answer: the work is done."""
        self.end()
        await self._send(message)

    def end(self) -> None:
        """Stop watching."""
        if self._next is not None:
            self._next.cancel()
        if self._watch is not None:
            self._watch.cancel()

    def _wait_a_moment(self) -> None:
        self._next = self._loop.call_later(_MOMENT_S, self._begin_to_watch)

    def _begin_to_watch(self) -> None:
        self._watch = self._loop.create_task(self._wait_for_the_end())

    async def _wait_for_the_end(self) -> None:
        await self._receive()
        self.gone = True
        self.task.cancel()
