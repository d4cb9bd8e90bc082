"""Own the files that a run leaves about each image that passed: its bill of materials and its provenance."""

from datetime import UTC, datetime
from pathlib import Path

from builder import ci, provenance, sbom, whole
from builder.engine import Engine
from builder.errors import FailedError
from builder.plan import ImagePlan
from builder.provenance import Circumstances
from builder.settings import Settings


def write(engine: Engine, image: ImagePlan, image_id: str, settings: Settings) -> tuple[Path, ...]:
    """Write what `settings` ask for, and return where it lies; raises FailedError."""
    if settings.sbom is None and settings.provenance is None:
        return ()
    bill = sbom.read(engine, image_id) if image.kind == "server" else sbom.document(image)
    written = []
    if settings.sbom is not None:
        written.append(_put(bill, settings.sbom / f"{image.name}{sbom.SUFFIX}"))
    if settings.provenance is not None:
        around = _circumstances(engine, settings, bill)
        text = provenance.statement(image, image_id, around)
        written.append(_put(text, settings.provenance / f"{image.name}{provenance.SUFFIX}"))
    return tuple(written)


def _circumstances(engine: Engine, settings: Settings, bill: bytes) -> Circumstances:
    run = ci.read(settings.environment)
    try:
        files = {path.name: path.read_bytes() for path in settings.decisive_files}
    except OSError as error:
        raise FailedError(f"`{error.filename}` can't be read any more: {error.strerror}") from error
    return Circumstances(
        files=files,
        bill=bill,
        versions={"build-image": settings.version, "docker-engine": engine.version},
        finished=datetime.now(UTC),
        run=f"{run.name}/{run.run}" if run else "",
    )


def _put(text: bytes, path: Path) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        whole.write(path, text)
    except OSError as error:
        raise FailedError(f"`{path}` can't be written: {error.strerror}") from error
    return path
