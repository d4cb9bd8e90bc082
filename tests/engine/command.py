"""Own running the installed command as a person does, and what the tests give it."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builder import network

ROOT = Path(__file__).parent.parent.parent
COMMAND = str(Path(sys.executable).with_name("build-image"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """How a run of the command ended."""

    code: int
    out: str
    err: str

    def columns(self) -> list[list[str]]:
        """Return the final table without the column of times."""
        rows = [re.split(r"\s{2,}", line) for line in self.out.splitlines()]
        return [row[:4] + row[5:] for row in rows]


def build_image(*arguments: str | Path, environment: Mapping[str, str] | None = None) -> Ended:
    ended = subprocess.run(
        [COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **(environment or {})},
    )
    return Ended(code=ended.returncode, out=ended.stdout, err=ended.stderr)


def manifest(folder: Path, name: str, **embedder: Any) -> Path:
    """Write a manifest of one image; JSON is YAML."""
    path = folder / f"{name}.yaml"
    content = {
        "version": 1,
        "models": {
            "embedder": {"task": "embedding", "path": "embedder", **embedder},
            "reranker": {"task": "reranker", "path": "reranker"},
        },
        "images": {name: {"models": ["embedder", "reranker"]}},
    }
    path.write_text(json.dumps(content))
    return path


def secret_flags(folder: Path, *, environment: Mapping[str, str] = os.environ) -> list[str]:
    """Return the flags that give `docker build` the secrets that the command would give in `environment`."""
    secrets = network.secrets(environment, ca_bundle=network.ca_bundle_path(environment))
    flags = []
    for name, value in secrets.items():
        (folder / name).write_bytes(value)
        flags += ["--secret", f"id={name},src={folder / name}"]
    return flags
