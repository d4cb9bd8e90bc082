"""Own where a run's report goes: every format that was asked for, however the run ends; it makes none of them."""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from builder import report as reports
from builder.console import Console
from builder.errors import FailedError, InputError, OutputClosedError
from builder.report import Report, Run

_DOTENV_VARIABLES = 20
_DOTENV_BYTES = 5_120


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """The files that a run is asked to leave behind, and `compare`, an older report to compare with."""

    report: Path | None = None
    junit: Path | None = None
    html: Path | None = None
    dotenv: Path | None = None
    compare: Path | None = None
    summary: Path | None = None
    outputs: Path | None = None


def wanted(environment: Mapping[str, str], **files: Path | None) -> Wanted:
    """Gather what the flags and the CI system ask for."""
    summary, outputs = environment.get("GITHUB_STEP_SUMMARY"), environment.get("GITHUB_OUTPUT")
    return Wanted(summary=Path(summary) if summary else None, outputs=Path(outputs) if outputs else None, **files)


class Reporting:
    """Writes the reports of `run` when the block ends, also where it fails or is interrupted.

    Raises InputError at its beginning for a place that can't be written to and for an older report that is none, and
    FailedError at its end where a file could not be written; where the block had an error, that is told and goes on.
    """

    def __init__(self, run: Run, *, wanted: Wanted, console: Console) -> None:
        self.run = run
        self.report: Report = {}
        self._wanted = wanted
        self._console = console
        self._previous: Report | None = None

    def __enter__(self) -> "Reporting":
        """Look at the places before a long run is done for them."""
        flags: dict[Path, str] = {}
        for flag in ("report", "junit", "html", "dotenv"):
            path = getattr(self._wanted, flag)
            if path is None:
                continue
            reports.check_writable(path, flag=f"--{flag}")
            other = flags.setdefault(path.resolve(), flag)
            if other != flag:
                raise InputError(f"--{other} and --{flag} are both `{path}`", hint=f"choose another --{flag}")
        self._previous = _previous(self._wanted)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Write everything."""
        is_all_done = isinstance(error, OutputClosedError) and self.run.images is not None  # but the telling
        made = reports.make(self.run, ended_s=time.time(), error=None if is_all_done else error)
        self.report = reports.redacted(made, self._console.redact)
        failures = list(self._write())
        for failure in failures if error is not None else failures[1:]:
            self._console.warn(failure.message)
        if failures and error is None:
            raise failures[0]

    def _write(self) -> Iterator[FailedError]:
        """Write each file, and yield what went wrong with one: the others are written all the same."""
        for path, content in _files(self.report, self._wanted, self._previous):
            try:
                reports.write(content, path)
            except FailedError as error:
                yield error
        for path, content in _additions(self.report, self._wanted, self._previous):
            try:
                with path.open("a", encoding="utf-8") as file:
                    file.write(content)
            except OSError as error:
                self._console.warn(f"`{path}`, which the CI system reads, can't be written: {error.strerror}")
        self._check_dotenv()

    def _check_dotenv(self) -> None:
        """Warn of what GitLab would refuse; its own limits may be others."""
        if self._wanted.dotenv is None:
            return
        from builder import outputs  # noqa: PLC0415 - as below

        text = outputs.of_gitlab(self.report)
        if text.count("\n") > _DOTENV_VARIABLES or len(text) > _DOTENV_BYTES:
            told = f"`{self._wanted.dotenv}` has {text.count(chr(10))} variables in {len(text)} bytes"
            self._console.warn(f"{told}; GitLab takes {_DOTENV_VARIABLES} and {_DOTENV_BYTES} unless it is told to")


def _files(report: Report, wanted: Wanted, previous: Report | None) -> Iterator[tuple[Path, str]]:
    from builder import compare, junit, outputs, page  # noqa: PLC0415 - a run without reports needs none of them

    if wanted.html is not None:
        yield wanted.html, page.document(report, compare.growths(report, previous))
    if wanted.junit is not None:
        yield wanted.junit, junit.document(report)
    if wanted.dotenv is not None:
        yield wanted.dotenv, outputs.of_gitlab(report)
    if wanted.report is not None:
        yield wanted.report, reports.text(report)


def _additions(report: Report, wanted: Wanted, previous: Report | None) -> Iterator[tuple[Path, str]]:
    """Yield what is added to files that belong to the CI system, which other programs add to as well."""
    from builder import compare, outputs, summary  # noqa: PLC0415 - as above

    if wanted.summary is not None:
        yield wanted.summary, summary.document(report, compare.growths(report, previous))
    if wanted.outputs is not None:
        yield wanted.outputs, outputs.of_github(report)


def _previous(wanted: Wanted) -> Report | None:
    """Read the report to compare with: the one that is named, else the one that will be replaced, if it is one."""
    if wanted.compare is None:
        return _read(wanted.report) if wanted.report is not None and wanted.report.is_file() else None
    found = _read(wanted.compare)
    if found is None:
        hint = "choose another --compare: a file that --report wrote"
        raise InputError(f"`{wanted.compare}` is no report that can be compared with", hint=hint)
    return found


def _read(path: Path) -> Report | None:
    """Read a report, None where the file is not there or is none of ours."""
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8"))
        parts = [part for image in found["images"] for part in (image, *image.get("history", ()))]
        is_known = all(isinstance(part["name"], str) and isinstance(part["size_bytes"], int | None) for part in parts)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return found if is_known and found.get("version") == reports.VERSION else None
