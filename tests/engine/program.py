"""Own other people's servers on loopback: one is started, waited for until it answers, and ended."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

LIMIT_S = 20
_POLL_S = 0.05


@contextmanager
def running(*command: str | Path, log: Path, answers: Callable[[], bool]) -> Iterator[None]:
    """Run a server while the block runs, which begins once `answers()`; an OSError of it means not yet."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        _wait_for(process, answers, log=log)
        yield
    finally:
        process.terminate()
        process.wait(LIMIT_S)


def _wait_for(process: subprocess.Popen[bytes], answers: Callable[[], bool], *, log: Path) -> None:
    deadline = time.monotonic() + LIMIT_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if answers():
                return
        except OSError:
            pass  # nothing listens yet
        time.sleep(_POLL_S)
    pytest.fail(f"{process.args!r} does not answer: {log.read_text()}")
