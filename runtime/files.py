"""Own the proof that a model's baked files are those that were locked, byte for byte; it loads nothing."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from runtime.bundle import BakedFile, Model


def problems(model: Model) -> Iterator[str]:
    """Yield a line for each file that is missing or is not the one that was locked."""
    for path, baked in sorted(model.files.items()):
        if problem := _problem(Path(model.path, path), baked):
            yield f"`{path}` {problem}"


def _problem(file: Path, baked: BakedFile) -> str:
    try:
        with file.open("rb") as content:
            actual = hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        return f"can't be read: {error.strerror}"
    return "" if actual == baked.sha256 else f"has sha256 {actual}, and {baked.sha256} was locked"
