"""Own what a run leaves behind to read: the table at its end and the JSON report; it builds nothing."""

import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from builder.console import size
from builder.pipeline import ImageResult

VERSION = 1
_COLUMNS = ("image", "tag", "size", "digest", "time", "result")
_SHORT_DIGEST = 19  # `sha256:` and twelve digits


def table(results: Sequence[ImageResult]) -> str:
    """Return a line for each name that an image got, in columns."""
    rows = [_COLUMNS, *(row for result in results for row in _rows(result))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(line.rstrip() for line in lines)


def _rows(result: ImageResult) -> list[tuple[str, ...]]:
    details = result.details
    size_text = size(details.size_bytes) if details else "-"
    digest = details.id[:_SHORT_DIGEST] if details else "-"
    duration = f"{result.duration_s:.1f} s"
    return [
        (result.plan.name, reference, size_text, digest, duration, _outcome(result))
        for reference in result.references or ("-",)
    ]


def _outcome(result: ImageResult) -> str:
    if result.error is not None:
        return "failed"
    return "tagged" if result.references else "built"


def document(results: Sequence[ImageResult]) -> str:
    """Return the JSON report of a run."""
    content = {"version": VERSION, "images": [_image(result) for result in results]}
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _image(result: ImageResult) -> dict[str, Any]:
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
        "error": {"message": error.message, "hint": error.hint} if error else None,
    }


def write(text: str, path: Path) -> None:
    """Write a report so that `path` holds either the old one or the whole new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        file.write(text)
    Path(file.name).chmod(0o644)
    os.replace(file.name, path)  # noqa: PTH105 - the two paths are of different kinds
