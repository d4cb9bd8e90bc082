"""Own a terminal with a program in it: what a person types, and what the screen shows."""

import os
import pty
import select
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

LIMIT_S = 30


class Terminal:
    """A program that takes its terminal for a person's."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._shown = ""

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._descriptor, text.encode())

    def wait_for(self, text: str) -> str:
        """Return what was shown since the last wait, up to `text`."""
        deadline = time.monotonic() + LIMIT_S
        while text not in self._shown:
            readable, _, _ = select.select([self._descriptor], [], [], max(0.0, deadline - time.monotonic()))
            assert readable, f"{text!r} is not shown: {self._shown!r}"
            self._shown += os.read(self._descriptor, 4096).decode(errors="replace")
        before, _, self._shown = self._shown.partition(text)
        return before


@contextmanager
def running(command: Sequence[str], *, folder: Path, environment: Mapping[str, str]) -> Iterator[Terminal]:
    """Run a program in a terminal while the block runs."""
    ours, its = pty.openpty()
    try:
        with subprocess.Popen(
            command, cwd=folder, env=environment, stdin=its, stdout=its, stderr=its, start_new_session=True
        ) as process:
            try:
                yield Terminal(ours)
            finally:
                process.kill()
    finally:
        os.close(ours)
        os.close(its)
