"""Run `python -m runtime` as a real process on a free loopback port, and talk to it with the standard library."""

import http.client
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
_READY = "ready after"
_LIMIT_S = 30


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What a server answered; `body` is decoded JSON, or text of another type."""

    status: int
    headers: Mapping[str, str]
    body: Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Server:
    """A process that serves, and the lines that it has logged so far."""

    process: subprocess.Popen[str]
    port: int
    log: list[str] = field(default_factory=list)

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            return Answer(
                status=response.status,
                headers={name.lower(): value for name, value in response.getheaders()},
                body=_decoded(response.read(), response.getheader("content-type", "")),
            )
        finally:
            connection.close()

    def metric(self, name: str, **labels: str) -> float:
        """Read one metric; it is 0 where it is not there yet."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request("GET", "/metrics")
            lines = connection.getresponse().read().decode().splitlines()
        finally:
            connection.close()
        given = ",".join(f'{label}="{value}"' for label, value in labels.items())
        sample = f"{name}{{{given}}} " if given else f"{name} "
        return sum(float(line.removeprefix(sample)) for line in lines if line.startswith(sample))

    def post(self, path: str, body: object) -> Answer:
        return self.request("POST", path, json.dumps(body).encode(), {"Content-Type": "application/json"})

    def post_bytes(self, path: str, body: bytes) -> Answer:
        return self.request("POST", path, body, {"Content-Type": "application/json"})

    def terminate(self) -> int:
        """Send SIGTERM and wait for the exit code."""
        self.process.terminate()
        return self.wait()

    def wait(self) -> int:
        """Wait for the exit code."""
        self.log.extend(self.process.communicate(timeout=20)[1].splitlines())
        return self.process.returncode

    def wait_for(self, message: str) -> None:
        """Read the log until a line has `message`; a server that hangs is killed, and then its log ends."""
        assert self.process.stderr is not None
        watchdog = threading.Timer(_LIMIT_S, self.process.kill)
        watchdog.start()
        try:
            for line in self.process.stderr:
                self.log.append(line)
                if message in line:
                    return
        finally:
            watchdog.cancel()
        raise AssertionError(f"the server ended: {self.log}")


def _decoded(body: bytes, media_type: str) -> Any:
    return json.loads(body) if media_type == "application/json" else body.decode()


def environment(**settings: str) -> dict[str, str]:
    """Give a child process the settings and nothing else that could matter."""
    named = {f"RUNTIME_{name.upper()}": value for name, value in settings.items()}
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1", **named}


def run_command(*arguments: str, stdin: str = "", **settings: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m runtime` with arguments to its end."""
    return subprocess.run(
        [sys.executable, "-m", "runtime", *arguments],
        env=environment(**settings),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def free_port() -> int:
    """Find a port that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def running_server(
    bundle: Path, *, command: Sequence[str] = (sys.executable, "-m", "runtime"), **settings: str
) -> Iterator[Server]:
    """Start a server and wait until it is ready; it is killed if the caller has not ended it."""
    port = free_port()
    process = subprocess.Popen(
        command,
        env=environment(bundle=str(bundle), hostname="127.0.0.1", http_port=str(port), **settings),
        stderr=subprocess.PIPE,
        text=True,
    )
    server = Server(process=process, port=port)
    try:
        server.wait_for(_READY)
        yield server
    finally:
        process.kill()
        process.communicate()
