"""How the process starts and ends."""

import json
import signal
import socket
from pathlib import Path

import pytest

from tests.runtime import tiny
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
