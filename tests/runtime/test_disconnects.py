"""What becomes of the work for a caller who hangs up, in ASGI's own messages."""

import asyncio
from collections.abc import Sequence

import pytest
from starlette.types import Message, Receive, Scope, Send

from runtime.disconnects import Disconnects

BODY = {"type": "http.request", "body": b"{}", "more_body": False}
PART = {"type": "http.request", "body": b"{", "more_body": True}
GONE = {"type": "http.disconnect"}
SCOPE: Scope = {"type": "http"}


class Application:
    """Reads the body and then works for good, or until `answer` is set."""

    def __init__(self, *, answers: bool = False) -> None:
        self.read: list[Message] = []
        self.cancelled = False
        self._answers = answers

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        while not self.read or self.read[-1].get("more_body", False):
            self.read.append(await receive())
        if self._answers:
            await send({"type": "http.response.start", "status": 200})
            return
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise


def run(application: Application, messages: Sequence[Message]) -> list[Message]:
    """Let a caller send messages and then nothing, and return what is answered."""
    sent: list[Message] = []
    coming = iter(messages)

    async def receive() -> Message:
        message = next(coming, None)
        if message is None:
            await asyncio.Event().wait()
            raise AssertionError
        return message

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(asyncio.wait_for(Disconnects(application)(SCOPE, receive, send), 20))
    return sent


def test_the_work_for_a_caller_who_hangs_up_is_cancelled_and_nothing_is_answered() -> None:
    application = Application()
    assert run(application, [PART, BODY, GONE]) == []
    assert (application.cancelled, application.read) == (True, [PART, BODY])


def test_one_who_stays_is_answered() -> None:
    application = Application(answers=True)
    assert run(application, [BODY]) == [{"type": "http.response.start", "status": 200}]


def test_one_who_hangs_up_during_the_answer_cancels_nothing() -> None:
    application = Application(answers=True)
    assert len(run(application, [BODY, GONE])) == 1
    assert application.cancelled is False


def test_who_hangs_up_before_the_body_has_come_is_left_to_the_application() -> None:
    application = Application(answers=True)
    run(application, [PART, GONE])
    assert application.read == [PART, GONE]


def test_a_shutdown_still_cancels_the_work() -> None:
    async def cancel_while_working() -> None:
        waiting = iter([BODY])

        async def receive() -> Message:
            for message in waiting:
                return message
            await asyncio.Event().wait()
            raise AssertionError

        async def send(_message: Message) -> None: ...

        working = asyncio.create_task(Disconnects(Application())(SCOPE, receive, send))
        await asyncio.sleep(0)
        working.cancel()
        await working

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancel_while_working())
