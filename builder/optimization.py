"""Own what a model's graph is optimised by: the manifest's wishes and this release's programs; it optimises nothing."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from builder import samples
from builder.manifest import Model, Quantize

REQUIREMENTS = "optimizer-requirements.txt"

# What of `stages` derives a graph and lays it out, and what installs the libraries for that.
_PROGRAMS = ("optimize_*.py", "bake-optimized.sh", "bake_optimized.py", "normalise.sh")
_ENVIRONMENT = ("optimizer.sh", REQUIREMENTS)
_PINNED = re.compile(r"^([\w.-]+)==([\w.!+-]+)", re.MULTILINE)
_FOLDER = "stages"


@dataclass(frozen=True, kw_only=True, slots=True)
class Optimization:
    """How a graph is derived, and how near it has to come to its original.

    `variants` are other quantisations, for processors that are better at those.
    `samples_sha256` is empty where the manifest names no file. `versions` are those of the optimiser's libraries, and
    `program` is the digest of all that derives a graph.
    """

    graph: bool
    quantize: Quantize
    variants: tuple[str, ...]
    fuse_pooling: bool
    keep_original: bool
    insist: bool
    exclude: tuple[str, ...]
    samples_sha256: str
    min_mean_cosine: float
    min_top10_overlap: float
    versions: Mapping[str, str]
    program: str

    @property
    def wishes(self) -> dict[str, Any]:
        """What the program that derives a graph is told, ready for JSON."""
        return {
            "graph": self.graph,
            "quantize": self.quantize,
            "fuse_pooling": self.fuse_pooling,
            "insist": self.insist,
            "exclude": list(self.exclude),
            "min_mean_cosine": self.min_mean_cosine,
        }

    @property
    def thresholds(self) -> dict[str, float]:
        """The least that each measure may be, by its name in the report of a comparison."""
        return {"mean_cosine": self.min_mean_cosine, "top10_overlap": self.min_top10_overlap}

    @property
    def digest(self) -> str:
        """Twelve hexadecimal digits that change with anything that a derived graph is made by."""
        return hashlib.sha256(repr(sorted(asdict(self).items())).encode()).hexdigest()[:12]

    def __str__(self) -> str:
        bits = [name for name in (self.quantize, *self.variants) if name != "none"]
        return ", ".join(["graph"] * self.graph + bits + ["pooling"] * self.fuse_pooling)


def of_model(model: Model, *, directory: Path) -> Optimization | None:
    """Return how `model` is optimised, None where it is not; its samples are relative to `directory`."""
    wanted = model.optimize
    if wanted is None:
        return None
    return Optimization(
        graph=wanted.graph,
        quantize=wanted.quantize,
        variants=tuple(wanted.variants),
        fuse_pooling=wanted.fuse_pooling,
        keep_original=wanted.keep_original,
        insist=wanted.insist,
        exclude=tuple(wanted.exclude),
        samples_sha256=samples.digest(directory / wanted.samples) if wanted.samples else "",
        min_mean_cosine=wanted.min_mean_cosine,
        min_top10_overlap=wanted.min_top10_overlap,
        versions=versions(),
        program=program_digest(),
    )


def read(entry: Mapping[str, Any]) -> Optimization:
    """Make an optimisation of what a lock says of it; raises KeyError or TypeError."""
    return Optimization(**{**entry, "exclude": tuple(entry["exclude"]), "variants": tuple(entry["variants"])})


@cache
def programs() -> dict[str, bytes]:
    """Return the texts of the stage that derives a graph, by name: another one of any makes every graph again."""
    return _texts(_PROGRAMS)


@cache
def versions() -> dict[str, str]:
    """Return the versions of the optimiser's libraries that decide what a graph becomes."""
    pinned = dict(_PINNED.findall(_texts(_ENVIRONMENT)[REQUIREMENTS].decode()))
    return {name: version for name, version in sorted(pinned.items()) if name.startswith("onnx")}


@cache
def program_digest() -> str:
    """Return twelve hexadecimal digits for every text that derives a graph, the environment of that included."""
    digest = hashlib.sha256()
    for name, text in sorted((programs() | _texts(_ENVIRONMENT)).items()):
        digest.update(f"{name} {len(text)}\n".encode() + text)
    return digest.hexdigest()[:12]


def _texts(patterns: Iterable[str]) -> dict[str, bytes]:
    stages = resources.files("builder.templates").joinpath(_FOLDER)
    return {
        stage.name: stage.read_bytes()
        for stage in stages.iterdir()
        if any(fnmatchcase(stage.name, pattern) for pattern in patterns)
    }
