"""Own the terminal: every line that people or pipelines see goes through here, with every secret taken out.

Results go to stdout, all else to stderr. On a terminal the steps that run are shown live; elsewhere each step is a
line when it ends, so that a log of a pipeline reads in order.
"""

import io
import json
import os
import re
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from builder.errors import (
    BuildFailedError,
    BuildImageError,
    FailedError,
    OutputClosedError,
    ProblemsError,
    SmokeFailedError,
)
from builder.trace import Event, LogEvent, StepEvent, TransferEvent, WarningEvent

MASK = "***"
_MOUNTS = re.compile(r"--mount=\S+\s+|--network=\S+\s+|--link\s+")
_WRAPPERS = ("sh", "network.sh", "supplies.sh")
_LIVE_REFRESHES_PER_S = 4
_WIDTH = 72


class Console:
    """The two streams of the program; methods may be called from any thread."""

    def __init__(self, *, out: TextIO | None, err: TextIO | None, is_quiet: bool = False) -> None:
        # Python has None for a stream that its parent has closed.
        self._out = io.StringIO() if out is None else out
        self._err = io.StringIO() if err is None else err
        self.is_quiet = is_quiet
        self._lock = threading.RLock()
        self._secrets: set[str] = set()
        self._running: dict[tuple[str, str], _Running] = {}
        self._ended: set[tuple[str, str]] = set()
        self._live: Any = None

    @contextmanager
    def live(self) -> Iterator[None]:
        """Show the running steps while the block runs, where a person can see them."""
        if self.is_quiet or not self._err.isatty() or os.environ.get("TERM") == "dumb":
            yield
            return
        try:
            with _live_display(self._err, self) as self._live:
                try:
                    yield
                finally:
                    self._running.clear()
        finally:
            self._live = None

    def hide(self, secrets: Iterable[str]) -> None:
        """Show `***` from now on wherever one of `secrets` would stand."""
        self._secrets |= {secret for secret in secrets if secret}

    def redact(self, text: str) -> str:
        """Return `text` without any secret."""
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, MASK)
        return text

    def result(self, text: str) -> None:
        """Write a result to stdout; raises FailedError where it can't be, such as on a full disk."""
        try:
            self._put(self._out, text)
        except OSError as error:
            raise FailedError(f"cannot write to stdout: {error.strerror}") from error

    def say(self, text: str) -> None:
        """Tell how things go."""
        if not self.is_quiet:
            self._write(text)

    def warn(self, text: str) -> None:
        """Tell something that does not stop the run but should be known."""
        self._write(f"warning: {text}")

    def error(self, error: BuildImageError, *, image: str = "") -> None:
        """Show an error, of one image where it is named: what is wrong, what was printed last, and what helps."""
        self._write("\n".join(_error_lines(error, image)))

    def event(self, image: str, event: Event) -> None:
        """Show what the engine tells of a step of `image`."""
        if isinstance(event, StepEvent):
            self._step(image, event)
        elif isinstance(event, TransferEvent):
            running = self._running.get((image, event.step))
            if running:
                running.transfers[event.name] = (event.current_bytes, event.total_bytes)
        elif isinstance(event, LogEvent):
            running = self._running.get((image, event.step))
            if running:
                running.last_line = event.line
        elif isinstance(event, WarningEvent):
            self.warn(f"{image}: {event.message}")

    def _step(self, image: str, event: StepEvent) -> None:
        key = (image, event.step)
        if event.name.startswith("[internal]") or event.started_s is None or key in self._ended:
            return
        title = f"{image}: {short_name(event.name)}"
        with self._lock:
            if event.completed_s is None:
                self._running.setdefault(key, _Running(title))
                return
            self._ended.add(key)  # BuildKit tells the end of some steps twice
            running = self._running.pop(key, None)
        if event.error:
            self.say(f"  failed  {title}")
        elif event.cached:
            self.say(f"  cached  {title}")
        else:
            moved = running.moved if running else ""
            self.say(f"{event.duration_s or 0:7.1f}s {title}{moved}")

    def _write(self, text: str) -> None:
        if self._live:  # has a lock of its own, under which it asks for the running lines
            self._live.console.print(self.redact(text), markup=False, highlight=False, soft_wrap=True)
            return
        with suppress(OSError):  # a log on a full disk stops no run, and the exit code still tells
            self._put(self._err, text)

    def _put(self, stream: TextIO, text: str) -> None:
        """Write a line; raises OutputClosedError where nobody reads it any more, OSError where it can't be kept."""
        with self._lock:
            try:
                stream.write(self.redact(text) + "\n")
                stream.flush()
            except BrokenPipeError as error:
                raise OutputClosedError from error

    def close(self) -> None:
        """Drop what could not be written: at its end Python would try again, and complain."""
        for stream in (self._out, self._err):
            try:
                stream.flush()
            except OSError:
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())

    def running_lines(self) -> list[str]:
        """Return a line for each step that runs now, for the live display."""
        with self._lock:
            return [self.redact(running.line()) for running in self._running.values()]


class _Running:
    """A step that has started and not ended."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.started = time.monotonic()
        self.transfers: dict[str, tuple[int, int]] = {}
        self.last_line = ""

    @property
    def moved(self) -> str:
        """Return how many bytes the step has moved, where there are any."""
        current = sum(done for done, _ in self.transfers.values())
        total = sum(whole for _, whole in self.transfers.values())
        if current == 0:
            return ""
        return f" {size(current)} of {size(total)}" if current < total else f" {size(current)}"

    def line(self) -> str:
        """Return the step's line of the live display."""
        tail = f"  {self.last_line}" if self.last_line else ""
        return f"{time.monotonic() - self.started:7.1f}s {self.title}{self.moved}{tail[:_WIDTH]}"


def short_name(name: str) -> str:
    """Shorten BuildKit's name of a step to what a person needs: no mounts, and of a command its script."""
    name = _MOUNTS.sub("", name)
    head, is_run, command = name.partition(" RUN [")
    if not is_run:
        return name
    try:
        words = [word.removeprefix("/stages/") for word in json.loads("[" + command)]
    except ValueError:  # `RUN [ -e FILE ]`, which a base image may have for ONBUILD
        return name
    return " ".join([head, "RUN", *(word for word in words if word not in _WRAPPERS)])


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Write rows of a table, each column as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(line.rstrip() for line in lines)


def size(count: int) -> str:
    """Write a number of bytes in decimal units, as Docker does: `1.2 GB`."""
    value = float(count)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} GB"


def _error_lines(error: BuildImageError, image: str) -> list[str]:
    if isinstance(error, ProblemsError):
        lines = []
        for problem in error.problems:
            lines.append(f"error: {problem}")
            lines += _hint_lines(problem.hint)
        return lines + _hint_lines(error.hint)
    output = error.output if isinstance(error, BuildFailedError | SmokeFailedError) else ()
    subject = f"{image}: " if image else ""
    lines = [f"error: {subject}{error.message}", *(f"    | {line}" for line in output)]
    return lines + _hint_lines(error.hint)


def _hint_lines(hint: str | None) -> list[str]:
    return [f"hint: {hint}"] if hint else []


def _live_display(err: TextIO, console: Console) -> Any:  # noqa: ANN401 - rich is loaded only where it is used
    from rich.console import Console as RichConsole  # noqa: PLC0415 - no pipeline should wait for it
    from rich.live import Live  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    def running() -> Text:
        return Text("\n".join(console.running_lines()), overflow="ellipsis", no_wrap=True)

    return Live(
        get_renderable=running,
        console=RichConsole(file=err),
        refresh_per_second=_LIVE_REFRESHES_PER_S,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
