"""Own the report of a run: the value, its JSON and schema, and the table that is made of it; it builds nothing."""

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from dataclasses import asdict, dataclass, field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from builder import record, whole
from builder.console import columns, short_name, size
from builder.errors import (
    EXIT_INTERRUPTED,
    EXIT_OUTPUT_CLOSED,
    BuildFailedError,
    BuildImageError,
    FailedError,
    InputError,
    InternalError,
    OutputClosedError,
    ProblemsError,
    SmokeFailedError,
)

if TYPE_CHECKING:
    from builder.history import Layer
    from builder.result import ImageResult

VERSION = 1
_COLUMNS = ("image", "tag", "size", "digest", "time", "result")
_SHORT_DIGEST = 19  # `sha256:` and twelve digits
_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")  # colours of a log, which nothing but a terminal shows
_RESULTS = {0: "succeeded", EXIT_INTERRUPTED: "interrupted", EXIT_OUTPUT_CLOSED: "interrupted"}
_SCHEMA = "report.schema.json"

Report = dict[str, Any]


@dataclass(kw_only=True, slots=True)
class Run:
    """What a report says beside its images, and how far these are: `images` where they are known, else the journal."""

    version: str
    manifest: str
    jobs: int
    ci: Mapping[str, str] | None
    started_s: float
    journal: "MutableMapping[str, ImageResult]" = field(default_factory=dict)
    images: list[Report] | None = None


def make(run: Run, *, ended_s: float, error: BaseException | None = None) -> Report:
    """Return the report of a run, ready for JSON; `error` ended it before its images were done."""
    made = images(run.journal.values()) if run.images is None else run.images
    failed = [image["exit_code"] for image in made if image["exit_code"]]
    exit_code = _exit_code(error) if error is not None else max(failed, default=0)
    return {
        "version": VERSION,
        "build_image": run.version,
        "manifest": run.manifest,
        "jobs": run.jobs,
        "ci": dict(run.ci) if run.ci else None,
        "started_at": record.moment(run.started_s),
        "duration_s": round(max(0.0, ended_s - run.started_s), 3),
        "result": _RESULTS.get(exit_code, "failed"),
        "exit_code": exit_code,
        "error": _error(error),
        "images": made,
    }


def images(results: "Iterable[ImageResult]") -> list[Report]:
    """Return what a report says of each image."""
    return [_image(result) for result in results]


def _image(result: "ImageResult") -> Report:
    details = result.details
    error = result.error
    return {
        "name": result.plan.name,
        "kind": result.plan.kind,
        "result": _outcome(result),
        "references": list(result.references),
        "pushed": [asdict(published) for published in result.pushed],
        "id": details.id if details else None,
        "platform": details.platform if details else None,
        "size_bytes": details.size_bytes if details else None,
        "layers": list(details.layers) if details else [],
        "history": [_layer(layer) for layer in result.layers],
        "models": [
            {"name": model.name, "source": model.source, "revision": model.revision, "size_bytes": model.size_bytes}
            for model in result.plan.models
        ],
        "accuracy": [{"name": name, **report} for name, report in result.accuracy.items()],
        "phases": record.phases(result.phases),
        "stages": record.stages(result.steps),
        "checks": [
            {
                "name": check.name,
                "detail": check.detail,
                "duration_s": round(check.duration_s, 3),
                "passed": check.passed,
            }
            for check in result.checks
        ],
        "build_s": round(result.build_s, 3),
        "duration_s": round(result.duration_s, 3),
        "exit_code": error.exit_code if error else 0,
        "error": _error(error),
    }


def _outcome(result: "ImageResult") -> str:
    if result.error is not None:
        return "failed"
    if not result.is_finished:
        return "interrupted" if result.phases else "not started"
    if result.pushed:
        return "pushed"
    return "tagged" if result.references else "built"


def _layer(layer: "Layer") -> Report:
    return {
        "digest": layer.digest,
        "name": layer.name,
        "size_bytes": layer.size_bytes,
        "created_by": layer.created_by,
    }


