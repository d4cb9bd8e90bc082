"""Own the program under measurement, as the README installs it: in an environment of its own, with nothing else."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support import checkout
from tests.support.checkout import ROOT


@dataclass(frozen=True, kw_only=True, slots=True)
class Program:
    """An installed `build-image`, as the path of its command."""

    command: str

    def run(self, *arguments: str | Path, environment: Mapping[str, str] | None = None) -> None:
        """Run it to a good end, without its words."""
        command = [self.command, "--quiet", *map(str, arguments)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, **(environment or {})})

    def report(self, *arguments: str | Path, environment: Mapping[str, str] | None = None) -> Any:
        """Run it and return its report."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "report.json"
            self.run(*arguments, "--report", path, environment=environment)
            return json.loads(path.read_text())


@contextmanager
def installed() -> Iterator[Program]:
    """Install the program with its locked dependencies while the block runs."""
    folder = Path(tempfile.mkdtemp(prefix="build-image-benchmark-"))
    try:
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([*pip, "--require-hashes", "--requirement", ROOT / "requirements" / "builder.txt"], check=True)
        checkout.copy(folder / "source")
        subprocess.run([*pip, "--no-deps", folder / "source"], check=True)
        yield Program(command=str(folder / "bin" / "build-image"))
    finally:
        shutil.rmtree(folder)


def seconds(action: Callable[[], object]) -> float:
    """Return how long `action` takes."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started
