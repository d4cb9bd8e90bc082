"""Own the memory of finished runs, which tells that a run would change nothing; it builds nothing.

A run is remembered by what its images are made of: the manifest with its lock and the variables that it names, the
description of its supplies where it has any, the files of its local models, its samples and this program's own (by
size, times and inode), and the base images' ids. A run whose outcome depends on more than that is not remembered: a tag
that git gives. The label of the revision does not: it names the last commit that changed manifest, lock or local
models.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from builder import folder, whole
from builder.settings import Settings

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)")
_PACKAGES = ("builder", "builder.templates", "runtime")


class ImageStore(Protocol):
    """What can say which image a reference or an id stands for: an Engine."""

    def image_id(self, reference: str, /) -> str:
        """Return the image's id, empty where there is none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """A finished run: what it was made of, the ids of its base images, and its report."""

    fingerprint: str
    folders: tuple[str, ...]
    bases: Mapping[str, str]
    report: dict[str, Any]


def recall(settings: Settings) -> Memory | None:
    """Return the memory of the last run with these settings, None where anything that it was made of has changed."""
    try:
        content = json.loads(_path(settings).read_text(encoding="utf-8"))
        memory = Memory(**{**content, "folders": tuple(content["folders"])})
        if memory.fingerprint == fingerprint(settings, memory.folders):
            return memory
    except (OSError, ValueError, KeyError, TypeError):
        return None  # a memory that can't be read is none
    return None


def report(memory: Memory, engine: ImageStore) -> dict[str, Any] | None:
    """Return the report of the run that `memory` spares, None where the engine no longer has what it made."""
    images = memory.report["images"]
    expected = {name: image["id"] for image in images for name in image["references"] or [image["id"]]}
    if any(engine.image_id(name) != wanted for name, wanted in {**expected, **memory.bases}.items()):
        return None
    new = {"result": "unchanged", "pushed": [], "phases": [], "stages": [], "build_s": 0.0, "duration_s": 0.0}
    unchanged = [{**image, **new} for image in images]
    return {**memory.report, "images": unchanged}


def remember(settings: Settings, memory: Memory) -> None:
    """Keep a finished run, whose fingerprint was taken before it: what changes meanwhile is not in its images.

    A memory that can't be kept only costs time.
    """
    path = _path(settings)
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        whole.write(path, json.dumps(asdict(memory)).encode())


def _path(settings: Settings) -> Path:
    supplies = str(settings.supplies.resolve()) if settings.supplies else None
    asked = [str(settings.models.resolve()), sorted(settings.images), settings.build_only, supplies]
    return settings.cache_directory / "runs" / f"{hashlib.sha256(json.dumps(asked).encode()).hexdigest()}.json"


def fingerprint(settings: Settings, folders: Iterable[str]) -> str:
    """Digest everything that decides the outcome, with the `folders` of local models; raises OSError."""
    texts = [file.read_bytes() for file in settings.decisive_files]
    names = sorted(set(_VARIABLE.findall(texts[0].decode(errors="replace"))))
    digest = hashlib.sha256(b"".join(texts))
    digest.update(json.dumps([settings.version, [settings.environment.get(name) for name in names]]).encode())
    for file in [*_own_files(), *(file for place in folders for file in _files(Path(place)))]:
        found = file.stat()
        state = (str(file), found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)
        digest.update(repr(state).encode())
    return digest.hexdigest()


def _files(place: Path) -> list[Path]:
    """Return the files of a folder, or the one that `place` is itself."""
    return sorted(folder.walk(place)) if place.is_dir() else [place]


def _own_files() -> Iterator[Path]:
    """Yield the files of this program; compiled modules do not count."""
    for package in _PACKAGES:
        spec = find_spec(package)
        for place in (spec.submodule_search_locations or []) if spec else []:
            yield from sorted(file for file in folder.walk(Path(place)) if "__pycache__" not in file.parts)
