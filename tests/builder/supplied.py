"""Own a project of one local model and the folder of supplies for it, whose packages and base are a few bytes each."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from builder import cache, lockfile, pipeline, supplies
from builder.api import ImageDetails
from builder.console import Console
from builder.settings import Settings
from builder.supplies import Base, Description, File, Supplies
from tests.support import lookalikes

BASE = Base(
    name="debian:bookworm-slim",
    reference="localhost/build-image/base:0123456789ab",
    id="sha256:0123456789ab",
    digest="",
    layers=("sha256:layer",),
)
OTHERS = {
    "base.tar": b"base",
    "packages/Packages": b"Package: python3",
    "packages/python3_3.11.2-1_amd64.deb": b"debian",
    "wheels/numpy-2.4.6-cp311-cp311-linux_x86_64.whl": b"wheel",
}
WHEEL = "wheels/numpy-2.4.6-cp311-cp311-linux_x86_64.whl"


@dataclass(kw_only=True)
class FakeHost:
    """An engine of a platform with some images, which remembers what it was told to load."""

    platform: str = "linux/amd64"
    held: dict[str, tuple[str, ...]] = field(default_factory=dict)
    gives: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: {BASE.reference: BASE.layers})
    loaded: list[Path] = field(default_factory=list)

    def has_image(self, reference: str, /) -> bool:
        return reference in self.held

    def inspect_image(self, reference: str, /) -> ImageDetails:
        layers = self.held[reference]
        return ImageDetails(
            id="sha256:1", platform=self.platform, size_bytes=1, layers=layers, labels={}, environment=(), digest=""
        )

    def load_image(self, source: Path, /) -> None:
        self.loaded.append(source)
        self.held |= self.gives


def project(folder: Path, **content: Any) -> Settings:
    """Write a manifest of one local reranker below `folder`; return the settings of a run there."""
    lookalikes.write_reranker(folder / "reranker")
    manifest = {
        "version": 1,
        "models": {"reranker": {"task": "reranker", "path": "reranker"}},
        "images": {"server": {"models": ["reranker"]}},
        **content,
    }
    (folder / "models.yaml").write_text(json.dumps(manifest))
    return Settings(models=folder / "models.yaml", version="1.2.3", environment={"HOME": str(folder)})


def gathered(settings: Settings, directory: Path, *, console: Console, **changes: Any) -> Supplies:
    """Make the folder that `cache --output` makes; `changes` are of its description."""
    draft = pipeline.draft(settings)
    pipeline.settle(draft, settings)
    models = [draft.lock.models[name] for name in draft.models]
    description = replace(_description(settings, tuple(draft.images)), **changes)
    held = Supplies(directory=directory, description=description)
    cache.preload(models, held.cache, fetcher=None, console=console, command="")
    texts = {**OTHERS, "models.yaml": settings.models.read_bytes(), "models.lock": lockfile.text(draft.lock).encode()}
    texts |= {supplies.samples_path(model): model.samples.read_bytes() for model in models if model.samples}
    for name, text in texts.items():
        held.path(name).parent.mkdir(exist_ok=True)
        held.path(name).write_bytes(text)
    files = {name: File(size_bytes=len(text), sha256=sha256(text).hexdigest()) for name, text in texts.items()}
    held = held.with_files(files, is_complete=held.description.is_complete)
    supplies.write(held)
    return held


def _description(settings: Settings, images: tuple[str, ...]) -> Description:
    return Description(
        program=settings.version,
        platform="linux/amd64",
        base=BASE,
        wanted=supplies.wanted_packages(),
        images=dict.fromkeys(images, ("latest",)),
        variables={},
        files={},
        is_complete=True,
    )
