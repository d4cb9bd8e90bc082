import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import RequestReceived

from builder import channel
from builder.channel import Channel
from builder.grpc import Call, CallCancelledError, CallError, Status
from builder.stream import PlainStream
from tests.builder.calls import TIMEOUT_S, connected


def count(call: Call) -> None:
    for number in range(int(call.receive() or b"0")):
        call.send(str(number).encode())


def refuse(_: bytes) -> bytes:
    raise CallError(Status.NOT_FOUND, "näme: 100% absent\n")


def test_what_is_asked_reaches_the_server_and_its_answer_comes_back() -> None:
    with connected({"/test/Upper": bytes.upper}) as opened:
        assert list(channel.answers(opened.open("/test/Upper", b"hello"))) == [b"HELLO"]


def test_messages_larger_than_every_window_pass_both_ways() -> None:
    content = os.urandom(3_000_000)
    with connected({"/test/Echo": lambda message: message}) as opened:
        assert list(channel.answers(opened.open("/test/Echo", content))) == [content]


def test_several_answers_come_in_order_and_end() -> None:
    with connected(streaming={"/test/Count": count}) as opened:
        assert list(channel.answers(opened.open("/test/Count", b"3"))) == [b"0", b"1", b"2"]


def test_calls_at_one_time_have_their_own_answers() -> None:
    both = threading.Barrier(2, timeout=TIMEOUT_S)

    def meet(message: bytes) -> bytes:
        both.wait()
        return message

    with connected({"/test/Meet": meet}) as opened:
        calls = [opened.open("/test/Meet", message) for message in (b"one", b"two")]
        assert [list(channel.answers(call)) for call in calls] == [[b"one"], [b"two"]]


def test_a_refusal_is_an_error_with_its_status_and_its_words() -> None:
    with connected({"/test/Refuse": refuse}) as opened, pytest.raises(CallError) as caught:
        list(channel.answers(opened.open("/test/Refuse", b"")))
    assert (caught.value.status, caught.value.message) == (Status.NOT_FOUND, "näme: 100% absent\n")


def test_a_method_that_is_not_served_is_an_error() -> None:
    with connected() as opened, pytest.raises(CallError, match="/test/Absent is not served") as caught:
        list(channel.answers(opened.open("/test/Absent", b"")))
    assert caught.value.status == Status.UNIMPLEMENTED


def test_a_refusal_that_does_not_wait_for_the_message_is_that_error() -> None:
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1_000_000)  # for what this server reads no more
    server = H2Connection(H2Configuration(client_side=False))
    server.initiate_connection()
    with theirs, Channel(PlainStream(ours, timeout_s=TIMEOUT_S)) as opened:
        opening = ThreadPoolExecutor(1).submit(opened.open, "/test/Refuse", bytes(1_000_000))
        while not any(isinstance(event, RequestReceived) for event in server.receive_data(theirs.recv(65536))):
            pass
        trailers = [(":status", "200"), ("grpc-status", "5"), ("grpc-message", "absent")]
        server.send_headers(1, trailers, end_stream=True)
        server.reset_stream(1, ErrorCodes.NO_ERROR)
        theirs.sendall(server.data_to_send())
        with pytest.raises(CallError, match="absent"):
            list(channel.answers(opening.result(TIMEOUT_S)))


def test_an_abort_from_another_thread_ends_what_waits_and_what_begins_later() -> None:
    reached, released = threading.Event(), threading.Event()

    def wait(_: bytes) -> bytes:
        reached.set()
        released.wait(TIMEOUT_S)
        return b""

    with connected({"/test/Wait": wait}) as opened:
        call = opened.open("/test/Wait", b"")
        assert reached.wait(TIMEOUT_S)
        threading.Timer(0.05, opened.abort).start()
        with pytest.raises(CallCancelledError):
            list(channel.answers(call))
        released.set()
        with pytest.raises(CallCancelledError):
            opened.open("/test/Wait", b"")


def test_a_server_that_goes_ends_what_waits() -> None:
    ours, theirs = socket.socketpair()
    with theirs, Channel(PlainStream(ours, timeout_s=TIMEOUT_S)) as opened:
        call = opened.open("/test/Wait", b"")
        theirs.shutdown(socket.SHUT_RDWR)
        with pytest.raises(CallCancelledError):
            list(channel.answers(call))