def _error(error: BaseException | None) -> Report | None:
    """Write an error; what is none of ours and no interrupt is a bug."""
    if error is None:
        return None
    ours = error if isinstance(error, BuildImageError) else None
    problems = error.problems if isinstance(error, ProblemsError) else []
    output = error.output if isinstance(error, BuildFailedError | SmokeFailedError) else ()
    return {
        "message": ours.message if ours else _foreign(error),
        "hint": ours.hint if ours else None,
        "step": short_name(error.step) or None if isinstance(error, BuildFailedError) else None,
        "output": [_ANSI.sub("", line) for line in output],
        "problems": [
            {
                "file": problem.file,
                "line": problem.line,
                "path": problem.path,
                "message": problem.message,
                "hint": problem.hint,
            }
            for problem in problems
        ],
    }


def _foreign(error: BaseException) -> str:
    if isinstance(error, Exception):
        return f"this is a bug of build-image: {type(error).__name__}: {error}"
    return "nobody reads the output any more" if isinstance(error, OutputClosedError) else "interrupted"


def _exit_code(error: BaseException) -> int:
    if isinstance(error, BuildImageError):
        return error.exit_code
    if isinstance(error, OutputClosedError):
        return EXIT_OUTPUT_CLOSED
    return InternalError.exit_code if isinstance(error, Exception) else EXIT_INTERRUPTED


def table(report: Report) -> str:
    """Return a line for each name that an image got, in columns."""
    return columns([_COLUMNS, *(row for image in report["images"] for row in _rows(image))])


def _rows(image: Report) -> list[tuple[str, ...]]:
    size_text = size(image["size_bytes"]) if image["size_bytes"] else "-"
    duration = f"{image['duration_s']:.1f} s"
    pushed = {published["reference"]: published["digest"] for published in image["pushed"]}
    rows: list[tuple[str, ...]] = []
    for reference in image["references"] or ["-"]:
        digest = pushed.get(reference) or image["id"] or "-"
        result = "pushed" if reference in pushed else image["result"]
        rows.append((image["name"], reference, size_text, digest[:_SHORT_DIGEST], duration, result))
    return rows


def redacted(report: Report, redact: Callable[[str], str]) -> Report:
    """Return the report with every string in it as `redact` gives it: what is made of it would spell a secret else."""
    made: Report = _mapped(report, redact)
    return made


def text(report: Report) -> str:
    """Return the report as JSON text."""
    return json.dumps(report, indent=2, ensure_ascii=False) + "\n"


def schema() -> str:
    """Return the JSON Schema of reports."""
    return resources.files("builder.templates").joinpath(_SCHEMA).read_text(encoding="utf-8").rstrip()


def _mapped(value: Any, function: Callable[[str], str]) -> Any:  # noqa: ANN401 - JSON
    """Apply `function` to every string in `value` that is no key."""
    if isinstance(value, dict):
        return {key: _mapped(item, function) for key, item in value.items()}
    if isinstance(value, list):
        return [_mapped(item, function) for item in value]
    return function(value) if isinstance(value, str) else value


def check_writable(path: Path, *, flag: str = "--report") -> None:
    """Refuse a place that nothing can be written to, before a long run is done for it; raises InputError."""
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise InputError(f"no report can be written to `{path}`", hint=f"choose another {flag}")


def write(content: str, path: Path) -> None:
    """Write a file so that `path` holds either the old one or the whole new one; raises FailedError."""
    try:
        if path.exists() and not path.is_file():  # `/dev/stdout`, a pipe, whose own path leads nowhere
            path.write_text(content, encoding="utf-8")
            return
        path = path.resolve()  # a link stays one
        path.parent.mkdir(parents=True, exist_ok=True)
        whole.write(path, content.encode())
    except OSError as error:
        raise FailedError(f"the report `{path}` can't be written: {error.strerror}") from error
