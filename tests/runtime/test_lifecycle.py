"""How the process starts and ends."""

import json
import signal
import socket
import sys
from pathlib import Path

import pytest

from tests.runtime import slow, tiny
from tests.runtime.conftest import Folders
from tests.runtime.server import Server, free_port, run_command, running_server

BODY = b'{"input": "a secret cat"}'
HEAD = (
    b"POST /v1/embeddings HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n"
    b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(BODY)
)


def open_request(port: int) -> socket.socket:
    """Begin a request, and wait until the server asks for its body."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=20)
    connection.sendall(HEAD)
    assert connection.recv(1024) == b"HTTP/1.1 100 Continue\r\n\r\n"
    return connection


def messages(server: Server) -> list[str]:
    return [json.loads(line)["message"] for line in server.log]


def test_sigterm_lets_a_request_in_flight_finish_and_exits_with_0(folders: Folders) -> None:
    with running_server(folders.bundle) as server, open_request(server.port) as connection:
        server.process.terminate()
        connection.sendall(BODY)
        answer = connection.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert server.terminate() == 0
        assert "secret" not in "".join(server.log)


def test_sigterm_does_not_wait_beyond_its_deadline(folders: Folders) -> None:
    with running_server(folders.bundle, shutdown_timeout_s="0") as server, open_request(server.port):
        assert server.terminate() == 0


def test_ctrl_c_lets_a_request_in_flight_finish_and_exits_with_130(folders: Folders) -> None:
    with running_server(folders.bundle) as server, open_request(server.port) as connection:
        server.process.send_signal(signal.SIGINT)
        connection.sendall(BODY)
        assert connection.makefile("rb").read().startswith(b"HTTP/1.1 200 OK\r\n")
        assert server.wait() == 130
        assert messages(server)[-1].startswith("Finished server process")


def test_a_second_ctrl_c_ends_the_process_at_once_and_quietly(folders: Folders) -> None:
    with running_server(folders.bundle, shutdown_timeout_s="1000") as server, open_request(server.port):
        server.process.send_signal(signal.SIGINT)
        server.wait_for("Shutting down")
        server.process.send_signal(signal.SIGINT)
        assert server.wait() == 130
        assert messages(server)[-2:] == ["Shutting down", f"Finished server process [{server.process.pid}]"]


def test_sigterm_makes_a_server_unready_at_once_while_it_still_answers(folders: Folders) -> None:
    with running_server(folders.bundle, shutdown_delay_s="60") as server:
        assert server.request("GET", "/readyz").status == 200
        server.process.terminate()
        while (answer := server.request("GET", "/readyz")).status == 200:
            pass
        assert (answer.status, answer.body) == (503, {"status": "draining"})
        assert server.request("GET", "/health").body == {"status": "draining"}
        assert server.request("GET", "/livez").body == {"status": "ok"}
        assert server.post("/v1/embeddings", {"input": "cat"}).status == 200
        # the second signal does not wait for the load balancer
        assert server.terminate() == 0


def test_after_sigterm_each_answer_is_the_last_one_on_its_connection(folders: Folders) -> None:
    with running_server(folders.bundle, shutdown_delay_s="60") as server:
        assert "connection" not in server.request("GET", "/readyz").headers
        server.process.terminate()
        while server.request("GET", "/readyz").status == 200:
            pass
        answers = [server.request("GET", "/livez"), server.post("/v1/embeddings", {}), server.request("GET", "/none")]
        assert [(answer.status, answer.headers["connection"]) for answer in answers] == [
            (200, "close"),
            (400, "close"),
            (404, "close"),
        ]


def test_sigterm_loses_none_of_what_waits_for_a_slow_model(tmp_path: Path) -> None:
    tiny.write_embedder(tmp_path)
    slow.slow_down(tmp_path / "onnx" / "model.onnx", products=8)
    bundle = tiny.write_bundle(tmp_path / "bundle.json", tiny.embedder_entry(tmp_path))
    body = b'{"input": ["cat", "rates", "cat", "rates", "cat", "rates", "cat", "rates"]}'
    head = b"POST /v1/embeddings HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    with running_server(bundle, max_batch_tokens="3") as server:
        connections = [socket.create_connection(("127.0.0.1", server.port), timeout=20) for _ in range(10)]
        for connection in connections:
            connection.sendall(head % len(body) + body)
        while server.metric("te_request_count", method="batch") < 10:
            pass
        server.process.terminate()
        answers = [connection.makefile("rb").readline() for connection in connections]
        assert (set(answers), server.terminate()) == ({b"HTTP/1.1 200 OK\r\n"}, 0)
        for connection in connections:
            connection.close()


def test_a_thread_that_dies_ends_the_process_with_1_and_answers_first(folders: Folders) -> None:
    script = """if True:
        import sys, threading
        from runtime import __main__, embedder
        forward = embedder.Embedder.forward
        def dying(self, entries, *, beside=False):
            if threading.current_thread().name.startswith("lane"):
                raise SystemExit("died")
            return forward(self, entries, beside=beside)
        embedder.Embedder.forward = dying
        sys.exit(__main__.main([]))
    """
    with running_server(folders.bundle, command=(sys.executable, "-c", script)) as server:
        assert server.post("/v1/embeddings", {"input": "cat"}).status == 500
        assert server.process.wait(20) == 1
        server.terminate()
        assert server.log[-1] == "error: a thread that runs the models has died: SystemExit('died')"


def test_a_log_is_lines_of_json(folders: Folders) -> None:
    with running_server(folders.bundle) as server:
        server.terminate()
    logged = messages(server)
    assert logged[:1] + logged[-1:] == [
        f"Started server process [{server.process.pid}]",
        f"Finished server process [{server.process.pid}]",
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"graph": "model.onnx"}, "`{bundle}`: model `tiny`: `{folder}/model.onnx` is not a file"),
        (
            {"output": "logits"},
            "`{folder}/onnx/model.onnx`: it has no output `logits`, only `last_hidden_state`, `sentence_embedding`",
        ),
        (
            {"dimensions": [768]},
            "model `tiny`: output `last_hidden_state` is `32` wide, and the bundle says `768`",
        ),
    ],
)
def test_a_model_that_cannot_be_served_ends_the_process_with_one_line(
    folders: Folders, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    bundle = tiny.write_bundle(tmp_path / "bundle.json", tiny.embedder_entry(folders.embedder, **changes))
    ended = run_command(bundle=str(bundle), hostname="127.0.0.1", http_port=str(free_port()), log_level="critical")
    line = message.format(bundle=bundle, folder=folders.embedder)
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", f"error: {line}\n")


def test_a_port_that_is_taken_ends_the_process(folders: Folders) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = run_command(bundle=str(folders.bundle), hostname="127.0.0.1", http_port=port, log_level="error")
    assert (ended.returncode, ended.stderr) == (
        1,
        f"error: cannot listen on `127.0.0.1:{port}`: "
        f"Address already in use (while attempting to bind on address ('127.0.0.1', {port}))\n",
    )
