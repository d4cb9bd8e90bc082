"""Lay a model out beside its derived graph: all of it, but for what that graph replaces.

It runs in a build stage, on the standard library alone. Where no graph could be derived, nothing is replaced.
"""

import json
import shutil
import sys
from collections.abc import Collection
from pathlib import Path

CACHE = Path("opt/hf-cache")


def lay_out(original: Path, target: Path, *, replaced: Collection[Path]) -> None:
    """Copy the files and links of `original` into `target`, without those at `replaced`, relative to either."""
    for source in sorted(original.rglob("*")):
        place = source.relative_to(original)
        if place in replaced or (source.is_dir() and not source.is_symlink()):
            continue
        (target / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target / place, follow_symlinks=False)


def main(wanted: Path, original: Path, derived: Path, target: Path) -> None:
    """Lay out the model of the stage that wrote `derived` into `target`; `wanted` says what the graph replaces."""
    has_graph = json.loads((derived / "derived.json").read_text(encoding="utf-8"))["graph"] is not None
    snapshot = CACHE / "hub" / derived.parts[-3] / "snapshots" / derived.parts[-2]
    names = (wanted / "replaces.txt").read_text(encoding="utf-8").splitlines() if has_graph else []
    lay_out(original, target, replaced={snapshot / name for name in names})
    if has_graph:  # the cache's own listing is of what is left
        shutil.copytree(wanted / "cache", target / CACHE, dirs_exist_ok=True)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
