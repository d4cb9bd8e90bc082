"""Own the terminal: every line that people or pipelines see goes through here, with every secret taken out.

Results go to stdout, all else to stderr. On a terminal the steps that run are shown live; elsewhere each step is a
line when it ends, so that a log of a pipeline reads in order. Where a CI system can fold, the lines of an image are.
"""

import io
import json
import os
import re
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, TextIO

from builder.errors import (
    BuildFailedError,
    BuildImageError,
    FailedError,
    OutputClosedError,
    Problem,
    ProblemsError,
    SmokeFailedError,
)
from builder.marks import Marks, Note
from builder.trace import Event, LogEvent, StepEvent, TransferEvent, WarningEvent

MASK = "***"
_MOUNTS = re.compile(r"--mount=\S+\s+|--network=\S+\s+|--link\s+")
_WRAPPERS = ("sh", "network.sh", "supplies.sh")
_LIVE_REFRESHES_PER_S = 4
_WIDTH = 72


class Console:
    """The two streams of the program; methods may be called from any thread."""

    def __init__(
        self, *, out: TextIO | None, err: TextIO | None, is_quiet: bool = False, marks: Marks | None = None
    ) -> None:
        # Python has None for a stream that its parent has closed.
        self._out = io.StringIO() if out is None else out
        self._err = io.StringIO() if err is None else err
        self.is_quiet = is_quiet
        self._marks = marks
        self._held: dict[str, list[str]] = {}
        self._lock = threading.RLock()
        self._secrets: set[str] = set()
        self._running: dict[tuple[str, str], _Running] = {}
        self._ended: set[tuple[str, str]] = set()
        self._live: Any = None

    @contextmanager
    def live(self) -> Iterator[None]:
        """Show the running steps while the block runs, where a person can see them."""
        if self.is_quiet or self._marks or not self._err.isatty() or os.environ.get("TERM") == "dumb":
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

    @contextmanager
    def folded(self, image: str, *, is_alone: bool) -> Iterator[None]:
        """Fold the lines of `image` in the log of a CI system that can.

        Folds can neither cross nor hold each other's lines. So those of images that are made at the same time are held
        back, and each comes whole when its image is done.
        """
        if self._marks is None or self.is_quiet:
            yield
            return
        started_s, key = time.time(), f"build-image-{image}-{time.time_ns()}"
        if is_alone:
            self._write(self._marks.opening(key, image, now_s=started_s, is_collapsed=False))
        else:
            self._held[image] = []
        try:
            yield
        finally:
            now_s, lines = time.time(), self._held.pop(image, [])
            if not is_alone:
                title = f"{image}: {now_s - started_s:.1f} s"
                lines.insert(0, self._marks.opening(key, title, now_s=started_s, is_collapsed=True))
            self._write("\n".join([*lines, self._marks.closing(key, now_s=now_s)]))

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

    def say(self, text: str, *, image: str = "") -> None:
        """Tell how things go, with one image where it is named."""
        if self.is_quiet:
            return
        text = self._harmless(text)
        with self._lock:
            held = self._held.get(image)
            if held is not None:
                held.append(text)
                return
        self._write(text)

    def warn(self, text: str) -> None:
        """Tell something that does not stop the run but should be known."""
        self._note(Note(kind="warning", message=text))

    def error(self, error: BuildImageError, *, image: str = "") -> None:
        """Show an error, of one image where it is named: what is wrong, what was printed last, and what helps."""
        if isinstance(error, ProblemsError):
            for problem in error.problems:
                self._note(_problem_note(problem))
            self._lines(_hint_lines(error.hint))
            return
        output = error.output if isinstance(error, BuildFailedError | SmokeFailedError) else ()
        said = [f"    | {line}" for line in output]
        self._note(Note(kind="error", message=error.message, hint=error.hint, title=image), said=said)

    def _note(self, note: Note, *, said: Sequence[str] = ()) -> None:
        """Point something out, in the way of the CI system where it has one; `said` are lines that belong to it."""
        shown = replace(  # before it is escaped: a secret would be spelled otherwise then
            note,
            message=self.redact(note.message),
            hint=self.redact(note.hint or ""),
            file=self.redact(note.file),
            title=self.redact(note.title),
        )
        if self._marks and (mark := self._marks.note(shown)):
            self._write("\n".join([mark, *map(self._harmless, said)]))
            return
        subject = f"{note.title}: " if note.title else ""
        place = _place(note)
        self._lines([f"{note.kind}: {subject}{place}{note.message}", *said, *_hint_lines(note.hint)])

    def _lines(self, lines: Sequence[str]) -> None:
        if lines:
            self._write(self._harmless("\n".join(lines)))

    def _harmless(self, text: str) -> str:
        return self._marks.harmless(text) if self._marks else text

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
            self.say(f"  failed  {title}", image=image)
        elif event.cached:
            self.say(f"  cached  {title}", image=image)
        else:
            moved = running.moved if running else ""
            self.say(f"{event.duration_s or 0:7.1f}s {title}{moved}", image=image)

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


def _place(note: Note) -> str:
    if not note.file:
        return ""
    return f"{note.file}: " if note.line is None else f"{note.file}:{note.line}: "


def _problem_note(problem: Problem) -> Note:
    message = f"`{problem.path}`: {problem.message}" if problem.path else problem.message
    return Note(kind="error", message=message, hint=problem.hint, file=problem.file, line=problem.line)


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
