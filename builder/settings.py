"""Own what a run was asked for, as one value; it reads nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

# Files of a folder of supplies that a run looks for before it reads any; `supplies` owns what is in them.
SUPPLIES_DESCRIPTION = "build-image.json"
SUPPLIES_MANIFEST = "models.yaml"

NetworkMode = Literal["default", "host", "none"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What a run was asked for: flags and environment; `supplies` is the folder that stands for the network."""

    models: Path
    version: str
    environment: Mapping[str, str]
    images: tuple[str, ...] = ()
    jobs: int = 1
    ca_bundle: Path | None = None
    build_network: NetworkMode = "default"
    no_cache: bool = False
    build_only: bool = False
    push: bool = False
    locked: bool = False
    verify_reproducible: bool = False
    supplies: Path | None = None

    @property
    def directory(self) -> Path:
        """The folder of the manifest, which its paths are relative to; of a link, that of the file it leads to."""
        return self.models.resolve().parent

    @property
    def lock_path(self) -> Path:
        """The lock in that folder: `models.yaml` has `models.lock`."""
        manifest = self.models.resolve() if self.models.is_symlink() else self.models
        return manifest.with_suffix(".lock")

    @property
    def decisive_files(self) -> tuple[Path, ...]:
        """The files that say what a run is made of: manifest, lock, and the description of its supplies."""
        described = (self.supplies / SUPPLIES_DESCRIPTION,) if self.supplies else ()
        return (self.models, self.lock_path, *described)

    @property
    def cache_directory(self) -> Path:
        """Where this program keeps what it can make again (XDG Base Directory specification)."""
        home = self.environment.get("XDG_CACHE_HOME") or Path(self.environment.get("HOME") or "/") / ".cache"
        return Path(home) / "build-image"
