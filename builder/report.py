"""Own what a run leaves behind to read: its JSON report, and the table that is made of it; it builds nothing."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from builder import whole
from builder.console import size
from builder.errors import FailedError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from builder.pipeline import ImageResult

VERSION = 1
_COLUMNS = ("image", "tag", "size", "digest", "time", "result")
_SHORT_DIGEST = 19  # `sha256:` and twelve digits

Report = dict[str, Any]


def make(results: "Sequence[ImageResult]") -> Report:
    """Return the report of a run, ready for JSON."""
    return {"version": VERSION, "images": [_image(result) for result in results]}


def _image(result: "ImageResult") -> Report:
    details = result.details
    error = result.error
    return {
        "name": result.plan.name,
        "result": _outcome(result),
        "references": list(result.references),
        "id": details.id if details else None,
        "size_bytes": details.size_bytes if details else None,
        "layers": list(details.layers) if details else [],
        "models": [
            {"name": model.name, "source": model.source, "revision": model.revision, "size_bytes": model.size_bytes}
            for model in result.plan.models
        ],
        "checks": [
            {"name": check.name, "detail": check.detail, "duration_s": round(check.duration_s, 3)}
            for check in result.checks
        ],
        "build_s": round(result.build_s, 3),
        "duration_s": round(result.duration_s, 3),
        "exit_code": error.exit_code if error else 0,
        "error": {"message": error.message, "hint": error.hint} if error else None,
    }


def _outcome(result: "ImageResult") -> str:
    if result.error is not None:
        return "failed"
    return "tagged" if result.references else "built"


def table(report: Report) -> str:
    """Return a line for each name that an image got, in columns."""
    rows = [_COLUMNS, *(row for image in report["images"] for row in _rows(image))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(line.rstrip() for line in lines)


def _rows(image: Report) -> list[tuple[str, ...]]:
    size_text = size(image["size_bytes"]) if image["size_bytes"] else "-"
    digest = image["id"][:_SHORT_DIGEST] if image["id"] else "-"
    duration = f"{image['duration_s']:.1f} s"
    return [
        (image["name"], reference, size_text, digest, duration, image["result"])
        for reference in image["references"] or ["-"]
    ]


def text(report: Report, *, redact: "Callable[[str], str]" = str) -> str:
    """Return the report as JSON text, every string in it as `redact` gives it: JSON would spell a secret otherwise."""
    return json.dumps(_mapped(report, redact), indent=2, ensure_ascii=False) + "\n"


def _mapped(value: Any, function: "Callable[[str], str]") -> Any:  # noqa: ANN401 - JSON
    """Apply `function` to every string in `value` that is no key."""
    if isinstance(value, dict):
        return {key: _mapped(item, function) for key, item in value.items()}
    if isinstance(value, list):
        return [_mapped(item, function) for item in value]
    return function(value) if isinstance(value, str) else value


def check_writable(path: Path, *, option: str = "--report") -> None:
    """Refuse a place that nothing can be written to, before a long run is done for it; raises InputError."""
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise InputError(f"no report can be written to `{path}`", hint=f"choose another {option}")


def write(content: str, path: Path) -> None:
    """Write a file so that `path` holds either the old one or the whole new one; raises FailedError."""
    path = path.resolve()  # a link stays one
    try:
        if path.exists() and not path.is_file():  # `/dev/stdout`, a pipe
            path.write_text(content, encoding="utf-8")
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        whole.write(path, content.encode())
    except OSError as error:
        raise FailedError(f"the report `{path}` can't be written: {error.strerror}") from error
