"""Own copies of this checkout that can be built from: building in place would leave folders behind."""

import shutil
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def copy(target: Path) -> None:
    """Copy what the distribution is made of into the new folder `target`."""
    for name in ("builder", "templates", "runtime"):
        shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, target)
